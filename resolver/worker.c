/* resolver/worker.c: one thread, one loop, and all that it owns. */
#include "resolver/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "resolver/limit.h"
#include "resolver/listener.h"
#include "resolver/log.h"
#include "resolver/priority.h"
#include "resolver/query.h"
#include "resolver/stream.h"

enum {
    REFRESHES_MAX = 256,        /* asked on nobody's behalf at once; more are left out */
    STACK_OCTETS = 1024 * 1024, /* address space only */
    DRAIN_CHECK_MS = 10,        /* how soon the end of a drain is seen */
    RELEASE_RETRY_MS = 20,      /* until the full ring has room for a RECORD_RELEASE */
    EDE_PROHIBITED = 18,        /* RFC 8914 */
};

/* One place for a query that waits. The pool is mapped, so what was never used costs no memory. */
struct slot {
    struct query query;
    struct origin origin;
    struct slot *next, **link; /* free list, or the list of deadlines */
    bool asked;                /* upstream holds query.ask */
    struct deadlines *timed;   /* the list that it is on, or NULL */
};

/* Slots by deadline. */
struct deadlines {
    struct slot *first, *last;
};

struct refresh {
    struct ask ask;
    struct worker *worker;
    struct refresh *next;
};

struct retired {
    struct view *view;
    struct retired *next;
};

struct worker {
    struct worker_options options;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t message;  /* an adoption or the wish to stop has come */
    uv_prepare_t before; /* before the loop sleeps: what is owed leaves */
    uv_timer_t deadline, stopping, release;
    _Atomic(struct adoption *) next;
    atomic_bool stop;
    bool draining, finishing;
    uint64_t stop_at; /* loop's ms: when draining ends */

    struct query_env env;
    struct limit *allow, *trust;
    size_t address_count;
    struct sockaddr_storage *addresses; /* listening */
    struct retired *retired;            /* views that queries still pin, or whose release the ring refused */
    struct listener *listener;
    struct stream *stream;
    struct upstream *upstream;

    struct slot *slots, *free_slots;
    size_t touched; /* slots that have ever been used */
    atomic_uint waiting;
    struct deadlines soon, late; /* soon: who has stale data to fall back on */
    struct refresh *refreshes, *free_refreshes;
    uint32_t *asked; /* QUERY_ASKED of them, mapped: who asked what lately */
    struct stats stats;
    uint8_t scratch[QUERY_REPLY_MAX]; /* where late answers are written */
    struct arrival arrivals[WORKER_BATCH], alone;
};

uv_loop_t *worker_loop(struct worker *worker) {
    return &worker->loop;
}

struct stats *worker_counters(struct worker *worker) {
    return &worker->stats;
}

const struct stats *worker_stats(const struct worker *worker) {
    return &worker->stats;
}

unsigned worker_queries(const struct worker *worker) {
    return atomic_load_explicit(&worker->waiting, memory_order_relaxed);
}

void worker_tick(struct worker *worker) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    worker->env.wall_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    worker->env.now_ms = uv_now(&worker->loop);
}

/* --- views --- */

struct view *view_new(struct config *config, struct snapshot *snapshot) {
    struct view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return NULL;
    view->config = config_ref(config);
    view->snapshot = snapshot_ref(snapshot);
    view->generation = snapshot_generation(snapshot);
    view->seed = snapshot_seed(snapshot);
    return view;
}

void view_free(struct view *view) {
    if (view == NULL)
        return;
    snapshot_unref(view->snapshot);
    config_unref(view->config);
    free(view);
}

/* Gives up a view that nothing pins. The snapshot's reference goes through the ring, behind every hit that names it. */
static bool let_go(struct worker *worker, struct view *view) {
    if (view->pins > 0)
        return false;
    if (worker->env.ring != NULL) {
        struct record record = {.size = sizeof record, .kind = RECORD_RELEASE, .snapshot = view->snapshot};
        if (!ring_put(worker->env.ring, &record))
            return false;
        config_unref(view->config);
        free(view);
    } else {
        view_free(view);
    }
    return true;
}

