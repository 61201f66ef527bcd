/* feeds/format_misp.c: MISP events in every wrapper they come in: {"Event": {}}, {"response": [...]}, {"response": {"Attribute":
 * []}}, a bare event, an array of events (FORMATS.md section 5).
 *
 * What lies in an event is held back until the event ends, because its tags may come last. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "feeds/misp_tags.h"
#include "feeds/pending.h"
#include "feeds/when.h"

enum { INFO_MAX = 512 };

enum { UUID, TYPE, VALUE, TO_IDS, DELETED, COMMENT, FIRST, LAST, TAG, EVENT, INFO, KEY_COUNT };

static const struct record_key keys[KEY_COUNT] = {
    [UUID] = RECORD_KEY("uuid"),        [TYPE] = RECORD_KEY("type"),       [VALUE] = RECORD_KEY("value"),
    [TO_IDS] = RECORD_KEY("to_ids"),    [DELETED] = RECORD_KEY("deleted"), [COMMENT] = RECORD_KEY("comment"),
    [FIRST] = RECORD_KEY("first_seen"), [LAST] = RECORD_KEY("last_seen"),  [TAG] = RECORD_KEY("Tag"),
    [EVENT] = RECORD_KEY("Event"),      [INFO] = RECORD_KEY("info"),
};

static const struct record_key tag_keys[] = {RECORD_KEY("name")};
static const struct record_key info_keys[] = {RECORD_KEY("info")};

/* What an event says of all its attributes. */
struct event {
    struct misp_tags tags;
    char info[INFO_MAX];
    int64_t date;
};

struct misp {
    struct reading *reading;
    struct record inner; /* scratch for what lies inside an attribute */
    struct misp_tags attribute_tags;
    char attribute_info[INFO_MAX]; /* of a search result's attribute: the event that it came out of */
    struct pending pending;
    struct event event;
    bool known; /* something of MISP was met */
};

/* 0, or the reading's error after json_next or json_skip failed. */
static int skipped(struct misp *misp, enum json_event event) {
    bool nested = event == JSON_OBJECT || event == JSON_ARRAY;
    return event == JSON_ERROR || (nested && json_skip(misp->reading->json)) ? -EBADMSG : 0;
}

/* After the ARRAY event of a list of tags. */
static int read_tags(struct misp *misp, struct misp_tags *tags) {
    static const struct record_reader how = {.keys = tag_keys, .count = 1};
    struct json_reader *json = misp->reading->json;
    enum json_event event;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        if (event != JSON_OBJECT) {
            if (skipped(misp, event))
                return -EBADMSG;
            continue;
        }
        int error = record_read(&misp->inner, json, &how);
        if (error)
            return error;
        const char *name = record_text(&misp->inner, 0, NULL);
        if (name)
            misp_tags_add(tags, name);
    }
    return 0;
}

static int read_nested(void *context, struct record *record, unsigned field, enum json_event event) {
    static const struct record_reader how = {.keys = info_keys, .count = 1};
    struct misp *misp = context;
    if (field == TAG && event == JSON_ARRAY)
        return read_tags(misp, &misp->attribute_tags);
    if (field != EVENT || event != JSON_OBJECT)
        return json_skip(misp->reading->json) ? -EBADMSG : 0;
    int error = record_read(&misp->inner, misp->reading->json, &how);
    const char *info = error ? NULL : record_text(&misp->inner, 0, NULL);
    if (info)
        snprintf(misp->attribute_info, sizeof misp->attribute_info, "%s", info);
    return error;
}

/* How the parts of a type's value are to be read; ports have no part. */
struct kind {
    const char *type;
    enum reading_value how;
    bool first, second; /* which sides of the bar are indicators */
};

static const struct kind kinds[] = {
    {"domain", READING_PLAIN, true, false},
    {"hostname", READING_PLAIN, true, false},
    {"ip-dst", READING_PLAIN, true, false},
    {"url", READING_URL, true, false},
    {"uri", READING_URL, true, false},
    {"domain|ip", READING_PLAIN, true, true},
    {"hostname|port", READING_PLAIN, true, false},
    {"ip-dst|port", READING_PLAIN, true, false},
};

static const struct kind *kind_of(const char *type) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].type, type) == 0)
            return &kinds[i];
    }
    return NULL;
}

