/* resolver/query.h: one client's query from packet to answer. The machine does no I/O and reads no clock: packets, answers and
 * time come in, wishes go out, so that a test can play a whole scenario without a socket (test/replay).
 *
 *     wish = query_begin(env, &client, packet, length, query, out, &out_length);
 *     QUERY_REPLY  send out[0..out_length) (at most QUERY_UDP_MAX for a client over UDP); from query_begin: the query object holds
 *                  nothing and may serve the next packet
 *     QUERY_DROP   send nothing          QUERY_CLOSE  send nothing, close the connection (drop over TCP)
 *     QUERY_ASK    the object is now in use: ask upstream for query->ask.question. When it answers, query_answered(); when
 *                  query->deadline_ms passes first, query_deadline(). Each gives the next wish; after REPLY, DROP or CLOSE the
 *                  worker calls query_done() and may use the object again.
 * After any wish, env->refresh may be set: the worker asks upstream for env->refresh_question on nobody's behalf (prefetch, stale).
 *
 * One worker's thread. No allocation; the policy hits go straight into env->ring. */
#ifndef SUNDEW_RESOLVER_QUERY_H
#define SUNDEW_RESOLVER_QUERY_H

#include "config/config.h"
#include "hits/ring.h"
#include "resolver/answer.h"
#include "resolver/cache.h"
#include "resolver/message.h"
#include "resolver/stats.h"
#include "resolver/transport.h"
#include "resolver/upstream.h"

enum {
    QUERY_UDP_MAX = 1232,    /* largest UDP answer we send, and what we advertise (DNS flag day 2020) */
    QUERY_REPLY_MAX = 65535, /* room that `out` must have; QUERY_UDP_MAX is enough for a client that asks over UDP */
    QUERY_MONITORS_MAX = MATCH_MONITORS_MAX, /* hits of mode monitor that a response is tapped for; more are logged only */
    QUERY_CHAIN_MAX = 12,                    /* CNAMEs followed by asking again */
    QUERY_STALE_MS = 1800,                   /* RFC 8767 section 5: client response timer */
    QUERY_TOTAL_MS = 3900,                   /* for all links of a chain (contract: an error within 4 s) */
    QUERY_ASKED = 65536,                     /* entries of query_env.asked */
};

enum query_wish {
    QUERY_REPLY,
    QUERY_DROP,
    QUERY_CLOSE,
    QUERY_ASK,
    QUERY_LOOK, /* the machine's own: look in the cache first; a worker never sees it */
};

/* One worker's hold on one policy and its configuration. The worker takes it into use, queries in flight count in `pins`; when it
 * is no longer current and pins is 0, the worker puts a RECORD_RELEASE into its ring (the writer then drops the snapshot reference
 * that the worker took for it, so every hit record before it could still be read) and frees the view. One thread, no atomics. */
struct view {
    struct config *config;
    struct snapshot *snapshot;
    uint32_t generation; /* snapshot_generation(snapshot) */
    uint64_t seed;       /* snapshot_seed(snapshot) */
    unsigned pins;
};

/* What a worker lends to its queries; filled by the worker, time once a batch. */
struct query_env {
    struct view *view; /* the current one */
    struct cache *cache;
    struct upstream_shared *upstream; /* for upstream_shared_hopeful alone; may be NULL in tests */
    struct ring *ring;                /* may be NULL: hits off */
    struct stats *stats;
    uint64_t now_ms;    /* monotonic */
    uint64_t wall_us;   /* since 1970 */
    uint32_t *asked;    /* QUERY_ASKED hashes of who asked what lately, zero at first (history); NULL: no RECORD_ASKED */
    bool mostly_cached; /* query_ahead's: most of the packets before were; it chooses what to look at first */
    bool refresh;       /* a wish besides: see above */
    struct question refresh_question;
};

/* One query that waits. The worker owns a fixed pool of them. Visible because it is pooled by value; its fields belong to
 * query.c and gate.c except `ask` and `deadline_ms`. */
