/* hits/tally.c: counts repeats of a client on a rule within a window of time.
 *
 * Windows lie in one array, taken in the order of opening, so those that close together lie together. The array is never touched
 * before it is used. A chunk of it is told anew each second if one of its windows had a repeat, or when one closed whose repeats
 * had been told. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "hits/tally.h"

enum {
    NAMES_INSIDE = 40, /* octets of names that a window holds itself; longer ones are allocated */
    WINDOW_LINE = 64   /* octets of a line of memory */
};

/* In lines of memory: the first two are all that a repeat touches. */
struct window {
    const struct card *card; /* NULL: this place is free */
    struct ip client;
    uint8_t mac[6];               /* of whoever is behind the client, if has_mac */
    bool has_mac, edns_mac;       /* edns_mac: the client said its MAC itself: it is a part of the key */
    uint32_t chain;               /* the next in its bucket; here and below: where in the array, plus 1; 0 none */
    uint32_t identity_generation; /* when it was looked up who is behind the client */
    uint64_t opened_ms;
    uint32_t generation; /* of the last query's snapshot; and so on */
    uint32_t profile;
    uint16_t qtype;
    uint8_t protocol;
    uint8_t qname_length, via_length;
    uint8_t owner_length; /* of the rule's name, with which the names end; 0: the rule is a prefix */
    bool told;            /* its repeats as PROGRESS */
    bool like_first;      /* the last query is the first one again */

    uint64_t count;      /* repeats since the first */
    uint64_t last_ts_us; /* of the last query */
    _Atomic uint64_t *family_hits;
    union { /* qname, then via */
        uint8_t inside[NAMES_INSIDE];
        uint8_t *outside;
    } names;

    uint64_t first_ts_us; /* of the first repeat */
    int64_t row;
    struct phrase *hostname;
    struct phrase *answer;
    struct phrase *details;
    struct phrase *prefix; /* the rule's text; NULL: its name ends the names */
    uint32_t older, newer; /* in order of opening, which is the order of closing; newer: of free places, the next */
    uint32_t bucket;
    uint32_t unused;
};
_Static_assert(offsetof(struct window, count) == WINDOW_LINE && offsetof(struct window, first_ts_us) == 2 * WINDOW_LINE &&
                   sizeof(struct window) == 3 * WINDOW_LINE,
               "whole lines");

/* Which windows a record may belong to: its key but for the client, and the bucket. */
struct spot {
    const struct card *card;
    struct phrase *prefix; /* a reference of its own; NULL for domain rules */
    uint32_t *bucket;
};

/* Chunks to be told, each once, first in first out: so that none waits for ever. */
struct queue {
    uint32_t *list;
    bool *in;
    size_t first, count, room;
};

struct tally {
    struct cards *cards;
    struct identities *identities;
    tally_tell *tell;
    tally_chunk *chunk;
    void *context;
    uint64_t repeat_ms;
    uint64_t seed[2]; /* random: clients must not be able to choose their bucket */
    size_t limit, windows;
    size_t used;                    /* places of the array that were ever taken */
    uint32_t free_first, free_last; /* given back, in that order */
    size_t bucket_mask;
    uint32_t *buckets;
    struct window *array; /* of whole lines */
    void *map;            /* buckets and array lie in it */
    size_t mapped;        /* octets */
    uint32_t oldest, newest;
    struct queue dirty, closed;
    struct text rule; /* the text of the rule that is being told of */
};

static bool queue_new(struct queue *queue, size_t room) {
    queue->room = room;
    queue->list = calloc(room, sizeof *queue->list);
    queue->in = calloc(room, sizeof *queue->in);
    return queue->list != NULL && queue->in != NULL;
}

static void queue_put(struct queue *queue, uint32_t chunk) {
    if (queue->in[chunk])
        return;
    queue->in[chunk] = true;
    queue->list[(queue->first + queue->count++) % queue->room] = chunk;
}

static uint32_t queue_take(struct queue *queue) {
    uint32_t chunk = queue->list[queue->first];
    queue->first = (queue->first + 1) % queue->room;
    queue->count--;
    queue->in[chunk] = false;
    return chunk;
}

