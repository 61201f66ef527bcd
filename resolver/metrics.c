/* resolver/metrics.c: one function a group of series. See metrics.h. */
#include "resolver/metrics.h"

#include <stdlib.h>
#include <string.h>

/* Length of the character at `at`. Valid UTF-8 is all that comes here; what isn't counts as single octets. */
static size_t length_of(const unsigned char *at) {
    size_t length = *at < 0xc2 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
    return strnlen((const char *)at, length) < length ? 1 : length;
}

/* Controls, and what hides or turns the direction of writing (U+200B..200F, 2028..202E, 2060..206F). */
static bool is_hidden(const unsigned char *at, size_t length) {
    if (length == 1)
        return *at < 0x20 || *at >= 0x7f;
    if (length == 2)
        return *at == 0xc2 && at[1] < 0xa0;
    return length == 3 && *at == 0xe2 &&
           ((at[1] == 0x80 && ((at[2] >= 0x8b && at[2] <= 0x8f) || (at[2] >= 0xa8 && at[2] <= 0xae))) ||
            (at[1] == 0x81 && at[2] >= 0xa0 && at[2] <= 0xaf));
}

/* A label's value in quotes: backslash and quote escaped as the format wants, what must not be shown as \\DDD, so that a hostile
 * name neither ends the label nor breaks the scrape nor comes to look like another. */
static void write_label(FILE *out, const char *value) {
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)value; *at != '\0';) {
        size_t length = length_of(at);
        bool hidden = is_hidden(at, length);
        if (*at == '\\' || *at == '"')
            fputc('\\', out);
        for (const unsigned char *end = at + length; at < end; at++)
            fprintf(out, hidden ? "\\\\%03u" : "%c", *at);
    }
    fputc('"', out);
}

/* Exact, and as short as that can be. */
static void write_figure(FILE *out, double figure) {
    char text[32];
    snprintf(text, sizeof text, "%.15g", figure);
    if (strtod(text, NULL) != figure)
        snprintf(text, sizeof text, "%.17g", figure);
    fprintf(out, "%s\n", text);
}

static void head(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value) {
    head(out, name, "counter", help);
    fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void gauge(FILE *out, const char *name, const char *help, double value) {
    head(out, name, "gauge", help);
    fprintf(out, "%s ", name);
    write_figure(out, value);
}

static void labelled(FILE *out, const char *name, const char *label, const char *value, double figure) {
    fprintf(out, "%s{%s=", name, label);
    write_label(out, value);
    fputs("} ", out);
    write_figure(out, figure);
}

static void write_queries(const struct metrics_input *input, FILE *out) {
    static const char *const rcodes[16] = {"noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "yxdomain", "yxrrset",
                                           "nxrrset", "notauth", "notzone",  "11",       "12",     "13",      "14",       "15"};
    const uint64_t *counts = input->counts;
    head(out, "sundew_queries_total", "counter", "Queries received, by transport.");
    labelled(out, "sundew_queries_total", "transport", "udp", (double)counts[STAT_QUERIES_UDP]);
    labelled(out, "sundew_queries_total", "transport", "tcp", (double)counts[STAT_QUERIES_TCP]);
    head(out, "sundew_responses_total", "counter", "Responses sent, by response code.");
    for (unsigned i = 0; i < 16; i++) {
        labelled(out, "sundew_responses_total", "rcode", rcodes[i], (double)counts[STAT_RCODE_0 + i]);
    }
    counter(out, "sundew_refused_clients_total", "Queries from addresses outside allow.", counts[STAT_REFUSED_ACL]);
    counter(out, "sundew_bad_packets_total", "Packets that were no well-formed query.", counts[STAT_BAD_PACKETS]);
    counter(out, "sundew_dropped_queries_total", "Queries dropped for want of room in flight.", counts[STAT_DROPPED]);
    counter(out, "sundew_unsent_responses_total", "Responses that the kernel did not take.", counts[STAT_SENT_LOST]);
    counter(out, "sundew_tcp_connections_total", "TCP connections accepted.", counts[STAT_TCP_CONNECTIONS]);
    counter(out, "sundew_local_answers_total", "Locally served names answered.", counts[STAT_LOCAL]);
}

/* What policy, cache and local names answered took no time that a millisecond clock sees: it is all in the first bucket. */
static void write_latency(const struct metrics_input *input, FILE *out) {
    static const char name[] = "sundew_answer_latency_seconds";
    const uint64_t *counts = input->counts;
    uint64_t total = 0, waited = 0, below;
    for (unsigned i = 0; i < 16; i++) {
        total += counts[STAT_RCODE_0 + i];
    }
    for (unsigned i = STAT_LATENCY_0; i <= STAT_LATENCY_LAST; i++) {
        waited += counts[i];
    }
    total = total > waited ? total : waited;
    below = total - waited;
    head(out, name, "histogram", "Time from query to response.");
    for (unsigned i = 0; i < STAT_LATENCY_LAST - STAT_LATENCY_0; i++) {
        below += counts[STAT_LATENCY_0 + i];
        fprintf(out, "%s_bucket{le=\"%g\"} %llu\n", name, stats_latency_ms[i] / 1000.0, (unsigned long long)below);
    }
    fprintf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)total);
    fprintf(out, "%s_sum ", name);
    write_figure(out, (double)counts[STAT_LATENCY_SUM_MS] / 1000);
    fprintf(out, "%s_count %llu\n", name, (unsigned long long)total);
}

