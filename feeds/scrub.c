/* feeds/scrub.c: one pass that stops at octets above ASCII and at backslashes alone. */
#include "feeds/scrub.h"

#include <stdint.h>
#include <string.h>

enum { ESCAPE = 6 }; /* octets of \uXXXX */

size_t scrub_sequence(const char *text, size_t left) {
    const unsigned char *p = (const unsigned char *)text;
    size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : p[0] >= 0xE0 && p[0] <= 0xEF ? 3 : 4;
    unsigned low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80, high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[0] >= 0x80 && (p[0] < 0xC2 || p[0] > 0xF4))
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (i == left)
            return left + 1;
        if (p[i] < (i == 1 ? low : 0x80) || p[i] > (i == 1 ? high : 0xBF))
            return 0;
    }
    return length;
}

/* The code of \uXXXX at text; -1 if it isn't one. */
static int escape_code(const char *text) {
    int code = 0;
    if (text[0] != '\\' || text[1] != 'u')
        return -1;
    for (int i = 2; i < ESCAPE; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* The octets that the escape at text takes up; 0: more are needed to tell. */
static size_t mend_escape(char *text, size_t left, bool last, bool *mended) {
    if (left < 2)
        return last ? 1 : 0;
    if (text[1] != 'u')
        return 2;
    if (left < ESCAPE)
        return last ? 2 : 0;
    int code = escape_code(text);
    if (code < 0xD800 || code > 0xDFFF)
        return 2;
    if (code <= 0xDBFF) {
        size_t like = left < 2 * ESCAPE ? left - ESCAPE : ESCAPE;
        bool may_go_on = like == 0 || (text[ESCAPE] == '\\' && (like == 1 || text[ESCAPE + 1] == 'u'));
        if (like < ESCAPE && may_go_on && !last)
            return 0;
        int second = like == ESCAPE ? escape_code(text + ESCAPE) : -1;
        if (second >= 0xDC00 && second <= 0xDFFF)
            return 2 * ESCAPE;
    }
    memcpy(text, "\\u003f", ESCAPE);
    *mended = true;
    return ESCAPE;
}

static size_t mend_octet(char *text, size_t left, bool last, bool *mended) {
    size_t length = scrub_sequence(text, left);
    if (length > left && !last)
        return 0;
    if (length > 0 && length <= left)
        return length;
    *text = '?';
    *mended = true;
    return 1;
}

/* From `at` on, the first octet that has to be looked at. */
static size_t skip_plain(const char *text, size_t at, size_t length) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (; at + sizeof(uint64_t) <= length; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof word);
        uint64_t backslash = word ^ (ones * '\\');
        if ((word | ((backslash - ones) & ~backslash)) & tops)
            break;
    }
    while (at < length && text[at] != '\\' && (unsigned char)text[at] < 0x80)
        at++;
    return at;
}

size_t scrub(char *text, size_t length, bool last, bool *mended) {
    size_t at = 0;
    while ((at = skip_plain(text, at, length)) < length) {
        size_t taken =
            text[at] == '\\' ? mend_escape(text + at, length - at, last, mended) : mend_octet(text + at, length - at, last, mended);
        if (taken == 0)
            break;
        at += taken;
    }
    return at;
}
