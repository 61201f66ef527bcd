/* feeds/format_threatfox.c: abuse.ch ThreatFox: the export (a map of arrays by id) and the API's answer (FORMATS.md section 1). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/walk.h"

/* Where export and API name a field differently, the API's name follows. */
enum {
    VALUE,
    VALUE_API,
    TYPE,
    THREAT,
    MALWARE,
    PRINTABLE,
    FIRST,
    FIRST_API,
    LAST,
    LAST_API,
    CONFIDENCE,
    COMPROMISED,
    REFERENCE,
    ID,
    KEY_COUNT
};

static const struct record_key keys[KEY_COUNT] = {
    [VALUE] = RECORD_KEY("ioc_value"),
    [VALUE_API] = RECORD_KEY("ioc"),
    [TYPE] = RECORD_KEY("ioc_type"),
    [THREAT] = RECORD_KEY("threat_type"),
    [MALWARE] = RECORD_KEY("malware"),
    [PRINTABLE] = RECORD_KEY("malware_printable"),
    [FIRST] = RECORD_KEY("first_seen_utc"),
    [FIRST_API] = RECORD_KEY("first_seen"),
    [LAST] = RECORD_KEY("last_seen_utc"),
    [LAST_API] = RECORD_KEY("last_seen"),
    [CONFIDENCE] = RECORD_KEY("confidence_level"),
    [COMPROMISED] = RECORD_KEY("is_compromised"),
    [REFERENCE] = RECORD_KEY("reference"),
    [ID] = RECORD_KEY("id"),
};

struct threatfox {
    struct reading *reading;
    char status[64]; /* query_status of the API; empty for an export */
};

/* True if the record's type is one that DNS can see; says what it is otherwise. */
static bool kind_of(const char *type, enum reading_value *how, const char **ignored) {
    if (strcmp(type, "domain") == 0)
        *how = READING_PLAIN;
    else if (strcmp(type, "ip:port") == 0)
        *how = READING_WITH_PORT;
    else if (strcmp(type, "url") == 0)
        *how = READING_URL;
    else if (strstr(type, "_hash"))
        *ignored = "a file's hash";
    else
        *ignored = "a kind of indicator that DNS doesn't see";
    return *ignored == NULL;
}

static int reject(struct reading *reading, unsigned field, const char *message) {
    const struct record_field *value = &reading->record.fields[field];
    bool there = value->line != 0;
    reading_fault(reading, there ? value->line : reading->record.line, there ? value->column : reading->record.column,
                  reading->path, keys[field].name, "%s", message);
    return 1;
}

static int read_record(void *context, const char *id) {
    struct threatfox *feed = context;
    struct reading *reading = feed->reading;
    const struct record *record = &reading->record;
    size_t length, text_length;
    enum reading_value how;
    const char *ignored = NULL;
    const char *type = record_text(record, TYPE, NULL);
    unsigned value_field = record_text(record, VALUE, NULL) ? VALUE : VALUE_API;
    const char *value = record_text(record, value_field, &length);
    if (!type || !value)
        return reject(reading, type ? VALUE : TYPE, "missing");
    if (!kind_of(type, &how, &ignored)) {
        reading_ignored(reading, ignored);
        return 0;
    }
    struct indicator indicator;
    walk_begin(reading, value_field, &indicator);
    const char *confidence = record_text(record, CONFIDENCE, NULL);
    if (confidence) {
        char *end;
        long number = strtol(confidence, &end, 10);
        if (*end || number < 0 || number > 100)
            return reject(reading, CONFIDENCE, "not a number from 0 to 100");
        indicator.rule.confidence = (uint8_t)number;
    }
    indicator.rule.first_seen = walk_time(record, FIRST, FIRST_API, false);
    indicator.rule.last_seen = walk_time(record, LAST, LAST_API, false);
    indicator.threat_type = record_text(record, THREAT, NULL);
    indicator.compromised = record_bool(record, COMPROMISED) == 1;
    indicator.family_id = record_text(record, MALWARE, NULL);
    const char *family = record_text(record, PRINTABLE, &text_length);
    if (!family)
        family = record_text(record, MALWARE, &text_length);
    indicator.rule.family = reading_family(reading, family, family ? text_length : 0);
    const char *own_id = record_text(record, ID, NULL);
    indicator.id = own_id ? own_id : id;
    char site[160] = "";
    if (indicator.id)
        snprintf(site, sizeof site, "https://threatfox.abuse.ch/ioc/%.64s/", indicator.id);
    const char *reference = record_text(record, REFERENCE, &text_length);
    if (!reference) {
        reference = site;
        text_length = strlen(site);
    }
    indicator.rule.reference = reading_reference(reading, reference, text_length);
    return reading_emit_value(reading, &indicator, how, value, length, keys[value_field].name);
}

/* The API's envelope; its `data` is a text when there is nothing to say. */
static bool read_scalar(void *context, const char *key, const char *text) {
    struct threatfox *feed = context;
    if (strcmp(key, "query_status") == 0 && text)
        snprintf(feed->status, sizeof feed->status, "%s", text);
    else if (strcmp(key, "data") != 0)
        return false;
    return true;
}

int format_threatfox(struct reading *reading) {
    struct threatfox feed = {.reading = reading};
    const struct walk walk = {
        .fields = {.keys = keys, .count = KEY_COUNT}, .context = &feed, .record = read_record, .scalar = read_scalar};
    int error = walk_records(reading, &walk);
    if (error)
        return error;
    if (strcmp(feed.status, "no_result") == 0)
        return -ENODATA;
    if (feed.status[0] != '\0' && strcmp(feed.status, "ok") != 0)
        return reading_refuse(reading, 1, 1, "ThreatFox answers query_status \"%s\"", feed.status);
    return 0;
}
