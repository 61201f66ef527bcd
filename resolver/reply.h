/* resolver/reply.h: writes the message that goes back to a client.
 *
 * Every reply echoes the client's question octet by octet (0x20-safe), keeps within what the client takes (TC otherwise) and holds
 * an OPT exactly if the query did. All functions return the message's length. No allocation; the worker's thread. */
#ifndef SUNDEW_RESOLVER_REPLY_H
#define SUNDEW_RESOLVER_REPLY_H

#include "policy/match.h"
#include "resolver/local.h"
#include "resolver/message.h"

enum {
    REPLY_STALE_TTL = 30,  /* seconds (RFC 8767 section 5) */
    REPLY_KEEPALIVE = 100, /* units of 100 ms (RFC 7828): what a TCP client may idle; listener's own limit is no lower */
    REPLY_EDE_STALE = 3,   /* Stale Answer (RFC 8914 section 4.4) */
    REPLY_EDE_FORGED = 4,  /* Forged Answer */
    REPLY_EDE_STALE_NXDOMAIN = 19,
    REPLY_EDE_UNREACHABLE = 22, /* No Reachable Authority */
};

/* For whom and where. `packet`: the client's header and question. */
struct reply {
    const struct message *message;
    const uint8_t *packet;
    uint8_t *out;
    bool tcp;
};

/* No records: errors, refusals. rcode may be extended (BADVERS); ede 0: none. */
size_t reply_empty(const struct reply *reply, unsigned rcode, unsigned ede);
size_t reply_truncated(const struct reply *reply);

/* A whole cached answer, `age` seconds after it was received. Stale: every TTL is REPLY_STALE_TTL, and EDE says so. The hot path.
 */
size_t reply_answer(const struct reply *reply, const struct answer *answer, uint32_t age, bool stale);

/* Ready-made records of a policy decision. `owner`: offset of the SOA's owner in the reply, a suffix of the question's name. */
size_t reply_policy(const struct reply *reply, const struct answer_bytes *bytes, size_t owner, bool extended_error);

size_t reply_local(const struct reply *reply, const struct local *local);

/* Replies put together from several parts: begin, then parts in order, then end.
 *
 *     struct reply_parts parts;
 *     reply_begin(&parts, reply, ede);
 *     reply_chain(&parts, answer, age, false, 2);
 *     reply_bytes(&parts, &bytes, owner);
 *     length = reply_end(&parts, bytes.rcode, false); */
struct reply_parts {
    const struct reply *reply;
    struct wire_out out;
    unsigned ede;
    uint16_t ancount, nscount;
    bool signatures; /* RRSIGs are kept: in answers that policy left as they were */
    size_t last;     /* offset of the name that the chain has come to */
};
void reply_begin(struct reply_parts *parts, const struct reply *reply, unsigned ede);
/* The first `cnames` links of an answer's chain (UINT_MAX: the whole answer section). */
void reply_chain(struct reply_parts *parts, const struct answer *answer, uint32_t age, bool stale, unsigned cnames);
void reply_authority(struct reply_parts *parts, const struct answer *answer, uint32_t age, bool stale);
void reply_cname(struct reply_parts *parts, const struct name *target, uint32_t ttl);
/* Policy's records at the name that the chain has come to; a negative answer's SOA is owned by that name without its first `skip`
 * labels. */
void reply_bytes(struct reply_parts *parts, const struct answer_bytes *bytes, unsigned skip);
size_t reply_end(struct reply_parts *parts, unsigned rcode, bool authentic);

#endif
