/* feeds/format_sundew.c: policy files and feeds in our own format: a document with a head and rules, a bare array of rules, or JSON
 * lines (CONTRACT.md, "Policy files and feeds in our own format"). */
#include <errno.h>
#include <string.h>

#include "config/config.h"
#include "feeds/normalise.h"
#include "feeds/sundew_rule.h"

enum { ZONE, DESCRIPTION, ACTION, TTL, MATCH, TARGET, CONFIDENCE, MODE, MIN_CONFIDENCE, MAX_AGE, COMMENT, HEAD_COUNT };

static const char *const head_keys[] = {
    [ZONE] = "zone",
    [DESCRIPTION] = "description",
    [ACTION] = "action",
    [TTL] = "ttl",
    [MATCH] = "match",
    [TARGET] = "target",
    [CONFIDENCE] = "confidence",
    [MODE] = "mode",
    [MIN_CONFIDENCE] = "min_confidence",
    [MAX_AGE] = "max_age",
    [COMMENT] = "comment",
    [HEAD_COUNT] = "rules",
    NULL,
};

/* Keys of a zone that a file can't decide for the operator. */
static const char *const configuration_keys[] = {
    "name",
    "source",
    "format",
    "window",
    "refresh",
    "families",
    "exclude_families",
    "threat_types",
    "exclude_compromised",
    "to_ids",
    "urls",
    "max_rules",
    "max_shrink",
    "max_grow",
    "max_size",
    "refang",
    "clients",
    "headers_file",
    "ca_file",
    "username",
    "password_file",
    "proxy",
    "post",
    NULL,
};

struct document {
    struct reading *reading;
    struct format_head head;
    char zone[256], description[1024], target[NAME_TEXT_MAX + 2];
    bool told;    /* the head was handed on */
    bool changed; /* since then */
    bool rules;   /* were met */
};

static int index_of(const char *const *list, const char *word) {
    for (int i = 0; list[i]; i++) {
        if (strcmp(list[i], word) == 0)
            return i;
    }
    return -1;
}

/* "prefix[index]" without printf: this is done for every rule. */
static const char *path_of(struct reading *reading, const char *prefix, uint64_t index) {
    char digits[20];
    size_t count = 0, at = strlen(prefix);
    memcpy(reading->path, prefix, at);
    reading->path[at++] = '[';
    do
        digits[count++] = (char)('0' + index % 10);
    while (index /= 10);
    while (count > 0)
        reading->path[at++] = digits[--count];
    reading->path[at++] = ']';
    reading->path[at] = '\0';
    return reading->path;
}

static void tell_head(struct document *document) {
    const struct format_sink *sink = document->reading->sink;
    if (sink->head && (!document->told || document->changed))
        sink->head(sink->context, &document->head);
    document->told = true;
    document->changed = false;
}

/* The head's value lies in record field 0, read by head_value. NULL: fine; else what is wrong. */
static const char *set_text(char *to, size_t size, const char **field, const struct record *record) {
    size_t length;
    const char *text = record_text(record, 0, &length);
    if (record->fields[0].type != JSON_STRING)
        return "text is expected here";
    if (length >= size && text)
        return "too long";
    to[0] = '\0';
    if (text)
        memcpy(to, text, length + 1);
    *field = to;
    return NULL;
}

static const char *set_target(struct document *document, const struct record *record) {
    size_t length;
    const char *text = record_text(record, 0, &length), *why;
    struct value value;
    if (record->fields[0].type != JSON_STRING || !text)
        return "text is expected here";
    if (normalise(text, length, NORMALISE_ONE_LABEL | NORMALISE_ESCAPES, &value, &why) != 0)
        return why;
    if (value.kind != VALUE_NAME || value.dot)
        return "not a name";
    memcpy(document->target, "*.", 2);
    name_to_text(value.name.wire, document->target + 2);
    document->head.target = value.star ? document->target : document->target + 2;
    return NULL;
}

