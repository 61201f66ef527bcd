/* feeds/format_otx.c: AlienVault OTX: a page of pulses, a page of one pulse's indicators, or a pulse alone (FORMATS.md section 9).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "feeds/pending.h"
#include "feeds/when.h"

/* Of a pulse, and of a lone indicator, which has "indicator". */
enum { P_ID, P_ADVERSARY, P_FAMILIES, P_INDICATORS, P_MORE, P_INDICATOR, P_TYPE, P_CREATED, P_EXPIRATION, P_ACTIVE, P_COUNT };

static const struct record_key pulse_keys[P_COUNT] = {
    [P_ID] = RECORD_KEY("id"),
    [P_ADVERSARY] = RECORD_KEY("adversary"),
    [P_FAMILIES] = RECORD_KEY("malware_families"),
    [P_INDICATORS] = RECORD_KEY("indicators"),
    [P_MORE] = RECORD_KEY("more_indicators"),
    [P_INDICATOR] = RECORD_KEY("indicator"),
    [P_TYPE] = RECORD_KEY("type"),
    [P_CREATED] = RECORD_KEY("created"),
    [P_EXPIRATION] = RECORD_KEY("expiration"),
    [P_ACTIVE] = RECORD_KEY("is_active"),
};

enum { F_NAME, F_ID, F_COUNT };

static const struct record_key family_keys[F_COUNT] = {
    [F_NAME] = RECORD_KEY("display_name"),
    [F_ID] = RECORD_KEY("id"),
};

struct otx {
    struct reading *reading;
    struct record indicator; /* scratch beside the pulse's record, which is being read meanwhile */
    struct record family;
    struct pending pending;
    char where[64];   /* "results[3]" */
    char next[2048];  /* URL of the next page */
    bool more;        /* there is one */
    bool known;       /* a key of the format was met */
    uint64_t records; /* pulses and lone indicators that could be read */
};

/* "results[3].indicators[7]" as it stands in the document. */
static const char *path_of(struct otx *otx, bool nested, uint64_t index) {
    char *path = otx->reading->path;
    size_t size = sizeof otx->reading->path;
    if (nested)
        snprintf(path, size, "%s%sindicators[%llu]", otx->where, otx->where[0] ? "." : "", (unsigned long long)index);
    else
        snprintf(path, size, "%s", otx->where);
    return path;
}

static bool kind_of(const char *type, enum reading_value *how) {
    static const char *const plain[] = {"domain", "hostname", "IPv4", "IPv6", "CIDR"};
    *how = strcmp(type, "URL") == 0 || strcmp(type, "URI") == 0 ? READING_URL : READING_PLAIN;
    bool known = *how == READING_URL;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        known |= strcmp(type, plain[i]) == 0;
    return known;
}

static void reject(struct otx *otx, const struct record *record, unsigned field, const char *path, const char *message) {
    const struct record_field *value = &record->fields[field];
    bool there = value->line != 0;
    reading_fault(otx->reading, there ? value->line : record->line, there ? value->column : record->column, path,
                  pulse_keys[field].name, "%s", message);
}

/* One indicator into the list, unless DNS can't see it or it holds no longer. */
static int add_indicator(struct otx *otx, const struct record *record, const char *path) {
    struct pending_item item = {.field = pulse_keys[P_INDICATOR].name, .path = path, .confidence = RULE_CONFIDENCE_UNSET};
    size_t length;
    const char *type = record_text(record, P_TYPE, NULL);
    item.value = record_text(record, P_INDICATOR, NULL);
    item.id = record_text(record, P_ID, NULL);
    if (!type || !item.value) {
        reject(otx, record, type ? P_INDICATOR : P_TYPE, path, "missing");
        return 0;
    }
    if (!kind_of(type, &item.how)) {
        reading_ignored(otx->reading, "a kind of indicator that DNS doesn't see");
        return 0;
    }
    item.revoked = record_bool(record, P_ACTIVE) == 0;
    if (item.revoked)
        reading_ignored(otx->reading, "not active");
    const char *created = record_text(record, P_CREATED, &length);
    if (created)
        when_parse(created, length, false, &item.first_seen);
    const char *expiration = record_text(record, P_EXPIRATION, &length);
    if (expiration && when_parse(expiration, length, false, &item.expires) != 0) {
        reject(otx, record, P_EXPIRATION, path, "not a time");
        return 0;
    }
    item.line = record->fields[P_INDICATOR].line;
    item.column = record->fields[P_INDICATOR].column;
    return pending_add(&otx->pending, &item);
}

