/* feeds/feeder.c: see feeder.h. One reason to exist: the order in which configuration, sources, builds and answers follow. */
#include "feeds/feeder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "feeds/feed.h"
#include "feeds/fetch.h"
#include "feeds/files.h"
#include "feeds/report.h"

enum { REFRESH_SECONDS = 58, FIRST_REPORT_MS = 2000, PUBLISH_AGAIN_MS = 10000 };

/* A `refresh` that waits for outcomes, or a `zones` that waits for the first attempts after a start. */
struct refresh {
    struct refresh *next;
    json_t *id;
    bool report, rejected;
    uint64_t deadline; /* uv_now */
    uint8_t *outcome;  /* enum outcome, one a zone; those that aren't asked for are OUTCOME_UNCHANGED */
    bool *asked;
};

static void reply(struct feeder *feeder, json_t *id, bool ok, const char *why, json_t *data) {
    json_t *message = json_pack("{s:s, s:O, s:b}", "type", "reply", "id", id, "ok", (int)ok);
    if (why != NULL)
        json_object_set_new(message, "why", json_string(why));
    json_object_set_new(message, "data", data != NULL ? data : json_null());
    link_send(&feeder->link, message);
}

static void refresh_free(struct refresh *refresh) {
    json_decref(refresh->id);
    free(refresh->outcome);
    free(refresh->asked);
    free(refresh);
}

static const char *outcome_error(const struct zone *zone) {
    const char *error = zone->is_feed ? feed_error(zone) : NULL;
    return error != NULL ? error : zone_error(zone);
}

static void answer_refresh(struct feeder *feeder, const struct refresh *refresh) {
    static const char *const names[] = {"still under way", "fetched", "unchanged", "failed"};
    char why[1024] = "";
    size_t used = 0;
    json_t *data = json_array();
    for (size_t i = 0; i < feeder->zone_count; i++) {
        if (!refresh->asked[i])
            continue;
        const struct zone *zone = &feeder->zones[i];
        uint8_t outcome = !zone->is_feed && zone_error(zone) != NULL ? OUTCOME_FAILED : refresh->outcome[i];
        const char *error = outcome == OUTCOME_FAILED ? outcome_error(zone) : NULL;
        bool bad = outcome == OUTCOME_FAILED || outcome == OUTCOME_PENDING;
        if (bad && used < sizeof why)
            used += (size_t)snprintf(why + used, sizeof why - used, "%s%s: %s", used > 0 ? "; " : "", zone->name,
                                     error != NULL ? error : names[outcome]);
        json_t *item = json_pack("{s:s, s:s}", "zone", zone->name, "outcome", names[outcome]);
        json_object_set_new(item, "error", error != NULL ? json_string(error) : json_null());
        json_array_append_new(data, item);
    }
    reply(feeder, refresh->id, used == 0, used == 0 ? NULL : why, data);
}

static bool tried_all(const struct feeder *feeder) {
    for (size_t i = 0; i < feeder->zone_count; i++)
        if (feeder->zones[i].is_feed && !feed_tried(&feeder->zones[i]))
            return false;
    return true;
}

/* Nothing is under way: whoever waits and has all outcomes, or has waited long enough, is answered. */
static void answer_waiting(struct feeder *feeder, bool settled) {
    for (struct refresh **at = &feeder->refreshes; *at != NULL;) {
        struct refresh *refresh = *at;
        bool due = uv_now(&feeder->loop) >= refresh->deadline, complete = settled;
        for (size_t i = 0; i < feeder->zone_count && !refresh->report; i++)
            complete = complete && refresh->outcome[i] != OUTCOME_PENDING;
        if (refresh->report)
            complete = complete && feeder->started && tried_all(feeder);
        if (!complete && !due) {
            at = &refresh->next;
            continue;
        }
        *at = refresh->next;
        if (refresh->report)
            reply(feeder, refresh->id, true, NULL, report_zones(feeder, refresh->rejected));
        else
            answer_refresh(feeder, refresh);
        refresh_free(refresh);
    }
}

/* --- builds ------------------------------------------------------------------------------------------------------------------- */

struct build_job {
    struct job job;
    struct feeder *feeder;
    uint64_t generation;
    int64_t serial;
    struct build *build;
};

