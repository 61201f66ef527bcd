/* feeds/zone.c: see zone.h. One reason to exist: the members of a source and the files that back them. */
#include "feeds/zone.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feeds/feeder.h"
#include "feeds/redact.h"

enum format zone_member_format(const struct zone *zone, const char *key) {
    enum format format;
    if (zone->config != NULL && zone->config->builtin != NULL)
        return FORMAT_SUNDEW;
    if (zone->config != NULL && zone->config->format != NULL && format_from_name(zone->config->format, &format) == 0)
        return format;
    if (zone->is_feed) { /* by the path of the URL; a bare path is more likely JSON of our own than a list */
        const char *dot = strrchr(zone->shown, '.');
        return dot == NULL || strchr(dot, '/') != NULL ? FORMAT_SUNDEW : format_from_path(zone->shown);
    }
    return format_from_path(key[0] != '\0' ? key : zone->source);
}

struct format_options zone_options(const struct zone *zone) {
    return (struct format_options){
        .refang = zone->config != NULL && zone->config->refang, .protect = zone->config == NULL, .local = !zone->is_feed};
}

static void load_members(struct zone *zone, bool known) {
    for (size_t i = 0; i < zone->state.member_count; i++) {
        const struct state_member *saved = &zone->state.members[i];
        char path[PATH_MAX];
        struct store_reader *reader;
        struct stat status;
        if (!known || zone_store(zone, saved->key, path, sizeof path) != 0 || store_open(&reader, path) != 0)
            continue;
        store_close(reader);
        struct member *member = zone_add_member(zone, saved->key);
        if (member == NULL)
            continue;
        state_set(&member->mark, saved->mark);
        /* What is in force was read when its copy was written. The embedded zone is read at every start. */
        if ((zone->config == NULL || zone->config->builtin == NULL) && stat(path, &status) == 0)
            member->read_at = status.st_mtime;
    }
}

int zone_init(struct zone *zone, struct feeder *feeder, const struct zone_config *config, const char *source, size_t index) {
    char shown[2048], reading[128];
    *zone = (struct zone){.feeder = feeder, .config = config, .index = index};
    redact_url(source, shown, sizeof shown);
    zone->source = strdup(source);
    zone->shown = strdup(shown);
    if (zone->source == NULL || zone->shown == NULL ||
        asprintf(&zone->name, "%s%s", config == NULL ? ".never/" : "", config == NULL ? source : config->name) < 0 ||
        asprintf(&zone->label, "%s%s", config == NULL ? "never_block" : "zone ", config == NULL ? "" : config->name) < 0)
        return -ENOMEM;
    bool builtin = config != NULL && config->builtin != NULL;
    zone->is_feed = !builtin && redact_is_url(source);
    struct stat status;
    zone->is_glob = !builtin && !zone->is_feed && strpbrk(source, "*?[") != NULL && stat(source, &status) != 0;
    zone->format = zone_member_format(zone, "");
    zone->window = zone->is_feed && config != NULL && (config->window >= 0 ? config->window != 0 : format_is_window(zone->format));
    snprintf(reading, sizeof reading, "%s%s%s",
             config != NULL && config->format != NULL ? config->format : format_name(zone->format), zone->window ? " window" : "",
             config != NULL && config->refang ? " refang" : "");
    load_members(zone, state_load(&zone->state, feeder->directory, zone->name, shown, reading));
    zone->outcome.ages_at = INT64_MAX;
    return 0;
}

static void member_free(struct member *member) {
    free(member->key);
    free(member->mark);
    free(member->tried);
    free(member->seen);
    free(member->error);
    free(member);
}

void zone_done(struct zone *zone) {
    for (size_t i = 0; i < zone->member_count; i++)
        member_free(zone->members[i]);
    free(zone->members);
    free(zone->glob_error);
    build_forget(&zone->outcome);
    state_done(&zone->state);
    free(zone->name);
    free(zone->label);
    free(zone->source);
    free(zone->shown);
}

/* Where the key is, or would be put. */
static size_t place(const struct zone *zone, const char *key) {
    size_t low = 0, high = zone->member_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(zone->members[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct member *zone_member(struct zone *zone, const char *key) {
    size_t at = place(zone, key);
    return at < zone->member_count && strcmp(zone->members[at]->key, key) == 0 ? zone->members[at] : NULL;
}

struct member *zone_add_member(struct zone *zone, const char *key) {
    size_t at = place(zone, key);
    if (at < zone->member_count && strcmp(zone->members[at]->key, key) == 0)
        return zone->members[at];
    struct member *member = calloc(1, sizeof *member);
    struct member **larger = realloc(zone->members, (zone->member_count + 1) * sizeof(struct member *));
    if (larger != NULL)
        zone->members = larger;
    if (member != NULL)
        member->key = strdup(key);
    if (larger == NULL || member == NULL || member->key == NULL) {
        free(member);
        return NULL;
    }
    memmove(larger + at + 1, larger + at, (zone->member_count - at) * sizeof(struct member *));
    larger[at] = member;
    zone->member_count++;
    return member;
}

void zone_remove_member(struct zone *zone, struct member *member) {
    char path[PATH_MAX];
    size_t at = place(zone, member->key);
    if (zone_store(zone, member->key, path, sizeof path) == 0)
        unlink(path);
    memmove(zone->members + at, zone->members + at + 1, (zone->member_count - at - 1) * sizeof(struct member *));
    zone->member_count--;
    member_free(member);
}

int zone_store(const struct zone *zone, const char *key, char *path, size_t size) {
    return state_store(path, size, zone->feeder->directory, zone->name, key);
}

int zone_save(struct zone *zone) {
    state_clear_members(&zone->state);
    for (size_t i = 0; i < zone->member_count; i++)
        if (zone->members[i]->mark != NULL && state_add_member(&zone->state, zone->members[i]->key, zone->members[i]->mark) != 0)
            return -ENOMEM;
    return state_save(&zone->state, zone->feeder->directory, zone->name);
}

const char *zone_error(const struct zone *zone) {
    if (zone->glob_error != NULL)
        return zone->glob_error;
    for (size_t i = 0; i < zone->member_count; i++)
        if (zone->members[i]->error != NULL)
            return zone->members[i]->error;
    return NULL;
}
