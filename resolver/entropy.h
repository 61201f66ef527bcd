/* resolver/entropy.h: random bits that nobody outside can guess, from the kernel, fetched in bulk.
 *
 * Ids, source ports and the choice of sockets come from here and nowhere else (RFC 5452 section 9.2). One owner, one thread. */
#ifndef SUNDEW_RESOLVER_ENTROPY_H
#define SUNDEW_RESOLVER_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

/* Visible because it is embedded by value. All zero is a valid start. */
struct entropy {
    size_t left; /* of pool[0..left) nothing was given out yet */
    uint16_t pool[512];
};

uint16_t entropy_16(struct entropy *entropy);

/* Uniform in 0..bound-1; bound 1..65536. */
uint32_t entropy_below(struct entropy *entropy, uint32_t bound);

#endif
