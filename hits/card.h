/* hits/card.h: what hits say of their rules, put together once for many.
 *
 * The words of a hit come from three places. What all rules of a zone with one action have in common is a card: there is a handful
 * of them, kept for good, and policies share them, so that hits before and after a new policy count as hits on one rule. Lifetime,
 * family and confidence are details, of which there are about as many as families; a reference makes them a rule's own. The text
 * of a domain rule is the end of the name that matched, which the record has; that of a prefix is looked up. So a rule's own pages
 * of the snapshot are read for its notes only, once for a first hit.
 *
 * The snapshot is read only while a record that names it is at hand. The writer's thread. */
#ifndef SUNDEW_HITS_CARD_H
#define SUNDEW_HITS_CARD_H

#include "hits/hit.h"
#include "hits/zone_count.h"

struct cards;

/* `counts` (NULL: none) has the counters that go with cards and details, and must outlive them. NULL: no memory. */
struct cards *cards_new(struct zone_counts *counts);
void cards_free(struct cards *cards);

/* The card of a hit record, good until cards_free; NULL: no memory, or a damaged snapshot. */
const struct card *cards_find(struct cards *cards, const struct record *record);

/* Appends the text of a domain rule, a JSON string. `owner`: its name in wire form. */
void card_put_rule(struct text *text, const struct card *card, const uint8_t *owner);

/* The text of a hit record's rule that is a prefix, a JSON string. The reference is the caller's; NULL: no memory, or a damaged
 * snapshot. */
struct phrase *cards_prefix(struct cards *cards, const struct record *record);

struct details {
    struct phrase *text;           /* the JSON members from "ttl" to "reference", each led by a comma */
    _Atomic uint64_t *family_hits; /* the counter of the rule's family; NULL: it has none, or nobody counts */
};
/* Those of a hit record's rule; the reference to the text is the caller's. False: no memory, or a damaged snapshot. */
bool cards_details(struct cards *cards, const struct record *record, struct details *details);

/* What the policy answered to a hit record: a JSON array of rdata in presentation form. NULL: no records (negative, dropped), a
 * mode that doesn't answer, or no memory. The reference is the caller's. */
struct phrase *cards_answer(struct cards *cards, const struct record *record);

/* All that hits say of a rule which is known by its number only; the references are the caller's. */
struct wording {
    const struct card *card;
    struct phrase *rule; /* a JSON string */
    struct phrase *details;
};
/* False: no such rule, or no memory; then there is nothing to clear. */
bool cards_word(struct cards *cards, const struct snapshot *snapshot, uint32_t rule, enum mode mode, struct wording *wording);
void wording_clear(struct wording *wording);

#endif
