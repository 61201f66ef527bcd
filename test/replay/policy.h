/* test/replay/policy.h: a policy from a scenario's lines.
 *
 *     zone NAME [monitor] [client PREFIX]
 *     rule NAME [exact|below|subtree] ACTION [ttl N] [target NAME] [expires N] [record TEXT to the end of the line]
 *     rule ip PREFIX ACTION ...
 *     rule client PREFIX ACTION ...
 *     protect NAME */
#ifndef SUNDEW_TEST_REPLAY_POLICY_H
#define SUNDEW_TEST_REPLAY_POLICY_H

#include "config/config.h"
#include "policy/snapshot.h"

struct policy_text;

struct policy_text *policy_text_new(const struct config *config);
/* One line; false if it isn't a line of policy. Exits with a complaint if it is a bad one. */
bool policy_text_line(struct policy_text *policy, const char *line);
/* A new snapshot of all lines so far; snapshot_unref. */
struct snapshot *policy_text_snapshot(struct policy_text *policy);
void policy_text_free(struct policy_text *policy);

#endif
