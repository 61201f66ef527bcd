/* resolver/inflight.c: the table of questions in flight and the way answers take between workers. */
#include "resolver/inflight.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 }; /* at INFLIGHT_MAX ten flights in each */

struct bucket {
    _Alignas(64) pthread_mutex_t lock;
    struct flight *first;
};

struct inflight {
    struct bucket buckets[BUCKETS];
};

struct inflight *inflight_new(void) {
    struct inflight *inflight = aligned_alloc(64, sizeof(*inflight));
    if (!inflight)
        return NULL;
    memset(inflight, 0, sizeof(*inflight));
    for (size_t i = 0; i < BUCKETS; i++)
        pthread_mutex_init(&inflight->buckets[i].lock, NULL);
    return inflight;
}

void inflight_free(struct inflight *inflight) {
    if (!inflight)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        pthread_mutex_destroy(&inflight->buckets[i].lock);
    free(inflight);
}

static void mailbox_post(struct mailbox *mailbox, struct waiters *waiters) {
    struct waiters *first = atomic_load_explicit(&mailbox->first, memory_order_relaxed);
    do
        waiters->posted = first;
    while (!atomic_compare_exchange_weak_explicit(&mailbox->first, &first, waiters, memory_order_release, memory_order_relaxed));
    mailbox->wake(mailbox);
}

struct waiters *mailbox_take(struct mailbox *mailbox) {
    struct waiters *newest = atomic_exchange_explicit(&mailbox->first, NULL, memory_order_acquire), *oldest = NULL;
    while (newest) {
        struct waiters *next = newest->posted;
        newest->posted = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static struct bucket *bucket_lock(struct inflight *inflight, uint64_t hash) {
    struct bucket *bucket = &inflight->buckets[hash % BUCKETS];
    pthread_mutex_lock(&bucket->lock);
    return bucket;
}

void inflight_prefetch(const struct inflight *inflight, const struct flight *flight) {
    __builtin_prefetch(&inflight->buckets[flight->hash % BUCKETS], 1);
}

static bool question_equal(const struct question *a, const struct question *b) {
    return a->type == b->type && a->dnssec_ok == b->dnssec_ok && a->checking_disabled == b->checking_disabled &&
           name_equal(&a->name, &b->name);
}

static struct flight *find(const struct bucket *bucket, const struct flight *like) {
    struct flight *flight = bucket->first;
    while (flight && (flight->hash != like->hash || !question_equal(&flight->question, &like->question)))
        flight = flight->next;
    return flight;
}

static void add_waiters(struct flight *flight, struct waiters *waiters) {
    waiters->flight = flight;
    waiters->hash = flight->hash;
    waiters->next = flight->waiters;
    flight->waiters = waiters;
}

int inflight_join(struct inflight *inflight, struct flight *fresh, bool may_begin, struct waiters *waiters, struct waiters **mine) {
    int result = 0;
    struct bucket *bucket = bucket_lock(inflight, fresh->hash);
    struct flight *flight = find(bucket, fresh);
    if (flight) {
        struct waiters *there = flight->waiters;
        while (there && there->mailbox != waiters->mailbox)
            there = there->next;
        result = there ? 2 : 1;
        if (there)
            *mine = there;
        else
            add_waiters(flight, waiters);
    } else if (!may_begin) {
        result = -EAGAIN;
    } else {
        fresh->waiters = NULL;
        add_waiters(fresh, waiters);
        fresh->next = bucket->first;
        bucket->first = fresh;
    }
    pthread_mutex_unlock(&bucket->lock);
    return result;
}

struct waiters *inflight_end(struct inflight *inflight, struct flight *flight, struct answer *answer) {
    struct waiters *own = NULL, *next;
    struct bucket *bucket = bucket_lock(inflight, flight->hash);
    struct flight **link = &bucket->first;
    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
    /* The owner began the flight, so its waiters are the last. */
    for (struct waiters *waiters = flight->waiters; waiters; waiters = next) {
        next = waiters->next;
        waiters->flight = NULL;
        if (!next) {
            own = waiters;
        } else {
            waiters->answer = answer ? answer_ref(answer) : NULL;
            mailbox_post(waiters->mailbox, waiters);
        }
    }
    flight->waiters = NULL;
    pthread_mutex_unlock(&bucket->lock);
    return own;
}

bool inflight_withdraw(struct inflight *inflight, struct waiters *waiters) {
    struct bucket *bucket = bucket_lock(inflight, waiters->hash);
    struct flight *flight = waiters->flight;
    if (flight) {
        struct waiters **link = &flight->waiters;
        while (*link != waiters)
            link = &(*link)->next;
        *link = waiters->next;
        waiters->flight = NULL;
    }
    pthread_mutex_unlock(&bucket->lock);
    return flight != NULL;
}

void inflight_quiesce(struct inflight *inflight) {
    for (uint64_t i = 0; i < BUCKETS; i++)
        pthread_mutex_unlock(&bucket_lock(inflight, i)->lock);
}
