/* tool/explain.c: `sundew explain`. */
#include "tool/tool.h"

int tool_explain(struct tool *tool, int argc, char **argv) {
    return tool_failed("%s: not in this build yet", argv[0]);
}
