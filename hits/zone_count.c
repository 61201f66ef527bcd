/* hits/zone_count.c: two lists that only grow. See zone_count.h. */
#include "hits/zone_count.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BUCKETS = 256 };

struct zone_count {
    struct zone_count *next;
    struct zone_count *chain; /* in its bucket */
    char *name;               /* of the zone, or the family */
    enum action action;       /* zones; 0 otherwise */
    _Atomic uint64_t hits;
};

struct list {
    struct zone_count *first;
    size_t count;
    struct zone_count *buckets[BUCKETS]; /* the writer's own */
};

struct zone_counts {
    uv_mutex_t lock; /* the lists as others read them; the counters need none */
    struct list zones, families;
};

struct zone_counts *zone_counts_new(void) {
    struct zone_counts *counts = calloc(1, sizeof *counts);
    if (counts != NULL && uv_mutex_init(&counts->lock) != 0) {
        free(counts);
        return NULL;
    }
    return counts;
}

static void free_list(struct list *list) {
    for (struct zone_count *count = list->first, *next; count != NULL; count = next) {
        next = count->next;
        free(count->name);
        free(count);
    }
}

void zone_counts_free(struct zone_counts *counts) {
    if (counts == NULL)
        return;
    free_list(&counts->zones);
    free_list(&counts->families);
    uv_mutex_destroy(&counts->lock);
    free(counts);
}

static struct zone_count **bucket_of(struct list *list, const char *name, enum action action) {
    uint32_t hash = 2166136261u ^ action;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return &list->buckets[(hash ^ hash >> 16) % BUCKETS];
}

/* Finds or adds a counter, while there are fewer than `max`. NULL: there is no room. */
static struct zone_count *take(struct zone_counts *counts, struct list *list, const char *name, enum action action, size_t max) {
    struct zone_count **bucket = bucket_of(list, name, action), *count = *bucket;
    while (count != NULL && (count->action != action || strcmp(count->name, name) != 0))
        count = count->chain;
    if (count != NULL || list->count >= max)
        return count;
    count = calloc(1, sizeof *count);
    if (count == NULL || (count->name = strdup(name)) == NULL) {
        free(count);
        return NULL;
    }
    count->action = action;
    count->chain = *bucket;
    *bucket = count;
    uv_mutex_lock(&counts->lock);
    count->next = list->first;
    list->first = count;
    list->count++;
    uv_mutex_unlock(&counts->lock);
    return count;
}

_Atomic uint64_t *zone_counts_find(struct zone_counts *counts, const char *zone, enum action action) {
    struct zone_count *count = take(counts, &counts->zones, zone, action, ZONE_COUNTS_MAX);
    return count != NULL ? &count->hits : NULL;
}

_Atomic uint64_t *zone_counts_family(struct zone_counts *counts, const char *family) {
    struct zone_count *count = take(counts, &counts->families, family, 0, FAMILY_COUNTS_MAX);
    if (count == NULL)
        count = take(counts, &counts->families, FAMILY_OTHER, 0, FAMILY_COUNTS_MAX + 1);
    return count != NULL ? &count->hits : NULL;
}

static json_int_t hits_of(const struct zone_count *count) {
    return (json_int_t)atomic_load_explicit(&count->hits, memory_order_relaxed);
}

json_t *zone_counts_json(struct zone_counts *counts) {
    json_t *zones = json_array(), *families = json_array();
    uv_mutex_lock(&counts->lock);
    for (const struct zone_count *count = counts->zones.first; count != NULL; count = count->next)
        json_array_append_new(
            zones, json_pack("{s:s, s:s, s:I}", "zone", count->name, "action", action_name(count->action), "hits", hits_of(count)));
    for (const struct zone_count *count = counts->families.first; count != NULL; count = count->next)
        json_array_append_new(families, json_pack("{s:s, s:I}", "family", count->name, "hits", hits_of(count)));
    uv_mutex_unlock(&counts->lock);
    return json_pack("{s:o, s:o}", "zones", zones, "families", families);
}
