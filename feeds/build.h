/* feeds/build.h: from the stores of all zones to a published snapshot.
 *
 * A build is a plan (which stores make up which zone) and its outcome (what each zone gave). It shares nothing that changes with
 * anyone: the main thread makes the plan, the job thread runs it, the main thread reads the outcome. Memory: the ruleset; stores
 * are streamed. */
#ifndef SUNDEW_FEEDS_BUILD_H
#define SUNDEW_FEEDS_BUILD_H

#include "config/config.h"
#include "feeds/publish.h"
#include "feeds/select.h"

enum { BUILD_REFUSALS_KEPT = 1000 }; /* per zone, unless all are asked for; all are counted */

/* A rule that isn't in force although its source lists it. */
struct refusal {
    char *rule; /* as rules are written, or the path in its document */
    char *path; /* in its document, if the store keeps it, else NULL */
    char *why;
    char *source;
    uint32_t line, column; /* 0 unknown */
    bool faulty;           /* it could be read, but not compiled; false: unreadable, or refused by the guard */
};

struct build_counts {
    uint64_t rules;        /* in force */
    uint64_t rejected;     /* unreadable, refused by the guard, or impossible to compile */
    uint64_t not_enforced; /* nameserver and nameserver_ip */
    uint64_t expired;
    uint64_t ignored; /* not for DNS */
    enum mode mode;   /* in force */
    uint64_t left[SELECT_COUNT];
};

struct build_part {
    char *store;  /* path */
    char *source; /* as it is to be shown */
    enum format format;
};

struct build_zone {
    const struct zone_config *zone; /* in config */
    bool feed, window;
    int64_t fetched_at, body_at;
    struct build_part *parts;
    size_t part_count;
    /* --- outcome --- */
    struct build_counts counts;
    struct refusal *refusals;
    size_t refusal_count;
    int64_t ages_at;   /* a fetch at or after it has to rebuild, INT64_MAX: none */
    uint32_t *expires; /* of those in counts.rules that run out by themselves: wall-clock seconds, in no order */
    size_t expires_count;
};

struct build {
    struct config *config; /* a reference */
    char *snapshot;        /* path to publish at */
    uint64_t seed;
    int64_t now;
    bool all_refusals;        /* are kept */
    struct build_part *never; /* stores of never_block files */
    size_t never_count;
    struct build_zone *zones; /* one a configured zone, in order */
    size_t zone_count;
    /* --- outcome --- */
    int error; /* 0: published */
    struct published published;
};

/* A plan with as many zones as the configuration; takes a reference. NULL: no memory. */
struct build *build_new(struct config *config, const char *snapshot, uint64_t seed);
int build_add_part(struct build_part **parts, size_t *count, const char *store, const char *source, enum format format);
void build_run(struct build *build);
void build_free(struct build *build); /* NULL is nothing */

/* How many of the rules that were in force when a zone was built have run out by `now`. */
uint64_t build_run_out(const struct build_zone *zone, int64_t now);
/* Frees an outcome's refusals and times. */
void build_forget(struct build_zone *zone);

/* How many of a store's indicators the zone's choice takes, expired ones included: what max_shrink and max_rules go by. */
int build_count(const struct selection *selection, const char *store, uint64_t *count);

#endif
