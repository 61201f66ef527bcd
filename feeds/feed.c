/* feeds/feed.c: see feed.h. One reason to exist: the life of a feed: asking, paging, judging, waiting. */
#include "feeds/feed.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "feeds/feed_private.h"
#include "feeds/schedule.h"

enum { PAGES_MAX = 10000 };

#define TAXII_ACCEPT "application/taxii+json;version=2.1"

static void begin(struct feed *feed, bool force);

static void on_timer(uv_timer_t *timer) {
    struct feed *feed = timer->data;
    if (!feed->active)
        begin(feed, false);
}

static uint32_t chance(void) {
    uint32_t number = 0;
    return getrandom(&number, sizeof number, GRND_NONBLOCK) == sizeof number ? number : 0;
}

static void plan(struct feed *feed, uint64_t delay_ms) {
    int64_t now = (int64_t)time(NULL), not_before = feed->zone->state.not_before;
    if (not_before > now && (uint64_t)(not_before - now) * 1000 > delay_ms)
        delay_ms = (uint64_t)(not_before - now) * 1000;
    feed->next_at = now + (int64_t)((delay_ms + 999) / 1000);
    uv_timer_start(&feed->timer, on_timer, delay_ms, 0);
}

static void save(struct zone *zone) {
    feeder_state_error(zone->feeder, zone_save(zone));
}

static void set_error(struct feed *feed, const char *error) {
    struct zone *zone = feed->zone;
    if (error == NULL && feed->error != NULL)
        link_log(&zone->feeder->link, "info", "zone %s: fetched again from %s", zone->name, zone->shown);
    else if (error != NULL && (feed->error == NULL || strcmp(feed->error, error) != 0))
        link_log(&zone->feeder->link, "warning", "zone %s: %s%s", zone->name, error,
                 zone->state.fetched_at != 0 ? "; its last good rules stay" : "");
    bool changed = error == NULL ? zone->state.error != NULL : zone->state.error == NULL || strcmp(zone->state.error, error) != 0;
    state_set(&feed->error, error);
    state_set(&zone->state.error, error);
    if (changed)
        save(zone);
}

static void end(struct feed *feed, enum outcome outcome) {
    attempt_free(feed->attempt);
    feed->attempt = NULL;
    feed->active = false;
    feed->tried = true;
    feed->failures = outcome == OUTCOME_FAILED ? feed->failures + 1 : 0;
    if (outcome == OUTCOME_FAILED && feed->again) { /* somebody asked meanwhile, with force: this outcome isn't theirs */
        feed->again = false;
        begin(feed, feed->again_force);
        return;
    }
    feed->again = false;
    plan(feed, schedule_delay(feed->zone->config->refresh, feed->failures, chance()));
    feeder_fetched(feed->zone, outcome);
}

void feed_fail(struct feed *feed, const char *why) {
    set_error(feed, why);
    end(feed, OUTCOME_FAILED);
}

/* What the present copy's body carried is carried once more. Only what a window no longer carries may have become too old. */
void feed_unchanged(struct feed *feed) {
    struct zone *zone = feed->zone;
    zone->state.fetched_at = feed->attempt->began;
    zone->state.held = false;
    zone->state.not_before = 0;
    set_error(feed, NULL);
    save(zone);
    if (zone->outcome.ages_at <= zone->state.fetched_at)
        feeder_changed(zone->feeder);
    end(feed, OUTCOME_UNCHANGED);
}

void feed_taken(struct feed *feed, const char *warning) {
    struct zone *zone = feed->zone;
    struct attempt *attempt = feed->attempt;
    zone->state.fetched_at = zone->state.body_at = attempt->began;
    zone->state.held = false;
    zone->state.not_before = 0;
    zone->state.body_hash = warning == NULL ? attempt->body_hash : 0;
    state_set(&zone->state.etag, warning == NULL ? attempt->etag : NULL);
    state_set(&zone->state.last_modified, warning == NULL ? attempt->last_modified : NULL);
    if (attempt->added_after != NULL)
        state_set(&zone->state.added_after, attempt->added_after);
    set_error(feed, warning);
    save(zone);
    feeder_changed(zone->feeder);
    end(feed, warning == NULL ? OUTCOME_FETCHED : OUTCOME_FAILED);
}

