/* test/unit/feeds_store.c: a store gives back what was put in, and a damaged one is refused, never a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feeds/store.h"
#include "feeds/window.h"

static char folder[] = "/tmp/sundew-store-XXXXXX";
static char a[64], b[64], c[64];

static int setup(void **state) {
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(a, sizeof a, "%s/a", folder);
    snprintf(b, sizeof b, "%s/b", folder);
    snprintf(c, sizeof c, "%s/c", folder);
    return 0;
}

static int teardown(void **state) {
    unlink(a);
    unlink(b);
    unlink(c);
    return rmdir(folder);
}

static struct indicator domain(const char *name, const char *id, int64_t version) {
    struct indicator indicator = {.rule = {.trigger = TRIGGER_DOMAIN,
                                           .match = MATCH_COUNT,
                                           .action = RULE_ACTION_UNSET,
                                           .ttl = RULE_TTL_UNSET,
                                           .confidence = RULE_CONFIDENCE_UNSET,
                                           .last_seen = version},
                                  .id = id};
    assert_int_equal(name_from_text(&indicator.rule.name, name, strlen(name), NULL), 0);
    return indicator;
}

static void test_round_trip(void **state) {
    struct store_writer *writer;
    struct store_reader *reader;
    struct store_record record;
    struct indicator full = domain("c2.evil.test", "1956272", 1700000000);
    full.rule.match = MATCH_EXACT;
    full.rule.action = ACTION_CNAME;
    full.rule.ttl = 0;
    full.rule.confidence = 0;
    full.rule.family = "A, B";
    full.rule.reference = "https://example.org/1";
    full.rule.first_seen = -1;
    full.rule.expires = INT64_MAX;
    full.rule.target = "*.garden.example";
    full.rule.line = 4000000000u;
    full.threat_type = "botnet_cc";
    full.family_id = "win.a";
    full.compromised = full.from_url = true;
    struct indicator address = {.rule = {.trigger = TRIGGER_IP, .action = ACTION_LOCAL, .ttl = 7, .records = "1 IN A 192.0.2.1\n"}};
    assert_int_equal(prefix_from_text(&address.rule.prefix, "203.0.113.0/24", 14, false, NULL), 0);
    struct format_head head = {
        .zone = "z", .action = 3, .ttl = -1, .match = -1, .confidence = 60, .mode = -1, .min_confidence = -1, .max_age = 86400};
    assert_int_equal(store_create(&writer, a), 0);
    assert_int_equal(store_put(writer, &full, 42), 0);
    assert_int_equal(store_put_fault(writer, 3, 9, "rules[1]", "not a name"), 0);
    assert_int_equal(store_put(writer, &address, 43), 0);
    assert_int_equal(store_put_head(writer, &head), 0);
    store_put_ignored(writer, 5);
    assert_int_equal(access(a, F_OK), -1);
    assert_int_equal(store_commit(writer, true), 0);

    assert_int_equal(store_open(&reader, a), 0);
    assert_int_equal(store_counts(reader).rules, 2);
    assert_int_equal(store_counts(reader).faults, 1);
    assert_int_equal(store_counts(reader).ignored, 5);
    assert_string_equal(store_head(reader)->zone, "z");
    assert_null(store_head(reader)->target);
    assert_int_equal(store_head(reader)->max_age, 86400);
    assert_int_equal(store_next(reader, &record), STORE_RULE);
    const struct rule *rule = &record.indicator.rule;
    assert_true(name_equal(&rule->name, &full.rule.name));
    assert_int_equal(rule->name.labels, 3);
    assert_int_equal(rule->match, MATCH_EXACT);
    assert_int_equal(rule->ttl, 0);
    assert_int_equal(rule->confidence, 0);
    assert_string_equal(rule->family, "A, B");
    assert_string_equal(rule->target, "*.garden.example");
    assert_int_equal(rule->first_seen, -1);
    assert_int_equal(rule->expires, INT64_MAX);
    assert_int_equal(rule->line, 4000000000u);
    assert_string_equal(record.indicator.id, "1956272");
    assert_true(record.indicator.compromised && record.indicator.from_url && !record.indicator.not_to_ids);
    assert_int_equal(record.carried, 42);
    assert_int_equal(store_next(reader, &record), STORE_FAULT);
    assert_string_equal(record.message, "not a name");
    assert_int_equal(store_next(reader, &record), STORE_RULE);
    assert_string_equal(record.indicator.rule.records, "1 IN A 192.0.2.1\n");
    assert_int_equal(record.indicator.rule.prefix.length, 120);
    assert_null(record.indicator.rule.family);
    assert_int_equal(store_next(reader, &record), STORE_END);
    store_close(reader);
}

/* Every octet of a small store flipped, and the file cut at every length: an error or the same content, never anything else. */
static void test_damage(void **state) {
    uint8_t good[4096], bad[4096];
    struct store_counts counts;
    int fd = open(a, O_RDONLY);
    ssize_t length = read(fd, good, sizeof good);
    close(fd);
    assert_in_range(length, 64, sizeof good - 1);
    for (ssize_t at = 0; at < length * 2; at++) {
        ssize_t size = at < length ? length : at - length;
        memcpy(bad, good, sizeof good);
        if (at < length)
            bad[at] ^= 0x41;
        fd = open(b, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, bad, (size_t)size), size);
        close(fd);
        int error = store_verify(b, &counts);
        /* counts in the header and unused octets aren't under a checksum: they can't mislead a reader into bad memory */
        if (at >= 64)
            assert_int_not_equal(error, 0);
    }
}

