/* tool/clients.c: `sundew clients`: the infected machines, one row each. They are asked for in pages, so neither side holds more
 * than one, however many addresses somebody made up. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

enum { PAGE = 5000 /* machines a request */ };

static void add_row(struct table *table, const json_t *client) {
    static const char *const keys[] = {"address", "mac", "hostname", "first_seen", "last_seen", "hits", "families", "zones"};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const json_t *value = json_object_get(client, keys[k]);
        if (k == 3 || k == 4) /* to the second: enough for people */
            table_cell(table, "%.19sZ", json_string_value(value) != NULL ? json_string_value(value) : "-");
        else
            table_cell_json(table, value);
    }
}

/* `printed`: machines before, of the array. table: NULL for JSON. */
static void print_page(struct table *table, const json_t *rows, json_int_t printed) {
    size_t i;
    json_t *client;
    json_array_foreach(rows, i, client) {
        if (table != NULL) {
            add_row(table, client);
            continue;
        }
        fputs(printed++ == 0 ? "  " : ",\n  ", stdout);
        json_dumpf(client, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    }
    if (table != NULL)
        table_flush(table);
}

/* Page after page of what `request` asks for, `limit` machines at most. */
static int print_all(struct tool *tool, const json_t *request, json_int_t limit) {
    struct table *table = NULL;
    json_t *next = json_string("");
    json_int_t printed = 0, total = 0;
    int code = TOOL_DONE;
    while (json_is_string(next) && printed < limit) {
        json_t *asked = json_deep_copy(request), *page = NULL;
        json_object_set_new(asked, "after", next);
        json_object_set_new(asked, "limit", json_integer(limit - printed < PAGE ? limit - printed : PAGE));
        next = NULL;
        code = request_send(tool, asked, &page);
        if (code != TOOL_DONE)
            break;
        if (printed == 0 && tool->json)
            puts("[");
        if (table == NULL && !tool->json)
            table = table_new("ADDRESS", "MAC", "HOSTNAME", "FIRST SEEN", "LAST SEEN", ">HITS", "FAMILIES", "ZONES", NULL);
        const json_t *rows = json_object_get(page, "rows");
        print_page(table, rows, printed);
        printed += (json_int_t)json_array_size(rows);
        total = json_integer_value(json_object_get(page, "total"));
        next = json_incref(json_object_get(page, "next"));
        json_decref(page);
    }
    bool more = json_is_string(next);
    json_decref(next);
    if (code == TOOL_DONE && tool->json)
        puts(printed > 0 ? "\n]" : "]");
    if (table != NULL) {
        int said = table_print(table);
        code = code == TOOL_DONE ? said : code;
    }
    if (code == TOOL_DONE && fflush(stdout) != 0)
        code = tool_failed("stdout: the output could not be written");
    if (code == TOOL_DONE && more)
        fprintf(stderr, "sundew: %lld more, last seen before these\n", (long long)(total - printed));
    return code;
}

/* 0, or the exit code for a wrong command line. */
static int read_arguments(json_t *request, json_int_t *limit, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        static const char *const options[] = {"--since", "--client", "--family", "--zone", "--limit"};
        size_t option = 0;
        while (option < sizeof options / sizeof options[0] && strcmp(argv[i], options[option]) != 0)
            option++;
        if (option == sizeof options / sizeof options[0] || i + 1 == argc)
            return tool_usage(argv[0], "%s: no such argument, or it lacks its value", argv[i]);
        const char *value = argv[++i];
        if (strcmp(options[option], "--limit") != 0) {
            json_object_set_new(request, options[option] + 2, json_string(value));
            continue;
        }
        char *end;
        errno = 0;
        *limit = strtoll(value, &end, 10);
        if (errno != 0 || *limit <= 0 || *end != '\0')
            return tool_usage(argv[0], "%s: not a number of machines", value);
    }
    return 0;
}

int tool_clients(struct tool *tool, int argc, char **argv) {
    json_t *request = json_pack("{s:s}", "command", "clients");
    json_int_t limit = INT64_MAX;
    int code = read_arguments(request, &limit, argc, argv);
    if (code == 0)
        code = print_all(tool, request, limit);
    json_decref(request);
    return code;
}
