/* hits/tally.c: counts repeats of a client on a rule within a window of time.
 *
 * Windows lie in one array, taken in the order of opening, so those that close together lie together. The array is never touched
 * before it is used. A chunk of it is told anew each second if one of its windows had a repeat, or when one closed whose repeats
 * had been told. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hits/tally.h"

enum {
    NAMES_INSIDE = 48, /* octets of names that a window holds itself; longer ones are allocated */
    WINDOW_LINE = 64   /* octets of a line of memory */
};

/* In lines of memory: the first two are all that a repeat touches. */
struct window {
    struct card *card; /* NULL: this place is free */
    struct ip client;
    uint8_t mac[6];               /* of whoever is behind the client, if has_mac */
    bool has_mac, edns_mac;       /* edns_mac: the client said its MAC itself: it is a part of the key */
    uint32_t chain;               /* the next in its bucket; here and below: where in the array, plus 1; 0 none */
    uint32_t identity_generation; /* when it was looked up who is behind the client */
    uint64_t opened_ms;
    uint32_t generation; /* of the last query's snapshot; and so on */
    uint32_t spec;
    uint16_t qtype;
    uint8_t protocol, action;
    uint8_t qname_length, via_length;
    bool told;       /* its repeats as PROGRESS */
    bool like_first; /* the last query is the first one again */

    uint64_t count;      /* repeats since the first */
    uint64_t last_ts_us; /* of the last query */
    union {              /* qname, then via */
        uint8_t inside[NAMES_INSIDE];
        uint8_t *outside;
    } names;

    uint64_t first_ts_us; /* of the first repeat */
    int64_t row;
    struct phrase *hostname;
    struct phrase *answer;
    uint32_t older, newer; /* in order of opening, which is the order of closing; newer: of free places, the next */
    uint8_t unused[24];
};
_Static_assert(offsetof(struct window, count) == WINDOW_LINE && offsetof(struct window, first_ts_us) == 2 * WINDOW_LINE &&
                   sizeof(struct window) == 3 * WINDOW_LINE,
               "whole lines");

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
    struct window *array; /* aligned, within `room` */
    void *room;
    uint32_t oldest, newest;
    struct queue dirty, closed;
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
    tally->buckets = calloc(buckets, sizeof *tally->buckets);
    tally->room = calloc(limit + 1, sizeof *tally->array);
    tally->array = (void *)(((uintptr_t)tally->room + WINDOW_LINE - 1) & ~(uintptr_t)(WINDOW_LINE - 1));
    if (tally->buckets == NULL || tally->room == NULL || !queue_new(&tally->dirty, chunks) || !queue_new(&tally->closed, chunks) ||
        getrandom(tally->seed, sizeof tally->seed, 0) != sizeof tally->seed) {
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

static uint32_t *bucket_of(const struct tally *tally, const struct ip *client, const uint8_t mac[6], const struct card *card) {
    uint64_t high, low, hardware = 0;
    memcpy(&high, client->bytes, 8);
    memcpy(&low, client->bytes + 8, 8);
    if (mac != NULL)
        memcpy(&hardware, mac, 6);
    uint64_t hash = mix(high ^ tally->seed[0], low ^ tally->seed[1]);
    hash = mix(hash ^ (uintptr_t)card, hardware ^ 0x9e3779b97f4a7c15u ^ tally->seed[0]);
    return &tally->buckets[(hash ^ hash >> 32) & tally->bucket_mask];
}

static uint32_t *bucket_of_record(const struct tally *tally, const struct record *record, const struct card *card) {
    return bucket_of(tally, &record->client, record->has_mac ? record->mac : NULL, card);
}

static bool same_client(const struct window *window, const struct record *record) {
    if (!ip_equal(&window->client, &record->client) || window->edns_mac != (record->has_mac != 0))
        return false;
    return !window->edns_mac || memcmp(window->mac, record->mac, sizeof record->mac) == 0;
}

static struct window *find(const struct tally *tally, const struct record *record, const struct card *card) {
    struct window *window = at(tally, *bucket_of_record(tally, record, card));
    while (window != NULL && !(window->card == card && same_client(window, record)))
        window = at(tally, window->chain);
    return window;
}

void tally_prefetch(const struct tally *tally, const struct record *record, const struct card *card, unsigned step) {
    const uint32_t *bucket = bucket_of_record(tally, record, card);
    if (step == 0) {
        __builtin_prefetch(bucket);
        return;
    }
    const char *window = (const char *)(*bucket == 0 ? &tally->array[tally->used % tally->limit] : at(tally, *bucket));
    __builtin_prefetch(window, 1);
    __builtin_prefetch(window + WINDOW_LINE, 1);
}

/* --- telling --- */

static uint8_t *names_of(struct window *window) {
    size_t length = (size_t)window->qname_length + window->via_length;
    return length > NAMES_INSIDE ? window->names.outside : window->names.inside;
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
                      .answer = window->answer,
                      .count = window->count,
                      .like_first = window->like_first};
    memcpy(hit.who.mac, window->mac, sizeof hit.who.mac);
    tally->tell(tally->context, kind, &hit, &window->row);
}

