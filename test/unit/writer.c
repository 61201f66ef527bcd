/* test/unit/writer.c: from the ring to log, ledger and followers: every field, every hit counted, nothing lost by kill -9. */
#include "hit_build.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hits/writer.h"

static struct writer *start(struct build_place *place, unsigned repeat, const char *more) {
    struct config *config = build_config(place, repeat, more);
    int error = 0;
    struct writer *writer = writer_start(config, 2, build_say, place, &error);
    assert_non_null(writer);
    assert_int_equal(error, 0);
    config_unref(config);
    return writer;
}

static void put(struct writer *writer, const struct record *record) {
    while (!ring_put(writer_ring(writer, 0), record))
        sched_yield();
}

static void test_fields(void **state) {
    struct build_place *place = *state;
    struct writer *writer = start(place, 60, "");
    struct snapshot *policy = build_policy(NULL);
    union build_record room;
    struct record *record = build_hit(&room, policy, "10.1.2.3", "c2.evil.test", 1);
    record->ts_us = 1795369212345678u;
    record->has_mac = 1;
    memcpy(record->mac, "\x52\x54\x00\x12\x34\x56", 6);
    put(writer, record);
    put(writer, build_hit(&room, policy, "2001:db8::1", "evil.test", 28));
    put(writer, build_hit(&room, policy, "10.0.0.1", "loop.test", 255));
    put(writer, build_hit(&room, policy, "10.0.0.1", "nx.test", 65));
    put(writer, build_hit(&room, policy, "10.0.0.1", "a.garden.test", 1));
    put(writer, build_hit(&room, policy, "10.0.0.1", "data.test", 16));
    record = build_hit(&room, policy, "10.0.0.2", "data.test", 1);
    record->protocol = PROTOCOL_TCP;
    build_via(record, "target.data.test");
    put(writer, record);
    put(writer, build_hit(&room, policy, "10.0.0.1", "seen.test", 1));
    put(writer, build_hit(&room, policy, "10.0.0.3", "a\\\"b\\\\\\010.evil.test", 12345));
    writer_stop(writer);
    snapshot_unref(policy);

    char text[4096] = "";
    FILE *file = fopen(place->hits, "r");
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"client\":\"10.1.2.3\",\"proto\":\"udp\","
                              "\"mac\":\"52:54:00:12:34:56\",\"qname\":\"c2.evil.test\",\"qtype\":\"A\",\"zone\":\"local\","
                              "\"trigger\":\"domain\",\"rule\":\"evil.test\",\"action\":\"sinkhole\",\"mode\":\"enforce\","
                              "\"answer\":[\"192.0.2.66\"],\"ttl\":2147483647,\"family\":\"Emotet, QakBot\",\"confidence\":90,"
                              "\"reference\":\"https://example.org/report/7\",\"count\":1}\n");
    json_t *lines = build_lines(place->hits);
    assert_int_equal(json_array_size(lines), 9);
    static const char *const answers[] = {"[\"192.0.2.66\"]",
                                          "[\"2001:db8::66\"]",
                                          "[\"127.0.0.3\"]",
                                          "null",
                                          "[\"a.garden.test.garden.example\"]",
                                          "[\"\\\"he\\\\\\\"llo\\\"\"]",
                                          "[\"192.0.2.9\",\"192.0.2.10\"]",
                                          "null",
                                          "null"};
    for (size_t i = 0; i < 9; i++) {
        const json_t *answer = json_object_get(json_array_get(lines, i), "answer");
        char *dumped = answer == NULL ? strdup("null") : json_dumps(answer, JSON_COMPACT);
        assert_string_equal(dumped, answers[i]);
        free(dumped);
    }
    const json_t *via = json_array_get(lines, 6);
    assert_string_equal(build_text(via, "via"), "target.data.test");
    assert_string_equal(build_text(via, "proto"), "tcp");
    assert_string_equal(build_text(json_array_get(lines, 7), "mode"), "monitor");
    assert_string_equal(build_text(json_array_get(lines, 7), "family"), "(absent)");
    const json_t *odd = json_array_get(lines, 8);
    assert_string_equal(build_text(odd, "qtype"), "TYPE12345");
    assert_string_equal(build_text(odd, "qname"), "a\\\"b\\\\\\010.evil.test");
    json_decref(lines);
}

static void test_queries(void **state) {
    struct build_place *place = *state;
    struct writer *writer = start(place, 60, "");
    union build_record room;
    struct record *record = build_asked(&room, "10.0.0.1", "example.org", build_now_us());
    record->kind = RECORD_QUERY;
    record->rcode = 3;
    put(writer, record);
    writer_stop(writer);
    json_t *lines = build_lines(place->queries);
    assert_int_equal(json_array_size(lines), 1);
    assert_string_equal(build_text(json_array_get(lines, 0), "qname"), "example.org");
    assert_string_equal(build_text(json_array_get(lines, 0), "rcode"), "NXDOMAIN");
    assert_string_equal(build_text(json_array_get(lines, 0), "client"), "10.0.0.1");
    json_decref(lines);
}

