/* test/unit/lock.c: one thread at a time, whether the others spin or sleep, and nobody sleeps for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "resolver/lock.h"

enum { THREADS = 8, ROUNDS = 20000, NAPS = 50 };

struct shared {
    struct lock lock;
    unsigned count;
    unsigned inside; /* threads that hold the lock */
    bool crowded;    /* more than one did */
    unsigned nap;    /* every so many rounds the holder sleeps, so that the others stop spinning; 0: never */
};

static void *add(void *context) {
    static const struct timespec NAP = {.tv_nsec = 1000000};
    struct shared *shared = context;
    for (unsigned i = 0; i < (shared->nap ? NAPS : ROUNDS); i++) {
        lock_take(&shared->lock);
        shared->crowded |= ++shared->inside != 1;
        if (shared->nap && i % shared->nap == 0)
            nanosleep(&NAP, NULL);
        shared->count++;
        shared->inside--;
        lock_release(&shared->lock);
    }
    return NULL;
}

static unsigned run(unsigned nap) {
    struct shared shared = {.nap = nap};
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add, &shared), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(shared.crowded);
    assert_int_equal(atomic_load(&shared.lock.state), LOCK_FREE);
    return shared.count;
}

static void test_spinning(void **state) {
    assert_int_equal(run(0), THREADS * ROUNDS);
}

static void test_sleeping(void **state) {
    assert_int_equal(run(5), THREADS * NAPS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spinning),
        cmocka_unit_test(test_sleeping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
