/* resolver/proxy.h: PROXY protocol v2: the header by which a proxy says on whose behalf it speaks
 * (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt, section 2.2). Pure; any thread. Whom to believe is the caller's
 * matter. */
#ifndef SUNDEW_RESOLVER_PROXY_H
#define SUNDEW_RESOLVER_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/prefix.h"

struct proxy {
    bool named;        /* the header names a source; otherwise the sender speaks for itself, or can't say (LOCAL, UNSPEC, UNIX) */
    struct ip address; /* the source, if named */
    uint16_t port;
};

/* Looks for a header at the beginning of `data`. Returns its octets, 0 if there is none, -EAGAIN if what there is may yet become
 * one, -EBADMSG if it is malformed. The octets returned may be more than `length`: extensions (TLVs) behind the addresses aren't
 * looked at, so they needn't be there. `proxy` is set when a header was found. */
int proxy_parse(const uint8_t *data, size_t length, struct proxy *proxy);

#endif
