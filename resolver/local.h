/* resolver/local.h: names that are answered here because nobody else may be asked for them: localhost and invalid (RFC 6761), onion
 * (RFC 7686), home.arpa (RFC 8375), resolver.arpa (RFC 9462), and the reverse zones of private and special addresses (RFC 6303,
 * RFC 7793). A forward zone other than the root that covers a name takes it over. `test` and `example` are forwarded: operators
 * do use them.
 *
 * Pure; any thread. */
#ifndef SUNDEW_RESOLVER_LOCAL_H
#define SUNDEW_RESOLVER_LOCAL_H

#include "config/config.h"
#include "resolver/wire.h"

enum { LOCAL_TTL = 10800 }; /* seconds, of the records and of the negative answers (RFC 6303 section 3) */

enum local_data { LOCAL_NOTHING, LOCAL_A, LOCAL_AAAA, LOCAL_PTR, LOCAL_SOA, LOCAL_NS };

struct local {
    enum local_data data; /* LOCAL_NOTHING: the zone's SOA in the authority section */
    uint8_t zone;         /* labels of the zone, a suffix of the name asked */
    uint8_t rcode;        /* 0 or 3 */
};

/* True if the question is answered here. */
bool local_find(const struct config *config, const struct name *name, uint16_t type, struct local *local);

/* Writes its one record behind the question, which stands at WIRE_HEADER; returns true if that is an answer, false if it belongs to
 * the authority section. */
bool local_write(const struct local *local, const struct name *name, struct wire_out *out);

#endif