/* A snapshot's last reference is the worker's, given back through the ring after its last hit. */
static void test_release(void **state) {
    struct build_place *place = *state;
    struct writer *writer = start(place, 60, "");
    struct snapshot *policy = build_policy(NULL);
    union build_record room;
    put(writer, build_hit(&room, policy, "10.0.0.1", "evil.test", 1));
    put(writer, build_hit(&room, policy, "10.0.0.1", "evil.test", 1));
    room.record = (struct record){.size = sizeof room.record, .kind = RECORD_RELEASE, .snapshot = policy};
    put(writer, &room.record);
    writer_stop(writer);
    json_t *lines = build_lines(place->hits);
    assert_int_equal(build_sum(lines, "count"), 2);
    json_decref(lines);
}

/* What was said of losses, summed up. */
struct losses {
    atomic_uint hits, skipped, refused;
};

static void hear(void *context, const char *level, const char *text) {
    struct losses *losses = context;
    unsigned count = 0;
    const char *number = strstr(text, ": ");
    (void)level;
    if (strncmp(text, "hit log", 7) == 0 && number != NULL && sscanf(number, ": %u lines lost", &count) == 1)
        atomic_fetch_add(&losses->hits, count);
    else if (sscanf(text, "leases: %u lines can't be read", &count) == 1)
        atomic_fetch_add(&losses->skipped, count);
    else if (sscanf(text, "leases: %u leases more", &count) == 1)
        atomic_fetch_add(&losses->refused, count);
}

static struct writer *start_heard(struct build_place *place, const char *more, struct losses *losses) {
    struct config *config = build_config(place, 60, more);
    int error = 0;
    struct writer *writer = writer_start(config, 2, hear, losses, &error);
    assert_non_null(writer);
    config_unref(config);
    return writer;
}

/* A loss is said once a minute, and what was lost since then at the end: the log's figures add up. */
static void test_losses_said_at_the_end(void **state) {
    struct build_place *place = *state;
    struct losses losses = {0};
    strcpy(place->hits, "/dev/full");
    struct writer *writer = start_heard(place, "", &losses);
    struct snapshot *policy = build_policy(NULL);
    union build_record room;
    put(writer, build_hit(&room, policy, "10.0.0.1", "evil.test", 1));
    while (atomic_load(&losses.hits) == 0)
        sched_yield();
    for (unsigned i = 2; i < 50; i++) {
        char client[16];
        snprintf(client, sizeof client, "10.0.0.%u", i);
        put(writer, build_hit(&room, policy, client, "evil.test", 1));
    }
    struct writer_stats stats;
    do {
        sched_yield();
        writer_stats(writer, &stats);
    } while (stats.lines_lost < 49);
    writer_stop(writer);
    snapshot_unref(policy);
    assert_int_equal(atomic_load(&losses.hits), 49);
}

/* An idle writer reads a huge lease file at once, not a portion a second; lines that can't be read are counted, and said. */
static void test_huge_leases(void **state) {
    enum { LINE = 60000, LINES = 4000 /* 240 MB, most of it a hole: 50 portions and more */ };
    struct build_place *place = *state;
    struct losses losses = {0};
    char path[160], more[256];
    snprintf(path, sizeof path, "%s/leases", place->folder);
    snprintf(more, sizeof more, ", \"clients\": {\"leases\": [{\"format\": \"dnsmasq\", \"path\": \"%s\"}]}", path);
    FILE *file = fopen(path, "w");
    for (unsigned i = 1; i <= LINES; i++) {
        fseek(file, (long)i * LINE, SEEK_SET);
        fputc('\n', file);
    }
    fprintf(file, "%llu 52:54:00:00:00:01 10.0.0.1 laptop *\n", (unsigned long long)(build_now_us() / 1000000 + 3600));
    fclose(file);
    struct writer *writer = start_heard(place, more, &losses);
    struct writer_stats stats;
    time_t until = time(NULL) + 25; /* by portions a second it takes 50 */
    do {
        usleep(10000);
        writer_stats(writer, &stats);
    } while (stats.lease_holders == 0 && time(NULL) < until);
    assert_int_equal(stats.lease_holders, 1);
    assert_int_equal(stats.lease_lines_skipped, LINES);
    assert_int_equal(stats.leases_refused, 0);
    writer_stop(writer);
    assert_int_equal(atomic_load(&losses.skipped), LINES);
    assert_int_equal(atomic_load(&losses.refused), 0);
}

struct flood {
    struct writer *writer;
    struct snapshot *policy;
    size_t worker;
    unsigned count, clients;
};

