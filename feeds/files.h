/* feeds/files.h: local sources: files, globs, built-in texts. Looked at once a second by time and size (which works on every file
 * system, network ones too); what has come to rest is read into its store by a job. Loop's thread. */
#ifndef SUNDEW_FEEDS_FILES_H
#define SUNDEW_FEEDS_FILES_H

#include "feeds/zone.h"

enum { FILES_LOOK_MS = 700 }; /* a change is read when two looks in a row agree: within 1.4 s */

/* Looks at the zone's files and has read what changed; `now`: without waiting for it to come to rest. */
void files_look(struct zone *zone, bool now);

#endif
