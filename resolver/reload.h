/* resolver/reload.h: a new configuration on its way into force: parsed, its sockets opened, given to the feeder, published,
 * adopted.
 *
 * Whatever fails on this way leaves the old configuration in force, and everyone who asked for the reload is told why. A further
 * request on the way replaces the configuration that is still waiting for the feeder. Main thread. */
#ifndef SUNDEW_RESOLVER_RELOAD_H
#define SUNDEW_RESOLVER_RELOAD_H

#include "resolver/supervisor.h"

struct reload *reload_new(struct supervisor *supervisor); /* NULL: no memory */
void reload_free(struct reload *reload);

/* Reads the configuration again. `done` (may be NULL) is called once, perhaps before this returns: why is NULL when the new one is
 * in force on every worker, else what is wrong (borrowed for the call). Each fault is logged besides. */
void reload_begin(struct reload *reload, void (*done)(void *context, const char *why), void *context);

/* The feeder published, or failed to. */
void reload_published(void *context, uint32_t serial, const char *path, const char *id);
void reload_failed(void *context, uint32_t serial, const char *why);

/* Tells the feeder the configuration in force; the beginning of everything. */
void reload_start(struct reload *reload);

#endif
