/* test/unit/test_metrics.c: what comes from outside can't break the exposition. */
#include "resolver/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *written(const json_t *zones, const struct upstream_health *upstreams, size_t upstream_count) {
    static uint64_t counts[STAT_COUNT];
    static const struct cache_stats cache = {.entries = 3, .octets = 1024, .limit = 4096};
    static const struct writer_stats writer = {.hits = 7};
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
    metrics_write(&input, out);
    fclose(out);
    return text;
}

static void counts_are_exact(void **state) {
    char *text = written(NULL, NULL, 0);
    assert_non_null(strstr(text, "\nsundew_queries_total{transport=\"udp\"} 12345678901\n"));
    assert_non_null(strstr(text, "\nsundew_hit_records_total 7\n"));
    assert_non_null(strstr(text, "\nsundew_snapshot_info{id=\"0123456789abcdef\"} 1\n"));
    free(text);
}

static void hostile_zone_names_stay_inside_their_label(void **state) {
    json_t *zones =
        json_pack("[{s:s, s:i, s:b, s:n}]", "name", "a\"} 1\nevil 2 \\ \x1b[31m \xc3\xa4", "rules", 9, "stale", 1, "error");
    char *text = written(zones, NULL, 0);
    assert_non_null(strstr(text, "sundew_zone_rules{zone=\"a\\\"} 1\\nevil 2 \\\\ ?[31m ??\"} 9\n"));
    assert_null(strstr(text, "\nevil"));
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "sundew_zone_stale{zone=\"a"));
    json_decref(zones);
    free(text);
}

static void long_labels_are_cut(void **state) {
    struct upstream_health server = {.up = true, .rtt_us = 1500, .zone = {.length = 1}};
    memset(server.text, 'x', sizeof server.text - 1);
    char *text = written(NULL, &server, 1);
    assert_non_null(strstr(text, "xx\",zone=\".\"} 0.0015"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(hostile_zone_names_stay_inside_their_label),
        cmocka_unit_test(long_labels_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
