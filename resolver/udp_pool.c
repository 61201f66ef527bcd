/* resolver/udp_pool.c: random ports for little money. */
#include "resolver/udp_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    PORT_MIN = 1024,
    PORT_TRIES = 16, /* ports drawn before the kernel is asked for any */
    EVENTS_MAX = 64, /* sockets read from in one go */
    READS_MAX = 16,  /* datagrams read from one of them */
    NOT_PLACED = UINT16_MAX,
};

/* Its memory stays until the pool goes: an event that was fetched may be about one that was closed, or opened anew, since. */
struct udp_socket {
    struct udp_pool *pool;
    struct pending *pending;
    struct udp_socket *next, **link; /* among draining, or next spare */
    uint64_t born_ms;
    int fd; /* -1: spare */
    uint16_t uses_left;
    uint16_t place; /* in the pool, or NOT_PLACED: draining */
};

void udp_pool_init(struct udp_pool *pool, struct carrier_host *host, const struct sockaddr *address, socklen_t length,
                   unsigned size) {
    *pool = (struct udp_pool){.host = host, .address = address, .address_length = length, .size = size};
}

/* --- opening and closing --- */

/* Binds to a port drawn at random. Ports that are in use, or not ours to use, are drawn again. */
static int bind_random(struct udp_pool *pool, int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } local;
    memset(&local, 0, sizeof(local));
    local.any.sa_family = pool->address->sa_family;
    for (int i = 0;; i++) {
        uint16_t port = i < PORT_TRIES ? (uint16_t)(PORT_MIN + entropy_below(&pool->host->entropy, 65536 - PORT_MIN)) : 0;
        if (local.any.sa_family == AF_INET6)
            local.ipv6.sin6_port = htons(port);
        else
            local.ipv4.sin_port = htons(port);
        if (bind(fd, &local.any, local.any.sa_family == AF_INET6 ? sizeof(local.ipv6) : sizeof(local.ipv4)) == 0)
            return 0;
        if ((errno != EADDRINUSE && errno != EACCES) || port == 0)
            return -errno;
    }
}

