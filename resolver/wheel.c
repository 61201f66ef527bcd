/* resolver/wheel.c: the ring of deadlines. */
#include "resolver/wheel.h"

#include <string.h>

void wheel_init(struct wheel *wheel, uint64_t now_ms) {
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ms / WHEEL_TICK_MS;
}

void wheel_clear(struct wheel *wheel, struct wheel_entry *entry) {
    if (!entry->link)
        return;
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    entry->link = NULL;
    wheel->count--;
}

void wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t now_ms, uint64_t deadline_ms) {
    wheel_clear(wheel, entry);
    if (wheel->count == 0)
        wheel->tick = now_ms / WHEEL_TICK_MS; /* it may have stood still for long */
    if (deadline_ms > now_ms + WHEEL_SPAN_MS)
        deadline_ms = now_ms + WHEEL_SPAN_MS;
    uint64_t tick = deadline_ms / WHEEL_TICK_MS + 1; /* then the whole tick has passed */
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick > wheel->tick + WHEEL_SLOTS - 1)
        tick = wheel->tick + WHEEL_SLOTS - 1; /* the wheel was turned late: rather early than never */
    struct wheel_entry **slot = &wheel->slots[tick % WHEEL_SLOTS];
    entry->next = *slot;
    if (entry->next)
        entry->next->link = &entry->next;
    entry->link = slot;
    *slot = entry;
    wheel->count++;
}

struct wheel_entry *wheel_turn(struct wheel *wheel, uint64_t now_ms) {
    uint64_t now = now_ms / WHEEL_TICK_MS;
    if (wheel->count == 0)
        wheel->tick = now;
    for (;; wheel->tick++) {
        struct wheel_entry *entry = wheel->slots[wheel->tick % WHEEL_SLOTS];
        if (entry) {
            wheel_clear(wheel, entry);
            return entry;
        }
        if (wheel->tick >= now)
            return NULL;
    }
}
