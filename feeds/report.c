/* feeds/report.c: see report.h. One reason to exist: the keys that operators and scripts rely on. */
#include "feeds/report.h"

#include <time.h>

#include "feeds/feed.h"

static json_t *text_or_null(const char *text) {
    json_t *string = text == NULL ? json_null() : json_string(text);
    return string != NULL ? string : json_string("(not UTF-8)");
}

static json_t *time_or_null(int64_t seconds) {
    char text[32];
    time_t when = (time_t)seconds;
    struct tm tm;
    if (seconds == 0 || gmtime_r(&when, &tm) == NULL)
        return json_null();
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static int64_t read_at(const struct zone *zone) {
    int64_t latest = 0;
    if (zone->is_feed)
        return zone->state.fetched_at;
    for (size_t i = 0; i < zone->member_count; i++)
        latest = zone->members[i]->read_at > latest ? zone->members[i]->read_at : latest;
    return latest;
}

/* A feed is stale when its last attempt failed, when it was never fetched, or when two intervals went by without news. */
static bool is_stale(const struct zone *zone, int64_t at, int64_t now) {
    if (!zone->is_feed)
        return zone_error(zone) != NULL;
    if (feed_error(zone) != NULL)
        return true;
    int64_t interval = zone->config->refresh > 60 ? zone->config->refresh : 60;
    return at == 0 ? feed_tried(zone) : now - at > 2 * interval;
}

static json_t *report_left(const struct build_counts *counts) {
    static const char *const names[SELECT_COUNT] = {
        [SELECT_CONFIDENCE] = "min_confidence",
        [SELECT_FAMILY] = "families",
        [SELECT_THREAT_TYPE] = "threat_types",
        [SELECT_COMPROMISED] = "exclude_compromised",
        [SELECT_TO_IDS] = "to_ids",
        [SELECT_URL] = "urls",
        [SELECT_SHARED] = "shared_hosts",
    };
    json_t *left = json_object();
    for (size_t i = 0; i < SELECT_COUNT; i++)
        if (names[i] != NULL && counts->left[i] != 0)
            json_object_set_new(left, names[i], json_integer((json_int_t)counts->left[i]));
    return left;
}

static json_t *report_zone(const struct zone *zone) {
    const struct build_counts *counts = &zone->outcome.counts;
    int64_t now = (int64_t)time(NULL), at = read_at(zone);
    uint64_t run_out = build_run_out(&zone->outcome, now);
    const char *error = zone->is_feed && feed_error(zone) != NULL ? feed_error(zone) : zone_error(zone);
    json_t *object = json_object();
    json_object_set_new(object, "name", text_or_null(zone->name));
    json_object_set_new(object, "source", text_or_null(zone->shown));
    json_object_set_new(object, "format", json_string(format_name(zone->format)));
    json_object_set_new(object, "mode", json_string(mode_name(counts->mode)));
    json_object_set_new(object, "window", json_boolean(zone->window));
    json_object_set_new(object, "rules", json_integer((json_int_t)(counts->rules - run_out)));
    json_object_set_new(object, "rejected", json_integer((json_int_t)counts->rejected));
    json_object_set_new(object, "not_enforced", json_integer((json_int_t)counts->not_enforced));
    json_object_set_new(object, "expired", json_integer((json_int_t)(counts->expired + run_out)));
    json_object_set_new(object, "ignored", json_integer((json_int_t)counts->ignored));
    json_object_set_new(object, "not_selected", report_left(counts));
    json_object_set_new(object, "fetched_at", time_or_null(at));
    json_object_set_new(object, "age_s", at == 0 ? json_null() : json_integer(now > at ? now - at : 0));
    json_object_set_new(object, "next_at", time_or_null(zone->is_feed ? feed_next_at(zone) : 0));
    json_object_set_new(object, "stale", json_boolean(is_stale(zone, at, now)));
    json_object_set_new(object, "error", text_or_null(error));
    return object;
}

static json_t *report_refusals(const struct zone *zone) {
    json_t *array = json_array();
    for (size_t i = 0; i < zone->outcome.refusal_count; i++) {
        const struct refusal *refusal = &zone->outcome.refusals[i];
        json_t *object = json_object();
        json_object_set_new(object, "rule", text_or_null(refusal->rule));
        json_object_set_new(object, "why", text_or_null(refusal->why));
        json_object_set_new(object, "source", text_or_null(refusal->source));
        json_object_set_new(object, "line", refusal->line == 0 ? json_null() : json_integer(refusal->line));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *report_zones(const struct feeder *feeder, bool rejected) {
    json_t *array = json_array();
    for (size_t i = 0; i < feeder->zone_count; i++) {
        const struct zone *zone = &feeder->zones[i];
        if (zone->config == NULL)
            continue;
        json_t *object = report_zone(zone);
        if (rejected)
            json_object_set_new(object, "rejected_rules", report_refusals(zone));
        json_array_append_new(array, object);
    }
    return array;
}
