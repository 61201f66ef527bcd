/* hits/card.h: what hits say of their rules, made once a rule instead of once a hit.
 *
 * A card is found by (snapshot, rule, mode) and shared by its text: when a new snapshot brings the same rule again, hits before and
 * after count as hits on one rule. The snapshot is read only while a record that names it is at hand. The writer's thread. */
#ifndef SUNDEW_HITS_CARD_H
#define SUNDEW_HITS_CARD_H

#include "hits/hit.h"
#include "hits/zone_count.h"

struct cards;

/* `counts` (NULL: none) has the counters that go with the cards, and must outlive them. NULL: no memory. */
struct cards *cards_new(struct zone_counts *counts);
void cards_free(struct cards *cards);

/* The card of a rule as hit in `mode`, owned by `cards` until its slot is needed (card_ref to keep it); NULL: no such rule or no
 * memory. */
struct card *cards_find(struct cards *cards, struct snapshot *snapshot, uint32_t rule, enum mode mode);
/* The same of a hit record, which is counted. */
struct card *cards_hit(struct cards *cards, const struct record *record);
struct card *card_ref(struct card *card);
void cards_unref(struct cards *cards, struct card *card);

/* Asks for the lines of memory that cards_find will want of a hit record: a few records ahead, with step 0, 1, ... CARDS_STEPS - 1,
 * and the same *place. Gives the card where it is at hand already, else NULL. */
enum { CARDS_STEPS = SNAPSHOT_PREFETCH_STEPS + 1 };
const struct card *cards_ahead(const struct cards *cards, const struct record *record, unsigned step, uint64_t *place);

/* What the policy answered to a hit record: a JSON array of rdata in presentation form. NULL: no records (negative, dropped), a
 * mode that doesn't answer, or no memory. The reference is the caller's. */
struct phrase *cards_answer(struct cards *cards, const struct record *record);

#endif
