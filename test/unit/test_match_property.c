/* test/unit/test_match_property.c: random policies and questions; the matcher must say what a naive one, written straight from
 * CONTRACT.md
 * ("Precedence"), says. Prints its seed; SUNDEW_TEST_SEED repeats a run, SUNDEW_TEST_ROUNDS lengthens it. */
#include "policy_build.h"

enum { RULES_MAX = 80, ZONES_MAX = 6, SHIELDS_MAX = 6, QUESTIONS = 40, NOW = 1000 };

static uint64_t random_state;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) * limit >> 31);
}

static bool chance(uint32_t in) {
    return random_below(in) == 0;
}

/* --- the model -----------------------------------------------------------------------------------------------------------------
 */

struct model_zone {
    enum mode mode;
    struct prefix clients[2];
    size_t client_count;
};

struct model_rule {
    struct rule rule;
    int zone;
    bool gone; /* another rule of the zone for the same thing goes before it for as long as it holds */
    char families[64];
};

struct model {
    struct model_zone zone[ZONES_MAX];
    int zones;
    struct model_rule rule[RULES_MAX];
    size_t rules;
    struct name shield_name[SHIELDS_MAX];
    bool shield_exact[SHIELDS_MAX];
    size_t shield_names;
    struct prefix shield_prefix[SHIELDS_MAX];
    size_t shield_prefixes;
};

struct expected {
    bool decided, blank, protected_;
    size_t monitors;
    const struct model_rule *decision;
    const struct model_rule *monitor[ZONES_MAX];
};

static bool same_thing(const struct model_rule *a, const struct model_rule *b) {
    if (a->zone != b->zone || a->rule.trigger != b->rule.trigger)
        return false;
    if (a->rule.trigger == TRIGGER_DOMAIN)
        return name_equal(&a->rule.name, &b->rule.name) && a->rule.match == b->rule.match;
    return a->rule.prefix.length == b->rule.prefix.length && ip_equal(&a->rule.prefix.ip, &b->rule.prefix.ip);
}

static bool goes_before(const struct model *model, size_t i, size_t j) {
    unsigned confidence = model->rule[i].rule.confidence, other = model->rule[j].rule.confidence;
    return i != j && same_thing(&model->rule[i], &model->rule[j]) && (confidence > other || (confidence == other && i < j));
}

static bool outlives(const struct model_rule *a, const struct model_rule *b) {
    return a->rule.expires == 0 || (b->rule.expires != 0 && a->rule.expires >= b->rule.expires);
}

static void model_join(struct model *model) {
    for (size_t i = 0; i < model->rules; i++) {
        struct model_rule *rule = &model->rule[i];
        snprintf(rule->families, sizeof rule->families, "%s", rule->rule.family != NULL ? rule->rule.family : "");
    }
    for (size_t i = 0; i < model->rules; i++) {
        struct model_rule *best = &model->rule[i];
        for (size_t j = 0; j < model->rules; j++)
            best->gone |= goes_before(model, j, i) && outlives(&model->rule[j], best);
        if (best->gone)
            continue;
        /* the others' families, the more confident first */
        for (int confidence = 100; confidence >= 0; confidence--) {
            for (size_t j = 0; j < model->rules; j++) {
                const struct model_rule *other = &model->rule[j];
                if (!goes_before(model, i, j) || other->rule.confidence != confidence || other->rule.family == NULL ||
                    strstr(best->families, other->rule.family) != NULL)
                    continue;
                if (best->families[0] != '\0')
                    strcat(best->families, ", ");
                strcat(best->families, other->rule.family);
            }
        }
    }
}

static bool covers_name(const struct name *owner, enum match match, const struct name *name) {
    bool self = name_equal(owner, name);
    if (match == MATCH_EXACT)
        return self;
    return name_is_within(name, owner) && (match == MATCH_SUBTREE || !self);
}

static bool name_protected(const struct model *model, const struct name *name) {
    for (size_t i = 0; i < model->shield_names; i++) {
        if (covers_name(&model->shield_name[i], model->shield_exact[i] ? MATCH_EXACT : MATCH_SUBTREE, name))
            return true;
    }
    return false;
}

static bool address_protected(const struct model *model, const struct ip *address) {
    for (size_t i = 0; i < model->shield_prefixes; i++) {
        if (prefix_contains(&model->shield_prefix[i], address))
            return true;
    }
    return false;
}

static bool in_force(const struct model *model, const struct model_rule *rule, const struct ip *client) {
    if (rule->gone || (rule->rule.expires != 0 && rule->rule.expires <= NOW))
        return false;
    const struct model_zone *zone = &model->zone[rule->zone];
    for (size_t i = 0; i < zone->client_count; i++) {
        if (prefix_contains(&zone->clients[i], client))
            return true;
    }
    return zone->client_count == 0;
}