static void on_release(uv_timer_t *timer);

/* Looks through the retired views; called whenever one of them may have lost its last pin. */
static void release_views(struct worker *worker) {
    bool refused = false;
    for (struct retired **link = &worker->retired; *link != NULL;) {
        struct retired *retired = *link;
        if (let_go(worker, retired->view)) {
            *link = retired->next;
            free(retired);
        } else {
            refused = refused || retired->view->pins == 0;
            link = &retired->next;
        }
    }
    if (refused)
        uv_timer_start(&worker->release, on_release, RELEASE_RETRY_MS, 0);
}

static void on_release(uv_timer_t *timer) {
    release_views(timer->data);
}

static void retire(struct worker *worker, struct view *view) {
    struct retired *retired = malloc(sizeof *retired);
    if (retired == NULL) {
        log_say(LOG_LEVEL_ERROR, "out of memory: an old policy stays mapped");
        return;
    }
    *retired = (struct retired){view, worker->retired};
    worker->retired = retired;
    release_views(worker);
}

/* --- the pool --- */

/* The next free slot without taking it, or NULL. */
static struct slot *peek_slot(struct worker *worker) {
    if (worker->free_slots != NULL)
        return worker->free_slots;
    return worker->touched < WORKER_QUERIES_MAX ? &worker->slots[worker->touched] : NULL;
}

static void take_slot(struct worker *worker, struct slot *slot) {
    if (slot == worker->free_slots)
        worker->free_slots = slot->next;
    else
        worker->touched++;
    slot->asked = false;
    slot->timed = NULL;
    atomic_store_explicit(&worker->waiting, worker_queries(worker) + 1, memory_order_relaxed);
}

static void give_slot(struct worker *worker, struct slot *slot) {
    slot->next = worker->free_slots;
    worker->free_slots = slot;
    atomic_store_explicit(&worker->waiting, worker_queries(worker) - 1, memory_order_relaxed);
}

/* --- deadlines: two lists in order. In each the delay is nearly always the same, so a newcomer goes to the end --- */

static void on_deadline(uv_timer_t *timer);

static struct slot *before(struct slot *slot) {
    return slot->link == &slot->timed->first ? NULL : (struct slot *)((char *)slot->link - offsetof(struct slot, next));
}

static void untime(struct slot *slot) {
    if (slot->timed == NULL)
        return;
    if (slot->next != NULL)
        slot->next->link = slot->link;
    else
        slot->timed->last = before(slot);
    *slot->link = slot->next;
    slot->timed = NULL;
}

/* The earliest deadline of all, or NULL. */
static struct slot *first_timed(const struct worker *worker) {
    struct slot *soon = worker->soon.first, *late = worker->late.first;
    if (soon == NULL || late == NULL)
        return soon != NULL ? soon : late;
    return soon->query.deadline_ms <= late->query.deadline_ms ? soon : late;
}

static void time_slot(struct worker *worker, struct slot *slot) {
    uint64_t deadline = slot->query.deadline_ms, now = uv_now(&worker->loop);
    if (deadline == 0)
        return;
    slot->timed = deadline <= now + QUERY_STALE_MS ? &worker->soon : &worker->late;
    struct slot *after = slot->timed->last;
    while (after != NULL && after->query.deadline_ms > deadline)
        after = before(after);
    slot->link = after != NULL ? &after->next : &slot->timed->first;
    slot->next = *slot->link;
    if (slot->next != NULL)
        slot->next->link = &slot->next;
    else
        slot->timed->last = slot;
    *slot->link = slot;
    if (first_timed(worker) == slot)
        uv_timer_start(&worker->deadline, on_deadline, deadline > now ? deadline - now : 0, 0);
}

/* --- queries --- */

static void on_answer(struct ask *ask, struct answer *answer);
static void check_drained(struct worker *worker);

