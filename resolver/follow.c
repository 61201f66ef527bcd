/* resolver/follow.c: hit lines from the writer's thread to one control client. */
#include "resolver/follow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WAITING_MAX = 4 << 20 }; /* octets between two turns of the main loop */

struct follow {
    uv_async_t async;
    struct writer *writer;
    int id;
    json_t *wanted; /* the request: what to let through */
    void (*each)(void *context, const char *text, size_t length);
    void *context;
    pthread_mutex_t lock; /* of the next four */
    char *text;
    size_t length, room;
    bool overrun;
};

/* The writer's thread. */
static void on_line(void *context, const char *line, size_t length) {
    struct follow *follow = context;
    pthread_mutex_lock(&follow->lock);
    size_t needed = follow->length + length;
    if (needed > follow->room && needed <= WAITING_MAX) {
        size_t room = needed * 2;
        char *text = realloc(follow->text, room);
        if (text != NULL) {
            follow->text = text;
            follow->room = room;
        }
    }
    if (needed <= follow->room) {
        memcpy(follow->text + follow->length, line, length);
        follow->length = needed;
    } else {
        follow->overrun = true;
    }
    pthread_mutex_unlock(&follow->lock);
    uv_async_send(&follow->async);
}

static bool equals(const json_t *hit, const json_t *wanted, const char *key) {
    const char *want = json_string_value(json_object_get(wanted, key)), *have = json_string_value(json_object_get(hit, key));
    return want == NULL || (have != NULL && strcasecmp(want, have) == 0);
}

/* By address, MAC address or host name. */
static bool client_fits(const json_t *hit, const json_t *wanted) {
    const char *want = json_string_value(json_object_get(wanted, "client"));
    const char *mac = json_string_value(json_object_get(hit, "mac")), *name = json_string_value(json_object_get(hit, "hostname"));
    return equals(hit, wanted, "client") || (mac != NULL && strcasecmp(want, mac) == 0) ||
           (name != NULL && strcasecmp(want, name) == 0);
}

/* Families are joined, "A, B": any of them counts. */
static bool family_fits(const json_t *hit, const json_t *wanted) {
    const char *want = json_string_value(json_object_get(wanted, "family")),
               *have = json_string_value(json_object_get(hit, "family"));
    return want == NULL || (have != NULL && strcasestr(have, want) != NULL);
}

static bool fits(const struct follow *follow, const char *line, size_t length) {
    if (json_object_get(follow->wanted, "client") == NULL && json_object_get(follow->wanted, "zone") == NULL &&
        json_object_get(follow->wanted, "family") == NULL)
        return true;
    json_t *hit = json_loadb(line, length, 0, NULL);
    bool fit = client_fits(hit, follow->wanted) && equals(hit, follow->wanted, "zone") && family_fits(hit, follow->wanted);
    json_decref(hit);
    return fit;
}

static void on_async(uv_async_t *async) {
    struct follow *follow = async->data;
    pthread_mutex_lock(&follow->lock);
    char *text = follow->text;
    size_t length = follow->length;
    bool overrun = follow->overrun;
    follow->text = NULL;
    follow->length = follow->room = 0;
    pthread_mutex_unlock(&follow->lock);
    for (size_t at = 0; at < length && !uv_is_closing((uv_handle_t *)async);) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t octets = end != NULL ? (size_t)(end - text) + 1 - at : length - at;
        if (fits(follow, text + at, octets))
            follow->each(follow->context, text + at, octets);
        at += octets;
    }
    free(text);
    if (overrun && !uv_is_closing((uv_handle_t *)async))
        follow->each(follow->context, NULL, 0);
}

struct follow *follow_begin(uv_loop_t *loop, struct writer *writer, const json_t *request,
                            void (*each)(void *context, const char *text, size_t length), void *context) {
    struct follow *follow = calloc(1, sizeof *follow);
    if (follow == NULL || uv_async_init(loop, &follow->async, on_async) != 0) {
        free(follow);
        return NULL;
    }
    pthread_mutex_init(&follow->lock, NULL);
    follow->async.data = follow;
    follow->writer = writer;
    follow->wanted = json_deep_copy(request);
    follow->each = each;
    follow->context = context;
    follow->id = writer_follow(writer, on_line, follow);
    if (follow->id < 0) {
        follow_end(follow);
        return NULL;
    }
    return follow;
}

static void on_closed(uv_handle_t *handle) {
    struct follow *follow = handle->data;
    pthread_mutex_destroy(&follow->lock);
    json_decref(follow->wanted);
    free(follow->text);
    free(follow);
}

void follow_end(struct follow *follow) {
    if (follow->id >= 0)
        writer_unfollow(follow->writer, follow->id);
    uv_close((uv_handle_t *)&follow->async, on_closed);
}
