/* resolver/listener.h: one worker's UDP: receives in batches, answers in batches.
 *
 * recvmmsg fills a batch, its messages are read ahead some at a time (worker_expect) and answered into the outgoing batch, one
 * sendmmsg sends it. Nothing blocks and nothing is
 * sent twice: what the kernel doesn't take is counted (STAT_SENT_LOST). Late answers join the next batch that leaves. On a wildcard
 * address the answer leaves from the address that was asked (IP_PKTINFO). The worker's thread. */
#ifndef SUNDEW_RESOLVER_LISTENER_H
#define SUNDEW_RESOLVER_LISTENER_H

#include "resolver/worker.h"

enum {
    LISTENER_BATCH = 64,
    LISTENER_PACKET_MAX = 2048, /* longer queries are cut off by the kernel and get FORMERR */
};

struct listener;

struct listener *listener_new(struct worker *worker); /* NULL: no memory */

/* Takes the bound, non-blocking socket. 0 or -errno (the socket is closed then). */
int listener_add(struct listener *listener, int fd, const struct sockaddr_storage *address);

/* Answers what has arrived, then takes nothing more from this address; what is in flight is still answered from it. */
void listener_remove(struct listener *listener, const struct sockaddr_storage *address);

void listener_flush(struct listener *listener);

/* Closes every handle; memory goes with listener_free, when the loop has ended. */
void listener_close(struct listener *listener);
void listener_free(struct listener *listener);

#endif
