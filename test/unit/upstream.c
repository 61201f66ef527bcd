/* test/unit/upstream.c: forwarders in the test's own loop, on loopback: what is believed, what is tried next, who is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "resolver/udp_pool.h"
#include "resolver/upstream.h"
#include "resolver/wire.h"
#include "test/unit/bad_server.h"

enum { SEED = 42 };

/* --- a worker that asks --- */

struct desk {
    uv_loop_t loop;
    uv_timer_t watch; /* keeps the loop turning while other threads are at work */
    struct config config;
    struct forward forward;
    struct endpoint to[3];
    struct cache *cache;
    struct upstream_shared *shared;
    struct upstream *upstream;
    struct stats stats;
    struct server_under_test servers[3];
    bool closed;
};

struct wish {
    struct ask ask;
    bool told;
    struct answer *answer;
};

static uint64_t count_of(const struct desk *desk, enum stat_id stat) {
    return atomic_load(&desk->stats.count[stat]);
}

static void config_init(struct desk *desk, size_t servers) {
    desk->config.workers = 1;
    desk->config.cache.max_ttl = desk->config.cache.max_negative_ttl = 86400;
    desk->config.cache.serve_stale = 3600;
    desk->config.forward = &desk->forward;
    desk->config.forward_count = 1;
    assert_int_equal(name_from_text(&desk->forward.zone, ".", 1, NULL), 0);
    desk->forward.to = desk->to;
    desk->forward.to_count = servers;
    for (size_t i = 0; i < servers; i++) {
        memcpy(&desk->to[i].address, &desk->servers[i].address, sizeof(desk->servers[i].address));
        desk->to[i].address_length = sizeof(desk->servers[i].address);
        desk->to[i].text = "dns://127.0.0.1";
    }
}

static struct desk *desk_open(size_t servers, const enum manner *manners) {
    struct desk *desk = calloc(1, sizeof(*desk) + 64);
    uv_loop_init(&desk->loop);
    for (size_t i = 0; i < servers; i++)
        server_start(&desk->servers[i], &desk->loop, manners[i]);
    config_init(desk, servers);
    desk->cache = cache_new(1 << 20);
    desk->shared = upstream_shared_new(&desk->config, desk->cache, SEED);
    assert_non_null(desk->shared);
    assert_int_equal(upstream_init(&desk->upstream, desk->shared, &desk->loop, &desk->stats), 0);
    return desk;
}

static void on_desk_closed(void *context) {
    ((struct desk *)context)->closed = true;
}

static void desk_close(struct desk *desk) {
    for (size_t i = 0; i < desk->forward.to_count; i++)
        server_stop(&desk->servers[i]);
    upstream_done(desk->upstream, on_desk_closed, desk);
    uv_run(&desk->loop, UV_RUN_DEFAULT); /* ends: nothing is left open */
    assert_true(desk->closed);
    assert_int_equal(uv_loop_close(&desk->loop), 0);
    upstream_shared_free(desk->shared);
    cache_free(desk->cache);
    free(desk);
}

static void on_done(struct ask *ask, struct answer *answer) {
    struct wish *wish = ask->context;
    assert_false(wish->told);
    wish->told = true;
    wish->answer = answer_ref(answer);
}

static void wish_for(struct desk *desk, struct wish *wish, const char *name) {
    memset(wish, 0, sizeof(*wish));
    assert_int_equal(name_from_text(&wish->ask.question.name, name, strlen(name), NULL), 0);
    wish->ask.question.type = 1;
    wish->ask.done = on_done;
    wish->ask.context = wish;
    assert_int_equal(upstream_ask(desk->upstream, &wish->ask), 0);
    assert_false(wish->told);
}

static void wish_wait(struct desk *desk, struct wish *wish) {
    while (!wish->told)
        uv_run(&desk->loop, UV_RUN_ONCE);
}

static void wish_end(struct wish *wish) {
    if (wish->answer)
        answer_unref(wish->answer);
    wish->answer = NULL;
}

static void assert_answered(struct wish *wish) {
    assert_true(wish->told);
    assert_int_equal(wish->answer->flags & ANSWER_FAILURE, 0);
    assert_int_equal(wish->answer->ancount, 1);
    wish_end(wish);
}

static void assert_failed(struct wish *wish, unsigned ede) {
    assert_true(wish->told);
    assert_true(wish->answer->flags & ANSWER_FAILURE);
    assert_int_equal(wish->answer->rcode, 2);
    assert_int_equal(wish->answer->ede, ede);
    wish_end(wish);
}

