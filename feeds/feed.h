/* feeds/feed.h: a source that is fetched: when, what came of it, and how it becomes the zone's copy.
 *
 * Loop's thread only. A feed is begun after the first snapshot of a configuration is out, and ended with the configuration. */
#ifndef SUNDEW_FEEDS_FEED_H
#define SUNDEW_FEEDS_FEED_H

#include "feeds/zone.h"

enum outcome { OUTCOME_PENDING, OUTCOME_FETCHED, OUTCOME_UNCHANGED, OUTCOME_FAILED };

int feed_start(struct zone *zone);
void feed_stop(struct zone *zone); /* ends a transfer that is under way; nothing is called afterwards */

/* Fetches now, past refresh interval and back-off; only Retry-After is kept. `force`: a shrunken snapshot is taken. The outcome is
 * told with feeder_fetched, also when a fetch was under way already. */
void feed_refresh(struct zone *zone, bool force);

const char *feed_error(const struct zone *zone); /* of the last attempt, or NULL */
int64_t feed_next_at(const struct zone *zone);   /* unix seconds, 0: not planned */
bool feed_tried(const struct zone *zone);        /* an attempt has ended since start */

#endif
