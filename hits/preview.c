/* hits/preview.c: what a policy would have hit of what clients asked lately, as JSON. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hits/line.h"
#include "hits/preview.h"
#include "hits/retro.h"
#include "policy/match.h"

enum {
    PREVIEW_ROWS = 10000, /* at most; more say no more */
    PREVIEW_NAMES = 1000  /* of one machine and rule that are told apart from repeats: a tunnel asks for a new name each time */
};

static json_t *time_json(uint64_t ts_us) {
    char text[TIME_LENGTH];
    text_time(text, ts_us);
    return json_stringn(text, sizeof text);
}

static json_t *text_or_null(const char *text) {
    return text == NULL ? json_null() : json_string(text);
}

static json_t *row_json(const struct findings *findings, const struct finding *finding, const struct snapshot *snapshot) {
    const struct finding_client *client = &findings->clients[finding->client];
    struct rule_info info;
    char address[IP_TEXT_MAX], mac[LINE_MAC_LENGTH + 1], name[NAME_TEXT_MAX], code[LINE_CODE_MAX];
    if (snapshot_rule(snapshot, finding->rule, &info) != 0)
        return NULL;
    ip_to_text(&client->address, address);
    line_mac(mac, client->who.mac);
    name_to_text((const uint8_t *)findings->names.data + finding->name, name);
    return json_pack("{s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:o, s:o, s:i}", "client", address, "mac",
                     text_or_null(client->who.has_mac ? mac : NULL), "hostname",
                     text_or_null(client->who.hostname == NULL ? NULL : client->who.hostname->text), "qname", name, "qtype",
                     line_type(finding->qtype, code), "zone", info.zone_name, "rule", info.text, "action", action_name(info.action),
                     "family", text_or_null(info.family), "confidence", info.confidence, "first_asked", time_json(finding->ts_us),
                     "last_asked", time_json(finding->ts_us), "count", 1);
}

static bool same_name(const struct findings *findings, const struct finding *a, const struct finding *b) {
    const char *names = findings->names.data;
    return a->name_length == b->name_length && memcmp(names + a->name, names + b->name, a->name_length) == 0;
}

/* Adds a finding to the row of the same name in its group (rows from `group` on), or begins a row. */
static void add(json_t *rows, size_t group, const struct findings *findings, size_t *row_of, size_t at,
                const struct snapshot *snapshot, uint64_t *left_out) {
    for (size_t i = group; i < json_array_size(rows) && i < group + PREVIEW_NAMES; i++) {
        json_t *row = json_array_get(rows, i);
        if (!same_name(findings, &findings->list[row_of[i]], &findings->list[at]))
            continue;
        json_object_set_new(row, "last_asked", time_json(findings->list[at].ts_us));
        json_object_set_new(row, "count", json_integer(json_integer_value(json_object_get(row, "count")) + 1));
        return;
    }
    json_t *row = json_array_size(rows) >= PREVIEW_ROWS ? NULL : row_json(findings, &findings->list[at], snapshot);
    *left_out += row == NULL;
    if (row == NULL)
        return;
    row_of[json_array_size(rows)] = at;
    json_array_append_new(rows, row);
}

static int compare_text(const void *a, const void *b, const char *key) {
    const char *left = json_string_value(json_object_get(*(json_t *const *)a, key));
    const char *right = json_string_value(json_object_get(*(json_t *const *)b, key));
    return strcmp(left, right);
}

static int later_first(const void *a, const void *b) {
    int order = compare_text(b, a, "last_asked");
    order = order != 0 ? order : compare_text(a, b, "client");
    return order != 0 ? order : compare_text(a, b, "qname");
}

static int by_rule_text(const void *a, const void *b) {
    return compare_text(a, b, "rule");
}

static int most_clients_first(const void *a, const void *b) {
    json_int_t left = json_integer_value(json_object_get(*(json_t *const *)a, "clients"));
    json_int_t right = json_integer_value(json_object_get(*(json_t *const *)b, "clients"));
    return left != right ? (left < right ? 1 : -1) : by_rule_text(a, b);
}

/* Takes the rows; gives PREVIEW_ROWS of them at most. */
static json_t *sorted(json_t *rows, int (*compare)(const void *a, const void *b)) {
    size_t count = json_array_size(rows), i;
    json_t **list = calloc(count + 1, sizeof(json_t *)), *result = json_array(), *row;
    json_array_foreach(rows, i, row) if (list != NULL) list[i] = row;
    if (list != NULL)
        qsort(list, count, sizeof(json_t *), compare);
    for (i = 0; list != NULL && i < count && i < PREVIEW_ROWS; i++)
        json_array_append(result, list[i]);
    free(list);
    json_decref(rows);
    return result;
}

