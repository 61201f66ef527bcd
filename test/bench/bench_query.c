/* test/bench/bench_query.c: the query machine alone, on a real cache and a real snapshot, for callgrind to count instructions.
 *
 * usage: bench_query make FILE RULES      compiles a snapshot of so many domain rules into FILE
 *        bench_query count FILE RULES KIND  runs QUERIES queries of one kind, each within measured(), on that snapshot
 *        bench_query time FILE RULES      nanoseconds a query, one packet after another and read ahead in batches, names at random
 *        bench_query memory               what a cached answer costs
 * KIND: cached (blank answers, in the cache), policy (a listed name), unlisted (not listed, not cached: until the wish to ask),
 * miss (the same, and upstream's answer built, cached, judged and sent on), cached-batch and policy-batch (BATCH at a time).
 * Everything is made from fixed numbers, and a round that isn't measured goes before, so the count is the same every time. Called
 * by script/bench-instructions, which has callgrind collect within measured() and measured_batch() only. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/compile.h"
#include "policy/match.h"
#include "resolver/query.h"

enum {
    BATCH = 16,
    TIMED = 1 << 18,
    QUERIES = 10000,
    ANSWERS = 200000,
    PACKET_MAX = 128,
    NAME_ROOM = 64,
    NOW = 1700000000,
    SEED = 42,
    TTL = 3600
};

struct packet {
    uint8_t octets[PACKET_MAX];
    size_t length;
};

static struct config config = {.cache = {.max_ttl = 86400, .max_negative_ttl = 3600, .serve_stale = 86400, .prefetch = true}};
static struct stats stats;
static struct view view = {.config = &config};
static struct query_env env = {.view = &view, .stats = &stats, .now_ms = 1000000, .wall_us = (uint64_t)NOW * 1000000};
static const struct client client = {.protocol = PROTOCOL_UDP, .port = 5353};
static uint8_t out[QUERY_UDP_MAX];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "bench_query: %s: %s\n", what, why != NULL ? why : "failed");
    exit(1);
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

static void make_snapshot(const char *path, uint64_t count) {
    static const uint8_t LOOPBACK[4] = {127, 0, 0, 3};
    struct ruleset *rules = ruleset_new(&(struct ruleset_answers){.loopback = ip_from_v4(LOOPBACK)});
    int zone = ruleset_add_zone(rules, &(struct ruleset_zone){.name = "bench"});
    for (uint64_t i = 0; i < count; i++) {
        char text[NAME_ROOM];
        size_t length = make_name(i, text);
        struct rule rule = {.trigger = TRIGGER_DOMAIN,
                            .match = MATCH_SUBTREE,
                            .action = ACTION_LOOPBACK,
                            .ttl = RULE_TTL_MAX,
                            .confidence = 90,
                            .family = "Bench"};
        const char *why = NULL;
        if (name_from_text(&rule.name, text, length, &why) != 0 || ruleset_add(rules, zone, &rule, &why) != 0)
            fail(text, why);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || compile_write(rules, &(struct compile_options){.seed = SEED}, fd) != 0)
        fail(path, NULL);
    close(fd);
    ruleset_free(rules);
}

static void open_snapshot(const char *path) {
    const char *why = NULL;
    if (snapshot_open(&view.snapshot, path, &why) != 0)
        fail(path, why);
    view.generation = snapshot_generation(view.snapshot);
    view.seed = snapshot_seed(view.snapshot);
}

/* A query for A, as a stub sends it: RD, no EDNS. */
static void make_query(struct packet *packet, uint64_t n) {
    static const uint8_t HEADER[WIRE_HEADER] = {0x12, 0x34, 1, 0, 0, 1}, TAIL[] = {0, TYPE_A, 0, CLASS_IN};
    char text[NAME_ROOM];
    struct name name;
    if (name_from_text(&name, text, make_name(n, text), NULL) != 0)
        fail(text, NULL);
    memcpy(packet->octets, HEADER, sizeof HEADER);
    memcpy(packet->octets + WIRE_HEADER, name.wire, name.length);
    memcpy(packet->octets + WIRE_HEADER + name.length, TAIL, sizeof TAIL);
    packet->length = (size_t)WIRE_HEADER + name.length + sizeof TAIL;
}

/* What upstream says to it: one address. */
static void make_message(struct packet *message, const struct packet *query) {
    static const uint8_t RECORD[] = {0xc0, WIRE_HEADER, 0, TYPE_A, 0, CLASS_IN, 0, 0, TTL >> 8, TTL & 0xff, 0, 4, 192, 0, 2, 1};
    *message = *query;
    message->octets[2] = 0x81;
    message->octets[3] = 0x80;
    message->octets[7] = 1;
    memcpy(message->octets + message->length, RECORD, sizeof RECORD);
    message->length += sizeof RECORD;
}

