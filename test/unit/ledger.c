/* test/unit/ledger.c: the book stays within age and size, outlives damage, and its rows say what was entered. */
#include "hit_build.h"

#include <fcntl.h>
#include <sqlite3.h>
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
    struct wording wording; /* of the last hit made */
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
    world->cards = cards_new(NULL);
    world->ledger = ledger_new(world->path, build_say, world->place);
    ledger_tend(world->ledger, build_now_us());
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    void *place = world->place;
    ledger_free(world->ledger);
    wording_clear(&world->wording);
    cards_free(world->cards);
    snapshot_unref(world->policy);
    free(world);
    return build_clear(&place);
}

/* Words the rule of world->room. */
static void word(struct world *world, enum mode mode) {
    wording_clear(&world->wording);
    assert_true(cards_word(world->cards, world->policy, world->room.record.rule, mode, &world->wording));
}

static struct hit make(struct world *world, unsigned client, uint64_t ts_us, uint64_t count) {
    char address[32];
    snprintf(address, sizeof address, "10.%u.%u.%u", client >> 16, client >> 8 & 255, client & 255);
    struct record *record = build_hit(&world->room, world->policy, address, "evil.test", 1);
    word(world, MODE_ENFORCE);
    return (struct hit){.ts_us = ts_us,
                        .first_ts_us = ts_us,
                        .client = record->client,
                        .qname = record->names,
                        .qtype = 1,
                        .card = world->wording.card,
                        .rule = piece_of(world->wording.rule),
                        .details = piece_of(world->wording.details),
                        .count = count};
}

static int64_t enter(struct world *world, unsigned client, uint64_t ts_us, uint64_t count) {
    struct hit hit = make(world, client, ts_us, count);
    return ledger_hit(world->ledger, &hit);
}

/* An open window's repeats, alone in chunk 0. */
static void progress(struct world *world, unsigned client, uint64_t ts_us, uint64_t count, bool like_first, int64_t row) {
    struct hit hit = make(world, client, ts_us, count);
    hit.like_first = like_first;
    ledger_progress(world->ledger, &hit, row);
    ledger_progress_end(world->ledger, 0);
}

/* As after a kill -9: another writer finds what this one committed. */
static void reopen(struct world *world) {
    ledger_free(world->ledger);
    world->ledger = ledger_new(world->path, build_say, world->place);
    ledger_tend(world->ledger, build_now_us());
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

/* The repeats of an open window are there once, however often they are told, and outlive a writer that never closed it. */
static void test_progress(void **state) {
    for (int like_first = 0; like_first < 2; like_first++) {
        struct world *world = *state;
        json_int_t before = total(world);
        int64_t row = enter(world, 1, build_now_us(), 1);
        ledger_commit(world->ledger);
        progress(world, 1, build_now_us(), 5, like_first, row);
        ledger_commit(world->ledger);
        assert_int_equal(total(world), before + 6);
        progress(world, 1, build_now_us(), 9, like_first, row);
        ledger_commit(world->ledger);
        assert_int_equal(total(world), before + 10);
        reopen(world);
        assert_int_equal(total(world), before + 10);
        reopen(world);
        assert_int_equal(total(world), before + 10);
        assert_int_equal(ledger_machines(world->ledger), 1);
        assert_int_equal(ledger_lost(world->ledger), 0);
        /* The window closes: its entry takes the place of what was told of it. */
        row = enter(world, 1, build_now_us(), 1);
        progress(world, 1, build_now_us(), 3, like_first, row);
        ledger_commit(world->ledger);
        enter(world, 1, build_now_us(), 4);
        ledger_progress_end(world->ledger, 0);
        ledger_commit(world->ledger);
        assert_int_equal(total(world), before + 15);
    }
}

/* The first hit of an open window is gone: its repeats are told whole then. */
static void test_progress_of_what_was_pruned(void **state) {
    struct world *world = *state;
    uint64_t now = build_now_us(), hour = (uint64_t)3600 * 1000000;
    ledger_limits(world->ledger, 3600, INT64_MAX);
    int64_t row = enter(world, 1, now - 2 * hour, 1);
    ledger_commit(world->ledger);
    ledger_tend(world->ledger, now);
    progress(world, 1, now, 7, true, row);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 7);
}

