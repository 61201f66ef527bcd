/* resolver/upstream.h: asks forwarders, so that a question in flight is asked once, by whomever.
 *
 * `upstream_shared` is one a process: the forward table, servers' health and RTT, and the table of questions in flight.
 * `upstream` is one a worker: its sockets and exchanges, used on the worker's thread only. A worker that asks what another worker
 * has in flight waits for that one's answer, which reaches it through its loop (uv_async). Answers and failures are put into the
 * cache before anybody is told.
 *
 * UDP first, TCP on TC; servers by health and RTT, the rest on failure; at most ASK_SECONDS in all (contract: an error within 4 s).
 */
#ifndef SUNDEW_RESOLVER_UPSTREAM_H
#define SUNDEW_RESOLVER_UPSTREAM_H

#include <uv.h>

#include "config/config.h"
#include "resolver/answer.h"
#include "resolver/cache.h"
#include "resolver/stats.h"

struct upstream_shared;
struct upstream;

/* `seed`: of the name hash that the cache is keyed with. NULL: no memory. */
struct upstream_shared *upstream_shared_new(struct config *config, struct cache *cache, uint64_t seed);
void upstream_shared_free(struct upstream_shared *shared); /* after every upstream_done */
/* The snapshots bring another seed: the cache was flushed and is keyed with it from now on. Any thread. */
void upstream_shared_reseed(struct upstream_shared *shared, uint64_t seed);
/* A new forward table; what is in flight ends with the old one. Without memory the old one stays. Any thread. */
void upstream_shared_configure(struct upstream_shared *shared, struct config *config);

struct upstream_health {
    char text[128]; /* the server as configured */
    struct name zone;
    bool up;
    uint32_t rtt_us; /* smoothed; 0 unknown */
    uint64_t queries, failures, timeouts;
};
/* Any thread. Returns how many there are; writes at most `count`. */
size_t upstream_shared_health(struct upstream_shared *shared, struct upstream_health *health, size_t count);

/* False when every server that would be asked is known to be down (then stale is served at once). Any thread. */
bool upstream_shared_hopeful(struct upstream_shared *shared, const struct question *question);

int upstream_init(struct upstream **upstream, struct upstream_shared *shared, uv_loop_t *loop, struct stats *stats);
/* Ends every exchange (each `done` is called with a failure) and closes handles; `closed` is called when the loop has let go. */
void upstream_done(struct upstream *upstream, void (*closed)(void *context), void *context);

/* One wish for an answer. The caller owns it and keeps it alive until `done` or upstream_cancel. */
struct ask {
    struct question question;
    /* Called once, on the worker's thread, never from within upstream_ask. `answer`: borrowed for the call (take a reference to
     * keep it); never NULL: a failure is an answer with ANSWER_FAILURE. */
    void (*done)(struct ask *ask, struct answer *answer);
    void *context;
    struct ask *next, **link; /* the module's */
};
/* 0, or -errno (-EAGAIN: too much in flight); then done is not called. */
int upstream_ask(struct upstream *upstream, struct ask *ask);
void upstream_cancel(struct upstream *upstream, struct ask *ask);

#endif