static void ask_answered(struct desk *desk, const char *name) {
    struct wish wish;
    wish_for(desk, &wish, name);
    wish_wait(desk, &wish);
    assert_answered(&wish);
}

static void ask_failed(struct desk *desk, const char *name, unsigned ede) {
    struct wish wish;
    wish_for(desk, &wish, name);
    wish_wait(desk, &wish);
    assert_failed(&wish, ede);
}

/* --- tests --- */

static void test_answer(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    struct wish wish = {.ask = {.question = {.type = 1, .dnssec_ok = true, .checking_disabled = true}, .done = on_done}};
    ask_answered(desk, "a.example");
    assert_memory_equal(desk->servers[0].flags, "\x01\x20", 2); /* RD, AD */
    assert_false(desk->servers[0].dnssec_ok);
    wish.ask.context = &wish;
    name_from_text(&wish.ask.question.name, "a.example", 9, NULL);
    assert_int_equal(upstream_ask(desk->upstream, &wish.ask), 0); /* another question, for the cache too */
    wish_wait(desk, &wish);
    assert_answered(&wish);
    assert_memory_equal(desk->servers[0].flags, "\x01\x30", 2); /* and CD */
    assert_true(desk->servers[0].dnssec_ok);
    assert_int_equal(desk->servers[0].queries, 2);
    struct cache_stats stats;
    cache_stats(desk->cache, &stats);
    assert_int_equal(stats.entries, 2);
    desk_close(desk);
}

static void test_spoofed(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_SPOOF});
    ask_answered(desk, "a.example");
    assert_int_equal(count_of(desk, STAT_UPSTREAM_MISMATCHES), 8 + SHORT_SPOOFS);
    assert_int_equal(desk->servers[0].queries, 1);
    desk_close(desk);
}

static void test_truncated(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_TRUNCATE});
    struct wish wishes[20];
    for (size_t i = 0; i < 20; i++)
        wish_for(desk, &wishes[i], (char[]){(char)('a' + (int)i), '.', 'e', '\0'});
    for (size_t i = 0; i < 20; i++)
        wish_wait(desk, &wishes[i]);
    for (size_t i = 0; i < 20; i++)
        assert_answered(&wishes[i]);
    assert_int_equal(desk->servers[0].over_tcp, 20);
    assert_int_equal(desk->servers[0].connections, 1);
    assert_int_equal(count_of(desk, STAT_UPSTREAM_TCP), 20);
    desk_close(desk);
}

static void test_tcp_breaks(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_CUT});
    ask_answered(desk, "a.example");
    ask_answered(desk, "b.example"); /* the old connection breaks under it */
    assert_int_equal(desk->servers[0].connections, 2);
    assert_int_equal(desk->servers[0].over_tcp, 3);
    desk_close(desk);
}

/* A server that takes one query a connection: what it leaves unanswered is asked again; then it gets one a connection. */
static void test_tcp_one_each(void **unused) {
    enum { FIRST = 40, LATER = 6 };
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ONE});
    struct wish wishes[FIRST];
    for (unsigned round = 0, count = FIRST; round < 2; round++, count = LATER) {
        unsigned queries = desk->servers[0].over_tcp, connections = desk->servers[0].connections;
        for (unsigned i = 0; i < count; i++)
            wish_for(desk, &wishes[i], (char[]){(char)('a' + i / 10), (char)('0' + i % 10), (char)('a' + round), '.', 'e', '\0'});
        for (unsigned i = 0; i < count; i++)
            wish_wait(desk, &wishes[i]);
        for (unsigned i = 0; i < count; i++)
            assert_answered(&wishes[i]);
        assert_int_equal(desk->servers[0].over_tcp - queries, count); /* that it read */
        assert_int_equal(desk->servers[0].connections - connections, count);
    }
    assert_in_range(count_of(desk, STAT_UPSTREAM_TCP), FIRST + LATER, 8 * FIRST);
    desk_close(desk);
}

static void test_silent_first(void **unused) {
    const struct question any = {.name = {.length = 1}, .type = TYPE_A};
    struct desk *desk = desk_open(2, (enum manner[]){MANNER_SILENT, MANNER_ANSWER});
    static const char *const names[] = {"a.example", "b.example", "c.example", "d.example", "e.example", "f.example"};
    for (size_t i = 0; i < 6; i++)
        ask_answered(desk, names[i]);
    struct upstream_health health[2];
    assert_int_equal(upstream_shared_health(desk->shared, health, 2), 2);
    assert_true(health[1].up);
    assert_true(health[1].rtt_us > 0);
    assert_true(health[0].timeouts > 0);
    assert_true(desk->servers[0].queries < 6); /* once known, it is left alone */
    assert_true(upstream_shared_hopeful(desk->shared, &any));
    desk_close(desk);
}

