/* test/unit/feeds_choice.c: what a zone chooses, what the guard refuses, when a feed is asked again, and what of a URL may be
 * shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feeds/guard.h"
#include "feeds/redact.h"
#include "feeds/schedule.h"
#include "feeds/select.h"

static const char options_text[] =
    "{\"listen\": [\"dns://127.0.0.1:5300\"], \"forward\": [{\"zone\": \".\", \"to\": [\"dns://198.51.100.53\"]}],"
    " \"policy\": {\"never_block\": [\"corp.example\"], \"sinkhole\": {\"ipv4\": \"192.0.2.66\"}},"
    " \"zones\": [{\"name\": \"a\", \"source\": \"https://feeds.example/x\", \"format\": \"threatfox\"%s}]}";

static struct config *configure(const char *extra) {
    char text[1024];
    int length = snprintf(text, sizeof text, options_text, extra);
    struct config *config = config_parse("/etc/sundew.json", text, (size_t)length, NULL, NULL);
    assert_non_null(config);
    return config;
}

static struct indicator indicator_of(const char *name) {
    struct indicator indicator = {.rule = {.trigger = TRIGGER_DOMAIN,
                                           .match = MATCH_COUNT,
                                           .action = RULE_ACTION_UNSET,
                                           .ttl = RULE_TTL_UNSET,
                                           .confidence = RULE_CONFIDENCE_UNSET}};
    assert_int_equal(name_from_text(&indicator.rule.name, name, strlen(name), NULL), 0);
    return indicator;
}

static enum selected choose(const char *extra, enum format format, struct indicator *indicator) {
    struct config *config = configure(extra);
    struct selection selection = {.config = config,
                                  .zone = &config->zones[0],
                                  .format = format,
                                  .feed = true,
                                  .window = format_is_window(format),
                                  .now = 1000000,
                                  .fetched_at = 1000000,
                                  .body_at = 1000000};
    enum selected selected = select_rule(&selection, indicator, 1000000);
    config_unref(config);
    return selected;
}

static void test_choices(void **state) {
    struct indicator plain = indicator_of("a.example"), one = plain;
    one.threat_type = "payload";
    assert_int_equal(choose("", FORMAT_THREATFOX, &one), SELECT_THREAT_TYPE);
    one = plain;
    one.threat_type = "payload";
    assert_int_equal(choose(", \"threat_types\": [\"PAYLOAD\"]", FORMAT_THREATFOX, &one), SELECT_TAKEN);
    one = plain;
    one.compromised = true;
    assert_int_equal(choose(", \"exclude_compromised\": true", FORMAT_THREATFOX, &one), SELECT_COMPROMISED);
    one = plain;
    one.not_to_ids = true;
    assert_int_equal(choose("", FORMAT_MISP, &one), SELECT_TO_IDS);
    assert_int_equal(choose(", \"to_ids\": false", FORMAT_MISP, &one), SELECT_TAKEN);
    one = plain;
    one.rule.family = "Cobalt Strike";
    one.family_id = "win.cobalt_strike";
    assert_int_equal(choose(", \"families\": [\"WIN.cobalt_strike\"]", FORMAT_MISP, &one), SELECT_TAKEN);
    assert_int_equal(choose(", \"exclude_families\": [\"cobalt strike\"]", FORMAT_MISP, &one), SELECT_FAMILY);
    assert_int_equal(choose(", \"families\": [\"cobalt\"]", FORMAT_MISP, &one), SELECT_FAMILY);
    one = indicator_of("dl.dropbox.com");
    one.from_url = true;
    assert_int_equal(choose("", FORMAT_URLHAUS, &one), SELECT_URL);
    assert_int_equal(choose(", \"urls\": \"hosts\"", FORMAT_URLHAUS, &one), SELECT_SHARED);
    one = indicator_of("bad.example");
    one.from_url = true;
    assert_int_equal(choose(", \"urls\": \"hosts\"", FORMAT_URLHAUS, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.match, MATCH_EXACT);
}

static void test_confidence(void **state) {
    struct indicator one = indicator_of("a.example");
    one.rule.confidence = 74;
    assert_int_equal(choose(", \"min_confidence\": 75", FORMAT_THREATFOX, &one), SELECT_CONFIDENCE);
    one.rule.confidence = 75;
    assert_int_equal(choose(", \"min_confidence\": 75", FORMAT_THREATFOX, &one), SELECT_TAKEN);
    one.rule.confidence = RULE_CONFIDENCE_UNSET;
    assert_int_equal(choose(", \"confidence\": 40, \"min_confidence\": 50", FORMAT_OTX, &one), SELECT_CONFIDENCE);
    one.rule.confidence = RULE_CONFIDENCE_UNSET;
    assert_int_equal(choose(", \"min_confidence\": 50", FORMAT_OTX, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.confidence, 50);
}

static void test_defaults_and_overrides(void **state) {
    struct indicator one = indicator_of("a.example");
    assert_int_equal(choose("", FORMAT_THREATFOX, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.action, ACTION_LOOPBACK);
    assert_int_equal(one.rule.ttl, RULE_TTL_MAX);
    assert_int_equal(one.rule.match, MATCH_SUBTREE);
    one = indicator_of("a.example");
    one.rule.action = ACTION_NODATA;
    assert_int_equal(choose(", \"action\": \"nxdomain\"", FORMAT_SUNDEW, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.action, ACTION_NODATA);
    one.rule.match = MATCH_BELOW;
    assert_int_equal(choose(", \"action\": \"nxdomain\", \"match\": \"exact\"", FORMAT_RPZ, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.action, ACTION_NXDOMAIN);
    assert_int_equal(one.rule.match, MATCH_BELOW);
    one.rule.action = ACTION_PASSTHRU;
    assert_int_equal(choose(", \"action\": \"nxdomain\"", FORMAT_RPZ, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.action, ACTION_PASSTHRU);
    one = indicator_of("a.example");
    one.allow = true;
    assert_int_equal(choose(", \"action\": \"nxdomain\"", FORMAT_ADBLOCK, &one), SELECT_TAKEN);
    assert_int_equal(one.rule.action, ACTION_PASSTHRU);
    one = indicator_of("a.example");
    one.rule.action = ACTION_CNAME;
    assert_int_equal(choose("", FORMAT_SUNDEW, &one), SELECT_INCOMPLETE);
    assert_int_equal(choose(", \"target\": \"garden.example\"", FORMAT_SUNDEW, &one), SELECT_TAKEN);
}

static void test_whose_target(void **state) {
    static const char zone[] = ", \"action\": \"cname\", \"target\": \"garden.example\"";
    static const struct {
        enum format format;
        int action;
        const char *own, *expected;
    } cases[] = {
        {FORMAT_SUNDEW, RULE_ACTION_UNSET, NULL, "garden.example"},
        {FORMAT_SUNDEW, RULE_ACTION_UNSET, "own.example", "own.example"},
        {FORMAT_SUNDEW, ACTION_CNAME, "own.example", "own.example"},
        {FORMAT_SUNDEW, ACTION_CNAME, NULL, "garden.example"},
        {FORMAT_RPZ, ACTION_CNAME, "own.example", "garden.example"}, /* as BIND's policy does */
        {FORMAT_SUNDEW, ACTION_NODATA, NULL, NULL},
    };
    struct config *config = configure(zone);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct selection selection = {.config = config, .zone = &config->zones[0], .format = cases[i].format, .now = 5000};
        struct indicator one = indicator_of("a.example");
        one.rule.action = (enum action)cases[i].action;
        one.rule.target = cases[i].own;
        assert_int_equal(select_rule(&selection, &one, 0), SELECT_TAKEN);
        if (cases[i].expected != NULL)
            assert_string_equal(one.rule.target, cases[i].expected);
        else
            assert_null(one.rule.target);
    }
    config_unref(config);
}

