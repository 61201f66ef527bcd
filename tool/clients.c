/* tool/clients.c: `sundew clients`: the infected machines, one row each. */
#include <string.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

static int print(const json_t *clients) {
    static const char *const keys[] = {"address", "mac", "hostname", "first_seen", "last_seen", "hits", "families", "zones"};
    struct table *table = table_new("ADDRESS", "MAC", "HOSTNAME", "FIRST SEEN", "LAST SEEN", ">HITS", "FAMILIES", "ZONES", NULL);
    size_t i;
    json_t *client;
    json_array_foreach(clients, i, client) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            const json_t *value = json_object_get(client, keys[k]);
            if (k == 3 || k == 4) /* to the second: enough for people */
                table_cell(table, "%.19sZ", json_string_value(value) != NULL ? json_string_value(value) : "-");
            else
                table_cell_json(table, value);
        }
    }
    return table_print(table);
}

int tool_clients(struct tool *tool, int argc, char **argv) {
    json_t *request = json_pack("{s:s}", "command", "clients"), *clients;
    for (int i = 1; i < argc; i++) {
        static const char *const options[] = {"--since", "--client", "--family", "--zone"};
        size_t option = 0;
        while (option < sizeof options / sizeof options[0] && strcmp(argv[i], options[option]) != 0)
            option++;
        if (option == sizeof options / sizeof options[0] || i + 1 == argc) {
            json_decref(request);
            return tool_usage(argv[0], "%s: no such argument, or it lacks its value", argv[i]);
        }
        json_object_set_new(request, options[option] + 2, json_string(argv[++i]));
    }
    int code = request_send(tool, request, &clients);
    if (code != TOOL_DONE)
        return code;
    if (tool->json)
        return request_print_json(clients);
    code = print(clients);
    json_decref(clients);
    return code;
}
