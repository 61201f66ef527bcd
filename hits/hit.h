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

/* What the hits on a zone's rules of one trigger and action have in common (hits/card.h). Equal ones are one. */
struct card {
    struct phrase *front; /* the JSON members from "zone" up to "rule", whose value follows */
    struct phrase *back;  /* then "action" and "mode", led by a comma */
    enum action action;
    bool below;                  /* of rules that are written "*.name" */
    _Atomic uint64_t *zone_hits; /* the counter of zone and action; NULL: nobody counts */
    struct card *next;
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
    const struct card *card;
    struct piece rule;     /* its text as a JSON string */
    struct piece details;  /* the JSON members from "ttl" to "reference", each led by a comma */
    struct phrase *answer; /* JSON array of what the client was answered; NULL: nothing, or not by policy */
    uint64_t count;
    bool like_first; /* repeats: the last query was like the window's first but for time, and who was behind it is the same */
};

#endif
