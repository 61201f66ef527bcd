/* tool/hits.c: `sundew hits`. */
#include "tool/tool.h"

int tool_hits(struct tool *tool, int argc, char **argv) {
    return tool_failed("%s: not in this build yet", argv[0]);
}
