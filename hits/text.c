/* hits/text.c: lines being put together, and strings shared by count. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hits/text.h"
#include "policy/name.h"

void text_free(struct text *text) {
    free(text->data);
    *text = (struct text){0};
}

bool text_room(struct text *text, size_t more) {
    if (text->capacity - text->length >= more)
        return !text->failed;
    size_t capacity = text->capacity == 0 ? 4096 : text->capacity;
    while (capacity - text->length < more)
        capacity *= 2;
    char *data = text->failed ? NULL : realloc(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_string(struct text *text, const char *string) {
    text_put(text, string, strlen(string));
}

void text_number(struct text *text, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_put(text, digits + at, sizeof digits - at);
}

/* Length of the UTF-8 sequence at `at` (1..4), 0 if it isn't one (RFC 3629: no overlong forms, no surrogates, <= U+10FFFF). */
static size_t utf8_length(const uint8_t *at, size_t left) {
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) || (first == 0xf0 && at[1] < 0x90) ||
        (first == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

static uint32_t code_of(const uint8_t *at, size_t length) {
    uint32_t code = length == 1 ? at[0] : at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        code = code << 6 | (at[i] & 0x3f);
    return code;
}

/* Controls, and what is meant not to be seen: it joins, parts or turns around what stands beside it. */
static bool is_hidden(uint32_t code) {
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e},  {0x200b, 0x200f},
                  {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        if (code >= hidden[i].first && code <= hidden[i].last)
            return true;
    return false;
}

static void put_unit(struct text *text, uint32_t unit) {
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    text_put(text, escape, sizeof escape);
}

static void put_escape(struct text *text, uint32_t code) {
    if (code > 0xffff) {
        put_unit(text, 0xd7c0 + (code >> 10));
        code = 0xdc00 | (code & 0x3ff);
    }
    put_unit(text, code);
}

/* How many of the octets, in eights, stand for themselves: 0x20 to 0x7e but for the quote and the backslash. */
static size_t plain_length(const uint8_t *octets, size_t length) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    size_t at = 0;
    for (; length - at >= 8; at += 8) {
        uint64_t word, quote, slash, del;
        memcpy(&word, octets + at, 8);
        quote = word ^ ones * '"';
        slash = word ^ ones * '\\';
        del = word ^ ones * 0x7f;
        /* In each of these the lowest octet whose top bit is set is one that is searched for. */
        if ((((word - ones * 0x20) | word | (quote - ones) | (slash - ones) | (del - ones)) & tops) != 0)
            break;
    }
    return at;
}

