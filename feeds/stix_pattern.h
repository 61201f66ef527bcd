/* feeds/stix_pattern.h: what a STIX pattern says that a DNS policy can hold against a name or an address.
 *
 * A pattern is a logical expression; only alternatives can be split into single rules. Read: OR of observations, each an OR of `=`,
 * `IN (...)` and, for addresses, ISSUBSET (STIX 2.1 section 9). Everything else (AND, NOT, FOLLOWEDBY, MATCHES, LIKE, qualifiers,
 * ...) would block more than the pattern means, so the whole pattern is left alone. Pure. */
#ifndef SUNDEW_FEEDS_STIX_PATTERN_H
#define SUNDEW_FEEDS_STIX_PATTERN_H

#include <stddef.h>

enum stix_kind { STIX_NAME, STIX_ADDRESS, STIX_URL };

enum { STIX_VALUE_MAX = 2048 }; /* octets of one value, NUL included; longer ones are passed over */

/* One alternative; value is NUL-terminated. A non-zero return stops the reading, which returns it. */
typedef int stix_value(void *context, enum stix_kind kind, const char *value, size_t length);

enum stix_result {
    STIX_READ,      /* at least one value was handed over */
    STIX_ELSEWHERE, /* well-formed, but all about things that DNS doesn't see */
    STIX_COMPLEX,   /* more than alternatives */
    STIX_MALFORMED,
};

/* Returns an enum stix_result (values are handed over only if the whole pattern is fit), or what the callback returned, if
 * negative. */
int stix_pattern_read(const char *pattern, stix_value *value, void *context);

#endif
