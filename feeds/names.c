/* feeds/names.c: a STIX bundle of names beside a store. */
#include "feeds/names.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int path_of(char path[PATH_MAX], const char *store, const char *ending) {
    return (size_t)snprintf(path, PATH_MAX, "%s%s", store, ending) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static long read_file(void *file, char *buffer, size_t size) {
    size_t got = fread(buffer, 1, size, file);
    return got == 0 && ferror(file) ? -EIO : (long)got;
}

static int no_indicator(void *context, const struct indicator *indicator) {
    return 0;
}

void names_load(struct format_memory *memory, const char *store) {
    char path[PATH_MAX];
    FILE *file = path_of(path, store, ".names") == 0 ? fopen(path, "re") : NULL;
    if (file == NULL)
        return;
    const struct format_options options = {.memory = memory};
    const struct format_sink sink = {.indicator = no_indicator};
    format_read(FORMAT_STIX, read_file, file, &options, &sink, NULL);
    fclose(file);
}

int names_save(const struct format_memory *memory, const char *store) {
    char path[PATH_MAX], aside[PATH_MAX];
    if (path_of(path, store, ".names") != 0 || path_of(aside, store, ".names.new") != 0)
        return -ENAMETOOLONG;
    FILE *file = fopen(aside, "we");
    if (file == NULL)
        return -errno;
    int error = format_memory_save(memory, file);
    if (fclose(file) != 0 && error == 0)
        error = -errno;
    if (error == 0 && rename(aside, path) != 0)
        error = -errno;
    if (error != 0)
        unlink(aside);
    return error;
}
