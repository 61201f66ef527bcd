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
    PART_SMALL = 24,  /* not worth a second pass */
    SHARE_SMALL = 16, /* sorted by insertion */
    PLACES_AHEAD = 4, /* in items: a cache line */
    AHEAD = 12,       /* records fetched into cache before their turn */
};

struct item {
    uint64_t hash;
    uint64_t position; /* in the arena: the order in which rules were added */
};

struct entry {
    uint32_t profile;
    uint16_t length;
    uint8_t fingerprint;
};

/* The bucket under construction. */
struct bucket {
    uint64_t number;
    uint64_t first_entry;
    struct growing entries; /* struct entry */
    struct growing data;    /* uint8_t */
    struct growing head;    /* uint8_t: what comes before the data, once the bucket is complete */
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

/* How many items fall to each share, by some bits of their hash, as the share's begin. */
static void find_shares(const struct item *items, size_t count, unsigned shift, unsigned bits, size_t *begin) {
    memset(begin, 0, sizeof *begin << bits);
    for (size_t i = 0; i < count; i++)
        begin[bits_at(items[i].hash, shift, bits)]++;
    size_t at = 0;
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        size_t share = begin[i];
        begin[i] = at;
        at += share;
    }
}

/* Brings the items of each part together where they are, for a second array of them would be a fifth of the peak memory: an item
 * takes the next place of its part, and what lay there goes on to its own. end[n] becomes the end of the n-th part. */
static void gather_parts(struct item *items, size_t count, size_t *next, size_t *end) {
    const unsigned shift = 64 - PART_BITS;
    find_shares(items, count, shift, PART_BITS, next);
    memcpy(end, next + 1, (PARTS - 1) * sizeof *end);
    end[PARTS - 1] = count;
    for (size_t part = 0; part < PARTS; part++) {
        while (next[part] < end[part]) {
            struct item item = items[next[part]];
            for (size_t to; (to = bits_at(item.hash, shift, PART_BITS)) != part;) {
                struct item *place = &items[next[to]++];
                struct item lay_there = *place;
                *place = item;
                item = lay_there;
                __builtin_prefetch(place + PLACES_AHEAD, 1); /* it takes thousands of steps until this part is met again */
            }
            items[next[part]++] = item;
        }
    }
}

