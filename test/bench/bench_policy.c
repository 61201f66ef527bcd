/* test/bench/bench_policy.c: what policy costs: octets a rule, nanoseconds a look-up, seconds to compile, milliseconds to open.
 *
 * usage: bench_policy [RULES...]      (default 10000 100000 1000000 10000000; then ip rules, 10000 100000 1000000)
 *
 * Half the rules are exact, half subtree; all have family, confidence, line, reference and dates; 20 zones. Every size runs in a
 * process of its own, so that peak memory is its own. Names are generated from a fixed seed: 20 octets on average, letters and
 * digits evenly spread, which codes worse than real names do. "miss" and "hit" ask for one name after another; "batch" for BATCH
 * names at a time, each step for all of them (match_prefetch), as a worker does. Called by script/bench-policy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/compile.h"
#include "policy/match.h"

enum { BATCH = 32, CLOSE = 4, ZONES = 20, QUERIES = 1 << 19, NAME_ROOM = 64, SEED = 42, NOW = 1700000000 };

static uint64_t state;

static uint32_t below(uint32_t limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) * limit >> 31);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "bench_policy: %s: %s\n", what, why != NULL ? why : "failed");
    exit(1);
}

/* The n-th name of the bench: always the same for the same n. */
static size_t make_name(uint64_t n, char text[NAME_ROOM]) {
    static const char *const SUFFIXES[] = {"com",       "com",    "com",   "com",       "com",         "net",      "org",
                                           "ru",        "xyz",    "top",   "info",      "biz",         "shop",     "cn",
                                           "su",        "online", "site",  "club",      "duckdns.org", "ddns.net", "hopto.org",
                                           "no-ip.biz", "com.br", "co.uk", "pages.dev", "workers.dev", "cc",       "pw",
                                           "me",        "io",     "de",    "nl"};
    static const char ALPHABET[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t kept = state;
    state = (n + 1) * 0x9e3779b97f4a7c15u;
    below(1);
    size_t length = 0;
    if (below(3) == 0) {
        for (size_t i = 2 + below(6); i > 0; i--)
            text[length++] = ALPHABET[below(26)];
        text[length++] = '.';
    }
    for (size_t i = 7 + below(12); i > 0; i--)
        text[length++] = ALPHABET[below(i % 4 ? 26 : 36)];
    length += (size_t)sprintf(text + length, ".%s", SUFFIXES[below(sizeof SUFFIXES / sizeof *SUFFIXES)]);
    state = kept;
    return length;
}

static long status_kb(const char *field) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long value = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0)
            value = atol(line + strlen(field) + 1);
    }
    if (file != NULL)
        fclose(file);
    return value;
}

static struct ruleset *fill(uint64_t count, double *octets) {
    static const uint8_t LOOPBACK[4] = {127, 0, 0, 3};
    struct ruleset_answers answers = {.loopback = ip_from_v4(LOOPBACK)};
    struct ruleset *rules = ruleset_new(&answers);
    for (int i = 0; i < ZONES; i++) {
        char name[16];
        snprintf(name, sizeof name, "zone-%d", i);
        ruleset_add_zone(rules, &(struct ruleset_zone){.name = name});
    }
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        char text[NAME_ROOM];
        char family[24];
        char reference[64];
        size_t length = make_name(i, text);
        snprintf(family, sizeof family, "Family-%llu", (unsigned long long)(i * 31 % 2229));
        snprintf(reference, sizeof reference, "https://threatfox.example/ioc/%llu/", (unsigned long long)(i + 1000000));
        struct rule rule = {.trigger = TRIGGER_DOMAIN,
                            .match = i % 2 ? MATCH_EXACT : MATCH_SUBTREE,
                            .action = ACTION_LOOPBACK,
                            .ttl = RULE_TTL_MAX,
                            .confidence = (uint8_t)(50 + i % 7 * 5),
                            .family = family,
                            .reference = reference,
                            .source = "https://threatfox.example/export/json/full/",
                            .line = (uint32_t)i + 1,
                            .first_seen = NOW - (int64_t)(i % 10000000),
                            .last_seen = NOW};
        const char *why = NULL;
        if (name_from_text(&rule.name, text, length, &why) != 0 || ruleset_add(rules, (int)(i % ZONES), &rule, &why) != 0)
            fail("rule", why);
        total += length;
    }
    *octets = (double)total / (double)count;
    return rules;
}

