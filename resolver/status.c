/* resolver/status.c: how the daemon is, as figures. */
#include "resolver/status.h"

#include <stdlib.h>
#include <unistd.h>

#include "policy/snapshot.h"

void status_counts(const struct supervisor *supervisor, uint64_t *counts) {
    for (size_t i = 0; i < STAT_COUNT; i++)
        counts[i] = 0;
    for (unsigned worker = 0; worker < supervisor->worker_count; worker++) {
        const struct stats *stats = worker_stats(supervisor->workers[worker]);
        for (size_t i = 0; i < STAT_COUNT; i++)
            counts[i] += atomic_load_explicit(&stats->count[i], memory_order_relaxed);
    }
}

struct upstream_health *status_upstreams(struct supervisor *supervisor, size_t *count) {
    size_t room = upstream_shared_health(supervisor->upstream, NULL, 0);
    struct upstream_health *health = calloc(room + 1, sizeof *health);
    *count = health != NULL ? upstream_shared_health(supervisor->upstream, health, room) : 0;
    if (*count > room)
        *count = room;
    return health;
}

static json_t *upstreams_json(struct supervisor *supervisor) {
    size_t count;
    struct upstream_health *health = status_upstreams(supervisor, &count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct upstream_health *one = &health[i];
        char zone[NAME_TEXT_MAX];
        name_to_text(one->zone.wire, zone);
        json_t *rtt = one->rtt_us > 0 ? json_real(one->rtt_us / 1000.0) : json_null();
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o, s:I, s:I, s:I}", "server", one->text, "zone", zone, "up",
                                              one->up, "rtt_ms", rtt, "queries", (json_int_t)one->queries, "failures",
                                              (json_int_t)one->failures, "timeouts", (json_int_t)one->timeouts));
    }
    free(health);
    return list;
}

static json_t *cache_json(const struct supervisor *supervisor, const uint64_t *counts) {
    struct cache_stats cache;
    cache_stats(supervisor->cache, &cache);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "entries", (json_int_t)cache.entries, "bytes",
                     (json_int_t)cache.octets, "limit", (json_int_t)cache.limit, "inserted", (json_int_t)cache.inserted, "evicted",
                     (json_int_t)cache.evicted, "hits", (json_int_t)counts[STAT_CACHE_HITS], "misses",
                     (json_int_t)counts[STAT_CACHE_MISSES], "stale", (json_int_t)counts[STAT_STALE], "prefetches",
                     (json_int_t)counts[STAT_PREFETCHES]);
}

static void set_count(json_t *object, const char *key, uint64_t value) {
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *log_json(const struct supervisor *supervisor) {
    struct writer_stats writer;
    writer_stats(supervisor->writer, &writer);
    json_t *log = json_object();
    set_count(log, "hits", writer.hits);
    set_count(log, "lines", writer.lines);
    set_count(log, "lines_lost", writer.lines_lost);
    set_count(log, "query_lines_lost", writer.query_lines_lost);
    set_count(log, "ring_lost_hits", writer.ring_lost_hits);
    set_count(log, "ring_lost_asked", writer.ring_lost_asked);
    set_count(log, "ring_lost_queries", writer.ring_lost_queries);
    set_count(log, "ledger_lost", writer.ledger_lost);
    set_count(log, "clients", writer.clients);
    set_count(log, "syslog_sent", writer.syslog_sent);
    set_count(log, "syslog_lost", writer.syslog_lost);
    set_count(log, "dnstap_sent", writer.dnstap_sent);
    set_count(log, "dnstap_lost", writer.dnstap_lost);
    return log;
}

static json_t *leases_json(const struct supervisor *supervisor) {
    struct writer_stats writer;
    writer_stats(supervisor->writer, &writer);
    json_t *leases = json_object();
    set_count(leases, "holders", writer.lease_holders);
    set_count(leases, "refused", writer.leases_refused);
    set_count(leases, "skipped", writer.lease_lines_skipped);
    return leases;
}

static json_t *by_name(const uint64_t *counts, size_t first, size_t count, const char *(*name)(size_t i)) {
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        if (counts[first + i] > 0)
            json_object_set_new(object, name(i), json_integer((json_int_t)counts[first + i]));
    return object;
}

static const char *rcode_text(size_t rcode) {
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                        "NXRRSET", "NOTAUTH", "NOTZONE",  "RCODE11",  "RCODE12", "RCODE13", "RCODE14",  "RCODE15"};
    return names[rcode];
}

