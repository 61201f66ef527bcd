/* feeds/attempt.c: see attempt.h. One reason to exist: what an attempt does off the loop. */
#include "feeds/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "feeds/body.h"
#include "feeds/names.h"
#include "feeds/window.h"

enum { ASKED_MAX = 10000 };

struct attempt *attempt_new(struct zone *zone, bool force) {
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return NULL;
    int64_t now = (int64_t)time(NULL);
    attempt->feeder = zone->feeder;
    attempt->generation = zone->feeder->generation;
    attempt->zone = zone->index;
    attempt->began = now > zone->state.body_at ? now : zone->state.body_at + 1;
    attempt->force = force;
    snprintf(attempt->directory, sizeof attempt->directory, "%s", zone->feeder->directory);
    attempt->fd = -1;
    attempt->limit = zone->config->max_size > 0 ? (uint64_t)zone->config->max_size : 0;
    attempt->format = zone->format;
    attempt->window = zone->window;
    attempt->held = zone->state.held;
    attempt->ingest = (struct ingest){.format = zone->format, .options = zone_options(zone), .carried = attempt->began};
    if (zone->format == FORMAT_TAXII)
        attempt->ingest.options.memory = format_memory_new();
    attempt->config = config_ref(zone->feeder->config);
    attempt->choice =
        (struct build_zone){.zone = zone->config, .fetched_at = zone->state.fetched_at, .body_at = zone->state.body_at};
    struct member *member = zone_member(zone, "");
    attempt->had_copy = member != NULL && member->mark != NULL;
    if (zone_store(zone, "", attempt->store, sizeof attempt->store) != 0 ||
        (size_t)snprintf(attempt->fresh, sizeof attempt->fresh, "%s.fresh", attempt->store) >= sizeof attempt->fresh) {
        attempt_free(attempt);
        return NULL;
    }
    return attempt;
}

void attempt_free(struct attempt *attempt) {
    if (attempt == NULL)
        return;
    if (attempt->fd >= 0)
        close(attempt->fd);
    store_abandon(attempt->writer);
    ingest_done(&attempt->ingest);
    format_memory_free(attempt->ingest.options.memory);
    for (size_t i = 0; i < attempt->asked_count; i++)
        free(attempt->asked[i]);
    for (size_t i = 0; i < attempt->old_count; i++)
        free(attempt->olds[i]);
    free(attempt->olds);
    free(attempt->events);
    free(attempt->asked);
    free(attempt->url);
    free(attempt->added_after);
    free(attempt->taxii_last);
    free(attempt->etag);
    free(attempt->last_modified);
    config_unref(attempt->config);
    free(attempt);
}

static void on_done(struct job *job) {
    struct attempt *attempt = (struct attempt *)job;
    struct zone *zone = feeder_zone(attempt->feeder, attempt->generation, attempt->zone);
    if (zone != NULL)
        attempt->next(zone, attempt);
    else
        attempt_free(attempt);
}

void attempt_run(struct attempt *attempt, void (*run)(struct job *job), void (*next)(struct zone *zone, struct attempt *attempt)) {
    attempt->job.run = run;
    attempt->job.done = on_done;
    attempt->next = next;
    jobs_add(&attempt->feeder->jobs, &attempt->job);
}

int attempt_ingest(struct attempt *attempt, struct store_writer *writer) {
    struct body *body;
    int error = body_open(&body, attempt->fd, attempt->limit);
    attempt->fd = -1;
    if (error != 0) {
        snprintf(attempt->why, sizeof attempt->why, "%s", error == -EBADMSG ? "a damaged zip file" : strerror(-error));
        return error;
    }
    error = ingest_read(&attempt->ingest, writer, body_read, body);
    body_close(body);
    if (error != 0 && error != -ENODATA)
        snprintf(attempt->why, sizeof attempt->why, "%s", attempt->ingest.why);
    return error;
}

void attempt_read_page(struct job *job) {
    struct attempt *attempt = (struct attempt *)job;
    if (attempt->writer == NULL && attempt->ingest.options.memory != NULL && attempt->window && attempt->had_copy)
        names_load(attempt->ingest.options.memory, attempt->store);
    attempt->error = attempt->writer == NULL ? store_create(&attempt->writer, attempt->fresh) : 0;
    if (attempt->error != 0)
        snprintf(attempt->why, sizeof attempt->why, "cannot keep it: %s", strerror(-attempt->error));
    else
        attempt->error = attempt_ingest(attempt, attempt->writer);
}

