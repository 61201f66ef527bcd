/* feeds/zone.h: what the feeder knows of one zone's source while it runs: its members, their copies, the last build's outcome.
 *
 * A source is one document (a file, a feed, a built-in text: one member with the key "") or many (a glob's files, a MISP folder's
 * events). Loop's thread only. */
#ifndef SUNDEW_FEEDS_ZONE_H
#define SUNDEW_FEEDS_ZONE_H

#include "feeds/build.h"
#include "feeds/state.h"
#include "feeds/store.h"

struct feeder;
struct feed;

struct member {
    char *key;       /* path of a glob's file, uuid of an event, else "" */
    char *mark;      /* what the present copy was made from; NULL: there is none */
    char *tried;     /* the last that could not be read: not tried again until it changes */
    char *seen;      /* a file's at the last look: only what has come to rest is read */
    char *error;     /* why what lies there now isn't in force; NULL: it is */
    int64_t read_at; /* when what is in force was read; 0 never */
    bool busy;       /* a job reads it */
    bool listed;     /* met in this look */
};

struct zone {
    struct feeder *feeder;
    const struct zone_config *config; /* NULL: a never_block file */
    size_t index;                     /* in the feeder's zones */
    char *name;                       /* of its state: the zone's, or ".never/PATH" */
    char *label;                      /* in the log: "zone NAME" or "never_block" */
    char *source;                     /* path, glob or URL */
    char *shown;                      /* without secrets */
    enum format format;
    bool is_feed, is_glob, window;
    char *glob_error;        /* why a glob can't be expanded; NULL: it can */
    struct member **members; /* sorted by key */
    size_t member_count;
    struct state state;
    struct feed *feed;         /* of a feed: feeds/feed.h */
    struct build_zone outcome; /* the last build's: counts, refusals, ages_at; owns the refusals */
};

/* config NULL: a never_block file at `source`. 0 or -errno. Loads what is remembered. */
int zone_init(struct zone *zone, struct feeder *feeder, const struct zone_config *config, const char *source, size_t index);
void zone_done(struct zone *zone);

struct member *zone_member(struct zone *zone, const char *key);     /* or NULL */
struct member *zone_add_member(struct zone *zone, const char *key); /* or NULL: no memory */
void zone_remove_member(struct zone *zone, struct member *member);  /* its copy too */
int zone_store(const struct zone *zone, const char *key, char *path, size_t size);
int zone_save(struct zone *zone); /* its memory, as the members stand */
enum format zone_member_format(const struct zone *zone, const char *key);
struct format_options zone_options(const struct zone *zone);
/* Its own error, or the first of its members', or NULL. */
const char *zone_error(const struct zone *zone);

#endif
