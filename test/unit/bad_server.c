/* test/unit/bad_server.c: the server that misbehaves as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/bad_server.h"

struct tcp_peer {
    uv_tcp_t tcp;
    struct server_under_test *server;
    size_t have;
    uint8_t buffer[4096];
};

static uint8_t *put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value;
    return at + 2;
}

/* Header and question of `query`, with flags and counts. Returns the end. */
static uint8_t *reply_begin(uint8_t *out, const uint8_t *query, size_t question_end, unsigned flags, unsigned answers,
                            unsigned authority, unsigned additional) {
    memcpy(out, query, question_end);
    put16(out + 2, flags);
    put16(out + 4, 1), put16(out + 6, answers), put16(out + 8, authority), put16(out + 10, additional);
    return out + question_end;
}

static uint8_t *put_address(uint8_t *at) {
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1};
    memcpy(at, record, sizeof(record));
    return at + sizeof(record);
}

static size_t question_end(const uint8_t *query) {
    size_t at = 12;
    while (query[at])
        at += query[at] + 1u;
    return at + 5;
}

static size_t make_answer(uint8_t *out, const uint8_t *query) {
    return (size_t)(put_address(reply_begin(out, query, question_end(query), 0x8180, 1, 0, 0)) - out);
}

static size_t make_reply(struct server_under_test *server, uint8_t *out, const uint8_t *query, bool tcp) {
    static const uint8_t ede[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 6};
    static const uint8_t ns[] = {0, 0, 2, 0, 1, 0, 0, 1, 44, 0, 1, 0};
    size_t end = question_end(query);
    uint8_t *at;
    switch (server->manner) {
    case MANNER_TRUNCATE:
    case MANNER_CUT:
    case MANNER_ONE:
        if (!tcp)
            return (size_t)(reply_begin(out, query, end, 0x8380, 0, 0, 0) - out);
        return make_answer(out, query);
    case MANNER_SERVFAIL:
        at = reply_begin(out, query, end, 0x8182, 0, 0, 1);
        memcpy(at, ede, sizeof(ede));
        return (size_t)(at - out) + sizeof(ede);
    case MANNER_REFERRAL:
        at = reply_begin(out, query, end, 0x8000, 0, 1, 0);
        memcpy(at, ns, sizeof(ns));
        return (size_t)(at - out) + sizeof(ns);
    case MANNER_PLAIN:
        if (query[11] == 0)
            return make_answer(out, query);
        memset(out, 0, 12);
        memcpy(out, query, 2);
        put16(out + 2, 0x8181);
        return 12;
    case MANNER_GARBAGE:
        return make_answer(out, query) - 3;
    default:
        return make_answer(out, query);
    }
}

static void udp_send(struct server_under_test *server, const struct sockaddr *to, const uint8_t *message, size_t length) {
    uv_buf_t buf = uv_buf_init((char *)message, (unsigned)length);
    assert_true(uv_udp_try_send(&server->udp, &buf, 1, to) > 0);
}

/* All that an attacker might send who knows more than he should, to the very port. */
static void send_spoofs(struct server_under_test *server, const struct sockaddr *to, const uint8_t *query) {
    uint8_t out[512];
    size_t length = make_answer(out, query);
    out[1] ^= 1; /* id */
    udp_send(server, to, out, length);
    out[1] ^= 1, out[13] ^= 2; /* name */
    udp_send(server, to, out, length);
    out[13] ^= 2, out[question_end(query) - 3] ^= 1; /* type */
    udp_send(server, to, out, length);
    out[question_end(query) - 3] ^= 1, out[question_end(query) - 1] ^= 2; /* class */
    udp_send(server, to, out, length);
    out[question_end(query) - 1] ^= 2, out[2] ^= 0x80; /* a query, not a response */
    udp_send(server, to, out, length);
    out[2] ^= 0x80, out[2] ^= 0x28; /* another opcode */
    udp_send(server, to, out, length);
    out[2] ^= 0x28, out[5] = 0; /* no question */
    udp_send(server, to, out, length);
    out[5] = 2; /* two questions */
    udp_send(server, to, out, length);
    for (unsigned i = 0; i < SHORT_SPOOFS; i++) /* more than are read in one go */
        udp_send(server, to, out, 11);
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* all right, but from another port: the kernel drops it */
    out[5] = 1;
    assert_int_equal(sendto(other, out, length, 0, to, sizeof(struct sockaddr_in)), (ssize_t)length);
    close(other);
}

static void note_query(struct server_under_test *server, const uint8_t *query, size_t length) {
    size_t end = question_end(query);
    memcpy(server->flags, query + 2, 2);
    server->dnssec_ok = length > end + 7 && (query[end + 7] & 0x80);
    server->plain += query[11] == 0;
    server->queries++;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    static char buffer[4096];
    *buf = uv_buf_init(buffer, sizeof(buffer));
}

struct late_reply {
    uv_timer_t timer;
    struct server_under_test *server;
    struct sockaddr_in to;
    uint8_t message[512];
    size_t length;
};