void text_json(struct text *text, const char *string, size_t length) {
    const uint8_t *octets = (const uint8_t *)string;
    text_put(text, "\"", 1);
    size_t begun = 0, i = plain_length(octets, length);
    while (i < length) {
        uint8_t c = octets[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t sequence = utf8_length(octets + i, length - i);
        uint32_t code = sequence > 0 ? code_of(octets + i, sequence) : 0xfffd;
        if (sequence > 1 && !is_hidden(code)) {
            i += sequence;
            continue;
        }
        text_put(text, string + begun, i - begun);
        if (c == '"' || c == '\\') {
            char escape[2] = {'\\', (char)c};
            text_put(text, escape, 2);
        } else {
            put_escape(text, code);
        }
        i += sequence == 0 ? 1 : sequence;
        begun = i;
    }
    text_put(text, string + begun, length - begun);
    text_put(text, "\"", 1);
}

/* The presentation form of a name of letters, digits, hyphens and underscores only, which needs no escapes of either kind. Returns
 * its length; 0: the name has other octets, or is the root. */
static size_t plain_name(const uint8_t *wire, char out[NAME_WIRE_MAX]) {
    static const bool plain[256] = {['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['_'] = true};
    size_t length = 0;
    bool all = true;
    for (const uint8_t *label = wire; *label != 0; label += *label + 1) {
        for (size_t i = 1; i <= *label; i++) {
            out[length++] = (char)label[i];
            all &= plain[label[i]];
        }
        out[length++] = '.';
    }
    return all && length > 0 ? length - 1 : 0;
}

static void put_name(struct text *text, bool below, const uint8_t *wire) {
    enum { AROUND = 4 /* quotes, and what stands before names below one */ };
    char name[2 + NAME_TEXT_MAX] = "*.";
    size_t front = below ? 2 : 0;
    if (text->capacity - text->length < NAME_WIRE_MAX + AROUND && !text_room(text, NAME_WIRE_MAX + AROUND))
        return;
    char *at = text->data + text->length;
    size_t length = plain_name(wire, at + 1 + front);
    if (length == 0) {
        text_json(text, name + 2 - front, front + name_to_text(wire, name + 2));
        return;
    }
    at[0] = '"';
    memcpy(at + 1, name, front);
    at[1 + front + length] = '"';
    text->length += length + front + 2;
}

void text_json_name(struct text *text, const uint8_t *wire) {
    put_name(text, false, wire);
}

void text_json_below(struct text *text, const uint8_t *wire) {
    put_name(text, true, wire);
}

static void two_digits(char *out, unsigned value) {
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

void text_time(char out[TIME_LENGTH], uint64_t ts_us) {
    uint64_t seconds = ts_us / 1000000;
    unsigned micros = (unsigned)(ts_us % 1000000), second = (unsigned)(seconds % 86400);
    /* The Gregorian calendar in eras of 400 years that begin on a 1st of March, so that a leap day is a year's last. */
    uint64_t days = seconds / 86400 + 719468, era = days / 146097;
    unsigned day = (unsigned)(days % 146097);
    unsigned of_era = (day - day / 1460 + day / 36524 - day / 146096) / 365; /* year */
    unsigned of_year = day - (365 * of_era + of_era / 4 - of_era / 100);     /* day */
    unsigned shifted = (5 * of_year + 2) / 153;                              /* month, from March on */
    unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
    unsigned year = (unsigned)(era * 400) + of_era + (month <= 2);
    two_digits(out, year / 100);
    two_digits(out + 2, year);
    out[4] = '-';
    two_digits(out + 5, month);
    out[7] = '-';
    two_digits(out + 8, of_year - (153 * shifted + 2) / 5 + 1);
    out[10] = 'T';
    two_digits(out + 11, second / 3600);
    out[13] = ':';
    two_digits(out + 14, second / 60 % 60);
    out[16] = ':';
    two_digits(out + 17, second % 60);
    out[19] = '.';
    two_digits(out + 20, micros / 10000);
    two_digits(out + 22, micros / 100);
    two_digits(out + 24, micros);
    out[26] = 'Z';
}

struct phrase *phrase_new(const char *string, size_t length) {
    struct phrase *phrase = malloc(sizeof *phrase + length + 1);
    if (phrase == NULL)
        return NULL;
    phrase->references = 1;
    phrase->length = (uint32_t)length;
    memcpy(phrase->text, string, length);
    phrase->text[length] = '\0';
    return phrase;
}

struct phrase *phrase_new_printable(const char *string, size_t length) {
    struct text text = {0};
    const uint8_t *octets = (const uint8_t *)string;
    for (size_t i = 0; i < length;) {
        size_t sequence = utf8_length(octets + i, length - i);
        if (sequence > 0 && !is_hidden(code_of(octets + i, sequence))) {
            text_put(&text, string + i, sequence);
            i += sequence;
            continue;
        }
        for (size_t end = i + (sequence == 0 ? 1 : sequence); i < end; i++) {
            unsigned octet = octets[i];
            char escape[4] = {'\\', (char)('0' + octet / 100), (char)('0' + octet / 10 % 10), (char)('0' + octet % 10)};
            text_put(&text, escape, sizeof escape);
        }
    }
    struct phrase *phrase = text.failed ? NULL : phrase_new(text.data == NULL ? "" : text.data, text.length);
    text_free(&text);
    return phrase;
}

struct phrase *phrase_ref(struct phrase *phrase) {
    if (phrase != NULL)
        phrase->references++;
    return phrase;
}

void phrase_unref(struct phrase *phrase) {
    if (phrase != NULL && --phrase->references == 0)
        free(phrase);
}
