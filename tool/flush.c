/* tool/flush.c: `sundew flush [NAME]`: forget cached answers. */
#include <stdio.h>

#include "tool/request.h"
#include "tool/tool.h"

int tool_flush(struct tool *tool, int argc, char **argv) {
    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        return tool_usage(argv[0], "takes one name, or none");
    json_t *data;
    int code = request_send(tool, json_pack("{s:s, s:s?}", "command", "flush", "name", argc == 2 ? argv[1] : NULL), &data);
    if (code != TOOL_DONE)
        return code;
    if (tool->json)
        return request_print_json(data);
    printf("%lld answers forgotten\n", (long long)json_integer_value(json_object_get(data, "flushed")));
    json_decref(data);
    return TOOL_DONE;
}
