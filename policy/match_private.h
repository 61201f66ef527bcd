/* policy/match_private.h: a look-up in progress, shared by match.c and explain.c. */
#ifndef SUNDEW_POLICY_MATCH_PRIVATE_H
#define SUNDEW_POLICY_MATCH_PRIVATE_H

#include "policy/snapshot_private.h"

/* The rules of one suffix of the name, on their way from the first zone to the last. */
struct cursor {
    struct bucket_view view;
    uint64_t offset; /* of entry `at` in the bucket's data */
    uint32_t at, end;
    uint8_t labels;
    bool self; /* the suffix is the whole name */
};

/* What is asked, and what was found: cursors from the deepest name to the shallowest. */
struct search {
    const struct snapshot *snapshot;
    const struct name_key *key;
    const struct ip *client;
    uint32_t now;
    unsigned cursors;
    struct cursor cursor[NAME_LABELS_MAX + 1];
};

/* Fills in the cursors of all rules whose owner is the name or an ancestor of it. */
void match_find(struct search *search);

/* On to the next rule of the same owner. */
void match_step(struct cursor *cursor);

/* `self`: the rule's owner is the name asked for, not an ancestor. */
static inline bool match_holds(enum match match, bool self) {
    return match == MATCH_SUBTREE || (match == MATCH_EXACT) == self;
}

/* Octets in wire form of the name's suffix with so many labels. */
static inline uint8_t match_owner_length(const struct name_key *key, unsigned labels) {
    return (uint8_t)(key->length - key->at[labels]);
}

/* Passes over the protections, which come first. True if one protects the name. Says whether any rule is left that could match. */
bool match_is_protected(struct search *search, bool *any_rule);

#endif
