/* resolver/udp_pool.h: one worker's UDP sockets to one server, each on a random port.
 *
 * Why a pool, and how hard it is to guess. A fresh socket for every query costs seven system calls, some 7 us. So a pool keeps
 * `size` connected sockets, each bound to a port drawn at random from 1024..65535. Each query takes one at random of the quarter
 * that rested longest, and a random id.
 * - Someone who can't see our traffic has to guess port and id: 64,512 x 65,536, as for a fresh port, because he doesn't know which
 *   ports are open. A connected socket takes from its peer only, so he must forge the server's address besides.
 * - Someone who scans for open ports (SAD DNS, 2020: some 1,000 ports a second) finds a 26th of them before they are gone: a
 *   socket lives for UDP_AGE_MS at most, and for UDP_USES queries. Even if he knew all, 256 x 65,536 are left to guess. (Of a
 *   socket a query he would have to find but that one, though faster.)
 * - No socket is taken again before 192 others were, so that many queries in a row use as many ports.
 * - Where descriptors are short and the pool is smaller than UDP_POOL_FULL, a socket serves one query only, as long as there is
 *   one to be had.
 * - No two queries in flight share socket and id.
 *
 * Why no more of them: a socket is some 3 KB of the kernel's; those that don't fit the processor's cache beside all else are
 * fetched anew by each query (1,024 cost 5 % more a query, 512 cost 3 %). Why no fewer: so that 200 queries in a row can use 200
 * ports.
 *
 * Queries are held back until the end of a turn of the loop, so that those of one batch leave together: a server that sleeps is
 * woken once for all of them, and each send finds the kernel's code in the processor's cache.
 *
 * At low rates most picks find an empty or aged place, and every query has a port of its own. From some 100,000 queries a second
 * on UDP_USES ends a socket before its age does. (With 64 uses, replacing sockets was 5 % of an exchange's cost.)
 * One worker's thread. */
#ifndef SUNDEW_RESOLVER_UDP_POOL_H
#define SUNDEW_RESOLVER_UDP_POOL_H

#include <sys/socket.h>

#include "resolver/carrier.h"

enum {
    UDP_POOL_FULL = 256,
    UDP_USES = 1024,      /* queries that a socket carries, at most */
    UDP_AGE_MS = 2500,    /* and how long */
    UDP_REPLY_MAX = 4096, /* octets read of a reply; a longer one is asked for over TCP */
};

struct udp_socket;

/* Visible because it is embedded by value. */
struct udp_pool {
    struct carrier_host *host;
    const struct sockaddr *address; /* borrowed */
    socklen_t address_length;
    unsigned size;               /* places */
    unsigned turn;               /* the place that was picked longest ago */
    struct udp_socket **places;  /* NULL until the first query */
    struct udp_socket *draining; /* out of its place, waits for its last reply */
    struct udp_socket *spare;    /* closed, memory for the next */
    unsigned sockets;            /* open */
};

void udp_pool_init(struct udp_pool *pool, struct carrier_host *host, const struct sockaddr *address, socklen_t length,
                   unsigned size);

/* Sends, with udp_pool_flush at the latest. 0: host->reply or host->failed will be called (not before this returns), or
 * udp_pool_cancel. -errno: nothing will be sent. */
int udp_pool_send(struct udp_pool *pool, struct pending *pending);
/* Takes the replies that are there, of all pools of the host. To be called when host->readable is readable. */
void udp_pool_receive(struct carrier_host *host);
/* Sends what was held back, of all pools of the host. To be called at the end of each turn of the loop. */
void udp_pool_flush(struct carrier_host *host);
void udp_pool_cancel(struct pending *pending);

/* Closes what is old and idle. */
void udp_pool_sweep(struct udp_pool *pool, uint64_t now_ms);

/* Closes all; nothing is pending any more. The pool's memory may go when udp_pool_is_closed. */
void udp_pool_close(struct udp_pool *pool);
bool udp_pool_is_closed(const struct udp_pool *pool);
void udp_pool_free(struct udp_pool *pool);

#endif