static void *flood(void *context) {
    static const char *const names[] = {"evil.test", "x.evil.test", "loop.test", "seen.test"};
    struct flood *flood = context;
    union build_record room;
    char client[32];
    struct record *records[4];
    union build_record rooms[4];
    for (unsigned i = 0; i < 4; i++)
        records[i] = build_hit(&rooms[i], flood->policy, "10.0.0.1", names[i], 1);
    for (unsigned i = 0; i < flood->count; i++) {
        unsigned n = i % flood->clients;
        memcpy(&room, records[i / flood->clients % 4], records[i / flood->clients % 4]->size);
        snprintf(client, sizeof client, "10.%zu.%u.%u", flood->worker, n >> 8, n & 255);
        room.record.client = build_ip(client);
        while (!ring_put(writer_ring(flood->writer, flood->worker), &room.record))
            sched_yield();
    }
    return NULL;
}

/* Two workers at full speed: log, ledger and statistics all say how many there were. */
static void test_counts_add_up(void **state) {
    enum { EACH = 60000, CLIENTS = 500 };
    struct build_place *place = *state;
    struct writer *writer = start(place, 1, "");
    struct flood floods[2];
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        floods[i] = (struct flood){writer, build_policy(NULL), i, EACH, CLIENTS};
        pthread_create(&threads[i], NULL, flood, &floods[i]);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    struct writer_stats stats;
    do {
        sched_yield();
        writer_stats(writer, &stats);
    } while (stats.hits < 2 * EACH || stats.clients < 2 * CLIENTS);
    const char *why = "";
    json_t *live = writer_clients(writer, NULL, &why);
    assert_non_null(live);
    json_decref(live);
    writer_stop(writer);
    for (size_t i = 0; i < 2; i++)
        snapshot_unref(floods[i].policy);
    assert_int_equal(stats.hits, 2 * EACH);
    assert_int_equal(stats.lines_lost, 0);
    assert_int_equal(stats.ledger_lost, 0);
    assert_int_equal(stats.clients, 2 * CLIENTS);
    json_t *lines = build_lines(place->hits);
    assert_int_equal(build_sum(lines, "count"), 2 * EACH);
    json_decref(lines);
    writer = start(place, 1, ""); /* what the next run finds */
    while (writer_stats(writer, &stats), stats.clients == 0)
        sched_yield();
    json_t *rows = writer_hits(writer, NULL, &why), *clients = writer_clients(writer, NULL, &why);
    assert_int_equal(build_sum(rows, "count"), 2 * EACH);
    assert_int_equal(json_array_size(clients), 2 * CLIENTS);
    assert_int_equal(build_sum(clients, "hits"), 2 * EACH);
    json_decref(rows);
    json_decref(clients);
    writer_stop(writer);
}

struct follower {
    atomic_uint lines;
    char last[1024];
};

static void on_line(void *context, const char *line, size_t length) {
    struct follower *follower = context;
    snprintf(follower->last, sizeof follower->last, "%.*s", (int)length, line);
    atomic_fetch_add(&follower->lines, 1);
}

static void test_follow(void **state) {
    struct build_place *place = *state;
    struct writer *writer = start(place, 60, ", \"allow\": [\"10.0.0.0/8\"]");
    struct snapshot *policy = build_policy(NULL);
    struct follower follower = {0};
    union build_record room;
    int id = writer_follow(writer, on_line, &follower);
    assert_true(id >= 0);
    put(writer, build_hit(&room, policy, "10.0.0.1", "evil.test", 1));
    while (atomic_load(&follower.lines) == 0)
        sched_yield();
    assert_non_null(strstr(follower.last, "\"qname\":\"evil.test\""));
    assert_true(follower.last[strlen(follower.last) - 1] == '\n');
    writer_unfollow(writer, id);
    put(writer, build_hit(&room, policy, "10.0.0.2", "evil.test", 1));
    writer_stop(writer);
    assert_int_equal(atomic_load(&follower.lines), 1);
    snapshot_unref(policy);
}

/* The folder isn't there: said with the number of lines, and taken into use when it appears. */
static void test_missing_folder(void **state) {
    struct build_place *place = *state;
    char folder[64], hits[128];
    strcpy(folder, place->folder);
    snprintf(place->hits, sizeof place->hits, "%s/later/hits.jsonl", folder);
    struct writer *writer = start(place, 0, "");
    struct snapshot *policy = build_policy(NULL);
    union build_record room;
    for (int i = 0; i < 3; i++)
        put(writer, build_hit(&room, policy, "10.0.0.1", "evil.test", 1));
    struct writer_stats stats;
    do
        writer_stats(writer, &stats);
    while (stats.lines_lost < 3);
    while (atomic_load(&place->said) == 0)
        sched_yield();
    assert_non_null(strstr(place->text, "3 lines lost"));
    snprintf(hits, sizeof hits, "%s/later", folder);
    assert_int_equal(mkdir(hits, 0700), 0);
    put(writer, build_hit(&room, policy, "10.0.0.1", "evil.test", 1));
    writer_stop(writer);
    snapshot_unref(policy);
    json_t *lines = build_lines(place->hits);
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
}

