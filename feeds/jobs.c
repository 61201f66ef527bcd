/* feeds/jobs.c: see jobs.h. One reason to exist: one long job at a time. */
#include "feeds/jobs.h"

void jobs_init(struct jobs *jobs, uv_loop_t *loop, void (*idle)(void *context), void *context) {
    *jobs = (struct jobs){.loop = loop, .idle = idle, .context = context};
    jobs->last = &jobs->first;
}

static void on_work(uv_work_t *work) {
    struct jobs *jobs = work->data;
    jobs->first->run(jobs->first);
}

static void start(struct jobs *jobs);

static void on_done(uv_work_t *work, int status) {
    struct jobs *jobs = work->data;
    struct job *job = jobs->first;
    jobs->first = job->next;
    if (jobs->first == NULL)
        jobs->last = &jobs->first;
    jobs->busy = false;
    job->done(job);
    if (!jobs->busy && jobs->first != NULL)
        start(jobs);
    if (!jobs->busy && jobs->idle != NULL)
        jobs->idle(jobs->context);
}

static void start(struct jobs *jobs) {
    jobs->busy = true;
    jobs->work.data = jobs;
    uv_queue_work(jobs->loop, &jobs->work, on_work, on_done);
}

void jobs_add(struct jobs *jobs, struct job *job) {
    job->next = NULL;
    *jobs->last = job;
    jobs->last = &job->next;
    if (!jobs->busy)
        start(jobs);
}

bool jobs_busy(const struct jobs *jobs) {
    return jobs->busy || jobs->first != NULL;
}
