/* policy/snapshot.c: maps a compiled policy and refuses what isn't one. */
#include "policy/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/snapshot_private.h"

enum {
    READ_CHUNK = 1 << 18,
    RELEASE_CHUNK = 2 << 20 /* a huge page; as much of the page cache is freed in some 100 us */
};

/* of the sections of a prefix table */
#define TABLE_SIZES(first)                                                                                                         \
    [(first) + TABLE_V4_KEYS] = {sizeof(uint32_t), 0}, [(first) + TABLE_V4_NODES] = {sizeof(struct prefix_node), 0},               \
               [(first) + TABLE_V6_KEYS] = {sizeof(struct prefix_key), 0},                                                         \
               [(first) + TABLE_V6_NODES] = {sizeof(struct prefix_node), 0},                                                       \
               [(first) + TABLE_RULES] = {sizeof(struct prefix_rule), 0}

static const struct {
    size_t size;  /* of an element */
    size_t least; /* elements */
} SECTIONS[SECTION_COUNT] = {
    [SECTION_FILTER] = {sizeof(struct filter_block), 2},
    [SECTION_BUCKETS] = {1, 0},
    [SECTION_CODE] = {1, CODE_SIZE_MIN},
    [SECTION_PROFILES] = {sizeof(struct profile), 0},
    [SECTION_SPECS] = {sizeof(struct spec), 0},
    [SECTION_ANSWERS] = {sizeof(struct spec_answer), 0},
    [SECTION_BYTES] = {1, 0},
    [SECTION_ZONES] = {sizeof(struct snapshot_zone), 0},
    [SECTION_ZONE_CLIENTS] = {sizeof(struct zone_client), 0},
    TABLE_SIZES(SECTION_IPS),
    TABLE_SIZES(SECTION_CLIENTS),
    TABLE_SIZES(SECTION_SHIELDS),
    [SECTION_LABELS] = {sizeof(struct label), 0},
    [SECTION_COLD_INDEX] = {sizeof(uint64_t), 0},
    [SECTION_COLD] = {1, 0},
    [SECTION_STRINGS] = {1, 1},
};

static const void *section_at(const struct snapshot *snapshot, enum section section) {
    return snapshot->map + snapshot->header->section[section].offset;
}

static uint64_t section_size(const struct snapshot *snapshot, enum section section) {
    return snapshot->header->section[section].size;
}

static uint64_t section_elements(const struct snapshot *snapshot, enum section section) {
    return section_size(snapshot, section) / SECTIONS[section].size;
}

/* Where the section that follows begins. */
static uint64_t section_end(const struct snapshot *snapshot, enum section section) {
    return section + 1 < SECTION_COUNT ? snapshot->header->section[section + 1].offset : snapshot->size;
}

/* --- checks: each returns NULL or what is wrong ----------------------------------------------------------------------------------
 */

static const char *check_header(const struct snapshot *snapshot) {
    const struct snapshot_header *header = snapshot->header;
    if (snapshot->size < SNAPSHOT_HEADER)
        return "shorter than a snapshot's header";
    if (memcmp(header->magic, SNAPSHOT_MAGIC, sizeof header->magic) != 0)
        return "not a snapshot";
    if (header->version != SNAPSHOT_VERSION)
        return "snapshot of another version";
    if (header->id != snapshot_header_id(snapshot->map))
        return "header damaged";
    if (header->file_size != snapshot->size)
        return "truncated or longer than it was written";
    if (header->profile_width < 1 || header->profile_width > 4)
        return "bad profile width";
    uint64_t next = SNAPSHOT_HEADER;
    for (enum section section = 0; section < SECTION_COUNT; section++) {
        const struct section_place *place = &header->section[section];
        uint64_t to = section == SECTION_RESIDENT_END - 1 ? SNAPSHOT_PAGE : SNAPSHOT_ALIGN;
        if (place->offset != next || place->size > snapshot->size - next ||
            snapshot_round(place->offset + place->size, to) > snapshot->size)
            return "section out of place";
        if (place->size % SECTIONS[section].size != 0 || place->size / SECTIONS[section].size < SECTIONS[section].least)
            return "section of a bad size";
        next = snapshot_round(place->offset + place->size, to);
    }
    return next == snapshot->size ? NULL : "octets behind the last section";
}

