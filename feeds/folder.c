/* feeds/folder.c: see folder.h. One reason to exist: a manifest is JSON of its own, to be read with bounded memory. */
#include "feeds/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json_reader.h"

enum { EVENTS_MAX = 1000000 };

static bool is_uuid(const char *text, size_t length) {
    return length == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

static int add_event(struct folder_event **events, size_t *count, const char *uuid) {
    if ((*count & (*count - 1)) == 0) {
        struct folder_event *larger = realloc(*events, (*count == 0 ? 1 : *count * 2) * sizeof *larger);
        if (larger == NULL)
            return -ENOMEM;
        *events = larger;
    }
    struct folder_event *event = &(*events)[*count];
    *event = (struct folder_event){0};
    snprintf(event->uuid, sizeof event->uuid, "%s", uuid);
    for (char *at = event->uuid; *at != '\0'; at++)
        *at = (char)(*at >= 'A' && *at <= 'F' ? *at + 32 : *at);
    return ++*count > EVENTS_MAX ? -E2BIG : 0;
}

/* The value of one uuid: an object of which the timestamp matters. */
static int read_entry(struct json_reader *json, struct folder_event *event) {
    enum json_event kind;
    size_t length;
    if (json_next(json) != JSON_OBJECT)
        return -EBADMSG;
    while ((kind = json_next(json)) == JSON_KEY) {
        bool timestamp = strcmp(json_text(json, &length), "timestamp") == 0;
        if (!timestamp) {
            if (json_skip(json) != 0)
                return -EBADMSG;
            continue;
        }
        kind = json_next(json);
        if (kind != JSON_STRING && kind != JSON_NUMBER)
            return -EBADMSG;
        snprintf(event->timestamp, sizeof event->timestamp, "%s", json_text(json, &length));
    }
    return kind == JSON_OBJECT_END && event->timestamp[0] != '\0' ? 0 : -EBADMSG;
}

static int compare(const void *a, const void *b) {
    return strcmp(((const struct folder_event *)a)->uuid, ((const struct folder_event *)b)->uuid);
}

int folder_manifest(json_source *source, void *context, struct folder_event **out, size_t *out_count) {
    struct json_reader *json = json_reader_new(source, context, NULL);
    if (json == NULL)
        return -ENOMEM;
    struct folder_event *events = NULL, skipped;
    size_t count = 0, length;
    enum json_event kind = json_next(json);
    int error = kind == JSON_OBJECT ? 0 : -EBADMSG;
    while (error == 0 && (kind = json_next(json)) == JSON_KEY) {
        const char *key = json_text(json, &length);
        if (!is_uuid(key, length))
            error = read_entry(json, &skipped);
        else if ((error = add_event(&events, &count, key)) == 0)
            error = read_entry(json, &events[count - 1]);
    }
    if (error == 0 && (kind != JSON_OBJECT_END || json_next(json) != JSON_END))
        error = -EBADMSG;
    json_reader_free(json);
    if (error != 0) {
        free(events);
        return error;
    }
    qsort(events, count, sizeof *events, compare);
    *out = events;
    *out_count = count;
    return 0;
}
