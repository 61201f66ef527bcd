/* feeds/format_warninglist.c: a MISP warninglist, for never_block (FORMATS.md section 6).
 *
 * `hostname` entries protect a subtree, `string` entries a name, `cidr` entries shield addresses; `substring` and `regex` have no
 * meaning for a name server's rules and are passed over: one fault says so for the whole list. The type may come after the list:
 * entries are then held back. */
#include <errno.h>
#include <string.h>

#include "feeds/normalise.h"
#include "feeds/reading.h"
#include "feeds/texts.h"

enum kind { KIND_UNKNOWN, KIND_STRING, KIND_HOSTNAME, KIND_CIDR, KIND_OTHER };

struct warninglist {
    struct reading *reading;
    enum kind kind;
    uint32_t line, column; /* of its type */
    bool list;             /* was met */
    bool attributes;       /* "matching_attributes" was met ... */
    bool names, addresses; /* ... and holds some that are names, addresses */
    struct texts held;     /* entries met before the type was: their place (two numbers of 32 bits), text, NUL */
};

static enum kind kind_from(const char *type) {
    if (strcmp(type, "string") == 0)
        return KIND_STRING;
    if (strcmp(type, "hostname") == 0)
        return KIND_HOSTNAME;
    return strcmp(type, "cidr") == 0 ? KIND_CIDR : KIND_OTHER;
}

static bool wanted(const struct warninglist *list) {
    if (!list->attributes)
        return true;
    return list->kind == KIND_CIDR ? list->addresses : list->names;
}

static int read_entry(struct warninglist *list, const char *text, size_t length, uint32_t line, uint32_t column) {
    struct reading *reading = list->reading;
    struct indicator indicator;
    struct value value;
    const char *why;
    if (list->kind == KIND_OTHER || !wanted(list)) {
        reading_ignored(reading,
                        list->kind == KIND_OTHER ? "a substring or a regular expression" : "not a list of names or addresses");
        return 0;
    }
    if (list->kind != KIND_CIDR && strcmp(text, "domain") == 0) {
        reading_ignored(reading, "the heading \"domain\" of the table that the list was made from");
        return 0;
    }
    if (normalise(text, length, NORMALISE_ONE_LABEL | NORMALISE_LOOSE_PREFIX, &value, &why) != 0) {
        reading_fault(reading, line, column, "list", NULL, "%s: \"%.80s\"", why, text);
        return 0;
    }
    if (list->kind == KIND_CIDR && value.kind != VALUE_PREFIX) {
        reading_fault(reading, line, column, "list", NULL, "not an address and not a prefix: \"%.80s\"", text);
        return 0;
    }
    reading_blank(&indicator);
    indicator.rule.line = line;
    indicator.column = column;
    indicator.path = "list";
    if (value.kind == VALUE_PREFIX) {
        indicator.rule.trigger = TRIGGER_IP;
        indicator.rule.prefix = value.prefix;
    } else {
        indicator.rule.trigger = TRIGGER_DOMAIN;
        indicator.rule.name = value.name;
        indicator.rule.match = list->kind == KIND_HOSTNAME || value.dot || value.star ? MATCH_SUBTREE : MATCH_EXACT;
    }
    return reading_emit(reading, &indicator);
}

static int hold_entry(struct warninglist *list, const char *text, size_t length) {
    const uint32_t place[2] = {json_line(list->reading->json), json_column(list->reading->json)};
    long kept = texts_keep(&list->held, (const char *)place, sizeof place);
    if (kept >= 0)
        kept = texts_keep(&list->held, text, strnlen(text, length));
    return kept < 0 ? (int)kept : 0;
}

