/* test/unit/bad_server.h: a DNS server on loopback, in the test's own loop, that misbehaves as told. */
#ifndef SUNDEW_TEST_BAD_SERVER_H
#define SUNDEW_TEST_BAD_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum { PORTS_MAX = 4096, SHORT_SPOOFS = 40 };

enum manner {
    MANNER_ANSWER,
    MANNER_SILENT,
    MANNER_SPOOF,    /* what doesn't fit, from every side, then the answer */
    MANNER_TRUNCATE, /* TC over UDP, the answer over TCP */
    MANNER_CUT,      /* the same, but the first TCP connection breaks after its first answer */
    MANNER_ONE,      /* the same, but every TCP connection is closed after one answer */
    MANNER_SERVFAIL, /* with EDE 6 */
    MANNER_PLAIN,    /* FORMERR, a bare header, to any query with EDNS */
    MANNER_REFERRAL, /* lame */
    MANNER_GARBAGE,  /* matches, but its records are cut off */
    MANNER_LATE,     /* answers when others were asked already */
};

struct server_under_test {
    uv_udp_t udp;
    uv_tcp_t tcp;
    struct sockaddr_in address;
    enum manner manner;
    unsigned queries, plain, over_tcp, connections, cut;
    uint16_t ports[PORTS_MAX]; /* of the last queries */
    uint16_t ids[PORTS_MAX];
    uint8_t flags[2]; /* of the last query */
    bool dnssec_ok;
};

/* UDP and TCP on one free port; everything is zero again. */
void server_start(struct server_under_test *server, uv_loop_t *loop, enum manner manner);
/* Closes what it listens on. */
void server_stop(struct server_under_test *server);

#endif
