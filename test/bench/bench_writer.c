/* test/bench/bench_writer.c: what a hit costs the writer's thread: log line, ledger and counts, in processor time.
 *
 * usage: bench_writer [RULES [HITS [RATE [JOBS]]]]
 * A policy of so many rules; HITS different listed names are asked for at RATE a second (0: as fast as the ring takes them), by one
 * client, then again and again for some seconds, then by many clients; JOBS: only so many of these four. Files are made in $TMPDIR
 * and removed. Called by script/bench-writer. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "hits/writer.h"
#include "policy/compile.h"
#include "policy/match.h"

enum { NAME_ROOM = 64, SEED = 42, CLIENTS = 10000, BURST = 32, REPEAT_SECONDS = 6 };

static struct snapshot *snapshot;
static struct writer *writer;
static char folder[256];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "bench_writer: %s: %s\n", what, why != NULL ? why : "failed");
    exit(1);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The n-th name of the bench, 15 to 22 octets long. */
static size_t make_name(uint64_t n, char text[NAME_ROOM]) {
    static const char *const ENDS[] = {"com", "net", "org", "ru", "xyz", "top", "info", "duckdns.org"};
    uint64_t bits = (n + 1) * 0x9e3779b97f4a7c15u;
    bits ^= bits >> 29;
    size_t length = 0;
    for (uint64_t rest = bits, i = 5 + bits % 8; i > 0; i--, rest /= 26)
        text[length++] = (char)('a' + rest % 26);
    return length + (size_t)snprintf(text + length, NAME_ROOM - length, "%llx.%s", (unsigned long long)n, ENDS[bits >> 61]);
}

static void make_policy(uint64_t count) {
    static const uint8_t LOOPBACK[4] = {127, 0, 0, 3};
    struct ruleset *rules = ruleset_new(&(struct ruleset_answers){.loopback = ip_from_v4(LOOPBACK)});
    int zone = ruleset_add_zone(rules, &(struct ruleset_zone){.name = "bench"});
    const char *why = NULL;
    for (uint64_t i = 0; i < count; i++) {
        char text[NAME_ROOM];
        size_t length = make_name(i, text);
        struct rule rule = {.trigger = TRIGGER_DOMAIN,
                            .match = MATCH_SUBTREE,
                            .action = ACTION_LOOPBACK,
                            .ttl = RULE_TTL_MAX,
                            .confidence = 90,
                            .family = "Bench"};
        if (name_from_text(&rule.name, text, length, &why) != 0 || ruleset_add(rules, zone, &rule, &why) != 0)
            fail(text, why);
    }
    char path[300];
    snprintf(path, sizeof path, "%s/snapshot", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || compile_write(rules, &(struct compile_options){.seed = SEED}, fd) != 0)
        fail(path, NULL);
    close(fd);
    ruleset_free(rules);
    if (snapshot_open(&snapshot, path, &why) != 0)
        fail(path, why);
}

/* The hit on the n-th name, as a worker would record it; padded to a fixed size. */
static void make_record(struct record *record, uint64_t n) {
    char text[NAME_ROOM];
    struct name name;
    struct name_key key;
    struct verdict verdict;
    if (name_from_text(&name, text, make_name(n, text), NULL) != 0)
        fail(text, NULL);
    *record = (struct record){.kind = RECORD_HIT, .qtype = 1, .qname_length = name.length, .snapshot = snapshot};
    record->client = ip_from_v4((const uint8_t[]){10, 0, 0, 1});
    memcpy(record->names, name.wire, name.length);
    record->size = (uint16_t)((sizeof(struct record) + name.length + 7u) & ~7u);
    name_key_init(&key, record->names, record->qname_length, snapshot_seed(snapshot));
    match_query(snapshot, &key, &record->client, 1700000000, &verdict);
    if (!verdict.decided)
        fail(text, "not matched");
    record->action = verdict.decision.action;
    record->mode = verdict.decision.mode;
    record->trigger = verdict.decision.trigger;
    record->rule = verdict.decision.rule;
    record->profile = verdict.decision.profile;
    record->owner_length = verdict.decision.owner_length;
}

static void say(void *context, const char *level, const char *text) {
    fprintf(stderr, "bench_writer: %s: %s\n", level, text);
}

static void fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    fail(path, message);
}

