/* resolver/forwarders.c: the forward table and the health of its servers. */
#include "resolver/forwarders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/wire.h"

/* --- servers --- */

static struct server *server_new(const struct endpoint *endpoint) {
    struct server *server = calloc(1, sizeof(*server));
    if (!server)
        return NULL;
    atomic_init(&server->references, 1);
    server->address = endpoint->address;
    server->address_length = endpoint->address_length;
    snprintf(server->text, sizeof(server->text), "%s", endpoint->text);
    return server;
}

struct server *server_ref(struct server *server) {
    atomic_fetch_add_explicit(&server->references, 1, memory_order_relaxed);
    return server;
}

void server_unref(struct server *server) {
    if (atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel) == 1)
        free(server);
}

static bool server_is_at(const struct server *server, const struct endpoint *endpoint) {
    return server->address_length == endpoint->address_length &&
           memcmp(&server->address, &endpoint->address, endpoint->address_length) == 0;
}

enum server_state server_state(const struct server *server) {
    if (atomic_load_explicit(&server->unanswered, memory_order_relaxed) >= SERVER_DOWN)
        return SERVER_GONE;
    return atomic_load_explicit(&server->refused, memory_order_relaxed) >= SERVER_POOR ? SERVER_BAD : SERVER_WELL;
}

bool server_is_dead(const struct server *server, uint64_t now_ms) {
    if (server_state(server) != SERVER_GONE)
        return false;
    return atomic_load_explicit(&server->unreachable, memory_order_relaxed) ||
           now_ms >= atomic_load_explicit(&server->silent_ms, memory_order_relaxed) + SERVER_DEAD_MS;
}

bool server_is_plain(const struct server *server, uint64_t now_ms) {
    return now_ms < atomic_load_explicit(&server->plain_ms, memory_order_relaxed);
}

/* Stores only what changes: in good times all workers share these lines unwritten. */
static void set_if_other(atomic_uint *to, unsigned value) {
    if (atomic_load_explicit(to, memory_order_relaxed) != value)
        atomic_store_explicit(to, value, memory_order_relaxed);
}

void server_replied(struct server *server, uint64_t now_ms, bool refused) {
    if (atomic_load_explicit(&server->unanswered, memory_order_relaxed) >= SERVER_DOWN)
        atomic_store_explicit(&server->probe_ms, now_ms + SERVER_EXPLORE_MS, memory_order_relaxed);
    set_if_other(&server->unanswered, 0);
    set_if_other(&server->probe_gap_ms, 0);
    if (atomic_load_explicit(&server->unreachable, memory_order_relaxed))
        atomic_store_explicit(&server->unreachable, false, memory_order_relaxed);
    if (refused) {
        atomic_fetch_add_explicit(&server->refused, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);
    } else {
        set_if_other(&server->refused, 0);
    }
}

static void count_unanswered(struct server *server, uint64_t now_ms, unsigned by) {
    unsigned before = atomic_fetch_add_explicit(&server->unanswered, by, memory_order_relaxed);
    if (before == 0)
        atomic_store_explicit(&server->silent_ms, now_ms, memory_order_relaxed);
    if (before < SERVER_DOWN && before + by >= SERVER_DOWN) {
        atomic_store_explicit(&server->probe_gap_ms, SERVER_PROBE_MS, memory_order_relaxed);
        atomic_store_explicit(&server->probe_ms, now_ms + SERVER_PROBE_MS, memory_order_relaxed);
    }
}

void server_silent(struct server *server, uint64_t now_ms) {
    atomic_fetch_add_explicit(&server->timeouts, 1, memory_order_relaxed);
    count_unanswered(server, now_ms, 1);
}

void server_unreachable(struct server *server, uint64_t now_ms) {
    atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);
    atomic_store_explicit(&server->unreachable, true, memory_order_relaxed);
    count_unanswered(server, now_ms, SERVER_DOWN);
}