bool attempt_remember(struct attempt *attempt, const char *url) {
    for (size_t i = 0; i < attempt->asked_count; i++)
        if (strcmp(attempt->asked[i], url) == 0)
            return false;
    char **larger =
        attempt->asked_count >= ASKED_MAX ? NULL : realloc(attempt->asked, (attempt->asked_count + 1) * sizeof *attempt->asked);
    if (larger == NULL)
        return false;
    attempt->asked = larger;
    attempt->asked[attempt->asked_count] = strdup(url);
    return attempt->asked[attempt->asked_count] != NULL && ++attempt->asked_count > 0;
}

enum verdict attempt_judge(struct attempt *attempt, uint64_t before, uint64_t after) {
    const struct zone_config *zone = attempt->choice.zone;
    if (zone->max_rules >= 0 && after > (uint64_t)zone->max_rules) {
        snprintf(attempt->why, sizeof attempt->why, "more rules than max_rules (%llu)", (unsigned long long)after);
        return VERDICT_REFUSED;
    }
    if (attempt->window || attempt->force || attempt->held || before == 0)
        return VERDICT_TAKEN;
    if (after < before && (before - after) * 100 > before * (uint64_t)zone->max_shrink) {
        snprintf(attempt->why, sizeof attempt->why,
                 "held back: it shrank from %llu rules to %llu (max_shrink); the next fetch confirms it",
                 (unsigned long long)before, (unsigned long long)after);
        return VERDICT_HELD;
    }
    if (zone->max_grow >= 0 && after > before && (after - before) * 100 > before * (uint64_t)zone->max_grow) {
        snprintf(attempt->why, sizeof attempt->why,
                 "held back: it grew from %llu rules to %llu (max_grow); the next fetch confirms it", (unsigned long long)before,
                 (unsigned long long)after);
        return VERDICT_HELD;
    }
    return VERDICT_TAKEN;
}

uint64_t attempt_count(const struct attempt *attempt, const char *store) {
    struct selection selection = {.config = attempt->config,
                                  .zone = attempt->choice.zone,
                                  .format = attempt->format,
                                  .feed = true,
                                  .window = attempt->window,
                                  .now = attempt->began,
                                  .fetched_at = attempt->began,
                                  .body_at = attempt->began};
    uint64_t count = 0;
    build_count(&selection, store, &count);
    return count;
}

bool attempt_is_empty(const struct attempt *attempt) {
    const struct format_memory *memory = attempt->ingest.options.memory;
    return store_written(attempt->writer).rules == 0 && (memory == NULL || !format_memory_holds(memory));
}

/* The last page is read: all of them make up the store. */
static int close_pages(struct attempt *attempt) {
    int error = attempt->ingest.options.memory != NULL ? ingest_flush(&attempt->ingest, attempt->writer) : 0;
    if (error != 0)
        store_abandon(attempt->writer);
    else
        error = store_commit(attempt->writer, false);
    attempt->writer = NULL;
    return error;
}

void attempt_conclude(struct job *job) {
    struct attempt *attempt = (struct attempt *)job;
    const struct zone_config *zone = attempt->choice.zone;
    bool versions = attempt->format == FORMAT_STIX || attempt->format == FORMAT_TAXII;
    int64_t max_age = zone->max_age >= 0 ? zone->max_age : 30 * 86400;
    char merged[PATH_MAX];
    attempt->error = close_pages(attempt);
    if (attempt->error == 0 && (size_t)snprintf(merged, sizeof merged, "%s.merged", attempt->store) >= sizeof merged)
        attempt->error = -ENAMETOOLONG;
    if (attempt->error == 0)
        attempt->error = window_merge(attempt->window && attempt->had_copy ? attempt->store : NULL, attempt->fresh, merged,
                                      versions, attempt->began - max_age);
    unlink(attempt->fresh);
    if (attempt->error == 0) {
        uint64_t before = attempt->had_copy && !attempt->window ? attempt_count(attempt, attempt->store) : 0;
        attempt->verdict = attempt_judge(attempt, before, attempt_count(attempt, merged));
        if (attempt->verdict == VERDICT_TAKEN && rename(merged, attempt->store) != 0)
            attempt->error = -errno;
        if (attempt->error == 0 && attempt->verdict == VERDICT_TAKEN && attempt->ingest.options.memory != NULL)
            names_save(attempt->ingest.options.memory, attempt->store); /* families are an extra: the rules stand without */
    }
    if (attempt->error != 0)
        snprintf(attempt->why, sizeof attempt->why, "cannot keep it: %s", strerror(-attempt->error));
    if (attempt->error != 0 || attempt->verdict != VERDICT_TAKEN)
        unlink(merged);
}
