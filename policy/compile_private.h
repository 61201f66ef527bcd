/* policy/compile_private.h: what the files of the compiler share: the output, and the parts that write sections. */
#ifndef SUNDEW_POLICY_COMPILE_PRIVATE_H
#define SUNDEW_POLICY_COMPILE_PRIVATE_H

#include "policy/code.h"
#include "policy/compile.h"
#include "policy/ruleset_private.h"

/* Written in pieces this large that end at multiples of it, because page cache made of large aligned pieces is mapped in huge pages
 * where the kernel can (ext4 and xfs on Linux 6.16 do): a look-up then pays for memory, but not for a page table walk besides.
 * Pieces that began where the header ends left a quarter of them in small pages. */
enum { OUTPUT_BUFFER = 1 << 23 };

/* Writes sections in file order, checksumming as it goes. The first error sticks; nothing is written after it. */
struct output {
    int fd;
    int error; /* 0 or -errno */
    uint64_t offset;
    size_t used;
    uint8_t *buffer; /* OUTPUT_BUFFER octets */
    struct checksum sum;
    struct section_place place[SECTION_COUNT];
};

int output_init(struct output *output, int fd); /* 0 or -ENOMEM */
void output_done(struct output *output);
void output_begin(struct output *output, enum section section);
void output_put(struct output *output, const void *octets, size_t length);
void output_end(struct output *output, enum section section); /* pads */
void output_section(struct output *output, enum section section, const void *octets, size_t length);
/* Leaves room for a section of known size, to be written with output_late when all others are. */
void output_reserve(struct output *output, enum section section, size_t length);
void output_late(struct output *output, enum section section, const void *octets);
void output_header(struct output *output, struct snapshot_header *header);

/* The cold records of all rules in the order of their numbers, kept until the resident sections are written. */
struct cold {
    struct growing index;  /* uint64_t */
    struct growing octets; /* uint8_t */
    uint64_t rules;
};
int cold_add(struct cold *cold, const uint8_t *record, size_t length); /* 0 or -ENOMEM */

/* Several rules for one thing in one zone: the first stays and takes the others' families over (ruleset_add). `winner` is the cold
 * record of the first; *length of it; what comes out replaces it. 0 or -errno. */
int compile_join(struct ruleset *rules, uint8_t winner[COLD_RECORD_MAX], size_t *length, const uint8_t *other, size_t other_length);
unsigned compile_confidence(const struct ruleset *rules, const uint8_t *cold, size_t length);

/* policy/compile_names.c: SECTION_FILTER to SECTION_CODE. Fills in entries and depths of the header, counts rules by zone. */
struct names {
    struct snapshot_header *header;
    struct ruleset *rules;
    struct output *output;
    struct cold *cold;
    uint64_t seed;
};
int compile_names(struct names *names);

/* policy/compile_prefixes.c: the sections of one table, from `first` on. Adds to *rule_count. */
int compile_prefixes(struct ruleset *rules, struct prefix_items *items, struct output *output, struct cold *cold,
                     enum section first, uint64_t *rule_count);

#endif
