/* resolver/udp_pool.h: one worker's UDP sockets to one server, each on a random port.
 *
 * Why a pool, and how hard it is to guess. A fresh socket for every query costs seven system calls. So a pool keeps `size`
 * connected sockets, each bound to a port drawn at random from 1024..65535; each query picks one uniformly at random, and a random
 * id.
 * - Someone who can't see our traffic has to guess port and id: 64,512 x 65,536, as for a fresh port, because he doesn't know which
 *   ports are open. The kernel takes from a connected socket's peer only, so forged source addresses are needed besides.
 * - Someone who scans for open ports (SAD DNS, 2020: some 1,000 ports a second) finds at best a sixth of them before they are gone:
 *   a socket lives for UDP_AGE_MS at most, and for UDP_USES queries. Even who knew all of them had 1,024 x 65,536 left to guess.
 * - 200 queries in a row use 200 x (1 - 200 / 2,048) = 181 ports on average with size 1,024; fewer than 165 in one run of a
 * billion. Where descriptors are short and the pool is below UDP_POOL_FULL, every socket serves one query only (unless none can be
 * opened). No two queries in flight share socket and id.
 *
 * At low rates most picks find an empty or aged place, and every query has a port of its own. From some 26,000 queries a second on
 * UDP_USES ends a socket before its age does; a new one then costs 0.1 us a query (with 64 uses it was 5 % of the whole).
 * One worker's thread. */
#ifndef SUNDEW_RESOLVER_UDP_POOL_H
#define SUNDEW_RESOLVER_UDP_POOL_H

#include <sys/socket.h>

#include "resolver/carrier.h"

enum {
    UDP_POOL_FULL = 1024,
    UDP_USES = 64,        /* queries that a socket carries, at most */
    UDP_AGE_MS = 10000,   /* and how long */
    UDP_REPLY_MAX = 4096, /* octets read of a reply; a longer one is asked for over TCP */
};

struct udp_socket;

/* Visible because it is embedded by value. */
struct udp_pool {
    struct carrier_host *host;
    const struct sockaddr *address; /* borrowed */
    socklen_t address_length;
    unsigned size;               /* places */
    struct udp_socket **places;  /* NULL until the first query */
    struct udp_socket *draining; /* out of its place, waits for its last reply */
    struct udp_socket *spare;    /* closed, memory for the next */
    unsigned spares, sockets;    /* sockets: open or closing */
};

void udp_pool_init(struct udp_pool *pool, struct carrier_host *host, const struct sockaddr *address, socklen_t length,
                   unsigned size);

/* Sends. 0: host->reply or host->failed will be called, or udp_pool_cancel. -errno: nothing was sent. */
int udp_pool_send(struct udp_pool *pool, struct pending *pending);
void udp_pool_cancel(struct pending *pending);

/* Closes what is old and idle. */
void udp_pool_sweep(struct udp_pool *pool, uint64_t now_ms);

/* Closes all; nothing is pending any more. The pool's memory may go when udp_pool_is_closed. */
void udp_pool_close(struct udp_pool *pool);
bool udp_pool_is_closed(const struct udp_pool *pool);
void udp_pool_free(struct udp_pool *pool);

#endif
