/* resolver/acceptor.c: accept() that can wait. */
#include "resolver/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct acceptor {
    uv_poll_t poll;
    uv_timer_t rest;
    int fd;
    bool closing;
    unsigned handles; /* not closed yet */
    struct acceptor_user user;
};

static void on_readable(uv_poll_t *handle, int status, int events);

static void on_rested(uv_timer_t *timer) {
    struct acceptor *acceptor = timer->data;
    uv_poll_start(&acceptor->poll, UV_READABLE, on_readable);
}

static void rest(struct acceptor *acceptor) {
    if (acceptor->closing)
        return;
    uv_poll_stop(&acceptor->poll);
    uv_timer_start(&acceptor->rest, on_rested, ACCEPTOR_REST_MS, 0);
}

/* Errors that belong to the connection that was next, and are gone with it: accept(2), "Error handling". */
static bool of_one_connection(int error) {
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
        return true;
    default:
        return false;
    }
}

/* Descriptors are looked for before connections: without one left, accept() fails though nobody may be waiting any more. */
static bool somebody_waits(int fd) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    return poll(&waiting, 1, 0) > 0;
}

static void on_readable(uv_poll_t *handle, int status, int events) {
    struct acceptor *acceptor = handle->data;
    for (unsigned i = 0; i < ACCEPTOR_TURN && !acceptor->closing; i++) {
        union peer peer = {0};
        socklen_t length = sizeof peer;
        int fd = accept4(acceptor->fd, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC), error = errno;
        if (fd < 0 && of_one_connection(error))
            continue;
        if (fd < 0 && (error == EAGAIN || !somebody_waits(acceptor->fd)))
            return;
        bool going = fd >= 0 ? acceptor->user.take(acceptor->user.context, fd, &peer)
                             : acceptor->user.make_room(acceptor->user.context, -error);
        if (!going) {
            rest(acceptor);
            return;
        }
    }
}

struct acceptor *acceptor_new(uv_loop_t *loop, int fd, int backlog, const struct acceptor_user *user, int *error) {
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    *error = acceptor == NULL ? -ENOMEM : listen(fd, backlog) != 0 ? -errno : uv_poll_init(loop, &acceptor->poll, fd);
    if (*error != 0) {
        free(acceptor);
        close(fd);
        return NULL;
    }
    uv_timer_init(loop, &acceptor->rest);
    acceptor->handles = 2;
    acceptor->poll.data = acceptor->rest.data = acceptor;
    acceptor->fd = fd;
    acceptor->user = *user;
    *error = uv_poll_start(&acceptor->poll, UV_READABLE, on_readable);
    if (*error == 0)
        return acceptor;
    acceptor_close(acceptor);
    return NULL;
}

static void on_closed(uv_handle_t *handle) {
    struct acceptor *acceptor = handle->data;
    if (--acceptor->handles == 0)
        free(acceptor);
}

void acceptor_close(struct acceptor *acceptor) {
    if (acceptor == NULL || acceptor->closing)
        return;
    acceptor->closing = true;
    uv_close((uv_handle_t *)&acceptor->poll, on_closed);
    uv_close((uv_handle_t *)&acceptor->rest, on_closed);
    close(acceptor->fd);
}
