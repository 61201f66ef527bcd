/* config/json_reader.c: the JSON pull reader: one buffer, whole-token scans, positions kept as stream offsets.
 *
 * The buffer always ends in a NUL that is no part of the text. Every scan stops at it, so no scan compares with the end; only
 * where a scan stopped is it asked whether that is the end (then the token goes on in the next chunk) or a NUL in the text (a
 * fault). A token lies whole in the buffer before it is looked into: chunks may end anywhere. */
#include "config/json_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_FIRST = 65536, /* octets; grows only for a string that is longer */
    SLACK = 16,           /* zero octets behind the text: the sentinel, and what an 8-octet load may touch */
    ESCAPE_MAX = 6,       /* octets of \uXXXX: how much longer a string may be as written */
    DEPTH_DEFAULT = 64,
    STRING_DEFAULT = 1 << 20,
};

enum state { START, VALUE, VALUE_OR_END, KEY, KEY_OR_END, COLON, COMMA, DONE, FAILED };

struct json_reader {
    json_source *source;
    void *context;
    struct json_limits limits;

    char *buffer;
    size_t capacity; /* without SLACK */
    size_t next;     /* first octet not consumed */
    size_t end;      /* of the text in the buffer */
    size_t token;    /* first octet that a refill has to keep */
    uint64_t base;   /* stream offset of buffer[0] */
    bool ended;      /* the source said so */
    int read_error;  /* -errno of the source, or 0 */

    uint32_t line;
    uint64_t line_base; /* stream offset of the line's first octet */
    uint64_t event_offset;
    uint32_t event_line;
    uint32_t event_column;

    enum state state;
    enum json_event event;
    size_t depth;
    char *open; /* one octet a container: '{' or '[' */

    const char *text;
    size_t text_length;
    size_t held_at; /* a number is ended in place: where, and the octet that stood there */
    char held;
    bool holding;
    char error[128];
};

struct json_reader *json_reader_new(json_source *source, void *context, const struct json_limits *limits) {
    struct json_reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    if (limits)
        r->limits = *limits;
    if (r->limits.depth == 0)
        r->limits.depth = DEPTH_DEFAULT;
    if (r->limits.string == 0)
        r->limits.string = STRING_DEFAULT;
    r->source = source;
    r->context = context;
    r->capacity = BUFFER_FIRST;
    r->buffer = calloc(1, r->capacity + SLACK);
    r->open = malloc(r->limits.depth);
    r->line = r->event_line = r->event_column = 1;
    r->text = "";
    if (!r->buffer || !r->open) {
        json_reader_free(r);
        return NULL;
    }
    return r;
}

void json_reader_free(struct json_reader *r) {
    if (!r)
        return;
    free(r->buffer);
    free(r->open);
    free(r);
}

static void mark(struct json_reader *r, size_t at) {
    r->event_offset = r->base + at;
    r->event_line = r->line;
    r->event_column = (uint32_t)(r->event_offset - r->line_base + 1);
}

static enum json_event fail(struct json_reader *r, size_t at, const char *why) {
    r->next = r->token = at;
    mark(r, at);
    if (r->read_error)
        snprintf(r->error, sizeof r->error, "cannot be read: %s", strerror(-r->read_error));
    else
        snprintf(r->error, sizeof r->error, "%s", why);
    r->state = FAILED;
    r->text = "";
    r->text_length = 0;
    return r->event = JSON_ERROR;
}

/* Gets more text behind what is kept from `token` on. False: there is no more (or no memory, or the source failed). Indexes
 * before the call are off by *moved after it, whatever it returns. */
static bool refill(struct json_reader *r, size_t *moved) {
    *moved = r->token;
    if (r->ended) {
        *moved = 0;
        return false;
    }
    if (r->token > 0) {
        memmove(r->buffer, r->buffer + r->token, r->end - r->token);
        r->base += r->token;
        r->end -= r->token;
        r->next -= r->token;
        r->token = 0;
    }
    long got = 0;
    if (r->end == r->capacity) {
        char *grown = realloc(r->buffer, r->capacity * 2 + SLACK);
        if (grown) {
            r->buffer = grown;
            r->capacity *= 2;
        } else {
            got = -ENOMEM;
        }
    }
    if (got == 0)
        got = r->source(r->context, r->buffer + r->end, r->capacity - r->end);
    if (got <= 0) {
        r->ended = true;
        r->read_error = got < 0 ? (int)got : 0;
        got = 0;
    }
    r->end += (size_t)got;
    memset(r->buffer + r->end, 0, SLACK);
    return got > 0;
}

