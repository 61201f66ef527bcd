/* resolver/command.c: what an operator can ask of a running daemon. */
#include "resolver/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hits/explain.h"
#include "hits/identity.h"
#include "hits/ledger_query.h"
#include "policy/idna.h"
#include "policy/snapshot.h"
#include "resolver/reload.h"
#include "resolver/status.h"

struct command {
    uv_work_t work; /* first: the pool gives it back */
    struct supervisor *supervisor;
    json_t *request;
    void (*done)(void *context, json_t *answer);
    void *context;
    json_t *(*query)(struct command *command, const char **why); /* on the pool */
    json_t *data;                                                /* until the answer can go */
    json_t *failure;                                             /* what the feeder failed at, likewise */
    const char *why;
};

static void answer(struct command *command, json_t *document) {
    command->done(command->context, document);
    json_decref(command->request);
    json_decref(command->data);
    json_decref(command->failure);
    free(command);
}

static void succeed(struct command *command, json_t *data) {
    answer(command, json_pack("{s:b, s:o}", "ok", 1, "data", data != NULL ? data : json_object()));
}

static void fail(struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct command *command, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *why = json_string(text);
    answer(command, json_pack("{s:b, s:o}", "ok", 0, "error", why != NULL ? why : json_string("unknown")));
}

/* The request itself is at fault: the tool's exit code for that is another one. */
static void misuse(struct command *command, const char *what, const char *why) {
    char text[512];
    snprintf(text, sizeof text, "%s%s%s", what, why != NULL ? ": " : "", why != NULL ? why : "");
    answer(command, json_pack("{s:b, s:b, s:s}", "ok", 0, "usage", 1, "error", text));
}

static const char *parameter(const struct command *command, const char *key) {
    return json_string_value(json_object_get(command->request, key));
}

static void run_status(struct command *command) {
    succeed(command, status_json(command->supervisor));
}

static void run_stop(struct command *command) {
    struct supervisor *supervisor = command->supervisor;
    succeed(command, NULL);
    supervisor_stop(supervisor, EXIT_SUCCESS);
}

static void on_reloaded(void *context, const char *why) {
    struct command *command = context;
    if (why == NULL)
        succeed(command, json_pack("{s:s}", "snapshot", snapshot_id(command->supervisor->snapshot)));
    else
        fail(command, "%s", why);
}

static void run_reload(struct command *command) {
    reload_begin(command->supervisor->reload, on_reloaded, command);
}

static void run_flush(struct command *command) {
    const char *text = parameter(command, "name"), *why = NULL;
    struct name name;
    if (text != NULL && name_from_unicode(&name, text, strlen(text), &why) != 0) {
        misuse(command, "not a domain name", why);
        return;
    }
    size_t count = cache_flush(command->supervisor->cache, text != NULL ? &name : NULL);
    succeed(command, json_pack("{s:I}", "flushed", (json_int_t)count));
}

static void run_explain(struct command *command) {
    const char *why = NULL;
    json_t *data = explain_json(command->supervisor->snapshot, command->request, (int64_t)time(NULL), &why);
    if (data != NULL)
        succeed(command, data);
    else
        misuse(command, why != NULL ? why : "nothing to explain", NULL);
}

/* --- what the feeder answers --- */

static void on_settled(void *context) {
    struct command *command = context;
    if (command->why != NULL) {
        fail(command, "%s", command->why);
        return;
    }
    json_t *data = command->data, *failure = command->failure;
    command->data = command->failure = NULL;
    if (failure != NULL)
        answer(command, json_pack("{s:b, s:o, s:o}", "ok", 0, "error", failure, "data", data));
    else
        succeed(command, data);
}

static void on_feeder(void *context, const json_t *reply) {
    struct command *command = context;
    if (reply == NULL) {
        fail(command, "the feeder gave no answer");
        return;
    }
    const json_t *data = json_object_get(reply, "data");
    json_t *why = json_object_get(reply, "why");
    command->data = data != NULL ? json_deep_copy(data) : NULL;
    if (!json_is_true(json_object_get(reply, "ok"))) {
        if (!json_is_array(data) || !json_is_string(why)) {
            fail(command, "%s", json_is_string(why) ? json_string_value(why) : "the feeder refused");
            return;
        }
        command->failure = json_incref(why);
    }
    supervisor_when_settled(command->supervisor, on_settled, command); /* a refresh is done when its rules are in force */
}

static void ask_feeder(struct command *command, json_t *request) {
    if (request == NULL || feeder_request(command->supervisor->feeder, request, on_feeder, command) != 0)
        fail(command, "the feeder isn't running; it is being started again");
}

static void run_zones(struct command *command) {
    bool rejected = json_is_true(json_object_get(command->request, "rejected"));
    ask_feeder(command, json_pack("{s:s, s:b}", "type", "zones", "rejected", rejected));
}