static void run_build(struct job *job) {
    build_run(((struct build_job *)job)->build);
}

/* Rules that could be read but make no sense where they stand. What couldn't be read was said by its reader; what the guard refuses
 * is no fault. */
static void say_faulty(struct feeder *feeder, const struct zone *zone, const struct build_zone *fresh) {
    for (size_t i = 0; i < fresh->refusal_count; i++) {
        const struct refusal *refusal = &fresh->refusals[i];
        if (refusal->faulty)
            link_log(&feeder->link, "warning", "zone %s: rule skipped: %s:%u: %s: %s", zone->name, refusal->source, refusal->line,
                     refusal->rule, refusal->why);
    }
}

/* The outcome moves from the plan to the zone; the zone's old one goes where the plan's was. */
static void keep_outcomes(struct feeder *feeder, struct build *build) {
    for (size_t i = 0; i < build->zone_count; i++) {
        struct zone *zone = &feeder->zones[i];
        struct build_zone *fresh = &build->zones[i], old = zone->outcome;
        if (fresh->counts.rejected > old.counts.rejected && fresh->refusal_count > 0) {
            say_faulty(feeder, zone, fresh);
            link_log(&feeder->link, "warning", "zone %s: %llu rules rejected, the first: %s: %s", zone->name,
                     (unsigned long long)fresh->counts.rejected, fresh->refusals[0].rule, fresh->refusals[0].why);
        }
        zone->outcome = (struct build_zone){.counts = fresh->counts,
                                            .refusals = fresh->refusals,
                                            .refusal_count = fresh->refusal_count,
                                            .ages_at = fresh->ages_at,
                                            .expires = fresh->expires,
                                            .expires_count = fresh->expires_count};
        fresh->refusals = old.refusals;
        fresh->refusal_count = old.refusal_count;
        fresh->expires = old.expires;
        fresh->expires_count = old.expires_count;
    }
}

static void start_feeds(struct feeder *feeder) {
    feeder->started = true;
    for (size_t i = 0; i < feeder->zone_count; i++)
        if (feeder->zones[i].is_feed)
            feed_start(&feeder->zones[i]);
}

static void say_outcome(struct feeder *feeder, const struct build_job *job) {
    const struct published *published = &job->build->published;
    if (job->build->error == 0) {
        if (feeder->last_failure != NULL)
            link_log(&feeder->link, "info", "the policy can be written again");
        state_set(&feeder->last_failure, NULL);
        link_send(&feeder->link, json_pack("{s:s, s:I, s:s, s:s}", "type", "published", "serial", (json_int_t)job->serial, "path",
                                           job->build->snapshot, "id", published->id));
        return;
    }
    if (feeder->last_failure == NULL || strcmp(feeder->last_failure, published->why) != 0)
        link_log(&feeder->link, "error", "%s; the last policy stays in force", published->why);
    state_set(&feeder->last_failure, published->why);
    feeder->build_again_at = uv_now(&feeder->loop) + PUBLISH_AGAIN_MS;
    link_send(&feeder->link,
              json_pack("{s:s, s:I, s:s}", "type", "failed", "serial", (json_int_t)job->serial, "why", published->why));
}

static void say_swept(void *context, const char *zone) {
    struct feeder *feeder = context;
    link_log(&feeder->link, "info", "zone %s is no longer configured: what was saved of it is removed", zone);
}

/* The first policy of a new configuration is in place: zones that it doesn't have leave nothing behind. */
static void sweep(struct feeder *feeder) {
    const char **zones = calloc(feeder->zone_count + 1, sizeof *zones);
    if (zones == NULL)
        return;
    for (size_t i = 0; i < feeder->zone_count; i++)
        zones[i] = feeder->zones[i].name;
    int error = state_sweep(feeder->directory, zones, feeder->zone_count, say_swept, feeder);
    if (error != 0)
        link_log(&feeder->link, "warning", "%s: %s", feeder->directory, strerror(-error));
    free(zones);
}

static void build_done(struct job *job) {
    struct build_job *build_job = (struct build_job *)job;
    struct feeder *feeder = build_job->feeder;
    feeder->building = false;
    if (build_job->generation == feeder->generation) {
        keep_outcomes(feeder, build_job->build);
        say_outcome(feeder, build_job);
        if (!feeder->swept && build_job->build->error == 0) {
            feeder->swept = true;
            sweep(feeder);
        }
        if (!feeder->started)
            start_feeds(feeder);
    }
    build_free(build_job->build);
    free(build_job);
}

