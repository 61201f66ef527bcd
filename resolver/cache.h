/* resolver/cache.h: answers by question, shared by all workers, bounded in octets.
 *
 * Sharded; a shard's lock is held for a look-up or an exchange of pointers only, never for a copy of more than one answer, so no
 * writer holds it for long. Replacement is by recency, approximately. Any thread. */
#ifndef SUNDEW_RESOLVER_CACHE_H
#define SUNDEW_RESOLVER_CACHE_H

#include "resolver/answer.h"

struct cache;

struct cache_key {
    uint64_t hash;       /* name_key.hash[labels], under the process's seed */
    const uint8_t *name; /* wire, lower case */
    uint8_t length;
    bool dnssec_ok, checking_disabled;
    uint16_t type;
};

enum cache_state {
    CACHE_MISS,
    CACHE_FRESH,
    CACHE_PREFETCH, /* fresh, in the last tenth of its life, asked for again since it was stored; said to one caller only */
    CACHE_STALE,    /* expired, within serve_stale */
};

struct cache *cache_new(size_t octets); /* NULL: no memory */
void cache_free(struct cache *cache);
void cache_resize(struct cache *cache, size_t octets);

/* The answer with a reference of the caller's own, or NULL (CACHE_MISS). `now`: monotonic seconds. No allocation. */
struct answer *cache_get(struct cache *cache, const struct cache_key *key, uint32_t now, uint32_t serve_stale,
                         enum cache_state *state);

/* Hints for who has several questions to look up: they ask for the memory that cache_get will read, so that it has come when all
 * questions were gone through; without them each look-up waits for its own (200 ns, more than it computes). First the shards of
 * all, then their slots, to which the shards point, then the answers behind those: the last takes the shard's lock, as long as
 * cache_get without its waiting, so it pays only where most questions have an answer. They say nothing; leaving them out changes no
 * answer. */
void cache_prefetch_shard(const struct cache *cache, const struct cache_key *key);
void cache_prefetch(const struct cache *cache, const struct cache_key *key);
void cache_prefetch_answer(struct cache *cache, const struct cache_key *key);

/* Takes its own reference. Replaces what was there, but a failure never replaces an answer that may still be served stale (within
 * the serve_stale that cache_get was last told); that it failed is remembered all the same, see cache_peek. An answer whose ttl is
 * 0 isn't kept. */
void cache_put(struct cache *cache, const struct cache_key *key, struct answer *answer, uint32_t now);

/* For whoever is about to ask upstream: did somebody just do so? Leaves recency and prefetch marks alone.
 * CACHED_YOUNG: *answer (a reference of the caller's own) was received in this second or the last.
 * CACHED_FAILED: the last try failed, and that failure's ttl isn't over: asking again now would be in vain (RFC 9520 section 3.2,
 * RFC 8767 section 5); *answer is the failure, or NULL where a servable answer stands in its place. */
enum cached { CACHED_NOT, CACHED_YOUNG, CACHED_FAILED };
enum cached cache_peek(struct cache *cache, const struct cache_key *key, uint32_t now, struct answer **answer);

/* Forgets `name` and all below it (NULL: everything). Returns how many. */
size_t cache_flush(struct cache *cache, const struct name *name);

struct cache_stats {
    uint64_t entries, octets, limit, inserted, evicted;
};
void cache_stats(const struct cache *cache, struct cache_stats *stats);

#endif
