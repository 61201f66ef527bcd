/* feeds/local_data.h: one resource record of a `local` rule, from the text of a policy file or an RPZ zone to the one spelling that
 * struct rule carries. Pure; any thread. */
#ifndef SUNDEW_FEEDS_LOCAL_DATA_H
#define SUNDEW_FEEDS_LOCAL_DATA_H

#include <stddef.h>
#include <stdint.h>

enum { LOCAL_DATA_MAX = 65535 * 4 + 64 }; /* octets of a record's text, NUL included: an RDATA whose octets are all escaped */

/* Reads "[TTL] [CLASS] TYPE RDATA" (zone-file syntax, no owner; names relative to origin, NULL: the root) and writes it whole:
 * "300 IN A 192.0.2.9". `ttl` is what a record without one gets. 0, -EINVAL with *why (static), -ENOMEM; out holds
 * LOCAL_DATA_MAX. */
int local_data_read(const char *text, size_t length, uint32_t ttl, const char *origin, char *out, const char **why);

#endif
