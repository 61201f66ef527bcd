/* policy/snapshot.h: a compiled policy, mapped read-only and shared by all workers.
 *
 * Immutable after snapshot_open, which verifies magic, version, checksums and every section's bounds: a damaged, truncated or
 * foreign file is refused (-EBADMSG with *why) and never crashes, then or later. Reference-counted atomically; any thread. */
#ifndef SUNDEW_POLICY_SNAPSHOT_H
#define SUNDEW_POLICY_SNAPSHOT_H

#include <stdio.h>

#include "policy/rule.h"

struct snapshot;

int snapshot_open(struct snapshot **snapshot, const char *path, const char **why);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* unmaps after the last; NULL is nothing */

uint64_t snapshot_seed(const struct snapshot *snapshot);
const uint8_t *snapshot_digest(const struct snapshot *snapshot); /* 16 octets, as given to the compiler */
const char *snapshot_id(const struct snapshot *snapshot);        /* 16 hex digits of its content; stands in status and hits */
/* Process-unique, never 0, never reused: what the cache remembers as "clean under this policy". */
uint32_t snapshot_generation(const struct snapshot *snapshot);

struct snapshot_stats {
    uint64_t rules; /* enforceable rules, all zones */
    uint64_t trigger[TRIGGER_COUNT];
    uint64_t resident_bytes; /* of the sections that matching touches */
    uint64_t file_bytes;
    uint32_t zones;
};
void snapshot_stats(const struct snapshot *snapshot, struct snapshot_stats *stats);
const char *snapshot_zone_name(const struct snapshot *snapshot, uint32_t zone);
uint64_t snapshot_zone_rules(const struct snapshot *snapshot, uint32_t zone);

enum { RULE_REFERENCE_MAX = 256 }; /* octets of a reference that is put together, NUL included */

/* All that a hit says of its rule (cold: reads pages that matching never touches; not for workers). Strings point into the
 * mapping and live as long as the snapshot, but `reference` may point to reference_text: it lives as long as the struct, which
 * therefore must not be copied. Absent ones are NULL. */
struct rule_info {
    uint32_t zone;
    const char *zone_name;
    enum trigger trigger;
    enum match match;
    enum action action;
    enum mode mode;
    uint32_t ttl;
    uint8_t confidence;
    char text[NAME_TEXT_MAX + 2]; /* as rules are written: name, "*.name" (below), prefix */
    const char *family;
    const char *reference;
    const char *target;
    const char *records;
    const char *source;
    uint32_t line;
    int64_t first_seen, last_seen, expires;
    char reference_text[RULE_REFERENCE_MAX];
};
int snapshot_rule(const struct snapshot *snapshot, uint32_t rule, struct rule_info *info); /* 0 or -ENOENT */
/* Parts of it, for who knows the rule's text and profile already (struct matched): both 0 or -ENOENT, and leave the rest of *info
 * as it is. snapshot_profile: zone, zone_name, match, action, mode, ttl, target, records; *spec as in struct matched.
 * snapshot_notes: family, confidence, source, line, reference, first_seen, last_seen; rules of equal *label have family and
 * confidence in common. */
int snapshot_profile(const struct snapshot *snapshot, uint32_t profile, uint32_t *spec, struct rule_info *info);
int snapshot_notes(const struct snapshot *snapshot, uint32_t rule, uint64_t *label, struct rule_info *info);
/* Asks for the lines of memory that snapshot_notes will want: with step 0, then, a while later, 1. */
void snapshot_notes_prefetch(const struct snapshot *snapshot, uint32_t rule, unsigned step);

/* Calls back for every rule, in the snapshot's own (deterministic) order; stops at the first non-zero and returns it. */
int snapshot_each(const struct snapshot *snapshot, int (*each)(void *context, uint32_t rule, const struct rule_info *info),
                  void *context);

/* Takes out of the mapping again what the calls above have brought into it. The kernel maps whole huge pages, so a hundred hits on
 * ten million rules make 70 MB resident that nobody reads twice. What they returned stays good. Any thread, beside all others; a
 * few microseconds. */
void snapshot_rest(const struct snapshot *snapshot);

#endif
