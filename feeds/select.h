/* feeds/select.h: a zone's choice: which indicators become its rules, and with what action, ttl, match and expiry.
 *
 * For every property the order is: the rule's own, the zone's configuration, the head of the file, the default. The one exception:
 * an action configured for an rpz zone overrides those in the file, but not passthru. Pure; any thread. */
#ifndef SUNDEW_FEEDS_SELECT_H
#define SUNDEW_FEEDS_SELECT_H

#include "config/config.h"
#include "feeds/format.h"

struct selection {
    const struct config *config;
    const struct zone_config *zone;
    enum format format;
    bool feed;                      /* fetched: max_age counts in fetches; else from last_seen or first_seen */
    bool window;                    /* of a feed */
    const struct format_head *head; /* or NULL */
    int64_t now;                    /* unix seconds */
    int64_t fetched_at;             /* the last successful fetch */
    int64_t body_at;                /* when the body was fetched that fetched_at found unchanged: what it carried counts as carried
                                       at fetched_at */
};

enum selected {
    SELECT_TAKEN,
    SELECT_EXPIRED,     /* its own expiry, or max_age, is past */
    SELECT_CONFIDENCE,  /* below min_confidence */
    SELECT_FAMILY,      /* families, exclude_families */
    SELECT_THREAT_TYPE, /* threat_types */
    SELECT_COMPROMISED, /* exclude_compromised */
    SELECT_TO_IDS,
    SELECT_URL,        /* urls "never" */
    SELECT_SHARED,     /* the host of a URL that many share (feeds/shared_hosts.h) */
    SELECT_INCOMPLETE, /* an action that lacks its target or records */
    SELECT_COUNT
};

/* Decides, and completes indicator->rule in place (except rule.source). `carried`: when the feed last carried it. */
enum selected select_rule(const struct selection *selection, struct indicator *indicator, int64_t carried);

/* The second from which the rule will be too old for max_age, or INT64_MAX: a fetch at or after it has to rebuild. */
int64_t select_ages_at(const struct selection *selection, const struct indicator *indicator, int64_t carried);

#endif