/* Pages are read one after the other, by ids that ascend; open windows come last. */
static void test_pages(void **state) {
    struct world *world = *state;
    int64_t row = 0, after = 0;
    for (unsigned i = 0; i < 30; i++) {
        row = enter(world, i, build_now_us(), 1);
        if (i % 7 == 6)
            ledger_commit(world->ledger);
    }
    progress(world, 29, build_now_us(), 5, true, row);
    ledger_commit(world->ledger);
    json_int_t sum = 0;
    size_t got = 4, pages = 0;
    for (; got == 4; pages++) {
        const char *why = "";
        json_t *parameters = json_pack("{s:I, s:i}", "after", (json_int_t)after, "limit", 4);
        json_t *page = ledger_query_hits(world->path, parameters, &why);
        json_decref(parameters);
        got = json_array_size(page);
        for (size_t i = 0; i < got; i++) {
            const json_t *hit = json_array_get(page, i);
            assert_true(build_number(hit, "id") > after);
            after = build_number(hit, "id");
            sum += build_number(hit, "count");
        }
        json_decref(page);
    }
    assert_int_equal(sum, 35);
    assert_int_equal(pages, 8);
}

static int64_t batches(struct world *world) {
    sqlite3 *db = NULL;
    sqlite3_stmt *query = NULL;
    assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM batch", -1, &query, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(query), SQLITE_ROW);
    int64_t count = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    sqlite3_close(db);
    return count;
}

/* Hits that come one by one: their batches are merged, ids and all; repeats still find what they repeat. */
static void test_merge(void **state) {
    struct world *world = *state;
    int64_t rows[200];
    for (unsigned i = 0; i < 200; i++) {
        rows[i] = enter(world, i % 3, build_now_us(), 1);
        ledger_commit(world->ledger);
    }
    assert_true(batches(world) < 70);
    assert_int_equal(total(world), 200);
    progress(world, 1, build_now_us(), 7, true, rows[1]);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 207);
    const char *why = "";
    json_t *parameters = json_pack("{s:i}", "after", 150), *page = ledger_query_hits(world->path, parameters, &why);
    assert_int_equal(json_array_size(page), 51);
    assert_int_equal(build_number(json_array_get(page, 0), "id"), 151);
    json_decref(page);
    json_decref(parameters);
    reopen(world);
    assert_int_equal(total(world), 207);
    assert_int_equal(ledger_machines(world->ledger), 3);
    /* What is too old is taken out of the middle of a merged batch. */
    ledger_limits(world->ledger, 3600, INT64_MAX);
    for (unsigned i = 0; i < 64; i++) {
        enter(world, 10 + i % 2, build_now_us() - (uint64_t)(i % 2) * 7200 * 1000000, 1);
        ledger_commit(world->ledger);
    }
    assert_int_equal(total(world), 271);
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(total(world), 239);
    assert_int_equal(ledger_machines(world->ledger), 4);
}

static size_t found(struct world *world, const char *key, const char *value) {
    const char *why = "";
    json_t *parameters = json_pack("{s:s}", key, value), *hits = ledger_query_hits(world->path, parameters, &why);
    json_t *clients = ledger_query_clients(world->path, parameters, &why);
    size_t count = json_array_size(hits), machines = json_array_size(clients);
    assert_true((count > 0) == (machines > 0));
    json_decref(parameters);
    json_decref(hits);
    json_decref(clients);
    return count;
}

