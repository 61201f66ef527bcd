/* resolver/upstream.c: who asks, who waits, who is told: the forwarders as the query machine sees them. */
#include "resolver/upstream.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "resolver/exchange.h"
#include "resolver/wire.h"

enum {
    ASKS_MAX = 50000, /* of one worker, all questions together */
    SLAB = 32,        /* exchanges, or waiters, allocated at a time */
    PLACES_MIN = 16,  /* of a UDP pool, however few descriptors there are */
    EDE_NO_REACHABLE_AUTHORITY = 22,
};

struct upstream_shared {
    struct cache *cache;
    struct inflight *inflight;
    struct answer *last_resort; /* a failure to tell when there is no memory for one */
    atomic_uint_least64_t seed;
    atomic_uint version; /* of forwarders */
    pthread_mutex_t lock;
    struct forwarders *forwarders; /* under lock */
    size_t descriptors;            /* that all UDP pools together may use */
};

struct slab {
    struct slab *next;
};

struct upstream {
    struct exchange_host host; /* first: exchanges lead back here */
    struct mailbox mailbox;
    struct upstream_shared *shared;
    struct forwarders *forwarders;
    unsigned version;
    struct lane **table; /* lanes by index of forwarders->servers */
    struct lane *lanes;  /* all, retired ones too */
    struct exchange *exchanges, *free_exchanges;
    struct waiters *waiting, *free_waiters;
    struct exchange *ready, **ready_end;
    struct slab *slabs;
    size_t asks, flights; /* under way; flights: that this worker owns */
    bool asking;          /* within upstream_ask: nobody may be told */
    bool closing;
    uv_async_t wake;
    uv_timer_t tick, sweep;
    uv_prepare_t before; /* before the loop sleeps: queries leave */
    uv_poll_t readable;  /* replies have come over UDP */
    void (*closed)(void *context);
    void *closed_context;
};

/* --- shared by all workers --- */

/* Half of what the process may open. */
static size_t descriptor_budget(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 512;
    return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX / 2 : (size_t)limit.rlim_cur / 2;
}

struct upstream_shared *upstream_shared_new(struct config *config, struct cache *cache, uint64_t seed) {
    struct upstream_shared *shared = calloc(1, sizeof(*shared));
    if (!shared)
        return NULL;
    struct question root = {.name = {.length = 1}};
    pthread_mutex_init(&shared->lock, NULL);
    atomic_init(&shared->seed, seed);
    atomic_init(&shared->version, 1);
    shared->cache = cache;
    shared->descriptors = descriptor_budget();
    shared->last_resort = answer_failure(&root, RCODE_SERVFAIL, 0, 0, 0);
    shared->inflight = inflight_new();
    shared->forwarders = forwarders_new(config, NULL);
    if (shared->last_resort && shared->inflight && shared->forwarders)
        return shared;
    upstream_shared_free(shared);
    return NULL;
}

