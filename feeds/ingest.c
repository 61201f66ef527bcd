/* feeds/ingest.c: see ingest.h. One reason to exist: the meeting of parsers and stores. */
#include "feeds/ingest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/body.h"

struct context {
    struct ingest *ingest;
    struct store_writer *writer;
};

static int on_indicator(void *data, const struct indicator *indicator) {
    struct context *context = data;
    return store_put(context->writer, indicator, context->ingest->carried);
}

static void on_fault(void *data, uint32_t line, uint32_t column, const char *path, const char *message) {
    struct context *context = data;
    store_put_fault(context->writer, line, column, path, message);
    if (context->ingest->observe != NULL)
        context->ingest->observe(context->ingest->observer, line, column, path, message);
}

static void on_head(void *data, const struct format_head *head) {
    struct context *context = data;
    store_put_head(context->writer, head);
}

static void on_page(void *data, bool more, const char *next) {
    struct context *context = data;
    context->ingest->more = more;
    free(context->ingest->next);
    context->ingest->next = next == NULL ? NULL : strdup(next);
}

static void on_ignored(void *data, const char *why) {
    struct context *context = data;
    store_put_ignored(context->writer, 1);
}

/* What a parser says of a document may quote it: control characters must not reach a log. */
static void keep_why(struct ingest *ingest, const char *text) {
    snprintf(ingest->why, sizeof ingest->why, "%s", text);
    for (char *at = ingest->why; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = '?';
}

static struct format_sink sink_of(struct context *context) {
    return (struct format_sink){
        .context = context, .indicator = on_indicator, .fault = on_fault, .head = on_head, .page = on_page, .ignored = on_ignored};
}

int ingest_read(struct ingest *ingest, struct store_writer *writer, json_source *source, void *source_context) {
    struct context context = {.ingest = ingest, .writer = writer};
    const struct format_sink sink = sink_of(&context);
    const char *why = NULL;
    ingest_done(ingest);
    int error = format_read(ingest->format, source, source_context, &ingest->options, &sink, &why);
    if (error == -EFBIG)
        keep_why(ingest, "larger than max_size when unpacked");
    else if (error != 0 && error != -ENODATA)
        keep_why(ingest, why != NULL ? why : strerror(-error));
    return error;
}

int ingest_flush(struct ingest *ingest, struct store_writer *writer) {
    struct context context = {.ingest = ingest, .writer = writer};
    const struct format_sink sink = sink_of(&context);
    int error = format_memory_flush(ingest->options.memory, &ingest->options, &sink);
    if (error != 0)
        keep_why(ingest, strerror(-error));
    return error;
}

void ingest_done(struct ingest *ingest) {
    free(ingest->next);
    ingest->next = NULL;
    ingest->more = false;
    ingest->why[0] = '\0';
}

static int read_into(struct ingest *ingest, struct body *body, const char *store, bool sync, struct store_counts *counts) {
    struct store_writer *writer;
    int error = store_create(&writer, store);
    if (error != 0) {
        keep_why(ingest, strerror(-error));
        return error;
    }
    if (ingest->paths)
        store_keep_paths(writer);
    error = ingest_read(ingest, writer, body_read, body);
    if (error != 0) {
        store_abandon(writer);
        return error;
    }
    *counts = store_written(writer);
    error = store_commit(writer, sync);
    if (error != 0)
        keep_why(ingest, strerror(-error));
    return error;
}

int ingest_file(struct ingest *ingest, int fd, uint64_t limit, const char *store, bool sync, struct store_counts *counts) {
    struct body *body;
    int error = body_open(&body, fd, limit);
    if (error != 0) {
        keep_why(ingest, error == -EBADMSG ? "a damaged zip file" : strerror(-error));
        return error;
    }
    error = read_into(ingest, body, store, sync, counts);
    body_close(body);
    return error;
}

int ingest_text(struct ingest *ingest, const char *text, size_t length, const char *store, struct store_counts *counts) {
    struct body *body;
    int error = body_open_text(&body, text, length);
    if (error != 0)
        return error;
    error = read_into(ingest, body, store, false, counts);
    body_close(body);
    return error;
}
