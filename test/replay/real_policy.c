/* test/replay/real_policy.c: a scenario's policy through the ruleset and the compiler into a mapped snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/compile.h"
#include "policy/snapshot.h"
#include "test/replay/policy.h"

static void check(int error, const char *why) {
    if (error < 0) {
        fprintf(stderr, "policy: %s (%d)\n", why ? why : "failed", error);
        exit(2);
    }
}

static void add_rule(struct ruleset *rules, const struct policy_rule *from) {
    const char *why = NULL;
    struct rule rule = {
        .trigger = from->trigger,
        .match = from->match,
        .name = from->name,
        .prefix = from->prefix,
        .action = from->action,
        .ttl = from->ttl,
        .confidence = 100,
        .expires = from->expires,
        .target = *from->target ? from->target : NULL,
        .records = *from->records ? from->records : NULL,
    };
    check(ruleset_add(rules, from->zone, &rule, &why), why);
}

struct snapshot *policy_text_snapshot(const struct policy_text *policy) {
    static const struct compile_options options = {.seed = 42};
    const struct ruleset_answers answers = {
        .loopback = policy->config->policy.loopback,
        .has_ipv4 = policy->config->policy.has_ipv4,
        .has_ipv6 = policy->config->policy.has_ipv6,
        .sinkhole_ipv4 = policy->config->policy.sinkhole_ipv4,
        .sinkhole_ipv6 = policy->config->policy.sinkhole_ipv6,
    };
    const char *why = NULL;
    char path[64];
    struct snapshot *snapshot = NULL;
    struct ruleset *rules = ruleset_new(&answers);
    for (int i = 0; i < policy->zone_count; i++) {
        const struct policy_zone *zone = &policy->zones[i];
        const struct ruleset_zone added = {
            .name = zone->name, .mode = zone->mode, .clients = &zone->client, .client_count = zone->has_client};
        check(ruleset_add_zone(rules, &added), "zone");
    }
    for (unsigned i = 0; i < policy->rule_count; i++)
        add_rule(rules, &policy->rules[i]);
    for (unsigned i = 0; i < policy->protect_count; i++)
        check(ruleset_protect_name(rules, &policy->protect[i], false), "protect");
    int fd = memfd_create("snapshot", 0);
    check(fd < 0 ? -1 : compile_write(rules, &options, fd), "compile");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check(snapshot_open(&snapshot, path, &why), why);
    close(fd);
    ruleset_free(rules);
    return snapshot;
}
