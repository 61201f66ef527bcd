/* feeds/state_sweep.c: see state.h. One reason to exist: what is kept of zones that are no longer configured goes. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feeds/state.h"

enum { KEY_DIGITS = 16 /* of the hash that a member's store is called by */ };

/* All endings that a store's file may have: itself, and what was being written when a run was cut short. */
static const char *const endings[] = {"", ".new", ".fresh", ".fresh.new", ".merged", ".merged.new", ".names", ".names.new"};
enum { ENDINGS = sizeof endings / sizeof *endings };

/* NAME.json says itself that it is a zone's memory. */
static bool is_memory(const char *path) {
    json_t *object = json_load_file(path, 0, NULL);
    bool is = json_is_string(json_object_get(object, "version")) && json_is_string(json_object_get(object, "source")) &&
              json_is_string(json_object_get(object, "reading")) && json_is_object(json_object_get(object, "members"));
    json_decref(object);
    return is;
}

static bool is_store(const char *name) {
    size_t digits = strspn(name, "0123456789abcdef");
    if (digits != KEY_DIGITS || strncmp(name + digits, ".rules", 6) != 0)
        return false;
    for (size_t i = 0; i < ENDINGS; i++)
        if (strcmp(name + digits + 6, endings[i]) == 0)
            return true;
    return false;
}

/* The stores of a zone with many, and their folder, if nothing else lies there. */
static void remove_stores(const char *folder) {
    DIR *list = opendir(folder);
    if (list == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (is_store(entry->d_name))
            unlinkat(dirfd(list), entry->d_name, 0);
    closedir(list);
    rmdir(folder);
}

/* NAME.json goes last: until then the rest is found again. */
static void remove_zone(const char *directory, const char *name) {
    char path[PATH_MAX];
    for (size_t i = 0; i < ENDINGS; i++) {
        snprintf(path, sizeof path, "%s/%s.rules%s", directory, name, endings[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/%s.d", directory, name);
    remove_stores(path);
    snprintf(path, sizeof path, "%s/%s.json.tmp", directory, name);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s.json", directory, name);
    unlink(path);
}

/* A file's name back to the zone's, in place. */
static char *zone_of(char *name) {
    char *to = name;
    for (const char *at = name; *at != '\0'; at++) {
        unsigned value;
        if (*at == '%' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]) && sscanf(at + 1, "%2x", &value) == 1) {
            *to++ = (char)value;
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return name;
}

static bool is_kept(const char *name, const char *const *zones, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char kept[STATE_NAME_SIZE];
        state_file_name(zones[i], kept);
        if (strcmp(name, kept) == 0)
            return true;
    }
    return false;
}

int state_sweep(const char *directory, const char *const *zones, size_t count, void (*removed)(void *context, const char *zone),
                void *context) {
    DIR *list = opendir(directory);
    if (list == NULL)
        return -errno;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char name[STATE_NAME_SIZE], path[PATH_MAX];
        size_t length = strlen(entry->d_name);
        if (length <= 5 || length - 5 >= sizeof name || strcmp(entry->d_name + length - 5, ".json") != 0)
            continue;
        memcpy(name, entry->d_name, length - 5);
        name[length - 5] = '\0';
        if (is_kept(name, zones, count) || (size_t)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= sizeof path ||
            !is_memory(path))
            continue;
        remove_zone(directory, name);
        removed(context, zone_of(name));
    }
    closedir(list);
    return 0;
}
