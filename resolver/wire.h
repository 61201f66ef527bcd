/* resolver/wire.h: reading and writing DNS wire format (RFC 1035 section 4) with a sticky error, checked once at the end.
 *
 * A reader stands on octets that begin `origin` octets into a message, so that compression pointers, which count from the message's
 * header, hold for a whole message (origin 0) and for a cached answer (origin 12) alike. What is read past the end, or after an
 * error, is 0. A writer stands on the start of a message and compresses names against those that it wrote before.
 *
 *     struct wire wire;
 *     wire_init(&wire, octets, length, 0);
 *     uint16_t id = wire_u16(&wire);
 *     struct wire_record record;
 *     wire_record(&wire, &record);
 *     if (wire.bad) return -EBADMSG;
 *
 * No allocation, no globals; any thread. Structs are visible because they live on the stack of those who parse. */
#ifndef SUNDEW_RESOLVER_WIRE_H
#define SUNDEW_RESOLVER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy/name.h"

enum {
    WIRE_HEADER = 12,         /* octets of a message header */
    WIRE_QUESTION_MAX = 259,  /* octets of a question: name, type, class */
    WIRE_POINTER_MAX = 16383, /* the furthest offset that a compression pointer reaches */
    WIRE_SUFFIXES_MAX = 96,   /* places that a writer remembers for compression: bounds its work, not its correctness */
};

/* Record types and classes that the resolver treats in a way of its own (IANA "DNS parameters"). */
enum wire_type {
    TYPE_A = 1,
    TYPE_NS = 2,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    TYPE_MB = 7,
    TYPE_MG = 8,
    TYPE_MR = 9,
    TYPE_PTR = 12,
    TYPE_MINFO = 14,
    TYPE_MX = 15,
    TYPE_TXT = 16,
    TYPE_RP = 17,
    TYPE_AFSDB = 18,
    TYPE_RT = 21,
    TYPE_PX = 26,
    TYPE_AAAA = 28,
    TYPE_SRV = 33,
    TYPE_KX = 36,
    TYPE_DNAME = 39,
    TYPE_OPT = 41,
    TYPE_DS = 43,
    TYPE_RRSIG = 46,
    TYPE_NSEC = 47,
    TYPE_NSEC3 = 50,
    TYPE_SVCB = 64,
    TYPE_HTTPS = 65,
    TYPE_META_FIRST = 128, /* from here to ANY: no data (RFC 6895 section 3.1) */
    TYPE_TSIG = 250,
    TYPE_IXFR = 251,
    TYPE_AXFR = 252,
    TYPE_ANY = 255,
};

enum wire_rcode {
    RCODE_NOERROR = 0,
    RCODE_FORMERR = 1,
    RCODE_SERVFAIL = 2,
    RCODE_NXDOMAIN = 3,
    RCODE_NOTIMP = 4,
    RCODE_REFUSED = 5,
    RCODE_YXDOMAIN = 6,
    RCODE_BADVERS = 16,
};

/* The 16 flag bits of a header (RFC 1035 section 4.1.1, RFC 4035 for AD and CD). */
enum wire_flag {
    FLAG_QR = 0x8000,
    FLAG_OPCODE = 0x7800,
    FLAG_AA = 0x0400,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100,
    FLAG_RA = 0x0080,
    FLAG_AD = 0x0020,
    FLAG_CD = 0x0010,
    FLAG_RCODE = 0x000f,
};

static inline uint16_t wire_get16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t wire_get32(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return __builtin_bswap32(value);
}

