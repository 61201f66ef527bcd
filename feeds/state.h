/* feeds/state.h: what is remembered of each zone's source between runs: STATE/zones/NAME.json beside its stores.
 *
 *     STATE/zones/NAME.json          this
 *     STATE/zones/NAME.rules         the store of a source that is one document
 *     STATE/zones/NAME.d/HASH.rules  the stores of a source that is many: a glob's files, a MISP folder's events
 *
 * A zone's memory belongs to its source and to how that was read: when either changed, it is forgotten. Stores are written before
 * the memory that speaks of them, so a crash between the two costs one fetch, not a rule. */
#ifndef SUNDEW_FEEDS_STATE_H
#define SUNDEW_FEEDS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state_member {
    char *key;  /* a glob's path, a MISP event's uuid; "" for a source that is one document */
    char *mark; /* what its present copy was made from: a file's times and size, an event's timestamp */
};

struct state {
    char *source;       /* redacted */
    char *reading;      /* format and parser options: copies made otherwise aren't these */
    bool by_other;      /* another version of sundew wrote it: copies hold, but all sources are to be read again */
    int64_t fetched_at; /* last successful fetch, unchanged ones included; 0 never */
    int64_t body_at;    /* the fetch that brought the present body */
    int64_t not_before; /* Retry-After */
    char *etag, *last_modified;
    uint64_t body_hash; /* 0: unknown */
    bool held;          /* a snapshot was held back for its shrinking */
    char *added_after;  /* TAXII */
    char *error;        /* of the last attempt to fetch it; NULL: it went well */
    struct state_member *members;
    size_t member_count;
};

/* Fills *state (which is initialised here). False: there is none, or it is for another source or reading. */
bool state_load(struct state *state, const char *directory, const char *zone, const char *source, const char *reading);
int state_save(const struct state *state, const char *directory, const char *zone);
void state_done(struct state *state);

/* Sets a string field: frees the old, copies the new; NULL clears. */
void state_set(char **field, const char *value);
int state_add_member(struct state *state, const char *key, const char *mark); /* appends; keys are the caller's to keep apart */
void state_clear_members(struct state *state);

/* A zone's name as a file name: letters, digits, '-', '_' and inner dots stand for themselves, the rest is %XX. */
enum { STATE_NAME_SIZE = 200 };
void state_file_name(const char *zone, char name[STATE_NAME_SIZE]);

/* The path of a store; creates NAME.d where needed. -ENAMETOOLONG or 0. */
int state_store(char *path, size_t size, const char *directory, const char *zone, const char *key);
int state_directory(const char *state_dir, char *path, size_t size); /* STATE/zones, made if missing */

/* Removes what is kept of zones that aren't among `zones`: of those alone whose NAME.json this program wrote, and of their files
 * those alone that it writes. `removed` is told of each, by the zone's name. 0 or -errno (the folder can't be read). */
int state_sweep(const char *directory, const char *const *zones, size_t count, void (*removed)(void *context, const char *zone),
                void *context);

#endif
