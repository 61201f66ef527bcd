/* test/unit/feeds_collect.h: runs a feed parser over a text and writes down all that it says, one line each, so that a test can
 * compare it with what it expects as a whole. */
#ifndef SUNDEW_TEST_FEEDS_COLLECT_H
#define SUNDEW_TEST_FEEDS_COLLECT_H

#include "feeds/format.h"

enum { COLLECT_MAX = 65536 };

struct collected {
    int error;
    char why[256];
    size_t count, fault_count, ignored_count;
    char indicators[COLLECT_MAX]; /* "domain a.example match=exact conf=90 ...\n"; stops when full */
    char faults[COLLECT_MAX];     /* "3:7 rules[1].ttl message\n" */
    char ignored[COLLECT_MAX];    /* "why\n" */
    char heads[4096];
    char pages[4096];
};

/* The parser gets the text in pieces of `chunk` octets. The result is static until the next call. */
const struct collected *collect_chunks(enum format format, const char *text, size_t length, size_t chunk,
                                       const struct format_options *options);
const struct collected *collect(enum format format, const char *text);      /* whole, default options */
const struct collected *collect_file(enum format format, const char *path); /* error -ENOENT if there is none */

#endif
