/* test/unit/test_match.c: what CONTRACT.md says of precedence and answers, sentence by sentence; and a real list, every name of it.
 */
#include <errno.h>

#include <ldns/ldns.h>

#include "policy_build.h"

enum { NOW = 1000, A = 1, TXT = 16, AAAA = 28, MX = 15, ANY = 255 };

static struct rule rule_of(const char *name, enum match match, enum action action) {
    return (struct rule){.trigger = TRIGGER_DOMAIN, .name = build_name(name), .match = match, .action = action, .ttl = 300};
}

static struct rule prefix_rule_of(enum trigger trigger, const char *prefix, enum action action) {
    return (struct rule){.trigger = trigger, .prefix = build_prefix(prefix), .action = action, .ttl = 300};
}

static void add(struct ruleset *rules, int zone, struct rule rule) {
    const char *why = NULL;
    if (ruleset_add(rules, zone, &rule, &why) != 0)
        fail_msg("ruleset_add: %s", why);
}

static struct verdict ask_from(const struct snapshot *snapshot, const char *text, const char *client) {
    struct name name = build_name(text);
    struct ip ip = build_ip(client);
    struct name_key key;
    struct verdict verdict;
    build_key(&key, &name);
    match_query(snapshot, &key, &ip, NOW, &verdict);
    return verdict;
}

static struct verdict ask(const struct snapshot *snapshot, const char *text) {
    return ask_from(snapshot, text, "10.1.2.3");
}

static struct verdict answered(const struct snapshot *snapshot, const char *text, bool first, size_t count,
                               const char *const *addresses) {
    struct name name = build_name(text);
    struct ip client = build_ip("10.1.2.3");
    struct ip ip[4];
    for (size_t i = 0; i < count; i++)
        ip[i] = build_ip(addresses[i]);
    struct name_key key;
    struct verdict verdict;
    build_key(&key, &name);
    match_answer(snapshot, &key, first, ip, count, &client, NOW, &verdict);
    return verdict;
}

static void assert_decides(const struct snapshot *snapshot, struct verdict verdict, const char *zone, const char *text) {
    assert_true(verdict.decided);
    struct rule_info info;
    assert_int_equal(snapshot_rule(snapshot, verdict.decision.rule, &info), 0);
    assert_string_equal(info.zone_name, zone);
    assert_string_equal(info.text, text);
}

static void assert_nothing(struct verdict verdict) {
    assert_false(verdict.decided || verdict.protected_);
    assert_int_equal(verdict.monitors, 0);
}

