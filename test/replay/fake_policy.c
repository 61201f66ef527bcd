/* test/replay/fake_policy.c: the matcher as CONTRACT.md describes it, by the plainest means: every rule is looked at. */
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/match.h"
#include "resolver/wire.h"
#include "test/replay/policy.h"

enum { ZONES_MAX = 16, RULES_MAX = 256 };

struct one_rule {
    int zone;
    enum trigger trigger;
    enum match match;
    struct name name;
    struct prefix prefix;
    enum action action;
    uint32_t ttl;
    uint32_t expires;
    struct name target;
    bool wildcard;
    char text[300];
    uint8_t records[2048];
    size_t record_length;
};

struct one_zone {
    char name[64];
    enum mode mode;
    bool has_client;
    struct prefix client;
};

struct snapshot {
    struct one_zone zones[ZONES_MAX];
    int zone_count;
    struct one_rule rules[RULES_MAX];
    uint32_t rule_count;
    struct name protect[16];
    unsigned protect_count;
    uint32_t generation;
    const struct config *config;
};
struct policy_text {
    struct snapshot snapshot;
};

struct policy_text *policy_text_new(const struct config *config) {
    struct policy_text *policy = calloc(1, sizeof *policy);
    policy->snapshot.config = config;
    return policy;
}

void policy_text_free(struct policy_text *policy) {
    free(policy);
}

struct snapshot *policy_text_snapshot(struct policy_text *policy) {
    static uint32_t generation;
    struct snapshot *copy = malloc(sizeof *copy);
    *copy = policy->snapshot;
    copy->generation = ++generation;
    return copy;
}

void snapshot_unref(struct snapshot *snapshot) {
    free(snapshot);
}

uint32_t snapshot_generation(const struct snapshot *snapshot) {
    return snapshot->generation;
}

uint64_t snapshot_seed(const struct snapshot *snapshot) {
    return 42;
}

int snapshot_rule(const struct snapshot *snapshot, uint32_t rule, struct rule_info *info) {
    memset(info, 0, sizeof *info);
    info->zone_name = snapshot->zones[snapshot->rules[rule].zone].name;
    snprintf(info->text, sizeof info->text, "%s", snapshot->rules[rule].text);
    return 0;
}

static void die(const char *line) {
    fprintf(stderr, "bad policy line: %s\n", line);
    exit(2);
}

static void parse_name(struct name *name, const char *text) {
    if (name_from_text(name, text, strlen(text), NULL))
        die(text);
}

static void parse_prefix(struct prefix *prefix, const char *text) {
    if (prefix_from_text(prefix, text, strlen(text), false, NULL))
        die(text);
}

static void add_local_record(struct one_rule *rule, const char *text) {
    char line[1000];
    ldns_rr *rr = NULL;
    snprintf(line, sizeof line, "x. %s", text);
    if (ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) != LDNS_STATUS_OK)
        die(text);
    uint8_t *wire;
    size_t size;
    ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &size);
    memcpy(rule->records + rule->record_length, wire + 1, size - 1); /* the owner's label takes 3 octets, a pointer 2 */
    wire_set16(rule->records + rule->record_length, 0xC00C);
    rule->record_length += size - 1;
    free(wire);
    ldns_rr_free(rr);
}

static void rule_line(struct snapshot *s, char *text) {
    static const char *const actions[] = {"loopback", "sinkhole", "nxdomain", "nodata", "refused",
                                          "drop",     "truncate", "passthru", "cname",  "local"};
    struct one_rule *rule = &s->rules[s->rule_count++];
    char *save = NULL, *word = strtok_r(text, " ", &save);
    rule->zone = s->zone_count - 1;
    rule->ttl = RULE_TTL_MAX;
    rule->match = MATCH_SUBTREE;
    rule->action = ACTION_COUNT;
    if (!strcmp(word, "ip") || !strcmp(word, "client")) {
        rule->trigger = *word == 'i' ? TRIGGER_IP : TRIGGER_CLIENT;
        word = strtok_r(NULL, " ", &save);
        parse_prefix(&rule->prefix, word);
    } else {
        rule->trigger = TRIGGER_DOMAIN;
        parse_name(&rule->name, word);
    }
    snprintf(rule->text, sizeof rule->text, "%s", word);
    while ((word = strtok_r(NULL, " ", &save))) {
        if (!strcmp(word, "exact"))
            rule->match = MATCH_EXACT;
        else if (!strcmp(word, "below"))
            rule->match = MATCH_BELOW;
        else if (!strcmp(word, "subtree"))
            rule->match = MATCH_SUBTREE;
        else if (!strcmp(word, "ttl"))
            rule->ttl = (uint32_t)atoi(strtok_r(NULL, " ", &save));
        else if (!strcmp(word, "expires"))
            rule->expires = (uint32_t)atoi(strtok_r(NULL, " ", &save));
        else if (!strcmp(word, "target")) {
            word = strtok_r(NULL, " ", &save);
            rule->wildcard = !strncmp(word, "*.", 2);
            parse_name(&rule->target, word + (rule->wildcard ? 2 : 0));
        } else if (!strcmp(word, "record")) {
            add_local_record(rule, save);
            break;
        } else {
            for (int i = 0; i < ACTION_COUNT; i++) {
                if (!strcmp(word, actions[i]))
                    rule->action = (enum action)i;
            }
        }
    }
    if (rule->action == ACTION_COUNT || rule->zone < 0)
        die(rule->text);
}

