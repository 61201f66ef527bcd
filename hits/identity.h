/* hits/identity.h: who is behind an address at a moment: the MAC that a trusted sender put into the query (EDNS option 65001),
 * else what DHCP leases say, else the kernel's neighbour table. Unknown stays absent; nothing is guessed.
 *
 * A host name is the one that the lease of this address, or another lease of the same MAC, carries at that time. The MAC within a
 * DHCPv6 DUID names the machine but perhaps another of its interfaces, so there the neighbour table goes first.
 * The writer's thread. */
#ifndef SUNDEW_HITS_IDENTITY_H
#define SUNDEW_HITS_IDENTITY_H

#include "hits/hit.h"
#include "hits/leases.h"

struct identities;

struct identities *identities_new(void); /* NULL: no memory */
void identities_free(struct identities *identities);

/* The leases that identities are looked up in, to be configured and asked for complaints. */
struct leases *identities_leases(struct identities *identities);

/* Takes in what lease files and kernel have new. Cheap when there is nothing. True: more is waiting, call again soon. */
bool identities_follow(struct identities *identities, uint64_t now_us);

/* The holder of record->client at record->ts_us. who->hostname is borrowed until the next identities_follow. */
void identities_find(struct identities *identities, const struct record *record, struct identity *who);

/* Changes whenever a find might give something else than before (but for leases that run out). */
uint32_t identities_generation(const struct identities *identities);

/* What an operator calls a machine by, as hits write it: an address, a MAC address (any of the usual ways of writing it), or a host
 * name, which can be nearly anything. -EINVAL: nothing of that, or most likely a slip: control characters, digits with dots or
 * colons that are no address, a prefix. Pure; any thread. */
enum { IDENTITY_CLIENT_MAX = 1024 };
int identity_client(const char *text, char out[IDENTITY_CLIENT_MAX]);

#endif
