/* feeds/guard.h: what no feed may do to the network: rules that are refused, names and addresses that are shielded.
 *
 * Refused, passthru and client rules excepted:
 *   - the root, top-level domains, public suffixes (the Public Suffix List, its private section too: github.io, workers.dev);
 *   - localhost, in-addr.arpa, ip6.arpa, resolver.arpa and all below them;
 *   - names in never_block and all below them (single names where a list says so), the forwarders' and the feeds' host names;
 *   - ip rules for a never_block prefix or a part of it, for an address of a forwarder, of the sinkhole or of sundew itself;
 *   - ip rules wider than /8 (IPv4) or /16 (IPv6).
 * Shielded in the snapshot besides, so that a rule for a parent (or a wider prefix) passes over them: all of never_block, the hosts
 * and addresses above, and public suffixes below a listed name.
 *
 * A check costs some tens of nanoseconds: names are hashed once, all suffixes are looked up in one small table. Built for one
 * build, used by its thread, freed. */
#ifndef SUNDEW_FEEDS_GUARD_H
#define SUNDEW_FEEDS_GUARD_H

#include "config/config.h"
#include "policy/ruleset.h"

struct guard;

struct guard *guard_new(uint64_t seed); /* NULL: no memory. Knows the special names, nothing else */
void guard_free(struct guard *guard);

/* The Public Suffix List, as a text file. Where it can't be read, libpsl's built-in copy is asked instead (slower). Returns
 * 0 or -errno; the guard is of use all the same. path NULL: where Debian keeps it. */
int guard_load_suffixes(struct guard *guard, const char *path);

enum guard_reason { GUARD_NEVER_BLOCK, GUARD_FORWARDER, GUARD_FEED, GUARD_OWN, GUARD_SINKHOLE };

/* exact: the name alone; else with all below it. */
int guard_add_name(struct guard *guard, const struct name *name, bool exact, enum guard_reason reason);
int guard_add_prefix(struct guard *guard, const struct prefix *prefix, enum guard_reason reason);

/* What the configuration itself protects: names in never_block, forwarders, feed hosts, own addresses. */
int guard_add_config(struct guard *guard, const struct config *config);

/* NULL if the rule may stand, else why not (static). Remembers which listed names are parents of public suffixes. */
const char *guard_refuses(struct guard *guard, const struct rule *rule);

/* After the last rule: tells the ruleset what to shield. 0 or -errno. */
int guard_protect(const struct guard *guard, struct ruleset *rules);

#endif
