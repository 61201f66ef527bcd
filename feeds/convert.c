/* feeds/convert.c: see convert.h. One reason to exist: a parser on one side, an emitter on the other. */
#include "feeds/convert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "feeds/body.h"
#include "feeds/emit.h"
#include "feeds/guard.h"
#include "feeds/select.h"
#include "policy/snapshot.h"

struct conversion {
    const char *file;
    enum format format;
    struct emitter *emitter;
    struct guard *guard;
    struct selection selection;
    struct format_head head; /* of a policy file: its defaults go into every rule, since the output has no head */
    char *target;            /* the head's, copied */
    uint64_t unsaid;         /* rules that the shape can't express */
};

static void say(const struct conversion *conversion, uint32_t line, uint32_t column, const char *path, const char *message) {
    fprintf(stderr, "%s:%u:%u: %s%s%s\n", conversion->file, line, column, path == NULL ? "" : path,
            path == NULL || path[0] == '\0' ? "" : ": ", message);
}

static void on_fault(void *context, uint32_t line, uint32_t column, const char *path, const char *message) {
    say(context, line, column, path, message);
}

/* The zone's choice fills in what is unset; json leaves it so, since its reader has defaults of its own. */
static int on_indicator(void *context, const struct indicator *indicator) {
    struct conversion *conversion = context;
    struct indicator chosen = *indicator;
    struct rule stated = indicator->rule;
    if (indicator->revoked || select_rule(&conversion->selection, &chosen, conversion->selection.now) != SELECT_TAKEN)
        return 0;
    const char *why = guard_refuses(conversion->guard, &chosen.rule);
    if (why != NULL) {
        say(conversion, indicator->rule.line, indicator->column, indicator->path, why);
        return 0;
    }
    stated.match = chosen.rule.match;
    if (conversion->head.action >= 0 && !indicator->allow) {
        stated.action = chosen.rule.action;
        stated.target = chosen.rule.target;
    }
    if (conversion->head.ttl >= 0)
        stated.ttl = chosen.rule.ttl;
    if (conversion->head.confidence >= 0)
        stated.confidence = chosen.rule.confidence;
    stated.expires = chosen.rule.expires;
    stated.action = indicator->allow ? ACTION_PASSTHRU : stated.action;
    conversion->unsaid += emitter_rule(conversion->emitter, &stated, &why) != 0;
    return 0;
}

static int no_indicator(void *context, const struct indicator *indicator) {
    return 0;
}

static void on_head(void *context, const struct format_head *head) {
    struct conversion *conversion = context;
    conversion->head = *head;
    free(conversion->target);
    conversion->target = head->target == NULL ? NULL : strdup(head->target);
    conversion->head.target = conversion->target;
    conversion->head.zone = conversion->head.description = NULL;
}

/* The head of a policy file may stand after its rules, and holds for them all the same: it is read first. */
static void read_head(struct conversion *conversion, int fd) {
    struct format_options options = {.local = true};
    struct format_sink sink = {.context = conversion, .indicator = no_indicator, .head = on_head};
    struct body *body;
    const char *why;
    int copy = dup(fd);
    if (copy < 0 || body_open(&body, copy, 0) != 0)
        return;
    format_read(conversion->format, body_read, body, &options, &sink, &why);
    body_close(body);
    lseek(fd, 0, SEEK_SET);
}

/* What comes through a pipe can't be read twice: it is laid down first. -1 with errno. */
static int lay_down(void) {
    FILE *file = tmpfile();
    char buffer[1 << 16];
    ssize_t n = 0;
    while (file != NULL && (n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        if (fwrite(buffer, 1, (size_t)n, file) != (size_t)n)
            n = -1;
    if (file == NULL || n < 0 || fflush(file) != 0)
        return -1;
    int fd = dup(fileno(file));
    fclose(file);
    return fd < 0 || lseek(fd, 0, SEEK_SET) != 0 ? -1 : fd;
}

static int convert_stream(struct conversion *conversion, struct body *body) {
    struct format_options options = {.protect = conversion->format == FORMAT_WARNINGLIST, .local = true};
    struct format_sink sink = {.context = conversion, .indicator = on_indicator, .fault = on_fault};
    const char *why = NULL;
    int error = format_read(conversion->format, body_read, body, &options, &sink, &why);
    if (error != 0 && error != -ENODATA)
        fprintf(stderr, "%s: %s\n", conversion->file, why != NULL ? why : strerror(-error));
    return error == -ENODATA ? 0 : error;
}

static int convert_file(struct conversion *conversion, const char *path) {
    struct body *body = NULL;
    conversion->file = strcmp(path, "-") == 0 ? "(stdin)" : path;
    int fd = strcmp(path, "-") == 0 ? lay_down() : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && conversion->format == FORMAT_SUNDEW)
        read_head(conversion, fd);
    int error = fd >= 0 ? body_open(&body, fd, 0) : errno != 0 ? -errno : -EIO;
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", conversion->file, strerror(-error));
        return error;
    }
    error = convert_stream(conversion, body);
    body_close(body);
    return error;
}

