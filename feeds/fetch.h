/* feeds/fetch.h: one HTTP exchange at a time a transfer: libcurl's multi interface on the loop.
 *
 * http and https only; TLS is always verified. Redirects are followed by hand: at most 5, never from https to http, and secrets
 * (headers, user, password, a POST's body) never go to another scheme, host or port. The body goes to an unlinked file, at most
 * max_size octets after gzip is undone. The limit is on standing still, less than 100 octets a second for 30 seconds, not
 * on the whole (but for six hours). Host names are looked up by the system (getaddrinfo); should that come back to this very
 * resolver, feed hosts are protected names, which policy never touches.
 *
 * Loop's thread. */
#ifndef SUNDEW_FEEDS_FETCH_H
#define SUNDEW_FEEDS_FETCH_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
    FETCH_REDIRECTS = 5,
    FETCH_CONNECT_SECONDS = 30,
    FETCH_IDLE_SECONDS = 30,
    FETCH_IDLE_RATE = 100,          /* octets a second */
    FETCH_TOTAL_SECONDS = 6 * 3600, /* a server that drips just fast enough must not hold a feed for ever */
    FETCH_ERROR_MAX = 512,
};

struct fetcher;
struct fetch;

/* What to ask for. Borrowed for the call. */
struct fetch_request {
    const char *url;
    const char *accept;       /* of the Accept header; NULL: anything */
    const char *headers_file; /* "Name: value" a line: secrets */
    const char *username, *password_file;
    const char *ca_file, *proxy;
    const char *post; /* a JSON body; NULL: GET */
    const char *etag, *last_modified;
    uint64_t max_size;
    const char *directory; /* for the body's file */
};

/* What came. Valid for the call of `done`, except the descriptor, which is the callee's if it sets fd to -1. */
struct fetch_result {
    int error;           /* 0, or -errno: nothing usable came; why says what */
    bool unchanged;      /* 304 */
    int fd;              /* the body, at offset 0; -1 if none */
    uint64_t size;       /* octets */
    uint64_t body_hash;  /* never 0 */
    int64_t retry_after; /* unix seconds before which the server doesn't want to be asked; 0 */
    const char *etag, *last_modified;
    const char *taxii_last;    /* X-TAXII-Date-Added-Last */
    char why[FETCH_ERROR_MAX]; /* no secrets in it */
};

struct fetcher *fetcher_new(uv_loop_t *loop); /* NULL: no memory. Lives as long as the process */

/* Starts; `done` is called once, never from within. 0 or -errno (a secret's file can't be read: *why says). */
int fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                void (*done)(void *context, struct fetch_result *result), void *context, struct fetch **fetch,
                char why[FETCH_ERROR_MAX]);
/* `done` isn't called; returns its context, which is the caller's again. */
void *fetch_cancel(struct fetch *fetch);

bool fetch_same_origin(const char *a, const char *b); /* scheme, host and port */

#endif
