/* policy/name.h: domain names in wire form, and the hashes of all their suffixes.
 *
 * A name is kept as RFC 1035 section 3.1 wire form (length octets, labels, the root's zero octet), ASCII letters in lower case.
 * A `name_key` is computed once per packet and then serves policy and cache alike: for every suffix its offset and its hash,
 * counted in labels from the right (0 is the root, `labels` the whole name).
 *
 *     struct name name;
 *     if (name_from_text(&name, "C2.Evil.Example.", 16, NULL) == 0) {
 *         struct name_key key;
 *         name_key_init(&key, name.wire, name.length, seed);
 *         // key.hash[2] is the hash of evil.example., key.at[2] == 3 its offset in name.wire
 *     }
 *
 * Pure: no allocation, no globals; any thread. */
#ifndef SUNDEW_POLICY_NAME_H
#define SUNDEW_POLICY_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    NAME_WIRE_MAX = 255,   /* octets, the root's zero included (RFC 1035 section 2.3.4) */
    NAME_LABEL_MAX = 63,   /* octets in one label */
    NAME_LABELS_MAX = 127, /* labels without the root */
    NAME_SHORT = 62,       /* octets of a name that is copied in four moves: nearly every one */
    NAME_TEXT_MAX = 1010,  /* octets of presentation form at worst (every octet as \DDD), NUL included */
};

/* Visible because it is embedded by value everywhere; wire is always lower case, length includes the root's octet. */
struct name {
    uint8_t length;
    uint8_t labels;
    uint8_t wire[NAME_WIRE_MAX];
};

/* Suffix k (k labels counted from the right) begins at wire[at[k]] and hashes to hash[k]. at[0] is the root's octet.
 * Only entries 0..labels are set. Borrows wire, which must outlive it. */
struct name_key {
    const uint8_t *wire;
    uint8_t length;
    uint8_t labels;
    uint8_t at[NAME_LABELS_MAX + 1];
    uint64_t hash[NAME_LABELS_MAX + 1];
};

/* Reads presentation form (RFC 1035 section 5.1, with \X and \DDD), with or without the last dot, any case, into *name.
 * Returns 0, or -EINVAL (and *why, when why isn't NULL, says what is wrong; a static string). *name is untouched on failure.
 * "." is the root. ASCII only: Unicode goes through policy/idna.h first. */
int name_from_text(struct name *name, const char *text, size_t length, const char **why);

/* Copies an uncompressed wire name, lowering its letters. Returns the octets read, or -EINVAL. */
int name_from_wire(struct name *name, const uint8_t *wire, size_t length);

/* Writes presentation form without the last dot ("." for the root); everything but printable ASCII as \DDD. Returns the length
 * without NUL; text must hold NAME_TEXT_MAX. */
size_t name_to_text(const uint8_t *wire, char *text);

/* As an assignment would, at a fraction of its cost where the name is short. */
static inline void name_copy(struct name *to, const struct name *from) {
    if (from->length <= NAME_SHORT)
        memcpy(to, from, offsetof(struct name, wire) + NAME_SHORT);
    else
        *to = *from;
}

/* Copies a name, or a question, to where there is just room for it, without the call that a length nobody knows would take (or the
 * string instruction that compilers make of a short one: slow to begin). Returns the place behind it. */
static inline uint8_t *name_put(uint8_t *to, const uint8_t *from, size_t length) {
    enum { CHUNK = 16, HALF = 8 };
    if (length >= CHUNK) {
        memcpy(to, from, CHUNK);
        for (size_t at = CHUNK; at < length - CHUNK; at += CHUNK)
            memcpy(to + at, from + at, CHUNK);
        memcpy(to + length - CHUNK, from + length - CHUNK, CHUNK); /* overlaps the one before */
    } else if (length >= HALF) {
        memcpy(to, from, HALF);
        memcpy(to + length - HALF, from + length - HALF, HALF);
    } else {
        for (size_t at = 0; at < length; at++)
            to[at] = from[at];
    }
    return to + length;
}

bool name_equal(const struct name *a, const struct name *b);

/* True if name is ancestor or lies below it (every name is below the root). Both lower case. */
bool name_is_within(const struct name *name, const struct name *ancestor);

/* Canonical order (RFC 4034 section 6.1): <0, 0, >0. */
int name_compare(const struct name *a, const struct name *b);

/* Hashes every suffix of a valid lower-case wire name. `seed` is the snapshot's (snapshot_seed): the hash is not meant to stand
 * against someone who knows it. */
void name_key_init(struct name_key *key, const uint8_t *wire, uint8_t length, uint64_t seed);

#endif
