/* resolver/feeder.c: the parent's side of sundew-feeder. */
#include "resolver/feeder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/log.h"
#include "resolver/priority.h"

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 60000,
    STEADY_MS = 60000,          /* a feeder that lived this long starts with the first back-off again */
    LINE_OCTETS_MAX = 64 << 20, /* of one message; zones --rejected of large feeds is some megabytes */
    READ_OCTETS = 64 * 1024,
    SWEEP_MS = 1000,
    KILL_MS = 1000,
    CHILD_FD = 3
};

struct waiting {
    struct waiting *next;
    json_int_t id;
    uint64_t until; /* loop's ms */
    void (*done)(void *context, const json_t *reply);
    void *context;
};

/* One life of the child. Made anew at each start, because its handles close in their own time. */
struct child {
    struct feeder *feeder;
    uv_process_t process;
    uv_pipe_t pipe;
    unsigned handles; /* still open */
    bool exited;
    uint64_t started;
    char *line; /* what has come of a message */
    size_t length, room;
    char buffer[READ_OCTETS];
};

struct feeder {
    uv_loop_t *loop;
    struct feeder_events events;
    struct config *config;
    uint32_t serial;
    struct child *child; /* NULL: not running */
    uv_timer_t again;    /* start after back-off; when stopping: kill */
    uv_timer_t sweep;    /* requests that waited too long */
    uint64_t backoff;
    unsigned restarts;
    int start_error; /* why it couldn't even be started, as it was said; 0: it could */
    bool stopping;
    json_int_t last_id;
    struct waiting *waiting;
};

struct outgoing {
    uv_write_t request;
    char *text;
};

bool feeder_running(const struct feeder *feeder) {
    return feeder->child != NULL;
}

unsigned feeder_restarts(const struct feeder *feeder) {
    return feeder->restarts;
}

/* --- requests --- */

static void answer_waiting(struct feeder *feeder, struct waiting **link, const json_t *reply) {
    struct waiting *waiting = *link;
    *link = waiting->next;
    waiting->done(waiting->context, reply);
    free(waiting);
}

static void give_up_all(struct feeder *feeder) {
    while (feeder->waiting != NULL)
        answer_waiting(feeder, &feeder->waiting, NULL);
}

static void on_sweep(uv_timer_t *timer) {
    struct feeder *feeder = timer->data;
    for (struct waiting **link = &feeder->waiting; *link != NULL;) {
        if ((*link)->until <= uv_now(feeder->loop))
            answer_waiting(feeder, link, NULL);
        else
            link = &(*link)->next;
    }
    if (feeder->waiting == NULL)
        uv_timer_stop(timer);
}

static void on_reply(struct feeder *feeder, const json_t *reply) {
    json_int_t id = json_integer_value(json_object_get(reply, "id"));
    for (struct waiting **link = &feeder->waiting; *link != NULL; link = &(*link)->next) {
        if ((*link)->id == id) {
            answer_waiting(feeder, link, reply);
            return;
        }
    }
}

static void on_sent(uv_write_t *request, int status) {
    struct outgoing *outgoing = (struct outgoing *)request;
    free(outgoing->text);
    free(outgoing);
}

/* Sends one message as a line; takes the reference. 0 or -errno. */
static int send_message(struct feeder *feeder, json_t *message) {
    struct outgoing *outgoing = malloc(sizeof *outgoing);
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    size_t length = text != NULL ? strlen(text) : 0;
    int rc = -ENOMEM;
    if (outgoing == NULL || text == NULL || feeder->child == NULL)
        goto fail;
    text[length] = '\n'; /* instead of the NUL */
    outgoing->text = text;
    uv_buf_t data = uv_buf_init(text, (unsigned)length + 1);
    rc = uv_write(&outgoing->request, (uv_stream_t *)&feeder->child->pipe, &data, 1, on_sent);
    if (rc == 0)
        return 0;
fail:
    free(text);
    free(outgoing);
    return rc;
}

