/* resolver/answer.h: what upstream said of one question, reduced to what the question permits; the unit that the cache keeps.
 *
 * Built once from an upstream message, then immutable (but for `blank`), reference-counted atomically, any thread. The octets are
 * those of a DNS message from the question section on, as if a 12-octet header stood before them: compression pointers count from
 * that header, and the name at offset 12 is the question's in lower case. No additional section, no OPT.
 * `ttl_at` lists the offsets (from `octets`) of every record's TTL, which is all that changes while it ages. */
#ifndef SUNDEW_RESOLVER_ANSWER_H
#define SUNDEW_RESOLVER_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"
#include "policy/prefix.h"

enum {
    CLASS_IN = 1,
    ANSWER_ADDRESSES_MAX = 4096, /* addresses and hints in one answer; a message with more is refused as no answer */
};

/* What is asked of upstream and what the cache keys on: class IN always; name lower case. */
struct question {
    struct name name;
    uint16_t type;
    bool dnssec_ok;         /* DO */
    bool checking_disabled; /* CD */
};

static inline void question_copy(struct question *to, const struct question *from) {
    name_copy(&to->name, &from->name);
    to->type = from->type;
    to->dnssec_ok = from->dnssec_ok;
    to->checking_disabled = from->checking_disabled;
}

enum answer_flag {
    ANSWER_AUTHENTIC = 1,  /* AD, as upstream set it */
    ANSWER_SIGNED = 2,     /* holds an RRSIG */
    ANSWER_NEGATIVE = 4,   /* NXDOMAIN, YXDOMAIN or no data */
    ANSWER_PARTIAL = 8,    /* ends in a CNAME whose target upstream didn't follow: ask for it */
    ANSWER_FAILURE = 16,   /* no octets but the question: a failure remembered (RFC 9520); rcode and ede say which */
    ANSWER_CHAIN = 32,     /* holds a CNAME or DNAME: phase two has names to look at */
    ANSWER_ADDRESSES = 64, /* holds an A, AAAA, or HTTPS/SVCB hint: phase two has addresses to look at */
};

struct answer {
    atomic_uint references;
    atomic_uint blank; /* the snapshot generation under which phases one and two match nothing, 0 none: a memo, may be lost */
    uint32_t received; /* monotonic seconds */
    uint32_t ttl;      /* seconds that it is fresh, clamped by configuration; 0: for those who wait, not for the cache */
    uint16_t length;   /* of octets */
    uint16_t question; /* octets of the question section: name, type, class */
    uint16_t ancount, nscount;
    uint16_t ttl_count;
    uint16_t ede; /* of a failure: 22, 23, or what upstream gave; 0 none */
    uint8_t rcode;
    uint8_t flags;
    uint16_t ttl_at[]; /* ttl_count offsets, then the octets: answer_octets() */
};

static inline const uint8_t *answer_octets(const struct answer *answer) {
    return (const uint8_t *)(answer->ttl_at + answer->ttl_count);
}

struct answer_limits {
    uint32_t min_ttl, max_ttl, max_negative_ttl;
};

/* Builds an answer from an upstream message that was already matched to the question (id, source, question section). Keeps the
 * CNAME/DNAME chain from the question's name, the asked type at its end, RRSIGs of those (DNSSEC only if asked), the SOA (and
 * NSEC/NSEC3 with RRSIGs) of a negative answer; drops all else. TTLs above 2^31-1 count as 0 (RFC 2181 section 8).
 * Returns 0 with *answer (one reference), -EBADMSG for what isn't an answer to the question (then another server is asked):
 * anything malformed, a chain that loops, a referral, TC, and every rcode but 0, 3, and 6 behind a DNAME that makes a name too long
 * (RFC 6672 section 2.2; the caller reads rcode and EDE from the message if it wants to remember them in a failure); -ENOMEM.
 * `now`: monotonic seconds. Slow path: allocates once. */
int answer_from_message(struct answer **answer, const struct question *question, const uint8_t *message, size_t length,
                        const struct answer_limits *limits, uint32_t now);

/* A remembered failure. NULL: no memory. */
struct answer *answer_failure(const struct question *question, uint8_t rcode, uint16_t ede, uint32_t ttl, uint32_t now);

static inline struct answer *answer_ref(struct answer *answer) {
    atomic_fetch_add_explicit(&answer->references, 1, memory_order_relaxed);
    return answer;
}
void answer_unref(struct answer *answer);

/* Addresses in one record (A, AAAA, hints of HTTPS and SVCB): writes those for which there is room (addresses may be NULL), returns
 * how many there are. */
struct wire;
struct wire_record;
unsigned answer_record_addresses(const struct wire *wire, const struct wire_record *record, struct ip *addresses, unsigned room);

#endif
