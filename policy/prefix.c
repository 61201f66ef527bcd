/* policy/prefix.c: reading, writing and comparing IP addresses and prefixes. */
#include "policy/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { V4_OFFSET = 12, V4_BITS = 96 };

static const uint8_t MAPPED[V4_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_is_v4(const struct ip *ip) {
    return memcmp(ip->bytes, MAPPED, sizeof MAPPED) == 0;
}

struct ip ip_from_v4(const uint8_t bytes[4]) {
    struct ip ip;
    memcpy(ip.bytes, MAPPED, sizeof MAPPED);
    memcpy(ip.bytes + V4_OFFSET, bytes, 4);
    return ip;
}

struct ip ip_from_v6(const uint8_t bytes[16]) {
    struct ip ip;
    memcpy(ip.bytes, bytes, sizeof ip.bytes);
    return ip;
}

bool ip_equal(const struct ip *a, const struct ip *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int ip_from_text(struct ip *ip, const char *text, size_t length) {
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
        if (memchr(text, ':', length) == NULL)
            return -EINVAL;
    }
    char copy[IP_TEXT_MAX];
    if (length >= sizeof copy || memchr(text, '\0', length) != NULL)
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    uint8_t bytes[16];
    if (inet_pton(AF_INET, copy, bytes) == 1)
        *ip = ip_from_v4(bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        *ip = ip_from_v6(bytes);
    else
        return -EINVAL;
    return 0;
}

/* inet_ntop would format: too slow for what every log line holds. */
static size_t v4_to_text(const uint8_t octets[4], char *text) {
    size_t length = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (octets[i] >= 100)
            text[length++] = (char)('0' + octets[i] / 100);
        if (octets[i] >= 10)
            text[length++] = (char)('0' + octets[i] / 10 % 10);
        text[length++] = (char)('0' + octets[i] % 10);
        text[length++] = i < 3 ? '.' : '\0';
    }
    return length - 1;
}

size_t ip_to_text(const struct ip *ip, char text[IP_TEXT_MAX]) {
    if (ip_is_v4(ip))
        return v4_to_text(ip->bytes + V4_OFFSET, text);
    if (inet_ntop(AF_INET6, ip->bytes, text, IP_TEXT_MAX) == NULL)
        text[0] = '\0';
    return strlen(text);
}

/* Clears the bits behind length; true if one was set. */
static bool clear_host_bits(struct prefix *prefix) {
    bool any = false;
    for (unsigned i = 0; i < sizeof prefix->ip.bytes; i++) {
        unsigned bits = prefix->length > 8 * i ? prefix->length - 8 * i : 0;
        uint8_t mask = (uint8_t)(bits >= 8 ? 0xffu : 0xff00u >> bits);
        any = any || (prefix->ip.bytes[i] & ~mask) != 0;
        prefix->ip.bytes[i] &= mask;
    }
    return any;
}

static int read_length(const char *text, size_t length, unsigned *value) {
    if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
        return -EINVAL;
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        *value = *value * 10 + (unsigned)(text[i] - '0');
    }
    return 0;
}

int prefix_from_text(struct prefix *prefix, const char *text, size_t length, bool loose, const char **why) {
    const char *ignored;
    if (why == NULL)
        why = &ignored;
    const char *slash = memchr(text, '/', length);
    size_t address = slash != NULL ? (size_t)(slash - text) : length;
    struct prefix result;
    if (ip_from_text(&result.ip, text, address) != 0) {
        *why = "not an IP address";
        return -EINVAL;
    }
    /* an IPv4-mapped address written as IPv6 counts its bits as IPv6 does */
    bool dotted = memchr(text, ':', address) == NULL;
    unsigned bits = dotted ? 32 : 128;
    if (slash != NULL && (read_length(slash + 1, length - address - 1, &bits) != 0 || bits > (dotted ? 32u : 128u))) {
        *why = "bad prefix length";
        return -EINVAL;
    }
    result.length = (uint8_t)(dotted ? V4_BITS + bits : bits);
    if (clear_host_bits(&result) && !loose) {
        *why = "host bits set";
        return -EINVAL;
    }
    *prefix = result;
    return 0;
}

size_t prefix_to_text(const struct prefix *prefix, char text[PREFIX_TEXT_MAX]) {
    bool v4 = prefix->length >= V4_BITS && ip_is_v4(&prefix->ip);
    char address[IP_TEXT_MAX];
    ip_to_text(&prefix->ip, address);
    int written;
    if (prefix->length == 128)
        written = snprintf(text, PREFIX_TEXT_MAX, "%s", address);
    else
        written = snprintf(text, PREFIX_TEXT_MAX, "%s/%d", address, v4 ? prefix->length - V4_BITS : prefix->length);
    return written > 0 ? (size_t)written : 0;
}

static bool same_bits(const struct ip *a, const struct ip *b, unsigned bits) {
    unsigned whole = bits / 8;
    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    if (bits % 8 == 0)
        return true;
    return (uint8_t)((a->bytes[whole] ^ b->bytes[whole]) >> (8 - bits % 8)) == 0;
}

bool prefix_contains(const struct prefix *prefix, const struct ip *ip) {
    return (prefix->length >= V4_BITS || !ip_is_v4(ip)) && same_bits(&prefix->ip, ip, prefix->length);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner) {
    if (outer->length < V4_BITS && inner->length >= V4_BITS && ip_is_v4(&inner->ip))
        return false;
    return outer->length <= inner->length && same_bits(&outer->ip, &inner->ip, outer->length);
}
