/* policy/compile_names.c: domain rules and protected names: sorted by hash, duplicates joined, cut into buckets and coded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile_private.h"
#include "policy/hash.h"

enum {
    SAMPLE = 1 << 16, /* names that the code is chosen by */
    PART_BITS = 12,   /* of a pass of the sort */
    PARTS = 1 << PART_BITS,
    PART_SMALL = 24, /* not worth a second pass */
    AHEAD = 12,      /* records fetched into cache before their turn */
};

struct item {
    uint64_t hash;
    uint64_t position; /* in the arena: the order in which rules were added */
};

/* The bucket under construction. */
struct bucket {
    uint64_t number;
    uint64_t first_entry;
    struct growing fingerprints; /* uint8_t */
    struct growing lengths;      /* uint16_t */
    struct growing profiles;     /* uint32_t */
    struct growing data;         /* uint8_t */
    uint16_t longest;
};

/* A rule with what decides among those of one name. */
struct member {
    const uint8_t *record;
    uint64_t position;
    const struct profile *profile;
    unsigned confidence;
};

struct build {
    struct names *names;
    struct item *items;
    size_t count;
    uint64_t buckets;
    struct filter_block *filter;
    uint64_t bucket_octets;
    unsigned profile_width;
    struct code code;
    struct bucket bucket;
    struct growing members; /* struct member: of one hash, when there are several */
};

static const struct profile *profile_of(const struct build *build, const uint8_t *record) {
    return (const struct profile *)(const void *)build->names->rules->profiles.elements + load4(record + RECORD_PROFILE);
}

static const uint8_t *record_cold(const uint8_t *record, const struct profile *profile) {
    return record + RECORD_WIRE + record[RECORD_WIRE_LENGTH] + (profile->flags & PROFILE_EXPIRES ? 4 : 0);
}

/* --- walking the arena ---------------------------------------------------------------------------------------------------------
 */

struct walk {
    const struct build *build;
    size_t chunk;
    size_t offset;
};

/* The next record and its position, or NULL. */
static const uint8_t *walk_next(struct walk *walk, uint64_t *position) {
    const struct arena *arena = &walk->build->names->rules->domains;
    while (walk->chunk < arena->chunks) {
        bool last = walk->chunk == arena->chunks - 1;
        const uint8_t *record = arena->chunk[walk->chunk] + walk->offset;
        if (last ? walk->offset < arena->used : walk->offset + RECORD_WIRE <= ARENA_CHUNK && record[RECORD_WIRE_LENGTH] != 0) {
            *position = (uint64_t)walk->chunk * ARENA_CHUNK + walk->offset;
            const uint8_t *cold = record_cold(record, profile_of(walk->build, record));
            walk->offset += (size_t)(cold - record) + record[RECORD_COLD_LENGTH];
            return record;
        }
        walk->chunk++;
        walk->offset = 0;
    }
    return NULL;
}

static void record_key(const struct build *build, const uint8_t *record, struct name_key *key) {
    name_key_init(key, record + RECORD_WIRE, record[RECORD_WIRE_LENGTH], build->names->seed);
}

static struct item *items_new(size_t count) {
    return huge_alloc((count + 1) * sizeof(struct item));
}

/* --- sorting by hash -----------------------------------------------------------------------------------------------------------
 */

/* Adds every so-manieth name to the statistics, for the dictionary or, once that is chosen, for the octets. */
static int sample(struct build *build, struct code_statistics *statistics, bool octets) {
    size_t stride = build->count / SAMPLE + 1;
    struct name_key key;
    int rc = 0;
    for (size_t i = 0; i < build->count && rc == 0; i += stride) {
        record_key(build, arena_at(&build->names->rules->domains, build->items[i].position), &key);
        if (octets)
            code_count_octets(&build->code, statistics, &key);
        else
            rc = code_statistics_add(statistics, &key);
    }
    return rc;
}

static int choose_code(struct build *build) {
    struct code_statistics *statistics = code_statistics_new();
    if (statistics == NULL)
        return -ENOMEM;
    int rc = sample(build, statistics, false);
    if (rc == 0) {
        code_choose_suffixes(&build->code, statistics, build->names->seed);
        sample(build, statistics, true);
        code_choose_octets(&build->code, statistics);
    }
    code_statistics_free(statistics);
    return rc;
}

/* All records as they were added. */
static void list_records(struct build *build) {
    uint64_t position = 0;
    const uint8_t *record;
    struct name_key key;
    struct walk walk = {.build = build};
    for (size_t i = 0; (record = walk_next(&walk, &position)) != NULL; i++) {
        record_key(build, record, &key);
        build->items[i] = (struct item){.hash = key.hash[key.labels], .position = position};
    }
}

