/* feeds/sundew_rule.c: reads one rule strictly: an unknown key, a wrong type or a value out of range costs the rule, and all its
 * faults are told. */
#include "feeds/sundew_rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "feeds/local_data.h"
#include "feeds/normalise.h"
#include "feeds/when.h"

/* The triggers come first: their index is told apart from the rest by TRIGGER_KEYS. */
enum {
    DOMAIN,
    IP,
    CLIENT,
    NAMESERVER,
    NAMESERVER_IP,
    TRIGGER_KEYS,
    MATCH = TRIGGER_KEYS,
    ACTION,
    TTL,
    TARGET,
    RECORDS,
    FAMILY,
    CONFIDENCE,
    FIRST_SEEN,
    LAST_SEEN,
    EXPIRES,
    REFERENCE,
    DESCRIPTION,
    COMMENT,
    KEY_COUNT
};

enum { PLAIN_DIGITS = 9 /* of a number that is read without ado */ };

static const struct record_key keys[] = {
    [DOMAIN] = RECORD_KEY("domain"),
    [IP] = RECORD_KEY("ip"),
    [CLIENT] = RECORD_KEY("client"),
    [NAMESERVER] = RECORD_KEY("nameserver"),
    [NAMESERVER_IP] = RECORD_KEY("nameserver_ip"),
    [MATCH] = RECORD_KEY("match"),
    [ACTION] = RECORD_KEY("action"),
    [TTL] = RECORD_KEY("ttl"),
    [TARGET] = RECORD_KEY("target"),
    [RECORDS] = RECORD_KEY("records"),
    [FAMILY] = RECORD_KEY("family"),
    [CONFIDENCE] = RECORD_KEY("confidence"),
    [FIRST_SEEN] = RECORD_KEY("first_seen"),
    [LAST_SEEN] = RECORD_KEY("last_seen"),
    [EXPIRES] = RECORD_KEY("expires"),
    [REFERENCE] = RECORD_KEY("reference"),
    [DESCRIPTION] = RECORD_KEY("description"),
    [COMMENT] = RECORD_KEY("comment"),
};

static const enum trigger triggers[TRIGGER_KEYS] = {
    [DOMAIN] = TRIGGER_DOMAIN,
    [IP] = TRIGGER_IP,
    [CLIENT] = TRIGGER_CLIENT,
    [NAMESERVER] = TRIGGER_NAMESERVER,
    [NAMESERVER_IP] = TRIGGER_NAMESERVER_IP,
};

enum { PLACES_MAX = 64 }; /* records of a rule whose places are known for faults; those of further ones are told by number alone */

struct place {
    uint32_t line, column;
};

/* One rule being read. */
struct rule_reader {
    struct reading *reading;
    const struct format_head *head;
    const char *path;
    bool faulty;
    int error; /* other than a fault: no memory */
    struct indicator *indicator;
    char *target;         /* NAME_TEXT_MAX + 2 octets */
    struct place *places; /* PLACES_MAX: of its records */
    unsigned placed;
};

static void fault_at(struct rule_reader *r, uint32_t line, uint32_t column, const char *field, const char *message) {
    r->faulty = true;
    reading_fault(r->reading, line, column, r->path, field, "%s", message);
}

static void fault(struct rule_reader *r, unsigned field, const char *message) {
    const struct record_field *value = &r->reading->record.fields[field];
    fault_at(r, value->line, value->column, keys[field].name, message);
}

static void unknown_key(void *context, const char *key, size_t length) {
    struct rule_reader *r = context;
    if (length > 0 && key[0] == '_')
        return;
    const char *names[KEY_COUNT + 1] = {0};
    for (unsigned i = 0; i < KEY_COUNT; i++)
        names[i] = keys[i].name;
    const char *near = config_did_you_mean(key, names);
    r->faulty = true;
    reading_fault(r->reading, json_line(r->reading->json), json_column(r->reading->json), r->path, key,
                  near ? "unknown key \"%.60s\"; did you mean \"%s\"?" : "unknown key \"%.60s\"", key, near);
}

static bool given(const struct rule_reader *r, unsigned field) {
    enum json_event type = r->reading->record.fields[field].type;
    return type != JSON_END && type != JSON_NULL;
}

/* The text of a field that must be a string; NULL if it isn't given or was faulty. */
static const char *text_of(struct rule_reader *r, unsigned field, size_t *length) {
    if (!given(r, field))
        return NULL;
    const struct record *record = &r->reading->record;
    const char *text = record->fields[field].type == JSON_STRING ? record_text(record, field, length) : NULL;
    if (!text)
        fault(r, field,
              record->fields[field].type != JSON_STRING ? "text is expected here"
              : record->fields[field].length == 0       ? "must not be empty"
                                                        : "must not hold a NUL");
    return text;
}

