/* hits/ledger_schema.h: the tables of the ledger, and how it is opened: what writer and readers have in common.
 *
 * Version 2 (PRAGMA user_version). A book of version 1, which had a row for each entry, is brought up to date when its writer opens
 * it (hits/ledger_migrate.h). One of a later version is not ours to write: it is set aside like a damaged one. */
#ifndef SUNDEW_HITS_LEDGER_SCHEMA_H
#define SUNDEW_HITS_LEDGER_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LEDGER_VERSION = 2,
    LEDGER_ROWS_VERSION = 1,
    LEDGER_APPLICATION = 0x53554e44, /* "SUND" */
    LEDGER_BUSY_MS = 2000,           /* that one connection waits for another */
    LEDGER_JOURNAL_MAX = 16 << 20,   /* octets that its journal keeps when it had grown beyond them (journal_size_limit) */
    LEDGER_CHECK_MS = 500,           /* that PRAGMA quick_check may take at the start; a large book is checked in part */
};

/* The tables that version 2 has beyond version 1, and what says that it is version 2. */
#define LEDGER_BATCH_TABLES                                                                                                        \
    "CREATE TABLE batch(id INTEGER PRIMARY KEY, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, entries INTEGER NOT NULL,"    \
    " data BLOB NOT NULL) STRICT;"                                                                                                 \
    "CREATE INDEX batch_first ON batch(first_us);"                                                                                 \
    "CREATE INDEX batch_last ON batch(last_us);"                                                                                   \
    "CREATE TABLE progress(chunk INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"
#define LEDGER_STAMP "PRAGMA application_id=1398099524; PRAGMA user_version=2;"

/* An SQLite result code. On success *db is ready: WAL, tables there (made if `create`), quick_check without a finding; *migrated is
 * how many entries of an earlier version were taken over just now. SQLITE_CORRUPT, SQLITE_NOTADB: damaged, foreign, or no file at
 * all. SQLITE_EMPTY: not begun yet, SQLITE_BUSY: not brought up to date yet (both without `create`). *db is NULL on failure. */
int ledger_schema_open(sqlite3 **db, const char *path, bool create, int64_t *migrated);

bool ledger_schema_damaged(int rc); /* the file itself is at fault: another try won't help */

#endif
