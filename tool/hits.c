/* tool/hits.c: `sundew hits`: the history of hits, and with -f what comes. The history is asked for in pages, so neither side holds
 * more than one. */
#include <stdlib.h>
#include <string.h>

#include "tool/hit_format.h"
#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

enum { PAGE = 5000 /* hits a request */ };

enum output { OUTPUT_TABLE, OUTPUT_DOCUMENT, OUTPUT_FORMAT };

struct wanted {
    bool follow;
    enum output output;
    enum hit_format format;
    json_t *request;
};

static const char *text_of(const json_t *hit, const char *key) {
    const char *text = json_string_value(json_object_get(hit, key));
    return text != NULL ? text : "-";
}

/* One hit a line as it comes: a table's widths would have to be known before. */
static void print_line(const json_t *hit) {
    char line[4096], safe[8192];
    snprintf(line, sizeof line, "%.19sZ %s %s %s %s %s %s/%s %s %s x%lld", text_of(hit, "ts"), text_of(hit, "client"),
             text_of(hit, "mac"), text_of(hit, "hostname"), text_of(hit, "qname"), text_of(hit, "qtype"), text_of(hit, "zone"),
             text_of(hit, "rule"), text_of(hit, "action"), text_of(hit, "family"),
             (long long)json_integer_value(json_object_get(hit, "count")));
    puts(table_escape(line, safe, sizeof safe));
}

/* request_follow's each: false when nobody reads any more. */
static bool print_followed(void *context, json_t *answer) {
    const struct wanted *wanted = context;
    const json_t *hit = json_object_get(answer, "data");
    if (!json_is_object(hit))
        hit = json_object_get(answer, "ts") != NULL ? answer : NULL;
    if (hit == NULL)
        return true;
    if (wanted->output == OUTPUT_TABLE)
        print_line(hit);
    else
        hit_format_write(wanted->format, hit, stdout);
    return fflush(stdout) == 0;
}

static void add_row(struct table *table, const json_t *hit) {
    static const char *const keys[] = {"client", "mac",    "hostname", "qname", "qtype",  "zone",
                                       "rule",   "action", "mode",     "count", "family", "confidence"};
    table_cell(table, "%.19sZ", text_of(hit, "ts"));
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        table_cell_json(table, json_object_get(hit, keys[k]));
}

/* One page. `printed`: hits printed so far, of the document. */
static void print_page(const struct wanted *wanted, json_t *page, struct table *table, size_t *printed) {
    size_t i;
    json_t *hit;
    json_array_foreach(page, i, hit) {
        json_object_del(hit, "id");
        if (wanted->output == OUTPUT_TABLE && !wanted->follow) {
            add_row(table, hit);
        } else if (wanted->output == OUTPUT_TABLE) {
            print_line(hit);
        } else if (wanted->output == OUTPUT_DOCUMENT) {
            fputs(*printed == 0 ? "  " : ",\n  ", stdout);
            json_dumpf(hit, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        } else {
            hit_format_write(wanted->format, hit, stdout);
        }
        ++*printed;
    }
}

/* The history, page after page. */
static int print_history(struct tool *tool, const struct wanted *wanted) {
    struct table *table = NULL;
    json_int_t after = 0;
    size_t printed = 0, got = PAGE;
    int code = TOOL_DONE;
    while (code == TOOL_DONE && got == PAGE) {
        json_t *request = json_deep_copy(wanted->request), *page = NULL;
        json_object_set_new(request, "after", json_integer(after));
        json_object_set_new(request, "limit", json_integer(PAGE));
        code = request_send(tool, request, &page);
        if (code != TOOL_DONE)
            break;
        if (after == 0 && wanted->output == OUTPUT_DOCUMENT)
            puts("[");
        if (table == NULL && wanted->output == OUTPUT_TABLE && !wanted->follow)
            table = table_new("TIME", "CLIENT", "MAC", "HOSTNAME", "QNAME", "QTYPE", "ZONE", "RULE", "ACTION", "MODE", ">COUNT",
                              "FAMILY", ">CONFIDENCE", NULL);
        got = json_array_size(page);
        after = got > 0 ? json_integer_value(json_object_get(json_array_get(page, got - 1), "id")) : after;
        print_page(wanted, page, table, &printed);
        json_decref(page);
    }
    if (code == TOOL_DONE && wanted->output == OUTPUT_DOCUMENT)
        puts(printed > 0 ? "\n]" : "]");
    if (table != NULL) {
        int said = table_print(table);
        code = code == TOOL_DONE ? said : code;
    }
    return code != TOOL_DONE || fflush(stdout) == 0 ? code : tool_failed("stdout: the output could not be written");
}

/* 0, or the exit code for a wrong command line. */
static int read_arguments(struct wanted *wanted, const struct tool *tool, int argc, char **argv) {
    bool format = false;
    for (int i = 1; i < argc; i++) {
        static const char *const options[] = {"--since", "--client", "--family", "--zone", "--format"};
        size_t option = 0;
        if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--follow") == 0) {
            wanted->follow = true;
            continue;
        }
        if (strcmp(argv[i], "--csv") == 0) {
            wanted->format = HIT_FORMAT_CSV;
            format = true;
            continue;
        }
        while (option < sizeof options / sizeof options[0] && strcmp(argv[i], options[option]) != 0)
            option++;
        if (option == sizeof options / sizeof options[0] || i + 1 == argc)
            return tool_usage(argv[0], "%s: no such argument, or it lacks its value", argv[i]);
        const char *value = argv[++i];
        if (strcmp(options[option], "--format") != 0)
            json_object_set_new(wanted->request, options[option] + 2, json_string(value));
        else if (hit_format_from_name(value, &wanted->format) == 0)
            format = true;
        else
            return tool_usage(argv[0], "%s: no such format; json, csv, ecs, cef", value);
    }
    wanted->output = format                         ? OUTPUT_FORMAT
                     : tool->json && wanted->follow ? OUTPUT_FORMAT
                     : tool->json                   ? OUTPUT_DOCUMENT
                                                    : OUTPUT_TABLE;
    return 0;
}

int tool_hits(struct tool *tool, int argc, char **argv) {
    struct wanted wanted = {.format = HIT_FORMAT_JSON, .request = json_pack("{s:s}", "command", "hits")};
    int code = read_arguments(&wanted, tool, argc, argv);
    if (code == 0 && wanted.output == OUTPUT_FORMAT)
        hit_format_head(wanted.format, stdout);
    /* Following begins with now, unless a time was given. */
    if (code == 0 && (!wanted.follow || json_object_get(wanted.request, "since") != NULL))
        code = print_history(tool, &wanted);
    if (code == 0 && wanted.follow) {
        json_object_del(wanted.request, "since");
        json_object_set_new(wanted.request, "follow", json_true());
        fflush(stdout);
        code = request_follow(tool, json_incref(wanted.request), print_followed, &wanted);
    }
    json_decref(wanted.request);
    return code;
}
