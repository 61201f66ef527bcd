/* hits/ledger.h: the book of infected machines and their hits: SQLite in STATE/ledger.db.
 *
 * An entry for every line of the hit log, and one for each open window that has repeats, brought up to date each second; so counts
 * add up here as they do in the log. Written in batches by the writer's thread alone: a batch is one row (hits/ledger_batch.h),
 * committed before its lines are written, so after a kill -9 every hit that the log holds is here. (WAL, synchronous=NORMAL: a
 * process that dies loses no commit; a machine that loses power may lose the last ones, never the book.) Bounded by age and by
 * size, oldest out first; by age a batch is cut when it holds entries an hour (or a sixteenth of `keep`, if that is less) too old.
 * A damaged book, or what can't be one, is set aside as ledger.db.damaged-TIME, a new one begun, and that said; so it is with one
 * that is removed, replaced or cut off while it is open, within a second: hits of that second count as lost. Reading:
 * hits/ledger_query.h. */
#ifndef SUNDEW_HITS_LEDGER_H
#define SUNDEW_HITS_LEDGER_H

#include "hits/hit.h"

struct ledger;

/* Says what an operator must know; level as in writer_say. */
typedef void ledger_say(void *context, const char *level, const char *text);

/* For the book at `path`, which the first ledger_tend opens or begins. A book that can't be opened is tried again, and meanwhile
 * every hit counts as lost. NULL: no memory. */
struct ledger *ledger_new(const char *path, ledger_say *say, void *context);
void ledger_free(struct ledger *ledger); /* commits; NULL is nothing */
void ledger_limits(struct ledger *ledger, int64_t keep_seconds, int64_t max_octets);

/* Enters a hit, or a closed window's repeats. Returns a note on the entry for ledger_progress, good whatever happens to the book;
 * 0: it could not be entered, and is counted as lost. */
int64_t ledger_hit(struct ledger *ledger, const struct hit *hit);

/* The repeats so far of windows that are open, a chunk of windows at a time: ledger_progress for each that has any, then
 * ledger_progress_end, which puts them in the place of what the chunk had before. `row`: what ledger_hit returned for the window's
 * first hit; where hit->like_first, only the difference is written. A window whose last repeats are entered by ledger_hit must be
 * out of its chunk by the same commit. */
void ledger_progress(struct ledger *ledger, const struct hit *hit, int64_t row);
void ledger_progress_end(struct ledger *ledger, uint32_t chunk);

/* Ends the batch; all that was entered since the last call stays. */
void ledger_commit(struct ledger *ledger);

/* Once a second: takes out what is too old or too much, in small steps; opens the book again if it was closed. */
void ledger_tend(struct ledger *ledger, uint64_t now_us);

/* Until when hits in retrospect of this machine on this rule (any hash of it) were told; 0 never. Then notes a later time. */
uint64_t ledger_retro(struct ledger *ledger, const struct hit *hit, uint64_t rule_hash);
void ledger_note_retro(struct ledger *ledger, const struct hit *hit, uint64_t rule_hash, uint64_t until_us);

/* The policy that the history was last searched with: a snapshot's id. */
bool ledger_hunted(struct ledger *ledger, const char *snapshot_id);
void ledger_note_hunted(struct ledger *ledger, const char *snapshot_id);

/* Which book is open, as a number that no other has; any thread. ledger_doubt: a reader found it damaged (ledger_query_damaged);
 * the next ledger_tend sets it aside, unless it is another by then. */
uint32_t ledger_book(const struct ledger *ledger);
void ledger_doubt(struct ledger *ledger, uint32_t book);

uint64_t ledger_machines(const struct ledger *ledger); /* the writer's thread; copy it for others */
uint64_t ledger_lost(const struct ledger *ledger);     /* hits not entered */

#endif
