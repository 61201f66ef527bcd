/* test/replay/batch.c: packets that are read ahead together get what they get one by one.
 *
 * Two worlds with the same policy and the same upstream, each with a cache of its own, hear the same packets: one takes each by
 * itself (query_begin), the other takes those of a round together (query_ahead, query_admit). Names are few, so that a round holds
 * the same name several times, fresh, stale and forgotten, listed, protected, and twisted packets between them. Replies, wishes,
 * records and counters must be the same, octet by octet. usage: batch [SEED] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/query.h"
#include "test/replay/policy.h"
#include "test/unit/dns_text.h"

enum { ROUNDS = 3000, BATCH = 24, NAMES = 24, PACKET_MAX = 512, VIEWS = 2 };

struct world {
    struct query_env env;
    struct stats stats;
    struct view views[VIEWS];
    struct query queries[BATCH];
    enum query_wish wish[BATCH];
    bool refresh[BATCH];
    struct question refreshed[BATCH];
    size_t length[BATCH];
    uint8_t out[BATCH][QUERY_REPLY_MAX];
};

struct packet {
    struct client client;
    uint8_t *octets; /* exactly as many, so that a read beyond them is seen */
    size_t length;
};

static struct config config = {
    .cache = {.max_ttl = 86400, .max_negative_ttl = 3600, .serve_stale = 40, .prefetch = true},
    .history = {.enabled = true},
};
static uint64_t state, seed = 20261122;
static unsigned now_round;
static bool hopeful;

bool upstream_shared_hopeful(struct upstream_shared *shared, const struct question *question) {
    return hopeful;
}

static unsigned below(unsigned limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 33) % limit);
}

static void fail(const char *what, unsigned packet) {
    fprintf(stderr, "batch: seed %llu, round %u, packet %u: %s differs\n", (unsigned long long)seed, now_round, packet, what);
    exit(1);
}

static struct snapshot *make_policy(bool second) {
    static const char *const lines[] = {
        "zone watch monitor",
        "rule n4.test nodata",
        "zone main",
        "rule n0.test loopback",
        "rule n1.test below sinkhole",
        "rule n2.test nxdomain ttl 60",
        "rule n3.test cname target n12.test",
        "rule n5.test drop",
        "rule n6.test truncate",
        "rule n7.test passthru",
        "rule n8.test loopback",
        "rule ip 203.0.113.0/24 nodata",
        "protect n8.test",
        "rule n9.test exact nxdomain expires 1700000500",
    };
    struct policy_text *policy = policy_text_new(&config);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        policy_text_line(policy, lines[i]);
    if (second) {
        policy_text_line(policy, "rule n13.test nodata");
        policy_text_line(policy, "rule client 10.0.0.2/32 nxdomain");
    }
    struct snapshot *snapshot = policy_text_snapshot(policy);
    policy_text_free(policy);
    return snapshot;
}

static void world_init(struct world *world, struct snapshot *const *snapshots) {
    for (unsigned i = 0; i < VIEWS; i++)
        world->views[i] = (struct view){.config = &config,
                                        .snapshot = snapshots[i],
                                        .generation = snapshot_generation(snapshots[i]),
                                        .seed = snapshot_seed(snapshots[i])};
    world->env = (struct query_env){.view = world->views,
                                    .cache = cache_new(1 << 20),
                                    .upstream = (struct upstream_shared *)world,
                                    .ring = ring_new(1 << 18, NULL, NULL),
                                    .stats = &world->stats,
                                    .now_ms = 1000000,
                                    .wall_us = UINT64_C(1700000000000000),
                                    .asked = calloc(QUERY_ASKED, sizeof(uint32_t))};
}

static void world_done(struct world *world) {
    cache_free(world->env.cache);
    ring_free(world->env.ring);
    free(world->env.asked);
}