/* Does what the machine wishes until it waits or is done. Returns the wish that ended it (QUERY_ASK: it waits). */
static enum query_wish go_on(struct worker *worker, struct slot *slot, enum query_wish wish, uint8_t *out, size_t *out_length) {
    struct query *query = &slot->query;
    while (wish == QUERY_ASK && !slot->asked) {
        query->ask.done = on_answer;
        query->ask.context = worker;
        if (upstream_ask(worker->upstream, &query->ask) == 0) {
            slot->asked = true;
            break;
        }
        struct answer *failure = answer_failure(&query->ask.question, RCODE_SERVFAIL, 0, 0, (uint32_t)(worker->env.now_ms / 1000));
        if (failure == NULL)
            return QUERY_DROP;
        wish = query_answered(&worker->env, query, failure, out, out_length);
        answer_unref(failure);
    }
    if (wish == QUERY_ASK)
        time_slot(worker, slot);
    return wish;
}

static void on_refreshed(struct ask *ask, struct answer *answer) {
    struct refresh *refresh = (struct refresh *)ask;
    refresh->next = refresh->worker->free_refreshes;
    refresh->worker->free_refreshes = refresh;
}

/* Asks upstream on nobody's behalf, if the machine wished so. The answer goes into the cache by itself. */
static void ask_refresh(struct worker *worker) {
    if (!worker->env.refresh)
        return;
    worker->env.refresh = false;
    struct refresh *refresh = worker->free_refreshes;
    if (refresh == NULL || worker->draining)
        return;
    refresh->ask = (struct ask){.question = worker->env.refresh_question, .done = on_refreshed};
    if (upstream_ask(worker->upstream, &refresh->ask) == 0)
        worker->free_refreshes = refresh->next;
}

static const enum outcome outcome_of[] = {
    [QUERY_REPLY] = OUTCOME_SEND,
    [QUERY_DROP] = OUTCOME_DROP,
    [QUERY_CLOSE] = OUTCOME_CLOSE,
    [QUERY_ASK] = OUTCOME_LATER,
};

static enum outcome refuse(struct worker *worker, const struct incoming *incoming, enum stat_id stat, uint8_t rcode, uint16_t ede,
                           uint8_t *out, size_t *out_length) {
    stat_add(&worker->stats, stat, 1);
    *out_length = limit_error(incoming->packet, incoming->length, rcode, ede, out);
    if (*out_length == 0)
        return OUTCOME_DROP;
    stat_add(&worker->stats, STAT_RCODE_0 + rcode, 1);
    return OUTCOME_SEND;
}

bool worker_trusts(const struct worker *worker, const struct ip *sender) {
    return limit_contains(worker->trust, sender);
}

static void arrive(struct arrival *arrival, const struct incoming *incoming) {
    arrival->client = &incoming->client;
    arrival->packet = incoming->packet;
    arrival->length = incoming->length;
}

void worker_expect(struct worker *worker, struct incoming *incoming, unsigned count) {
    unsigned expected = 0;
    for (unsigned i = 0; i < count; i++) {
        incoming[i].arrival = NULL;
        if (count > 1 && incoming[i].whole && limit_contains(worker->allow, &incoming[i].client.address)) {
            incoming[i].arrival = &worker->arrivals[expected++];
            arrive(incoming[i].arrival, &incoming[i]);
        }
    }
    query_ahead(&worker->env, worker->arrivals, expected);
}

