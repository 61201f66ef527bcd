/* resolver/proxy.c: PROXY protocol v2: the header by which a proxy says on whose behalf it speaks. */
#include "resolver/proxy.h"

#include <errno.h>
#include <string.h>

enum {
    SIGNATURE = 12,
    FIXED = SIGNATURE + 4, /* signature, version and command, family and transport, octets that follow */
    VERSION = 2,
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    FAMILY_INET = 1,
    FAMILY_INET6 = 2,
    FAMILY_MAX = 3,    /* UNIX */
    TRANSPORT_MAX = 2, /* datagrams */
    INET_OCTETS = 4 + 4 + 2 + 2,
    INET6_OCTETS = 16 + 16 + 2 + 2,
};

static const uint8_t signature[SIGNATURE] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static uint16_t read_u16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* Reads source and destination; the latter isn't of interest. 0, or an error of proxy_parse. */
static int read_source(const uint8_t *at, size_t length, size_t declared, bool v4, struct proxy *proxy) {
    size_t wanted = v4 ? INET_OCTETS : INET6_OCTETS;
    if (declared < wanted)
        return -EBADMSG;
    if (length < wanted)
        return -EAGAIN;
    proxy->named = true;
    proxy->address = v4 ? ip_from_v4(at) : ip_from_v6(at);
    proxy->port = read_u16(at + wanted - 4);
    return 0;
}

int proxy_parse(const uint8_t *data, size_t length, struct proxy *proxy) {
    size_t seen = length < SIGNATURE ? length : SIGNATURE;
    if (seen > 0 && memcmp(data, signature, seen) != 0)
        return 0;
    if (length < FIXED)
        return -EAGAIN;
    unsigned version = data[SIGNATURE] >> 4, command = data[SIGNATURE] & 0xF;
    unsigned family = data[SIGNATURE + 1] >> 4, transport = data[SIGNATURE + 1] & 0xF;
    size_t declared = read_u16(data + SIGNATURE + 2);
    *proxy = (struct proxy){0};
    if (version != VERSION || command > COMMAND_PROXY)
        return -EBADMSG;
    if (command == COMMAND_LOCAL)
        return (int)(FIXED + declared); /* a health check of the proxy's own: whatever the rest says is to be ignored */
    if (family > FAMILY_MAX || transport > TRANSPORT_MAX)
        return -EBADMSG;
    int rc = 0;
    if ((family == FAMILY_INET || family == FAMILY_INET6) && transport != 0)
        rc = read_source(data + FIXED, length - FIXED, declared, family == FAMILY_INET, proxy);
    return rc < 0 ? rc : (int)(FIXED + declared);
}
