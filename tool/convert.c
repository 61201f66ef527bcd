/* tool/convert.c: `sundew convert`: hostile text is read by sundew-feeder alone, so this becomes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "tool/tool.h"

int tool_convert(struct tool *tool, int argc, char **argv) {
    const char *feeder = config_feeder_path();
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
    if (arguments == NULL)
        return tool_failed("out of memory");
    arguments[0] = (char *)feeder;
    arguments[1] = (char *)"--convert";
    memcpy(arguments + 2, argv + 1, (size_t)(argc - 1) * sizeof *argv);
    execv(feeder, arguments);
    int error = errno;
    free(arguments);
    return tool_failed("%s: %s", feeder, strerror(error));
}
