/* policy/snapshot_format.h: the layout of a compiled policy file, shared by the compiler and the reader; private to policy/.
 *
 * The file is little-endian and position-independent: a header block, then sections without gaps in the order of enum section, each
 * padded with zero octets to SNAPSHOT_ALIGN (the last resident one to SNAPSHOT_PAGE, so that the cold sections share no page with
 * what matching touches). Every octet of the file is covered by one checksum, and the header's by `id`.
 *
 * Domain rules. Every rule (and every protected name) is an entry; entries are ordered by the hash of their owner name and cut into
 * buckets of 16 on average by the hash's upper half, so bucket, filter block and file order run in step. The position of an entry
 * in that order is the rule's number. A bucket is
 *
 *     count (1 octet), number of its first entry (4), fingerprints (1 each), lengths (1 each), profiles (profile_width each), data
 *
 * and a wide bucket (count octet 255: 255 entries or more, or data longer than 255) holds a 4-octet count after the number, and
 * 2-octet lengths. An entry's data is the code of its name (policy/code.h), then 4 octets of `expires` if its profile says so.
 * Rules with the same owner follow each other, protections first, then by zone and match; all but the first have no code.
 *
 * Before the buckets lies the filter, a block of 32 octets for each: four words with a bit of every owner name in each, and where
 * the bucket begins. A look-up probes the blocks for every suffix of a depth that has rules at all; where one says yes (0.4 per
 * cent of them wrongly), it searches the bucket's fingerprints and compares codes, which makes it exact. So a miss costs one cache
 * line a suffix, a hit one and a bucket's.
 *
 * IP rules, client rules and protected prefixes are each a table of distinct prefixes, IPv4 and IPv6 apart, in Eytzinger order
 * (node k has the children 2k and 2k+1; node 0 is unused), each with a link to the next shorter prefix that covers it. The longest
 * prefix that covers an address is its predecessor in the order (address, length), or an ancestor of that. Keys lie apart from all
 * else, so that a cache line holds four levels of the IPv4 tree and two of the IPv6 tree.
 *
 * Rule numbers: domain entries, then ip rules, then client rules. Cold records, one a rule, are varints in the order of these
 * numbers; an index says where every COLD_STRIDE-th begins. */
#ifndef SUNDEW_POLICY_SNAPSHOT_FORMAT_H
#define SUNDEW_POLICY_SNAPSHOT_FORMAT_H

#include "policy/rule.h"

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEADER = 1024, /* octets; the block is zero behind the struct */
    SNAPSHOT_ALIGN = 64,
    SNAPSHOT_PAGE = 4096,
    SNAPSHOT_ENTRIES_PER_BUCKET = 16, /* on average */
    BUCKET_WIDE = 255,                /* in the count octet */
    COLD_STRIDE = 16,
    PREFIX_CHAIN_MAX = 129, /* prefixes that can cover one address */
};

#define SNAPSHOT_MAGIC "sundew\r\n" /* the line end tells text-mode transfers */

enum table_section {
    TABLE_V4_KEYS, /* uint32_t */
    TABLE_V4_NODES,
    TABLE_V6_KEYS, /* struct prefix_key */
    TABLE_V6_NODES,
    TABLE_RULES, /* in the order of their prefixes, IPv4 first */
    TABLE_SECTIONS
};

enum section {
    SECTION_FILTER, /* one block more than buckets: the last tells where they end */
    SECTION_BUCKETS,
    SECTION_CODE, /* policy/code.h */
    SECTION_PROFILES,
    SECTION_SPECS,
    SECTION_ANSWERS,
    SECTION_BYTES, /* records and cname targets in wire form */
    SECTION_ZONES,
    SECTION_ZONE_CLIENTS,
    SECTION_IPS, /* three tables of sections in the order of enum table_section */
    SECTION_CLIENTS = SECTION_IPS + TABLE_SECTIONS,
    SECTION_SHIELDS = SECTION_CLIENTS + TABLE_SECTIONS,      /* its rules are always empty */
    SECTION_RESIDENT_END = SECTION_SHIELDS + TABLE_SECTIONS, /* the sections from here on are cold */
    SECTION_LABELS = SECTION_RESIDENT_END,
    SECTION_COLD_INDEX, /* uint64_t */
    SECTION_COLD,
    SECTION_STRINGS, /* NUL-terminated; offset 0 is the empty string and stands for an absent one */
    SECTION_COUNT
};

struct section_place {
    uint64_t offset;
    uint64_t size;     /* without padding */
    uint64_t checksum; /* with padding */
};

struct snapshot_header {
    char magic[8];
    uint32_t version;
    uint32_t profile_width; /* octets of a profile's number in a bucket, 1..4 */
    uint64_t seed;
    uint8_t digest[16];
    uint64_t file_size;
    uint64_t entries;        /* domain rules and protected names */
    uint64_t under_depth[2]; /* bit d: a rule or protection for what lies below a name of d labels */
    uint64_t self_depth[2];  /* bit d: one for a name of d labels itself */
    uint64_t rules;          /* all triggers, protections left out */
    uint64_t trigger[TRIGGER_COUNT];
    struct section_place section[SECTION_COUNT];
    uint64_t id; /* checksum of the header block with id 0, so of the whole file */
};
_Static_assert(sizeof(struct snapshot_header) <= SNAPSHOT_HEADER, "the header fits its block");

struct filter_block {
    uint64_t word[3];
    uint32_t last_word;
    uint32_t bucket; /* where the bucket begins in SECTION_BUCKETS */
};
_Static_assert(sizeof(struct filter_block) == 32, "two blocks fill a cache line, none lies in two");

