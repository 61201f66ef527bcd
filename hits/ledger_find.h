/* hits/ledger_find.h: the entry of the ledger that has a given id: what the open windows' repeats refer to.
 *
 * Ids ascend; a search for one behind the last in the same batch goes on where that ended. For one connection's thread. */
#ifndef SUNDEW_HITS_LEDGER_FIND_H
#define SUNDEW_HITS_LEDGER_FIND_H

#include <sqlite3.h>

#include "hits/ledger_batch.h"

struct finder;

struct finder *finder_new(sqlite3 *db); /* the connection must outlive it; NULL: no memory */
void finder_free(struct finder *finder);

/* SQLITE_ROW: *entry is the one, borrowed until the next call; SQLITE_DONE: there is none such any more; or a failure. */
int finder_find(struct finder *finder, int64_t id, struct entry *entry);

#endif
