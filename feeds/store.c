/* feeds/store.c: see store.h. One reason to exist: knowing how an indicator lies in a file. */
#include "feeds/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_SIZE = 256 << 10, BLOCK_MAX = 64 << 20, RECORD_FAULT = 0xFF };

static const char magic[8] = "sdwstor2";

struct header {
    char magic[8];
    uint64_t rules, faults, ignored;
    uint64_t head_at; /* octets from the start; 0: no head. Blocks end here */
    uint64_t end;     /* size of the file */
    uint64_t reserved[2];
};
_Static_assert(sizeof(struct header) == 64, "the header is 64 octets");

struct block {
    uint32_t length;
    uint32_t zero;
    uint64_t checksum;
};

/* Optional parts of a record, in the order in which they follow. */
enum {
    HAS_TTL = 1 << 0,
    HAS_CONFIDENCE = 1 << 1,
    HAS_FAMILY = 1 << 2,
    HAS_FAMILY_ID = 1 << 3,
    HAS_REFERENCE = 1 << 4,
    HAS_THREAT_TYPE = 1 << 5,
    HAS_ID = 1 << 6,
    HAS_TARGET = 1 << 7,
    HAS_RECORDS = 1 << 8,
    HAS_FIRST = 1 << 9,
    HAS_LAST = 1 << 10,
    HAS_EXPIRES = 1 << 11,
    IS_COMPROMISED = 1 << 12,
    IS_NOT_TO_IDS = 1 << 13,
    IS_FROM_URL = 1 << 14,
    IS_ALLOW = 1 << 15,
    IS_REVOKED = 1 << 16,
    HAS_PATH = 1 << 17,
};

/* Line and time of the record before: only the difference is written. Both are 0 where a block begins. */
struct place {
    int64_t line, carried;
};

struct store_writer {
    int fd;
    char *path, *aside;
    uint8_t *buffer;
    size_t used, room;
    struct place last;
    uint64_t at; /* size of the file so far */
    struct header header;
    uint8_t *head;
    size_t head_length;
    uint64_t faults_kept;
    bool paths;
    int error; /* sticky, negative */
};

struct store_reader {
    int fd;
    uint64_t at;
    struct header header;
    uint8_t *buffer;
    size_t used, room, cursor;
    struct place last;
    uint8_t *head_text;
    struct format_head head;
    bool has_head;
};

static uint64_t checksum(const uint8_t *bytes, size_t length) {
    uint64_t hash = 0x9E3779B97F4A7C15u ^ length, word;
    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    for (; length > 0; bytes++, length--)
        hash = (hash ^ *bytes) * 0xD6E8FEB86659FD93u;
    return hash ^ (hash >> 29);
}