static const char *action_text(size_t action) {
    return action_name((enum action)action);
}

json_t *status_json(struct supervisor *supervisor) {
    uint64_t counts[STAT_COUNT];
    status_counts(supervisor, counts);
    struct snapshot_stats snapshot;
    snapshot_stats(supervisor->snapshot, &snapshot);
    uint64_t hits = counts[STAT_CACHE_HITS], looked = hits + counts[STAT_CACHE_MISSES];
    unsigned waiting = 0;
    for (unsigned i = 0; i < supervisor->worker_count; i++)
        waiting += worker_queries(supervisor->workers[i]);
    json_t *data =
        json_pack("{s:s, s:i, s:I, s:s?}", "version", SUNDEW_VERSION, "pid", (int)getpid(), "uptime_s",
                  (json_int_t)((uv_now(&supervisor->loop) - supervisor->started_ms) / 1000), "config", supervisor->config->path);
    set_count(data, "workers", supervisor->worker_count);
    set_count(data, "queries", counts[STAT_QUERIES_UDP] + counts[STAT_QUERIES_TCP]);
    set_count(data, "queries_udp", counts[STAT_QUERIES_UDP]);
    set_count(data, "queries_tcp", counts[STAT_QUERIES_TCP]);
    set_count(data, "waiting", waiting);
    json_object_set_new(data, "hit_ratio", json_real(looked > 0 ? (double)hits / (double)looked : 0));
    json_object_set_new(data, "cache", cache_json(supervisor, counts));
    set_count(data, "policy_hits", counts[STAT_POLICY_HITS]);
    set_count(data, "monitor_hits", counts[STAT_MONITOR_HITS]);
    set_count(data, "passthru", counts[STAT_PASSTHRU]);
    json_object_set_new(data, "actions", by_name(counts, STAT_ACTION_0, ACTION_COUNT, action_text));
    set_count(data, "zones", supervisor->config->zone_count);
    set_count(data, "rules", snapshot.rules);
    json_object_set_new(data, "bytes_per_rule",
                        json_real(snapshot.rules > 0 ? (double)snapshot.resident_bytes / (double)snapshot.rules : 0));
    json_object_set_new(data, "snapshot", json_string(snapshot_id(supervisor->snapshot)));
    json_object_set_new(data, "upstreams", upstreams_json(supervisor));
    json_object_set_new(data, "rcodes", by_name(counts, STAT_RCODE_0, 16, rcode_text));
    set_count(data, "local", counts[STAT_LOCAL]);
    set_count(data, "refused", counts[STAT_REFUSED_ACL]);
    set_count(data, "bad_packets", counts[STAT_BAD_PACKETS]);
    set_count(data, "dropped", counts[STAT_DROPPED]);
    set_count(data, "sent_lost", counts[STAT_SENT_LOST]);
    set_count(data, "tcp_connections", counts[STAT_TCP_CONNECTIONS]);
    set_count(data, "upstream_queries", counts[STAT_UPSTREAM_QUERIES]);
    set_count(data, "upstream_tcp", counts[STAT_UPSTREAM_TCP]);
    set_count(data, "upstream_failures", counts[STAT_UPSTREAM_FAILURES]);
    set_count(data, "upstream_mismatches", counts[STAT_UPSTREAM_MISMATCHES]);
    json_object_set_new(data, "log", log_json(supervisor));
    json_object_set_new(data, "leases", leases_json(supervisor));
    json_object_set_new(data, "feeder", json_string(feeder_running(supervisor->feeder) ? "running" : "being restarted"));
    set_count(data, "feeder_restarts", feeder_restarts(supervisor->feeder));
    return data;
}