static void test_refused_by_network(void **unused) {
    const struct question any = {.name = {.length = 1}, .type = TYPE_A};
    struct desk *desk = desk_open(2, (enum manner[]){MANNER_ANSWER, MANNER_ANSWER});
    server_stop(&desk->servers[0]);
    uv_run(&desk->loop, UV_RUN_NOWAIT);
    ask_answered(desk, "a.example");
    assert_int_equal(count_of(desk, STAT_UPSTREAM_QUERIES), 2);
    struct upstream_health health[2];
    upstream_shared_health(desk->shared, health, 2);
    assert_false(health[0].up);
    server_stop(&desk->servers[1]);
    uv_run(&desk->loop, UV_RUN_NOWAIT);
    ask_failed(desk, "b.example", 23);
    assert_false(upstream_shared_hopeful(desk->shared, &any));
    server_start(&desk->servers[0], &desk->loop, MANNER_ANSWER); /* elsewhere: a new table */
    server_start(&desk->servers[1], &desk->loop, MANNER_ANSWER);
    config_init(desk, 2);
    upstream_shared_configure(desk->shared, &desk->config);
    assert_true(upstream_shared_hopeful(desk->shared, &any));
    ask_answered(desk, "c.example");
    desk_close(desk);
}

static uint16_t unsendable; /* the port to which nothing can be sent */

/* Instead of send(2), for the code under test (test/unit/meson.build). */
ssize_t __real_send(int fd, const void *octets, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *octets, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *octets, size_t length, int flags) {
    struct sockaddr_in to = {0};
    socklen_t size = sizeof(to);
    if (getpeername(fd, (struct sockaddr *)&to, &size) != 0 || ntohs(to.sin_port) != unsendable)
        return __real_send(fd, octets, length, flags);
    errno = EPERM;
    return -1;
}

/* Sending fails when the batch leaves, long after the question was taken; more questions than one batch holds. */
static void test_unsendable(void **unused) {
    enum { COUNT = 150 };
    static struct wish wishes[COUNT];
    struct desk *desk = desk_open(2, (enum manner[]){MANNER_ANSWER, MANNER_ANSWER});
    unsendable = ntohs(desk->servers[0].address.sin_port);
    for (unsigned i = 0; i < COUNT; i++) {
        char name[] = {(char)('a' + i / 15), (char)('a' + i % 15), '\0'};
        wish_for(desk, &wishes[i], name);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        wish_wait(desk, &wishes[i]);
        assert_answered(&wishes[i]);
    }
    assert_int_equal(desk->servers[0].queries, 0);
    assert_int_equal(desk->servers[1].queries, COUNT);
    desk_close(desk);
    desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    unsendable = ntohs(desk->servers[0].address.sin_port);
    ask_failed(desk, "z.example", 23);
    for (unsigned i = 0; i < COUNT; i++) { /* it ends while some were sent, or could not be, and some are held back */
        char name[] = {'z', (char)('a' + i / 15), (char)('a' + i % 15), '\0'};
        wish_for(desk, &wishes[i], name);
    }
    desk_close(desk);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(wishes[i].told);
        wish_end(&wishes[i]);
    }
    unsendable = 0;
}

static void test_failures(void **unused) {
    struct desk *desk = desk_open(2, (enum manner[]){MANNER_SERVFAIL, MANNER_ANSWER});
    ask_answered(desk, "a.example");
    assert_int_equal(desk->servers[0].queries, 1);
    desk->servers[1].manner = MANNER_SERVFAIL;
    ask_failed(desk, "b.example", 6);
    unsigned before = desk->servers[0].queries + desk->servers[1].queries;
    ask_failed(desk, "b.example", 6); /* remembered (RFC 9520) */
    assert_int_equal(desk->servers[0].queries + desk->servers[1].queries, before);
    desk->servers[0].manner = desk->servers[1].manner = MANNER_REFERRAL;
    ask_failed(desk, "c.example", 22);
    desk->servers[0].manner = desk->servers[1].manner = MANNER_GARBAGE;
    ask_failed(desk, "d.example", 22);
    desk->servers[0].manner = desk->servers[1].manner = MANNER_ANSWER;
    ask_answered(desk, "e.example");
    desk_close(desk);
}

static void test_without_edns(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_PLAIN});
    ask_answered(desk, "a.example");
    assert_int_equal(desk->servers[0].queries, 2);
    ask_answered(desk, "b.example"); /* remembered */
    assert_int_equal(desk->servers[0].queries, 3);
    assert_int_equal(desk->servers[0].plain, 2);
    desk_close(desk);
}