bool policy_text_line(struct policy_text *policy, const char *line) {
    struct snapshot *s = &policy->snapshot;
    char copy[1000];
    snprintf(copy, sizeof copy, "%s", line);
    char *save = NULL, *word = strtok_r(copy, " ", &save);
    if (!strcmp(word, "zone")) {
        struct one_zone *zone = &s->zones[s->zone_count++];
        snprintf(zone->name, sizeof zone->name, "%s", strtok_r(NULL, " ", &save));
        while ((word = strtok_r(NULL, " ", &save))) {
            if (!strcmp(word, "monitor"))
                zone->mode = MODE_MONITOR;
            else if (!strcmp(word, "client")) {
                zone->has_client = true;
                parse_prefix(&zone->client, strtok_r(NULL, " ", &save));
            }
        }
        return true;
    }
    if (!strcmp(word, "protect")) {
        parse_name(&s->protect[s->protect_count++], strtok_r(NULL, " ", &save));
        return true;
    }
    if (strcmp(word, "rule"))
        return false;
    if (save[0] == ' ')
        save++;
    /* another record for the rule before */
    if (!strncmp(save, "record ", 7))
        add_local_record(&s->rules[s->rule_count - 1], save + 7);
    else
        rule_line(s, save);
    return true;
}

/* --- matching --- */

static bool covers(const struct one_rule *rule, const struct name *name) {
    if (!name_is_within(name, &rule->name))
        return false;
    bool self = rule->name.labels == name->labels;
    return rule->match == MATCH_SUBTREE || (rule->match == MATCH_EXACT ? self : !self);
}

/* Larger is nearer. */
static unsigned nearness(const struct one_rule *rule) {
    return rule->trigger == TRIGGER_DOMAIN ? rule->name.labels * 4U + (rule->match == MATCH_EXACT ? 2 : rule->match == MATCH_BELOW)
                                           : rule->prefix.length;
}

struct asked {
    const struct snapshot *s;
    struct name name;
    bool client_rules, domain_rules;
    const struct ip *addresses;
    size_t count;
    const struct ip *client;
    uint32_t now;
};

static bool hits(const struct asked *a, const struct one_rule *rule) {
    switch (rule->trigger) {
    case TRIGGER_CLIENT:
        return a->client_rules && prefix_contains(&rule->prefix, a->client);
    case TRIGGER_DOMAIN:
        return a->domain_rules && covers(rule, &a->name);
    default:
        for (size_t i = 0; i < a->count; i++) {
            if (prefix_contains(&rule->prefix, &a->addresses[i]))
                return true;
        }
        return false;
    }
}

static void judge(const struct asked *a, struct verdict *v) {
    const struct snapshot *s = a->s;
    memset(v, 0, sizeof *v);
    v->blank = true;
    for (unsigned i = 0; i < s->protect_count; i++) {
        if (name_is_within(&a->name, &s->protect[i])) {
            v->protected_ = true;
            v->blank = false;
            return;
        }
    }
    for (int z = 0; z < s->zone_count; z++) {
        const struct one_zone *zone = &s->zones[z];
        const struct one_rule *best = NULL;
        for (uint32_t i = 0; i < s->rule_count; i++) {
            const struct one_rule *rule = &s->rules[i];
            if (rule->zone != z || !hits(a, rule))
                continue;
            if (rule->trigger != TRIGGER_CLIENT)
                v->blank = false;
            if ((zone->has_client && !prefix_contains(&zone->client, a->client)) || (rule->expires && a->now >= rule->expires))
                continue;
            if (!best || rule->trigger < best->trigger || (rule->trigger == best->trigger && nearness(rule) > nearness(best)))
                best = rule;
        }
        if (!best)
            continue;
        uint32_t index = (uint32_t)(best - s->rules);
        struct matched m = {
            index, index, (uint16_t)z, (uint8_t)best->trigger, (uint8_t)best->action, (uint8_t)zone->mode, best->name.labels};
        if (zone->mode == MODE_MONITOR) {
            v->monitor[v->monitors++] = m;
        } else {
            v->decision = m;
            v->decided = true;
            return;
        }
    }
}