/* The longest of a zone's domain rules that cover the name; at one owner exact before below before subtree. */
static const struct model_rule *best_domain(const struct model *model, int zone, const struct name *name, const struct ip *client) {
    const struct model_rule *best = NULL;
    for (size_t i = 0; i < model->rules; i++) {
        const struct model_rule *rule = &model->rule[i];
        if (rule->zone != zone || rule->rule.trigger != TRIGGER_DOMAIN || !covers_name(&rule->rule.name, rule->rule.match, name) ||
            !in_force(model, rule, client))
            continue;
        if (best == NULL || rule->rule.name.labels > best->rule.name.labels ||
            (rule->rule.name.labels == best->rule.name.labels && rule->rule.match < best->rule.match) ||
            goes_before(model, i, (size_t)(best - model->rule)))
            best = rule;
    }
    return best;
}

static bool lower(const struct prefix *a, const struct prefix *b) {
    if (ip_is_v4(&a->ip) != ip_is_v4(&b->ip))
        return ip_is_v4(&a->ip);
    return memcmp(a->ip.bytes, b->ip.bytes, sizeof a->ip.bytes) < 0;
}

static const struct model_rule *best_prefix(const struct model *model, int zone, enum trigger trigger, const struct ip *addresses,
                                            size_t count, const struct ip *client) {
    const struct model_rule *best = NULL;
    for (size_t a = 0; a < count; a++) {
        if (trigger == TRIGGER_IP && address_protected(model, &addresses[a]))
            continue;
        for (size_t i = 0; i < model->rules; i++) {
            const struct model_rule *rule = &model->rule[i];
            if (rule->zone == zone && rule->rule.trigger == trigger && prefix_contains(&rule->rule.prefix, &addresses[a]) &&
                in_force(model, rule, client) &&
                (best == NULL || rule->rule.prefix.length > best->rule.prefix.length ||
                 (rule->rule.prefix.length == best->rule.prefix.length && lower(&rule->rule.prefix, &best->rule.prefix)) ||
                 goes_before(model, i, (size_t)(best - model->rule))))
                best = rule;
        }
    }
    return best;
}

static bool any_rule(const struct model *model, const struct name *name, const struct ip *addresses, size_t count) {
    for (size_t i = 0; i < model->rules; i++) {
        const struct rule *rule = &model->rule[i].rule;
        if (name != NULL && rule->trigger == TRIGGER_DOMAIN && covers_name(&rule->name, rule->match, name))
            return true;
        for (size_t a = 0; a < count && rule->trigger == TRIGGER_IP; a++) {
            if (prefix_contains(&rule->prefix, &addresses[a]) && !address_protected(model, &addresses[a]))
                return true;
        }
    }
    return false;
}

static void expect(const struct model *model, const struct name *name, int phase, bool first, const struct ip *addresses,
                   size_t count, const struct ip *client, struct expected *expected) {
    memset(expected, 0, sizeof *expected);
    bool any = any_rule(model, phase == 2 && first ? NULL : name, addresses, phase == 2 ? count : 0);
    bool asked = phase == 1 || !first || any; /* nothing can happen to a first name without ip rules */
    expected->protected_ = asked && name_protected(model, name);
    expected->blank = !expected->protected_ && !any;
    if (expected->protected_)
        return;
    for (int zone = 0; zone < model->zones && !expected->decided; zone++) {
        const struct model_rule *rule = NULL;
        if (phase == 1)
            rule = best_prefix(model, zone, TRIGGER_CLIENT, client, 1, client);
        if (rule == NULL && (phase == 1 || !first))
            rule = best_domain(model, zone, name, client);
        if (rule == NULL && phase == 2)
            rule = best_prefix(model, zone, TRIGGER_IP, addresses, count, client);
        if (rule == NULL)
            continue;
        if (model->zone[zone].mode == MODE_MONITOR) {
            expected->monitor[expected->monitors++] = rule;
            continue;
        }
        expected->decided = true;
        expected->decision = rule;
    }
}

/* --- random things -------------------------------------------------------------------------------------------------------------
 */

