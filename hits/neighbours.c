/* hits/neighbours.c: the kernel's neighbour table, for the MACs of clients on the same link. */
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hits/neighbours.h"

enum {
    BUCKETS = 4096,
    NEIGHBOURS_MAX = 65536, /* the kernel's own limit (gc_thresh3) is 1024 unless an administrator raised it */
    RECEIVE_BUFFER = 1 << 20,
    VALID = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT
};

struct neighbour {
    struct neighbour *next;
    struct ip address;
    int interface;
    uint8_t mac[6];
};

struct neighbours {
    int fd;
    int route_fd; /* for questions; -1: it can't be asked */
    int64_t second;
    unsigned routes, awaits; /* in that second */
    uint32_t generation;
    uint32_t sequence;
    size_t count;
    struct neighbour *buckets[BUCKETS];
};

static size_t bucket_of(const struct ip *address) {
    uint64_t high, low;
    memcpy(&high, address->bytes, 8);
    memcpy(&low, address->bytes + 8, 8);
    uint64_t mixed = (high * 0x9e3779b97f4a7c15u) ^ (low * 0xc2b2ae3d27d4eb4fu);
    return (size_t)(mixed >> 40) & (BUCKETS - 1);
}

static void ask_for_all(struct neighbours *neighbours) {
    struct {
        struct nlmsghdr header;
        struct ndmsg body;
    } request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
                            .nlmsg_type = RTM_GETNEIGH,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                            .nlmsg_seq = ++neighbours->sequence}};
    /* A request that is refused leaves the notices, which will fill the table in time. */
    ssize_t sent = send(neighbours->fd, &request, request.header.nlmsg_len, MSG_DONTWAIT);
    (void)sent;
}

struct neighbours *neighbours_new(int *error) {
    struct neighbours *neighbours = calloc(1, sizeof *neighbours);
    if (neighbours == NULL) {
        *error = -ENOMEM;
        return NULL;
    }
    neighbours->route_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_NEIGH};
    int size = RECEIVE_BUFFER;
    neighbours->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (neighbours->fd < 0 || bind(neighbours->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        *error = -errno;
        neighbours_free(neighbours);
        return NULL;
    }
    setsockopt(neighbours->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    ask_for_all(neighbours);
    return neighbours;
}

static void clear(struct neighbours *neighbours) {
    for (size_t i = 0; i < BUCKETS; i++) {
        while (neighbours->buckets[i] != NULL) {
            struct neighbour *gone = neighbours->buckets[i];
            neighbours->buckets[i] = gone->next;
            free(gone);
        }
    }
    neighbours->count = 0;
    neighbours->generation++;
}

void neighbours_free(struct neighbours *neighbours) {
    if (neighbours == NULL)
        return;
    clear(neighbours);
    if (neighbours->fd >= 0)
        close(neighbours->fd);
    if (neighbours->route_fd >= 0)
        close(neighbours->route_fd);
    free(neighbours);
}

uint32_t neighbours_generation(const struct neighbours *neighbours) {
    return neighbours->generation;
}

const uint8_t *neighbours_find(const struct neighbours *neighbours, const struct ip *address) {
    const uint8_t *mac = NULL;
    for (const struct neighbour *at = neighbours->buckets[bucket_of(address)]; at != NULL; at = at->next) {
        if (!ip_equal(&at->address, address))
            continue;
        if (mac != NULL && memcmp(mac, at->mac, sizeof at->mac) != 0)
            return NULL;
        mac = at->mac;
    }
    return mac;
}

/* mac NULL: the neighbour is gone. */
static void note(struct neighbours *neighbours, const struct ip *address, int interface, const uint8_t *mac) {
    struct neighbour **link = &neighbours->buckets[bucket_of(address)];
    while (*link != NULL && !((*link)->interface == interface && ip_equal(&(*link)->address, address)))
        link = &(*link)->next;
    struct neighbour *found = *link;
    if (found == NULL) {
        if (mac == NULL || neighbours->count >= NEIGHBOURS_MAX)
            return;
        found = calloc(1, sizeof *found);
        if (found == NULL)
            return;
        found->address = *address;
        found->interface = interface;
        *link = found;
        neighbours->count++;
    } else if (mac != NULL && memcmp(found->mac, mac, sizeof found->mac) == 0) {
        return;
    }
    neighbours->generation++;
    if (mac != NULL) {
        memcpy(found->mac, mac, sizeof found->mac);
        return;
    }
    *link = found->next;
    free(found);
    neighbours->count--;
}

static void read_neighbour(struct neighbours *neighbours, const struct nlmsghdr *header) {
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof(struct ndmsg)))
        return;
    const struct ndmsg *body = NLMSG_DATA(header);
    size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof *body);
    const struct rtattr *attribute = (const void *)((const uint8_t *)body + NLMSG_ALIGN(sizeof *body));
    const uint8_t *destination = NULL, *mac = NULL;
    size_t length = body->ndm_family == AF_INET ? 4 : body->ndm_family == AF_INET6 ? 16 : 0;
    for (; left >= sizeof *attribute && attribute->rta_len >= sizeof *attribute && attribute->rta_len <= left;) {
        size_t payload = attribute->rta_len - RTA_LENGTH(0);
        const uint8_t *octets = (const uint8_t *)attribute + RTA_LENGTH(0);
        if (attribute->rta_type == NDA_DST && payload == length)
            destination = octets;
        if (attribute->rta_type == NDA_LLADDR && payload == 6)
            mac = octets;
        size_t step = RTA_ALIGN(attribute->rta_len);
        if (step >= left)
            break;
        left -= step;
        attribute = (const void *)((const uint8_t *)attribute + step);
    }
    if (length == 0 || destination == NULL || (body->ndm_flags & NTF_PROXY) != 0)
        return;
    struct ip address = length == 4 ? ip_from_v4(destination) : ip_from_v6(destination);
    static const uint8_t nobody[6];
    bool valid = header->nlmsg_type == RTM_NEWNEIGH && (body->ndm_state & VALID) != 0 && body->ndm_type == RTN_UNICAST &&
                 mac != NULL && (mac[0] & 1) == 0 && memcmp(mac, nobody, sizeof nobody) != 0;
    note(neighbours, &address, body->ndm_ifindex, valid ? mac : NULL);
}

