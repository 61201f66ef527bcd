/* resolver/upstream_message.h: the octets that go to a forwarder and how those that come back are judged.
 *
 * Pure: no allocation, no state; any thread. */
#ifndef SUNDEW_RESOLVER_UPSTREAM_MESSAGE_H
#define SUNDEW_RESOLVER_UPSTREAM_MESSAGE_H

#include "resolver/answer.h"

enum {
    UPSTREAM_UDP_MAX = 1232,                          /* what we let a server send over UDP (DNS flag day 2020) */
    UPSTREAM_QUERY_MAX = 12 + NAME_WIRE_MAX + 4 + 11, /* header, question, OPT */
};

/* Writes a query for the question: RD, AD (RFC 6840 section 5.7: tell us whether it is authentic), CD as asked; with `edns` an OPT
 * with DO as asked. `out` holds UPSTREAM_QUERY_MAX. Returns the length. */
size_t upstream_message_query(uint8_t *out, const struct question *question, uint16_t id, bool edns);

enum reply_kind {
    REPLY_MISMATCH,  /* not a reply to what was asked: spoofed, late or garbled; the wait goes on */
    REPLY_ANSWER,    /* NOERROR, NXDOMAIN or YXDOMAIN: answer_from_message decides further */
    REPLY_TRUNCATED, /* TC: ask over TCP */
    REPLY_PLAIN,     /* the server may not know EDNS (RFC 6891 section 7): ask it again without */
    REPLY_REFUSAL,   /* SERVFAIL, REFUSED, a referral, ...: ask another server */
};

struct reply {
    enum reply_kind kind;
    uint16_t rcode; /* extended */
    uint16_t ede;   /* first Extended DNS Error of a refusal (RFC 8914), 0 none */
};

/* What is `message` to a query for `question` with this id, sent with or without EDNS? The question section must be exactly the one
 * asked, but for letter case (RFC 5452 section 9.1); a bare header is accepted from a server that can't parse our query. */
struct reply upstream_message_judge(const struct question *question, uint16_t id, bool edns, const uint8_t *message, size_t length);

#endif
