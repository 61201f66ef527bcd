/* test/unit/ring.c: nothing is lost, torn or reordered between two threads; what doesn't fit is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "hits/ring.h"

enum { RING = 8192, MANY = 200000 };

union storage {
    struct record record;
    uint8_t octets[RECORD_MAX + 8];
};

/* A record of kind `kind` whose number and names depend on n. */
static const struct record *make(union storage *storage, enum record_kind kind, uint32_t n) {
    uint8_t length = (uint8_t)(1 + n % 250);
    storage->record = (struct record){.kind = (uint8_t)kind, .rule = n, .qname_length = length};
    storage->record.size = (uint16_t)((sizeof(struct record) + length + 7u) & ~7u);
    memset(storage->record.names, (int)(n & 0xff), length);
    return &storage->record;
}

static void check(const struct record *record, uint32_t n) {
    assert_int_equal(record->rule, n);
    assert_int_equal(record->qname_length, 1 + n % 250);
    assert_int_equal(record->names[0], n & 0xff);
    assert_int_equal(record->names[record->qname_length - 1], n & 0xff);
}

static void test_sizes(void **state) {
    assert_null(ring_new(1000, NULL, NULL));
    assert_null(ring_new(6000, NULL, NULL));
    struct ring *ring = ring_new(RING, NULL, NULL);
    assert_non_null(ring);
    assert_null(ring_peek(ring));
    ring_free(ring);
}

static void test_order_over_the_end(void **state) {
    struct ring *ring = ring_new(RING, NULL, NULL);
    union storage storage;
    uint32_t put = 0, got = 0;
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < round % 7; i++)
            put += ring_put(ring, make(&storage, RECORD_HIT, put));
        const struct record *record;
        while ((record = ring_peek(ring)) != NULL) {
            check(record, got++);
            ring_drop(ring);
        }
        assert_int_equal(got, put);
    }
    assert_int_equal(ring_lost(ring, RECORD_HIT), 0);
    ring_free(ring);
}

/* Full for one kind, room for a more important one; each loss is counted where it belongs. */
static void test_full(void **state) {
    struct ring *ring = ring_new(RING, NULL, NULL);
    union storage storage;
    unsigned asked = 0, hits = 0;
    while (ring_put(ring, make(&storage, RECORD_ASKED, 0)))
        asked++;
    while (ring_put(ring, make(&storage, RECORD_HIT, 0)))
        hits++;
    assert_true(asked > 10 && hits > 10);
    assert_int_equal(ring_lost(ring, RECORD_ASKED), 1);
    assert_int_equal(ring_lost(ring, RECORD_HIT), 1);
    assert_true(ring_put(ring, make(&storage, RECORD_RELEASE, 0)));
    assert_int_equal(ring_lost(ring, RECORD_RELEASE), 0);
    unsigned all = 0;
    for (; ring_peek(ring) != NULL; all++)
        ring_drop(ring);
    assert_int_equal(all, asked + hits + 1);
    assert_true(ring_put(ring, make(&storage, RECORD_ASKED, 0)));
    ring_free(ring);
}

/* A record that is made in the ring: rounded up, zeroed where an older one lay, seen when it is committed and not before. */
static void test_in_place(void **state) {
    struct ring *ring = ring_new(RING, NULL, NULL);
    union storage storage;
    for (unsigned i = 0; i < 2 * RING / sizeof(struct record); i++) {
        struct record *record = ring_reserve(ring, RECORD_HIT, sizeof *record + 1);
        assert_non_null(record);
        assert_int_equal(record->size, sizeof *record + 8);
        assert_int_equal(record->kind, RECORD_HIT);
        assert_int_equal(record->rule, 0);
        assert_null(record->snapshot);
        assert_int_equal(((uint8_t *)record)[record->size - 1], 0);
        memset(&record->rule, 0xff, record->size - offsetof(struct record, rule));
        assert_null(ring_peek(ring));
        if (i % 3 == 0) { /* given up: the next one takes its place */
            assert_true(ring_put(ring, make(&storage, RECORD_HIT, i)));
            check(ring_peek(ring), i);
        } else {
            ring_commit(ring);
            assert_ptr_equal(ring_peek(ring), record);
        }
        ring_drop(ring);
    }
    assert_int_equal(ring_lost(ring, RECORD_HIT), 0);
    ring_free(ring);
}

static void count_wake(void *context) {
    ++*(unsigned *)context;
}

static void test_wake_once(void **state) {
    unsigned wakes = 0;
    struct ring *ring = ring_new(RING, count_wake, &wakes);
    union storage storage;
    ring_put(ring, make(&storage, RECORD_HIT, 0));
    assert_int_equal(wakes, 0);
    assert_false(ring_sleep(ring));
    ring_peek(ring);
    ring_drop(ring);
    assert_true(ring_sleep(ring));
    ring_put(ring, make(&storage, RECORD_HIT, 0));
    ring_put(ring, make(&storage, RECORD_HIT, 0));
    assert_int_equal(wakes, 1);
    ring_free(ring);
}

struct pair {
    struct ring *ring;
    atomic_bool awake;
    uint32_t refused;
};

static void wake_pair(void *context) {
    atomic_store(&((struct pair *)context)->awake, true);
}

static void *produce(void *context) {
    struct pair *pair = context;
    union storage storage;
    for (uint32_t n = 0; n < MANY; n++) {
        while (!ring_put(pair->ring, make(&storage, RECORD_HIT, n))) {
            pair->refused++;
            sched_yield();
        }
    }
    return NULL;
}

/* The consumer sleeps whenever the ring is empty: a lost wake-up would hang the test. */
static void test_two_threads(void **state) {
    struct pair pair = {0};
    pair.ring = ring_new(RING, wake_pair, &pair);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, &pair), 0);
    for (uint32_t n = 0; n < MANY;) {
        const struct record *record = ring_peek(pair.ring);
        if (record != NULL) {
            check(record, n++);
            ring_drop(pair.ring);
        } else if (atomic_store(&pair.awake, false), ring_sleep(pair.ring)) {
            while (!atomic_load(&pair.awake))
                sched_yield();
        }
    }
    pthread_join(producer, NULL);
    assert_null(ring_peek(pair.ring));
    assert_int_equal(ring_lost(pair.ring, RECORD_HIT), pair.refused);
    ring_free(pair.ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_order_over_the_end), cmocka_unit_test(test_full),
        cmocka_unit_test(test_in_place), cmocka_unit_test(test_wake_once),          cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