struct query {
    struct ask ask;
    uint64_t deadline_ms; /* monotonic; 0: none */
    struct client client;
    /* --- private to the machine --- */
    struct view *view; /* pinned while the query waits */
    bool pinned;
    bool policy_over; /* passthru, a protected name, or a signed answer that policy leaves alone: no rule is asked any more */
    bool hit;         /* the decision was carried out and recorded */
    bool blank;       /* phase one matched nothing for anybody */
    uint8_t step;     /* enum query_step */
    uint8_t links;
    uint8_t kept_links;                   /* of those, the ones that lead to a cname rule's match; the rest is its target's */
    uint8_t kept_cnames;                  /* of the last kept link's chain */
    uint8_t monitored;                    /* hits of mode monitor that are kept for dnstap; 0 while it is off */
    uint64_t began_ms;                    /* monotonic */
    struct answer *stale;                 /* of ask.question: served when the deadline passes or asking fails */
    struct answer *link[QUERY_CHAIN_MAX]; /* the chain so far */
    bool link_stale[QUERY_CHAIN_MAX];
    struct matched decision;       /* what policy decided and waits for upstream: a cname's target, break_dnssec */
    struct name via;               /* where the decision matched; length 0: at the query name */
    const struct message *message; /* the arrival's, then `kept` */
    const uint8_t *packet;         /* header and question as the client sent them: the packet itself, then `head` */
    struct message kept;
    uint8_t head[WIRE_HEADER + WIRE_QUESTION_MAX];
    struct {
        struct matched matched;
        uint8_t link, cnames; /* where: after so many CNAMEs of that link */
    } monitor[QUERY_MONITORS_MAX];
};

/* A packet that was read and looked up, and isn't a query yet. Between query_ahead and query_admit it holds what the cache had. The
 * caller sets the first three, the rest is the machine's. */
struct arrival {
    const struct client *client; /* borrowed until query_admit is over, as the packet is */
    const uint8_t *packet;
    size_t length;
    /* --- private to the machine --- */
    enum message_fault fault;
    bool looked_up;  /* in the cache: state, answer */
    bool foreseen;   /* of policy: ahead, listed */
    bool listed;     /* perhaps */
    unsigned behind; /* it, in the same batch */
    enum cache_state state;
    struct answer *answer;
    struct cache_key cached;
    uint64_t asked; /* gate.c's hash of who asks what; 0: not known yet */
    struct message message;
    struct match_ahead ahead;
    struct name_key key;
};

/* Takes packets that came together up to where policy would be asked. All are read before the first is looked up, and all looked
 * up before the caller admits the first: what one step reads from memory was asked for in the step before (cache_prefetch,
 * match_prefetch), so that the packets wait for memory together instead of one after another. For a packet by itself that would be
 * idle work, and isn't done. Where most of the packets before were cached, cache goes before policy, so that the filter isn't read
 * in vain; else policy before cache, so that names that are likely listed aren't looked up in vain. Nothing is decided here; the
 * answers are those that query_begin gives, packet by packet (only the one wish to prefetch an answer may come of another query for
 * it). Every arrival must be admitted, in the same turn of the loop: under
 * the same view, at the same time. */
void query_ahead(struct query_env *env, struct arrival *arrivals, unsigned count);
enum query_wish query_admit(struct query_env *env, struct arrival *arrival, struct query *query, uint8_t *out, size_t *out_length);

/* Both for one packet. RD=0 is answered as RD=1 is, and with RD=0 echoed: a forwarder that refused would break diagnosis, and one
 * that answered from cache alone would tell what others asked for. `packet` is borrowed for the call. */
enum query_wish query_begin(struct query_env *env, const struct client *client, const uint8_t *packet, size_t length,
                            struct query *query, uint8_t *out, size_t *out_length);
/* `answer`: borrowed. */
enum query_wish query_answered(struct query_env *env, struct query *query, struct answer *answer, uint8_t *out, size_t *out_length);
/* Never QUERY_ASK: what stale data can't answer by now is SERVFAIL. */
enum query_wish query_deadline(struct query_env *env, struct query *query, uint8_t *out, size_t *out_length);
/* In place of asking upstream, when nothing more can wait: stale data if there is any, else QUERY_DROP. Never QUERY_ASK. */
enum query_wish query_full(struct query_env *env, struct query *query, uint8_t *out, size_t *out_length);
void query_done(struct query *query);

#endif
