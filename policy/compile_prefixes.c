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

/* One family of a table. */
struct table {
    struct prefix_key *sorted; /* distinct prefixes */
    struct prefix_node *node;  /* in the same order; parents by that order's numbers from 1 */
    size_t count;
    uint32_t *place;       /* where each goes in Eytzinger order */
    struct growing *rules; /* struct prefix_rule: of both families */
};

static int compare_keys(struct prefix_key a, struct prefix_key b) {
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return (a.low > b.low) - (a.low < b.low);
}

static bool same_prefix(const struct entry *a, const struct entry *b) {
    return compare_keys(a->item.key, b->item.key) == 0 && a->item.length == b->item.length;
}

/* IPv4 first; then by address, length, zone, confidence (highest first), age. */
static int by_precedence(const void *a, const void *b) {
    const struct entry *x = a;
    const struct entry *y = b;
    bool v4 = prefix_key_is_v4(x->item.key, x->item.length);
    if (v4 != prefix_key_is_v4(y->item.key, y->item.length))
        return v4 ? -1 : 1;
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
static int add_joined(struct ruleset *rules, struct table *table, struct cold *cold, const struct entry *entry, size_t count) {
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
    if (growing_add(table->rules, &rule, 1) != 0)
        return -ENOMEM;
    return cold_add(cold, record, length);
}

static uint32_t expires_of(const struct entry *entry) {
    return entry->item.expires != 0 ? entry->item.expires : UINT32_MAX;
}

/* Entries [0, count) are of one prefix and zone: adds the first, and behind it, for the time when it has expired, the first that
 * outlives it, and so on. Counted once. */
static int add_place(struct ruleset *rules, struct table *table, struct cold *cold, const struct entry *entry, size_t count) {
    int rc = 0;
    ((struct snapshot_zone *)rules->zones.data)[entry->zone].rules++;
    for (size_t i = 0, next; i < count && rc == 0; i = next) {
        rc = add_joined(rules, table, cold, entry + i, count - i);
        for (next = i + 1; next < count && expires_of(&entry[next]) <= expires_of(&entry[i]); next++)
            ;
    }
    return rc;
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
        size_t first_rule = table->rules->count;
        for (size_t j = i, end; with_rules && j < next; j = end) {
            for (end = j + 1; end < next && entries[end].zone == entries[j].zone; end++)
                ;
            int rc = add_place(rules, table, cold, entries + j, end - j);
            if (rc != 0)
                return rc;
        }
        table->sorted[table->count] = entries[i].item.key;
        table->node[table->count++] = (struct prefix_node){
            .parent = (uint32_t)parent,
            .rules = (uint32_t)first_rule,
            .rule_count = (uint32_t)(table->rules->count - first_rule) & 0xffffff,
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

static int write_table(struct table *table, struct output *output, enum section keys, bool v4) {
    size_t nodes = table->count > 0 ? table->count + 1 : 0;
    struct prefix_key *key = calloc(nodes + 1, sizeof *key);
    struct prefix_node *node = calloc(nodes + 1, sizeof *node);
    uint32_t *v4_key = calloc(nodes + 1, sizeof *v4_key);
    int rc = key != NULL && node != NULL && v4_key != NULL ? 0 : -ENOMEM;
    if (rc == 0) {
        for (size_t i = 1; i <= table->count; i++) {
            uint32_t place = table->place[i];
            key[place] = table->sorted[i - 1];
            v4_key[place] = (uint32_t)key[place].low;
            node[place] = table->node[i - 1];
            node[place].parent = table->place[node[place].parent]; /* place[0] is 0: none */
        }
        if (v4)
            output_section(output, keys, v4_key, nodes * sizeof *v4_key);
        else
            output_section(output, keys, key, nodes * sizeof *key);
        output_section(output, keys + 1, node, nodes * sizeof *node);
    }
    free(key);
    free(node);
    free(v4_key);
    return rc;
}

/* The entries of one family: its two sections. */
static int compile_family(struct ruleset *rules, struct growing *all_rules, const struct entry *entries, size_t count,
                          struct output *output, struct cold *cold, enum section keys, bool v4, bool with_rules) {
    struct table table = {
        .sorted = malloc((count + 1) * sizeof *table.sorted),
        .node = malloc((count + 1) * sizeof *table.node),
        .place = calloc(count + 1, sizeof *table.place),
        .rules = all_rules,
    };
    int rc = table.sorted != NULL && table.node != NULL && table.place != NULL ? 0 : -ENOMEM;
    if (rc == 0)
        rc = make_nodes(rules, &table, cold, entries, count, with_rules);
    if (rc == 0) {
        size_t next = 0;
        place_nodes(&table, 1, &next);
        rc = write_table(&table, output, keys, v4);
    }
    free(table.sorted);
    free(table.node);
    free(table.place);
    return rc;
}

int compile_prefixes(struct ruleset *rules, struct prefix_items *items, struct output *output, struct cold *cold,
                     enum section first, uint64_t *rule_count) {
    bool with_rules = first != SECTION_SHIELDS;
    struct growing all_rules = {.element_size = sizeof(struct prefix_rule)};
    struct entry *entries = sorted_entries(rules, items, with_rules);
    if (entries == NULL)
        return -ENOMEM;
    size_t v4 = 0;
    while (v4 < items->count && prefix_key_is_v4(entries[v4].item.key, entries[v4].item.length))
        v4++;
    int rc = compile_family(rules, &all_rules, entries, v4, output, cold, first + TABLE_V4_KEYS, true, with_rules);
    if (rc == 0)
        rc = compile_family(rules, &all_rules, entries + v4, items->count - v4, output, cold, first + TABLE_V6_KEYS, false,
                            with_rules);
    if (rc == 0)
        output_section(output, first + TABLE_RULES, all_rules.data, all_rules.count * sizeof(struct prefix_rule));
    for (size_t i = 0; i < items->count; i++) /* heirs aren't counted */
        *rule_count += i == 0 || !same_prefix(&entries[i - 1], &entries[i]) || entries[i - 1].zone != entries[i].zone;
    free(entries);
    free(all_rules.data);
    return rc != 0 ? rc : output->error;
}
