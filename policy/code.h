/* policy/code.h: a short, exact, decodable code for domain names; private to policy/.
 *
 * A name is coded as the number of its longest suffix in a dictionary of common ones ("com", "duckdns.org"; 0 for none), then the
 * octets of the labels in front of it, with a mark between labels, all in canonical Huffman codes; the last octet is filled up with
 * ones, which begin no other symbol. The code depends on the name alone, so equal names, and only those, have equal codes: a
 * look-up codes the name it asks for and compares. Real names take 9 octets instead of 20.
 *
 *     code_choose(&code, sample of names) -> code_write -> SECTION_CODE -> code_read -> code_encode ... */
#ifndef SUNDEW_POLICY_CODE_H
#define SUNDEW_POLICY_CODE_H

#include "policy/name.h"

enum {
    CODE_MARK = 256, /* symbol between labels */
    CODE_FILL = 257, /* the code of all ones: never written whole, its beginning fills up the last octet */
    CODE_OCTETS = 258,
    CODE_SUFFIXES = 256, /* symbols: none, and up to 255 suffixes */
    CODE_BITS_MAX = 20,  /* of one symbol */
    CODE_MAX = 1 + (NAME_WIRE_MAX + 1) * CODE_BITS_MAX / 8,
    CODE_ROOM = CODE_MAX + 8, /* of a buffer for code_encode, which stores eight octets at a time */
    CODE_LENGTH_BITS = 8,     /* of a length in huffman.symbol: the lengths of a few symbols can be added up in them */
    CODE_SLOTS = 1024,        /* of the look-up table for suffixes */
    CODE_SIZE_MIN = CODE_OCTETS + CODE_SUFFIXES + 4,
};

/* Canonical Huffman: symbols of the same length have consecutive codes in the order of their numbers. */
struct huffman {
    uint32_t symbol[CODE_OCTETS]; /* code and, in the low CODE_LENGTH_BITS, its length: one read tells both */
    uint8_t length[CODE_OCTETS];
    uint16_t sorted[CODE_OCTETS];            /* symbols by length, then number */
    uint32_t first[CODE_BITS_MAX + 2];       /* first code of a length */
    uint16_t first_index[CODE_BITS_MAX + 2]; /* its place in sorted */
    unsigned count;
};

/* Visible because it is embedded in snapshots. Immutable once read. */
struct code {
    struct huffman octets;
    struct huffman suffixes;
    unsigned suffix_count; /* dictionary entries: symbols 1..suffix_count */
    unsigned suffix_labels_max;
    struct name suffix[CODE_SUFFIXES];
    uint64_t suffix_hash[CODE_SUFFIXES];
    uint8_t slot[CODE_SLOTS]; /* open addressing by hash; 0 empty */
};

/* Counts what names are made of. Give it a sample, then choose. */
struct code_statistics;
struct code_statistics *code_statistics_new(void); /* NULL: no memory */
void code_statistics_free(struct code_statistics *statistics);
int code_statistics_add(struct code_statistics *statistics, const struct name_key *key); /* 0 or -ENOMEM */
/* The dictionary first: octets can be counted only when it is known what it takes off. */
void code_choose_suffixes(struct code *code, struct code_statistics *statistics, uint64_t seed);
void code_count_octets(const struct code *code, struct code_statistics *statistics, const struct name_key *key);
void code_choose_octets(struct code *code, struct code_statistics *statistics);

/* SECTION_CODE: write returns the octets (at most CODE_SIZE_MIN + 255 names); read returns 0 or -EBADMSG. */
size_t code_write(const struct code *code, uint8_t *out);
int code_read(struct code *code, const uint8_t *at, size_t size, uint64_t seed);

/* Codes the suffix of `labels` labels. Returns the octets of it, 1..CODE_MAX; a few behind them are written, too. */
size_t code_encode(const struct code *code, const struct name_key *key, unsigned labels, uint8_t out[CODE_ROOM]);
/* 0 or -EBADMSG for what code_encode can't have made. */
int code_decode(const struct code *code, const uint8_t *at, size_t size, struct name *name);

#endif
