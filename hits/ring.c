/* hits/ring.c: the single-producer, single-consumer ring between a worker and the writer.
 *
 * Indexes count octets since the beginning and never wrap (2^64 octets outlast the machine); a position is an index modulo the
 * size. A record lies in one piece: where it would cross the end, a `size` of 0 says "go on at the beginning".
 * Each side keeps a private copy of the other's index and reads the shared one only when the copy says full or empty, so that a
 * cache line travels once for many records.
 * Waking: the consumer announces sleep, then looks again; the producer publishes, then looks for the announcement. Both pairs are
 * sequentially consistent, so at least one side sees the other (Dekker). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "hits/ring.h"

enum {
    RING_LINE = 64,          /* octets of a cache line */
    RING_ALIGN = 8,          /* every record's size is a multiple of it */
    RING_SMALLEST = 4096,    /* octets: room for a few records of any size */
    RING_RELEASE_ROOM = 1024 /* octets that only RECORD_RELEASE may use: a lost release would keep a snapshot for ever */
};

struct ring {
    /* the producer's line */
    _Alignas(RING_LINE) _Atomic uint64_t head; /* octets put */
    uint64_t tail_seen;
    uint64_t reserved; /* `head` with the record that is being made */
    /* the consumer's line */
    _Alignas(RING_LINE) _Atomic uint64_t tail; /* octets given back */
    uint64_t head_seen;
    /* written seldom */
    _Alignas(RING_LINE) atomic_bool sleeping;
    _Alignas(RING_LINE) _Atomic uint64_t lost[RECORD_QUERY + 1];
    size_t size;
    void (*wake)(void *context);
    void *context;
    uint8_t *data;
};

struct ring *ring_new(size_t size, void (*wake)(void *context), void *context) {
    if (size < RING_SMALLEST || (size & (size - 1)) != 0)
        return NULL;
    struct ring *ring = aligned_alloc(RING_LINE, sizeof *ring);
    if (ring == NULL)
        return NULL;
    memset(ring, 0, sizeof *ring);
    ring->data = aligned_alloc(RING_LINE, size);
    if (ring->data == NULL) {
        free(ring);
        return NULL;
    }
    ring->size = size;
    ring->wake = wake;
    ring->context = context;
    return ring;
}

void ring_free(struct ring *ring) {
    if (ring == NULL)
        return;
    free(ring->data);
    free(ring);
}

/* Octets that a record of this kind must leave free: what an operator waits for goes before what is only remembered. */
static size_t room_to_leave(const struct ring *ring, enum record_kind kind) {
    switch (kind) {
    case RECORD_RELEASE:
        return 0;
    case RECORD_HIT:
        return RING_RELEASE_ROOM;
    default:
        return ring->size / 2;
    }
}

struct record *ring_reserve(struct ring *ring, enum record_kind kind, size_t size) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t at = (size_t)head & (ring->size - 1), skip = ring->size - at;
    size = (size + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
    if (size <= skip)
        skip = 0;
    size_t needed = skip + size + room_to_leave(ring, kind);
    if (head + needed - ring->tail_seen > ring->size) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head + needed - ring->tail_seen > ring->size) {
            atomic_fetch_add_explicit(&ring->lost[kind], 1, memory_order_relaxed);
            return NULL;
        }
    }
    if (skip > 0) {
        ((struct record *)(void *)(ring->data + at))->size = 0;
        at = 0;
    }
    struct record *record = (void *)(ring->data + at);
    memset(record, 0, sizeof *record);
    memset((uint8_t *)record + size - RING_ALIGN, 0, RING_ALIGN); /* what rounds it up; no old octets in it */
    record->size = (uint16_t)size;
    record->kind = (uint8_t)kind;
    ring->reserved = head + skip + size;
    return record;
}

void ring_commit(struct ring *ring) {
    atomic_store_explicit(&ring->head, ring->reserved, memory_order_seq_cst);
    if (atomic_load_explicit(&ring->sleeping, memory_order_seq_cst)) {
        atomic_store_explicit(&ring->sleeping, false, memory_order_relaxed);
        if (ring->wake != NULL)
            ring->wake(ring->context);
    }
}

bool ring_put(struct ring *ring, const struct record *record) {
    struct record *room = ring_reserve(ring, (enum record_kind)record->kind, record->size);
    if (room == NULL)
        return false;
    memcpy(room, record, record->size);
    ring_commit(ring);
    return true;
}

const struct record *ring_peek(struct ring *ring) {
    for (;;) {
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        if (tail == ring->head_seen) {
            ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
            if (tail == ring->head_seen)
                return NULL;
        }
        size_t at = (size_t)tail & (ring->size - 1);
        const struct record *record = (const void *)(ring->data + at);
        if (record->size != 0)
            return record;
        atomic_store_explicit(&ring->tail, tail + (ring->size - at), memory_order_release);
    }
}

size_t ring_list(struct ring *ring, const struct record **records, size_t most) {
    if (ring_peek(ring) == NULL)
        return 0;
    uint64_t at = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t count = 0;
    while (count < most && at != ring->head_seen) {
        size_t offset = (size_t)at & (ring->size - 1);
        const struct record *record = (const void *)(ring->data + offset);
        at += record->size == 0 ? ring->size - offset : record->size;
        if (record->size != 0)
            records[count++] = record;
    }
    return count;
}

void ring_drop(struct ring *ring) {
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t at = (size_t)tail & (ring->size - 1);
    const struct record *record = (const void *)(ring->data + at);
    if (record->size == 0) { /* the oldest lies at the beginning: it came of ring_list */
        tail += ring->size - at;
        record = (const void *)ring->data;
    }
    atomic_store_explicit(&ring->tail, tail + record->size, memory_order_release);
}

bool ring_sleep(struct ring *ring) {
    atomic_store_explicit(&ring->sleeping, true, memory_order_seq_cst);
    if (atomic_load_explicit(&ring->head, memory_order_seq_cst) == atomic_load_explicit(&ring->tail, memory_order_relaxed))
        return true;
    atomic_store_explicit(&ring->sleeping, false, memory_order_relaxed);
    return false;
}

uint64_t ring_lost(const struct ring *ring, enum record_kind kind) {
    return atomic_load_explicit(&ring->lost[kind], memory_order_relaxed);
}