int feeder_request(struct feeder *feeder, json_t *request, void (*done)(void *context, const json_t *reply), void *context) {
    struct waiting *waiting = malloc(sizeof *waiting);
    if (feeder->child == NULL || waiting == NULL) {
        free(waiting);
        json_decref(request);
        return -ENOTCONN;
    }
    *waiting = (struct waiting){feeder->waiting, ++feeder->last_id, uv_now(feeder->loop) + FEEDER_PATIENCE_MS, done, context};
    json_object_set_new(request, "id", json_integer(waiting->id));
    if (send_message(feeder, request) != 0) {
        free(waiting);
        return -ENOTCONN;
    }
    feeder->waiting = waiting;
    if (!uv_is_active((uv_handle_t *)&feeder->sweep))
        uv_timer_start(&feeder->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    return 0;
}

static void send_config(struct feeder *feeder) {
    const struct config *config = feeder->config;
    json_t *message = json_pack("{s:s, s:s?, s:s%, s:I}", "type", "config", "path", config->path, "text", config->text,
                                config->text_length, "serial", (json_int_t)feeder->serial);
    if (message == NULL || send_message(feeder, message) != 0)
        log_say(LOG_LEVEL_ERROR, "the feeder can't be told the configuration: it isn't UTF-8, or memory is short");
}

/* --- what it says --- */

static const char *text_of(const json_t *message, const char *key) {
    const char *text = json_string_value(json_object_get(message, key));
    return text != NULL ? text : "";
}

static void on_message(struct feeder *feeder, const json_t *message) {
    const char *type = text_of(message, "type");
    uint32_t serial = (uint32_t)json_integer_value(json_object_get(message, "serial"));
    bool news = strcmp(type, "published") == 0 || strcmp(type, "failed") == 0;
    if (news && feeder->stopping)
        return; /* whoever waited for it is gone */
    if (strcmp(type, "published") == 0)
        feeder->events.published(feeder->events.context, serial, text_of(message, "path"), text_of(message, "id"));
    else if (strcmp(type, "failed") == 0)
        feeder->events.failed(feeder->events.context, serial, text_of(message, "why"));
    else if (strcmp(type, "log") == 0)
        log_say(log_level_from_name(text_of(message, "level")), "%s", text_of(message, "text"));
    else if (strcmp(type, "reply") == 0)
        on_reply(feeder, message);
    else
        log_say(LOG_LEVEL_WARNING, "the feeder said something unknown: \"%s\"", type);
}

/* Takes whole lines off what has come. */
static void take_lines(struct child *child) {
    struct feeder *feeder = child->feeder;
    size_t at = 0;
    for (char *end; feeder->child == child && (end = memchr(child->line + at, '\n', child->length - at)) != NULL;) {
        size_t length = (size_t)(end - child->line) - at;
        json_error_t error;
        json_t *message = json_loadb(child->line + at, length, 0, &error);
        at += length + 1;
        if (message != NULL)
            on_message(feeder, message);
        else
            log_say(LOG_LEVEL_WARNING, "the feeder said something that isn't JSON: %s", error.text);
        json_decref(message);
    }
    child->length -= at;
    memmove(child->line, child->line + at, child->length);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *data) {
    struct child *child = handle->data;
    *data = uv_buf_init(child->buffer, sizeof child->buffer);
}

static void bury(struct child *child);

static void on_read(uv_stream_t *pipe, ssize_t count, const uv_buf_t *data) {
    struct child *child = pipe->data;
    if (count < 0 && child->feeder->stopping) {
        uv_read_stop(pipe); /* it is on its way out: its exit comes, or the time to kill it */
        return;
    }
    if (count < 0) {
        bury(child);
        return;
    }
    size_t needed = child->length + (size_t)count;
    if (needed > child->room) {
        size_t room = needed * 2;
        char *line = needed <= LINE_OCTETS_MAX ? realloc(child->line, room) : NULL;
        if (line == NULL) {
            log_say(LOG_LEVEL_ERROR, "a message of the feeder is too long");
            bury(child);
            return;
        }
        child->line = line;
        child->room = room;
    }
    memcpy(child->line + child->length, data->base, (size_t)count);
    child->length = needed;
    take_lines(child);
}

/* --- its life --- */

static void start(struct feeder *feeder);

static void on_again(uv_timer_t *timer) {
    struct feeder *feeder = timer->data;
    if (!feeder->stopping)
        start(feeder);
    else if (feeder->child != NULL)
        uv_process_kill(&feeder->child->process, SIGKILL);
}

static void on_child_closed(uv_handle_t *handle) {
    struct child *child = handle->data;
    if (--child->handles > 0)
        return;
    free(child->line);
    free(child);
}

/* The child is of no more use: it exited, or its pipe broke. Another is started after a while. */
static void bury(struct child *child) {
    struct feeder *feeder = child->feeder;
    if (feeder->child != child)
        return;
    feeder->child = NULL;
    if (!child->exited)
        uv_process_kill(&child->process, SIGKILL);
    uv_close((uv_handle_t *)&child->pipe, on_child_closed);
    give_up_all(feeder);
    if (feeder->stopping) {
        if (!uv_is_closing((uv_handle_t *)&feeder->again))
            uv_close((uv_handle_t *)&feeder->again, NULL);
        return;
    }
    if (uv_now(feeder->loop) - child->started >= STEADY_MS)
        feeder->backoff = BACKOFF_FIRST_MS;
    if (feeder->start_error == 0)
        log_say(LOG_LEVEL_ERROR, "the feeder has ended; it is started again in %llu s, the policy in force stays",
                (unsigned long long)feeder->backoff / 1000);
    feeder->restarts++;
    uv_timer_start(&feeder->again, on_again, feeder->backoff, 0);
    feeder->backoff = feeder->backoff * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : feeder->backoff * 2;
}

static void on_ended(uv_process_t *process, int64_t status, int signal) {
    struct child *child = process->data;
    child->exited = true;
    if (!child->feeder->stopping && signal != 0)
        log_say(LOG_LEVEL_ERROR, "the feeder was ended by signal %d", signal);
    else if (!child->feeder->stopping && status != 0)
        log_say(LOG_LEVEL_ERROR, "the feeder exited with status %lld", (long long)status);
    uv_close((uv_handle_t *)process, on_child_closed);
    bury(child);
}

static int spawn(struct child *child) {
    char *arguments[] = {(char *)"sundew-feeder", NULL};
    uv_stdio_container_t stdio[CHILD_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->pipe},
    };
    uv_process_options_t options = {
        .exit_cb = on_ended, .file = config_feeder_path(), .args = arguments, .stdio_count = CHILD_FD + 1, .stdio = stdio};
    int rc = uv_spawn(child->feeder->loop, &child->process, &options);
    if (rc == 0)
        priority_prepare(child->process.pid); /* it begins threads only when it is told the configuration */
    return rc;
}

