/* tool/tool.h: what the commands of `sundew` share: options before the command, exit codes, the list of commands.
 *
 * One file a command; each has one function below and one row in the table of main.c. A command prints its result on stdout and its
 * complaint on stderr ("sundew: ..."), and returns the exit code. argv[0] is the command's name. */
#ifndef SUNDEW_TOOL_TOOL_H
#define SUNDEW_TOOL_TOOL_H

#include <stdbool.h>

enum { TOOL_DONE = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_NO_DAEMON = 3 };

struct tool {
    const char *control; /* path of the daemon's socket; never NULL */
    bool json;           /* --json: one document for programs */
    bool terminal;       /* stdout is one */
    unsigned patience;   /* seconds that an answer may take; 0: as long as the daemon may take at worst */
};

int tool_status(struct tool *tool, int argc, char **argv);
int tool_zones(struct tool *tool, int argc, char **argv);
int tool_refresh(struct tool *tool, int argc, char **argv);
int tool_explain(struct tool *tool, int argc, char **argv);
int tool_clients(struct tool *tool, int argc, char **argv);
int tool_hits(struct tool *tool, int argc, char **argv);
int tool_top(struct tool *tool, int argc, char **argv);
int tool_preview(struct tool *tool, int argc, char **argv);
int tool_convert(struct tool *tool, int argc, char **argv);
int tool_dhcp(struct tool *tool, int argc, char **argv);
int tool_flush(struct tool *tool, int argc, char **argv);
int tool_reload(struct tool *tool, int argc, char **argv);
int tool_stop(struct tool *tool, int argc, char **argv);

/* Says what is wrong with the command line, and returns TOOL_USAGE. */
int tool_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says why something failed, and returns TOOL_FAILED. */
int tool_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
