/* test/replay/policy.c: a policy from a scenario's lines. */
#include "test/replay/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct policy_text *policy_text_new(const struct config *config) {
    struct policy_text *policy = calloc(1, sizeof *policy);
    policy->config = config;
    return policy;
}

void policy_text_free(struct policy_text *policy) {
    free(policy);
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

static void add_record(struct policy_rule *rule, const char *text) {
    size_t have = strlen(rule->records);
    snprintf(rule->records + have, sizeof rule->records - have, "%s%s", have ? "\n" : "", text);
}

static void rule_word(struct policy_rule *rule, const char *word, char **save) {
    size_t length = strlen(word);
    if (!strcmp(word, "ttl"))
        rule->ttl = (uint32_t)atoi(strtok_r(NULL, " ", save));
    else if (!strcmp(word, "expires"))
        rule->expires = atoi(strtok_r(NULL, " ", save));
    else if (!strcmp(word, "target"))
        snprintf(rule->target, sizeof rule->target, "%s", strtok_r(NULL, " ", save));
    else if (match_from_name(word, length, &rule->match) && action_from_name(word, length, &rule->action))
        die(word);
}

static void rule_line(struct policy_text *policy, char *rest) {
    struct policy_rule *rule = &policy->rules[policy->rule_count++];
    char *save = NULL, *word = strtok_r(rest, " ", &save);
    *rule = (struct policy_rule){
        .zone = policy->zone_count - 1, .ttl = RULE_TTL_MAX, .match = MATCH_SUBTREE, .action = RULE_ACTION_UNSET};
    if (!strcmp(word, "ip") || !strcmp(word, "client")) {
        rule->trigger = *word == 'i' ? TRIGGER_IP : TRIGGER_CLIENT;
        parse_prefix(&rule->prefix, strtok_r(NULL, " ", &save));
    } else {
        rule->trigger = TRIGGER_DOMAIN;
        parse_name(&rule->name, word);
    }
    while ((word = strtok_r(NULL, " ", &save))) {
        if (!strcmp(word, "record")) {
            add_record(rule, save);
            break;
        }
        rule_word(rule, word, &save);
    }
    if (rule->action == RULE_ACTION_UNSET || rule->zone < 0)
        die("rule without an action or a zone");
}

static void zone_line(struct policy_text *policy, char *rest) {
    struct policy_zone *zone = &policy->zones[policy->zone_count++];
    char *save = NULL;
    snprintf(zone->name, sizeof zone->name, "%s", strtok_r(rest, " ", &save));
    for (char *word = strtok_r(NULL, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (!strcmp(word, "monitor")) {
            zone->mode = MODE_MONITOR;
        } else {
            zone->has_client = true;
            parse_prefix(&zone->client, strtok_r(NULL, " ", &save));
        }
    }
}

bool policy_text_line(struct policy_text *policy, const char *line) {
    char copy[1000];
    snprintf(copy, sizeof copy, "%s", line);
    char *rest = strchr(copy, ' ');
    if (!rest)
        return false;
    *rest++ = 0;
    if (!strcmp(copy, "zone"))
        zone_line(policy, rest);
    else if (!strcmp(copy, "protect"))
        parse_name(&policy->protect[policy->protect_count++], rest);
    else if (!strcmp(copy, "rule") && !strncmp(rest, "record ", 7))
        add_record(&policy->rules[policy->rule_count - 1], rest + 7);
    else if (!strcmp(copy, "rule"))
        rule_line(policy, rest);
    else
        return false;
    return true;
}
