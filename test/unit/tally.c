/* test/unit/tally.c: repeats within a window become one line; the counts always add up to the hits. */
#include "hit_build.h"

#include "hits/tally.h"

struct told {
    unsigned first, progress, summaries;
    uint64_t sum;   /* of first and summaries */
    uint64_t ts_us; /* of the last told */
    uint64_t count; /* likewise */
    char qname[NAME_TEXT_MAX];
    uint16_t qtype;
    char rule[256], details[256]; /* JSON, of the last told */
    int64_t row;                  /* the last given */
    int64_t closed;               /* of the last window that closed */
    bool like_first;
    unsigned chunks, in_chunk; /* chunks told; windows told in the last */
};

struct world {
    struct snapshot *policy;
    struct cards *cards;
    struct identities *identities;
    struct tally *tally;
    struct told told;
    union build_record room;
};

static void tell(void *context, enum tally_kind kind, const struct hit *hit, int64_t *row) {
    struct told *told = context;
    told->first += kind == TALLY_FIRST;
    told->progress += kind == TALLY_PROGRESS;
    told->summaries += kind == TALLY_SUMMARY;
    if (kind == TALLY_FIRST)
        assert_int_equal(hit->count, 1);
    if (kind != TALLY_PROGRESS)
        told->sum += hit->count;
    told->in_chunk += kind == TALLY_PROGRESS;
    told->like_first = hit->like_first;
    told->ts_us = hit->ts_us;
    told->count = hit->count;
    told->qtype = hit->qtype;
    snprintf(told->rule, sizeof told->rule, "%.*s", (int)hit->rule.length, hit->rule.text);
    snprintf(told->details, sizeof told->details, "%.*s", (int)hit->details.length, hit->details.text);
    name_to_text(hit->qname, told->qname);
    if (kind == TALLY_FIRST)
        *row = ++told->row;
    if (kind == TALLY_SUMMARY)
        told->closed = *row;
}

static void chunk(void *context, uint32_t number) {
    struct told *told = context;
    told->chunks++;
    assert_true(number < 2);
}

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    world->policy = build_policy(NULL);
    world->cards = cards_new(NULL);
    world->identities = identities_new();
    world->tally = tally_new(world->cards, world->identities, 1000, tell, chunk, &world->told);
    tally_repeat(world->tally, 60);
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    tally_free(world->tally);
    cards_free(world->cards);
    identities_free(world->identities);
    snapshot_unref(world->policy);
    free(world);
    return 0;
}

static void hit(struct world *world, const char *client, const char *qname, uint16_t qtype, uint64_t now_ms) {
    struct record *record = build_hit(&world->room, world->policy, client, qname, qtype);
    record->ts_us = now_ms * 1000;
    assert_int_equal(tally_hits(world->tally, (const struct record *const[]){record}, 1, now_ms), 0);
}

static void test_window(void **state) {
    struct world *world = *state;
    struct told *told = &world->told;
    assert_int_equal(tally_due(world->tally), 0);
    hit(world, "10.0.0.1", "evil.test", 1, 1000);
    assert_int_equal(told->first, 1);
    assert_int_equal(tally_due(world->tally), 61000);
    for (unsigned i = 0; i < 7; i++)
        hit(world, "10.0.0.1", i == 6 ? "last.evil.test" : "evil.test", i == 6 ? 28 : 1, 2000 + i);
    assert_int_equal(told->first, 1);
    tally_expire(world->tally, 60999);
    assert_int_equal(told->summaries, 0);
    tally_expire(world->tally, 61000);
    assert_int_equal(told->summaries, 1);
    assert_int_equal(tally_due(world->tally), 0);
    assert_int_equal(told->count, 7);
    assert_string_equal(told->qname, "last.evil.test");
    assert_int_equal(told->qtype, 28);
    assert_int_equal(told->ts_us, 2006000);
    assert_int_equal(told->sum, 8);
    assert_int_equal(tally_windows(world->tally), 0);
    /* The next hit is a first again, also when nobody looked at the time meanwhile. */
    hit(world, "10.0.0.1", "evil.test", 1, 62000);
    hit(world, "10.0.0.1", "evil.test", 1, 63000);
    hit(world, "10.0.0.1", "evil.test", 1, 122001);
    assert_int_equal(told->first, 3);
    assert_int_equal(told->summaries, 2);
    assert_int_equal(told->sum, 11);
}

static void test_a_window_without_repeats_says_nothing(void **state) {
    struct world *world = *state;
    hit(world, "10.0.0.1", "evil.test", 1, 0);
    tally_expire(world->tally, 60000);
    assert_int_equal(world->told.summaries, 0);
    assert_int_equal(world->told.sum, 1);
}

