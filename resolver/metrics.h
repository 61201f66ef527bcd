/* resolver/metrics.h: the daemon's counters as Prometheus text (exposition format 0.0.4). Pure: figures in, text out. */
#ifndef SUNDEW_RESOLVER_METRICS_H
#define SUNDEW_RESOLVER_METRICS_H

#include <jansson.h>
#include <stdio.h>

#include "hits/writer.h"
#include "resolver/cache.h"
#include "resolver/stats.h"
#include "resolver/upstream.h"

/* All borrowed for the call. `zones` is the control protocol's zones array (NULL: the feeder gave none). */
struct metrics_input {
    const uint64_t *counts; /* STAT_COUNT sums over the workers */
    const struct cache_stats *cache;
    const struct writer_stats *writer;
    const struct snapshot_stats *snapshot;
    const char *snapshot_id;
    const struct upstream_health *upstreams;
    size_t upstream_count;
    const json_t *zones;
    const json_t *zone_hits; /* array of {zone, action, hits}, or NULL */
    double uptime_seconds;
    unsigned workers;
};

/* Label values are escaped and cut at 128 octets; there are as many series as configured zones and servers, whatever clients ask.
 */
void metrics_write(const struct metrics_input *input, FILE *out);

#endif
