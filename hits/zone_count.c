/* hits/zone_count.c: a list that only grows. See zone_count.h. */
#include "hits/zone_count.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct zone_count {
    struct zone_count *next;
    char *zone;
    enum action action;
    _Atomic uint64_t hits;
};

struct zone_counts {
    uv_mutex_t lock; /* the list; the counters need none */
    struct zone_count *first;
    size_t count;
};

struct zone_counts *zone_counts_new(void) {
    struct zone_counts *counts = calloc(1, sizeof *counts);
    if (counts != NULL && uv_mutex_init(&counts->lock) != 0) {
        free(counts);
        return NULL;
    }
    return counts;
}

void zone_counts_free(struct zone_counts *counts) {
    if (counts == NULL)
        return;
    for (struct zone_count *count = counts->first, *next; count != NULL; count = next) {
        next = count->next;
        free(count->zone);
        free(count);
    }
    uv_mutex_destroy(&counts->lock);
    free(counts);
}

/* Appends a counter; the lock is held. */
static struct zone_count *add(struct zone_counts *counts, const char *zone, enum action action) {
    struct zone_count *count = counts->count < ZONE_COUNTS_MAX ? calloc(1, sizeof *count) : NULL;
    if (count == NULL)
        return NULL;
    count->zone = strdup(zone);
    if (count->zone == NULL) {
        free(count);
        return NULL;
    }
    count->action = action;
    count->next = counts->first;
    counts->first = count;
    counts->count++;
    return count;
}

_Atomic uint64_t *zone_counts_find(struct zone_counts *counts, const char *zone, enum action action) {
    uv_mutex_lock(&counts->lock);
    struct zone_count *count = counts->first;
    while (count != NULL && (count->action != action || strcmp(count->zone, zone) != 0))
        count = count->next;
    if (count == NULL)
        count = add(counts, zone, action);
    uv_mutex_unlock(&counts->lock);
    return count != NULL ? &count->hits : NULL;
}

json_t *zone_counts_json(struct zone_counts *counts) {
    json_t *list = json_array();
    uv_mutex_lock(&counts->lock);
    for (const struct zone_count *count = counts->first; list != NULL && count != NULL; count = count->next)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "zone", count->zone, "action", action_name(count->action), "hits",
                                              (json_int_t)atomic_load_explicit(&count->hits, memory_order_relaxed)));
    uv_mutex_unlock(&counts->lock);
    return list;
}