void feed_held(struct feed *feed, const char *why) {
    struct zone *zone = feed->zone;
    zone->state.held = true;
    save(zone);
    char text[FETCH_ERROR_MAX + 256];
    snprintf(text, sizeof text, "%.250s: %s", zone->shown, why);
    set_error(feed, text);
    end(feed, OUTCOME_FAILED);
}

static void fail_at(struct feed *feed, const char *why) {
    char text[FETCH_ERROR_MAX + 256];
    snprintf(text, sizeof text, "%.250s: %s", feed->zone->shown, why);
    feed_fail(feed, text);
}

/* --- asking ------------------------------------------------------------------------------------------------------------------- */

struct asking {
    struct feed *feed;
    void (*done)(struct feed *feed, struct fetch_result *result);
};

static void on_fetched(void *context, struct fetch_result *result) {
    struct asking *asking = context;
    struct feed *feed = asking->feed;
    void (*done)(struct feed *, struct fetch_result *) = asking->done;
    free(asking);
    feed->fetch = NULL;
    if (result->retry_after != 0) {
        feed->zone->state.not_before = result->retry_after;
        save(feed->zone);
    }
    done(feed, result);
}

void feed_request(struct feed *feed, const char *url, bool conditional,
                  void (*done)(struct feed *feed, struct fetch_result *result)) {
    const struct zone *zone = feed->zone;
    const struct zone_config *config = zone->config;
    char why[FETCH_ERROR_MAX] = "cannot begin to fetch";
    struct asking *asking = malloc(sizeof *asking);
    struct fetch_request request = {.url = url,
                                    .accept = zone->format == FORMAT_TAXII ? TAXII_ACCEPT : NULL,
                                    .headers_file = config->headers_file,
                                    .username = config->username,
                                    .password_file = config->password_file,
                                    .ca_file = config->ca_file,
                                    .proxy = config->proxy,
                                    .post = config->post,
                                    .etag = conditional ? zone->state.etag : NULL,
                                    .last_modified = conditional ? zone->state.last_modified : NULL,
                                    .max_size = feed->attempt->limit,
                                    .directory = zone->feeder->directory};
    if (asking == NULL) {
        feed_fail(feed, "no memory");
        return;
    }
    *asking = (struct asking){.feed = feed, .done = done};
    if (fetch_start(zone->feeder->fetcher, &request, on_fetched, asking, &feed->fetch, why) != 0) {
        free(asking);
        feed_fail(feed, why);
    }
}

/* --- paging ------------------------------------------------------------------------------------------------------------------- */

static void on_page(struct feed *feed, struct fetch_result *result);

static void ask_for_page(struct feed *feed, const char *url, bool conditional) {
    struct attempt *attempt = feed->attempt;
    if (!attempt_remember(attempt, url)) {
        fail_at(feed, "a paging loop: the same page was to be asked for twice");
        return;
    }
    if (++attempt->pages > PAGES_MAX) {
        fail_at(feed, "too many pages");
        return;
    }
    state_set(&attempt->url, url);
    feed_request(feed, url, conditional, on_page);
}

static char *taxii_url(const struct zone *zone, const char *added_after, const char *next) {
    const char *query = strchr(zone->source, '?');
    int length = query == NULL ? (int)strlen(zone->source) : (int)(query - zone->source);
    bool slash = length > 0 && zone->source[length - 1] == '/';
    bool objects = length > 9 && strncmp(zone->source + length - 9, "/objects/", 9) == 0;
    char *after = added_after == NULL ? NULL : curl_easy_escape(NULL, added_after, 0);
    char *token = next == NULL ? NULL : curl_easy_escape(NULL, next, 0);
    char *url = NULL;
    if ((after != NULL) == (added_after != NULL) && (token != NULL) == (next != NULL) &&
        asprintf(&url, "%.*s%s%s%s%s%s%s%s%s", length, zone->source, slash ? "" : "/", objects ? "" : "objects/",
                 query != NULL                    ? query
                 : after != NULL || token != NULL ? "?"
                                                  : "",
                 query != NULL && (after != NULL || token != NULL) ? "&" : "", after != NULL ? "added_after=" : "",
                 after != NULL ? after : "", token != NULL ? (after != NULL ? "&next=" : "next=") : "",
                 token != NULL ? token : "") < 0)
        url = NULL;
    curl_free(after);
    curl_free(token);
    return url;
}