static void run_refresh(struct command *command) {
    bool force = json_is_true(json_object_get(command->request, "force"));
    ask_feeder(command, json_pack("{s:s, s:s?, s:b}", "type", "refresh", "zone", parameter(command, "zone"), "force", force));
}

/* --- what ledger and history answer, on the pool --- */

static json_t *query_clients(struct command *command, const char **why) {
    return writer_clients(command->supervisor->writer, command->request, why);
}

static json_t *query_hits(struct command *command, const char **why) {
    return writer_hits(command->supervisor->writer, command->request, why);
}

static json_t *query_hours(struct command *command, const char **why) {
    return writer_hours(command->supervisor->writer, command->request, why);
}

static json_t *query_preview(struct command *command, const char **why) {
    const char *path = parameter(command, "snapshot");
    struct snapshot *snapshot;
    if (path == NULL) {
        *why = "snapshot: a path is needed";
        return NULL;
    }
    *why = NULL;
    int rc = snapshot_open(&snapshot, path, why);
    if (rc != 0) {
        if (*why == NULL)
            *why = strerrordesc_np(-rc);
        return NULL;
    }
    json_t *data = writer_preview(command->supervisor->writer, snapshot, why);
    snapshot_unref(snapshot);
    if (data != NULL)
        json_object_set(data, "popular_lists", json_object_get(command->request, "popular_lists"));
    return data;
}

static void on_work(uv_work_t *work) {
    struct command *command = (struct command *)work;
    command->data = command->query(command, &command->why);
}

static void on_worked(uv_work_t *work, int status) {
    struct command *command = (struct command *)work;
    command->supervisor->working--;
    json_t *data = command->data;
    command->data = NULL;
    if (data != NULL)
        succeed(command, data);
    else
        fail(command, "%s", command->why != NULL ? command->why : "it could not be looked up");
}

const char *command_client(json_t *request) {
    const json_t *given = json_object_get(request, "client");
    char client[IDENTITY_CLIENT_MAX];
    if (given == NULL || json_is_null(given))
        return NULL;
    if (!json_is_string(given) || identity_client(json_string_value(given), client) != 0)
        return "client: neither an address, nor a MAC address, nor a host name";
    json_object_set_new(request, "client", json_string(client));
    return NULL;
}

static void look_up(struct command *command, json_t *(*query)(struct command *command, const char **why)) {
    int64_t since_us;
    if (ledger_query_since(json_object_get(command->request, "since"), 0, &since_us) != 0) {
        misuse(command, "since: neither a duration (\"24h\") nor a time (\"2026-11-22T17:40:00Z\")", NULL);
        return;
    }
    const char *why = command_client(command->request);
    if (why != NULL) {
        misuse(command, why, NULL);
        return;
    }
    command->query = query;
    if (uv_queue_work(&command->supervisor->loop, &command->work, on_work, on_worked) != 0)
        fail(command, "it could not be looked up");
    else
        command->supervisor->working++;
}

static void run_clients(struct command *command) {
    look_up(command, query_clients);
}

static void run_hits(struct command *command) {
    look_up(command, query_hits);
}

static void run_hours(struct command *command) {
    look_up(command, query_hours);
}

/* The lists of popular names are the feeder's to read, on behalf of whoever asks. */
static void run_preview(struct command *command) {
    const struct config *config = command->supervisor->config;
    json_t *lists = json_array();
    for (size_t i = 0; i < config->popular_count; i++)
        json_array_append_new(lists, json_string(config->popular[i]));
    json_object_set_new(command->request, "popular_lists", lists);
    look_up(command, query_preview);
}

static const struct {
    const char *name;
    void (*run)(struct command *command);
} commands[] = {
    {"status", run_status},   {"explain", run_explain}, {"zones", run_zones}, {"refresh", run_refresh},
    {"clients", run_clients}, {"hits", run_hits},       {"hours", run_hours}, {"preview", run_preview},
    {"flush", run_flush},     {"reload", run_reload},   {"stop", run_stop},
};

void command_run(struct supervisor *supervisor, const json_t *request, void (*done)(void *context, json_t *answer), void *context) {
    struct command *command = calloc(1, sizeof *command);
    if (command == NULL) {
        done(context, json_pack("{s:b, s:s}", "ok", 0, "error", "out of memory"));
        return;
    }
    command->supervisor = supervisor;
    command->request = json_deep_copy(request);
    command->done = done;
    command->context = context;
    const char *name = parameter(command, "command");
    if (name == NULL) {
        fail(command, "a request is an object with a \"command\"");
        return;
    }
    if (supervisor->phase != PHASE_READY && strcmp(name, "stop") != 0) {
        fail(command,
             supervisor->phase == PHASE_STARTING ? "the daemon is starting: policy is being compiled" : "the daemon is ending");
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            commands[i].run(command);
            return;
        }
    }
    fail(command, "no such command: %s", name);
}