static void free_late(uv_handle_t *handle) {
    free(handle->data);
}

static void on_late(uv_timer_t *timer) {
    struct late_reply *late = timer->data;
    udp_send(late->server, (const struct sockaddr *)&late->to, late->message, late->length);
    uv_close((uv_handle_t *)timer, free_late);
}

static void reply_late(struct server_under_test *server, const struct sockaddr *to, const uint8_t *query) {
    struct late_reply *late = calloc(1, sizeof(*late));
    late->server = server;
    memcpy(&late->to, to, sizeof(late->to));
    late->length = make_answer(late->message, query);
    uv_timer_init(server->udp.loop, &late->timer);
    late->timer.data = late;
    uv_timer_start(&late->timer, on_late, 600, 0);
}

static void on_datagram(uv_udp_t *udp, ssize_t count, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags) {
    struct server_under_test *server = udp->data;
    const uint8_t *query = (const uint8_t *)buf->base;
    if (count <= 0 || !from)
        return;
    server->ports[server->queries % PORTS_MAX] = ntohs(((const struct sockaddr_in *)from)->sin_port);
    server->ids[server->queries % PORTS_MAX] = (uint16_t)(query[0] << 8 | query[1]);
    note_query(server, query, (size_t)count);
    if (server->manner == MANNER_SILENT)
        return;
    if (server->manner == MANNER_SPOOF)
        send_spoofs(server, from, query);
    if (server->manner == MANNER_LATE) {
        reply_late(server, from, query);
        return;
    }
    uint8_t out[512];
    size_t length = make_reply(server, out, query, false);
    udp_send(server, from, out, length);
}

static void free_peer(uv_handle_t *handle) {
    free(handle->data);
}

static void on_frames(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    struct tcp_peer *peer = stream->data;
    if (count < 0) {
        uv_close((uv_handle_t *)stream, free_peer);
        return;
    }
    memcpy(peer->buffer + peer->have, buf->base, (size_t)count);
    peer->have += (size_t)count;
    size_t at = 0, length;
    while (peer->have - at > 2 && (length = (size_t)(peer->buffer[at] << 8 | peer->buffer[at + 1])) <= peer->have - at - 2) {
        uint8_t out[514];
        note_query(peer->server, peer->buffer + at + 2, length);
        peer->server->over_tcp++;
        if (peer->server->manner == MANNER_CUT && peer->server->over_tcp == 2) {
            uv_close((uv_handle_t *)stream, free_peer);
            return;
        }
        size_t size = make_reply(peer->server, out + 2, peer->buffer + at + 2, true);
        put16(out, (unsigned)size);
        unsigned step = peer->server->manner == MANNER_ONE ? (unsigned)size + 2 : 1; /* else in the smallest pieces there are */
        for (size_t k = 0; k < size + 2; k += step) {
            uv_buf_t piece = uv_buf_init((char *)out + k, step);
            assert_int_equal(uv_try_write(stream, &piece, 1), step);
        }
        if (peer->server->manner == MANNER_ONE) {
            uv_close((uv_handle_t *)stream, free_peer);
            return;
        }
        at += 2 + length;
    }
    peer->have -= at;
    memmove(peer->buffer, peer->buffer + at, peer->have);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct server_under_test *server = listener->data;
    struct tcp_peer *peer = calloc(1, sizeof(*peer));
    assert_int_equal(status, 0);
    peer->server = server;
    uv_tcp_init(listener->loop, &peer->tcp);
    peer->tcp.data = peer;
    uv_accept(listener, (uv_stream_t *)&peer->tcp);
    uv_tcp_nodelay(&peer->tcp, 1);
    uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_frames);
    server->connections++;
}

void server_start(struct server_under_test *server, uv_loop_t *loop, enum manner manner) {
    int length = sizeof(server->address), error;
    do {
        memset(server, 0, sizeof(*server));
        uv_udp_init(loop, &server->udp);
        uv_tcp_init(loop, &server->tcp);
        uv_ip4_addr("127.0.0.1", 0, &server->address);
        assert_int_equal(uv_udp_bind(&server->udp, (struct sockaddr *)&server->address, 0), 0);
        uv_udp_getsockname(&server->udp, (struct sockaddr *)&server->address, &length);
        error = uv_tcp_bind(&server->tcp, (struct sockaddr *)&server->address, 0);
        server->udp.data = server->tcp.data = server;
        if (error == 0)
            error = uv_listen((uv_stream_t *)&server->tcp, 16, on_connection);
        if (error < 0) {
            uv_close((uv_handle_t *)&server->udp, NULL);
            uv_close((uv_handle_t *)&server->tcp, NULL);
            uv_run(loop, UV_RUN_NOWAIT);
        }
    } while (error < 0);
    server->manner = manner;
    uv_udp_recv_start(&server->udp, on_alloc, on_datagram);
}

void server_stop(struct server_under_test *server) {
    uv_close((uv_handle_t *)&server->udp, NULL);
    uv_close((uv_handle_t *)&server->tcp, NULL);
}
