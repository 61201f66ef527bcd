/* resolver/http_listener.h: the socket of the page and /metrics, and the thread that takes its connections for libmicrohttpd.
 *
 * libmicrohttpd's own threads, where descriptors run out and somebody waits, call accept() without end, on a core each. */
#ifndef SUNDEW_RESOLVER_HTTP_LISTENER_H
#define SUNDEW_RESOLVER_HTTP_LISTENER_H

#include <microhttpd.h>
#include <sys/socket.h>

struct http_listener;

/* Listens, and gives connections to the daemon, which has no listening socket and takes them from any thread (MHD_USE_ITC); it must
 * outlive the listener. NULL with *error = -errno. */
struct http_listener *http_listener_start(const struct sockaddr *address, socklen_t length, struct MHD_Daemon *daemon, int *error);
void http_listener_stop(struct http_listener *listener); /* from another thread than its own; NULL is nothing */

#endif
