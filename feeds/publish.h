/* feeds/publish.h: a compiled policy into force: written aside, on disk, verified, renamed.
 *
 * Invariant: whatever happens at whatever moment (kill -9, a full disk, a power cut), DIR/policy.snapshot is either the whole old
 * policy or the whole new one. Feeder process; runs on the job thread. */
#ifndef SUNDEW_FEEDS_PUBLISH_H
#define SUNDEW_FEEDS_PUBLISH_H

#include "policy/compile.h"

enum { PUBLISH_ID_SIZE = 17 };

struct published {
    char id[PUBLISH_ID_SIZE]; /* snapshot_id */
    uint64_t rules;
    bool changed;  /* false: the same policy was already in force, the file was left alone */
    char why[256]; /* on failure */
};

/* Compiles into `path` (its directory must exist). Consumes the ruleset, which the caller frees. `count_zone`, where it isn't NULL,
 * is told for each of the ruleset's zones how many rules it has in the snapshot, where duplicates are one. 0 or -errno. */
int publish_snapshot(const char *path, struct ruleset *rules, const struct compile_options *options, struct published *published,
                     void (*count_zone)(void *context, uint32_t zone, uint64_t rules), void *context);

/* The installation's own hash seed, DIR/seed (mode 0600), made at random the first time. 0 or -errno. */
int publish_seed(const char *directory, uint64_t *seed);

/* Writes a small file by the same rules (aside, synced, renamed; mode 0600). */
int publish_text(const char *path, const char *text, size_t length);

#endif
