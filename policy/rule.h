/* policy/rule.h: the vocabulary of policy: triggers, matches, actions, modes, and one rule as its source states it.
 *
 * The order of the enums is precedence (CONTRACT.md, "Precedence") and is relied on by the compiler and the matcher. */
#ifndef SUNDEW_POLICY_RULE_H
#define SUNDEW_POLICY_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"
#include "policy/prefix.h"

/* Within one zone and one phase, a lower trigger decides before a higher one. */
enum trigger { TRIGGER_CLIENT, TRIGGER_DOMAIN, TRIGGER_IP, TRIGGER_NAMESERVER, TRIGGER_NAMESERVER_IP, TRIGGER_COUNT };
_Static_assert(TRIGGER_CLIENT < TRIGGER_DOMAIN && TRIGGER_DOMAIN < TRIGGER_IP && TRIGGER_IP < TRIGGER_NAMESERVER &&
                   TRIGGER_NAMESERVER < TRIGGER_NAMESERVER_IP,
               "triggers are listed in precedence order");

/* At one owner name, a lower match decides before a higher one: the narrower the better. */
enum match { MATCH_EXACT, MATCH_BELOW, MATCH_SUBTREE, MATCH_COUNT };

enum action {
    ACTION_LOOPBACK,
    ACTION_SINKHOLE,
    ACTION_NXDOMAIN,
    ACTION_NODATA,
    ACTION_REFUSED,
    ACTION_DROP,
    ACTION_TRUNCATE,
    ACTION_PASSTHRU,
    ACTION_CNAME,
    ACTION_LOCAL,
    ACTION_COUNT
};

enum mode { MODE_ENFORCE, MODE_MONITOR, MODE_RETRO, MODE_COUNT };

enum {
    RULE_TTL_MAX = 2147483647, /* seconds; "max" (RFC 2181 section 8) */
    RULE_CONFIDENCE_UNSET = 255,
};
#define RULE_TTL_UNSET UINT32_MAX
#define RULE_ACTION_UNSET ACTION_COUNT

/* One rule, fully resolved against its zone's head and configuration before it is added to a ruleset. Strings are borrowed for
 * the length of the call that takes the rule; NULL where unknown. Times are unix seconds, 0 where unknown. */
struct rule {
    enum trigger trigger;
    enum match match;     /* domain and nameserver triggers */
    struct name name;     /* domain and nameserver triggers: the owner, without "*." */
    struct prefix prefix; /* the other triggers */
    enum action action;
    uint32_t ttl; /* seconds; of what sundew makes */
    uint8_t confidence;
    const char *family;    /* "A, B" where several are joined */
    const char *reference; /* URL */
    int64_t first_seen;
    int64_t last_seen;
    int64_t expires;     /* wall-clock second from which the rule no longer holds; 0 never */
    const char *target;  /* ACTION_CNAME: presentation form, may begin with "*." (the query name is put in front) */
    const char *records; /* ACTION_LOCAL: zone-file lines "TTL CLASS TYPE RDATA", separated by '\n', no owner */
    uint32_t line;       /* in its source, from 1; 0 unknown */
    const char *source;  /* file path or redacted URL; "path" of a glob's member */
};

/* Names as in files, logs and the control protocol; NULL/-EINVAL for what isn't one. */
const char *trigger_name(enum trigger trigger);
const char *match_name(enum match match);
const char *action_name(enum action action);
const char *mode_name(enum mode mode);
int action_from_name(const char *text, size_t length, enum action *action);
int match_from_name(const char *text, size_t length, enum match *match);

#endif