enum outcome worker_receive(struct worker *worker, const struct incoming *incoming, uint8_t *out, size_t *out_length,
                            struct origin **origin) {
    struct arrival *arrival = incoming->arrival;
    if (arrival == NULL) {
        if (!limit_contains(worker->allow, &incoming->client.address))
            return refuse(worker, incoming, STAT_REFUSED_ACL, RCODE_REFUSED, EDE_PROHIBITED, out, out_length);
        if (!incoming->whole)
            return refuse(worker, incoming, STAT_BAD_PACKETS, RCODE_FORMERR, 0, out, out_length);
        arrival = &worker->alone;
        arrive(arrival, incoming);
        query_ahead(&worker->env, arrival, 1);
    }
    struct slot *slot = peek_slot(worker);
    bool full = slot == NULL;
    if (full)
        slot = &worker->slots[WORKER_QUERIES_MAX]; /* a spare one, so that policy and cache go on answering */
    struct query *query = &slot->query;
    enum query_wish wish = query_admit(&worker->env, arrival, query, out, out_length);
    ask_refresh(worker);
    if (wish != QUERY_ASK)
        return outcome_of[wish];
    if (full) {
        wish = query_full(&worker->env, query, out, out_length);
        query_done(query);
        if (wish == QUERY_DROP)
            stat_add(&worker->stats, STAT_DROPPED, 1);
        return outcome_of[wish];
    }
    take_slot(worker, slot);
    wish = go_on(worker, slot, wish, out, out_length);
    if (wish == QUERY_ASK) {
        *origin = &slot->origin;
        return OUTCOME_LATER;
    }
    query_done(query);
    give_slot(worker, slot);
    return outcome_of[wish];
}

/* The machine was told something outside of worker_receive: what it wishes now. */
static void conclude(struct worker *worker, struct slot *slot, enum query_wish wish, size_t length) {
    wish = go_on(worker, slot, wish, worker->scratch, &length);
    ask_refresh(worker);
    if (wish == QUERY_ASK)
        return;
    if (slot->asked)
        upstream_cancel(worker->upstream, &slot->query.ask);
    stat_latency(&worker->stats, worker->env.now_ms - slot->query.began_ms);
    slot->origin.deliver(&slot->origin, outcome_of[wish], worker->scratch, wish == QUERY_REPLY ? length : 0);
    query_done(&slot->query);
    give_slot(worker, slot);
    if (worker->retired != NULL)
        release_views(worker);
    if (worker->draining)
        check_drained(worker);
}

static struct slot *slot_of(struct ask *ask) {
    return (struct slot *)((char *)ask - offsetof(struct slot, query) - offsetof(struct query, ask));
}

static void on_answer(struct ask *ask, struct answer *answer) {
    struct worker *worker = ask->context;
    struct slot *slot = slot_of(ask);
    size_t length = 0;
    slot->asked = false;
    untime(slot);
    if (worker->env.now_ms != uv_now(&worker->loop)) /* many answers come in one turn of the loop */
        worker_tick(worker);
    enum query_wish wish = query_answered(&worker->env, &slot->query, answer, worker->scratch, &length);
    conclude(worker, slot, wish, length);
}

static void on_deadline(uv_timer_t *timer) {
    struct worker *worker = timer->data;
    worker_tick(worker);
    struct slot *slot;
    while ((slot = first_timed(worker)) != NULL && slot->query.deadline_ms <= worker->env.now_ms) {
        size_t length = 0;
        untime(slot);
        slot->query.deadline_ms = 0;
        enum query_wish wish = query_deadline(&worker->env, &slot->query, worker->scratch, &length);
        conclude(worker, slot, wish, length);
    }
    if (slot != NULL)
        uv_timer_start(timer, on_deadline, slot->query.deadline_ms - worker->env.now_ms, 0);
}

/* --- what main sends --- */

void adoption_free(struct adoption *adoption) {
    if (adoption == NULL)
        return;
    view_free(adoption->view);
    limit_free(adoption->allow);
    limit_free(adoption->trust);
    for (size_t i = 0; i < adoption->count; i++) {
        if (adoption->sockets[i].udp >= 0)
            close(adoption->sockets[i].udp);
        if (adoption->sockets[i].tcp >= 0)
            close(adoption->sockets[i].tcp);
    }
    free(adoption);
}

static bool listed(const struct adoption *adoption, const struct sockaddr_storage *address) {
    for (size_t i = 0; i < adoption->count; i++)
        if (memcmp(&adoption->sockets[i].address, address, sizeof *address) == 0)
            return true;
    return false;
}

static void say_failed(const char *what, int rc) {
    if (rc != 0)
        log_say(LOG_LEVEL_ERROR, "a worker can't listen (%s): %s", what, strerror(-rc));
}

