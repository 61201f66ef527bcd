/* test/unit/cache.c: what the cache promises: ages, prefetch, stale, failures, bound, flush, and threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/cache.h"

enum { NOW = 1000000, STALE = 3600 };

/* Its own, so that this test needs no more than the cache. */
static atomic_int alive;

void answer_unref(struct answer *answer) {
    if (atomic_fetch_sub(&answer->references, 1) == 1) {
        atomic_fetch_sub(&alive, 1);
        free(answer);
    }
}

struct item {
    uint8_t wire[64];
    struct cache_key key;
};

/* nNUMBER.example. */
static void item_init(struct item *item, unsigned number, uint16_t type) {
    char label[16];
    int length = snprintf(label, sizeof(label), "n%u", number);
    memset(item, 0, sizeof(*item));
    item->wire[0] = (uint8_t)length;
    memcpy(item->wire + 1, label, (size_t)length);
    memcpy(item->wire + 1 + length, "\7example", 9);
    item->key.name = item->wire;
    item->key.length = (uint8_t)(length + 10);
    item->key.hash = (number + 1) * 0x9e3779b97f4a7c15u;
    item->key.type = type;
}

static struct answer *answer_make(const struct item *item, uint32_t ttl, uint32_t now, uint8_t flags, size_t extra) {
    size_t question = item->key.length + 4u;
    struct answer *answer = calloc(1, sizeof(*answer) + question + extra);
    atomic_fetch_add(&alive, 1);
    atomic_init(&answer->references, 1);
    answer->received = now;
    answer->ttl = ttl;
    answer->flags = flags;
    answer->question = (uint16_t)question;
    answer->length = (uint16_t)(question + extra);
    uint8_t *octets = (uint8_t *)answer->ttl_at;
    memcpy(octets, item->wire, item->key.length);
    octets[item->key.length] = (uint8_t)(item->key.type >> 8);
    octets[item->key.length + 1] = (uint8_t)item->key.type;
    return answer;
}

static void put(struct cache *cache, const struct item *item, uint32_t ttl, uint32_t now, uint8_t flags) {
    struct answer *answer = answer_make(item, ttl, now, flags, 32);
    cache_put(cache, &item->key, answer, now);
    answer_unref(answer);
}

static enum cache_state state_of(struct cache *cache, const struct item *item, uint32_t now) {
    enum cache_state state;
    struct answer *answer = cache_get(cache, &item->key, now, STALE, &state);
    assert_int_equal(answer == NULL, state == CACHE_MISS);
    if (answer)
        answer_unref(answer);
    return state;
}

static void test_ages(void **unused) {
    struct cache *cache = cache_new(1 << 20);
    struct item item;
    item_init(&item, 1, 1);
    assert_int_equal(state_of(cache, &item, NOW), CACHE_MISS);
    put(cache, &item, 100, NOW, 0);
    assert_int_equal(state_of(cache, &item, NOW - 1), CACHE_FRESH); /* a clock that lags */
    assert_int_equal(state_of(cache, &item, NOW + 89), CACHE_FRESH);
    assert_int_equal(state_of(cache, &item, NOW + 90), CACHE_PREFETCH);
    assert_int_equal(state_of(cache, &item, NOW + 90), CACHE_FRESH);
    put(cache, &item, 100, NOW + 90, 0);
    assert_int_equal(state_of(cache, &item, NOW + 180), CACHE_PREFETCH);
    assert_int_equal(state_of(cache, &item, NOW + 190), CACHE_STALE);
    assert_int_equal(state_of(cache, &item, NOW + 190 + STALE - 1), CACHE_STALE);
    assert_int_equal(state_of(cache, &item, NOW + 190 + STALE), CACHE_MISS);
    struct cache_stats stats;
    cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 0);
    put(cache, &item, 0, NOW, 0);
    assert_int_equal(state_of(cache, &item, NOW), CACHE_MISS);
    cache_free(cache);
    assert_int_equal(atomic_load(&alive), 0);
}

