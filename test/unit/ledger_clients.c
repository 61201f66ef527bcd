/* test/unit/ledger_clients.c: machines in pages: each once, in order, whatever comes meanwhile; and no listing is kept for ever. */
#include "hit_build.h"

#include <inttypes.h>
#include <uv.h>

#include "hits/card.h"
#include "hits/ledger.h"
#include "hits/ledger_pages.h"
#include "hits/ledger_query.h"
#include "hits/ledger_sightings.h"

enum { MACHINES = 12000 /* more than a request gives without paging */ };

struct world {
    struct build_place *place;
    char path[128];
    struct snapshot *policy;
    struct cards *cards;
    struct ledger *ledger;
    struct ledger_pages *pages;
};

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    void *place = NULL;
    if (build_place(&place) != 0)
        return -1;
    world->place = place;
    snprintf(world->path, sizeof world->path, "%s/ledger.db", world->place->folder);
    world->policy = build_policy(NULL);
    world->cards = cards_new(NULL);
    world->ledger = ledger_new(world->path, build_say, world->place);
    world->pages = ledger_pages_new(world->path);
    ledger_tend(world->ledger, build_now_us());
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    void *place = world->place;
    ledger_pages_free(world->pages);
    ledger_free(world->ledger);
    cards_free(world->cards);
    snapshot_unref(world->policy);
    free(world);
    return build_clear(&place);
}

static void enter(struct world *world, const char *qname, unsigned client, uint64_t ts_us) {
    union build_record room;
    struct record *record = build_hit(&room, world->policy, "10.0.0.0", qname, 1);
    record->client.bytes[13] = (uint8_t)(client >> 16);
    record->client.bytes[14] = (uint8_t)(client >> 8);
    record->client.bytes[15] = (uint8_t)client;
    struct wording wording;
    assert_true(cards_word(world->cards, world->policy, record->rule, (enum mode)record->mode, &wording));
    struct hit hit = {.ts_us = ts_us,
                      .first_ts_us = ts_us,
                      .client = record->client,
                      .qname = record->names,
                      .qtype = 1,
                      .card = wording.card,
                      .rule = piece_of(wording.rule),
                      .details = piece_of(wording.details),
                      .count = 1};
    assert_true(ledger_hit(world->ledger, &hit) > 0);
    wording_clear(&wording);
}

static json_t *ask(struct world *world, const char *after, int limit) {
    const char *why = "";
    json_t *parameters = after == NULL ? json_object() : json_pack("{s:s}", "after", after);
    if (limit > 0)
        json_object_set_new(parameters, "limit", json_integer(limit));
    json_t *answer = ledger_pages_clients(world->pages, parameters, &why);
    json_decref(parameters);
    return answer;
}

/* Machines that were listed are hit again between two pages, and new ones come: they are neither told twice nor in anybody's way.
 */
static void test_pages(void **state) {
    struct world *world = *state;
    uint64_t begun = build_now_us() - (uint64_t)3600 * 1000000;
    for (unsigned i = 0; i < MACHINES; i++)
        enter(world, "evil.test", i, begun + i * 7919 % MACHINES * 1000);
    ledger_commit(world->ledger);
    bool *told = calloc(MACHINES, sizeof *told);
    char last[64] = "9", next[64] = "";
    size_t count = 0, pages = 0;
    for (bool more = true; more; pages++) {
        json_t *page = ask(world, next, 1700);
        const json_t *rows = json_object_get(page, "rows"), *row;
        size_t i;
        assert_int_equal(build_number(page, "total"), MACHINES);
        json_array_foreach(rows, i, row) {
            unsigned b, c, d;
            assert_int_equal(sscanf(build_text(row, "address"), "10.%u.%u.%u", &b, &c, &d), 3);
            unsigned listed = b << 16 | c << 8 | d;
            assert_true(listed < MACHINES && !told[listed]);
            told[listed] = true;
            assert_true(strcmp(build_text(row, "last_seen"), last) <= 0);
            snprintf(last, sizeof last, "%s", build_text(row, "last_seen"));
            count++;
        }
        more = json_is_string(json_object_get(page, "next"));
        snprintf(next, sizeof next, "%s", build_text(page, "next"));
        json_decref(page);
        for (unsigned client = 0; client < MACHINES + 5; client += 5)
            enter(world, "evil.test", client, build_now_us());
        ledger_commit(world->ledger);
    }
    free(told);
    assert_int_equal(count, MACHINES);
    assert_int_equal(pages, 8);
}

