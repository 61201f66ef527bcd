/* resolver/transport.h: the seam between what carries packets (listener: UDP; stream: TCP) and what answers them.
 *
 * A transport knows sockets and framing. It hands a message to worker_receive (worker.h) and is told an outcome: send these octets,
 * send nothing, close the connection, or later. "Later" comes with an origin, which the transport fills in so that the
 * answer finds its way; the worker calls origin->deliver exactly once, on its own thread. No transport knows of another. */
#ifndef SUNDEW_RESOLVER_TRANSPORT_H
#define SUNDEW_RESOLVER_TRANSPORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/prefix.h"

enum outcome { OUTCOME_SEND, OUTCOME_DROP, OUTCOME_CLOSE, OUTCOME_LATER };

/* Who asks: the sender, or whom a trusted sender names in a PROXY header. Filled in by the transport. */
struct client {
    struct ip address;
    uint16_t port;
    uint8_t protocol; /* enum protocol, hits/record.h */
    bool trusted;     /* the sender is in clients.trust: its PROXY header and EDNS option 65001 are believed */
};

struct arrival;

/* A message as it came. */
struct incoming {
    struct client client;
    const uint8_t *packet;
    size_t length;
    bool whole;              /* false: it was cut off (it gets FORMERR) */
    struct arrival *arrival; /* worker_expect's; NULL of a message that comes by itself */
};

union peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Where a late answer goes. Lives in the worker's slot of the query; filled and read by the transport alone. */
struct origin {
    /* OUTCOME_SEND with the message, OUTCOME_DROP or OUTCOME_CLOSE without. The message is borrowed for the call. */
    void (*deliver)(struct origin *origin, enum outcome outcome, const uint8_t *message, size_t length);
    void *carrier;      /* the transport's socket or connection */
    union peer peer;    /* UDP: who asked */
    struct ip local;    /* UDP on a wildcard address: the address that was asked */
    uint32_t interface; /* and, for IPv6, its interface; 0 none */
};

#endif
