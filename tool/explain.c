/* tool/explain.c: `sundew explain NAME|IP`: which rule decides, and what it shadows. Against the daemon, or with -c offline on a
 * configuration, which sundew-feeder compiles (hostile text is read by it alone). */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "hits/explain.h"
#include "policy/prefix.h"
#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

extern char **environ;

struct wanted {
    const char *subject, *client, *type, *config;
};

/* 0, or the exit code for a wrong command line. */
static int read_arguments(struct wanted *wanted, int argc, char **argv) {
    memset(wanted, 0, sizeof *wanted);
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--client") == 0 ? &wanted->client
                             : strcmp(argv[i], "--type") == 0 ? &wanted->type
                             : strcmp(argv[i], "-c") == 0     ? &wanted->config
                                                              : NULL;
        if (value != NULL && i + 1 < argc)
            *value = argv[++i];
        else if (value != NULL || argv[i][0] == '-' || wanted->subject != NULL)
            return tool_usage(argv[0], "%s: no such argument, or it lacks its value", argv[i]);
        else
            wanted->subject = argv[i];
    }
    return wanted->subject != NULL ? 0 : tool_usage(argv[0], "a name or an address is missing");
}

static json_t *parameters_of(const struct wanted *wanted) {
    struct ip ip;
    bool address = ip_from_text(&ip, wanted->subject, strlen(wanted->subject)) == 0;
    return json_pack("{s:s, s:s, s:s*, s:s*}", "command", "explain", address ? "ip" : "name", wanted->subject, "client",
                     wanted->client, "type", wanted->type);
}

/* Runs sundew-feeder to compile the configuration's local policy into `output`. */
static int compile(const char *config, const char *output) {
    char *arguments[] = {
        (char *)config_feeder_path(), (char *)"--compile", (char *)"-c", (char *)config, (char *)"-o", (char *)output, NULL};
    pid_t pid;
    int status, rc = posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ);
    if (rc != 0)
        return tool_failed("%s: %s", arguments[0], strerror(rc));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return tool_failed("%s could not be compiled", config);
    return TOOL_DONE;
}

static int explain_offline(const struct wanted *wanted, json_t **data) {
    const char *folder = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/sundew-explain-XXXXXX", folder != NULL ? folder : "/tmp");
    if (mkdtemp(path) == NULL)
        return tool_failed("%s: %s", path, strerror(errno));
    char file[sizeof path + 16];
    snprintf(file, sizeof file, "%s/policy", path);
    struct snapshot *snapshot = NULL;
    const char *why = NULL;
    int code = compile(wanted->config, file);
    if (code == TOOL_DONE && snapshot_open(&snapshot, file, &why) != 0)
        code = tool_failed("the compiled policy can't be read: %s", why != NULL ? why : "damaged");
    unlink(file);
    rmdir(path);
    if (code != TOOL_DONE)
        return code;
    json_t *parameters = parameters_of(wanted);
    *data = parameters != NULL ? explain_json(snapshot, parameters, (int64_t)time(NULL), &why) : NULL;
    json_decref(parameters);
    snapshot_unref(snapshot);
    if (*data != NULL)
        return TOOL_DONE;
    tool_failed("%s", why != NULL ? why : "the name isn't valid UTF-8");
    return TOOL_USAGE;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void print_decision(const json_t *data) {
    char safe[4096], line[2048];
    const char *subject = json_object_get(data, "name") != NULL ? text_of(data, "name") : text_of(data, "ip");
    if (json_is_true(json_object_get(data, "decided"))) {
        snprintf(line, sizeof line, "%s: %s, by rule %s of zone %s", subject, text_of(data, "action"), text_of(data, "rule"),
                 text_of(data, "zone"));
        puts(table_escape(line, safe, sizeof safe));
    } else {
        snprintf(line, sizeof line, "%s: %s", subject,
                 json_is_true(json_object_get(data, "protected")) ? "protected, no rule may answer for it" : "no rule decides");
        puts(table_escape(line, safe, sizeof safe));
    }
}

static int print(const json_t *data) {
    print_decision(data);
    const json_t *rules = json_object_get(data, "rules");
    if (json_array_size(rules) == 0)
        return TOOL_DONE;
    putchar('\n');
    struct table *table = table_new("STATE", "ZONE", "TRIGGER", "RULE", "MATCH", "ACTION", "MODE", ">TTL", "FAMILY", ">CONFIDENCE",
                                    "SOURCE", ">LINE", "REFERENCE", NULL);
    static const char *const keys[] = {"state", "zone",   "trigger",    "rule",   "match", "action",   "mode",
                                       "ttl",   "family", "confidence", "source", "line",  "reference"};
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            table_cell_json(table, json_object_get(rule, keys[k]));
    }
    return table_print(table);
}

int tool_explain(struct tool *tool, int argc, char **argv) {
    struct wanted wanted;
    json_t *data = NULL;
    int code = read_arguments(&wanted, argc, argv);
    if (code != 0)
        return code;
    code = wanted.config != NULL ? explain_offline(&wanted, &data) : request_send(tool, parameters_of(&wanted), &data);
    if (code != TOOL_DONE)
        return code;
    bool decided = json_is_true(json_object_get(data, "decided"));
    code = tool->json ? request_print_json(json_incref(data)) : print(data);
    json_decref(data);
    return code == TOOL_DONE && !decided ? TOOL_FAILED : code;
}