static void start(struct feeder *feeder) {
    struct child *child = calloc(1, sizeof *child);
    if (child == NULL) {
        uv_timer_start(&feeder->again, on_again, BACKOFF_MAX_MS, 0);
        return;
    }
    child->feeder = feeder;
    child->started = uv_now(feeder->loop);
    uv_pipe_init(feeder->loop, &child->pipe, 0);
    child->pipe.data = child->process.data = child;
    child->handles = 2;
    feeder->child = child;
    int rc = spawn(child);
    if (rc != 0) {
        if (rc != feeder->start_error)
            log_say(LOG_LEVEL_ERROR,
                    "%s can't be started: %s; until it can, no file and no feed is read, and what policy is in force stays",
                    config_feeder_path(), uv_strerror(rc));
        feeder->start_error = rc;
        child->exited = true;
        uv_close((uv_handle_t *)&child->process, on_child_closed);
        bury(child);
        return;
    }
    if (feeder->start_error != 0)
        log_say(LOG_LEVEL_INFO, "%s could be started", config_feeder_path());
    feeder->start_error = 0;
    uv_read_start((uv_stream_t *)&child->pipe, on_room, on_read);
    send_config(feeder);
}

struct feeder *feeder_new(uv_loop_t *loop, const struct feeder_events *events) {
    struct feeder *feeder = calloc(1, sizeof *feeder);
    if (feeder == NULL)
        return NULL;
    feeder->loop = loop;
    feeder->events = *events;
    feeder->backoff = BACKOFF_FIRST_MS;
    uv_timer_init(loop, &feeder->again);
    uv_timer_init(loop, &feeder->sweep);
    feeder->again.data = feeder->sweep.data = feeder;
    return feeder;
}

void feeder_configure(struct feeder *feeder, struct config *config, uint32_t serial) {
    struct config *old = feeder->config;
    feeder->config = config_ref(config);
    feeder->serial = serial;
    if (old != NULL)
        config_unref(old);
    if (feeder->child != NULL) {
        send_config(feeder);
        return;
    }
    uv_timer_stop(&feeder->again);
    start(feeder);
}

void feeder_stop(struct feeder *feeder) {
    feeder->stopping = true;
    uv_close((uv_handle_t *)&feeder->sweep, NULL);
    give_up_all(feeder);
    uv_timer_stop(&feeder->again);
    if (feeder->child == NULL) {
        uv_close((uv_handle_t *)&feeder->again, NULL);
        return;
    }
    json_t *message = json_pack("{s:s}", "type", "stop");
    if (message == NULL || send_message(feeder, message) != 0)
        uv_process_kill(&feeder->child->process, SIGTERM);
    uv_timer_start(&feeder->again, on_again, KILL_MS, 0);
}

void feeder_free(struct feeder *feeder) {
    if (feeder->config != NULL)
        config_unref(feeder->config);
    free(feeder);
}
