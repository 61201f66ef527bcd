/* hits/history_read.c: what clients asked for lately: the reading side. A segment may be torn, or damaged by a disk: nothing in it
 * is believed before it is checked. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/history.h"
#include "hits/history_format.h"

#define HOUR_US ((uint64_t)3600 * 1000000)

void history_put32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

void history_put64(uint8_t *out, uint64_t value) {
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *octets, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++)
        value |= (uint64_t)octets[i] << 8 * i;
    return value;
}

uint32_t history_check(const uint8_t *octets, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ octets[i]) * 16777619u;
    return hash;
}

/* Where the reading is; sticky: once `bad`, everything reads as 0. */
struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *take(struct cursor *cursor, size_t length) {
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < length) {
        cursor->bad = true;
        return NULL;
    }
    const uint8_t *octets = cursor->at;
    cursor->at += length;
    return octets;
}

static uint64_t take_varint(struct cursor *cursor) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *octet = take(cursor, 1);
        if (octet == NULL)
            return 0;
        value |= (uint64_t)(*octet & 0x7f) << shift;
        if ((*octet & 0x80) == 0)
            return value;
    }
    cursor->bad = true;
    return 0;
}

struct known_name {
    const uint8_t *wire;
    uint8_t length;
    bool wanted;
};

struct known_client {
    const uint8_t *address; /* 16 octets */
    const uint8_t *mac;     /* 6, or NULL */
    const uint8_t *hostname;
    size_t hostname_length;
};

struct reading {
    const struct history_visitor *visitor;
    struct known_name *names;
    struct known_client *clients;
    size_t name_count, name_room, client_count, client_room;
    uint64_t ts_us;
};

static bool make_room(void **array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return true;
    size_t more = *room == 0 ? 1024 : *room * 2;
    void *grown = realloc(*array, more * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

static void read_name(struct reading *reading, struct cursor *cursor) {
    const uint8_t *length = take(cursor, 1);
    const uint8_t *wire = length == NULL ? NULL : take(cursor, *length);
    struct name name;
    if (wire == NULL || name_from_wire(&name, wire, *length) != *length ||
        !make_room((void **)&reading->names, reading->name_count, &reading->name_room, sizeof *reading->names)) {
        cursor->bad = true;
        return;
    }
    bool wanted = reading->visitor->name(reading->visitor->context, wire, *length);
    reading->names[reading->name_count++] = (struct known_name){wire, *length, wanted};
}

static void read_client(struct reading *reading, struct cursor *cursor) {
    struct known_client client = {.address = take(cursor, 16)};
    const uint8_t *flags = take(cursor, 1);
    if (flags != NULL && (*flags & HISTORY_WITH_MAC) != 0)
        client.mac = take(cursor, 6);
    client.hostname_length = take_varint(cursor);
    client.hostname = take(cursor, client.hostname_length);
    if (cursor->bad ||
        !make_room((void **)&reading->clients, reading->client_count, &reading->client_room, sizeof *reading->clients)) {
        cursor->bad = true;
        return;
    }
    reading->clients[reading->client_count++] = client;
}

static void read_asked(struct reading *reading, struct cursor *cursor) {
    uint64_t client = take_varint(cursor), name = take_varint(cursor), what = take_varint(cursor), step = take_varint(cursor);
    if (cursor->bad || client >= reading->client_count || name >= reading->name_count || what >> 2 > UINT16_MAX) {
        cursor->bad = true;
        return;
    }
    reading->ts_us += (step >> 1) ^ -(step & 1);
    const struct known_name *known = &reading->names[name];
    if (!known->wanted || reading->ts_us < reading->visitor->since_us)
        return;
    const struct known_client *who = &reading->clients[client];
    struct asked asked = {.ts_us = reading->ts_us,
                          .has_mac = who->mac != NULL,
                          .hostname = (const char *)who->hostname,
                          .hostname_length = who->hostname_length,
                          .qname = known->wire,
                          .qname_length = known->length,
                          .qtype = (uint16_t)(what >> 2),
                          .protocol = (enum protocol)(what & 3)};
    memcpy(asked.client.bytes, who->address, 16);
    if (who->mac != NULL)
        memcpy(asked.mac, who->mac, 6);
    reading->visitor->asked(reading->visitor->context, &asked);
}

static bool read_frame(struct reading *reading, const uint8_t *payload, size_t length) {
    struct cursor cursor = {payload, payload + length, false};
    while (!cursor.bad && cursor.at < cursor.end) {
        switch (*cursor.at++) {
        case HISTORY_NAME:
            read_name(reading, &cursor);
            break;
        case HISTORY_CLIENT:
            read_client(reading, &cursor);
            break;
        case HISTORY_ASKED:
            read_asked(reading, &cursor);
            break;
        default:
            cursor.bad = true;
        }
    }
    return !cursor.bad;
}

static bool cancelled(const struct history_visitor *visitor) {
    return visitor->cancel != NULL && atomic_load_explicit(visitor->cancel, memory_order_relaxed);
}

bool history_read(const uint8_t *octets, size_t length, const struct history_visitor *visitor) {
    if (length < HISTORY_HEAD || memcmp(octets, HISTORY_MAGIC, 8) != 0)
        return false;
    struct reading reading = {.visitor = visitor, .ts_us = get(octets + 8, 8)};
    size_t at = HISTORY_HEAD;
    bool fine = true;
    while (fine && length - at >= HISTORY_FRAME_HEAD && !cancelled(visitor)) {
        uint64_t payload = get(octets + at, 4);
        uint32_t check = (uint32_t)get(octets + at + 4, 4);
        at += HISTORY_FRAME_HEAD;
        fine = payload <= length - at && history_check(octets + at, payload) == check && read_frame(&reading, octets + at, payload);
        at += fine ? payload : 0;
    }
    free(reading.names);
    free(reading.clients);
    return fine && at == length;
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

size_t history_list(const char *folder, char (**names)[HISTORY_FILE_NAME]) {
    size_t count = 0, room = 0;
    DIR *directory = opendir(folder);
    const struct dirent *entry;
    *names = NULL;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strlen(entry->d_name) != HISTORY_FILE_NAME - 1 || strspn(entry->d_name, "0123456789abcdef") != 16 ||
            strcmp(entry->d_name + 16, HISTORY_ENDING) != 0)
            continue;
        if (!make_room((void **)names, count, &room, sizeof **names))
            break;
        memcpy((*names)[count++], entry->d_name, HISTORY_FILE_NAME);
    }
    if (directory != NULL)
        closedir(directory);
    if (count > 0)
        qsort(*names, count, sizeof **names, by_name);
    return count;
}

static void visit_file(const char *path, const struct history_visitor *visitor) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat at;
    if (fd < 0)
        return; /* removed meanwhile */
    if (fstat(fd, &at) == 0 && at.st_size > 0) {
        size_t length = (size_t)at.st_size;
        void *octets = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
        if (octets != MAP_FAILED) {
            history_read(octets, length, visitor);
            munmap(octets, length);
        }
    }
    close(fd);
}

int history_visit(const char *folder, const struct history_visitor *visitor) {
    char(*names)[HISTORY_FILE_NAME];
    char path[4096];
    if (access(folder, R_OK) != 0)
        return errno == ENOENT ? 0 : -errno;
    size_t count = history_list(folder, &names);
    for (size_t i = 0; i < count && !cancelled(visitor); i++) {
        if (strtoull(names[i], NULL, 16) + HOUR_US < visitor->since_us)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        visit_file(path, visitor);
    }
    free(names);
    return 0;
}
