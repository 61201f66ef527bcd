/* tool/clients.c: `sundew clients`. */
#include "tool/tool.h"

int tool_clients(struct tool *tool, int argc, char **argv) {
    return tool_failed("%s: not in this build yet", argv[0]);
}