static int add_parts(struct misp *misp, const struct kind *kind, struct pending_item *item) {
    char first[2048];
    const char *bar = strchr(kind->type, '|') ? strchr(item->value, '|') : NULL;
    if (!bar)
        return pending_add(&misp->pending, item);
    const char *second = bar + 1;
    snprintf(first, sizeof first, "%.*s", (int)(bar - item->value > 2000 ? 2000 : bar - item->value), item->value);
    item->value = first;
    int error = pending_add(&misp->pending, item);
    item->value = second;
    return !error && kind->second && *second ? pending_add(&misp->pending, item) : error;
}

/* A comment that is nothing but a link is the best reference there is. */
static const char *link_in(const char *comment) {
    bool link = comment && (strncmp(comment, "https://", 8) == 0 || strncmp(comment, "http://", 7) == 0);
    return link && !strpbrk(comment, " \t\r\n") ? comment : NULL;
}

static int add_attribute(struct misp *misp) {
    struct reading *reading = misp->reading;
    const struct record *record = &reading->record;
    const char *type = record_text(record, TYPE, NULL), *text;
    size_t length;
    struct pending_item item = {.field = keys[VALUE].name, .path = reading->path, .confidence = RULE_CONFIDENCE_UNSET};
    item.value = record_text(record, VALUE, NULL);
    item.id = record_text(record, UUID, NULL);
    if (!type || !item.value) {
        reading_fault(reading, record->line, record->column, reading->path, keys[type ? VALUE : TYPE].name, "missing");
        return 0;
    }
    const struct kind *kind = kind_of(type);
    if (!kind) {
        reading_ignored(reading,
                        strncmp(type, "ip-src", 6) == 0 ? "a source address (ip-src)" : "a kind of indicator that DNS doesn't see");
        return 0;
    }
    item.how = kind->how;
    item.line = record->fields[VALUE].line;
    item.column = record->fields[VALUE].column;
    item.not_to_ids = record_bool(record, TO_IDS) != 1;
    item.revoked = record_bool(record, DELETED) == 1;
    if (item.revoked)
        reading_ignored(reading, "deleted");
    if ((text = record_text(record, FIRST, &length)))
        when_parse(text, length, false, &item.first_seen);
    if ((text = record_text(record, LAST, &length)))
        when_parse(text, length, false, &item.last_seen);
    item.reference = link_in(record_text(record, COMMENT, NULL));
    item.family = misp->attribute_tags.rank ? misp->attribute_tags.family : misp->attribute_info;
    if (misp->attribute_tags.confidence)
        item.confidence = (uint8_t)misp->attribute_tags.confidence;
    return add_parts(misp, kind, &item);
}

/* The value of "Attribute". */
static int read_attributes(struct misp *misp, const char *prefix) {
    const struct record_reader how = {.keys = keys, .count = KEY_COUNT, .context = misp, .nested = read_nested};
    struct reading *reading = misp->reading;
    enum json_event event = json_next(reading->json);
    if (event != JSON_ARRAY)
        return skipped(misp, event);
    misp->known = true;
    for (uint64_t index = 0; (event = json_next(reading->json)) != JSON_ARRAY_END; index++) {
        int error = 0;
        snprintf(reading->path, sizeof reading->path, "%sAttribute[%llu]", prefix, (unsigned long long)index);
        if (event == JSON_OBJECT) {
            misp->attribute_tags = (struct misp_tags){0};
            misp->attribute_info[0] = '\0';
            error = record_read(&reading->record, reading->json, &how);
            if (!error)
                error = add_attribute(misp);
        } else {
            error = skipped(misp, event);
            reading_fault(reading, json_line(reading->json), json_column(reading->json), reading->path, NULL,
                          "an attribute is expected here");
        }
        if (error)
            return error;
    }
    return 0;
}

/* After the OBJECT event of a MISP object, which groups attributes. */
static int read_object(struct misp *misp, uint64_t index) {
    struct json_reader *json = misp->reading->json;
    size_t first = misp->pending.count;
    bool deleted = false;
    char prefix[48];
    enum json_event event;
    snprintf(prefix, sizeof prefix, "Object[%llu].", (unsigned long long)index);
    while ((event = json_next(json)) == JSON_KEY) {
        int error;
        if (strcmp(json_text(json, NULL), "Attribute") == 0) {
            error = read_attributes(misp, prefix);
        } else if (strcmp(json_text(json, NULL), "deleted") == 0) {
            event = json_next(json);
            deleted = event == JSON_TRUE || strcmp(json_text(json, NULL), "1") == 0;
            error = skipped(misp, event);
        } else {
            error = json_skip(json) ? -EBADMSG : 0;
        }
        if (error)
            return error;
    }
    if (event != JSON_OBJECT_END)
        return -EBADMSG;
    if (deleted)
        pending_revoke(&misp->pending, first);
    return 0;
}

