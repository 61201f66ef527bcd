/* feeds/popular.h: names that many people use: a zone that answers for them would break something, so `preview` says so.
 *
 * A list that ships with sundew (popular_names.c), names and files of the configuration's `popular` besides. An entry stands for
 * itself and all below it, or (exact) for itself alone, where the names below belong to others. One thread. */
#ifndef SUNDEW_FEEDS_POPULAR_H
#define SUNDEW_FEEDS_POPULAR_H

#include <jansson.h>

#include "policy/name.h"
#include "policy/snapshot.h"

struct popular;

enum { POPULAR_ROWS = 10000 }; /* that popular_judge gives at most */

/* The list that ships, as written: '=' in front means exact. */
const char *const *popular_names(size_t *count);

struct popular *popular_new(void); /* with that list, called "built-in"; NULL: no memory */
void popular_free(struct popular *popular);

/* `list`: what rows call it; must outlive it. Of a name that stands in two lists the first counts. 0 or -ENOMEM. */
int popular_add(struct popular *popular, const struct name *name, bool exact, const char *list);

/* The rules that would answer for popular names: {"popular": array, "left_out": how many rows are not there}, the array of {"rule",
 * "zone", "name", "covers", "list"}. covers: true, the name itself (or all below it) would be answered, these come first; false, a
 * name below it would be. By name. NULL: no memory. */
json_t *popular_judge(struct popular *popular, const struct snapshot *snapshot);

#endif
