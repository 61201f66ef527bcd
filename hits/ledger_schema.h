/* hits/ledger_schema.h: the tables of the ledger, and how it is opened: what writer and readers have in common.
 *
 * Version 1 (PRAGMA user_version). A book of a later version is not ours to write: it is set aside like a damaged one. */
#ifndef SUNDEW_HITS_LEDGER_SCHEMA_H
#define SUNDEW_HITS_LEDGER_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

enum {
    LEDGER_VERSION = 1,
    LEDGER_APPLICATION = 0x53554e44, /* "SUND" */
    LEDGER_BUSY_MS = 2000,           /* that one connection waits for another */
    LEDGER_CHECK_MS = 500,           /* that PRAGMA quick_check may take at the start; a large book is checked in part */
};

/* An SQLite result code. On success *db is ready: WAL, tables there (made if `create`), quick_check without a finding.
 * SQLITE_CORRUPT, SQLITE_NOTADB: damaged or foreign. SQLITE_EMPTY: not begun yet (without `create`). *db is NULL on
 * failure. */
int ledger_schema_open(sqlite3 **db, const char *path, bool create);

bool ledger_schema_damaged(int rc); /* the file itself is at fault: another try won't help */

#endif