void upstream_shared_free(struct upstream_shared *shared) {
    if (!shared)
        return;
    forwarders_unref(shared->forwarders);
    inflight_free(shared->inflight);
    if (shared->last_resort)
        answer_unref(shared->last_resort);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

void upstream_shared_reseed(struct upstream_shared *shared, uint64_t seed) {
    atomic_store_explicit(&shared->seed, seed, memory_order_relaxed);
}

void upstream_shared_configure(struct upstream_shared *shared, struct config *config) {
    pthread_mutex_lock(&shared->lock);
    struct forwarders *before = shared->forwarders, *fresh = forwarders_new(config, before);
    if (fresh) {
        shared->forwarders = fresh;
        atomic_fetch_add_explicit(&shared->version, 1, memory_order_release);
    }
    pthread_mutex_unlock(&shared->lock);
    if (fresh)
        forwarders_unref(before);
}

static struct forwarders *current_forwarders(struct upstream_shared *shared, unsigned *version) {
    pthread_mutex_lock(&shared->lock);
    struct forwarders *forwarders = forwarders_ref(shared->forwarders);
    if (version)
        *version = atomic_load_explicit(&shared->version, memory_order_relaxed);
    pthread_mutex_unlock(&shared->lock);
    return forwarders;
}

size_t upstream_shared_health(struct upstream_shared *shared, struct upstream_health *health, size_t count) {
    struct forwarders *forwarders = current_forwarders(shared, NULL);
    size_t n = forwarders_health(forwarders, health, count);
    forwarders_unref(forwarders);
    return n;
}

bool upstream_shared_hopeful(struct upstream_shared *shared, const struct question *question) {
    struct forwarders *forwarders = current_forwarders(shared, NULL);
    bool hopeful = forwarders_hopeful(forwarders, question, uv_hrtime() / 1000000);
    forwarders_unref(forwarders);
    return hopeful;
}

/* --- the worker's table of lanes --- */

static unsigned pool_places(const struct upstream *upstream) {
    size_t pools = (upstream->forwarders->workers ? upstream->forwarders->workers : 1) * upstream->forwarders->server_count;
    size_t places = upstream->shared->descriptors / (pools ? pools : 1);
    return places > UDP_POOL_FULL ? UDP_POOL_FULL : places < PLACES_MIN ? PLACES_MIN : (unsigned)places;
}

static struct lane *lane_for(struct upstream *upstream, struct server *server) {
    for (struct lane *lane = upstream->lanes; lane; lane = lane->next)
        if (lane->server == server && !lane->closing)
            return lane;
    struct lane *lane = lane_new(server, &upstream->host.carriers, pool_places(upstream));
    if (lane) {
        lane->next = upstream->lanes;
        upstream->lanes = lane;
    }
    return lane;
}

/* Takes the current forward table into use. Without memory the old one stays for now. */
static void adopt(struct upstream *upstream) {
    unsigned version;
    struct forwarders *before = upstream->forwarders, *fresh = current_forwarders(upstream->shared, &version);
    struct lane **table = calloc(fresh->server_count + 1, sizeof(struct lane *));
    bool complete = table != NULL;
    upstream->forwarders = fresh;
    for (size_t i = 0; complete && i < fresh->server_count; i++)
        complete = (table[i] = lane_for(upstream, fresh->servers[i])) != NULL;
    if (!complete) {
        upstream->forwarders = before;
        free(table);
        forwarders_unref(fresh);
        return;
    }
    for (struct lane *lane = upstream->lanes; lane; lane = lane->next)
        lane->retired = true;
    for (size_t i = 0; i < fresh->server_count; i++)
        table[i]->retired = false;
    free(upstream->table);
    upstream->table = table;
    upstream->version = version;
    upstream->host.limits = &fresh->limits;
    forwarders_unref(before);
    if (!uv_is_active((uv_handle_t *)&upstream->sweep))
        upstream->host.carriers.opened(&upstream->host.carriers); /* retired lanes want to be swept up */
}

/* Lanes of no table go when the last exchange has let go of them and their sockets are closed. */
static void sweep_lanes(struct upstream *upstream) {
    struct lane **link = &upstream->lanes;
    while (*link) {
        struct lane *lane = *link;
        if (!lane->retired || lane->users > 0) {
            lane_sweep(lane, uv_now(upstream->host.carriers.loop));
        } else {
            lane_close(lane);
            if (lane_is_closed(lane)) {
                *link = lane->next;
                lane_free(lane);
                continue;
            }
        }
        link = &lane->next;
    }
}

/* --- pools --- */

static void *slab_new(struct upstream *upstream, size_t size) {
    struct slab *slab = calloc(1, sizeof(max_align_t) + size * SLAB);
    if (!slab)
        return NULL;
    slab->next = upstream->slabs;
    upstream->slabs = slab;
    return (char *)slab + sizeof(max_align_t);
}

static struct exchange *exchange_take(struct upstream *upstream) {
    if (!upstream->free_exchanges) {
        struct exchange *fresh = slab_new(upstream, sizeof(struct exchange));
        for (size_t i = 0; fresh && i < SLAB; i++) {
            fresh[i].peer = upstream->free_exchanges;
            upstream->free_exchanges = &fresh[i];
        }
    }
    struct exchange *exchange = upstream->free_exchanges;
    if (!exchange)
        return NULL;
    upstream->free_exchanges = exchange->peer;
    exchange->peer = upstream->exchanges;
    exchange->place = &upstream->exchanges;
    if (exchange->peer)
        exchange->peer->place = &exchange->peer;
    upstream->exchanges = exchange;
    return exchange;
}

static void exchange_give(struct upstream *upstream, struct exchange *exchange) {
    *exchange->place = exchange->peer;
    if (exchange->peer)
        exchange->peer->place = exchange->place;
    exchange->peer = upstream->free_exchanges;
    upstream->free_exchanges = exchange;
}

static struct waiters *waiters_take(struct upstream *upstream) {
    if (!upstream->free_waiters) {
        struct waiters *fresh = slab_new(upstream, sizeof(struct waiters));
        for (size_t i = 0; fresh && i < SLAB; i++) {
            fresh[i].peer = upstream->free_waiters;
            upstream->free_waiters = &fresh[i];
        }
    }
    struct waiters *waiters = upstream->free_waiters;
    if (!waiters)
        return NULL;
    upstream->free_waiters = waiters->peer;
    *waiters = (struct waiters){.mailbox = &upstream->mailbox, .peer = upstream->waiting, .place = &upstream->waiting};
    if (waiters->peer)
        waiters->peer->place = &waiters->peer;
    upstream->waiting = waiters;
    return waiters;
}

static void waiters_give(struct upstream *upstream, struct waiters *waiters) {
    *waiters->place = waiters->peer;
    if (waiters->peer)
        waiters->peer->place = waiters->place;
    waiters->peer = upstream->free_waiters;
    upstream->free_waiters = waiters;
}

/* --- telling --- */

static void ask_add(struct upstream *upstream, struct waiters *waiters, struct ask *ask) {
    ask->next = waiters->asks;
    ask->link = &waiters->asks;
    if (ask->next)
        ask->next->link = &ask->next;
    waiters->asks = ask;
    upstream->asks++;
}

static void ask_remove(struct upstream *upstream, struct ask *ask) {
    *ask->link = ask->next;
    if (ask->next)
        ask->next->link = ask->link;
    ask->link = NULL;
    upstream->asks--;
}

/* Tells every asker, one by one: each may ask or cancel meanwhile. */
static void tell(struct upstream *upstream, struct waiters *waiters, struct answer *answer) {
    struct ask *ask;
    while ((ask = waiters->asks)) {
        ask_remove(upstream, ask);
        ask->done(ask, answer ? answer : upstream->shared->last_resort);
    }
    waiters_give(upstream, waiters);
}

static void tell_failure(struct upstream *upstream, struct ask *ask) {
    struct answer *failure = answer_failure(&ask->question, RCODE_SERVFAIL, EDE_NO_REACHABLE_AUTHORITY, 0,
                                            (uint32_t)(uv_now(upstream->host.carriers.loop) / 1000));
    ask->done(ask, failure ? failure : upstream->shared->last_resort);
    if (failure)
        answer_unref(failure);
}

/* The owner of their flight went away: asks begin anew. */
static void ask_again(struct upstream *upstream, struct waiters *waiters) {
    struct ask *ask;
    while ((ask = waiters->asks)) {
        ask_remove(upstream, ask);
        if (upstream_ask(upstream, ask) < 0)
            tell_failure(upstream, ask);
    }
    waiters_give(upstream, waiters);
}

static void take_mail(struct upstream *upstream) {
    struct waiters *waiters = mailbox_take(&upstream->mailbox);
    while (waiters) {
        struct waiters *next = waiters->posted;
        struct answer *answer = waiters->answer;
        if (answer)
            tell(upstream, waiters, answer);
        else
            ask_again(upstream, waiters);
        if (answer)
            answer_unref(answer);
        waiters = next;
    }
}

static struct cache_key key_of(const struct exchange *exchange) {
    const struct question *question = &exchange->flight.question;
    return (struct cache_key){.hash = exchange->key_hash,
                              .name = question->name.wire,
                              .length = question->name.length,
                              .dnssec_ok = question->dnssec_ok,
                              .checking_disabled = question->checking_disabled,
                              .type = question->type};
}

static void on_answering(const struct exchange *exchange) {
    const struct upstream_shared *shared = ((const struct upstream *)exchange->host)->shared;
    struct cache_key key = key_of(exchange);
    inflight_prefetch(shared->inflight, &exchange->flight);
    cache_prefetch(shared->cache, &key);
}

/* Into the cache first, then out of the table, then told: who finds no flight finds the answer. */
static void deliver(struct upstream *upstream, struct exchange *exchange, struct answer *answer) {
    struct upstream_shared *shared = upstream->shared;
    if (answer && !exchange->cached && answer->ttl > 0) {
        struct cache_key key = key_of(exchange);
        cache_put(shared->cache, &key, answer, (uint32_t)(uv_now(upstream->host.carriers.loop) / 1000));
    }
    answer = answer ? answer : shared->last_resort;
    upstream->flights--;
    tell(upstream, inflight_end(shared->inflight, &exchange->flight, answer), answer);
}

static void on_ended(struct exchange *exchange, struct answer *answer) {
    struct upstream *upstream = (struct upstream *)exchange->host;
    if (!upstream->asking) {
        deliver(upstream, exchange, answer);
        return;
    }
    exchange->answer = answer ? answer_ref(answer) : NULL;
    exchange->ready = NULL;
    *upstream->ready_end = exchange;
    upstream->ready_end = &exchange->ready;
    uv_async_send(&upstream->wake);
}

static void on_settled(struct exchange *exchange) {
    exchange_give((struct upstream *)exchange->host, exchange);
}

static void deliver_ready(struct upstream *upstream) {
    struct exchange *exchange = upstream->ready, *next;
    upstream->ready = NULL;
    upstream->ready_end = &upstream->ready;
    for (; exchange; exchange = next) {
        next = exchange->ready;
        struct answer *answer = exchange->answer;
        exchange->answer = NULL;
        deliver(upstream, exchange, answer);
        if (answer)
            answer_unref(answer);
        exchange_release(exchange);
    }
}

static void on_wake(uv_async_t *async) {
    struct upstream *upstream = async->data;
    take_mail(upstream);
    deliver_ready(upstream);
}

static void wake_worker(struct mailbox *mailbox) {
    uv_async_send(&((struct upstream *)((char *)mailbox - offsetof(struct upstream, mailbox)))->wake);
}

/* --- asking --- */

/* Orders the zone's servers, best first, into the exchange's choices. */
static void choose(struct upstream *upstream, struct exchange *exchange, const struct forward_zone *zone) {
    size_t count = 0;
    for (size_t i = 0; i < zone->count; i++) {
        struct lane *lane = upstream->table[zone->servers[i]];
        size_t at = count < EXCHANGE_LANES ? count++ : EXCHANGE_LANES;
        while (at > 0 && lane_is_better(lane, exchange->choices[at - 1].lane)) {
            if (at < EXCHANGE_LANES)
                exchange->choices[at].lane = exchange->choices[at - 1].lane;
            at--;
        }
        if (at < EXCHANGE_LANES)
            exchange->choices[at].lane = lane;
    }
    exchange->choice_count = (uint8_t)count;
    for (size_t i = 0; i < count; i++)
        exchange->choices[i] = (struct choice){.lane = exchange->choices[i].lane};
}

/* This worker owns the flight now. Somebody may have ended one for the same question just before; else the servers are asked. */
static void begin(struct upstream *upstream, struct exchange *exchange) {
    struct cache_key key = key_of(exchange);
    uint32_t now = (uint32_t)(uv_now(upstream->host.carriers.loop) / 1000);
    struct answer *answer = NULL;
    enum cached cached = cache_peek(upstream->shared->cache, &key, now, &answer);
    const struct forward_zone *zone = NULL;
    if (cached == CACHED_NOT)
        zone = forwarders_find(upstream->forwarders, &exchange->flight.question);
    upstream->asking = true;
    if (zone && zone->count > 0) {
        choose(upstream, exchange, zone);
        exchange_begin(exchange);
    } else {
        if (!answer)
            answer = answer_failure(&exchange->flight.question, RCODE_SERVFAIL, EDE_NO_REACHABLE_AUTHORITY, 0, now);
        exchange->cached = true;
        exchange->ended = true;
        on_ended(exchange, answer);
    }
    upstream->asking = false;
    if (answer)
        answer_unref(answer);
    if (!exchange->ended)
        exchange_release(exchange);
}

static void on_tick(uv_timer_t *timer) {
    struct upstream *upstream = timer->data;
    struct wheel_entry *entry;
    while ((entry = wheel_turn(&upstream->host.wheel, uv_now(timer->loop))))
        exchange_due(entry);
    if (upstream->host.wheel.count == 0)
        uv_timer_stop(timer);
}

/* For the flight that joins: its question and hash, and nothing from an earlier life. */
static void exchange_reset(struct upstream *upstream, struct exchange *exchange, const struct question *question) {
    exchange->host = &upstream->host;
    question_copy(&exchange->flight.question, question);
    struct name_key name;
    name_key_init(&name, question->name.wire, question->name.length,
                  atomic_load_explicit(&upstream->shared->seed, memory_order_relaxed));
    exchange->key_hash = name.hash[name.labels];
    exchange->flight.hash = exchange->key_hash + question->type;
    inflight_prefetch(upstream->shared->inflight, &exchange->flight);
    exchange->ready = NULL;
    exchange->answer = NULL;
    exchange->cached = exchange->ended = exchange->refused = exchange->silent = false;
    exchange->held = true;
    exchange->ede = 0;
    exchange->choice_count = exchange->next_choice = 0;
}

int upstream_ask(struct upstream *upstream, struct ask *ask) {
    ask->link = NULL;
    if (upstream->closing)
        return -ESHUTDOWN;
    if (upstream->asks >= ASKS_MAX)
        return -EAGAIN;
    struct upstream_shared *shared = upstream->shared;
    if (upstream->version != atomic_load_explicit(&shared->version, memory_order_acquire))
        adopt(upstream);
    struct exchange *exchange = exchange_take(upstream);
    if (!exchange)
        return -EAGAIN;
    exchange_reset(upstream, exchange, &ask->question);
    struct waiters *waiters = waiters_take(upstream), *mine = waiters;
    if (!waiters) {
        exchange_give(upstream, exchange);
        return -EAGAIN;
    }
    bool may_begin = upstream->flights < INFLIGHT_MAX / (upstream->forwarders->workers ? upstream->forwarders->workers : 1);
    int joined = inflight_join(shared->inflight, &exchange->flight, may_begin, waiters, &mine);
    if (joined != 0)
        exchange_give(upstream, exchange);
    if (joined < 0 || joined == 2)
        waiters_give(upstream, waiters);
    if (joined < 0)
        return joined;
    ask_add(upstream, mine, ask);
    if (joined == 0) {
        upstream->flights++;
        begin(upstream, exchange);
        if (!uv_is_active((uv_handle_t *)&upstream->tick))
            uv_timer_start(&upstream->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    }
    return 0;
}

void upstream_cancel(struct upstream *upstream, struct ask *ask) {
    if (ask->link)
        ask_remove(upstream, ask);
}

/* --- beginning and end of a worker --- */

static void on_before(uv_prepare_t *before) {
    struct upstream *upstream = before->data;
    udp_pool_flush(&upstream->host.carriers);
}

static void on_sweep(uv_timer_t *timer) {
    struct upstream *upstream = timer->data;
    sweep_lanes(upstream);
    bool retiring = false;
    for (const struct lane *lane = upstream->lanes; lane; lane = lane->next)
        retiring = retiring || lane->retired;
    if (upstream->host.carriers.descriptors == 0 && !retiring)
        uv_timer_stop(timer);
}

static void on_opened(struct carrier_host *carriers) {
    struct upstream *upstream = (struct upstream *)carriers;
    uv_timer_start(&upstream->sweep, on_sweep, CARRIER_SWEEP_MS, CARRIER_SWEEP_MS);
}

static void free_upstream(struct upstream *upstream) {
    if (upstream->host.carriers.readable >= 0)
        close(upstream->host.carriers.readable);
    free(upstream->host.carriers.buffer);
    free(upstream);
}

/* The last handle is closed. */
static void on_all_closed(struct carrier_host *carriers) {
    struct upstream *upstream = (struct upstream *)carriers;
    while (upstream->lanes) {
        struct lane *lane = upstream->lanes;
        upstream->lanes = lane->next;
        lane_free(lane);
    }
    while (upstream->slabs) {
        struct slab *slab = upstream->slabs;
        upstream->slabs = slab->next;
        free(slab);
    }
    void (*closed)(void *) = upstream->closed;
    void *context = upstream->closed_context;
    forwarders_unref(upstream->forwarders);
    free(upstream->table);
    free_upstream(upstream);
    if (closed)
        closed(context);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct upstream *upstream = handle->data;
    if (--upstream->host.carriers.handles == 0)
        on_all_closed(&upstream->host.carriers);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct upstream *upstream = poll->data;
    udp_pool_receive(&upstream->host.carriers);
}

/* Handles of the loop. One that is open when another fails stays: a worker that can't start is fatal to the program. */
static int init_handles(struct upstream *upstream, uv_loop_t *loop) {
    struct carrier_host *carriers = &upstream->host.carriers;
    int error = uv_poll_init(loop, &upstream->readable, carriers->readable);
    if (error == 0)
        error = uv_async_init(loop, &upstream->wake, on_wake);
    if (error < 0)
        return error;
    carriers->handles = 5;
    uv_timer_init(loop, &upstream->tick);
    uv_timer_init(loop, &upstream->sweep);
    uv_prepare_init(loop, &upstream->before);
    upstream->wake.data = upstream->tick.data = upstream->sweep.data = upstream->before.data = upstream->readable.data = upstream;
    uv_prepare_start(&upstream->before, on_before);
    return uv_poll_start(&upstream->readable, UV_READABLE, on_readable);
}

int upstream_init(struct upstream **out, struct upstream_shared *shared, uv_loop_t *loop, struct stats *stats) {
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (!upstream)
        return -ENOMEM;
    struct carrier_host *carriers = &upstream->host.carriers;
    carriers->buffer = malloc(UDP_REPLY_MAX);
    carriers->readable = epoll_create1(EPOLL_CLOEXEC);
    if (!carriers->buffer || carriers->readable < 0) {
        int error = carriers->buffer ? -errno : -ENOMEM;
        free_upstream(upstream);
        return error;
    }
    carriers->loop = loop;
    carriers->opened = on_opened;
    carriers->closed = on_all_closed;
    upstream->mailbox.wake = wake_worker;
    upstream->shared = shared;
    upstream->ready_end = &upstream->ready;
    upstream->host.stats = stats;
    upstream->host.answering = on_answering;
    upstream->host.ended = on_ended;
    upstream->host.settled = on_settled;
    exchange_host_init(&upstream->host);
    *out = upstream;
    return init_handles(upstream, loop);
}

/* Ends every flight of ours: others ask again, our own askers are told a failure. */
static void end_exchanges(struct upstream *upstream) {
    while (upstream->exchanges) {
        struct exchange *exchange = upstream->exchanges;
        bool over = exchange->ended;
        exchange_abandon(exchange);
        if (!over) {
            struct waiters *own = inflight_end(upstream->shared->inflight, &exchange->flight, NULL);
            tell(upstream, own, NULL);
        }
        exchange_give(upstream, exchange);
    }
}

/* Leaves the flights of others. What one of them posted in time is told as it is. */
static void leave_flights(struct upstream *upstream) {
    for (struct waiters *waiters = upstream->waiting; waiters; waiters = waiters->peer)
        inflight_withdraw(upstream->shared->inflight, waiters);
    inflight_quiesce(upstream->shared->inflight);
    take_mail(upstream);
    while (upstream->waiting)
        tell(upstream, upstream->waiting, NULL);
}

void upstream_done(struct upstream *upstream, void (*closed)(void *context), void *context) {
    upstream->closing = true;
    upstream->closed = closed;
    upstream->closed_context = context;
    deliver_ready(upstream);
    end_exchanges(upstream);
    leave_flights(upstream);
    for (struct lane *lane = upstream->lanes; lane; lane = lane->next)
        lane_close(lane);
    uv_close((uv_handle_t *)&upstream->wake, on_handle_closed);
    uv_close((uv_handle_t *)&upstream->tick, on_handle_closed);
    uv_close((uv_handle_t *)&upstream->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&upstream->before, on_handle_closed);
    uv_close((uv_handle_t *)&upstream->readable, on_handle_closed);
}
