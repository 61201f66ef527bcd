/* feeds/feed_folder.c: a MISP feed folder: its manifest, and of its events those that changed.
 *
 * Each event has a store of its own; new ones lie beside (".fresh") until the whole folder is judged. An event that is gone from
 * the manifest goes. An event that can't be read costs itself only: its last good copy stays, or it is listed as rejected; one that
 * can't be fetched is asked for again next time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feeds/body.h"
#include "feeds/feed_private.h"

enum {
    MISSES_IN_A_ROW = 3, /* then the server is down, rather than an event missing */
    EVENTS_MAX = 1000000,
};

static int event_paths(const struct attempt *attempt, const char *uuid, char store[PATH_MAX], char fresh[PATH_MAX]) {
    int error = state_store(store, PATH_MAX - 8, attempt->directory, attempt->choice.zone->name, uuid);
    snprintf(fresh, PATH_MAX, "%.*s.fresh", PATH_MAX - 8, store);
    return error;
}

static char *event_url(const struct zone *zone, const char *name) {
    char *url;
    size_t length = strcspn(zone->source, "?");
    return asprintf(&url, "%.*s%s%s", (int)length, zone->source, name, zone->source + length) < 0 ? NULL : url;
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static void run_conclude(struct job *job) {
    struct attempt *attempt = (struct attempt *)job;
    char store[PATH_MAX], fresh[PATH_MAX];
    uint64_t before = 0, after = 0;
    for (size_t i = 0; i < attempt->old_count; i++)
        before += attempt_count(attempt, attempt->olds[i]);
    for (size_t i = 0; i < attempt->event_count; i++)
        if (event_paths(attempt, attempt->events[i].uuid, store, fresh) == 0)
            after += attempt_count(attempt, attempt->events[i].fetched ? fresh : store);
    attempt->verdict = attempt_judge(attempt, before, after);
    attempt->error = 0;
    for (size_t i = 0; i < attempt->event_count; i++) {
        if (!attempt->events[i].fetched || event_paths(attempt, attempt->events[i].uuid, store, fresh) != 0)
            continue;
        if (attempt->verdict != VERDICT_TAKEN)
            unlink(fresh);
        else if (rename(fresh, store) != 0)
            attempt->error = -errno;
    }
    if (attempt->error != 0)
        snprintf(attempt->why, sizeof attempt->why, "cannot keep it: %s", strerror(-attempt->error));
}

static bool in_manifest(const struct attempt *attempt, const char *uuid) {
    size_t low = 0, high = attempt->event_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(attempt->events[middle].uuid, uuid);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void concluded(struct zone *zone, struct attempt *attempt) {
    struct feed *feed = zone->feed;
    char text[FETCH_ERROR_MAX + 512];
    feed->attempt = attempt;
    if (attempt->verdict == VERDICT_HELD && attempt->error == 0) {
        feed_held(feed, attempt->why);
        return;
    }
    if (attempt->verdict == VERDICT_REFUSED || attempt->error != 0) {
        snprintf(text, sizeof text, "%.250s: %s", zone->shown, attempt->why);
        feed_fail(feed, text);
        return;
    }
    for (size_t i = 0; i < attempt->event_count; i++) {
        struct member *member = attempt->events[i].fetched ? zone_add_member(zone, attempt->events[i].uuid) : NULL;
        if (member != NULL)
            state_set(&member->mark, attempt->events[i].timestamp);
    }
    for (size_t i = zone->member_count; i-- > 0;)
        if (!in_manifest(attempt, zone->members[i]->key))
            zone_remove_member(zone, zone->members[i]);
    snprintf(text, sizeof text, "%u events could not be fetched, the first: %s", attempt->missed, attempt->missed_why);
    feed_taken(feed, attempt->missed > 0 ? text : NULL);
}

static void conclude(struct feed *feed) {
    struct attempt *attempt = feed->attempt;
    const struct zone *zone = feed->zone;
    attempt->olds = calloc(zone->member_count + 1, sizeof *attempt->olds);
    for (size_t i = 0; i < zone->member_count && attempt->olds != NULL; i++) {
        char path[PATH_MAX];
        if (zone->members[i]->mark != NULL && zone_store(zone, zone->members[i]->key, path, sizeof path) == 0)
            attempt->olds[attempt->old_count++] = strdup(path);
    }
    feed->attempt = NULL;
    attempt_run(attempt, run_conclude, concluded);
}

/* --- events ------------------------------------------------------------------------------------------------------------------- */

static void next_event(struct feed *feed);

/* An unreadable event that has no good copy gets a store that holds nothing but the fault, so that `zones --rejected` names it. */
static void keep_fault(struct attempt *attempt, const char *fresh, const char *uuid) {
    struct store_writer *writer;
    char message[FETCH_ERROR_MAX];
    snprintf(message, sizeof message, "event %s: %.400s", uuid, attempt->why);
    if (store_create(&writer, fresh) != 0)
        return;
    store_put_fault(writer, 0, 0, uuid, message);
    if (store_commit(writer, true) == 0)
        attempt->error = 0;
}

static void run_event(struct job *job) {
    struct attempt *attempt = (struct attempt *)job;
    struct folder_event *event = &attempt->events[attempt->at];
    struct store_writer *writer;
    char store[PATH_MAX], fresh[PATH_MAX];
    attempt->error = event_paths(attempt, event->uuid, store, fresh);
    if (attempt->error == 0)
        attempt->error = store_create(&writer, fresh);
    if (attempt->error != 0) {
        snprintf(attempt->why, sizeof attempt->why, "%s", strerror(-attempt->error));
        return;
    }
    attempt->error = attempt_ingest(attempt, writer);
    if (attempt->error == 0 || attempt->error == -ENODATA) {
        attempt->error = store_commit(writer, true);
        if (attempt->error != 0)
            snprintf(attempt->why, sizeof attempt->why, "%s", strerror(-attempt->error));
    } else {
        store_abandon(writer);
        if (attempt->error == -EBADMSG && access(store, F_OK) != 0)
            keep_fault(attempt, fresh, event->uuid);
    }
    event->fetched = attempt->error == 0;
}

static void event_read(struct zone *zone, struct attempt *attempt) {
    struct feed *feed = zone->feed;
    const struct folder_event *event = &attempt->events[attempt->at];
    feed->attempt = attempt;
    struct member *member = zone_member(zone, event->uuid);
    if (attempt->error != 0) {
        link_log(&zone->feeder->link, "warning", "zone %s: event %s: %s; its last good copy stays", zone->name, event->uuid,
                 attempt->why);
        if (member != NULL && attempt->error == -EBADMSG)
            state_set(&member->tried, event->timestamp);
    }
    attempt->at++;
    next_event(feed);
}

static void on_event(struct feed *feed, struct fetch_result *result) {
    struct attempt *attempt = feed->attempt;
    if (result->error != 0) {
        if (attempt->missed++ == 0)
            snprintf(attempt->missed_why, sizeof attempt->missed_why, "%s", result->why);
        if (++attempt->missed_in_a_row >= MISSES_IN_A_ROW || result->retry_after != 0) {
            conclude(feed);
            return;
        }
        attempt->at++;
        next_event(feed);
        return;
    }
    attempt->missed_in_a_row = 0;
    attempt->fd = result->fd;
    result->fd = -1;
    feed->attempt = NULL;
    attempt_run(attempt, run_event, event_read);
}

static void next_event(struct feed *feed) {
    struct attempt *attempt = feed->attempt;
    while (attempt->at < attempt->event_count && !attempt->events[attempt->at].wanted)
        attempt->at++;
    if (attempt->at == attempt->event_count) {
        conclude(feed);
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "%s.json", attempt->events[attempt->at].uuid);
    char *url = event_url(feed->zone, name);
    if (url == NULL)
        feed_fail(feed, "no memory");
    else
        feed_request(feed, url, false, on_event);
    free(url);
}

/* --- the manifest ------------------------------------------------------------------------------------------------------------- */

static int on_manifest_event(void *context, const char *uuid, int64_t timestamp) {
    struct attempt *attempt = context;
    size_t count = attempt->event_count;
    if (count >= EVENTS_MAX)
        return -E2BIG;
    if ((count & (count - 1)) == 0) {
        struct folder_event *larger = realloc(attempt->events, (count == 0 ? 1 : count * 2) * sizeof *larger);
        if (larger == NULL)
            return -ENOMEM;
        attempt->events = larger;
    }
    struct folder_event *event = &attempt->events[attempt->event_count++];
    *event = (struct folder_event){0};
    snprintf(event->uuid, sizeof event->uuid, "%s", uuid);
    snprintf(event->timestamp, sizeof event->timestamp, "%lld", (long long)timestamp);
    return 0;
}

static int compare(const void *a, const void *b) {
    return strcmp(((const struct folder_event *)a)->uuid, ((const struct folder_event *)b)->uuid);
}

static void run_manifest(struct job *job) {
    struct attempt *attempt = (struct attempt *)job;
    struct body *body;
    char why[MISP_MANIFEST_WHY_MAX] = "";
    attempt->error = body_open(&body, attempt->fd, attempt->limit);
    attempt->fd = -1;
    if (attempt->error == 0) {
        attempt->error = misp_manifest_read(body_read, body, on_manifest_event, attempt, why);
        body_close(body);
    }
    if (attempt->error == 0)
        qsort(attempt->events, attempt->event_count, sizeof *attempt->events, compare);
    snprintf(attempt->why, sizeof attempt->why, "manifest.json: %s", why[0] != '\0' ? why : strerror(-attempt->error));
}

static void manifest_read(struct zone *zone, struct attempt *attempt) {
    struct feed *feed = zone->feed;
    char text[FETCH_ERROR_MAX + 256];
    feed->attempt = attempt;
    if (attempt->error != 0) {
        snprintf(text, sizeof text, "%.250s: %s", zone->shown, attempt->why);
        feed_fail(feed, text);
        return;
    }
    size_t known = 0, wanted = 0;
    for (size_t i = 0; i < attempt->event_count; i++) {
        struct folder_event *event = &attempt->events[i];
        const struct member *member = zone_member(zone, event->uuid);
        known += member != NULL;
        event->wanted = member == NULL || member->mark == NULL || strcmp(member->mark, event->timestamp) != 0;
        if (event->wanted && member != NULL && member->tried != NULL && strcmp(member->tried, event->timestamp) == 0)
            event->wanted = false;
        wanted += event->wanted;
    }
    if (wanted == 0 && known == zone->member_count && known == attempt->event_count) {
        zone->state.body_hash = attempt->body_hash;
        state_set(&zone->state.etag, attempt->etag);
        state_set(&zone->state.last_modified, attempt->last_modified);
        feed_unchanged(feed);
        return;
    }
    next_event(feed);
}

static void on_manifest(struct feed *feed, struct fetch_result *result) {
    struct attempt *attempt = feed->attempt;
    if (result->error != 0) {
        feed_fail(feed, result->why);
        return;
    }
    state_set(&attempt->etag, result->etag);
    state_set(&attempt->last_modified, result->last_modified);
    attempt->body_hash = result->body_hash;
    if (result->unchanged || (!attempt->held && !attempt->force && result->body_hash == feed->zone->state.body_hash)) {
        feed_unchanged(feed);
        return;
    }
    attempt->fd = result->fd;
    result->fd = -1;
    feed->attempt = NULL;
    attempt_run(attempt, run_manifest, manifest_read);
}

void feed_folder_begin(struct feed *feed) {
    struct attempt *attempt = feed->attempt;
    char *url = event_url(feed->zone, "manifest.json");
    attempt->had_copy = feed->zone->member_count > 0;
    if (url == NULL)
        feed_fail(feed, "no memory");
    else
        feed_request(feed, url, attempt->had_copy && !attempt->held && !attempt->force, on_manifest);
    free(url);
}
