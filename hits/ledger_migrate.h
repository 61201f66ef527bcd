/* hits/ledger_migrate.h: brings a ledger of version 1, a row for each entry, into the form of version 2, batches. */
#ifndef SUNDEW_HITS_LEDGER_MIGRATE_H
#define SUNDEW_HITS_LEDGER_MIGRATE_H

#include <sqlite3.h>
#include <stdint.h>

/* All of it or nothing (one transaction); about a second for 300,000 entries. An SQLite result code, and how many there were. */
int ledger_migrate(sqlite3 *db, int64_t *entries);

#endif
