/* feeds/offline.c: see offline.h. One reason to exist: the feeder's work for a command line. */
#include "feeds/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "feeds/feeder.h"
#include "feeds/ingest.h"
#include "feeds/popular.h"
#include "feeds/redact.h"
#include "policy/idna.h"

static void print_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    fprintf(context, "%s:%u:%u: %s: %s\n", file, line, column, path == NULL || path[0] == '\0' ? "." : path, message);
}

/* --- a folder for the time of a command ----------------------------------------------------------------------------------------
 */

static int make_folder(char folder[PATH_MAX]) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, PATH_MAX, "%s/sundew-XXXXXX", base != NULL && base[0] == '/' ? base : "/tmp");
    return mkdtemp(folder) == NULL ? -errno : 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    return remove(path);
}

static void remove_folder(const char *folder) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- reading every file of a configuration -------------------------------------------------------------------------------------
 */

enum { ZONE_PREFIX = 32 };

struct look {
    struct feeder shell; /* only its directory is used */
    FILE *faults;        /* NULL: not wanted */
    const char *path;
    const char *prefix; /* of paths: where a zone's own rules stand in the configuration; "" for files */
    bool local;         /* feeds are left out */
    unsigned count;
};

static int on_fault(void *context, uint32_t line, uint32_t column, const char *path, const char *message) {
    struct look *look = context;
    char whole[512];
    look->count++;
    snprintf(whole, sizeof whole, "%s%s", look->prefix, path == NULL ? "" : path);
    if (look->faults != NULL)
        print_fault(look->faults, look->path, line, column, whole, message);
    return 0;
}

static int read_as(struct look *look, struct zone *zone, const char *key, const char *path, enum format format) {
    char store[PATH_MAX];
    struct store_counts counts;
    struct ingest ingest = {.format = format, .options = zone_options(zone), .paths = true, .observe = on_fault, .observer = look};
    const char *text = zone->config == NULL ? NULL : zone->config->builtin;
    struct stat status;
    int error = zone_store(zone, key, store, sizeof store), fd = -1;
    if (error == 0 && text == NULL) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        error = fd < 0 || fstat(fd, &status) != 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EISDIR;
        if (error != 0)
            on_fault(look, 1, 1, NULL, strerror(-error));
        if (error != 0 && fd >= 0)
            close(fd);
    }
    if (error != 0)
        return error;
    unsigned before = look->count;
    error = text != NULL ? ingest_text(&ingest, text, strlen(text), store, &counts)
                         : ingest_file(&ingest, fd, 0, store, false, &counts);
    if (error != 0 && look->count == before)
        on_fault(look, 1, 1, NULL, ingest.why);
    ingest_done(&ingest);
    return error;
}

static void read_one(struct look *look, struct zone *zone, const char *key, const char *path) {
    enum format format = zone_member_format(zone, key);
    FILE *faults = look->faults;
    unsigned count = look->count;
    look->path = path;
    bool guess = zone->config == NULL && format == FORMAT_SUNDEW;
    int error = -EBADMSG;
    if (guess) {
        look->faults = NULL;
        error = read_as(look, zone, key, path, FORMAT_WARNINGLIST);
        look->faults = faults;
        if (error == 0 && look->count > count) /* again, aloud */
            format = FORMAT_WARNINGLIST;
    }
    if (!guess || error != 0 || look->count > count) {
        look->count = count;
        error = read_as(look, zone, key, path, format);
    }
    struct member *member = error == 0 ? zone_add_member(zone, key) : NULL;
    if (member != NULL)
        state_set(&member->mark, "read");
}

/* A zone's own rules keep their lines and columns; their path leads on from the zone's. */
static const char *own_prefix(size_t zone, char prefix[ZONE_PREFIX]) {
    snprintf(prefix, ZONE_PREFIX, "zones[%zu].", zone);
    return prefix;
}

static void read_builtin(struct look *look, struct zone *zone, const char *path) {
    char prefix[ZONE_PREFIX];
    look->prefix = own_prefix(zone->index, prefix);
    read_one(look, zone, "", path);
    look->prefix = "";
}