/* As upstream.c does: build, cache, hand over. */
static enum query_wish hear(struct query *query, const struct packet *message, size_t *length) {
    static const struct answer_limits limits = {.max_ttl = 86400, .max_negative_ttl = 3600};
    const struct question *question = &query->ask.question;
    struct name_key key;
    struct answer *answer;
    uint32_t now = (uint32_t)(env.now_ms / 1000);
    if (answer_from_message(&answer, question, message->octets, message->length, &limits, now) != 0)
        fail("answer", NULL);
    name_key_init(&key, question->name.wire, question->name.length, view.seed);
    struct cache_key cached = {.hash = key.hash[key.labels], .name = key.wire, .length = key.length, .type = question->type};
    cache_put(env.cache, &cached, answer, now);
    enum query_wish wish = query_answered(&env, query, answer, out, length);
    answer_unref(answer);
    query_done(query);
    return wish;
}

static void empty_ring(void) {
    while (ring_peek(env.ring) != NULL)
        ring_drop(env.ring);
}

/* What callgrind counts: one query, up to the wish that is wanted of it. */
__attribute__((noinline, noclone)) static enum query_wish measured(struct query *query, const struct packet *packet,
                                                                   const struct packet *message) {
    size_t length;
    enum query_wish wish = query_begin(&env, &client, packet->octets, packet->length, query, out, &length);
    return message != NULL && wish == QUERY_ASK ? hear(query, message, &length) : wish;
}

static void ask(uint64_t n, bool hear_answer, enum query_wish wanted) {
    static struct query query;
    struct packet packet, message;
    make_query(&packet, n);
    make_message(&message, &packet);
    if (measured(&query, &packet, hear_answer ? &message : NULL) != wanted)
        fail("query", "not the answer that was expected");
    if (wanted == QUERY_ASK)
        query_done(&query);
    empty_ring();
}

/* The same for packets that came together, each answered at once. */
__attribute__((noinline, noclone)) static void measured_batch(struct arrival *arrivals, unsigned count) {
    static struct query query;
    size_t length;
    query_ahead(&env, arrivals, count);
    for (unsigned i = 0; i < count; i++) {
        if (query_admit(&env, &arrivals[i], &query, out, &length) != QUERY_REPLY)
            fail("query", "not answered at once");
    }
}

static void ask_batch(const struct packet *packets, unsigned count) {
    static struct arrival arrivals[BATCH];
    for (unsigned i = 0; i < count; i++) {
        arrivals[i].client = &client;
        arrivals[i].packet = packets[i].octets;
        arrivals[i].length = packets[i].length;
    }
    measured_batch(arrivals, count);
    empty_ring();
}

/* The warm-up: measured() isn't its name, so it isn't counted. */
static void warm(uint64_t first) {
    static struct query query;
    for (uint64_t i = first; i < first + QUERIES; i++) {
        struct packet packet, message;
        size_t length;
        make_query(&packet, i);
        make_message(&message, &packet);
        if (query_begin(&env, &client, packet.octets, packet.length, &query, out, &length) == QUERY_ASK)
            hear(&query, &message, &length);
        empty_ring();
    }
}

/* Batches as a worker reads them ahead. */
static void count_batches(uint64_t first, uint64_t step) {
    struct packet packets[BATCH];
    for (uint64_t i = 0; i < QUERIES; i += BATCH) {
        for (unsigned j = 0; j < BATCH; j++)
            make_query(&packets[j], first + (i + j) * step);
        ask_batch(packets, BATCH);
    }
}

