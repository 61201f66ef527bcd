/* tool/refresh.c: `sundew refresh [ZONE]`: fetch sources now and wait for the outcome. */
#include <stdio.h>
#include <string.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

int tool_refresh(struct tool *tool, int argc, char **argv) {
    const char *zone = NULL;
    bool force = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0)
            force = true;
        else if (argv[i][0] == '-' || zone != NULL)
            return tool_usage(argv[0], "%s: no such argument", argv[i]);
        else
            zone = argv[i];
    }
    json_t *data;
    int code = request_send(tool, json_pack("{s:s, s:s?, s:b}", "command", "refresh", "zone", zone, "force", force), &data);
    if (tool->json && data != NULL) {
        int printed = request_print_json(data);
        return code != TOOL_DONE ? code : printed;
    }
    json_decref(data);
    return code;
}
