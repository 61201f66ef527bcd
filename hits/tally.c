/* hits/tally.c: counts repeats of a client on a rule within a window of time. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hits/tally.h"

struct window {
    struct window *chain;                    /* in its bucket */
    struct window *older, *newer;            /* in order of opening, which is the order of closing */
    struct window *next_dirty, **dirty_link; /* dirty_link NULL: not in that list */
    bool edns_mac;                           /* the client said its MAC itself: it is a part of the key */
    uint8_t protocol;
    uint8_t qname_length, via_length;
    uint16_t qtype;
    uint16_t names_capacity;
    uint32_t identity_generation; /* when `who` was looked up */
    struct ip client;
    struct identity who;
    struct card *card;
    struct phrase *answer;
    uint64_t opened_ms;
    uint64_t count;                   /* repeats since the first */
    uint64_t first_ts_us, last_ts_us; /* of the repeats */
    int64_t row;
    uint8_t *names; /* of the last query: qname, then via */
};

struct tally {
    struct cards *cards;
    struct identities *identities;
    tally_tell *tell;
    void *context;
    uint64_t repeat_ms;
    uint64_t seed[2]; /* random: clients must not be able to choose their bucket */
    size_t limit, windows;
    size_t bucket_mask;
    struct window **buckets;
    struct window *oldest, *newest;
    struct window *dirty;
};