static void test_kept_apart(void **state) {
    struct world *world = *state;
    hit(world, "10.0.0.1", "evil.test", 1, 0);
    hit(world, "10.0.0.2", "evil.test", 1, 0);
    hit(world, "10.0.0.1", "loop.test", 1, 0);
    hit(world, "10.0.0.1", "seen.test", 1, 0);
    assert_int_equal(world->told.first, 4);
    /* Behind a trusted forwarder: one address, two machines. */
    for (uint8_t mac = 1; mac <= 2; mac++) {
        struct record *record = build_hit(&world->room, world->policy, "10.0.0.1", "evil.test", 1);
        record->has_mac = 1;
        record->mac[5] = mac;
        assert_int_equal(tally_hits(world->tally, (const struct record *const[]){record, record}, 2, 1), 0);
    }
    assert_int_equal(world->told.first, 6);
    tally_flush(world->tally);
    assert_int_equal(world->told.sum, 8);
}

/* The same rule in another snapshot is the same rule. */
static void test_policy_change(void **state) {
    struct world *world = *state;
    hit(world, "10.0.0.1", "evil.test", 1, 0);
    snapshot_unref(world->policy);
    world->policy = build_policy("another.test");
    hit(world, "10.0.0.1", "evil.test", 1, 1);
    assert_int_equal(world->told.first, 1);
    tally_flush(world->tally);
    assert_int_equal(world->told.sum, 2);
}

/* ... but another policy may say other things of it. */
static void test_details_change(void **state) {
    struct world *world = *state;
    hit(world, "10.0.0.1", "evil.test", 1, 0);
    assert_non_null(strstr(world->told.details, "\"family\":\"Emotet, QakBot\",\"confidence\":90,\"reference\":\"https://"));
    struct ruleset *rules = build_rules();
    build_rule(rules, build_zone(rules, "local", MODE_ENFORCE, NULL), "evil.test", ACTION_SINKHOLE, "Heodo");
    snapshot_unref(world->policy);
    world->policy = build_snapshot(rules);
    hit(world, "10.0.0.1", "evil.test", 1, 1);
    tally_flush(world->tally);
    assert_int_equal(world->told.first, 1);
    assert_int_equal(world->told.summaries, 1);
    assert_string_equal(world->told.rule, "\"evil.test\"");
    assert_non_null(strstr(world->told.details, "\"family\":\"Heodo\""));
}

/* Hits of one client that fall together or apart: by zone, by how a rule is written, by its name or prefix. */
static void test_rules(void **state) {
    static const char LONG[] = "a-label-of-some-length.another-label-of-some-length.and-a-third-one.below.test";
    struct world *world = *state;
    struct told *told = &world->told;
    struct ruleset *rules = build_rules();
    int local = build_zone(rules, "local", MODE_ENFORCE, NULL);
    struct rule rule = {
        .trigger = TRIGGER_DOMAIN, .match = MATCH_BELOW, .name = build_name("below.test"), .action = ACTION_NXDOMAIN};
    const char *why = NULL;
    rule.confidence = RULE_CONFIDENCE_UNSET;
    assert_int_equal(ruleset_add(rules, local, &rule, &why), 0);
    rule.match = MATCH_EXACT;
    assert_int_equal(ruleset_add(rules, local, &rule, &why), 0);
    build_rule(rules, local, "q\\034.test", ACTION_LOOPBACK, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct rule prefix = {.trigger = TRIGGER_CLIENT, .action = ACTION_REFUSED, .confidence = RULE_CONFIDENCE_UNSET};
        prefix.prefix = build_prefix(i == 0 ? "10.1.0.0/16" : "10.1.1.0/24");
        assert_int_equal(ruleset_add(rules, local, &prefix, &why), 0);
    }
    snapshot_unref(world->policy);
    world->policy = build_snapshot(rules);

    hit(world, "10.0.0.1", "below.test", 1, 0);
    assert_string_equal(told->rule, "\"below.test\"");
    hit(world, "10.0.0.1", "x.below.test", 1, 0);
    assert_string_equal(told->rule, "\"*.below.test\"");
    hit(world, "10.0.0.1", LONG, 1, 0);
    assert_int_equal(told->first, 2);
    hit(world, "10.0.0.1", "q\\034.test", 1, 0);
    assert_string_equal(told->rule, "\"q\\\\\\\".test\"");
    hit(world, "10.1.0.1", "any.test", 1, 0);
    assert_string_equal(told->rule, "\"10.1.0.0/16\"");
    hit(world, "10.1.1.1", "any.test", 1, 0);
    assert_string_equal(told->rule, "\"10.1.1.0/24\"");
    hit(world, "10.1.1.1", "other.test", 28, 0);
    assert_int_equal(told->first, 5);
    tally_flush(world->tally);
    assert_int_equal(told->summaries, 2);
    assert_int_equal(told->sum, 7);

    /* By a CNAME's target the rule is the end of that, however long the name that was asked for. */
    struct record *record = build_hit(&world->room, world->policy, "10.0.0.1", "x.below.test", 1);
    uint8_t target[NAME_WIRE_MAX], length = record->qname_length;
    struct name asked = build_name("a-label-of-some-length.another-label-of-some-length.elsewhere.test");
    memcpy(target, record->names, length);
    memcpy(record->names, asked.wire, asked.length);
    memcpy(record->names + asked.length, target, length);
    record->qname_length = asked.length;
    record->via_length = length;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tally_hits(world->tally, (const struct record *const[]){record}, 1, 1), 0);
    assert_int_equal(told->first, 6);
    assert_string_equal(told->rule, "\"*.below.test\"");
    tally_flush(world->tally);
    assert_string_equal(told->rule, "\"*.below.test\"");
    assert_int_equal(told->sum, 10);
}

