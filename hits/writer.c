/* hits/writer.c: the writer's thread: takes records out of the rings and has them told.
 *
 * Rhythm: a sleeping writer is woken by the first record and works at once; while records keep coming it works every
 * WRITER_TICK_MS without being woken, so that a busy worker makes no system call for its hits. One round of work is one batch:
 * one transaction, one write() to each file. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "hits/card.h"
#include "hits/complaint.h"
#include "hits/dnstap.h"
#include "hits/followers.h"
#include "hits/history.h"
#include "hits/hunt.h"
#include "hits/identity.h"
#include "hits/ledger.h"
#include "hits/ledger_pages.h"
#include "hits/ledger_query.h"
#include "hits/line.h"
#include "hits/log_file.h"
#include "hits/preview.h"
#include "hits/syslog_sender.h"
#include "hits/tally.h"
#include "hits/writer.h"
#include "hits/zone_count.h"

enum {
    WRITER_RING = 8 << 20,   /* octets a ring: about 80,000 hits on their way, while the ledger takes in a burst */
    WRITER_WINDOWS = 200000, /* repeats counted at once: about 40 MB at worst */
    WRITER_TICK_MS = 5,      /* between rounds while records come */
    WRITER_CLOSE_MS = 50,    /* windows of repeats close so late at most: many at once, not one by one */
    WRITER_IDLE_TICKS = 20,  /* empty rounds before it sleeps */
    WRITER_ROUND = 65536,    /* records taken from a ring in a round, about: then timers get their turn */
    WRITER_PROGRESS = 64,    /* chunks of open windows brought up to date in the ledger between two rounds: some 2 ms */
    WRITER_BATCH = 1 << 18,  /* octets of lines before they are written within a round */
    WRITER_FLUSH_MS = 1000,  /* that a preview waits for the latest names */
    WRITER_STOP_MS = 1500,   /* what is still in the rings after that is lost, and counted */
};

struct writer {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick;
    uv_timer_t second;
    uv_timer_t close; /* when the oldest window of repeats does */
    bool ticking;
    unsigned idle_ticks;
    size_t ring_count;
    struct ring **rings;
    writer_say *say;
    void *say_context;

    uv_mutex_t lock; /* what other threads leave here */
    struct config *new_config;
    struct snapshot *new_policy;
    struct snapshot *policy; /* the one in force, for previews */
    bool reopen, stop;
    uv_cond_t flushed; /* with lock: the history is flushed when flush_done reaches flush_wanted */
    uint64_t flush_wanted, flush_done;

    struct config *config;
    struct followers *followers;
    struct cards *cards;
    struct zone_counts *zone_counts;
    struct identities *identities;
    struct tally *tally;
    struct ledger *ledger;
    struct ledger_pages *pages;
    struct history *history;
    struct hunt *hunt;
    char *history_folder; /* like ledger_path */
    char *ledger_path;    /* never changes: readers use it from their threads */
    struct log_file *hits_file, *queries_file;
    struct dnstap *dnstap; /* NULL: off */
    struct dnstap_counts dnstap_counts;
    struct syslog *syslog;
    struct text hit_lines, query_lines;
    uint64_t hit_line_count; /* in hit_lines */
    struct complaint hit_loss, query_loss, ring_hit_loss, ring_query_loss, history_loss, syslog_loss, dnstap_loss, lease_skips,
        lease_refusals;
    uint64_t left[RECORD_KINDS]; /* in the rings when the end had come */
    bool ending;                 /* what was not said yet is said now */
    _Atomic uint64_t hits, lines, lines_lost, query_lines_lost, ledger_lost, machines;
    _Atomic uint64_t lease_holders, leases_refused, lease_lines_skipped;
};

/* --- telling --- */

static struct complaint_voice voice(const struct writer *writer) {
    return (struct complaint_voice){writer->say, writer->say_context, uv_now(&writer->loop), writer->ending};
}

