/* hits/tally.h: counts repeats, so that a bot that calls home each second is one line a minute, and no hit is lost or counted
 * twice.
 *
 * The first hit of a client on a rule opens a window and is told at once. What follows within `repeat` seconds is counted, and told
 * as one summary when the window closes, with the last query's name and type. A client is its address, its EDNS MAC and who was
 * behind it: when the lease passes to another machine, a new window begins. Memory is bounded: at the limit every hit is told by
 * itself. The sum of all counts told as FIRST and SUMMARY is the number of hits that tally_hits took, once tally_flush has run.
 * The writer's thread. */
#ifndef SUNDEW_HITS_TALLY_H
#define SUNDEW_HITS_TALLY_H

#include "hits/card.h"
#include "hits/identity.h"

enum tally_kind {
    TALLY_FIRST,    /* a hit by itself: count is 1 */
    TALLY_PROGRESS, /* an open window's repeats so far; will be told again */
    TALLY_SUMMARY,  /* a closing window's repeats */
};

/* `row` is the teller's own note on a window (the ledger's), set at FIRST, given back later; 0 at first. */
typedef void tally_tell(void *context, enum tally_kind kind, const struct hit *hit, int64_t *row);
/* All of this chunk's windows that have repeats were just told as PROGRESS; there may be none. */
typedef void tally_chunk(void *context, uint32_t chunk);

struct tally;

/* `limit`: windows open at once. NULL: no memory. Windows live in chunks of TALLY_CHUNK. */
enum { TALLY_CHUNK = 512 };
struct tally *tally_new(struct cards *cards, struct identities *identities, size_t limit, tally_tell *tell, tally_chunk *chunk,
                        void *context);
void tally_free(struct tally *tally); /* tells nothing: tally_flush first */

/* Times in monotonic milliseconds. Changing `repeat` closes all windows. */
void tally_repeat(struct tally *tally, uint32_t seconds);
void tally_expire(struct tally *tally, uint64_t now_ms);
uint64_t tally_due(const struct tally *tally); /* when the next window closes; 0: none is open */

/* Counts so many hit records, TALLY_GROUP at most, in order. Returns how many of them couldn't be told: no memory, or a damaged
 * snapshot. */
enum { TALLY_GROUP = 64 };
size_t tally_hits(struct tally *tally, const struct record *const records[], size_t count, uint64_t now_ms);

/* Tells the PROGRESS of at most `most` chunks that have repeats not yet told. True: there are more. */
bool tally_progress(struct tally *tally, size_t most);
/* The same for all chunks that hold the PROGRESS of a window whose SUMMARY was told since: before that is committed. */
void tally_settle(struct tally *tally);
void tally_flush(struct tally *tally);
size_t tally_windows(const struct tally *tally);

#endif