struct tally *tally_new(struct cards *cards, struct identities *identities, size_t limit, tally_tell *tell, void *context) {
    struct tally *tally = calloc(1, sizeof *tally);
    if (tally == NULL)
        return NULL;
    size_t buckets = 64;
    while (buckets < limit)
        buckets *= 2;
    *tally = (struct tally){.cards = cards, .identities = identities, .tell = tell, .context = context, .limit = limit};
    tally->bucket_mask = buckets - 1;
    tally->buckets = calloc(buckets, sizeof *tally->buckets);
    if (tally->buckets == NULL || getrandom(tally->seed, sizeof tally->seed, 0) != sizeof tally->seed) {
        free(tally->buckets);
        free(tally);
        return NULL;
    }
    return tally;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct window **bucket_of(const struct tally *tally, const struct ip *client, const uint8_t mac[6],
                                 const struct card *card) {
    uint64_t high, low, hardware = 0;
    memcpy(&high, client->bytes, 8);
    memcpy(&low, client->bytes + 8, 8);
    if (mac != NULL)
        memcpy(&hardware, mac, 6);
    uint64_t hash = mix(high ^ tally->seed[0], low ^ tally->seed[1]);
    hash = mix(hash ^ (uintptr_t)card, hardware ^ 0x9e3779b97f4a7c15u ^ tally->seed[0]);
    return &tally->buckets[(hash ^ hash >> 32) & tally->bucket_mask];
}

static bool same_client(const struct window *window, const struct record *record) {
    if (!ip_equal(&window->client, &record->client) || window->edns_mac != (record->has_mac != 0))
        return false;
    return !window->edns_mac || memcmp(window->who.mac, record->mac, sizeof record->mac) == 0;
}

static struct window *find(const struct tally *tally, const struct record *record, const struct card *card) {
    struct window *window = *bucket_of(tally, &record->client, record->has_mac ? record->mac : NULL, card);
    while (window != NULL && !(window->card == card && same_client(window, record)))
        window = window->chain;
    return window;
}

static void tell_repeats(struct tally *tally, enum tally_kind kind, struct window *window) {
    struct hit hit = {.ts_us = window->last_ts_us,
                      .first_ts_us = window->first_ts_us,
                      .client = window->client,
                      .protocol = (enum protocol)window->protocol,
                      .who = window->who,
                      .qname = window->names,
                      .via = window->via_length > 0 ? window->names + window->qname_length : NULL,
                      .qtype = window->qtype,
                      .card = window->card,
                      .answer = window->answer,
                      .count = window->count};
    tally->tell(tally->context, kind, &hit, &window->row);
}

static void tell_one(struct tally *tally, const struct record *record, struct card *card, const struct identity *who,
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
}

static void free_window(struct tally *tally, struct window *window) {
    cards_unref(tally->cards, window->card);
    phrase_unref(window->who.hostname);
    phrase_unref(window->answer);
    free(window->names);
    free(window);
}

static void unmark_dirty(struct window *window) {
    if (window->dirty_link == NULL)
        return;
    *window->dirty_link = window->next_dirty;
    if (window->next_dirty != NULL)
        window->next_dirty->dirty_link = window->dirty_link;
    window->dirty_link = NULL;
}

static void mark_dirty(struct tally *tally, struct window *window) {
    if (window->dirty_link != NULL)
        return;
    window->next_dirty = tally->dirty;
    window->dirty_link = &tally->dirty;
    if (tally->dirty != NULL)
        tally->dirty->dirty_link = &window->next_dirty;
    tally->dirty = window;
}

/* Takes a window out of the tables and tells what it counted. */
static void close_window(struct tally *tally, struct window *window) {
    struct window **link = bucket_of(tally, &window->client, window->edns_mac ? window->who.mac : NULL, window->card);
    while (*link != window)
        link = &(*link)->chain;
    *link = window->chain;
    *(window->older == NULL ? &tally->oldest : &window->older->newer) = window->newer;
    *(window->newer == NULL ? &tally->newest : &window->newer->older) = window->older;
    unmark_dirty(window);
    tally->windows--;
    if (window->count > 0)
        tell_repeats(tally, TALLY_SUMMARY, window);
    free_window(tally, window);
}

void tally_flush(struct tally *tally) {
    while (tally->oldest != NULL)
        close_window(tally, tally->oldest);
}

void tally_free(struct tally *tally) {
    if (tally == NULL)
        return;
    while (tally->oldest != NULL) {
        struct window *window = tally->oldest;
        tally->oldest = window->newer;
        free_window(tally, window);
    }
    free(tally->buckets);
    free(tally);
}

void tally_repeat(struct tally *tally, uint32_t seconds) {
    uint64_t repeat_ms = (uint64_t)seconds * 1000;
    if (repeat_ms != tally->repeat_ms)
        tally_flush(tally);
    tally->repeat_ms = repeat_ms;
}

void tally_expire(struct tally *tally, uint64_t now_ms) {
    while (tally->oldest != NULL && tally->oldest->opened_ms + tally->repeat_ms <= now_ms)
        close_window(tally, tally->oldest);
}

uint64_t tally_due(const struct tally *tally) {
    return tally->oldest != NULL ? tally->oldest->opened_ms + tally->repeat_ms : 0;
}

bool tally_progress(struct tally *tally, size_t most) {
    while (tally->dirty != NULL && most-- > 0) {
        struct window *window = tally->dirty;
        unmark_dirty(window);
        tell_repeats(tally, TALLY_PROGRESS, window);
    }
    return tally->dirty != NULL;
}

size_t tally_windows(const struct tally *tally) {
    return tally->windows;
}

static void open_window(struct tally *tally, const struct record *record, struct card *card, const struct identity *who,
                        uint64_t now_ms) {
    struct window *window = tally->windows < tally->limit ? calloc(1, sizeof *window) : NULL;
    if (window == NULL)
        return; /* the next hit is told by itself, too */
    window->client = record->client;
    window->edns_mac = record->has_mac != 0;
    window->who = *who;
    phrase_ref(who->hostname);
    window->identity_generation = identities_generation(tally->identities);
    window->card = card_ref(card);
    window->opened_ms = now_ms;
    struct window **bucket = bucket_of(tally, &record->client, record->has_mac ? record->mac : NULL, card);
    window->chain = *bucket;
    *bucket = window;
    window->older = tally->newest;
    *(tally->newest == NULL ? &tally->oldest : &tally->newest->newer) = window;
    tally->newest = window;
    tally->windows++;
}

/* Notes the last query of a window; false: no memory for its names. */
static bool note_query(struct tally *tally, struct window *window, const struct record *record) {
    size_t length = (size_t)record->qname_length + record->via_length;
    if (window->count > 0 && record->ts_us < window->last_ts_us) { /* another worker's ring was read first */
        window->count++;
        mark_dirty(tally, window);
        return true;
    }
    if (length > window->names_capacity) {
        uint8_t *names = realloc(window->names, length);
        if (names == NULL)
            return false;
        window->names = names;
        window->names_capacity = (uint16_t)length;
    }
    memcpy(window->names, record->names, length);
    window->qname_length = record->qname_length;
    window->via_length = record->via_length;
    window->qtype = record->qtype;
    window->protocol = record->protocol;
    struct phrase *answer = cards_answer(tally->cards, record);
    phrase_unref(window->answer);
    window->answer = answer;
    if (window->count++ == 0)
        window->first_ts_us = record->ts_us;
    window->last_ts_us = record->ts_us;
    mark_dirty(tally, window);
    return true;
}

/* Is it still the machine that opened the window? A hostname that became known is taken along. */
static bool same_machine(struct tally *tally, struct window *window, const struct record *record) {
    uint32_t generation = identities_generation(tally->identities);
    if (generation == window->identity_generation)
        return true;
    struct identity who;
    identities_find(tally->identities, record, &who);
    if (who.has_mac != window->who.has_mac || (who.has_mac && memcmp(who.mac, window->who.mac, sizeof who.mac) != 0))
        return false;
    window->identity_generation = generation;
    phrase_ref(who.hostname);
    phrase_unref(window->who.hostname);
    window->who.hostname = who.hostname;
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
    tell_one(tally, record, card, &who, answer);
    phrase_unref(answer);
    if (window == NULL && tally->repeat_ms > 0)
        open_window(tally, record, card, &who, now_ms);
}