int sundew_integer(const struct record *record, unsigned field, int64_t low, int64_t high, int64_t *value) {
    size_t length;
    const char *text = record_text(record, field, &length);
    if (record->fields[field].type != JSON_NUMBER || !text)
        return -EINVAL;
    const char *at = text;
    char *end;
    long long number = 0;
    for (; length <= PLAIN_DIGITS && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (*at - '0');
    errno = 0;
    if (at == text || *at) {
        number = strtoll(text, &end, 10);
        at = end;
    }
    if (errno || *at || number < low || number > high)
        return -EINVAL;
    *value = number;
    return 0;
}

int sundew_ttl(const struct record *record, unsigned field, int64_t *ttl, const char **why) {
    const char *text = record_text(record, field, NULL);
    *why = "must be seconds from 0 to 2147483647, or \"max\"";
    if (record->fields[field].type == JSON_STRING && text) {
        int64_t seconds = RULE_TTL_MAX;
        if (strcmp(text, "max") != 0 && (config_duration(text, &seconds) != 0 || seconds < 0 || seconds > RULE_TTL_MAX))
            return -EINVAL;
        *ttl = seconds;
        return 0;
    }
    return sundew_integer(record, field, 0, RULE_TTL_MAX, ttl);
}

/* A name or an address as the rule's trigger, and what "*." or "." in front say of its match. */
static void set_value(struct rule *rule, enum trigger trigger, const struct value *value) {
    rule->trigger = trigger;
    if (value->kind == VALUE_NAME)
        rule->name = value->name;
    else
        rule->prefix = value->prefix;
    if (value->star)
        rule->match = MATCH_BELOW;
    else if (value->dot)
        rule->match = MATCH_SUBTREE;
}

static unsigned how_to_normalise(const struct reading *reading) {
    return NORMALISE_ONE_LABEL | NORMALISE_ESCAPES | (reading->options->refang ? NORMALISE_REFANG : 0u);
}

static void read_trigger(struct rule_reader *r, unsigned field) {
    size_t length;
    const char *text = text_of(r, field, &length), *why;
    struct value value;
    if (!text)
        return;
    bool wants_name = triggers[field] == TRIGGER_DOMAIN || triggers[field] == TRIGGER_NAMESERVER;
    if (normalise(text, length, how_to_normalise(r->reading), &value, &why) != 0)
        fault(r, field, why);
    else if (wants_name && value.kind != VALUE_NAME)
        fault(r, field, field == DOMAIN ? "an address: write \"ip\"" : "an address: write \"nameserver_ip\"");
    else if (!wants_name && value.kind != VALUE_PREFIX)
        fault(r, field, "not an address and not a prefix");
    else
        set_value(&r->indicator->rule, triggers[field], &value);
}

static void read_triggers(struct rule_reader *r) {
    const struct record *record = &r->reading->record;
    unsigned count = 0;
    for (unsigned field = 0; field < TRIGGER_KEYS; field++) {
        if (!given(r, field))
            continue;
        if (++count == 2)
            fault_at(r, record->fields[field].line, record->fields[field].column, keys[field].name,
                     "a second trigger: a rule has one of domain, ip, client, nameserver and nameserver_ip");
        if (count == 1)
            read_trigger(r, field);
    }
    if (count == 0)
        fault_at(r, record->line, record->column, NULL,
                 "no trigger: a rule needs one of domain, ip, client, nameserver and nameserver_ip");
}

static void read_match(struct rule_reader *r) {
    size_t length;
    const char *text = text_of(r, MATCH, &length);
    struct rule *rule = &r->indicator->rule;
    enum match match;
    if (!text)
        return;
    if (match_from_name(text, length, &match) != 0)
        fault(r, MATCH, "must be exact, below or subtree");
    else if (!given(r, DOMAIN) && !given(r, NAMESERVER))
        fault(r, MATCH, "only names have a match");
    else if (rule->match != MATCH_COUNT && rule->match != match)
        fault(r, MATCH,
              rule->match == MATCH_BELOW ? "\"*.\" in front of the name means below" : "\".\" in front of the name means subtree");
    else
        rule->match = match;
}

static void read_action(struct rule_reader *r) {
    size_t length;
    const char *text = text_of(r, ACTION, &length), *why;
    struct rule *rule = &r->indicator->rule;
    if (text && action_from_name(text, length, &rule->action) != 0)
        fault(r, ACTION, "must be one of loopback, sinkhole, nxdomain, nodata, refused, drop, truncate, passthru, cname and local");
    int64_t ttl;
    if (given(r, TTL)) {
        if (sundew_ttl(&r->reading->record, TTL, &ttl, &why) != 0)
            fault(r, TTL, why);
        else
            rule->ttl = (uint32_t)ttl;
    }
}

static void read_target(struct rule_reader *r) {
    size_t length;
    const char *text = text_of(r, TARGET, &length), *why;
    struct rule *rule = &r->indicator->rule;
    struct value value;
    if (!text)
        return;
    if (rule->action != ACTION_CNAME && rule->action != RULE_ACTION_UNSET)
        fault(r, TARGET, "only action cname has a target");
    else if (normalise(text, length, NORMALISE_ONE_LABEL | NORMALISE_ESCAPES, &value, &why) != 0)
        fault(r, TARGET, why);
    else if (value.kind != VALUE_NAME || value.dot)
        fault(r, TARGET, "not a name");
    else {
        memcpy(r->target, "*.", 2);
        name_to_text(value.name.wire, r->target + 2);
        rule->target = value.star ? r->target : r->target + 2;
    }
}

/* TTL of a record that states none: as the rule's, else the head's, else the longest there is. */
static uint32_t records_ttl(const struct rule_reader *r) {
    const struct record *record = &r->reading->record;
    int64_t ttl;
    const char *why;
    if (record->fields[TTL].type != JSON_END && sundew_ttl(record, TTL, &ttl, &why) == 0)
        return (uint32_t)ttl;
    return r->head && r->head->ttl >= 0 ? (uint32_t)r->head->ttl : RULE_TTL_MAX;
}

/* One text of `records`, checked later: whether the rule has a TTL of its own may not be known yet. */
static int keep_record(struct rule_reader *r, struct record *record, enum json_event event) {
    size_t length;
    const char *text = json_text(r->reading->json, &length);
    uint32_t line = json_line(r->reading->json), column = json_column(r->reading->json);
    if (event != JSON_STRING) {
        fault_at(r, line, column, "records", "text is expected here");
        return event == JSON_OBJECT || event == JSON_ARRAY ? (json_skip(r->reading->json) ? -EBADMSG : 0) : 0;
    }
    if (length == 0 || memchr(text, '\n', length) || memchr(text, '\0', length)) {
        fault_at(r, line, column, "records", length ? "a record is one line" : "must not be empty");
        return 0;
    }
    if (r->placed < PLACES_MAX)
        r->places[r->placed++] = (struct place){line, column};
    return record_append(record, RECORDS, "\n", text, length);
}

static int read_nested(void *context, struct record *record, unsigned field, enum json_event event) {
    struct rule_reader *r = context;
    struct json_reader *json = r->reading->json;
    if (field != RECORDS || event != JSON_ARRAY)
        return json_skip(json) ? -EBADMSG : 0;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        if (event == JSON_ERROR)
            return -EBADMSG;
        int error = keep_record(r, record, event);
        if (error)
            return error;
    }
    return 0;
}