static void say_leases(struct writer *writer) {
    const struct complaint_voice to = voice(writer);
    struct leases_stats stats;
    int error = 0;
    leases_stats(identities_leases(writer->identities), &stats);
    atomic_store_explicit(&writer->lease_holders, stats.holders, memory_order_relaxed);
    atomic_store_explicit(&writer->leases_refused, stats.refused, memory_order_relaxed);
    atomic_store_explicit(&writer->lease_lines_skipped, stats.skipped, memory_order_relaxed);
    writer->lease_skips.count = stats.skipped;
    complaint_say(&writer->lease_skips, &to, "leases", "lines can't be read, and were skipped", NULL);
    writer->lease_refusals.count = stats.refused;
    complaint_say(&writer->lease_refusals, &to, "leases",
                  "leases more than can be remembered; hits of their clients lack MAC and host name", NULL);
    const char *path = leases_complaint(identities_leases(writer->identities), &error);
    if (path == NULL)
        return;
    char text[512];
    snprintf(text, sizeof text, "leases %s: %s; its clients are logged without MAC and host name", path, strerror(-error));
    writer->say(writer->say_context, "warning", text);
}

/* Records of a kind that found no room, or no time at the end. */
static uint64_t records_lost(const struct writer *writer, enum record_kind kind) {
    uint64_t lost = writer->left[kind];
    for (size_t i = 0; i < writer->ring_count; i++)
        lost += ring_lost(writer->rings[i], kind);
    return lost;
}

static void say_losses(struct writer *writer) {
    const struct complaint_voice to = voice(writer);
    complaint_say(&writer->hit_loss, &to, "hit log", "lines lost", log_file_where(writer->hits_file));
    complaint_say(&writer->query_loss, &to, "query log", "lines lost", log_file_where(writer->queries_file));
    writer->history_loss.count = history_lost(writer->history) + records_lost(writer, RECORD_ASKED);
    writer->history_loss.error = history_error(writer->history);
    complaint_say(&writer->history_loss, &to, "history", "lines lost", NULL);
    writer->dnstap_loss.count = atomic_load(&writer->dnstap_counts.lost) + records_lost(writer, RECORD_TAP);
    complaint_say(&writer->dnstap_loss, &to, "dnstap: the collector is gone, or too slow", "frames lost", NULL);
    writer->syslog_loss.count = syslog_lost(writer->syslog);
    writer->syslog_loss.error = syslog_error(writer->syslog);
    complaint_say(&writer->syslog_loss, &to, "syslog", "lines lost", syslog_where(writer->syslog));
    writer->ring_hit_loss.count = records_lost(writer, RECORD_HIT);
    complaint_say(&writer->ring_hit_loss, &to, "hit log: hits came faster than they could be told", "lines lost", NULL);
    writer->ring_query_loss.count = records_lost(writer, RECORD_QUERY);
    complaint_say(&writer->ring_query_loss, &to, "query log: queries came faster than they could be told", "lines lost", NULL);
}

static uint64_t write_lines(struct log_file *file, struct text *lines, struct complaint *loss) {
    uint64_t lost = log_file_write(file, lines->data, lines->length, &loss->error);
    loss->count += lost;
    return lost;
}

/* Ends the batch: everything told so far goes out, into the ledger before it stands in the log. */
static void end_batch(struct writer *writer) {
    tally_settle(writer->tally);
    ledger_commit(writer->ledger);
    atomic_store_explicit(&writer->machines, ledger_machines(writer->ledger), memory_order_relaxed);
    atomic_store_explicit(&writer->ledger_lost, ledger_lost(writer->ledger), memory_order_relaxed);
    if (writer->hit_lines.length > 0) {
        uint64_t lost = write_lines(writer->hits_file, &writer->hit_lines, &writer->hit_loss);
        atomic_fetch_add(&writer->lines_lost, lost);
        if (log_file_where(writer->hits_file) != NULL)
            atomic_fetch_add(&writer->lines, writer->hit_line_count - lost);
        syslog_put(writer->syslog, writer->hit_lines.data, writer->hit_lines.length);
        followers_pass(writer->followers, writer->hit_lines.data, writer->hit_lines.length);
        writer->hit_lines.length = 0;
        writer->hit_line_count = 0;
    }
    if (writer->query_lines.length > 0) {
        atomic_fetch_add(&writer->query_lines_lost, write_lines(writer->queries_file, &writer->query_lines, &writer->query_loss));
        writer->query_lines.length = 0;
    }
}