static const char *check_resident(const struct snapshot *snapshot) {
    for (enum section section = 0; section < SECTION_RESIDENT_END; section++) {
        const struct section_place *place = &snapshot->header->section[section];
        struct checksum sum;
        checksum_init(&sum);
        checksum_add(&sum, snapshot->map + place->offset, section_end(snapshot, section) - place->offset);
        if (checksum_value(&sum) != place->checksum)
            return "section damaged";
    }
    return NULL;
}

/* Through a buffer, so that verifying doesn't make them resident in the mapping. */
static const char *check_cold(const struct snapshot *snapshot, int fd) {
    uint8_t *buffer = malloc(READ_CHUNK);
    if (buffer == NULL)
        return "out of memory";
    const char *fault = NULL;
    for (enum section section = SECTION_RESIDENT_END; section < SECTION_COUNT && fault == NULL; section++) {
        const struct section_place *place = &snapshot->header->section[section];
        uint64_t end = section_end(snapshot, section);
        struct checksum sum;
        checksum_init(&sum);
        for (uint64_t at = place->offset; at < end && fault == NULL;) {
            size_t want = end - at < READ_CHUNK ? (size_t)(end - at) : READ_CHUNK;
            size_t have = 0;
            while (have < want) {
                ssize_t got = pread(fd, buffer + have, want - have, (off_t)(at + have));
                if (got <= 0 && !(got < 0 && errno == EINTR))
                    break;
                have += got > 0 ? (size_t)got : 0;
            }
            if (have < want)
                fault = "can't be read";
            checksum_add(&sum, buffer, have);
            at += have;
        }
        if (fault == NULL && checksum_value(&sum) != place->checksum)
            fault = "section damaged";
    }
    free(buffer);
    return fault;
}

static const char *check_buckets(const struct snapshot *snapshot) {
    uint32_t last = 0;
    bool ascends = true;
    for (uint64_t i = 0; i <= snapshot->buckets; i++) {
        ascends = ascends && snapshot->filter[i].bucket >= last;
        last = snapshot->filter[i].bucket;
    }
    return ascends && last == snapshot->bucket_size ? NULL : "buckets out of place";
}

static const char *check_spec(const struct snapshot *snapshot, const struct spec *spec) {
    uint64_t bytes = section_size(snapshot, SECTION_BYTES);
    bool silent = spec->action == ACTION_DROP || spec->action == ACTION_TRUNCATE || spec->action == ACTION_PASSTHRU ||
                  spec->action == ACTION_CNAME;
    if (spec->action >= ACTION_COUNT || (spec->answer_count == 0) != silent || spec->target_text >= snapshot->strings_size ||
        spec->records_text >= snapshot->strings_size || (spec->target_length > 0) != (spec->action == ACTION_CNAME))
        return "bad spec";
    if (spec->answers + (uint64_t)spec->answer_count > section_elements(snapshot, SECTION_ANSWERS) ||
        spec->target + (uint64_t)spec->target_length > bytes)
        return "spec out of bounds";
    struct name target;
    if (spec->target_length > 0 &&
        name_from_wire(&target, snapshot->bytes + spec->target, spec->target_length) != spec->target_length)
        return "bad cname target";
    for (unsigned i = 0; i < spec->answer_count; i++) {
        const struct spec_answer *answer = &snapshot->answers[spec->answers + i];
        if (answer->bytes + (uint64_t)answer->length > bytes)
            return "answer out of bounds";
    }
    return NULL;
}

