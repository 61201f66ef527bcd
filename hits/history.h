/* hits/history.h: what clients asked for lately, for the retro-hunt and for previews: exact, compact, bounded.
 *
 * A pair of client and name is kept once an hour, with time, type and who the client was then. STATE/history holds segments: files
 * of at most an hour and an eighth of max_size, named by their beginning. A segment is self-contained: entries name a client or a
 * name once and refer to it by number from then on, about 8 octets a pair.
 *
 * Segment: "SUNDEWH1", its beginning (microseconds, 8 octets, little-endian), then frames: length and FNV-1a of the payload (4
 * octets each, little-endian) and entries:
 *     1 length wire                               a name, the next number from 0
 *     2 address(16) flags mac(6)? length hostname a client, the next number from 0; flags 1: with a MAC
 *     3 client name type*4+protocol time          varints; time: zigzag of microseconds since the entry before (or the beginning)
 * A kill -9 costs at most the last second, which was not yet written; a torn frame at the end is passed over. */
#ifndef SUNDEW_HITS_HISTORY_H
#define SUNDEW_HITS_HISTORY_H

#include <stdatomic.h>

#include "hits/hit.h"

/* --- writing: the writer's thread --- */

struct history;

struct history *history_new(const char *folder); /* touches nothing yet. NULL: no memory */
void history_free(struct history *history);      /* writes what is pending */

/* Off: nothing is kept, and what was kept is removed. Returns how many segments that were. keep: seconds. */
size_t history_configure(struct history *history, bool enabled, int64_t keep, int64_t max_octets);
bool history_enabled(const struct history *history);

void history_asked(struct history *history, const struct record *record, const struct identity *who);
void history_flush(struct history *history);                 /* what was asked so far can be read then */
void history_tend(struct history *history, uint64_t now_us); /* flushes, and removes what is too old or too much */
uint64_t history_lost(const struct history *history);        /* pairs that could not be written */
int history_error(const struct history *history);            /* why, -errno of the last time */

/* --- reading: any thread --- */

struct asked {
    uint64_t ts_us;
    struct ip client;
    bool has_mac;
    uint8_t mac[6];
    const char *hostname; /* not NUL-terminated; borrowed for the call, like qname */
    size_t hostname_length;
    const uint8_t *qname;
    uint8_t qname_length;
    uint16_t qtype;
    enum protocol protocol;
};

struct history_visitor {
    bool (*name)(void *context, const uint8_t *wire, uint8_t length); /* do the pairs with this name matter? Once a segment */
    void (*asked)(void *context, const struct asked *asked);          /* a pair with a name that does */
    void *context;
    uint64_t since_us;         /* earlier pairs are left out */
    const atomic_bool *cancel; /* NULL, or: stop soon when it is true */
};

/* Visits what is kept, oldest segment first. Unreadable segments are passed over. 0, or -errno if the folder can't be read. */
int history_visit(const char *folder, const struct history_visitor *visitor);

/* Reads one segment's octets; false: damaged from somewhere on (what came before was visited). */
bool history_read(const uint8_t *octets, size_t length, const struct history_visitor *visitor);

#endif
