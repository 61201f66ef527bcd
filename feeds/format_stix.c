/* feeds/format_stix.c: STIX 2.1 (and 2.0) bundles, and the pages of a TAXII 2.1 collection (FORMATS.md sections 7 and 8).
 *
 * What an indicator's family is stands in other objects, before or after it, and a later version of an object replaces an earlier
 * one. So what is needed of indicators, relationships and named things is held until the document ends; nothing else is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feeds/reading.h"
#include "feeds/stix_pattern.h"
#include "feeds/texts.h"
#include "feeds/when.h"

enum {
    TYPE,
    ID,
    PATTERN,
    PATTERN_TYPE,
    MODIFIED,
    VALID_FROM,
    VALID_UNTIL,
    CONFIDENCE,
    REVOKED,
    NAME,
    INDICATOR_TYPES,
    LABELS,
    REFERENCES,
    RELATION,
    SOURCE,
    TARGET,
    OBJECTS,
    MORE,
    NEXT,
    KEY_COUNT
};

static const struct record_key keys[KEY_COUNT] = {
    [TYPE] = RECORD_KEY("type"),
    [ID] = RECORD_KEY("id"),
    [PATTERN] = RECORD_KEY("pattern"),
    [PATTERN_TYPE] = RECORD_KEY("pattern_type"),
    [MODIFIED] = RECORD_KEY("modified"),
    [VALID_FROM] = RECORD_KEY("valid_from"),
    [VALID_UNTIL] = RECORD_KEY("valid_until"),
    [CONFIDENCE] = RECORD_KEY("confidence"),
    [REVOKED] = RECORD_KEY("revoked"),
    [NAME] = RECORD_KEY("name"),
    [INDICATOR_TYPES] = RECORD_KEY("indicator_types"),
    [LABELS] = RECORD_KEY("labels"),
    [REFERENCES] = RECORD_KEY("external_references"),
    [RELATION] = RECORD_KEY("relationship_type"),
    [SOURCE] = RECORD_KEY("source_ref"),
    [TARGET] = RECORD_KEY("target_ref"),
    [OBJECTS] = RECORD_KEY("objects"),
    [MORE] = RECORD_KEY("more"),
    [NEXT] = RECORD_KEY("next"),
};

static const struct record_key reference_keys[] = {RECORD_KEY("url")};

enum kind { KIND_MENTIONED, KIND_INDICATOR, KIND_NAMED, KIND_RELATION };

/* An object that was met, or mentioned by a relationship. Texts are offsets; 0 is none. */
struct object {
    size_t id;
    int64_t modified;
    uint32_t nanoseconds; /* of `modified` */
    enum kind kind;
    bool revoked;
    bool harmless; /* indicator_types: benign, anonymization */
    uint8_t confidence;
    uint8_t rank;            /* KIND_NAMED: how surely it names a malware family */
    uint32_t best;           /* KIND_INDICATOR: index of the named object that it indicates, 0 none */
    uint32_t source, target; /* KIND_RELATION: indexes */
    uint32_t line, column;
    uint32_t index; /* in its array, for the path */
    size_t pattern, name, label, reference;
    int64_t valid_from, valid_until;
};

/* What is known of all documents so far. */
struct format_memory {
    struct texts texts;
    struct object *objects; /* [0] is none */
    size_t count, size;
    uint32_t *slots; /* open addressing by id; 0 is free; size is a power of two */
    size_t slot_count;
    uint64_t key; /* of the hash */
};

struct stix {
    struct reading *reading;
    struct format_memory *memory;
    bool known; /* a bundle, an envelope or an object was met */
    bool other; /* something else was */
    const struct object *emitting;
};

/* Keyed, because ids are whatever a feed says: colliding ones would keep the job thread from all other feeds. */
static uint64_t hash(uint64_t key, const char *text) {
    size_t left = strlen(text);
    uint64_t value = key ^ left;
    while (left > 0) {
        uint64_t word = 0;
        size_t taken = left < sizeof word ? left : sizeof word;
        memcpy(&word, text, taken);
        __extension__ unsigned __int128 product = (unsigned __int128)(value ^ word) * (key | 1);
        value = (uint64_t)product ^ (uint64_t)(product >> 64);
        text += taken;
        left -= taken;
    }
    return value ^ value >> 29;
}