static void test_filters(void **state) {
    struct world *world = *state;
    struct hit hit = make(world, 1, build_now_us(), 1);
    hit.who = (struct identity){.has_mac = true, .mac = {0x52, 0x54, 0, 0x12, 0x34, 0xab}, .hostname = phrase_new("Laptop-7", 8)};
    ledger_hit(world->ledger, &hit);
    enter(world, 2, build_now_us() - (uint64_t)7200 * 1000000, 1);
    ledger_commit(world->ledger);
    assert_int_equal(found(world, "client", "10.0.0.1"), 1);
    assert_int_equal(found(world, "client", "52:54:00:12:34:AB"), 1);
    assert_int_equal(found(world, "client", "laptop-7"), 1);
    assert_int_equal(found(world, "client", "laptop"), 0);
    assert_int_equal(found(world, "client", "10.0.0.3"), 0);
    assert_int_equal(found(world, "zone", "local"), 2);
    assert_int_equal(found(world, "zone", "loca"), 0);
    assert_int_equal(found(world, "family", "qakbot"), 2);
    assert_int_equal(found(world, "family", "Qak"), 0);
    assert_int_equal(found(world, "since", "1h"), 1);
    phrase_unref(hit.who.hostname);
}

static void check_hours(const struct world *world, const char *client, const char *wanted) {
    const char *why = "";
    json_t *parameters = json_object();
    if (client != NULL)
        json_object_set_new(parameters, "client", json_string(client));
    json_t *hours = ledger_query_hours(world->path, parameters, &why);
    char *text = hours == NULL ? strdup(why) : json_dumps(hours, JSON_COMPACT);
    assert_string_equal(text, wanted);
    free(text);
    json_decref(hours);
    json_decref(parameters);
}

/* By UTC's hour, in order whatever order they came in; monitored ones by themselves; open windows as far as they have come. */
static void test_hours(void **state) {
    struct world *world = *state;
    const uint64_t hour = (uint64_t)3600 * 1000000, base = (build_now_us() / hour - 10) * hour;
    char all[512], one[256], first[TIME_LENGTH + 1] = "", third[TIME_LENGTH + 1] = "";
    check_hours(world, NULL, "[]");
    int64_t row = enter(world, 1, base + hour - 1, 1);
    enter(world, 2, base + 2 * hour, 3);
    ledger_commit(world->ledger);
    enter(world, 2, base, 5);
    struct hit hit = make(world, 3, base + 3 * hour - 1, 7);
    word(world, MODE_MONITOR);
    hit.card = world->wording.card;
    hit.rule = piece_of(world->wording.rule);
    hit.details = piece_of(world->wording.details);
    ledger_hit(world->ledger, &hit);
    progress(world, 1, base + hour - 1, 20, true, row);
    ledger_commit(world->ledger);
    text_time(first, base);
    text_time(third, base + 2 * hour);
    snprintf(all, sizeof all, "[{\"ts\":\"%s\",\"enforced\":26,\"monitored\":0},{\"ts\":\"%s\",\"enforced\":3,\"monitored\":7}]",
             first, third);
    snprintf(one, sizeof one, "[{\"ts\":\"%s\",\"enforced\":0,\"monitored\":7}]", third);
    check_hours(world, NULL, all);
    check_hours(world, "10.0.0.3", one);
    check_hours(world, "10.0.0.9", "[]");
}

static void test_age(void **state) {
    struct world *world = *state;
    uint64_t now = build_now_us();
    ledger_limits(world->ledger, 3600, INT64_MAX);
    for (unsigned i = 0; i < 50; i++)
        enter(world, i, i % 2 == 0 ? now : now - (uint64_t)7200 * 1000000, 1);
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
        enter(world, i, now + i, 1);
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
    enter(world, 1, build_now_us(), 1);
    ledger_free(world->ledger);
    int fd = open(world->path, O_WRONLY);
    assert_int_equal(write(fd, "not a database, not at all", 26), 26);
    close(fd);
    world->ledger = ledger_new(world->path, build_say, world->place);
    cards_free(world->cards); /* which are one ledger's for life */
    world->cards = cards_new(NULL);
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(atomic_load(&world->place->said), 1);
    assert_non_null(strstr(world->place->text, "set aside"));
    enter(world, 2, build_now_us(), 1);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 1);
    assert_int_equal(ledger_lost(world->ledger), 0);
}

