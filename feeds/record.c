/* feeds/record.c: picks the fields of one JSON object into one reused piece of memory. */
#include "feeds/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void record_done(struct record *record) {
    free(record->text);
    *record = (struct record){0};
}

static int reserve(struct record *record, size_t more) {
    if (record->size - record->used >= more)
        return 0;
    if (record->used + more > RECORD_TEXT_MAX)
        return -EMSGSIZE;
    size_t size = record->size ? record->size : 4096;
    while (size - record->used < more)
        size *= 2;
    char *grown = realloc(record->text, size);
    if (!grown)
        return -ENOMEM;
    record->text = grown;
    record->size = size;
    return 0;
}

long record_keep(struct record *record, const char *text, size_t length) {
    int error = reserve(record, length + 1);
    if (error)
        return error;
    size_t offset = record->used;
    if (length > 0)
        memcpy(record->text + offset, text, length);
    record->text[offset + length] = '\0';
    record->used += length + 1;
    return (long)offset;
}

static int keep_value(struct record *record, struct record_field *value, const char *text, size_t length) {
    long offset = record_keep(record, text, length);
    if (offset < 0)
        return (int)offset;
    value->offset = (size_t)offset;
    value->length = length;
    return 0;
}

int record_append(struct record *record, unsigned field, const char *separator, const char *text, size_t length) {
    struct record_field *value = &record->fields[field];
    size_t between = value->length ? strlen(separator) : 0;
    if (value->length == 0)
        return keep_value(record, value, text, length);
    int error = reserve(record, between + length);
    if (error)
        return error;
    char *end = record->text + value->offset + value->length;
    memcpy(end, separator, between);
    if (length > 0)
        memcpy(end + between, text, length);
    end[between + length] = '\0';
    value->length += between + length;
    record->used += between + length;
    return 0;
}

/* The keys of a record mostly come in the same order: the one after the last is tried first. */
static unsigned find_key(const struct record_reader *how, const char *key, size_t length, unsigned guess) {
    for (unsigned i = 0; i < how->count; i++, guess++) {
        if (guess >= how->count)
            guess = 0;
        if (how->keys[guess].length == length && memcmp(how->keys[guess].name, key, length) == 0)
            return guess;
    }
    return how->count;
}

static int read_value(struct record *record, struct json_reader *json, const struct record_reader *how, unsigned field) {
    enum json_event event = json_next(json);
    if (event == JSON_ERROR)
        return -EBADMSG;
    struct record_field *value = &record->fields[field];
    if (value->type != JSON_END)
        record->repeated = (int)field;
    *value = (struct record_field){.type = event, .line = json_line(json), .column = json_column(json)};
    if (event == JSON_OBJECT || event == JSON_ARRAY) {
        if (how->nested)
            return how->nested(how->context, record, field, event);
        return json_skip(json) ? -EBADMSG : 0;
    }
    if (event == JSON_STRING || event == JSON_NUMBER) {
        size_t length;
        const char *text = json_text(json, &length);
        return keep_value(record, value, text, length);
    }
    return 0;
}

/* Reads an object whose members are all plain in one piece, as most records are. False: it is left to be read member by member,
 * which also finds the words for what is wrong with it. */
static bool read_plain(struct record *record, struct json_reader *json, const struct record_reader *how) {
    struct json_member members[RECORD_FIELDS_MAX];
    const char *text;
    size_t count, length = json_peek_object(json, &text, members, RECORD_FIELDS_MAX, &count);
    if (length == 0 || reserve(record, length) != 0)
        return false;
    memcpy(record->text, text, length);
    for (size_t i = 0; i < count; i++) {
        const struct json_member *member = &members[i];
        unsigned field = find_key(how, text + member->key, member->key_length, record->order[i]);
        if (field == how->count && !how->unknown)
            continue;
        if (field == how->count || record->fields[field].type != JSON_END)
            return false;
        record->fields[field] = (struct record_field){.type = member->type,
                                                      .plain = true,
                                                      .line = record->line,
                                                      .column = record->column + member->at,
                                                      .offset = member->text,
                                                      .length = member->length};
        if (member->type == JSON_STRING || member->type == JSON_NUMBER)
            record->text[member->text + member->length] = '\0'; /* there stood a quote, a comma, a blank or a brace */
        record->order[i] = (uint8_t)field;
    }
    record->used = length;
    json_pass_object(json, length);
    return true;
}

int record_read(struct record *record, struct json_reader *json, const struct record_reader *how) {
    memset(record->fields, 0, how->count * sizeof record->fields[0]);
    record->line = json_line(json);
    record->column = json_column(json);
    record->repeated = -1;
    record->used = 0;
    if (read_plain(record, json, how))
        return 0;
    memset(record->fields, 0, how->count * sizeof record->fields[0]);
    unsigned guess = 0;
    for (;;) {
        enum json_event event = json_next(json);
        if (event == JSON_OBJECT_END)
            return 0;
        if (event != JSON_KEY)
            return -EBADMSG;
        size_t length;
        const char *key = json_text(json, &length);
        unsigned field = find_key(how, key, length, guess);
        if (field == how->count) {
            if (how->unknown)
                how->unknown(how->context, key, length);
            if (json_skip(json))
                return -EBADMSG;
            continue;
        }
        int error = read_value(record, json, how, field);
        if (error)
            return error;
        guess = field + 1;
    }
}

const char *record_text(const struct record *record, unsigned field, size_t *length) {
    const struct record_field *value = &record->fields[field];
    if (value->length == 0)
        return NULL;
    const char *text = record->text + value->offset;
    if (!value->plain && memchr(text, '\0', value->length))
        return NULL;
    if (length)
        *length = value->length;
    return text;
}

int record_bool(const struct record *record, unsigned field) {
    enum json_event type = record->fields[field].type;
    if (type == JSON_TRUE || type == JSON_FALSE)
        return type == JSON_TRUE;
    const char *text = record_text(record, field, NULL);
    if (!text)
        return -1;
    if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0)
        return 1;
    return strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0 ? 0 : -1;
}
