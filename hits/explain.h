/* hits/explain.h: which rule decides for a name or an address, and what it shadows, as JSON for people and programs.
 *
 * Used by the daemon (against the policy in force) and by `sundew explain -c` (against one that was just compiled). Cold; any
 * thread that holds the snapshot. */
#ifndef SUNDEW_HITS_EXPLAIN_H
#define SUNDEW_HITS_EXPLAIN_H

#include <jansson.h>

#include "policy/snapshot.h"

/* parameters: {"name": text (Unicode, too) | "ip": address, "client": address?, "type": "A"...?}. New reference to
 *   {"name"|"ip", "client", "type", "decided": bool, "protected": bool, then of the rule that decides, if one does: "zone" "rule"
 *    "trigger" "match" "action" "mode" "ttl" and where known "family" "confidence" "reference" "target" "source" "line"
 *    "first_seen" "last_seen" "expires"; "rcode" and "answer" (addresses) for the type; "rules": [the same of every rule that
 *    covers it, in precedence order, each with "state": "decides" "monitor" "shadowed" "expired" "other clients" "protected"]}
 * or NULL with *why (static). */
json_t *explain_json(const struct snapshot *snapshot, const json_t *parameters, int64_t now, const char **why);

#endif
