/* resolver/supervisor.c: the main thread. */
#include "resolver/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/snapshot.h"
#include "resolver/control.h"
#include "resolver/limit.h"
#include "resolver/log.h"
#include "resolver/notify.h"
#include "resolver/query.h"
#include "resolver/reload.h"
#include "resolver/web.h"

static const char system_config[] = "/etc/sundew/sundew.json";

const char *supervisor_config_path(const char *given) {
    if (given != NULL)
        return given;
    return access(system_config, F_OK) == 0 ? system_config : NULL;
}

/* --- adoptions --- */

static void on_adopted(void *context) {
    struct supervisor *supervisor = context;
    atomic_fetch_add(&supervisor->acknowledged, 1);
    uv_async_send(&supervisor->from_workers);
}

static void on_ended(void *context) {
    struct supervisor *supervisor = context;
    atomic_fetch_add(&supervisor->ended, 1);
    uv_async_send(&supervisor->from_workers);
}

/* What one worker is to adopt. The sockets' descriptors move into it. NULL: no memory. */
static struct adoption *make_adoption(struct supervisor *supervisor, unsigned worker) {
    struct sockets *sockets = supervisor->sockets;
    const struct config *config = supervisor->config;
    struct adoption *adoption = calloc(1, sizeof *adoption + sockets->count * sizeof adoption->sockets[0]);
    if (adoption == NULL)
        return NULL;
    adoption->view = view_new(supervisor->config, supervisor->snapshot);
    adoption->allow = limit_new(config->allow, config->allow_count);
    adoption->trust = limit_new(config->clients.trust, config->clients.trust_count);
    if (adoption->view == NULL || adoption->allow == NULL || adoption->trust == NULL) {
        adoption_free(adoption);
        return NULL;
    }
    for (size_t i = 0; i < sockets->count; i++) {
        struct worker_socket *sock = &sockets->sockets[worker * sockets->count + i];
        adoption->sockets[adoption->count++] = *sock;
        sock->udp = sock->tcp = -1;
    }
    return adoption;
}

static void adopt_all(struct supervisor *supervisor) {
    supervisor->again = false;
    for (unsigned i = 0; i < supervisor->worker_count; i++) {
        struct adoption *adoption = make_adoption(supervisor, i);
        if (adoption == NULL) {
            log_say(LOG_LEVEL_ERROR, "out of memory: a worker keeps the old policy");
            continue;
        }
        supervisor->awaited++;
        worker_adopt(supervisor->workers[i], adoption);
    }
}

static void tell_settled(struct supervisor *supervisor) {
    struct settled *list = supervisor->settled;
    supervisor->settled = NULL;
    for (struct settled *next; list != NULL; list = next) {
        next = list->next;
        list->done(list->context);
        free(list);
    }
}

void supervisor_when_settled(struct supervisor *supervisor, void (*done)(void *context), void *context) {
    struct settled *settled = supervisor->awaited > 0 ? malloc(sizeof *settled) : NULL;
    if (settled == NULL) {
        done(context);
        return;
    }
    *settled = (struct settled){supervisor->settled, done, context};
    supervisor->settled = settled;
}

static void say_ready(const struct supervisor *supervisor) {
    char addresses[1024] = "";
    size_t length = 0;
    for (size_t i = 0; i < supervisor->sockets->count && length + SOCKETS_TEXT_MAX + 2 < sizeof addresses; i++) {
        char text[SOCKETS_TEXT_MAX];
        sockets_text(&supervisor->sockets->sockets[i].address, text);
        length += (size_t)snprintf(addresses + length, sizeof addresses - length, "%s%s", i > 0 ? " " : "", text);
    }
    struct snapshot_stats stats;
    snapshot_stats(supervisor->snapshot, &stats);
    log_say(LOG_LEVEL_INFO, "ready: %s, %llu rules in %u zones, snapshot %s, %u workers", addresses,
            (unsigned long long)stats.rules, stats.zones, snapshot_id(supervisor->snapshot), supervisor->worker_count);
    notify_state("READY=1");
}

static void finish(struct supervisor *supervisor);