static int open_socket(struct udp_pool *pool) {
    int fd = socket(pool->address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = bind_random(pool, fd);
    if (error == 0 && connect(fd, pool->address, pool->address_length) < 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static void close_socket(struct udp_socket *udp) {
    struct udp_pool *pool = udp->pool;
    if (udp->place != NOT_PLACED) {
        pool->places[udp->place] = NULL;
    } else {
        *udp->link = udp->next;
        if (udp->next)
            udp->next->link = udp->link;
    }
    epoll_ctl(pool->host->readable, EPOLL_CTL_DEL, udp->fd, NULL); /* a child being forked may hold it open for a while */
    close(udp->fd);
    udp->fd = -1;
    udp->next = pool->spare;
    pool->spare = udp;
    pool->sockets--;
    pool->host->descriptors--;
}

/* Takes the socket out of its place: no new query; it closes when the last one is done. */
static void retire(struct udp_socket *udp) {
    if (!udp->pending) {
        close_socket(udp);
        return;
    }
    struct udp_pool *pool = udp->pool;
    pool->places[udp->place] = NULL;
    udp->place = NOT_PLACED;
    udp->next = pool->draining;
    udp->link = &pool->draining;
    if (udp->next)
        udp->next->link = &udp->next;
    pool->draining = udp;
}

/* After a query left: a draining socket may be at its end. */
static void close_if_drained(struct udp_socket *udp) {
    if (udp->place == NOT_PLACED && !udp->pending)
        close_socket(udp);
}

/* It won't be sent, if it wasn't yet. */
static void unqueue(struct carrier_host *host, struct pending *pending) {
    for (unsigned i = 0; !pending->sent && i < host->unsent_count; i++) {
        if (host->unsent[i] == pending) {
            host->unsent[i] = host->unsent[--host->unsent_count];
            pending->sent = true;
        }
    }
}

/* A socket that nobody uses yet, in memory of a closed one if there is any; NULL and *error. */
static struct udp_socket *new_socket(struct udp_pool *pool, int *error) {
    struct udp_socket *udp = pool->spare;
    *error = -ENOMEM;
    if (!udp && !(udp = malloc(sizeof(*udp))))
        return NULL;
    if (udp == pool->spare)
        pool->spare = udp->next;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = udp};
    udp->fd = *error = open_socket(pool);
    if (udp->fd >= 0 && epoll_ctl(pool->host->readable, EPOLL_CTL_ADD, udp->fd, &event) == 0)
        return udp;
    if (udp->fd >= 0) {
        *error = -errno;
        close(udp->fd);
    }
    udp->fd = -1;
    udp->next = pool->spare;
    pool->spare = udp;
    return NULL;
}

/* Opens a socket for the place; the one that was there goes only then. */
static int fill_place(struct udp_pool *pool, uint16_t place) {
    struct carrier_host *host = pool->host;
    int error;
    struct udp_socket *udp = new_socket(pool, &error);
    if (!udp)
        return error;
    udp->pool = pool;
    udp->pending = NULL;
    udp->born_ms = uv_now(host->loop);
    udp->uses_left = pool->size < UDP_POOL_FULL ? 1 : UDP_USES;
    udp->place = place;
    if (pool->places[place])
        retire(pool->places[place]);
    pool->places[place] = udp;
    pool->sockets++;
    if (host->descriptors++ == 0)
        host->opened(host);
    return 0;
}

/* --- receiving --- */

/* The network's word on this socket: nobody listens there, no route, ... It concerns whatever is pending. The list stands on its
 * own while the askers are told, so that they may cancel each other. */
static void fail_all(struct udp_socket *udp, int error) {
    struct carrier_host *host = udp->pool->host;
    struct pending *doomed = pending_detach(&udp->pending, &doomed);
    for (struct pending *pending = doomed; pending; pending = pending->next)
        unqueue(host, pending);
    close_socket(udp);
    while (doomed) {
        struct pending *pending = doomed;
        pending_remove(pending);
        host->failed(pending, error);
    }
}

/* False: it fits no query. */
static bool take_reply(struct udp_socket *udp, const uint8_t *message, size_t length, bool cut) {
    struct carrier_host *host = udp->pool->host;
    struct reply reply;
    struct pending *pending = pending_judge(host, udp->pending, message, length, &reply);
    if (!pending)
        return false;
    if (cut && reply.kind == REPLY_ANSWER)
        reply.kind = REPLY_TRUNCATED;
    pending_remove(pending);
    close_if_drained(udp);
    host->reply(pending, &reply, message, length);
    return true;
}

/* Reads one datagram. True: another may be there that matters. */
static bool receive_one(struct udp_socket *udp) {
    uint8_t *buffer = udp->pool->host->buffer;
    ssize_t length = recv(udp->fd, buffer, UDP_REPLY_MAX, MSG_DONTWAIT | MSG_TRUNC);
    int error = length < 0 ? errno : 0;
    if (error == EAGAIN || error == EINTR)
        return error == EINTR;
    if (error) {
        fail_all(udp, -error);
        return false;
    }
    bool cut = length > UDP_REPLY_MAX;
    return !take_reply(udp, buffer, cut ? UDP_REPLY_MAX : (size_t)length, cut) || udp->pending;
}

/* What isn't read now isn't told of again, so it must be nothing that is waited for. */
static void receive(struct udp_socket *udp) {
    for (unsigned reads = 0; udp->fd >= 0 && receive_one(udp); reads++) {
        if (reads < READS_MAX)
            continue;
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = udp};
        if (udp->fd >= 0)
            epoll_ctl(udp->pool->host->readable, EPOLL_CTL_MOD, udp->fd, &event); /* tell me again, after others had their turn */
        return;
    }
}

void udp_pool_receive(struct carrier_host *host) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(host->readable, events, EVENTS_MAX, 0);
    host->now_us = uv_hrtime() / 1000;
    for (int i = 0; i < count; i++)
        receive(events[i].data.ptr);
}

/* --- sending --- */

static bool is_worn(const struct udp_socket *udp, uint64_t now_ms) {
    return udp->uses_left == 0 || now_ms >= udp->born_ms + UDP_AGE_MS;
}

static void put_at(struct udp_pool *pool, unsigned place, struct udp_socket *udp) {
    pool->places[place] = udp;
    if (udp)
        udp->place = (uint16_t)place;
}