static uint32_t *slot_of(const struct format_memory *memory, const char *id) {
    size_t at = hash(memory->key, id) & (memory->slot_count - 1);
    while (memory->slots[at] && strcmp(memory->texts.text + memory->objects[memory->slots[at]].id, id) != 0)
        at = (at + 1) & (memory->slot_count - 1);
    return &memory->slots[at];
}

static int grow(struct format_memory *memory) {
    if (memory->count + 1 >= memory->size) {
        size_t size = memory->size ? 2 * memory->size : 256;
        struct object *grown = realloc(memory->objects, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        memory->objects = grown;
        memory->size = size;
    }
    if (2 * (memory->count + 1) < memory->slot_count)
        return 0;
    uint32_t *slots = calloc(2 * memory->size, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    free(memory->slots);
    memory->slots = slots;
    memory->slot_count = 2 * memory->size;
    for (size_t i = 1; i < memory->count; i++) {
        if (memory->objects[i].id)
            *slot_of(memory, memory->texts.text + memory->objects[i].id) = (uint32_t)i;
    }
    return 0;
}

/* The index of the object with the id (NULL: a new one that nothing can point to), or -errno. */
static long object_of(struct format_memory *memory, const char *id) {
    int error = memory->count + 1 < UINT32_MAX ? grow(memory) : -EMSGSIZE;
    if (error)
        return error;
    uint32_t *slot = id ? slot_of(memory, id) : NULL;
    if (slot && *slot)
        return (long)*slot;
    long kept = id ? texts_keep(&memory->texts, id, strlen(id)) : 0;
    if (kept < 0)
        return kept;
    memory->objects[memory->count] = (struct object){.id = (size_t)kept};
    if (slot)
        *slot = (uint32_t)memory->count;
    return (long)memory->count++;
}

static int keep(struct stix *stix, const char *text, size_t *offset) {
    *offset = 0;
    long kept = text ? texts_keep(&stix->memory->texts, text, strlen(text)) : 0;
    if (kept < 0)
        return (int)kept;
    *offset = (size_t)kept;
    return 0;
}

static void reject(struct stix *stix, const struct record *record, unsigned field, uint32_t index, const char *message) {
    const struct record_field *value = &record->fields[field];
    bool there = value->line != 0;
    snprintf(stix->reading->path, sizeof stix->reading->path, "objects[%u]", index);
    reading_fault(stix->reading, there ? value->line : record->line, there ? value->column : record->column, stix->reading->path,
                  keys[field].name, "%s", message);
}

/* Versions are told apart to the nanosecond; fractions come with any number of digits. */
static uint32_t fraction_of(const char *text) {
    const char *at = strchr(text, '.');
    uint32_t value = 0, digits = 0;
    for (at = at ? at + 1 : ""; *at >= '0' && *at <= '9' && digits < 9; at++, digits++)
        value = value * 10 + (uint32_t)(*at - '0');
    for (; digits < 9; digits++)
        value *= 10;
    return value;
}

/* Words for what an indicator is, not of what; the second list makes it no reason to block. */
static const char *const type_words[] = {
    "malicious-activity", "anomalous-activity", "attribution", "compromised", "unknown", "benign", "anonymization", NULL};
enum { FIRST_HARMLESS = 5 };

/* The types and labels of an indicator: the field keeps the first word that may be a family, and `harmless` is put behind it. */
static int read_words(struct stix *stix, struct record *record, unsigned field, bool *harmless) {
    struct json_reader *json = stix->reading->json;
    enum json_event event;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        bool nested = event == JSON_OBJECT || event == JSON_ARRAY;
        size_t length, i = 0;
        const char *text = json_text(json, &length);
        if (event == JSON_ERROR || (nested && json_skip(json)))
            return -EBADMSG;
        if (event != JSON_STRING)
            continue;
        while (type_words[i] && strcmp(type_words[i], text) != 0)
            i++;
        *harmless |= type_words[i] && i >= FIRST_HARMLESS;
        int error = !type_words[i] && record->fields[field].length == 0 ? record_append(record, field, "", text, length) : 0;
        if (error)
            return error;
    }
    return 0;
}

static int read_references(struct stix *stix, struct record *record) {
    static const struct record_reader how = {.keys = reference_keys, .count = 1};
    struct json_reader *json = stix->reading->json;
    struct record *inner = &stix->reading->record; /* free: objects are read into records of their own */
    enum json_event event;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        size_t length;
        if (event == JSON_ERROR || (event == JSON_ARRAY && json_skip(json)))
            return -EBADMSG;
        if (event != JSON_OBJECT)
            continue;
        int error = record_read(inner, json, &how);
        const char *url = error ? NULL : record_text(inner, 0, &length);
        if (url && record->fields[REFERENCES].length == 0)
            error = record_append(record, REFERENCES, "", url, length);
        if (error)
            return error;
    }
    return 0;
}

