/* resolver/listener.c: one worker's UDP: receives in batches, answers in batches. */
#include "resolver/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hits/record.h"
#include "resolver/proxy.h"
#include "resolver/query.h"
#include "resolver/sockets.h"

enum {
    ROUNDS = 8,     /* batches read per wake-up, so that one busy socket doesn't starve the loop */
    PACKET_GAP = 64 /* keeps buffers from falling onto the same cache sets, which a power of two would do */
};

struct udp_socket {
    uv_poll_t poll;
    struct listener *listener;
    struct udp_socket *next;
    struct sockaddr_storage address;
    int fd;
    unsigned owed; /* answers to come later */
    bool wildcard;
    bool removed; /* takes nothing more; closed when owed is 0 */
    bool closing;
};

union control {
    struct cmsghdr align;
    uint8_t room[CMSG_SPACE(sizeof(struct in6_pktinfo)) > CMSG_SPACE(sizeof(struct in_pktinfo))
                     ? CMSG_SPACE(sizeof(struct in6_pktinfo))
                     : CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* What a message's answer needs to find its way, beside what the worker is told of it. */
struct received {
    unsigned at; /* in in[] */
    struct ip local;
    uint32_t interface;
};

struct listener {
    struct worker *worker;
    struct udp_socket *sockets;
    struct udp_socket *outgoing; /* whose messages stand in out[] */
    unsigned out_count;
    struct udp_socket *ready; /* whose kind of socket in[] is laid out for */

    struct mmsghdr in[LISTENER_BATCH], out[LISTENER_BATCH];
    struct iovec in_data[LISTENER_BATCH], out_data[LISTENER_BATCH];
    union peer in_peer[LISTENER_BATCH], out_peer[LISTENER_BATCH];
    union control in_control[LISTENER_BATCH], out_control[LISTENER_BATCH];
    struct incoming incoming[WORKER_BATCH];
    struct received received[WORKER_BATCH];
    uint8_t in_packet[LISTENER_BATCH][LISTENER_PACKET_MAX + PACKET_GAP];
    uint8_t out_packet[LISTENER_BATCH][QUERY_UDP_MAX + PACKET_GAP];
};

struct listener *listener_new(struct worker *worker) {
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return NULL;
    listener->worker = worker;
    for (unsigned i = 0; i < LISTENER_BATCH; i++) {
        listener->in_data[i] = (struct iovec){listener->in_packet[i], LISTENER_PACKET_MAX};
        listener->in[i].msg_hdr =
            (struct msghdr){.msg_name = &listener->in_peer[i], .msg_iov = &listener->in_data[i], .msg_iovlen = 1};
        listener->out_data[i].iov_base = listener->out_packet[i];
        listener->out[i].msg_hdr =
            (struct msghdr){.msg_name = &listener->out_peer[i], .msg_iov = &listener->out_data[i], .msg_iovlen = 1};
    }
    return listener;
}

void listener_flush(struct listener *listener) {
    unsigned sent = 0, lost = 0;
    while (sent + lost < listener->out_count) {
        int rc = sendmmsg(listener->outgoing->fd, listener->out + sent + lost, listener->out_count - sent - lost, MSG_DONTWAIT);
        if (rc > 0)
            sent += (unsigned)rc;
        else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            lost = listener->out_count - sent; /* the kernel is full: waiting would only delay those who can be answered */
        else if (errno != EINTR)
            lost++; /* this one's address can't be reached; the others may */
    }
    if (lost > 0)
        stat_add(worker_counters(listener->worker), STAT_SENT_LOST, lost);
    listener->out_count = 0;
}

/* The next place in the outgoing batch, for this socket. */
static unsigned reserve(struct listener *listener, struct udp_socket *sock) {
    if (listener->out_count == LISTENER_BATCH || (listener->out_count > 0 && listener->outgoing != sock))
        listener_flush(listener);
    listener->outgoing = sock;
    return listener->out_count;
}

/* Puts the source address into the control data of an outgoing message. */
static void set_local(struct msghdr *message, union control *control, const struct ip *local, uint32_t interface) {
    message->msg_control = control;
    struct cmsghdr *header = &control->align;
    if (ip_is_v4(local)) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->bytes + 12, 4);
        *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(header), &info, sizeof info);
        message->msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = interface};
        memcpy(&info.ipi6_addr, local->bytes, 16);
        *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
        memcpy(CMSG_DATA(header), &info, sizeof info);
        message->msg_controllen = CMSG_SPACE(sizeof info);
    }
}

