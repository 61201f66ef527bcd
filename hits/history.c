/* hits/history.c: what clients asked for lately: the writing side. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/history.h"
#include "hits/history_format.h"

enum {
    FRAME_MAX_OCTETS = 65536, /* pending before a frame is written */
    SEGMENTS_SHARE = 8,       /* a segment is at most this part of max_size */
    SEGMENT_LEAST = 1 << 20,  /* octets */
    SEGMENT_MOST = 1 << 28,   /* likewise: what bounds the tables in memory, whatever max_size is */
    SEGMENT_NAMES = 16,       /* tries to find a free file name, a microsecond apart */
    TABLE_LEAST = 1024        /* slots */
};
#define HOUR_US ((uint64_t)3600 * 1000000)

/* Open addressing; a slot holds 0 (free) or a value that its owner can compare. Never more than half full. */
struct table {
    uint64_t *slots;
    size_t mask, used;
};

struct client {
    struct ip address;
    bool has_mac;
    uint8_t mac[6];
    struct phrase *hostname;
};

/* The segment being written: numbers given so far. */
struct segment {
    int fd;
    uint64_t begun_us, last_us;
    int64_t octets;
    struct text frame;
    struct text names; /* wire names, one behind another */
    uint32_t *name_at; /* offsets in it */
    size_t name_count, name_room;
    struct client *clients;
    size_t client_count, client_room;
    struct table name_table, client_table, pair_table;
    uint64_t pending; /* pairs in the frame */
};

struct history {
    char *folder;
    bool enabled;
    int64_t keep_us, max_octets;
    uint64_t seed, lost, tended_us;
    int error;
    struct segment segment; /* fd -1: none */
};

struct history *history_new(const char *folder) {
    struct history *history = calloc(1, sizeof *history);
    if (history == NULL)
        return NULL;
    history->segment.fd = -1;
    history->folder = strdup(folder);
    if (history->folder != NULL && getrandom(&history->seed, sizeof history->seed, 0) == sizeof history->seed)
        return history;
    free(history->folder);
    free(history);
    return NULL;
}

/* --- tables --- */

