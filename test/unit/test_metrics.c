/* test/unit/test_metrics.c: what comes from outside can't break the exposition. */
#include "resolver/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static json_t *hits;

static char *written(const json_t *zones, const struct upstream_health *upstreams, size_t upstream_count) {
    static uint64_t counts[STAT_COUNT];
    static const struct cache_stats cache = {.entries = 3, .octets = 1024, .limit = 4096};
    static const struct writer_stats writer = {
        .hits = 7, .clients = 11, .lease_holders = 13, .leases_refused = 17, .lease_lines_skipped = 19};
    static const struct snapshot_stats snapshot = {.rules = 5};
    char *text = NULL;
    size_t length = 0;
    counts[STAT_QUERIES_UDP] = 12345678901ULL;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    struct metrics_input input = {.counts = counts,
                                  .cache = &cache,
                                  .writer = &writer,
                                  .snapshot = &snapshot,
                                  .snapshot_id = "0123456789abcdef",
                                  .upstreams = upstreams,
                                  .upstream_count = upstream_count,
                                  .zones = zones,
                                  .uptime_seconds = 1.5,
                                  .workers = 2};
    struct process_figures process = {.cpu_seconds = 1.1, .open_fds = -1};
    input.process = &process;
    input.hits = hits;
    metrics_write(&input, out);
    fclose(out);
    return text;
}

static void counts_are_exact(void **state) {
    char *text = written(NULL, NULL, 0);
    assert_non_null(strstr(text, "\nsundew_queries_total{transport=\"udp\"} 12345678901\n"));
    assert_non_null(strstr(text, "\nsundew_hit_records_total 7\n"));
    assert_non_null(strstr(text, "\nsundew_infected_clients 11\n"));
    assert_non_null(strstr(text, "\nsundew_lease_holders 13\n"));
    assert_non_null(strstr(text, "\nsundew_leases_refused_total 17\n"));
    assert_non_null(strstr(text, "\nsundew_lease_lines_skipped_total 19\n"));
    assert_non_null(strstr(text, "\nsundew_snapshot_info{id=\"0123456789abcdef\"} 1\n"));
    free(text);
}

static void hostile_zone_names_stay_inside_their_label(void **state) {
    json_t *zones =
        json_pack("[{s:s, s:i, s:b, s:n}]", "name", "a\"} 1\nevil 2 \\ \x1b[31m \xc3\xa4", "rules", 9, "stale", 1, "error");
    char *text = written(zones, NULL, 0);
    assert_non_null(strstr(text, "sundew_zone_rules{zone=\"a\\\"} 1\\\\010evil 2 \\\\ \\\\027[31m \xc3\xa4\"} 9\n"));
    assert_null(strstr(text, "\nevil"));
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "sundew_zone_stale{zone=\"a"));
    json_decref(zones);
    free(text);
}

static void hostile_families_stay_inside_their_label(void **state) {
    hits = json_pack("{s:[], s:[{s:s, s:i}, {s:s, s:i}]}", "zones", "families", "family", "a\xe2\x80\xae\"\n", "hits", 2, "family",
                     "\xc3\xb6\xf0\x9f\xa6\xa0\xc2\x9b", "hits", 3);
    char *text = written(NULL, NULL, 0);
    assert_non_null(strstr(text, "\nsundew_family_hits_total{family=\"a\\\\226\\\\128\\\\174\\\"\\\\010\"} 2\n"));
    assert_non_null(strstr(text, "\nsundew_family_hits_total{family=\"\xc3\xb6\xf0\x9f\xa6\xa0\\\\194\\\\155\"} 3\n"));
    json_decref(hits);
    hits = NULL;
    free(text);
}

static unsigned count(const char *text, const char *part) {
    unsigned found = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        found++;
    return found;
}

/* Two series with the same labels cost the whole scrape. */
static void no_series_comes_twice(void **state) {
    struct upstream_health servers[3] = {{.up = true, .rtt_us = 1500, .zone = {.length = 1}, .text = "dns://192.0.2.1"},
                                         {.up = true, .zone = {.length = 1}, .text = "dns://192.0.2.2"}};
    servers[2] = servers[0];
    char *text = written(NULL, servers, 3);
    assert_int_equal(count(text, "sundew_upstream_up{server=\"dns://192.0.2.1\",zone=\".\"}"), 1);
    assert_int_equal(count(text, "sundew_upstream_up{server=\"dns://192.0.2.2\",zone=\".\"}"), 1);
    assert_int_equal(count(text, "sundew_upstream_rtt_seconds{server=\"dns://192.0.2.2\""), 0); /* not known */
    assert_int_equal(count(text, "process_open_fds"), 0);
    assert_int_equal(count(text, "\nprocess_cpu_seconds_total 1.1\n"), 1);
    free(text);
}

static void long_names_are_labels(void **state) {
    struct upstream_health server = {.up = true, .rtt_us = 1500, .zone = {.length = 1}};
    memset(server.text, 'x', sizeof server.text - 1);
    char *text = written(NULL, &server, 1);
    assert_non_null(strstr(text, "xx\",zone=\".\"} 0.0015"));
    free(text);
}

/* Who sees it change by a second now and then, with the fractions of two clocks, takes that for a new start each time. */
static void the_start_stays_where_it_is(void **state) {
    struct process_figures first, again;
    process_figures(&first);
    assert_true(first.start_seconds > (double)time(NULL) - 600 && first.start_seconds < (double)time(NULL) + 2);
    for (int i = 0; i < 11; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        process_figures(&again);
        assert_true(again.start_seconds == first.start_seconds);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(hostile_zone_names_stay_inside_their_label),
        cmocka_unit_test(hostile_families_stay_inside_their_label),
        cmocka_unit_test(no_series_comes_twice),
        cmocka_unit_test(long_names_are_labels),
        cmocka_unit_test(the_start_stays_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
