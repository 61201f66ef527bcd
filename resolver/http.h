/* resolver/http.h: the read-only page, its JSON API, and /metrics, over HTTP (libmicrohttpd, threads of its own).
 *
 *     GET /                  the page (resolver/page.html): one document, no external assets
 *     GET /metrics           Prometheus text format 0.0.4
 *     GET /api/status /api/clients?since= /api/hits?since=&limit= /api/hours?since= /api/zones /api/explain?name=&client=&type=
 *
 * Only GET and HEAD, without a body; connections, headers and the time that a request and its response take are limited; nothing is
 * changed by any of it. Without a token file the listener is a loopback address (checked by config) and requests must name it as an
 * address or localhost, so that no web page can reach it through a name of its own (DNS rebinding). With one, every request needs
 * the token: `Authorization: Bearer TOKEN`, or Basic with the token as password. */
#ifndef SUNDEW_RESOLVER_HTTP_H
#define SUNDEW_RESOLVER_HTTP_H

#include <jansson.h>
#include <stdio.h>

#include "config/config.h"

struct http;

/* What the daemon lends. Both are called on an HTTP thread and may block for some seconds.
 * `answer`: a control command's JSON object (borrowed) to the control protocol's answer {"ok":...,"data":...}; new reference, NULL
 * where there is none. `metrics`: writes the whole exposition. */
struct http_source {
    void *context;
    json_t *(*answer)(void *context, const json_t *command);
    void (*metrics)(void *context, FILE *out);
};

/* Starts listening. 0, or -errno with *why (static). The source must outlive http_stop. */
int http_start(struct http **http, const struct config *config, const struct http_source *source, const char **why);
/* Reads the token file again, the same or another. 0, or -errno: the old token stays. Any thread, until http_stop. */
int http_retoken(struct http *http, const struct config *config);
/* Once a second: ends connections whose client takes longer than it may. now: monotonic milliseconds. Any thread, until http_stop.
 */
void http_tend(struct http *http, uint64_t now);
void http_stop(struct http *http); /* ends what is under way; NULL is nothing */

#endif
