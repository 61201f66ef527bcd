/* resolver/upstream_tcp.c: length-prefixed queries and replies over one connection. */
#include "resolver/upstream_tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_PREFIX = 2, FRAME_MAX = FRAME_PREFIX + 65535 };

struct tcp_connection {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct upstream_tcp *owner;
    struct tcp_connection *next, **link; /* the owner's */
    struct pending *pending;
    uint64_t active_ms; /* last sign of life, or last query when there was none pending */
    bool open;          /* connected */
    unsigned carried;   /* queries */
    unsigned served;    /* replies that came over it */
    bool owing;         /* when the last one came, others were still awaited */
    size_t have;        /* octets in buffer */
    uint8_t buffer[FRAME_MAX];
};

/* A write that the kernel did not take whole. */
struct tcp_write {
    uv_write_t request;
    uint8_t octets[FRAME_PREFIX + UPSTREAM_QUERY_MAX];
};

void upstream_tcp_init(struct upstream_tcp *tcp, struct carrier_host *host, const struct sockaddr *address) {
    *tcp = (struct upstream_tcp){.host = host, .address = address};
}

static void on_closed(uv_handle_t *handle) {
    struct tcp_connection *connection = handle->data;
    struct carrier_host *host = connection->owner->host;
    connection->owner->connections--;
    free(connection);
    if (--host->handles == 0)
        host->closed(host);
}

static void close_connection(struct tcp_connection *connection) {
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    connection->owner->host->descriptors--;
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

static bool is_full(const struct tcp_connection *connection) {
    const struct upstream_tcp *tcp = connection->owner;
    return tcp->quota > 0 && connection->carried >= tcp->quota && uv_now(tcp->host->loop) < tcp->quota_ms;
}

/* The server closed the connection while replies were awaited. Had it been idle before, that was bad luck; else it is its way. With
 * no reply at all it may have been one that the closing overtook: what a server hasn't read makes its system reset a connection. */
static void learn_quota(const struct tcp_connection *connection) {
    struct upstream_tcp *tcp = connection->owner;
    if (connection->served > 0 ? !connection->owing : connection->carried < 2)
        return;
    tcp->quota = connection->served > 0 ? connection->served : 1;
    tcp->quota_ms = uv_now(tcp->host->loop) + TCP_QUOTA_MS;
}

/* Ends the connection and tells whoever waits on it; they may ask again at once, over a new one. */
static void break_connection(struct tcp_connection *connection, int error) {
    struct carrier_host *host = connection->owner->host;
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    if (connection->pending && error != -ETIMEDOUT && error != -ECANCELED)
        learn_quota(connection);
    struct pending *doomed = pending_detach(&connection->pending, &doomed);
    close_connection(connection);
    while (doomed) {
        struct pending *pending = doomed;
        pending_remove(pending);
        pending->excused = connection->served > 0 || connection->carried > 1;
        host->failed(pending, error);
    }
}

static void on_written(uv_write_t *request, int status) {
    struct tcp_connection *connection = request->handle->data;
    free(request->data);
    if (status < 0)
        break_connection(connection, status);
}

/* 0 or -errno: then the connection is of no use. */
static int write_query(struct tcp_connection *connection, struct pending *pending) {
    uint8_t frame[FRAME_PREFIX + UPSTREAM_QUERY_MAX];
    size_t length = upstream_message_query(frame + FRAME_PREFIX, pending->question, pending->id, pending->edns);
    frame[0] = (uint8_t)(length >> 8);
    frame[1] = (uint8_t)length;
    length += FRAME_PREFIX;
    pending->sent = true;
    uv_buf_t buf = uv_buf_init((char *)frame, (unsigned)length);
    int taken = uv_try_write((uv_stream_t *)&connection->tcp, &buf, 1);
    if (taken == (int)length)
        return 0;
    if (taken < 0 && taken != UV_EAGAIN)
        return taken;
    size_t done = taken > 0 ? (size_t)taken : 0;
    struct tcp_write *rest = malloc(sizeof(*rest));
    if (!rest)
        return -ENOMEM;
    memcpy(rest->octets, frame + done, length - done);
    rest->request.data = rest;
    buf = uv_buf_init((char *)rest->octets, (unsigned)(length - done));
    int error = uv_write(&rest->request, (uv_stream_t *)&connection->tcp, &buf, 1, on_written);
    if (error < 0)
        free(rest);
    return error;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    struct tcp_connection *connection = handle->data;
    *buf = uv_buf_init((char *)connection->buffer + connection->have, (unsigned)(FRAME_MAX - connection->have));
}

/* One whole message. A reply that fits nothing is passed over: it may be late, its asker gone. */
static void take_message(struct tcp_connection *connection, const uint8_t *message, size_t length) {
    struct carrier_host *host = connection->owner->host;
    struct reply reply;
    struct pending *pending = pending_judge(host, connection->pending, message, length, &reply);
    if (!pending)
        return;
    if (reply.kind == REPLY_TRUNCATED)
        reply.kind = REPLY_REFUSAL; /* TC over TCP: nothing more is to be had here */
    pending_remove(pending);
    connection->served++;
    connection->owing = connection->pending != NULL;
    host->reply(pending, &reply, message, length);
    if (!connection->pending && is_full(connection) && !uv_is_closing((uv_handle_t *)&connection->tcp))
        close_connection(connection);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    struct tcp_connection *connection = stream->data;
    if (count <= 0) {
        if (count < 0)
            break_connection(connection, count == UV_EOF ? -ECONNRESET : (int)count);
        return;
    }
    connection->active_ms = uv_now(connection->owner->host->loop);
    connection->have += (size_t)count;
    size_t at = 0;
    while (connection->have - at >= FRAME_PREFIX && !uv_is_closing((uv_handle_t *)stream)) {
        size_t length = (size_t)(connection->buffer[at] << 8 | connection->buffer[at + 1]);
        if (connection->have - at - FRAME_PREFIX < length)
            break;
        take_message(connection, connection->buffer + at + FRAME_PREFIX, length);
        at += FRAME_PREFIX + length;
    }
    connection->have -= at;
    memmove(connection->buffer, connection->buffer + at, connection->have);
}

static void on_connected(uv_connect_t *request, int status) {
    struct tcp_connection *connection = request->handle->data;
    if (status == UV_ECANCELED)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read);
    connection->open = status == 0;
    connection->active_ms = uv_now(connection->owner->host->loop);
    for (struct pending *pending = connection->pending; pending && status == 0; pending = pending->next)
        status = write_query(connection, pending);
    if (status < 0)
        break_connection(connection, status);
}

