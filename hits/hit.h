/* hits/hit.h: one hit with all that is known of it, ready to be told: to the log, the ledger, the followers.
 *
 * Everything is borrowed for the call that is given a hit. */
#ifndef SUNDEW_HITS_HIT_H
#define SUNDEW_HITS_HIT_H

#include "hits/record.h"
#include "hits/text.h"

/* Who is behind an address at a moment. Unknown stays absent. The hostname is held by whoever keeps the struct. */
struct identity {
    bool has_mac;
    uint8_t mac[6];
    struct phrase *hostname; /* NULL unknown */
};

/* What every hit on one rule says of it (hits/card.h). */
struct card {
    struct phrase *identity;    /* the JSON members from "zone" to "mode": equal text means the same rule */
    struct phrase *details;     /* the JSON members from "ttl" to "reference", each led by a comma */
    uint32_t rule_at, rule_end; /* where in the identity the rule's own text stands, with its quotes */
    uint32_t references;
    uint32_t hash;
    uint32_t pieces; /* of memory that it takes (hits/card.c) */
    struct card *next;
    _Atomic uint64_t *zone_hits;   /* the counter of its zone and action; NULL: nobody counts */
    _Atomic uint64_t *family_hits; /* and that of its family; NULL: it has none, or nobody counts */
};

struct hit {
    uint64_t ts_us;       /* of the query, or of the last one of `count` */
    uint64_t first_ts_us; /* of the first of `count` */
    struct ip client;
    enum protocol protocol;
    struct identity who;
    const uint8_t *qname; /* wire */
    const uint8_t *via;   /* wire; NULL: the query name itself matched */
    uint16_t qtype;
    struct card *card;
    struct phrase *answer; /* JSON array of what the client was answered; NULL: nothing, or not by policy */
    uint64_t count;
    bool like_first; /* repeats: the last query was like the window's first but for time, and who was behind it is the same */
};

#endif