static const char *check_tables(const struct snapshot *snapshot) {
    for (uint32_t i = 0; i < snapshot->profile_count; i++) {
        const struct profile *profile = &snapshot->profiles[i];
        bool protects = profile->flags & PROFILE_PROTECTS;
        if (profile->match >= MATCH_COUNT || (!protects && profile->zone >= snapshot->zone_count) ||
            (!protects && profile->spec >= snapshot->spec_count))
            return "bad profile";
    }
    for (uint32_t i = 0; i < snapshot->spec_count; i++) {
        const char *fault = check_spec(snapshot, &snapshot->specs[i]);
        if (fault != NULL)
            return fault;
    }
    for (uint32_t i = 0; i < snapshot->zone_count; i++) {
        const struct snapshot_zone *zone = &snapshot->zones[i];
        if (zone->name >= snapshot->strings_size || zone->mode >= MODE_COUNT ||
            zone->clients + (uint64_t)zone->v4_clients + zone->v6_clients > section_elements(snapshot, SECTION_ZONE_CLIENTS))
            return "bad zone";
    }
    for (uint64_t i = 0; i < section_elements(snapshot, SECTION_ZONE_CLIENTS); i++) {
        if (snapshot->zone_clients[i].length > 128)
            return "bad client prefix";
    }
    return NULL;
}

static const char *check_nodes(const struct prefix_table *table, const struct prefix_node *nodes, uint32_t count,
                               uint32_t shortest) {
    for (uint32_t i = 1; i < count; i++) {
        const struct prefix_node *node = &nodes[i];
        /* a parent is shorter, so that every chain ends */
        if (node->parent >= count || node->length > 128 || node->length < shortest ||
            node->rules + (uint64_t)node->rule_count > table->rules ||
            (node->parent != 0 && nodes[node->parent].length >= node->length))
            return "bad prefix node";
    }
    return NULL;
}

static const char *check_prefixes(const struct snapshot *snapshot, const struct prefix_table *table) {
    for (uint32_t i = 0; i < table->rules; i++) {
        if (table->rule[i].profile >= snapshot->profile_count ||
            snapshot->profiles[table->rule[i].profile].flags & PROFILE_PROTECTS)
            return "bad prefix rule";
    }
    const char *fault = check_nodes(table, table->v4_node, table->v4_nodes, 96);
    return fault != NULL ? fault : check_nodes(table, table->v6_node, table->v6_nodes, 0);
}

/* --- opening -------------------------------------------------------------------------------------------------------------------
 */

static const char *find_table(struct snapshot *snapshot, struct prefix_table *table, enum section first) {
    uint64_t v4 = section_elements(snapshot, first + TABLE_V4_NODES);
    uint64_t v6 = section_elements(snapshot, first + TABLE_V6_NODES);
    uint64_t rules = section_elements(snapshot, first + TABLE_RULES);
    if (v4 != section_elements(snapshot, first + TABLE_V4_KEYS) || v6 != section_elements(snapshot, first + TABLE_V6_KEYS) ||
        v4 == 1 || v6 == 1 || v4 > UINT32_MAX || v6 > UINT32_MAX || rules > UINT32_MAX)
        return "bad prefix table";
    table->v4_key = section_at(snapshot, first + TABLE_V4_KEYS);
    table->v4_node = section_at(snapshot, first + TABLE_V4_NODES);
    table->v6_key = section_at(snapshot, first + TABLE_V6_KEYS);
    table->v6_node = section_at(snapshot, first + TABLE_V6_NODES);
    table->rule = section_at(snapshot, first + TABLE_RULES);
    table->v4_nodes = (uint32_t)v4;
    table->v6_nodes = (uint32_t)v6;
    table->rules = (uint32_t)rules;
    return NULL;
}

