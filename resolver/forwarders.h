/* resolver/forwarders.h: which servers are asked for which names, and how each is doing.
 *
 * A table is immutable and reference-counted; a server outlives the tables that name it, and its health is carried over to the
 * next table by address. Health is written by all workers with relaxed atomics: estimates, no truths.
 *
 * A server is DOWN after SERVER_DOWN tries in a row without a reply: others go first. It is DEAD when that has lasted for
 * SERVER_DEAD_MS, or when its host says that nobody listens: then nobody waits for long. Any reply makes it well again. */
#ifndef SUNDEW_RESOLVER_FORWARDERS_H
#define SUNDEW_RESOLVER_FORWARDERS_H

#include <sys/socket.h>

#include "config/config.h"
#include "resolver/answer.h"
#include "resolver/upstream.h"

enum {
    SERVER_DOWN = 3,        /* tries in a row without reply */
    SERVER_DEAD_MS = 5000,  /* of silence: a name that the server itself gets no answer for doesn't make it dead */
    SERVER_POOR = 4,        /* refusals in a row: others go first */
    SERVER_PROBE_MS = 1000, /* a server that is down is asked again after this, doubled up to ... */
    SERVER_PROBE_MAX_MS = 16000,
    SERVER_EXPLORE_MS = 5000, /* a server that isn't the best gets a query this often, to know its round trip time */
    SERVER_PLAIN_MS = 300000, /* a server is asked without EDNS for so long before EDNS is tried again */
};

/* Visible because workers read it on the hot path. */
struct server {
    atomic_uint references;
    struct sockaddr_storage address;
    socklen_t address_length;
    char text[128];
    atomic_uint rtt_us;              /* smoothed; 0 unknown */
    atomic_uint unanswered;          /* tries in a row */
    atomic_uint refused;             /* refusals in a row */
    atomic_bool unreachable;         /* the network said so */
    atomic_uint_least64_t silent_ms; /* since when unanswered isn't 0 */
    atomic_uint_least64_t probe_ms;  /* when to probe or explore next */
    atomic_uint probe_gap_ms;
    atomic_uint_least64_t plain_ms; /* until when it is asked without EDNS */
    atomic_uint_least64_t queries, failures, timeouts;
};

struct forward_zone {
    struct name name;
    size_t parent;   /* index of the nearest zone above, or SIZE_MAX */
    size_t *servers; /* indices into forwarders.servers, as configured */
    size_t count;
};

struct forwarders {
    atomic_uint references;
    struct answer_limits limits;
    uint32_t serve_stale;
    unsigned workers;
    struct forward_zone *zones; /* in canonical order */
    size_t zone_count;
    struct server **servers;
    size_t server_count;
};

/* `before`: the table to carry health over from; may be NULL. NULL: no memory. One reference. */
struct forwarders *forwarders_new(const struct config *config, const struct forwarders *before);
struct forwarders *forwarders_ref(struct forwarders *forwarders);
void forwarders_unref(struct forwarders *forwarders);
struct server *server_ref(struct server *server);
void server_unref(struct server *server);

/* The longest zone that the question's name is within, or NULL. Of a zone's own DS the zone above, if there is one: it is the
 * parent's data (RFC 4035 section 3.1.4.1), and the child's servers can't prove that there is none. */
const struct forward_zone *forwarders_find(const struct forwarders *forwarders, const struct question *question);

enum server_state { SERVER_WELL, SERVER_BAD /* refuses much */, SERVER_GONE /* down */ };
enum server_state server_state(const struct server *server);
bool server_is_dead(const struct server *server, uint64_t now_ms);
bool server_is_plain(const struct server *server, uint64_t now_ms);

/* What happened. */
void server_replied(struct server *server, uint64_t now_ms, bool refused);
void server_silent(struct server *server, uint64_t now_ms);
void server_unreachable(struct server *server, uint64_t now_ms);

/* True for one caller when the server is due for a probe (it is down) or for exploration (it isn't the best); moves the date. */
bool server_probe(struct server *server, uint64_t now_ms);

/* False when all servers for the question are dead. */
bool forwarders_hopeful(const struct forwarders *forwarders, const struct question *question, uint64_t now_ms);

size_t forwarders_health(const struct forwarders *forwarders, struct upstream_health *health, size_t count);

#endif
