/* config/value.c: durations, sizes, socket addresses, endpoints and URLs from text. */
#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* A whole number and what follows it. False: no number, or too large. */
static bool read_number(const char *text, int64_t *number, const char **rest) {
    int64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
            return false;
    }
    *number = value;
    *rest = p;
    return p > text;
}

static int with_unit(const char *text, const char *units, const int64_t *factors, int64_t *out) {
    int64_t value;
    const char *rest;
    if (!read_number(text, &value, &rest))
        return -EINVAL;
    if (*rest) {
        const char *unit = strchr(units, *rest);
        if (!unit || rest[1] || __builtin_mul_overflow(value, factors[unit - units], &value))
            return -EINVAL;
    }
    *out = value;
    return 0;
}

int config_duration(const char *text, int64_t *seconds) {
    static const int64_t factors[] = {1, 60, 3600, 86400, 604800};
    return with_unit(text, "smhdw", factors, seconds);
}

int config_size(const char *text, int64_t *octets) {
    static const int64_t factors[] = {1LL << 10, 1LL << 20, 1LL << 30, 1LL << 40, 1LL << 10, 1LL << 20, 1LL << 30, 1LL << 40};
    return with_unit(text, "KMGTkmgt", factors, octets);
}

/* Splits "[v6%if]:port", "v4:port" and the like. The parts point into text. */
struct parts {
    const char *address, *port;
    size_t address_length;
};

static int split(const char *text, struct parts *parts, const char **why) {
    const char *end;
    if (*text == '[') {
        end = strchr(++text, ']');
        *why = "the ']' is missing";
        if (!end)
            return -EINVAL;
        *parts = (struct parts){text, end + 1, (size_t)(end - text)};
    } else {
        end = strchr(text, ':');
        *why = "an IPv6 address goes into brackets, like [2001:db8::1]:53";
        if (end && strchr(end + 1, ':'))
            return -EINVAL;
        if (!end)
            end = text + strlen(text);
        *parts = (struct parts){text, end, (size_t)(end - text)};
    }
    *why = "an address is followed by nothing, or by ':' and a port from 1 to 65535";
    if (*parts->port == ':')
        return *++parts->port ? 0 : -EINVAL;
    return *parts->port ? -EINVAL : 0;
}

static int read_port(const char *text, uint16_t *port) {
    int64_t value;
    const char *rest;
    if (!read_number(text, &value, &rest) || *rest || value < 1 || value > 65535)
        return -EINVAL;
    *port = (uint16_t)value;
    return 0;
}

/* The interface of "fe80::1%eth0": its index, 0 where none is given; -EINVAL if there is no such interface. */
static int read_scope(const char *text, size_t length, size_t *address_length, uint32_t *scope) {
    char name[IF_NAMESIZE];
    const char *percent = memchr(text, '%', length);
    *scope = 0;
    *address_length = length;
    if (!percent)
        return 0;
    *address_length = (size_t)(percent - text);
    size_t n = length - *address_length - 1;
    if (n == 0 || n >= sizeof name)
        return -EINVAL;
    memcpy(name, percent + 1, n);
    name[n] = '\0';
    *scope = if_nametoindex(name);
    return *scope ? 0 : -EINVAL;
}

int value_socket(const char *text, uint16_t port, struct sockaddr_storage *address, socklen_t *length, const char **why) {
    struct parts parts;
    struct ip ip;
    size_t address_length;
    uint32_t scope;
    if (split(text, &parts, why) < 0)
        return -EINVAL;
    if (*parts.port ? read_port(parts.port, &port) < 0 : port == 0) {
        *why = *parts.port ? "a port is a number from 1 to 65535" : "a port is missing, as in 127.0.0.1:9153";
        return -EINVAL;
    }
    *why = "there is no network interface of that name";
    if (read_scope(parts.address, parts.address_length, &address_length, &scope) < 0)
        return -EINVAL;
    *why = "an IP address is wanted here, not a name";
    if (ip_from_text(&ip, parts.address, address_length) < 0)
        return -EINVAL;
    memset(address, 0, sizeof *address);
    if (ip_is_v4(&ip)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)address;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, ip.bytes + 12, 4);
        *length = sizeof *v4;
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        memcpy(&v6->sin6_addr, ip.bytes, 16);
        v6->sin6_scope_id = scope;
        *length = sizeof *v6;
    }
    return 0;
}

