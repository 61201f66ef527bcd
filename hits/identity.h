/* hits/identity.h: who is behind an address at a moment: the MAC that a trusted sender put into the query (EDNS option 65001),
 * else what DHCP leases say, else the kernel's neighbour table. Unknown stays absent; nothing is guessed.
 *
 * The writer's thread. */
#ifndef SUNDEW_HITS_IDENTITY_H
#define SUNDEW_HITS_IDENTITY_H

#include "hits/hit.h"

struct identities;

struct identities *identities_new(void); /* NULL: no memory */
void identities_free(struct identities *identities);

/* The holder of record->client at record->ts_us. who->hostname is borrowed until the next call of another function here. */
void identities_find(struct identities *identities, const struct record *record, struct identity *who);

/* Changes whenever a find might give something else than before. */
uint32_t identities_generation(const struct identities *identities);

#endif