static void skip_byte_order_mark(struct json_reader *r) {
    size_t moved;
    while (r->end < 3 && memcmp(r->buffer, "\xEF\xBB\xBF", r->end) == 0 && refill(r, &moved))
        ;
    if (r->end >= 3 && memcmp(r->buffer, "\xEF\xBB\xBF", 3) == 0) {
        r->next = r->token = 3;
        r->line_base = 3;
    }
}

/* The next octet that isn't white space, not consumed, and the event's place set to it; -1 at the end or on failure. */
static int skip_space(struct json_reader *r) {
    for (;;) {
        unsigned char c = (unsigned char)r->buffer[r->next];
        if (c > ' ') {
            mark(r, r->next);
            return c;
        }
        if (c == '\n') {
            if (r->limits.lines) {
                if (r->state != START && r->state != DONE) {
                    fail(r, r->next, "the line ends in the middle of a value");
                    return -1;
                }
                r->state = START;
            }
            r->next++;
            r->line++;
            r->line_base = r->base + r->next;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            r->next++;
        } else if (c == 0 && r->next == r->end) {
            size_t moved;
            r->token = r->next;
            if (!refill(r, &moved)) {
                mark(r, r->next);
                return -1;
            }
        } else {
            mark(r, r->next);
            return c;
        }
    }
}

/* The octets of a word that are '"', '\\' or below 0x20 have their top bit set in the result; exact for the first of them (a
 * borrow can only spoil octets after a hit). */
static inline uint64_t stops(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word)) & tops;
}

/* From p to the first '"', '\\' or control octet (the sentinel at the latest); *high gathers the top bits that it passed. */
static inline const char *scan_plain(const char *p, uint64_t *high) {
    for (;;) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        uint64_t hit = stops(word);
        *high |= word;
        if (hit)
            return p + (__builtin_ctzll(hit) >> 3);
        p += sizeof word;
#else
        unsigned char c = (unsigned char)*p;
        *high |= (uint64_t)c;
        if (c < 0x20 || c == '"' || c == '\\')
            return p;
        p++;
#endif
    }
}

/* Reads 4 hex digits; -1 if they aren't. */
static int hex4(const char *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* The length of the valid UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate, none above U+10FFFF), 0 if it isn't.
 * Reads on only while octets fit, so it stops at the string's closing quote. */
static size_t utf8_length(const unsigned char *p) {
    unsigned low = 0x80, top = 0xBF;
    size_t length;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        length = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        length = 3;
        low = p[0] == 0xE0 ? 0xA0 : low;
        top = p[0] == 0xED ? 0x9F : top;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        length = 4;
        low = p[0] == 0xF0 ? 0x90 : low;
        top = p[0] == 0xF4 ? 0x8F : top;
    } else {
        return 0;
    }
    if (p[1] < low || p[1] > top)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    }
    return length;
}

/* One escape at p (which points to the backslash) to out. Returns the octets read, 0 with *why for a bad one. */
static size_t unescape(const char *p, char *out, size_t *written, const char **why) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *simple = p[1] ? strchr(from, p[1]) : NULL;
    if (simple) {
        *out = to[simple - from];
        *written = 1;
        return 2;
    }
    *why = "not an escape that JSON knows";
    if (p[1] != 'u')
        return 0;
    int code = hex4(p + 2);
    *why = "\\u wants four hexadecimal digits";
    if (code < 0)
        return 0;
    size_t read = 6;
    if (code >= 0xD800 && code <= 0xDFFF) {
        int second = code <= 0xDBFF && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
        *why = "half of a surrogate pair";
        if (second < 0xDC00 || second > 0xDFFF)
            return 0;
        code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
        read = 12;
    }
    *written = put_utf8(out, (unsigned)code);
    return read;
}