struct ip value_address(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET)
        return ip_from_v4((const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr);
    return ip_from_v6((const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr);
}

uint16_t value_port(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
}

bool value_is_url(const char *text) {
    const char *p = text;
    while (isalnum((unsigned char)*p) || *p == '+' || *p == '-' || *p == '.')
        p++;
    return p > text && strncmp(p, "://", 3) == 0;
}

static const struct scheme_words {
    const char *prefix;
    enum scheme scheme;
    uint16_t port;
    const char *unspoken; /* NULL: this build speaks it */
} schemes[] = {
    {"dns://", SCHEME_DNS, 53, NULL},
    {"tls://", SCHEME_TLS, 853, "this build doesn't speak tls:// yet; use dns://"},
    {"https://", SCHEME_HTTPS, 443, "this build doesn't speak https:// yet; use dns://"},
};

static const struct scheme_words *find_scheme(const char *text, const char **why) {
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) == 0) /* RFC 3986 section 3.1 */
            return &schemes[i];
    }
    *why = value_is_url(text) ? "not a scheme that is known: dns://, tls:// or https://"
                              : "begins with dns://, as in dns://192.0.2.53 or dns://[2001:db8::53]:5353";
    return NULL;
}

int value_endpoint(const char *text, struct endpoint *endpoint, const char **why) {
    const struct scheme_words *words = find_scheme(text, why);
    if (!words)
        return -EINVAL;
    struct endpoint made = {.scheme = words->scheme};
    char *place = strdup(text + strlen(words->prefix));
    char *tail = place ? strpbrk(place, words->scheme == SCHEME_TLS ? "#" : words->scheme == SCHEME_HTTPS ? "/" : "") : NULL;
    *why = "no memory";
    if (!place)
        return -EINVAL;
    if (tail && words->scheme == SCHEME_TLS && tail[1] == '\0') {
        *why = "a name comes after '#'";
        free(place);
        return -EINVAL;
    }
    char *host = tail && words->scheme == SCHEME_TLS ? strdup(tail + 1) : NULL;
    if (tail)
        *tail = '\0';
    int error = value_socket(place, words->port, &made.address, &made.address_length, why);
    free(place);
    if (error == 0 && words->unspoken) {
        *why = words->unspoken;
        error = -ENOTSUP;
    }
    made.host = host;
    made.text = error == 0 ? strdup(text) : NULL;
    if (error == 0 && !made.text) {
        *why = "no memory";
        error = -EINVAL;
    }
    if (error < 0) {
        free(host);
        return error;
    }
    *endpoint = made;
    return 0;
}

static int unix_address(const char *path, const char *folder, struct syslog_target *target, const char **why) {
    struct sockaddr_un *address = (struct sockaddr_un *)&target->address;
    address->sun_family = AF_UNIX;
    target->address_length = sizeof *address;
    int length =
        snprintf(address->sun_path, sizeof address->sun_path, "%s%s%s", *path == '/' ? "" : folder, *path == '/' ? "" : "/", path);
    *why = *path == '\0' ? "a path comes after unix:, as in unix:/dev/log" : "a socket's path has at most 107 octets";
    return *path == '\0' || length < 0 || (size_t)length >= sizeof address->sun_path ? -EINVAL : 0;
}

int value_syslog(const char *text, const char *folder, struct syslog_target *target, const char **why) {
    static const struct {
        const char *prefix;
        enum syslog_transport transport;
        uint16_t port; /* RFC 5426 section 3.3; RFC 3195 section 9.2, which RFC 6587 has it from */
    } kinds[] = {{"udp://", SYSLOG_UDP, 514}, {"tcp://", SYSLOG_TCP, 601}, {"unix:", SYSLOG_UNIX, 0}};
    struct syslog_target made = {0};
    *why = value_is_url(text) ? "not a scheme that is known: udp://, tcp:// or unix:"
                              : "begins with udp://, tcp:// or unix:, as in udp://192.0.2.14:514 or unix:/dev/log";
    int error = -EINVAL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && made.transport == SYSLOG_OFF; i++) {
        size_t skip = strlen(kinds[i].prefix);
        if (strncmp(text, kinds[i].prefix, skip) != 0)
            continue;
        made.transport = kinds[i].transport;
        error = made.transport == SYSLOG_UNIX ? unix_address(text + skip, folder, &made, why)
                                              : value_socket(text + skip, kinds[i].port, &made.address, &made.address_length, why);
    }
    if (error == 0 && (made.text = strdup(text)) == NULL) {
        *why = "no memory";
        error = -EINVAL;
    }
    if (error == 0)
        *target = made;
    return error;
}

int value_url(const char *text, const char **why) {
    size_t skip = strncasecmp(text, "https://", 8) == 0 ? 8 : strncasecmp(text, "http://", 7) == 0 ? 7 : 0;
    *why = "a URL begins with https:// or http://";
    if (!skip)
        return -EINVAL;
    *why = "a URL holds no blanks and no control characters (write them as %20 and the like)";
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7F)
            return -EINVAL;
    }
    size_t authority = strcspn(text + skip, "/?#");
    const char *host = text + skip, *at = memrchr(host, '@', authority);
    size_t host_length = authority;
    if (at) {
        host_length -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    *why = "the URL has no host";
    return host_length == 0 || *host == ':' ? -EINVAL : 0;
}
