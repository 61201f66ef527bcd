/* resolver/http_listener.c: a thread with a loop that holds an acceptor and nothing else. */
#include "resolver/http_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "resolver/acceptor.h"

enum { BACKLOG = 32 };

struct http_listener {
    struct MHD_Daemon *daemon;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t stop;
    struct acceptor *acceptor;
};

/* acceptor_user.take: whom the daemon doesn't want, it closes. */
static bool take(void *context, int fd, const union peer *peer) {
    const struct http_listener *listener = context;
    socklen_t length = peer->any.sa_family == AF_INET6 ? sizeof peer->v6 : sizeof peer->v4;
    MHD_add_connection(listener->daemon, fd, &peer->any, length);
    return true;
}

/* acceptor_user.make_room */
static bool make_room(void *context, int error) {
    return false;
}

static void close_all(struct http_listener *listener) {
    acceptor_close(listener->acceptor);
    uv_close((uv_handle_t *)&listener->stop, NULL);
}

static void on_stop(uv_async_t *async) {
    close_all(async->data);
}

static void run(void *context) {
    struct http_listener *listener = context;
    uv_run(&listener->loop, UV_RUN_DEFAULT);
}

static int open_socket(const struct sockaddr *address, socklen_t length) {
    const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    bool good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    good = good && (address->sa_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
    if (good && bind(fd, address, length) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* 0 or -errno; the loop is to be run to its end then, because it holds closing handles. */
static int start(struct http_listener *listener, const struct sockaddr *address, socklen_t length) {
    const struct acceptor_user user = {.take = take, .make_room = make_room, .context = listener};
    int fd = open_socket(address, length), error = fd < 0 ? fd : 0;
    if (error == 0)
        listener->acceptor = acceptor_new(&listener->loop, fd, BACKLOG, &user, &error);
    return error != 0 ? error : uv_thread_create(&listener->thread, run, listener);
}

struct http_listener *http_listener_start(const struct sockaddr *address, socklen_t length, struct MHD_Daemon *daemon, int *error) {
    struct http_listener *listener = calloc(1, sizeof *listener);
    *error = listener == NULL ? -ENOMEM : uv_loop_init(&listener->loop);
    if (*error != 0) {
        free(listener);
        return NULL;
    }
    listener->daemon = daemon;
    listener->stop.data = listener;
    *error = uv_async_init(&listener->loop, &listener->stop, on_stop);
    if (*error == 0) {
        *error = start(listener, address, length);
        if (*error == 0)
            return listener;
        close_all(listener);
        run(listener);
    }
    uv_loop_close(&listener->loop);
    free(listener);
    return NULL;
}

void http_listener_stop(struct http_listener *listener) {
    if (listener == NULL)
        return;
    uv_async_send(&listener->stop);
    uv_thread_join(&listener->thread);
    uv_loop_close(&listener->loop);
    free(listener);
}