static inline size_t bits_at(uint64_t hash, unsigned shift, unsigned bits) {
    return hash >> shift & ((UINT64_C(1) << bits) - 1);
}

/* Distributes items by some bits of their hash, keeping their order otherwise. end[n] becomes the end of the n-th share. */
static void distribute(const struct item *from, struct item *to, size_t count, unsigned shift, unsigned bits, size_t *end) {
    memset(end, 0, sizeof *end << bits);
    for (size_t i = 0; i < count; i++)
        end[bits_at(from[i].hash, shift, bits)]++;
    size_t begin = 0;
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        size_t share = end[i];
        end[i] = begin;
        begin += share;
    }
    for (size_t i = 0; i < count; i++)
        to[end[bits_at(from[i].hash, shift, bits)]++] = from[i];
}

/* What the distributions leave: hardly anything out of order. Stable, so equal hashes keep the order in which rules were added. */
static void insertion_sort(struct item *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct item item = items[i];
        size_t at = i;
        for (; at > 0 && items[at - 1].hash > item.hash; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

/* First into parts that fit the cache, then each part by its next bits. */
static int sort_items(struct build *build) {
    size_t *part_end = malloc(sizeof *part_end << PART_BITS);
    size_t *end = malloc(sizeof *end << PART_BITS);
    struct item *sorted = items_new(build->count);
    int rc = -ENOMEM;
    if (part_end != NULL && end != NULL && sorted != NULL) {
        distribute(build->items, sorted, build->count, 64 - PART_BITS, PART_BITS, part_end);
        for (size_t part = 0, begin = 0; part < PARTS; begin = part_end[part++]) {
            struct item *items = sorted + begin;
            size_t count = part_end[part] - begin;
            if (count > PART_SMALL) {
                distribute(items, build->items, count, 64 - 2 * PART_BITS, PART_BITS, end);
                memcpy(items, build->items, count * sizeof *items);
            }
            insertion_sort(items, count);
        }
        struct item *unsorted = build->items;
        build->items = sorted;
        sorted = unsorted;
        rc = 0;
    }
    free(part_end);
    free(end);
    free(sorted);
    return rc;
}

/* --- buckets -------------------------------------------------------------------------------------------------------------------
 */

static int put_bucket(struct build *build) {
    struct bucket *bucket = &build->bucket;
    struct output *output = build->names->output;
    uint32_t count = (uint32_t)bucket->fingerprints.count;
    if (count == 0)
        return 0;
    bool wide = count >= BUCKET_WIDE || bucket->longest > UINT8_MAX;
    uint8_t count_octet = wide ? BUCKET_WIDE : (uint8_t)count;
    uint32_t first_entry = (uint32_t)bucket->first_entry;
    output_put(output, &count_octet, 1);
    output_put(output, &first_entry, sizeof first_entry);
    if (wide)
        output_put(output, &count, sizeof count);
    output_put(output, bucket->fingerprints.data, count);
    const uint16_t *lengths = bucket->lengths.data;
    const uint32_t *profiles = bucket->profiles.data;
    for (uint32_t i = 0; i < count; i++)
        output_put(output, &lengths[i], wide ? 2 : 1); /* little-endian: the first octet is the low one */
    for (uint32_t i = 0; i < count; i++)
        output_put(output, &profiles[i], build->profile_width);
    output_put(output, bucket->data.data, bucket->data.count);
    uint64_t entry_octets = (wide ? 3u : 2u) + build->profile_width;
    build->bucket_octets += (wide ? 9u : 5u) + count * entry_octets + bucket->data.count;
    return build->bucket_octets <= UINT32_MAX ? 0 : -E2BIG;
}

/* Ends the current bucket and every empty one before `number`. */
static int turn_to_bucket(struct build *build, uint64_t number) {
    struct bucket *bucket = &build->bucket;
    int rc = put_bucket(build);
    for (; bucket->number < number; bucket->number++)
        build->filter[bucket->number + 1].bucket = (uint32_t)build->bucket_octets;
    bucket->first_entry = build->names->header->entries;
    bucket->longest = 0;
    bucket->fingerprints.count = bucket->lengths.count = bucket->profiles.count = bucket->data.count = 0;
    return rc;
}

static void set_bit(uint64_t mask[2], unsigned bit) {
    mask[bit / 64] |= UINT64_C(1) << bit % 64;
}

static void note_depth(struct snapshot_header *header, enum match match, unsigned labels) {
    if (match != MATCH_BELOW)
        set_bit(header->self_depth, labels);
    if (match != MATCH_EXACT)
        set_bit(header->under_depth, labels);
}

static uint32_t expires_of(const struct member *member) {
    if ((member->profile->flags & PROFILE_EXPIRES) == 0)
        return UINT32_MAX;
    return load4(member->record + RECORD_WIRE + member->record[RECORD_WIRE_LENGTH]);
}

/* Appends a rule to its bucket. `key`: of its name if it is the first with it, else NULL. `heir`: it isn't counted. */
static int add_entry(struct build *build, uint64_t hash, const struct name_key *key, const struct member *member, bool heir) {
    struct bucket *bucket = &build->bucket;
    uint8_t data[CODE_ROOM + 4];
    size_t length = 0;
    if (key != NULL) {
        length = code_encode(&build->code, key, key->labels, data);
        filter_add(&build->filter[bucket->number], hash);
    }
    if (member->profile->flags & PROFILE_EXPIRES) {
        uint32_t expires = expires_of(member);
        memcpy(data + length, &expires, sizeof expires);
        length += sizeof expires;
    }
    uint8_t fingerprint = snapshot_fingerprint(hash);
    uint16_t stored_length = (uint16_t)length;
    uint32_t profile = load4(member->record + RECORD_PROFILE);
    if (stored_length > bucket->longest)
        bucket->longest = stored_length;
    if (growing_add(&bucket->fingerprints, &fingerprint, 1) != 0 || growing_add(&bucket->lengths, &stored_length, 1) != 0 ||
        growing_add(&bucket->profiles, &profile, 1) != 0 || growing_add(&bucket->data, data, length) != 0)
        return -ENOMEM;
    struct snapshot_header *header = build->names->header;
    header->entries++;
    if (!heir && (member->profile->flags & PROFILE_PROTECTS) == 0) {
        header->trigger[TRIGGER_DOMAIN]++;
        ((struct snapshot_zone *)build->names->rules->zones.data)[member->profile->zone].rules++;
    }
    return 0;
}

/* --- rules of one name ---------------------------------------------------------------------------------------------------------
 */

static int by_precedence(const void *a, const void *b) {
    const struct member *x = a;
    const struct member *y = b;
    /* with equal hashes names are almost always equal; when not, any order will do that keeps them apart */
    size_t length_x = x->record[RECORD_WIRE_LENGTH];
    size_t length_y = y->record[RECORD_WIRE_LENGTH];
    if (length_x != length_y)
        return length_x < length_y ? -1 : 1;
    int order = memcmp(x->record + RECORD_WIRE, y->record + RECORD_WIRE, length_x);
    if (order != 0)
        return order;
    int protects_x = x->profile->flags & PROFILE_PROTECTS;
    int protects_y = y->profile->flags & PROFILE_PROTECTS;
    if (protects_x != protects_y)
        return protects_y - protects_x;
    if (x->profile->zone != y->profile->zone)
        return (int)x->profile->zone - (int)y->profile->zone;
    if (x->profile->match != y->profile->match)
        return (int)x->profile->match - (int)y->profile->match;
    if (x->confidence != y->confidence)
        return x->confidence > y->confidence ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

static bool same_name(const struct member *a, const struct member *b) {
    size_t length = a->record[RECORD_WIRE_LENGTH];
    return length == b->record[RECORD_WIRE_LENGTH] && memcmp(a->record + RECORD_WIRE, b->record + RECORD_WIRE, length) == 0;
}

static bool same_place(const struct member *a, const struct member *b) {
    return same_name(a, b) && ((a->profile->flags ^ b->profile->flags) & PROFILE_PROTECTS) == 0 &&
           a->profile->zone == b->profile->zone && a->profile->match == b->profile->match;
}

/* Members [0, count) are for one place: adds the first, with all their families. */
static int add_joined(struct build *build, uint64_t hash, const struct name_key *key, const struct member *member, size_t count,
                      bool heir) {
    int rc = add_entry(build, hash, key, member, heir);
    uint8_t cold[COLD_RECORD_MAX];
    size_t length = member->record[RECORD_COLD_LENGTH];
    memcpy(cold, record_cold(member->record, member->profile), length);
    for (size_t i = 1; i < count && rc == 0; i++)
        rc = compile_join(build->names->rules, cold, &length, record_cold(member[i].record, member[i].profile),
                          member[i].record[RECORD_COLD_LENGTH]);
    return rc != 0 ? rc : cold_add(build->names->cold, cold, length);
}

/* Members [0, count) are for one place: adds the first, and behind it, for the time when it has expired, the first that outlives it
 * (its heir), and so on. */
static int add_place(struct build *build, uint64_t hash, const struct name_key *key, const struct member *member, size_t count) {
    int rc = 0;
    for (size_t i = 0, next; i < count && rc == 0; i = next) {
        rc = add_joined(build, hash, i == 0 ? key : NULL, member + i, count - i, i > 0);
        for (next = i + 1; next < count && expires_of(&member[next]) <= expires_of(&member[i]); next++)
            ;
    }
    return rc;
}

/* Adds the rules of one hash. */
static int add_group(struct build *build, const struct item *items, size_t count) {
    build->members.count = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *record = arena_at(&build->names->rules->domains, items[i].position);
        struct member member = {.record = record, .position = items[i].position, .profile = profile_of(build, record)};
        if (count > 1)
            member.confidence =
                compile_confidence(build->names->rules, record_cold(record, member.profile), record[RECORD_COLD_LENGTH]);
        if (growing_add(&build->members, &member, 1) != 0)
            return -ENOMEM;
    }
    struct member *members = build->members.data;
    if (count > 1)
        qsort(members, count, sizeof *members, by_precedence);
    struct name_key key;
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && same_place(&members[i], &members[next]); next++)
            ;
        bool first = i == 0 || !same_name(&members[i - 1], &members[i]);
        if (first)
            record_key(build, members[i].record, &key);
        note_depth(build->names->header, (enum match)members[i].profile->match, key.labels);
        int rc = add_place(build, items->hash, first ? &key : NULL, members + i, next - i);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int build_buckets(struct build *build) {
    const struct arena *arena = &build->names->rules->domains;
    for (size_t i = 0, next; i < build->count; i = next) {
        for (next = i + 1; next < build->count && build->items[next].hash == build->items[i].hash; next++)
            ;
        if (i + AHEAD < build->count) {
            const uint8_t *ahead = arena_at(arena, build->items[i + AHEAD].position);
            __builtin_prefetch(ahead);
            __builtin_prefetch(ahead + 63);
        }
        uint64_t hash = build->items[i].hash;
        int rc = 0;
        if (snapshot_place(hash, build->buckets) != build->bucket.number)
            rc = turn_to_bucket(build, snapshot_place(hash, build->buckets));
        if (rc == 0)
            rc = add_group(build, build->items + i, next - i);
        if (rc != 0)
            return rc;
        if (build->names->output->error != 0)
            return build->names->output->error;
    }
    return turn_to_bucket(build, build->buckets);
}

static int write_names(struct build *build) {
    struct output *output = build->names->output;
    output_reserve(output, SECTION_FILTER, (build->buckets + 1) * sizeof *build->filter);
    output_begin(output, SECTION_BUCKETS);
    int rc = build_buckets(build);
    if (rc != 0)
        return rc;
    output_end(output, SECTION_BUCKETS);
    uint8_t *code = malloc(CODE_SIZE_MIN + CODE_SUFFIXES * NAME_WIRE_MAX);
    if (code == NULL)
        return -ENOMEM;
    output_section(output, SECTION_CODE, code, code_write(&build->code, code));
    free(code);
    output_late(output, SECTION_FILTER, build->filter);
    return output->error;
}

int compile_names(struct names *names) {
    struct build *build = calloc(1, sizeof *build);
    if (build == NULL)
        return -ENOMEM;
    build->names = names;
    build->count = names->rules->domain_count;
    build->buckets = build->count / SNAPSHOT_ENTRIES_PER_BUCKET + 1;
    build->filter = calloc(build->buckets + 1, sizeof *build->filter);
    build->profile_width = 1;
    while (build->profile_width < 4 && names->rules->profiles.count > UINT64_C(1) << 8 * build->profile_width)
        build->profile_width++;
    names->header->profile_width = build->profile_width;
    build->bucket.fingerprints.element_size = 1;
    build->bucket.lengths.element_size = sizeof(uint16_t);
    build->bucket.profiles.element_size = sizeof(uint32_t);
    build->bucket.data.element_size = 1;
    build->members.element_size = sizeof(struct member);
    int rc = build->filter != NULL ? 0 : -ENOMEM;
    if (rc == 0 && build->count > UINT32_MAX / 2)
        rc = -E2BIG;
    if (rc == 0)
        build->items = items_new(build->count);
    if (rc == 0 && build->items == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        list_records(build);
        rc = choose_code(build);
    }
    if (rc == 0)
        rc = sort_items(build);
    if (rc == 0)
        rc = write_names(build);
    free(build->items);
    free(build->filter);
    free(build->bucket.fingerprints.data);
    free(build->bucket.lengths.data);
    free(build->bucket.profiles.data);
    free(build->bucket.data.data);
    free(build->members.data);
    free(build);
    return rc;
}