static void read_zone(struct look *look, const struct config *config, struct zone *zone) {
    glob_t found = {0};
    if (zone->config != NULL && zone->config->builtin != NULL) {
        read_builtin(look, zone, config->path != NULL ? config->path : "(embedded)");
        return;
    }
    if (!zone->is_glob) {
        read_one(look, zone, "", zone->source);
        return;
    }
    if (glob(zone->source, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            read_one(look, zone, found.gl_pathv[i], found.gl_pathv[i]);
    globfree(&found);
}

/* A file of popular names, read as one of never_block is. -errno: no memory. */
static int add_list(struct look *look, struct popular *popular, const char *path, size_t index) {
    struct zone zone;
    int error = zone_init(&zone, &look->shell, NULL, path, index);
    if (error == 0)
        read_zone(look, NULL, &zone);
    for (size_t i = 0; i < zone.member_count && error == 0; i++) {
        char store[PATH_MAX];
        struct store_reader *reader;
        struct store_record record;
        if (zone_store(&zone, zone.members[i]->key, store, sizeof store) != 0 || store_open(&reader, store) != 0)
            continue;
        while (error == 0 && store_next(reader, &record) > STORE_END)
            if (record.indicator.rule.trigger == TRIGGER_DOMAIN)
                error = popular_add(popular, &record.indicator.rule.name, record.indicator.rule.match == MATCH_EXACT, path);
        store_close(reader);
    }
    zone_done(&zone);
    return error;
}

static int add_popular(struct look *look, struct popular *popular, char *const *entries, size_t count) {
    int error = 0;
    for (size_t i = 0; i < count && error == 0; i++) {
        struct name name;
        if (strchr(entries[i], '/') != NULL)
            error = add_list(look, popular, entries[i], i);
        else if (name_from_unicode(&name, entries[i], strlen(entries[i]), NULL) == 0)
            error = popular_add(popular, &name, false, "configuration");
    }
    return error;
}

/* --check: lists of popular names, which no build reads. */
static int check_popular(struct look *look, const struct config *config) {
    struct popular *popular = popular_new();
    int error = popular == NULL ? -ENOMEM : add_popular(look, popular, config->popular, config->popular_count);
    popular_free(popular);
    return error;
}

/* Reads local zones and never_block files into a fresh folder, and enters them, and saved feeds, into the plan. */
static int read_all(struct look *look, const struct config *config, struct build *build) {
    int error = 0;
    struct feeder saved = {.generation = 0};
    snprintf(saved.directory, sizeof saved.directory, "%.4000s/zones", config->state_dir == NULL ? "" : config->state_dir);
    size_t count = config->zone_count + config->policy.never_block_count;
    for (size_t i = 0; i < count && error == 0; i++) {
        bool never = i >= config->zone_count;
        const struct zone_config *own = never ? NULL : &config->zones[i];
        const char *source = never ? config->policy.never_block[i - config->zone_count] : own->source;
        bool feed = !never && own->builtin == NULL && redact_is_url(source);
        if ((never && source[0] != '/') || (feed && look->local))
            continue;
        struct zone zone;
        error = zone_init(&zone, feed ? &saved : &look->shell, own, source, i);
        if (error == 0 && !feed)
            read_zone(look, config, &zone);
        if (error == 0)
            error = feeder_plan(build, &zone);
        zone_done(&zone);
    }
    return error;
}

/* Rules that could be read but make no sense where they stand (a cname without a target, a bad record): a build finds them. */
static void check_build(struct look *look, struct build *build) {
    build->now = (int64_t)time(NULL);
    build->all_refusals = true;
    build_run(build);
    for (size_t i = 0; i < build->zone_count; i++) {
        const struct build_zone *zone = &build->zones[i];
        for (size_t k = 0; k < zone->refusal_count; k++) {
            const struct refusal *refusal = &zone->refusals[k];
            if (!refusal->faulty)
                continue;
            bool own = zone->zone->builtin != NULL && build->config->path != NULL;
            char message[NAME_TEXT_MAX + 256], prefix[ZONE_PREFIX];
            snprintf(message, sizeof message, "%s: %s", refusal->rule, refusal->why);
            look->path = own ? build->config->path : refusal->source;
            look->prefix = own ? own_prefix(i, prefix) : "";
            on_fault(look, refusal->line, refusal->column, refusal->path, message);
            look->prefix = "";
        }
    }
}

int offline_check(const char *path) {
    static struct look look = {.prefix = "", .local = true};
    char snapshot[PATH_MAX + 16];
    size_t faults;
    struct config *config = config_inspect(path, print_fault, stdout, &faults);
    if (config == NULL)
        return 1;
    look.faults = stdout;
    int error = make_folder(look.shell.directory);
    snprintf(snapshot, sizeof snapshot, "%s/check.snapshot", look.shell.directory);
    struct build *build = error == 0 ? build_new(config, snapshot, 0) : NULL;
    if (error == 0)
        error = build == NULL ? -ENOMEM : read_all(&look, config, build);
    if (error == 0)
        check_build(&look, build);
    if (error == 0)
        error = check_popular(&look, config);
    if (error != 0)
        fprintf(stderr, "sundew-feeder: %s: %s\n", look.shell.directory, strerror(-error));
    remove_folder(look.shell.directory);
    build_free(build);
    config_unref(config);
    return error != 0 || faults > 0 || look.count > 0;
}

int offline_compile(const char *path, const char *output) {
    static struct look look = {.prefix = ""};
    struct config *config = config_load(path, print_fault, stderr);
    if (config == NULL)
        return 1;
    char seed_path[PATH_MAX];
    uint64_t seed = 0x73756E646577; /* the same without a state, so that the same input gives the same file */
    snprintf(seed_path, sizeof seed_path, "%.4000s/seed", config->state_dir == NULL ? "" : config->state_dir);
    if (config->state_dir != NULL && access(seed_path, R_OK) == 0)
        publish_seed(config->state_dir, &seed);
    struct build *build = build_new(config, output, seed);
    int error = build == NULL ? -ENOMEM : make_folder(look.shell.directory);
    look.faults = stderr;
    if (error == 0)
        error = read_all(&look, config, build);
    if (error == 0) {
        build->now = (int64_t)time(NULL);
        build_run(build);
        error = build->error;
    }
    if (error != 0)
        fprintf(stderr, "sundew-feeder: %s\n",
                build != NULL && build->published.why[0] != '\0' ? build->published.why : strerror(-error));
    remove_folder(look.shell.directory);
    build_free(build);
    config_unref(config);
    return error != 0;
}

/* --- popular names --------------------------------------------------------------------------------------------------------------
 */

int offline_popular(const char *path, char *const *entries, size_t count) {
    static struct look look = {.prefix = ""};
    struct snapshot *snapshot = NULL;
    const char *why = NULL;
    struct popular *popular = popular_new();
    json_t *found = NULL;
    int error = snapshot_open(&snapshot, path, &why);
    if (error == 0)
        error = popular == NULL ? -ENOMEM : make_folder(look.shell.directory);
    if (error == 0) {
        look.faults = stderr;
        error = add_popular(&look, popular, entries, count);
        found = error == 0 ? popular_judge(popular, snapshot) : NULL;
        remove_folder(look.shell.directory);
    }
    if (found != NULL && json_dumpf(found, stdout, JSON_COMPACT) == 0)
        putchar('\n');
    else
        fprintf(stderr, "sundew-feeder: %s: %s\n", path, why != NULL ? why : strerror(error != 0 ? -error : ENOMEM));
    int code = found == NULL || look.count > 0;
    json_decref(found);
    popular_free(popular);
    snapshot_unref(snapshot);
    return code;
}

/* --- one zone: a whole feeder, for a moment --------------------------------------------------------------------------------------
 */

static json_t *zone_message(const char *folder, const char *source, const char *format) {
    json_t *zone = json_pack("{s:s, s:s, s:s*}", "name", "preview", "source", source, "format", format);
    json_t *config = json_pack("{s:[s], s:s, s:n, s:n, s:o}", "listen", "dns://127.0.0.1:53", "state_dir", folder, "control",
                               "http", "zones", json_pack("[o]", zone));
    char *text = config == NULL ? NULL : json_dumps(config, JSON_COMPACT), path[PATH_MAX], anchor[PATH_MAX];
    json_decref(config);
    if (getcwd(anchor, sizeof anchor - 16) == NULL)
        strcpy(anchor, "/");
    snprintf(path, sizeof path, "%.4000s/preview.json", anchor);
    json_t *message =
        text == NULL ? NULL : json_pack("{s:s, s:s, s:s, s:i}", "type", "config", "path", path, "text", text, "serial", 1);
    free(text);
    return message;
}

static void say(int fd, json_t *message) {
    char *text = json_dumps(message, JSON_COMPACT);
    if (text != NULL)
        dprintf(fd, "%s\n", text);
    free(text);
    json_decref(message);
}

/* Hands log lines on until a request is answered. 0 or 1; *data is the caller's, NULL for none (data may be NULL). */
static int follow(int fd, json_t **data) {
    FILE *stream = fdopen(dup(fd), "r");
    char *line = NULL;
    size_t room = 0;
    int code = -1;
    while (code < 0 && stream != NULL && getline(&line, &room, stream) > 0) {
        json_t *message = json_loads(line, 0, NULL);
        const char *type = json_string_value(json_object_get(message, "type"));
        if (type != NULL && (strcmp(type, "log") == 0 || strcmp(type, "failed") == 0)) {
            const char *text = json_string_value(json_object_get(message, type[0] == 'l' ? "text" : "why"));
            fprintf(stderr, "%s\n", text == NULL ? "" : text);
            code = type[0] == 'f' ? 1 : -1;
        } else if (type != NULL && strcmp(type, "reply") == 0) {
            const char *why = json_string_value(json_object_get(message, "why"));
            code = !json_is_true(json_object_get(message, "ok"));
            if (code != 0)
                fprintf(stderr, "%s\n", why == NULL ? "failed" : why);
            if (data != NULL)
                *data = json_incref(json_object_get(message, "data"));
        }
        json_decref(message);
    }
    free(line);
    if (stream != NULL)
        fclose(stream);
    return code != 0;
}

static int copy_file(const char *from, const char *to) {
    char buffer[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    ssize_t n = in < 0 || out < 0 ? -1 : 0;
    while (n >= 0 && (n = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)n) != n)
            n = -1;
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) != 0)
        n = -1;
    return n < 0 ? -EIO : 0;
}

