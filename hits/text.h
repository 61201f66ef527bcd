/* hits/text.h: lines being put together, and strings shared by count.
 *
 * A `text` grows as it is written to; after a failed allocation it is `failed` and swallows the rest, checked once at the end (as
 * a wire cursor does). A `phrase` is an immutable string with a reference count, for what many hits have in common. One thread. */
#ifndef SUNDEW_HITS_TEXT_H
#define SUNDEW_HITS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A string that belongs to somebody else. */
struct piece {
    const char *text; /* not NUL-terminated; NULL: absent */
    uint32_t length;
};

/* Visible because it is embedded by value; start from all zero. */
struct text {
    char *data; /* not NUL-terminated */
    size_t length, capacity;
    bool failed;
};

void text_free(struct text *text);              /* and back to all zero */
bool text_room(struct text *text, size_t more); /* makes room for `more` octets; false: no memory */
/* In the header because a line is made of dozens, most of a length that the compiler knows. */
static inline void text_put(struct text *text, const char *octets, size_t length) {
    if (length == 0 || (text->capacity - text->length < length && !text_room(text, length)))
        return;
    memcpy(text->data + text->length, octets, length);
    text->length += length;
}
static inline void text_piece(struct text *text, struct piece piece) {
    text_put(text, piece.text, piece.length);
}
void text_string(struct text *text, const char *string);
void text_number(struct text *text, uint64_t number);

/* A JSON string with its quotes. Control characters, DEL, characters that hide or turn the direction of writing, and whatever isn't
 * UTF-8 come out escaped, so nothing in it can end a line, move a cursor, show what isn't there or break a reader. */
void text_json(struct text *text, const char *string, size_t length);
void text_json_name(struct text *text, const uint8_t *wire);  /* a wire name as a JSON string: presentation form, no last dot */
void text_json_below(struct text *text, const uint8_t *wire); /* with "*." before it */

/* ISO 8601 in UTC with microseconds: 2026-11-22T17:40:12.345678Z, TIME_LENGTH octets, no NUL. */
enum { TIME_LENGTH = 27 };
void text_time(char out[TIME_LENGTH], uint64_t ts_us);

struct phrase {
    uint32_t references;
    uint32_t length;
    char text[]; /* NUL-terminated besides */
};

struct phrase *phrase_new(const char *string, size_t length); /* one reference; NULL: no memory */
/* The same of a string that a stranger chose: what text_json would escape becomes \\DDD for each octet. */
struct phrase *phrase_new_printable(const char *string, size_t length);
struct phrase *phrase_ref(struct phrase *phrase); /* NULL gives NULL */
static inline struct piece piece_of(const struct phrase *phrase) {
    return phrase == NULL ? (struct piece){NULL, 0} : (struct piece){phrase->text, phrase->length};
}
void phrase_unref(struct phrase *phrase);

#endif