static void test_blocks(void **state) {
    struct store_writer *writer;
    struct store_counts counts;
    char name[64], *records = malloc(300000);
    memset(records, 'x', 299999);
    records[299999] = '\0';
    assert_int_equal(store_create(&writer, a), 0);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        struct indicator indicator = domain(name, NULL, 0);
        indicator.rule.records = i == 10000 ? records : NULL; /* larger than a block */
        assert_int_equal(store_put(writer, &indicator, 1), 0);
    }
    assert_int_equal(store_commit(writer, false), 0);
    assert_int_equal(store_verify(a, &counts), 0);
    assert_int_equal(counts.rules, 20000);
    free(records);
}

static void write_store(const char *path, const struct indicator *indicators, size_t count, int64_t carried) {
    struct store_writer *writer;
    assert_int_equal(store_create(&writer, path), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(store_put(writer, &indicators[i], carried), 0);
    assert_int_equal(store_commit(writer, false), 0);
}

/* The names in a store, in order, joined by blanks. */
static const char *names_in(const char *path) {
    static char text[512];
    char name[NAME_TEXT_MAX];
    struct store_reader *reader;
    struct store_record record;
    text[0] = '\0';
    assert_int_equal(store_open(&reader, path), 0);
    while (store_next(reader, &record) == STORE_RULE) {
        name_to_text(record.indicator.rule.name.wire, name);
        strcat(text, text[0] == '\0' ? "" : " ");
        strcat(text, name);
    }
    store_close(reader);
    return text;
}

static void test_window(void **state) {
    struct indicator old[] = {domain("a.x", "1", 0), domain("b.x", "2", 0), domain("c.x", NULL, 0), domain("old.x", "9", 10)};
    struct indicator fresh[] = {domain("a2.x", "1", 0), domain("c.x", NULL, 0), {.id = "2", .revoked = true}};
    write_store(a, old, 4, 100);
    write_store(b, fresh, 3, 200);
    assert_int_equal(window_merge(a, b, c, false, 50), 0);
    assert_string_equal(names_in(c), "old.x a2.x c.x");
    assert_int_equal(window_merge(a, b, c, false, 150), 0);
    assert_string_equal(names_in(c), "a2.x c.x");
    assert_int_equal(window_merge(NULL, b, c, false, 50), 0);
    assert_string_equal(names_in(c), "a2.x c.x");
    assert_int_equal(window_merge("/nonexistent", b, c, false, 50), 0);
}

static void test_versions(void **state) {
    struct indicator old[] = {domain("new.x", "1", 20), domain("b.x", "2", 5)};
    struct indicator fresh[] = {domain("late.x", "1", 10), domain("b1.x", "2", 6), domain("b2.x", "2", 7), domain("b3.x", "2", 7)};
    write_store(a, old, 2, 100);
    write_store(b, fresh, 4, 200);
    assert_int_equal(window_merge(a, b, c, true, 0), 0);
    assert_string_equal(names_in(c), "new.x b2.x b3.x");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_blocks), cmocka_unit_test(test_window),
                                       cmocka_unit_test(test_versions)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
