/* hits/ledger_batch.c: many entries of the ledger as one row's octets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hits/ledger_batch.h"

enum {
    NUMBER_MAX = 10,       /* octets of a number */
    WHO_ADDRESS = 16,      /* octets */
    WHO_MAX = 22,          /* with the MAC */
    ENTRY_NUMBERS = 24,    /* at most, the strings' own included */
    BATCH_STRINGS = 512,   /* room for strings at first, a power of two */
    BATCH_OCTETS = 1 << 16 /* room at first */
};

/* A string that is there; its number is its place in the list, plus 1. */
struct string {
    uint32_t hash;
    uint32_t offset, length;
};

/* Which string of an entry: most are those of the entry before. */
enum field { WHO, QNAME, FRONT, RULE, BACK, DETAILS, HOSTNAME, ANSWER, VIA, FIELDS };

struct batch {
    uint8_t *octets;
    size_t length, room;
    struct string *strings;
    uint32_t string_count, string_room;
    uint32_t *index; /* numbers by hash, 0 none: twice as many places as there is room, a power of two */
    uint32_t entries;
    uint64_t base_us, last_us;       /* the first entry's time; the last one's */
    uint64_t earliest_us, latest_us; /* of all */
    uint32_t last[FIELDS];           /* numbers; 0: none yet */
    int64_t repeated;                /* the last id */
};

static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const uint8_t *octets, size_t length) {
    uint64_t word = 0;
    memcpy(&word, octets, length);
    return word;
}

/* Good enough to find strings and to notice damage; no defence against who can write the file anyway. */
uint64_t batch_check(const void *octets, size_t length) {
    const uint8_t *at = octets;
    uint64_t hash = 0x9e3779b97f4a7c15u ^ length;
    for (; length >= 8; at += 8, length -= 8)
        hash = mix(hash ^ load(at, 8), 0xd6e8feb86659fd93u);
    return mix(hash ^ load(at, length) ^ 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu);
}

