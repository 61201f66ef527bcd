/* config/walk.c: walks a document's objects along the table: unknown, repeated and misplaced keys, defaults, sections, elements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/build.h"

enum { SECTION_MAX = 64, NAMES_MAX = 64 };

/* The default of a row as a node: a scalar is taken as it stands, an array is read. The caller frees. */
static struct node *fallback_node(const struct key *key, struct faults *faults) {
    return node_read(key->fallback, strlen(key->fallback), faults);
}

/* Gives every row directly in the section, and in sections within it, its default. Elements' rows are left to their element. */
static void apply_defaults(struct build *build, const char *section, char *base) {
    for (size_t i = 0; i < config_table_size; i++) {
        const struct key *key = &config_table[i];
        size_t length = strlen(section);
        if (!key->fallback || strncmp(key->path, section, length) != 0 || strchr(key->path + length, '['))
            continue;
        struct node *node = fallback_node(key, build->faults);
        if (node)
            build_value(build, key, node, base);
        node_free(node);
    }
}

static void unknown_key(struct build *build, const char *section, const struct node *node) {
    const char *names[NAMES_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < config_table_size && count < NAMES_MAX; i++) {
        const char *name = table_name_in(&config_table[i], section);
        if (name)
            names[count++] = name;
    }
    names[count] = NULL;
    const char *near = config_did_you_mean(node->key, names);
    if (near)
        fault_key(build->faults, node, "unknown key; did you mean \"%s\"?", near);
    else
        fault_key(build->faults, node, "unknown key");
}

static void walk_object(struct build *build, const char *section, const struct node *object, char *base);

/* An empty element of what the row is an array of: what isn't zero there until its keys say otherwise. */
static void prepare_element(const struct key *key, char *base) {
    if (key->size != sizeof(struct zone_config))
        return;
    const struct zone_config empty = {.action = CONFIG_UNSET,
                                      .ttl = CONFIG_UNSET,
                                      .match = CONFIG_UNSET,
                                      .mode = CONFIG_UNSET,
                                      .confidence = CONFIG_UNSET,
                                      .min_confidence = CONFIG_UNSET,
                                      .max_age = CONFIG_UNSET,
                                      .window = CONFIG_UNSET,
                                      .max_rules = CONFIG_UNSET,
                                      .max_grow = CONFIG_UNSET};
    *(struct zone_config *)(void *)base = empty;
}

static void walk_elements(struct build *build, const struct key *key, const struct node *array, char *base) {
    char section[SECTION_MAX];
    if (array->kind != JSON_ARRAY) {
        fault_at(build->faults, array, "an array of objects is wanted here: [ {...}, ... ]");
        return;
    }
    char *elements = calloc(array->count + 1, key->size);
    if (!elements) {
        build->faults->no_memory = true;
        return;
    }
    memcpy(base + key->offset, &elements, sizeof elements);
    memcpy(base + key->count, &array->count, sizeof array->count);
    snprintf(section, sizeof section, "%s[].", key->path);
    for (const struct node *node = array->child; node; node = node->next) {
        char *element = elements + node->index * key->size;
        prepare_element(key, element);
        apply_defaults(build, section, element);
        if (node->kind == JSON_OBJECT)
            walk_object(build, section, node, element);
        else
            fault_at(build->faults, node, "an object is wanted here: {...}");
    }
}

static void walk_section(struct build *build, const struct key *key, const struct node *node, char *base) {
    char section[SECTION_MAX];
    bool on = node->kind != JSON_NULL;
    if (on && node->kind != JSON_OBJECT) {
        fault_at(build->faults, node,
                 key->nullable ? "an object {...}, or null, is wanted here" : "an object is wanted here: {...}");
        return;
    }
    if (!on && !key->nullable) {
        fault_at(build->faults, node, "can't be switched off with null: an object is wanted here: {...}");
        return;
    }
    if (key->flag)
        memcpy(base + key->flag, &on, sizeof on);
    snprintf(section, sizeof section, "%s.", key->path);
    if (on)
        walk_object(build, section, node, base);
}

static const struct node *earlier(const struct node *object, const struct node *node) {
    const struct node *first = node_get(object, node->key);
    return first == node ? NULL : first;
}

static void walk_object(struct build *build, const char *section, const struct node *object, char *base) {
    for (const struct node *node = object->child; node; node = node->next) {
        if (node->key[0] == '_')
            continue;
        const struct key *key = table_find(section, node->key);
        const struct node *first = earlier(object, node);
        if (!key)
            unknown_key(build, section, node);
        else if (first)
            fault_key(build->faults, node, "given twice; the first is in line %u", first->key_line);
        else if (key->type == TYPE_OBJECT)
            walk_section(build, key, node, base);
        else if (key->type == TYPE_OBJECTS)
            walk_elements(build, key, node, base);
        else
            build_value(build, key, node, base);
    }
}

void build_config(struct build *build, const struct node *root) {
    char *base = (char *)build->config;
    build->config->history.enabled = true;
    apply_defaults(build, "", base);
    if (root->kind == JSON_OBJECT)
        walk_object(build, "", root, base);
    else
        fault_at(build->faults, root, "a configuration is one JSON object: { \"listen\": ..., \"zones\": ... }");
}