static inline void wire_set16(uint8_t *p, unsigned value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void wire_set32(uint8_t *p, uint32_t value) {
    value = __builtin_bswap32(value);
    memcpy(p, &value, 4);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire_get32 and wire_set32 swap unconditionally");

/* --- reading --- */

struct wire {
    const uint8_t *data;
    size_t length;
    size_t at;     /* <= length */
    size_t origin; /* message offset of data[0] */
    size_t folded; /* letters that stand before this message offset are read as lower case (the question of a 0x20 query) */
    bool bad;
};

static inline void wire_init(struct wire *wire, const uint8_t *data, size_t length, size_t origin) {
    *wire = (struct wire){.data = data, .length = length, .origin = origin};
}

/* The next `count` octets in place, or NULL (and bad). */
static inline const uint8_t *wire_take(struct wire *wire, size_t count) {
    if (wire->bad || wire->length - wire->at < count) {
        wire->bad = true;
        return NULL;
    }
    const uint8_t *p = wire->data + wire->at;
    wire->at += count;
    return p;
}

static inline uint8_t wire_u8(struct wire *wire) {
    const uint8_t *p = wire_take(wire, 1);
    return p ? *p : 0;
}

static inline uint16_t wire_u16(struct wire *wire) {
    const uint8_t *p = wire_take(wire, 2);
    return p ? wire_get16(p) : 0;
}

static inline uint32_t wire_u32(struct wire *wire) {
    const uint8_t *p = wire_take(wire, 4);
    return p ? wire_get32(p) : 0;
}

/* Reads a name, compressed or not, keeping its letter case (so *name breaks the "always lower case" rule of policy/name.h until
 * wire_fold). Pointers must go strictly backwards, which also ends every loop. The root on error. */
void wire_name(struct wire *wire, struct name *name);
void wire_fold(struct name *name); /* to lower case, in place */

/* One resource record; rdata is [rdata_at, rdata_at + rdlength) of the wire's data and was checked to lie within it. The owner is
 * in lower case. The cursor is left behind the record. Zeroed on error. */
struct wire_record {
    struct name owner;
    uint16_t type;
    uint16_t class;
    uint32_t ttl;
    uint16_t rdlength;
    size_t rdata_at;
};
void wire_record(struct wire *wire, struct wire_record *record);
/* The same for whoever doesn't care whose record it is: the owner is passed over, not even checked, and its length set to 0. */
void wire_record_bare(struct wire *wire, struct wire_record *record);

/* The single name in the rdata of a CNAME, DNAME, NS or PTR, in lower case; false if it isn't exactly one well-formed name. */
bool wire_rdata_name(const struct wire *wire, const struct wire_record *record, struct name *name);

/* --- writing --- */

struct wire_out {
    uint8_t *data; /* of the message: data[0] is the header's first octet */
    size_t size;
    size_t at;
    bool full; /* sticky; what is written then is lost */
    unsigned suffixes;
    uint16_t suffix[WIRE_SUFFIXES_MAX]; /* offsets at which a label starts that a pointer may name */
};

static inline void wire_out_init(struct wire_out *out, uint8_t *data, size_t size, size_t at) {
    out->data = data;
    out->size = size;
    out->at = at;
    out->full = at > size;
    out->suffixes = 0;
}

/* Room for `count` octets, or NULL (and full). */
static inline uint8_t *wire_room(struct wire_out *out, size_t count) {
    if (out->full || out->size - out->at < count) {
        out->full = true;
        return NULL;
    }
    uint8_t *p = out->data + out->at;
    out->at += count;
    return p;
}

void wire_put(struct wire_out *out, const void *octets, size_t count);
void wire_put16(struct wire_out *out, unsigned value);
void wire_put32(struct wire_out *out, uint32_t value);

/* Writes a name, compressed against what was written before where `compress`, and remembers it for those that follow. Compression
 * of an owner disregards letter case (`fold`); that of a name in rdata keeps it. */
void wire_put_name(struct wire_out *out, const struct name *name, bool compress, bool fold);

/* Remembers an uncompressed name that stands at `at` already. */
void wire_learn(struct wire_out *out, size_t at);

/* Offset of the suffix of the name at `at` that is left when `skip` labels are taken off its front, pointers resolved. */
size_t wire_suffix(const uint8_t *data, size_t at, unsigned skip);

/* Copies a record that `wire_record` read: the names in rdata of well-known types are expanded, and compressed anew where RFC 3597
 * section 4 allows it. `ttl` replaces its own. Returns the offset of the TTL field, or 0 when the rdata is malformed or the writer
 * is full (full is set only in the latter case). */
size_t wire_copy_record(struct wire_out *out, const struct wire *wire, const struct wire_record *record, uint32_t ttl);
/* The same behind an owner that was written already; record->owner isn't looked at. */
size_t wire_copy_rest(struct wire_out *out, const struct wire *wire, const struct wire_record *record, uint32_t ttl);

#endif
