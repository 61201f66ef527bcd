/* resolver/sockets.c: opens the sockets of every listening address. */
#include "resolver/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KERNEL_BUFFER = 4 << 20, BACKLOG = 256 };

static socklen_t length_of(const struct sockaddr_storage *address) {
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static in_port_t port_of(const struct sockaddr_storage *address) {
    const union peer *peer = (const union peer *)address;
    return ntohs(address->ss_family == AF_INET ? peer->v4.sin_port : peer->v6.sin6_port);
}

void sockets_text(const struct sockaddr_storage *address, char *text) {
    const union peer *peer = (const union peer *)address;
    char ip[INET6_ADDRSTRLEN], zone[IF_NAMESIZE + 1] = "";
    if (address->ss_family == AF_INET) {
        inet_ntop(AF_INET, &peer->v4.sin_addr, ip, sizeof ip);
        snprintf(text, SOCKETS_TEXT_MAX, "dns://%s:%u", ip, port_of(address));
        return;
    }
    inet_ntop(AF_INET6, &peer->v6.sin6_addr, ip, sizeof ip);
    if (peer->v6.sin6_scope_id != 0 && if_indextoname(peer->v6.sin6_scope_id, zone + 1) != NULL)
        zone[0] = '%';
    snprintf(text, SOCKETS_TEXT_MAX, "dns://[%s%s]:%u", ip, zone, port_of(address));
}

static void set(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

bool sockets_wildcard(const struct sockaddr_storage *address) {
    const union peer *peer = (const union peer *)address;
    return address->ss_family == AF_INET ? peer->v4.sin_addr.s_addr == htonl(INADDR_ANY)
                                         : IN6_IS_ADDR_UNSPECIFIED(&peer->v6.sin6_addr);
}

/* Before bind, so that no packet arrives without what it asks the kernel to tell. */
static void tune_udp(int fd, const struct sockaddr_storage *address) {
    bool v4 = address->ss_family == AF_INET;
    set(fd, SOL_SOCKET, SO_RCVBUF, KERNEL_BUFFER);
    set(fd, SOL_SOCKET, SO_SNDBUF, KERNEL_BUFFER);
    set(fd, SOL_SOCKET, SO_RCVBUFFORCE, KERNEL_BUFFER); /* with CAP_NET_ADMIN: past the system's limit */
    set(fd, SOL_SOCKET, SO_SNDBUFFORCE, KERNEL_BUFFER);
    if (sockets_wildcard(address))
        set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
    /* A forged ICMP message must not make us fragment. */
    if (v4)
        set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    else
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
}

/* A bound socket, or -errno. `shared`: others of our own will be bound to the same address. */
static int open_one(const struct sockaddr_storage *address, int type, bool shared) {
    int fd = socket(address->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (type == SOCK_STREAM)
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (address->ss_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (type == SOCK_DGRAM)
        tune_udp(fd, address);
    if (bind(fd, (const struct sockaddr *)address, length_of(address)) != 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) != 0)) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static bool holds(const struct sockets *sockets, const struct sockaddr_storage *address, bool port_only) {
    for (size_t i = 0; sockets != NULL && i < sockets->count; i++) {
        const struct sockaddr_storage *other = &sockets->sockets[i].address;
        if (port_only ? port_of(other) == port_of(address) : memcmp(other, address, sizeof *other) == 0)
            return true;
    }
    return false;
}

/* 0 if nobody else has the address. */
static int probe(const struct sockaddr_storage *address) {
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    for (size_t i = 0; i < 2; i++) {
        int fd = open_one(address, types[i], false);
        if (fd < 0)
            return fd;
        close(fd);
    }
    return 0;
}

/* Opens one address for every worker, into column `at`. */
static int open_address(struct sockets *sockets, size_t columns, size_t at, const struct sockaddr_storage *address) {
    for (unsigned worker = 0; worker < sockets->workers; worker++) {
        struct worker_socket *sock = &sockets->sockets[worker * columns + at];
        int udp = open_one(address, SOCK_DGRAM, true);
        if (udp < 0)
            return udp;
        sock->udp = udp;
        int tcp = open_one(address, SOCK_STREAM, true);
        if (tcp < 0)
            return tcp;
        sock->tcp = tcp;
    }
    return 0;
}

/* The distinct addresses of a configuration, in its order. */
static size_t distinct(const struct config *config, struct sockets *sockets) {
    sockets->count = 0;
    for (size_t i = 0; i < config->listen_count; i++) {
        struct sockaddr_storage address = {0}; /* clean padding: addresses are compared octet by octet */
        memcpy(&address, &config->listen[i].address, config->listen[i].address_length);
        if (!holds(sockets, &address, false))
            sockets->sockets[sockets->count++].address = address;
    }
    return sockets->count;
}

int sockets_open(struct sockets **out, const struct config *config, unsigned workers, const struct sockets *held, char *which) {
    size_t room = (config->listen_count + 1) * workers;
    struct sockets *sockets = calloc(1, sizeof *sockets + room * sizeof sockets->sockets[0]);
    int rc = 0;
    which[0] = '\0';
    if (sockets == NULL)
        return -ENOMEM;
    size_t count = distinct(config, sockets);
    sockets->workers = workers;
    for (size_t i = 0; i < count * workers; i++)
        sockets->sockets[i] = (struct worker_socket){.address = sockets->sockets[i % count].address, .udp = -1, .tcp = -1};
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct sockaddr_storage *address = &sockets->sockets[i].address;
        if (holds(held, address, false))
            continue;
        sockets->count = i; /* so that the probe leaves out ports that are ours already */
        rc = holds(held, address, true) || holds(sockets, address, true) ? 0 : probe(address);
        sockets->count = count;
        if (rc == 0)
            rc = open_address(sockets, count, i, address);
        if (rc != 0)
            sockets_text(address, which);
    }
    if (rc == 0)
        *out = sockets;
    else
        sockets_free(sockets);
    return rc;
}

void sockets_free(struct sockets *sockets) {
    for (size_t i = 0; sockets != NULL && i < sockets->count * sockets->workers; i++) {
        if (sockets->sockets[i].udp >= 0)
            close(sockets->sockets[i].udp);
        if (sockets->sockets[i].tcp >= 0)
            close(sockets->sockets[i].tcp);
    }
    free(sockets);
}
