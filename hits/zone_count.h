/* hits/zone_count.h: how many hits each zone had, by action, and each malware family, since the start: what /metrics says of them.
 *
 * Counters are made when first needed, by the writer's thread, and live as long as the table; there are as many as zones and
 * actions that ever had a hit, ZONE_COUNTS_MAX at most. Families are named by feeds, so their number is bounded more tightly: the
 * first FAMILY_COUNTS_MAX that are hit have counters, all others share that of FAMILY_OTHER. Reading is for any thread. */
#ifndef SUNDEW_HITS_ZONE_COUNT_H
#define SUNDEW_HITS_ZONE_COUNT_H

#include <jansson.h>
#include <stdatomic.h>

#include "policy/rule.h"

enum { ZONE_COUNTS_MAX = 4096, FAMILY_COUNTS_MAX = 200 };
#define FAMILY_OTHER "(other)"

struct zone_counts;

struct zone_counts *zone_counts_new(void); /* NULL: no memory */
void zone_counts_free(struct zone_counts *counts);

/* The writer's thread. The counter of a zone and action; NULL: no memory, or too many. */
_Atomic uint64_t *zone_counts_find(struct zone_counts *counts, const char *zone, enum action action);

/* Likewise of a family; NULL: no memory. */
_Atomic uint64_t *zone_counts_family(struct zone_counts *counts, const char *family);

/* {"zones": [{zone, action, hits}], "families": [{family, hits}]}; new reference, NULL: no memory. */
json_t *zone_counts_json(struct zone_counts *counts);

#endif
