/* policy/compile_prefixes.c: ip rules, client rules and protected prefixes: sorted, duplicates joined, linked to the prefix that
 * covers each, and laid out in Eytzinger order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile_private.h"

/* An item with what its order depends on. */
struct entry {
    struct prefix_item item;
    unsigned zone;
    unsigned confidence;
};

struct table {
    struct prefix_key *sorted; /* distinct prefixes */
    struct prefix_node *node;  /* in the same order; parents by that order's numbers from 1 */
    size_t count;
    uint32_t *place; /* where each goes in Eytzinger order */
    struct growing rules;
};

static int compare_keys(struct prefix_key a, struct prefix_key b) {
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return (a.low > b.low) - (a.low < b.low);
}

static bool same_prefix(const struct entry *a, const struct entry *b) {
    return compare_keys(a->item.key, b->item.key) == 0 && a->item.length == b->item.length;
}

/* By address, length, zone, confidence (highest first), age. */
static int by_precedence(const void *a, const void *b) {
    const struct entry *x = a;
    const struct entry *y = b;
    int order = compare_keys(x->item.key, y->item.key);
    if (order != 0)
        return order;
    if (x->item.length != y->item.length)
        return (int)x->item.length - (int)y->item.length;
    if (x->zone != y->zone)
        return x->zone < y->zone ? -1 : 1;
    if (x->confidence != y->confidence)
        return x->confidence > y->confidence ? -1 : 1;
    return (x->item.cold > y->item.cold) - (x->item.cold < y->item.cold);
}

static struct entry *sorted_entries(const struct ruleset *rules, const struct prefix_items *items, bool with_rules) {
    struct entry *entries = malloc((items->count + 1) * sizeof *entries);
    if (entries == NULL)
        return NULL;
    const struct profile *profiles = (const struct profile *)(const void *)rules->profiles.elements;
    for (size_t i = 0; i < items->count; i++) {
        entries[i] = (struct entry){.item = items->item[i]};
        if (!with_rules)
            continue;
        entries[i].zone = profiles[items->item[i].profile].zone;
        entries[i].confidence = compile_confidence(rules, arena_at(&rules->cold, items->item[i].cold), items->item[i].cold_length);
    }
    qsort(entries, items->count, sizeof *entries, by_precedence);
    return entries;
}

/* Entries [0, count) are of one prefix and zone: adds the first, with all their families. */
static int add_rule(struct ruleset *rules, struct table *table, struct cold *cold, const struct entry *entry, size_t count) {
    struct prefix_rule rule = {.profile = entry->item.profile, .expires = entry->item.expires};
    uint8_t record[COLD_RECORD_MAX];
    size_t length = entry->item.cold_length;
    memcpy(record, arena_at(&rules->cold, entry->item.cold), length);
    for (size_t i = 1; i < count; i++) {
        const struct prefix_item *other = &entry[i].item;
        int rc = compile_join(rules, record, &length, arena_at(&rules->cold, other->cold), other->cold_length);
        if (rc != 0)
            return rc;
    }
    ((struct snapshot_zone *)rules->zones.data)[entry->zone].rules++;
    if (growing_add(&table->rules, &rule, 1) != 0)
        return -ENOMEM;
    return cold_add(cold, record, length);
}

static bool node_covers(const struct table *table, size_t outer, const struct entry *inner) {
    struct prefix a = {.ip = prefix_key_ip(table->sorted[outer]), .length = (uint8_t)table->node[outer].length};
    struct prefix b = {.ip = prefix_key_ip(inner->item.key), .length = inner->item.length};
    return prefix_covers(&a, &b);
}

/* Nodes in sorted order; the parent is found among the ancestors of the one before. */
static int make_nodes(struct ruleset *rules, struct table *table, struct cold *cold, const struct entry *entries, size_t count,
                      bool with_rules) {
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && same_prefix(&entries[i], &entries[next]); next++)
            ;
        size_t parent = table->count;
        while (parent > 0 && !node_covers(table, parent - 1, &entries[i]))
            parent = table->node[parent - 1].parent;
        size_t first_rule = table->rules.count;
        for (size_t j = i, end; with_rules && j < next; j = end) {
            for (end = j + 1; end < next && entries[end].zone == entries[j].zone; end++)
                ;
            int rc = add_rule(rules, table, cold, entries + j, end - j);
            if (rc != 0)
                return rc;
        }
        table->sorted[table->count] = entries[i].item.key;
        table->node[table->count++] = (struct prefix_node){
            .parent = (uint32_t)parent,
            .rules = (uint32_t)first_rule,
            .rule_count = (uint32_t)(table->rules.count - first_rule) & 0xffffff,
            .length = entries[i].item.length,
        };
    }
    return 0;
}

/* In-order walk of the implicit tree gives each sorted element its place. Depth is at most 32. */
static void place_nodes(struct table *table, size_t node, size_t *next) {
    if (node > table->count)
        return;
    place_nodes(table, 2 * node, next);
    table->place[++*next] = (uint32_t)node;
    place_nodes(table, 2 * node + 1, next);
}

static int write_table(struct table *table, struct output *output, enum section keys) {
    struct prefix_key *key = calloc(table->count + 1, sizeof *key);
    struct prefix_node *node = calloc(table->count + 1, sizeof *node);
    if (key != NULL && node != NULL) {
        for (size_t i = 1; i <= table->count; i++) {
            uint32_t place = table->place[i];
            key[place] = table->sorted[i - 1];
            node[place] = table->node[i - 1];
            node[place].parent = table->place[node[place].parent]; /* place[0] is 0: none */
        }
        size_t nodes = table->count > 0 ? table->count + 1 : 0;
        output_section(output, keys, key, nodes * sizeof *key);
        output_section(output, keys + 1, node, nodes * sizeof *node);
        output_section(output, keys + 2, table->rules.data, table->rules.count * sizeof(struct prefix_rule));
    }
    int rc = key != NULL && node != NULL ? 0 : -ENOMEM;
    free(key);
    free(node);
    return rc;
}

int compile_prefixes(struct ruleset *rules, struct prefix_items *items, struct output *output, struct cold *cold, enum section keys,
                     uint64_t *rule_count) {
    bool with_rules = keys != SECTION_SHIELD_KEYS;
    struct table table = {.rules.element_size = sizeof(struct prefix_rule)};
    struct entry *entries = sorted_entries(rules, items, with_rules);
    table.sorted = malloc((items->count + 1) * sizeof *table.sorted);
    table.node = malloc((items->count + 1) * sizeof *table.node);
    table.place = calloc(items->count + 1, sizeof *table.place);
    int rc = entries != NULL && table.sorted != NULL && table.node != NULL && table.place != NULL ? 0 : -ENOMEM;
    if (rc == 0)
        rc = make_nodes(rules, &table, cold, entries, items->count, with_rules);
    if (rc == 0) {
        size_t next = 0;
        place_nodes(&table, 1, &next);
        rc = write_table(&table, output, keys);
    }
    *rule_count += table.rules.count;
    free(entries);
    free(table.sorted);
    free(table.node);
    free(table.place);
    free(table.rules.data);
    return rc != 0 ? rc : output->error;
}
