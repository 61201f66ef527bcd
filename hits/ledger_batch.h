/* hits/ledger_batch.h: many entries of the ledger as one row's octets: written as a stream, read as a stream.
 *
 * A batch is self-contained: octet 0 is LEDGER_BATCH_VERSION, 8 octets (little endian) are the time that the first entry's counts
 * from, then the entries, then 8 octets of check over all before. Numbers are LEB128, signed ones folded (zigzag). An entry: flags
 * 1 octet, enum entry_flag; the protocol in its two highest bits. ENTRY_GONE has nothing behind it ts       signed, microseconds
 * since the entry before count    only with ENTRY_COUNT (1 otherwise) ENTRY_REPEATS: signed, the id of the entry that it repeats,
 * less the last such id; nothing else otherwise who (16 octets of address, and 6 of the MAC where known), qtype (a number), qname
 * (wire), front, rule, back, details; and by flag hostname, answer, via: strings. A string is 0, its length and its octets where it
 * first appears, which numbers it (from 1); and that number later. So what many entries have in common is there once.
 *
 * Pure; one thread an object. What is read may come from a damaged file: nothing is believed that the octets don't bear out. */
#ifndef SUNDEW_HITS_LEDGER_BATCH_H
#define SUNDEW_HITS_LEDGER_BATCH_H

#include "hits/hit.h"

enum { LEDGER_BATCH_VERSION = 1, LEDGER_BATCH_HEAD = 9, LEDGER_BATCH_TAIL = 8 };

enum entry_flag {
    ENTRY_GONE = 1, /* was taken out; its place in the count of ids remains */
    ENTRY_REPEATS = 2,
    ENTRY_COUNT = 4,
    ENTRY_HOSTNAME = 8,
    ENTRY_ANSWER = 16,
    ENTRY_VIA = 32,
    ENTRY_PROTOCOL_SHIFT = 6
};

/* Visible because both sides fill it in. Everything is borrowed: from the maker, or from the octets being read. */
struct entry {
    bool gone;
    int64_t repeats; /* the id of the entry that this one is like but for time and count; 0: all is here */
    uint64_t ts_us, count;
    struct ip client;
    bool has_mac;
    uint8_t mac[6];
    enum protocol protocol;
    uint16_t qtype;
    struct piece hostname;
    struct piece qname, via;        /* wire */
    struct piece front, rule, back; /* a card's, with the rule's text between: a JSON string */
    struct piece details, answer;   /* as in the log */
};

struct batch; /* being written */

struct batch *batch_new(void); /* empty; NULL: no memory */
void batch_free(struct batch *batch);
void batch_clear(struct batch *batch);
bool batch_add(struct batch *batch, const struct entry *entry); /* false: no memory, and the batch is as it was */

/* How many entries; from when to when; all its octets, check and all, good until the batch is changed. */
uint32_t batch_entries(const struct batch *batch);
void batch_span(const struct batch *batch, uint64_t *first_us, uint64_t *last_us);
struct piece batch_octets(struct batch *batch);

struct batch_reader;

struct batch_reader *batch_reader_new(void); /* for one batch after another; NULL: no memory */
void batch_reader_free(struct batch_reader *reader);
/* The octets are borrowed until the next batch_open. 0, -EBADMSG: no batch, or a damaged one. */
int batch_open(struct batch_reader *reader, const void *octets, size_t length);
/* 1: *entry is the next; 0: there is none; -EBADMSG: damaged; -ENOMEM. */
int batch_next(struct batch_reader *reader, struct entry *entry);

/* The check over `length` octets; for tests. */
uint64_t batch_check(const void *octets, size_t length);

#endif
