/* feeds/attempt.h: one attempt to bring a feed up to date: its pages or documents, read on the job thread as they come.
 *
 * Private to feed.c, folder.c and attempt.c. An attempt belongs to its feed, except while its job is under way: then to the job,
 * so that a configuration that ends the feed needs not wait. */
#ifndef SUNDEW_FEEDS_ATTEMPT_H
#define SUNDEW_FEEDS_ATTEMPT_H

#include <limits.h>

#include "feeds/feeder.h"
#include "feeds/fetch.h"
#include "feeds/ingest.h"
#include "feeds/misp_manifest.h"

enum verdict { VERDICT_TAKEN, VERDICT_HELD, VERDICT_REFUSED };

/* An event of a MISP folder. */
struct folder_event {
    char uuid[MISP_UUID_LENGTH + 1];
    char timestamp[24]; /* of its last edit, as a mark */
    bool wanted;        /* new or changed: to be fetched */
    bool fetched;       /* its store lies beside the old one */
};

struct attempt {
    struct job job;
    struct feeder *feeder;
    uint64_t generation;
    size_t zone;
    char directory[PATH_MAX];                                 /* of stores */
    int64_t began;                                            /* unix seconds, later than every earlier attempt of this feed */
    bool force;                                               /* take a shrunken snapshot */
    void (*next)(struct zone *zone, struct attempt *attempt); /* on the loop, when the job is done and the zone still there */

    /* what a job works on */
    int fd;
    uint64_t limit;
    struct ingest ingest;
    struct store_writer *writer; /* of all pages so far */
    char fresh[PATH_MAX], store[PATH_MAX];
    struct build_zone choice; /* for the count: the zone's configuration and times */
    struct config *config;    /* a reference */
    bool window, held, had_copy;
    enum format format;

    /* paging */
    unsigned pages;
    char *url; /* asked for at present */
    char **asked;
    size_t asked_count;
    char *added_after, *taxii_last, *etag, *last_modified;
    uint64_t body_hash, last_page_hash;

    /* a folder */
    struct folder_event *events;
    size_t event_count, at; /* at: the event being fetched */
    char **olds;            /* stores of all events that were there before */
    size_t old_count;
    unsigned missed, missed_in_a_row;
    char missed_why[FETCH_ERROR_MAX]; /* the first */

    /* outcome of a job */
    int error;
    enum verdict verdict;
    char why[FETCH_ERROR_MAX];
};

bool attempt_is_empty(const struct attempt *attempt);       /* no page so far held an indicator; between jobs only */
struct attempt *attempt_new(struct zone *zone, bool force); /* NULL: no memory */
void attempt_free(struct attempt *attempt);                 /* NULL is nothing */

/* Hands the attempt to the job thread; `next` follows on the loop, or the attempt is freed if the zone is gone. */
void attempt_run(struct attempt *attempt, void (*run)(struct job *job), void (*next)(struct zone *zone, struct attempt *attempt));

void attempt_read_page(struct job *job); /* run: attempt->fd into the writer, which is made if there is none */
void attempt_conclude(struct job *job);  /* run: counts, judges, merges; the zone's copy is then new unless held or refused */

/* Reads a document, packed or not, with ingest; takes fd over. */
int attempt_ingest(struct attempt *attempt, struct store_writer *writer);

/* False if the URL was asked for before: a paging loop. */
bool attempt_remember(struct attempt *attempt, const char *url);

uint64_t attempt_count(const struct attempt *attempt, const char *store); /* rules of a store that the zone's choice takes */

/* Judges a snapshot's change in size. */
enum verdict attempt_judge(struct attempt *attempt, uint64_t before, uint64_t after);

#endif
