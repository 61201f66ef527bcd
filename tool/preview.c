/* tool/preview.c: `sundew preview`. */
#include "tool/tool.h"

int tool_preview(struct tool *tool, int argc, char **argv) {
    return tool_failed("%s: not in this build yet", argv[0]);
}