int feeder_plan(struct build *build, const struct zone *zone) {
    bool never = zone->config == NULL;
    struct build_zone *planned = never ? NULL : &build->zones[zone->index];
    int error = 0;
    for (size_t i = 0; i < zone->member_count && error == 0; i++) {
        const struct member *member = zone->members[i];
        char path[PATH_MAX];
        if (member->mark == NULL || zone_store(zone, member->key, path, sizeof path) != 0)
            continue;
        bool named = !zone->is_feed && member->key[0] != '\0';
        error = build_add_part(never ? &build->never : &planned->parts, never ? &build->never_count : &planned->part_count, path,
                               named ? member->key : zone->shown, zone_member_format(zone, member->key));
    }
    if (planned != NULL) {
        planned->feed = zone->is_feed;
        planned->window = zone->window;
        planned->fetched_at = zone->state.fetched_at;
        planned->body_at = zone->state.body_at;
    }
    return error;
}

static void start_build(struct feeder *feeder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/policy.snapshot", feeder->config->state_dir);
    struct build_job *job = calloc(1, sizeof *job);
    struct build *build = build_new(feeder->config, path, feeder->seed);
    int error = job == NULL || build == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < feeder->zone_count && error == 0; i++)
        error = feeder_plan(build, &feeder->zones[i]);
    if (error != 0) {
        build_free(build);
        free(job);
        link_log(&feeder->link, "error", "no memory for a build");
        return;
    }
    build->now = (int64_t)time(NULL);
    *job = (struct build_job){.job = {.run = run_build, .done = build_done},
                              .feeder = feeder,
                              .generation = feeder->generation,
                              .serial = feeder->serial,
                              .build = build};
    feeder->dirty = false;
    feeder->building = true;
    feeder->build_again_at = 0;
    jobs_add(&feeder->jobs, &job->job);
}

void feeder_settle(struct feeder *feeder) {
    if (jobs_busy(&feeder->jobs) || feeder->config == NULL || feeder->asking)
        return;
    if (feeder->dirty)
        start_build(feeder);
    else
        answer_waiting(feeder, true);
}

static void on_idle(void *context) {
    feeder_settle(context);
}

void feeder_changed(struct feeder *feeder) {
    feeder->dirty = true;
    feeder_settle(feeder);
}

struct zone *feeder_zone(struct feeder *feeder, uint64_t generation, size_t index) {
    return generation == feeder->generation && index < feeder->zone_count ? &feeder->zones[index] : NULL;
}

void feeder_state_error(struct feeder *feeder, int error) {
    if (error != feeder->last_state_error && error != 0)
        link_log(&feeder->link, "error", "%s: %s: what was read now will be read again after a restart", feeder->directory,
                 strerror(-error));
    feeder->last_state_error = error;
}

void feeder_fetched(struct zone *zone, enum outcome outcome) {
    struct feeder *feeder = zone->feeder;
    for (struct refresh *refresh = feeder->refreshes; refresh != NULL; refresh = refresh->next)
        if (!refresh->report && refresh->outcome[zone->index] == OUTCOME_PENDING)
            refresh->outcome[zone->index] = (uint8_t)outcome;
    feeder_settle(feeder);
}

/* --- messages ----------------------------------------------------------------------------------------------------------------- */

static void drop_zones(struct feeder *feeder) {
    for (size_t i = 0; i < feeder->zone_count; i++) {
        if (feeder->zones[i].feed != NULL)
            feed_stop(&feeder->zones[i]);
        zone_done(&feeder->zones[i]);
    }
    free(feeder->zones);
    feeder->zones = NULL;
    feeder->zone_count = 0;
    for (struct refresh *refresh; (refresh = feeder->refreshes) != NULL; refresh_free(refresh)) {
        feeder->refreshes = refresh->next;
        reply(feeder, refresh->id, false, "the configuration was changed meanwhile", NULL);
    }
}

