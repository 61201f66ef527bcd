/* feeds/link.c: see link.h. One reason to exist: framing. */
#include "feeds/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct link *link = handle->data;
    if (link->room - link->used < 65536) {
        size_t room = link->room * 2 + 131072;
        char *larger = room > LINK_LINE_MAX ? NULL : realloc(link->buffer, room);
        if (larger == NULL) {
            *buffer = uv_buf_init(NULL, 0); /* read_cb gets UV_ENOBUFS */
            return;
        }
        link->buffer = larger;
        link->room = room;
    }
    *buffer = uv_buf_init(link->buffer + link->used, (unsigned)(link->room - link->used));
}

static void on_line(struct link *link, const char *line, size_t length) {
    json_t *message = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
    if (message != NULL)
        link->message(link->context, message);
    else
        link_log(link, "error", "feeder: a message of the supervisor's cannot be read");
    json_decref(message);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct link *link = stream->data;
    if (count < 0) {
        uv_read_stop(stream);
        link->closed(link->context);
        return;
    }
    size_t scanned = link->used;
    link->used += (size_t)count;
    size_t start = 0;
    char *end;
    while ((end = memchr(link->buffer + scanned, '\n', link->used - scanned)) != NULL) {
        size_t at = (size_t)(end - link->buffer);
        on_line(link, link->buffer + start, at - start);
        scanned = start = at + 1;
    }
    memmove(link->buffer, link->buffer + start, link->used - start);
    link->used -= start;
}

int link_init(struct link *link, uv_loop_t *loop, int fd) {
    link->pipe.data = link;
    int error = uv_pipe_init(loop, &link->pipe, 0);
    link->pipe.data = link;
    if (error == 0)
        error = uv_pipe_open(&link->pipe, fd);
    if (error == 0)
        error = uv_read_start((uv_stream_t *)&link->pipe, on_alloc, on_read);
    return error;
}

static void on_written(uv_write_t *request, int status) {
    free(request->data);
    free(request);
}

void link_send(struct link *link, json_t *message) {
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    size_t length = text == NULL ? 0 : strlen(text);
    uv_write_t *request = malloc(sizeof *request);
    if (text == NULL || request == NULL || uv_is_closing((uv_handle_t *)&link->pipe)) {
        free(text);
        free(request);
        return;
    }
    text[length] = '\n'; /* over the NUL: the length travels beside */
    request->data = text;
    uv_buf_t buffer = uv_buf_init(text, (unsigned)length + 1);
    if (uv_write(request, (uv_stream_t *)&link->pipe, &buffer, 1, on_written) != 0)
        on_written(request, 0);
}

void link_log(struct link *link, const char *level, const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *string = json_string(text);
    if (string == NULL) { /* not UTF-8, as file names may be */
        for (char *at = text; *at != '\0'; at++)
            if ((unsigned char)*at >= 0x80)
                *at = '?';
        string = json_string(text);
    }
    link_send(link, json_pack("{s:s, s:s, s:o}", "type", "log", "level", level, "text", string));
}

void link_done(struct link *link) {
    if (!uv_is_closing((uv_handle_t *)&link->pipe))
        uv_close((uv_handle_t *)&link->pipe, NULL);
    free(link->buffer);
    link->buffer = NULL;
}