int offline_zone(const char *source, const char *format, const char *output) {
    char folder[PATH_MAX], snapshot[PATH_MAX + 32];
    int ends[2];
    if (make_folder(folder) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        perror("sundew-feeder");
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        if (ends[1] != LINK_FD) {
            dup2(ends[1], LINK_FD);
            close(ends[1]);
        }
        _exit(feeder_run());
    }
    close(ends[1]);
    say(ends[0], zone_message(folder, source, format));
    say(ends[0], json_pack("{s:s, s:i, s:n, s:b}", "type", "refresh", "id", 1, "zone", "force", 0));
    int code = child < 0 ? 1 : follow(ends[0], NULL);
    json_t *zones = NULL;
    if (code == 0) {
        say(ends[0], json_pack("{s:s, s:i, s:b}", "type", "zones", "id", 2, "rejected", 1));
        code = follow(ends[0], &zones);
    }
    close(ends[0]); /* its end of file ends the child */
    if (child > 0)
        waitpid(child, NULL, 0);
    snprintf(snapshot, sizeof snapshot, "%s/policy.snapshot", folder);
    if (code == 0 && copy_file(snapshot, output) != 0) {
        fprintf(stderr, "sundew-feeder: %s: cannot be written\n", output);
        code = 1;
    }
    if (code == 0 && json_dumpf(zones, stdout, JSON_COMPACT) == 0)
        putchar('\n');
    json_decref(zones);
    remove_folder(folder);
    return code;
}
