/* resolver/priority.c: see priority.h; the system call for it. */
#include "resolver/priority.h"

#include <sched.h>
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

/* Changes policy (if it is one of the ordinary ones), nice value and slice of a thread. */
static void adjust(pid_t thread, uint32_t policy, int32_t nicer, uint64_t slice_ns) {
    struct attributes attributes = {0};
    if (syscall(SYS_sched_getattr, thread, &attributes, sizeof attributes, 0) != 0)
        return;
    if (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH)
        return;
    attributes.size = sizeof attributes;
    attributes.flags = 0;
    attributes.policy = policy;
    attributes.nice = attributes.nice + nicer > NICE_MAX ? NICE_MAX : attributes.nice + nicer;
    attributes.runtime = slice_ns;
    syscall(SYS_sched_setattr, thread, &attributes, 0);
}

void priority_answer(void) {
    adjust(0, SCHED_OTHER, 0, ANSWER_SLICE_NS);
}

void priority_prepare(pid_t process) {
    adjust(process, SCHED_BATCH, PREPARE_NICE, PREPARE_SLICE_NS);
}