struct queries {
    uint8_t (*wire)[NAME_ROOM + 16];
    uint8_t *length;
};

static struct queries make_queries(uint64_t count, bool hits) {
    struct queries queries = {malloc(QUERIES * sizeof *queries.wire), malloc(QUERIES)};
    for (uint64_t i = 0; i < QUERIES; i++) {
        uint64_t rule = hits ? ((uint64_t)below(1u << 30) << 10 | below(1024)) % count : count + i;
        char text[NAME_ROOM + 16];
        size_t front = rule % 2 == 0 && i % 4 == 0 ? 4 : 0; /* subtree: names below it as well */
        memcpy(text, "www.", 4);
        size_t length = front + make_name(rule, text + front);
        struct name name;
        if (name_from_text(&name, text, length, NULL) != 0)
            fail("query", text);
        memcpy(queries.wire[i], name.wire, name.length);
        queries.length[i] = name.length;
    }
    return queries;
}

static double time_keys(const struct queries *queries) {
    struct name_key key;
    uint64_t sum = 0;
    double begin = now();
    for (size_t i = 0; i < QUERIES; i++) {
        name_key_init(&key, queries->wire[i], queries->length[i], SEED);
        sum += key.hash[key.labels];
    }
    double spent = now() - begin;
    return sum == 1 ? 0 : spent / QUERIES * 1e9;
}

static double time_matches(const struct snapshot *snapshot, const struct queries *queries, size_t *decided) {
    struct name_key key;
    struct verdict verdict;
    static const uint8_t CLIENT[4] = {10, 0, 0, 1};
    struct ip client = ip_from_v4(CLIENT);
    *decided = 0;
    double begin = now();
    for (size_t i = 0; i < QUERIES; i++) {
        name_key_init(&key, queries->wire[i], queries->length[i], SEED);
        match_query(snapshot, &key, &client, NOW, &verdict);
        *decided += verdict.decided;
    }
    return (now() - begin) / QUERIES * 1e9;
}

/* Names that came together, keyed, then asked for step by step, as a worker does with a batch of packets. */
static double time_batches(const struct snapshot *snapshot, const struct queries *queries, size_t *decided) {
    static struct name_key keys[BATCH];
    static struct match_ahead ahead[BATCH];
    struct verdict verdict;
    static const uint8_t CLIENT[4] = {10, 0, 0, 1};
    struct ip client = ip_from_v4(CLIENT);
    *decided = 0;
    double begin = now();
    for (size_t i = 0; i < QUERIES; i += BATCH) {
        for (size_t j = 0; j < BATCH; j++) {
            name_key_init(&keys[j], queries->wire[i + j], queries->length[i + j], SEED);
            match_prefetch(snapshot, &keys[j], &ahead[j]);
        }
        for (size_t j = 0; j < BATCH; j++)
            match_is_likely(snapshot, &keys[j], &ahead[j]);
        for (size_t j = 0; j < CLOSE; j++)
            match_prefetch_rules(snapshot, &keys[j], &ahead[j]);
        for (size_t j = 0; j < BATCH; j++) {
            if (j + CLOSE < BATCH)
                match_prefetch_rules(snapshot, &keys[j + CLOSE], &ahead[j + CLOSE]);
            match_query_ahead(snapshot, &keys[j], &ahead[j], &client, NOW, &verdict);
            *decided += verdict.decided;
        }
    }
    return (now() - begin) / QUERIES * 1e9;
}

