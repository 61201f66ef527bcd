/* feeds/ingest.h: one document of any format into a store.
 *
 * The parser's callbacks are answered here: indicators and faults are put into the writer, the head is kept, a page's outcome is
 * handed back. Feeder process; runs on the job thread, touches nothing but its arguments. */
#ifndef SUNDEW_FEEDS_INGEST_H
#define SUNDEW_FEEDS_INGEST_H

#include "feeds/store.h"

struct ingest {
    enum format format;
    struct format_options options;
    int64_t carried; /* of all that is read: when it was fetched */
    bool paths;      /* the store is to keep the indicators' paths */
    /* --- outcome; reset at each call --- */
    bool more;     /* a page that isn't the last */
    char *next;    /* what to ask for next (OTX: URL, TAXII: token), or NULL; ingest_done frees it */
    char why[256]; /* on failure: fit for an operator, no control characters */
    int (*observe)(void *context, uint32_t line, uint32_t column, const char *path, const char *message); /* may be NULL */
    void *observer;
};

/* Reads the whole document. 0, -ENODATA (an answer without news), or -errno with ingest->why; then abandon the writer. */
int ingest_read(struct ingest *ingest, struct store_writer *writer, json_source *source, void *source_context);

/* What the pages read with options.memory hold, once the last one is read. 0 or -errno with ingest->why. */
int ingest_flush(struct ingest *ingest, struct store_writer *writer);
void ingest_done(struct ingest *ingest);

/* A file (gzip and zip are unpacked) into the store at `store`: create, read, commit. limit: octets unpacked, 0 none. */
int ingest_file(struct ingest *ingest, int fd, uint64_t limit, const char *store, bool sync, struct store_counts *counts);
int ingest_text(struct ingest *ingest, const char *text, size_t length, const char *store, struct store_counts *counts);

#endif