static void test_nearest(void **state) {
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "z", MODE_ENFORCE, NULL);
    add(rules, zone, rule_of("a.example", MATCH_BELOW, ACTION_NXDOMAIN));
    add(rules, zone, rule_of("x.a.example", MATCH_EXACT, ACTION_LOOPBACK));
    add(rules, zone, rule_of("evil.example", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, zone, rule_of("deep.down.evil.example", MATCH_EXACT, ACTION_PASSTHRU));
    add(rules, zone, rule_of("both.example", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, zone, rule_of("both.example", MATCH_EXACT, ACTION_NODATA));
    add(rules, zone, rule_of("both.example", MATCH_BELOW, ACTION_REFUSED));
    struct snapshot *snapshot = build_snapshot(rules);
    /* an exact rule for x.a doesn't hide *.a from y.x.a */
    assert_decides(snapshot, ask(snapshot, "y.x.a.example"), "z", "*.a.example");
    assert_decides(snapshot, ask(snapshot, "x.a.example"), "z", "x.a.example");
    assert_nothing(ask(snapshot, "a.example"));
    assert_true(ask(snapshot, "a.example").blank);
    /* a rule for a deep name never un-lists its siblings, nor what lies between */
    assert_decides(snapshot, ask(snapshot, "other.down.evil.example"), "z", "evil.example");
    assert_decides(snapshot, ask(snapshot, "down.evil.example"), "z", "evil.example");
    assert_decides(snapshot, ask(snapshot, "deep.down.evil.example"), "z", "deep.down.evil.example");
    assert_decides(snapshot, ask(snapshot, "below.deep.down.evil.example"), "z", "evil.example");
    /* at one name the narrower */
    assert_int_equal(ask(snapshot, "both.example").decision.action, ACTION_NODATA);
    assert_int_equal(ask(snapshot, "www.both.example").decision.action, ACTION_REFUSED);
    /* names that only look alike */
    assert_nothing(ask(snapshot, "notevil.example"));
    assert_nothing(ask(snapshot, "evil.example.org"));
    assert_nothing(ask(snapshot, "example"));
    assert_nothing(ask(snapshot, "."));
    snapshot_unref(snapshot);
}

static void test_zones(void **state) {
    struct ruleset *rules = build_rules();
    int allow = build_zone(rules, "allow", MODE_ENFORCE, NULL);
    int watch = build_zone(rules, "watch", MODE_MONITOR, NULL);
    int guests = build_zone(rules, "guests", MODE_ENFORCE, "10.9.0.0/16");
    int local = build_zone(rules, "local", MODE_ENFORCE, NULL);
    add(rules, allow, rule_of("good.evil.example", MATCH_SUBTREE, ACTION_PASSTHRU));
    add(rules, watch, rule_of("evil.example", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, watch, rule_of("www.evil.example", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, guests, rule_of("evil.example", MATCH_SUBTREE, ACTION_REFUSED));
    add(rules, guests, prefix_rule_of(TRIGGER_CLIENT, "10.9.9.9", ACTION_DROP));
    add(rules, local, rule_of("www.evil.example", MATCH_EXACT, ACTION_NXDOMAIN));
    struct rule expired = rule_of("old.example", MATCH_SUBTREE, ACTION_LOOPBACK);
    expired.expires = NOW;
    add(rules, local, expired);
    struct rule running = rule_of("new.example", MATCH_SUBTREE, ACTION_LOOPBACK);
    running.expires = NOW + 1;
    add(rules, local, running);
    struct snapshot *snapshot = build_snapshot(rules);
    /* passthru of an earlier zone ends the search, however near a later zone's rule */
    assert_decides(snapshot, ask(snapshot, "good.evil.example"), "allow", "good.evil.example");
    /* monitored once a zone, by the nearest, and the search goes on */
    struct verdict verdict = ask(snapshot, "www.evil.example");
    assert_decides(snapshot, verdict, "local", "www.evil.example");
    assert_int_equal(verdict.monitors, 1);
    assert_int_equal(verdict.monitor[0].labels, 3);
    assert_int_equal(verdict.monitor[0].mode, MODE_MONITOR);
    verdict = ask(snapshot, "x.evil.example");
    assert_false(verdict.decided);
    assert_int_equal(verdict.monitors, 1);
    /* zones before depth; a zone's clients; a client rule before the domain rules of its zone */
    assert_decides(snapshot, ask_from(snapshot, "www.evil.example", "10.9.1.1"), "guests", "evil.example");
    assert_int_equal(ask_from(snapshot, "www.evil.example", "10.9.9.9").decision.action, ACTION_DROP);
    assert_int_equal(ask_from(snapshot, "innocent.example", "10.9.9.9").decision.trigger, TRIGGER_CLIENT);
    assert_int_equal(ask_from(snapshot, "good.evil.example", "10.9.9.9").decision.action, ACTION_PASSTHRU);
    /* what an expired rule covers isn't blank: it may not be expired for another's clock */
    verdict = ask(snapshot, "old.example");
    assert_nothing(verdict);
    assert_false(verdict.blank);
    assert_decides(snapshot, ask(snapshot, "new.example"), "local", "new.example");
    snapshot_unref(snapshot);
}

static void test_addresses(void **state) {
    struct ruleset *rules = build_rules();
    int first = build_zone(rules, "first", MODE_ENFORCE, NULL);
    int second = build_zone(rules, "second", MODE_ENFORCE, NULL);
    add(rules, first, prefix_rule_of(TRIGGER_IP, "203.0.113.0/24", ACTION_NXDOMAIN));
    add(rules, first, prefix_rule_of(TRIGGER_IP, "203.0.113.7", ACTION_NODATA));
    add(rules, first, prefix_rule_of(TRIGGER_IP, "2001:db8:bad::/48", ACTION_REFUSED));
    add(rules, second, rule_of("target.example", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, second, prefix_rule_of(TRIGGER_IP, "192.0.2.0/24", ACTION_LOOPBACK));
    struct name shielded = build_name("corp.example");
    struct prefix shield = build_prefix("203.0.113.128/25");
    assert_int_equal(ruleset_protect_name(rules, &shielded, false), 0);
    assert_int_equal(ruleset_protect_prefix(rules, &shield), 0);
    struct snapshot *snapshot = build_snapshot(rules);
    const char *both[] = {"203.0.113.9", "203.0.113.7"};
    assert_decides(snapshot, answered(snapshot, "x.example", true, 2, both), "first", "203.0.113.7");
    assert_decides(snapshot, answered(snapshot, "x.example", true, 1, both), "first", "203.0.113.0/24");
    assert_decides(snapshot, answered(snapshot, "x.example", true, 1, (const char *[]){"2001:db8:bad::1"}), "first",
                   "2001:db8:bad::/48");
    /* an ip rule of an earlier zone goes before a domain rule of a later one; within a zone the domain rule does */
    assert_decides(snapshot, answered(snapshot, "target.example", false, 2, both), "first", "203.0.113.7");
    assert_decides(snapshot, answered(snapshot, "target.example", false, 1, (const char *[]){"192.0.2.1"}), "second",
                   "target.example");
    assert_decides(snapshot, answered(snapshot, "target.example", true, 1, (const char *[]){"192.0.2.1"}), "second",
                   "192.0.2.0/24");
    assert_true(answered(snapshot, "x.example", true, 1, (const char *[]){"198.51.100.1"}).blank);
    assert_true(answered(snapshot, "x.example", false, 0, NULL).blank);
    /* protected prefixes and names */
    assert_nothing(answered(snapshot, "x.example", true, 1, (const char *[]){"203.0.113.200"}));
    assert_true(answered(snapshot, "www.corp.example", true, 2, both).protected_);
    assert_true(answered(snapshot, "www.corp.example", false, 2, both).protected_);
    snapshot_unref(snapshot);
}

static void test_protected(void **state) {
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "z", MODE_ENFORCE, NULL);
    add(rules, zone, rule_of("co.uk", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, zone, rule_of("example", MATCH_SUBTREE, ACTION_LOOPBACK));
    add(rules, zone, rule_of("www.corp.example", MATCH_EXACT, ACTION_LOOPBACK));
    struct name suffix = build_name("co.uk");
    struct name corp = build_name("corp.example");
    assert_int_equal(ruleset_protect_name(rules, &suffix, true), 0);
    assert_int_equal(ruleset_protect_name(rules, &corp, false), 0);
    assert_int_equal(ruleset_protect_name(rules, &corp, false), 0);
    struct snapshot *snapshot = build_snapshot(rules);
    /* a public suffix shields itself only */
    assert_true(ask(snapshot, "co.uk").protected_);
    assert_decides(snapshot, ask(snapshot, "evil.co.uk"), "z", "co.uk");
    /* a protected child of a listed parent resolves cleanly */
    struct verdict verdict = ask(snapshot, "www.corp.example");
    assert_true(verdict.protected_ && !verdict.decided && !verdict.blank);
    assert_true(ask(snapshot, "corp.example").protected_);
    assert_decides(snapshot, ask(snapshot, "other.example"), "z", "example");
    snapshot_unref(snapshot);
}

/* --- answers -------------------------------------------------------------------------------------------------------------------
 */

/* The records as text, read back by ldns from a message made of them. */
static char *records_text(const struct answer_bytes *bytes) {
    static const uint8_t QUESTION[] = "\1q\7example\0\0\1\0\1";
    size_t question = sizeof QUESTION - 1;
    uint8_t wire[4096] = {0, 1, 0x81, 0x80, 0, 1, 0, (uint8_t)bytes->ancount, 0, (uint8_t)bytes->nscount, 0, 0};
    memcpy(wire + 12, QUESTION, question);
    if (bytes->length > 0)
        memcpy(wire + 12 + question, bytes->bytes, bytes->length);
    ldns_pkt *packet = NULL;
    assert_int_equal(ldns_wire2pkt(&packet, wire, 12 + question + bytes->length), LDNS_STATUS_OK);
    char *answer = ldns_rr_list2str(ldns_pkt_answer(packet));
    char *authority = ldns_rr_list2str(ldns_pkt_authority(packet));
    char *text = NULL;
    assert_true(asprintf(&text, "%s%s", answer, authority) >= 0);
    free(answer);
    free(authority);
    ldns_pkt_free(packet);
    return text;
}

static void assert_answer(const struct snapshot *snapshot, const char *name, uint16_t qtype, uint8_t rcode, uint16_t ede,
                          const char *text) {
    struct verdict verdict = ask(snapshot, name);
    assert_true(verdict.decided);
    struct answer_bytes bytes;
    match_answer_bytes(snapshot, &verdict.decision, qtype, &bytes);
    assert_int_equal(bytes.rcode, rcode);
    assert_int_equal(bytes.ede, ede);
    char *got = records_text(&bytes);
    assert_string_equal(got, text);
    free(got);
}

#define SOA_TEXT(ttl) "q.example.\t" ttl "\tIN\tSOA\tlocalhost. nobody.invalid. 1 3600 900 604800 " ttl "\n"

static void test_answers(void **state) {
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "z", MODE_ENFORCE, NULL);
    struct rule rule = rule_of("loop.example", MATCH_SUBTREE, ACTION_LOOPBACK);
    rule.ttl = RULE_TTL_MAX;
    add(rules, zone, rule);
    for (enum action action = ACTION_SINKHOLE; action <= ACTION_PASSTHRU; action++)
        add(rules, zone, rule_of(action_name(action), MATCH_EXACT, action));
    rule = rule_of("local", MATCH_EXACT, ACTION_LOCAL);
    rule.records = "60 IN TXT \"hello\" \"w;rld\"\n  \nIN A 192.0.2.9\n90 IN TXT two";
    add(rules, zone, rule);
    rule = rule_of("cname", MATCH_EXACT, ACTION_CNAME);
    rule.target = "*.Garden.example.";
    add(rules, zone, rule);
    rule.target = "garden.corp.example";
    rule.name = build_name("plain");
    add(rules, zone, rule);
    struct snapshot *snapshot = build_snapshot(rules);
    assert_answer(snapshot, "loop.example", A, 0, 4, "q.example.\t2147483647\tIN\tA\t127.0.0.3\n");
    assert_answer(snapshot, "loop.example", ANY, 0, 4, "q.example.\t2147483647\tIN\tA\t127.0.0.3\n");
    assert_answer(snapshot, "loop.example", AAAA, 0, 4, SOA_TEXT("2147483647"));
    assert_answer(snapshot, "sinkhole", A, 0, 4, "q.example.\t300\tIN\tA\t192.0.2.66\n");
    assert_answer(snapshot, "sinkhole", AAAA, 0, 4, "q.example.\t300\tIN\tAAAA\t2001:db8::66\n");
    assert_answer(snapshot, "sinkhole", ANY, 0, 4, "q.example.\t300\tIN\tA\t192.0.2.66\nq.example.\t300\tIN\tAAAA\t2001:db8::66\n");
    assert_answer(snapshot, "sinkhole", MX, 0, 4, SOA_TEXT("300"));
    assert_answer(snapshot, "nxdomain", A, 3, 15, SOA_TEXT("300"));
    assert_answer(snapshot, "nodata", ANY, 0, 15, SOA_TEXT("300"));
    assert_answer(snapshot, "refused", A, 5, 15, "");
    assert_answer(snapshot, "local", TXT, 0, 4, "q.example.\t60\tIN\tTXT\t\"hello\" \"w;rld\"\nq.example.\t90\tIN\tTXT\t\"two\"\n");
    assert_answer(snapshot, "local", A, 0, 4, "q.example.\t300\tIN\tA\t192.0.2.9\n");
    assert_answer(
        snapshot, "local", ANY, 0, 4,
        "q.example.\t60\tIN\tTXT\t\"hello\" \"w;rld\"\nq.example.\t300\tIN\tA\t192.0.2.9\nq.example.\t90\tIN\tTXT\t\"two\"\n");
    assert_answer(snapshot, "local", MX, 0, 4, SOA_TEXT("300"));
    static const char *const SILENT[] = {"drop", "truncate", "passthru", "cname"};
    for (size_t i = 0; i < sizeof SILENT / sizeof *SILENT; i++)
        assert_answer(snapshot, SILENT[i], A, 0, 0, "");
    struct verdict verdict = ask(snapshot, "cname");
    bool wildcard = false;
    struct name target;
    struct name expected = build_name("garden.example");
    assert_ptr_equal(match_cname_target(snapshot, &verdict.decision, &wildcard, &target), &target);
    assert_true(wildcard && name_equal(&target, &expected));
    verdict = ask(snapshot, "plain");
    assert_non_null(match_cname_target(snapshot, &verdict.decision, &wildcard, &target));
    assert_false(wildcard);
    verdict = ask(snapshot, "drop");
    assert_null(match_cname_target(snapshot, &verdict.decision, &wildcard, &target));
    snapshot_unref(snapshot);
}

static void test_no_sinkhole(void **state) {
    struct ruleset_answers answers = {
        .loopback = build_ip("127.0.0.9"), .has_ipv6 = true, .sinkhole_ipv6 = build_ip("2001:db8::66")};
    struct ruleset *rules = ruleset_new(&answers);
    int zone = build_zone(rules, "z", MODE_ENFORCE, NULL);
    add(rules, zone, rule_of("sink", MATCH_EXACT, ACTION_SINKHOLE));
    add(rules, zone, rule_of("loop", MATCH_EXACT, ACTION_LOOPBACK));
    struct snapshot *snapshot = build_snapshot(rules);
    assert_answer(snapshot, "sink", A, 0, 4, SOA_TEXT("300"));
    assert_answer(snapshot, "sink", ANY, 0, 4, "q.example.\t300\tIN\tAAAA\t2001:db8::66\n");
    assert_answer(snapshot, "loop", A, 0, 4, "q.example.\t300\tIN\tA\t127.0.0.9\n");
    snapshot_unref(snapshot);
}

/* --- a real list ---------------------------------------------------------------------------------------------------------------
 */

struct list {
    char (*name)[128];
    char (*family)[64];
    size_t count;
};

/* One in `one_in` of the Maltrail names beside the repository; without them, made-up ones of the same shape. */
static struct list read_list(size_t one_in) {
    enum { ROOM = 1000000 };
    struct list list = {.name = malloc(ROOM * sizeof *list.name), .family = malloc(ROOM * sizeof *list.family)};
    assert_true(list.name != NULL && list.family != NULL);
    FILE *pipe = popen("xz -dc " SUNDEW_SHARED "/feeds/samples/lists/maltrail-domains.tsv.xz 2>/dev/null", "r");
    char line[512];
    for (size_t i = 0; pipe != NULL && fgets(line, sizeof line, pipe) != NULL && list.count < ROOM; i++) {
        if (i % one_in == 0 && sscanf(line, "%127[^\t]\t%63[^\n]", list.name[list.count], list.family[list.count]) == 2)
            list.count++;
    }
    if (pipe != NULL)
        pclose(pipe);
    for (unsigned i = 0; list.count < 1000 && i < 30000; i++) {
        snprintf(list.name[list.count], sizeof *list.name, "c%u.host-%x.%s", i, i * 2654435761u, i % 3 ? "com" : "duckdns.org");
        snprintf(list.family[list.count++], sizeof *list.family, "family-%u", i % 100);
    }
    return list;
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

static bool is_listed(const struct list *sorted, const char *text) {
    return bsearch(text, sorted->name, sorted->count, sizeof *sorted->name, by_text) != NULL;
}

/* Another name made of a listed one: a letter changed, a label in front, or the first label off. */
static void other_name(const char *name, size_t i, char out[160]) {
    const char *dot = strchr(name, '.');
    if (i % 3 == 0 || dot == NULL)
        snprintf(out, 160, "www.%s", name);
    else if (i % 3 == 1)
        snprintf(out, 160, "%s", dot + 1);
    else {
        snprintf(out, 160, "%s", name);
        size_t at = i % strlen(out);
        if (out[at] != '.')
            out[at] = out[at] == 'q' ? 'z' : 'q';
        else
            out[0] = out[0] == 'q' ? 'z' : 'q';
    }
}

static void test_real_list(void **state) {
    struct list list = read_list(getenv("SUNDEW_TEST_ALL") != NULL ? 1 : 20);
    struct ruleset *rules = build_rules();
    int zone = build_zone(rules, "maltrail", MODE_ENFORCE, NULL);
    for (size_t i = 0; i < list.count; i++) {
        struct rule rule = rule_of(list.name[i], MATCH_EXACT, ACTION_LOOPBACK);
        rule.family = list.family[i];
        rule.confidence = 100;
        add(rules, zone, rule);
    }
    struct snapshot *snapshot = build_snapshot(rules);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    print_message("%zu names, %.2f octets a rule\n", list.count, (double)stats.resident_bytes / (double)stats.rules);
    struct list sorted = {.name = malloc(list.count * sizeof *list.name), .count = list.count};
    assert_non_null(sorted.name);
    memcpy(sorted.name, list.name, list.count * sizeof *list.name);
    qsort(sorted.name, sorted.count, sizeof *sorted.name, by_text);
    for (size_t i = 0; i < list.count; i++) {
        struct verdict verdict = ask(snapshot, list.name[i]);
        assert_true(verdict.decided);
        struct rule_info info;
        assert_int_equal(snapshot_rule(snapshot, verdict.decision.rule, &info), 0);
        assert_string_equal(info.text, list.name[i]);
        assert_non_null(strstr(info.family, list.family[i]));
        char other[160];
        other_name(list.name[i], i, other);
        if (!is_listed(&sorted, other))
            assert_true(ask(snapshot, other).blank);
    }
    snapshot_unref(snapshot);
    free(sorted.name);
    free(list.name);
    free(list.family);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest),   cmocka_unit_test(test_zones),   cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_protected), cmocka_unit_test(test_answers), cmocka_unit_test(test_no_sinkhole),
        cmocka_unit_test(test_real_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