/* The value of "Object". */
static int read_objects(struct misp *misp) {
    enum json_event event = json_next(misp->reading->json);
    if (event != JSON_ARRAY)
        return skipped(misp, event);
    misp->known = true;
    for (uint64_t index = 0; (event = json_next(misp->reading->json)) != JSON_ARRAY_END; index++) {
        int error = event == JSON_OBJECT ? read_object(misp, index) : skipped(misp, event);
        if (error)
            return error;
    }
    return 0;
}

/* The end of an event, or of an outermost object that holds attributes: its attributes can be handed on. */
static int finish_event(struct misp *misp) {
    struct event *event = &misp->event;
    const struct pending_common common = {
        .family = event->tags.rank ? event->tags.family
                  : event->info[0] ? event->info
                                   : NULL,
        .first_seen = event->date,
        .confidence = event->tags.confidence ? (uint8_t)event->tags.confidence : RULE_CONFIDENCE_UNSET,
    };
    return pending_flush(&misp->pending, misp->reading, &common, NULL);
}

static int read_container(struct misp *misp);

/* The value of "response": events, their wrappers, or an object that holds attributes; also of the outermost array. */
static int read_containers(struct misp *misp, enum json_event event) {
    if (event == JSON_OBJECT)
        return read_container(misp);
    if (event != JSON_ARRAY)
        return skipped(misp, event);
    while ((event = json_next(misp->reading->json)) != JSON_ARRAY_END) {
        int error = event == JSON_OBJECT ? read_container(misp) : skipped(misp, event);
        if (error)
            return error;
    }
    return 0;
}

/* A key of an event that isn't a list. */
static int read_word(struct misp *misp, const char *key) {
    struct json_reader *json = misp->reading->json;
    bool is_info = strcmp(key, "info") == 0, is_date = strcmp(key, "date") == 0;
    enum json_event event = json_next(json);
    size_t length;
    const char *text = json_text(json, &length);
    if (event == JSON_STRING && is_info && length > 0)
        snprintf(misp->event.info, sizeof misp->event.info, "%s", text);
    if (event == JSON_STRING && is_date)
        when_parse(text, length, false, &misp->event.date);
    return skipped(misp, event);
}

/* One key of an event or a wrapper. */
static int read_member(struct misp *misp, const char *key) {
    struct json_reader *json = misp->reading->json;
    enum json_event event;
    if (strcmp(key, "Attribute") == 0)
        return read_attributes(misp, "");
    if (strcmp(key, "Object") == 0)
        return read_objects(misp);
    if (strcmp(key, "Tag") == 0) {
        event = json_next(json);
        return event == JSON_ARRAY ? read_tags(misp, &misp->event.tags) : skipped(misp, event);
    }
    if (strcmp(key, "Event") == 0 || strcmp(key, "response") == 0) {
        event = json_next(json);
        misp->known |= event == JSON_OBJECT || event == JSON_ARRAY;
        return read_containers(misp, event);
    }
    return read_word(misp, key);
}

/* After the OBJECT event of an event or of what wraps one. Both are read alike: the keys tell them apart. The event of the outer
 * container is put aside meanwhile; the depth of the recursion is the JSON reader's limit. */
static int read_container(struct misp *misp) {
    struct json_reader *json = misp->reading->json;
    struct event outer = misp->event;
    enum json_event event;
    int error = finish_event(misp);
    misp->event = (struct event){0};
    while (!error && (event = json_next(json)) == JSON_KEY) {
        char key[16];
        snprintf(key, sizeof key, "%s", json_text(json, NULL));
        error = read_member(misp, key);
    }
    if (!error && event != JSON_OBJECT_END)
        error = -EBADMSG;
    if (!error)
        error = finish_event(misp);
    misp->event = outer;
    return error;
}

int format_misp(struct reading *reading) {
    struct misp misp = {.reading = reading};
    enum json_event event = json_next(reading->json);
    int error = event == JSON_OBJECT || event == JSON_ARRAY ? read_containers(&misp, event) : -EBADMSG;
    if (!error && json_next(reading->json) != JSON_END)
        error = -EBADMSG;
    pending_done(&misp.pending);
    record_done(&misp.inner);
    if (error == -EBADMSG && event != JSON_ERROR && json_error(reading->json)[0] == '\0' && !reading->source_error)
        return reading_refuse(reading, 1, 1, "neither an event nor a list of events");
    if (error == -EBADMSG)
        return reading_json_error(reading);
    if (!error && !misp.known)
        return reading_refuse(reading, 1, 1, "no event and no attribute in it: not of format misp");
    return error;
}
