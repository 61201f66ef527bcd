/* resolver/cache.c: answers by question, in open-addressed tables of pointers, one a shard.
 *
 * Layout. SHARDS shards of two cache lines each: a lock and a table that begins empty and grows by half. A table has `capacity`
 * home slots and SPILL more, so that a run of collisions never wraps around; the last slot is always empty and ends every search. A
 * home slot is (hash * capacity) >> 32: monotonous in the hash, which lets a table have any size. Removal closes the gap by moving
 * followers towards lower indexes only; cache_flush relies on that.
 *
 * Cost. A slot has 16 octets at a load of 1/2 to 3/4, thus 21 to 32 octets an answer, besides the answer's own allocation. Nothing
 * of the key is stored: name and type stand in the answer's question section, DO and CD in the slot.
 *
 * Bound. Octets are counted over all shards, allocator overhead and tables included. Whoever exceeds the limit evicts, one victim
 * a shard in turn, chosen by a clock hand: a slot that was read since the hand last passed is spared once. New answers begin
 * unread, so names asked once go first. */
#include "resolver/cache.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/lock.h"

enum {
    SHARD_BITS = 9, /* at 128M about 2,000 answers each: growing a table takes some 20 us */
    SHARDS = 1 << SHARD_BITS,
    TABLE_MIN = 8,
    SPILL = 8,
    FLUSH_BATCH = 128,              /* slots looked at in one hold of a shard's lock */
    MALLOC_HEADER = sizeof(size_t), /* what malloc keeps before a block */
    QUESTION_TAIL = 4,              /* type and class */
    LARGEST = 4,                    /* an answer above this part of the limit isn't kept: it would empty the cache */
    HOLD_MAX = 300,                 /* seconds that a failure is remembered at most (RFC 9520 section 3.2) */
};

enum slot_flag {
    SLOT_DNSSEC_OK = 1,
    SLOT_CHECKING_DISABLED = 2,
    SLOT_KEY = SLOT_DNSSEC_OK | SLOT_CHECKING_DISABLED,
    SLOT_READ = 4,     /* since the clock hand passed */
    SLOT_PREFETCH = 8, /* CACHE_PREFETCH was said */
    SLOT_HELD = 16,    /* `held` counts: renewing it failed */
};

struct slot {
    struct answer *answer; /* NULL: empty */
    uint32_t hash;
    uint16_t held; /* low 16 bits of the monotonic second until which a failure is remembered */
    uint8_t flags;
};

struct shard {
    _Alignas(64) struct lock lock;
    /* Written under the lock; cache_prefetch reads them without it, and what it makes of an old value is a useless hint. */
    _Atomic(struct slot *) slots; /* capacity + SPILL, or NULL */
    _Atomic uint32_t capacity;
    uint32_t hand;
    uint32_t serve_stale; /* as last told */
    /* Written under the lock; read without it by cache_stats alone. */
    _Atomic uint32_t entries;
    _Atomic uint64_t inserted, evicted;
};

struct cache {
    struct shard shards[SHARDS];
    _Alignas(64) atomic_size_t octets;
    atomic_size_t limit;
    atomic_uint next; /* shard to evict from */
};

struct cache *cache_new(size_t octets) {
    struct cache *cache = aligned_alloc(64, sizeof(*cache));
    if (!cache)
        return NULL;
    memset(cache, 0, sizeof(*cache));
    atomic_init(&cache->limit, octets);
    return cache;
}

/* --- slots of a shard, under its lock --- */

/* Only the lock's holder writes, so a load and a store do, without a locked bus cycle. */
#define COUNTER_ADD(counter, n)                                                                                                    \
    atomic_store_explicit(&(counter), atomic_load_explicit(&(counter), memory_order_relaxed) + (n), memory_order_relaxed)

static uint32_t shard_entries(const struct shard *shard) {
    return atomic_load_explicit(&shard->entries, memory_order_relaxed);
}

