/* hits/dnstap.h: hits (and, on request, all queries and responses) as dnstap frames to a collector, over a unix socket or TCP.
 *
 * For every hit the response with the schema's `Policy` message: type "RPZ" (sundew's triggers and actions are RPZ's), rule the
 * owner name that an RPZ would have, action, match and the matched value. Action `refused` has no number in the schema and leaves
 * it unset.
 *
 * Frames wait in libfstrm's queue, whose thread connects and writes; a collector that is slow or gone costs frames, which are
 * counted. All functions: the writer's thread, but dnstap_lost (any). */
#ifndef SUNDEW_HITS_DNSTAP_H
#define SUNDEW_HITS_DNSTAP_H

#include "config/config.h"
#include "hits/record.h"

struct dnstap;

/* 0 with *dnstap NULL when the configuration wants none; -errno with *why (static). Does not wait for the collector. */
int dnstap_open(struct dnstap **dnstap, const struct config *config, const char **why);
void dnstap_close(struct dnstap *dnstap); /* gives the collector a moment to take what waits; NULL is nothing */

/* A RECORD_TAP: made into a frame and queued. */
void dnstap_put(struct dnstap *dnstap, const struct record *record);

uint64_t dnstap_sent(const struct dnstap *dnstap); /* frames queued for the collector */
uint64_t dnstap_lost(const struct dnstap *dnstap); /* frames that found no room */

#endif