/* Zeroed buckets, and the windows behind them, in huge pages where the kernel has them: to find the page of a place that was picked
 * at random takes as long as to fetch the place, and no prefetch hides it. */
static bool map_tables(struct tally *tally, size_t buckets) {
    enum { HUGE_PAGE = 2 << 20 };
    size_t octets = buckets * sizeof *tally->buckets, all = octets + tally->limit * sizeof *tally->array + HUGE_PAGE;
    void *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    tally->map = map;
    tally->mapped = all;
    char *aligned = (char *)map + (-(uintptr_t)map & (HUGE_PAGE - 1));
    madvise(aligned, all - HUGE_PAGE, MADV_HUGEPAGE);
    tally->buckets = (void *)aligned;
    tally->array = (void *)(aligned + octets);
    return true;
}

struct tally *tally_new(struct cards *cards, struct identities *identities, size_t limit, tally_tell *tell, tally_chunk *chunk,
                        void *context) {
    struct tally *tally = calloc(1, sizeof *tally);
    if (tally == NULL)
        return NULL;
    size_t buckets = 64, chunks = limit / TALLY_CHUNK + 1;
    while (buckets < limit)
        buckets *= 2;
    *tally =
        (struct tally){.cards = cards, .identities = identities, .tell = tell, .chunk = chunk, .context = context, .limit = limit};
    tally->bucket_mask = buckets - 1;
    if (!map_tables(tally, buckets) || !text_room(&tally->rule, 2 * NAME_TEXT_MAX) || !queue_new(&tally->dirty, chunks) ||
        !queue_new(&tally->closed, chunks) || getrandom(tally->seed, sizeof tally->seed, 0) != sizeof tally->seed) {
        tally_free(tally);
        return NULL;
    }
    return tally;
}

static struct window *at(const struct tally *tally, uint32_t place) {
    return place == 0 ? NULL : &tally->array[place - 1];
}

