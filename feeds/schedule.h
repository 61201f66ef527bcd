/* feeds/schedule.h: when a feed is asked again. Pure. */
#ifndef SUNDEW_FEEDS_SCHEDULE_H
#define SUNDEW_FEEDS_SCHEDULE_H

#include <stdint.h>

enum { SCHEDULE_FIRST_RETRY = 5 /* seconds */ };

/* Milliseconds until the next attempt after one that ended now. failures: attempts in a row that failed, 0 after success.
 * After success the refresh interval, after a failure 5 s, 10 s, 20 s ... up to the interval; both with up to a tenth of it (at
 * most a minute) added by chance, so that a thousand resolvers don't ask in step. random: any number. */
uint64_t schedule_delay(int64_t refresh_seconds, unsigned failures, uint32_t random);

#endif