static void test_lease_passes_on(void **state) {
    struct world *world = *state;
    struct lease lease = {.address = build_ip("10.0.0.1"), .start_us = 0, .end_us = LEASE_NEVER, .has_mac = true, .mac = {2, 1}};
    leases_add(identities_leases(world->identities), &lease, 0);
    hit(world, "10.0.0.1", "evil.test", 1, 1000);
    hit(world, "10.0.0.1", "evil.test", 1, 2000);
    lease.mac[1] = 2;
    lease.start_us = 2500 * 1000;
    leases_add(identities_leases(world->identities), &lease, 2500 * 1000);
    hit(world, "10.0.0.1", "evil.test", 1, 3000);
    assert_int_equal(world->told.first, 2);
    assert_int_equal(world->told.summaries, 1);
    tally_flush(world->tally);
    assert_int_equal(world->told.sum, 3);
}

/* All of a chunk is told again when one window of it has news, or was told and is closed. */
static void test_progress(void **state) {
    struct world *world = *state;
    struct told *told = &world->told;
    for (int i = 0; i < 5; i++) {
        hit(world, "10.0.0.1", "evil.test", 1, 0);
        hit(world, "10.0.0.2", "evil.test", 1, 2000);
    }
    assert_false(tally_progress(world->tally, 10));
    assert_int_equal(told->progress, 2);
    assert_int_equal(told->chunks, 1);
    assert_int_equal(told->count, 4);
    assert_true(told->like_first);
    assert_false(tally_progress(world->tally, 10));
    assert_int_equal(told->progress, 2);
    hit(world, "10.0.0.2", "x.evil.test", 1, 2001);
    assert_false(tally_progress(world->tally, 10));
    assert_int_equal(told->progress, 4);
    assert_false(told->like_first);
    tally_settle(world->tally);
    assert_int_equal(told->chunks, 2);
    tally_expire(world->tally, 60000);
    assert_int_equal(told->summaries, 1);
    assert_int_equal(told->closed, 1);
    tally_settle(world->tally);
    assert_int_equal(told->chunks, 3);
    assert_int_equal(told->progress, 5);
    tally_flush(world->tally);
    tally_settle(world->tally);
    assert_int_equal(told->chunks, 4);
    assert_int_equal(told->progress, 5);
    assert_int_equal(told->sum, 11);
}

/* Many chunks, told a few at a time while others get news: each has its turn. */
static void test_progress_in_turns(void **state) {
    struct world *world = *state;
    char client[32];
    for (unsigned n = 0; n < 2; n++)
        for (unsigned i = 0; i < 1000; i++) {
            snprintf(client, sizeof client, "10.0.%u.%u", i >> 8, i & 255);
            hit(world, client, "evil.test", 1, 10);
        }
    assert_true(tally_progress(world->tally, 1));
    assert_int_equal(world->told.progress, TALLY_CHUNK);
    hit(world, "10.0.0.0", "evil.test", 1, 11);
    assert_true(tally_progress(world->tally, 1));
    assert_int_equal(world->told.progress, 1000);
    assert_false(tally_progress(world->tally, 1));
    assert_int_equal(world->told.progress, 1000 + TALLY_CHUNK);
    /* A place that was given back is taken again. */
    tally_flush(world->tally);
    hit(world, "10.0.0.1", "evil.test", 1, 12);
    assert_int_equal(tally_windows(world->tally), 1);
    tally_flush(world->tally);
    assert_int_equal(world->told.sum, 2002);
}

static void test_no_repeat(void **state) {
    struct world *world = *state;
    hit(world, "10.0.0.1", "evil.test", 1, 0);
    hit(world, "10.0.0.1", "evil.test", 1, 0);
    tally_repeat(world->tally, 0);
    assert_int_equal(world->told.summaries, 1);
    for (int i = 0; i < 10; i++)
        hit(world, "10.0.0.1", "evil.test", 1, 0);
    assert_int_equal(world->told.first, 11);
    assert_int_equal(tally_windows(world->tally), 0);
    assert_int_equal(world->told.sum, 12);
}

/* More clients than windows: counted all the same. */
static void test_full(void **state) {
    struct world *world = *state;
    char client[32];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(client, sizeof client, "10.0.%u.%u", i % 1500 >> 8, i % 1500 & 255);
        hit(world, client, "evil.test", 1, 10);
    }
    assert_int_equal(tally_windows(world->tally), 1000);
    tally_flush(world->tally);
    assert_int_equal(world->told.sum, 3000);
    assert_int_equal(world->told.first, 1000 + 2 * 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_window_without_repeats_says_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_policy_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_details_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lease_passes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_repeat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