static void write_policy(const struct metrics_input *input, FILE *out) {
    const uint64_t *counts = input->counts;
    size_t i;
    json_t *row;
    head(out, "sundew_policy_hits_total", "counter", "Rules that matched and were enforced, by action.");
    for (unsigned action = 0; action < ACTION_COUNT; action++) {
        labelled(out, "sundew_policy_hits_total", "action", action_name((enum action)action),
                 (double)counts[STAT_ACTION_0 + action]);
    }
    counter(out, "sundew_policy_monitor_hits_total", "Rules that matched in mode monitor.", counts[STAT_MONITOR_HITS]);
    head(out, "sundew_zone_hits_total", "counter", "Hits, by policy zone and action, monitored ones among them.");
    json_array_foreach(json_object_get(input->hits, "zones"), i, row) {
        fputs("sundew_zone_hits_total{zone=", out);
        write_label(out, json_string_value(json_object_get(row, "zone")));
        fputs(",action=", out);
        write_label(out, json_string_value(json_object_get(row, "action")));
        fprintf(out, "} %lld\n", (long long)json_integer_value(json_object_get(row, "hits")));
    }
    head(out, "sundew_family_hits_total", "counter", "Hits, by malware family; later ones than the first 200 together.");
    json_array_foreach(json_object_get(input->hits, "families"), i, row) {
        labelled(out, "sundew_family_hits_total", "family", json_string_value(json_object_get(row, "family")),
                 json_number_value(json_object_get(row, "hits")));
    }
    gauge(out, "sundew_snapshot_rules", "Rules in force.", (double)input->snapshot->rules);
    gauge(out, "sundew_snapshot_resident_bytes", "Size of the policy that matching touches.",
          (double)input->snapshot->resident_bytes);
    gauge(out, "sundew_snapshot_file_bytes", "Size of the policy snapshot file.", (double)input->snapshot->file_bytes);
    head(out, "sundew_snapshot_info", "gauge", "The policy in force, by content id.");
    labelled(out, "sundew_snapshot_info", "id", input->snapshot_id, 1);
}

static void write_cache(const struct metrics_input *input, FILE *out) {
    const uint64_t *counts = input->counts;
    counter(out, "sundew_cache_hits_total", "Answers from fresh cache.", counts[STAT_CACHE_HITS]);
    counter(out, "sundew_cache_misses_total", "Answers that upstream was needed for.", counts[STAT_CACHE_MISSES]);
    counter(out, "sundew_stale_answers_total", "Answers with stale data.", counts[STAT_STALE]);
    counter(out, "sundew_prefetches_total", "Answers asked for again before they expired.", counts[STAT_PREFETCHES]);
    gauge(out, "sundew_cache_entries", "Answers in the cache.", (double)input->cache->entries);
    gauge(out, "sundew_cache_bytes", "Memory that the cache holds.", (double)input->cache->octets);
    gauge(out, "sundew_cache_limit_bytes", "Memory that the cache may hold.", (double)input->cache->limit);
    counter(out, "sundew_cache_evictions_total", "Answers that made room for others.", input->cache->evicted);
}

