/* hits/lease_file.h: follows one lease file as its server appends to it, rewrites it or puts another in its place.
 *
 * What is new is fed to the parser in portions; the file is never held whole. The writer's thread. */
#ifndef SUNDEW_HITS_LEASE_FILE_H
#define SUNDEW_HITS_LEASE_FILE_H

#include "hits/lease_parser.h"

struct lease_file;

struct lease_file *lease_file_new(enum lease_format format, const char *path, lease_each *each,
                                  void *context); /* NULL: no memory */
void lease_file_free(struct lease_file *file);

enum lease_news {
    LEASE_FILE_SAME,    /* nothing new */
    LEASE_FILE_PORTION, /* read a part; there is more */
    LEASE_FILE_READ,    /* read to its end */
    LEASE_FILE_WHOLE,   /* read to its end, and it is a snapshot that has settled: what it didn't name is over */
};

/* 0 with *news, or -errno: the file can't be read now. */
int lease_file_follow(struct lease_file *file, int64_t now_us, enum lease_news *news);

/* While `each` is called: when the file was written, and whether it is read for the first time (then what it says may be old). */
int64_t lease_file_written(const struct lease_file *file);
bool lease_file_first(const struct lease_file *file);

const char *lease_file_path(const struct lease_file *file);
enum lease_format lease_file_format(const struct lease_file *file);
uint64_t lease_file_skipped(const struct lease_file *file);

#endif
