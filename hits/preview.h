/* hits/preview.h: what a policy would have hit of what clients asked lately, and what it must not hit, before anyone enforces it.
 */
#ifndef SUNDEW_HITS_PREVIEW_H
#define SUNDEW_HITS_PREVIEW_H

#include <jansson.h>

#include "policy/snapshot.h"

/* An object of three arrays, of 10,000 rows at most each, and of "left_out": {"asked", "popular", "protected"}, how many are not
 * there (of "asked": pairs of client and name, by the hour):
 *   "asked"      {"client", "mac", "hostname", "qname", "qtype", "zone", "rule", "action", "family", "confidence", "first_asked",
 *                "last_asked", "count"}: one a machine and name, the latest first; mac, hostname, family null where unknown; count:
 *                in how many hours it was asked. Names that a rule in force matched are in the hit history instead
 *   "popular"    {"rule", "zone", "clients", "list": "history", "name": null, "covers": null}: rules that PREVIEW_POPULAR machines
 *                or more would have hit, the most first: a name that half the network asks for is seldom a bot's. (Rows of other
 *                lists are the feeder's: feeds/popular.h.)
 *   "protected"  {"rule", "zone"}: rules for names that the policy in force (NULL: none) lets no zone answer for, by rule
 * Only domain rules are told of: the history holds no answers, so what an ip rule or a CNAME target would hit can't be known.
 * NULL with *why (static). */
enum { PREVIEW_POPULAR = 5 };
json_t *preview_json(const char *history_folder, const struct snapshot *snapshot, const struct snapshot *in_force,
                     const char **why);

#endif