/* What an indicator may indicate, by how surely its name is that of a malware family. */
static const char *const ranked_types[] = {"threat-actor", "campaign", "intrusion-set", "tool", "malware"};

static uint8_t rank_of(const char *type) {
    for (size_t i = 0; i < sizeof ranked_types / sizeof ranked_types[0]; i++) {
        if (strcmp(ranked_types[i], type) == 0)
            return (uint8_t)(i + 1);
    }
    return 0;
}

/* One object of a bundle while it is read. */
struct level {
    struct stix *stix;
    struct record record;
    bool harmless;
    bool strange; /* a key that neither STIX objects nor envelopes need: an error of a TAXII server, perhaps */
};

static int read_indicator(struct stix *stix, const struct level *level, uint32_t index, struct object *object) {
    const struct record *record = &level->record;
    const char *text = record_text(record, PATTERN_TYPE, NULL);
    char *end = NULL;
    size_t length;
    object->kind = KIND_INDICATOR;
    object->harmless = level->harmless;
    object->confidence = RULE_CONFIDENCE_UNSET;
    object->line = record->fields[PATTERN].line;
    object->column = record->fields[PATTERN].column;
    if (object->revoked)
        return 0;
    if (text && strcmp(text, "stix") != 0) {
        object->kind = KIND_MENTIONED;
        reading_ignored(stix->reading, "a pattern that isn't STIX's");
        return 0;
    }
    const char *pattern = record_text(record, PATTERN, NULL);
    const char *until = record_text(record, VALID_UNTIL, &length);
    const char *confidence = record_text(record, CONFIDENCE, NULL);
    long number = confidence ? strtol(confidence, &end, 10) : 0;
    unsigned wrong = KEY_COUNT;
    if (!pattern)
        wrong = PATTERN;
    else if (until && when_parse(until, length, false, &object->valid_until) != 0)
        wrong = VALID_UNTIL;
    else if (confidence && (*end || number < 0 || number > 100))
        wrong = CONFIDENCE;
    if (wrong != KEY_COUNT) {
        object->kind = KIND_MENTIONED;
        reject(stix, record, wrong, index,
               wrong == PATTERN      ? "missing"
               : wrong == CONFIDENCE ? "not a number from 0 to 100"
                                     : "not a time");
        return 0;
    }
    if (confidence)
        object->confidence = (uint8_t)number;
    const char *from = record_text(record, VALID_FROM, &length);
    if (from)
        when_parse(from, length, false, &object->valid_from);
    int error = keep(stix, pattern, &object->pattern);
    if (!error)
        error = keep(stix, record_text(record, LABELS, NULL), &object->label);
    return error ? error : keep(stix, record_text(record, REFERENCES, NULL), &object->reference);
}

static int read_relation(struct stix *stix, const struct record *record, struct object *object) {
    const char *type = record_text(record, RELATION, NULL);
    const char *source = record_text(record, SOURCE, NULL), *target = record_text(record, TARGET, NULL);
    if (!type || strcmp(type, "indicates") != 0 || !source || !target)
        return 0;
    long from = object_of(stix->memory, source), to = from < 0 ? from : object_of(stix->memory, target);
    if (to < 0)
        return (int)to;
    object->kind = KIND_RELATION;
    object->source = (uint32_t)from;
    object->target = (uint32_t)to;
    return 0;
}

