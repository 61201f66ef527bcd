/* resolver/udp_pool.c: random ports for little money. */
#include "resolver/udp_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PORT_MIN = 1024,
    PORT_TRIES = 16, /* ports drawn before the kernel is asked for any */
    SPARES_MAX = 64,
    NOT_PLACED = UINT16_MAX,
};

struct udp_socket {
    uv_poll_t poll;
    struct udp_pool *pool;
    struct pending *pending;
    struct udp_socket *next, **link; /* among draining, or next spare */
    uint64_t born_ms;
    int fd;
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

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *handle) {
    struct udp_socket *udp = handle->data;
    struct udp_pool *pool = udp->pool;
    struct carrier_host *host = pool->host;
    pool->sockets--;
    if (pool->spares < SPARES_MAX) {
        udp->next = pool->spare;
        pool->spare = udp;
        pool->spares++;
    } else {
        free(udp);
    }
    if (--host->handles == 0)
        host->closed(host);
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
    uv_close((uv_handle_t *)&udp->poll, on_closed);
    close(udp->fd);
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

/* Opens a socket for the place; the one that was there goes only then. */
static int fill_place(struct udp_pool *pool, uint16_t place) {
    struct udp_socket *udp = pool->spare;
    if (udp) {
        pool->spare = udp->next;
        pool->spares--;
    } else if (!(udp = malloc(sizeof(*udp)))) {
        return -ENOMEM;
    }
    struct carrier_host *host = pool->host;
    int fd = open_socket(pool);
    int error = fd < 0 ? fd : uv_poll_init(host->loop, &udp->poll, fd);
    if (error < 0) {
        if (fd >= 0)
            close(fd);
        free(udp);
        return error;
    }
    udp->poll.data = udp;
    udp->pool = pool;
    udp->pending = NULL;
    udp->born_ms = uv_now(host->loop);
    udp->fd = fd;
    udp->uses_left = pool->size < UDP_POOL_FULL ? 1 : UDP_USES;
    udp->place = place;
    if (pool->places[place])
        retire(pool->places[place]);
    pool->places[place] = udp;
    pool->sockets++;
    host->handles++;
    if (host->descriptors++ == 0)
        host->opened(host);
    uv_poll_start(&udp->poll, UV_READABLE, on_readable);
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

static void take_reply(struct udp_socket *udp, const uint8_t *message, size_t length, bool cut) {
    struct carrier_host *host = udp->pool->host;
    struct pending *pending = pending_find(udp->pending, message, length);
    struct reply reply = {.kind = REPLY_MISMATCH};
    if (pending && pending->sent)
        reply = upstream_message_judge(pending->question, pending->id, pending->edns, message, length);
    if (reply.kind == REPLY_MISMATCH) {
        host->mismatch(host);
        return;
    }
    if (cut && reply.kind == REPLY_ANSWER)
        reply.kind = REPLY_TRUNCATED;
    pending_remove(pending);
    close_if_drained(udp);
    host->reply(pending, &reply, message, length);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct udp_socket *udp = poll->data;
    uint8_t *buffer = udp->pool->host->buffer;
    if (status < 0)
        uv_poll_start(poll, UV_READABLE, on_readable); /* libuv stops at an error, even at one that is over when recv asks */
    ssize_t length = recv(udp->fd, buffer, UDP_REPLY_MAX, MSG_DONTWAIT | MSG_TRUNC);
    bool cut = length > UDP_REPLY_MAX;
    if (length >= 0)
        take_reply(udp, buffer, cut ? UDP_REPLY_MAX : (size_t)length, cut);
    else if (errno != EAGAIN && errno != EINTR)
        fail_all(udp, -errno);
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

/* The next place in turn, where one of the half that rested longest was put. */
static uint16_t rested_place(struct udp_pool *pool) {
    unsigned here = pool->turn, there = (here + entropy_below(&pool->host->entropy, (pool->size + 1) / 2)) % pool->size;
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