static void run_sql(struct world *world, const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* Something happens to the book while it is open: it is said within a second, what is lost is counted, and a book goes on. */
static void check_goes_on(struct world *world, const char *said, json_int_t kept, uint64_t lost) {
    atomic_store(&world->place->said, 0);
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(atomic_load(&world->place->said), 1);
    if (strstr(world->place->text, said) == NULL)
        fail_msg("%s", world->place->text);
    assert_int_equal(ledger_lost(world->ledger), lost);
    assert_int_equal(total(world), kept);
    enter(world, 7, build_now_us(), 5);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), kept + 5);
    ledger_tend(world->ledger, build_now_us());
    reopen(world);
    assert_int_equal(total(world), kept + 5);
}

static void test_removed(void **state) {
    struct world *world = *state;
    enter(world, 1, build_now_us(), 1);
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(unlink(world->path), 0);
    enter(world, 2, build_now_us(), 3);
    ledger_commit(world->ledger);
    check_goes_on(world, "removed", 0, 3);
}

static void test_replaced(void **state) {
    struct world *world = *state;
    char other[160];
    snprintf(other, sizeof other, "%s.other", world->path);
    struct ledger *kept = world->ledger, *second = ledger_new(other, build_say, world->place);
    ledger_tend(second, build_now_us());
    world->ledger = second;
    enter(world, 1, build_now_us(), 2);
    ledger_free(second);
    world->ledger = kept;
    enter(world, 1, build_now_us(), 1);
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(rename(other, world->path), 0);
    check_goes_on(world, "replaced", 2, 0);
}

static void test_cut_off(void **state) {
    struct world *world = *state;
    struct stat before;
    for (unsigned i = 0; i < 5000; i++)
        enter(world, i, build_now_us(), 1);
    ledger_commit(world->ledger);
    run_sql(world, "PRAGMA wal_checkpoint");
    ledger_tend(world->ledger, build_now_us());
    uint64_t lost = ledger_lost(world->ledger);
    assert_int_equal(lost, 0);
    assert_int_equal(stat(world->path, &before), 0);
    assert_int_equal(truncate(world->path, before.st_size / 2), 0);
    check_goes_on(world, "set aside", 0, 0);
}

static void test_emptied(void **state) {
    struct world *world = *state;
    assert_int_equal(truncate(world->path, 0), 0);
    check_goes_on(world, "set aside", 0, 0);
}

/* Its journal is removed: the open file still has it all, and windows that are open go on being counted once. */
static void test_journal_removed(void **state) {
    struct world *world = *state;
    char journal[160];
    int64_t row = enter(world, 1, build_now_us(), 1);
    progress(world, 1, build_now_us(), 4, true, row);
    ledger_tend(world->ledger, build_now_us());
    snprintf(journal, sizeof journal, "%s-wal", world->path);
    assert_int_equal(unlink(journal), 0);
    ledger_tend(world->ledger, build_now_us());
    assert_non_null(strstr(world->place->text, "journal"));
    progress(world, 1, build_now_us(), 6, true, row);
    ledger_commit(world->ledger);
    assert_int_equal(total(world), 7);
    assert_int_equal(ledger_lost(world->ledger), 0);
}

static void test_journal_cut_off(void **state) {
    struct world *world = *state;
    char journal[160];
    enter(world, 1, build_now_us(), 1);
    ledger_tend(world->ledger, build_now_us());
    run_sql(world, "PRAGMA wal_checkpoint");
    enter(world, 2, build_now_us(), 1);
    ledger_tend(world->ledger, build_now_us());
    snprintf(journal, sizeof journal, "%s-wal", world->path);
    assert_int_equal(truncate(journal, 0), 0);
    ledger_tend(world->ledger, build_now_us());
    enter(world, 3, build_now_us(), 1);
    ledger_commit(world->ledger);
    assert_true(atomic_load(&world->place->said) > 0);
    assert_true(total(world) >= 1);
    assert_true(ledger_lost(world->ledger) <= 1); /* the second, not all that ever was */
}

/* An operator's tool empties the journal in all honesty: nothing is lost. */
static void test_journal_emptied_by_sqlite(void **state) {
    struct world *world = *state;
    int64_t row = enter(world, 1, build_now_us(), 1);
    progress(world, 1, build_now_us(), 4, true, row);
    ledger_tend(world->ledger, build_now_us());
    run_sql(world, "PRAGMA wal_checkpoint(TRUNCATE)");
    check_goes_on(world, "journal", 5, 0);
}