/* tally_tell: one hit, or one summary. */
static void tell(void *context, enum tally_kind kind, const struct hit *hit, int64_t *row) {
    struct writer *writer = context;
    if (kind == TALLY_PROGRESS) {
        ledger_progress(writer->ledger, hit, *row);
        return;
    }
    *row = ledger_hit(writer->ledger, hit);
    line_hit(&writer->hit_lines, hit);
    writer->hit_line_count++;
    if (writer->hit_lines.failed) { /* no memory for the batch: its lines are gone, and said */
        writer->hit_loss.count += writer->hit_line_count;
        writer->hit_loss.error = -ENOMEM;
        atomic_fetch_add(&writer->lines_lost, writer->hit_line_count);
        writer->hit_line_count = 0;
        text_free(&writer->hit_lines);
    } else if (writer->hit_lines.length > WRITER_BATCH) {
        end_batch(writer);
    }
}

/* tally_chunk */
static void tell_chunk(void *context, uint32_t chunk) {
    struct writer *writer = context;
    ledger_progress_end(writer->ledger, chunk);
}

/* --- records --- */

static void take_hits(struct writer *writer, const struct record *const hits[], size_t count) {
    atomic_fetch_add_explicit(&writer->hits, count, memory_order_relaxed);
    size_t lost = tally_hits(writer->tally, hits, count, uv_now(&writer->loop));
    writer->hit_loss.count += lost;
    atomic_fetch_add(&writer->lines_lost, lost);
}

static void take_asked(struct writer *writer, const struct record *record) {
    struct identity who;
    if (!history_enabled(writer->history))
        return;
    identities_find(writer->identities, record, &who);
    history_asked(writer->history, record, &who);
}

static void take(struct writer *writer, const struct record *record) {
    switch ((enum record_kind)record->kind) {
    case RECORD_HIT: /* take_hits */
        break;
    case RECORD_ASKED:
        take_asked(writer, record);
        break;
    case RECORD_RELEASE:
        snapshot_unref(record->snapshot);
        break;
    case RECORD_TAP:
        if (writer->dnstap != NULL)
            dnstap_put(writer->dnstap, record);
        break;
    case RECORD_QUERY:
        if (log_file_where(writer->queries_file) != NULL)
            line_query(&writer->query_lines, record);
        if (writer->query_lines.length > WRITER_BATCH)
            end_batch(writer);
        break;
    }
}

/* Takes the oldest records of a ring: hits first, which are quicker by the group. */
static size_t take_group(struct writer *writer, struct ring *ring) {
    const struct record *records[TALLY_GROUP], *hits[TALLY_GROUP];
    size_t count = ring_list(ring, records, TALLY_GROUP), hit_count = 0;
    for (size_t i = 0; i < count; i++)
        if (records[i]->kind == RECORD_HIT)
            hits[hit_count++] = records[i];
    if (hit_count > 0)
        take_hits(writer, hits, hit_count);
    for (size_t i = 0; i < count; i++) {
        take(writer, records[i]);
        ring_drop(ring);
    }
    return count;
}

static uint64_t wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_close(uv_timer_t *timer);

static void await_close(struct writer *writer) {
    uint64_t due = tally_due(writer->tally), now = uv_now(&writer->loop);
    if (due != 0 && !uv_is_active((uv_handle_t *)&writer->close) && !uv_is_closing((uv_handle_t *)&writer->close))
        uv_timer_start(&writer->close, on_close, (due > now ? due - now : 0) + WRITER_CLOSE_MS, 0);
}

static void on_close(uv_timer_t *timer) {
    struct writer *writer = timer->data;
    tally_expire(writer->tally, uv_now(&writer->loop));
    end_batch(writer);
    await_close(writer);
}

/* One round over all rings, after a look at who is who now. True: something was there. */
static bool drain(struct writer *writer) {
    bool any = identities_follow(writer->identities, wall_us());
    for (size_t i = 0; i < writer->ring_count; i++) {
        size_t taken = 0, got;
        while (taken < WRITER_ROUND && (got = take_group(writer, writer->rings[i])) > 0)
            taken += got;
        any = any || taken > 0;
    }
    end_batch(writer);
    await_close(writer);
    return any;
}

/* hunt_options.pause */
static void pause_hunt(void *context) {
    drain(context);
}

/* --- the loop --- */