static void put64(uint8_t *out, uint64_t value) {
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get64(const uint8_t *in) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

/* --- writing --- */

/* Makes room for so many strings, and finds the places of those that are there. */
static bool index_strings(struct batch *batch, uint32_t room) {
    struct string *strings = realloc(batch->strings, room * sizeof *strings);
    if (strings != NULL)
        batch->strings = strings;
    uint32_t *index = strings == NULL ? NULL : calloc((size_t)room * 2, sizeof *index);
    if (index == NULL)
        return false;
    free(batch->index);
    batch->index = index;
    batch->string_room = room;
    for (uint32_t i = 0; i < batch->string_count; i++) {
        uint32_t at = strings[i].hash & (room * 2 - 1);
        while (index[at] != 0)
            at = (at + 1) & (room * 2 - 1);
        index[at] = i + 1;
    }
    return true;
}

struct batch *batch_new(void) {
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->octets = malloc(BATCH_OCTETS);
    if (batch->octets == NULL || !index_strings(batch, BATCH_STRINGS)) {
        batch_free(batch);
        return NULL;
    }
    batch->room = BATCH_OCTETS;
    batch_clear(batch);
    return batch;
}

void batch_free(struct batch *batch) {
    if (batch == NULL)
        return;
    free(batch->octets);
    free(batch->strings);
    free(batch->index);
    free(batch);
}

void batch_clear(struct batch *batch) {
    if (batch->string_count > 0)
        memset(batch->index, 0, (size_t)batch->string_room * 2 * sizeof *batch->index);
    memset(batch->last, 0, sizeof batch->last);
    batch->length = LEDGER_BATCH_HEAD;
    batch->string_count = batch->entries = 0;
    batch->repeated = 0;
    batch->latest_us = 0;
    batch->earliest_us = UINT64_MAX;
}

static bool same_string(const struct batch *batch, uint32_t number, const char *text, uint32_t length) {
    const struct string *string = &batch->strings[number - 1];
    return string->length == length && memcmp(batch->octets + string->offset, text, length) == 0;
}

/* The place in the index of a string's number, or where it is to be put. */
static uint32_t *find_place(const struct batch *batch, uint32_t hash, const char *text, uint32_t length) {
    uint32_t mask = batch->string_room * 2 - 1;
    for (uint32_t at = hash & mask;; at = (at + 1) & mask) {
        uint32_t number = batch->index[at];
        if (number == 0 || (batch->strings[number - 1].hash == hash && same_string(batch, number, text, length)))
            return &batch->index[at];
    }
}

static void put_number(struct batch *batch, uint64_t number) {
    uint8_t *at = batch->octets + batch->length;
    for (; number >= 0x80; number >>= 7)
        *at++ = (uint8_t)(number | 0x80);
    *at++ = (uint8_t)number;
    batch->length = (size_t)(at - batch->octets);
}

static void put_signed(struct batch *batch, int64_t number) {
    put_number(batch, (uint64_t)number << 1 ^ (uint64_t)(number >> 63));
}

static void put_string(struct batch *batch, enum field field, struct piece piece) {
    if (piece.text == NULL)
        piece.text = "";
    uint32_t *last = &batch->last[field];
    if (*last != 0 && same_string(batch, *last, piece.text, piece.length)) {
        put_number(batch, *last);
        return;
    }
    uint32_t hash = (uint32_t)batch_check(piece.text, piece.length), *place = find_place(batch, hash, piece.text, piece.length);
    if (*place != 0) {
        *last = *place;
        put_number(batch, *place);
        return;
    }
    put_number(batch, 0);
    put_number(batch, piece.length);
    batch->strings[batch->string_count++] = (struct string){hash, (uint32_t)batch->length, piece.length};
    *last = *place = batch->string_count;
    memcpy(batch->octets + batch->length, piece.text, piece.length);
    batch->length += piece.length;
}

/* Room for an entry whatever it holds. */
static bool make_room(struct batch *batch, const struct entry *entry) {
    size_t needed = batch->length + ENTRY_NUMBERS * NUMBER_MAX + WHO_MAX + LEDGER_BATCH_TAIL + entry->hostname.length +
                    entry->qname.length + entry->via.length + entry->front.length + entry->rule.length + entry->back.length +
                    entry->details.length + entry->answer.length;
    if (needed > UINT32_MAX / 2 ||
        (batch->string_count + FIELDS > batch->string_room && !index_strings(batch, batch->string_room * 2)))
        return false;
    if (needed <= batch->room)
        return true;
    uint8_t *octets = realloc(batch->octets, needed * 2);
    if (octets == NULL)
        return false;
    batch->octets = octets;
    batch->room = needed * 2;
    return true;
}

static uint8_t flags_of(const struct entry *entry) {
    unsigned flags = (entry->repeats != 0 ? ENTRY_REPEATS : 0) | (entry->count != 1 ? ENTRY_COUNT : 0);
    if (entry->gone)
        return ENTRY_GONE;
    if (entry->repeats == 0)
        flags |= (entry->hostname.text != NULL ? ENTRY_HOSTNAME : 0u) | (entry->answer.text != NULL ? ENTRY_ANSWER : 0u) |
                 (entry->via.text != NULL ? ENTRY_VIA : 0u) | (unsigned)entry->protocol << ENTRY_PROTOCOL_SHIFT;
    return (uint8_t)flags;
}

static void put_whole(struct batch *batch, const struct entry *entry) {
    uint8_t who[WHO_MAX];
    memcpy(who, entry->client.bytes, WHO_ADDRESS);
    memcpy(who + WHO_ADDRESS, entry->mac, sizeof entry->mac);
    put_string(batch, WHO, (struct piece){(const char *)who, entry->has_mac ? WHO_MAX : WHO_ADDRESS});
    put_number(batch, entry->qtype);
    put_string(batch, QNAME, entry->qname);
    put_string(batch, FRONT, entry->front);
    put_string(batch, RULE, entry->rule);
    put_string(batch, BACK, entry->back);
    put_string(batch, DETAILS, entry->details);
    if (entry->hostname.text != NULL)
        put_string(batch, HOSTNAME, entry->hostname);
    if (entry->answer.text != NULL)
        put_string(batch, ANSWER, entry->answer);
    if (entry->via.text != NULL)
        put_string(batch, VIA, entry->via);
}

bool batch_add(struct batch *batch, const struct entry *entry) {
    if (!make_room(batch, entry))
        return false;
    uint8_t flags = flags_of(entry);
    if (batch->entries++ == 0)
        batch->base_us = batch->last_us = entry->gone ? 0 : entry->ts_us;
    batch->octets[batch->length++] = flags;
    if (flags == ENTRY_GONE)
        return true;
    put_signed(batch, (int64_t)(entry->ts_us - batch->last_us));
    batch->last_us = entry->ts_us;
    batch->earliest_us = entry->ts_us < batch->earliest_us ? entry->ts_us : batch->earliest_us;
    batch->latest_us = entry->ts_us > batch->latest_us ? entry->ts_us : batch->latest_us;
    if ((flags & ENTRY_COUNT) != 0)
        put_number(batch, entry->count);
    if (entry->repeats == 0) {
        put_whole(batch, entry);
    } else {
        put_signed(batch, entry->repeats - batch->repeated);
        batch->repeated = entry->repeats;
    }
    return true;
}

uint32_t batch_entries(const struct batch *batch) {
    return batch->entries;
}

void batch_span(const struct batch *batch, uint64_t *first_us, uint64_t *last_us) {
    *first_us = batch->earliest_us;
    *last_us = batch->latest_us;
}

struct piece batch_octets(struct batch *batch) {
    batch->octets[0] = LEDGER_BATCH_VERSION;
    put64(batch->octets + 1, batch->base_us);
    put64(batch->octets + batch->length, batch_check(batch->octets, batch->length));
    return (struct piece){(const char *)batch->octets, (uint32_t)(batch->length + LEDGER_BATCH_TAIL)};
}

/* --- reading --- */

struct batch_reader {
    const uint8_t *at, *end;
    struct piece *strings;
    size_t count, room;
    uint64_t last_us;
    int64_t repeated;
    int error; /* sticky: 0, -EBADMSG, -ENOMEM */
};

struct batch_reader *batch_reader_new(void) {
    return calloc(1, sizeof(struct batch_reader));
}

void batch_reader_free(struct batch_reader *reader) {
    if (reader != NULL)
        free(reader->strings);
    free(reader);
}

int batch_open(struct batch_reader *reader, const void *octets, size_t length) {
    const uint8_t *begin = octets;
    reader->at = reader->end = NULL;
    reader->count = 0;
    reader->repeated = 0;
    reader->error = -EBADMSG;
    if (octets == NULL || length < LEDGER_BATCH_HEAD + LEDGER_BATCH_TAIL || begin[0] != LEDGER_BATCH_VERSION ||
        get64(begin + length - LEDGER_BATCH_TAIL) != batch_check(octets, length - LEDGER_BATCH_TAIL))
        return -EBADMSG;
    reader->last_us = get64(begin + 1);
    reader->at = begin + LEDGER_BATCH_HEAD;
    reader->end = begin + length - LEDGER_BATCH_TAIL;
    reader->error = 0;
    return 0;
}

static uint64_t get_number(struct batch_reader *reader) {
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t octet = *reader->at++;
        number |= (uint64_t)(octet & 0x7f) << shift;
        if (octet < 0x80)
            return number;
    }
    reader->error = reader->error != 0 ? reader->error : -EBADMSG;
    return 0;
}

