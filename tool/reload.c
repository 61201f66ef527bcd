/* tool/reload.c: `sundew reload`: read configuration and policy again; done when every worker has taken them into use. */
#include "tool/request.h"
#include "tool/tool.h"

int tool_reload(struct tool *tool, int argc, char **argv) {
    if (argc > 1)
        return tool_usage(argv[0], "takes no arguments");
    json_t *data;
    int code = request_send(tool, json_pack("{s:s}", "command", "reload"), &data);
    if (code != TOOL_DONE)
        return code;
    if (tool->json)
        return request_print_json(data);
    json_decref(data);
    return TOOL_DONE;
}
