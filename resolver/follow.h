/* resolver/follow.h: hit lines from the writer's thread to one control client, as they are written.
 *
 * The writer's thread only copies; a client that doesn't keep up loses its place, never the writer's time. Main thread. */
#ifndef SUNDEW_RESOLVER_FOLLOW_H
#define SUNDEW_RESOLVER_FOLLOW_H

#include <jansson.h>
#include <uv.h>

#include "hits/writer.h"

struct follow;

/* Begins. `each` gets every hit that fits the request's client, family and zone (where given), as a line with '\n'; text NULL: too
 * many lines came at once, it is over. NULL: no memory. */
struct follow *follow_begin(uv_loop_t *loop, struct writer *writer, const json_t *request,
                            void (*each)(void *context, const char *text, size_t length), void *context);

/* Ends; nothing is called afterwards. Frees itself when the loop has closed its handle. */
void follow_end(struct follow *follow);

#endif