/* Checks and unescapes buffer[from..to) in place (no escape is shorter than what it stands for). False: r has failed. */
static bool settle_string(struct json_reader *r, size_t from, size_t to, size_t *length) {
    char *out = r->buffer + from;
    const char *p = out, *end = r->buffer + to;
    while (p < end) {
        const char *why = "not UTF-8";
        size_t read, written;
        if (*p == '\\') {
            read = unescape(p, out, &written, &why);
        } else {
            read = written = (unsigned char)*p < 0x80 ? 1 : utf8_length((const unsigned char *)p);
            if (read == 1)
                *out = *p;
            else
                memmove(out, p, read);
        }
        if (read == 0) {
            fail(r, (size_t)(p - r->buffer), why);
            return false;
        }
        p += read;
        out += written;
    }
    *length = (size_t)(out - (r->buffer + from));
    return true;
}

/* At an opening quote. */
static bool read_string(struct json_reader *r) {
    size_t at = r->next + 1, moved;
    bool escapes = false;
    uint64_t high = 0;
    r->token = r->next;
    for (;;) {
        at = (size_t)(scan_plain(r->buffer + at, &high) - r->buffer);
        if (r->buffer[at] == '"')
            break;
        if ((at - r->token) / ESCAPE_MAX > r->limits.string) {
            fail(r, r->token, "the string is too long");
            return false;
        }
        if (r->buffer[at] == '\\' && at + 1 < r->end) {
            escapes = true;
            at += (unsigned char)r->buffer[at + 1] < 0x20 ? 1 : 2; /* a control octet is a fault, escaped or not */
        } else if (r->buffer[at] != '\\' && at < r->end) {
            fail(r, at,
                 r->buffer[at] == '\n' ? "the string is not closed on its line"
                                       : "a control character in a string: write it as \\u00XX");
            return false;
        } else if (refill(r, &moved)) {
            at -= moved;
        } else {
            fail(r, r->end, "the text ends in the middle of a string");
            return false;
        }
    }
    size_t from = r->token + 1, length = at - from;
    if ((escapes || (high & 0x8080808080808080u)) && !settle_string(r, from, at, &length))
        return false;
    if (length > r->limits.string) {
        fail(r, r->token, "the string is too long");
        return false;
    }
    r->buffer[from + length] = '\0';
    r->text = r->buffer + from;
    r->text_length = length;
    r->next = at + 1;
    return true;
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

/* RFC 8259 section 6. The end of the number at p, NULL if there is none. The text is NUL-terminated. */
static const char *number_end(const char *p) {
    if (*p == '-')
        p++;
    if (!digit(*p))
        return NULL;
    if (*p == '0')
        p++;
    else
        while (digit(*p))
            p++;
    if (*p == '.') {
        p++;
        if (!digit(*p))
            return NULL;
        while (digit(*p))
            p++;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-')
            p++;
        if (!digit(*p))
            return NULL;
        while (digit(*p))
            p++;
    }
    return p;
}

static bool read_number(struct json_reader *r) {
    size_t at = r->next, moved;
    r->token = at;
    for (;;) {
        char c = r->buffer[at];
        if (digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E') {
            if (++at - r->token > r->limits.string)
                break;
        } else if (at == r->end) {
            bool more = refill(r, &moved);
            at -= moved;
            if (!more)
                break;
        } else {
            break;
        }
    }
    const char *begin = r->buffer + r->token;
    if (number_end(begin) != r->buffer + at) {
        fail(r, r->token, "not a number that JSON knows");
        return false;
    }
    r->text = begin;
    r->text_length = at - r->token;
    r->next = r->held_at = at;
    r->held = r->buffer[at];
    r->holding = true;
    r->buffer[at] = '\0';
    return true;
}

static bool read_word(struct json_reader *r, const char *word) {
    size_t length = strlen(word), moved;
    r->token = r->next;
    while (r->end - r->next < length && refill(r, &moved))
        ;
    if (r->end - r->next < length || memcmp(r->buffer + r->next, word, length) != 0) {
        fail(r, r->next, "not a value: true, false, null, a number, or text in double quotes is expected");
        return false;
    }
    r->next += length;
    return true;
}

static enum json_event settled(struct json_reader *r, enum json_event event) {
    r->state = r->depth ? COMMA : DONE;
    return r->event = event;
}

static enum json_event open_container(struct json_reader *r, char bracket) {
    if (r->depth == r->limits.depth)
        return fail(r, r->next, "nested too deeply");
    r->open[r->depth++] = bracket;
    r->next++;
    r->state = bracket == '{' ? KEY_OR_END : VALUE_OR_END;
    return r->event = bracket == '{' ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_event close_container(struct json_reader *r) {
    r->next++;
    return settled(r, r->open[--r->depth] == '{' ? JSON_OBJECT_END : JSON_ARRAY_END);
}

static enum json_event read_value(struct json_reader *r, int c) {
    switch (c) {
    case '{':
    case '[':
        return open_container(r, (char)c);
    case '"':
        return read_string(r) ? settled(r, JSON_STRING) : JSON_ERROR;
    case 't':
        return read_word(r, "true") ? settled(r, JSON_TRUE) : JSON_ERROR;
    case 'f':
        return read_word(r, "false") ? settled(r, JSON_FALSE) : JSON_ERROR;
    case 'n':
        return read_word(r, "null") ? settled(r, JSON_NULL) : JSON_ERROR;
    case '\'':
        return fail(r, r->next, "JSON wants double quotes");
    case '/':
    case '#':
        return fail(r, r->next, "JSON has no comments (a key that begins with _ is one here)");
    default:
        if (digit((char)c) || c == '-')
            return read_number(r) ? settled(r, JSON_NUMBER) : JSON_ERROR;
        return fail(r, r->next, "a value is expected here");
    }
}

static enum json_event at_end(struct json_reader *r) {
    if (r->state == FAILED)
        return JSON_ERROR;
    if (r->read_error)
        return fail(r, r->next, "");
    if (r->state == DONE || (r->state == START && r->limits.lines))
        return r->event = JSON_END;
    return fail(r, r->next,
                r->state == START ? "there is no JSON here: the text is empty" : "the text ends in the middle of a value");
}

/* After a value inside a container: a comma (then *c is the octet after it and the state says what is to come) or the end. */
static bool read_comma(struct json_reader *r, int *c) {
    bool object = r->open[r->depth - 1] == '{';
    if (*c != ',') {
        fail(r, r->next, object ? "a ',' or '}' is expected here" : "a ',' or ']' is expected here");
        return false;
    }
    r->next++;
    r->state = object ? KEY : VALUE;
    *c = skip_space(r);
    if (*c == (object ? '}' : ']')) {
        fail(r, r->next, "nothing comes after the last ','");
        return false;
    }
    return true;
}

enum json_event json_next(struct json_reader *r) {
    if (r->state == FAILED)
        return JSON_ERROR;
    if (r->holding) {
        r->buffer[r->held_at] = r->held;
        r->holding = false;
    }
    r->text = "";
    r->text_length = 0;
    if (r->base + r->next == 0)
        skip_byte_order_mark(r);
    int c = skip_space(r);
    if (r->state == COLON && c >= 0) {
        if (c != ':')
            return fail(r, r->next, "a ':' is expected after a key");
        r->next++;
        r->state = VALUE;
        c = skip_space(r);
    }
    if (r->state == COMMA && c >= 0) {
        if (c == (r->open[r->depth - 1] == '{' ? '}' : ']'))
            return close_container(r);
        if (!read_comma(r, &c))
            return JSON_ERROR;
    }
    if (c < 0)
        return at_end(r);
    switch (r->state) {
    case DONE:
        return fail(r, r->next, r->limits.lines ? "more text after the line's value" : "more text after the end of the document");
    case KEY_OR_END:
    case KEY:
        if (c == '}' && r->state == KEY_OR_END)
            return close_container(r);
        if (c != '"')
            return fail(r, r->next, "a key in double quotes is expected here");
        if (!read_string(r))
            return JSON_ERROR;
        r->state = COLON;
        return r->event = JSON_KEY;
    case VALUE_OR_END:
        if (c == ']')
            return close_container(r);
        return read_value(r, c);
    default:
        return read_value(r, c);
    }
}

static const char *skip_blanks(const char *p) {
    while (*p == ' ')
        p++;
    return p;
}

/* From a string's quote to behind its closing one; NULL if there is more to it than that. */
static const char *plain_string(const char *p, uint64_t *high) {
    p = scan_plain(p + 1, high);
    return *p == '"' ? p + 1 : NULL;
}

/* A member's value at p. Returns what is behind it, NULL if it isn't plain. */
static const char *plain_value(const char *p, const char *object, struct json_member *member, uint64_t *high) {
    static const struct {
        char word[6];
        uint8_t length;
        enum json_event type;
    } words[] = {{"null", 4, JSON_NULL}, {"true", 4, JSON_TRUE}, {"false", 5, JSON_FALSE}};
    const char *end = NULL;
    member->at = member->text = (uint32_t)(p - object);
    if (*p == '"') {
        end = plain_string(p, high);
        member->type = JSON_STRING;
        member->text++;
        member->length = end ? (uint32_t)(end - p) - 2 : 0;
    } else if (digit(*p) || *p == '-') {
        end = number_end(p);
        member->type = JSON_NUMBER;
        member->length = end ? (uint32_t)(end - p) : 0;
    } else {
        member->length = 0;
        for (size_t i = 0; !end && i < sizeof words / sizeof words[0]; i++) {
            if (strncmp(p, words[i].word, words[i].length) != 0)
                continue;
            end = p + words[i].length;
            member->type = words[i].type;
        }
    }
    return end ? skip_blanks(end) : NULL;
}

/* As in every scan, the NUL behind the buffer's text ends what would run over it: it is part of nothing plain. */
size_t json_peek_object(const struct json_reader *r, const char **text, struct json_member *members, size_t room, size_t *count) {
    if (r->state != KEY_OR_END || r->event != JSON_OBJECT)
        return 0;
    const char *object = r->buffer + r->next - 1, *p = skip_blanks(object + 1);
    uint64_t high = 0;
    for (*count = 0; *count < room; p = skip_blanks(p + 1)) {
        struct json_member *member = &members[(*count)++];
        if (*p != '"')
            return 0;
        member->key = (uint32_t)(p + 1 - object);
        if (!(p = plain_string(p, &high)))
            return 0;
        member->key_length = (uint32_t)(p - object) - member->key - 1;
        p = skip_blanks(p);
        if (*p != ':' || !(p = plain_value(skip_blanks(p + 1), object, member, &high)))
            return 0;
        if (*p == '}') {
            *text = object;
            size_t length = (size_t)(p + 1 - object);
            return (high & 0x8080808080808080u) == 0 && length <= r->limits.string && length < UINT32_MAX ? length : 0;
        }
        if (*p != ',')
            return 0;
    }
    return 0;
}

void json_pass_object(struct json_reader *r, size_t length) {
    r->next += length - 2; /* to the closing brace */
    mark(r, r->next);
    close_container(r);
}

const char *json_text(const struct json_reader *r, size_t *length) {
    if (length)
        *length = r->text_length;
    return r->text;
}

uint32_t json_line(const struct json_reader *r) {
    return r->event_line;
}

uint32_t json_column(const struct json_reader *r) {
    return r->event_column;
}

uint64_t json_offset(const struct json_reader *r) {
    return r->event_offset;
}

size_t json_depth(const struct json_reader *r) {
    return r->depth;
}

int json_skip(struct json_reader *r) {
    size_t outside = r->depth;
    if (r->event == JSON_KEY) {
        enum json_event event = json_next(r);
        if (event != JSON_OBJECT && event != JSON_ARRAY)
            return event == JSON_ERROR ? -1 : 0;
    } else if (r->event == JSON_OBJECT || r->event == JSON_ARRAY) {
        outside--;
    } else {
        return r->state == FAILED ? -1 : 0;
    }
    while (r->depth > outside) {
        if (json_next(r) == JSON_ERROR)
            return -1;
    }
    return 0;
}

void json_skip_line(struct json_reader *r) {
    if (r->holding) {
        r->buffer[r->held_at] = r->held;
        r->holding = false;
    }
    while (!r->read_error) {
        char *newline = memchr(r->buffer + r->next, '\n', r->end - r->next);
        size_t moved;
        r->next = newline ? (size_t)(newline - r->buffer) : r->end;
        r->token = r->next;
        if (newline || !refill(r, &moved))
            break;
    }
    r->depth = 0;
    r->state = r->read_error ? FAILED : START; /* the newline itself is left to skip_space, which counts it */
    r->event = JSON_NULL;
    r->text = "";
    r->text_length = 0;
}

const char *json_error(const struct json_reader *r) {
    return r->state == FAILED ? r->error : "";
}

int json_read_error(const struct json_reader *r) {
    return r->read_error;
}
