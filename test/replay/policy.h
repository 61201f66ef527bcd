/* test/replay/policy.h: a policy from a scenario's lines.
 *
 *     zone NAME [monitor] [client PREFIX]
 *     rule NAME [exact|below|subtree] ACTION [ttl N] [target NAME] [expires N] [record TEXT to the end of the line]
 *     rule ip PREFIX ACTION ...
 *     rule client PREFIX ACTION ...
 *     rule record TEXT      one more record for the rule before
 *     protect NAME
 *
 * Two libraries make a snapshot of it: the compiler and the matcher that sundewd has (real_policy.c), and a stand-in for both that
 * follows the contract by the plainest means (plain_policy.c). Every scenario must come out the same with each. */
#ifndef SUNDEW_TEST_REPLAY_POLICY_H
#define SUNDEW_TEST_REPLAY_POLICY_H

#include "config/config.h"
#include "policy/snapshot.h"

enum { POLICY_ZONES_MAX = 16, POLICY_RULES_MAX = 64, POLICY_RECORDS_MAX = 2000 };

struct policy_zone {
    char name[64];
    enum mode mode;
    bool has_client;
    struct prefix client;
};

struct policy_rule {
    int zone;
    enum trigger trigger;
    enum match match;
    struct name name;
    struct prefix prefix;
    enum action action;
    uint32_t ttl;
    int64_t expires;
    char target[300];                 /* empty: none */
    char records[POLICY_RECORDS_MAX]; /* lines; empty: none */
};

struct policy_text {
    const struct config *config;
    int zone_count;
    unsigned rule_count, protect_count;
    struct policy_zone zones[POLICY_ZONES_MAX];
    struct policy_rule rules[POLICY_RULES_MAX];
    struct name protect[POLICY_ZONES_MAX];
};

struct policy_text *policy_text_new(const struct config *config);
/* One line; false if it isn't a line of policy. Exits with a complaint if it is a bad one. */
bool policy_text_line(struct policy_text *policy, const char *line);
/* A new snapshot of all lines so far; snapshot_unref. */
struct snapshot *policy_text_snapshot(const struct policy_text *policy);
void policy_text_free(struct policy_text *policy);

#endif
