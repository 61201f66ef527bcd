/* policy/ruleset_private.h: how a ruleset is kept, for ruleset*.c and compile*.c. */
#ifndef SUNDEW_POLICY_RULESET_PRIVATE_H
#define SUNDEW_POLICY_RULESET_PRIVATE_H

#include "policy/intern.h"
#include "policy/ruleset.h"
#include "policy/snapshot.h"
#include "policy/snapshot_format.h"

enum { ARENA_CHUNK = 1 << 22 };

/* Records one after another in chunks that never move; a record is found by its position, which grows with age. */
struct arena {
    uint8_t **chunk;
    size_t chunks;
    size_t room;
    size_t used; /* of the last chunk */
};

static inline uint8_t *arena_at(const struct arena *arena, uint64_t position) {
    return arena->chunk[position / ARENA_CHUNK] + position % ARENA_CHUNK;
}

/* A domain rule in the arena: profile (4 octets), wire length (1), cold length (1), wire name, expires (4 octets, if the profile
 * says so), cold record. */
enum { RECORD_PROFILE = 0, RECORD_WIRE_LENGTH = 4, RECORD_COLD_LENGTH = 5, RECORD_WIRE = 6 };
enum { RECORD_SIZE_MAX = RECORD_WIRE + NAME_WIRE_MAX + 4 + COLD_RECORD_MAX };

/* A prefix on its way into a table. */
struct prefix_item {
    struct prefix_key key;
    uint8_t length;
    uint8_t cold_length;
    uint32_t profile;
    uint32_t expires;
    uint64_t cold; /* position in the arena */
};

struct prefix_items {
    struct prefix_item *item;
    size_t count, room;
};

/* What tells specs apart. */
struct spec_key {
    uint32_t action;
    uint32_t ttl;
    uint32_t target;
    uint32_t records;
};

struct growing { /* a plain array that doubles */
    void *data;
    size_t count, room, element_size;
};

/* The last string of its kind. */
struct memo {
    size_t length;
    uint32_t offset;
};

/* The last element interned of its kind, and its number: most rules are like the one before. */
struct profile_memo {
    struct profile profile;
    uint32_t number;
    bool known;
};
struct spec_memo {
    struct spec_key key;
    uint32_t number;
    bool known;
};

struct ruleset {
    struct ruleset_answers answers;
    struct arena domains;  /* records, see below */
    struct arena cold;     /* cold records of prefix rules */
    uint64_t domain_count; /* records, protections included */
    uint64_t rule_count;
    struct prefix_items ips, clients, shields;
    struct strings strings;
    struct memo last_source, last_head, last_tail;
    struct profile_memo last_profile[MATCH_COUNT];
    struct spec_memo last_spec;
    struct intern profiles; /* struct profile */
    struct intern labels;   /* struct label */
    struct intern spec_keys;
    struct growing specs;        /* struct spec, one a spec_key */
    struct growing spec_faults;  /* const char *, one a spec_key: why it can't be, or NULL */
    struct growing spec_answers; /* struct spec_answer */
    struct growing bytes;        /* octets */
    struct growing zones;        /* struct snapshot_zone */
    struct growing zone_clients; /* struct zone_client */
};

int growing_grow(struct growing *array, size_t count);                      /* for growing_reserve */
int growing_add(struct growing *array, const void *elements, size_t count); /* 0 or -ENOMEM */

/* Makes room for `count` more elements. 0 or -ENOMEM. */
static inline int growing_reserve(struct growing *array, size_t count) {
    return count <= array->room - array->count ? 0 : growing_grow(array, count);
}

/* Like malloc, in huge pages if it is large and the system has them: what is read in random order is read faster. For free(). */
void *huge_alloc(size_t size);

/* policy/answers.c: lays a spec's answers out. `key` holds offsets into rules->strings. 0, -EINVAL with *why, -ENOMEM. */
int answers_make(struct ruleset *rules, const struct spec_key *key, struct spec *spec, const char **why);

#endif
