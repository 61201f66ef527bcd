/* feeds/jobs.h: long work off the loop, one piece at a time and in order, so that memory stays bounded and nothing needs a lock.
 *
 * `run` is called on a pool thread and touches only its job; `done` on the loop's thread, which then owns the job again. */
#ifndef SUNDEW_FEEDS_JOBS_H
#define SUNDEW_FEEDS_JOBS_H

#include <stdbool.h>
#include <uv.h>

struct job {
    void (*run)(struct job *job);
    void (*done)(struct job *job);
    struct job *next;
};

struct jobs {
    uv_loop_t *loop;
    uv_work_t work;
    struct job *first, **last;
    bool busy;
    void (*idle)(void *context); /* called when a job's `done` has left nothing to do; may be NULL */
    void *context;
};

void jobs_init(struct jobs *jobs, uv_loop_t *loop, void (*idle)(void *context), void *context);
void jobs_add(struct jobs *jobs, struct job *job); /* embed struct job in what the job needs */
bool jobs_busy(const struct jobs *jobs);

#endif
