/* config/json_reader.h: a streaming JSON reader that knows where it is.
 *
 * Reads RFC 8259 JSON from fed chunks with bounded memory (one value's text and the open containers), strictly: UTF-8 is checked,
 * depth and string length are limited, duplicate handling is the caller's. jansson can't stream and forgets line and column of
 * values, and both are promised to operators; that is why this exists. Every text from outside comes through here.
 *
 * A pull reader over a source callback:
 *
 *     struct json_reader *reader = json_reader_new(read_some, context, NULL);
 *     while ((event = json_next(reader)) > JSON_END) { ... json_text(reader, &length) ... json_line(reader) ... }
 *     if (event == JSON_ERROR) complain(json_line(reader), json_column(reader), json_error(reader));
 *
 * One thread at a time. */
#ifndef SUNDEW_CONFIG_JSON_READER_H
#define SUNDEW_CONFIG_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/json_source.h"

enum json_event {
    JSON_ERROR = -1, /* not JSON from here on; sticky */
    JSON_END = 0,    /* the document is complete (for JSON lines: the input is) */
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_KEY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

struct json_limits {
    size_t depth;  /* open containers; default 64 */
    size_t string; /* octets of one string; default 1 MiB */
    bool lines;    /* JSON lines: many documents, one a line; a faulty line is reported as JSON_ERROR once and skipped by
                      json_skip_line */
};

/* A member of a plain object: where its key, its value's first octet (a string's quote) and its value's text lie in the object. */
struct json_member {
    enum json_event type; /* STRING, NUMBER, TRUE, FALSE or NULL */
    uint32_t key, key_length;
    uint32_t at;
    uint32_t text, length; /* of a string or number */
};

struct json_reader;

struct json_reader *json_reader_new(json_source *source, void *context, const struct json_limits *limits); /* NULL: no memory */
void json_reader_free(struct json_reader *reader);

enum json_event json_next(struct json_reader *reader);

/* The unescaped text of the last KEY, STRING or NUMBER (as written), NUL-terminated, valid until the next json_next. A string may
 * hold NUL octets (from \u0000): compare with length. */
const char *json_text(const struct json_reader *reader, size_t *length);

/* Where the last event began: line and column from 1 (columns count octets), and the octet offset. */
uint32_t json_line(const struct json_reader *reader);
uint32_t json_column(const struct json_reader *reader);
uint64_t json_offset(const struct json_reader *reader);

/* Containers open after the last event: 1 after the first OBJECT. In lines mode a line's value is complete when it is 0 again. */
size_t json_depth(const struct json_reader *reader);

/* After OBJECT, ARRAY or KEY: passes over that value whole. 0, or -1 when the reader ran into an error. */
int json_skip(struct json_reader *reader);

/* After OBJECT: looks at the whole object at once, which costs a fifth of reading it event by event. Returns its octets, braces
 * included, if they lie in the buffer and are plain: ASCII in one line without escapes, without containers inside, at most `room`
 * members. *text: the first of them (the opening brace), valid until the next call for the reader. Returns 0 for any other object,
 * a faulty one too. Nothing is consumed: either json_pass_object follows, or json_next as if this had not been called. */
size_t json_peek_object(const struct json_reader *reader, const char **text, struct json_member *members, size_t room,
                        size_t *count);

/* After json_peek_object returned `length`: goes to the object's end, as if json_next had just returned its OBJECT_END. */
void json_pass_object(struct json_reader *reader, size_t length);

/* Lines mode, after JSON_ERROR: goes on with the next line. */
void json_skip_line(struct json_reader *reader);

/* Why the last event was JSON_ERROR (in the reader's buffer; "" otherwise), and the source's -errno if it is to blame (else 0). */
const char *json_error(const struct json_reader *reader);
int json_read_error(const struct json_reader *reader);

#endif
