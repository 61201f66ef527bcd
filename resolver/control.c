/* resolver/control.c: the control socket. */
#include "resolver/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "resolver/acceptor.h"
#include "resolver/command.h"
#include "resolver/follow.h"
#include "resolver/log.h"

enum { BACKLOG = 16, READ_OCTETS = 4096 };

struct caller {
    uv_pipe_t pipe;
    struct control *control;
    struct caller *next, **link;
    struct follow *follow;
    bool busy;     /* a command is under way: nothing is read meanwhile */
    bool stopping; /* asked the daemon to end */
    bool ended;    /* sends no more; closed when nothing is owed */
    bool closing, closed;
    unsigned writes;
    size_t filled;
    char *line; /* what has come of a request; room for CONTROL_LINE_MAX */
};

struct control {
    struct supervisor *supervisor;
    struct acceptor *acceptor;
    char *path;
    struct caller *callers;
    unsigned count;
    bool quiet, closing;
};

struct outgoing {
    uv_write_t request;
    struct caller *caller;
    char octets[];
};

static void release(struct caller *caller) {
    if (!caller->closed || caller->busy)
        return;
    free(caller->line);
    free(caller);
}

static void on_caller_closed(uv_handle_t *handle) {
    struct caller *caller = handle->data;
    caller->closed = true;
    release(caller);
}

static void close_caller(struct caller *caller) {
    if (caller->closing)
        return;
    caller->closing = true;
    if (caller->follow != NULL)
        follow_end(caller->follow);
    caller->follow = NULL;
    *caller->link = caller->next;
    if (caller->next != NULL)
        caller->next->link = caller->link;
    caller->control->count--;
    uv_close((uv_handle_t *)&caller->pipe, on_caller_closed);
}

static void settle(struct caller *caller) {
    if (caller->ended && !caller->busy && caller->writes == 0 && !caller->stopping)
        close_caller(caller);
}

static void on_written(uv_write_t *request, int status) {
    struct outgoing *outgoing = (struct outgoing *)request;
    struct caller *caller = outgoing->caller;
    free(outgoing);
    caller->writes--;
    if (caller->closing)
        return;
    if (status != 0)
        close_caller(caller);
    else
        settle(caller);
}

static void send_text(struct caller *caller, const char *text, size_t length) {
    size_t limit = caller->follow != NULL ? CONTROL_FOLLOW_BEHIND_MAX : CONTROL_BEHIND_MAX;
    struct outgoing *outgoing = malloc(sizeof *outgoing + length);
    if (outgoing == NULL || uv_stream_get_write_queue_size((uv_stream_t *)&caller->pipe) + length > limit) {
        free(outgoing);
        close_caller(caller);
        return;
    }
    memcpy(outgoing->octets, text, length);
    outgoing->caller = caller;
    uv_buf_t data = uv_buf_init(outgoing->octets, (unsigned)length);
    if (uv_write(&outgoing->request, (uv_stream_t *)&caller->pipe, &data, 1, on_written) != 0) {
        free(outgoing);
        close_caller(caller);
        return;
    }
    caller->writes++;
}

static void send_json(struct caller *caller, json_t *document) {
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    size_t length = text != NULL ? strlen(text) : 0;
    if (text == NULL) {
        close_caller(caller);
        return;
    }
    text[length] = '\n'; /* instead of the NUL */
    send_text(caller, text, length + 1);
    free(text);
}

static void digest(struct caller *caller);

static void on_answer(void *context, json_t *document) {
    struct caller *caller = context;
    caller->busy = false;
    if (caller->closing) {
        json_decref(document);
        release(caller);
        return;
    }
    send_json(caller, document);
    if (!caller->closing)
        digest(caller);
}

static void on_hit(void *context, const char *text, size_t length) {
    struct caller *caller = context;
    if (text == NULL)
        close_caller(caller);
    else if (!caller->closing)
        send_text(caller, text, length);
}

static void refuse(struct caller *caller, const char *why) {
    send_json(caller, json_pack("{s:b, s:s}", "ok", 0, "error", why));
}

/* True if the request was to follow hits, and that was taken care of. */
static bool begin_follow(struct caller *caller, json_t *request) {
    struct supervisor *supervisor = caller->control->supervisor;
    const char *command = json_string_value(json_object_get(request, "command"));
    if (command == NULL || strcmp(command, "hits") != 0 || !json_is_true(json_object_get(request, "follow")))
        return false;
    const char *why = command_client(request);
    if (why != NULL)
        send_json(caller, json_pack("{s:b, s:b, s:s}", "ok", 0, "usage", 1, "error", why));
    else if (supervisor->phase != PHASE_READY)
        refuse(caller, "the daemon is starting or ending");
    else
        caller->follow = follow_begin(&supervisor->loop, supervisor->writer, request, on_hit, caller);
    return true;
}