/* Which of our addresses was asked. False if the kernel didn't say. */
static bool get_local(struct msghdr *message, struct ip *local, uint32_t *interface) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof info);
            *local = ip_from_v4((const uint8_t *)&info.ipi_spec_dst);
            *interface = 0;
            return true;
        }
        if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof info);
            if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
                return false;
            *local = ip_from_v6((const uint8_t *)&info.ipi6_addr);
            *interface = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
            return true;
        }
    }
    return false;
}

static socklen_t peer_length(const union peer *peer) {
    return peer->any.sa_family == AF_INET ? sizeof peer->v4 : sizeof peer->v6;
}

static struct client client_of(const union peer *peer) {
    struct client client = {.protocol = PROTOCOL_UDP};
    if (peer->any.sa_family == AF_INET) {
        client.address = ip_from_v4((const uint8_t *)&peer->v4.sin_addr);
        client.port = ntohs(peer->v4.sin_port);
    } else {
        client.address = ip_from_v6((const uint8_t *)&peer->v6.sin6_addr);
        client.port = ntohs(peer->v6.sin6_port);
    }
    return client;
}

static void close_socket(struct udp_socket *sock);

static void deliver(struct origin *origin, enum outcome outcome, const uint8_t *message, size_t length) {
    struct udp_socket *sock = origin->carrier;
    struct listener *listener = sock->listener;
    if (outcome == OUTCOME_SEND) {
        unsigned at = reserve(listener, sock);
        if (length > QUERY_UDP_MAX)
            length = QUERY_UDP_MAX;
        memcpy(listener->out_packet[at], message, length);
        listener->out_data[at].iov_len = length;
        listener->out_peer[at] = origin->peer;
        listener->out[at].msg_hdr.msg_namelen = peer_length(&origin->peer);
        if (sock->wildcard)
            set_local(&listener->out[at].msg_hdr, &listener->out_control[at], &origin->local, origin->interface);
        else
            listener->out[at].msg_hdr.msg_controllen = 0;
        listener->out_count++;
    }
    if (--sock->owed == 0 && sock->removed)
        close_socket(sock);
}

/* Takes a PROXY header of a trusted sender off the message at *packet, and puts whom it names in the sender's place. False if the
 * message is to be dropped. */
static bool unwrap(struct client *client, const uint8_t **packet, size_t *length) {
    struct proxy proxy;
    int header = proxy_parse(*packet, *length, &proxy);
    if (header < 0 || (size_t)header > *length)
        return false;
    if (header > 0 && proxy.named) {
        client->address = proxy.address;
        client->port = proxy.port;
    }
    *packet += header;
    *length -= (size_t)header;
    return true;
}

/* Makes the message at `at` the n-th of those to be answered. False if there is nobody to answer. */
static bool accept_message(struct listener *listener, const struct udp_socket *sock, unsigned at, unsigned n) {
    struct mmsghdr *in = &listener->in[at];
    struct received *received = &listener->received[n];
    struct incoming *incoming = &listener->incoming[n];
    *received = (struct received){.at = at};
    if (sock->wildcard && !get_local(&in->msg_hdr, &received->local, &received->interface))
        return false;
    incoming->client = client_of(&listener->in_peer[at]);
    if (incoming->client.port == 0)
        return false; /* can't be answered; only a forger asks from it */
    incoming->packet = listener->in_packet[at];
    incoming->length = in->msg_len;
    incoming->whole = (in->msg_hdr.msg_flags & MSG_TRUNC) == 0;
    incoming->client.trusted = worker_trusts(listener->worker, &incoming->client.address);
    if (incoming->client.trusted && !unwrap(&incoming->client, &incoming->packet, &incoming->length)) {
        stat_add(worker_counters(listener->worker), STAT_BAD_PACKETS, 1);
        return false;
    }
    return true;
}

/* The n-th accepted message: answered into the outgoing batch, or not. */
static void answer(struct listener *listener, struct udp_socket *sock, unsigned n) {
    const struct received *received = &listener->received[n];
    unsigned at = reserve(listener, sock);
    size_t length;
    struct origin *origin;
    enum outcome outcome = worker_receive(listener->worker, &listener->incoming[n], listener->out_packet[at], &length, &origin);
    if (outcome == OUTCOME_SEND) {
        listener->out_data[at].iov_len = length;
        listener->out_peer[at] = listener->in_peer[received->at];
        listener->out[at].msg_hdr.msg_namelen = listener->in[received->at].msg_hdr.msg_namelen;
        if (sock->wildcard)
            set_local(&listener->out[at].msg_hdr, &listener->out_control[at], &received->local, received->interface);
        else
            listener->out[at].msg_hdr.msg_controllen = 0;
        listener->out_count++;
    } else if (outcome == OUTCOME_LATER) {
        origin->deliver = deliver;
        origin->carrier = sock;
        origin->peer = listener->in_peer[received->at];
        origin->local = received->local;
        origin->interface = received->interface;
        sock->owed++;
    }
}

