/* tool/status.c: `sundew status`: how the daemon is. */
#include <stdarg.h>
#include <stdio.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

static void print_line(const char *title, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print_line(const char *title, const char *format, ...) {
    char text[512], safe[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%-14s%s\n", title, table_escape(text, safe, sizeof safe));
}

static double number(const json_t *data, const char *key) {
    return json_number_value(json_object_get(data, key));
}

static const char *string(const json_t *data, const char *key) {
    const char *text = json_string_value(json_object_get(data, key));
    return text != NULL ? text : "-";
}

static int print_upstreams(const json_t *upstreams) {
    struct table *table = table_new("UPSTREAM", "ZONE", "STATE", ">RTT", ">QUERIES", ">FAILURES", NULL);
    size_t i;
    json_t *server;
    json_array_foreach(upstreams, i, server) {
        table_cell_json(table, json_object_get(server, "server"));
        table_cell_json(table, json_object_get(server, "zone"));
        table_cell(table, "%s", json_is_true(json_object_get(server, "up")) ? "up" : "down");
        if (json_is_number(json_object_get(server, "rtt_ms")))
            table_cell(table, "%.1f ms", number(server, "rtt_ms"));
        else
            table_cell(table, "-");
        table_cell_json(table, json_object_get(server, "queries"));
        table_cell_json(table, json_object_get(server, "failures"));
    }
    return table_print(table);
}

/* What else hits go to: nothing where nothing was ever sent. */
static void print_sent(const json_t *log, const char *title, const char *sent_key, const char *lost_key) {
    double sent = number(log, sent_key), lost = number(log, lost_key);
    if (sent + lost > 0)
        print_line(title, "%.0f sent, %.0f lost", sent, lost);
}

static int print(const json_t *data) {
    char age[16];
    const json_t *cache = json_object_get(data, "cache");
    table_age(number(data, "uptime_s"), age);
    print_line("sundewd", "%s, pid %.0f, up %s, %.0f workers", string(data, "version"), number(data, "pid"), age,
               number(data, "workers"));
    print_line("queries", "%.0f (%.0f udp, %.0f tcp), %.0f refused, %.0f dropped", number(data, "queries"),
               number(data, "queries_udp"), number(data, "queries_tcp"), number(data, "refused"), number(data, "dropped"));
    print_line("cache", "%.1f%% answered from it, %.0f entries, %.1f of %.1f MiB", number(data, "hit_ratio") * 100,
               number(cache, "entries"), number(cache, "bytes") / 1048576, number(cache, "limit") / 1048576);
    print_line("policy", "%.0f hits, %.0f rules in %.0f zones, %.1f bytes a rule, snapshot %s", number(data, "policy_hits"),
               number(data, "rules"), number(data, "zones"), number(data, "bytes_per_rule"), string(data, "snapshot"));
    print_line("feeder", "%s", string(data, "feeder"));
    const json_t *log = json_object_get(data, "log");
    print_line("hit log", "%.0f lines, %.0f lost", number(log, "lines"), number(log, "lines_lost") + number(log, "ring_lost_hits"));
    print_sent(log, "syslog", "syslog_sent", "syslog_lost");
    print_sent(log, "dnstap", "dnstap_sent", "dnstap_lost");
    const json_t *leases = json_object_get(data, "leases");
    if (number(leases, "holders") + number(leases, "skipped") > 0)
        print_line("leases", "%.0f known, %.0f lines skipped, %.0f more than can be remembered", number(leases, "holders"),
                   number(leases, "skipped"), number(leases, "refused"));
    putchar('\n');
    return print_upstreams(json_object_get(data, "upstreams"));
}

int tool_status(struct tool *tool, int argc, char **argv) {
    if (argc > 1)
        return tool_usage(argv[0], "takes no arguments");
    json_t *data;
    int code = request_send(tool, json_pack("{s:s}", "command", "status"), &data);
    if (code != TOOL_DONE)
        return code;
    if (tool->json)
        return request_print_json(data);
    code = print(data);
    json_decref(data);
    return code;
}
