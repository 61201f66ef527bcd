/* feeds/scrub.h: mends what some feeds get wrong about text in JSON, so that one bad record doesn't cost the document.
 *
 * Octets that aren't UTF-8 become '?', and halves of surrogate pairs \u003f: as many octets as before, so that places stay right.
 * Neither is part of any name or address: the record they stand in is read without them or faulted alone. Pure. */
#ifndef SUNDEW_FEEDS_SCRUB_H
#define SUNDEW_FEEDS_SCRUB_H

#include <stdbool.h>
#include <stddef.h>

enum { SCRUB_REST_MAX = 11 }; /* octets that may have to wait for more: a surrogate pair but for its last octet */

/* Mends text in place. Returns how many octets are settled; the rest (SCRUB_REST_MAX at most, none if `last`) must come first in
 * the next call. *mended becomes true if anything was changed, and is left alone otherwise. */
size_t scrub(char *text, size_t length, bool last, bool *mended);

/* The octets of the UTF-8 sequence at text (RFC 3629 section 4; neither overlong forms nor surrogates), of which `left` are there:
 * 0 if it isn't one, `left` + 1 if it may be one and goes on. */
size_t scrub_sequence(const char *text, size_t left);

#endif
