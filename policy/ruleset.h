/* policy/ruleset.h: the rules of all zones, in memory, on their way into the compiler.
 *
 * Filled by one thread: zones in precedence order, then rules in any order, then policy/compile.h. Compact (names and strings are
 * packed, strings interned): ten million rules must stay below 1 GB. Errors: 0 or -errno; a ruleset that returned -ENOMEM can
 * only be freed. */
#ifndef SUNDEW_POLICY_RULESET_H
#define SUNDEW_POLICY_RULESET_H

#include "policy/rule.h"

struct ruleset;

/* What the compiler needs of a zone. Borrowed for the call. `clients`: the zone holds only for them (count 0: for all). */
struct ruleset_zone {
    const char *name;
    enum mode mode;
    const struct prefix *clients;
    size_t client_count;
};

/* What sundew makes its answers from: the configuration's "policy" object. */
struct ruleset_answers {
    struct ip loopback;      /* IPv4 */
    bool has_ipv4, has_ipv6; /* of the sinkhole */
    struct ip sinkhole_ipv4, sinkhole_ipv6;
};

struct ruleset *ruleset_new(const struct ruleset_answers *answers);
void ruleset_free(struct ruleset *rules);

/* Appends a zone; the order of the calls is zone precedence. Returns the zone's index (>= 0) or -errno (-E2BIG past 65,000). */
int ruleset_add_zone(struct ruleset *rules, const struct ruleset_zone *zone);

/* Copies a rule in. A second rule of the same zone, trigger and owner/match (or prefix) does not replace the first: the one with
 * the higher confidence holds (the earlier at a tie) and takes over the other's families ("A, B", the highest confidence first).
 * One that expires later holds from then on; it isn't counted in its zone. Returns 0, -EINVAL with *why for a rule that can't be
 * compiled (bad target, bad record: named), or -ENOMEM. */
int ruleset_add(struct ruleset *rules, int zone, const struct rule *rule, const char **why);

/* Names and addresses that no zone may answer for. `exact`: only the name itself (public suffixes). Used by the matcher; that a
 * *rule* for them is refused is the feeder's part (feeds/guard.h). */
int ruleset_protect_name(struct ruleset *rules, const struct name *name, bool exact);
int ruleset_protect_prefix(struct ruleset *rules, const struct prefix *prefix);

size_t ruleset_count(const struct ruleset *rules);

#endif