static void reopen_dnstap(struct writer *writer, const struct config *config) {
    const char *why = NULL;
    if (writer->config != NULL && dnstap_same_target(writer->config, config))
        return;
    dnstap_close(writer->dnstap);
    writer->dnstap = NULL;
    if (dnstap_open(&writer->dnstap, config, &writer->dnstap_counts, &why) != 0) {
        char text[256];
        snprintf(text, sizeof text, "dnstap: %s", why);
        writer->say(writer->say_context, "error", text);
    }
}

static void configure_syslog(struct writer *writer, const struct config *config) {
    int error = syslog_configure(writer->syslog, &config->log.syslog);
    char text[256];
    if (error == 0)
        return;
    snprintf(text, sizeof text, "syslog: %s", strerror(-error));
    writer->say(writer->say_context, "error", text);
}

static void configure_history(struct writer *writer, const struct config *config) {
    size_t removed = history_configure(writer->history, config->history.enabled, config->history.keep, config->history.max_size);
    if (removed > 0)
        writer->say(writer->say_context, "info", "history: switched off, and what was kept removed");
}

static void apply_config(struct writer *writer, struct config *config) {
    reopen_dnstap(writer, config);
    configure_syslog(writer, config);
    log_file_path(writer->hits_file, config->log.hits);
    log_file_path(writer->queries_file, config->log.queries);
    tally_repeat(writer->tally, config->log.repeat);
    ledger_limits(writer->ledger, config->clients.keep, config->clients.max_size);
    configure_history(writer, config);
    leases_configure(identities_leases(writer->identities), config->clients.leases, config->clients.lease_count);
    config_unref(writer->config);
    writer->config = config;
}

/* Counts what there was no time for. */
static void leave(struct writer *writer) {
    const struct record *record;
    for (size_t i = 0; i < writer->ring_count; i++) {
        while ((record = ring_peek(writer->rings[i])) != NULL) {
            writer->left[record->kind]++;
            if (record->kind == RECORD_RELEASE)
                snapshot_unref(record->snapshot);
            ring_drop(writer->rings[i]);
        }
    }
}

static void finish(struct writer *writer) {
    uint64_t until = uv_hrtime() + (uint64_t)WRITER_STOP_MS * 1000000;
    while (drain(writer) && uv_hrtime() < until)
        ;
    leave(writer);
    writer->ending = true;
    tally_flush(writer->tally);
    end_batch(writer);
    history_flush(writer->history);
    say_losses(writer);
    say_leases(writer);
    hunt_stop(writer->hunt);
    uv_close((uv_handle_t *)&writer->wake, NULL);
    uv_close((uv_handle_t *)&writer->tick, NULL);
    uv_close((uv_handle_t *)&writer->second, NULL);
    uv_close((uv_handle_t *)&writer->close, NULL);
}

/* For a reader that waits: all that was asked until now can be read. */
static void flush_history(struct writer *writer, uint64_t wanted) {
    drain(writer);
    history_flush(writer->history);
    uv_mutex_lock(&writer->lock);
    writer->flush_done = wanted;
    uv_cond_broadcast(&writer->flushed);
    uv_mutex_unlock(&writer->lock);
}

/* Does what other threads asked for. False: the end has come. */
static bool obey(struct writer *writer) {
    uv_mutex_lock(&writer->lock);
    struct config *config = writer->new_config;
    struct snapshot *policy = writer->new_policy;
    bool reopen = writer->reopen, stop = writer->stop;
    uint64_t flush = writer->flush_wanted;
    writer->new_config = NULL;
    writer->new_policy = NULL;
    writer->reopen = false;
    uv_mutex_unlock(&writer->lock);
    if (reopen) {
        end_batch(writer);
        log_file_reopen(writer->hits_file);
        log_file_reopen(writer->queries_file);
    }
    if (config != NULL) {
        drain(writer);
        apply_config(writer, config);
        uv_timer_stop(&writer->close); /* it was set for the old `repeat` */
        end_batch(writer);
    }
    if (policy != NULL) {
        drain(writer);
        hunt_policy(writer->hunt, policy);
    }
    if (flush != writer->flush_done)
        flush_history(writer, flush);
    if (stop)
        finish(writer);
    return !stop;
}

