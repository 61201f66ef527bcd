/* hits/history.c: what clients asked for lately: the writing side.
 *
 * A name that nobody asked for before costs one place in memory that isn't at hand: its slot in the table of names, which is
 * fetched while others are dealt with (`waiting`). Who asked for it first is noted beside it; the table of pairs holds those that
 * come after. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/history.h"
#include "hits/history_format.h"

enum {
    FRAME_MAX_OCTETS = 65536,                           /* pending before a frame is written */
    SEGMENTS_SHARE = 8,                                 /* a segment is at most this part of max_size */
    SEGMENT_LEAST = 1 << 20,                            /* octets */
    SEGMENT_MOST = 1 << 28,                             /* likewise: what bounds the tables in memory, whatever max_size is */
    SEGMENT_NAMES = 16,                                 /* tries to find a free file name, a microsecond apart */
    TABLE_LEAST = 1024,                                 /* slots */
    WAITING_MAX = 16,                                   /* names whose slots are being fetched */
    VARINT_MAX = 10,                                    /* octets */
    ENTRY_MAX = 2 + NAME_WIRE_MAX + 1 + 4 * VARINT_MAX, /* octets of a name and of a pair */
    NOBODY = UINT32_MAX
};
#define HOUR_US ((uint64_t)3600 * 1000000)

/* Open addressing, never more than half full. A slot is 0 (free), or in the table of pairs a pair, and elsewhere 32 bits of the
 * hash above a number + 1: neither growing nor telling strangers apart touches what the numbers stand for. */
struct table {
    uint64_t *slots;
    size_t mask, used;
};

struct named {
    uint32_t at;     /* offset in names */
    uint32_t client; /* who asked for it first, or NOBODY */
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
    struct named *named;
    size_t name_count, name_room;
    struct client *clients;
    size_t client_count, client_room;
    uint32_t last_client;
    struct table name_table, client_table, pair_table;
    uint64_t pending; /* pairs in the frame */
};

/* A client has asked for a name, in the segment being written. */
struct waiting {
    uint64_t ts_us;
    uint32_t hash; /* of the name */
    uint32_t client;
    uint32_t what; /* type * 4 + protocol */
    uint8_t length;
    uint8_t wire[NAME_WIRE_MAX];
};

