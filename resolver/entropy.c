/* resolver/entropy.c: getrandom(2), a kilobyte at a time: a system call serves some 250 queries. */
#include "resolver/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void refill(struct entropy *entropy) {
    size_t have = 0;
    while (have < sizeof(entropy->pool)) {
        ssize_t got = getrandom((uint8_t *)entropy->pool + have, sizeof(entropy->pool) - have, 0);
        if (got > 0)
            have += (size_t)got;
        else if (errno != EINTR)
            abort(); /* a kernel without random numbers: better no answers than ones that anyone can forge */
    }
    entropy->left = sizeof(entropy->pool) / sizeof(entropy->pool[0]);
}

uint16_t entropy_16(struct entropy *entropy) {
    if (entropy->left == 0)
        refill(entropy);
    uint16_t value = entropy->pool[--entropy->left];
    entropy->pool[entropy->left] = 0; /* what was given out can't be read here later */
    return value;
}

uint32_t entropy_below(struct entropy *entropy, uint32_t bound) {
    uint32_t value = (uint32_t)entropy_16(entropy) << 16 | entropy_16(entropy);
    return (uint32_t)((uint64_t)value * bound >> 32); /* bias below bound / 2^32 */
}
