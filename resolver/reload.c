/* resolver/reload.c: a new configuration on its way into force. */
#include "resolver/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/snapshot.h"
#include "resolver/log.h"

enum { WHY_MAX = 4096 };

struct asker {
    struct asker *next;
    void (*done)(void *context, const char *why);
    void *context;
};

struct reload {
    struct supervisor *supervisor;
    uint32_t serial;       /* of the configuration that the feeder was told last */
    uint32_t in_force;     /* of the configuration that the workers have */
    struct config *config; /* waits for the feeder; NULL: no reload is on its way */
    struct sockets *sockets;
    struct asker *askers;  /* of that one */
    struct asker *adopted; /* wait for the workers */
};

struct reload *reload_new(struct supervisor *supervisor) {
    struct reload *reload = calloc(1, sizeof *reload);
    if (reload != NULL)
        reload->supervisor = supervisor;
    return reload;
}

void reload_start(struct reload *reload) {
    reload->in_force = ++reload->serial;
    feeder_configure(reload->supervisor->feeder, reload->supervisor->config, reload->serial);
}

static void tell(struct asker **askers, const char *why) {
    struct asker *list = *askers;
    *askers = NULL;
    for (struct asker *next; list != NULL; list = next) {
        next = list->next;
        if (list->done != NULL)
            list->done(list->context, why);
        free(list);
    }
}

static void forget(struct reload *reload) {
    if (reload->config != NULL)
        config_unref(reload->config);
    sockets_free(reload->sockets);
    reload->config = NULL;
    reload->sockets = NULL;
}

void reload_free(struct reload *reload) {
    forget(reload);
    tell(&reload->askers, "the daemon is ending");
    tell(&reload->adopted, "the daemon is ending");
    free(reload);
}

/* Faults go to the log and, together, to whoever asked. */
struct faults {
    size_t length;
    char text[WHY_MAX];
};

static void on_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    struct faults *faults = context;
    char text[1024];
    snprintf(text, sizeof text, "%s:%u:%u: %s: %s", file != NULL ? file : "embedded default", line, column, path, message);
    log_say(LOG_LEVEL_ERROR, "%s", text);
    int n =
        snprintf(faults->text + faults->length, sizeof faults->text - faults->length, "%s%s", faults->length > 0 ? "\n" : "", text);
    if (n > 0)
        faults->length = faults->length + (size_t)n < sizeof faults->text ? faults->length + (size_t)n : sizeof faults->text - 1;
}

/* What a running daemon can't change is said; the rest of the new configuration holds. */
static void say_restart_needed(const struct config *old, const struct config *new) {
    if (old->workers != new->workers)
        log_say(LOG_LEVEL_WARNING, "workers: the change needs a restart");
    if (strcmp(old->state_dir, new->state_dir) != 0)
        log_say(LOG_LEVEL_WARNING, "state_dir: the change needs a restart");
    if ((old->control == NULL) != (new->control == NULL) || (old->control != NULL && strcmp(old->control, new->control) != 0))
        log_say(LOG_LEVEL_WARNING, "control: the change needs a restart");
}

/* Loads the configuration and opens its new sockets. 0, or -1 with the reason in faults. */
static int prepare(struct reload *reload, struct config **config, struct sockets **sockets, struct faults *faults) {
    const struct supervisor *supervisor = reload->supervisor;
    *config = config_load(supervisor_config_path(supervisor->config_path), on_fault, faults);
    if (*config == NULL)
        return -1;
    char which[SOCKETS_TEXT_MAX];
    int rc = sockets_open(sockets, *config, supervisor->worker_count, supervisor->sockets, which);
    if (rc == 0)
        return 0;
    snprintf(faults->text, sizeof faults->text, "listen: %s: %s", which, strerror(-rc));
    log_say(LOG_LEVEL_ERROR, "%s", faults->text);
    config_unref(*config);
    return -1;
}

void reload_begin(struct reload *reload, void (*done)(void *context, const char *why), void *context) {
    struct faults faults = {0};
    struct config *config = NULL;
    struct sockets *sockets = NULL;
    struct asker *asker = malloc(sizeof *asker);
    if (asker == NULL || reload->supervisor->phase != PHASE_READY || prepare(reload, &config, &sockets, &faults) != 0) {
        free(asker);
        log_say(LOG_LEVEL_ERROR, "the new configuration is refused, the old one stays in force");
        if (done != NULL)
            done(context, faults.text[0] != '\0' ? faults.text : "the daemon is starting or ending");
        return;
    }
    say_restart_needed(reload->supervisor->config, config);
    forget(reload);
    reload->config = config;
    reload->sockets = sockets;
    *asker = (struct asker){reload->askers, done, context};
    reload->askers = asker;
    feeder_configure(reload->supervisor->feeder, config, ++reload->serial);
}

static void on_settled(void *context) {
    struct reload *reload = context;
    log_say(LOG_LEVEL_INFO, "reloaded: %s",
            reload->supervisor->config->path != NULL ? reload->supervisor->config->path : "embedded default");
    tell(&reload->adopted, NULL);
}

/* The snapshot that was published; the one in force if it is the same. NULL with the reason logged. */
static struct snapshot *open_published(struct supervisor *supervisor, const char *path, const char *id) {
    if (supervisor->snapshot != NULL && strcmp(id, snapshot_id(supervisor->snapshot)) == 0)
        return snapshot_ref(supervisor->snapshot);
    struct snapshot *snapshot;
    const char *why = NULL;
    int rc = snapshot_open(&snapshot, path, &why);
    if (rc == 0)
        return snapshot;
    log_say(LOG_LEVEL_ERROR, "%s: %s; the policy in force stays", path, why != NULL ? why : strerror(-rc));
    return NULL;
}

void reload_published(void *context, uint32_t serial, const char *path, const char *id) {
    struct reload *reload = context;
    struct supervisor *supervisor = reload->supervisor;
    bool mine = reload->config != NULL && serial == reload->serial;
    if (!mine && serial != reload->in_force)
        return; /* of a configuration that was given up */
    struct snapshot *snapshot = open_published(supervisor, path, id);
    if (snapshot == NULL) {
        reload_failed(context, serial, "the new policy could not be read");
        return;
    }
    if (!mine) {
        supervisor_take(supervisor, NULL, NULL, snapshot);
        return;
    }
    struct asker **last = &reload->adopted;
    while (*last != NULL)
        last = &(*last)->next;
    *last = reload->askers;
    reload->askers = NULL;
    struct config *config = reload->config;
    struct sockets *sockets = reload->sockets;
    reload->config = NULL;
    reload->sockets = NULL;
    reload->in_force = serial;
    supervisor_take(supervisor, config, sockets, snapshot);
    supervisor_when_settled(supervisor, on_settled, reload);
}

void reload_failed(void *context, uint32_t serial, const char *why) {
    struct reload *reload = context;
    if (reload->supervisor->phase == PHASE_STARTING) {
        log_say(LOG_LEVEL_ERROR, "there is no policy to start with: %s", why);
        supervisor_stop(reload->supervisor, EXIT_FAILURE);
        return;
    }
    log_say(LOG_LEVEL_ERROR, "the policy could not be published, the old one stays in force: %s", why);
    if (reload->config == NULL || serial != reload->serial)
        return;
    forget(reload);
    reload_start(reload); /* the feeder goes back to the configuration in force */
    tell(&reload->askers, why);
}