static void test_ages(void **state) {
    struct config *config = configure(", \"max_age\": 100");
    struct selection selection = {.config = config,
                                  .zone = &config->zones[0],
                                  .format = FORMAT_THREATFOX,
                                  .feed = true,
                                  .window = true,
                                  .now = 5000,
                                  .fetched_at = 2000,
                                  .body_at = 1500};
    struct indicator one = indicator_of("a.example");
    one.rule.first_seen = 1;
    assert_int_equal(select_rule(&selection, &one, 1500), SELECT_TAKEN); /* in the body that was found unchanged at 2000 */
    assert_int_equal(select_rule(&selection, &one, 1499), SELECT_EXPIRED);
    one.rule.last_seen = 1900;
    assert_int_equal(select_rule(&selection, &one, 1499), SELECT_TAKEN);
    assert_int_equal(select_ages_at(&selection, &one, 1499), 2001);
    assert_true(select_ages_at(&selection, &one, 1500) == INT64_MAX);
    one.rule.last_seen = 999999; /* the future: as if now */
    assert_int_equal(select_ages_at(&selection, &one, 1499), 5101);
    one.rule.expires = 4999;
    assert_int_equal(select_rule(&selection, &one, 1500), SELECT_EXPIRED);

    selection.feed = selection.window = false;
    one = indicator_of("a.example");
    one.rule.first_seen = 4950;
    assert_int_equal(select_rule(&selection, &one, 0), SELECT_TAKEN);
    assert_int_equal(one.rule.expires, 5050);
    one.rule.expires = 0;
    one.rule.last_seen = 4900;
    assert_int_equal(select_rule(&selection, &one, 0), SELECT_EXPIRED);
    config_unref(config);
}

