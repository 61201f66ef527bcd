/* tool/main.c: `sundew`, the operator's tool: finds the command and runs it. */
#include "tool/tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

struct command {
    const char *name;
    const char *arguments;
    const char *help;
    int (*run)(struct tool *tool, int argc, char **argv);
};

static const struct command commands[] = {
    {"status", "", "uptime, queries, hit ratio, policy hits, upstream health", tool_status},
    {"explain", "NAME|IP [--client IP] [--type T] [-c FILE]", "which zone and rule decides, and what it shadows", tool_explain},
    {"zones", "[--rejected] [--check]", "sources, rules, age, last error, next fetch", tool_zones},
    {"refresh", "[ZONE] [--force]", "fetch now, and wait for the outcome", tool_refresh},
    {"clients", "[--since 24h] [--client C] [--family F] [--zone Z] [--limit N]", "infected clients", tool_clients},
    {"hits", "[-f|--follow] [--since T] [--client C] [--family F] [--zone Z] [--format json|csv|ecs|cef] [--csv]",
     "the hit history; -f follows", tool_hits},
    {"top", "", "a live view in the terminal", tool_top},
    {"preview", "FILE|URL [--format F]", "what a zone would hit, before it is enforced", tool_preview},
    {"convert", "--from FORMAT --to json|rpz|domains FILE|-", "any feed format to a policy zone, offline", tool_convert},
    {"dhcp", "--format FORMAT --address IP...", "DHCP or RA options that hand this resolver out", tool_dhcp},
    {"flush", "[NAME]", "forget cached answers for NAME and all below it, or all", tool_flush},
    {"reload", "", "read configuration and policy again, and wait until they are in force", tool_reload},
    {"stop", "", "end the daemon, and wait until it has ended", tool_stop},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

int tool_usage(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "sundew%s%s: ", command != NULL ? " " : "", command != NULL ? command : "");
    vfprintf(stderr, format, arguments);
    fputs("; see sundew --help\n", stderr);
    va_end(arguments);
    return TOOL_USAGE;
}

int tool_failed(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("sundew: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return TOOL_FAILED;
}

static int help(void) {
    puts("Usage: sundew [--control PATH] [--json] COMMAND\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-8s %s%s%s\n", commands[i].name, commands[i].arguments, commands[i].arguments[0] != '\0' ? "\n           " : "",
               commands[i].help);
    puts("\n  --control PATH  the daemon's control socket\n"
         "  --json          print JSON for programs\n"
         "  --version, --help\n\n"
         "Exit: 0 done, 1 no or failed, 2 usage, 3 no daemon.");
    return TOOL_DONE;
}

/* Takes --json out of the arguments wherever it stands after the command; what follows "--" is left alone. */
static int take_json(struct tool *tool, int argc, char **argv) {
    int kept = 0;
    bool literal = false;
    for (int i = 0; i < argc; i++) {
        literal = literal || strcmp(argv[i], "--") == 0;
        if (!literal && strcmp(argv[i], "--json") == 0)
            tool->json = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    return kept;
}

static void ignore_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {}

static int run(struct tool *tool, int argc, char **argv) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(tool, take_json(tool, argc, argv), argv);
    return tool_usage(NULL, "%s: no such command", argv[0]);
}

/* Where this system's daemon listens, or, without a configuration file, this user's. The caller frees. */
static char *default_control(void) {
    static const char system_config[] = "/etc/sundew/sundew.json";
    struct config *config = access(system_config, R_OK) == 0 ? config_load(system_config, ignore_fault, NULL) : NULL;
    char *path = config != NULL && config->control != NULL ? strdup(config->control) : config_default_control();
    if (config != NULL)
        config_unref(config);
    return path != NULL ? path : strdup("/run/sundew/control.sock");
}

int main(int argc, char **argv) {
    struct tool tool = {.terminal = isatty(STDOUT_FILENO) == 1};
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--json") == 0)
            tool.json = true;
        else if (strcmp(argv[at], "--control") == 0 && at + 1 < argc)
            tool.control = argv[++at];
        else if (strncmp(argv[at], "--control=", 10) == 0)
            tool.control = argv[at] + 10;
        else if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
            return help();
        else if (strcmp(argv[at], "--version") == 0)
            return puts("sundew " SUNDEW_VERSION) < 0;
        else
            return tool_usage(NULL, "%s: no such option, or it lacks its value", argv[at]);
    }
    if (at == argc)
        return tool_usage(NULL, "a command is missing");
    char *control = tool.control == NULL ? default_control() : NULL;
    if (control != NULL)
        tool.control = control;
    int code = run(&tool, argc - at, argv + at);
    free(control);
    return code;
}
