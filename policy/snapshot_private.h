/* policy/snapshot_private.h: a mapped snapshot as match.c, explain.c and snapshot_rules.c read it. */
#ifndef SUNDEW_POLICY_SNAPSHOT_PRIVATE_H
#define SUNDEW_POLICY_SNAPSHOT_PRIVATE_H

#include <stdatomic.h>

#include "policy/code.h"
#include "policy/hash.h"
#include "policy/snapshot.h"
#include "policy/snapshot_format.h"

struct prefix_table {
    const uint32_t *v4_key;
    const struct prefix_node *v4_node;
    const struct prefix_key *v6_key;
    const struct prefix_node *v6_node;
    const struct prefix_rule *rule;
    uint32_t v4_nodes, v6_nodes; /* node 0 included; 0 for none */
    uint32_t rules;
};

static inline bool prefix_table_is_empty(const struct prefix_table *table) {
    return table->v4_nodes == 0 && table->v6_nodes == 0;
}

struct snapshot {
    /* what a look-up reads, first */
    const struct filter_block *filter;
    uint64_t buckets;
    const uint8_t *bucket_octets;
    uint64_t bucket_size; /* of all buckets */
    const struct profile *profiles;
    uint32_t profile_count;
    uint32_t profile_mask; /* profile_width octets */
    uint32_t profile_width;
    uint32_t spec_count;
    uint64_t under_depth[2];
    uint64_t self_depth[2];
    const struct spec *specs;
    const struct spec_answer *answers;
    const uint8_t *bytes;
    const struct snapshot_zone *zones;
    const struct zone_client *zone_clients;
    struct prefix_table ips, clients, shields;
    struct code code;

    const struct snapshot_header *header;
    const uint8_t *map;
    size_t size;
    int fd; /* of the file, while it is mapped */
    uint32_t zone_count;
    uint32_t generation;
    const struct label *labels;
    uint64_t label_count;
    const uint64_t *cold_index;
    uint64_t cold_index_count;
    const uint8_t *cold;
    uint64_t cold_size;
    const char *strings;
    uint64_t strings_size;
    char id[17];
    _Atomic uint32_t references;
};

/* A bucket, with its bounds checked: reading any of its entries stays within the mapping. */
struct bucket_view {
    const uint8_t *fingerprints, *lengths, *profiles, *data;
    uint32_t count;
    uint32_t first;     /* number of its first entry */
    uint64_t data_size; /* up to the end of all buckets */
    bool wide;
};

/* The bucket at an offset; false if there is none. An empty bucket shows the one behind it, where nobody finds what he looks for.
 */
static inline bool bucket_open(const struct snapshot *snapshot, uint64_t begin, struct bucket_view *view) {
    uint64_t size = snapshot->bucket_size - begin; /* snapshot_open saw to it that no bucket begins behind the end */
    if (size < 9)
        return false;
    const uint8_t *at = snapshot->bucket_octets + begin;
    view->count = at[0];
    view->first = load4(at + 1);
    view->wide = view->count == BUCKET_WIDE;
    uint64_t head = 5;
    if (__builtin_expect(view->wide, 0)) {
        head = 9;
        view->count = load4(at + 5);
    }
    uint64_t count = view->count;
    uint64_t lengths = head + count;
    uint64_t profiles = lengths + (view->wide ? 2 * count : count);
    uint64_t data = profiles + count * snapshot->profile_width;
    if (data > size)
        return false;
    view->fingerprints = at + head;
    view->lengths = at + lengths;
    view->profiles = at + profiles;
    view->data = at + data;
    view->data_size = size - data;
    return true;
}

static inline uint32_t bucket_length(const struct bucket_view *view, uint32_t entry) {
    return view->wide ? (uint32_t)(view->lengths[2 * entry] | view->lengths[2 * entry + 1] << 8) : view->lengths[entry];
}

/* The entry's profile; NULL for a number that means none (a damaged file). */
static inline const struct profile *bucket_profile(const struct snapshot *snapshot, const struct bucket_view *view,
                                                   uint32_t entry) {
    uint32_t number = load4(view->profiles + (size_t)entry * snapshot->profile_width) & snapshot->profile_mask;
    return number < snapshot->profile_count ? &snapshot->profiles[number] : NULL;
}

/* Octets of the entry's name code; 0: it has the name of the entry before it, or is damaged. */
static inline uint32_t bucket_code_length(const struct bucket_view *view, uint32_t entry, const struct profile *profile) {
    uint32_t length = bucket_length(view, entry);
    uint32_t tail = profile != NULL && (profile->flags & PROFILE_EXPIRES) ? 4 : 0;
    return length > tail ? length - tail : 0;
}

/* Adds the octets by pairs, to four sums of 16 bits. */
static inline uint64_t sum_pairs(uint64_t octets) {
    return (octets & 0x00ff00ff00ff00ffu) + (octets >> 8 & 0x00ff00ff00ff00ffu);
}

/* The rare case of the following. */
uint64_t bucket_offset_wide(const struct bucket_view *view, uint32_t entry);

/* Where an entry's data begins; may lie outside data_size in a damaged file. */
static inline uint64_t bucket_offset(const struct bucket_view *view, uint32_t entry) {
    if (__builtin_expect(view->wide, 0))
        return bucket_offset_wide(view, entry);
    uint64_t pairs = 0; /* of up to 254 octets: none of its sums carries over, nor do all together */
    uint32_t i = 0;
    for (; i + 8 <= entry; i += 8)
        pairs += sum_pairs(load8(view->lengths + i));
    /* the octets of the last word that belong to entries before this one */
    if (i < entry)
        pairs += sum_pairs(load8(view->lengths + i) << 8 * (8 - (entry - i)));
    return pairs * 0x0001000100010001u >> 48;
}

static inline uint32_t snapshot_expires(const struct bucket_view *view, uint64_t offset, uint32_t code_length) {
    return offset + code_length + 4 <= view->data_size ? load4(view->data + offset + code_length) : 1;
}

/* The prefixes of a table that cover an address, from the longest on: *node is it while it isn't NULL. */
struct prefix_walk {
    const struct prefix_node *nodes; /* of the address's family */
    const struct prefix_node *node;
};
struct prefix_walk prefix_table_find(const struct prefix_table *table, const struct ip *ip);
static inline void prefix_walk_next(struct prefix_walk *walk) {
    walk->node = walk->node->parent != 0 ? walk->nodes + walk->node->parent : NULL;
}

/* True if the zone holds for this client (NULL: not known, so only zones for all do). */
bool snapshot_zone_admits(const struct snapshot *snapshot, const struct snapshot_zone *zone, const struct ip *client);

#endif