static void random_name(struct name *name, unsigned labels_max) {
    static const char *const LABELS[] = {
        "a", "b", "c", "www", "evil", "com", "long-label-with-many-letters-in-it-that-goes-on-and-on"};
    char text[NAME_TEXT_MAX] = "";
    unsigned labels = random_below(labels_max + 1);
    for (unsigned i = 0; i < labels; i++) {
        strcat(text, LABELS[random_below(chance(8) ? 7 : 4)]);
        strcat(text, chance(20) ? "\\255\\000." : ".");
    }
    if (labels == 0)
        strcpy(text, ".");
    if (name_from_text(name, text, strlen(text), NULL) != 0)
        *name = build_name("a.b");
}

static struct ip random_ip(void) {
    uint8_t v4[4] = {10, (uint8_t)random_below(2), (uint8_t)(random_below(4) << 6), (uint8_t)random_below(4)};
    uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, (uint8_t)random_below(3)};
    v6[15] = (uint8_t)random_below(4);
    return chance(3) ? ip_from_v6(v6) : ip_from_v4(v4);
}

static struct prefix random_prefix(void) {
    struct ip ip = random_ip();
    char text[IP_TEXT_MAX + 8];
    size_t length = ip_to_text(&ip, text);
    static const unsigned V4[] = {0, 8, 15, 16, 17, 24, 31, 32};
    static const unsigned V6[] = {0, 16, 32, 63, 64, 120, 127, 128};
    snprintf(text + length, sizeof text - length, "/%u", ip_is_v4(&ip) ? V4[random_below(8)] : V6[random_below(8)]);
    struct prefix prefix;
    assert_int_equal(prefix_from_text(&prefix, text, strlen(text), true, NULL), 0);
    return prefix;
}

static void random_rule(struct model *model, struct model_rule *made) {
    static const char *const FAMILIES[] = {NULL, "Emotet", "QakBot", "Pikabot", "x-rat"};
    static const enum trigger TRIGGERS[] = {TRIGGER_DOMAIN, TRIGGER_DOMAIN, TRIGGER_DOMAIN, TRIGGER_IP, TRIGGER_IP, TRIGGER_CLIENT};
    memset(made, 0, sizeof *made);
    struct rule *rule = &made->rule;
    made->zone = (int)random_below((uint32_t)model->zones);
    rule->trigger = TRIGGERS[random_below(chance(10) ? 6 : 5)];
    rule->match = (enum match)random_below(MATCH_COUNT);
    random_name(&rule->name, 4);
    rule->prefix = random_prefix();
    rule->action = (enum action)random_below(ACTION_COUNT);
    rule->ttl = random_below(3) * 300;
    rule->confidence = (uint8_t)(random_below(3) * 50);
    rule->family = FAMILIES[random_below(5)];
    rule->expires = chance(4) ? NOW - 1 + random_below(3) : 0;
    rule->target = "*.garden.example";
    rule->records = "300 IN TXT \"hello\"\n60 IN A 192.0.2.9";
    rule->line = (uint32_t)model->rules + 1;
    rule->source = "test.json";
    rule->reference = chance(2) ? "https://example.org/report/77/x" : NULL;
    rule->first_seen = (int64_t)random_below(5) * 100;
    rule->last_seen = (int64_t)random_below(5) * 100;
}

static void random_model(struct model *model) {
    memset(model, 0, sizeof *model);
    model->zones = 1 + (int)random_below(ZONES_MAX);
    for (int i = 0; i < model->zones; i++) {
        struct model_zone *zone = &model->zone[i];
        zone->mode = chance(3) ? MODE_MONITOR : MODE_ENFORCE;
        zone->client_count = chance(4) ? 1 + random_below(2) : 0;
        for (size_t j = 0; j < zone->client_count; j++)
            zone->clients[j] = random_prefix();
    }
    size_t rules = random_below(chance(3) ? RULES_MAX : 12) + 1;
    for (; model->rules < rules; model->rules++)
        random_rule(model, &model->rule[model->rules]);
    model->shield_names = chance(3) ? random_below(SHIELDS_MAX) : 0;
    for (size_t i = 0; i < model->shield_names; i++) {
        random_name(&model->shield_name[i], 4);
        model->shield_exact[i] = chance(2);
    }
    model->shield_prefixes = chance(3) ? random_below(SHIELDS_MAX) : 0;
    for (size_t i = 0; i < model->shield_prefixes; i++)
        model->shield_prefix[i] = random_prefix();
    model_join(model);
}

