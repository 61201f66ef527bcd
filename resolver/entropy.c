/* resolver/entropy.c: getrandom(2), a kilobyte at a time: a system call serves some 250 queries. */
#include "resolver/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void refill(struct entropy *entropy) {
    size_t have = 0;
    while (have < sizeof(entropy->pool)) {
        ssize_t got = getrandom(entropy->pool + have, sizeof(entropy->pool) - have, 0);
        if (got > 0)
            have += (size_t)got;
        else if (errno != EINTR)
            abort(); /* a kernel without random numbers: better no answers than ones that anyone can forge */
    }
    entropy->left = have;
}

static void take(struct entropy *entropy, void *out, size_t size) {
    if (entropy->left < size)
        refill(entropy);
    uint8_t *from = entropy->pool + sizeof(entropy->pool) - entropy->left;
    memcpy(out, from, size);
    memset(from, 0, size); /* what was given out can't be read here later */
    entropy->left -= size;
}

uint16_t entropy_16(struct entropy *entropy) {
    uint16_t value;
    take(entropy, &value, sizeof(value));
    return value;
}

uint32_t entropy_below(struct entropy *entropy, uint32_t bound) {
    uint32_t value;
    take(entropy, &value, sizeof(value));
    return (uint32_t)((uint64_t)value * bound >> 32); /* bias below bound / 2^32 */
}