static int open_connection(struct upstream_tcp *tcp) {
    struct carrier_host *host = tcp->host;
    struct tcp_connection *connection = malloc(sizeof(*connection));
    if (!connection)
        return -ENOMEM;
    memset(connection, 0, offsetof(struct tcp_connection, buffer));
    connection->owner = tcp;
    connection->active_ms = uv_now(host->loop);
    int error = uv_tcp_init(host->loop, &connection->tcp);
    if (error < 0) {
        free(connection);
        return error;
    }
    connection->tcp.data = connection;
    connection->next = tcp->connection;
    connection->link = &tcp->connection;
    if (connection->next)
        connection->next->link = &connection->next;
    tcp->connection = connection;
    tcp->connections++;
    host->handles++;
    if (host->descriptors++ == 0)
        host->opened(host);
    uv_tcp_nodelay(&connection->tcp, 1);
    error = uv_tcp_connect(&connection->connect, &connection->tcp, tcp->address, on_connected);
    if (error < 0)
        close_connection(connection);
    return error;
}

int upstream_tcp_send(struct upstream_tcp *tcp, struct pending *pending) {
    bool another = !tcp->connection || (is_full(tcp->connection) && tcp->connections < TCP_CONNECTIONS);
    int error = another ? open_connection(tcp) : 0;
    if (error < 0)
        return error;
    struct tcp_connection *connection = tcp->connection;
    if (!connection->pending)
        connection->active_ms = uv_now(tcp->host->loop);
    pending->id = pending_fresh_id(connection->pending, &tcp->host->entropy);
    pending->sent = false;
    pending->sent_us = uv_hrtime() / 1000;
    connection->carried++;
    pending_add(&connection->pending, pending, connection);
    if (connection->open)
        (void)write_query(connection, pending); /* a broken connection tells the read side, which tells whoever waits */
    return 0;
}

void upstream_tcp_cancel(struct pending *pending) {
    pending_remove(pending);
}

void upstream_tcp_sweep(struct upstream_tcp *tcp, uint64_t now_ms) {
    for (struct tcp_connection *connection = tcp->connection, *next; connection; connection = next) {
        next = connection->next;
        uint64_t quiet = now_ms - connection->active_ms;
        if (quiet >= (connection->pending ? TCP_STUCK_MS : TCP_IDLE_MS))
            break_connection(connection, -ETIMEDOUT);
    }
}

void upstream_tcp_close(struct upstream_tcp *tcp) {
    while (tcp->connection)
        break_connection(tcp->connection, -ECANCELED);
}

bool upstream_tcp_is_closed(const struct upstream_tcp *tcp) {
    return tcp->connections == 0;
}
