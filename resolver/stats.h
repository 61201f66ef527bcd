/* resolver/stats.h: what a worker counts. Each worker owns one struct and is its only writer; anyone may read (relaxed atomics). */
#ifndef SUNDEW_RESOLVER_STATS_H
#define SUNDEW_RESOLVER_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "policy/rule.h"

enum stat_id {
    STAT_QUERIES_UDP,
    STAT_QUERIES_TCP,
    STAT_CACHE_HITS,   /* answered from fresh cache */
    STAT_CACHE_MISSES, /* upstream was needed */
    STAT_STALE,        /* answered with stale data */
    STAT_PREFETCHES,
    STAT_POLICY_HITS, /* rules that matched in mode enforce, passthru left out */
    STAT_MONITOR_HITS,
    STAT_PASSTHRU,
    STAT_LOCAL, /* locally served names */
    STAT_REFUSED_ACL,
    STAT_BAD_PACKETS, /* dropped or FORMERR */
    STAT_DROPPED,     /* queries not answered: no room for another query in flight */
    STAT_UPSTREAM_QUERIES,
    STAT_UPSTREAM_TCP,
    STAT_UPSTREAM_FAILURES,
    STAT_UPSTREAM_MISMATCHES, /* answers that didn't fit: spoofed or late */
    STAT_TCP_CONNECTIONS,
    STAT_SENT_LOST, /* answers that the kernel did not take */
    STAT_RCODE_0,   /* 16 rcodes in a row: STAT_RCODE_0 + rcode */
    STAT_RCODE_15 = STAT_RCODE_0 + 15,
    STAT_ACTION_0, /* hits by action: STAT_ACTION_0 + enum action */
    STAT_ACTION_LAST = STAT_ACTION_0 + ACTION_COUNT - 1,
    STAT_LATENCY_0, /* answers that waited for upstream, by time: one count a bound of stats_latency_ms, and one beyond */
    STAT_LATENCY_LAST = STAT_LATENCY_0 + 11,
    STAT_LATENCY_SUM_MS, /* of all that waited */
    STAT_COUNT
};

/* Upper bounds of the latency counts, milliseconds; the last count has none. */
static const uint16_t stats_latency_ms[STAT_LATENCY_LAST - STAT_LATENCY_0] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000};

struct stats {
    _Alignas(64) _Atomic uint64_t count[STAT_COUNT];
};

static inline void stat_add(struct stats *stats, enum stat_id stat, uint64_t n) {
    uint64_t value = atomic_load_explicit(&stats->count[stat], memory_order_relaxed);
    atomic_store_explicit(&stats->count[stat], value + n, memory_order_relaxed);
}

/* An answer waited this long for upstream. */
static inline void stat_latency(struct stats *stats, uint64_t milliseconds) {
    unsigned i = 0;
    while (i < sizeof stats_latency_ms / sizeof *stats_latency_ms && milliseconds > stats_latency_ms[i])
        i++;
    stat_add(stats, (enum stat_id)(STAT_LATENCY_0 + i), 1);
    stat_add(stats, STAT_LATENCY_SUM_MS, milliseconds);
}

#endif
