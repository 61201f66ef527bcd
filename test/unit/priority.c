/* test/unit/priority.c: what the kernel holds of a process that prepares and of a thread that answers. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "resolver/priority.h"

enum { NICER = 10, NICEST = 19 };

static int least(int a, int b) {
    return a < b ? a : b;
}

static pid_t sleeper(void) {
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    assert_true(child > 0);
    return child;
}

static void end(pid_t child) {
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_prepare(void **state) {
    int mine = getpriority(PRIO_PROCESS, 0);
    pid_t child = sleeper();
    priority_prepare(child);
    assert_int_equal(sched_getscheduler(child), SCHED_BATCH);
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)child), least(mine + NICER, NICEST));
    priority_prepare(child);
    priority_prepare(child); /* never beyond what there is */
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)child), NICEST);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), mine);
    end(child);
}

static void test_answer(void **state) {
    int mine = getpriority(PRIO_PROCESS, 0), policy = sched_getscheduler(0);
    priority_answer();
    assert_int_equal(getpriority(PRIO_PROCESS, 0), mine);
    assert_int_equal(sched_getscheduler(0), policy == SCHED_BATCH ? SCHED_OTHER : policy);
}

/* What an operator chose on purpose stays. */
static void test_idle_stays(void **state) {
    pid_t child = sleeper();
    assert_int_equal(sched_setscheduler(child, SCHED_IDLE, &(struct sched_param){0}), 0);
    priority_prepare(child);
    assert_int_equal(sched_getscheduler(child), SCHED_IDLE);
    end(child);
}

/* Real time is for answering. */
static void test_real_time(void **state) {
    pid_t child = sleeper();
    if (sched_setscheduler(child, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) != 0) {
        end(child);
        skip(); /* takes a privilege */
    }
    priority_prepare(child);
    assert_int_equal(sched_getscheduler(child), SCHED_BATCH);
    end(child);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_idle_stays),
        cmocka_unit_test(test_real_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
