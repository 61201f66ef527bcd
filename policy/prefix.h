/* policy/prefix.h: IP addresses and prefixes, IPv4 as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), so that one table and one
 * comparison serve both families. Pure; any thread. */
#ifndef SUNDEW_POLICY_PREFIX_H
#define SUNDEW_POLICY_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IP_TEXT_MAX = 46, PREFIX_TEXT_MAX = 50 }; /* NUL included */

struct ip {
    uint8_t bytes[16]; /* network order; ::ffff:a.b.c.d for IPv4 */
};

struct prefix {
    struct ip ip;   /* host bits are zero */
    uint8_t length; /* 0..128 of the 128 bits; an IPv4 /n is 96+n */
};

bool ip_is_v4(const struct ip *ip);
struct ip ip_from_v4(const uint8_t bytes[4]);
struct ip ip_from_v6(const uint8_t bytes[16]);
bool ip_equal(const struct ip *a, const struct ip *b);

/* "192.0.2.1", "2001:db8::1", with or without brackets; no port, no zone. 0 or -EINVAL, *ip untouched on failure. */
int ip_from_text(struct ip *ip, const char *text, size_t length);
size_t ip_to_text(const struct ip *ip, char text[IP_TEXT_MAX]); /* RFC 5952; IPv4 dotted */

/* An address or address/length. Host bits that are set are a fault ("host bits set") unless `loose`, which clears them.
 * 0 or -EINVAL with *why (static string) if why isn't NULL. */
int prefix_from_text(struct prefix *prefix, const char *text, size_t length, bool loose, const char **why);
size_t prefix_to_text(const struct prefix *prefix, char text[PREFIX_TEXT_MAX]); /* a whole address without /length */
/* ::/0 and other IPv6 prefixes shorter than /96 do not reach into IPv4: who writes them means IPv6. */
bool prefix_contains(const struct prefix *prefix, const struct ip *ip);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);

#endif
