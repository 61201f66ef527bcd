/* test/replay/plain_policy.c: compiler and matcher as CONTRACT.md describes them, by the plainest means: every rule is looked at,
 * every record is made when it is asked for. It stands in for policy/ at link time; the two check each other. */
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/match.h"
#include "resolver/wire.h"
#include "test/replay/policy.h"

struct snapshot {
    struct policy_text text;
    uint32_t generation;
};

struct snapshot *policy_text_snapshot(const struct policy_text *policy) {
    static uint32_t generation;
    struct snapshot *snapshot = malloc(sizeof *snapshot);
    snapshot->text = *policy;
    snapshot->generation = ++generation;
    return snapshot;
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

int snapshot_rule(const struct snapshot *snapshot, uint32_t index, struct rule_info *info) {
    const struct policy_rule *rule = &snapshot->text.rules[index];
    memset(info, 0, sizeof *info);
    info->zone_name = snapshot->text.zones[rule->zone].name;
    if (rule->trigger != TRIGGER_DOMAIN) {
        prefix_to_text(&rule->prefix, info->text);
        return 0;
    }
    if (rule->match == MATCH_BELOW)
        strcpy(info->text, "*.");
    name_to_text(rule->name.wire, info->text + strlen(info->text));
    return 0;
}

/* --- matching --- */

static bool covers(const struct policy_rule *rule, const struct name *name) {
    if (!name_is_within(name, &rule->name))
        return false;
    bool self = rule->name.labels == name->labels;
    return rule->match == MATCH_SUBTREE || (rule->match == MATCH_EXACT ? self : !self);
}

/* Larger is nearer. */
static unsigned nearness(const struct policy_rule *rule) {
    return rule->trigger == TRIGGER_DOMAIN ? rule->name.labels * 4U + (rule->match == MATCH_EXACT ? 2 : rule->match == MATCH_BELOW)
                                           : rule->prefix.length;
}

/* Of rules as near: IPv4 before IPv6, the lowest prefix first. */
static bool goes_before(const struct policy_rule *a, const struct policy_rule *b) {
    if (nearness(a) != nearness(b) || a->trigger == TRIGGER_DOMAIN)
        return nearness(a) > nearness(b);
    const struct ip *x = &a->prefix.ip, *y = &b->prefix.ip;
    return ip_is_v4(x) != ip_is_v4(y) ? ip_is_v4(x) : memcmp(x->bytes, y->bytes, sizeof x->bytes) < 0;
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

static bool hits(const struct asked *a, const struct policy_rule *rule) {
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
    const struct policy_text *s = &a->s->text;
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
        const struct policy_zone *zone = &s->zones[z];
        const struct policy_rule *best = NULL;
        for (uint32_t i = 0; i < s->rule_count; i++) {
            const struct policy_rule *rule = &s->rules[i];
            if (rule->zone != z || !hits(a, rule))
                continue;
            if (rule->trigger != TRIGGER_CLIENT)
                v->blank = false;
            if ((zone->has_client && !prefix_contains(&zone->client, a->client)) || (rule->expires && a->now >= rule->expires))
                continue;
            if (!best || rule->trigger < best->trigger || (rule->trigger == best->trigger && goes_before(rule, best)))
                best = rule;
        }
        if (!best)
            continue;
        uint32_t index = (uint32_t)(best - s->rules);
        struct matched m = {.rule = index,
                            .spec = index,
                            .zone = (uint16_t)z,
                            .trigger = (uint8_t)best->trigger,
                            .action = (uint8_t)best->action,
                            .mode = (uint8_t)zone->mode,
                            .labels = best->name.labels};
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

void match_prefetch(const struct snapshot *s, const struct name_key *key, struct match_ahead *ahead) {}

void match_query(const struct snapshot *s, const struct name_key *qname, const struct ip *client, uint32_t now, struct verdict *v) {
    struct asked a = ask(s, qname, client, now);
    a.client_rules = a.domain_rules = true;
    judge(&a, v);
}

bool match_is_likely(const struct snapshot *s, const struct name_key *key, struct match_ahead *ahead) {
    struct verdict v;
    match_query(s, key, NULL, 0, &v);
    return !v.blank || v.protected_;
}

void match_prefetch_rules(const struct snapshot *s, const struct name_key *key, const struct match_ahead *ahead) {}

void match_query_ahead(const struct snapshot *s, const struct name_key *qname, const struct match_ahead *ahead,
                       const struct ip *client, uint32_t now, struct verdict *v) {
    match_query(s, qname, client, now, v);
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
    for (uint32_t i = 0; i < s->text.rule_count; i++) {
        if (s->text.rules[i].trigger == trigger)
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

/* Zone-file lines to records, owner a pointer to the question. */
static void put_local(struct wire_out *out, const struct policy_rule *rule, uint16_t qtype, uint16_t *count) {
    char lines[POLICY_RECORDS_MAX], line[POLICY_RECORDS_MAX + 10];
    strcpy(lines, rule->records);
    for (char *save = NULL, *text = strtok_r(lines, "\n", &save); text; text = strtok_r(NULL, "\n", &save)) {
        ldns_rr *rr = NULL;
        uint8_t *wire;
        size_t size;
        snprintf(line, sizeof line, "x. %s", text);
        if (ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) != LDNS_STATUS_OK)
            exit(2);
        ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &size);
        if (qtype == TYPE_ANY || qtype == (uint16_t)ldns_rr_get_type(rr)) {
            wire_put16(out, 0xC00C);
            wire_put(out, wire + 3, size - 3);
            ++*count;
        }
        free(wire);
        ldns_rr_free(rr);
    }
}

static void put_negative(struct wire_out *out, uint32_t ttl) {
    static const uint8_t names[] = "\11localhost\0\6nobody\7invalid";
    static const uint32_t timers[] = {1, 3600, 900, 604800};
    wire_put16(out, 0xC00C);
    wire_put16(out, TYPE_SOA);
    wire_put16(out, 1);
    wire_put32(out, ttl);
    wire_put16(out, sizeof names + 20);
    wire_put(out, names, sizeof names);
    for (int i = 0; i < 4; i++)
        wire_put32(out, timers[i]);
    wire_put32(out, ttl);
}

void match_answer_bytes(const struct snapshot *s, const struct matched *m, uint16_t qtype, struct answer_bytes *out) {
    static uint8_t room[4096];
    const struct policy_rule *rule = &s->text.rules[m->rule];
    const struct config *config = s->text.config;
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
    return s->text.rules[m->rule].ttl;
}

const struct name *match_cname_target(const struct snapshot *s, const struct matched *m, bool *wildcard, struct name *buffer) {
    const char *target = s->text.rules[m->rule].target;
    *wildcard = !strncmp(target, "*.", 2);
    target += *wildcard ? 2 : 0;
    return name_from_text(buffer, target, strlen(target), NULL) ? NULL : buffer;
}
