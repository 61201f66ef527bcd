/* feeds/publish.c: see publish.h. One reason to exist: the order of write, sync, verify and rename. */
#include "feeds/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "policy/snapshot.h"

static int sync_directory(const char *path) {
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        snprintf(directory, sizeof directory, ".");
    else
        slash[slash == directory] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) != 0 ? -errno : 0;
    close(fd);
    return error == -EINVAL ? 0 : error; /* some file systems have no such thing */
}

static int fail(struct published *published, int error, const char *doing, const char *why) {
    snprintf(published->why, sizeof published->why, "%.150s: %s", doing, why != NULL ? why : strerror(-error));
    return error;
}

static int write_aside(const char *aside, struct ruleset *rules, const struct compile_options *options,
                       struct published *published) {
    unlink(aside);
    int fd = open(aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return fail(published, -errno, aside, NULL);
    int error = compile_write(rules, options, fd);
    if (error != 0)
        fail(published, error, "cannot write the snapshot", NULL);
    if (error == 0 && fsync(fd) != 0)
        error = fail(published, -errno, "cannot write the snapshot", NULL);
    if (close(fd) != 0 && error == 0)
        error = fail(published, -errno, "cannot write the snapshot", NULL);
    return error;
}

int publish_snapshot(const char *path, struct ruleset *rules, const struct compile_options *options, struct published *published,
                     void (*count_zone)(void *context, uint32_t zone, uint64_t rules), void *context) {
    char aside[PATH_MAX];
    *published = (struct published){0};
    if ((size_t)snprintf(aside, sizeof aside, "%s.tmp", path) >= sizeof aside)
        return fail(published, -ENAMETOOLONG, path, NULL);
    int error = write_aside(aside, rules, options, published);
    struct snapshot *fresh = NULL, *present = NULL;
    const char *why = NULL;
    if (error == 0 && (error = snapshot_open(&fresh, aside, &why)) != 0)
        fail(published, error, "the snapshot that was written cannot be read back", why);
    if (error == 0) {
        struct snapshot_stats stats;
        snapshot_stats(fresh, &stats);
        published->rules = stats.rules;
        for (uint32_t i = 0; count_zone != NULL && i < stats.zones; i++)
            count_zone(context, i, snapshot_zone_rules(fresh, i));
        snprintf(published->id, sizeof published->id, "%s", snapshot_id(fresh));
        published->changed = snapshot_open(&present, path, &why) != 0 || strcmp(snapshot_id(present), published->id) != 0 ||
                             memcmp(snapshot_digest(present), options->digest, sizeof options->digest) != 0 ||
                             snapshot_seed(present) != options->seed;
        snapshot_unref(present);
        snapshot_unref(fresh);
        if (published->changed && rename(aside, path) != 0)
            error = fail(published, -errno, path, NULL);
        else if (published->changed && (error = sync_directory(path)) != 0)
            fail(published, error, path, NULL);
    }
    if (error != 0 || !published->changed)
        unlink(aside);
    return error;
}

int publish_text(const char *path, const char *text, size_t length) {
    char aside[PATH_MAX];
    if ((size_t)snprintf(aside, sizeof aside, "%s.tmp", path) >= sizeof aside)
        return -ENAMETOOLONG;
    unlink(aside);
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int error = 0;
    for (size_t at = 0; at < length && error == 0;) {
        ssize_t n = write(fd, text + at, length - at);
        if (n < 0)
            error = -errno;
        else
            at += (size_t)n;
    }
    if (error == 0 && fsync(fd) != 0)
        error = -errno;
    if (close(fd) != 0 && error == 0)
        error = -errno;
    if (error == 0 && rename(aside, path) != 0)
        error = -errno;
    if (error != 0)
        unlink(aside);
    return error;
}

int publish_seed(const char *directory, uint64_t *seed) {
    char path[PATH_MAX], text[32];
    if ((size_t)snprintf(path, sizeof path, "%s/seed", directory) >= sizeof path)
        return -ENAMETOOLONG;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        unsigned long long value;
        int fields = fscanf(file, "%16llx", &value);
        fclose(file);
        if (fields == 1) {
            *seed = value;
            return 0;
        }
    } else if (errno != ENOENT) {
        return -errno;
    }
    uint64_t fresh;
    if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
        return -EIO;
    int length = snprintf(text, sizeof text, "%016llx\n", (unsigned long long)fresh);
    int error = publish_text(path, text, (size_t)length);
    if (error == 0)
        *seed = fresh;
    return error;
}