static void count(uint64_t rules, const char *kind) {
    bool miss = strcmp(kind, "miss") == 0, listed = strncmp(kind, "policy", 6) == 0;
    env.ring = ring_new(1 << 20, NULL, NULL);
    env.asked = calloc(QUERY_ASKED, sizeof *env.asked);
    env.cache = cache_new((size_t)128 << 20);
    if (env.ring == NULL || env.asked == NULL || env.cache == NULL)
        fail("memory", NULL);
    warm(rules);
    if (listed)
        warm(0);
    if (strcmp(kind, "cached-batch") == 0)
        count_batches(rules, 1);
    else if (strcmp(kind, "policy-batch") == 0)
        count_batches(0, rules / QUERIES);
    for (uint64_t i = 0; i < QUERIES && strstr(kind, "-batch") == NULL; i++) {
        if (strcmp(kind, "cached") == 0)
            ask(rules + i, false, QUERY_REPLY);
        else if (strcmp(kind, "policy") == 0)
            ask(i * (rules / QUERIES), false, QUERY_REPLY);
        else if (miss || strcmp(kind, "unlisted") == 0)
            ask(rules + QUERIES + i, miss, miss ? QUERY_REPLY : QUERY_ASK);
        else
            fail(kind, "no such kind");
    }
    uint64_t hits = atomic_load(&stats.count[STAT_POLICY_HITS]);
    if (listed ? hits < QUERIES : hits > 0)
        fail(kind, "wrong number of policy hits");
    printf("%d\n", QUERIES);
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Nanoseconds a query of those that are answered at once, `batch` of them at a time. */
static double time_batches(const struct packet *packets, unsigned batch) {
    double began = now_ns();
    for (unsigned i = 0; i < TIMED; i += batch)
        ask_batch(packets + i, batch);
    return (now_ns() - began) / TIMED;
}

/* Answers for ANSWERS names that no rule lists, and queries for them or for listed names, at random. */
static void time_all(uint64_t rules) {
    static const unsigned BATCHES[] = {1, 4, BATCH};
    struct packet *packets = malloc(TIMED * sizeof *packets);
    env.ring = ring_new(1 << 20, NULL, NULL);
    env.asked = calloc(QUERY_ASKED, sizeof *env.asked);
    env.cache = cache_new((size_t)1 << 30);
    if (packets == NULL || env.ring == NULL || env.asked == NULL || env.cache == NULL)
        fail("memory", NULL);
    for (uint64_t i = 0; i < ANSWERS; i += QUERIES)
        warm(rules + i);
    for (unsigned listed = 0; listed < 2; listed++) {
        uint64_t state = 1;
        for (unsigned i = 0; i < TIMED; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            make_query(&packets[i], listed ? (state >> 24) % rules : rules + (state >> 24) % ANSWERS);
        }
        for (unsigned i = 0; i < sizeof BATCHES / sizeof *BATCHES; i++) {
            double best = 1e9;
            for (unsigned round = 0; round < 5; round++) {
                double spent = time_batches(packets, BATCHES[i]);
                best = spent < best ? spent : best;
            }
            printf("%s, %2u at a time: %.0f ns a query\n", listed ? "listed" : "cached", BATCHES[i], best);
        }
    }
    free(packets);
}

/* Octets that an answer takes in the cache, by its own count and by malloc's, beside those that it had on the wire. */
static void memory(void) {
    static const struct answer_limits limits = {.max_ttl = 86400, .max_negative_ttl = 3600};
    struct cache *cache = cache_new((size_t)1 << 30);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, wire = 0;
    for (uint64_t i = 0; i < ANSWERS; i++) {
        struct packet packet, message;
        struct message parsed;
        struct answer *answer;
        struct name_key key;
        make_query(&packet, i);
        make_message(&message, &packet);
        message_parse(&parsed, packet.octets, packet.length);
        if (answer_from_message(&answer, &parsed.question, message.octets, message.length, &limits, 1000) != 0)
            fail("answer", NULL);
        name_key_init(&key, parsed.question.name.wire, parsed.question.name.length, SEED);
        struct cache_key cached = {.hash = key.hash[key.labels], .name = key.wire, .length = key.length, .type = TYPE_A};
        cache_put(cache, &cached, answer, 1000);
        answer_unref(answer);
        wire += message.length;
    }
    struct cache_stats held;
    cache_stats(cache, &held);
    double answers = (double)held.entries;
    double allocated = (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before);
    double mean = (double)wire / ANSWERS;
    printf("a cached answer of %.1f octets: %.1f by the cache's count, %.1f by malloc's; the goal is %.1f\n", mean,
           (double)held.octets / answers, allocated / answers, 1.5 * mean + 64);
    cache_free(cache);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "memory") == 0) {
        memory();
    } else if (argc == 4 && strcmp(argv[1], "make") == 0) {
        make_snapshot(argv[2], strtoull(argv[3], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "count") == 0) {
        open_snapshot(argv[2]);
        count(strtoull(argv[3], NULL, 10), argv[4]);
    } else if (argc == 4 && strcmp(argv[1], "time") == 0) {
        open_snapshot(argv[2]);
        time_all(strtoull(argv[3], NULL, 10));
    } else {
        fputs("usage: bench_query make FILE RULES | count FILE RULES KIND | time FILE RULES | memory\n", stderr);
        return 2;
    }
    return 0;
}