/* --- kill -9 --- */

/* Clients without end, so that every hit is a first one. */
static void child(struct build_place *place, unsigned run) {
    struct writer *writer = start(place, 60, "");
    struct snapshot *policy = build_policy(NULL);
    union build_record room;
    struct record *record = build_hit(&room, policy, "10.0.0.1", "evil.test", 1);
    for (unsigned i = 0;; i++) {
        record->client.bytes[12] = (uint8_t)(20 + run);
        record->client.bytes[13] = (uint8_t)(i >> 16);
        record->client.bytes[14] = (uint8_t)(i >> 8);
        record->client.bytes[15] = (uint8_t)i;
        put(writer, record);
        if (i % 64 == 63)
            usleep(200);
    }
}

static void test_kill(void **state) {
    enum { RUNS = 12 };
    struct build_place *place = *state;
    for (unsigned run = 0; run < RUNS; run++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            child(place, run);
            _exit(1);
        }
        struct stat log = {0};
        off_t before = stat(place->hits, &log) == 0 ? log.st_size : 0;
        while (stat(place->hits, &log) != 0 || log.st_size <= before + 2000 * (off_t)(run % 4 + 1))
            usleep(500);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
    }
    struct writer *writer = start(place, 60, "");
    const char *why = "";
    struct writer_stats stats;
    while (writer_stats(writer, &stats), stats.clients == 0)
        sched_yield();
    json_t *rows = writer_hits(writer, NULL, &why), *known = json_object();
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) json_object_set_new(known, build_text(row, "client"), json_true());
    json_t *lines = build_lines(place->hits);
    assert_true(json_array_size(lines) > RUNS * 5);
    json_array_foreach(lines, i, row) {
        if (json_object_get(known, build_text(row, "client")) == NULL)
            fail_msg("in the log, not in the ledger: %s", build_text(row, "client"));
    }
    assert_int_equal(atomic_load(&place->said), 0);
    json_decref(lines);
    json_decref(known);
    json_decref(rows);
    writer_stop(writer);
}

/* A few clients that repeat themselves, in windows of a second. */
static void repeat(struct build_place *place, unsigned run, _Atomic uint64_t *sent) {
    struct writer *writer = start(place, 1, "");
    struct snapshot *policy = build_policy(NULL);
    union build_record room;
    struct record *record = build_hit(&room, policy, "10.0.0.1", "evil.test", 1);
    for (unsigned i = 0;; i++) {
        record->client.bytes[14] = (uint8_t)run;
        record->client.bytes[15] = (uint8_t)(i % 40);
        record->ts_us = build_now_us();
        atomic_fetch_add(sent, 1);
        put(writer, record);
        if (i % 64 == 63)
            usleep(1000);
    }
}

/* Killed while windows open, are told and close: the ledger has all that the log has, and nothing twice. */
static void test_kill_repeats(void **state) {
    enum { RUNS = 3 };
    struct build_place *place = *state;
    _Atomic uint64_t *sent = mmap(NULL, sizeof *sent, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned run = 0; run < RUNS; run++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            repeat(place, run, sent);
            _exit(1);
        }
        struct stat log = {0};
        off_t before = stat(place->hits, &log) == 0 ? log.st_size : 0;
        while (stat(place->hits, &log) != 0 || log.st_size <= before + 40 * 250 * (off_t)(run + 2))
            usleep(500);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
    }
    struct writer *writer = start(place, 60, "");
    const char *why = "";
    struct writer_stats stats;
    while (writer_stats(writer, &stats), stats.clients == 0)
        sched_yield();
    json_t *rows = writer_hits(writer, NULL, &why), *clients = writer_clients(writer, NULL, &why),
           *lines = build_lines(place->hits);
    json_int_t entered = build_sum(rows, "count");
    assert_true(build_sum(lines, "count") > RUNS * 40 * 2);
    assert_true(entered >= build_sum(lines, "count"));
    assert_true(entered <= (json_int_t)atomic_load(sent));
    assert_int_equal(build_sum(clients, "hits"), entered);
    assert_int_equal(atomic_load(&place->said), 0);
    json_decref(lines);
    json_decref(clients);
    json_decref(rows);
    writer_stop(writer);
    munmap(sent, sizeof *sent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_queries, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_release, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_losses_said_at_the_end, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_huge_leases, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_counts_add_up, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_follow, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_missing_folder, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_kill, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_kill_repeats, build_place, build_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