static uint64_t get_signed(struct batch_reader *reader) {
    uint64_t folded = get_number(reader);
    return folded >> 1 ^ (0 - (folded & 1));
}

static bool keep_string(struct batch_reader *reader, struct piece piece) {
    if (reader->count == reader->room) {
        size_t room = reader->room == 0 ? 256 : reader->room * 2;
        struct piece *strings = realloc(reader->strings, room * sizeof *strings);
        if (strings == NULL) {
            reader->error = -ENOMEM;
            return false;
        }
        reader->strings = strings;
        reader->room = room;
    }
    reader->strings[reader->count++] = piece;
    return true;
}

static struct piece get_string(struct batch_reader *reader) {
    uint64_t number = get_number(reader), length = number == 0 ? get_number(reader) : 0;
    struct piece piece = {NULL, 0};
    if (number > reader->count || length > (uint64_t)(reader->end - reader->at))
        reader->error = reader->error != 0 ? reader->error : -EBADMSG;
    if (reader->error != 0)
        return piece;
    if (number > 0)
        return reader->strings[number - 1];
    piece = (struct piece){(const char *)reader->at, (uint32_t)length};
    reader->at += length;
    return keep_string(reader, piece) ? piece : (struct piece){NULL, 0};
}

/* A wire name: labels up to the root, and not an octet more. */
static struct piece get_name(struct batch_reader *reader) {
    struct piece name = get_string(reader);
    const uint8_t *wire = (const uint8_t *)name.text;
    size_t at = 0;
    while (wire != NULL && at < name.length && wire[at] != 0 && wire[at] < 64)
        at += (size_t)wire[at] + 1;
    if (wire == NULL || name.length > NAME_WIRE_MAX || at + 1 != name.length || wire[at] != 0)
        reader->error = reader->error != 0 ? reader->error : -EBADMSG;
    return name;
}