static uint64_t hash_octets(uint64_t seed, const uint8_t *octets, size_t length) {
    uint64_t hash = seed;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ octets[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

static uint64_t hash_pair(uint64_t seed, uint64_t pair) {
    pair = (pair ^ seed) * 0x9e3779b97f4a7c15u;
    return pair ^ pair >> 32;
}

/* Doubles the table; `hash` gives a stored value's hash. False: no memory, nothing changed. */
static bool grow(struct table *table, uint64_t (*hash)(const struct history *history, uint64_t value),
                 const struct history *history) {
    size_t slots = table->slots == NULL ? TABLE_LEAST : (table->mask + 1) * 2;
    uint64_t *fresh = calloc(slots, sizeof *fresh);
    if (fresh == NULL)
        return false;
    for (size_t i = 0; table->slots != NULL && i <= table->mask; i++) {
        if (table->slots[i] == 0)
            continue;
        size_t at = (size_t)hash(history, table->slots[i]) & (slots - 1);
        while (fresh[at] != 0)
            at = (at + 1) & (slots - 1);
        fresh[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = fresh;
    table->mask = slots - 1;
    return true;
}

static bool full(const struct table *table) {
    return table->slots == NULL || table->used * 2 > table->mask;
}

static const uint8_t *name_of(const struct segment *segment, size_t number, size_t *length) {
    size_t end = number + 1 < segment->name_count ? segment->name_at[number + 1] : segment->names.length;
    *length = end - segment->name_at[number];
    return (const uint8_t *)segment->names.data + segment->name_at[number];
}

static bool same_name(const struct segment *segment, size_t number, const uint8_t *wire, size_t length) {
    size_t its_length;
    const uint8_t *its = name_of(segment, number, &its_length);
    return its_length == length && memcmp(its, wire, length) == 0;
}

static uint64_t hash_name(const struct history *history, uint64_t value) {
    size_t length;
    const uint8_t *wire = name_of(&history->segment, (size_t)value - 1, &length);
    return hash_octets(history->seed, wire, length);
}

static uint64_t hash_client(const struct history *history, uint64_t value) {
    return hash_octets(history->seed, history->segment.clients[value - 1].address.bytes, 16);
}

static uint64_t hash_pair_value(const struct history *history, uint64_t value) {
    return hash_pair(history->seed, value);
}

/* --- the segment --- */

static void forget_segment(struct history *history) {
    struct segment *segment = &history->segment;
    if (segment->fd >= 0)
        close(segment->fd);
    for (size_t i = 0; i < segment->client_count; i++)
        phrase_unref(segment->clients[i].hostname);
    free(segment->clients);
    free(segment->name_at);
    free(segment->name_table.slots);
    free(segment->client_table.slots);
    free(segment->pair_table.slots);
    text_free(&segment->frame);
    text_free(&segment->names);
    *segment = (struct segment){.fd = -1};
}

static bool write_whole(int fd, const void *octets, size_t length) {
    ssize_t n = write(fd, octets, length);
    if (n == (ssize_t)length)
        return true;
    if (n >= 0)
        errno = ENOSPC;
    return false;
}

/* A segment that begins with the hour's first record, or with the first after a restart or after the last one was full. */
static bool begin_segment(struct history *history, uint64_t ts_us) {
    struct segment *segment = &history->segment;
    char path[4096];
    uint8_t head[HISTORY_HEAD];
    mkdir(history->folder, 0700);
    for (int tries = 0; tries < SEGMENT_NAMES && (tries == 0 || errno == EEXIST); tries++, ts_us++) {
        snprintf(path, sizeof path, "%s/%016" PRIx64 HISTORY_ENDING, history->folder, ts_us);
        segment->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
        if (segment->fd >= 0)
            break;
    }
    memcpy(head, HISTORY_MAGIC, 8);
    history_put64(head + 8, ts_us);
    if (segment->fd < 0 || !write_whole(segment->fd, head, sizeof head)) {
        history->error = -errno;
        forget_segment(history);
        return false;
    }
    segment->begun_us = segment->last_us = ts_us;
    segment->octets = sizeof head;
    return true;
}

void history_flush(struct history *history) {
    struct segment *segment = &history->segment;
    if (segment->fd < 0 || segment->frame.length <= HISTORY_FRAME_HEAD)
        return;
    uint8_t *frame = (uint8_t *)segment->frame.data;
    size_t payload = segment->frame.length - HISTORY_FRAME_HEAD;
    history_put32(frame, (uint32_t)payload);
    history_put32(frame + 4, history_check(frame + HISTORY_FRAME_HEAD, payload));
    if (segment->frame.failed || !write_whole(segment->fd, frame, segment->frame.length)) {
        /* Numbers given in this frame are known to nobody: a new segment begins. */
        history->error = segment->frame.failed ? -ENOMEM : -errno;
        history->lost += segment->pending;
        forget_segment(history);
        return;
    }
    segment->octets += (int64_t)segment->frame.length;
    segment->frame.length = 0;
    segment->pending = 0;
}

static void put_octet(struct text *frame, uint8_t octet) {
    text_put(frame, (const char *)&octet, 1);
}

static void put_varint(struct text *frame, uint64_t value) {
    while (value >= 0x80) {
        put_octet(frame, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    put_octet(frame, (uint8_t)value);
}

static void open_frame(struct segment *segment) {
    static const char head[HISTORY_FRAME_HEAD];
    if (segment->frame.length == 0)
        text_put(&segment->frame, head, sizeof head);
}

/* Room for one more in a growing array. */
static bool make_room(void **array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return true;
    size_t more = *room == 0 ? 256 : *room * 2;
    void *grown = realloc(*array, more * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

/* The name's number, given now if it has none; -1: no memory. */
static int64_t number_name(struct history *history, const uint8_t *wire, uint8_t length) {
    struct segment *segment = &history->segment;
    struct table *table = &segment->name_table;
    if (full(table) && !grow(table, hash_name, history))
        return -1;
    size_t at = (size_t)hash_octets(history->seed, wire, length) & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (same_name(segment, (size_t)table->slots[at] - 1, wire, length))
            return (int64_t)table->slots[at] - 1;
    if (!make_room((void **)&segment->name_at, segment->name_count, &segment->name_room, sizeof *segment->name_at))
        return -1;
    uint32_t offset = (uint32_t)segment->names.length;
    text_put(&segment->names, (const char *)wire, length);
    if (segment->names.failed)
        return -1;
    segment->name_at[segment->name_count++] = offset;
    table->slots[at] = segment->name_count;
    table->used++;
    put_octet(&segment->frame, HISTORY_NAME);
    put_octet(&segment->frame, length);
    text_put(&segment->frame, (const char *)wire, length);
    return (int64_t)segment->name_count - 1;
}

static bool same_client(const struct client *client, const struct ip *address, const struct identity *who) {
    return ip_equal(&client->address, address) && client->has_mac == who->has_mac && client->hostname == who->hostname &&
           (!who->has_mac || memcmp(client->mac, who->mac, sizeof who->mac) == 0);
}

static int64_t number_client(struct history *history, const struct ip *address, const struct identity *who) {
    struct segment *segment = &history->segment;
    struct table *table = &segment->client_table;
    if (full(table) && !grow(table, hash_client, history))
        return -1;
    size_t at = (size_t)hash_octets(history->seed, address->bytes, 16) & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (same_client(&segment->clients[table->slots[at] - 1], address, who))
            return (int64_t)table->slots[at] - 1;
    if (!make_room((void **)&segment->clients, segment->client_count, &segment->client_room, sizeof *segment->clients))
        return -1;
    struct client *client = &segment->clients[segment->client_count++];
    *client = (struct client){.address = *address, .has_mac = who->has_mac, .hostname = phrase_ref(who->hostname)};
    memcpy(client->mac, who->mac, sizeof client->mac);
    table->slots[at] = segment->client_count;
    table->used++;
    put_octet(&segment->frame, HISTORY_CLIENT);
    text_put(&segment->frame, (const char *)address->bytes, 16);
    put_octet(&segment->frame, who->has_mac ? HISTORY_WITH_MAC : 0);
    if (who->has_mac)
        text_put(&segment->frame, (const char *)who->mac, 6);
    size_t length = who->hostname == NULL ? 0 : who->hostname->length;
    put_varint(&segment->frame, length);
    if (length > 0)
        text_put(&segment->frame, who->hostname->text, length);
    return (int64_t)segment->client_count - 1;
}

/* Is the pair new in this segment? Then it is noted. 1, 0, or -1: no memory. */
static int note_pair(struct history *history, int64_t client, int64_t name) {
    struct table *table = &history->segment.pair_table;
    uint64_t pair = ((uint64_t)client << 32 | (uint64_t)name) + 1;
    if (full(table) && !grow(table, hash_pair_value, history))
        return -1;
    size_t at = (size_t)hash_pair(history->seed, pair) & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (table->slots[at] == pair)
            return 0;
    table->slots[at] = pair;
    table->used++;
    return 1;
}

static bool right_segment(struct history *history, uint64_t ts_us) {
    struct segment *segment = &history->segment;
    int64_t share = history->max_octets / SEGMENTS_SHARE;
    share = share < SEGMENT_LEAST ? SEGMENT_LEAST : share > SEGMENT_MOST ? SEGMENT_MOST : share;
    /* Workers' clocks differ by a batch, so a time from just before the segment belongs to it; a clock set back begins another. */
    bool other_time = ts_us / HOUR_US > segment->begun_us / HOUR_US || ts_us + HOUR_US < segment->begun_us;
    if (segment->fd >= 0 && (other_time || segment->octets > share)) {
        history_flush(history);
        forget_segment(history);
    }
    return segment->fd >= 0 || begin_segment(history, ts_us);
}

void history_asked(struct history *history, const struct record *record, const struct identity *who) {
    if (!history->enabled)
        return;
    if (!right_segment(history, record->ts_us)) {
        history->lost++;
        return;
    }
    struct segment *segment = &history->segment;
    open_frame(segment);
    int64_t name = number_name(history, record->names, record->qname_length);
    int64_t client = number_client(history, &record->client, who);
    int fresh = name < 0 || client < 0 ? -1 : note_pair(history, client, name);
    if (fresh < 0)
        history->lost++;
    if (fresh <= 0)
        return;
    int64_t step = (int64_t)(record->ts_us - segment->last_us);
    put_octet(&segment->frame, HISTORY_ASKED);
    put_varint(&segment->frame, (uint64_t)client);
    put_varint(&segment->frame, (uint64_t)name);
    put_varint(&segment->frame, (uint64_t)record->qtype << 2 | (record->protocol & 3u));
    put_varint(&segment->frame, (uint64_t)step << 1 ^ (uint64_t)(step >> 63));
    segment->last_us = record->ts_us;
    segment->pending++;
    if (segment->frame.length > FRAME_MAX_OCTETS)
        history_flush(history);
}

/* --- keeping within bounds --- */

/* Removes segments oldest first while they are too old, or all together too large. Returns how many. */
static size_t prune(struct history *history, uint64_t before_us, int64_t max_octets, bool all) {
    char(*names)[HISTORY_FILE_NAME];
    size_t count = history_list(history->folder, &names), removed = 0;
    int64_t total = 0;
    char path[4096];
    struct stat at;
    for (size_t i = count; i-- > 0;) {
        snprintf(path, sizeof path, "%s/%s", history->folder, names[i]);
        int64_t octets = stat(path, &at) == 0 ? at.st_size : 0;
        uint64_t begun = strtoull(names[i], NULL, 16);
        bool current = history->segment.fd >= 0 && begun == history->segment.begun_us;
        total += octets;
        if (all || (!current && (begun + HOUR_US < before_us || total > max_octets)))
            removed += unlink(path) == 0;
    }
    free(names);
    return removed;
}

void history_tend(struct history *history, uint64_t now_us) {
    enum { MINUTE_US = 60 * 1000000 };
    history_flush(history);
    if (!history->enabled || now_us - history->tended_us < MINUTE_US)
        return;
    history->tended_us = now_us;
    /* The segment that grows may take its whole share until this runs again. */
    int64_t room = history->max_octets - history->max_octets / SEGMENTS_SHARE;
    uint64_t keep = (uint64_t)history->keep_us;
    prune(history, now_us > keep ? now_us - keep : 0, room, false);
}

size_t history_configure(struct history *history, bool enabled, int64_t keep, int64_t max_octets) {
    history->keep_us = keep > INT64_MAX / 1000000 ? INT64_MAX : keep * 1000000;
    history->max_octets = max_octets;
    history->tended_us = 0;
    history->enabled = enabled;
    if (enabled)
        return 0;
    forget_segment(history);
    return prune(history, 0, 0, true);
}

bool history_enabled(const struct history *history) {
    return history->enabled;
}

void history_free(struct history *history) {
    if (history == NULL)
        return;
    history_flush(history);
    forget_segment(history);
    free(history->folder);
    free(history);
}

uint64_t history_lost(const struct history *history) {
    return history->lost;
}

int history_error(const struct history *history) {
    return history->error;
}
