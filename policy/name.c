/* policy/name.c: reading, writing, comparing and hashing domain names in wire form. */
#include "policy/name.h"

#include <errno.h>
#include <string.h>

#include "policy/hash.h"

static const uint64_t SWAR_ONES = 0x0101010101010101u;
static const uint64_t SWAR_HIGH = 0x8080808080808080u;

/* Lowers the ASCII letters of eight octets at once. Length octets pass unharmed: they are at most 63, below 'A'. */
static inline uint64_t lower8(uint64_t octets) {
    uint64_t low7 = octets & ~SWAR_HIGH;
    uint64_t from_a = low7 + SWAR_ONES * (0x80 - 'A');
    uint64_t past_z = low7 + SWAR_ONES * (0x7f - 'Z');
    uint64_t is_upper = (from_a ^ past_z) & ~octets & SWAR_HIGH;
    return octets | is_upper >> 2;
}

static inline uint8_t lower1(uint8_t octet) {
    return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet | 0x20) : octet;
}

static void copy_lower(uint8_t *to, const uint8_t *from, size_t length) {
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t octets = lower8(load8(from + i));
        memcpy(to + i, &octets, sizeof octets);
    }
    for (; i < length; i++)
        to[i] = lower1(from[i]);
}

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* One character of presentation form, an escape included. Returns how much text it took, 0 for a bad one. */
static size_t read_octet(const char *text, size_t length, uint8_t *octet, const char **why) {
    uint8_t c = (uint8_t)text[0];
    if (c <= 0x20 || c == 0x7f) {
        *why = "blank or control character in name";
        return 0;
    }
    if (c >= 0x80) {
        *why = "not ASCII";
        return 0;
    }
    if (c != '\\') {
        *octet = c;
        return 1;
    }
    *why = "bad escape";
    if (length < 2)
        return 0;
    if (!is_digit(text[1])) {
        *octet = (uint8_t)text[1];
        return *octet > 0x20 && *octet < 0x7f ? 2 : 0;
    }
    if (length < 4 || !is_digit(text[2]) || !is_digit(text[3]))
        return 0;
    int value = (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
    if (value > 255)
        return 0;
    *octet = (uint8_t)value;
    return 4;
}

/* Reads one label at text into wire (its length octet first). Returns the text taken, its dot included, or 0. */
static size_t read_label(const char *text, size_t length, uint8_t *wire, size_t room, const char **why) {
    size_t taken = 0;
    size_t octets = 0;
    while (taken < length && text[taken] != '.') {
        uint8_t octet = 0;
        size_t step = read_octet(text + taken, length - taken, &octet, why);
        if (step == 0)
            return 0;
        if (octets == NAME_LABEL_MAX) {
            *why = "label longer than 63 octets";
            return 0;
        }
        if (octets + 2 > room) {
            *why = "name longer than 255 octets";
            return 0;
        }
        wire[1 + octets++] = lower1(octet);
        taken += step;
    }
    if (octets == 0) {
        *why = "empty label";
        return 0;
    }
    wire[0] = (uint8_t)octets;
    return taken < length ? taken + 1 : taken;
}

/* The high bit of every octet of `octets` that is less than n (at most 128); exact as to whether there is one. */
static inline uint64_t any_less(uint64_t octets, uint8_t n) {
    return (octets - SWAR_ONES * n) & ~octets & SWAR_HIGH;
}

/* True if no character needs a look of its own: printable ASCII without blanks and backslashes. */
static bool is_plain(const char *text, size_t length) {
    uint64_t odd = 0;
    for (size_t at = 0; at < length; at += 8) {
        uint64_t octets = SWAR_ONES * 'a';
        memcpy(&octets, text + at, length - at < 8 ? length - at : 8);
        odd |= (octets & SWAR_HIGH) | any_less(octets, 0x21) | any_less(octets ^ SWAR_ONES * 0x7f, 1) |
               any_less(octets ^ SWAR_ONES * '\\', 1);
    }
    return odd == 0;
}

/* Nearly all names are plain, and ten million of them are read at a time: dots become lengths where they stand. Returns false for
 * what is not plain or not a name; the slow way then says why. */
static bool read_plain(struct name *name, const char *text, size_t length) {
    if (text[length - 1] == '.')
        length--;
    if (length == 0 || length > NAME_WIRE_MAX - 2 || !is_plain(text, length))
        return false;
    uint8_t wire[NAME_WIRE_MAX + 16]; /* more than is needed: compilers take the copy's steps for longer than they are */
    unsigned labels = 0;
    copy_lower(wire + 1, (const uint8_t *)text, length);
    for (size_t at = 0; at <= length; labels++) {
        const char *dot = memchr(text + at, '.', length - at);
        size_t octets = dot != NULL ? (size_t)(dot - text) - at : length - at;
        if (octets == 0 || octets > NAME_LABEL_MAX)
            return false;
        wire[at] = (uint8_t)octets;
        at += octets + 1;
    }
    wire[length + 1] = 0;
    name->length = (uint8_t)(length + 2);
    name->labels = (uint8_t)labels;
    memcpy(name->wire, wire, length + 2);
    return true;
}

int name_from_text(struct name *name, const char *text, size_t length, const char **why) {
    const char *ignored;
    if (why == NULL)
        why = &ignored;
    if (length == 0) {
        *why = "empty name";
        return -EINVAL;
    }
    if (read_plain(name, text, length))
        return 0;
    struct name result = {.length = 0, .labels = 0};
    size_t at = 0;
    if (length == 1 && text[0] == '.')
        at = 1;
    while (at < length) {
        /* the last octet is the root's */
        size_t room = (size_t)(NAME_WIRE_MAX - 1) - result.length;
        size_t taken = read_label(text + at, length - at, result.wire + result.length, room, why);
        if (taken == 0)
            return -EINVAL;
        result.length = (uint8_t)(result.length + result.wire[result.length] + 1);
        result.labels++;
        at += taken;
    }
    result.wire[result.length++] = 0;
    name->length = result.length;
    name->labels = result.labels;
    memcpy(name->wire, result.wire, result.length);
    return 0;
}

int name_from_wire(struct name *name, const uint8_t *wire, size_t length) {
    size_t at = 0;
    unsigned labels = 0;
    for (;;) {
        if (at >= length || at >= NAME_WIRE_MAX)
            return -EINVAL;
        uint8_t octets = wire[at++];
        if (octets == 0)
            break;
        if (octets > NAME_LABEL_MAX)
            return -EINVAL;
        at += octets;
        labels++;
    }
    copy_lower(name->wire, wire, at);
    name->length = (uint8_t)at;
    name->labels = (uint8_t)labels;
    return (int)at;
}

/* Does the octet stand for itself in presentation form? Letters, digits and what else names are made of, mostly. */
static inline bool stands_for_itself(uint8_t octet) {
    static const uint32_t plain[8] = {0, 0xf7ffbceau, 0xeffffffeu, 0x7fffffffu};
    return plain[octet / 32] >> octet % 32 & 1;
}

static size_t write_octet(uint8_t octet, char *text) {
    if (octet <= 0x20 || octet >= 0x7f) {
        text[0] = '\\';
        text[1] = (char)('0' + octet / 100);
        text[2] = (char)('0' + octet / 10 % 10);
        text[3] = (char)('0' + octet % 10);
        return 4;
    }
    /* what zone files give a meaning to */
    if (octet == '.' || octet == '\\' || octet == '"' || octet == '(' || octet == ')' || octet == ';' || octet == '@' ||
        octet == '$') {
        text[0] = '\\';
        text[1] = (char)octet;
        return 2;
    }
    text[0] = (char)octet;
    return 1;
}

size_t name_to_text(const uint8_t *wire, char *text) {
    size_t written = 0;
    if (wire[0] == 0)
        text[written++] = '.';
    for (size_t at = 0; wire[at] != 0; at += (size_t)wire[at] + 1) {
        if (at > 0)
            text[written++] = '.';
        for (size_t i = 1; i <= wire[at]; i++) {
            text[written] = (char)wire[at + i];
            written += stands_for_itself(wire[at + i]) ? 1 : write_octet(wire[at + i], text + written);
        }
    }
    text[written] = '\0';
    return written;
}

bool name_equal(const struct name *a, const struct name *b) {
    return a->length == b->length && memcmp(a->wire, b->wire, a->length) == 0;
}

bool name_is_within(const struct name *name, const struct name *ancestor) {
    if (ancestor->length > name->length || ancestor->labels > name->labels)
        return false;
    size_t at = 0;
    for (unsigned i = ancestor->labels; i < name->labels; i++)
        at += (size_t)name->wire[at] + 1;
    return name->length - at == ancestor->length && memcmp(name->wire + at, ancestor->wire, ancestor->length) == 0;
}

static unsigned label_offsets(const struct name *name, uint8_t at[NAME_LABELS_MAX + 1]) {
    unsigned count = 0;
    for (size_t offset = 0; name->wire[offset] != 0; offset += (size_t)name->wire[offset] + 1)
        at[count++] = (uint8_t)offset;
    return count;
}

int name_compare(const struct name *a, const struct name *b) {
    uint8_t at_a[NAME_LABELS_MAX + 1];
    uint8_t at_b[NAME_LABELS_MAX + 1];
    unsigned left_a = label_offsets(a, at_a);
    unsigned left_b = label_offsets(b, at_b);
    while (left_a > 0 && left_b > 0) {
        const uint8_t *label_a = a->wire + at_a[--left_a];
        const uint8_t *label_b = b->wire + at_b[--left_b];
        size_t shorter = label_a[0] < label_b[0] ? label_a[0] : label_b[0];
        int order = memcmp(label_a + 1, label_b + 1, shorter);
        if (order != 0)
            return order;
        if (label_a[0] != label_b[0])
            return label_a[0] < label_b[0] ? -1 : 1;
    }
    return (left_a > 0) - (left_b > 0);
}

/* --- hashing -------------------------------------------------------------------------------------------------------------------
 *
 * Each label is hashed by itself (so that the processor overlaps them), then a short chain from the right joins the label hashes to
 * suffix hashes. Label lengths vary from query to query, so the common path (up to 15 letters) has no branch that depends on them.
 */

struct hash_seed {
    uint64_t first;
    uint64_t second;
};

/* `at`: the label's length octet within wire; `end`: of the whole name, at least 8. No load leaves [0, end). The length octet is
 * hashed with the label, which keeps labels of different lengths apart. */
static inline uint64_t hash_label(const uint8_t *wire, size_t at, size_t end, struct hash_seed seed) {
    size_t octets = (size_t)wire[at] + 1;
    size_t from = at + 8 <= end ? at : end - 8;
    uint64_t head = load8(wire + from) >> 8 * (at - from);
    uint64_t mask = octets >= 8 ? ~UINT64_C(0) : (UINT64_C(1) << 8 * octets) - 1;
    uint64_t tail = load8(wire + (octets > 8 ? at + octets - 8 : 0)) & (octets > 8 ? ~UINT64_C(0) : 0);
    uint64_t hash = hash_fold((head & mask) ^ seed.first, tail ^ seed.second);
    for (size_t done = 8; octets > done + 8; done += 8)
        hash = hash_fold(load8(wire + at + done) ^ seed.second, hash ^ HASH_A);
    return hash;
}

static inline uint64_t hash_join(uint64_t parent, uint64_t label) {
    uint64_t hash = (parent ^ label) * HASH_B;
    return hash ^ hash >> 32;
}

void name_key_init(struct name_key *key, const uint8_t *wire, uint8_t length, uint64_t seed) {
    key->wire = wire;
    key->length = length;
    uint8_t padded[8]; /* loads are of eight octets */
    size_t end = length;
    if (__builtin_expect(length < sizeof padded, 0)) {
        memset(padded, 0, sizeof padded);
        wire = memcpy(padded, wire, length);
        end = sizeof padded;
    }
    struct hash_seed secrets = {.first = seed ^ HASH_A, .second = hash_fold(seed ^ HASH_B, HASH_A)};
    uint8_t at[NAME_LABELS_MAX + 1];
    uint64_t label[NAME_LABELS_MAX + 1];
    unsigned labels = 0;
    size_t offset = 0;
    for (; wire[offset] != 0; offset += (size_t)wire[offset] + 1) {
        at[labels] = (uint8_t)offset;
        label[labels++] = hash_label(wire, offset, end, secrets);
    }
    key->labels = (uint8_t)labels;
    key->at[0] = (uint8_t)offset;
    uint64_t hash = secrets.first ^ secrets.second;
    key->hash[0] = hash;
    for (unsigned k = 1; k <= labels; k++) {
        hash = hash_join(hash, label[labels - k]);
        key->hash[k] = hash;
        key->at[k] = at[labels - k];
    }
}
