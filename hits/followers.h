/* hits/followers.h: those who read the hit log while it is written (`sundew hits -f`, the page).
 *
 * Any thread may come and go; lines are passed on by one. */
#ifndef SUNDEW_HITS_FOLLOWERS_H
#define SUNDEW_HITS_FOLLOWERS_H

#include <stddef.h>

struct followers;

struct followers *followers_new(void); /* NULL: no memory */
void followers_free(struct followers *followers);

/* on_line is called for each line that is passed on from now, with its '\n', in the thread that passes it; it must copy and return
 * at once, and call nothing of this. Returns an id >= 0, or -ENOMEM. */
int followers_add(struct followers *followers, void (*on_line)(void *context, const char *line, size_t length), void *context);

/* Returns only when no call is or will be under way. An id that is gone already does nothing. */
void followers_remove(struct followers *followers, int id);

/* `length` octets of whole lines, each ended by '\n'. */
void followers_pass(struct followers *followers, const char *lines, size_t length);

#endif
