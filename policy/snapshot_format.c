/* policy/snapshot_format.c: the pieces of the file format that both its writer and its reader need: checksums, varints, keys. */
#include "policy/snapshot_format.h"

#include "policy/hash.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "snapshots are little-endian and read in place");

static size_t varint_write(uint8_t *out, uint64_t value) {
    size_t length = 0;
    for (; value >= 0x80; value >>= 7)
        out[length++] = (uint8_t)(value | 0x80);
    out[length++] = (uint8_t)value;
    return length;
}

size_t cold_write(uint8_t *out, const uint64_t field[COLD_FIELDS]) {
    size_t length = 0;
    for (int i = 0; i < COLD_FIELDS; i++)
        length += varint_write(out + length, field[i]);
    return length;
}

const uint8_t *cold_read(const uint8_t *at, const uint8_t *end, uint64_t field[COLD_FIELDS]) {
    for (int i = 0; i < COLD_FIELDS; i++) {
        uint64_t value = 0;
        unsigned shift = 0;
        do {
            if (at >= end || shift > 63)
                return NULL;
            value |= (uint64_t)(*at & 0x7f) << shift;
            shift += 7;
        } while (*at++ & 0x80);
        field[i] = value;
    }
    return at;
}

/* A number ends with the octet whose top bit is clear. */
const uint8_t *cold_skip(const uint8_t *at, const uint8_t *end, uint64_t records) {
    uint64_t left = records * COLD_FIELDS;
    for (; left >= 8 && end - at >= 8; at += 8) /* the product's top octet is the sum of all */
        left -= (~load8(at) >> 7 & 0x0101010101010101u) * 0x0101010101010101u >> 56;
    for (; left > 0 && at < end; at++)
        left -= (*at & 0x80) == 0;
    return left == 0 ? at : NULL;
}

struct prefix_key prefix_key_of(const struct ip *ip) {
    return (struct prefix_key){.high = __builtin_bswap64(load8(ip->bytes)), .low = __builtin_bswap64(load8(ip->bytes + 8))};
}

struct ip prefix_key_ip(struct prefix_key key) {
    uint64_t high = __builtin_bswap64(key.high);
    uint64_t low = __builtin_bswap64(key.low);
    struct ip ip;
    memcpy(ip.bytes, &high, 8);
    memcpy(ip.bytes + 8, &low, 8);
    return ip;
}

/* --- checksum: eight lanes, so that it runs at the speed of memory; each step is a bijection of its lane -------------------------
 */

static inline uint64_t step(uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * HASH_A;
    return lane << 29 | lane >> 35;
}

void checksum_init(struct checksum *sum) {
    for (unsigned i = 0; i < 8; i++)
        sum->lane[i] = HASH_B * (i + 1);
    sum->length = 0;
}

void checksum_add(struct checksum *sum, const void *octets, size_t length) {
    const uint8_t *at = octets;
    sum->length += length;
    for (; length >= 64; length -= 64, at += 64) {
        for (unsigned i = 0; i < 8; i++)
            sum->lane[i] = step(sum->lane[i], load8(at + 8 * i));
    }
    uint8_t rest[64] = {0};
    if (length == 0)
        return;
    memcpy(rest, at, length);
    for (unsigned i = 0; i < 8; i++)
        sum->lane[i] = step(sum->lane[i], load8(rest + 8 * i));
}

uint64_t checksum_value(const struct checksum *sum) {
    uint64_t value = step(HASH_B, sum->length);
    for (unsigned i = 0; i < 8; i++)
        value = step(value, sum->lane[i]);
    return value ^ value >> 32;
}

uint64_t snapshot_header_id(const uint8_t block[SNAPSHOT_HEADER]) {
    uint8_t copy[SNAPSHOT_HEADER];
    memcpy(copy, block, sizeof copy);
    memset(copy + offsetof(struct snapshot_header, id), 0, sizeof(uint64_t));
    struct checksum sum;
    checksum_init(&sum);
    checksum_add(&sum, copy, sizeof copy);
    return checksum_value(&sum);
}
