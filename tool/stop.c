/* tool/stop.c: `sundew stop`: end the daemon. It keeps the connection open while it finishes, so its end is seen here. */
#include "tool/request.h"
#include "tool/tool.h"

static bool wait_for_end(void *context, json_t *object) {
    *(bool *)context = true;
    return true;
}

int tool_stop(struct tool *tool, int argc, char **argv) {
    if (argc > 1)
        return tool_usage(argv[0], "takes no arguments");
    bool stopping = false;
    int code = request_follow(tool, json_pack("{s:s}", "command", "stop"), wait_for_end, &stopping);
    if (code == TOOL_DONE && !stopping)
        return tool_failed("the daemon closed the connection without an answer");
    if (code == TOOL_DONE && tool->json)
        return request_print_json(json_object());
    return code;
}