bool server_probe(struct server *server, uint64_t now_ms) {
    uint64_t due = atomic_load_explicit(&server->probe_ms, memory_order_relaxed);
    if (now_ms < due)
        return false;
    unsigned gap = SERVER_EXPLORE_MS;
    if (server_state(server) == SERVER_GONE) {
        gap = atomic_load_explicit(&server->probe_gap_ms, memory_order_relaxed);
        unsigned wider = gap * 2 < SERVER_PROBE_MAX_MS ? gap * 2 : SERVER_PROBE_MAX_MS;
        atomic_store_explicit(&server->probe_gap_ms, wider, memory_order_relaxed);
    }
    return atomic_compare_exchange_strong_explicit(&server->probe_ms, &due, now_ms + gap, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* --- the table --- */

/* Its index in a table's servers, or `server_count`. */
static size_t find_server(const struct forwarders *forwarders, const struct endpoint *endpoint) {
    size_t i = 0;
    while (i < forwarders->server_count && !server_is_at(forwarders->servers[i], endpoint))
        i++;
    return i;
}

/* The index of the server at this address, found in the table, taken over from the table before, or made; SIZE_MAX: no memory.
 * `servers` has room. */
static size_t intern_server(struct forwarders *forwarders, const struct endpoint *endpoint, const struct forwarders *before) {
    size_t found = find_server(forwarders, endpoint);
    if (found < forwarders->server_count)
        return found;
    size_t old = before ? find_server(before, endpoint) : 0;
    bool known = before && old < before->server_count;
    struct server *server = known ? server_ref(before->servers[old]) : server_new(endpoint);
    if (!server)
        return SIZE_MAX;
    forwarders->servers[forwarders->server_count] = server;
    return forwarders->server_count++;
}

static int zone_order(const void *a, const void *b) {
    const struct forward_zone *left = a, *right = b;
    return name_compare(&left->name, &right->name);
}

/* In canonical order all that is below a zone follows it at once, so the nearest zone above is on the way up from the one before.
 */
static void link_parents(struct forwarders *forwarders) {
    for (size_t i = 0; i < forwarders->zone_count; i++) {
        size_t parent = i == 0 ? SIZE_MAX : i - 1;
        while (parent != SIZE_MAX && !name_is_within(&forwarders->zones[i].name, &forwarders->zones[parent].name))
            parent = forwarders->zones[parent].parent;
        forwarders->zones[i].parent = parent;
    }
}

static int fill(struct forwarders *forwarders, const struct config *config, const struct forwarders *before) {
    size_t total = 0;
    for (size_t i = 0; i < config->forward_count; i++)
        total += config->forward[i].to_count;
    forwarders->zones = calloc(config->forward_count + 1, sizeof(*forwarders->zones));
    forwarders->servers = calloc(total + 1, sizeof(struct server *));
    if (!forwarders->zones || !forwarders->servers)
        return -ENOMEM;
    forwarders->zone_count = forwarders->server_count = 0;
    for (size_t i = 0; i < config->forward_count; i++) {
        const struct forward *forward = &config->forward[i];
        struct forward_zone *zone = &forwarders->zones[forwarders->zone_count++];
        zone->name = forward->zone;
        zone->servers = calloc(forward->to_count + 1, sizeof(*zone->servers));
        if (!zone->servers)
            return -ENOMEM;
        for (size_t k = 0; k < forward->to_count; k++) {
            size_t server = intern_server(forwarders, &forward->to[k], before);
            if (server == SIZE_MAX)
                return -ENOMEM;
            zone->servers[zone->count++] = server;
        }
    }
    qsort(forwarders->zones, forwarders->zone_count, sizeof(*forwarders->zones), zone_order);
    link_parents(forwarders);
    return 0;
}

struct forwarders *forwarders_new(const struct config *config, const struct forwarders *before) {
    struct forwarders *forwarders = calloc(1, sizeof(*forwarders));
    if (!forwarders)
        return NULL;
    atomic_init(&forwarders->references, 1);
    forwarders->limits = (struct answer_limits){config->cache.min_ttl, config->cache.max_ttl, config->cache.max_negative_ttl};
    forwarders->serve_stale = config->cache.serve_stale;
    forwarders->workers = config->workers;
    if (fill(forwarders, config, before) < 0) {
        forwarders_unref(forwarders);
        return NULL;
    }
    return forwarders;
}

struct forwarders *forwarders_ref(struct forwarders *forwarders) {
    atomic_fetch_add_explicit(&forwarders->references, 1, memory_order_relaxed);
    return forwarders;
}

void forwarders_unref(struct forwarders *forwarders) {
    if (!forwarders || atomic_fetch_sub_explicit(&forwarders->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < forwarders->zone_count; i++)
        free(forwarders->zones[i].servers);
    for (size_t i = 0; i < forwarders->server_count; i++)
        server_unref(forwarders->servers[i]);
    free(forwarders->zones);
    free(forwarders->servers);
    free(forwarders);
}

static const struct forward_zone *longest(const struct forwarders *forwarders, const struct name *name) {
    size_t low = 0, high = forwarders->zone_count; /* zones[low - 1] <= name < zones[high] */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (name_compare(&forwarders->zones[middle].name, name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low - 1; i != SIZE_MAX; i = forwarders->zones[i].parent)
        if (name_is_within(name, &forwarders->zones[i].name))
            return &forwarders->zones[i];
    return NULL;
}

const struct forward_zone *forwarders_find(const struct forwarders *forwarders, const struct question *question) {
    const struct forward_zone *zone = longest(forwarders, &question->name);
    if (zone && question->type == TYPE_DS && zone->parent != SIZE_MAX && name_equal(&zone->name, &question->name))
        return &forwarders->zones[zone->parent];
    return zone;
}

bool forwarders_hopeful(const struct forwarders *forwarders, const struct question *question, uint64_t now_ms) {
    const struct forward_zone *zone = forwarders_find(forwarders, question);
    for (size_t i = 0; zone && i < zone->count; i++)
        if (!server_is_dead(forwarders->servers[zone->servers[i]], now_ms))
            return true;
    return false;
}

size_t forwarders_health(const struct forwarders *forwarders, struct upstream_health *health, size_t count) {
    size_t n = 0;
    for (size_t i = 0; i < forwarders->zone_count; i++) {
        const struct forward_zone *zone = &forwarders->zones[i];
        for (size_t k = 0; k < zone->count; k++, n++) {
            if (n >= count)
                continue;
            const struct server *server = forwarders->servers[zone->servers[k]];
            memcpy(health[n].text, server->text, sizeof(health[n].text));
            health[n].zone = zone->name;
            health[n].up = server_state(server) != SERVER_GONE;
            health[n].rtt_us = atomic_load_explicit(&server->rtt_us, memory_order_relaxed);
            health[n].queries = atomic_load_explicit(&server->queries, memory_order_relaxed);
            health[n].failures = atomic_load_explicit(&server->failures, memory_order_relaxed);
            health[n].timeouts = atomic_load_explicit(&server->timeouts, memory_order_relaxed);
        }
    }
    return n;
}
