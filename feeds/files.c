/* feeds/files.c: see files.h. One reason to exist: noticing what changed on disk. */
#include "feeds/files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "feeds/feeder.h"
#include "feeds/ingest.h"

enum { MARK_SIZE = 96, FAULTS_SAID = 10 };

/* One file to read; holds copies, since the zone may be gone when it is done. */
struct reading {
    struct job job;
    struct feeder *feeder;
    uint64_t generation;
    size_t zone;
    char *key, *path, *text;                   /* text: of a built-in zone */
    char store[PATH_MAX], fresh[PATH_MAX + 8]; /* read into fresh, which takes the store's place if it is good */
    enum format format;
    struct format_options options;
    int64_t max_rules; /* or -1 */
    /* --- outcome --- */
    int error;
    bool transient; /* the file could not be opened, which may pass without its being changed */
    char why[512];
    char mark[MARK_SIZE];
    struct store_counts counts;
    char *said; /* the first faults, a line each */
    unsigned faults;
};

static void mark_of(const struct stat *status, char mark[MARK_SIZE]) {
    snprintf(mark, MARK_SIZE, "%lld.%09ld %lld %llu", (long long)status->st_mtim.tv_sec, status->st_mtim.tv_nsec,
             (long long)status->st_size, (unsigned long long)status->st_ino);
}

static int on_fault(void *context, uint32_t line, uint32_t column, const char *path, const char *message) {
    struct reading *reading = context;
    char *longer;
    if (reading->faults++ < FAULTS_SAID &&
        asprintf(&longer, "%s%s:%u:%u: %s%s%s\n", reading->said == NULL ? "" : reading->said, reading->path, line, column,
                 path == NULL ? "" : path, path == NULL ? "" : ": ", message) >= 0) {
        free(reading->said);
        reading->said = longer;
    }
    return 0;
}

