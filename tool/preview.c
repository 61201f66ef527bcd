/* tool/preview.c: `sundew preview FILE|URL`: what a zone would hit, before anyone enforces it. The source is read (and fetched) by
 * sundew-feeder, as all hostile text; the daemon holds the compiled zone against its history and its protected names, the feeder
 * against lists of popular names. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

extern char **environ;

/* Runs the feeder with its stdout into the file `report`. True: it went well. */
static bool run_feeder(char *const *arguments, const char *report) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, report, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int rc = posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        tool_failed("%s: %s", arguments[0], strerror(rc));
    while (rc == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The source goes compiled to `output`, described as JSON to the file `report`. */
static int compile(const char *source, const char *format, const char *output, const char *report) {
    char *arguments[8] = {
        (char *)config_feeder_path(), (char *)"--zone", (char *)source, (char *)"-o", (char *)output, NULL, NULL, NULL};
    if (format != NULL) {
        arguments[5] = (char *)"--format";
        arguments[6] = (char *)format;
    }
    return run_feeder(arguments, report) ? TOOL_DONE : tool_failed("the zone could not be read");
}

/* Rules for popular names join those that are popular here: the feeder reads the lists, which the daemon named. */
static int add_popular(json_t *preview, const char *snapshot, const char *report) {
    const json_t *lists = json_object_get(preview, "popular_lists"), *entry;
    char **arguments = calloc(json_array_size(lists) + 4, sizeof(char *));
    size_t i, count = 0;
    if (arguments == NULL)
        return tool_failed("out of memory");
    arguments[count++] = (char *)config_feeder_path();
    arguments[count++] = (char *)"--popular";
    arguments[count++] = (char *)snapshot;
    json_array_foreach(lists, i, entry) arguments[count++] = (char *)json_string_value(entry);
    bool good = run_feeder(arguments, report);
    json_t *found = json_load_file(report, 0, NULL), *row, *left_out = json_object_get(preview, "left_out");
    json_array_foreach(json_object_get(found, "popular"), i, row) {
        json_object_set_new(row, "clients", json_null());
        json_array_append(json_object_get(preview, "popular"), row);
    }
    json_int_t more = json_integer_value(json_object_get(found, "left_out"));
    json_object_set_new(left_out, "popular", json_integer(json_integer_value(json_object_get(left_out, "popular")) + more));
    json_decref(found);
    free(arguments);
    json_object_del(preview, "popular_lists");
    return good ? TOOL_DONE : tool_failed("not all lists of popular names could be read");
}

/* What the feeder refused goes beside what the daemon found: "rejected", as in `sundew zones --rejected`, and the number of rules.
 */
static void add_report(json_t *preview, const char *report) {
    json_t *zones = json_load_file(report, 0, NULL), *zone = json_array_get(zones, 0);
    json_t *rules = json_object_get(zone, "rules"), *rejected = json_object_get(zone, "rejected_rules");
    json_object_set_new(preview, "rules", rules != NULL ? json_incref(rules) : json_null());
    json_object_set_new(preview, "rejected", rejected != NULL ? json_incref(rejected) : json_array());
    json_decref(zones);
}

/* One of the preview's lists as a table under a heading. Takes the table. */
static int print_list(const json_t *rows, const char *heading, struct table *table, const char *const *keys) {
    size_t i;
    json_t *row;
    printf("\n%s\n", heading);
    json_array_foreach(rows, i, row) for (size_t k = 0; keys[k] != NULL; k++) table_cell_json(table, json_object_get(row, keys[k]));
    return table_print(table);
}

/* Rows of "popular" that came from this network's history, or those that came from lists: a new reference. */
static json_t *popular_rows(const json_t *preview, bool history) {
    json_t *rows = json_array(), *row;
    size_t i;
    json_array_foreach(json_object_get(preview, "popular"), i, row) {
        const char *list = json_string_value(json_object_get(row, "list"));
        if (history == (list != NULL && strcmp(list, "history") == 0))
            json_array_append(rows, row);
    }
    return rows;
}

/* The rows, and those that aren't there. */
static long long with_left_out(const json_t *preview, const char *key, const json_t *rows) {
    json_int_t left_out = json_integer_value(json_object_get(json_object_get(preview, "left_out"), key));
    return (long long)json_array_size(rows) + left_out;
}

static int print(const json_t *preview) {
    static const char *const asked[] = {"client", "mac", "hostname", "qname", "rule", "family", "last_asked", NULL};
    static const char *const popular[] = {"rule", "clients", NULL};
    static const char *const listed[] = {"name", "rule", "list", NULL};
    static const char *const guarded[] = {"rule", NULL};
    static const char *const rejected[] = {"line", "rule", "why", NULL};
    json_t *many = popular_rows(preview, true), *names = popular_rows(preview, false);
    printf(
        "%lld rules; %zu names asked lately would have been hit; %lld rules for popular names; %lld rules for protected names; %zu "
        "rules rejected\n",
        (long long)json_integer_value(json_object_get(preview, "rules")), json_array_size(json_object_get(preview, "asked")),
        with_left_out(preview, "popular", names), with_left_out(preview, "protected", json_object_get(preview, "protected")),
        json_array_size(json_object_get(preview, "rejected")));
    const json_t *rows = json_object_get(preview, "asked");
    int code = TOOL_DONE;
    if (json_array_size(rows) > 0)
        code = print_list(
            rows, "Asked lately:", table_new("CLIENT", "MAC", "HOSTNAME", "QNAME", "RULE", "FAMILY", "LAST ASKED", NULL), asked);
    if (code == TOOL_DONE && json_array_size(many) > 0)
        code = print_list(many, "Asked by many, perhaps harmless:", table_new("RULE", ">CLIENTS", NULL), popular);
    if (code == TOOL_DONE && json_array_size(names) > 0)
        code = print_list(names, "Popular names, or names below them:", table_new("POPULAR", "RULE", "LIST", NULL), listed);
    const char *key;
    json_t *count;
    json_object_foreach(json_object_get(preview, "left_out"), key, count) if (code == TOOL_DONE && json_integer_value(count) > 0)
        printf("\n%lld more: %s\n", (long long)json_integer_value(count), key);
    json_decref(many);
    json_decref(names);
    rows = json_object_get(preview, "protected");
    if (code == TOOL_DONE && json_array_size(rows) > 0)
        code = print_list(rows, "Protected, would not be answered for:", table_new("RULE", NULL), guarded);
    rows = json_object_get(preview, "rejected");
    if (code == TOOL_DONE && json_array_size(rows) > 0)
        code = print_list(rows, "Rejected:", table_new(">LINE", "RULE", "WHY", NULL), rejected);
    return code;
}

static int preview(struct tool *tool, const char *source, const char *format, const char *folder) {
    char snapshot[576], report[576];
    json_t *data = NULL;
    snprintf(snapshot, sizeof snapshot, "%s/policy", folder);
    snprintf(report, sizeof report, "%s/report", folder);
    int code = compile(source, format, snapshot, report);
    if (code == TOOL_DONE) {
        chmod(folder, 0755); /* the daemon may be another user; what is in there came from a file or feed, not from here */
        chmod(snapshot, 0644);
        code = request_send(tool, json_pack("{s:s, s:s}", "command", "preview", "snapshot", snapshot), &data);
    }
    if (code == TOOL_DONE) {
        add_report(data, report);
        int lists = add_popular(data, snapshot, report);
        code = tool->json ? request_print_json(json_incref(data)) : print(data);
        code = code == TOOL_DONE ? lists : code;
    }
    json_decref(data);
    unlink(snapshot);
    unlink(report);
    return code;
}

int tool_preview(struct tool *tool, int argc, char **argv) {
    const char *source = NULL, *format = NULL, *base = getenv("TMPDIR");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--format") == 0 && i + 1 < argc)
            format = argv[++i];
        else if (argv[i][0] == '-' || source != NULL)
            return tool_usage(argv[0], "%s: no such argument, or it lacks its value", argv[i]);
        else
            source = argv[i];
    }
    if (source == NULL)
        return tool_usage(argv[0], "a file or URL is missing");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/sundew-preview-XXXXXX", base != NULL && base[0] == '/' ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        return tool_failed("%s: %s", folder, strerror(errno));
    int code = preview(tool, source, format, folder);
    rmdir(folder);
    return code;
}