static void get_whole(struct batch_reader *reader, uint8_t flags, struct entry *entry) {
    struct piece who = get_string(reader);
    if (who.length == WHO_ADDRESS || who.length == WHO_MAX) {
        memcpy(entry->client.bytes, who.text, WHO_ADDRESS);
        entry->has_mac = who.length == WHO_MAX;
        if (entry->has_mac)
            memcpy(entry->mac, who.text + WHO_ADDRESS, sizeof entry->mac);
    } else {
        reader->error = reader->error != 0 ? reader->error : -EBADMSG;
    }
    entry->protocol = (enum protocol)(flags >> ENTRY_PROTOCOL_SHIFT);
    entry->qtype = (uint16_t)get_number(reader);
    entry->qname = get_name(reader);
    entry->front = get_string(reader);
    entry->rule = get_string(reader);
    entry->back = get_string(reader);
    entry->details = get_string(reader);
    if ((flags & ENTRY_HOSTNAME) != 0)
        entry->hostname = get_string(reader);
    if ((flags & ENTRY_ANSWER) != 0)
        entry->answer = get_string(reader);
    if ((flags & ENTRY_VIA) != 0)
        entry->via = get_name(reader);
}

int batch_next(struct batch_reader *reader, struct entry *entry) {
    *entry = (struct entry){.count = 1};
    if (reader->error != 0)
        return reader->error;
    if (reader->at == reader->end)
        return 0;
    uint8_t flags = *reader->at++;
    entry->gone = flags == ENTRY_GONE;
    if (entry->gone)
        return 1;
    reader->last_us += get_signed(reader);
    entry->ts_us = reader->last_us;
    if ((flags & ENTRY_COUNT) != 0)
        entry->count = get_number(reader);
    if ((flags & ENTRY_REPEATS) != 0) {
        reader->repeated = (int64_t)((uint64_t)reader->repeated + get_signed(reader));
        entry->repeats = reader->repeated;
        if (entry->repeats <= 0)
            reader->error = -EBADMSG;
    } else {
        get_whole(reader, flags, entry);
    }
    return reader->error == 0 ? 1 : reader->error;
}
