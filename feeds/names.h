/* feeds/names.h: the names of malware and the like in a TAXII collection, kept from poll to poll in a file beside the feed's store.
 *
 * A poll brings what was added since the last one: new indicators refer to malware that only the first poll described. Job thread.
 */
#ifndef SUNDEW_FEEDS_NAMES_H
#define SUNDEW_FEEDS_NAMES_H

#include "feeds/format.h"

/* Into a fresh memory. A file that isn't there or can't be read is a collection without names so far. */
void names_load(struct format_memory *memory, const char *store);

/* Atomically. 0 or -errno. */
int names_save(const struct format_memory *memory, const char *store);

#endif