static int64_t tell_one(struct tally *tally, const struct record *record, struct card *card, const struct identity *who,
                        struct phrase *answer) {
    struct hit hit = {.ts_us = record->ts_us,
                      .first_ts_us = record->ts_us,
                      .client = record->client,
                      .protocol = (enum protocol)record->protocol,
                      .who = *who,
                      .qname = record->names,
                      .via = record->via_length > 0 ? record->names + record->qname_length : NULL,
                      .qtype = record->qtype,
                      .card = card,
                      .answer = answer,
                      .count = 1};
    int64_t row = 0;
    tally->tell(tally->context, TALLY_FIRST, &hit, &row);
    return row;
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

static void release(struct tally *tally, struct window *window) {
    cards_unref(tally->cards, window->card);
    phrase_unref(window->hostname);
    phrase_unref(window->answer);
    if ((size_t)window->qname_length + window->via_length > NAMES_INSIDE)
        free(window->names.outside);
    window->card = NULL;
}

/* Takes a window out of the tables and tells what it counted. */
static void close_window(struct tally *tally, struct window *window) {
    uint32_t place = place_of(tally, window);
    uint32_t *link = bucket_of(tally, &window->client, window->edns_mac ? window->mac : NULL, window->card);
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
    release(tally, window);
    window->newer = 0;
    *(tally->free_last == 0 ? &tally->free_first : &at(tally, tally->free_last)->newer) = place;
    tally->free_last = place;
}

void tally_flush(struct tally *tally) {
    while (tally->oldest != 0)
        close_window(tally, at(tally, tally->oldest));
}

void tally_free(struct tally *tally) {
    if (tally == NULL)
        return;
    for (size_t i = 0; i < tally->used; i++)
        if (tally->array[i].card != NULL)
            release(tally, &tally->array[i]);
    free(tally->room);
    free(tally->buckets);
    free(tally->dirty.list);
    free(tally->dirty.in);
    free(tally->closed.list);
    free(tally->closed.in);
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
        close_window(tally, at(tally, tally->oldest));
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
    window->qtype = record->qtype;
    window->protocol = record->protocol;
    window->action = record->action;
    window->spec = record->spec;
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

static void open_window(struct tally *tally, const struct record *record, struct card *card, const struct identity *who,
                        struct phrase *answer, int64_t row, uint64_t now_ms) {
    uint32_t place = take_place(tally);
    if (place == 0)
        return; /* the next hit is told by itself, too */
    struct window *window = at(tally, place);
    *window = (struct window){.card = card_ref(card),
                              .client = record->client,
                              .has_mac = who->has_mac,
                              .edns_mac = record->has_mac != 0,
                              .opened_ms = now_ms,
                              .identity_generation = identities_generation(tally->identities),
                              .row = row,
                              .hostname = phrase_ref(who->hostname),
                              .answer = phrase_ref(answer)};
    memcpy(window->mac, who->mac, sizeof window->mac);
    window->like_first = set_names(window, record);
    set_query(window, record);
    uint32_t *bucket = bucket_of_record(tally, record, card);
    window->chain = *bucket;
    *bucket = place;
    window->older = tally->newest;
    *(tally->newest == 0 ? &tally->oldest : &at(tally, tally->newest)->newer) = place;
    tally->newest = place;
    tally->windows++;
}

/* --- counting --- */

static bool same_query(struct window *window, const struct record *record) {
    return window->qtype == record->qtype && window->protocol == record->protocol && window->action == record->action &&
           window->spec == record->spec && window->generation == snapshot_generation(record->snapshot) &&
           window->qname_length == record->qname_length && window->via_length == record->via_length &&
           memcmp(names_of(window), record->names, (size_t)record->qname_length + record->via_length) == 0;
}

/* Counts a repeat, and notes the last query of the window; false: no memory for its names. */
static bool note_query(struct tally *tally, struct window *window, const struct record *record) {
    bool late = window->count > 0 && record->ts_us < window->last_ts_us; /* another worker's ring was read first */
    if (!late && !same_query(window, record)) {
        if (!set_names(window, record))
            return false;
        set_query(window, record);
        phrase_unref(window->answer);
        window->answer = cards_answer(tally->cards, record);
        window->like_first = false;
    }
    if (window->count++ == 0)
        window->first_ts_us = record->ts_us;
    if (!late)
        window->last_ts_us = record->ts_us;
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

void tally_hit(struct tally *tally, const struct record *record, struct card *card, uint64_t now_ms) {
    struct window *window = tally->repeat_ms == 0 ? NULL : find(tally, record, card);
    if (window != NULL && (window->opened_ms + tally->repeat_ms <= now_ms || !same_machine(tally, window, record))) {
        close_window(tally, window);
        window = NULL;
    }
    if (window != NULL && note_query(tally, window, record))
        return;
    struct identity who;
    identities_find(tally->identities, record, &who);
    struct phrase *answer = cards_answer(tally->cards, record);
    int64_t row = tell_one(tally, record, card, &who, answer);
    if (window == NULL && tally->repeat_ms > 0)
        open_window(tally, record, card, &who, answer, row, now_ms);
    phrase_unref(answer);
}