/* A server that is configured twice is one to Prometheus. */
static bool is_repeated(const struct metrics_input *input, size_t server) {
    for (size_t i = 0; i < server; i++) {
        if (strcmp(input->upstreams[i].text, input->upstreams[server].text) == 0 &&
            name_equal(&input->upstreams[i].zone, &input->upstreams[server].zone))
            return true;
    }
    return false;
}

/* One series a server; `figure` picks what is said of it, -1: nothing. */
static void upstream_series(const struct metrics_input *input, FILE *out, const char *name, const char *type, const char *help,
                            double (*figure)(const struct upstream_health *)) {
    head(out, name, type, help);
    for (size_t i = 0; i < input->upstream_count; i++) {
        char zone[NAME_TEXT_MAX];
        double value = figure(&input->upstreams[i]);
        if (value < 0 || is_repeated(input, i))
            continue;
        name_to_text(input->upstreams[i].zone.wire, zone);
        fprintf(out, "%s{server=", name);
        write_label(out, input->upstreams[i].text);
        fputs(",zone=", out);
        write_label(out, zone);
        fputs("} ", out);
        write_figure(out, value);
    }
}

static double upstream_up(const struct upstream_health *server) {
    return server->up ? 1 : 0;
}

static double upstream_rtt(const struct upstream_health *server) {
    return server->rtt_us == 0 ? -1 : (double)server->rtt_us / 1e6;
}

static double upstream_queries(const struct upstream_health *server) {
    return (double)server->queries;
}

static double upstream_failures(const struct upstream_health *server) {
    return (double)server->failures;
}

static double upstream_timeouts(const struct upstream_health *server) {
    return (double)server->timeouts;
}

static void write_upstreams(const struct metrics_input *input, FILE *out) {
    const uint64_t *counts = input->counts;
    counter(out, "sundew_upstream_mismatches_total", "Packets to upstream ports that answered no question: spoofed or late.",
            counts[STAT_UPSTREAM_MISMATCHES]);
    counter(out, "sundew_upstream_tcp_total", "Questions asked again over TCP.", counts[STAT_UPSTREAM_TCP]);
    upstream_series(input, out, "sundew_upstream_up", "gauge", "Whether the server answers.", upstream_up);
    upstream_series(input, out, "sundew_upstream_rtt_seconds", "gauge", "Smoothed round-trip time.", upstream_rtt);
    upstream_series(input, out, "sundew_upstream_queries_total", "counter", "Questions asked.", upstream_queries);
    upstream_series(input, out, "sundew_upstream_failures_total", "counter", "Questions that failed.", upstream_failures);
    upstream_series(input, out, "sundew_upstream_timeouts_total", "counter", "Questions that timed out.", upstream_timeouts);
}

/* A gauge a zone from a key of its report; booleans as 0 and 1, absent keys left out. */
static void zone_series(const json_t *zones, FILE *out, const char *name, const char *key, const char *help) {
    size_t i;
    json_t *zone;
    head(out, name, "gauge", help);
    json_array_foreach(zones, i, zone) {
        const json_t *value = json_object_get(zone, key);
        const char *text = json_string_value(json_object_get(zone, "name"));
        if (text != NULL && (json_is_number(value) || json_is_boolean(value))) {
            labelled(out, name, "zone", text, json_is_boolean(value) ? json_is_true(value) : json_number_value(value));
        }
    }
}

static void write_zones(const struct metrics_input *input, FILE *out) {
    size_t i;
    json_t *zone;
    zone_series(input->zones, out, "sundew_zone_rules", "rules", "Rules of the zone in force.");
    zone_series(input->zones, out, "sundew_zone_rejected_rules", "rejected", "Rules of the zone that were refused.");
    zone_series(input->zones, out, "sundew_zone_age_seconds", "age_s", "Time since the zone's source was read.");
    zone_series(input->zones, out, "sundew_zone_stale", "stale", "Whether the zone is overdue.");
    head(out, "sundew_zone_error", "gauge", "Whether the zone's last fetch or read failed.");
    json_array_foreach(input->zones, i, zone) {
        const char *text = json_string_value(json_object_get(zone, "name"));
        if (text != NULL) {
            labelled(out, "sundew_zone_error", "zone", text, json_is_string(json_object_get(zone, "error")) ? 1 : 0);
        }
    }
}