static void concluded(struct zone *zone, struct attempt *attempt) {
    struct feed *feed = zone->feed;
    feed->attempt = attempt;
    if (attempt->error != 0 || attempt->verdict == VERDICT_REFUSED) {
        fail_at(feed, attempt->why);
        return;
    }
    if (attempt->verdict == VERDICT_HELD) {
        feed_held(feed, attempt->why);
        return;
    }
    struct member *member = zone_add_member(zone, "");
    char mark[32];
    snprintf(mark, sizeof mark, "%lld", (long long)attempt->began);
    if (member != NULL)
        state_set(&member->mark, mark);
    feed_taken(feed, NULL);
}

static void conclude(struct feed *feed) {
    struct attempt *attempt = feed->attempt;
    feed->attempt = NULL;
    attempt_run(attempt, attempt_conclude, concluded);
}

/* An answer, but no news: nothing was carried, nothing is lost. */
static void no_news(struct feed *feed) {
    struct zone *zone = feed->zone;
    struct attempt *attempt = feed->attempt;
    zone->state.fetched_at = zone->state.body_at = attempt->began;
    zone->state.body_hash = 0;
    zone->state.not_before = 0;
    if (attempt->added_after != NULL)
        state_set(&zone->state.added_after, attempt->added_after);
    set_error(feed, NULL);
    save(zone);
    if (zone->window && zone->outcome.ages_at <= attempt->began)
        feeder_changed(zone->feeder);
    end(feed, OUTCOME_UNCHANGED);
}

/* TAXII 2.1 section 3.4: more and next: the same query with next; more alone: go on after the last date; the last page's date is
 * where the next poll begins. A server that counts its own limit inclusively repeats its last page: that is the end, too. */
static void next_taxii_page(struct feed *feed) {
    struct attempt *attempt = feed->attempt;
    struct ingest *page = &attempt->ingest;
    const struct zone *zone = feed->zone;
    const char *since = attempt->added_after != NULL ? attempt->added_after : feed->zone->state.added_after;
    bool advanced = attempt->taxii_last != NULL && (since == NULL || strcmp(since, attempt->taxii_last) != 0);
    bool goes_on = page->more && (page->next != NULL || advanced);
    char *url = NULL;
    if (goes_on && page->next != NULL) {
        url = taxii_url(feed->zone, since, page->next);
    } else if (advanced) {
        state_set(&attempt->added_after, attempt->taxii_last);
        url = goes_on ? taxii_url(feed->zone, attempt->added_after, NULL) : NULL;
    }
    if (!goes_on && zone->window && attempt->had_copy && attempt_is_empty(attempt)) {
        no_news(feed);
    } else if (!goes_on) {
        conclude(feed);
    } else if (url == NULL) {
        feed_fail(feed, "no memory");
    } else {
        ask_for_page(feed, url, false);
        free(url);
    }
}

static void next_otx_page(struct feed *feed) {
    struct attempt *attempt = feed->attempt;
    if (attempt->ingest.next == NULL) {
        conclude(feed);
        return;
    }
    char *url = strdup(attempt->ingest.next);
    if (url == NULL)
        feed_fail(feed, "no memory");
    else if (!fetch_same_origin(feed->zone->source, url))
        fail_at(feed, "its next page is on another host or scheme: not followed");
    else
        ask_for_page(feed, url, false);
    free(url);
}

static void page_read(struct zone *zone, struct attempt *attempt) {
    struct feed *feed = zone->feed;
    feed->attempt = attempt;
    if (attempt->error == -ENODATA && attempt->pages == 1) {
        no_news(feed);
    } else if (attempt->error != 0 && attempt->error != -ENODATA) {
        fail_at(feed, attempt->why);
    } else if (zone->format == FORMAT_TAXII) {
        next_taxii_page(feed);
    } else if (zone->format == FORMAT_OTX) {
        next_otx_page(feed);
    } else {
        conclude(feed);
    }
}

