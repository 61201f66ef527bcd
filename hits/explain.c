/* hits/explain.c: which rule decides for a name or an address, and what it shadows, as JSON. */
#include "hits/explain.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "policy/idna.h"
#include "policy/match.h"

struct query_type {
    const char *name;
    uint16_t type;
};

static const struct query_type query_types[] = {
    {"A", 1},     {"NS", 2},   {"CNAME", 5},  {"SOA", 6}, {"PTR", 12},  {"MX", 15},    {"TXT", 16},
    {"AAAA", 28}, {"SRV", 33}, {"NAPTR", 35}, {"DS", 43}, {"SVCB", 64}, {"HTTPS", 65}, {"ANY", 255},
};

struct question {
    struct name name;
    struct name_key key;
    struct ip ip, client;
    bool has_name, has_client;
    uint16_t type;
    const char *type_name;
};

struct explanation {
    const struct snapshot *snapshot;
    json_t *rules;
    bool decided, protected_;
    struct matched decision;
};

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static int read_type(struct question *question, const char *text) {
    for (size_t i = 0; i < sizeof query_types / sizeof query_types[0]; i++) {
        if (strcasecmp(text, query_types[i].name) == 0) {
            question->type = query_types[i].type;
            question->type_name = query_types[i].name;
            return 0;
        }
    }
    return -1;
}

/* 0, or -1 with *why. */
static int read_question(struct question *question, const struct snapshot *snapshot, const json_t *parameters, const char **why) {
    const char *name = text_of(parameters, "name"), *ip = text_of(parameters, "ip"), *client = text_of(parameters, "client");
    const char *type = text_of(parameters, "type");
    memset(question, 0, sizeof *question);
    if ((name == NULL) == (ip == NULL)) {
        *why = "a name or an address is needed";
        return -1;
    }
    if (ip != NULL && ip_from_text(&question->ip, ip, strlen(ip)) != 0) {
        *why = "not an IP address";
        return -1;
    }
    if (client != NULL && ip_from_text(&question->client, client, strlen(client)) != 0) {
        *why = "client: not an IP address";
        return -1;
    }
    question->has_client = client != NULL;
    if (read_type(question, type != NULL ? type : "A") != 0) {
        *why = "type: not a type that is known here";
        return -1;
    }
    if (name == NULL)
        return 0;
    if (name_from_unicode(&question->name, name, strlen(name), why) != 0)
        return -1;
    question->has_name = true;
    name_key_init(&question->key, question->name.wire, question->name.length, snapshot_seed(snapshot));
    return 0;
}

static void set_text(json_t *object, const char *key, const char *text) {
    if (text != NULL)
        json_object_set_new(object, key, json_string(text));
}

static void set_time(json_t *object, const char *key, int64_t seconds) {
    char text[32];
    struct tm broken;
    time_t when = (time_t)seconds;
    if (seconds > 0 && gmtime_r(&when, &broken) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &broken) > 0)
        set_text(object, key, text);
}

/* Adds what a rule says of itself. */
static void describe(json_t *object, const struct snapshot *snapshot, const struct matched *matched) {
    struct rule_info info;
    if (snapshot_rule(snapshot, matched->rule, &info) != 0)
        return;
    set_text(object, "zone", info.zone_name);
    set_text(object, "rule", info.text);
    set_text(object, "trigger", trigger_name(info.trigger));
    if (info.trigger == TRIGGER_DOMAIN || info.trigger == TRIGGER_NAMESERVER)
        set_text(object, "match", match_name(info.match));
    set_text(object, "action", action_name(info.action));
    set_text(object, "mode", mode_name(info.mode));
    json_object_set_new(object, "ttl", json_integer(info.ttl));
    set_text(object, "family", info.family);
    if (info.confidence <= 100)
        json_object_set_new(object, "confidence", json_integer(info.confidence));
    set_text(object, "reference", info.reference);
    set_text(object, "target", info.target);
    set_text(object, "records", info.records);
    set_text(object, "source", info.source);
    if (info.line > 0)
        json_object_set_new(object, "line", json_integer(info.line));
    set_time(object, "first_seen", info.first_seen);
    set_time(object, "last_seen", info.last_seen);
    set_time(object, "expires", info.expires);
}