static void on_worker_news(uv_async_t *async) {
    struct supervisor *supervisor = async->data;
    unsigned acknowledged = atomic_exchange(&supervisor->acknowledged, 0);
    unsigned ended = atomic_exchange(&supervisor->ended, 0);
    supervisor->awaited -= acknowledged;
    if (acknowledged > 0 && supervisor->awaited == 0) {
        if (supervisor->phase == PHASE_STARTING) {
            supervisor->phase = PHASE_READY;
            say_ready(supervisor);
            web_configure(supervisor->web);
            if (supervisor->reload_due)
                reload_begin(supervisor->reload, NULL, NULL);
        }
        if (supervisor->again)
            adopt_all(supervisor);
        else
            tell_settled(supervisor);
    }
    if (ended > 0 && (supervisor->workers_left -= ended) == 0)
        finish(supervisor);
}

/* --- the first policy: everything else comes to life --- */

static void on_writer_says(void *context, const char *level, const char *text) {
    log_say(log_level_from_name(level), "%s", text);
}

static int start_workers(struct supervisor *supervisor) {
    struct config *config = supervisor->config;
    char which[SOCKETS_TEXT_MAX];
    int rc = sockets_open(&supervisor->sockets, config, supervisor->worker_count, NULL, which);
    if (rc != 0) {
        log_say(LOG_LEVEL_ERROR, "listen: %s: %s", which, strerror(-rc));
        return rc;
    }
    supervisor->cache = cache_new(config->cache.size);
    if (supervisor->cache == NULL)
        return -ENOMEM;
    supervisor->upstream = upstream_shared_new(config, supervisor->cache, snapshot_seed(supervisor->snapshot));
    supervisor->workers = calloc(supervisor->worker_count, sizeof(struct worker *));
    if (supervisor->upstream == NULL || supervisor->workers == NULL)
        return -ENOMEM;
    supervisor->writer = writer_start(config, supervisor->worker_count, on_writer_says, supervisor, &rc);
    if (supervisor->writer == NULL)
        return rc != 0 ? rc : -ENOMEM;
    writer_policy(supervisor->writer, supervisor->snapshot);
    for (unsigned i = 0; i < supervisor->worker_count; i++) {
        struct worker_options options = {.cache = supervisor->cache,
                                         .upstream = supervisor->upstream,
                                         .ring = writer_ring(supervisor->writer, i),
                                         .adopted = on_adopted,
                                         .ended = on_ended,
                                         .context = supervisor};
        struct adoption *first = make_adoption(supervisor, i);
        rc = first != NULL ? worker_start(&supervisor->workers[i], &options, first) : -ENOMEM;
        if (rc != 0)
            return rc;
        supervisor->awaited++;
        supervisor->workers_left++;
    }
    return 0;
}

void supervisor_take(struct supervisor *supervisor, struct config *config, struct sockets *sockets, struct snapshot *snapshot) {
    if (supervisor->phase == PHASE_STOPPING) {
        snapshot_unref(snapshot);
        sockets_free(sockets);
        if (config != NULL)
            config_unref(config);
        return;
    }
    struct snapshot *old = supervisor->snapshot;
    supervisor->snapshot = snapshot;
    if (supervisor->workers == NULL) {
        int rc = start_workers(supervisor);
        if (rc != 0) {
            log_say(LOG_LEVEL_ERROR, "the daemon can't start: %s", strerror(-rc));
            exit(EXIT_FAILURE); /* threads may run, but nothing was answered yet */
        }
        return;
    }
    bool changed = old != snapshot;
    if (changed)
        writer_policy(supervisor->writer, snapshot);
    if (changed && snapshot_seed(old) != snapshot_seed(snapshot)) {
        upstream_shared_reseed(supervisor->upstream, snapshot_seed(snapshot));
        cache_flush(supervisor->cache, NULL); /* its keys mean nothing any more */
    }
    snapshot_unref(old);
    if (config != NULL) {
        config_unref(supervisor->config);
        supervisor->config = config;
        sockets_free(supervisor->sockets);
        supervisor->sockets = sockets;
        log_configure(&config->log.syslog);
        writer_configure(supervisor->writer, config);
        upstream_shared_configure(supervisor->upstream, config);
        cache_resize(supervisor->cache, config->cache.size);
        web_configure(supervisor->web);
    } else if (!changed) {
        return;
    }
    if (supervisor->awaited > 0)
        supervisor->again = true;
    else
        adopt_all(supervisor);
}

