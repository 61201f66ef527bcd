/* feeds/pending.c: a growing list of indicators and one piece of memory for their texts. */
#include "feeds/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Texts are offsets into the list's memory, which moves as it grows; 0 is "none" (the memory begins with a NUL). */
struct pending_entry {
    size_t value, id, family, reference, path;
    const char *field;
    int64_t first_seen, last_seen, expires;
    uint32_t line, column;
    enum reading_value how;
    uint8_t confidence;
    bool not_to_ids, revoked;
};

void pending_done(struct pending *pending) {
    free(pending->entries);
    texts_done(&pending->texts);
    *pending = (struct pending){0};
}

static int keep(struct pending *pending, const char *text, size_t *offset) {
    *offset = 0;
    if (!text || !*text)
        return 0;
    if (pending->texts.used == 0) {
        long none = texts_keep(&pending->texts, "", 0);
        if (none < 0)
            return (int)none;
    }
    long kept = texts_keep(&pending->texts, text, strlen(text));
    if (kept < 0)
        return (int)kept;
    *offset = (size_t)kept;
    return 0;
}

int pending_add(struct pending *pending, const struct pending_item *item) {
    if (pending->count == pending->size) {
        size_t size = pending->size ? 2 * pending->size : 64;
        struct pending_entry *grown = realloc(pending->entries, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        pending->entries = grown;
        pending->size = size;
    }
    struct pending_entry entry = {
        .field = item->field,
        .first_seen = item->first_seen,
        .last_seen = item->last_seen,
        .expires = item->expires,
        .line = item->line,
        .column = item->column,
        .how = item->how,
        .confidence = item->confidence,
        .not_to_ids = item->not_to_ids,
        .revoked = item->revoked,
    };
    int error = keep(pending, item->value, &entry.value);
    if (!error)
        error = keep(pending, item->id, &entry.id);
    if (!error)
        error = keep(pending, item->family, &entry.family);
    if (!error)
        error = keep(pending, item->reference, &entry.reference);
    if (!error)
        error = keep(pending, item->path, &entry.path);
    if (!error)
        pending->entries[pending->count++] = entry;
    return error;
}

void pending_revoke(struct pending *pending, size_t first) {
    for (size_t i = first; i < pending->count; i++)
        pending->entries[i].revoked = true;
}

static const char *text_at(const struct pending *pending, size_t offset, const char *otherwise) {
    return offset ? pending->texts.text + offset : otherwise;
}

static int hand_on(struct pending *pending, struct reading *reading, const struct pending_entry *entry,
                   const struct pending_common *common) {
    struct indicator indicator;
    reading_blank(&indicator);
    struct rule *rule = &indicator.rule;
    indicator.id = text_at(pending, entry->id, NULL);
    rule->line = entry->line;
    indicator.column = entry->column;
    indicator.path = text_at(pending, entry->path, NULL);
    if (entry->revoked) {
        indicator.revoked = true;
        return indicator.id ? reading_emit(reading, &indicator) : 0;
    }
    const char *family = text_at(pending, entry->family, common->family);
    rule->family = reading_family(reading, family, family ? strlen(family) : 0);
    const char *reference = text_at(pending, entry->reference, common->reference);
    rule->reference = reading_reference(reading, reference, reference ? strlen(reference) : 0);
    rule->confidence = entry->confidence != RULE_CONFIDENCE_UNSET ? entry->confidence : common->confidence;
    rule->first_seen = entry->first_seen ? entry->first_seen : common->first_seen;
    rule->last_seen = entry->last_seen;
    rule->expires = entry->expires;
    indicator.not_to_ids = entry->not_to_ids;
    const char *value = text_at(pending, entry->value, "");
    return reading_emit_value(reading, &indicator, entry->how, value, strlen(value), entry->field);
}

int pending_flush(struct pending *pending, struct reading *reading, const struct pending_common *common, uint64_t *good) {
    int result = 0;
    for (size_t i = 0; i < pending->count && result >= 0; i++) {
        result = hand_on(pending, reading, &pending->entries[i], common);
        if (good && result == 0)
            (*good)++;
    }
    pending->count = 0;
    pending->texts.used = 0;
    return result < 0 ? result : 0;
}
