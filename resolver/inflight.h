/* resolver/inflight.h: the questions in flight, one table a process, so that each is asked once whoever wants it.
 *
 * The worker that asks first owns the flight. Every worker with asks for it has one `waiters` there (the owner too). When the
 * answer is in the cache, the owner ends the flight: other workers' waiters are put into their mailboxes under the flight's lock,
 * so a worker that leaves knows, once it has withdrawn from all flights, that nothing new will come. */
#ifndef SUNDEW_RESOLVER_INFLIGHT_H
#define SUNDEW_RESOLVER_INFLIGHT_H

#include "resolver/answer.h"

enum { INFLIGHT_MAX = 10000 }; /* questions at a time in the process, shared out among workers; some 12 MB at worst */

struct inflight;
struct ask;
struct mailbox;

/* One worker's interest in one flight. Visible because it is pooled by value. */
struct waiters {
    struct waiters *next;          /* in the flight; its lock */
    struct flight *flight;         /* its lock; NULL: over, or withdrawn */
    struct mailbox *mailbox;       /* the worker's; constant while in the flight */
    uint64_t hash;                 /* of the flight: finds the lock */
    struct waiters *posted;        /* in the mailbox */
    struct answer *answer;         /* when posted: a reference; NULL: the owner left, ask again */
    struct ask *asks;              /* the worker's thread */
    struct waiters *peer, **place; /* the worker's thread: all its waiters */
};

/* Embedded in the owner's exchange. */
struct flight {
    struct flight *next; /* in its bucket; the bucket's lock */
    uint64_t hash;
    struct question question; /* constant while in the table */
    struct waiters *waiters;
};

/* Many write, one reads: a stack that is taken whole. `wake` runs on the poster's thread. */
struct mailbox {
    _Atomic(struct waiters *) first;
    void (*wake)(struct mailbox *mailbox);
};

/* All that was posted, oldest first. The mailbox's owner only. */
struct waiters *mailbox_take(struct mailbox *mailbox);

struct inflight *inflight_new(void); /* NULL: no memory */
void inflight_free(struct inflight *inflight);

/* For whoever is about to call one of the others with this flight, whose hash is set: so that its bucket is at hand then. */
void inflight_prefetch(const struct inflight *inflight, const struct flight *flight);

/* Joins or begins the flight for question and hash.
 * Returns 0 when `fresh` is now the flight, `waiters` in it: the caller owns it and asks. 1 when `waiters` was added to another's
 * flight. 2 when *mine is this worker's waiters that is there already; `waiters` is unused. -EAGAIN: it isn't in flight, and the
 * caller may not begin another. fresh->question and fresh->hash are set by the caller and tell what is asked. */
int inflight_join(struct inflight *inflight, struct flight *fresh, bool may_begin, struct waiters *waiters, struct waiters **mine);

/* The owner's: takes the flight out of the table and posts `answer` (NULL: ask again) to others' waiters. Returns the owner's own.
 */
struct waiters *inflight_end(struct inflight *inflight, struct flight *flight, struct answer *answer);

/* Not the owner's: leaves the flight. False: it was over, and `waiters` is in the mailbox. */
bool inflight_withdraw(struct inflight *inflight, struct waiters *waiters);

/* Waits until every inflight_end that was under way has posted. After it, nothing comes to a worker that has withdrawn from all. */
void inflight_quiesce(struct inflight *inflight);

#endif
