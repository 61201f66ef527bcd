/* hits/writer.h: the thread that turns records into what an operator reads: hits.jsonl, the ledger, the history, live followers.
 *
 * Owns its thread, loop, files and databases. A full disk, a missing folder or a slow reader never reaches a worker: it is counted,
 * and said once a minute, and at the end. */
#ifndef SUNDEW_HITS_WRITER_H
#define SUNDEW_HITS_WRITER_H

#include <jansson.h>

#include "config/config.h"
#include "hits/ring.h"

struct writer;

/* Says something to the operator; called from the writer's thread, must be thread-safe. level: "info", "warning", "error". */
typedef void writer_say(void *context, const char *level, const char *text);

/* Starts the thread with one ring a worker (ring_count of them, made by the writer, see writer_ring). NULL with *error = -errno. */
struct writer *writer_start(struct config *config, size_t ring_count, writer_say *say, void *context, int *error);
struct ring *writer_ring(struct writer *writer, size_t worker);

/* Any thread. A new configuration (paths, repeat, leases, retention) takes effect soon; reopen is for logrotate. */
void writer_configure(struct writer *writer, struct config *config);
void writer_reopen(struct writer *writer);

/* A new policy is in force: runs the retro-hunt over the history. Takes its own references. Any thread. */
void writer_policy(struct writer *writer, struct snapshot *snapshot);

/* Drains every ring, writes pending summaries, joins the thread, frees. Bounded: at most 2 s. */
void writer_stop(struct writer *writer);

/* Live followers (sundew hits -f, the page). on_line is called in the writer's thread for each line written (with '\n'); it must
 * copy and return at once. Returns an id >= 0 for writer_unfollow, which returns only when no call is or will be under way. */
int writer_follow(struct writer *writer, void (*on_line)(void *context, const char *line, size_t length), void *context);
void writer_unfollow(struct writer *writer, int id);

/* Queries against ledger and history: run on the calling thread with a connection of its own (call them from uv_queue_work).
 * parameters: the control command's JSON object (since, client, family, zone, limit). New reference, or NULL with *why. */
json_t *writer_clients(struct writer *writer, const json_t *parameters, const char **why);
json_t *writer_hits(struct writer *writer, const json_t *parameters, const char **why);
json_t *writer_hours(struct writer *writer, const json_t *parameters, const char **why);
/* What a snapshot's rules would have hit of what was asked lately, and what they must not hit (hits/preview.h). */
json_t *writer_preview(struct writer *writer, struct snapshot *snapshot, const char **why);

struct writer_stats {
    uint64_t hits;       /* records of hits taken */
    uint64_t lines;      /* written */
    uint64_t lines_lost; /* not written: disk */
    uint64_t ring_lost_hits;
    uint64_t ring_lost_asked;
    uint64_t ring_lost_queries;
    uint64_t query_lines_lost;
    uint64_t ledger_lost;         /* hits not in the ledger */
    uint64_t clients;             /* machines in the ledger */
    uint64_t lease_holders;       /* who held which address when, as far as it is remembered */
    uint64_t leases_refused;      /* not remembered: too many */
    uint64_t lease_lines_skipped; /* that can't be read */
    uint64_t syslog_sent;         /* lines */
    uint64_t syslog_lost;
    uint64_t dnstap_sent; /* frames */
    uint64_t dnstap_lost;
};
void writer_stats(const struct writer *writer, struct writer_stats *stats); /* any thread */
/* Hits by zone and action, and by family, as zone_counts_json (hits/zone_count.h); any thread, new reference. */
json_t *writer_counts(const struct writer *writer);

#endif
