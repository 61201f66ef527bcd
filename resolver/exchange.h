/* resolver/exchange.h: one question to the forwarders, from the first query to an answer or a failure.
 *
 * The best server first; after a time-out, a refusal or word from the network the next one, then round again, until an answer comes
 * or EXCHANGE_MS are over. Earlier tries stay open, so that a slow server's answer is taken when it comes. After the end an
 * exchange lingers until its open tries are settled: their replies still tell how the servers are doing, and their ids are not
 * given to others meanwhile. One worker's thread. */
#ifndef SUNDEW_RESOLVER_EXCHANGE_H
#define SUNDEW_RESOLVER_EXCHANGE_H

#include "resolver/inflight.h"
#include "resolver/lane.h"
#include "resolver/wheel.h"

enum {
    EXCHANGE_MS = 3500,      /* in all; the client must have its SERVFAIL within 4 s */
    EXCHANGE_DEAD_MS = 1500, /* in all, when every server is known to be dead: the query is a probe */
    EXCHANGE_FIRST_MIN_MS = 200,
    EXCHANGE_FIRST_MAX_MS = 400, /* then another server is tried: two of them are asked within a second */
    EXCHANGE_ALONE_MS = 1000,    /* a single server has as long before it is asked again: more than most recursion takes */
    EXCHANGE_LINGER_MS = 1000,
    EXCHANGE_LANES = 8, /* servers considered for one question: the best */
    EXCHANGE_TRIES = 8,
    EXCHANGE_TCP_AGAIN = 8, /* a server that takes one query a connection answers TCP_CONNECTIONS of those that wait each time */
    FAILURE_SILENT_S =
        1, /* how long it is remembered that no server was to be had (RFC 9520: at least 1 s): recovery is seen soon */
    FAILURE_REFUSED_S = 5, /* and that servers refused, or failed themselves */
};

struct exchange;

/* One query to one server. */
struct attempt {
    struct pending pending;
    struct exchange *exchange;
    uint8_t via;    /* enum via */
    uint8_t choice; /* index into choices */
    bool overdue;   /* counted as unanswered */
};

struct choice {
    struct lane *lane;
    uint8_t tries;
    uint8_t tcp_again; /* it was excused so many times (carrier.h) */
    bool spent;        /* it refused, or isn't reachable: not asked again for this question */
    bool plain;        /* without EDNS from now on */
};

/* What the exchanges of one worker share. `carriers` comes first: carriers call back with it. */
struct exchange_host {
    struct carrier_host carriers;
    struct wheel wheel;
    const struct answer_limits *limits;
    struct stats *stats;
    /* An answer has come and is about to be read: what `ended` will need can be fetched meanwhile. */
    void (*answering)(const struct exchange *exchange);
    /* The answer (a failure is one, too; borrowed; NULL: no memory for one). Also from within exchange_begin. */
    void (*ended)(struct exchange *exchange, struct answer *answer);
    /* After that: it holds nothing any more and may be used again. */
    void (*settled)(struct exchange *exchange);
};

struct exchange {
    struct flight flight;
    struct exchange_host *host;
    struct exchange *peer, **place; /* the worker's: all in use */
    struct exchange *ready;         /* the worker's: ended within upstream_ask, to be told later */
    struct answer *answer;          /* the worker's: what to tell then */
    uint64_t key_hash;              /* the worker's: of the cache key */
    bool cached;                    /* the worker's: the answer came from the cache */
    bool ended;
    bool held;            /* not settled before exchange_release */
    bool refused, silent; /* what went wrong so far */
    uint16_t ede;         /* of the first refusal that gave one */
    uint8_t choice_count, next_choice;
    uint8_t on_the_way; /* attempts in use */
    uint64_t deadline_ms;
    struct wheel_entry timer;
    struct choice choices[EXCHANGE_LANES];
    struct attempt attempts[EXCHANGE_TRIES];
};

void exchange_host_init(struct exchange_host *host);

/* The caller set flight.question, host, held and the lanes of choices (best first); all else is zero. */
void exchange_begin(struct exchange *exchange);

/* The caller has no more use for it: it is settled as soon as it has ended and nothing is on the way. */
void exchange_release(struct exchange *exchange);

/* Its deadline (wheel) is due. */
void exchange_due(struct wheel_entry *entry);

/* Ends it without an answer and without a word: drops what is on the way, lets go of the lanes. */
void exchange_abandon(struct exchange *exchange);

#endif