static inline void filter_add(struct filter_block *block, uint64_t hash) {
    for (unsigned i = 0; i < 3; i++)
        block->word[i] |= UINT64_C(1) << (hash >> 6 * i & 63);
    block->last_word |= UINT32_C(1) << (hash >> 18 & 31);
}

static inline bool filter_has(const struct filter_block *block, uint64_t hash) {
    uint64_t bits = block->word[0] >> (hash & 63) & block->word[1] >> (hash >> 6 & 63) & block->word[2] >> (hash >> 12 & 63);
    return (bits & block->last_word >> (hash >> 18 & 31) & 1) != 0;
}

enum { PROFILE_EXPIRES = 1, PROFILE_PROTECTS = 2 };

/* What matching must know of a rule; equal ones are stored once. */
struct profile {
    uint16_t zone;
    uint8_t match; /* enum match; of a protection MATCH_EXACT or MATCH_SUBTREE */
    uint8_t flags;
    uint32_t spec;
};

enum { SPEC_WILDCARD = 1 }; /* the cname target takes the query name in front */

/* What answering must know of a rule. */
struct spec {
    uint32_t ttl;
    uint8_t action;
    uint8_t flags;
    uint8_t target_length; /* of the cname target's wire form, 0 for none */
    uint8_t answer_count;
    uint32_t answers; /* first in SECTION_ANSWERS; the last of them is for all other types */
    uint32_t target;  /* in SECTION_BYTES */
    uint32_t target_text;
    uint32_t records_text; /* both in SECTION_STRINGS, 0 for none */
};

struct spec_answer {
    uint32_t bytes; /* in SECTION_BYTES */
    uint16_t length;
    uint16_t ancount;
    uint16_t qtype; /* 0: any other type */
    uint16_t ede;
    uint8_t nscount;
    uint8_t rcode;
    uint16_t reserved;
};

struct snapshot_zone {
    uint64_t rules;
    uint32_t name;    /* in SECTION_STRINGS */
    uint32_t clients; /* first in SECTION_ZONE_CLIENTS: IPv4, then IPv6, each sorted and none covering another */
    uint32_t v4_clients;
    uint32_t v6_clients;
    uint8_t restricted; /* holds for its clients only */
    uint8_t mode;
    uint8_t reserved[6];
};

/* An address as a number: big-endian octets read from the left. */
struct prefix_key {
    uint64_t low;
    uint64_t high;
};

/* A client prefix of a restricted zone. */
struct zone_client {
    struct prefix_key key;
    uint64_t length;
};

struct prefix_node {
    uint32_t parent; /* node of the next shorter covering prefix; 0 none */
    uint32_t rules;  /* first */
    uint32_t rule_count : 24;
    uint32_t length : 8; /* bits, 0..128 */
};

struct prefix_rule {
    uint32_t profile;
    uint32_t expires; /* 0 never */
};

/* Shared by all rules with the same wording. */
struct label {
    uint32_t family; /* in SECTION_STRINGS */
    uint32_t confidence;
};

/* A cold record: these varints in this order. A reference that holds a number is two strings and the number between them, so that
 * ten million references to a feed's own records cost a few octets each. */
enum cold_field {
    COLD_LABEL,
    COLD_SOURCE,
    COLD_LINE,
    COLD_REFERENCE, /* its head, in SECTION_STRINGS */
    COLD_NUMBER,    /* 0: the head is the whole; otherwise the number plus 1 ... */
    COLD_TAIL,      /* ... and what follows it, in SECTION_STRINGS */
    COLD_FIRST_SEEN,
    COLD_LAST_SEEN, /* zigzag of the difference from first_seen */
    COLD_FIELDS
};
enum { COLD_RECORD_MAX = COLD_FIELDS * 10 };

size_t cold_write(uint8_t *out, const uint64_t field[COLD_FIELDS]); /* returns octets, at most COLD_RECORD_MAX */
/* Reads one record within [at, end). Returns what follows it, or NULL if it doesn't fit. */
const uint8_t *cold_read(const uint8_t *at, const uint8_t *end, uint64_t field[COLD_FIELDS]);
const uint8_t *cold_skip(const uint8_t *at, const uint8_t *end, uint64_t records); /* what is behind so many records, or NULL */

static inline uint64_t snapshot_round(uint64_t size, uint64_t to) {
    return (size + to - 1) / to * to;
}

/* Which of `count` buckets a hash falls into; grows with the hash. */
static inline uint64_t snapshot_place(uint64_t hash, uint64_t count) {
    return (hash >> 32) * count >> 32;
}
static inline uint8_t snapshot_fingerprint(uint64_t hash) {
    return (uint8_t)(hash >> 24);
}

/* True if a prefix or address belongs among the IPv4 ones. */
static inline bool prefix_key_is_v4(struct prefix_key key, unsigned length) {
    return length >= 96 && key.high == 0 && key.low >> 32 == 0xffff;
}

struct prefix_key prefix_key_of(const struct ip *ip);
struct ip prefix_key_ip(struct prefix_key key);

/* Checksum of octets in pieces: each but the last call of checksum_add takes a multiple of 64 octets. A change confined to 8 octets
 * always shows, any other but for one in 2^64. */
struct checksum {
    uint64_t lane[8];
    uint64_t length;
};
void checksum_init(struct checksum *sum);
void checksum_add(struct checksum *sum, const void *octets, size_t length);
uint64_t checksum_value(const struct checksum *sum);
uint64_t snapshot_header_id(const uint8_t block[SNAPSHOT_HEADER]);

#endif