/* Closes addresses that went, opens those that came. */
static void adopt_sockets(struct worker *worker, struct adoption *adoption) {
    for (size_t i = 0; i < worker->address_count; i++) {
        if (!listed(adoption, &worker->addresses[i])) {
            listener_remove(worker->listener, &worker->addresses[i]);
            stream_remove(worker->stream, &worker->addresses[i]);
        }
    }
    struct sockaddr_storage *addresses = malloc((adoption->count + 1) * sizeof *addresses);
    if (addresses != NULL) {
        free(worker->addresses);
        worker->addresses = addresses;
        worker->address_count = adoption->count;
    }
    for (size_t i = 0; i < adoption->count; i++) {
        struct worker_socket *sock = &adoption->sockets[i];
        if (addresses != NULL)
            addresses[i] = sock->address;
        if (sock->udp >= 0)
            say_failed("udp", listener_add(worker->listener, sock->udp, &sock->address));
        if (sock->tcp >= 0)
            say_failed("tcp", stream_add(worker->stream, sock->tcp, &sock->address));
        sock->udp = sock->tcp = -1;
    }
}

/* Between two events no query is half done: the quiet point. */
static void adopt(struct worker *worker, struct adoption *adoption) {
    struct view *old = worker->env.view;
    worker->env.view = adoption->view;
    worker->env.asked = adoption->view->config->history.enabled ? worker->asked : NULL;
    adoption->view = NULL;
    limit_free(worker->allow);
    limit_free(worker->trust);
    worker->allow = adoption->allow;
    worker->trust = adoption->trust;
    adoption->allow = adoption->trust = NULL;
    adopt_sockets(worker, adoption);
    adoption_free(adoption);
    if (old != NULL)
        retire(worker, old);
    worker->options.adopted(worker->options.context);
}