static bool sleep_all(struct writer *writer) {
    for (size_t i = 0; i < writer->ring_count; i++)
        if (!ring_sleep(writer->rings[i]))
            return false;
    return true;
}

static void on_tick(uv_timer_t *timer) {
    struct writer *writer = timer->data;
    if (!obey(writer)) /* timers come before the wake: what is entered after a reload must find its configuration */
        return;
    writer->idle_ticks = drain(writer) ? 0 : writer->idle_ticks + 1;
    if (writer->idle_ticks < WRITER_IDLE_TICKS || !sleep_all(writer))
        return;
    uv_timer_stop(timer);
    writer->ticking = false;
}

static void start_ticking(struct writer *writer) {
    writer->ticking = true;
    writer->idle_ticks = 0;
    drain(writer);
    uv_timer_start(&writer->tick, on_tick, WRITER_TICK_MS, WRITER_TICK_MS);
}

static void on_wake(uv_async_t *async) {
    struct writer *writer = async->data;
    if (obey(writer) && !writer->ticking)
        start_ticking(writer);
}

/* What this second's hits read of the policy needn't stay in memory. */
static void rest_policy(struct writer *writer) {
    uv_mutex_lock(&writer->lock);
    struct snapshot *policy = writer->policy == NULL ? NULL : snapshot_ref(writer->policy);
    uv_mutex_unlock(&writer->lock);
    if (policy != NULL)
        snapshot_rest(policy);
    snapshot_unref(policy);
}

static void on_second(uv_timer_t *timer) {
    struct writer *writer = timer->data;
    if (!writer->ticking && identities_follow(writer->identities, wall_us()))
        start_ticking(writer); /* a long lease file is read portion after portion */
    /* At most once around: what becomes dirty meanwhile waits for the next second. */
    size_t rounds = WRITER_WINDOWS / TALLY_CHUNK / WRITER_PROGRESS + 1;
    while (tally_progress(writer->tally, WRITER_PROGRESS) && rounds-- > 0)
        drain(writer);
    end_batch(writer);
    ledger_tend(writer->ledger, wall_us());
    ledger_pages_tend(writer->pages, uv_hrtime() / 1000000);
    history_tend(writer->history, wall_us());
    hunt_tend(writer->hunt, wall_us());
    rest_policy(writer);
    say_losses(writer);
    say_leases(writer);
}

static void run(void *context) {
    struct writer *writer = context;
    ledger_tend(writer->ledger, wall_us());
    end_batch(writer); /* says how many machines the ledger knows from before */
    uv_timer_start(&writer->second, on_second, 1000, 1000);
    uv_run(&writer->loop, UV_RUN_DEFAULT);
}

/* --- other threads --- */

static void wake(void *context) {
    struct writer *writer = context;
    uv_async_send(&writer->wake);
}

static void free_writer(struct writer *writer) {
    for (size_t i = 0; writer->rings != NULL && i < writer->ring_count; i++)
        ring_free(writer->rings[i]);
    free(writer->rings);
    tally_free(writer->tally);
    hunt_free(writer->hunt);
    history_free(writer->history);
    ledger_free(writer->ledger);
    ledger_pages_free(writer->pages);
    free(writer->history_folder);
    free(writer->ledger_path);
    snapshot_unref(writer->new_policy);
    snapshot_unref(writer->policy);
    cards_free(writer->cards);
    zone_counts_free(writer->zone_counts);
    identities_free(writer->identities);
    dnstap_close(writer->dnstap);
    syslog_free(writer->syslog);
    log_file_free(writer->hits_file);
    log_file_free(writer->queries_file);
    text_free(&writer->hit_lines);
    text_free(&writer->query_lines);
    config_unref(writer->config);
    config_unref(writer->new_config);
    followers_free(writer->followers);
    free(writer);
}

