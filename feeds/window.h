/* feeds/window.h: how what a feed says now and what it said before become the zone's copy.
 *
 * Keyed by the feed's own id of a record, else by trigger, match and value: a record that comes again replaces the old one, a
 * revoked one removes it, one that doesn't come stays (a window's absence is not removal). In STIX and TAXII an id is an object
 * with versions: the latest counts, whatever order they come in. Runs on the job thread. */
#ifndef SUNDEW_FEEDS_WINDOW_H
#define SUNDEW_FEEDS_WINDOW_H

#include "feeds/store.h"

/* Merges the stores at `old` (NULL: none, for snapshots) and `fresh` into `out`, which may be the path of `old`. Old records that
 * were neither carried nor seen since `keep_since` (unix seconds) are left out. Faults are those of `fresh`. 0 or -errno. */
int window_merge(const char *old, const char *fresh, const char *out, bool versions, int64_t keep_since);

#endif