static struct snapshot *model_snapshot(const struct model *model) {
    struct ruleset *rules = build_rules();
    for (int i = 0; i < model->zones; i++) {
        char name[24];
        snprintf(name, sizeof name, "zone-%d", i);
        struct ruleset_zone zone = {.name = name,
                                    .mode = model->zone[i].mode,
                                    .clients = model->zone[i].clients,
                                    .client_count = model->zone[i].client_count};
        assert_int_equal(ruleset_add_zone(rules, &zone), i);
    }
    for (size_t i = 0; i < model->rules; i++) {
        const char *why = NULL;
        if (ruleset_add(rules, model->rule[i].zone, &model->rule[i].rule, &why) != 0)
            fail_msg("ruleset_add: %s", why);
    }
    for (size_t i = 0; i < model->shield_names; i++)
        assert_int_equal(ruleset_protect_name(rules, &model->shield_name[i], model->shield_exact[i]), 0);
    for (size_t i = 0; i < model->shield_prefixes; i++)
        assert_int_equal(ruleset_protect_prefix(rules, &model->shield_prefix[i]), 0);
    return build_snapshot(rules);
}

/* --- comparing -----------------------------------------------------------------------------------------------------------------
 */

static void assert_same_text(const char *text, const char *expected) {
    if (expected == NULL || expected[0] == '\0')
        assert_null(text);
    else
        assert_string_equal(text, expected);
}

static void assert_info(const struct rule_info *info, const struct model_rule *expected) {
    const struct rule *rule = &expected->rule;
    char text[NAME_TEXT_MAX + 2] = "";
    if (rule->trigger != TRIGGER_DOMAIN)
        prefix_to_text(&rule->prefix, text);
    else {
        size_t star = rule->match == MATCH_BELOW ? 2 : 0;
        memcpy(text, "*.", 2);
        name_to_text(rule->name.wire, text + star);
    }
    assert_string_equal(info->text, text);
    assert_int_equal(info->line, rule->line);
    assert_int_equal(info->zone, expected->zone);
    assert_int_equal(info->trigger, rule->trigger);
    if (rule->trigger == TRIGGER_DOMAIN)
        assert_int_equal(info->match, rule->match);
    assert_int_equal(info->action, rule->action);
    assert_int_equal(info->ttl, rule->ttl);
    assert_int_equal(info->confidence, rule->confidence);
    assert_int_equal(info->first_seen, rule->first_seen);
    assert_int_equal(info->last_seen, rule->last_seen);
    assert_int_equal(info->expires, rule->expires);
    assert_same_text(info->family, expected->families);
    assert_same_text(info->reference, rule->reference);
    assert_same_text(info->source, rule->source);
    assert_same_text(info->target, rule->action == ACTION_CNAME ? rule->target : NULL);
    assert_same_text(info->records, rule->action == ACTION_LOCAL ? rule->records : NULL);
}

/* The parts of a rule's info, asked for one by one, are those of the whole. */
static void assert_parts(const struct snapshot *snapshot, const struct matched *matched, const struct rule_info *whole) {
    struct rule_info info;
    uint64_t label;
    uint32_t spec;
    assert_int_equal(snapshot_profile(snapshot, matched->profile, &spec, &info), 0);
    assert_int_equal(spec, matched->spec);
    assert_string_equal(info.zone_name, whole->zone_name);
    assert_int_equal(info.mode, whole->mode);
    assert_int_equal(info.action, whole->action);
    assert_int_equal(info.ttl, whole->ttl);
    if (whole->trigger == TRIGGER_DOMAIN)
        assert_int_equal(info.match, whole->match);
    assert_int_equal(snapshot_notes(snapshot, matched->rule, &label, &info), 0);
    assert_int_equal(info.confidence, whole->confidence);
    assert_same_text(info.family, whole->family);
    assert_same_text(info.reference, whole->reference);
}

static void assert_matched(const struct snapshot *snapshot, const struct matched *matched, const struct model_rule *expected) {
    struct rule_info info;
    assert_int_equal(snapshot_rule(snapshot, matched->rule, &info), 0);
    assert_info(&info, expected);
    assert_int_equal(matched->zone, expected->zone);
    assert_int_equal(matched->trigger, expected->rule.trigger);
    assert_int_equal(matched->action, expected->rule.action);
    if (expected->rule.trigger == TRIGGER_DOMAIN)
        assert_int_equal(matched->labels, expected->rule.name.labels);
    assert_int_equal(matched->owner_length, expected->rule.trigger == TRIGGER_DOMAIN ? expected->rule.name.length : 0);
    assert_int_equal(match_ttl(snapshot, matched), expected->rule.ttl);
    assert_parts(snapshot, matched, &info);
}

static void assert_verdict(const struct snapshot *snapshot, const struct verdict *verdict, const struct expected *expected) {
    assert_int_equal(verdict->protected_, expected->protected_);
    assert_int_equal(verdict->blank, expected->blank);
    assert_int_equal(verdict->decided, expected->decided);
    assert_int_equal(verdict->monitors, expected->monitors);
    for (size_t i = 0; i < expected->monitors; i++)
        assert_matched(snapshot, &verdict->monitor[i], expected->monitor[i]);
    if (expected->decided)
        assert_matched(snapshot, &verdict->decision, expected->decision);
}

