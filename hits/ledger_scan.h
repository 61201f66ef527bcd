/* hits/ledger_scan.h: goes through the ledger's entries for one question: those of a time, zone and family.
 *
 *     struct scan scan;
 *     if (!scan_begin(&scan, path, parameters, &why)) ...
 *     int rc = scan.db == NULL ? SQLITE_DONE : scan_each(&scan, SCAN_BATCHES, visit, NULL, context);
 *     scan_end(&scan);
 *
 * A connection of its own, one thread. Parameters: hits/ledger_query.h. */
#ifndef SUNDEW_HITS_LEDGER_SCAN_H
#define SUNDEW_HITS_LEDGER_SCAN_H

#include <jansson.h>

#include "hits/ledger_find.h"

/* Ids of the entries of windows that are still open: behind all others, a chunk's behind the one's before. They last as long as the
 * window. */
#define SCAN_OPEN_ID ((int64_t)1 << 52)
enum { SCAN_CHUNK_SHIFT = 16 };

/* One member out of a part of the log's JSON, which stays the same from entry to entry for the most part: so the last is kept. */
struct scan_member {
    struct text from; /* what it was last read from */
    char *value;      /* NULL: it isn't there */
    uint32_t serial;  /* grows when the value is read anew */
};

/* Visible, because visitors read what was asked for. */
struct scan {
    sqlite3 *db;
    struct batch_reader *reader;
    struct finder *finder;
    struct scan_member zone_of, family_of;
    int64_t since_us;
    const char *client, *family, *zone; /* NULL: any; borrowed from the parameters */
    bool by_address;                    /* the client is called by it */
    struct ip address;
    int64_t limit, after;
    bool paged;
};

/* scan->db stays NULL for a ledger that has not begun yet: nothing was hit. False with *why (static): a failure; nothing is to be
 * ended. What is read from here on is the ledger at one moment. */
bool scan_begin(struct scan *scan, const char *path, const json_t *parameters, const char **why);
void scan_end(struct scan *scan);

/* What scan_each gives: every entry that is chosen, whatever its client, with its id. False ends it. */
typedef bool scan_visit(void *context, struct scan *scan, int64_t id, const struct entry *entry);
/* Called behind each batch. False ends it. */
typedef bool scan_behind(void *context, const struct scan *scan);

/* Visits what one statement gives: rows of first id and octets. `between` may be NULL. SQLITE_DONE: all that was wanted; or a
 * failure. */
int scan_each(struct scan *scan, const char *sql, scan_visit *visitor, scan_behind *between, void *context);

/* Where reading begins: no earlier batch has anything of ?1 or later, nor an id of ?2 or later. */
#define SCAN_BATCHES                                                                                                               \
    "SELECT id, data FROM batch WHERE +last_us>=?1 AND id>=max(coalesce((SELECT min(id) FROM batch WHERE last_us>=?1), ?2),"       \
    " coalesce((SELECT max(id) FROM batch WHERE id<=?2), 0)) ORDER BY id "
#define SCAN_OPEN_WINDOWS "SELECT (1<<52)+(chunk<<16), data FROM progress ORDER BY chunk "
_Static_assert(SCAN_OPEN_ID == (int64_t)1 << 52 && SCAN_CHUNK_SHIFT == 16, "the statement says so");

/* An entry's zone and its rule's families ("A, B"), NULL none. Borrowed until the next call for another entry. */
const char *scan_zone(struct scan *scan, const struct entry *entry);
const char *scan_families(struct scan *scan, const struct entry *entry);

/* Is the client called as was asked for, by its address or MAC? */
bool scan_called(const struct scan *scan, const struct entry *entry);
/* Is it the client's who was asked for, by address, MAC or the host name of that time? */
bool scan_of_client(const struct scan *scan, const struct entry *entry);

#endif