/* A reader tells of damage: of this book, or of one that is gone. */
static void test_doubted(void **state) {
    struct world *world = *state;
    const char *why = "";
    enter(world, 1, build_now_us(), 1);
    ledger_tend(world->ledger, build_now_us());
    run_sql(world, "UPDATE batch SET data=CAST(substr(data, 1, 40)||x'2a'||substr(data, 42) AS BLOB)");
    assert_null(ledger_query_clients(world->path, NULL, &why));
    assert_true(ledger_query_damaged(why));
    ledger_doubt(world->ledger, ledger_book(world->ledger) - 1);
    ledger_tend(world->ledger, build_now_us());
    assert_int_equal(atomic_load(&world->place->said), 0);
    ledger_doubt(world->ledger, ledger_book(world->ledger));
    check_goes_on(world, "set aside", 0, 0);
}

/* What can't be a book is set aside, and never followed. */
static void test_odd(void **state) {
    struct world *world = *state;
    char target[160];
    snprintf(target, sizeof target, "%s/elsewhere", world->place->folder);
    for (unsigned kind = 0; kind < 3; kind++) {
        char path[160];
        const char *why = "";
        snprintf(path, sizeof path, "%s/odd-%u", world->place->folder, kind);
        assert_int_equal(kind == 0 ? mkdir(path, 0700) : kind == 1 ? mkfifo(path, 0600) : symlink(target, path), 0);
        assert_null(ledger_query_hits(path, NULL, &why));
        struct ledger *kept = world->ledger;
        atomic_store(&world->place->said, 0);
        world->ledger = ledger_new(path, build_say, world->place);
        ledger_tend(world->ledger, build_now_us());
        assert_int_equal(atomic_load(&world->place->said), 1);
        assert_non_null(strstr(world->place->text, "set aside"));
        enter(world, 1, build_now_us(), 1);
        assert_int_equal(ledger_lost(world->ledger), 0);
        ledger_free(world->ledger);
        world->ledger = kept;
        json_t *hits = ledger_query_hits(path, NULL, &why);
        assert_int_equal(json_array_size(hits), 1);
        json_decref(hits);
    }
    assert_int_not_equal(access(target, F_OK), 0);
}

/* A batch whose octets were changed under SQLite's eyes: said when it is read, set aside when the writer comes to it. */
static void test_damaged_batch(void **state) {
    struct world *world = *state;
    const char *why = "";
    enter(world, 1, build_now_us() - (uint64_t)7200 * 1000000, 1);
    ledger_commit(world->ledger);
    run_sql(world, "UPDATE batch SET data=CAST(substr(data, 1, 40)||x'2a'||substr(data, 42) AS BLOB)");
    assert_null(ledger_query_hits(world->path, NULL, &why));
    assert_non_null(strstr(why, "malformed"));
    ledger_limits(world->ledger, 3600, INT64_MAX);
    ledger_tend(world->ledger, build_now_us());
    assert_non_null(strstr(world->place->text, "set aside"));
    assert_int_equal(total(world), 0);
}

