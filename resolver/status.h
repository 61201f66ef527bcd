/* resolver/status.h: how the daemon is, as figures. Main thread. */
#ifndef SUNDEW_RESOLVER_STATUS_H
#define SUNDEW_RESOLVER_STATUS_H

#include <jansson.h>

#include "resolver/supervisor.h"

/* The status command's "data" (sundew(1) lists its keys). New reference. The daemon is ready. */
json_t *status_json(struct supervisor *supervisor);

/* Sums over the workers; counts: STAT_COUNT of them. */
void status_counts(const struct supervisor *supervisor, uint64_t *counts);

/* Every forwarder's health; *count of them. NULL if there is none or no memory; to be freed. */
struct upstream_health *status_upstreams(struct supervisor *supervisor, size_t *count);

#endif