static void run_line(struct caller *caller, const char *line, size_t length) {
    json_error_t error;
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(request)) {
        json_decref(request);
        refuse(caller, "a request is one JSON object a line");
        return;
    }
    const char *command = json_string_value(json_object_get(request, "command"));
    if (!begin_follow(caller, request)) {
        caller->busy = true;
        caller->stopping = command != NULL && strcmp(command, "stop") == 0;
        command_run(caller->control->supervisor, request, on_answer, caller);
    }
    json_decref(request);
}

/* Runs what requests have come, one at a time. */
static void digest(struct caller *caller) {
    while (!caller->busy && !caller->closing && caller->follow == NULL) {
        char *end = memchr(caller->line, '\n', caller->filled);
        if (end == NULL)
            break;
        size_t length = (size_t)(end - caller->line);
        char *line = strndup(caller->line, length);
        caller->filled -= length + 1;
        memmove(caller->line, end + 1, caller->filled);
        if (line == NULL) {
            close_caller(caller);
            return;
        }
        run_line(caller, line, strlen(line));
        free(line);
    }
    if (!caller->closing)
        settle(caller);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *data) {
    struct caller *caller = handle->data;
    *data = uv_buf_init(caller->line + caller->filled, (unsigned)(CONTROL_LINE_MAX - caller->filled));
}

static void on_read(uv_stream_t *pipe, ssize_t count, const uv_buf_t *data) {
    struct caller *caller = pipe->data;
    if (count == UV_EOF && caller->follow == NULL) {
        caller->ended = true; /* an answer may still be owed: printf '...' | nc -N */
        uv_read_stop(pipe);
        settle(caller);
    } else if (count < 0) {
        close_caller(caller); /* UV_ENOBUFS: more than CONTROL_LINE_MAX without a newline, or while a command is under way */
    } else {
        caller->filled += (size_t)count;
        digest(caller);
    }
}

/* acceptor_user.take */
static bool take_caller(void *context, int fd, const union peer *peer) {
    struct control *control = context;
    struct caller *caller = calloc(1, sizeof *caller);
    char *line = malloc(CONTROL_LINE_MAX);
    if (caller == NULL || line == NULL || uv_pipe_init(&control->supervisor->loop, &caller->pipe, 0) != 0) {
        free(caller);
        free(line);
        close(fd);
        return false;
    }
    caller->pipe.data = caller;
    caller->control = control;
    caller->line = line;
    caller->next = control->callers;
    caller->link = &control->callers;
    if (caller->next != NULL)
        caller->next->link = &caller->next;
    control->callers = caller;
    control->count++;
    bool opened = uv_pipe_open(&caller->pipe, fd) == 0;
    if (!opened)
        close(fd);
    if (!opened || control->count > CONTROL_CLIENTS_MAX || uv_read_start((uv_stream_t *)&caller->pipe, on_room, on_read) != 0)
        close_caller(caller);
    return true;
}

/* acceptor_user.make_room: who is connected is being served, so that callers wait. */
static bool make_room(void *context, int error) {
    return false;
}

/* 0 if the path is free, after removing what a dead daemon left. */
static int clear_path(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    int error = errno;
    close(fd);
    if (rc == 0 || error != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(path) == 0 ? 0 : -errno;
}

static int listen_at(struct control *control) {
    const struct acceptor_user user = {.take = take_caller, .make_room = make_room, .context = control};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = clear_path(control->path);
    if (rc != 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memcpy(address.sun_path, control->path, strlen(control->path));
    mode_t mask = umask(0117); /* 0660 from the first moment */
    rc = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
    umask(mask);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    control->acceptor = acceptor_new(&control->supervisor->loop, fd, BACKLOG, &user, &rc);
    if (rc != 0)
        unlink(control->path);
    return rc;
}

int control_open(struct control **out, struct supervisor *supervisor, const char *path) {
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return -ENOMEM;
    control->supervisor = supervisor;
    control->path = strdup(path);
    *out = control;
    int rc = control->path != NULL ? listen_at(control) : -ENOMEM;
    if (rc != 0) {
        free(control->path);
        control->path = NULL; /* it isn't ours to remove */
    }
    return rc;
}

void control_quiesce(struct control *control) {
    if (control == NULL || control->quiet)
        return;
    control->quiet = true;
    acceptor_close(control->acceptor);
    if (control->path != NULL)
        unlink(control->path);
    for (struct caller *caller = control->callers, *next; caller != NULL; caller = next) {
        next = caller->next;
        if (!caller->stopping && !caller->busy)
            close_caller(caller);
    }
}

void control_close(struct control *control) {
    if (control == NULL)
        return;
    control_quiesce(control);
    while (control->callers != NULL)
        close_caller(control->callers);
}

void control_free(struct control *control) {
    if (control == NULL)
        return;
    free(control->path);
    free(control);
}