/* The next place in turn, where one of the quarter that rested longest was put. */
static uint16_t rested_place(struct udp_pool *pool) {
    unsigned here = pool->turn, there = (here + entropy_below(&pool->host->entropy, (pool->size + 3) / 4)) % pool->size;
    struct udp_socket *picked = pool->places[there];
    put_at(pool, there, pool->places[here]);
    put_at(pool, here, picked);
    pool->turn = (here + 1) % pool->size;
    return (uint16_t)here;
}

/* A socket for one query, picked at random. NULL and *error: none can be had. */
static struct udp_socket *pick(struct udp_pool *pool, int *error) {
    uint16_t place = rested_place(pool);
    struct udp_socket *udp = pool->places[place];
    if (udp && !is_worn(udp, uv_now(pool->host->loop)))
        return udp;
    *error = fill_place(pool, place);
    if (*error == 0)
        return pool->places[place];
    for (unsigned i = 1; !udp && i < pool->size; i++) /* no descriptors: rather a worn one than none */
        udp = pool->places[(place + i) % pool->size];
    return udp;
}

/* Whether the query was lost on the way or by us makes no difference: the wait for a reply will tell. */
static bool is_loss(int error) {
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == EINTR;
}

static void transmit(struct carrier_host *host, struct pending *pending) {
    struct udp_socket *udp = pending->holder;
    uint8_t query[UPSTREAM_QUERY_MAX];
    size_t length = upstream_message_query(query, pending->question, pending->id, pending->edns);
    pending->sent = true;
    pending->sent_us = host->now_us;
    ssize_t sent = send(udp->fd, query, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == ECONNREFUSED) /* the word about an earlier query; it is said once */
        sent = send(udp->fd, query, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0 || is_loss(errno))
        return;
    pending->error = -errno;
    pending_remove(pending);
    pending_add(&host->unsendable, pending, NULL);
    if (!udp->pending)
        close_socket(udp);
}

static void transmit_all(struct carrier_host *host) {
    unsigned count = host->unsent_count;
    host->unsent_count = 0;
    host->now_us = uv_hrtime() / 1000;
    for (unsigned i = 0; i < count; i++)
        transmit(host, host->unsent[i]);
}

int udp_pool_send(struct udp_pool *pool, struct pending *pending) {
    if (!pool->places && !(pool->places = calloc(pool->size, sizeof(struct udp_socket *))))
        return -ENOMEM;
    int error = 0;
    struct udp_socket *udp = pick(pool, &error);
    if (!udp)
        return error;
    struct carrier_host *host = pool->host;
    pending->id = pending_fresh_id(udp->pending, &host->entropy);
    pending->sent = false;
    pending->sent_us = host->now_us;
    if (udp->uses_left > 0)
        udp->uses_left--;
    pending_add(&udp->pending, pending, udp);
    if (host->unsent_count == CARRIER_UNSENT)
        transmit_all(host);
    host->unsent[host->unsent_count++] = pending;
    return 0;
}

void udp_pool_flush(struct carrier_host *host) {
    while (host->unsent_count > 0 || host->unsendable) {
        transmit_all(host);
        while (host->unsendable) {
            struct pending *pending = host->unsendable;
            pending_remove(pending);
            host->failed(pending, pending->error);
        }
    }
}

void udp_pool_cancel(struct pending *pending) {
    struct udp_socket *udp = pending->holder;
    pending_remove(pending);
    if (!udp)
        return;
    unqueue(udp->pool->host, pending);
    close_if_drained(udp);
}

/* --- ageing, the end --- */

void udp_pool_sweep(struct udp_pool *pool, uint64_t now_ms) {
    for (unsigned i = 0; pool->places && i < pool->size; i++) {
        struct udp_socket *udp = pool->places[i];
        if (udp && is_worn(udp, now_ms))
            retire(udp);
    }
}

void udp_pool_close(struct udp_pool *pool) {
    for (unsigned i = 0; pool->places && i < pool->size; i++)
        if (pool->places[i])
            close_socket(pool->places[i]);
    while (pool->draining)
        close_socket(pool->draining);
}

bool udp_pool_is_closed(const struct udp_pool *pool) {
    return pool->sockets == 0;
}

void udp_pool_free(struct udp_pool *pool) {
    while (pool->spare) {
        struct udp_socket *spare = pool->spare;
        pool->spare = spare->next;
        free(spare);
    }
    free(pool->places);
    pool->places = NULL;
}
