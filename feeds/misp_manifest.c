/* feeds/misp_manifest.c: streams a manifest, an object keyed by event uuid (FORMATS.md section 5). */
#include "feeds/misp_manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/json_reader.h"
#include "feeds/record.h"
#include "feeds/when.h"

static const struct record_key keys[] = {RECORD_KEY("timestamp")};

/* 8-4-4-4-12 hexadecimal digits. */
static bool read_uuid(const char *text, size_t length, char uuid[MISP_UUID_LENGTH + 1]) {
    if (length != MISP_UUID_LENGTH)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] | 0x20) : text[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex)
            return false;
        uuid[i] = c;
    }
    uuid[length] = '\0';
    return true;
}

static int refuse(struct json_reader *json, const char *message, char *why) {
    if (json_read_error(json))
        return json_read_error(json);
    snprintf(why, MISP_MANIFEST_WHY_MAX, "line %u, column %u: %s", json_line(json), json_column(json), message);
    return -EBADMSG;
}

static int read_events(struct json_reader *json, struct record *record, misp_manifest_event *event, void *context, char *why) {
    static const struct record_reader how = {.keys = keys, .count = 1};
    uint64_t good = 0, bad = 0;
    enum json_event next;
    while ((next = json_next(json)) == JSON_KEY) {
        size_t length;
        char uuid[MISP_UUID_LENGTH + 1];
        const char *key = json_text(json, &length);
        bool known = read_uuid(key, length, uuid);
        int64_t timestamp = 0;
        enum json_event value = json_next(json);
        if (value != JSON_OBJECT) {
            bad++;
            if (value == JSON_ERROR || (value == JSON_ARRAY && json_skip(json)))
                return refuse(json, json_error(json), why);
            continue;
        }
        int error = record_read(record, json, &how);
        if (error)
            return error == -EBADMSG ? refuse(json, json_error(json), why) : error;
        const char *text = record_text(record, 0, &length);
        if (text)
            when_parse(text, length, false, &timestamp);
        good += known;
        bad += !known;
        error = known ? event(context, uuid, timestamp) : 0;
        if (error)
            return error;
    }
    if (next != JSON_OBJECT_END || json_next(json) != JSON_END)
        return refuse(json, json_error(json)[0] ? json_error(json) : "not a manifest of a MISP feed", why);
    return good == 0 && bad > 0 ? refuse(json, "no event in it: not a manifest of a MISP feed", why) : 0;
}

int misp_manifest_read(json_source *source, void *source_context, misp_manifest_event *event, void *context,
                       char why[MISP_MANIFEST_WHY_MAX]) {
    struct json_reader *json = json_reader_new(source, source_context, NULL);
    struct record record = {0};
    if (!json)
        return -ENOMEM;
    int error;
    if (json_next(json) == JSON_OBJECT)
        error = read_events(json, &record, event, context, why);
    else
        error = refuse(json, json_error(json)[0] ? json_error(json) : "not a manifest of a MISP feed: no object", why);
    record_done(&record);
    json_reader_free(json);
    return error;
}