static void test_asked_once(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    struct wish wishes[50];
    for (size_t i = 0; i < 50; i++)
        wish_for(desk, &wishes[i], "a.example");
    upstream_cancel(desk->upstream, &wishes[7].ask);
    wish_wait(desk, &wishes[0]);
    for (size_t i = 0; i < 50; i++) {
        if (i == 7)
            assert_false(wishes[i].told);
        else
            assert_answered(&wishes[i]);
    }
    assert_int_equal(desk->servers[0].queries, 1);
    ask_answered(desk, "a.example"); /* another worker may just have had it */
    assert_int_equal(desk->servers[0].queries, 1);
    desk_close(desk);
}

static unsigned distinct(const uint16_t *values, unsigned count) {
    static bool seen[65536];
    unsigned distinct = 0;
    memset(seen, 0, sizeof(seen));
    for (unsigned i = 0; i < count; i++) {
        distinct += !seen[values[i]];
        seen[values[i]] = true;
    }
    return distinct;
}

static void test_hard_to_guess(void **unused) {
    enum { COUNT = 600, RUN = 200 };
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    uint16_t low = 65535, high = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        char name[] = {(char)('a' + i / 25), (char)('a' + i % 25), '\0'};
        ask_answered(desk, name);
    }
    const uint16_t *ports = desk->servers[0].ports, *ids = desk->servers[0].ids;
    for (unsigned i = 0; i < COUNT; i++) {
        low = ports[i] < low ? ports[i] : low;
        high = ports[i] > high ? ports[i] : high;
    }
    for (unsigned i = 0; i + RUN <= COUNT; i++)
        assert_true(distinct(ports + i, RUN) >= RUN - 12); /* fresh ones would do no better */
    assert_true(distinct(ports, COUNT) >= UDP_POOL_FULL - 12);
    assert_true(low >= 1024 && low < 8192 && high > 57344);
    assert_true(distinct(ids, COUNT) >= COUNT - 20);
    desk_close(desk);
}

/* The first server is slow, the second dead: the slow one's answer is still taken, and it stays in good standing. */
static void test_late_answer(void **unused) {
    struct desk *desk = desk_open(2, (enum manner[]){MANNER_LATE, MANNER_SILENT});
    ask_answered(desk, "a.example");
    assert_true(desk->servers[1].queries > 0);
    assert_int_equal(count_of(desk, STAT_UPSTREAM_MISMATCHES), 0);
    struct upstream_health health[2];
    upstream_shared_health(desk->shared, health, 2);
    assert_true(health[0].up);
    desk_close(desk);
}

/* Nobody answers: an error in good time, and the first sign of life ends it. */
static void test_all_silent(void **unused) {
    struct desk *desk = desk_open(2, (enum manner[]){MANNER_SILENT, MANNER_SILENT});
    uint64_t begin = uv_now(&desk->loop);
    ask_failed(desk, "a.example", 22);
    assert_true(uv_now(&desk->loop) - begin < 4000);
    desk->servers[1].manner = MANNER_ANSWER;
    ask_answered(desk, "b.example");
    desk_close(desk);
}

static void test_no_zone(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    name_from_text(&desk->forward.zone, "corp.example", 12, NULL);
    upstream_shared_configure(desk->shared, &desk->config);
    ask_answered(desk, "a.corp.example");
    ask_failed(desk, "a.example", 22);
    desk_close(desk);
}

static void test_left_waiting(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_SILENT});
    struct wish wishes[3];
    wish_for(desk, &wishes[0], "a.example");
    wish_for(desk, &wishes[1], "a.example");
    wish_for(desk, &wishes[2], "b.example");
    uv_run(&desk->loop, UV_RUN_NOWAIT);
    desk_close(desk);
    for (size_t i = 0; i < 3; i++) {
        assert_true(wishes[i].told);
        assert_true(wishes[i].answer->flags & ANSWER_FAILURE);
        wish_end(&wishes[i]);
    }
}

/* --- two workers --- */

enum { NAMES = 300 };

struct colleague {
    uv_loop_t loop;
    uv_thread_t thread;
    struct desk *desk;
    struct upstream *upstream;
    struct stats stats;
    uv_barrier_t *start;
    unsigned told, answered, cached;
    bool leaves_early;
    atomic_bool finished;
    struct wish wishes[NAMES];
};

