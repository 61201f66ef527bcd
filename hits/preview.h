/* hits/preview.h: what a policy would have hit of what clients asked lately, and what it must not hit, before anyone enforces it.
 */
#ifndef SUNDEW_HITS_PREVIEW_H
#define SUNDEW_HITS_PREVIEW_H

#include <jansson.h>

#include "policy/snapshot.h"

/* An object of three arrays:
 *   "asked"      {"client", "mac", "hostname", "qname", "qtype", "zone", "rule", "action", "family", "confidence", "first_asked",
 *                "last_asked", "count"}: one a machine and name, the latest first; mac, hostname, family null where unknown; count:
 * in how many hours it was asked; 10,000 rows at most. Names that a rule in force matched are in the hit history instead "popular"
 * {"rule", "zone", "clients"}: rules that PREVIEW_POPULAR machines or more would have hit: a name that half the network asks for is
 * seldom a bot's "protected"  {"rule", "zone"}: rules for names that the policy in force (NULL: none) lets no zone answer for NULL
 * with *why (static). */
enum { PREVIEW_POPULAR = 5 };
json_t *preview_json(const char *history_folder, const struct snapshot *snapshot, const struct snapshot *in_force,
                     const char **why);

#endif