/* Whoever doesn't page gets what fits, and a listing that nobody reads on is let go of. */
static void test_bounds(void **state) {
    struct world *world = *state;
    for (unsigned i = 0; i < MACHINES; i++)
        enter(world, "evil.test", i, build_now_us());
    ledger_commit(world->ledger);
    json_t *all = ask(world, NULL, 0), *few = ask(world, NULL, 3);
    assert_int_equal(json_array_size(all), LEDGER_QUERY_CLIENTS);
    assert_int_equal(json_array_size(few), 3);
    json_decref(all);
    json_decref(few);
    json_t *begun[LEDGER_PAGES_KEPT + 1], *again;
    for (size_t i = 0; i <= LEDGER_PAGES_KEPT; i++) {
        begun[i] = ask(world, "", 10);
        assert_int_equal(json_array_size(json_object_get(begun[i], "rows")), 10);
        uv_sleep(2); /* which one waited longest is told by the millisecond */
    }
    assert_null(ask(world, build_text(begun[0], "next"), 10));
    again = ask(world, build_text(begun[1], "next"), 10);
    assert_int_equal(json_array_size(json_object_get(again, "rows")), 10);
    ledger_pages_tend(world->pages, uv_hrtime() / 1000000);
    ledger_pages_tend(world->pages, uv_hrtime() / 1000000 + (LEDGER_PAGES_SECONDS + 1) * 1000);
    assert_null(ask(world, build_text(again, "next"), 10));
    assert_null(ask(world, build_text(begun[2], "next"), 10));
    json_decref(again);
    for (size_t i = 0; i <= LEDGER_PAGES_KEPT; i++)
        json_decref(begun[i]);
    assert_null(ask(world, "nonsense", 10));
    /* A place behind the end. */
    json_t *first = ask(world, "", 10);
    char far[64];
    snprintf(far, sizeof far, "%.*s-18446744073709551610", (int)strcspn(build_text(first, "next"), "-"), build_text(first, "next"));
    json_t *none = ask(world, far, 10);
    assert_int_equal(json_array_size(json_object_get(none, "rows")), 0);
    assert_true(json_is_null(json_object_get(none, "next")));
    json_decref(first);
    json_decref(none);
}

/* What a machine was hit by is gathered over all its entries; families come one by one, and once. */
static void test_sets(void **state) {
    struct world *world = *state;
    uint64_t now = build_now_us();
    static const char *const names[] = {"seen.test", "evil.test", "loop.test", "evil.test", "seen.test"};
    for (size_t i = 0; i < 5; i++)
        enter(world, names[i], 1, now + i);
    enter(world, "loop.test", 2, now);
    ledger_commit(world->ledger);
    json_t *rows = ask(world, NULL, 0);
    const json_t *one = json_array_get(rows, 0), *two = json_array_get(rows, 1);
    char *families = json_dumps(json_object_get(one, "families"), JSON_COMPACT);
    char *zones = json_dumps(json_object_get(one, "zones"), JSON_COMPACT);
    assert_string_equal(build_text(one, "address"), "10.0.0.1");
    assert_string_equal(families, "[\"Emotet\",\"QakBot\"]");
    assert_string_equal(zones, "[\"watch\",\"local\"]");
    assert_int_equal(build_number(one, "hits"), 5);
    assert_true(json_is_null(json_object_get(one, "mac")) && json_is_null(json_object_get(one, "hostname")));
    assert_int_equal(json_array_size(json_object_get(two, "families")), 0);
    free(families);
    free(zones);
    json_decref(rows);
}

/* However many machines and combinations there are, each is found again. */
static void test_sightings(void **state) {
    enum { MANY = 100000 };
    struct sightings *sightings = sightings_new();
    bool fresh;
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            uint8_t key[MACHINE_KEY_MAX] = {'a'};
            memcpy(key + 1, &i, sizeof i);
            struct sighting *sighting = sightings_find(sightings, key, i % 2 == 0 ? 7 : MACHINE_KEY_MAX, &fresh);
            assert_true(fresh == (round == 0));
            sighting->hits++;
            sighting->last_us = i;
            for (uint32_t bit = 0; bit < 10; bit++)
                assert_true((i >> bit & 1) == 0 || sightings_add(sightings, &sighting->zones, 1 + bit));
        }
    }
    for (uint32_t value = 1; value <= 10; value++) {
        char text[16];
        snprintf(text, sizeof text, "z%" PRIu32, value);
        assert_int_equal(sightings_value(sightings, text), value);
        assert_int_equal(sightings_value(sightings, text), value);
    }
    assert_true(sightings_order(sightings));
    assert_int_equal(sightings_count(sightings), MANY);
    for (uint32_t place = 0; place < MANY; place += 97) {
        const struct sighting *sighting = sightings_at(sightings, place);
        uint32_t i = MANY - 1 - place;
        assert_int_equal(sighting->last_us, i);
        assert_int_equal(sighting->hits, 2);
        json_t *zones = sightings_set(sightings, sighting->zones);
        assert_int_equal(json_array_size(zones), __builtin_popcount(i & 1023));
        json_decref(zones);
    }
    sightings_free(sightings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sets, set_up, tear_down),
        cmocka_unit_test(test_sightings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
