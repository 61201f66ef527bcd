/* resolver/upstream_tcp.h: one worker's TCP connections to one server: queries pipelined, replies in any order (RFC 7766).
 *
 * One is enough, opened by the first query, and kept while it is of use: TCP_IDLE_MS without a query, or TCP_STUCK_MS without a
 * sign of life while queries wait, end it. A server that closes a connection while it owes replies takes so many queries on one and
 * no more (many take one): for TCP_QUOTA_MS no more are sent on one, and others are opened beside it. One worker's thread. */
#ifndef SUNDEW_RESOLVER_UPSTREAM_TCP_H
#define SUNDEW_RESOLVER_UPSTREAM_TCP_H

#include <sys/socket.h>

#include "resolver/carrier.h"

enum {
    TCP_IDLE_MS = 5000,
    TCP_STUCK_MS = 4000,       /* connecting included */
    TCP_QUOTA_MS = 600 * 1000, /* how long a server's way is remembered */
    TCP_CONNECTIONS = 16, /* to one server at a time; what finds them full goes onto the newest, and may have to be sent again */
};

struct tcp_connection;

/* Visible because it is embedded by value. */
struct upstream_tcp {
    struct carrier_host *host;
    const struct sockaddr *address;    /* borrowed */
    struct tcp_connection *connection; /* all that are open; the first, which is the newest, takes queries */
    unsigned connections;              /* open or closing */
    unsigned quota;                    /* queries that the server takes on one connection; 0: no limit is known */
    uint64_t quota_ms;                 /* until when */
};

void upstream_tcp_init(struct upstream_tcp *tcp, struct carrier_host *host, const struct sockaddr *address);

/* 0: host->reply or host->failed will be called (never from within), or upstream_tcp_cancel. -errno: nothing was sent. */
int upstream_tcp_send(struct upstream_tcp *tcp, struct pending *pending);
void upstream_tcp_cancel(struct pending *pending);

/* Closes what is idle or stuck. */
void upstream_tcp_sweep(struct upstream_tcp *tcp, uint64_t now_ms);

/* Closes all; nothing is pending any more. The memory may go when upstream_tcp_is_closed. */
void upstream_tcp_close(struct upstream_tcp *tcp);
bool upstream_tcp_is_closed(const struct upstream_tcp *tcp);

#endif
