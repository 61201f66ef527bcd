/* hits/leases.h: who held which address when, from lease files that other servers write.
 *
 * An address has holders one after another, each from its start to before its end; a hit is given to the holder at its time. What
 * was known stays known while the server forgets, within LEASES_PAST and the limit. The writer's thread. */
#ifndef SUNDEW_HITS_LEASES_H
#define SUNDEW_HITS_LEASES_H

#include "config/config.h"
#include "hits/lease_parser.h"
#include "hits/text.h"

struct leases;

/* Visible, because it is what a look-up gives: borrowed until the next call of leases_follow or leases_configure. */
struct holder {
    int64_t start_us, end_us;
    bool has_mac, mac_of_duid;
    uint8_t mac[6];
    struct phrase *hostname; /* NULL unknown */
};

/* `limit`: holders remembered at once. NULL: no memory. */
struct leases *leases_new(size_t limit);
void leases_free(struct leases *leases);

/* Which files to follow; those that stay are not read again. 0 or -ENOMEM (some may be missing then). */
int leases_configure(struct leases *leases, const struct lease_config *files, size_t count);

/* Reads what is new in the files: a stat() for each that has nothing. Takes files in portions: true means there is more to read
 * at once. `now_us`: wall clock. */
bool leases_follow(struct leases *leases, int64_t now_us);

const struct holder *leases_find(const struct leases *leases, const struct ip *address, int64_t ts_us); /* NULL: nobody */
const struct holder *leases_find_mac(const struct leases *leases, const uint8_t mac[6], int64_t ts_us); /* one with a name */

uint32_t leases_generation(const struct leases *leases); /* changes with any holder */

/* What to tell the operator: holders not remembered for the limit, lines skipped, and a file that can't be read (one complaint a
 * call, NULL when there is none; a file is complained of again only after it could be read). */
struct leases_stats {
    uint64_t holders, refused, skipped;
};
void leases_stats(const struct leases *leases, struct leases_stats *stats);
const char *leases_complaint(struct leases *leases, int *error);

/* Records a lease as a file says it. For tests; files come through leases_follow. `seen_us`: when the file was written. */
void leases_add(struct leases *leases, const struct lease *lease, int64_t seen_us);

#endif