/* The best of some runs, without the key's share. */
static double best_match(const struct snapshot *snapshot, const struct queries *queries, bool hits, bool batches) {
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        size_t decided;
        double key = time_keys(queries);
        double both = (batches ? time_batches : time_matches)(snapshot, queries, &decided);
        best = both - key < best ? both - key : best;
        if (hits ? decided != QUERIES : decided > QUERIES / 1000)
            fail("match", "wrong number of hits");
    }
    return best;
}

static double time_open(const char *path, struct snapshot **snapshot) {
    const char *why = NULL;
    double begin = now();
    if (snapshot_open(snapshot, path, &why) != 0)
        fail("open", why);
    return (now() - begin) * 1e3;
}

static void run(uint64_t count) {
    char path[] = "/tmp/bench-policy-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        fail(path, NULL);
    double octets;
    double begin = now();
    struct ruleset *rules = fill(count, &octets);
    double filled = now() - begin;
    begin = now();
    struct compile_options options = {.seed = SEED};
    int rc = compile_write(rules, &options, fd);
    double compiled = now() - begin;
    if (rc != 0)
        fail("compile", strerror(-rc));
    close(fd);
    long peak = status_kb("VmHWM");
    ruleset_free(rules);

    struct queries misses = make_queries(count, false);
    struct queries hits = make_queries(count, true);
    long mapped_before = status_kb("RssFile");
    struct snapshot *snapshot = NULL;
    double open_ms = 1e9;
    for (int i = 0; i < 5; i++) {
        snapshot_unref(snapshot);
        double spent = time_open(path, &snapshot);
        open_ms = spent < open_ms ? spent : open_ms;
    }
    double miss_ns = best_match(snapshot, &misses, false, false);
    double hit_ns = best_match(snapshot, &hits, true, false);
    double miss_batch_ns = best_match(snapshot, &misses, false, true);
    double hit_batch_ns = best_match(snapshot, &hits, true, true);
    double key_ns = time_keys(&misses);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    double rule_count = (double)stats.rules;
    printf("| %9llu | %4.1f | %5.2f | %5.2f | %5.1f | %5.1f | %5.1f | %5.1f | %5.1f | %5.1f | %5.2f | %5.2f | %5ld | "
           "%5.1f |\n",
           (unsigned long long)stats.rules, octets, (double)stats.resident_bytes / rule_count,
           (double)(status_kb("RssFile") - mapped_before) * 1024 / rule_count, (double)stats.file_bytes / rule_count, key_ns,
           miss_ns, hit_ns, miss_batch_ns, hit_batch_ns, filled, compiled, peak / 1024, open_ms);
    unlink(path);
}

/* --- ip rules -------------------------------------------------------------------------------------------------------------------
 */

/* Nine in ten are IPv4 addresses and short prefixes of all the space, the rest IPv6 /64s and /128s. */
static struct prefix make_prefix(void) {
    uint8_t octets[16] = {
        0x20, 1, (uint8_t)below(16), (uint8_t)below(256), (uint8_t)below(256), (uint8_t)below(256), 0, (uint8_t)below(256)};
    bool v6 = below(10) == 0;
    bool whole = below(4) != 0;
    struct prefix prefix = {.length = v6 && !whole ? 64 : 128};
    if (v6) {
        octets[15] = whole ? (uint8_t)below(256) : 0;
        prefix.ip = ip_from_v6(octets);
        return prefix;
    }
    uint8_t v4[4] = {(uint8_t)(1 + below(222)), (uint8_t)below(256), (uint8_t)below(256), whole ? (uint8_t)below(256) : 0};
    prefix.ip = ip_from_v4(v4);
    prefix.length = whole ? 128 : 120;
    return prefix;
}

