/* feeds/normalise.h: a value as a feed writes it, to a name or an address as policy knows it (FORMATS.md section 0).
 *
 * Trims, refangs where asked to, tells addresses from names, takes off "*." and the dots at the edges, lowers, and converts
 * Unicode. ASCII names take one pass and no allocation. Pure; any thread.
 *
 *     struct value value;
 *     if (normalise(text, length, 0, &value, &why) == 0 && value.kind == VALUE_NAME) ... value.name, value.star ... */
#ifndef SUNDEW_FEEDS_NORMALISE_H
#define SUNDEW_FEEDS_NORMALISE_H

#include "policy/name.h"
#include "policy/prefix.h"

enum {
    NORMALISE_REFANG = 1,       /* hxxp at the start, [.] (.) [dot] [:] anywhere */
    NORMALISE_ONE_LABEL = 2,    /* names of one label, and the root, will do */
    NORMALISE_PORT = 4,         /* a name or address may carry ":port", an IPv6 address even without brackets (ThreatFox) */
    NORMALISE_LOOSE_PREFIX = 8, /* host bits of a prefix may be set; they are cleared */
    NORMALISE_ESCAPES = 16,     /* ASCII names may have \X and \DDD (RFC 1035 section 5.1) for what else has no place in a name */
};

enum value_kind { VALUE_NAME, VALUE_PREFIX };

/* Visible because it lives on the parsers' stacks. */
struct value {
    enum value_kind kind;
    bool star;            /* "*." stood in front */
    bool dot;             /* "." stood in front */
    struct name name;     /* VALUE_NAME; without the star */
    struct prefix prefix; /* VALUE_PREFIX: an address, or address/length */
};

/* 0, or -EINVAL with *why (static) and *value undefined. Non-ASCII text must be UTF-8. */
int normalise(const char *text, size_t length, unsigned flags, struct value *value, const char **why);

/* The host of a URL (RFC 3986 section 3.2; user, port, path, query and fragment fall away; a URL may lack its scheme), through
 * normalise. Errors as there. */
int normalise_url(const char *text, size_t length, unsigned flags, struct value *value, const char **why);

#endif
