/* resolver/wheel.h: deadlines of many things at the cost of a list operation each.
 *
 * A ring of lists, one a tick; a deadline may lie at most WHEEL_SPAN_MS ahead. Whoever owns the wheel calls wheel_turn now and then
 * (while `count` isn't 0). One thread. */
#ifndef SUNDEW_RESOLVER_WHEEL_H
#define SUNDEW_RESOLVER_WHEEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    WHEEL_TICK_MS = 10,
    WHEEL_SLOTS = 512,
    WHEEL_SPAN_MS = WHEEL_TICK_MS * (WHEEL_SLOTS - 2),
};

/* Embedded in what has a deadline. link NULL: not on the wheel. */
struct wheel_entry {
    struct wheel_entry *next, **link;
};

/* Visible because it is embedded by value. */
struct wheel {
    struct wheel_entry *slots[WHEEL_SLOTS];
    uint64_t tick; /* all before it were turned */
    size_t count;
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* Sets or moves the deadline; never due before it, at most a tick or so late. */
void wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t now_ms, uint64_t deadline_ms);
void wheel_clear(struct wheel *wheel, struct wheel_entry *entry);

/* Takes one entry that is due off the wheel; NULL: no more for now. */
struct wheel_entry *wheel_turn(struct wheel *wheel, uint64_t now_ms);

#endif
