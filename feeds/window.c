/* feeds/window.c: see window.h. One reason to exist: absence from a window is not removal. */
#include "feeds/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t key; /* 0: free */
    int64_t version;
    bool older; /* the old copy has a later version: the fresh one is passed over */
};

struct table {
    struct slot *slots;
    size_t room, count;
};

static uint64_t mix(uint64_t hash, const void *data, size_t length) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    return hash ^ (hash >> 31);
}

static uint64_t key_of(const struct indicator *indicator) {
    const struct rule *rule = &indicator->rule;
    uint64_t hash = 0xCBF29CE484222325u;
    if (indicator->id != NULL) {
        hash = mix(hash, indicator->id, strlen(indicator->id));
    } else {
        uint8_t kind[2] = {(uint8_t)rule->trigger, (uint8_t)rule->match};
        hash = mix(hash, kind, sizeof kind);
        if (rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER)
            hash = mix(hash, rule->name.wire, rule->name.length);
        else
            hash = mix(mix(hash, rule->prefix.ip.bytes, 16), &rule->prefix.length, 1);
    }
    return hash == 0 ? 1 : hash;
}

static struct slot *find(const struct table *table, uint64_t key) {
    size_t at = (key * 0x9E3779B97F4A7C15u) & (table->room - 1);
    while (table->slots[at].key != 0 && table->slots[at].key != key)
        at = (at + 1) & (table->room - 1);
    return &table->slots[at];
}

static int table_init(struct table *table, uint64_t count) {
    table->room = 1024;
    while (table->room < count * 2 + 1)
        table->room *= 2;
    table->slots = calloc(table->room, sizeof *table->slots);
    return table->slots == NULL ? -ENOMEM : 0;
}

/* Calls back for every rule of a store; 0, or the first error. */
static int each(const char *path, int (*take)(void *context, struct store_record *record), void *context) {
    struct store_reader *reader;
    struct store_record record;
    int item = store_open(&reader, path), error = 0;
    if (item != 0)
        return item;
    while (error == 0 && (item = store_next(reader, &record)) > STORE_END)
        if (item == STORE_RULE)
            error = take(context, &record);
    store_close(reader);
    return error != 0 ? error : item < 0 ? item : 0;
}

struct merge {
    struct table fresh;
    struct store_writer *writer;
    bool versions;
    int64_t keep_since;
};

static int learn(void *context, struct store_record *record) {
    struct merge *merge = context;
    struct slot *slot = find(&merge->fresh, key_of(&record->indicator));
    slot->key = key_of(&record->indicator);
    if (record->indicator.rule.last_seen > slot->version)
        slot->version = record->indicator.rule.last_seen;
    return 0;
}

static int keep_old(void *context, struct store_record *record) {
    struct merge *merge = context;
    const struct rule *rule = &record->indicator.rule;
    struct slot *slot = find(&merge->fresh, key_of(&record->indicator));
    if (slot->key != 0) {
        if (!merge->versions || rule->last_seen <= slot->version)
            return 0;
        slot->older = true;
    } else if (record->carried < merge->keep_since && rule->last_seen < merge->keep_since) {
        return 0;
    }
    return store_put(merge->writer, &record->indicator, record->carried);
}

static int put_fresh(void *context, struct store_record *record) {
    struct merge *merge = context;
    const struct slot *slot = find(&merge->fresh, key_of(&record->indicator));
    if (record->indicator.revoked || (merge->versions && (slot->older || record->indicator.rule.last_seen < slot->version)))
        return 0;
    return store_put(merge->writer, &record->indicator, record->carried);
}

static int put_faults(struct store_writer *writer, const char *path) {
    struct store_reader *reader;
    struct store_record record;
    int item = store_open(&reader, path), error = 0;
    if (item != 0)
        return item;
    store_put_ignored(writer, store_counts(reader).ignored);
    if (store_head(reader) != NULL)
        error = store_put_head(writer, store_head(reader));
    while (error == 0 && (item = store_next(reader, &record)) > STORE_END)
        if (item == STORE_FAULT)
            error = store_put_fault(writer, record.line, record.column, record.path, record.message);
    store_close(reader);
    return error;
}

int window_merge(const char *old, const char *fresh, const char *out, bool versions, int64_t keep_since) {
    struct merge merge = {.versions = versions, .keep_since = keep_since};
    struct store_reader *reader;
    int error = store_open(&reader, fresh);
    if (error != 0)
        return error;
    error = table_init(&merge.fresh, store_counts(reader).rules);
    store_close(reader);
    if (error == 0)
        error = each(fresh, learn, &merge);
    if (error == 0)
        error = store_create(&merge.writer, out);
    if (error == 0 && old != NULL) {
        error = each(old, keep_old, &merge);
        if (error == -ENOENT || error == -EBADMSG) /* no old copy, or one that is of use only up to its damage */
            error = 0;
    }
    if (error == 0)
        error = each(fresh, put_fresh, &merge);
    if (error == 0)
        error = put_faults(merge.writer, fresh);
    free(merge.fresh.slots);
    if (error != 0) {
        store_abandon(merge.writer);
        return error;
    }
    return store_commit(merge.writer, true);
}
