/* policy/hash.h: the one mixing step that name hashes, intern tables and checksums are made of, and hashing of octet strings.
 *
 * Private to policy/. Little-endian loads: a snapshot is a little-endian file and is refused elsewhere. */
#ifndef SUNDEW_POLICY_HASH_H
#define SUNDEW_POLICY_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const uint64_t HASH_A = 0x9e3779b97f4a7c15u;
static const uint64_t HASH_B = 0xd6e8feb86659fd93u;

static inline uint64_t load8(const void *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t load4(const void *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t hash_fold(uint64_t a, uint64_t b) {
    return (uint64_t)((__uint128_t)a * b >> 64) ^ a * b; /* written so because gcc 12 keeps a whole product in memory */
}

/* For tables in memory; never stored. */
static inline uint64_t hash_octets(const void *octets, size_t length) {
    const uint8_t *at = octets;
    uint64_t hash = length ^ HASH_A;
    for (; length > 8; length -= 8, at += 8)
        hash = hash_fold(hash ^ load8(at), HASH_B);
    uint64_t rest = 0;
    memcpy(&rest, at, length);
    return hash_fold(hash ^ rest, HASH_A);
}

#endif
