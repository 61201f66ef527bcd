/* config/value.h: values as operators write them, read from text. Private to config/, but for what config.h declares.
 *
 * All: 0, or -EINVAL with *why a static string (where there is one); outputs untouched then. Any thread. */
#ifndef SUNDEW_CONFIG_VALUE_H
#define SUNDEW_CONFIG_VALUE_H

#include "config/config.h"

/* "ADDRESS[:PORT]" with IPv6 in brackets; port 0 means that one must be written. A link-local address may carry "%interface". */
int value_socket(const char *text, uint16_t port, struct sockaddr_storage *address, socklen_t *length, const char **why);

/* dns://ADDRESS[:53], tls://ADDRESS[:853][#name], https://ADDRESS[:443][/path]. The strings of *endpoint are the caller's to free.
 * -ENOTSUP (with *why) for a well-formed one whose scheme this build doesn't speak; *endpoint untouched too. */
int value_endpoint(const char *text, struct endpoint *endpoint, const char **why);

/* Where syslog messages go: udp://ADDRESS[:514], tcp://ADDRESS[:601] or unix:PATH, a relative path counting from `folder`. The text
 * of *target is the caller's to free. */
int value_syslog(const char *text, const char *folder, struct syslog_target *target, const char **why);

/* "http://host..." or "https://host..." that curl can be given: no blanks, no control characters, a host. */
int value_url(const char *text, const char **why);
bool value_is_url(const char *text); /* has "://" after a scheme's letters */

struct ip value_address(const struct sockaddr_storage *address); /* of a socket address */
uint16_t value_port(const struct sockaddr_storage *address);

#endif