struct explained {
    struct matched decides;
    struct matched monitor[ZONES_MAX];
    size_t decided, monitors, protections;
    const struct snapshot *snapshot;
};

static void note_explained(void *context, const struct matched *matched, enum explain_state state) {
    struct explained *explained = context;
    if (matched->trigger == TRIGGER_IP)
        return;
    explained->protections += state == EXPLAIN_PROTECTED;
    if (state == EXPLAIN_DECIDES) {
        explained->decides = *matched;
        explained->decided++;
    }
    if (state == EXPLAIN_MONITOR)
        explained->monitor[explained->monitors++] = *matched;
}

/* What explain says of phase one must be what match does. */
static void assert_explained(const struct snapshot *snapshot, const struct name_key *key, const struct ip *client,
                             const struct expected *expected) {
    struct explained explained = {.snapshot = snapshot};
    match_explain(snapshot, key, client, client, NOW, note_explained, &explained);
    assert_int_equal(explained.decided, expected->decided);
    assert_int_equal(explained.monitors, expected->monitors);
    for (size_t i = 0; i < expected->monitors; i++)
        assert_matched(snapshot, &explained.monitor[i], expected->monitor[i]);
    if (expected->decided)
        assert_matched(snapshot, &explained.decides, expected->decision);
    if (!expected->protected_)
        assert_int_equal(explained.protections, 0);
}

static void question(const struct model *model, const struct snapshot *snapshot) {
    struct name name;
    random_name(&name, 6);
    struct name_key key;
    build_key(&key, &name);
    struct ip client = random_ip();
    struct ip addresses[3] = {random_ip(), random_ip(), random_ip()};
    size_t count = random_below(4);
    struct verdict verdict;
    struct expected expected;
    match_query(snapshot, &key, &client, NOW, &verdict);
    expect(model, &name, 1, true, NULL, 0, &client, &expected);
    assert_verdict(snapshot, &verdict, &expected);
    assert_explained(snapshot, &key, &client, &expected);
    for (int first = 0; first < 2; first++) {
        match_answer(snapshot, &key, first, addresses, count, &client, NOW, &verdict);
        expect(model, &name, 2, first, addresses, count, &client, &expected);
        assert_verdict(snapshot, &verdict, &expected);
    }
}

struct listed {
    const struct model *model;
    size_t rules;
};

static int note_listed(void *context, uint32_t rule, const struct rule_info *info) {
    struct listed *listed = context;
    assert_in_range(info->line, 1, listed->model->rules);
    const struct model_rule *expected = &listed->model->rule[info->line - 1];
    assert_false(expected->gone);
    assert_info(info, expected);
    listed->rules++;
    return 0;
}

static void assert_listed(const struct model *model, const struct snapshot *snapshot) {
    struct listed listed = {.model = model};
    assert_int_equal(snapshot_each(snapshot, note_listed, &listed), 0);
    size_t left = 0, counted = 0;
    size_t by_zone[ZONES_MAX] = {0};
    for (size_t i = 0; i < model->rules; i++) {
        bool heir = false;
        for (size_t j = 0; j < model->rules; j++)
            heir |= goes_before(model, j, i);
        left += !model->rule[i].gone;
        counted += !heir;
        by_zone[model->rule[i].zone] += !heir;
    }
    assert_int_equal(listed.rules, left);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    assert_int_equal(stats.rules, counted);
    for (int i = 0; i < model->zones; i++)
        assert_int_equal(snapshot_zone_rules(snapshot, (uint32_t)i), by_zone[i]);
}

static uint64_t number_from(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void test_property(void **state) {
    uint64_t seed = number_from("SUNDEW_TEST_SEED", 20261122);
    uint64_t rounds = number_from("SUNDEW_TEST_ROUNDS", 400);
    print_message("seed %llu, %llu rounds of %d questions\n", (unsigned long long)seed, (unsigned long long)rounds, QUESTIONS);
    for (uint64_t round = 0; round < rounds; round++) {
        random_state = seed + round * 7919;
        random_below(1);
        struct model *model = malloc(sizeof *model);
        assert_non_null(model);
        random_model(model);
        struct snapshot *snapshot = model_snapshot(model);
        for (int i = 0; i < QUESTIONS; i++)
            question(model, snapshot);
        assert_listed(model, snapshot);
        snapshot_unref(snapshot);
        free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_property)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