static void on_page(struct feed *feed, struct fetch_result *result) {
    struct attempt *attempt = feed->attempt;
    const struct zone *zone = feed->zone;
    bool paged = zone->format == FORMAT_TAXII || zone->format == FORMAT_OTX;
    if (result->error != 0) {
        feed_fail(feed, result->why);
        return;
    }
    if (result->unchanged) {
        feed_unchanged(feed);
        return;
    }
    if (result->size == 0) {
        fail_at(feed, "an empty answer");
        return;
    }
    if (!paged) {
        state_set(&attempt->etag, result->etag);
        state_set(&attempt->last_modified, result->last_modified);
        attempt->body_hash = result->body_hash;
        if (attempt->had_copy && !attempt->held && result->body_hash == zone->state.body_hash) {
            feed_unchanged(feed);
            return;
        }
    }
    /* of a collection that is paged by token, the last page that says a date counts */
    if (result->taxii_last != NULL)
        state_set(&attempt->taxii_last, result->taxii_last);
    attempt->fd = result->fd;
    result->fd = -1;
    feed->attempt = NULL;
    attempt_run(attempt, attempt_read_page, page_read);
}

static void begin(struct feed *feed, bool force) {
    struct zone *zone = feed->zone;
    uv_timer_stop(&feed->timer);
    feed->attempt = attempt_new(zone, force);
    feed->active = true;
    if (feed->attempt == NULL) {
        feed_fail(feed, "no memory");
        return;
    }
    struct attempt *attempt = feed->attempt;
    size_t length = strcspn(zone->source, "?");
    if (zone->format == FORMAT_MISP && length > 0 && zone->source[length - 1] == '/') {
        feed_folder_begin(feed);
    } else if (zone->format == FORMAT_TAXII) {
        char *url = taxii_url(zone, zone->window && attempt->had_copy ? zone->state.added_after : NULL, NULL);
        if (!zone->window || !attempt->had_copy)
            state_set(&zone->state.added_after, NULL);
        if (url != NULL)
            ask_for_page(feed, url, false);
        else
            feed_fail(feed, "no memory");
        free(url);
    } else {
        bool conditional =
            attempt->had_copy && !attempt->held && !force && zone->format != FORMAT_OTX && zone->config->post == NULL;
        ask_for_page(feed, zone->source, conditional);
    }
}

/* --- life -----------------------------------------------------------------------------------------------------------------------
 */

int feed_start(struct zone *zone) {
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return -ENOMEM;
    feed->zone = zone;
    zone->feed = feed;
    uv_timer_init(&zone->feeder->loop, &feed->timer);
    feed->timer.data = feed;
    int64_t now = (int64_t)time(NULL), due = zone->state.fetched_at + zone->config->refresh;
    bool reconfigured = zone->feeder->generation > 1;
    feed->tried = reconfigured && due > now && zone->state.error == NULL;
    state_set(&feed->error, zone->state.error); /* what was stale before stays so until it is fetched */
    if (feed->tried)
        plan(feed, (uint64_t)(due - now) * 1000);
    else
        plan(feed, 0);
    return 0;
}

static void on_closed(uv_handle_t *handle) {
    struct feed *feed = handle->data;
    free(feed->error);
    free(feed);
}

void feed_stop(struct zone *zone) {
    struct feed *feed = zone->feed;
    zone->feed = NULL;
    if (feed->fetch != NULL)
        free(fetch_cancel(feed->fetch));
    attempt_free(feed->attempt);
    uv_close((uv_handle_t *)&feed->timer, on_closed);
}

void feed_refresh(struct zone *zone, bool force) {
    struct feed *feed = zone->feed;
    int64_t now = (int64_t)time(NULL);
    if (feed == NULL) {
        feeder_fetched(zone, OUTCOME_FAILED);
    } else if (feed->active) {
        feed->again = force;
        feed->again_force = force;
    } else if (zone->state.not_before > now) {
        char why[512];
        snprintf(why, sizeof why, "%.250s: the server asked not to be asked again so soon (Retry-After)", zone->shown);
        set_error(feed, why);
        feeder_fetched(zone, OUTCOME_FAILED);
    } else {
        begin(feed, force);
    }
}

const char *feed_error(const struct zone *zone) {
    return zone->feed == NULL ? NULL : zone->feed->error;
}

int64_t feed_next_at(const struct zone *zone) {
    return zone->feed == NULL ? 0 : zone->feed->next_at;
}

bool feed_tried(const struct zone *zone) {
    return zone->feed != NULL && (zone->feed->tried || zone->state.not_before > (int64_t)time(NULL));
}