/* After the ARRAY event of "list". */
static int read_list(struct warninglist *list) {
    struct json_reader *json = list->reading->json;
    enum json_event event;
    list->list = true;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        size_t length;
        const char *text = json_text(json, &length);
        int error = 0;
        if (event == JSON_STRING && list->kind != KIND_UNKNOWN && list->attributes) {
            error = read_entry(list, text, length, json_line(json), json_column(json));
        } else if (event == JSON_STRING) {
            error = hold_entry(list, text, length);
        } else {
            reading_fault(list->reading, json_line(json), json_column(json), "list", NULL, "text is expected here");
            bool nested = event == JSON_OBJECT || event == JSON_ARRAY;
            if (event == JSON_ERROR || (nested && json_skip(json)))
                return -EBADMSG;
        }
        if (error)
            return error;
    }
    return 0;
}

static int read_held(struct warninglist *list) {
    uint32_t place[2];
    for (size_t at = 0; at < list->held.used;) {
        memcpy(place, list->held.text + at, sizeof place);
        const char *text = list->held.text + at + sizeof place + 1;
        size_t length = strlen(text);
        int error = read_entry(list, text, length, place[0], place[1]);
        if (error)
            return error;
        at += sizeof place + 1 + length + 1;
    }
    return 0;
}

/* After the ARRAY event of "matching_attributes". */
static int read_attributes(struct warninglist *list) {
    struct json_reader *json = list->reading->json;
    enum json_event event;
    list->attributes = true;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        const char *text = json_text(json, NULL);
        bool nested = event == JSON_OBJECT || event == JSON_ARRAY;
        if (event == JSON_ERROR || (nested && json_skip(json)))
            return -EBADMSG;
        if (event != JSON_STRING)
            continue;
        bool name = strncmp(text, "domain", 6) == 0 || strncmp(text, "hostname", 8) == 0;
        list->names |= name;
        list->addresses |= strncmp(text, "ip-", 3) == 0 || strcmp(text, "domain|ip") == 0;
    }
    return 0;
}

static int read_member(struct warninglist *list, const char *key) {
    struct json_reader *json = list->reading->json;
    enum json_event event = json_next(json);
    if (event == JSON_ERROR)
        return -EBADMSG;
    if (strcmp(key, "type") == 0 && event == JSON_STRING) {
        list->kind = kind_from(json_text(json, NULL));
        list->line = json_line(json);
        list->column = json_column(json);
    } else if (strcmp(key, "matching_attributes") == 0 && event == JSON_ARRAY) {
        return read_attributes(list);
    } else if (strcmp(key, "list") == 0 && event == JSON_ARRAY) {
        return read_list(list);
    }
    bool nested = event == JSON_OBJECT || event == JSON_ARRAY;
    return nested && json_skip(json) ? -EBADMSG : 0;
}

static int read_document(struct warninglist *list) {
    struct reading *reading = list->reading;
    enum json_event event = json_next(reading->json);
    if (event != JSON_OBJECT && event != JSON_ERROR)
        return reading_refuse(reading, 1, 1, "not a warninglist: no object");
    while (event != JSON_ERROR && (event = json_next(reading->json)) == JSON_KEY) {
        char key[32];
        strncpy(key, json_text(reading->json, NULL), sizeof key - 1);
        key[sizeof key - 1] = '\0';
        int error = read_member(list, key);
        if (error)
            return error == -EBADMSG ? reading_json_error(reading) : error;
    }
    if (event != JSON_OBJECT_END || json_next(reading->json) != JSON_END)
        return reading_json_error(reading);
    if (!list->list)
        return reading_refuse(reading, 1, 1, "no \"list\": not a warninglist");
    if (list->kind == KIND_UNKNOWN)
        list->kind = KIND_STRING; /* MISP's own default */
    if (list->kind == KIND_OTHER) /* an operator who counts on it must hear that it protects nothing */
        reading_fault(reading, list->line, list->column, "type", NULL,
                      "a list of substrings or regular expressions: its entries are skipped");
    return read_held(list);
}

int format_warninglist(struct reading *reading) {
    struct warninglist list = {.reading = reading};
    int error = read_document(&list);
    texts_done(&list.held);
    return error;
}