/* All records in their one spelling, put together in *whole (to be freed). 0, -EINVAL after faults, or -ENOMEM. */
static int respell_records(struct rule_reader *r, const char *lines, char *out, char **whole, size_t *used) {
    const struct record_field *field = &r->reading->record.fields[RECORDS];
    const struct place list = {field->line, field->column};
    uint32_t ttl = records_ttl(r);
    const char *why;
    unsigned number = 0;
    for (const char *at = lines, *end; *at; at = *end ? end + 1 : end, number++) {
        end = strchrnul(at, '\n');
        int error = local_data_read(at, (size_t)(end - at), ttl, NULL, out, &why);
        if (error == -EINVAL) {
            char which[32];
            const struct place *place = number < r->placed ? &r->places[number] : &list;
            snprintf(which, sizeof which, "records[%u]", number);
            fault_at(r, place->line, place->column, which, why);
            continue;
        }
        if (error)
            return error;
        size_t length = strlen(out);
        char *grown = realloc(*whole, *used + length + 2);
        if (!grown)
            return -ENOMEM;
        *whole = grown;
        if (*used)
            grown[(*used)++] = '\n';
        memcpy(grown + *used, out, length + 1);
        *used += length;
    }
    return r->faulty ? -EINVAL : 0;
}

static void read_records(struct rule_reader *r) {
    struct rule *rule = &r->indicator->rule;
    struct record *record = &r->reading->record;
    enum json_event type = record->fields[RECORDS].type;
    bool wanted = rule->action == ACTION_LOCAL || (rule->action == RULE_ACTION_UNSET && r->head && r->head->action == ACTION_LOCAL);
    const char *lines = record_text(record, RECORDS, NULL);
    if (type != JSON_END && type != JSON_NULL && type != JSON_ARRAY && type != JSON_STRING)
        fault(r, RECORDS, "a list of records is expected here");
    else if (!given(r, RECORDS) && wanted)
        fault_at(r, record->line, record->column, "records", "missing: action local answers with them");
    else if (given(r, RECORDS) && rule->action != ACTION_LOCAL && rule->action != RULE_ACTION_UNSET)
        fault(r, RECORDS, "only action local has records");
    else if (given(r, RECORDS) && !lines && !r->faulty)
        fault(r, RECORDS, "must not be empty");
    if (!lines || r->faulty)
        return;
    char *out = malloc(LOCAL_DATA_MAX), *whole = NULL;
    size_t used = 0;
    int error = out ? respell_records(r, lines, out, &whole, &used) : -ENOMEM;
    long offset = error ? error : record_keep(record, whole, used);
    if (offset >= 0)
        record->fields[RECORDS] = (struct record_field){.type = JSON_ARRAY, .offset = (size_t)offset, .length = used};
    else if (offset != -EINVAL)
        r->error = (int)offset;
    free(whole);
    free(out);
}