/* Names, oldest finding first, of all machines: the rows of "asked". NULL: no memory. */
static json_t *asked_json(const struct findings *findings, const struct snapshot *snapshot, uint64_t *left_out) {
    size_t *row_of = calloc(findings->count + 1, sizeof *row_of), group = 0;
    if (row_of == NULL)
        return NULL;
    json_t *rows = json_array();
    for (size_t i = 0; i < findings->count; i++) {
        if (!findings->list[i].same)
            group = json_array_size(rows);
        add(rows, group, findings, row_of, i, snapshot, left_out);
    }
    free(row_of);
    return sorted(rows, later_first);
}

/* A rule and how many machines hit it. */
struct popularity {
    uint32_t rule;
    uint32_t machines;
};

static int by_rule(const void *a, const void *b) {
    const struct popularity *left = a, *right = b;
    return left->rule < right->rule ? -1 : left->rule > right->rule;
}

static json_t *rule_json(const struct snapshot *snapshot, uint32_t rule) {
    struct rule_info info;
    if (snapshot_rule(snapshot, rule, &info) != 0)
        return json_object();
    return json_pack("{s:s, s:s}", "rule", info.text, "zone", info.zone_name);
}

/* Each group of findings is one machine that hit one rule. */
static json_t *popular_json(const struct findings *findings, const struct snapshot *snapshot, uint64_t *left_out) {
    struct popularity *each = calloc(findings->count + 1, sizeof *each);
    json_t *rows = json_array();
    size_t groups = 0;
    for (size_t i = 0; each != NULL && i < findings->count; i++)
        if (!findings->list[i].same)
            each[groups++].rule = findings->list[i].rule;
    if (groups > 0)
        qsort(each, groups, sizeof *each, by_rule);
    for (size_t from = 0, to; from < groups; from = to) {
        for (to = from + 1; to < groups && each[to].rule == each[from].rule; to++)
            ;
        if (to - from < PREVIEW_POPULAR)
            continue;
        json_t *row = rule_json(snapshot, each[from].rule);
        json_object_set_new(row, "clients", json_integer((json_int_t)(to - from)));
        json_object_set_new(row, "list", json_string("history"));
        json_object_set_new(row, "name", json_null());
        json_object_set_new(row, "covers", json_null());
        json_array_append_new(rows, row);
    }
    free(each);
    *left_out = json_array_size(rows) > PREVIEW_ROWS ? json_array_size(rows) - PREVIEW_ROWS : 0;
    return sorted(rows, most_clients_first);
}

struct protection {
    const struct snapshot *snapshot, *in_force;
    json_t *rows;
    uint64_t left_out;
};

/* snapshot_each: is the rule for a name that may not be answered for? */
static int look_at_rule(void *context, uint32_t rule, const struct rule_info *info) {
    struct protection *protection = context;
    static const struct ip nobody;
    struct name name;
    struct name_key key;
    struct verdict verdict;
    const char *text = strncmp(info->text, "*.", 2) == 0 ? info->text + 2 : info->text;
    if (info->trigger != TRIGGER_DOMAIN || name_from_text(&name, text, strlen(text), NULL) != 0)
        return 0;
    name_key_init(&key, name.wire, name.length, snapshot_seed(protection->in_force));
    match_query(protection->in_force, &key, &nobody, 0, &verdict);
    if (verdict.protected_ && json_array_size(protection->rows) < PREVIEW_ROWS)
        json_array_append_new(protection->rows, rule_json(protection->snapshot, rule));
    else
        protection->left_out += verdict.protected_;
    return 0;
}

json_t *preview_json(const char *history_folder, const struct snapshot *snapshot, const struct snapshot *in_force,
                     const char **why) {
    struct findings findings;
    struct protection protection = {snapshot, in_force, json_array(), 0};
    uint64_t pairs = 0, popular = 0;
    int rc = retro_search(&findings, history_folder, snapshot, 0, (uint32_t)time(NULL), NULL);
    if (in_force != NULL)
        snapshot_each(snapshot, look_at_rule, &protection);
    json_t *asked = rc == 0 ? asked_json(&findings, snapshot, &pairs) : NULL;
    json_t *preview = NULL;
    json_t *guarded = sorted(protection.rows, by_rule_text);
    if (rc != 0)
        *why = strerrordesc_np(-rc);
    else if (asked == NULL)
        *why = "out of memory";
    else
        preview = json_pack("{s:o, s:o, s:O, s:o}", "asked", asked, "popular", popular_json(&findings, snapshot, &popular),
                            "protected", guarded, "left_out",
                            json_pack("{s:I, s:I, s:I}", "asked", (json_int_t)(pairs + findings.left_out), "popular",
                                      (json_int_t)popular, "protected", (json_int_t)protection.left_out));
    json_decref(guarded);
    retro_findings_free(&findings);
    return preview;
}