static int by_hash(const void *a, const void *b) {
    const struct item *x = a;
    const struct item *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

static void insertion_sort(struct item *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct item item = items[i];
        size_t at = i;
        for (; at > 0 && by_hash(&items[at - 1], &item) > 0; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

/* As many bits as tell most of `count` items apart. */
static unsigned bits_for(size_t count) {
    unsigned bits = 1;
    while (bits < PART_BITS && (size_t)1 << bits < count)
        bits++;
    return bits;
}

/* Sorts a part by its next bits, which leave shares of one or two. A share is large only where one name has many rules. */
static void sort_part(struct item *items, size_t count, struct item *room, size_t *next) {
    unsigned bits = bits_for(count), shift = 64 - PART_BITS - bits;
    find_shares(items, count, shift, bits, next);
    for (size_t i = 0; i < count; i++)
        room[next[bits_at(items[i].hash, shift, bits)]++] = items[i];
    for (size_t share = 0, begin = 0; share < (size_t)1 << bits; begin = next[share++]) {
        size_t size = next[share] - begin;
        if (size <= SHARE_SMALL)
            insertion_sort(room + begin, size);
        else
            qsort(room + begin, size, sizeof *room, by_hash);
    }
    memcpy(items, room, count * sizeof *items);
}

/* By hash, and rules of one hash in the order in which they were added: first into parts that fit the cache, then each part. */
static int sort_items(struct build *build) {
    size_t *next = malloc(sizeof *next << PART_BITS);
    size_t *end = malloc(sizeof *end << PART_BITS);
    struct item *room = NULL;
    size_t largest = 0;
    if (next != NULL && end != NULL) {
        gather_parts(build->items, build->count, next, end);
        for (size_t part = 0, begin = 0; part < PARTS; begin = end[part++]) {
            if (end[part] - begin > largest)
                largest = end[part] - begin;
        }
        room = items_new(largest);
    }
    if (room != NULL) {
        for (size_t part = 0, begin = 0; part < PARTS; begin = end[part++]) {
            size_t count = end[part] - begin;
            if (count <= PART_SMALL)
                insertion_sort(build->items + begin, count);
            else
                sort_part(build->items + begin, count, room, next);
        }
    }
    bool done = room != NULL;
    free(next);
    free(end);
    free(room);
    return done ? 0 : -ENOMEM;
}

/* --- buckets -------------------------------------------------------------------------------------------------------------------
 */

/* Everything of the bucket but its data: counts, then fingerprints, lengths and profiles in a row each. */
static uint8_t *write_head(const struct build *build, uint8_t *at, bool wide) {
    const struct bucket *bucket = &build->bucket;
    const struct entry *entries = bucket->entries.data;
    uint32_t count = (uint32_t)bucket->entries.count;
    uint32_t first_entry = (uint32_t)bucket->first_entry;
    *at++ = wide ? BUCKET_WIDE : (uint8_t)count;
    memcpy(at, &first_entry, sizeof first_entry);
    at += sizeof first_entry;
    if (wide) {
        memcpy(at, &count, sizeof count);
        at += sizeof count;
    }
    for (uint32_t i = 0; i < count; i++)
        *at++ = entries[i].fingerprint;
    for (uint32_t i = 0; i < count; i++) {
        *at++ = (uint8_t)entries[i].length;
        if (wide)
            *at++ = (uint8_t)(entries[i].length >> 8);
    }
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < build->profile_width; k++)
            *at++ = (uint8_t)(entries[i].profile >> 8 * k);
    }
    return at;
}

static int put_bucket(struct build *build) {
    struct bucket *bucket = &build->bucket;
    size_t count = bucket->entries.count;
    if (count == 0)
        return 0;
    bool wide = count >= BUCKET_WIDE || bucket->longest > UINT8_MAX;
    bucket->head.count = 0;
    if (growing_reserve(&bucket->head, 9 + count * (3 + sizeof(uint32_t))) != 0)
        return -ENOMEM;
    uint8_t *head = bucket->head.data;
    size_t length = (size_t)(write_head(build, head, wide) - head);
    output_put(build->names->output, head, length);
    output_put(build->names->output, bucket->data.data, bucket->data.count);
    build->bucket_octets += length + bucket->data.count;
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
    bucket->entries.count = bucket->data.count = 0;
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
    size_t length = 0;
    if (growing_reserve(&bucket->data, CODE_ROOM + 4) != 0 || growing_reserve(&bucket->entries, 1) != 0)
        return -ENOMEM;
    uint8_t *data = (uint8_t *)bucket->data.data + bucket->data.count;
    if (key != NULL) {
        length = code_encode(&build->code, key, key->labels, data);
        filter_add(&build->filter[bucket->number], hash);
    }
    if (member->profile->flags & PROFILE_EXPIRES) {
        uint32_t expires = expires_of(member);
        memcpy(data + length, &expires, sizeof expires);
        length += sizeof expires;
    }
    bucket->data.count += length;
    struct entry *entry = (struct entry *)bucket->entries.data + bucket->entries.count++;
    *entry = (struct entry){
        .profile = load4(member->record + RECORD_PROFILE), .length = (uint16_t)length, .fingerprint = snapshot_fingerprint(hash)};
    if (entry->length > bucket->longest)
        bucket->longest = entry->length;
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
    if (rc == 0 && count == 1)
        return cold_add(build->names->cold, record_cold(member->record, member->profile), length);
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

static struct member member_of(const struct build *build, const struct item *item) {
    const uint8_t *record = arena_at(&build->names->rules->domains, item->position);
    return (struct member){.record = record, .position = item->position, .profile = profile_of(build, record)};
}

/* Adds the only rule of a hash, as nearly every one is. */
static int add_single(struct build *build, const struct item *item) {
    struct member member = member_of(build, item);
    struct name_key key;
    record_key(build, member.record, &key);
    note_depth(build->names->header, (enum match)member.profile->match, key.labels);
    return add_joined(build, item->hash, &key, &member, 1, false);
}

/* Adds the rules of one hash. */
static int add_group(struct build *build, const struct item *items, size_t count) {
    build->members.count = 0;
    for (size_t i = 0; i < count; i++) {
        struct member member = member_of(build, &items[i]);
        member.confidence =
            compile_confidence(build->names->rules, record_cold(member.record, member.profile), member.record[RECORD_COLD_LENGTH]);
        if (growing_add(&build->members, &member, 1) != 0)
            return -ENOMEM;
    }
    struct member *members = build->members.data;
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
            rc = next - i == 1 ? add_single(build, build->items + i) : add_group(build, build->items + i, next - i);
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
    build->bucket.entries.element_size = sizeof(struct entry);
    build->bucket.data.element_size = 1;
    build->bucket.head.element_size = 1;
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
    free(build->bucket.entries.data);
    free(build->bucket.data.data);
    free(build->bucket.head.data);
    free(build->members.data);
    free(build);
    return rc;
}
