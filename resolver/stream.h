/* resolver/stream.h: one worker's TCP (RFC 7766): connections, framing, pipelining with answers out of order, limits.
 *
 * A connection reads into a small buffer of its own; a message that doesn't fit is read past and gets FORMERR. It stops reading
 * while STREAM_IN_FLIGHT queries wait or the client doesn't take its answers, and is closed when nothing whole has come for
 * STREAM_IDLE_MS and nothing is owed. Where a limit is reached, a newcomer takes the place of the connection that has been idle
 * longest: the client's own at STREAM_PER_CLIENT, anybody's at STREAM_CONNECTIONS; where none is idle it is turned away. Where the
 * process has no descriptor or memory left, newcomers wait in the kernel's queue until one has been idle for STREAM_SPARED_MS. A
 * connection whose PROXY header has been read counts as its client's, not as the proxy's. The worker's thread. */
#ifndef SUNDEW_RESOLVER_STREAM_H
#define SUNDEW_RESOLVER_STREAM_H

#include "resolver/worker.h"

enum {
    STREAM_CONNECTIONS = 1000,    /* per worker */
    STREAM_PER_CLIENT = 100,      /* per worker and client address */
    STREAM_IN_FLIGHT = 64,        /* queries of a connection that wait for upstream */
    STREAM_SPARED_MS = 1000,      /* idle so long at least before it makes room for a lack of descriptors */
    STREAM_IDLE_MS = 10000,       /* what edns-tcp-keepalive promises (RFC 7828) */
    STREAM_MESSAGE_MAX = 4096,    /* octets of a query */
    STREAM_QUEUE_MAX = 256 * 1024 /* octets that a client may be behind before it is read no more; at 4 times that it is closed */
};

struct stream;

struct stream *stream_new(struct worker *worker); /* NULL: no memory */

/* Takes the listening socket. 0 or -errno (the socket is closed then). */
int stream_add(struct stream *stream, int fd, const struct sockaddr_storage *address);

/* Accepts nothing more from this address; connections that are open stay. */
void stream_remove(struct stream *stream, const struct sockaddr_storage *address);

/* Accepts and reads nothing more anywhere; connections end when what they are owed is sent. */
void stream_drain(struct stream *stream);
bool stream_idle(const struct stream *stream); /* no connection is left */

/* Closes every handle; memory goes with stream_free, when the loop has ended. */
void stream_close(struct stream *stream);
void stream_free(struct stream *stream);

#endif
