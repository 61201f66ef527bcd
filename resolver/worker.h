/* resolver/worker.h: one thread, one loop, and all that it owns: its sockets, its queries in flight, its view of the policy.
 *
 * Other threads reach a worker through worker_adopt and worker_stop alone. Queries wait in a fixed pool; when it is full, what
 * needs upstream is dropped and counted, and what policy or cache can answer goes on. */
#ifndef SUNDEW_RESOLVER_WORKER_H
#define SUNDEW_RESOLVER_WORKER_H

#include <uv.h>

#include "config/config.h"
#include "hits/ring.h"
#include "resolver/cache.h"
#include "resolver/stats.h"
#include "resolver/transport.h"
#include "resolver/upstream.h"

enum {
    WORKER_QUERIES_MAX = 8192, /* waiting at once, per worker; memory is touched as needed */
    WORKER_BATCH = 16,         /* messages that are read ahead together */
    WORKER_STOP_MS = 3000,     /* for what is in flight when the daemon ends (contract: 5 s in all) */
};

struct worker;
struct view;
struct limit;

/* A listening address as one worker serves it. The descriptors are -1 for an address that the worker has already. */
struct worker_socket {
    struct sockaddr_storage address;
    int udp, tcp;
};

/* What a worker is to take into use, whole: made by main, owned by the worker from worker_adopt on. Freed with adoption_free. */
struct adoption {
    struct view *view;
    struct limit *allow;
    struct limit *trust;
    size_t count;
    struct worker_socket sockets[]; /* all addresses: one that isn't listed is closed */
};
/* References and descriptors that a worker never took are dropped. */
void adoption_free(struct adoption *adoption);

/* A view with references of its own; NULL: no memory. view_free drops them. */
struct view *view_new(struct config *config, struct snapshot *snapshot);
void view_free(struct view *view);

struct worker_options {
    struct cache *cache;
    struct upstream_shared *upstream;
    struct ring *ring; /* may be NULL */
    /* Called in the worker's thread; must be cheap and thread-safe (uv_async_send). */
    void (*adopted)(void *context); /* once for each adoption, worker_start's too */
    void (*ended)(void *context);   /* the thread is about to end */
    void *context;
};

/* Starts the thread; it answers as soon as it has called `adopted`. Takes `first`. 0 or -errno. */
int worker_start(struct worker **worker, const struct worker_options *options, struct adoption *first);

/* Main thread. Takes the adoption. Not to be called again before `adopted`. */
void worker_adopt(struct worker *worker, struct adoption *adoption);

/* Main thread. Takes nothing new, answers what is in flight, ends (WORKER_STOP_MS at most), calls `ended`. */
void worker_stop(struct worker *worker);

/* Main thread, after `ended`: joins. worker_free comes after the ring's reader is done, because views are dropped there. */
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

const struct stats *worker_stats(const struct worker *worker); /* any thread */
unsigned worker_queries(const struct worker *worker);          /* waiting for upstream; any thread */

/* --- for transports, on the worker's thread --- */

/* Messages that came together, WORKER_BATCH at most: reads and looks up all of them before the first is answered, which spares each
 * its wait for memory (query_ahead). Sets `arrival`. May be left out; otherwise worker_receive must follow for each, at once. */
void worker_expect(struct worker *worker, struct incoming *incoming, unsigned count);

/* A message came. For OUTCOME_SEND *out_length octets were written to `out` (QUERY_REPLY_MAX, or QUERY_UDP_MAX over UDP); for
 * OUTCOME_LATER *origin is to be filled in at once. */
enum outcome worker_receive(struct worker *worker, const struct incoming *incoming, uint8_t *out, size_t *out_length,
                            struct origin **origin);

/* Whether a sender, the other end of the socket, is in clients.trust. */
bool worker_trusts(const struct worker *worker, const struct ip *sender);

/* Reads the wall clock; transports call it once a batch, before worker_receive. */
void worker_tick(struct worker *worker);

uv_loop_t *worker_loop(struct worker *worker);
struct stats *worker_counters(struct worker *worker);

#endif