/* Received messages [from, to): all are accepted and expected before the first is answered. */
static void answer_some(struct listener *listener, struct udp_socket *sock, unsigned from, unsigned to) {
    unsigned count = 0;
    for (unsigned at = from; at < to; at++)
        count += accept_message(listener, sock, at, count);
    worker_expect(listener->worker, listener->incoming, count);
    for (unsigned n = 0; n < count; n++)
        answer(listener, sock, n);
}

/* Lays out the first `count` headers for the kernel to fill. It overwrites what it used, so only that is laid out again. */
static void lay_out(struct listener *listener, const struct udp_socket *sock, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        listener->in[i].msg_hdr.msg_namelen = sizeof listener->in_peer[i];
        listener->in[i].msg_hdr.msg_control = sock->wildcard ? &listener->in_control[i] : NULL;
        listener->in[i].msg_hdr.msg_controllen = sock->wildcard ? sizeof listener->in_control[i] : 0;
    }
}

/* Reads one batch and answers it. Returns true if there may be more. */
static bool turn(struct listener *listener, struct udp_socket *sock) {
    if (listener->ready != sock)
        lay_out(listener, sock, LISTENER_BATCH);
    listener->ready = sock;
    int got = recvmmsg(sock->fd, listener->in, LISTENER_BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0)
        return got < 0 && errno != EAGAIN && errno != EWOULDBLOCK; /* an ICMP error was read off the socket: read on */
    worker_tick(listener->worker);
    unsigned count = (unsigned)got;
    for (unsigned from = 0; from < count; from += WORKER_BATCH)
        answer_some(listener, sock, from, count - from < WORKER_BATCH ? count : from + WORKER_BATCH);
    lay_out(listener, sock, count);
    listener_flush(listener);
    return count == LISTENER_BATCH;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct udp_socket *sock = poll->data;
    for (unsigned round = 0; round < ROUNDS && !sock->removed && turn(sock->listener, sock); round++)
        ;
}

int listener_add(struct listener *listener, int fd, const struct sockaddr_storage *address) {
    struct udp_socket *sock = calloc(1, sizeof *sock);
    int rc = -ENOMEM;
    if (sock == NULL)
        goto fail;
    *sock = (struct udp_socket){.listener = listener, .address = *address, .fd = fd, .wildcard = sockets_wildcard(address)};
    rc = uv_poll_init(worker_loop(listener->worker), &sock->poll, fd);
    if (rc != 0)
        goto fail;
    sock->poll.data = sock;
    sock->next = listener->sockets;
    listener->sockets = sock;
    return uv_poll_start(&sock->poll, UV_READABLE, on_readable);
fail:
    free(sock);
    close(fd);
    return rc;
}

static void on_closed(uv_handle_t *handle) {
    struct udp_socket *sock = handle->data;
    close(sock->fd);
    for (struct udp_socket **link = &sock->listener->sockets; *link != NULL; link = &(*link)->next) {
        if (*link == sock) {
            *link = sock->next;
            break;
        }
    }
    free(sock);
}

static void close_socket(struct udp_socket *sock) {
    if (sock->closing)
        return;
    sock->closing = true;
    if (sock->listener->outgoing == sock)
        listener_flush(sock->listener);
    uv_close((uv_handle_t *)&sock->poll, on_closed);
}

static void retire(struct udp_socket *sock) {
    if (sock->removed)
        return;
    on_readable(&sock->poll, 0, UV_READABLE);
    sock->removed = true;
    uv_poll_stop(&sock->poll);
    if (sock->owed == 0)
        close_socket(sock);
}

void listener_remove(struct listener *listener, const struct sockaddr_storage *address) {
    for (struct udp_socket *sock = listener->sockets; sock != NULL; sock = sock->next)
        if (memcmp(&sock->address, address, sizeof *address) == 0)
            retire(sock);
}

void listener_close(struct listener *listener) {
    for (struct udp_socket *sock = listener->sockets; sock != NULL; sock = sock->next) {
        sock->removed = true;
        close_socket(sock);
    }
}

void listener_free(struct listener *listener) {
    free(listener);
}