/* What a client sends: mostly a question that is in order. */
static void make_packet(struct packet *packet) {
    static const char *const ends[] = {"test", "TesT", "a.test", "example"};
    uint8_t octets[PACKET_MAX] = {0};
    char text[64];
    struct name name;
    struct wire_out out;
    snprintf(text, sizeof text, "n%u.%s", below(NAMES), ends[below(2) ? 0 : below(4)]);
    name_from_text(&name, text, strlen(text), NULL);
    bool edns = below(3) == 0;
    wire_out_init(&out, octets, sizeof octets, 0);
    wire_put16(&out, below(65536));
    wire_put16(&out, below(20) == 0 ? below(65536) : FLAG_RD);
    wire_put16(&out, below(40) != 0);
    wire_put32(&out, 0);
    wire_put16(&out, edns);
    wire_put(&out, name.wire, name.length);
    wire_put16(&out, below(4) ? TYPE_A : TYPE_AAAA);
    wire_put16(&out, below(30) ? CLASS_IN : 3);
    if (edns) {
        wire_put(&out, "", 1);
        wire_put16(&out, TYPE_OPT);
        wire_put16(&out, 100 + below(2000));
        wire_put32(&out, below(2) ? 0x8000 : 0);
        wire_put16(&out, 0);
    }
    packet->length = below(25) ? out.at : below((unsigned)out.at);
    packet->octets = malloc(packet->length + (packet->length == 0));
    memcpy(packet->octets, octets, packet->length);
    packet->client = (struct client){.port = 5353, .protocol = below(6) ? PROTOCOL_UDP : PROTOCOL_TCP};
    packet->client.address = ip_from_v4((const uint8_t[]){10, 0, 0, (uint8_t)below(3)});
}

/* What upstream says depends on the question alone: addresses, a listed one among them, chains into listed names, nothing, failure.
 */
static struct answer *from_upstream(const struct question *question, uint32_t now) {
    static const struct answer_limits limits = {.max_ttl = 86400, .max_negative_ttl = 3600};
    char name[NAME_TEXT_MAX], text[4 * NAME_TEXT_MAX];
    uint8_t message[2000];
    struct answer *answer;
    name_to_text(question->name.wire, name);
    const char *type = question->type == TYPE_A ? "A" : "AAAA";
    const char *data = question->type == TYPE_A ? "192.0.2.1" : "2001:db8::1";
    /* For a prefetch 9 s are too short. Below test. there are rules: which query of a listed name finds its answer in need of one,
     * when policy decides some of them, depends on whether cache or policy is asked first. */
    unsigned ttl = strstr(name, ".test") ? 9 : 90;
    int length = snprintf(text, sizeof text, "question %s %s\n", name, type);
    char *more = text + length;
    size_t room = sizeof text - (size_t)length;
    switch (question->name.wire[2] % 6) {
    case 0:
        snprintf(more, room, "answer %s. %u %s %s", name, ttl, type, data);
        break;
    case 1:
        snprintf(more, room, "answer %s. 9 CNAME n0.test.\nanswer n0.test. 9 %s %s", name, type, data);
        break;
    case 2:
        snprintf(more, room, "rcode nxdomain\nauthority test. 7 SOA a. b. 1 2 3 4 7");
        break;
    case 3:
        snprintf(more, room, "answer %s. %u %s %s", name, ttl, type, question->type == TYPE_A ? "203.0.113.9" : data);
        break;
    case 4:
        snprintf(more, room, "answer %s. %u CNAME n18.example.", name, ttl);
        break;
    default:
        return answer_failure(question, RCODE_SERVFAIL, 22, 5, now);
    }
    if (answer_from_message(&answer, question, message, dns_message(text, message, sizeof message), &limits, now) != 0)
        answer = answer_failure(question, RCODE_SERVFAIL, 22, 5, now);
    return answer;
}

/* Upstream answers whom it was asked for, in order. */
static void answer_all(struct world *world, unsigned count) {
    uint32_t now = (uint32_t)(world->env.now_ms / 1000);
    for (unsigned i = 0; i < count; i++) {
        struct query *query = &world->queries[i];
        bool waited = world->wish[i] == QUERY_ASK;
        while (world->wish[i] == QUERY_ASK) {
            const struct question *question = &query->ask.question;
            struct name_key key;
            name_key_init(&key, question->name.wire, question->name.length, world->env.view->seed);
            struct cache_key cached = {key.hash[key.labels],        key.wire,      key.length, question->dnssec_ok,
                                       question->checking_disabled, question->type};
            struct answer *answer = from_upstream(question, now);
            cache_put(world->env.cache, &cached, answer, now);
            world->wish[i] = query_answered(&world->env, query, answer, world->out[i], &world->length[i]);
            answer_unref(answer);
        }
        if (waited)
            query_done(query);
    }
}

static void note_refresh(struct world *world, unsigned i) {
    world->refresh[i] = world->env.refresh;
    world->refreshed[i] = world->env.refresh_question;
}

static void one_by_one(struct world *world, const struct packet *packets, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        world->wish[i] = query_begin(&world->env, &packets[i].client, packets[i].octets, packets[i].length, &world->queries[i],
                                     world->out[i], &world->length[i]);
        note_refresh(world, i);
    }
}

