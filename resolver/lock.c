/* resolver/lock.c: waiting for a lock, and waking who waits (U. Drepper, "Futexes Are Tricky", mutex 2). */
#include "resolver/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 100 }; /* some 2 us: longer than a shard is held, unless its holder doesn't run */

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void lock_wait(struct lock *lock) {
    for (unsigned i = 0; i < SPINS; i++) {
        uint32_t state = LOCK_FREE;
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == LOCK_FREE &&
            atomic_compare_exchange_weak_explicit(&lock->state, &state, LOCK_TAKEN, memory_order_acquire, memory_order_relaxed))
            return;
        pause_briefly();
    }
    /* whoever slept can't know whether others still do, and so leaves it awaited */
    while (atomic_exchange_explicit(&lock->state, LOCK_AWAITED, memory_order_acquire) != LOCK_FREE)
        syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, LOCK_AWAITED, NULL, NULL, 0);
}

void lock_wake(struct lock *lock) {
    syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
