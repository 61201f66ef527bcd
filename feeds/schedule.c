/* feeds/schedule.c: see schedule.h. One reason to exist: back-off and jitter as arithmetic that a test can check. */
#include "feeds/schedule.h"

uint64_t schedule_delay(int64_t refresh_seconds, unsigned failures, uint32_t random) {
    uint64_t interval = refresh_seconds < 1 ? 1000 : (uint64_t)refresh_seconds * 1000;
    uint64_t delay = interval;
    if (failures > 0) {
        uint64_t longest = interval > SCHEDULE_FIRST_RETRY * 1000 ? interval : SCHEDULE_FIRST_RETRY * 1000;
        delay = failures > 20 ? longest : (uint64_t)SCHEDULE_FIRST_RETRY * 1000 << (failures - 1);
        delay = delay < longest ? delay : longest;
    }
    uint64_t spread = delay / 10 < 60000 ? delay / 10 : 60000;
    return delay + (spread == 0 ? 0 : random % (spread + 1));
}