/* True if the object of that index is known in a later version than *object already. */
static bool is_outdated(const struct stix *stix, long index, const struct object *object) {
    const struct object *known = &stix->memory->objects[index];
    if (known->kind == KIND_MENTIONED)
        return false;
    return known->modified != object->modified ? known->modified > object->modified : known->nanoseconds > object->nanoseconds;
}

/* An object was read whole: keeps what is needed of it. */
static int take_object(struct stix *stix, const struct level *level, uint32_t index) {
    const struct record *record = &level->record;
    const char *type = record_text(record, TYPE, NULL), *id = record_text(record, ID, NULL);
    struct object object = {.index = index, .line = record->line, .column = record->column};
    size_t length;
    if (!type)
        return 0;
    object.rank = rank_of(type);
    bool indicator = strcmp(type, "indicator") == 0, relation = strcmp(type, "relationship") == 0;
    if (!indicator && !relation && object.rank == 0)
        return 0;
    const char *modified = record_text(record, MODIFIED, &length);
    if (modified && when_parse(modified, length, false, &object.modified) == 0)
        object.nanoseconds = fraction_of(modified);
    object.revoked = record_bool(record, REVOKED) == 1;
    long at = object_of(stix->memory, id);
    if (at < 0 || is_outdated(stix, at, &object))
        return at < 0 ? (int)at : 0;
    object.id = stix->memory->objects[at].id;
    int error = indicator || object.rank ? keep(stix, record_text(record, NAME, NULL), &object.name) : 0;
    if (!error && indicator)
        error = read_indicator(stix, level, index, &object);
    else if (!error && relation)
        error = read_relation(stix, record, &object);
    else
        object.kind = KIND_NAMED;
    if (!error)
        stix->memory->objects[at] = object; /* by index: the array may have moved */
    return error;
}

static int read_value(struct stix *stix, enum json_event event, uint32_t index);

/* After an ARRAY event: objects, or bundles. */
static int read_array(struct stix *stix) {
    struct json_reader *json = stix->reading->json;
    enum json_event event;
    for (uint32_t index = 0; (event = json_next(json)) != JSON_ARRAY_END; index++) {
        int error = read_value(stix, event, index);
        if (error)
            return error;
    }
    return 0;
}

static int read_nested(void *context, struct record *record, unsigned field, enum json_event event) {
    struct level *level = context;
    struct stix *stix = level->stix;
    if (event != JSON_ARRAY)
        return json_skip(stix->reading->json) ? -EBADMSG : 0;
    switch (field) {
    case OBJECTS:
        stix->known = true;
        return read_array(stix);
    case INDICATOR_TYPES:
    case LABELS:
        return read_words(stix, record, field, &level->harmless);
    case REFERENCES:
        return read_references(stix, record);
    default:
        return json_skip(stix->reading->json) ? -EBADMSG : 0;
    }
}

static void note_strange(void *context, const char *key, size_t length) {
    struct level *level = context;
    level->strange = true;
}

/* An envelope of TAXII: the only objects without a type. */
static void take_envelope(struct stix *stix, const struct level *level) {
    const struct format_sink *sink = stix->reading->sink;
    const struct record *record = &level->record;
    if (record->fields[OBJECTS].type == JSON_END && level->strange)
        return; /* such as {"title": "...", "http_status": "404"} */
    stix->known = true;
    if (sink->page)
        sink->page(sink->context, record_bool(record, MORE) == 1, record_text(record, NEXT, NULL));
}

static int read_value(struct stix *stix, enum json_event event, uint32_t index) {
    struct reading *reading = stix->reading;
    struct level level = {.stix = stix};
    const struct record_reader how = {
        .keys = keys, .count = KEY_COUNT, .context = &level, .nested = read_nested, .unknown = note_strange};
    if (event == JSON_ARRAY)
        return read_array(stix);
    if (event == JSON_ERROR)
        return -EBADMSG;
    stix->other = true;
    if (event != JSON_OBJECT) {
        snprintf(reading->path, sizeof reading->path, "objects[%u]", index);
        reading_fault(reading, json_line(reading->json), json_column(reading->json), reading->path, NULL,
                      "an object is expected here");
        return 0;
    }
    int error = record_read(&level.record, reading->json, &how);
    if (!error && level.record.fields[TYPE].type == JSON_STRING) {
        stix->known = true;
        error = take_object(stix, &level, index);
    } else if (!error && reading->format == FORMAT_TAXII) {
        take_envelope(stix, &level);
    }
    record_done(&level.record);
    return error;
}

