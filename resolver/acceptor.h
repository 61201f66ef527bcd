/* resolver/acceptor.h: a listening socket whose connections are taken in its loop's thread.
 *
 * When descriptors or memory run out, whoever waits goes on waiting in the kernel's queue, and the socket is left alone for
 * ACCEPTOR_REST_MS, time after time. libuv's own listener would close all who wait, with a spare descriptor; once another thread
 * has taken that one's number, it calls accept() for ever and the loop does nothing else. One thread. */
#ifndef SUNDEW_RESOLVER_ACCEPTOR_H
#define SUNDEW_RESOLVER_ACCEPTOR_H

#include <stdbool.h>
#include <uv.h>

#include "resolver/transport.h"

enum {
    ACCEPTOR_TURN = 64,    /* connections taken before the loop gets to other things */
    ACCEPTOR_REST_MS = 100 /* until it is tried again */
};

struct acceptor_user {
    /* A connection, non-blocking, close-on-exec; the descriptor is the user's now, whatever is returned. False: there is no memory
     * for it, so that others had better wait. peer: nothing of use for a Unix socket. */
    bool (*take)(void *context, int fd, const union peer *peer);
    /* Connections wait and can't be taken (-EMFILE, -ENFILE, -ENOMEM, ...). True: room has been made, try again. */
    bool (*make_room)(void *context, int error);
    void *context;
};

struct acceptor;

/* Takes the socket, which is bound and non-blocking, and listens. NULL with *error = -errno (the socket is closed then). */
struct acceptor *acceptor_new(uv_loop_t *loop, int fd, int backlog, const struct acceptor_user *user, int *error);

/* Closes the socket at once; memory goes when the loop has closed the handles. NULL is nothing. */
void acceptor_close(struct acceptor *acceptor);

#endif
