/* test/unit/hit_build.h: a policy with one rule of each kind, records as a worker makes them, and a place for files, for tests of
 * hits/. */
#ifndef SUNDEW_TEST_HIT_BUILD_H
#define SUNDEW_TEST_HIT_BUILD_H

#include "policy_build.h"

#include <jansson.h>
#include <stdatomic.h>
#include <time.h>

#include "config/config.h"
#include "hits/ring.h"

union build_record {
    struct record record;
    uint8_t octets[RECORD_MAX + 8];
};

static inline void build_rule(struct ruleset *rules, int zone, const char *name, enum action action, const char *family) {
    struct rule rule = {.trigger = TRIGGER_DOMAIN,
                        .match = MATCH_SUBTREE,
                        .name = build_name(name),
                        .action = action,
                        .ttl = RULE_TTL_MAX,
                        .confidence = 90,
                        .family = family,
                        .reference = family == NULL ? NULL : "https://example.org/report/7",
                        .target = action == ACTION_CNAME ? "*.garden.example" : NULL,
                        .records =
                            action == ACTION_LOCAL ? "300 IN TXT \"he\\\"llo\"\n300 IN A 192.0.2.9\n300 IN A 192.0.2.10" : NULL,
                        .source = "test"};
    const char *why = "";
    if (ruleset_add(rules, zone, &rule, &why) != 0)
        fail_msg("ruleset_add: %s", why);
}

/* Zone "local": evil.test sinkhole "Emotet", loop.test, nx.test, garden.test cname, data.test local. Zone "watch" (monitor):
 * seen.test. `more`: one more name in zone "local", or NULL. */
static inline struct snapshot *build_policy(const char *more) {
    struct ruleset *rules = build_rules();
    int local = build_zone(rules, "local", MODE_ENFORCE, NULL), watch = build_zone(rules, "watch", MODE_MONITOR, NULL);
    build_rule(rules, local, "evil.test", ACTION_SINKHOLE, "Emotet, QakBot");
    build_rule(rules, local, "loop.test", ACTION_LOOPBACK, NULL);
    build_rule(rules, local, "nx.test", ACTION_NXDOMAIN, NULL);
    build_rule(rules, local, "garden.test", ACTION_CNAME, NULL);
    build_rule(rules, local, "data.test", ACTION_LOCAL, NULL);
    build_rule(rules, watch, "seen.test", ACTION_LOOPBACK, NULL);
    if (more != NULL)
        build_rule(rules, local, more, ACTION_LOOPBACK, "Late");
    return build_snapshot(rules);
}

static inline uint64_t build_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline struct record *build_asked(union build_record *room, const char *client, const char *qname, uint64_t ts_us) {
    struct name name = build_name(qname);
    room->record = (struct record){.kind = RECORD_ASKED, .qtype = 1, .ts_us = ts_us, .client = build_ip(client)};
    room->record.qname_length = name.length;
    memcpy(room->record.names, name.wire, name.length);
    room->record.size = (uint16_t)((sizeof(struct record) + name.length + 7u) & ~7u);
    return &room->record;
}

/* The hit that `snapshot` has on the name, as a worker would record it. */
static inline struct record *build_hit(union build_record *room, struct snapshot *snapshot, const char *client, const char *qname,
                                       uint16_t qtype) {
    struct record *record = build_asked(room, client, qname, build_now_us());
    struct name_key key;
    struct verdict verdict;
    name_key_init(&key, record->names, record->qname_length, snapshot_seed(snapshot));
    match_query(snapshot, &key, &record->client, (uint32_t)(record->ts_us / 1000000), &verdict);
    assert_true(verdict.decided || verdict.monitors == 1);
    const struct matched *matched = verdict.decided ? &verdict.decision : &verdict.monitor[0];
    record->kind = RECORD_HIT;
    record->qtype = qtype;
    record->action = matched->action;
    record->mode = matched->mode;
    record->trigger = matched->trigger;
    record->rule = matched->rule;
    record->profile = matched->profile;
    record->owner_length = matched->owner_length;
    record->snapshot = snapshot;
    return record;
}

/* Makes the record one that matched by a CNAME target. */
static inline void build_via(struct record *record, const char *target) {
    struct name name = build_name(target);
    memcpy(record->names + record->qname_length, name.wire, name.length);
    record->via_length = name.length;
    record->size = (uint16_t)((sizeof(struct record) + record->qname_length + name.length + 7u) & ~7u);
}

struct build_place {
    char folder[64];
    char hits[128];
    char queries[128];
    atomic_uint said;
    char text[512]; /* the last thing said */
};

static inline void build_say(void *context, const char *level, const char *text) {
    struct build_place *place = context;
    snprintf(place->text, sizeof place->text, "%s: %s", level, text);
    atomic_fetch_add(&place->said, 1);
}

static inline int build_place(void **state) {
    struct build_place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/sundew-hits-XXXXXX");
    if (place == NULL || mkdtemp(place->folder) == NULL)
        return -1;
    snprintf(place->hits, sizeof place->hits, "%s/hits.jsonl", place->folder);
    snprintf(place->queries, sizeof place->queries, "%s/queries.jsonl", place->folder);
    *state = place;
    return 0;
}

static inline int build_clear(void **state) {
    struct build_place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    int rc = system(command);
    free(place);
    return rc;
}

static inline void build_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path,
                               const char *message) {
    fail_msg("%u:%u: %s: %s", line, column, path, message);
}

/* A configuration with state and logs in the place. `more`: further keys, each led by a comma. */
static inline struct config *build_config(const struct build_place *place, unsigned repeat, const char *more) {
    char text[2048];
    int length =
        snprintf(text, sizeof text,
                 "{\"listen\": [\"dns://127.0.0.1:5300\"], \"forward\": [{\"zone\": \".\", \"to\": [\"dns://127.0.0.1:5301\"]}],"
                 "\"state_dir\": \"%s\", \"log\": {\"hits\": \"%s\", \"queries\": \"%s\", \"repeat\": %u}%s}",
                 place->folder, place->hits, place->queries, repeat, more);
    struct config *config = config_parse("/tmp/sundew.json", text, (size_t)length, build_fault, NULL);
    assert_non_null(config);
    return config;
}

/* All complete lines of a JSON-lines file, as an array; every line must be one object. */
static inline json_t *build_lines(const char *path) {
    json_t *lines = json_array();
    FILE *file = fopen(path, "r");
    char line[8192];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        assert_non_null(strchr(line, '\n'));
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (object == NULL)
            fail_msg("not JSON: %s", line);
        json_array_append_new(lines, object);
    }
    if (file != NULL)
        fclose(file);
    return lines;
}

static inline const char *build_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "(absent)" : text;
}

static inline json_int_t build_number(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static inline json_int_t build_sum(const json_t *rows, const char *key) {
    json_int_t sum = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) sum += build_number(row, key);
    return sum;
}

#endif
