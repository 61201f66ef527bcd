/* test/unit/ledger.c: the book stays within age and size, outlives damage, and its rows say what was entered. */
#include "hit_build.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/card.h"
#include "hits/ledger.h"
#include "hits/ledger_query.h"

struct world {
    struct build_place *place;
    char path[128];
    struct snapshot *policy;
    struct cards *cards;
    struct ledger *ledger;
    union build_record room;
};

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    void *place = NULL;
    if (build_place(&place) != 0)
        return -1;
    world->place = place;
    snprintf(world->path, sizeof world->path, "%s/ledger.db", world->place->folder);
    world->policy = build_policy(NULL);
    world->cards = cards_new();
    world->ledger = ledger_new(world->path, build_say, world->place);
    ledger_tend(world->ledger, build_now_us());
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    void *place = world->place;
    ledger_free(world->ledger);
    cards_free(world->cards);
    snapshot_unref(world->policy);
    free(world);
    return build_clear(&place);
}

static void enter(struct world *world, unsigned client, uint64_t ts_us, uint64_t count, bool final, int64_t *row) {
    char address[32];
    snprintf(address, sizeof address, "10.%u.%u.%u", client >> 16, client >> 8 & 255, client & 255);
    struct record *record = build_hit(&world->room, world->policy, address, "evil.test", 1);
    struct hit hit = {.ts_us = ts_us,
                      .first_ts_us = ts_us,
                      .client = record->client,
                      .qname = record->names,
                      .qtype = 1,
                      .card = cards_find(world->cards, world->policy, record->rule, MODE_ENFORCE),
                      .count = count};
    ledger_hit(world->ledger, &hit, final, row);
}

static json_int_t total(struct world *world) {
    const char *why = "";
    json_t *rows = ledger_query_hits(world->path, NULL, &why);
    if (rows == NULL)
        fail_msg("%s", why);
    json_int_t sum = build_sum(rows, "count");
    json_decref(rows);
    return sum;
}

/* A row that is brought up to date counts once, also when its first version was pruned or the book changed under it. */
static void test_update(void **state) {
    struct world *world = *state;
    int64_t row = 0;
    enter(world, 1, build_now_us(), 5, false, &row);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 5);
    enter(world, 1, build_now_us(), 9, true, &row);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 9);
    assert_int_equal(ledger_machines(world->ledger), 1);
}

static void test_age(void **state) {
    struct world *world = *state;
    uint64_t now = build_now_us();
    ledger_limits(world->ledger, 3600, INT64_MAX);
    for (unsigned i = 0; i < 50; i++) {
        int64_t row = 0;
        enter(world, i, i % 2 == 0 ? now : now - (uint64_t)7200 * 1000000, 1, true, &row);
    }
    ledger_commit(world->ledger);
    ledger_tend(world->ledger, now);
    assert_int_equal(total(world), 25);
    assert_int_equal(ledger_machines(world->ledger), 25);
}

static void test_size(void **state) {
    struct world *world = *state;
    uint64_t now = build_now_us();
    ledger_limits(world->ledger, INT64_MAX, 1 << 20);
    for (unsigned i = 0; i < 20000; i++) {
        int64_t row = 0;
        enter(world, i, now + i, 1, true, &row);
        if (i % 500 == 499)
            ledger_commit(world->ledger);
    }
    ledger_commit(world->ledger);
    for (int i = 0; i < 3; i++)
        ledger_tend(world->ledger, now);
    struct stat at;
    assert_int_equal(stat(world->path, &at), 0);
    assert_true(at.st_size < 3 << 20);
    json_int_t left = total(world);
    assert_true(left > 1000 && left < 20000);
    assert_int_equal(left, ledger_machines(world->ledger));
    assert_int_equal(ledger_lost(world->ledger), 0);
    /* The latest stay. */
    const char *why = "";
    json_t *rows = ledger_query_hits(world->path, NULL, &why);
    assert_string_equal(build_text(json_array_get(rows, json_array_size(rows) - 1), "client"), "10.0.78.31");
    json_decref(rows);
}

static void test_damage(void **state) {
    struct world *world = *state;
    int64_t row = 0;
    enter(world, 1, build_now_us(), 1, true, &row);
    ledger_free(world->ledger);
    int fd = open(world->path, O_WRONLY);
    assert_int_equal(write(fd, "not a database, not at all", 26), 26);
    close(fd);
    world->ledger = ledger_new(world->path, build_say, world->place);
    cards_free(world->cards); /* which are one ledger's for life */
    world->cards = cards_new();
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(atomic_load(&world->place->said), 1);
    assert_non_null(strstr(world->place->text, "set aside"));
    row = 0;
    enter(world, 2, build_now_us(), 1, true, &row);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 1);
    assert_int_equal(ledger_lost(world->ledger), 0);
}

/* No place for it: hits are counted as lost, and entered once there is one. */
static void test_no_place(void **state) {
    struct world *world = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/no/ledger.db", world->place->folder);
    struct ledger *ledger = ledger_new(path, build_say, world->place), *kept = world->ledger;
    ledger_tend(ledger, build_now_us());
    world->ledger = ledger;
    int64_t row = 0;
    enter(world, 1, build_now_us(), 3, false, &row);
    enter(world, 1, build_now_us(), 3, true, &row);
    assert_int_equal(ledger_lost(ledger), 3);
    ledger_free(ledger);
    world->ledger = kept;
}

static void test_since(void **state) {
    int64_t us, now = 1795369200 * (int64_t)1000000;
    json_t *since = json_string("24h");
    assert_int_equal(ledger_query_since(since, now, &us), 0);
    assert_int_equal(us, now - 86400 * (int64_t)1000000);
    json_string_set(since, "2026-11-22T17:40:00Z");
    assert_int_equal(ledger_query_since(since, 0, &us), 0);
    assert_int_equal(us, now);
    json_string_set(since, "2026-11-22");
    assert_int_equal(ledger_query_since(since, 0, &us), 0);
    json_string_set(since, "yesterday");
    assert_true(ledger_query_since(since, now, &us) < 0);
    json_decref(since);
    assert_int_equal(ledger_query_since(NULL, now, &us), 0);
    assert_int_equal(us, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_update, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_place, set_up, tear_down),
        cmocka_unit_test(test_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