static void read_time(struct rule_reader *r, unsigned field, int64_t *seconds) {
    const struct record *record = &r->reading->record;
    size_t length;
    enum json_event type = record->fields[field].type;
    if (!given(r, field))
        return;
    const char *text = record_text(record, field, &length);
    if ((type != JSON_STRING && type != JSON_NUMBER) || !text || when_parse(text, length, field == EXPIRES, seconds) != 0)
        fault(r, field, "not a time such as 2026-11-22T17:40:00Z");
}

static void read_confidence(struct rule_reader *r) {
    int64_t confidence;
    if (!given(r, CONFIDENCE))
        return;
    if (sundew_integer(&r->reading->record, CONFIDENCE, 0, 100, &confidence) != 0)
        fault(r, CONFIDENCE, "must be a whole number from 0 to 100");
    else
        r->indicator->rule.confidence = (uint8_t)confidence;
}

static void read_fields(struct rule_reader *r) {
    struct rule *rule = &r->indicator->rule;
    struct record *record = &r->reading->record;
    size_t length;
    if (record->repeated >= 0)
        fault(r, (unsigned)record->repeated, "given twice");
    read_triggers(r);
    read_match(r);
    read_action(r);
    read_target(r);
    read_confidence(r);
    read_time(r, FIRST_SEEN, &rule->first_seen);
    read_time(r, LAST_SEEN, &rule->last_seen);
    read_time(r, EXPIRES, &rule->expires);
    read_records(r);
    const char *family = text_of(r, FAMILY, &length);
    rule->family = reading_family(r->reading, family, family ? length : 0);
    const char *reference = text_of(r, REFERENCE, &length);
    rule->reference = reading_reference(r->reading, reference, reference ? length : 0);
    text_of(r, DESCRIPTION, &length);
    text_of(r, COMMENT, &length);
    rule->records = record_text(record, RECORDS, NULL);
}

int sundew_rule_object(struct reading *reading, const struct format_head *head, const char *path) {
    struct indicator indicator;
    char target[NAME_TEXT_MAX + 2];
    struct place places[PLACES_MAX];
    struct rule_reader r = {
        .reading = reading, .head = head, .path = path, .indicator = &indicator, .target = target, .places = places};
    const struct record_reader how = {
        .keys = keys, .count = KEY_COUNT, .context = &r, .nested = read_nested, .unknown = unknown_key};
    reading_blank(&indicator);
    int error = record_read(&reading->record, reading->json, &how);
    if (error)
        return error;
    read_fields(&r);
    if (r.faulty || r.error)
        return r.error;
    indicator.rule.line = reading->record.line;
    indicator.column = reading->record.column;
    indicator.path = path;
    return reading_emit(reading, &indicator);
}

int sundew_rule_text(struct reading *reading, const char *path) {
    size_t length;
    const char *text = json_text(reading->json, &length), *why;
    struct value value;
    uint32_t line = json_line(reading->json), column = json_column(reading->json);
    if (normalise(text, length, how_to_normalise(reading), &value, &why) != 0) {
        reading_fault(reading, line, column, path, NULL, "%s", why);
        return 0;
    }
    struct indicator indicator;
    reading_blank(&indicator);
    set_value(&indicator.rule, value.kind == VALUE_NAME ? TRIGGER_DOMAIN : TRIGGER_IP, &value);
    indicator.rule.line = line;
    indicator.column = column;
    indicator.path = path;
    return reading_emit(reading, &indicator);
}
