/* feeds/feeder.h: the running feeder: configuration in, sources watched and fetched, snapshots out.
 *
 * One loop. Whatever changes sets `dirty`; when no job is left, a build runs; when that is published and nothing is left, waiting
 * refreshes are answered. Loop's thread only. */
#ifndef SUNDEW_FEEDS_FEEDER_H
#define SUNDEW_FEEDS_FEEDER_H

#include <limits.h>

#include "config/config.h"
#include "feeds/feed.h"
#include "feeds/jobs.h"
#include "feeds/link.h"
#include "feeds/zone.h"

struct refresh;

struct feeder {
    uv_loop_t loop;
    struct link link;
    struct jobs jobs;
    uv_timer_t look;
    struct config *config; /* NULL until the first message */
    int64_t serial;
    uint64_t generation; /* counts configurations: jobs of an older one find no zone */
    uint64_t seed;
    char directory[PATH_MAX]; /* STATE/zones */
    struct zone *zones;       /* configured ones, then never_block files */
    size_t zone_count;
    bool dirty;              /* something changed since the last build began */
    bool building;           /* a build is among the jobs */
    bool asking;             /* a refresh is being handed out: nobody is answered yet */
    bool swept;              /* what zones of an earlier configuration left is removed */
    bool started;            /* the first build of this configuration is out: feeds may begin */
    uint64_t build_again_at; /* uv_now; after a build that could not be published, 0: none */
    char *last_failure;      /* said, and not to be said again */
    int last_state_error;
    struct refresh *refreshes;
    struct fetcher *fetcher; /* feeds/fetch.h */
};

/* Runs until the supervisor is gone or says stop. Returns an exit code. */
int feeder_run(void);

/* Enters a zone's copies into a plan. 0 or -ENOMEM. */
int feeder_plan(struct build *build, const struct zone *zone);

/* --- for the sources --- */
void feeder_changed(struct feeder *feeder); /* rules changed: build when the jobs at hand are done */
void feeder_settle(struct feeder *feeder);  /* something ended: see what is to be done next */
struct zone *feeder_zone(struct feeder *feeder, uint64_t generation, size_t index); /* NULL: of another configuration */
void feeder_fetched(struct zone *zone, enum outcome outcome); /* an attempt ended; feeder_changed first if rules did */
void feeder_state_error(struct feeder *feeder, int error);    /* the state directory can't be written: said once per change */

#endif
