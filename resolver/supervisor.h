/* resolver/supervisor.h: the main thread: holds what is in force and moves the workers to what comes next.
 *
 * Configuration and snapshot change together, by an adoption that every worker acknowledges; one adoption is under way at a time.
 * Reload (reload.h), commands (command.h) and status (status.h) are its parts, and that is why the struct is visible: they read
 * it freely, and change it through the functions below alone. */
#ifndef SUNDEW_RESOLVER_SUPERVISOR_H
#define SUNDEW_RESOLVER_SUPERVISOR_H

#include <uv.h>

#include "hits/writer.h"
#include "resolver/feeder.h"
#include "resolver/sockets.h"
#include "resolver/worker.h"

enum phase { PHASE_STARTING, PHASE_READY, PHASE_STOPPING };

struct control;
struct reload;
struct web;

/* Somebody waits until all workers are on what is in force. */
struct settled {
    struct settled *next;
    void (*done)(void *context);
    void *context;
};

struct supervisor {
    uv_loop_t loop;
    enum phase phase;
    const char *config_path; /* as given; NULL: the default */
    uint64_t started_ms;     /* of the loop */

    struct config *config; /* in force, or being adopted */
    struct snapshot *snapshot;
    struct sockets *sockets;

    struct cache *cache;
    struct upstream_shared *upstream;
    struct writer *writer;
    struct worker **workers;
    unsigned worker_count;
    unsigned workers_left; /* that haven't ended */

    struct feeder *feeder;
    struct reload *reload;
    struct control *control;
    struct web *web;

    uv_async_t from_workers;
    atomic_uint acknowledged, ended; /* counted by the workers' threads */
    unsigned awaited;                /* acknowledgements of the adoption under way */
    bool again;                      /* another adoption is due after it */
    struct settled *settled;
    bool reload_due; /* SIGHUP came before the daemon was ready */

    unsigned working; /* commands on the pool */
    uv_signal_t signals[4];
    int exit_code;
};

/* Runs the daemon on a configuration (the reference is taken) until it is told to end. Returns the program's exit code. */
int supervisor_run(const char *config_path, struct config *config);

/* Takes a snapshot into use, and with it a configuration and its sockets (both NULL: the present ones stay). References and sockets
 * are taken. A first snapshot starts the workers. */
void supervisor_take(struct supervisor *supervisor, struct config *config, struct sockets *sockets, struct snapshot *snapshot);

/* Calls done when no adoption is under way: at once, if none is. */
void supervisor_when_settled(struct supervisor *supervisor, void (*done)(void *context), void *context);

/* Answers what is in flight, writes what is pending, ends supervisor_run. */
void supervisor_stop(struct supervisor *supervisor, int exit_code);

/* The configuration file that is read: as given, else the system's if there is one, else NULL (the embedded default). */
const char *supervisor_config_path(const char *given);

#endif
