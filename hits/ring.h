/* hits/ring.h: one worker's records on their way to the writer: a single-producer, single-consumer ring of octets.
 *
 * The producer never blocks and never calls the kernel except to wake a sleeping consumer. A full ring refuses the record; the
 * caller's loss is counted here and reported by the writer. */
#ifndef SUNDEW_HITS_RING_H
#define SUNDEW_HITS_RING_H

#include "hits/record.h"

struct ring;

/* size: octets, a power of two. wake: called by the producer when the consumer said it sleeps (from the worker's thread; must be
 * cheap and thread-safe: uv_async_send). */
struct ring *ring_new(size_t size, void (*wake)(void *context), void *context);
void ring_free(struct ring *ring);

/* Producer. ring_reserve: room in the ring for a record of `size` octets (rounded up to a multiple of 8), to be filled in where it
 * is; `size` and `kind` are set, the other fields are 0, and so is what rounds it up, names are as they come. NULL: full, the loss
 * is counted by kind. The record is nobody's but the producer's until ring_commit. A reservation that isn't committed is forgotten
 * with the next one. */
struct record *ring_reserve(struct ring *ring, enum record_kind kind, size_t size);
void ring_commit(struct ring *ring);
/* Both, for a record that was made elsewhere, its size a multiple of 8; false: full, counted. */
bool ring_put(struct ring *ring, const struct record *record);

/* Consumer. ring_peek: the oldest record, in place, or NULL; ring_drop gives it back. ring_sleep: true if the ring is empty and the
 * producer will wake; false if something came meanwhile. */
const struct record *ring_peek(struct ring *ring);
/* ring_list: the oldest ones, in place, in order, `most` at most; returns how many. */
size_t ring_list(struct ring *ring, const struct record **records, size_t most);
void ring_drop(struct ring *ring);
bool ring_sleep(struct ring *ring);

/* Records lost so far, by kind; any thread. */
uint64_t ring_lost(const struct ring *ring, enum record_kind kind);

#endif
