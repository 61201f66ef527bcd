/* feeds/select.c: see select.h. One reason to exist: the contract's choices per zone, in one place, without I/O. */
#include "feeds/select.h"

#include <string.h>
#include <strings.h>

#include "feeds/shared_hosts.h"

enum { WINDOW_MAX_AGE = 30 * 86400 };

/* Is `word` one of the ", "-joined families? */
static bool family_in(const char *families, const char *word) {
    size_t length = strlen(word);
    while (families != NULL && *families != '\0') {
        const char *end = strstr(families, ", ");
        size_t size = end == NULL ? strlen(families) : (size_t)(end - families);
        if (size == length && strncasecmp(families, word, length) == 0)
            return true;
        families = end == NULL ? NULL : end + 2;
    }
    return false;
}

static bool family_listed(const struct indicator *indicator, char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if ((indicator->rule.family != NULL && strcasecmp(indicator->rule.family, list[i]) == 0) ||
            family_in(indicator->rule.family, list[i]) ||
            (indicator->family_id != NULL && strcasecmp(indicator->family_id, list[i]) == 0))
            return true;
    return false;
}

static bool threat_type_wanted(const struct selection *selection, const char *type) {
    const struct zone_config *zone = selection->zone;
    if (!zone->threat_types_set)
        return selection->format != FORMAT_THREATFOX || type == NULL || strcasecmp(type, "botnet_cc") == 0;
    if (zone->threat_type_count == 0 || type == NULL)
        return true; /* an empty list asks for all; formats without threat types aren't concerned */
    for (size_t i = 0; i < zone->threat_type_count; i++)
        if (strcasecmp(type, zone->threat_types[i]) == 0)
            return true;
    return false;
}

static uint8_t confidence_of(const struct selection *selection, const struct rule *rule) {
    if (rule->confidence != RULE_CONFIDENCE_UNSET)
        return rule->confidence;
    if (selection->zone->confidence >= 0)
        return (uint8_t)selection->zone->confidence;
    if (selection->head != NULL && selection->head->confidence >= 0)
        return (uint8_t)selection->head->confidence;
    return (uint8_t)format_default_confidence(selection->format);
}

/* The configuration's, else that of the file's head. */
static int min_confidence(const struct selection *selection) {
    if (selection->zone->min_confidence >= 0)
        return selection->zone->min_confidence;
    return selection->head != NULL && selection->head->min_confidence >= 0 ? selection->head->min_confidence : 0;
}

static enum action action_of(const struct selection *selection, const struct indicator *indicator) {
    const struct rule *rule = &indicator->rule;
    if (indicator->allow)
        return ACTION_PASSTHRU;
    bool own = rule->action != RULE_ACTION_UNSET;
    if (own && (selection->format != FORMAT_RPZ || selection->zone->action < 0 || rule->action == ACTION_PASSTHRU))
        return rule->action;
    if (selection->zone->action >= 0)
        return (enum action)selection->zone->action;
    if (selection->head != NULL && selection->head->action >= 0)
        return (enum action)selection->head->action;
    return selection->config->policy.action;
}

static void complete(const struct selection *selection, struct indicator *indicator) {
    struct rule *rule = &indicator->rule;
    const struct zone_config *zone = selection->zone;
    const struct format_head *head = selection->head;
    enum action action = action_of(selection, indicator);
    if (action != ACTION_LOCAL || rule->action != action)
        rule->records = action == ACTION_LOCAL ? rule->records : NULL;
    /* A rule's own target goes with an action that it doesn't state, too, but not with one that overrides its own. */
    bool own = rule->target != NULL && (rule->action == ACTION_CNAME || rule->action == RULE_ACTION_UNSET) &&
               !(selection->format == FORMAT_RPZ && zone->action >= 0);
    if (action != ACTION_CNAME)
        rule->target = NULL;
    else if (!own)
        rule->target = zone->target != NULL ? zone->target : head != NULL ? head->target : NULL;
    rule->action = action;
    if (rule->ttl == RULE_TTL_UNSET)
        rule->ttl = zone->ttl >= 0                   ? (uint32_t)zone->ttl
                    : head != NULL && head->ttl >= 0 ? (uint32_t)head->ttl
                                                     : selection->config->policy.ttl;
    if (rule->match == MATCH_COUNT)
        rule->match = zone->match >= 0                   ? (enum match)zone->match
                      : head != NULL && head->match >= 0 ? (enum match)head->match
                                                         : format_default_match(selection->format, indicator->from_url);
}

static int64_t max_age(const struct selection *selection) {
    if (selection->zone->max_age >= 0)
        return selection->zone->max_age;
    if (selection->head != NULL && selection->head->max_age >= 0)
        return selection->head->max_age;
    return selection->feed && selection->window ? WINDOW_MAX_AGE : -1;
}

static int64_t last_carried(const struct selection *selection, const struct indicator *indicator, int64_t carried) {
    if (carried >= selection->body_at)
        carried = selection->fetched_at;
    /* a feed's clock may be ahead of ours: a sighting in the future must not keep a rule for ever */
    int64_t seen = indicator->rule.last_seen < selection->now ? indicator->rule.last_seen : selection->now;
    return seen > carried ? seen : carried;
}

int64_t select_ages_at(const struct selection *selection, const struct indicator *indicator, int64_t carried) {
    int64_t age = max_age(selection);
    if (!selection->feed || age < 0 || carried >= selection->body_at)
        return INT64_MAX;
    return last_carried(selection, indicator, carried) + age + 1;
}

/* A file's rules get an expiry for the matcher to watch; a feed's are too old or not at the time of its last successful fetch. */
static bool too_old(const struct selection *selection, struct indicator *indicator, int64_t carried) {
    struct rule *rule = &indicator->rule;
    int64_t age = max_age(selection);
    if (age >= 0 && selection->feed && selection->fetched_at - last_carried(selection, indicator, carried) > age)
        return true;
    int64_t seen = rule->last_seen != 0 ? rule->last_seen : rule->first_seen;
    if (age >= 0 && !selection->feed && seen != 0 && (rule->expires == 0 || rule->expires > seen + age))
        rule->expires = seen + age;
    return rule->expires != 0 && rule->expires <= selection->now;
}

enum selected select_rule(const struct selection *selection, struct indicator *indicator, int64_t carried) {
    const struct zone_config *zone = selection->zone;
    struct rule *rule = &indicator->rule;
    if (indicator->not_to_ids && zone->to_ids)
        return SELECT_TO_IDS;
    if (!threat_type_wanted(selection, indicator->threat_type))
        return SELECT_THREAT_TYPE;
    if (indicator->compromised && zone->exclude_compromised)
        return SELECT_COMPROMISED;
    if (indicator->from_url && zone->urls == URLS_NEVER)
        return SELECT_URL;
    if (indicator->from_url && rule->trigger == TRIGGER_DOMAIN && shared_hosts_has(&rule->name))
        return SELECT_SHARED;
    if ((zone->family_count > 0 && !family_listed(indicator, zone->families, zone->family_count)) ||
        family_listed(indicator, zone->exclude_families, zone->exclude_family_count))
        return SELECT_FAMILY;
    rule->confidence = confidence_of(selection, rule);
    if (rule->confidence < min_confidence(selection))
        return SELECT_CONFIDENCE;
    if (too_old(selection, indicator, carried))
        return SELECT_EXPIRED;
    complete(selection, indicator);
    if ((rule->action == ACTION_CNAME && rule->target == NULL) || (rule->action == ACTION_LOCAL && rule->records == NULL))
        return SELECT_INCOMPLETE;
    return SELECT_TAKEN;
}
