/* resolver/feeder.h: the parent's side of sundew-feeder: starts it, tells it the configuration, hears what it publishes.
 *
 * The protocol is in doc/design.md ("Supervisor and feeder"). When the child dies it is started again with back-off (1 s, 2 s ...
 * 60 s) and told the latest configuration; nothing else depends on it being alive. Main thread. */
#ifndef SUNDEW_RESOLVER_FEEDER_H
#define SUNDEW_RESOLVER_FEEDER_H

#include <jansson.h>
#include <uv.h>

#include "config/config.h"

struct feeder;

/* What the feeder says by itself; strings are borrowed for the call. */
struct feeder_events {
    void (*published)(void *context, uint32_t serial, const char *path, const char *id);
    void (*failed)(void *context, uint32_t serial, const char *why);
    void *context;
};

struct feeder *feeder_new(uv_loop_t *loop, const struct feeder_events *events); /* NULL: no memory */

/* The configuration from now on (a reference is kept). Starts the process if there is none yet. */
void feeder_configure(struct feeder *feeder, struct config *config, uint32_t serial);

/* Sends a request (its reference is taken; "id" is added). `done` is called once, later: with the reply's object, or NULL when the
 * feeder died or said nothing for FEEDER_PATIENCE_MS. -ENOTCONN: no feeder is running; then done is not called. */
enum { FEEDER_PATIENCE_MS = 65000 };
int feeder_request(struct feeder *feeder, json_t *request, void (*done)(void *context, const json_t *reply), void *context);

bool feeder_running(const struct feeder *feeder);
unsigned feeder_restarts(const struct feeder *feeder);

/* Tells it to end; requests that wait are answered with NULL. Its handles close as the loop runs on; after a second it is killed.
 */
void feeder_stop(struct feeder *feeder);
void feeder_free(struct feeder *feeder); /* after the loop has closed its handles */

#endif
