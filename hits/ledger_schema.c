/* hits/ledger_schema.c: the tables of the ledger, and how it is opened. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hits/ledger_file.h"
#include "hits/ledger_migrate.h"
#include "hits/ledger_schema.h"

/* machine.key: 'm' and 6 octets of a MAC, or 'a' and 16 octets of an address where no MAC is known.
 * machine.rows: entries that are its own, of those before note 'machines'; at 0 it goes.
 * batch.id: of its first entry; the others follow by one. first_us, last_us: from when to when; data: hits/ledger_batch.h.
 * progress.data: repeats so far of the windows that are open, as entries, a row for each chunk of windows that has any.
 * retro.until_us: hits in retrospect were told up to then.
 * note: 'hunted', a snapshot's id; 'machines', the id up to which machine.rows counts. */
#define MACHINE_TABLES                                                                                                             \
    "CREATE TABLE machine(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, mac TEXT, address TEXT NOT NULL, hostname TEXT,"       \
    " first_us INTEGER NOT NULL, rows INTEGER NOT NULL) STRICT;"                                                                   \
    "CREATE TABLE retro(machine INTEGER NOT NULL, rule_hash INTEGER NOT NULL, until_us INTEGER NOT NULL,"                          \
    " PRIMARY KEY(machine, rule_hash)) STRICT, WITHOUT ROWID;"                                                                     \
    "CREATE TABLE note(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
static const char schema[] = MACHINE_TABLES LEDGER_BATCH_TABLES LEDGER_STAMP;
_Static_assert(LEDGER_JOURNAL_MAX == 16777216, "prepare() says so");
_Static_assert(LEDGER_APPLICATION == 1398099524 && LEDGER_VERSION == 2, "the schema names both");

bool ledger_schema_damaged(int rc) {
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static int read_number(sqlite3 *db, const char *sql, int *number) {
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        *number = sqlite3_column_int(statement, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc;
}

static int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int past(void *until_ms) {
    return monotonic_ms() > *(int64_t *)until_ms;
}

/* Interrupted by time is no finding. */
static int quick_check(sqlite3 *db) {
    int64_t until_ms = monotonic_ms() + LEDGER_CHECK_MS;
    sqlite3_stmt *statement;
    sqlite3_progress_handler(db, 1000, past, &until_ms);
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *verdict = (const char *)sqlite3_column_text(statement, 0);
        rc = verdict != NULL && strcmp(verdict, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    }
    sqlite3_finalize(statement);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return rc == SQLITE_INTERRUPT ? SQLITE_OK : rc;
}

static int prepare(sqlite3 *db, bool create, int64_t *migrated) {
    int version = -1;
    sqlite3_busy_timeout(db, LEDGER_BUSY_MS);
    if (create) {
        int rc = sqlite3_exec(db,
                              "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                              "PRAGMA journal_size_limit=16777216; PRAGMA cache_size=-16384;",
                              NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return rc;
    }
    int rc = read_number(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && version == 0 && create) {
        rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(db, schema, NULL, NULL, NULL);
        if (rc == SQLITE_ERROR)
            rc = SQLITE_NOTADB; /* tables of somebody else stand in the way */
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
        return rc;
    }
    if (rc == SQLITE_OK && version == 0)
        return SQLITE_EMPTY; /* the writer is about to begin it */
    if (rc == SQLITE_OK && version == LEDGER_ROWS_VERSION && !create)
        return SQLITE_BUSY; /* the writer is about to bring it up to date */
    if (rc == SQLITE_OK && version == LEDGER_ROWS_VERSION) {
        rc = quick_check(db);
        return rc == SQLITE_OK ? ledger_migrate(db, migrated) : rc;
    }
    if (rc == SQLITE_OK && version != LEDGER_VERSION)
        rc = SQLITE_NOTADB;
    return rc == SQLITE_OK && create ? quick_check(db) : rc;
}

int ledger_schema_open(sqlite3 **db, const char *path, bool create, int64_t *migrated) {
    *migrated = 0;
    int flags = create ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    if (ledger_file_odd(path)) { /* a pipe would be waited for, a link's end made */
        *db = NULL;
        return SQLITE_NOTADB;
    }
    if (!create && access(path, F_OK) != 0 && errno == ENOENT) {
        *db = NULL;
        return SQLITE_EMPTY;
    }
    int rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = prepare(*db, create, migrated);
    if (rc != SQLITE_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return rc;
}