static void write_records(const struct metrics_input *input, FILE *out) {
    const struct writer_stats *writer = input->writer;
    counter(out, "sundew_hit_records_total", "Hits taken by the writer.", writer->hits);
    counter(out, "sundew_hit_lines_total", "Lines written to the hit log.", writer->lines);
    counter(out, "sundew_hit_lines_lost_total", "Lines that could not be written.", writer->lines_lost);
    counter(out, "sundew_ring_lost_hits_total", "Hits that found the ring full.", writer->ring_lost_hits);
    counter(out, "sundew_ring_lost_names_total", "Asked names (history) that found the ring full.", writer->ring_lost_asked);
    counter(out, "sundew_ring_lost_queries_total", "Lines of the query log that found the ring full.", writer->ring_lost_queries);
    counter(out, "sundew_query_lines_lost_total", "Lines of the query log that could not be written.", writer->query_lines_lost);
    counter(out, "sundew_ledger_lost_total", "Hits that the ledger could not take.", writer->ledger_lost);
    counter(out, "sundew_syslog_lines_total", "Lines given to syslog.", writer->syslog_sent);
    counter(out, "sundew_syslog_lines_lost_total", "Lines that syslog could not take.", writer->syslog_lost);
    counter(out, "sundew_dnstap_frames_total", "Frames given to the dnstap collector.", writer->dnstap_sent);
    counter(out, "sundew_dnstap_frames_lost_total", "Frames that the dnstap collector could not take.", writer->dnstap_lost);
    gauge(out, "sundew_infected_clients", "Machines in the ledger.", (double)writer->clients);
    gauge(out, "sundew_lease_holders", "Leases that are remembered: who held which address when.", (double)writer->lease_holders);
    counter(out, "sundew_leases_refused_total", "Leases not remembered, because there are too many.", writer->leases_refused);
    counter(out, "sundew_lease_lines_skipped_total", "Lines of the lease files that can't be read.", writer->lease_lines_skipped);
}

static void write_process(const struct process_figures *process, FILE *out) {
    const struct {
        const char *name, *type, *help;
        double figure;
    } figures[] = {
        {"process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", process->cpu_seconds},
        {"process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", process->resident_bytes},
        {"process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", process->virtual_bytes},
        {"process_open_fds", "gauge", "Number of open file descriptors.", process->open_fds},
        {"process_max_fds", "gauge", "Maximum number of open file descriptors.", process->max_fds},
        {"process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", process->start_seconds},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        if (figures[i].figure < 0)
            continue;
        head(out, figures[i].name, figures[i].type, figures[i].help);
        fprintf(out, "%s ", figures[i].name);
        write_figure(out, figures[i].figure);
    }
}

void metrics_write(const struct metrics_input *input, FILE *out) {
    head(out, "sundew_build_info", "gauge", "The running version.");
    labelled(out, "sundew_build_info", "version", SUNDEW_VERSION, 1);
    gauge(out, "sundew_uptime_seconds", "Time since the daemon started.", input->uptime_seconds);
    gauge(out, "sundew_workers", "Worker threads.", input->workers);
    gauge(out, "sundew_waiting_queries", "Queries that wait for upstream.", input->waiting);
    gauge(out, "sundew_feeder_up", "Whether the process that reads files and feeds runs.", input->feeder_running ? 1 : 0);
    counter(out, "sundew_feeder_restarts_total", "Times that it was started again.", input->feeder_restarts);
    write_queries(input, out);
    write_latency(input, out);
    write_policy(input, out);
    write_cache(input, out);
    write_upstreams(input, out);
    if (input->zones != NULL) {
        write_zones(input, out);
    }
    write_records(input, out);
    write_process(input->process, out);
}
