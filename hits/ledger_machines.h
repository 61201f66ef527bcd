/* hits/ledger_machines.h: the ledger's table of machines, kept in memory between two writings.
 *
 * A machine is its MAC where that is known, else its address. What readers look up of one (address, host name, when first seen) is
 * written with the batch that brings it; how many entries are its own, which only pruning asks for, once a second. So a hit of a
 * machine that is known costs a look into a table. Bounded: a full table is written out and begun anew. The writer's thread. */
#ifndef SUNDEW_HITS_LEDGER_MACHINES_H
#define SUNDEW_HITS_LEDGER_MACHINES_H

#include <sqlite3.h>

#include "hits/ledger_batch.h"

struct machines;

/* The table's key: 'm' and 6 octets of a MAC, or 'a' and 16 octets of an address. Returns its length. */
enum { MACHINE_KEY_MAX = 17 };
int machine_key(uint8_t key[MACHINE_KEY_MAX], const struct ip *client, const uint8_t *mac); /* mac: NULL unknown */

struct machines *machines_new(void); /* NULL: no memory */
void machines_free(struct machines *machines);
int machines_open(struct machines *machines, sqlite3 *db); /* an SQLite result code; forgets what it held */
void machines_close(struct machines *machines);            /* before the connection is */

/* The machine of an entry has one more. `first_us`: of the entry's hits. False: no memory. */
bool machines_enter(struct machines *machines, const struct entry *entry, uint64_t first_us);
bool machines_take_out(struct machines *machines, const struct entry *entry); /* one less; false: no memory */

/* Within a transaction: writes what is new of machines; SQLite result codes. machines_write_all: their numbers of entries, too, and
 * takes out those that have none left. */
int machines_write(struct machines *machines);
int machines_write_all(struct machines *machines);
/* The transaction was committed, or not: then everything since the last time is forgotten. */
void machines_settle(struct machines *machines, bool committed);

bool machines_full(const struct machines *machines);  /* machines_write_all is due now */
bool machines_dirty(const struct machines *machines); /* it has something to write */
uint64_t machines_count(const struct machines *machines);

#endif
