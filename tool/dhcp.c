/* tool/dhcp.c: `sundew dhcp`. */
#include "tool/tool.h"

int tool_dhcp(struct tool *tool, int argc, char **argv) {
    return tool_failed("%s: not in this build yet", argv[0]);
}
