/* hits/ledger_pages.h: listings of machines that somebody is reading page by page.
 *
 * A listing is kept from one page to the next: LEDGER_PAGES_KEPT of them at most (the one that waited longest goes), none that
 * nobody asked for in LEDGER_PAGES_SECONDS. One is gathered at a time, so memory is bounded however many ask. Any thread. */
#ifndef SUNDEW_HITS_LEDGER_PAGES_H
#define SUNDEW_HITS_LEDGER_PAGES_H

#include <jansson.h>
#include <stdint.h>

struct ledger_pages;

enum { LEDGER_PAGES_KEPT = 2, LEDGER_PAGES_SECONDS = 60 };

struct ledger_pages *ledger_pages_new(const char *path); /* the ledger's; NULL: no memory */
void ledger_pages_free(struct ledger_pages *pages);

/* Without "after": the array of ledger_query_clients, "limit" machines at most. With it ("" to begin, then what "next" said):
 * {"rows": that array, "next": where the next page begins, null after the last, "total": machines of all pages}. NULL with *why
 * (static). */
json_t *ledger_pages_clients(struct ledger_pages *pages, const json_t *parameters, const char **why);

/* Now and then: lets go of what nobody reads on. `now_ms`: monotonic. */
void ledger_pages_tend(struct ledger_pages *pages, uint64_t now_ms);

#endif
