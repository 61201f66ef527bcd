/* feeds/normalise.c: see normalise.h; the order of the steps is FORMATS.md section 0, each is needed by a real feed. */
#include "feeds/normalise.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "policy/idna.h"

enum {
    TEXT_MAX = 1024, /* octets of a name as written: 253, and what Unicode, brackets and escapes may add */
    PORT_DIGITS_MAX = 5,
};

/* What a character of a name becomes; 0: it has no place in one (or, from 0x80 on, isn't ASCII). RFC 1123 letters, digits and
 * hyphen, and the underscore of many real names. */
static const uint8_t NAME_CHARACTER[256] = {
    ['-'] = '-', ['_'] = '_', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',
    ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
    ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b',
    ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',
    ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

struct span {
    const char *text;
    size_t length;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static struct span trim(struct span span) {
    static const char mark[] = "\xEF\xBB\xBF"; /* U+FEFF, left over where files were joined */
    for (;;) {
        if (span.length > 0 && is_blank(span.text[0])) {
            span.text++;
            span.length--;
        } else if (span.length > 0 && is_blank(span.text[span.length - 1])) {
            span.length--;
        } else if (span.length >= 3 && memcmp(span.text, mark, 3) == 0) {
            span.text += 3;
            span.length -= 3;
        } else {
            return span;
        }
    }
}

/* Replaces the brackets that keep people from clicking. "hxxp" counts only as the scheme at the very start: it is part of real
 * names elsewhere. */
static int refang(struct span *span, char *buffer, const char **why) {
    static const struct {
        const char *from;
        uint8_t length;
        char to;
    } swaps[] = {{"[.]", 3, '.'}, {"(.)", 3, '.'}, {"[dot]", 5, '.'}, {"[:]", 3, ':'}};
    size_t out = 0, at = 0;
    if (span->length >= TEXT_MAX) {
        *why = "too long";
        return -EINVAL;
    }
    if (span->length > 4 && strncasecmp(span->text, "hxxp", 4) == 0 &&
        memchr(span->text, ':', span->length < 9 ? span->length : 9)) {
        memcpy(buffer, "http", 4);
        at = out = 4;
    }
    while (at < span->length) {
        size_t i = 0;
        while (i < sizeof swaps / sizeof swaps[0] &&
               (span->length - at < swaps[i].length || strncasecmp(span->text + at, swaps[i].from, swaps[i].length) != 0))
            i++;
        if (i < sizeof swaps / sizeof swaps[0]) {
            buffer[out++] = swaps[i].to;
            at += swaps[i].length;
        } else {
            buffer[out++] = span->text[at++];
        }
    }
    *span = (struct span){buffer, out};
    return 0;
}

/* The fast path: letters, digits, hyphens and underscores straight to wire form. 1 done, 0 not that simple, -EINVAL. */
static int simple_name(struct name *name, struct span span, const char **why) {
    size_t label = 0, out = 1;
    unsigned labels = 0;
    if (span.length > NAME_WIRE_MAX - 2)
        return 0;
    for (size_t i = 0; i < span.length; i++) {
        uint8_t c = NAME_CHARACTER[(uint8_t)span.text[i]];
        if (c != 0) {
            name->wire[out++] = c;
        } else if (span.text[i] == '.') {
            size_t octets = out - label - 1;
            *why = octets == 0 ? "an empty label" : "a label longer than 63 octets";
            if (octets == 0 || octets > NAME_LABEL_MAX)
                return -EINVAL;
            name->wire[label] = (uint8_t)octets;
            label = out++;
            labels++;
        } else {
            return 0;
        }
    }
    size_t octets = out - label - 1;
    *why = octets == 0 ? "an empty label" : "a label longer than 63 octets";
    if (octets == 0 || octets > NAME_LABEL_MAX)
        return -EINVAL;
    name->wire[label] = (uint8_t)octets;
    name->wire[out++] = 0;
    name->length = (uint8_t)out;
    name->labels = (uint8_t)(labels + 1);
    return 1;
}

/* Says what doesn't belong in a name, or NULL if nothing is out of place but Unicode. */
static const char *odd_character(struct span span) {
    for (size_t i = 0; i < span.length; i++) {
        uint8_t c = (uint8_t)span.text[i];
        if (c >= 0x80 || c == '.' || NAME_CHARACTER[c] != 0)
            continue;
        if (is_blank((char)c))
            return "a blank inside";
        if (c < 0x20 || c == 0x7f)
            return "a control character inside";
        return c == '*' ? "a '*' that doesn't stand alone in front" : "a character that doesn't belong in a name";
    }
    return NULL;
}

/* A name with backslashes: what they don't escape must belong in a name by itself. */
static int escaped_name(struct name *name, struct span span, const char **why) {
    for (size_t i = 0; i < span.length; i++) {
        const char *odd = odd_character((struct span){span.text + i, 1});
        if (span.text[i] == '\\') {
            i++; /* of \DDD, the digits left are name characters, and judged with the escape below */
        } else if (odd) {
            *why = odd;
            return -EINVAL;
        }
    }
    return name_from_text(name, span.text, span.length, why) ? -EINVAL : 0;
}

static int any_name(struct name *name, struct span span, unsigned flags, const char **why) {
    int done = simple_name(name, span, why);
    if (done != 0)
        return done > 0 ? 0 : done;
    if ((flags & NORMALISE_ESCAPES) && memchr(span.text, '\\', span.length))
        return escaped_name(name, span, why);
    const char *odd = odd_character(span);
    if (odd) {
        *why = odd;
        return -EINVAL;
    }
    if (span.length > TEXT_MAX) {
        *why = "too long";
        return -EINVAL;
    }
    int error = name_from_unicode(name, span.text, span.length, why);
    if (error)
        return -EINVAL;
    char text[NAME_TEXT_MAX];
    size_t length = name_to_text(name->wire, text);
    if (name->labels > 0 && odd_character((struct span){text, length})) {
        *why = "a character that doesn't belong in a name";
        return -EINVAL;
    }
    return 0;
}

/* Cheap enough to ask for every name: an address ends in a digit and its last label holds nothing else, or it holds a colon. */
static bool may_be_address(struct span span) {
    char last = span.text[span.length - 1];
    if (last == ']' || memchr(span.text, ':', span.length))
        return true;
    if (!is_digit(last))
        return false;
    if (memchr(span.text, '/', span.length))
        return true;
    size_t at = span.length;
    while (at > 0 && is_digit(span.text[at - 1]))
        at--;
    return at > 0 && span.text[at - 1] == '.' && is_digit(span.text[0]);
}

/* Takes ":port" off the end. True if there was one. */
static bool drop_port(struct span *span) {
    size_t at = span->length;
    while (at > 0 && is_digit(span->text[at - 1]))
        at--;
    size_t digits = span->length - at;
    if (at < 2 || span->text[at - 1] != ':' || digits == 0 || digits > PORT_DIGITS_MAX)
        return false;
    unsigned port = 0;
    for (size_t i = at; i < span->length; i++)
        port = port * 10 + (unsigned)(span->text[i] - '0');
    if (port > 65535)
        return false;
    span->length = at - 1;
    return true;
}

/* 1 an address or prefix, 0 neither, -EINVAL a faulty prefix. */
static int read_address(struct span span, unsigned flags, struct value *value, const char **why) {
    if (span.length == 0 || !may_be_address(span))
        return 0;
    struct ip ip;
    value->kind = VALUE_PREFIX;
    if (flags & NORMALISE_PORT) {
        /* The port first: with IPv6 "2001:db8::1:443" both readings parse, and a feed that writes ports writes them always. */
        struct span host = span;
        if (drop_port(&host) && ip_from_text(&ip, host.text, host.length) == 0) {
            value->prefix = (struct prefix){ip, 128};
            return 1;
        }
    }
    if (ip_from_text(&ip, span.text, span.length) == 0) {
        value->prefix = (struct prefix){ip, 128};
        return 1;
    }
    const char *slash = memchr(span.text, '/', span.length);
    if (!slash || ip_from_text(&ip, span.text, (size_t)(slash - span.text)) != 0)
        return 0;
    return prefix_from_text(&value->prefix, span.text, span.length, (flags & NORMALISE_LOOSE_PREFIX) != 0, why) == 0 ? 1 : -EINVAL;
}

static int read_name(struct span span, unsigned flags, struct value *value, const char **why) {
    value->kind = VALUE_NAME;
    if (flags & NORMALISE_PORT)
        drop_port(&span);
    if (span.length >= 2 && span.text[0] == '*' && span.text[1] == '.') {
        value->star = true;
        span.text += 2;
        span.length -= 2;
    } else if (span.length >= 2 && span.text[0] == '.') {
        value->dot = true;
        span.text++;
        span.length--;
    }
    if (span.length > 1 && span.text[span.length - 1] == '.' && span.text[span.length - 2] != '\\')
        span.length--;
    if (span.length == 0 || (span.length == 1 && span.text[0] == '.')) {
        value->name = (struct name){.length = 1, .labels = 0, .wire = {0}};
    } else {
        int error = any_name(&value->name, span, flags, why);
        if (error)
            return error;
    }
    if (value->name.labels < 2 && !(flags & NORMALISE_ONE_LABEL)) {
        *why = value->name.labels == 0 ? "the root" : "a name of one label";
        return -EINVAL;
    }
    return 0;
}

int normalise(const char *text, size_t length, unsigned flags, struct value *value, const char **why) {
    char buffer[TEXT_MAX];
    struct span span = trim((struct span){text, length});
    value->star = value->dot = false;
    *why = "empty";
    if (span.length == 0)
        return -EINVAL;
    if (flags & NORMALISE_REFANG) {
        int error = refang(&span, buffer, why);
        if (error)
            return error;
    }
    int address = read_address(span, flags, value, why);
    if (address != 0)
        return address > 0 ? 0 : address;
    return read_name(span, flags, value, why);
}

int normalise_url(const char *text, size_t length, unsigned flags, struct value *value, const char **why) {
    char buffer[TEXT_MAX];
    struct span span = trim((struct span){text, length});
    if (flags & NORMALISE_REFANG) {
        size_t host_end = span.length < TEXT_MAX - 1 ? span.length : TEXT_MAX - 1; /* a path may be long, and doesn't matter */
        span.length = host_end;
        int error = refang(&span, buffer, why);
        if (error)
            return error;
    }
    const char *scheme = memmem(span.text, span.length, "://", 3);
    const char *slash = memchr(span.text, '/', span.length);
    if (scheme && (!slash || scheme < slash)) {
        span.length -= (size_t)(scheme + 3 - span.text);
        span.text = scheme + 3;
    }
    size_t end = 0;
    while (end < span.length && !strchr("/?#\\", span.text[end]))
        end++;
    span.length = end;
    const char *at = memrchr(span.text, '@', span.length);
    if (at) {
        span.length -= (size_t)(at + 1 - span.text);
        span.text = at + 1;
    }
    if (span.length > 0 && span.text[span.length - 1] == ':')
        span.length--; /* an empty port (RFC 3986 section 3.2.3) */
    *why = "a URL without a host";
    if (span.length == 0 || span.text[0] == '.' || span.text[0] == '*')
        return -EINVAL;
    return normalise(span.text, span.length, (flags & ~(unsigned)NORMALISE_REFANG) | NORMALISE_PORT, value, why);
}