static void run_ips(uint64_t count) {
    char path[] = "/tmp/bench-policy-XXXXXX";
    int fd = mkstemp(path);
    struct ruleset *rules = ruleset_new(&(struct ruleset_answers){.has_ipv4 = false});
    int zone = ruleset_add_zone(rules, &(struct ruleset_zone){.name = "ips"});
    struct ip *listed = malloc(count * sizeof *listed);
    struct ip *others = malloc(count * sizeof *others);
    for (uint64_t i = 0; i < count; i++) {
        struct rule rule = {
            .trigger = TRIGGER_IP, .action = ACTION_NXDOMAIN, .prefix = make_prefix(), .family = "Family", .confidence = 75};
        listed[(i * 7919 + 13) % count] = rule.prefix.ip;
        if (ruleset_add(rules, zone, &rule, NULL) != 0)
            fail("rule", NULL);
    }
    for (uint64_t i = 0; i < count; i++)
        others[i] = make_prefix().ip;
    double begin = now();
    struct compile_options options = {.seed = SEED};
    struct snapshot *snapshot = NULL;
    if (compile_write(rules, &options, fd) != 0)
        fail("compile", NULL);
    double compiled = now() - begin;
    close(fd);
    ruleset_free(rules);
    double open_ms = time_open(path, &snapshot);
    static const uint8_t NAME[] = "\3www\7example";
    struct name_key key;
    name_key_init(&key, NAME, sizeof NAME, SEED);
    double spent[2] = {1e9, 1e9};
    size_t decided[2] = {0, 0};
    for (int round = 0; round < 10; round++) {
        const struct ip *asked = round % 2 ? listed : others;
        decided[round % 2] = 0;
        begin = now();
        for (uint64_t i = 0; i < count; i++) {
            struct verdict verdict;
            match_answer(snapshot, &key, true, &asked[i], 1, NULL, NOW, &verdict);
            decided[round % 2] += verdict.decided;
        }
        double each = (now() - begin) / (double)count * 1e9;
        spent[round % 2] = each < spent[round % 2] ? each : spent[round % 2];
    }
    if (decided[1] != count)
        fail("match", "a listed address was not found");
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    printf("| %9llu | %5.1f | %5.1f | %5.1f | %5.2f | %5.1f |\n", (unsigned long long)stats.rules,
           (double)stats.resident_bytes / (double)stats.rules, spent[0], spent[1], compiled, open_ms);
    unlink(path);
}

/* What one read costs whose address the read before it gave, out of 256 MB: a busy machine shows here, and a hit is two of them. */
static double memory_ns(void) {
    enum { LINES = 1 << 22, READS = 1 << 21, WORDS = 8 };
    uint64_t *words = malloc((size_t)LINES * WORDS * sizeof *words);
    uint32_t *order = malloc(LINES * sizeof *order);
    if (words == NULL || order == NULL)
        fail("memory", NULL);
    for (uint32_t i = 0; i < LINES; i++)
        order[i] = i;
    for (uint32_t i = LINES - 1; i > 0; i--) {
        uint32_t other = below(i);
        uint32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (uint32_t i = 0; i < LINES; i++)
        words[(size_t)i * WORDS] = order[i];
    double begin = now();
    uint64_t line = 0;
    for (int i = 0; i < READS; i++)
        line = words[line * WORDS];
    double spent = now() - begin;
    free(words);
    free(order);
    return line > LINES ? 0 : spent / READS * 1e9;
}

/* Runs one size in a process of its own. */
static void run_apart(void (*run_one)(uint64_t count), const char *count) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run_one(strtoull(count, NULL, 10));
        exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail(count, "did not finish");
}

int main(int argc, char **argv) {
    static const char *const SIZES[] = {"10000", "100000", "1000000", "10000000"};
    int sizes = argc > 1 ? argc - 1 : 4;
    printf("memory: %.0f ns a dependent read\n", memory_ns());
    puts("| domain rules | name | resident B/rule | RSS B/rule | file B/rule | key ns | miss ns | hit ns | miss ns, batch | "
         "hit ns, batch | add s | compile s | peak MB | open ms |");
    puts("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (int i = 0; i < sizes; i++)
        run_apart(run, argc > 1 ? argv[i + 1] : SIZES[i]);
    if (argc > 1)
        return 0;
    printf("\n| ip rules | resident B/rule | random ns | listed ns | compile s | open ms |\n|---:|---:|---:|---:|---:|---:|\n");
    for (int i = 0; i < 3; i++)
        run_apart(run_ips, SIZES[i]);
    return 0;
}
