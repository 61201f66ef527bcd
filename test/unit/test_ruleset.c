/* test/unit/test_ruleset.c: what goes into a ruleset comes out of its snapshot: duplicates joined, faults named, odd rules kept
 * whole. */
#include <errno.h>

#include "policy_build.h"

static struct rule domain_rule(const char *name, const char *family, uint8_t confidence) {
    return (struct rule){
        .trigger = TRIGGER_DOMAIN,
        .name = build_name(name),
        .match = MATCH_SUBTREE,
        .action = ACTION_LOOPBACK,
        .ttl = 300,
        .family = family,
        .confidence = confidence,
    };
}

static void add(struct ruleset *rules, int zone, struct rule rule) {
    const char *why = NULL;
    if (ruleset_add(rules, zone, &rule, &why) != 0)
        fail_msg("ruleset_add: %s", why);
}

static struct verdict ask(const struct snapshot *snapshot, const char *text) {
    struct name name = build_name(text);
    struct name_key key;
    struct verdict verdict;
    build_key(&key, &name);
    match_query(snapshot, &key, NULL, 0, &verdict);
    return verdict;
}

static void info_of(const struct snapshot *snapshot, const char *text, struct rule_info *info) {
    struct verdict verdict = ask(snapshot, text);
    assert_true(verdict.decided);
    assert_int_equal(snapshot_rule(snapshot, verdict.decision.rule, info), 0);
}

static void test_joined(void **state) {
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "feed", MODE_ENFORCE, NULL);
    int other = build_zone(rules, "other", MODE_ENFORCE, NULL);
    add(rules, zone, domain_rule("two.example", "Emotet", 50));
    add(rules, zone, domain_rule("two.example", "QakBot", 90));
    add(rules, zone, domain_rule("two.example", "Emotet", 40));
    add(rules, zone, domain_rule("two.example", NULL, 95));
    add(rules, zone, domain_rule("tie.example", "First", 50));
    add(rules, zone, domain_rule("tie.example", "Second, First", 50));
    add(rules, other, domain_rule("tie.example", "Elsewhere", 100));
    struct rule address = {.trigger = TRIGGER_IP, .prefix = build_prefix("203.0.113.7"), .family = "A", .confidence = 1};
    add(rules, zone, address);
    address.family = "B";
    address.confidence = 2;
    add(rules, zone, address);
    assert_int_equal(ruleset_count(rules), 9);
    struct snapshot *snapshot = build_snapshot(rules);
    struct rule_info info;
    info_of(snapshot, "two.example", &info);
    assert_string_equal(info.family, "QakBot, Emotet");
    assert_int_equal(info.confidence, 95);
    info_of(snapshot, "tie.example", &info);
    assert_string_equal(info.family, "First, Second");
    assert_string_equal(info.zone_name, "feed");
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    assert_int_equal(stats.rules, 4);
    struct ip hit = build_ip("203.0.113.7");
    struct name name = build_name("x");
    struct name_key key;
    struct verdict verdict;
    build_key(&key, &name);
    match_answer(snapshot, &key, true, &hit, 1, NULL, 0, &verdict);
    assert_int_equal(snapshot_rule(snapshot, verdict.decision.rule, &info), 0);
    assert_string_equal(info.family, "B, A");
    snapshot_unref(snapshot);
}

static void assert_fault(struct ruleset *rules, struct rule rule, const char *expected) {
    const char *why = NULL;
    for (int i = 0; i < 2; i++) { /* the second time it is known */
        assert_int_equal(ruleset_add(rules, 0, &rule, &why), -EINVAL);
        if (expected != NULL)
            assert_string_equal(why, expected);
        else
            assert_non_null(why);
    }
}

static void test_faults(void **state) {
    struct ruleset *rules = build_rules();
    build_zone(rules, "z", MODE_ENFORCE, NULL);
    struct rule rule = domain_rule("x.example", NULL, 0);
    rule.action = ACTION_CNAME;
    assert_fault(rules, rule, "action \"cname\" without target");
    rule.target = "a..b";
    assert_fault(rules, rule, "empty label");
    rule.action = ACTION_LOCAL;
    assert_fault(rules, rule, "action \"local\" without records");
    rule.records = "300 IN A 192.0.2.300";
    assert_fault(rules, rule, NULL);
    rule.records = "300 IN A 192.0.2.1\n300 CH TXT \"x\"";
    assert_fault(rules, rule, "record's class is not IN");
    rule.records = "300 IN CNAME x.example.";
    assert_fault(rules, rule, "CNAME and DNAME can't stand among records: use action \"cname\"");
    rule.action = RULE_ACTION_UNSET;
    assert_fault(rules, rule, "no such action");
    rule = domain_rule("x.example", NULL, 0);
    rule.match = MATCH_COUNT;
    assert_fault(rules, rule, "no such match");
    const char *why = NULL;
    rule = domain_rule("x.example", NULL, 0);
    assert_int_equal(ruleset_add(rules, 1, &rule, &why), -EINVAL);
    assert_int_equal(ruleset_add(rules, -1, &rule, &why), -EINVAL);
    /* not enforced here, so not kept */
    rule.trigger = TRIGGER_NAMESERVER;
    assert_int_equal(ruleset_add(rules, 0, &rule, &why), 0);
    assert_int_equal(ruleset_count(rules), 0);
    struct snapshot *snapshot = build_snapshot(rules);
    assert_true(ask(snapshot, "x.example").blank);
    snapshot_unref(snapshot);
}

