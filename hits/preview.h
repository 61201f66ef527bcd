/* hits/preview.h: what a policy would have hit of what clients asked lately, as JSON, before anyone enforces it. */
#ifndef SUNDEW_HITS_PREVIEW_H
#define SUNDEW_HITS_PREVIEW_H

#include <jansson.h>

#include "policy/snapshot.h"

/* Array of {"client", "mac", "hostname", "qname", "qtype", "zone", "rule", "action", "family", "confidence", "first_asked",
 * "last_asked", "count"}: one a machine and name, the latest first; mac, hostname, family null where unknown; count: in how many
 * hours it was asked; 10,000 rows at most. Names that a rule in force matched are in the hit history instead. NULL with *why
 * (static). */
json_t *preview_json(const char *history_folder, const struct snapshot *snapshot, const char **why);

#endif