static int write_all(int fd, const void *data, size_t length) {
    const uint8_t *bytes = data;
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

static void writer_free(struct store_writer *writer) {
    if (writer->fd >= 0)
        close(writer->fd);
    free(writer->path);
    free(writer->aside);
    free(writer->buffer);
    free(writer->head);
    free(writer);
}

int store_create(struct store_writer **out, const char *path) {
    struct store_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return -ENOMEM;
    writer->fd = -1;
    writer->path = strdup(path);
    writer->room = BLOCK_SIZE;
    writer->buffer = malloc(writer->room);
    if (writer->path == NULL || writer->buffer == NULL || asprintf(&writer->aside, "%s.new", path) < 0) {
        writer_free(writer);
        return -ENOMEM;
    }
    unlink(writer->aside);
    writer->fd = open(writer->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = writer->fd < 0 ? -errno : write_all(writer->fd, &writer->header, sizeof writer->header);
    if (error != 0) {
        store_abandon(writer);
        return error;
    }
    writer->at = sizeof writer->header;
    *out = writer;
    return 0;
}

static void flush_block(struct store_writer *writer) {
    if (writer->used == 0 || writer->error != 0)
        return;
    struct block block = {.length = (uint32_t)writer->used, .checksum = checksum(writer->buffer, writer->used)};
    writer->error = write_all(writer->fd, &block, sizeof block);
    if (writer->error == 0)
        writer->error = write_all(writer->fd, writer->buffer, writer->used);
    writer->at += sizeof block + writer->used;
    writer->used = 0;
    writer->last = (struct place){0};
}

/* Makes room for a record of at most `need` octets in the present block, or begins the next. */
static uint8_t *reserve(struct store_writer *writer, size_t need) {
    if (writer->used > 0 && writer->used + need > BLOCK_SIZE)
        flush_block(writer);
    if (writer->error == 0 && need > BLOCK_MAX)
        writer->error = -E2BIG;
    if (writer->error == 0 && writer->used + need > writer->room) {
        uint8_t *larger = realloc(writer->buffer, need);
        if (larger == NULL) {
            writer->error = -ENOMEM;
        } else {
            writer->buffer = larger;
            writer->room = need;
        }
    }
    return writer->error != 0 ? NULL : writer->buffer + writer->used;
}

static uint8_t *put_number(uint8_t *to, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

/* `value` after *last; small differences in either direction are one octet. */
static uint8_t *put_step(uint8_t *to, int64_t value, int64_t *last) {
    uint64_t step = (uint64_t)value - (uint64_t)*last;
    *last = value;
    return put_number(to, step << 1 ^ (step >> 63 ? UINT64_MAX : 0));
}

static uint8_t *put_time(uint8_t *to, int64_t value) {
    memcpy(to, &value, 8);
    return to + 8;
}

static uint8_t *put_string(uint8_t *to, const char *text, size_t length) {
    to = put_number(to, length);
    memcpy(to, text, length);
    to[length] = '\0'; /* so that a reader may point into its buffer */
    return to + length + 1;
}

void store_keep_paths(struct store_writer *writer) {
    writer->paths = true;
}

int store_put(struct store_writer *writer, const struct indicator *indicator, int64_t carried) {
    const struct rule *rule = &indicator->rule;
    const char *strings[] = {rule->family,  indicator->family_id, rule->reference, indicator->threat_type,
                             indicator->id, rule->target,         rule->records};
    const char *indicator_path = writer->paths ? indicator->path : NULL;
    size_t lengths[7], path_length = indicator_path == NULL ? 0 : strlen(indicator_path), need = 411 + path_length;
    uint32_t flags = 0;
    for (size_t i = 0; i < 7; i++) {
        lengths[i] = strings[i] == NULL ? 0 : strlen(strings[i]);
        need += lengths[i] + 11;
        flags |= strings[i] == NULL ? 0 : (uint32_t)HAS_FAMILY << i;
    }
    uint8_t *start = reserve(writer, need), *to = start;
    if (to == NULL)
        return writer->error;
    flags |= (rule->ttl != RULE_TTL_UNSET ? HAS_TTL : 0) | (rule->confidence != RULE_CONFIDENCE_UNSET ? HAS_CONFIDENCE : 0) |
             (rule->first_seen != 0 ? HAS_FIRST : 0) | (rule->last_seen != 0 ? HAS_LAST : 0) |
             (rule->expires != 0 ? HAS_EXPIRES : 0) | (indicator->compromised ? IS_COMPROMISED : 0) |
             (indicator->not_to_ids ? IS_NOT_TO_IDS : 0) | (indicator->from_url ? IS_FROM_URL : 0) |
             (indicator->allow ? IS_ALLOW : 0) | (indicator->revoked ? IS_REVOKED : 0) | (indicator_path != NULL ? HAS_PATH : 0);
    *to++ = (uint8_t)(rule->trigger | rule->match << 4);
    *to++ = (uint8_t)rule->action;
    to = put_number(put_step(put_number(to, flags), rule->line, &writer->last.line), indicator->column);
    to = put_step(to, carried, &writer->last.carried);
    if (rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER) {
        *to++ = rule->name.length;
        *to++ = rule->name.labels;
        memcpy(to, rule->name.wire, rule->name.length);
        to += rule->name.length;
    } else {
        memcpy(to, rule->prefix.ip.bytes, 16);
        to[16] = rule->prefix.length;
        to += 17;
    }
    if (flags & HAS_TTL)
        to = put_number(to, rule->ttl);
    if (flags & HAS_CONFIDENCE)
        *to++ = rule->confidence;
    for (size_t i = 0; i < 7; i++)
        if (strings[i] != NULL)
            to = put_string(to, strings[i], lengths[i]);
    if (flags & HAS_FIRST)
        to = put_time(to, rule->first_seen);
    if (flags & HAS_LAST)
        to = put_time(to, rule->last_seen);
    if (flags & HAS_EXPIRES)
        to = put_time(to, rule->expires);
    if (flags & HAS_PATH)
        to = put_string(to, indicator_path, path_length);
    writer->used += (size_t)(to - start);
    writer->header.rules++;
    return 0;
}

int store_put_fault(struct store_writer *writer, uint32_t line, uint32_t column, const char *path, const char *message) {
    writer->header.faults++;
    if (writer->faults_kept >= STORE_FAULTS_KEPT)
        return writer->error;
    writer->faults_kept++;
    size_t path_length = path == NULL ? 0 : strnlen(path, 256), length = strnlen(message, 1024);
    uint8_t *start = reserve(writer, path_length + length + 64), *to = start;
    if (to == NULL)
        return writer->error;
    *to++ = RECORD_FAULT;
    to = put_number(put_number(to, line), column);
    to = put_string(to, path == NULL ? "" : path, path_length);
    to = put_string(to, message, length);
    writer->used += (size_t)(to - start);
    return 0;
}

void store_put_ignored(struct store_writer *writer, uint64_t count) {
    writer->header.ignored += count;
}

int store_put_head(struct store_writer *writer, const struct format_head *head) {
    const char *strings[] = {head->zone, head->description, head->target};
    size_t need = 96;
    for (size_t i = 0; i < 3; i++)
        need += strings[i] == NULL ? 0 : strlen(strings[i]) + 12;
    uint8_t *bytes = malloc(need), *to = bytes;
    if (bytes == NULL)
        return writer->error = -ENOMEM;
    to = put_time(put_time(to, head->action), head->ttl);
    to = put_time(put_time(to, head->match), head->confidence);
    to = put_time(put_time(put_time(to, head->mode), head->min_confidence), head->max_age);
    for (size_t i = 0; i < 3; i++) {
        *to++ = strings[i] != NULL;
        if (strings[i] != NULL)
            to = put_string(to, strings[i], strlen(strings[i]));
    }
    free(writer->head);
    writer->head = bytes;
    writer->head_length = (size_t)(to - bytes);
    return 0;
}

struct store_counts store_written(const struct store_writer *writer) {
    return (struct store_counts){.rules = writer->header.rules, .faults = writer->header.faults, .ignored = writer->header.ignored};
}

int store_commit(struct store_writer *writer, bool sync) {
    flush_block(writer);
    struct header *header = &writer->header;
    memcpy(header->magic, magic, sizeof magic);
    header->end = writer->at;
    if (writer->head != NULL && writer->error == 0) {
        struct block block = {.length = (uint32_t)writer->head_length, .checksum = checksum(writer->head, writer->head_length)};
        header->head_at = writer->at;
        header->end += sizeof block + writer->head_length;
        writer->error = write_all(writer->fd, &block, sizeof block);
        if (writer->error == 0)
            writer->error = write_all(writer->fd, writer->head, writer->head_length);
    }
    if (writer->error == 0 && pwrite(writer->fd, header, sizeof *header, 0) != (ssize_t)sizeof *header)
        writer->error = -EIO;
    if (writer->error == 0 && sync && fsync(writer->fd) != 0)
        writer->error = -errno;
    if (writer->error == 0 && rename(writer->aside, writer->path) != 0)
        writer->error = -errno;
    int error = writer->error;
    if (error != 0)
        store_abandon(writer);
    else
        writer_free(writer);
    return error;
}

void store_abandon(struct store_writer *writer) {
    if (writer == NULL)
        return;
    unlink(writer->aside);
    writer_free(writer);
}

/* --- reading ---------------------------------------------------------------------------------------------------------------- */

static int read_at(int fd, uint64_t at, void *data, size_t length) {
    uint8_t *bytes = data;
    while (length > 0) {
        ssize_t n = pread(fd, bytes, length, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        bytes += n;
        at += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

/* A cursor over one block, with a sticky error: a read beyond the end gives zeros and sets `bad`. */
struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *take(struct cursor *cursor, size_t length) {
    static const uint8_t zeros[NAME_WIRE_MAX + 1];
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < length) {
        cursor->bad = true;
        return zeros;
    }
    cursor->at += length;
    return cursor->at - length;
}

static uint64_t take_number(struct cursor *cursor) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !cursor->bad; shift += 7) {
        uint8_t octet = *take(cursor, 1);
        value |= (uint64_t)(octet & 0x7F) << shift;
        if (octet < 0x80)
            return value;
    }
    cursor->bad = true;
    return 0;
}

static int64_t take_step(struct cursor *cursor, int64_t *last) {
    uint64_t folded = take_number(cursor);
    *last = (int64_t)((uint64_t)*last + (folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0)));
    return *last;
}

static int64_t take_time(struct cursor *cursor) {
    int64_t value;
    memcpy(&value, take(cursor, 8), 8);
    return value;
}

static const char *take_string(struct cursor *cursor) {
    uint64_t length = take_number(cursor);
    if (length > BLOCK_MAX || (size_t)(cursor->end - cursor->at) <= length || cursor->at[length] != '\0')
        cursor->bad = true;
    return cursor->bad ? NULL : (const char *)take(cursor, (size_t)length + 1);
}

static int read_block(struct store_reader *reader, uint64_t end) {
    struct block block;
    if (reader->at + sizeof block > end)
        return -EBADMSG;
    int error = read_at(reader->fd, reader->at, &block, sizeof block);
    if (error != 0)
        return error;
    if (block.zero != 0 || block.length > BLOCK_MAX || reader->at + sizeof block + block.length > end)
        return -EBADMSG;
    if (block.length > reader->room) {
        uint8_t *larger = realloc(reader->buffer, block.length);
        if (larger == NULL)
            return -ENOMEM;
        reader->buffer = larger;
        reader->room = block.length;
    }
    error = read_at(reader->fd, reader->at + sizeof block, reader->buffer, block.length);
    if (error == 0 && checksum(reader->buffer, block.length) != block.checksum)
        error = -EBADMSG;
    reader->at += sizeof block + block.length;
    reader->used = block.length;
    reader->cursor = 0;
    reader->last = (struct place){0};
    return error;
}

static int read_head(struct store_reader *reader) {
    if (reader->header.head_at == 0)
        return 0;
    reader->at = reader->header.head_at;
    int error = read_block(reader, reader->header.end);
    if (error != 0)
        return error;
    reader->head_text = reader->buffer;
    struct cursor cursor = {.at = reader->buffer, .end = reader->buffer + reader->used};
    reader->buffer = NULL;
    reader->room = reader->used = 0;
    reader->head.action = (int)take_time(&cursor);
    reader->head.ttl = take_time(&cursor);
    reader->head.match = (int)take_time(&cursor);
    reader->head.confidence = (int)take_time(&cursor);
    reader->head.mode = (int)take_time(&cursor);
    reader->head.min_confidence = (int)take_time(&cursor);
    reader->head.max_age = take_time(&cursor);
    const char **strings[] = {&reader->head.zone, &reader->head.description, &reader->head.target};
    for (size_t i = 0; i < 3; i++)
        if (*take(&cursor, 1) != 0)
            *strings[i] = take_string(&cursor);
    reader->has_head = true;
    return cursor.bad ? -EBADMSG : 0;
}

int store_open(struct store_reader **out, const char *path) {
    struct store_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return -ENOMEM;
    reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int error = reader->fd < 0 ? -errno : read_at(reader->fd, 0, &reader->header, sizeof reader->header);
    struct header *header = &reader->header;
    struct stat status;
    if (error == 0 && (fstat(reader->fd, &status) != 0 || memcmp(header->magic, magic, sizeof magic) != 0 ||
                       header->end != (uint64_t)status.st_size || header->head_at > header->end))
        error = -EBADMSG;
    if (error == 0)
        error = read_head(reader);
    if (error != 0) {
        store_close(reader);
        return error;
    }
    reader->at = sizeof *header;
    *out = reader;
    return 0;
}

struct store_counts store_counts(const struct store_reader *reader) {
    return (struct store_counts){.rules = reader->header.rules, .faults = reader->header.faults, .ignored = reader->header.ignored};
}

const struct format_head *store_head(const struct store_reader *reader) {
    return reader->has_head ? &reader->head : NULL;
}

static void take_rule(struct cursor *cursor, uint8_t first, struct place *last, struct store_record *record) {
    struct indicator *indicator = &record->indicator;
    struct rule *rule = &indicator->rule;
    rule->trigger = first & 0x0F;
    rule->match = first >> 4;
    rule->action = *take(cursor, 1);
    if (rule->trigger >= TRIGGER_COUNT || rule->match > MATCH_COUNT || rule->action > RULE_ACTION_UNSET)
        cursor->bad = true;
    uint32_t flags = (uint32_t)take_number(cursor);
    rule->line = (uint32_t)take_step(cursor, &last->line);
    indicator->column = (uint32_t)take_number(cursor);
    record->carried = take_step(cursor, &last->carried);
    if (rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER) {
        rule->name.length = *take(cursor, 1);
        rule->name.labels = *take(cursor, 1);
        memcpy(rule->name.wire, take(cursor, rule->name.length), rule->name.length);
    } else {
        memcpy(rule->prefix.ip.bytes, take(cursor, 16), 16);
        rule->prefix.length = *take(cursor, 1);
    }
    rule->ttl = flags & HAS_TTL ? (uint32_t)take_number(cursor) : RULE_TTL_UNSET;
    rule->confidence = flags & HAS_CONFIDENCE ? *take(cursor, 1) : RULE_CONFIDENCE_UNSET;
    const char **strings[] = {&rule->family,  &indicator->family_id, &rule->reference, &indicator->threat_type,
                              &indicator->id, &rule->target,         &rule->records};
    for (size_t i = 0; i < 7; i++)
        *strings[i] = flags & (uint32_t)HAS_FAMILY << i ? take_string(cursor) : NULL;
    rule->first_seen = flags & HAS_FIRST ? take_time(cursor) : 0;
    rule->last_seen = flags & HAS_LAST ? take_time(cursor) : 0;
    rule->expires = flags & HAS_EXPIRES ? take_time(cursor) : 0;
    rule->source = NULL;
    indicator->compromised = flags & IS_COMPROMISED;
    indicator->not_to_ids = flags & IS_NOT_TO_IDS;
    indicator->from_url = flags & IS_FROM_URL;
    indicator->allow = flags & IS_ALLOW;
    indicator->revoked = flags & IS_REVOKED;
    indicator->path = flags & HAS_PATH ? take_string(cursor) : NULL;
}

int store_next(struct store_reader *reader, struct store_record *record) {
    if (reader->cursor == reader->used) {
        uint64_t end = reader->header.head_at != 0 ? reader->header.head_at : reader->header.end;
        if (reader->at == end)
            return STORE_END;
        int error = read_block(reader, end);
        if (error != 0)
            return error;
    }
    struct cursor cursor = {.at = reader->buffer + reader->cursor, .end = reader->buffer + reader->used};
    uint8_t first = *take(&cursor, 1);
    int item = STORE_RULE;
    if (first == RECORD_FAULT) {
        item = STORE_FAULT;
        record->line = (uint32_t)take_number(&cursor);
        record->column = (uint32_t)take_number(&cursor);
        record->path = take_string(&cursor);
        record->message = take_string(&cursor);
    } else {
        take_rule(&cursor, first, &reader->last, record);
    }
    if (cursor.bad)
        return -EBADMSG;
    reader->cursor = (size_t)(cursor.at - reader->buffer);
    return item;
}

void store_close(struct store_reader *reader) {
    if (reader == NULL)
        return;
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->buffer);
    free(reader->head_text);
    free(reader);
}

int store_verify(const char *path, struct store_counts *counts) {
    struct store_reader *reader;
    struct store_record record;
    int item = store_open(&reader, path);
    if (item != 0)
        return item;
    *counts = store_counts(reader);
    while ((item = store_next(reader, &record)) > STORE_END)
        continue;
    store_close(reader);
    return item;
}