static int make_zones(struct feeder *feeder) {
    const struct config *config = feeder->config;
    feeder->zones = calloc(config->zone_count + config->policy.never_block_count + 1, sizeof *feeder->zones);
    int error = feeder->zones == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < config->zone_count && error == 0; i++, feeder->zone_count++)
        error = zone_init(&feeder->zones[i], feeder, &config->zones[i], config->zones[i].source, i);
    for (size_t i = 0; i < config->policy.never_block_count && error == 0; i++) {
        const char *entry = config->policy.never_block[i];
        if (entry[0] != '/')
            continue;
        error = zone_init(&feeder->zones[feeder->zone_count], feeder, NULL, entry, feeder->zone_count);
        feeder->zone_count++;
    }
    return error;
}

static void on_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    struct feeder *feeder = context;
    link_log(&feeder->link, "error", "%s:%u:%u: %s: %s", file, line, column, path, message);
}

static void fail(struct feeder *feeder, int64_t serial, const char *what, int error) {
    char why[PATH_MAX + 128];
    snprintf(why, sizeof why, "%s: %s", what, strerror(-error));
    link_log(&feeder->link, "error", "%s", why);
    link_send(&feeder->link, json_pack("{s:s, s:I, s:s}", "type", "failed", "serial", (json_int_t)serial, "why", why));
}

static void look_at_files(struct feeder *feeder, bool now) {
    for (size_t i = 0; i < feeder->zone_count; i++)
        if (!feeder->zones[i].is_feed)
            files_look(&feeder->zones[i], now);
}

static void on_config(struct feeder *feeder, const json_t *message) {
    const char *path = json_string_value(json_object_get(message, "path"));
    const json_t *text = json_object_get(message, "text");
    int64_t serial = json_integer_value(json_object_get(message, "serial"));
    size_t length = 0;
    const char *embedded = json_is_string(text) ? NULL : config_embedded(&length);
    struct config *config = embedded != NULL
                                ? config_parse(NULL, embedded, length, on_fault, feeder)
                                : config_parse(path, json_string_value(text), json_string_length(text), on_fault, feeder);
    if (config == NULL) {
        fail(feeder, serial, "the configuration", -EINVAL);
        return;
    }
    drop_zones(feeder);
    config_unref(feeder->config);
    feeder->config = config;
    feeder->serial = serial;
    feeder->generation++;
    feeder->started = feeder->swept = false;
    int error = state_directory(config->state_dir, feeder->directory, sizeof feeder->directory);
    if (error == 0)
        error = publish_seed(config->state_dir, &feeder->seed);
    if (error != 0) {
        fail(feeder, serial, config->state_dir, error);
        config_unref(config);
        feeder->config = NULL;
        return;
    }
    if ((error = make_zones(feeder)) != 0) {
        fail(feeder, serial, "zones", error);
        feeder->swept = true; /* not all zones are known: none is taken for gone */
    }
    if (embedded != NULL)
        feeder->swept = true; /* a configuration that is missing for a moment says nothing of its zones */
    feeder->dirty = true;
    look_at_files(feeder, true);
    feeder_settle(feeder);
}

static struct refresh *add_refresh(struct feeder *feeder, json_t *id, uint64_t wait_ms) {
    struct refresh *refresh = calloc(1, sizeof *refresh);
    if (refresh == NULL)
        return NULL;
    refresh->outcome = calloc(feeder->zone_count + 1, 1);
    refresh->asked = calloc(feeder->zone_count + 1, sizeof *refresh->asked);
    if (refresh->outcome == NULL || refresh->asked == NULL) {
        free(refresh->outcome);
        free(refresh->asked);
        free(refresh);
        return NULL;
    }
    refresh->id = json_incref(id);
    refresh->deadline = uv_now(&feeder->loop) + wait_ms;
    struct refresh **end = &feeder->refreshes;
    while (*end != NULL)
        end = &(*end)->next;
    *end = refresh;
    return refresh;
}

static void on_zones(struct feeder *feeder, json_t *id, bool rejected) {
    struct refresh *refresh = add_refresh(feeder, id, FIRST_REPORT_MS);
    if (refresh == NULL)
        return;
    refresh->report = true;
    refresh->rejected = rejected;
    /* once every feed has been tried, a report needn't wait for what is under way */
    if (feeder->config != NULL && feeder->started && tried_all(feeder))
        refresh->deadline = uv_now(&feeder->loop);
    answer_waiting(feeder, false);
}