static int read_indicators(struct otx *otx) {
    static const struct record_reader how = {.keys = pulse_keys, .count = P_COUNT};
    struct json_reader *json = otx->reading->json;
    for (uint64_t index = 0;; index++) {
        enum json_event event = json_next(json);
        if (event == JSON_ARRAY_END)
            return 0;
        const char *path = path_of(otx, true, index);
        int error = event == JSON_ERROR ? -EBADMSG : 0;
        if (event == JSON_OBJECT)
            error = record_read(&otx->indicator, json, &how);
        else if (!error)
            reading_fault(otx->reading, json_line(json), json_column(json), path, NULL, "an indicator is expected here");
        if (!error && event == JSON_ARRAY && json_skip(json))
            error = -EBADMSG;
        if (!error && event == JSON_OBJECT)
            error = add_indicator(otx, &otx->indicator, path);
        if (error)
            return error;
    }
}

/* Strings, or objects with a display_name; the first one counts. */
static int read_families(struct otx *otx, struct record *record) {
    static const struct record_reader how = {.keys = family_keys, .count = F_COUNT};
    struct json_reader *json = otx->reading->json;
    enum json_event event;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        size_t length = 0;
        const char *text = NULL;
        int error = event == JSON_ERROR || (event == JSON_ARRAY && json_skip(json)) ? -EBADMSG : 0;
        if (event == JSON_STRING)
            text = json_text(json, &length);
        if (event == JSON_OBJECT && (error = record_read(&otx->family, json, &how)) == 0) {
            text = record_text(&otx->family, F_NAME, &length);
            text = text ? text : record_text(&otx->family, F_ID, &length);
        }
        if (!error && text && length > 0 && record->fields[P_FAMILIES].length == 0)
            error = record_append(record, P_FAMILIES, "", text, length);
        if (error)
            return error;
    }
    return 0;
}

static int read_nested(void *context, struct record *record, unsigned field, enum json_event event) {
    struct otx *otx = context;
    if (event == JSON_ARRAY && field == P_INDICATORS)
        return read_indicators(otx);
    if (event == JSON_ARRAY && field == P_FAMILIES)
        return read_families(otx, record);
    return json_skip(otx->reading->json) ? -EBADMSG : 0;
}

/* A pulse's record was read: its indicators can be handed on. */
static int finish_pulse(struct otx *otx) {
    struct reading *reading = otx->reading;
    const struct record *record = &reading->record;
    const char *id = record_text(record, P_ID, NULL);
    char site[160] = "";
    if (id && record->fields[P_INDICATORS].type == JSON_ARRAY)
        snprintf(site, sizeof site, "https://otx.alienvault.com/pulse/%.64s", id);
    const char *family = record_text(record, P_FAMILIES, NULL);
    const struct pending_common common = {.family = family ? family : record_text(record, P_ADVERSARY, NULL),
                                          .reference = site[0] ? site : NULL,
                                          .confidence = RULE_CONFIDENCE_UNSET};
    if (record->fields[P_INDICATORS].type == JSON_ARRAY) {
        otx->known = true;
        otx->records++;
        if (record_bool(record, P_MORE) == 1)
            reject(otx, record, P_MORE, otx->where, "the pulse has more indicators than the page holds");
    } else if (record_text(record, P_INDICATOR, NULL)) {
        otx->records++;
        int error = add_indicator(otx, record, otx->where);
        if (error)
            return error;
    } else {
        reading_fault(reading, record->line, record->column, otx->where, NULL, "neither a pulse nor an indicator");
    }
    return pending_flush(&otx->pending, reading, &common, NULL);
}

