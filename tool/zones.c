/* tool/zones.c: `sundew zones`: what each policy zone is made of and how fresh it is. */
#include <string.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

static bool healthy(const json_t *zone) {
    return !json_is_true(json_object_get(zone, "stale")) && !json_is_string(json_object_get(zone, "error"));
}

static int print_zones(const json_t *zones) {
    struct table *table = table_new("NAME", "FORMAT", "MODE", ">RULES", ">REJECTED", ">NOT ENFORCED", ">AGE", "NEXT AT", "STALE",
                                    "SOURCE", "ERROR", NULL);
    static const char *const keys[] = {"name", "format", "mode", "rules", "rejected", "not_enforced"};
    size_t i;
    json_t *zone;
    json_array_foreach(zones, i, zone) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            table_cell_json(table, json_object_get(zone, keys[k]));
        table_cell_age(table, json_object_get(zone, "age_s"));
        table_cell_json(table, json_object_get(zone, "next_at"));
        table_cell_json(table, json_object_get(zone, "stale"));
        table_cell_json(table, json_object_get(zone, "source"));
        table_cell_json(table, json_object_get(zone, "error"));
    }
    return table_print(table);
}

/* Rejected rules: each zone's list of objects or strings; columns are what the feeder says of each. */
static int print_rejected(const json_t *zones) {
    struct table *table = table_new("ZONE", "SOURCE", ">LINE", "RULE", "WHY", NULL);
    size_t i, k;
    json_t *zone, *item;
    json_array_foreach(zones, i, zone) {
        json_array_foreach(json_object_get(zone, "rejected_rules"), k, item) {
            table_cell_json(table, json_object_get(zone, "name"));
            table_cell_json(table, json_object_get(item, "source"));
            table_cell_json(table, json_object_get(item, "line"));
            table_cell_json(table, json_object_get(item, "rule"));
            table_cell_json(table, json_object_get(item, "why"));
        }
    }
    return table_print(table);
}

int tool_zones(struct tool *tool, int argc, char **argv) {
    bool rejected = false, check = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rejected") == 0)
            rejected = true;
        else if (strcmp(argv[i], "--check") == 0)
            check = true;
        else
            return tool_usage(argv[0], "%s: no such argument", argv[i]);
    }
    json_t *zones;
    int code = request_send(tool, json_pack("{s:s, s:b}", "command", "zones", "rejected", rejected), &zones);
    if (code != TOOL_DONE)
        return code;
    bool sound = true;
    size_t i;
    json_t *zone;
    json_array_foreach(zones, i, zone) sound = sound && healthy(zone);
    if (tool->json)
        code = request_print_json(json_incref(zones));
    else
        code = rejected ? print_rejected(zones) : print_zones(zones);
    json_decref(zones);
    return code == TOOL_DONE && check && !sound ? TOOL_FAILED : code;
}