static void close_handle(uv_handle_t *handle) {
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Upstream has let go: nothing waits any more, so everything else goes too and the loop ends. */
static void on_upstream_closed(void *context) {
    struct worker *worker = context;
    listener_flush(worker->listener);
    listener_close(worker->listener);
    stream_close(worker->stream);
    close_handle((uv_handle_t *)&worker->message);
    close_handle((uv_handle_t *)&worker->before);
    close_handle((uv_handle_t *)&worker->deadline);
    close_handle((uv_handle_t *)&worker->stopping);
    close_handle((uv_handle_t *)&worker->release);
}

static void finish(struct worker *worker) {
    if (worker->finishing)
        return;
    worker->finishing = true;
    upstream_done(worker->upstream, on_upstream_closed, worker);
}

static void check_drained(struct worker *worker) {
    if (worker->draining && worker_queries(worker) == 0 && stream_idle(worker->stream))
        finish(worker);
}

static void on_stopping(uv_timer_t *timer) {
    struct worker *worker = timer->data;
    if (uv_now(&worker->loop) >= worker->stop_at)
        finish(worker);
    else
        check_drained(worker);
    if (worker->finishing)
        uv_timer_stop(timer);
}

/* Takes nothing new. What is in flight is answered, then the loop ends; at the latest when the time is up. */
static void drain(struct worker *worker) {
    worker->draining = true;
    worker->stop_at = uv_now(&worker->loop) + WORKER_STOP_MS;
    for (size_t i = 0; i < worker->address_count; i++)
        listener_remove(worker->listener, &worker->addresses[i]);
    stream_drain(worker->stream);
    uv_timer_start(&worker->stopping, on_stopping, 0, DRAIN_CHECK_MS);
}

static void on_message(uv_async_t *async) {
    struct worker *worker = async->data;
    struct adoption *adoption = atomic_exchange(&worker->next, NULL);
    if (adoption != NULL)
        adopt(worker, adoption);
    if (atomic_load(&worker->stop) && !worker->draining)
        drain(worker);
}

/* --- life --- */

static void on_before(uv_prepare_t *before_sleep) {
    struct worker *worker = before_sleep->data;
    listener_flush(worker->listener);
}

static void run(void *argument) {
    struct worker *worker = argument;
    priority_answer();
    worker_tick(worker);
    adopt(worker, atomic_exchange(&worker->next, NULL));
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    worker->options.ended(worker->options.context);
}

/* Handles of the loop; none of these calls fails but for want of memory or descriptors. */
static int init_loop(struct worker *worker) {
    int rc = uv_loop_init(&worker->loop);
    if (rc != 0)
        return rc;
    rc = uv_async_init(&worker->loop, &worker->message, on_message);
    if (rc != 0)
        return rc;
    uv_prepare_init(&worker->loop, &worker->before);
    uv_timer_init(&worker->loop, &worker->deadline);
    uv_timer_init(&worker->loop, &worker->stopping);
    uv_timer_init(&worker->loop, &worker->release);
    worker->message.data = worker->before.data = worker->deadline.data = worker->stopping.data = worker->release.data = worker;
    return uv_prepare_start(&worker->before, on_before);
}

enum { SLOTS_OCTETS = (WORKER_QUERIES_MAX + 1) * sizeof(struct slot), ASKED_OCTETS = QUERY_ASKED * sizeof(uint32_t) };

/* Zero pages that cost nothing until they are written. */
static void *map(size_t octets) {
    void *memory = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static int init_pools(struct worker *worker) {
    worker->slots = map(SLOTS_OCTETS);
    worker->asked = map(ASKED_OCTETS);
    if (worker->slots == NULL || worker->asked == NULL)
        return -ENOMEM;
    worker->refreshes = calloc(REFRESHES_MAX, sizeof *worker->refreshes);
    if (worker->refreshes == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < REFRESHES_MAX; i++) {
        worker->refreshes[i].worker = worker;
        worker->refreshes[i].next = worker->free_refreshes;
        worker->free_refreshes = &worker->refreshes[i];
    }
    return 0;
}

static int init_parts(struct worker *worker) {
    worker->listener = listener_new(worker);
    worker->stream = stream_new(worker);
    if (worker->listener == NULL || worker->stream == NULL)
        return -ENOMEM;
    worker->env.cache = worker->options.cache;
    worker->env.upstream = worker->options.upstream;
    worker->env.ring = worker->options.ring;
    worker->env.stats = &worker->stats;
    return upstream_init(&worker->upstream, worker->options.upstream, &worker->loop, &worker->stats);
}

/* A worker that can't start is fatal to the program, which then exits: nothing is unwound here. */
int worker_start(struct worker **worker, const struct worker_options *options, struct adoption *first) {
    struct worker *made = aligned_alloc(_Alignof(struct worker), sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    memset(made, 0, sizeof *made);
    made->options = *options;
    atomic_store(&made->next, first);
    int rc = init_loop(made);
    if (rc == 0)
        rc = init_pools(made);
    if (rc == 0)
        rc = init_parts(made);
    uv_thread_options_t thread = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_OCTETS};
    if (rc == 0)
        rc = uv_thread_create_ex(&made->thread, &thread, run, made);
    if (rc == 0)
        *worker = made;
    return rc;
}

void worker_adopt(struct worker *worker, struct adoption *adoption) {
    adoption_free(atomic_exchange(&worker->next, adoption));
    uv_async_send(&worker->message);
}

void worker_stop(struct worker *worker) {
    atomic_store(&worker->stop, true);
    uv_async_send(&worker->message);
}

void worker_join(struct worker *worker) {
    uv_thread_join(&worker->thread);
}

void worker_free(struct worker *worker) {
    uv_loop_close(&worker->loop);
    adoption_free(atomic_exchange(&worker->next, NULL));
    for (struct retired *retired = worker->retired, *next; retired != NULL; retired = next) {
        next = retired->next;
        view_free(retired->view);
        free(retired);
    }
    view_free(worker->env.view);
    limit_free(worker->allow);
    limit_free(worker->trust);
    free(worker->addresses);
    listener_free(worker->listener);
    stream_free(worker->stream);
    munmap(worker->slots, SLOTS_OCTETS);
    munmap(worker->asked, ASKED_OCTETS);
    free(worker->refreshes);
    free(worker);
}
