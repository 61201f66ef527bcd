/* resolver/metrics.h: the daemon's counters as Prometheus text (exposition format 0.0.4). Pure: figures in, text out. */
#ifndef SUNDEW_RESOLVER_METRICS_H
#define SUNDEW_RESOLVER_METRICS_H

#include <jansson.h>
#include <stdio.h>

#include "hits/writer.h"
#include "resolver/cache.h"
#include "resolver/process.h"
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
    const json_t *hits; /* zone_counts_json (hits/zone_count.h), or NULL */
    const struct process_figures *process;
    double uptime_seconds;
    unsigned workers;
    unsigned waiting; /* queries in flight */
    bool feeder_running;
    uint64_t feeder_restarts;
};

/* Label values are escaped. There are as many series as zones, servers and (up to FAMILY_COUNTS_MAX) families, whatever clients
 * ask; no two have the same labels. */
void metrics_write(const struct metrics_input *input, FILE *out);

#endif
