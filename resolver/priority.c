/* resolver/priority.c: see priority.h; the system call for it. */
#include "resolver/priority.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ANSWER_SLICE_NS = 200 * 1000,         /* more than a batch of queries takes */
    PREPARE_SLICE_NS = 100 * 1000 * 1000, /* the longest there is */
    PREPARE_NICE = 10, /* a tenth of a core that a worker keeps busy (weights 110 to 1024): slow, never starved */
    NICE_MAX = 19
};

/* struct sched_attr as it was first: neither this C library nor these kernel headers give it without a clash. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period; /* runtime: the slice, ns */
};

static bool ordinary(uint32_t policy) {
    return policy == SCHED_OTHER || policy == SCHED_BATCH;
}

static bool get(pid_t thread, struct attributes *attributes) {
    *attributes = (struct attributes){0};
    return syscall(SYS_sched_getattr, thread, attributes, sizeof *attributes, 0) == 0;
}

void priority_answer(void) {
    struct attributes attributes;
    if (!get(0, &attributes) || !ordinary(attributes.policy))
        return;
    syscall(SYS_sched_setattr, 0,
            &(struct attributes){.size = sizeof attributes, .nice = attributes.nice, .runtime = ANSWER_SLICE_NS}, 0);
}

void priority_prepare(pid_t process) {
    struct attributes attributes;
    if (!get(process, &attributes) || attributes.policy == SCHED_IDLE)
        return;
    int32_t nice = attributes.nice + PREPARE_NICE;
    attributes = (struct attributes){
        .size = sizeof attributes, .policy = SCHED_BATCH, .nice = nice > NICE_MAX ? NICE_MAX : nice, .runtime = PREPARE_SLICE_NS};
    syscall(SYS_sched_setattr, process, &attributes, 0);
}
