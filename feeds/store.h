/* feeds/store.h: the last good copy of what one source said: its indicators, faults and head, in a compact file.
 *
 * A store holds indicators as the source states them, before any choice of the zone, so that a changed configuration or a changed
 * list of protected names needs no source to be read again; a rebuild with a million rules in other zones reads their stores, not
 * their JSON. Written aside and renamed: a reader sees the old store or the new one. Read sequentially through a small buffer, so
 * ten million indicators cost disk, not memory. Every block carries a checksum; a damaged store is -EBADMSG, never a crash.
 *
 *     header (64 octets: magic, counts, offset of the head) | block ... | head
 *     block: u32 length, u64 checksum, records (none spans two blocks)
 *
 * Own files of this machine: host byte order. Errors are 0 or -errno. One thread a handle. */
#ifndef SUNDEW_FEEDS_STORE_H
#define SUNDEW_FEEDS_STORE_H

#include "feeds/format.h"

struct store_counts {
    uint64_t rules;   /* indicators that DNS can use */
    uint64_t faults;  /* records that could not be read; only the first STORE_FAULTS_KEPT are kept with their text */
    uint64_t ignored; /* well-formed, but not for DNS (hashes, e-mail addresses, patterns) */
};

enum { STORE_FAULTS_KEPT = 1000 };

struct store_writer;

int store_create(struct store_writer **writer, const char *path);
/* From now on indicators keep their `path`, too: for those who tell of faults. */
void store_keep_paths(struct store_writer *writer);
/* `carried`: when the fetch was that brought it (unix seconds). */
int store_put(struct store_writer *writer, const struct indicator *indicator, int64_t carried);
int store_put_fault(struct store_writer *writer, uint32_t line, uint32_t column, const char *path, const char *message);
void store_put_ignored(struct store_writer *writer, uint64_t count);
int store_put_head(struct store_writer *writer, const struct format_head *head);
struct store_counts store_written(const struct store_writer *writer);
/* Completes the file and renames it into place; `sync`: down to the disk first. Frees the writer, whatever the outcome. */
int store_commit(struct store_writer *writer, bool sync);
void store_abandon(struct store_writer *writer); /* NULL is nothing */

struct store_reader;

enum store_item { STORE_END, STORE_RULE, STORE_FAULT };

/* What store_next yields; strings live until the next call. */
struct store_record {
    struct indicator indicator; /* STORE_RULE; rule.source is not set */
    int64_t carried;
    uint32_t line, column; /* STORE_FAULT */
    const char *path, *message;
};

int store_open(struct store_reader **reader, const char *path); /* -ENOENT, -EBADMSG, ... */
struct store_counts store_counts(const struct store_reader *reader);
const struct format_head *store_head(const struct store_reader *reader); /* NULL: the source has none */
/* An enum store_item, or -errno. */
int store_next(struct store_reader *reader, struct store_record *record);
void store_close(struct store_reader *reader); /* NULL is nothing */

/* Reads the whole store: 0 if it is sound. */
int store_verify(const char *path, struct store_counts *counts);

#endif