static const char *find_sections(struct snapshot *snapshot) {
    const struct snapshot_header *header = snapshot->header;
    snapshot->filter = section_at(snapshot, SECTION_FILTER);
    snapshot->buckets = section_elements(snapshot, SECTION_FILTER) - 1;
    snapshot->bucket_octets = section_at(snapshot, SECTION_BUCKETS);
    snapshot->bucket_size = section_size(snapshot, SECTION_BUCKETS);
    snapshot->profiles = section_at(snapshot, SECTION_PROFILES);
    snapshot->profile_count = (uint32_t)section_elements(snapshot, SECTION_PROFILES);
    snapshot->profile_width = header->profile_width;
    snapshot->profile_mask = UINT32_MAX >> (32 - 8 * header->profile_width);
    memcpy(snapshot->under_depth, header->under_depth, sizeof snapshot->under_depth);
    memcpy(snapshot->self_depth, header->self_depth, sizeof snapshot->self_depth);
    snapshot->specs = section_at(snapshot, SECTION_SPECS);
    snapshot->spec_count = (uint32_t)section_elements(snapshot, SECTION_SPECS);
    snapshot->answers = section_at(snapshot, SECTION_ANSWERS);
    snapshot->bytes = section_at(snapshot, SECTION_BYTES);
    snapshot->zones = section_at(snapshot, SECTION_ZONES);
    snapshot->zone_count = (uint32_t)section_elements(snapshot, SECTION_ZONES);
    snapshot->zone_clients = section_at(snapshot, SECTION_ZONE_CLIENTS);
    snapshot->labels = section_at(snapshot, SECTION_LABELS);
    snapshot->label_count = section_elements(snapshot, SECTION_LABELS);
    snapshot->cold_index = section_at(snapshot, SECTION_COLD_INDEX);
    snapshot->cold_index_count = section_elements(snapshot, SECTION_COLD_INDEX);
    snapshot->cold = section_at(snapshot, SECTION_COLD);
    snapshot->cold_size = section_size(snapshot, SECTION_COLD);
    snapshot->strings = section_at(snapshot, SECTION_STRINGS);
    snapshot->strings_size = section_size(snapshot, SECTION_STRINGS);
    if (snapshot->strings[0] != '\0' || snapshot->strings[snapshot->strings_size - 1] != '\0')
        return "strings don't end";
    if (snapshot->buckets > UINT32_MAX || section_elements(snapshot, SECTION_PROFILES) > UINT32_MAX ||
        section_elements(snapshot, SECTION_SPECS) > UINT32_MAX || section_elements(snapshot, SECTION_ZONES) > UINT16_MAX)
        return "too many of a kind";
    const char *fault = find_table(snapshot, &snapshot->ips, SECTION_IPS);
    if (fault == NULL)
        fault = find_table(snapshot, &snapshot->clients, SECTION_CLIENTS);
    if (fault == NULL)
        fault = find_table(snapshot, &snapshot->shields, SECTION_SHIELDS);
    return fault;
}

static const char *check_contents(struct snapshot *snapshot) {
    const char *fault = find_sections(snapshot);
    if (fault == NULL)
        fault = check_buckets(snapshot);
    if (fault == NULL && code_read(&snapshot->code, section_at(snapshot, SECTION_CODE), section_size(snapshot, SECTION_CODE),
                                   snapshot->header->seed) != 0)
        fault = "bad name code";
    if (fault == NULL)
        fault = check_tables(snapshot);
    if (fault == NULL)
        fault = check_prefixes(snapshot, &snapshot->ips);
    if (fault == NULL)
        fault = check_prefixes(snapshot, &snapshot->clients);
    if (fault == NULL)
        fault = check_prefixes(snapshot, &snapshot->shields);
    return fault;
}

static const char *verify(struct snapshot *snapshot, int fd) {
    snapshot->header = (const struct snapshot_header *)(const void *)snapshot->map;
    const char *fault = check_header(snapshot);
    if (fault != NULL)
        return fault;
    snprintf(snapshot->id, sizeof snapshot->id, "%016llx", (unsigned long long)snapshot->header->id);
    /* one call instead of a page fault every 64 KB; where it isn't known the faults do */
    madvise((void *)(uintptr_t)snapshot->map, snapshot->header->section[SECTION_RESIDENT_END].offset, MADV_POPULATE_READ);
    fault = check_resident(snapshot);
    if (fault == NULL)
        fault = check_cold(snapshot, fd);
    return fault != NULL ? fault : check_contents(snapshot);
}

static uint32_t next_generation(void) {
    static _Atomic uint32_t last; /* the one thing that must differ within a process */
    uint32_t generation;
    do
        generation = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    while (generation == 0);
    return generation;
}

