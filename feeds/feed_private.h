/* feeds/feed_private.h: what feed.c and feed_folder.c share of a feed. Loop's thread. */
#ifndef SUNDEW_FEEDS_FEED_PRIVATE_H
#define SUNDEW_FEEDS_FEED_PRIVATE_H

#include "feeds/attempt.h"

struct feed {
    struct zone *zone;
    uv_timer_t timer;
    struct fetch *fetch;     /* under way */
    struct attempt *attempt; /* of which it is a part; NULL while its job is under way */
    bool active;             /* an attempt is under way */
    bool tried;              /* one has ended since start */
    bool again, again_force; /* asked for while one was under way that will not do */
    unsigned failures;       /* in a row */
    int64_t next_at;         /* unix seconds */
    char *error;             /* of the last attempt */
};

/* Asks for a document of the attempt; `done` gets the result on the loop. Fails the attempt by itself if that can't begin. */
void feed_request(struct feed *feed, const char *url, bool conditional,
                  void (*done)(struct feed *feed, struct fetch_result *result));

/* The ends of an attempt; each frees it, plans the next, tells whoever waits. */
void feed_fail(struct feed *feed, const char *why);
void feed_unchanged(struct feed *feed);
void feed_taken(struct feed *feed, const char *warning); /* warning: what is missing all the same, or NULL */
void feed_held(struct feed *feed, const char *why);

void feed_folder_begin(struct feed *feed); /* a MISP folder: feed_folder.c */

#endif
