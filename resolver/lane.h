/* resolver/lane.h: one worker's way to one server: its sockets, and the round trip times that this worker saw.
 *
 * Counters and times are kept here and published to the shared `struct server` now and then, so that workers don't write to the
 * same cache line for every query. One worker's thread. */
#ifndef SUNDEW_RESOLVER_LANE_H
#define SUNDEW_RESOLVER_LANE_H

#include "resolver/forwarders.h"
#include "resolver/udp_pool.h"
#include "resolver/upstream_tcp.h"

struct lane {
    struct lane *next; /* the worker's */
    struct server *server;
    struct udp_pool udp;
    struct upstream_tcp tcp;
    uint32_t rtt_us, deviation_us; /* smoothed (RFC 6298); rtt 0: unknown */
    uint32_t samples;
    uint64_t queries; /* not yet published */
    unsigned users;   /* exchanges that may still ask it */
    bool retired;     /* in no table any more */
    bool closing;
};

/* `places`: of the UDP pool. NULL: no memory. */
struct lane *lane_new(struct server *server, struct carrier_host *host, unsigned places);
void lane_free(struct lane *lane); /* its carriers are closed */

void lane_sample(struct lane *lane, uint64_t elapsed_us);
uint32_t lane_rtt(const struct lane *lane);

/* Publishes, closes what is old. */
void lane_sweep(struct lane *lane, uint64_t now_ms);
void lane_close(struct lane *lane);
bool lane_is_closed(const struct lane *lane);

/* True if `a` is to be asked before `b`: by state, then by round trip time, where only a clear difference counts. */
bool lane_is_better(const struct lane *a, const struct lane *b);

#endif
