/* feeds/offline.h: what sundew-feeder does without a daemon: check, compile, try one zone. Exit codes: 0 done, 1 faults or failed.
 */
#ifndef SUNDEW_FEEDS_OFFLINE_H
#define SUNDEW_FEEDS_OFFLINE_H

#include <stddef.h>

/* Reads all local policy files and never_block lists of the configuration (NULL: the embedded default) and prints every fault as
 * FILE:LINE:COLUMN: path: message on stdout. */
int offline_check(const char *config);

/* Compiles what the configuration's files hold, and what its feeds' saved copies do, into the snapshot `output`. */
int offline_compile(const char *config, const char *output);

/* Compiles one source alone, with a zone's defaults. A URL is fetched. Prints the zone on stdout as the control command `zones`
 * with `rejected` gives it. */
int offline_zone(const char *source, const char *format, const char *output);

/* Which rules of a compiled zone would answer for popular names (feeds/popular.h): prints it as JSON on stdout. Entries as the
 * configuration's `popular` has them: names, and paths of lists, whose faults are printed on stderr (and make the exit code 1,
 * though the rest counts). */
int offline_popular(const char *snapshot, char *const *entries, size_t count);

#endif
