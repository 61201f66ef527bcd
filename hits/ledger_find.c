/* hits/ledger_find.c: the entry of the ledger that has a given id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hits/ledger_find.h"

struct finder {
    sqlite3 *db;
    sqlite3_stmt *query;
    struct batch_reader *reader;
    void *octets;      /* of the batch under the reader: its own copy */
    int64_t next, end; /* ids of it that are left; equal: none */
};

struct finder *finder_new(sqlite3 *db) {
    struct finder *finder = calloc(1, sizeof *finder);
    if (finder == NULL)
        return NULL;
    finder->db = db;
    finder->reader = batch_reader_new();
    if (finder->reader != NULL)
        return finder;
    free(finder);
    return NULL;
}

void finder_free(struct finder *finder) {
    if (finder == NULL)
        return;
    sqlite3_finalize(finder->query);
    batch_reader_free(finder->reader);
    free(finder->octets);
    free(finder);
}

/* Opens the batch that `id` would be in. SQLITE_ROW, SQLITE_DONE: there is none; or a failure. */
static int load(struct finder *finder, int64_t id) {
    static const char sql[] = "SELECT id, entries, data FROM batch WHERE id<=?1 ORDER BY id DESC LIMIT 1";
    int rc = finder->query != NULL ? SQLITE_OK : sqlite3_prepare_v2(finder->db, sql, -1, &finder->query, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_int64(finder->query, 1, id);
    finder->next = finder->end = 0;
    rc = sqlite3_step(finder->query);
    if (rc == SQLITE_ROW) {
        size_t length = (size_t)sqlite3_column_bytes(finder->query, 2);
        const void *octets = sqlite3_column_blob(finder->query, 2);
        free(finder->octets);
        finder->octets = malloc(length + 1);
        if (finder->octets != NULL && octets != NULL)
            memcpy(finder->octets, octets, length);
        finder->next = sqlite3_column_int64(finder->query, 0);
        finder->end = finder->next + sqlite3_column_int64(finder->query, 1);
        if (finder->octets == NULL)
            rc = SQLITE_NOMEM;
        else if (octets == NULL || batch_open(finder->reader, finder->octets, length) != 0)
            rc = SQLITE_CORRUPT;
    }
    sqlite3_reset(finder->query);
    return rc;
}

int finder_find(struct finder *finder, int64_t id, struct entry *entry) {
    if (id < finder->next || id >= finder->end) {
        int rc = load(finder, id);
        if (rc != SQLITE_ROW || id >= finder->end)
            return rc == SQLITE_ROW ? SQLITE_DONE : rc;
    }
    int got = 1;
    for (; finder->next <= id && got == 1; finder->next++)
        got = batch_next(finder->reader, entry);
    if (got < 0)
        finder->end = 0;
    if (got != 1)
        return got == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
    return entry->gone || entry->repeats != 0 ? SQLITE_DONE : SQLITE_ROW;
}