/* Maps the last policy, if it was made for this configuration. */
static bool take_last(struct supervisor *supervisor) {
    char path[4096];
    const char *why = NULL;
    struct snapshot *snapshot;
    snprintf(path, sizeof path, "%s/policy.snapshot", supervisor->config->state_dir);
    int rc = snapshot_open(&snapshot, path, &why);
    if (rc != 0) {
        if (rc != -ENOENT)
            log_say(LOG_LEVEL_WARNING, "%s: %s; it is made anew", path, why != NULL ? why : strerror(-rc));
        return false;
    }
    uint8_t digest[16];
    config_policy_digest(supervisor->config, digest);
    if (memcmp(digest, snapshot_digest(snapshot), sizeof digest) != 0) {
        log_say(LOG_LEVEL_INFO, "%s was made for another configuration; it is made anew", path);
        snapshot_unref(snapshot);
        return false;
    }
    supervisor_take(supervisor, NULL, NULL, snapshot);
    return true;
}

/* --- signals --- */

static void on_reloaded(void *context, const char *why) {
    notify_state("READY=1");
}

static void on_signal(uv_signal_t *handle, int signal) {
    struct supervisor *supervisor = handle->data;
    if (signal == SIGHUP && supervisor->phase == PHASE_STARTING) {
        supervisor->reload_due = true;
    } else if (signal == SIGHUP) {
        notify_state("RELOADING=1");
        reload_begin(supervisor->reload, on_reloaded, supervisor);
    } else if (signal == SIGUSR1) {
        if (supervisor->writer != NULL)
            writer_reopen(supervisor->writer);
    } else {
        supervisor_stop(supervisor, EXIT_SUCCESS);
    }
}

static const int signals[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1};
enum { SIGNALS = sizeof signals / sizeof signals[0] };
_Static_assert(SIGNALS == sizeof((struct supervisor *)NULL)->signals / sizeof(uv_signal_t), "a handle for each signal");

static void watch_signals(struct supervisor *supervisor) {
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_init(&supervisor->loop, &supervisor->signals[i]);
        supervisor->signals[i].data = supervisor;
        uv_signal_start(&supervisor->signals[i], on_signal, signals[i]);
    }
}

/* --- the end --- */

static void finish(struct supervisor *supervisor) {
    uv_stop(&supervisor->loop);
}

void supervisor_stop(struct supervisor *supervisor, int exit_code) {
    if (supervisor->phase == PHASE_STOPPING)
        return;
    supervisor->phase = PHASE_STOPPING;
    supervisor->exit_code = exit_code;
    notify_state("STOPPING=1");
    log_say(LOG_LEVEL_INFO, "stopping");
    for (unsigned i = 0; i < supervisor->workers_left; i++)
        worker_stop(supervisor->workers[i]);
    if (supervisor->workers_left == 0)
        finish(supervisor);
}

/* Gives everything back, in the order in which one part needs another. */
static void tear_down(struct supervisor *supervisor) {
    control_quiesce(supervisor->control);
    web_stop(supervisor->web);
    if (supervisor->feeder != NULL)
        feeder_stop(supervisor->feeder);
    while (supervisor->working > 0)
        uv_run(&supervisor->loop, UV_RUN_ONCE);
    for (unsigned i = 0; supervisor->workers != NULL && i < supervisor->worker_count; i++)
        worker_join(supervisor->workers[i]);
    if (supervisor->upstream != NULL)
        upstream_shared_free(supervisor->upstream);
    if (supervisor->writer != NULL)
        writer_stop(supervisor->writer);
    for (unsigned i = 0; supervisor->workers != NULL && i < supervisor->worker_count; i++)
        worker_free(supervisor->workers[i]);
    free(supervisor->workers);
    tell_settled(supervisor);
    reload_free(supervisor->reload);
    control_close(supervisor->control);
    web_close(supervisor->web);
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_close((uv_handle_t *)&supervisor->signals[i], NULL);
        signal(signals[i], SIG_IGN); /* an impatient second SIGTERM must not cut the rest short */
    }
    uv_close((uv_handle_t *)&supervisor->from_workers, NULL);
    uv_run(&supervisor->loop, UV_RUN_DEFAULT);
    control_free(supervisor->control);
    web_free(supervisor->web);
    if (supervisor->feeder != NULL)
        feeder_free(supervisor->feeder);
    uv_loop_close(&supervisor->loop);
    if (supervisor->cache != NULL)
        cache_free(supervisor->cache);
    sockets_free(supervisor->sockets);
    snapshot_unref(supervisor->snapshot);
    config_unref(supervisor->config);
}