static bool make_parts(struct writer *writer, const struct config *config, size_t ring_count) {
    writer->rings = calloc(ring_count, sizeof(struct ring *));
    if (writer->rings == NULL)
        return false;
    for (; writer->ring_count < ring_count; writer->ring_count++) {
        struct ring *ring = ring_new(WRITER_RING, wake, writer);
        if (ring == NULL)
            return false;
        writer->rings[writer->ring_count] = ring;
    }
    writer->followers = followers_new();
    writer->zone_counts = zone_counts_new();
    writer->cards = cards_new(writer->zone_counts);
    writer->identities = identities_new();
    writer->hits_file = log_file_new();
    writer->queries_file = log_file_new();
    writer->syslog = syslog_new();
    if (writer->syslog == NULL || writer->followers == NULL || writer->cards == NULL || writer->zone_counts == NULL ||
        writer->identities == NULL || writer->hits_file == NULL || writer->queries_file == NULL)
        return false;
    if (asprintf(&writer->ledger_path, "%s/ledger.db", config->state_dir) < 0)
        writer->ledger_path = NULL;
    if (asprintf(&writer->history_folder, "%s/history", config->state_dir) < 0)
        writer->history_folder = NULL;
    if (writer->ledger_path == NULL || writer->history_folder == NULL)
        return false;
    writer->ledger = ledger_new(writer->ledger_path, writer->say, writer->say_context);
    writer->pages = ledger_pages_new(writer->ledger_path);
    writer->history = history_new(writer->history_folder);
    if (writer->ledger == NULL || writer->pages == NULL || writer->history == NULL)
        return false;
    writer->hunt = hunt_new(&(struct hunt_options){.loop = &writer->loop,
                                                   .folder = writer->history_folder,
                                                   .history = writer->history,
                                                   .ledger = writer->ledger,
                                                   .cards = writer->cards,
                                                   .tell = tell,
                                                   .pause = pause_hunt,
                                                   .say = writer->say,
                                                   .say_context = writer->say_context,
                                                   .context = writer});
    if (writer->hunt == NULL)
        return false;
    writer->tally = tally_new(writer->cards, writer->identities, WRITER_WINDOWS, tell, tell_chunk, writer);
    return writer->tally != NULL;
}

static int start_loop(struct writer *writer) {
    int error = uv_loop_init(&writer->loop);
    if (error != 0)
        return error;
    error = uv_async_init(&writer->loop, &writer->wake, on_wake);
    if (error != 0) {
        uv_loop_close(&writer->loop);
        return error;
    }
    uv_timer_init(&writer->loop, &writer->tick);
    uv_timer_init(&writer->loop, &writer->second);
    uv_timer_init(&writer->loop, &writer->close);
    writer->wake.data = writer->tick.data = writer->second.data = writer->close.data = writer;
    uv_mutex_init(&writer->lock);
    uv_cond_init(&writer->flushed);
    sleep_all(writer);
    error = uv_thread_create(&writer->thread, run, writer);
    if (error == 0)
        return 0;
    uv_close((uv_handle_t *)&writer->wake, NULL);
    uv_close((uv_handle_t *)&writer->tick, NULL);
    uv_close((uv_handle_t *)&writer->second, NULL);
    uv_run(&writer->loop, UV_RUN_DEFAULT);
    uv_loop_close(&writer->loop);
    uv_mutex_destroy(&writer->lock);
    uv_cond_destroy(&writer->flushed);
    return error;
}

struct writer *writer_start(struct config *config, size_t ring_count, writer_say *say, void *context, int *error) {
    struct writer *writer = calloc(1, sizeof *writer);
    *error = -ENOMEM;
    if (writer == NULL)
        return NULL;
    writer->say = say;
    writer->say_context = context;
    if (make_parts(writer, config, ring_count)) {
        apply_config(writer, config_ref(config));
        *error = start_loop(writer);
    }
    if (*error == 0)
        return writer;
    free_writer(writer);
    return NULL;
}

struct ring *writer_ring(struct writer *writer, size_t worker) {
    return writer->rings[worker];
}

void writer_configure(struct writer *writer, struct config *config) {
    config_ref(config);
    uv_mutex_lock(&writer->lock);
    config_unref(writer->new_config);
    writer->new_config = config;
    uv_mutex_unlock(&writer->lock);
    wake(writer);
}

void writer_reopen(struct writer *writer) {
    uv_mutex_lock(&writer->lock);
    writer->reopen = true;
    uv_mutex_unlock(&writer->lock);
    wake(writer);
}