static const char *set_word(struct format_head *head, int key, const struct record *record) {
    size_t length = 0;
    const char *text = record_text(record, 0, &length);
    enum action action;
    enum match match;
    if (record->fields[0].type != JSON_STRING || !text)
        return "text is expected here";
    if (key == ACTION) {
        if (action_from_name(text, length, &action) != 0)
            return "must be one of loopback, sinkhole, nxdomain, nodata, refused, drop, truncate, passthru, cname and local";
        head->action = (int)action;
    } else if (key == MATCH) {
        if (match_from_name(text, length, &match) != 0)
            return "must be exact, below or subtree";
        head->match = (int)match;
    } else {
        if (strcmp(text, mode_name(MODE_ENFORCE)) != 0 && strcmp(text, mode_name(MODE_MONITOR)) != 0)
            return "must be enforce or monitor";
        head->mode = text[0] == 'e' ? MODE_ENFORCE : MODE_MONITOR;
    }
    return NULL;
}

static const char *set_number(struct format_head *head, int key, const struct record *record) {
    const char *why = NULL, *text = record_text(record, 0, NULL);
    int64_t number;
    if (key == TTL)
        return sundew_ttl(record, 0, &head->ttl, &why) == 0 ? NULL : why;
    if (key == MAX_AGE) {
        if (record->fields[0].type == JSON_STRING && text && config_duration(text, &number) == 0)
            head->max_age = number;
        else if (sundew_integer(record, 0, 0, INT64_MAX / 4, &head->max_age) != 0)
            return "must be seconds, or a duration such as \"30d\"";
        return NULL;
    }
    if (sundew_integer(record, 0, 0, 100, &number) != 0)
        return "must be a whole number from 0 to 100";
    *(key == CONFIDENCE ? &head->confidence : &head->min_confidence) = (int)number;
    return NULL;
}

static const char *set_head(struct document *document, int key, const struct record *record) {
    switch (key) {
    case ZONE:
        return set_text(document->zone, sizeof document->zone, &document->head.zone, record);
    case DESCRIPTION:
        return set_text(document->description, sizeof document->description, &document->head.description, record);
    case TARGET:
        return set_target(document, record);
    case ACTION:
    case MATCH:
    case MODE:
        return set_word(&document->head, key, record);
    case COMMENT:
        return NULL;
    default:
        return set_number(&document->head, key, record);
    }
}

/* The value of a head key into record field 0. */
static int head_value(struct reading *reading, int key, struct document *document) {
    struct record *record = &reading->record;
    enum json_event event = json_next(reading->json);
    uint32_t line = json_line(reading->json), column = json_column(reading->json);
    if (event == JSON_ERROR)
        return reading_json_error(reading);
    record->used = 0;
    record->fields[0] = (struct record_field){.type = event, .line = line, .column = column};
    if (event == JSON_STRING || event == JSON_NUMBER) {
        size_t length;
        const char *text = json_text(reading->json, &length);
        long offset = record_keep(record, text, length);
        if (offset < 0)
            return (int)offset;
        record->fields[0].offset = (size_t)offset;
        record->fields[0].length = length;
    } else if ((event == JSON_OBJECT || event == JSON_ARRAY) && json_skip(reading->json) != 0) {
        return reading_json_error(reading);
    }
    if (event == JSON_NULL)
        return 0;
    const char *wrong = set_head(document, key, record);
    if (wrong)
        reading_fault(reading, line, column, NULL, head_keys[key], "%s", wrong);
    document->changed = true;
    return 0;
}

static int unknown_head_key(struct reading *reading, const char *key, size_t length) {
    uint32_t line = json_line(reading->json), column = json_column(reading->json);
    if (length > 0 && key[0] == '_')
        return json_skip(reading->json) ? reading_json_error(reading) : 0;
    const char *near = config_did_you_mean(key, head_keys);
    if (index_of(configuration_keys, key) >= 0)
        reading_fault(reading, line, column, NULL, key, "\"%.60s\" is for the zone in the configuration, not for a policy file",
                      key);
    else if (near)
        reading_fault(reading, line, column, NULL, key, "unknown key \"%.60s\"; did you mean \"%s\"?", key, near);
    else
        reading_fault(reading, line, column, NULL, key, "unknown key \"%.60s\"", key);
    return json_skip(reading->json) ? reading_json_error(reading) : 0;
}