static int map_file(struct snapshot *snapshot, int fd, const char **why) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        *why = "can't be read";
        return -errno;
    }
    if (!S_ISREG(status.st_mode) || status.st_size < SNAPSHOT_HEADER) {
        *why = "shorter than a snapshot's header";
        return -EBADMSG;
    }
    snapshot->size = (size_t)status.st_size;
    void *map = mmap(NULL, snapshot->size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        *why = "can't be mapped";
        return -errno;
    }
    snapshot->map = map;
    snapshot->fd = fd;
    *why = verify(snapshot, fd);
    return *why == NULL ? 0 : -EBADMSG;
}

/* Gives up the mapping and, of a file that was replaced, the page cache, piece by piece. With the last close of such a file the
 * kernel would free its pages in one go: milliseconds in which the core that does it runs nobody else. */
static void release(struct snapshot *snapshot) {
    struct stat status;
    bool replaced = fstat(snapshot->fd, &status) == 0 && status.st_nlink == 0;
    uint8_t *map = (uint8_t *)(uintptr_t)snapshot->map;
    for (size_t at = 0; at < snapshot->size; at += RELEASE_CHUNK) {
        size_t length = snapshot->size - at < RELEASE_CHUNK ? snapshot->size - at : RELEASE_CHUNK;
        munmap(map + at, length);
        if (replaced)
            posix_fadvise(snapshot->fd, (off_t)at, (off_t)length, POSIX_FADV_DONTNEED);
    }
    close(snapshot->fd);
    free(snapshot);
}

int snapshot_open(struct snapshot **snapshot, const char *path, const char **why) {
    const char *ignored;
    if (why == NULL)
        why = &ignored;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *why = "can't be opened";
        return -errno;
    }
    struct snapshot *opened = calloc(1, sizeof *opened);
    int rc = -ENOMEM;
    *why = "out of memory";
    if (opened != NULL)
        rc = map_file(opened, fd, why);
    if (rc != 0) {
        if (opened != NULL && opened->map != NULL)
            munmap((void *)(uintptr_t)opened->map, opened->size);
        close(fd);
        free(opened);
        return rc;
    }
    opened->generation = next_generation();
    atomic_init(&opened->references, 1);
    *snapshot = opened;
    return 0;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot) {
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot) {
    if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1)
        return;
    release(snapshot);
}

void snapshot_rest(const struct snapshot *snapshot) {
    uint64_t from = snapshot->header->section[SECTION_RESIDENT_END].offset; /* on a page's border: check_header */
    if (from < snapshot->size)
        madvise((void *)(uintptr_t)(snapshot->map + from), snapshot->size - from, MADV_DONTNEED);
}

/* --- what it says of itself ------------------------------------------------------------------------------------------------------
 */

uint64_t snapshot_seed(const struct snapshot *snapshot) {
    return snapshot->header->seed;
}

const uint8_t *snapshot_digest(const struct snapshot *snapshot) {
    return snapshot->header->digest;
}

const char *snapshot_id(const struct snapshot *snapshot) {
    return snapshot->id;
}

uint32_t snapshot_generation(const struct snapshot *snapshot) {
    return snapshot->generation;
}

void snapshot_stats(const struct snapshot *snapshot, struct snapshot_stats *stats) {
    *stats = (struct snapshot_stats){
        .rules = snapshot->header->rules,
        .resident_bytes = snapshot->header->section[SECTION_RESIDENT_END].offset,
        .file_bytes = snapshot->size,
        .zones = snapshot->zone_count,
    };
    memcpy(stats->trigger, snapshot->header->trigger, sizeof stats->trigger);
}

const char *snapshot_zone_name(const struct snapshot *snapshot, uint32_t zone) {
    return zone < snapshot->zone_count ? snapshot->strings + snapshot->zones[zone].name : NULL;
}

uint64_t snapshot_zone_rules(const struct snapshot *snapshot, uint32_t zone) {
    return zone < snapshot->zone_count ? snapshot->zones[zone].rules : 0;
}
