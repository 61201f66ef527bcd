/* hits/ledger_clients.h: the infected machines, out of the ledger, listed once and told in pages.
 *
 * A listing stays as it was made, whatever comes meanwhile, so its pages miss nobody and tell nobody twice; a machine that was
 * pruned since is left out. It takes some 64 octets a machine (hits/ledger_sightings.h), a page what its rows need.
 * Parameters: hits/ledger_query.h. One thread at a time. */
#ifndef SUNDEW_HITS_LEDGER_CLIENTS_H
#define SUNDEW_HITS_LEDGER_CLIENTS_H

#include <jansson.h>
#include <stddef.h>

struct ledger_clients;

struct ledger_clients *ledger_clients_list(const char *path, const json_t *parameters,
                                           const char **why); /* NULL with *why (static) */
void ledger_clients_free(struct ledger_clients *clients);
size_t ledger_clients_count(const struct ledger_clients *clients);

/* `count` machines from place `from` on, the latest seen first, as ledger_query_clients. New reference; NULL with *why (static). */
json_t *ledger_clients_rows(const struct ledger_clients *clients, size_t from, size_t count, const char **why);

#endif
