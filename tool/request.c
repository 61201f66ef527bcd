/* tool/request.c: a question to the daemon over its control socket, and the answer. */
#include "tool/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tool/table.h"

/* Longer than the daemon may take at worst: it gives a refresh 65 s. */
enum { ANSWER_SECONDS = 75 };

static int say_unreachable(const struct tool *tool, int error) {
    char path[512];
    fprintf(stderr, "sundew: %s: %s; is sundewd running? (--control PATH names its socket)\n",
            table_escape(tool->control, path, sizeof path), strerror(error));
    return TOOL_NO_DAEMON;
}

static int seconds(const struct tool *tool) {
    return tool->patience > 0 ? (int)tool->patience : ANSWER_SECONDS;
}

/* Connects and sends the request as one line; takes the reference. *stream is for the answer. */
static int begin(struct tool *tool, json_t *request, FILE **stream) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *line = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (line == NULL)
        return tool_failed("the request isn't valid UTF-8");
    int code = TOOL_DONE, fd = -1;
    if (strlen(tool->control) >= sizeof address.sun_path) {
        code = say_unreachable(tool, ENAMETOOLONG);
        goto done;
    }
    memcpy(address.sun_path, tool->control, strlen(tool->control));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        code = say_unreachable(tool, errno);
        goto done;
    }
    struct timeval patience = {.tv_sec = seconds(tool)};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    *stream = fdopen(fd, "r+");
    if (*stream == NULL) {
        code = tool_failed("%s", strerror(errno));
        goto done;
    }
    fd = -1;
    if (fprintf(*stream, "%s\n", line) < 0 || fflush(*stream) != 0) {
        code = say_unreachable(tool, errno);
        fclose(*stream);
    }
done:
    if (fd >= 0)
        close(fd);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(line);
    return code;
}

/* One line of the answer; NULL at the end or when nothing came in time. */
static json_t *next(FILE *stream) {
    json_error_t error;
    return json_loadf(stream, JSON_DISABLE_EOF_CHECK, &error);
}

/* Says what the daemon refused, if it did. */
static int judge(const json_t *answer) {
    if (json_is_false(json_object_get(answer, "ok"))) {
        const char *why = json_string_value(json_object_get(answer, "error"));
        tool_failed("%s", why != NULL ? why : "the daemon refused without saying why");
        return json_is_true(json_object_get(answer, "usage")) ? TOOL_USAGE : TOOL_FAILED;
    }
    return TOOL_DONE;
}

int request_send(struct tool *tool, json_t *request, json_t **data) {
    FILE *stream;
    *data = NULL;
    int code = begin(tool, request, &stream);
    if (code != TOOL_DONE)
        return code;
    errno = 0;
    json_t *answer = next(stream);
    bool late = answer == NULL && (errno == EAGAIN || errno == EWOULDBLOCK);
    fclose(stream);
    if (late)
        return tool_failed("the daemon gave no answer in %d s; it may still do what was asked", seconds(tool));
    if (answer == NULL) {
        fputs("sundew: the daemon closed the connection\n", stderr);
        return TOOL_NO_DAEMON;
    }
    code = judge(answer);
    *data = json_incref(json_object_get(answer, "data"));
    if (code == TOOL_DONE && *data == NULL)
        *data = json_null();
    json_decref(answer);
    return code;
}

int request_follow(struct tool *tool, json_t *request, bool (*each)(void *context, json_t *object), void *context) {
    FILE *stream;
    int code = begin(tool, request, &stream);
    if (code != TOOL_DONE)
        return code;
    struct timeval forever = {0};
    setsockopt(fileno(stream), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    for (bool more = true; more && code == TOOL_DONE;) {
        json_t *object = next(stream);
        if (object == NULL)
            break;
        code = judge(object);
        more = code == TOOL_DONE && each(context, object);
        json_decref(object);
    }
    fclose(stream);
    return code;
}

int request_print_json(json_t *document) {
    int rc =
        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII); /* nothing that hides or turns text */
    json_decref(document);
    if (rc != 0 || putchar('\n') == EOF || fflush(stdout) != 0)
        return tool_failed("stdout: the output could not be written");
    return TOOL_DONE;
}