static const char *refused(struct guard *guard, const char *text, enum match match) {
    struct indicator indicator = indicator_of(text);
    indicator.rule.match = match;
    indicator.rule.action = ACTION_LOOPBACK;
    return guard_refuses(guard, &indicator.rule);
}

static const char *refused_ip(struct guard *guard, const char *text) {
    struct rule rule = {.trigger = TRIGGER_IP, .action = ACTION_LOOPBACK};
    assert_int_equal(prefix_from_text(&rule.prefix, text, strlen(text), true, NULL), 0);
    return guard_refuses(guard, &rule);
}

static struct guard *guarded(void) {
    struct guard *guard = guard_new(77);
    struct config *config = configure("");
    char path[] = "/tmp/sundew-psl-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    fputs("// a comment\ncom\nexample\nco.uk\n*.ck\n!www.ck\ngithub.io\ns3.amazonaws.com\n\xe9\xa6\x99\xe6\xb8\xaf\n", file);
    fclose(file);
    assert_int_equal(guard_load_suffixes(guard, path), 0);
    unlink(path);
    assert_int_equal(guard_add_config(guard, config), 0);
    config_unref(config);
    return guard;
}

static void test_guard_names(void **state) {
    struct guard *guard = guarded();
    static const char *const bad[] = {".",        "com",          "anything",          "co.uk",         "github.io",
                                      "foo.ck",   "localhost",    "a.localhost",       "in-addr.arpa",  "2.0.192.in-addr.arpa",
                                      "ip6.arpa", "corp.example", "deep.corp.example", "feeds.example", "x.feeds.example"};
    static const char *const good[] = {"evil.co.uk", "me.github.io", "www.ck", "a.b.ck", "amazonaws.com", "notcorp.example"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (refused(guard, bad[i], MATCH_SUBTREE) == NULL)
            fail_msg("%s was not refused", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (refused(guard, good[i], MATCH_SUBTREE) != NULL)
            fail_msg("%s was refused: %s", good[i], refused(guard, good[i], MATCH_SUBTREE));
    assert_non_null(refused(guard, "github.io", MATCH_BELOW));
    struct indicator pass = indicator_of("com");
    pass.rule.action = ACTION_PASSTHRU;
    assert_null(guard_refuses(guard, &pass.rule));
    struct name name = indicator_of("only.example").rule.name;
    assert_int_equal(guard_add_name(guard, &name, true, GUARD_NEVER_BLOCK), 0);
    assert_non_null(refused(guard, "only.example", MATCH_EXACT));
    assert_null(refused(guard, "only.example", MATCH_BELOW));
    assert_null(refused(guard, "x.only.example", MATCH_SUBTREE));
    guard_free(guard);
}

static void test_guard_addresses(void **state) {
    struct guard *guard = guarded();
    assert_non_null(refused_ip(guard, "0.0.0.0/0"));
    assert_non_null(refused_ip(guard, "64.0.0.0/7"));
    assert_null(refused_ip(guard, "10.0.0.0/8"));
    assert_null(refused_ip(guard, "127.0.0.0/8"));
    assert_non_null(refused_ip(guard, "::/0"));
    assert_null(refused_ip(guard, "2001:db8::/32"));
    assert_non_null(refused_ip(guard, "198.51.100.53"));
    assert_null(refused_ip(guard, "198.51.100.0/24"));
    assert_non_null(refused_ip(guard, "192.0.2.66"));
    struct prefix prefix;
    for (int i = 0; i < 3000; i++) {
        char text[32];
        snprintf(text, sizeof text, "100.%d.%d.0/24", i >> 8, i & 255);
        assert_int_equal(prefix_from_text(&prefix, text, strlen(text), false, NULL), 0);
        assert_int_equal(guard_add_prefix(guard, &prefix, GUARD_NEVER_BLOCK), 0);
    }
    assert_non_null(refused_ip(guard, "100.11.100.7"));
    assert_non_null(refused_ip(guard, "100.11.100.128/25"));
    assert_null(refused_ip(guard, "100.11.0.0/16"));
    assert_null(refused_ip(guard, "100.12.1.1"));
    guard_free(guard);
}

static void test_schedule(void **state) {
    assert_int_equal(schedule_delay(3600, 0, 0), 3600000);
    assert_in_range(schedule_delay(3600, 0, 4294967295u), 3600000, 3660000);
    assert_int_equal(schedule_delay(3600, 1, 0), 5000);
    assert_int_equal(schedule_delay(3600, 2, 0), 10000);
    assert_int_equal(schedule_delay(3600, 4, 0), 40000);
    assert_int_equal(schedule_delay(3600, 12, 0), 3600000);
    assert_int_equal(schedule_delay(3600, 1000, 0), 3600000);
    assert_int_equal(schedule_delay(1, 9, 0), 5000);
}

static void test_redact(void **state) {
    char text[64];
    redact_url("https://me:pw@feeds.example:8443/a/b?auth-key=KEY#x", text, sizeof text);
    assert_string_equal(text, "https://feeds.example:8443/a/b");
    redact_url("HTTP://a@b@c.example?k", text, sizeof text);
    assert_string_equal(text, "HTTP://c.example");
    redact_url("/etc/sundew/a?b.json", text, sizeof text);
    assert_string_equal(text, "/etc/sundew/a?b.json");
    assert_int_equal(redact_host("https://u:p@[2001:db8::1]:443/x", text, sizeof text), 0);
    assert_string_equal(text, "2001:db8::1");
    assert_int_equal(redact_host("https://h.example/@x", text, sizeof text), 0);
    assert_string_equal(text, "h.example");
    assert_int_equal(redact_host("/a/file", text, sizeof text), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices),         cmocka_unit_test(test_confidence), cmocka_unit_test(test_defaults_and_overrides),
        cmocka_unit_test(test_whose_target),    cmocka_unit_test(test_ages),       cmocka_unit_test(test_guard_names),
        cmocka_unit_test(test_guard_addresses), cmocka_unit_test(test_schedule),   cmocka_unit_test(test_redact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