void writer_stop(struct writer *writer) {
    uv_mutex_lock(&writer->lock);
    writer->stop = true;
    uv_mutex_unlock(&writer->lock);
    wake(writer);
    uv_thread_join(&writer->thread);
    uv_loop_close(&writer->loop);
    uv_mutex_destroy(&writer->lock);
    uv_cond_destroy(&writer->flushed);
    free_writer(writer);
}

int writer_follow(struct writer *writer, void (*on_line)(void *context, const char *line, size_t length), void *context) {
    return followers_add(writer->followers, on_line, context);
}

void writer_unfollow(struct writer *writer, int id) {
    followers_remove(writer->followers, id);
}

json_t *writer_counts(const struct writer *writer) {
    return zone_counts_json(writer->zone_counts);
}

void writer_stats(const struct writer *writer, struct writer_stats *stats) {
    *stats = (struct writer_stats){.hits = atomic_load(&writer->hits),
                                   .lines = atomic_load(&writer->lines),
                                   .lines_lost = atomic_load(&writer->lines_lost),
                                   .query_lines_lost = atomic_load(&writer->query_lines_lost),
                                   .ledger_lost = atomic_load(&writer->ledger_lost),
                                   .clients = atomic_load(&writer->machines),
                                   .lease_holders = atomic_load(&writer->lease_holders),
                                   .leases_refused = atomic_load(&writer->leases_refused),
                                   .lease_lines_skipped = atomic_load(&writer->lease_lines_skipped),
                                   .dnstap_sent = atomic_load(&writer->dnstap_counts.sent),
                                   .dnstap_lost = atomic_load(&writer->dnstap_counts.lost),
                                   .syslog_sent = syslog_sent(writer->syslog),
                                   .syslog_lost = syslog_lost(writer->syslog)};
    for (size_t i = 0; i < writer->ring_count; i++) {
        stats->ring_lost_hits += ring_lost(writer->rings[i], RECORD_HIT);
        stats->ring_lost_asked += ring_lost(writer->rings[i], RECORD_ASKED);
        stats->ring_lost_queries += ring_lost(writer->rings[i], RECORD_QUERY);
        stats->dnstap_lost += ring_lost(writer->rings[i], RECORD_TAP);
    }
}

void writer_policy(struct writer *writer, struct snapshot *snapshot) {
    uv_mutex_lock(&writer->lock);
    snapshot_unref(writer->new_policy);
    snapshot_unref(writer->policy);
    writer->new_policy = snapshot_ref(snapshot);
    writer->policy = snapshot_ref(snapshot);
    uv_mutex_unlock(&writer->lock);
    wake(writer);
}

/* Has a reader found it damaged, the writer hears of it. */
static json_t *judged(struct writer *writer, uint32_t book, json_t *result, const char *const *why) {
    if (result == NULL && ledger_query_damaged(*why))
        ledger_doubt(writer->ledger, book);
    return result;
}

json_t *writer_clients(struct writer *writer, const json_t *parameters, const char **why) {
    uint32_t book = ledger_book(writer->ledger);
    return judged(writer, book, ledger_pages_clients(writer->pages, parameters, why), why);
}

json_t *writer_hits(struct writer *writer, const json_t *parameters, const char **why) {
    uint32_t book = ledger_book(writer->ledger);
    return judged(writer, book, ledger_query_hits(writer->ledger_path, parameters, why), why);
}

json_t *writer_hours(struct writer *writer, const json_t *parameters, const char **why) {
    uint32_t book = ledger_book(writer->ledger);
    return judged(writer, book, ledger_query_hours(writer->ledger_path, parameters, why), why);
}

json_t *writer_preview(struct writer *writer, struct snapshot *snapshot, const char **why) {
    uint64_t until = uv_hrtime() + (uint64_t)WRITER_FLUSH_MS * 1000000, now;
    uv_mutex_lock(&writer->lock);
    uint64_t wanted = ++writer->flush_wanted;
    wake(writer);
    while (writer->flush_done < wanted && (now = uv_hrtime()) < until)
        uv_cond_timedwait(&writer->flushed, &writer->lock, until - now);
    struct snapshot *in_force = writer->policy == NULL ? NULL : snapshot_ref(writer->policy);
    uv_mutex_unlock(&writer->lock);
    json_t *preview = preview_json(writer->history_folder, snapshot, in_force, why);
    snapshot_unref(in_force);
    return preview;
}
