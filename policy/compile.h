/* policy/compile.h: turns a ruleset into one immutable snapshot file (policy/snapshot.h).
 *
 * Deterministic: the same ruleset (in the same order), seed and digest give the same bytes. Everything that depends on policy
 * alone is done here: the winner among zones at a name, inherited actions, answer bytes. */
#ifndef SUNDEW_POLICY_COMPILE_H
#define SUNDEW_POLICY_COMPILE_H

#include "policy/ruleset.h"

struct compile_options {
    uint64_t seed;      /* of the name hashes; an installation's own, kept in its state_dir */
    uint8_t digest[16]; /* of the configuration that this policy belongs to (config_policy_digest) */
};

/* Writes the snapshot to an open, empty file (not published, not synced: feeds/publish.h does that). Consumes what it can of the
 * ruleset's memory while it works; afterwards the ruleset can only be freed. 0 or -errno (ENOSPC, EIO, ENOMEM; E2BIG past
 * 4 GB of buckets or strings, some 200 million rules). */
int compile_write(struct ruleset *rules, const struct compile_options *options, int fd);

#endif