static void test_keys_apart(void **unused) {
    struct cache *cache = cache_new(1 << 20);
    struct item item, other;
    item_init(&item, 1, 1);
    put(cache, &item, 100, NOW, 0);
    other = item, other.key.name = other.wire, other.key.dnssec_ok = true;
    assert_int_equal(state_of(cache, &other, NOW), CACHE_MISS);
    other.key.dnssec_ok = false, other.key.checking_disabled = true;
    assert_int_equal(state_of(cache, &other, NOW), CACHE_MISS);
    item_init(&other, 1, 28);
    assert_int_equal(state_of(cache, &other, NOW), CACHE_MISS);
    item_init(&other, 2, 1);
    other.key.hash = item.key.hash; /* a collision is seen */
    assert_int_equal(state_of(cache, &other, NOW), CACHE_MISS);
    put(cache, &other, 100, NOW, 0);
    assert_int_equal(state_of(cache, &item, NOW), CACHE_FRESH);
    assert_int_equal(state_of(cache, &other, NOW), CACHE_FRESH);
    cache_free(cache);
}

static void test_failures(void **unused) {
    struct cache *cache = cache_new(1 << 20);
    struct item item;
    struct answer *young;
    item_init(&item, 1, 1);
    put(cache, &item, 5, NOW, ANSWER_FAILURE);
    assert_int_equal(cache_peek(cache, &item.key, NOW + 1, &young), CACHED_FAILED);
    assert_non_null(young);
    answer_unref(young);
    assert_int_equal(state_of(cache, &item, NOW + 4), CACHE_FRESH); /* remembered, and no prefetch of a failure */
    assert_int_equal(state_of(cache, &item, NOW + 5), CACHE_MISS);  /* never stale */
    put(cache, &item, 100, NOW, 0);
    put(cache, &item, 5, NOW + 200, ANSWER_FAILURE);
    assert_int_equal(state_of(cache, &item, NOW + 200), CACHE_STALE); /* the stale answer stays */
    assert_int_equal(cache_peek(cache, &item.key, NOW + 204, &young), CACHED_FAILED);
    assert_null(young);
    assert_int_equal(cache_peek(cache, &item.key, NOW + 205, &young), CACHED_NOT);
    put(cache, &item, 100, NOW + 206, 0);
    assert_int_equal(cache_peek(cache, &item.key, NOW + 206, &young), CACHED_YOUNG);
    answer_unref(young);
    assert_int_equal(cache_peek(cache, &item.key, NOW + 208, &young), CACHED_NOT);
    put(cache, &item, 5, NOW + 306 + STALE, ANSWER_FAILURE); /* too old to be served: gives way */
    assert_int_equal(state_of(cache, &item, NOW + 306 + STALE), CACHE_FRESH);
    cache_free(cache);
    assert_int_equal(atomic_load(&alive), 0);
}

static void test_bound(void **unused) {
    enum { LIMIT = 1 << 20, COUNT = 40000, HOT = 50 };
    struct cache *cache = cache_new(LIMIT);
    struct cache_stats stats;
    struct item item;
    for (unsigned i = 0; i < COUNT; i++) {
        item_init(&item, i, 1);
        put(cache, &item, 1000, NOW, 0);
        if (i % 500 == 0) {
            for (unsigned hot = 0; hot < HOT; hot++) {
                item_init(&item, hot, 1);
                state_of(cache, &item, NOW);
            }
            cache_stats(cache, &stats);
            assert_true(stats.octets <= LIMIT);
        }
    }
    cache_stats(cache, &stats);
    assert_int_equal(stats.inserted, COUNT);
    assert_int_equal(stats.evicted, COUNT - stats.entries);
    assert_int_equal((uint64_t)atomic_load(&alive), stats.entries);
    assert_true(stats.octets > LIMIT * 8 / 10);
    unsigned kept = 0;
    for (unsigned hot = 0; hot < HOT; hot++) {
        item_init(&item, hot, 1);
        kept += state_of(cache, &item, NOW) == CACHE_FRESH;
    }
    assert_true(kept >= HOT * 9 / 10); /* what is read stays */
    cache_resize(cache, LIMIT / 16);
    cache_stats(cache, &stats);
    assert_true(stats.octets <= LIMIT / 16);
    assert_true(stats.entries > 0);
    struct answer *huge = answer_make(&item, 1000, NOW, 0, LIMIT / 32);
    cache_put(cache, &item.key, huge, NOW);
    answer_unref(huge);
    uint64_t before = stats.entries;
    cache_stats(cache, &stats);
    assert_true(stats.entries + 2 >= before);
    cache_free(cache);
    assert_int_equal(atomic_load(&alive), 0);
}

