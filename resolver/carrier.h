/* resolver/carrier.h: the seam between what is asked (exchange.h) and what carries it (udp_pool.h, upstream_tcp.h; TLS would be one
 * more). A carrier sends one query, gives back the one reply that fits it, or says that it can't; it knows nothing of retries,
 * servers' health or the cache. One worker's thread. */
#ifndef SUNDEW_RESOLVER_CARRIER_H
#define SUNDEW_RESOLVER_CARRIER_H

#include <uv.h>

#include "resolver/entropy.h"
#include "resolver/upstream_message.h"

enum {
    CARRIER_SWEEP_MS = 1000, /* how often carriers let go of what is old */
    CARRIER_UNSENT = 64,     /* UDP queries held back, at most, until the turn of the loop is over */
};

/* One query on its way, embedded in whatever asked. The asker sets `question` (and keeps it alive) and `edns`; the rest is the
 * carrier's from send to reply, failed or cancel. holder NULL: off its socket. */
struct pending {
    struct pending *next, **link; /* among those of the same socket or connection */
    void *holder;
    const struct question *question;
    uint64_t sent_us; /* monotonic */
    int error;        /* UDP: why it is on carrier_host.unsendable */
    uint16_t id;
    bool edns;
    bool sent;    /* UDP: off carrier_host.unsent; TCP: written to the connection */
    bool excused; /* TCP, when it failed: others' queries may be why the connection broke, not this one, nor the server's state */
};

/* What all of one worker's carriers share. */
struct carrier_host {
    uv_loop_t *loop;
    struct entropy entropy;
    size_t handles;     /* open uv handles; when it falls to 0, `closed` is called */
    size_t descriptors; /* sockets and connections open */
    uint64_t now_us;    /* monotonic; since replies were last looked for, or queries sent, over UDP */
    int readable;       /* an epoll of all UDP sockets, edge-triggered: half of the work that uv_poll makes of a reply */
    uint8_t *buffer;    /* for one UDP reply */
    struct pending *unsent[CARRIER_UNSENT];
    unsigned unsent_count;
    struct pending *unsendable; /* off their sockets: to be told by udp_pool_flush */
    /* The pending query is off the carrier when these are called; they may send, cancel and end exchanges. */
    void (*reply)(struct pending *pending, const struct reply *reply, const uint8_t *message, size_t length);
    void (*failed)(struct pending *pending, int error);
    void (*mismatch)(struct carrier_host *host);
    void (*opened)(struct carrier_host *host); /* the first descriptor was opened: sweeps are wanted */
    void (*closed)(struct carrier_host *host); /* no handle is open any more */
};

static inline void pending_add(struct pending **list, struct pending *pending, void *holder) {
    pending->holder = holder;
    pending->next = *list;
    pending->link = list;
    if (pending->next)
        pending->next->link = &pending->next;
    *list = pending;
}

static inline void pending_remove(struct pending *pending) {
    *pending->link = pending->next;
    if (pending->next)
        pending->next->link = pending->link;
    pending->holder = NULL;
}

/* Moves a whole list to `to`, off its holder; returns its first. Entries may still be removed one by one. */
static inline struct pending *pending_detach(struct pending **list, struct pending **to) {
    struct pending *first = *list;
    *list = NULL;
    if (first)
        first->link = to;
    for (struct pending *pending = first; pending; pending = pending->next)
        pending->holder = NULL;
    return first;
}

/* The one that the message replies to, and what it says in *reply; NULL, and the host is told, if it fits none. */
static inline struct pending *pending_judge(struct carrier_host *host, struct pending *list, const uint8_t *message, size_t length,
                                            struct reply *reply) {
    while (length >= 2 && list && list->id != (message[0] << 8 | message[1]))
        list = list->next;
    reply->kind = REPLY_MISMATCH;
    if (length >= 2 && list && list->sent)
        *reply = upstream_message_judge(list->question, list->id, list->edns, message, length);
    if (reply->kind != REPLY_MISMATCH)
        return list;
    host->mismatch(host);
    return NULL;
}

/* An id that no other pending query on the list has. */
static inline uint16_t pending_fresh_id(const struct pending *list, struct entropy *entropy) {
    for (;;) {
        uint16_t id = entropy_16(entropy);
        const struct pending *other = list;
        while (other && other->id != id)
            other = other->next;
        if (!other)
            return id;
    }
}

#endif