/* Tells each indicator the best name among the things that it indicates. */
static void relate(struct stix *stix) {
    for (size_t i = 1; i < stix->memory->count; i++) {
        const struct object *relation = &stix->memory->objects[i];
        if (relation->kind != KIND_RELATION || relation->revoked)
            continue;
        struct object *source = &stix->memory->objects[relation->source];
        const struct object *target = &stix->memory->objects[relation->target];
        bool better = source->best == 0 || stix->memory->objects[source->best].rank < target->rank;
        if (target->kind == KIND_NAMED && target->name && better)
            source->best = relation->target;
    }
}

static const char *text_at(const struct stix *stix, size_t offset) {
    return offset ? stix->memory->texts.text + offset : NULL;
}

static void describe(struct stix *stix, const struct object *object, struct indicator *indicator) {
    struct reading *reading = stix->reading;
    struct rule *rule = &indicator->rule;
    reading_blank(indicator);
    snprintf(reading->path, sizeof reading->path, "objects[%u]", object->index);
    indicator->path = reading->path;
    indicator->id = text_at(stix, object->id);
    indicator->column = object->column;
    indicator->revoked = object->revoked;
    rule->line = object->line;
    rule->confidence = object->confidence;
    rule->first_seen = object->valid_from;
    rule->last_seen = object->modified;
    rule->expires = object->valid_until;
    const char *family = text_at(stix, object->best ? stix->memory->objects[object->best].name : 0);
    family = family ? family : text_at(stix, object->label);
    family = family ? family : text_at(stix, object->name);
    rule->family = reading_family(reading, family, family ? strlen(family) : 0);
    const char *reference = text_at(stix, object->reference);
    rule->reference = reading_reference(reading, reference, reference ? strlen(reference) : 0);
}

static int emit_value(void *context, enum stix_kind kind, const char *value, size_t length) {
    struct stix *stix = context;
    struct indicator indicator;
    describe(stix, stix->emitting, &indicator);
    int result = reading_emit_value(stix->reading, &indicator, kind == STIX_URL ? READING_URL : READING_PLAIN, value, length,
                                    keys[PATTERN].name);
    return result < 0 ? result : 0;
}

static int emit_indicator(struct stix *stix, const struct object *object) {
    struct indicator indicator;
    if (object->revoked) {
        reading_ignored(stix->reading, "revoked");
        describe(stix, object, &indicator);
        return indicator.id ? reading_emit(stix->reading, &indicator) : 0;
    }
    if (object->harmless) {
        reading_ignored(stix->reading, "benign, or a way to hide (indicator_types)");
        return 0;
    }
    stix->emitting = object;
    int result = stix_pattern_read(stix->memory->texts.text + object->pattern, emit_value, stix);
    if (result == STIX_ELSEWHERE)
        reading_ignored(stix->reading, "a kind of indicator that DNS doesn't see");
    else if (result == STIX_COMPLEX)
        reading_ignored(stix->reading, "a pattern of more than alternatives");
    else if (result == STIX_MALFORMED) {
        snprintf(stix->reading->path, sizeof stix->reading->path, "objects[%u]", object->index);
        reading_fault(stix->reading, object->line, object->column, stix->reading->path, keys[PATTERN].name, "not a pattern: %.80s",
                      stix->memory->texts.text + object->pattern);
    }
    return result < 0 ? result : 0;
}

/* Offset 0 and index 0 are "none". */
static int prepare(struct format_memory *memory) {
    if (memory->count > 0)
        return 0;
    if (getentropy(&memory->key, sizeof memory->key) != 0)
        return -errno;
    long none = texts_keep(&memory->texts, "", 0), zero = none < 0 ? none : object_of(memory, NULL);
    return zero < 0 ? (int)zero : 0;
}

