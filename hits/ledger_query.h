/* hits/ledger_query.h: what the ledger says: infected machines, and the history of hits. Any thread, each call with a connection of
 * its own, which doesn't hold up the writer.
 *
 * parameters: a JSON object with, where wanted,
 *   "since"   seconds back (number), "24h" (a duration), or "2026-11-22T17:40:00Z" (UTC; a date alone will do)
 *   "client"  an address, a MAC or a host name
 *   "family"  one of a rule's families, any case       "zone"    a zone's name
 *   "limit"   how many rows; "after": an "id" (0 to begin): hits come oldest first, each with its "id", for paging */
#ifndef SUNDEW_HITS_LEDGER_QUERY_H
#define SUNDEW_HITS_LEDGER_QUERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The latest "limit" machines (LEDGER_QUERY_CLIENTS at most, and without one; all of them in pages: hits/ledger_pages.h): an array
 * of
 * {"address", "mac", "hostname", "first_seen", "last_seen", "hits", "families", "zones"}, the latest seen first; mac and
 * hostname null where unknown; first_seen is over all that is kept, the rest over what was asked for. NULL with *why (static). */
enum { LEDGER_QUERY_CLIENTS = 10000 };
json_t *ledger_query_clients(const char *path, const json_t *parameters, const char **why);

/* Array of objects as in the hit log, in the order of entry. Without "after": the latest "limit" (default LEDGER_QUERY_HITS). */
enum { LEDGER_QUERY_HITS = 100000 };
json_t *ledger_query_hits(const char *path, const json_t *parameters, const char **why);

/* How many hits there were: an array of {"ts", "enforced", "monitored"}, an hour of UTC each, from the first; hours without hits
 * are left out. All hits, whatever "limit" says. */
json_t *ledger_query_hours(const char *path, const json_t *parameters, const char **why);

/* Does *why of one of these say that the book is damaged? */
bool ledger_query_damaged(const char *why);

/* "since" as above, in microseconds since 1970. 0 or -EINVAL. NULL or null: 0. */
int ledger_query_since(const json_t *since, int64_t now_us, int64_t *since_us);

#endif