static uint32_t place_of(const struct tally *tally, const struct window *window) {
    return (uint32_t)(window - tally->array) + 1;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* --- finding --- */

static uint8_t *names_of(struct window *window) {
    size_t length = (size_t)window->qname_length + window->via_length;
    return length > NAMES_INSIDE ? window->names.outside : window->names.inside;
}

/* The name of a domain rule: what matched ends with it, and that is what the names end with. */
static const uint8_t *owner_of(struct window *window) {
    return names_of(window) + window->qname_length + window->via_length - window->owner_length;
}

static const uint8_t *owner_of_record(const struct record *record) {
    return record->names + record->qname_length + record->via_length - record->owner_length;
}

static uint64_t mix_octets(uint64_t hash, const void *octets, size_t length) {
    const uint8_t *at = octets;
    uint64_t word;
    for (; length >= sizeof word; at += sizeof word, length -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = mix(hash ^ word, 0x9e3779b97f4a7c15u);
    }
    word = length;
    memcpy((uint8_t *)&word + 1, at, length);
    return mix(hash ^ word, 0xd6e8feb86659fd93u);
}

/* `rule`: the text of a prefix, or a name in wire form. */
static uint32_t *bucket_of(const struct tally *tally, const struct ip *client, const uint8_t mac[6], const struct card *card,
                           const void *rule, size_t rule_length) {
    uint64_t high, low, hardware = 0;
    memcpy(&high, client->bytes, 8);
    memcpy(&low, client->bytes + 8, 8);
    if (mac != NULL)
        memcpy(&hardware, mac, 6);
    uint64_t hash = mix(high ^ tally->seed[0], low ^ tally->seed[1]);
    hash = mix(hash ^ (uintptr_t)card, hardware ^ 0x9e3779b97f4a7c15u ^ tally->seed[0]);
    hash = mix_octets(hash, rule, rule_length);
    return &tally->buckets[(hash ^ hash >> 32) & tally->bucket_mask];
}

/* False: no memory, or a damaged snapshot. Otherwise spot->prefix is to be given back. */
static bool find_spot(const struct tally *tally, const struct record *record, struct spot *spot) {
    const uint8_t *mac = record->has_mac ? record->mac : NULL;
    *spot = (struct spot){.card = cards_find(tally->cards, record)};
    if (spot->card == NULL)
        return false;
    if (record->trigger == TRIGGER_DOMAIN) {
        spot->bucket = bucket_of(tally, &record->client, mac, spot->card, owner_of_record(record), record->owner_length);
        return true;
    }
    spot->prefix = cards_prefix(tally->cards, record);
    if (spot->prefix == NULL)
        return false;
    spot->bucket = bucket_of(tally, &record->client, mac, spot->card, spot->prefix->text, spot->prefix->length);
    return true;
}

static bool same_client(const struct window *window, const struct record *record) {
    if (!ip_equal(&window->client, &record->client) || window->edns_mac != (record->has_mac != 0))
        return false;
    return !window->edns_mac || memcmp(window->mac, record->mac, sizeof record->mac) == 0;
}

static bool same_rule(struct window *window, const struct record *record, const struct spot *spot) {
    if (window->card != spot->card)
        return false;
    if (spot->prefix != NULL)
        return window->prefix != NULL && window->prefix->length == spot->prefix->length &&
               memcmp(window->prefix->text, spot->prefix->text, spot->prefix->length) == 0;
    return window->owner_length == record->owner_length &&
           memcmp(owner_of(window), owner_of_record(record), record->owner_length) == 0;
}

static struct window *find(const struct tally *tally, const struct record *record, const struct spot *spot) {
    struct window *window = tally->repeat_ms == 0 ? NULL : at(tally, *spot->bucket);
    while (window != NULL && !(same_client(window, record) && same_rule(window, record, spot)))
        window = at(tally, window->chain);
    return window;
}

/* --- telling --- */

static struct piece rule_text(struct tally *tally, const struct card *card, const struct phrase *prefix, const uint8_t *owner) {
    if (prefix != NULL)
        return piece_of(prefix);
    tally->rule.length = 0; /* and there is room for any name */
    card_put_rule(&tally->rule, card, owner);
    return (struct piece){tally->rule.data, (uint32_t)tally->rule.length};
}

static void tell_repeats(struct tally *tally, enum tally_kind kind, struct window *window) {
    const uint8_t *names = names_of(window);
    struct hit hit = {.ts_us = window->last_ts_us,
                      .first_ts_us = window->first_ts_us,
                      .client = window->client,
                      .protocol = (enum protocol)window->protocol,
                      .who = {.has_mac = window->has_mac, .hostname = window->hostname},
                      .qname = names,
                      .via = window->via_length > 0 ? names + window->qname_length : NULL,
                      .qtype = window->qtype,
                      .card = window->card,
                      .rule = rule_text(tally, window->card, window->prefix, owner_of(window)),
                      .details = piece_of(window->details),
                      .answer = window->answer,
                      .count = window->count,
                      .like_first = window->like_first};
    memcpy(hit.who.mac, window->mac, sizeof hit.who.mac);
    tally->tell(tally->context, kind, &hit, &window->row);
}

/* What a first hit says beside its record. */
struct first {
    struct identity who;
    struct details details;
    struct phrase *answer;
    int64_t row;
};

static void tell_first(struct tally *tally, const struct record *record, const struct spot *spot, struct first *first) {
    struct hit hit = {.ts_us = record->ts_us,
                      .first_ts_us = record->ts_us,
                      .client = record->client,
                      .protocol = (enum protocol)record->protocol,
                      .who = first->who,
                      .qname = record->names,
                      .via = record->via_length > 0 ? record->names + record->qname_length : NULL,
                      .qtype = record->qtype,
                      .card = spot->card,
                      .rule = rule_text(tally, spot->card, spot->prefix, owner_of_record(record)),
                      .details = piece_of(first->details.text),
                      .answer = first->answer,
                      .count = 1};
    tally->tell(tally->context, TALLY_FIRST, &hit, &first->row);
}

static void tell_chunk(struct tally *tally, uint32_t chunk) {
    size_t end = ((size_t)chunk + 1) * TALLY_CHUNK;
    if (end > tally->used)
        end = tally->used;
    for (size_t i = (size_t)chunk * TALLY_CHUNK; i < end; i++) {
        struct window *window = &tally->array[i];
        if (window->card == NULL || window->count == 0)
            continue;
        tell_repeats(tally, TALLY_PROGRESS, window);
        window->told = true;
    }
    tally->chunk(tally->context, chunk);
}

bool tally_progress(struct tally *tally, size_t most) {
    for (; tally->dirty.count > 0 && most > 0; most--)
        tell_chunk(tally, queue_take(&tally->dirty));
    return tally->dirty.count > 0;
}

void tally_settle(struct tally *tally) {
    while (tally->closed.count > 0)
        tell_chunk(tally, queue_take(&tally->closed));
}

/* --- closing and opening --- */

static void release(struct window *window) {
    phrase_unref(window->hostname);
    phrase_unref(window->answer);
    phrase_unref(window->details);
    phrase_unref(window->prefix);
    if ((size_t)window->qname_length + window->via_length > NAMES_INSIDE)
        free(window->names.outside);
    window->card = NULL;
}

static void give_back(struct tally *tally, uint32_t place) {
    at(tally, place)->newer = 0;
    *(tally->free_last == 0 ? &tally->free_first : &at(tally, tally->free_last)->newer) = place;
    tally->free_last = place;
}

/* Takes a window out of the tables and tells what it counted. */
static void close_window(struct tally *tally, struct window *window) {
    uint32_t place = place_of(tally, window);
    uint32_t *link = &tally->buckets[window->bucket];
    while (*link != place)
        link = &at(tally, *link)->chain;
    *link = window->chain;
    *(window->older == 0 ? &tally->oldest : &at(tally, window->older)->newer) = window->newer;
    *(window->newer == 0 ? &tally->newest : &at(tally, window->newer)->older) = window->older;
    tally->windows--;
    if (window->told)
        queue_put(&tally->closed, (place - 1) / TALLY_CHUNK);
    uint64_t count = window->count;
    window->count = 0; /* of which a chunk that is told meanwhile must know nothing any more */
    if (count > 0) {
        struct window closing = *window;
        closing.count = count;
        tell_repeats(tally, TALLY_SUMMARY, &closing);
    }
    release(window);
    give_back(tally, place);
}

/* Closes the oldest one. Those that are next lie behind it, mostly: what closing them touches is asked for ahead. */
static void close_oldest(struct tally *tally) {
    enum { WINDOWS_AHEAD = 8, BUCKETS_AHEAD = 4 };
    size_t place = tally->oldest;
    if (place + WINDOWS_AHEAD <= tally->used)
        for (size_t line = 0; line < sizeof(struct window); line += WINDOW_LINE)
            __builtin_prefetch((const char *)at(tally, (uint32_t)(place + WINDOWS_AHEAD)) + line, 1);
    if (place + BUCKETS_AHEAD <= tally->used)
        __builtin_prefetch(&tally->buckets[at(tally, (uint32_t)(place + BUCKETS_AHEAD))->bucket], 1);
    close_window(tally, at(tally, tally->oldest));
}

void tally_flush(struct tally *tally) {
    while (tally->oldest != 0)
        close_oldest(tally);
}

void tally_free(struct tally *tally) {
    if (tally == NULL)
        return;
    for (size_t i = 0; i < tally->used; i++)
        if (tally->array[i].card != NULL)
            release(&tally->array[i]);
    if (tally->map != NULL)
        munmap(tally->map, tally->mapped);
    free(tally->dirty.list);
    free(tally->dirty.in);
    free(tally->closed.list);
    free(tally->closed.in);
    text_free(&tally->rule);
    free(tally);
}

void tally_repeat(struct tally *tally, uint32_t seconds) {
    uint64_t repeat_ms = (uint64_t)seconds * 1000;
    if (repeat_ms != tally->repeat_ms)
        tally_flush(tally);
    tally->repeat_ms = repeat_ms;
}

void tally_expire(struct tally *tally, uint64_t now_ms) {
    while (tally->oldest != 0 && at(tally, tally->oldest)->opened_ms + tally->repeat_ms <= now_ms)
        close_oldest(tally);
}

uint64_t tally_due(const struct tally *tally) {
    return tally->oldest != 0 ? at(tally, tally->oldest)->opened_ms + tally->repeat_ms : 0;
}

size_t tally_windows(const struct tally *tally) {
    return tally->windows;
}

static bool set_names(struct window *window, const struct record *record) {
    size_t length = (size_t)record->qname_length + record->via_length, old = (size_t)window->qname_length + window->via_length;
    uint8_t *outside = length > NAMES_INSIDE ? malloc(length) : NULL;
    if (length > NAMES_INSIDE && outside == NULL)
        return false;
    if (old > NAMES_INSIDE)
        free(window->names.outside);
    if (outside != NULL)
        window->names.outside = outside;
    window->qname_length = record->qname_length;
    window->via_length = record->via_length;
    memcpy(names_of(window), record->names, length);
    return true;
}

static void set_query(struct window *window, const struct record *record) {
    window->generation = snapshot_generation(record->snapshot);
    window->profile = record->profile;
    window->qtype = record->qtype;
    window->protocol = record->protocol;
}

/* A place for a window; 0: there is none left. */
static uint32_t take_place(struct tally *tally) {
    uint32_t place = tally->free_first;
    if (place == 0)
        return tally->used < tally->limit ? (uint32_t)++tally->used : 0;
    tally->free_first = at(tally, place)->newer;
    if (tally->free_first == 0)
        tally->free_last = 0;
    return place;
}

/* Where there is no room for a window, the next hit is told by itself, too. */
static void open_window(struct tally *tally, const struct record *record, const struct spot *spot, const struct first *first,
                        uint64_t now_ms) {
    uint32_t place = take_place(tally);
    if (place == 0)
        return;
    struct window *window = at(tally, place);
    *window = (struct window){.client = record->client,
                              .has_mac = first->who.has_mac,
                              .edns_mac = record->has_mac != 0,
                              .opened_ms = now_ms,
                              .identity_generation = identities_generation(tally->identities),
                              .owner_length = (uint8_t)record->owner_length,
                              .like_first = true,
                              .family_hits = first->details.family_hits,
                              .row = first->row};
    if (!set_names(window, record)) {
        give_back(tally, place);
        return;
    }
    set_query(window, record);
    memcpy(window->mac, first->who.mac, sizeof window->mac);
    window->card = spot->card;
    window->prefix = phrase_ref(spot->prefix);
    window->hostname = phrase_ref(first->who.hostname);
    window->answer = phrase_ref(first->answer);
    window->details = phrase_ref(first->details.text);
    window->bucket = (uint32_t)(spot->bucket - tally->buckets);
    window->chain = *spot->bucket;
    *spot->bucket = place;
    window->older = tally->newest;
    *(tally->newest == 0 ? &tally->oldest : &at(tally, tally->newest)->newer) = place;
    tally->newest = place;
    tally->windows++;
}

/* --- counting --- */

static void count_up(_Atomic uint64_t *counter) {
    if (counter != NULL) /* which only this thread writes */
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

static bool same_query(struct window *window, const struct record *record) {
    return window->qtype == record->qtype && window->protocol == record->protocol && window->profile == record->profile &&
           window->generation == snapshot_generation(record->snapshot) && window->qname_length == record->qname_length &&
           window->via_length == record->via_length &&
           memcmp(names_of(window), record->names, (size_t)record->qname_length + record->via_length) == 0;
}

/* Another policy may say other things of the rule. */
static void renew_details(struct tally *tally, struct window *window, const struct record *record) {
    struct details details;
    if ((window->generation == snapshot_generation(record->snapshot) && window->profile == record->profile) ||
        !cards_details(tally->cards, record, &details))
        return;
    phrase_unref(window->details);
    window->details = details.text;
    window->family_hits = details.family_hits;
}

/* Counts a repeat, and notes the last query of the window; false: no memory for its names. */
static bool note_query(struct tally *tally, struct window *window, const struct record *record) {
    bool late = window->count > 0 && record->ts_us < window->last_ts_us; /* another worker's ring was read first */
    if (!late && !same_query(window, record)) {
        if (!set_names(window, record))
            return false;
        renew_details(tally, window, record);
        set_query(window, record);
        phrase_unref(window->answer);
        window->answer = cards_answer(tally->cards, record);
        window->like_first = false;
    }
    if (window->count++ == 0)
        window->first_ts_us = record->ts_us;
    if (!late)
        window->last_ts_us = record->ts_us;
    count_up(window->family_hits);
    queue_put(&tally->dirty, (place_of(tally, window) - 1) / TALLY_CHUNK);
    return true;
}

/* Is it still the machine that opened the window? A hostname that became known is taken along. */
static bool same_machine(struct tally *tally, struct window *window, const struct record *record) {
    uint32_t generation = identities_generation(tally->identities);
    if (generation == window->identity_generation)
        return true;
    struct identity who;
    identities_find(tally->identities, record, &who);
    if (who.has_mac != window->has_mac || (who.has_mac && memcmp(who.mac, window->mac, sizeof who.mac) != 0))
        return false;
    window->identity_generation = generation;
    window->like_first = window->like_first && who.hostname == window->hostname;
    phrase_ref(who.hostname);
    phrase_unref(window->hostname);
    window->hostname = who.hostname;
    return true;
}

/* False: there was no memory to tell of it, or the snapshot is damaged. */
static bool count_hit(struct tally *tally, const struct record *record, const struct spot *spot, uint64_t now_ms) {
    struct window *window = find(tally, record, spot);
    if (window != NULL && (window->opened_ms + tally->repeat_ms <= now_ms || !same_machine(tally, window, record))) {
        close_window(tally, window);
        window = NULL;
    }
    count_up(spot->card->zone_hits);
    if (window != NULL && note_query(tally, window, record))
        return true;
    struct first first = {.row = 0};
    if (!cards_details(tally->cards, record, &first.details))
        return false;
    count_up(first.details.family_hits);
    identities_find(tally->identities, record, &first.who);
    first.answer = cards_answer(tally->cards, record);
    tell_first(tally, record, spot, &first);
    if (window == NULL && tally->repeat_ms > 0)
        open_window(tally, record, spot, &first, now_ms);
    phrase_unref(first.answer);
    phrase_unref(first.details.text);
    return true;
}

/* What a hit needs lies all over memory, one place leading to the next: asked for step by step for the whole group, it comes while
 * the others are asked for. */
size_t tally_hits(struct tally *tally, const struct record *const records[], size_t count, uint64_t now_ms) {
    struct spot spots[TALLY_GROUP];
    bool fresh[TALLY_GROUP];
    size_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        fresh[i] = find_spot(tally, records[i], &spots[i]);
        if (fresh[i])
            __builtin_prefetch(spots[i].bucket);
    }
    for (size_t i = 0; i < count; i++) {
        const char *window = fresh[i] ? (const char *)at(tally, *spots[i].bucket) : NULL;
        if (window == NULL)
            continue;
        __builtin_prefetch(window, 1);
        __builtin_prefetch(window + WINDOW_LINE, 1);
    }
    for (size_t i = 0; i < count; i++) {
        fresh[i] = fresh[i] && find(tally, records[i], &spots[i]) == NULL;
        if (fresh[i])
            snapshot_notes_prefetch(records[i]->snapshot, records[i]->rule, 0);
    }
    for (size_t i = 0; i < count; i++)
        if (fresh[i])
            snapshot_notes_prefetch(records[i]->snapshot, records[i]->rule, 1);
    for (size_t i = 0; i < count; i++) {
        lost += spots[i].bucket == NULL || !count_hit(tally, records[i], &spots[i], now_ms);
        phrase_unref(spots[i].prefix);
    }
    return lost;
}
