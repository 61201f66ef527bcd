/* feeds/offline.h: what sundew-feeder does without a daemon: check, compile, try one zone. Exit codes: 0 done, 1 faults or failed.
 */
#ifndef SUNDEW_FEEDS_OFFLINE_H
#define SUNDEW_FEEDS_OFFLINE_H

/* Reads all local policy files and never_block lists of the configuration (NULL: the embedded default) and prints every fault as
 * FILE:LINE:COLUMN: path: message on stdout. */
int offline_check(const char *config);

/* Compiles what the configuration's files hold, and what its feeds' saved copies do, into the snapshot `output`. */
int offline_compile(const char *config, const char *output);

/* Compiles one source alone, with a zone's defaults. A URL is fetched. Prints the zone on stdout as the control command `zones`
 * with `rejected` gives it. */
int offline_zone(const char *source, const char *format, const char *output);

#endif
