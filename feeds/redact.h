/* feeds/redact.h: URLs without their secrets: what may stand in a log, an error, a report or a hit. Pure; any thread. */
#ifndef SUNDEW_FEEDS_REDACT_H
#define SUNDEW_FEEDS_REDACT_H

#include <stdbool.h>
#include <stddef.h>

bool redact_is_url(const char *source); /* http:// or https:// */

/* Scheme, host, port and path: user, password, query and fragment are left out; control characters become '?'. What isn't a URL is
 * copied as it stands. Cut to size. */
void redact_url(const char *source, char *out, size_t size);

/* The host of a URL, without port and brackets. 0 or -EINVAL. */
int redact_host(const char *url, char *host, size_t size);

#endif