/* --- the beginning --- */

/* A shell's usual 1024 would be fewer than a thousand connections a worker and upstream's sockets may need. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Creates the folder and those above it. */
static int make_folder(const char *path, mode_t mode) {
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, length + 1);
    for (char *slash = part + 1; *slash != '\0'; slash++) {
        if (*slash != '/')
            continue;
        *slash = '\0';
        mkdir(part, 0755);
        *slash = '/';
    }
    return mkdir(part, mode) == 0 || errno == EEXIST ? 0 : -errno;
}

/* The control socket's folder and the socket itself. */
static int open_control(struct supervisor *supervisor) {
    const char *path = supervisor->config->control;
    if (path == NULL)
        return 0;
    char folder[4096];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) >= sizeof folder)
        return -ENAMETOOLONG;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    int rc = slash > path ? make_folder(folder, 0755) : 0;
    return rc != 0 ? rc : control_open(&supervisor->control, supervisor, path);
}

/* Two daemons must not publish into one folder. The lock goes with the process, however it ends. */
static int lock_state(const struct supervisor *supervisor) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", supervisor->config->state_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
}

/* What can fail for reasons that the operator has to put right. 0, or -1 with the reason said. */
static int prepare(struct supervisor *supervisor) {
    const struct config *config = supervisor->config;
    int rc = make_folder(config->state_dir, 0750);
    if (rc == 0)
        rc = lock_state(supervisor);
    if (rc != 0) {
        log_say(LOG_LEVEL_ERROR, "state_dir: %s: %s", config->state_dir,
                rc == -EWOULDBLOCK ? "another sundewd uses it" : strerror(-rc));
        return -1;
    }
    char which[SOCKETS_TEXT_MAX];
    struct sockets *trial;
    rc = sockets_open(&trial, config, 1, NULL, which);
    if (rc != 0) {
        log_say(LOG_LEVEL_ERROR, "listen: %s: %s", which, strerror(-rc));
        return -1;
    }
    sockets_free(trial);
    rc = open_control(supervisor);
    if (rc != 0) {
        log_say(LOG_LEVEL_ERROR, "control: %s: %s", config->control,
                rc == -EADDRINUSE ? "another sundewd listens there" : strerror(-rc));
        return -1;
    }
    return 0;
}

static int start(struct supervisor *supervisor) {
    int rc = uv_loop_init(&supervisor->loop);
    if (rc == 0)
        rc = uv_async_init(&supervisor->loop, &supervisor->from_workers, on_worker_news);
    if (rc != 0)
        return rc;
    supervisor->from_workers.data = supervisor;
    supervisor->started_ms = uv_now(&supervisor->loop);
    watch_signals(supervisor);
    supervisor->reload = reload_new(supervisor);
    const struct feeder_events events = {reload_published, reload_failed, supervisor->reload};
    supervisor->feeder = supervisor->reload != NULL ? feeder_new(&supervisor->loop, &events) : NULL;
    supervisor->web = web_new(supervisor);
    return supervisor->feeder != NULL && supervisor->web != NULL ? 0 : -ENOMEM;
}

int supervisor_run(const char *config_path, struct config *config) {
    struct supervisor supervisor = {.config_path = config_path, .config = config, .worker_count = config->workers};
    log_configure(&config->log.syslog);
    raise_file_limit();
    int rc = start(&supervisor);
    if (rc != 0) {
        log_say(LOG_LEVEL_ERROR, "the daemon can't start: %s", uv_strerror(rc));
        return EXIT_FAILURE;
    }
    if (prepare(&supervisor) != 0) {
        supervisor.phase = PHASE_STOPPING;
        supervisor.exit_code = EXIT_FAILURE;
    } else {
        if (!take_last(&supervisor))
            log_say(LOG_LEVEL_INFO, "waiting for the feeder's first policy");
        reload_start(supervisor.reload);
        if (supervisor.phase != PHASE_STOPPING || supervisor.workers_left > 0)
            uv_run(&supervisor.loop, UV_RUN_DEFAULT);
    }
    tear_down(&supervisor);
    return supervisor.exit_code;
}