struct history {
    char *folder;
    bool enabled;
    int64_t keep_us, max_octets;
    uint64_t seed, lost, tended_us;
    int error;
    struct segment segment; /* fd -1: none */
    unsigned waiting_count;
    struct waiting waiting[WAITING_MAX];
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

static uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Strangers choose names, but don't know the seed. */
static uint32_t hash_octets(uint64_t seed, const uint8_t *octets, size_t length) {
    uint64_t hash = seed ^ length, word;
    for (; length > sizeof word; length -= sizeof word, octets += sizeof word) {
        memcpy(&word, octets, sizeof word);
        hash = fold(hash ^ word, seed | 1);
    }
    word = 0;
    memcpy(&word, octets, length);
    return (uint32_t)fold(hash ^ word, seed | 1);
}

static uint64_t hash_pair(uint64_t seed, uint64_t pair) {
    pair = (pair ^ seed) * 0x9e3779b97f4a7c15u;
    return pair ^ pair >> 32;
}

static uint64_t slot_of(uint32_t hash, size_t number) {
    return (uint64_t)hash << 32 | (number + 1);
}

static size_t number_of(uint64_t slot) {
    return (size_t)(slot & UINT32_MAX) - 1;
}

static uint64_t hash_in_slot(const struct history *history, uint64_t slot) {
    return slot >> 32;
}

static uint64_t hash_of_pair(const struct history *history, uint64_t slot) {
    return hash_pair(history->seed, slot);
}

/* Zeroed slots. Large tables lie in huge pages where the kernel has them: to find the page of a slot that was picked at random
 * takes as long as to fetch the slot, and no prefetch hides it. */
static uint64_t *new_slots(size_t count) {
    enum { HUGE_PAGE = 2 << 20 };
    size_t octets = count * sizeof(uint64_t);
    if (octets < HUGE_PAGE)
        return calloc(count, sizeof(uint64_t));
    uint64_t *slots = aligned_alloc(HUGE_PAGE, octets);
    if (slots == NULL)
        return NULL;
    madvise(slots, octets, MADV_HUGEPAGE);
    return memset(slots, 0, octets);
}

/* Room for one more; `hash` gives that of a slot. False: no memory, nothing changed. */
static bool table_ready(struct table *table, uint64_t (*hash)(const struct history *history, uint64_t slot),
                        const struct history *history) {
    if (table->slots != NULL && table->used * 2 <= table->mask)
        return true;
    size_t slots = table->slots == NULL ? TABLE_LEAST : (table->mask + 1) * 2;
    uint64_t *fresh = new_slots(slots);
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

static bool same_name(const struct segment *segment, size_t number, const uint8_t *wire, size_t length) {
    size_t at = segment->named[number].at;
    size_t end = number + 1 < segment->name_count ? segment->named[number + 1].at : segment->names.length;
    return end - at == length && memcmp(segment->names.data + at, wire, length) == 0;
}

/* --- the segment --- */

static void forget_segment(struct history *history) {
    struct segment *segment = &history->segment;
    if (segment->fd >= 0)
        close(segment->fd);
    for (size_t i = 0; i < segment->client_count; i++)
        phrase_unref(segment->clients[i].hostname);
    free(segment->clients);
    free(segment->named);
    free(segment->name_table.slots);
    free(segment->client_table.slots);
    free(segment->pair_table.slots);
    text_free(&segment->frame);
    text_free(&segment->names);
    *segment = (struct segment){.fd = -1};
    history->waiting_count = 0; /* they know its clients' numbers */
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

static void note_waiting(struct history *history);

void history_flush(struct history *history) {
    struct segment *segment = &history->segment;
    note_waiting(history);
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

static uint8_t *put_varint(uint8_t *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
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

/* The name's number, given now (*given) if it has none; -1: no memory. */
static int64_t number_name(struct history *history, const struct waiting *asked, bool *given) {
    struct segment *segment = &history->segment;
    struct table *table = &segment->name_table;
    if (!table_ready(table, hash_in_slot, history))
        return -1;
    size_t at = asked->hash & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (table->slots[at] >> 32 == asked->hash && same_name(segment, number_of(table->slots[at]), asked->wire, asked->length))
            return (int64_t)number_of(table->slots[at]);
    if (!make_room((void **)&segment->named, segment->name_count, &segment->name_room, sizeof *segment->named))
        return -1;
    uint32_t offset = (uint32_t)segment->names.length;
    text_put(&segment->names, (const char *)asked->wire, asked->length);
    if (segment->names.failed)
        return -1;
    segment->named[segment->name_count] = (struct named){.at = offset, .client = NOBODY};
    table->slots[at] = slot_of(asked->hash, segment->name_count);
    table->used++;
    *given = true;
    return (int64_t)segment->name_count++;
}

static bool same_client(const struct client *client, const struct ip *address, const struct identity *who) {
    return ip_equal(&client->address, address) && client->has_mac == who->has_mac && client->hostname == who->hostname &&
           (!who->has_mac || memcmp(client->mac, who->mac, sizeof who->mac) == 0);
}

static void put_client(struct text *frame, const struct client *client) {
    const struct phrase *hostname = client->hostname;
    uint8_t head[1 + 16 + 1 + 6 + VARINT_MAX] = {HISTORY_CLIENT}, *end = head + 1;
    memcpy(end, client->address.bytes, 16);
    end += 16;
    *end++ = client->has_mac ? HISTORY_WITH_MAC : 0;
    if (client->has_mac) {
        memcpy(end, client->mac, 6);
        end += 6;
    }
    end = put_varint(end, hostname == NULL ? 0 : hostname->length);
    text_put(frame, (const char *)head, (size_t)(end - head));
    if (hostname != NULL)
        text_put(frame, hostname->text, hostname->length);
}

/* The client's number, given now if it has none; -1: no memory. */
static int64_t number_client(struct history *history, const struct ip *address, const struct identity *who) {
    struct segment *segment = &history->segment;
    struct table *table = &segment->client_table;
    if (segment->client_count > 0 && same_client(&segment->clients[segment->last_client], address, who))
        return segment->last_client; /* who asks, often asks again */
    if (!table_ready(table, hash_in_slot, history))
        return -1;
    uint32_t hash = hash_octets(history->seed, address->bytes, sizeof address->bytes);
    size_t at = hash & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask) {
        size_t number = number_of(table->slots[at]);
        if (table->slots[at] >> 32 == hash && same_client(&segment->clients[number], address, who)) {
            segment->last_client = (uint32_t)number;
            return (int64_t)number;
        }
    }
    if (!make_room((void **)&segment->clients, segment->client_count, &segment->client_room, sizeof *segment->clients))
        return -1;
    struct client *client = &segment->clients[segment->client_count];
    *client = (struct client){.address = *address, .has_mac = who->has_mac, .hostname = phrase_ref(who->hostname)};
    memcpy(client->mac, who->mac, sizeof client->mac);
    table->slots[at] = slot_of(hash, segment->client_count);
    table->used++;
    put_client(&segment->frame, client);
    segment->last_client = (uint32_t)segment->client_count;
    return (int64_t)segment->client_count++;
}

static int note_further(struct history *history, uint64_t pair) {
    struct table *table = &history->segment.pair_table;
    if (!table_ready(table, hash_of_pair, history))
        return -1;
    size_t at = (size_t)hash_pair(history->seed, pair) & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (table->slots[at] == pair)
            return 0;
    table->slots[at] = pair;
    table->used++;
    return 1;
}

/* Is the pair new in this segment? Then it is noted. 1, 0, or -1: no memory. */
static int note_pair(struct history *history, uint32_t client, size_t name) {
    struct named *named = &history->segment.named[name];
    bool first = named->client == NOBODY;
    if (!first && named->client != client)
        return note_further(history, (uint64_t)client << 32 | (name + 1));
    named->client = client;
    return first;
}

static int64_t segment_limit(const struct history *history) {
    int64_t share = history->max_octets / SEGMENTS_SHARE;
    return share < SEGMENT_LEAST ? SEGMENT_LEAST : share > SEGMENT_MOST ? SEGMENT_MOST : share;
}

static size_t prune(struct history *history, uint64_t before_us, bool all);

static bool right_segment(struct history *history, uint64_t ts_us) {
    struct segment *segment = &history->segment;
    /* Workers' clocks differ by a batch, so a time from just before the segment belongs to it; a clock set back begins another. */
    bool other_time = ts_us / HOUR_US > segment->begun_us / HOUR_US || ts_us + HOUR_US < segment->begun_us;
    if (segment->fd >= 0 && (other_time || segment->octets > segment_limit(history))) {
        history_flush(history);
        forget_segment(history);
        prune(history, 0, false); /* a flood of names may fill several in a minute */
    }
    return segment->fd >= 0 || begin_segment(history, ts_us);
}

/* Puts the pair into the frame, unless it is there already. */
static void note(struct history *history, const struct waiting *asked) {
    struct segment *segment = &history->segment;
    uint8_t entry[ENTRY_MAX], *end = entry;
    bool given = false;
    int64_t name = number_name(history, asked, &given);
    if (given) {
        *end++ = HISTORY_NAME;
        *end++ = asked->length;
        memcpy(end, asked->wire, asked->length);
        end += asked->length;
    }
    int fresh = name < 0 ? -1 : note_pair(history, asked->client, (size_t)name);
    if (fresh < 0)
        history->lost++;
    if (fresh > 0) {
        int64_t step = (int64_t)(asked->ts_us - segment->last_us);
        *end++ = HISTORY_ASKED;
        end = put_varint(end, asked->client);
        end = put_varint(end, (uint64_t)name);
        end = put_varint(end, asked->what);
        end = put_varint(end, (uint64_t)step << 1 ^ (uint64_t)(step >> 63));
        segment->last_us = asked->ts_us;
        segment->pending++;
    }
    text_put(&segment->frame, (const char *)entry, (size_t)(end - entry));
}

static void note_waiting(struct history *history) {
    for (unsigned i = 0; i < history->waiting_count; i++)
        note(history, &history->waiting[i]);
    history->waiting_count = 0;
}

void history_asked(struct history *history, const struct record *record, const struct identity *who) {
    if (!history->enabled)
        return;
    struct segment *segment = &history->segment;
    int64_t client = -1;
    if (right_segment(history, record->ts_us)) {
        open_frame(segment);
        client = number_client(history, &record->client, who);
    }
    if (client < 0) {
        history->lost++;
        return;
    }
    struct waiting *asked = &history->waiting[history->waiting_count++];
    asked->ts_us = record->ts_us;
    asked->hash = hash_octets(history->seed, record->names, record->qname_length);
    asked->client = (uint32_t)client;
    asked->what = (uint32_t)record->qtype << 2 | (record->protocol & 3u);
    asked->length = record->qname_length;
    memcpy(asked->wire, record->names, record->qname_length);
    if (segment->name_table.slots != NULL)
        __builtin_prefetch(&segment->name_table.slots[asked->hash & segment->name_table.mask], 1);
    if (history->waiting_count == WAITING_MAX)
        note_waiting(history);
    if (segment->frame.length > FRAME_MAX_OCTETS)
        history_flush(history);
}

/* --- keeping within bounds --- */

/* Removes segments oldest first while they are too old, or all together too large: the one that grows may take its whole share.
 * Returns how many. */
static size_t prune(struct history *history, uint64_t before_us, bool all) {
    int64_t max_octets = history->max_octets - history->max_octets / SEGMENTS_SHARE;
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
        total += current ? 0 : octets;
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
    uint64_t keep = (uint64_t)history->keep_us;
    prune(history, now_us > keep ? now_us - keep : 0, false);
}

size_t history_configure(struct history *history, bool enabled, int64_t keep, int64_t max_octets) {
    history->keep_us = keep > INT64_MAX / 1000000 ? INT64_MAX : keep * 1000000;
    history->max_octets = max_octets;
    history->tended_us = 0;
    history->enabled = enabled;
    if (enabled)
        return 0;
    forget_segment(history);
    return prune(history, 0, true);
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