static void test_references(void **state) {
    static const char *const REFERENCES[] = {
        "https://threatfox.example/ioc/1956272/",
        "https://example.org/report/7",
        "https://example.org/0",
        "https://example.org/007",
        "https://example.org/9999999999999999999",
        "https://example.org/99999999999999999999/x",
        "no digits",
        "18",
        "",
        "https://example.org/2026-11-22/a.html",
    };
    enum { COUNT = sizeof REFERENCES / sizeof *REFERENCES };
    char long_one[2000];
    memset(long_one, 'x', sizeof long_one);
    long_one[sizeof long_one - 2] = '7';
    long_one[sizeof long_one - 1] = '\0';
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "z", MODE_ENFORCE, NULL);
    for (int i = 0; i <= COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "r%d.example", i);
        struct rule rule = domain_rule(name, NULL, 0);
        rule.reference = i < COUNT ? REFERENCES[i] : long_one;
        add(rules, zone, rule);
    }
    struct snapshot *snapshot = build_snapshot(rules);
    for (int i = 0; i <= COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "r%d.example", i);
        struct rule_info info;
        info_of(snapshot, name, &info);
        const char *expected = i < COUNT ? REFERENCES[i] : long_one;
        if (*expected == '\0')
            assert_null(info.reference);
        else
            assert_string_equal(info.reference, expected);
    }
    snapshot_unref(snapshot);
}

/* More rules for one name than a plain bucket holds, and names whose code is longer than its lengths can say. */
static void test_wide(void **state) {
    enum { ZONES = 400 };
    struct ruleset *rules = build_rules();
    char longest[NAME_TEXT_MAX] = "";
    for (int i = 0; i < 62; i++)
        strcat(longest, "\\255\\254\\253.");
    for (int i = 0; i < ZONES; i++) {
        char zone[16];
        snprintf(zone, sizeof zone, "z%d", i);
        build_zone(rules, zone, i < ZONES - 1 ? MODE_MONITOR : MODE_ENFORCE, NULL);
    }
    for (int i = ZONES - 1; i >= 0; i--) {
        struct rule rule = domain_rule("crowded.example", NULL, 0);
        rule.line = (uint32_t)i + 1;
        rule.expires = i % 2 ? 5000 : 0;
        add(rules, i, rule);
    }
    add(rules, 7, domain_rule(longest, "Long", 0));
    add(rules, 7, domain_rule("plain.example", "Plain", 0));
    struct snapshot *snapshot = build_snapshot(rules);
    struct verdict verdict = ask(snapshot, "www.crowded.example");
    assert_true(verdict.decided);
    assert_int_equal(verdict.decision.zone, ZONES - 1);
    assert_int_equal(verdict.monitors, MATCH_MONITORS_MAX);
    for (uint32_t i = 0; i < MATCH_MONITORS_MAX; i++) {
        struct rule_info info;
        assert_int_equal(verdict.monitor[i].zone, i);
        assert_int_equal(snapshot_rule(snapshot, verdict.monitor[i].rule, &info), 0);
        assert_int_equal(info.line, i + 1);
        assert_int_equal(info.expires, i % 2 ? 5000 : 0);
        assert_string_equal(info.text, "crowded.example");
    }
    verdict = ask(snapshot, longest);
    assert_int_equal(verdict.monitors, 1);
    struct rule_info info;
    assert_int_equal(snapshot_rule(snapshot, verdict.monitor[0].rule, &info), 0);
    assert_string_equal(info.family, "Long");
    assert_memory_equal(info.text, longest, strlen(info.text));
    assert_int_equal(ask(snapshot, "plain.example").monitors, 1);
    assert_true(ask(snapshot, "example").blank);
    snapshot_unref(snapshot);
}

static void test_many_zones(void **state) {
    struct ruleset *rules = build_rules();
    for (int i = 0; i < 65000; i++)
        assert_int_equal(ruleset_add_zone(rules, &(struct ruleset_zone){.name = "z"}), i);
    assert_int_equal(ruleset_add_zone(rules, &(struct ruleset_zone){.name = "z"}), -E2BIG);
    add(rules, 64999, domain_rule("x.example", NULL, 0));
    struct snapshot *snapshot = build_snapshot(rules);
    assert_int_equal(ask(snapshot, "x.example").decision.zone, 64999);
    snapshot_unref(snapshot);
}

/* Enough rules for every pass of the sort: each comes out under its own name, and those of one name as one. */
static void test_many_names(void **state) {
    enum { COUNT = 150000, SAME = 500 };
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "z", MODE_ENFORCE, NULL);
    char text[64];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "n%u.example", i);
        struct rule rule = domain_rule(i % (COUNT / SAME) == 0 ? "same.example" : text, i < COUNT / 2 ? "Early" : "Late", 50);
        rule.line = i + 1;
        add(rules, zone, rule);
    }
    struct snapshot *snapshot = build_snapshot(rules);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    assert_int_equal(stats.rules, COUNT - SAME + 1);
    struct rule_info info;
    for (uint32_t i = 1; i < COUNT; i += 7) {
        if (i % (COUNT / SAME) == 0)
            continue;
        snprintf(text, sizeof text, "n%u.example", i);
        info_of(snapshot, text, &info);
        assert_int_equal(info.line, i + 1);
        assert_string_equal(info.text, text);
    }
    info_of(snapshot, "same.example", &info);
    assert_int_equal(info.line, 1);
    assert_string_equal(info.family, "Early, Late");
    snapshot_unref(snapshot);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined), cmocka_unit_test(test_faults),     cmocka_unit_test(test_references),
        cmocka_unit_test(test_wide),   cmocka_unit_test(test_many_zones), cmocka_unit_test(test_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