/* A cached answer costs at most 1.5 x its wire size + 64 octets, at whatever fill a table is. */
static void test_cost(void **unused) {
    struct cache *cache = cache_new(1 << 28);
    struct cache_stats stats;
    struct item item;
    uint64_t wire = 0;
    for (unsigned i = 0; i < 100000; i++) {
        item_init(&item, i, 1);
        struct answer *answer = answer_make(&item, 1000, NOW, 0, 18); /* an A record, with its entry in ttl_at */
        wire += 12u + answer->question + 16;
        cache_put(cache, &item.key, answer, NOW);
        answer_unref(answer);
        if (i >= 10000 && i % 1000 == 0) {
            cache_stats(cache, &stats);
            assert_true(stats.octets <= wire * 3 / 2 + (uint64_t)stats.entries * 64);
        }
    }
    cache_free(cache);
}

static void test_flush(void **unused) {
    enum { COUNT = 5000 };
    struct cache *cache = cache_new(1 << 24);
    struct cache_stats stats;
    struct item item;
    for (unsigned i = 0; i < COUNT; i++) {
        item_init(&item, i, 1);
        put(cache, &item, 1000, NOW, 0);
    }
    struct name name = {.length = 12, .labels = 2, .wire = "\2n7\7example"};
    struct name below = {.length = 10, .labels = 2, .wire = "\1n\6xample"};
    struct name all = {.length = 9, .labels = 1, .wire = "\7example"};
    struct name root = {.length = 1};
    assert_int_equal(cache_flush(cache, &below), 0);
    assert_int_equal(cache_flush(cache, &name), 1);
    item_init(&item, 7, 1);
    assert_int_equal(state_of(cache, &item, NOW), CACHE_MISS);
    assert_int_equal(cache_flush(cache, &all), COUNT - 1);
    put(cache, &item, 1000, NOW, 0);
    assert_int_equal(cache_flush(cache, &root), 1);
    put(cache, &item, 1000, NOW, 0);
    assert_int_equal(cache_flush(cache, NULL), 1);
    cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.octets, 0);
    cache_free(cache);
    assert_int_equal(atomic_load(&alive), 0);
}

static void *hammer(void *context) {
    struct cache *cache = context;
    struct item item;
    enum cache_state state;
    for (unsigned i = 0; i < 60000; i++) {
        item_init(&item, i * 2654435761u % 4000, 1);
        cache_prefetch_shard(cache, &item.key);
        cache_prefetch(cache, &item.key);
        cache_prefetch_answer(cache, &item.key);
        struct answer *answer = cache_get(cache, &item.key, NOW + i / 1000, STALE, &state);
        if (answer) {
            assert_memory_equal(answer_octets(answer), item.wire, item.key.length);
            answer_unref(answer);
        } else {
            put(cache, &item, 20, NOW + i / 1000, 0);
        }
        if (i % 20000 == 0)
            cache_flush(cache, NULL);
    }
    return NULL;
}

static void test_threads(void **unused) {
    struct cache *cache = cache_new(1 << 18);
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    struct cache_stats stats;
    cache_stats(cache, &stats);
    assert_true(stats.octets <= 1 << 18);
    assert_int_equal((uint64_t)atomic_load(&alive), stats.entries);
    cache_free(cache);
    assert_int_equal(atomic_load(&alive), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages),    cmocka_unit_test(test_keys_apart), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_bound),   cmocka_unit_test(test_cost),       cmocka_unit_test(test_flush),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