static int read_document(struct stix *stix) {
    struct reading *reading = stix->reading;
    int error = prepare(stix->memory);
    if (error)
        return error;
    enum json_event event = json_next(reading->json);
    error = event == JSON_OBJECT || event == JSON_ARRAY || event == JSON_ERROR
                ? read_value(stix, event, 0)
                : reading_refuse(reading, 1, 1, "neither an object nor an array");
    if (!error && json_next(reading->json) != JSON_END)
        error = -EBADMSG;
    if (error)
        return error == -EBADMSG && reading->why[0] == '\0' ? reading_json_error(reading) : error;
    return !stix->known && stix->other ? reading_refuse(reading, 1, 1, "no STIX object in it") : 0;
}

static int emit_all(struct stix *stix) {
    int error = 0;
    relate(stix);
    for (size_t i = 1; !error && i < stix->memory->count; i++) {
        if (stix->memory->objects[i].kind == KIND_INDICATOR)
            error = emit_indicator(stix, &stix->memory->objects[i]);
    }
    return error;
}

static void forget(struct format_memory *memory) {
    texts_done(&memory->texts);
    free(memory->objects);
    free(memory->slots);
    *memory = (struct format_memory){0};
}

struct format_memory *format_memory_new(void) {
    return calloc(1, sizeof(struct format_memory));
}

void format_memory_free(struct format_memory *memory) {
    if (memory)
        forget(memory);
    free(memory);
}

bool format_memory_holds(const struct format_memory *memory) {
    for (size_t i = 1; i < memory->count; i++) {
        if (memory->objects[i].kind == KIND_INDICATOR)
            return true;
    }
    return false;
}

/* Moves the named things into a memory of their own. */
static int keep_names(struct format_memory *memory) {
    struct format_memory names = {0};
    int error = prepare(&names);
    for (size_t i = 1; !error && i < memory->count; i++) {
        struct object object = memory->objects[i];
        if (object.kind != KIND_NAMED || !object.name || !object.id || object.revoked)
            continue;
        const char *name = memory->texts.text + object.name;
        long at = object_of(&names, memory->texts.text + object.id),
             kept = at < 0 ? at : texts_keep(&names.texts, name, strlen(name));
        object.id = at < 0 ? 0 : names.objects[at].id;
        object.name = kept < 0 ? 0 : (size_t)kept;
        if (kept >= 0)
            names.objects[at] = object;
        error = kept < 0 ? (int)kept : 0;
    }
    forget(memory);
    *memory = names;
    return error;
}

int format_memory_flush(struct format_memory *memory, const struct format_options *options, const struct format_sink *sink) {
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return -ENOMEM;
    reading->format = FORMAT_TAXII;
    reading->options = options;
    reading->sink = sink;
    struct stix stix = {.reading = reading, .memory = memory};
    int error = emit_all(&stix);
    free(reading);
    int forgotten = keep_names(memory);
    return error ? error : forgotten;
}

static void save_text(const char *text, FILE *file) {
    fputc('"', file);
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
            fprintf(file, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, file);
    }
    fputc('"', file);
}

int format_memory_save(const struct format_memory *memory, FILE *file) {
    const char *comma = "";
    fputs("{\"type\":\"bundle\",\"objects\":[", file);
    for (size_t i = 1; i < memory->count; i++) {
        const struct object *object = &memory->objects[i];
        char modified[WHEN_TEXT_MAX];
        if (object->kind != KIND_NAMED || !object->name || !object->id)
            continue;
        when_format(object->modified, modified);
        fprintf(file, "%s\n{\"type\":\"%s\",\"modified\":\"%.19s.%09uZ\",\"id\":", comma, ranked_types[object->rank - 1], modified,
                object->nanoseconds);
        save_text(memory->texts.text + object->id, file);
        fputs(",\"name\":", file);
        save_text(memory->texts.text + object->name, file);
        fputc('}', file);
        comma = ",";
    }
    fputs("]}\n", file);
    return ferror(file) || fflush(file) != 0 ? -EIO : 0;
}

int format_stix(struct reading *reading) {
    struct format_memory own = {0};
    struct stix stix = {.reading = reading, .memory = reading->options->memory ? reading->options->memory : &own};
    int error = read_document(&stix);
    if (!error && stix.memory == &own)
        error = emit_all(&stix);
    forget(&own);
    return error;
}

int format_taxii(struct reading *reading) {
    return format_stix(reading);
}