static void start_writer(void) {
    char text[1024];
    int length =
        snprintf(text, sizeof text,
                 "{\"listen\": [\"dns://127.0.0.1:5300\"], \"forward\": [{\"zone\": \".\", \"to\": [\"dns://127.0.0.1:5301\"]}],"
                 "\"state_dir\": \"%s\", \"log\": {\"hits\": \"%s/hits.jsonl\"}}",
                 folder, folder);
    struct config *config = config_parse("/tmp/bench.json", text, (size_t)length, fault, NULL);
    int error = 0;
    writer = config == NULL ? NULL : writer_start(config, 1, say, NULL, &error);
    if (writer == NULL)
        fail("writer", strerror(-error));
    config_unref(config);
}

enum { RECORD_ROOM = 192 };

/* Puts `count` hits at `rate` a second; `clients` take turns. Prints the writer's processor time a hit, its pause included. */
static void job(const char *label, const uint8_t *records, uint64_t different, uint64_t count, uint64_t rate, unsigned clients) {
    union {
        struct record record;
        uint8_t octets[RECORD_ROOM];
    } room;
    struct writer_stats before, after;
    writer_stats(writer, &before);
    uint64_t process = clock_ns(CLOCK_PROCESS_CPUTIME_ID), own = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t begun = clock_ns(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(&room, records + i % different * RECORD_ROOM, RECORD_ROOM);
        unsigned client = (unsigned)(i % clients);
        room.record.client = ip_from_v4((const uint8_t[]){10, 0, (uint8_t)(client >> 8), (uint8_t)client});
        if (i % BURST == 0) {
            uint64_t due = rate == 0 ? 0 : begun + i * 1000000000 / rate, now;
            while ((now = clock_ns(CLOCK_MONOTONIC)) < due)
                nanosleep(&(struct timespec){0, (long)(due - now)}, NULL);
            room.record.ts_us = clock_ns(CLOCK_REALTIME) / 1000;
        } else {
            room.record.ts_us = clock_ns(CLOCK_REALTIME) / 1000;
        }
        while (!ring_put(writer_ring(writer, 0), &room.record))
            nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    do {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        writer_stats(writer, &after);
    } while (after.hits - before.hits < count);
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e9;
    nanosleep(&(struct timespec){1, 100000000}, NULL); /* what the next second is owed */
    writer_stats(writer, &after);
    uint64_t used = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - process - (clock_ns(CLOCK_THREAD_CPUTIME_ID) - own);
    printf("%-44s %9llu hits %9llu lines %9.0f hits/s %7.3f us a hit\n", label, (unsigned long long)count,
           (unsigned long long)(after.lines - before.lines), (double)count / seconds, (double)used / 1e3 / (double)count);
    fflush(stdout);
}

int main(int argc, char **argv) {
    uint64_t rules = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, hits = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000;
    uint64_t rate = argc > 3 ? strtoull(argv[3], NULL, 10) : 100000;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/sundew-bench-XXXXXX", tmp != NULL ? tmp : "/tmp");
    uint8_t *records = aligned_alloc(64, hits * RECORD_ROOM);
    if (mkdtemp(folder) == NULL || records == NULL || hits > rules)
        fail(folder, NULL);
    make_policy(rules);
    for (uint64_t i = 0; i < hits; i++)
        make_record((struct record *)(void *)(records + i * RECORD_ROOM), i * (rules / hits));
    start_writer();
    uint64_t again = REPEAT_SECONDS * (rate == 0 ? 1000000 : rate), jobs = argc > 4 ? strtoull(argv[4], NULL, 10) : 4;
    job("different names of one client", records, hits, hits, rate, 1);
    if (jobs > 1)
        job("the same again and again", records, hits, again, rate, 1);
    if (jobs > 2)
        job("one name of 10,000 clients, again and again", records, 1, again, rate, CLIENTS);
    if (jobs > 3)
        job("different names of different clients", records, hits, hits, rate, CLIENTS);
    writer_stop(writer);
    char path[300];
    struct stat at;
    snprintf(path, sizeof path, "%s/ledger.db", folder);
    printf("ledger: %lld octets\n", stat(path, &at) == 0 ? (long long)at.st_size : -1);
    snapshot_unref(snapshot);
    free(records);
    snprintf(path, sizeof path, "rm -rf %s", folder);
    return system(path) == 0 ? 0 : 1;
}