static int is_event(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0 && strcmp(entry->d_name, "manifest.json") != 0;
}

static int convert_folder(struct conversion *conversion, const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_event, alphasort), error = count < 0 ? -errno : 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        int one = convert_file(conversion, path);
        error = one != 0 ? one : error;
        free(entries[i]);
    }
    conversion->file = folder;
    if (count >= 0)
        free(entries);
    return error;
}

static int on_snapshot_rule(void *context, uint32_t number, const struct rule_info *info) {
    struct conversion *conversion = context;
    struct rule rule = {.trigger = info->trigger,
                        .match = info->match,
                        .action = info->action,
                        .ttl = info->ttl,
                        .confidence = info->confidence,
                        .family = info->family,
                        .reference = info->reference,
                        .first_seen = info->first_seen,
                        .last_seen = info->last_seen,
                        .expires = info->expires,
                        .target = info->target,
                        .records = info->records};
    const char *text = strncmp(info->text, "*.", 2) == 0 ? info->text + 2 : info->text, *why;
    bool named = info->trigger == TRIGGER_DOMAIN || info->trigger == TRIGGER_NAMESERVER;
    int error = named ? name_from_text(&rule.name, text, strlen(text), NULL)
                      : prefix_from_text(&rule.prefix, text, strlen(text), true, NULL);
    if (error == 0)
        conversion->unsaid += emitter_rule(conversion->emitter, &rule, &why) != 0;
    return 0;
}

static int convert_snapshot(struct conversion *conversion, const char *path) {
    struct snapshot *snapshot;
    const char *why = NULL;
    int error = snapshot_open(&snapshot, path, &why);
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", path, why != NULL ? why : strerror(-error));
        return error;
    }
    snapshot_each(snapshot, on_snapshot_rule, conversion);
    snapshot_unref(snapshot);
    return 0;
}

static int run(struct conversion *conversion, bool snapshot, const char *file) {
    static const char text[] = "{\"zones\": [{\"name\": \"convert\", \"source\": \"/dev/null\"}]}";
    struct config *config = config_parse("/", text, sizeof text - 1, NULL, NULL);
    struct stat status;
    if (config == NULL || conversion->guard == NULL) {
        config_unref(config);
        return -ENOMEM;
    }
    guard_load_suffixes(conversion->guard, NULL);
    conversion->head = (struct format_head){
        .action = -1, .ttl = -1, .match = -1, .confidence = -1, .mode = -1, .min_confidence = -1, .max_age = -1};
    conversion->selection = (struct selection){.head = &conversion->head,
                                               .config = config,
                                               .zone = &config->zones[0],
                                               .format = conversion->format,
                                               .now = (int64_t)time(NULL)};
    int error = snapshot                                              ? convert_snapshot(conversion, file)
                : stat(file, &status) == 0 && S_ISDIR(status.st_mode) ? convert_folder(conversion, file)
                                                                      : convert_file(conversion, file);
    config_unref(config);
    return error;
}

/* What was made goes out only once it is whole: a part of a list, piped on, would pass for all of it. 0 or -errno. */
static int pass_on(FILE *made) {
    char buffer[1 << 16];
    size_t n;
    rewind(made);
    while ((n = fread(buffer, 1, sizeof buffer, made)) > 0)
        if (fwrite(buffer, 1, n, stdout) != n)
            return -EIO;
    return ferror(made) || fflush(stdout) != 0 ? -EIO : 0;
}

int convert(const char *from, const char *to, const char *file) {
    struct conversion conversion = {.format = FORMAT_SUNDEW};
    enum emit_kind kind;
    bool snapshot = strcmp(from, "snapshot") == 0;
    if (!snapshot && format_from_name(from, &conversion.format) != 0) {
        fprintf(stderr, "sundew convert: no format \"%s\"\n", from);
        return 2;
    }
    if (emit_kind_from_name(to, &kind) != 0) {
        fprintf(stderr, "sundew convert: --to is json, rpz or domains, not \"%s\"\n", to);
        return 2;
    }
    FILE *made = tmpfile();
    conversion.emitter = made == NULL ? NULL : emitter_new(kind, made);
    if (conversion.emitter == NULL) {
        fprintf(stderr, "sundew convert: no room for the result: %s\n", strerror(errno));
        if (made != NULL)
            fclose(made);
        return 1;
    }
    conversion.guard = guard_new(1);
    int error = run(&conversion, snapshot, file);
    if (emitter_done(conversion.emitter) != 0 || (error == 0 && pass_on(made) != 0)) {
        fprintf(stderr, "sundew convert: cannot write: %s\n", strerror(errno));
        error = -EIO;
    }
    fclose(made);
    if (error == 0 && conversion.unsaid > 0)
        fprintf(stderr, "%s: %llu rules left out: the shape \"%s\" has no words for them\n", file,
                (unsigned long long)conversion.unsaid, to);
    guard_free(conversion.guard);
    free(conversion.target);
    return error != 0;
}