static uint64_t key_hash(const struct cache_key *key) {
    uint64_t hash = key->hash ^ ((uint64_t)key->type << 2 | (uint64_t)key->dnssec_ok << 1 | (uint64_t)key->checking_disabled);
    hash *= 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint8_t key_flags(const struct cache_key *key) {
    return (uint8_t)((key->dnssec_ok ? SLOT_DNSSEC_OK : 0) | (key->checking_disabled ? SLOT_CHECKING_DISABLED : 0));
}

static size_t shard_of(uint64_t hash) {
    return hash >> (64 - SHARD_BITS);
}

static struct shard *shard_lock(struct cache *cache, uint64_t hash) {
    struct shard *shard = &cache->shards[shard_of(hash)];
    lock_take(&shard->lock);
    return shard;
}

static uint32_t slot_home(uint32_t hash, uint32_t capacity) {
    return (uint32_t)((uint64_t)hash * capacity >> 32);
}

static size_t slot_count(const struct shard *shard) {
    return shard->slots ? (size_t)shard->capacity + SPILL : 0;
}

static size_t table_octets(uint32_t capacity) {
    return ((size_t)capacity + SPILL) * sizeof(struct slot) + MALLOC_HEADER;
}

static size_t answer_cost(struct answer *answer) {
    return malloc_usable_size(answer) + MALLOC_HEADER;
}

static bool slot_matches(const struct slot *slot, const struct cache_key *key, uint32_t hash) {
    if (slot->hash != hash || (slot->flags & SLOT_KEY) != key_flags(key))
        return false;
    const uint8_t *question = answer_octets(slot->answer);
    return slot->answer->question == key->length + QUESTION_TAIL && memcmp(question, key->name, key->length) == 0 &&
           question[key->length] == key->type >> 8 && question[key->length + 1] == (key->type & 0xff);
}

static struct slot *slot_find(const struct shard *shard, const struct cache_key *key, uint32_t hash) {
    struct slot *slots = shard->slots;
    if (!slots)
        return NULL;
    for (struct slot *slot = slots + slot_home(hash, shard->capacity); slot->answer; slot++)
        if (slot_matches(slot, key, hash))
            return slot;
    return NULL;
}

/* Puts an entry that isn't there yet. False: its run reaches the end, the table must grow. */
static bool slot_place(struct slot *slots, uint32_t capacity, const struct slot *entry) {
    const struct slot *last = slots + capacity + SPILL - 1;
    struct slot *slot = slots + slot_home(entry->hash, capacity);
    while (slot->answer)
        slot++;
    if (slot == last)
        return false;
    *slot = *entry;
    return true;
}

/* Empties a slot. The caller has the slot's reference now. */
static struct answer *slot_remove(struct cache *cache, struct shard *shard, struct slot *gap) {
    struct answer *answer = gap->answer;
    for (struct slot *next = gap + 1; next->answer; next++) {
        if (slot_home(next->hash, shard->capacity) <= (uint32_t)(gap - shard->slots)) {
            *gap = *next;
            gap = next;
        }
    }
    memset(gap, 0, sizeof(*gap));
    COUNTER_ADD(shard->entries, -1u);
    atomic_fetch_sub_explicit(&cache->octets, answer_cost(answer), memory_order_relaxed);
    return answer;
}

static void table_free(struct cache *cache, struct shard *shard) {
    if (!shard->slots)
        return;
    atomic_fetch_sub_explicit(&cache->octets, table_octets(shard->capacity), memory_order_relaxed);
    free(shard->slots);
    shard->slots = NULL;
    shard->capacity = shard->hand = 0;
}

static uint32_t capacity_above(uint32_t capacity) {
    return (capacity + capacity / 2 + 7) & ~7u;
}

/* Moves all entries into a table of at least `capacity` home slots. 0 or -ENOMEM. */
static int table_resize(struct cache *cache, struct shard *shard, uint32_t capacity) {
    for (;; capacity = capacity_above(capacity)) {
        struct slot *slots = calloc((size_t)capacity + SPILL, sizeof(*slots));
        if (!slots)
            return -ENOMEM;
        bool placed = true;
        for (size_t i = 0; placed && i < slot_count(shard); i++)
            placed = !shard->slots[i].answer || slot_place(slots, capacity, &shard->slots[i]);
        if (placed) {
            table_free(cache, shard);
            shard->slots = slots;
            shard->capacity = capacity;
            atomic_fetch_add_explicit(&cache->octets, table_octets(capacity), memory_order_relaxed);
            return 0;
        }
        free(slots);
    }
}

static int slot_insert(struct cache *cache, struct shard *shard, const struct slot *entry) {
    int error = 0;
    if (!shard->slots)
        error = table_resize(cache, shard, TABLE_MIN);
    else if ((shard_entries(shard) + 1) * 4 > shard->capacity * 3)
        error = table_resize(cache, shard, capacity_above(shard->capacity));
    while (!error && !slot_place(shard->slots, shard->capacity, entry))
        error = table_resize(cache, shard, capacity_above(shard->capacity));
    if (error)
        return error;
    COUNTER_ADD(shard->entries, 1u);
    COUNTER_ADD(shard->inserted, 1u);
    atomic_fetch_add_explicit(&cache->octets, answer_cost(entry->answer), memory_order_relaxed);
    return 0;
}

/* Gives memory back where most of a table is empty, after many removals. */
static void table_shrink(struct cache *cache, struct shard *shard) {
    if (shard_entries(shard) == 0)
        table_free(cache, shard);
    else if (shard->capacity > TABLE_MIN && shard_entries(shard) * 8 < shard->capacity)
        (void)table_resize(cache, shard, (shard_entries(shard) * 2 + TABLE_MIN) & ~7u); /* no memory: it stays large */
}

/* --- ageing --- */

static uint32_t answer_age(const struct answer *answer, uint32_t now) {
    int32_t age = (int32_t)(now - answer->received); /* another worker's clock may be a batch ahead */
    return age > 0 ? (uint32_t)age : 0;
}

static bool answer_servable(const struct answer *answer, uint32_t now, uint32_t serve_stale) {
    uint64_t life = answer->ttl + ((answer->flags & ANSWER_FAILURE) ? 0 : (uint64_t)serve_stale);
    return answer_age(answer, now) < life;
}

static bool slot_is_held(const struct slot *slot, uint32_t now) {
    return (slot->flags & SLOT_HELD) && (int16_t)(uint16_t)(slot->held - (uint16_t)now) > 0;
}

static enum cache_state slot_state(struct slot *slot, uint32_t now) {
    uint32_t age = answer_age(slot->answer, now), ttl = slot->answer->ttl;
    if (age >= ttl)
        return CACHE_STALE;
    if ((slot->flags & SLOT_PREFETCH) || (slot->answer->flags & ANSWER_FAILURE) || (uint64_t)age * 10 < (uint64_t)ttl * 9)
        return CACHE_FRESH;
    slot->flags |= SLOT_PREFETCH;
    return CACHE_PREFETCH;
}

/* --- the interface --- */

struct answer *cache_get(struct cache *cache, const struct cache_key *key, uint32_t now, uint32_t serve_stale,
                         enum cache_state *state) {
    uint64_t hash = key_hash(key);
    struct answer *answer = NULL, *expired = NULL;
    *state = CACHE_MISS;
    struct shard *shard = shard_lock(cache, hash);
    shard->serve_stale = serve_stale;
    struct slot *slot = slot_find(shard, key, (uint32_t)hash);
    if (slot && answer_servable(slot->answer, now, serve_stale)) {
        slot->flags |= SLOT_READ;
        *state = slot_state(slot, now);
        answer = answer_ref(slot->answer);
    } else if (slot) {
        expired = slot_remove(cache, shard, slot);
    }
    lock_release(&shard->lock);
    if (expired)
        answer_unref(expired);
    return answer;
}

void cache_prefetch_shard(const struct cache *cache, const struct cache_key *key) {
    __builtin_prefetch(&cache->shards[shard_of(key_hash(key))], 1);
}

void cache_prefetch(const struct cache *cache, const struct cache_key *key) {
    uint64_t hash = key_hash(key);
    const struct shard *shard = &cache->shards[shard_of(hash)];
    uintptr_t slots = (uintptr_t)atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    __builtin_prefetch((const void *)(slots + slot_home((uint32_t)hash, capacity) * sizeof(struct slot)));
}

void cache_prefetch_answer(struct cache *cache, const struct cache_key *key) {
    uint64_t hash = key_hash(key);
    struct shard *shard = shard_lock(cache, hash);
    const struct slot *slot = shard->slots ? shard->slots + slot_home((uint32_t)hash, shard->capacity) : NULL;
    for (; slot && slot->answer; slot++) {
        if (slot->hash == (uint32_t)hash) {
            __builtin_prefetch(slot->answer, 1);
            __builtin_prefetch((const char *)slot->answer + 64);
            break;
        }
    }
    lock_release(&shard->lock);
}

enum cached cache_peek(struct cache *cache, const struct cache_key *key, uint32_t now, struct answer **answer) {
    uint64_t hash = key_hash(key);
    enum cached cached = CACHED_NOT;
    *answer = NULL;
    struct shard *shard = shard_lock(cache, hash);
    const struct slot *slot = slot_find(shard, key, (uint32_t)hash);
    if (slot && slot_is_held(slot, now)) {
        cached = CACHED_FAILED;
    } else if (slot && answer_servable(slot->answer, now, 0)) {
        bool failure = slot->answer->flags & ANSWER_FAILURE;
        cached = failure ? CACHED_FAILED : answer_age(slot->answer, now) <= 1 ? CACHED_YOUNG : CACHED_NOT;
        if (cached != CACHED_NOT)
            *answer = answer_ref(slot->answer);
    }
    lock_release(&shard->lock);
    return cached;
}

/* One answer fewer in this shard. False: it has none. */
static bool evict_from(struct cache *cache, struct shard *shard) {
    struct answer *victim = NULL;
    lock_take(&shard->lock);
    if (shard_entries(shard) > 0) {
        while (!victim) {
            if (shard->hand >= slot_count(shard))
                shard->hand = 0;
            struct slot *slot = &shard->slots[shard->hand];
            if (slot->answer && !(slot->flags & SLOT_READ)) {
                victim = slot_remove(cache, shard, slot);
            } else {
                slot->flags &= (uint8_t)~SLOT_READ;
                shard->hand++;
            }
        }
        COUNTER_ADD(shard->evicted, 1u);
        table_shrink(cache, shard);
    }
    lock_release(&shard->lock);
    if (!victim)
        return false;
    answer_unref(victim);
    return true;
}

static void evict_excess(struct cache *cache) {
    unsigned empty = 0;
    while (atomic_load_explicit(&cache->octets, memory_order_relaxed) > atomic_load_explicit(&cache->limit, memory_order_relaxed) &&
           empty < SHARDS) {
        unsigned next = atomic_fetch_add_explicit(&cache->next, 1, memory_order_relaxed);
        empty = evict_from(cache, &cache->shards[next % SHARDS]) ? 0 : empty + 1;
    }
}

static bool gives_way(const struct shard *shard, const struct slot *slot, const struct answer *answer, uint32_t now) {
    return (answer->flags & ANSWER_FAILURE) && !(slot->answer->flags & ANSWER_FAILURE) &&
           answer_servable(slot->answer, now, shard->serve_stale);
}

static void hold(struct slot *slot, const struct answer *failure, uint32_t now) {
    slot->flags |= SLOT_HELD;
    slot->held = (uint16_t)(now + (failure->ttl < HOLD_MAX ? failure->ttl : HOLD_MAX));
}

void cache_put(struct cache *cache, const struct cache_key *key, struct answer *answer, uint32_t now) {
    if (answer->ttl == 0 || answer_cost(answer) > atomic_load_explicit(&cache->limit, memory_order_relaxed) / LARGEST)
        return;
    uint64_t hash = key_hash(key);
    struct slot entry = {.answer = answer, .hash = (uint32_t)hash, .flags = key_flags(key)};
    struct answer *old = NULL;
    struct shard *shard = shard_lock(cache, hash);
    struct slot *slot = slot_find(shard, key, (uint32_t)hash);
    bool kept = slot && gives_way(shard, slot, answer, now);
    if (kept) {
        hold(slot, answer, now);
    } else if (slot) {
        old = slot->answer;
        entry.flags |= slot->flags & SLOT_READ;
        *slot = entry;
        answer_ref(answer);
        atomic_fetch_add_explicit(&cache->octets, answer_cost(answer) - answer_cost(old), memory_order_relaxed);
        COUNTER_ADD(shard->inserted, 1u);
    } else if (slot_insert(cache, shard, &entry) == 0) {
        answer_ref(answer);
    }
    lock_release(&shard->lock);
    if (old)
        answer_unref(old);
    evict_excess(cache);
}

void cache_resize(struct cache *cache, size_t octets) {
    atomic_store_explicit(&cache->limit, octets, memory_order_relaxed);
    evict_excess(cache);
}

static bool answer_is_within(const struct answer *answer, const struct name *name) {
    const uint8_t *octets = answer_octets(answer);
    int length = answer->question - QUESTION_TAIL;
    for (int at = 0; length - at >= name->length; at += octets[at] + 1)
        if (length - at == name->length)
            return memcmp(octets + at, name->wire, name->length) == 0;
    return false;
}

/* From the end down, a batch a hold: what other threads' removals move meanwhile moves down, into what is still to be looked at.
 * A table that was replaced meanwhile (its capacity says so) is begun again. */
static size_t shard_flush(struct cache *cache, struct shard *shard, const struct name *name) {
    size_t flushed = 0, at = SIZE_MAX;
    uint32_t capacity = 0;
    struct answer *gone[FLUSH_BATCH];
    do {
        size_t count = 0;
        lock_take(&shard->lock);
        if (at > slot_count(shard) || capacity != shard->capacity)
            at = slot_count(shard);
        capacity = shard->capacity;
        for (size_t n = 0; n < FLUSH_BATCH && at > 0; n++) {
            struct slot *slot = &shard->slots[--at];
            if (slot->answer && (!name || answer_is_within(slot->answer, name)))
                gone[count++] = slot_remove(cache, shard, slot);
        }
        if (at == 0)
            table_shrink(cache, shard);
        lock_release(&shard->lock);
        for (size_t i = 0; i < count; i++)
            answer_unref(gone[i]);
        flushed += count;
    } while (at > 0);
    return flushed;
}

size_t cache_flush(struct cache *cache, const struct name *name) {
    size_t flushed = 0;
    for (size_t i = 0; i < SHARDS; i++)
        flushed += shard_flush(cache, &cache->shards[i], name);
    return flushed;
}

void cache_free(struct cache *cache) {
    if (!cache)
        return;
    cache_flush(cache, NULL);
    free(cache);
}

void cache_stats(const struct cache *cache, struct cache_stats *stats) {
    *stats = (struct cache_stats){
        .octets = atomic_load_explicit(&cache->octets, memory_order_relaxed),
        .limit = atomic_load_explicit(&cache->limit, memory_order_relaxed),
    };
    for (size_t i = 0; i < SHARDS; i++) {
        stats->entries += shard_entries(&cache->shards[i]);
        stats->inserted += atomic_load_explicit(&cache->shards[i].inserted, memory_order_relaxed);
        stats->evicted += atomic_load_explicit(&cache->shards[i].evicted, memory_order_relaxed);
    }
}