static void on_colleague_told(struct ask *ask, struct answer *answer) {
    struct colleague *colleague = ask->context;
    colleague->told++;
    colleague->answered += !(answer->flags & ANSWER_FAILURE);
}

static void ask_all(struct colleague *colleague) {
    for (unsigned i = 0; i < NAMES; i++) {
        struct ask *ask = &colleague->wishes[i].ask;
        struct name_key name;
        enum cache_state state;
        uint8_t wire[] = {3, 'a', (uint8_t)('a' + i / 26), (uint8_t)('a' + i % 26), 0};
        name_from_wire(&ask->question.name, wire, sizeof(wire));
        name_key_init(&name, wire, sizeof(wire), SEED);
        struct cache_key key = {.hash = name.hash[1], .name = wire, .length = sizeof(wire), .type = 1};
        ask->question.type = 1;
        ask->done = on_colleague_told;
        ask->context = colleague;
        struct answer *answer = cache_get(colleague->desk->cache, &key, (uint32_t)(uv_now(&colleague->loop) / 1000), 0, &state);
        if (answer) {
            colleague->told++, colleague->answered++, colleague->cached++;
            answer_unref(answer);
        } else {
            assert_int_equal(upstream_ask(colleague->upstream, ask), 0);
        }
        if (i % 8 == 0)
            uv_run(&colleague->loop, UV_RUN_NOWAIT);
    }
}

static void colleague_run(void *context) {
    struct colleague *colleague = context;
    uv_loop_init(&colleague->loop);
    assert_int_equal(upstream_init(&colleague->upstream, colleague->desk->shared, &colleague->loop, &colleague->stats), 0);
    uv_barrier_wait(colleague->start);
    ask_all(colleague);
    while (colleague->told < NAMES && !colleague->leaves_early)
        uv_run(&colleague->loop, UV_RUN_ONCE);
    upstream_done(colleague->upstream, NULL, NULL);
    assert_int_equal(colleague->told, NAMES);
    uv_run(&colleague->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&colleague->loop), 0);
    atomic_store(&colleague->finished, true);
}

static void on_watch(uv_timer_t *timer) {}

/* Runs two workers' threads that want the same names, and the server's loop until both are content. */
static void run_colleagues(struct desk *desk, struct colleague *colleagues) {
    uv_barrier_t start;
    uv_timer_init(&desk->loop, &desk->watch);
    uv_timer_start(&desk->watch, on_watch, 1, 1);
    assert_int_equal(uv_barrier_init(&start, 2), 0);
    for (size_t i = 0; i < 2; i++) {
        colleagues[i].desk = desk;
        colleagues[i].start = &start;
        assert_int_equal(uv_thread_create(&colleagues[i].thread, colleague_run, &colleagues[i]), 0);
    }
    while (!atomic_load(&colleagues[0].finished) || !atomic_load(&colleagues[1].finished))
        uv_run(&desk->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < 2; i++)
        uv_thread_join(&colleagues[i].thread);
    uv_barrier_destroy(&start);
    uv_close((uv_handle_t *)&desk->watch, NULL);
}

static void test_workers_ask_once(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    struct colleague *colleagues = calloc(2, sizeof(*colleagues));
    run_colleagues(desk, colleagues);
    assert_int_equal(colleagues[0].answered, NAMES);
    assert_int_equal(colleagues[1].answered, NAMES);
    assert_int_equal(desk->servers[0].queries, NAMES); /* no more than one worker would have asked */
    free(colleagues);
    desk_close(desk);
}

/* The worker that owns some of the flights leaves: the other one takes them over, nobody is left waiting. */
static void test_worker_leaves(void **unused) {
    struct desk *desk = desk_open(1, (enum manner[]){MANNER_ANSWER});
    struct colleague *colleagues = calloc(2, sizeof(*colleagues));
    colleagues[0].leaves_early = true;
    run_colleagues(desk, colleagues);
    assert_int_equal(colleagues[0].told, NAMES);
    assert_int_equal(colleagues[1].answered, NAMES);
    free(colleagues);
    desk_close(desk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_spoofed),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_tcp_breaks),
        cmocka_unit_test(test_tcp_one_each),
        cmocka_unit_test(test_silent_first),
        cmocka_unit_test(test_refused_by_network),
        cmocka_unit_test(test_unsendable),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_without_edns),
        cmocka_unit_test(test_asked_once),
        cmocka_unit_test(test_hard_to_guess),
        cmocka_unit_test(test_no_zone),
        cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_all_silent),
        cmocka_unit_test(test_left_waiting),
        cmocka_unit_test(test_workers_ask_once),
        cmocka_unit_test(test_worker_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
