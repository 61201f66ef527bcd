/* hits/dnstap.h: hits (and, on request, all queries and responses) as dnstap frames to a collector, over a unix socket or TCP.
 *
 * For every hit the response with the schema's `Policy` message: type "RPZ" (sundew's triggers and actions are RPZ's), rule the
 * owner name that an RPZ would have, action, match and the matched value. Action `refused` has no number in the schema and leaves
 * it unset; a hit of mode monitor is PASS, "pass through original response". A response with several hits makes a frame for each.
 * What the schema has no place for stands in `extra`: {"zone":"local","action":"sinkhole","mode":"enforce"}.
 *
 * Frames wait in libfstrm's queue, whose thread connects and writes (hits/dnstap_link.h); a collector that is slow or gone costs
 * frames, which are counted. All functions: the writer's thread. */
#ifndef SUNDEW_HITS_DNSTAP_H
#define SUNDEW_HITS_DNSTAP_H

#include <stdatomic.h>

#include "config/config.h"
#include "hits/record.h"

struct dnstap;

/* What became of the frames; any thread may read. */
struct dnstap_counts {
    _Atomic uint64_t sent; /* given to the kernel */
    _Atomic uint64_t lost; /* no room in the queue, no collector, or one that hung up */
};

/* 0 with *dnstap NULL when the configuration wants none; -errno with *why (static). Does not wait for the collector. `counts` must
 * outlive it and is added to. */
int dnstap_open(struct dnstap **dnstap, const struct config *config, struct dnstap_counts *counts, const char **why);
/* Gives the collector DNSTAP_LINK_END_MS to take what waits; NULL is nothing. */
void dnstap_close(struct dnstap *dnstap);
bool dnstap_same_target(const struct config *a, const struct config *b); /* nothing to open anew */

/* A RECORD_TAP: made into a frame and queued. */
void dnstap_put(struct dnstap *dnstap, const struct record *record);

#endif
