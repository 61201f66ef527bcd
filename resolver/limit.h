/* resolver/limit.h: who may ask: a set of addresses, and the answer for those outside of it.
 *
 * Prefixes are merged into sorted ranges, so that a long list costs a few comparisons. Immutable after limit_new; any thread. */
#ifndef SUNDEW_RESOLVER_LIMIT_H
#define SUNDEW_RESOLVER_LIMIT_H

#include <stdint.h>

#include "policy/prefix.h"

struct limit;

struct limit *limit_new(const struct prefix *prefixes, size_t count); /* NULL: no memory */
void limit_free(struct limit *limit);
bool limit_contains(const struct limit *limit, const struct ip *ip);

enum { LIMIT_ERROR_MAX = 12 + 255 + 4 + 11 + 6 }; /* header, question, OPT with an EDE */

/* Writes an answer that is only an rcode (REFUSED outside `allow`; FORMERR for what was cut off): the header, the question if there
 * is exactly one that can be read, and an OPT with the Extended DNS Error `ede` (0: none) if the packet brought one. Returns its
 * length, or 0 if the packet deserves no answer (no header, or an answer itself). `out` must hold LIMIT_ERROR_MAX. */
size_t limit_error(const uint8_t *packet, size_t length, uint8_t rcode, uint16_t ede, uint8_t *out);

#endif