/* A book of the first version: its entries are taken over, in their order, and new ones come behind them. */
static void test_migration(void **state) {
    struct world *world = *state;
    static const char book[] =
        "CREATE TABLE machine(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, mac TEXT, address TEXT NOT NULL, hostname TEXT,"
        " first_us INTEGER NOT NULL, rows INTEGER NOT NULL) STRICT;"
        "CREATE TABLE rule(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, identity TEXT NOT NULL, details TEXT NOT NULL,"
        " zone TEXT NOT NULL, family TEXT) STRICT;"
        "CREATE TABLE hit(id INTEGER PRIMARY KEY, machine INTEGER NOT NULL, rule INTEGER NOT NULL, ts_us INTEGER NOT NULL,"
        " count INTEGER NOT NULL, client TEXT NOT NULL, proto INTEGER NOT NULL, hostname TEXT, qname TEXT NOT NULL,"
        " qtype INTEGER NOT NULL, answer TEXT, via TEXT) STRICT;"
        "CREATE TABLE retro(machine INTEGER NOT NULL, rule_hash INTEGER NOT NULL, until_us INTEGER NOT NULL,"
        " PRIMARY KEY(machine, rule_hash)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE note(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        "INSERT INTO machine VALUES(1, x'6d525400123456', '52:54:00:12:34:56', '10.1.2.3', 'laptop-7', 1795369212345678, 2);"
        "INSERT INTO machine VALUES(2, x'6120010db8000000000000000000000001', NULL, '2001:db8::1', NULL, 1795369212345679, 1500);"
        "INSERT INTO rule VALUES(1, 5, '\"zone\":\"local\",\"trigger\":\"domain\",\"rule\":\"evil.test\",\"action\":\"sinkhole\","
        "\"mode\":\"enforce\"', ',\"ttl\":2147483647,\"family\":\"Emotet\"', 'local', 'Emotet');"
        "INSERT INTO hit VALUES(7, 1, 1, 1795369212345678, 1, '10.1.2.3', 0, 'laptop-7', 'c2.evil.test', 1, '[\"192.0.2.66\"]', "
        "NULL);"
        "INSERT INTO hit VALUES(9, 1, 1, 1795369212345680, 41, '10.1.2.3', 1, 'laptop-7', 'a\\.b\\010.evil.test', 28, NULL, "
        "'evil.test');"
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i<1509) INSERT INTO hit"
        " SELECT i, 2, 1, 1795369212345679+i, 1, '2001:db8::1', 0, NULL, 'evil.test', 1, NULL, NULL FROM n;"
        "PRAGMA application_id=1398099524; PRAGMA user_version=1;";
    ledger_free(world->ledger);
    assert_int_equal(remove(world->path), 0);
    run_sql(world, book);
    world->ledger = ledger_new(world->path, build_say, world->place);
    const char *why = "";
    assert_null(ledger_query_hits(world->path, NULL, &why));
    assert_non_null(strstr(why, "up to date"));
    ledger_tend(world->ledger, build_now_us());
    assert_non_null(strstr(world->place->text, "1502 entries of an earlier version"));
    assert_int_equal(ledger_machines(world->ledger), 2);
    enter(world, 1, build_now_us(), 1);
    ledger_commit(world->ledger);
    json_t *hits = ledger_query_hits(world->path, NULL, &why), *clients = ledger_query_clients(world->path, NULL, &why);
    assert_int_equal(json_array_size(hits), 1503);
    assert_int_equal(build_sum(hits, "count"), 1543);
    const json_t *hit = json_array_get(hits, 1);
    char *text = json_dumps(hit, JSON_COMPACT);
    assert_string_equal(text, "{\"ts\":\"2026-11-22T17:40:12.345680Z\",\"client\":\"10.1.2.3\",\"proto\":\"tcp\","
                              "\"mac\":\"52:54:00:12:34:56\",\"hostname\":\"laptop-7\",\"qname\":\"a\\\\.b\\\\010.evil.test\","
                              "\"qtype\":\"AAAA\",\"zone\":\"local\",\"trigger\":\"domain\",\"rule\":\"evil.test\","
                              "\"action\":\"sinkhole\",\"mode\":\"enforce\",\"ttl\":2147483647,\"family\":\"Emotet\","
                              "\"count\":41,\"via\":\"evil.test\"}");
    free(text);
    assert_int_equal(json_array_size(clients), 3);
    assert_int_equal(build_sum(clients, "hits"), 1543);
    json_decref(hits);
    json_decref(clients);
}

/* No place for it: hits are counted as lost, and entered once there is one. */
static void test_no_place(void **state) {
    struct world *world = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/no/ledger.db", world->place->folder);
    struct ledger *ledger = ledger_new(path, build_say, world->place), *kept = world->ledger;
    ledger_tend(ledger, build_now_us());
    world->ledger = ledger;
    progress(world, 1, build_now_us(), 3, true, enter(world, 1, build_now_us(), 3));
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
        cmocka_unit_test_setup_teardown(test_progress, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_of_what_was_pruned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_filters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_emptied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_emptied_by_sqlite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doubted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_migration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_place, set_up, tear_down),
        cmocka_unit_test(test_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