void neighbours_message(struct neighbours *neighbours, const void *messages, size_t length) {
    const uint8_t *at = messages;
    while (length >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *header = (const void *)at;
        if (header->nlmsg_len < sizeof *header || header->nlmsg_len > length)
            return;
        if (header->nlmsg_type == RTM_NEWNEIGH || header->nlmsg_type == RTM_DELNEIGH)
            read_neighbour(neighbours, header);
        size_t step = NLMSG_ALIGN(header->nlmsg_len);
        if (step >= length)
            return;
        at += step;
        length -= step;
    }
}

void neighbours_follow(struct neighbours *neighbours) {
    _Alignas(struct nlmsghdr) uint8_t buffer[32768];
    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_length = sizeof from;
        ssize_t n = recvfrom(neighbours->fd, buffer, sizeof buffer, MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
        if (n > 0 && from.nl_pid == 0) {
            neighbours_message(neighbours, buffer, (size_t)n);
        } else if (n < 0 && errno == ENOBUFS) { /* notices were lost: from the beginning */
            clear(neighbours);
            ask_for_all(neighbours);
        } else if (n < 0 && errno != EINTR) {
            return;
        }
    }
}

/* --- waiting for a neighbour
 * ------------------------------------------------------------------------------------------------------
 */

/* The reply to a question for a route: straight to a link, without a gateway? */
static bool is_direct(const void *message, size_t length) {
    const struct nlmsghdr *header = message;
    if (length < NLMSG_LENGTH(sizeof(struct rtmsg)) || header->nlmsg_len > length || header->nlmsg_type != RTM_NEWROUTE)
        return false;
    const struct rtmsg *route = NLMSG_DATA(header);
    const struct rtattr *attribute = RTM_RTA(route);
    size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof *route);
    for (; left >= sizeof *attribute && attribute->rta_len >= sizeof *attribute && attribute->rta_len <= left;) {
        if (attribute->rta_type == RTA_GATEWAY || attribute->rta_type == RTA_VIA)
            return false;
        size_t step = RTA_ALIGN(attribute->rta_len);
        if (step >= left)
            break;
        left -= step;
        attribute = (const void *)((const uint8_t *)attribute + step);
    }
    return route->rtm_type == RTN_UNICAST;
}

/* The kernel answers such a question before send() returns. */
static bool is_on_link(struct neighbours *neighbours, const struct ip *address) {
    struct {
        struct nlmsghdr header;
        struct rtmsg body;
        struct rtattr attribute;
        uint8_t destination[16];
    } request = {.header = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST}};
    _Alignas(struct nlmsghdr) uint8_t reply[4096];
    bool v4 = ip_is_v4(address);
    size_t length = v4 ? 4 : 16;
    request.header.nlmsg_seq = ++neighbours->sequence;
    request.body.rtm_family = v4 ? AF_INET : AF_INET6;
    request.body.rtm_dst_len = (uint8_t)(length * 8);
    request.attribute.rta_type = RTA_DST;
    request.attribute.rta_len = (unsigned short)RTA_LENGTH(length);
    memcpy(request.destination, address->bytes + 16 - length, length);
    request.header.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof request.body) + RTA_LENGTH(length));
    if (send(neighbours->route_fd, &request, request.header.nlmsg_len, MSG_DONTWAIT) < 0)
        return false;
    for (ssize_t n; (n = recv(neighbours->route_fd, reply, sizeof reply, MSG_DONTWAIT)) >= (ssize_t)sizeof request.header;)
        if (((const struct nlmsghdr *)(const void *)reply)->nlmsg_seq == request.header.nlmsg_seq)
            return is_direct(reply, (size_t)n);
    return false;
}

/* To some milliseconds, which will do, and at a fifth of the cost: every first hit asks. */
static int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const uint8_t *neighbours_await(struct neighbours *neighbours, const struct ip *address) {
    const uint8_t *mac = neighbours_find(neighbours, address);
    int64_t begun = monotonic_ms(), left = NEIGHBOURS_AWAIT_MS;
    if (mac != NULL || neighbours->route_fd < 0)
        return mac;
    if (neighbours->second != begun / 1000) {
        neighbours->second = begun / 1000;
        neighbours->routes = neighbours->awaits = 0;
    }
    if (neighbours->awaits >= NEIGHBOURS_AWAITS || neighbours->routes++ >= NEIGHBOURS_ROUTES || !is_on_link(neighbours, address))
        return NULL;
    neighbours->awaits++;
    while (mac == NULL && left > 0) {
        struct pollfd notices = {.fd = neighbours->fd, .events = POLLIN};
        poll(&notices, 1, (int)left);
        neighbours_follow(neighbours);
        mac = neighbours_find(neighbours, address);
        left = begun + NEIGHBOURS_AWAIT_MS - monotonic_ms();
    }
    return mac;
}