static bool zone_is(const struct zone *zone, const char *name) {
    return name == NULL || (zone->config != NULL && strcmp(zone->name, name) == 0);
}

static void on_refresh(struct feeder *feeder, json_t *id, const char *name, bool force) {
    bool found = name == NULL;
    for (size_t i = 0; i < feeder->zone_count; i++)
        found = found || zone_is(&feeder->zones[i], name);
    if (!found) {
        char why[512];
        snprintf(why, sizeof why, "no zone \"%s\"", name);
        reply(feeder, id, false, why, NULL);
        return;
    }
    struct refresh *refresh = add_refresh(feeder, id, REFRESH_SECONDS * 1000);
    if (refresh == NULL)
        return;
    for (size_t i = 0; i < feeder->zone_count; i++) {
        struct zone *zone = &feeder->zones[i];
        refresh->asked[i] = zone_is(zone, name) && zone->config != NULL;
        refresh->outcome[i] = refresh->asked[i] && zone->is_feed ? OUTCOME_PENDING : OUTCOME_UNCHANGED;
        if (zone_is(zone, name) && !zone->is_feed)
            files_look(zone, true);
    }
    if (!feeder->started)
        start_feeds(feeder);
    feeder->asking = true;
    for (size_t i = 0; i < feeder->zone_count; i++)
        if (refresh->asked[i] && feeder->zones[i].is_feed)
            feed_refresh(&feeder->zones[i], force);
    feeder->asking = false;
    feeder_settle(feeder);
}

static void on_message(void *context, json_t *message) {
    struct feeder *feeder = context;
    const char *type = json_string_value(json_object_get(message, "type"));
    json_t *id = json_object_get(message, "id");
    if (type == NULL)
        return;
    if (strcmp(type, "config") == 0)
        on_config(feeder, message);
    else if (strcmp(type, "zones") == 0 && id != NULL)
        on_zones(feeder, id, json_is_true(json_object_get(message, "rejected")));
    else if (strcmp(type, "refresh") == 0 && id != NULL)
        on_refresh(feeder, id, json_string_value(json_object_get(message, "zone")),
                   json_is_true(json_object_get(message, "force")));
    else if (strcmp(type, "stop") == 0)
        uv_stop(&feeder->loop);
}

static void on_closed(void *context) {
    uv_stop(&((struct feeder *)context)->loop);
}

static void on_look(uv_timer_t *timer) {
    struct feeder *feeder = timer->data;
    look_at_files(feeder, false);
    if (feeder->build_again_at != 0 && uv_now(&feeder->loop) >= feeder->build_again_at)
        feeder_changed(feeder);
    answer_waiting(feeder, false);
}

int feeder_run(void) {
    static struct feeder feeder;
    struct stat status;
    if (fstat(LINK_FD, &status) != 0 || !S_ISSOCK(status.st_mode)) { /* before the loop takes that number for itself */
        fprintf(stderr, "sundew-feeder: descriptor %d is no socket: sundewd starts this program\n", LINK_FD);
        return 2;
    }
    signal(SIGHUP, SIG_IGN); /* these are for sundewd, which may be of the same name and group to whoever sends them */
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* TLS writes to a peer that hung up */
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size is a full disk, not a reason to die */
    uv_loop_init(&feeder.loop);
    jobs_init(&feeder.jobs, &feeder.loop, on_idle, &feeder);
    feeder.link = (struct link){.message = on_message, .closed = on_closed, .context = &feeder};
    int error = link_init(&feeder.link, &feeder.loop, LINK_FD);
    if (error != 0) {
        fprintf(stderr, "sundew-feeder: descriptor %d: %s\n", LINK_FD, uv_strerror(error));
        return 2;
    }
    feeder.fetcher = fetcher_new(&feeder.loop);
    uv_timer_init(&feeder.loop, &feeder.look);
    feeder.look.data = &feeder;
    uv_timer_start(&feeder.look, on_look, FILES_LOOK_MS, FILES_LOOK_MS);
    uv_run(&feeder.loop, UV_RUN_DEFAULT);
    /* Nothing here is worth a slow end: stores and snapshot are whole at every moment, so the process simply goes. */
    _Exit(feeder.fetcher == NULL);
}