static void together(struct world *world, const struct packet *packets, unsigned count) {
    static struct arrival arrivals[BATCH];
    memset(arrivals, 0xa5, sizeof arrivals);
    for (unsigned i = 0; i < count; i++) {
        arrivals[i].client = &packets[i].client;
        arrivals[i].packet = packets[i].octets;
        arrivals[i].length = packets[i].length;
    }
    query_ahead(&world->env, arrivals, count);
    for (unsigned i = 0; i < count; i++) {
        world->wish[i] = query_admit(&world->env, &arrivals[i], &world->queries[i], world->out[i], &world->length[i]);
        note_refresh(world, i);
    }
}

static void compare(const struct world *a, const struct world *b, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (a->wish[i] != b->wish[i])
            fail("wish", i);
        if (a->refresh[i] != b->refresh[i] || (a->refresh[i] && (!name_equal(&a->refreshed[i].name, &b->refreshed[i].name) ||
                                                                 a->refreshed[i].type != b->refreshed[i].type)))
            fail("wish to refresh", i);
        if (a->wish[i] == QUERY_REPLY && (a->length[i] != b->length[i] || memcmp(a->out[i], b->out[i], a->length[i]) != 0))
            fail("reply", i);
        if (a->wish[i] == QUERY_ASK && (!name_equal(&a->queries[i].ask.question.name, &b->queries[i].ask.question.name) ||
                                        a->queries[i].deadline_ms != b->queries[i].deadline_ms))
            fail("question to upstream", i);
    }
}

static void compare_records(struct world *a, struct world *b) {
    for (unsigned i = 0;; i++) {
        const struct record *x = ring_peek(a->env.ring), *y = ring_peek(b->env.ring);
        if (x == NULL && y == NULL)
            return;
        if (x == NULL || y == NULL || x->size != y->size || memcmp(x, y, x->size) != 0)
            fail("record", i);
        ring_drop(a->env.ring);
        ring_drop(b->env.ring);
    }
}

static void play_round(struct world *a, struct world *b) {
    struct packet packets[BATCH];
    unsigned count = 1 + below(BATCH), view = below(VIEWS), seconds = below(4) ? 0 : below(30);
    for (unsigned i = 0; i < count; i++)
        make_packet(&packets[i]);
    hopeful = below(4) != 0;
    struct world *const worlds[] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        struct query_env *env = &worlds[i]->env;
        env->view = &worlds[i]->views[view];
        env->now_ms += seconds * UINT64_C(1000);
        env->wall_us += seconds * UINT64_C(1000000);
    }
    one_by_one(a, packets, count);
    together(b, packets, count);
    compare(a, b, count);
    for (unsigned i = 0; i < count; i++)
        free(packets[i].octets);
    answer_all(a, count);
    answer_all(b, count);
    compare(a, b, count);
    compare_records(a, b);
    if (memcmp(&a->stats, &b->stats, sizeof a->stats) != 0)
        fail("counters", 0);
    if (a->env.view->pins + b->env.view->pins > 0)
        fail("pins", 0);
}

int main(int argc, char **argv) {
    static struct world worlds[2];
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    state = seed;
    ip_from_text(&config.policy.loopback, "127.0.0.3", 9);
    config.policy.extended_errors = config.policy.break_dnssec = true;
    struct snapshot *snapshots[VIEWS] = {make_policy(false), make_policy(true)};
    world_init(&worlds[0], snapshots);
    world_init(&worlds[1], snapshots);
    for (; now_round < ROUNDS; now_round++)
        play_round(&worlds[0], &worlds[1]);
    static const enum stat_id seen[] = {STAT_CACHE_HITS, STAT_CACHE_MISSES, STAT_POLICY_HITS, STAT_MONITOR_HITS,
                                        STAT_STALE,      STAT_PREFETCHES,   STAT_PASSTHRU,    STAT_BAD_PACKETS};
    for (unsigned i = 0; i < sizeof seen / sizeof *seen; i++) {
        if (atomic_load(&worlds[0].stats.count[seen[i]]) < 10)
            fail("what was to be tried, and hardly was: a counter", i);
    }
    world_done(&worlds[0]);
    world_done(&worlds[1]);
    for (unsigned i = 0; i < VIEWS; i++)
        snapshot_unref(snapshots[i]);
    printf("seed %llu: %u rounds\n", (unsigned long long)seed, now_round);
    return 0;
}
