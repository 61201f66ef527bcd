/* resolver/control.h: the control socket: lines of JSON in and out (doc/design.md, "Control socket").
 *
 * A unix stream socket of mode 0660, so never reachable from the network. Requests of a client are answered in order, one at a
 * time; a client that doesn't read, or sends a longer line than CONTROL_LINE_MAX, is closed. Main thread. */
#ifndef SUNDEW_RESOLVER_CONTROL_H
#define SUNDEW_RESOLVER_CONTROL_H

#include "resolver/supervisor.h"

enum {
    CONTROL_LINE_MAX = 64 * 1024,       /* octets of a request */
    CONTROL_CLIENTS_MAX = 64,           /* at once; further ones are closed at once */
    CONTROL_BEHIND_MAX = 64 << 20,      /* octets of answers that a client may be behind */
    CONTROL_FOLLOW_BEHIND_MAX = 4 << 20 /* the same for one that follows hits */
};

/* Listens at path, making its folder. A socket that a dead daemon left is replaced; a living one is -EADDRINUSE. 0 or -errno. */
int control_open(struct control **control, struct supervisor *supervisor, const char *path);

/* Accepts nothing more, lets followers go and removes the socket's file. Who asked for "stop" stays connected until control_close.
 * NULL is nothing, here and below. */
void control_quiesce(struct control *control);
void control_close(struct control *control);
void control_free(struct control *control); /* after the loop has closed the handles */

#endif