static int open_regular(struct reading *reading) {
    struct stat status;
    int fd = open(reading->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        reading->transient = true;
        snprintf(reading->why, sizeof reading->why, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    mark_of(&status, reading->mark);
    if (!S_ISREG(status.st_mode)) {
        snprintf(reading->why, sizeof reading->why, "not a file");
        close(fd);
        return -1;
    }
    return fd;
}

static int read_as(struct reading *reading, enum format format) {
    struct ingest ingest = {.format = format, .options = reading->options, .observe = on_fault, .observer = reading};
    int error;
    if (reading->text != NULL) {
        error = ingest_text(&ingest, reading->text, strlen(reading->text), reading->fresh, &reading->counts);
    } else {
        int fd = open_regular(reading);
        if (fd < 0)
            return -EIO;
        error = ingest_file(&ingest, fd, 0, reading->fresh, false, &reading->counts);
    }
    if (error != 0)
        snprintf(reading->why, sizeof reading->why, "%s", ingest.why);
    ingest_done(&ingest);
    return error;
}

static void run(struct job *job) {
    struct reading *reading = (struct reading *)job;
    bool guess = reading->options.protect && reading->format == FORMAT_SUNDEW;
    if (guess) /* a .json file of never_block: a warninglist, or else a policy file */
        reading->error = read_as(reading, FORMAT_WARNINGLIST);
    if (!guess || reading->error == -EBADMSG) {
        free(reading->said);
        reading->said = NULL;
        reading->faults = 0;
        reading->error = read_as(reading, reading->format);
    }
    if (reading->error == 0 && reading->max_rules >= 0 && reading->counts.rules > (uint64_t)reading->max_rules) {
        reading->error = -E2BIG;
        snprintf(reading->why, sizeof reading->why, "more rules than max_rules (%llu)", (unsigned long long)reading->counts.rules);
        unlink(reading->fresh);
    } else if (reading->error == 0 && rename(reading->fresh, reading->store) != 0) {
        reading->error = -errno;
        snprintf(reading->why, sizeof reading->why, "cannot keep it: %s", strerror(errno));
    }
}

static void set_error(struct zone *zone, struct member *member, const char *path, const char *why) {
    if (why == NULL) {
        if (member->error != NULL)
            link_log(&zone->feeder->link, "info", "%s: %s can be read again", zone->label, path);
        state_set(&member->error, NULL);
        return;
    }
    char text[PATH_MAX + 512];
    snprintf(text, sizeof text, "%s: %s", path, why);
    if (member->error == NULL || strcmp(member->error, text) != 0)
        link_log(&zone->feeder->link, "warning", "%s: %s%s", zone->label, text,
                 member->mark != NULL ? "; its last good rules stay" : "");
    state_set(&member->error, text);
}

static void say_faults(const struct zone *zone, const struct reading *reading) {
    if (reading->said == NULL)
        return;
    char *rest = reading->said, *line;
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0')
        link_log(&zone->feeder->link, "warning", "%s: rule skipped: %s", zone->label, line);
    if (reading->faults > FAULTS_SAID)
        link_log(&zone->feeder->link, "warning", "%s: %u more rules skipped in %s%s", zone->label, reading->faults - FAULTS_SAID,
                 reading->path, zone->config != NULL ? " (sundew zones --rejected)" : "");
}

static void free_reading(struct reading *reading) {
    free(reading->key);
    free(reading->path);
    free(reading->text);
    free(reading->said);
    free(reading);
}

static void finish(struct zone *zone, struct member *member, struct reading *reading) {
    if (reading->error != 0) {
        if (!reading->transient)
            state_set(&member->tried, reading->mark);
        set_error(zone, member, reading->path, reading->why);
        return;
    }
    state_set(&member->mark, reading->mark);
    state_set(&member->tried, NULL);
    member->read_at = (int64_t)time(NULL);
    set_error(zone, member, reading->path, NULL);
    say_faults(zone, reading);
    int error = zone_save(zone);
    if (error != 0)
        feeder_state_error(zone->feeder, error);
    feeder_changed(zone->feeder);
}

static void done(struct job *job) {
    struct reading *reading = (struct reading *)job;
    struct zone *zone = feeder_zone(reading->feeder, reading->generation, reading->zone);
    struct member *member = zone == NULL ? NULL : zone_member(zone, reading->key);
    if (member != NULL) {
        member->busy = false;
        finish(zone, member, reading);
    }
    free_reading(reading);
}

static void start_reading(struct zone *zone, struct member *member, const char *path) {
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        return;
    const char *text = zone->config == NULL ? NULL : zone->config->builtin;
    reading->job = (struct job){.run = run, .done = done};
    reading->feeder = zone->feeder;
    reading->generation = zone->feeder->generation;
    reading->zone = zone->index;
    reading->key = strdup(member->key);
    reading->path = strdup(path);
    reading->text = text == NULL ? NULL : strdup(text);
    reading->format = zone_member_format(zone, member->key);
    reading->options = zone_options(zone);
    reading->max_rules = zone->config == NULL ? -1 : zone->config->max_rules;
    if (text != NULL)
        snprintf(reading->mark, sizeof reading->mark, "builtin");
    if (reading->key == NULL || reading->path == NULL || (text != NULL && reading->text == NULL) ||
        zone_store(zone, member->key, reading->store, sizeof reading->store) != 0) {
        free_reading(reading);
        return;
    }
    snprintf(reading->fresh, sizeof reading->fresh, "%s.fresh", reading->store);
    member->busy = true;
    jobs_add(&zone->feeder->jobs, &reading->job);
}

static bool same(const char *a, const char *b) {
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void look_at(struct zone *zone, const char *key, const char *path, bool now) {
    struct member *member = zone_add_member(zone, key);
    struct stat status;
    char mark[MARK_SIZE];
    if (member == NULL)
        return;
    member->listed = true;
    if (member->busy)
        return;
    if (stat(path, &status) != 0) {
        set_error(zone, member, path, strerror(errno));
        state_set(&member->seen, NULL);
        return;
    }
    mark_of(&status, mark);
    bool still = now || same(member->seen, mark);
    state_set(&member->seen, mark);
    if (same(member->mark, mark)) {
        if (member->error != NULL)
            set_error(zone, member, path, NULL); /* what it was before is back */
        return;
    }
    if (still && !same(member->tried, mark))
        start_reading(zone, member, path);
}

static void set_glob_error(struct zone *zone, const char *why) {
    char text[PATH_MAX + 256];
    if (why == NULL) {
        if (zone->glob_error != NULL)
            link_log(&zone->feeder->link, "info", "%s: %s can be read again", zone->label, zone->shown);
        state_set(&zone->glob_error, NULL);
        return;
    }
    snprintf(text, sizeof text, "%s: %s", zone->shown, why);
    if (zone->glob_error == NULL || strcmp(zone->glob_error, text) != 0)
        link_log(&zone->feeder->link, "warning", "%s: %s", zone->label, text);
    state_set(&zone->glob_error, text);
}

static void look_at_glob(struct zone *zone, bool now) {
    glob_t found = {0};
    for (size_t i = 0; i < zone->member_count; i++)
        zone->members[i]->listed = false;
    errno = 0;
    int outcome = glob(zone->source, GLOB_ERR, NULL, &found);
    set_glob_error(zone, outcome == 0 || outcome == GLOB_NOMATCH ? NULL : strerror(errno != 0 ? errno : ENOMEM));
    for (size_t i = 0; i < found.gl_pathc && outcome == 0; i++)
        look_at(zone, found.gl_pathv[i], found.gl_pathv[i], now);
    globfree(&found);
    if (outcome != 0 && outcome != GLOB_NOMATCH)
        return; /* the folder can't be read now: what is known stays */
    for (size_t i = zone->member_count; i-- > 0;) {
        struct member *member = zone->members[i];
        if (member->listed || member->busy)
            continue;
        zone_remove_member(zone, member);
        zone_save(zone);
        feeder_changed(zone->feeder);
    }
}

void files_look(struct zone *zone, bool now) {
    if (zone->is_glob) {
        look_at_glob(zone, now);
    } else if (zone->config != NULL && zone->config->builtin != NULL) {
        struct member *member = zone_add_member(zone, "");
        if (member != NULL && member->read_at == 0 && !member->busy)
            start_reading(zone, member, zone->source);
    } else {
        look_at(zone, "", zone->source, now);
    }
}
