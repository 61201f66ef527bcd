/* feeds/record.h: the fields of one JSON object, picked by a table of keys, with their places.
 *
 * A feed's record is small and its document is not: the document is streamed, one record is held. Values of keys that aren't in
 * the table are passed over without being kept.
 *
 *     static const struct record_key keys[] = {RECORD_KEY("ioc_value"), RECORD_KEY("tags")};
 *     struct record_reader how = {.keys = keys, .count = 2};
 *     record_read(&record, json, &how)              // the OBJECT event was just delivered
 *     const char *value = record_text(&record, 0, &length);
 *
 * Private to the parsers. One thread. */
#ifndef SUNDEW_FEEDS_RECORD_H
#define SUNDEW_FEEDS_RECORD_H

#include "config/json_reader.h"

enum {
    RECORD_FIELDS_MAX = 24,
    RECORD_TEXT_MAX = 64 << 20, /* octets of one record's kept text: more is -EMSGSIZE */
};

struct record_key {
    const char *name;
    uint8_t length;
};
#define RECORD_KEY(text)                                                                                                           \
    { text, sizeof(text) - 1 }

/* JSON_END: the key wasn't there. For OBJECT and ARRAY there is text only if `nested` kept some. */
struct record_field {
    enum json_event type;
    bool plain;            /* it is known to hold no NUL */
    uint32_t line, column; /* of the value */
    size_t offset, length; /* in the record's memory */
};

/* Visible because parsers keep one by value and read `fields`. */
struct record {
    struct record_field fields[RECORD_FIELDS_MAX];
    uint32_t line, column; /* of the opening brace */
    int repeated;          /* index of a key that was given twice (the last one counts), or -1 */
    char *text;
    size_t used, size;
    uint8_t order[RECORD_FIELDS_MAX]; /* which field each member of the last plain object was: records of a feed are alike */
};

struct record_reader {
    const struct record_key *keys;
    unsigned count;
    void *context;
    /* The value of `field` is an array or object whose event was just delivered: reads it whole. NULL: it is passed over. */
    int (*nested)(void *context, struct record *record, unsigned field, enum json_event event);
    /* A key that isn't in the table; its place is the reader's. NULL: nobody minds. */
    void (*unknown)(void *context, const char *key, size_t length);
};

void record_done(struct record *record);

/* Reads the object whose OBJECT event was just delivered, up to its OBJECT_END. 0, -EBADMSG (the reader has failed), -ENOMEM,
 * -EMSGSIZE, or what `nested` returned. */
int record_read(struct record *record, struct json_reader *json, const struct record_reader *how);

/* Text of a string, number or kept value, NUL-terminated, valid until the next record_read or record_keep; NULL for null, a key
 * that wasn't there, a text that is empty or holds a NUL, and other types. length may be NULL. */
const char *record_text(const struct record *record, unsigned field, size_t *length);

/* 1 and 0 for true and false, "true"/"false"/"1"/"0" (any case of letters) and the numbers 1 and 0; -1 for anything else. */
int record_bool(const struct record *record, unsigned field);

/* Text to remember beside the fields: returns its offset in record->text (NUL-terminated), or a negative errno. */
long record_keep(struct record *record, const char *text, size_t length);

/* Appends to the field's kept text, after `separator` if there is some already; only for the field that is being read. */
int record_append(struct record *record, unsigned field, const char *separator, const char *text, size_t length);

#endif
