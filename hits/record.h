/* hits/record.h: what a worker says of one hit or one asked name, as fixed binary data for the ring.
 *
 * A record is `struct record` followed by its names (query name, then `via`, wire form, lower case); `size` is the whole, a
 * multiple of 8. Made by a worker, read by the writer thread. */
#ifndef SUNDEW_HITS_RECORD_H
#define SUNDEW_HITS_RECORD_H

#include "policy/match.h"

enum record_kind {
    RECORD_HIT,   /* a rule matched: everything set */
    RECORD_ASKED, /* a client asked for a name that no rule matched then (history): client, mac, ts, qtype, qname; seldom more than
                     once per client, name and hour */
    RECORD_RELEASE, /* the worker has no hit on this snapshot left to come: the writer drops one reference */
    RECORD_TAP,     /* for dnstap: a DNS message behind the names; snapshot NULL where no rule matched */
    RECORD_QUERY,   /* a line for log.queries: client, ts, qtype, qname, rcode */
};
enum { RECORD_KINDS = RECORD_QUERY + 1 };

enum protocol { PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_TLS, PROTOCOL_HTTPS, PROTOCOL_COUNT };

struct record {
    uint16_t size;
    uint8_t kind;
    uint8_t protocol;
    uint8_t action;
    uint8_t mode;
    uint8_t trigger;
    uint8_t qname_length;
    uint8_t via_length; /* 0: the query name itself matched */
    uint8_t has_mac;
    uint8_t mac[6]; /* from EDNS option 65001, of a trusted sender */
    uint16_t qtype;
    uint16_t client_port;
    uint16_t rcode; /* of the answer sent */
    union {
        uint16_t owner_length;   /* RECORD_HIT, and below: as in struct matched */
        uint16_t message_length; /* RECORD_TAP */
    };
    uint32_t rule;
    union {
        uint32_t profile;
        uint32_t waited_ms; /* RECORD_TAP: for how long the query was under way */
    };
    uint64_t ts_us; /* wall clock, microseconds since 1970 */
    struct ip client;
    struct snapshot *snapshot; /* whose rule it is; borrowed from the worker until its RECORD_RELEASE */
    uint8_t names[];
};

enum { RECORD_MAX = sizeof(struct record) + 2 * NAME_WIRE_MAX + 8 };

#endif
