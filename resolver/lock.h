/* resolver/lock.h: a lock for a few instructions' work, taken some times a query and hardly ever contended.
 *
 * A mutex of the C library does the same with 31 instructions to take it and 31 to release it, wherever it is free; this one takes
 * eight for both. Who finds it taken spins a little, then sleeps in the kernel (futex), so that a holder that was preempted gets
 * the core. Not recursive, no fairness. Zeroed memory is a free lock. */
#ifndef SUNDEW_RESOLVER_LOCK_H
#define SUNDEW_RESOLVER_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

enum lock_state {
    LOCK_FREE,
    LOCK_TAKEN,
    LOCK_AWAITED, /* taken, and somebody may be asleep */
};

struct lock {
    _Atomic uint32_t state; /* enum lock_state */
};

/* The rare halves. */
void lock_wait(struct lock *lock);
void lock_wake(struct lock *lock);

static inline void lock_take(struct lock *lock) {
    uint32_t state = LOCK_FREE;
    if (__builtin_expect(
            !atomic_compare_exchange_strong_explicit(&lock->state, &state, LOCK_TAKEN, memory_order_acquire, memory_order_relaxed),
            0))
        lock_wait(lock);
}

static inline void lock_release(struct lock *lock) {
    if (__builtin_expect(atomic_exchange_explicit(&lock->state, LOCK_FREE, memory_order_release) == LOCK_AWAITED, 0))
        lock_wake(lock);
}

#endif
