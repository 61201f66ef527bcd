/* feeds/shared_hosts.h: hosts that many people share: a malicious URL there says nothing about the host.
 *
 * With `urls: hosts` a zone takes hosts out of URLs; these, and all below them, never (sundew.json(5), "urls"). The list is in
 * shared_hosts.c: file and code hosting, messengers and social networks (real dead-drop resolvers), paste sites, URL shorteners,
 * content networks, site builders, dynamic names. Whole public suffixes (github.io, pages.dev) are refused by the guard besides.
 * Pure; any thread. */
#ifndef SUNDEW_FEEDS_SHARED_HOSTS_H
#define SUNDEW_FEEDS_SHARED_HOSTS_H

#include "policy/name.h"

bool shared_hosts_has(const struct name *name);
/* The list itself, in presentation form, sorted; for `preview`. */
const char *const *shared_hosts_list(size_t *count);

#endif