static struct asked ask(const struct snapshot *s, const struct name_key *key, const struct ip *client, uint32_t now) {
    struct asked a = {.s = s, .client = client, .now = now};
    a.name.length = key->length;
    a.name.labels = key->labels;
    memcpy(a.name.wire, key->wire, key->length);
    return a;
}

void match_query(const struct snapshot *s, const struct name_key *qname, const struct ip *client, uint32_t now, struct verdict *v) {
    struct asked a = ask(s, qname, client, now);
    a.client_rules = a.domain_rules = true;
    judge(&a, v);
}

void match_answer(const struct snapshot *s, const struct name_key *name, bool first, const struct ip *addresses, size_t count,
                  const struct ip *client, uint32_t now, struct verdict *v) {
    struct asked a = ask(s, name, client, now);
    a.domain_rules = !first;
    a.addresses = addresses;
    a.count = count;
    judge(&a, v);
}

static bool has(const struct snapshot *s, enum trigger trigger) {
    for (uint32_t i = 0; i < s->rule_count; i++) {
        if (s->rules[i].trigger == trigger)
            return true;
    }
    return false;
}

bool match_has_client_rules(const struct snapshot *s) {
    return has(s, TRIGGER_CLIENT);
}

bool match_has_ip_rules(const struct snapshot *s) {
    return has(s, TRIGGER_IP);
}

/* --- answers --- */

static void put_address(struct wire_out *out, uint16_t type, uint32_t ttl, const struct ip *ip) {
    wire_put16(out, 0xC00C);
    wire_put16(out, type);
    wire_put16(out, 1);
    wire_put32(out, ttl);
    wire_put16(out, type == TYPE_A ? 4 : 16);
    wire_put(out, ip->bytes + (type == TYPE_A ? 12 : 0), type == TYPE_A ? 4 : 16);
}

static void put_local(struct wire_out *out, const struct one_rule *rule, uint16_t qtype, uint16_t *count) {
    for (size_t at = 0; at < rule->record_length;) {
        const uint8_t *p = rule->records + at;
        size_t size = 12U + wire_get16(p + 10);
        if (wire_get16(p + 2) == qtype || qtype == TYPE_ANY) {
            wire_put(out, p, size);
            ++*count;
        }
        at += size;
    }
}

static void put_negative(struct wire_out *out, uint32_t ttl) {
    wire_put16(out, 0xC00C);
    wire_put16(out, TYPE_SOA);
    wire_put16(out, 1);
    wire_put32(out, ttl);
    wire_put16(out, 22);
    wire_put16(out, 0);
    for (int i = 0; i < 4; i++)
        wire_put32(out, 1);
    wire_put32(out, ttl);
}

void match_answer_bytes(const struct snapshot *s, const struct matched *m, uint16_t qtype, struct answer_bytes *out) {
    static uint8_t room[4096];
    const struct one_rule *rule = &s->rules[m->rule];
    const struct config *config = s->config;
    struct wire_out w;
    wire_out_init(&w, room, sizeof room, 0);
    memset(out, 0, sizeof *out);
    bool v4 = qtype == TYPE_A || qtype == TYPE_ANY, v6 = qtype == TYPE_AAAA || qtype == TYPE_ANY;
    out->ede = 4;
    if (rule->action == ACTION_LOOPBACK && v4) {
        put_address(&w, TYPE_A, rule->ttl, &config->policy.loopback);
        out->ancount++;
    } else if (rule->action == ACTION_SINKHOLE) {
        if (v4 && config->policy.has_ipv4 && ++out->ancount)
            put_address(&w, TYPE_A, rule->ttl, &config->policy.sinkhole_ipv4);
        if (v6 && config->policy.has_ipv6 && ++out->ancount)
            put_address(&w, TYPE_AAAA, rule->ttl, &config->policy.sinkhole_ipv6);
    } else if (rule->action == ACTION_LOCAL) {
        put_local(&w, rule, qtype, &out->ancount);
    } else if (rule->action == ACTION_NXDOMAIN || rule->action == ACTION_NODATA || rule->action == ACTION_REFUSED) {
        out->ede = 15;
        out->rcode = rule->action == ACTION_NXDOMAIN ? 3 : rule->action == ACTION_REFUSED ? 5 : 0;
    }
    if (out->ancount == 0 && out->rcode != 5) {
        put_negative(&w, rule->ttl);
        out->nscount = 1;
    }
    out->bytes = room;
    out->length = (uint16_t)w.at;
}

uint32_t match_ttl(const struct snapshot *s, const struct matched *m) {
    return s->rules[m->rule].ttl;
}

const struct name *match_cname_target(const struct snapshot *s, const struct matched *m, bool *wildcard, struct name *buffer) {
    *wildcard = s->rules[m->rule].wildcard;
    *buffer = s->rules[m->rule].target;
    return buffer;
}