static int read_results(struct otx *otx) {
    const struct record_reader how = {.keys = pulse_keys, .count = P_COUNT, .context = otx, .nested = read_nested};
    struct reading *reading = otx->reading;
    uint64_t index = 0;
    otx->known = true;
    for (;; index++) {
        enum json_event event = json_next(reading->json);
        if (event == JSON_ARRAY_END)
            break;
        snprintf(otx->where, sizeof otx->where, "results[%llu]", (unsigned long long)index);
        int error = event == JSON_ERROR || (event == JSON_ARRAY && json_skip(reading->json)) ? -EBADMSG : 0;
        if (event == JSON_OBJECT && (error = record_read(&reading->record, reading->json, &how)) == 0)
            error = finish_pulse(otx);
        if (error)
            return error;
    }
    return index > 0 && otx->records == 0 ? reading_refuse(reading, 1, 1, "no pulse and no indicator in it") : 0;
}

/* A key of the outermost object. A pulse alone is read as if its keys were those of a record. */
static int read_member(struct otx *otx, struct record *pulse, const char *key) {
    struct reading *reading = otx->reading;
    struct json_reader *json = reading->json;
    bool is_results = strcmp(key, "results") == 0, is_next = strcmp(key, "next") == 0;
    unsigned field = 0;
    while (field < P_COUNT && strcmp(pulse_keys[field].name, key) != 0)
        field++;
    enum json_event event = json_next(json);
    size_t length;
    const char *text = json_text(json, &length);
    if (event == JSON_ERROR)
        return -EBADMSG;
    if (is_results && event == JSON_ARRAY)
        return read_results(otx);
    if (is_next && event == JSON_STRING && length > 0 && length < sizeof otx->next) {
        memcpy(otx->next, text, length + 1);
        otx->more = true;
    }
    bool scalar = event != JSON_OBJECT && event != JSON_ARRAY;
    if (field == P_COUNT || is_results)
        return scalar || json_skip(json) == 0 ? 0 : -EBADMSG;
    pulse->fields[field] = (struct record_field){.type = event, .line = json_line(json), .column = json_column(json)};
    if (!scalar)
        return read_nested(otx, pulse, field, event);
    return event == JSON_STRING || event == JSON_NUMBER ? record_append(pulse, field, "", text, length) : 0;
}

static int read_page(struct otx *otx) {
    struct reading *reading = otx->reading;
    struct json_reader *json = reading->json;
    struct record pulse = {.repeated = -1};
    int error = 0;
    enum json_event event = json_next(json);
    if (event != JSON_OBJECT && event != JSON_ERROR)
        return reading_refuse(reading, 1, 1, "not a page of OTX: no object");
    while (!error && (event = json_next(json)) == JSON_KEY) {
        char key[32];
        snprintf(key, sizeof key, "%s", json_text(json, NULL));
        error = read_member(otx, &pulse, key);
    }
    if (!error && event == JSON_ERROR)
        error = -EBADMSG;
    if (!error && pulse.fields[P_INDICATORS].type == JSON_ARRAY) {
        record_done(&reading->record);
        reading->record = pulse;
        pulse = (struct record){0};
        otx->where[0] = '\0';
        error = finish_pulse(otx);
    }
    record_done(&pulse);
    if (!error && !otx->known)
        return reading_refuse(reading, 1, 1, "neither \"results\" nor \"indicators\": not a page of OTX");
    if (!error && json_next(json) != JSON_END)
        error = -EBADMSG;
    if (!error && reading->sink->page)
        reading->sink->page(reading->sink->context, otx->more, otx->more ? otx->next : NULL);
    return error == -EBADMSG && reading->why[0] == '\0' ? reading_json_error(reading) : error;
}

int format_otx(struct reading *reading) {
    struct otx otx = {.reading = reading};
    int error = read_page(&otx);
    pending_done(&otx.pending);
    record_done(&otx.indicator);
    record_done(&otx.family);
    return error;
}