static void on_rule(void *context, const struct matched *matched, enum explain_state state) {
    static const char *const names[] = {"decides", "monitor", "shadowed", "expired", "other clients", "protected"};
    struct explanation *explanation = context;
    json_t *rule = json_pack("{s:s}", "state", names[state]);
    describe(rule, explanation->snapshot, matched);
    json_array_append_new(explanation->rules, rule);
    if (state == EXPLAIN_PROTECTED)
        explanation->protected_ = true;
    if (state == EXPLAIN_DECIDES && !explanation->decided) {
        explanation->decided = true;
        explanation->decision = *matched;
    }
}

/* Adds the addresses among ready-made records: owner pointer, type, class, TTL, length, data. */
static void add_addresses(json_t *answer, const struct answer_bytes *made) {
    const uint8_t *at = made->bytes, *end = made->bytes + made->length;
    for (unsigned i = 0; i < made->ancount && end - at >= 12; i++) {
        uint16_t type = (uint16_t)(at[2] << 8 | at[3]), length = (uint16_t)(at[10] << 8 | at[11]);
        char text[IP_TEXT_MAX];
        if (end - at - 12 < length)
            return;
        struct ip ip;
        if (type == 1 && length == 4)
            ip = ip_from_v4(at + 12);
        else if (type == 28 && length == 16)
            ip = ip_from_v6(at + 12);
        at += 12 + length;
        if ((type == 1 && length == 4) || (type == 28 && length == 16)) {
            ip_to_text(&ip, text);
            json_array_append_new(answer, json_string(text));
        }
    }
}

static void describe_answer(json_t *object, const struct explanation *explanation, uint16_t type) {
    struct answer_bytes made;
    uint8_t action = explanation->decision.action;
    if (action == ACTION_PASSTHRU || action == ACTION_DROP || action == ACTION_TRUNCATE || action == ACTION_CNAME)
        return;
    match_answer_bytes(explanation->snapshot, &explanation->decision, type, &made);
    set_text(object, "rcode", made.rcode == 3 ? "NXDOMAIN" : made.rcode == 5 ? "REFUSED" : "NOERROR");
    json_t *answer = json_array();
    add_addresses(answer, &made);
    json_object_set_new(object, "answer", answer);
}

json_t *explain_json(const struct snapshot *snapshot, const json_t *parameters, int64_t now, const char **why) {
    struct question *question = malloc(sizeof *question);
    if (question == NULL || read_question(question, snapshot, parameters, why) != 0) {
        if (question == NULL)
            *why = "out of memory";
        free(question);
        return NULL;
    }
    struct explanation explanation = {.snapshot = snapshot, .rules = json_array()};
    match_explain(snapshot, question->has_name ? &question->key : NULL, question->has_name ? NULL : &question->ip,
                  &question->client, (uint32_t)now, on_rule, &explanation);
    json_t *object = json_object();
    char text[NAME_TEXT_MAX];
    if (question->has_name)
        name_to_text(question->name.wire, text);
    else
        ip_to_text(&question->ip, text);
    set_text(object, question->has_name ? "name" : "ip", text);
    set_text(object, "client", text_of(parameters, "client"));
    set_text(object, "type", question->type_name);
    json_object_set_new(object, "decided", json_boolean(explanation.decided));
    json_object_set_new(object, "protected", json_boolean(explanation.protected_));
    if (explanation.decided) {
        describe(object, snapshot, &explanation.decision);
        if (question->has_name)
            describe_answer(object, &explanation, question->type);
    }
    json_object_set_new(object, "rules", explanation.rules);
    free(question);
    return object;
}