/* The value of `event`, as a rule. */
static int read_rule(struct document *document, enum json_event event, const char *path) {
    struct reading *reading = document->reading;
    if (event == JSON_OBJECT) {
        int error = sundew_rule_object(reading, &document->head, path);
        return error == -EBADMSG ? reading_json_error(reading) : error;
    }
    if (event == JSON_STRING)
        return sundew_rule_text(reading, path);
    reading_fault(reading, json_line(reading->json), json_column(reading->json), path, NULL,
                  "a rule is an object, or a name or address");
    return event == JSON_ARRAY && json_skip(reading->json) ? reading_json_error(reading) : 0;
}

/* After the ARRAY event. */
static int read_rules(struct document *document, const char *prefix) {
    struct reading *reading = document->reading;
    document->rules = true;
    tell_head(document);
    for (uint64_t index = 0;; index++) {
        enum json_event event = json_next(reading->json);
        if (event == JSON_ERROR)
            return reading_json_error(reading);
        if (event == JSON_ARRAY_END)
            return 0;
        int error = read_rule(document, event, path_of(reading, prefix, index));
        if (error)
            return error;
    }
}

/* After the key "rules". */
static int rules_value(struct document *document) {
    struct reading *reading = document->reading;
    enum json_event event = json_next(reading->json);
    if (event == JSON_ERROR)
        return reading_json_error(reading);
    if (event != JSON_ARRAY)
        return reading_refuse(reading, json_line(reading->json), json_column(reading->json), "\"rules\" must be an array");
    return read_rules(document, "rules");
}

static int read_object(struct document *document) {
    struct reading *reading = document->reading;
    for (;;) {
        enum json_event event = json_next(reading->json);
        if (event == JSON_OBJECT_END)
            break;
        if (event != JSON_KEY)
            return reading_json_error(reading);
        size_t length;
        const char *key = json_text(reading->json, &length);
        int index = index_of(head_keys, key), error;
        if (index == HEAD_COUNT)
            error = rules_value(document);
        else if (index >= 0)
            error = head_value(reading, index, document);
        else
            error = unknown_head_key(reading, key, length);
        if (error)
            return error;
    }
    if (!document->rules)
        return reading_refuse(reading, 1, 1, "no \"rules\": not a policy file");
    if (document->changed)
        tell_head(document);
    return 0;
}

static void blank_head(struct document *document) {
    document->head = (struct format_head){
        .action = -1, .ttl = -1, .match = -1, .confidence = -1, .mode = -1, .min_confidence = -1, .max_age = -1};
}

int format_sundew(struct reading *reading) {
    struct document document = {.reading = reading};
    blank_head(&document);
    enum json_event event = json_next(reading->json);
    int error;
    if (event == JSON_OBJECT)
        error = read_object(&document);
    else if (event == JSON_ARRAY)
        error = read_rules(&document, "");
    else if (event == JSON_ERROR)
        error = reading_json_error(reading);
    else
        error = reading_refuse(reading, json_line(reading->json), json_column(reading->json), "neither an object nor an array");
    if (error)
        return error;
    return json_next(reading->json) == JSON_END ? 0 : reading_json_error(reading);
}

/* A line that isn't JSON costs itself alone, unless it is the end of the text that is missing: then the document was cut off. */
static int faulty_line(struct reading *reading) {
    uint32_t line = json_line(reading->json), column = json_column(reading->json);
    if (reading->source_error || json_offset(reading->json) == reading->source_octets)
        return reading_json_error(reading);
    reading_fault(reading, line, column, NULL, NULL, "%s", json_error(reading->json));
    json_skip_line(reading->json);
    return 0;
}

int format_jsonl(struct reading *reading) {
    struct document document = {.reading = reading};
    blank_head(&document);
    uint64_t good = 0, bad = 0;
    for (;;) {
        enum json_event event = json_next(reading->json);
        if (event == JSON_END)
            break;
        int error = 0;
        if (event == JSON_ERROR) {
            bad++;
            error = faulty_line(reading);
        } else if (event == JSON_OBJECT) {
            error = sundew_rule_object(reading, NULL, NULL);
            if (error == -EBADMSG) {
                bad++;
                error = faulty_line(reading);
            } else {
                good++;
            }
        } else {
            good++;
            error = read_rule(&document, event, NULL);
        }
        if (error)
            return error;
    }
    return good == 0 && bad > 0 ? reading_refuse(reading, 1, 1, "no line is JSON") : 0;
}
