/* resolver/stream.c: one worker's TCP: connections, framing, pipelining, limits. */
#include "resolver/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hits/record.h"
#include "resolver/acceptor.h"
#include "resolver/log.h"
#include "resolver/proxy.h"
#include "resolver/query.h"

enum {
    FRAME = 2,             /* octets of the length before a message */
    SWEEP_MS = 1000,       /* how often idle connections are looked for */
    BACKLOG = 256,         /* connections that wait to be accepted */
    CORK = 128 * 1024,     /* answers of one read leave together */
    STARVED_SAY_MS = 60000 /* between two words on connections that can't be taken */
};

/* An address that is listened on. */
struct door {
    struct door *next;
    struct acceptor *acceptor;
    struct sockaddr_storage address;
};

struct connection {
    uv_tcp_t handle;
    struct stream *stream;
    struct connection *next, **link;
    struct ip sender; /* the other end */
    struct client client;
    bool greeted;       /* the sender's PROXY header was read, or none is to come */
    bool proxied;       /* and names somebody else: holds as long as the sender is trusted */
    uint64_t since;     /* loop's ms: the last whole message, answer taken by the client, or the beginning */
    unsigned in_flight; /* origins out; the connection outlives them */
    unsigned writes;    /* handed to the loop, not yet taken by the kernel */
    bool reading;
    bool ended;   /* the client has closed its side, or we drain: end when nothing is owed */
    bool closing; /* uv_close was called */
    bool closed;  /* and is done */
    size_t skip;  /* octets of an oversized message still to be read past */
    size_t filled;
    uint8_t buffer[FRAME + STREAM_MESSAGE_MAX];
};

struct pending {
    uv_write_t request;
    struct connection *connection;
    uint8_t octets[];
};

struct stream {
    struct worker *worker;
    struct door *doors;
    struct connection *connections;
    unsigned count;
    uint64_t say_starved_at;
    uv_timer_t sweep;
    struct connection *corked; /* whose answers stand in cork */
    size_t cork_length;
    uint8_t cork[CORK + FRAME + QUERY_REPLY_MAX];
};

static uint64_t loop_now(const struct stream *stream) {
    return uv_now(worker_loop(stream->worker));
}

static void release(struct connection *connection) {
    if (connection->closed && connection->in_flight == 0)
        free(connection);
}

static void on_connection_closed(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    connection->closed = true;
    release(connection);
}

static void close_connection(struct connection *connection) {
    if (connection->closing)
        return;
    struct stream *stream = connection->stream;
    connection->closing = true;
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    stream->count--;
    uv_close((uv_handle_t *)&connection->handle, on_connection_closed);
}

/* Ends a connection that is owed nothing more. */
static void settle(struct connection *connection) {
    if (connection->ended && connection->in_flight == 0 && connection->writes == 0 && connection->stream->corked != connection)
        close_connection(connection);
}

static size_t behind(const struct connection *connection) {
    return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->handle);
}

static bool may_read(const struct connection *connection) {
    return !connection->ended && !connection->closing && connection->in_flight < STREAM_IN_FLIGHT &&
           behind(connection) < STREAM_QUEUE_MAX;
}

static void resume(struct connection *connection);

static void on_written(uv_write_t *request, int status) {
    struct pending *pending = (struct pending *)request;
    struct connection *connection = pending->connection;
    free(pending);
    connection->writes--;
    if (connection->closing)
        return;
    connection->since = loop_now(connection->stream);
    if (status != 0) {
        close_connection(connection);
        return;
    }
    resume(connection);
    settle(connection);
}

/* Sends framed octets: at once if the kernel takes them, else copied and queued. */
static void send_octets(struct connection *connection, const uint8_t *octets, size_t length) {
    uv_stream_t *handle = (uv_stream_t *)&connection->handle;
    uv_buf_t data = uv_buf_init((char *)octets, (unsigned)length);
    int taken = connection->writes == 0 ? uv_try_write(handle, &data, 1) : UV_EAGAIN;
    if (taken == (int)length)
        return;
    if (taken < 0 && taken != UV_EAGAIN) {
        close_connection(connection);
        return;
    }
    size_t from = taken > 0 ? (size_t)taken : 0;
    struct pending *pending = malloc(sizeof *pending + length - from);
    if (pending == NULL || behind(connection) > 4 * (size_t)STREAM_QUEUE_MAX) {
        free(pending);
        stat_add(worker_counters(connection->stream->worker), STAT_SENT_LOST, 1);
        close_connection(connection);
        return;
    }
    memcpy(pending->octets, octets + from, length - from);
    pending->connection = connection;
    data = uv_buf_init((char *)pending->octets, (unsigned)(length - from));
    if (uv_write(&pending->request, handle, &data, 1, on_written) != 0) {
        free(pending);
        close_connection(connection);
        return;
    }
    connection->writes++;
}

static void frame(uint8_t *at, size_t length) {
    at[0] = (uint8_t)(length >> 8);
    at[1] = (uint8_t)length;
}

static void flush_cork(struct stream *stream) {
    struct connection *connection = stream->corked;
    size_t length = stream->cork_length;
    stream->corked = NULL;
    stream->cork_length = 0;
    if (connection != NULL && length > 0 && !connection->closing)
        send_octets(connection, stream->cork, length);
}

static void deliver(struct origin *origin, enum outcome outcome, const uint8_t *message, size_t length) {
    struct connection *connection = origin->carrier;
    struct stream *stream = connection->stream;
    connection->in_flight--;
    if (connection->closing) {
        release(connection);
        return;
    }
    connection->since = loop_now(stream);
    if (outcome == OUTCOME_CLOSE) {
        close_connection(connection);
        return;
    }
    if (outcome == OUTCOME_SEND) {
        /* The cork is free here: answers come late, never while a read is being taken apart. */
        frame(stream->cork, length);
        memcpy(stream->cork + FRAME, message, length);
        send_octets(connection, stream->cork, FRAME + length);
    }
    if (!connection->closing)
        resume(connection);
    if (!connection->closing)
        settle(connection);
}

/* Answers one message into the cork. False if the connection is to be closed. */
static bool answer(struct connection *connection, const uint8_t *message, size_t length, bool whole) {
    struct stream *stream = connection->stream;
    connection->client.trusted = worker_trusts(stream->worker, &connection->sender);
    if (connection->proxied && !connection->client.trusted)
        return false;
    struct incoming incoming = {.client = connection->client, .packet = message, .length = length, .whole = whole};
    uint8_t *out = stream->cork + stream->cork_length;
    size_t out_length;
    struct origin *origin;
    enum outcome outcome = worker_receive(stream->worker, &incoming, out + FRAME, &out_length, &origin);
    if (outcome == OUTCOME_SEND) {
        frame(out, out_length);
        stream->cork_length += FRAME + out_length;
        if (stream->cork_length > CORK) {
            flush_cork(stream);
            stream->corked = connection;
        }
    } else if (outcome == OUTCOME_LATER) {
        origin->deliver = deliver;
        origin->carrier = connection;
        connection->in_flight++;
    }
    return outcome != OUTCOME_CLOSE && !connection->closing;
}

/* Takes one whole message off the buffer at *at. False if there is none, or none may be taken. */
static bool take(struct connection *connection, size_t *at) {
    size_t left = connection->filled - *at;
    const uint8_t *data = connection->buffer + *at;
    if (left < FRAME || !may_read(connection))
        return false;
    size_t length = (size_t)data[0] << 8 | data[1];
    bool whole = length <= STREAM_MESSAGE_MAX;
    size_t wanted = whole ? length : STREAM_MESSAGE_MAX;
    if (left < FRAME + wanted)
        return false;
    connection->since = loop_now(connection->stream);
    *at += FRAME + wanted;
    connection->skip = length - wanted;
    if (!answer(connection, data + FRAME, wanted, whole)) {
        flush_cork(connection->stream);
        close_connection(connection);
        return false;
    }
    return true;
}

/* Looks for the PROXY header that a trusted sender may begin with. True once what follows is messages. */
static bool greet(struct connection *connection) {
    struct stream *stream = connection->stream;
    struct proxy proxy;
    int header = 0;
    if (worker_trusts(stream->worker, &connection->sender))
        header = proxy_parse(connection->buffer, connection->filled, &proxy);
    if (header == -EAGAIN)
        return false;
    if (header < 0) {
        stat_add(worker_counters(stream->worker), STAT_BAD_PACKETS, 1);
        close_connection(connection);
        return false;
    }
    connection->greeted = true;
    connection->skip = (size_t)header;
    if (header > 0 && proxy.named) {
        connection->proxied = true;
        connection->client.address = proxy.address;
        connection->client.port = proxy.port;
    }
    return true;
}

/* Takes apart what has been read, and answers it. */
static void digest(struct connection *connection) {
    struct stream *stream = connection->stream;
    size_t at = 0;
    if (!connection->greeted && !greet(connection))
        return;
    worker_tick(stream->worker);
    stream->corked = connection;
    for (;;) {
        size_t past = connection->filled - at < connection->skip ? connection->filled - at : connection->skip;
        connection->skip -= past;
        at += past;
        if (connection->skip > 0 || !take(connection, &at))
            break;
    }
    flush_cork(stream);
    connection->filled -= at;
    memmove(connection->buffer, connection->buffer + at, connection->filled);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *data) {
    struct connection *connection = handle->data;
    *data =
        uv_buf_init((char *)connection->buffer + connection->filled, (unsigned)(sizeof connection->buffer - connection->filled));
}

static void pause_reading(struct connection *connection) {
    if (connection->reading)
        uv_read_stop((uv_stream_t *)&connection->handle);
    connection->reading = false;
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *data) {
    struct connection *connection = handle->data;
    if (count == 0)
        return;
    if (count == UV_EOF) {
        connection->ended = true;
        pause_reading(connection);
        settle(connection);
        return;
    }
    if (count < 0) {
        close_connection(connection);
        return;
    }
    connection->filled += (size_t)count;
    digest(connection);
    if (!connection->closing && !may_read(connection))
        pause_reading(connection);
}

/* Reads on, if the connection had to wait and no longer has to. What was read before comes first. */
static void resume(struct connection *connection) {
    if (connection->reading || !may_read(connection))
        return;
    digest(connection);
    if (connection->closing || !may_read(connection))
        return;
    connection->reading = uv_read_start((uv_stream_t *)&connection->handle, on_room, on_read) == 0;
    if (!connection->reading)
        close_connection(connection);
}

/* Of two idle connections (either may be NULL), the one that has been idle longer. */
static struct connection *idler(struct connection *a, struct connection *b) {
    return a == NULL || (b != NULL && b->since < a->since) ? b : a;
}

/* Makes room for a newcomer, or says that there is none. A client makes room for itself first. */
static bool admit(struct stream *stream, const struct ip *address) {
    struct connection *own = NULL, *any = NULL;
    unsigned same = 0;
    for (struct connection *c = stream->connections; c != NULL; c = c->next) {
        struct connection *idle = c->in_flight == 0 && c->writes == 0 ? c : NULL;
        bool is_own = ip_equal(&c->client.address, address);
        same += is_own;
        own = idler(own, is_own ? idle : NULL);
        any = idler(any, idle);
    }
    if (same < STREAM_PER_CLIENT && stream->count < STREAM_CONNECTIONS)
        return true;
    struct connection *victim = same >= STREAM_PER_CLIENT ? own : any;
    if (victim != NULL)
        close_connection(victim);
    return victim != NULL;
}

static void identify(struct connection *connection, const union peer *peer) {
    connection->client.protocol = PROTOCOL_TCP;
    bool v4 = peer->any.sa_family == AF_INET;
    connection->sender = v4 ? ip_from_v4((const uint8_t *)&peer->v4.sin_addr) : ip_from_v6((const uint8_t *)&peer->v6.sin6_addr);
    connection->client.address = connection->sender;
    connection->client.port = ntohs(v4 ? peer->v4.sin_port : peer->v6.sin6_port);
}

/* acceptor_user.take */
static bool take_connection(void *context, int fd, const union peer *peer) {
    struct stream *stream = context;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL || uv_tcp_init(worker_loop(stream->worker), &connection->handle) != 0) {
        free(connection);
        close(fd);
        return false;
    }
    connection->stream = stream;
    connection->handle.data = connection;
    connection->since = loop_now(stream);
    identify(connection, peer);
    bool opened = uv_tcp_open(&connection->handle, fd) == 0, welcome = opened && admit(stream, &connection->client.address);
    if (!opened)
        close(fd);
    connection->next = stream->connections;
    connection->link = &stream->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    stream->connections = connection;
    stream->count++;
    if (!welcome) {
        close_connection(connection);
        return true;
    }
    stat_add(worker_counters(stream->worker), STAT_TCP_CONNECTIONS, 1);
    uv_tcp_nodelay(&connection->handle, 1);
    resume(connection);
    return true;
}

/* acceptor_user.make_room: a connection that is idle, and not since just now, makes room for those that wait. */
static bool make_room(void *context, int error) {
    struct stream *stream = context;
    uint64_t now = loop_now(stream);
    struct connection *victim = NULL;
    if (now >= stream->say_starved_at) {
        log_say(LOG_LEVEL_WARNING, "TCP connections have to wait: %s", strerror(-error));
        stream->say_starved_at = now + STARVED_SAY_MS;
    }
    for (struct connection *c = stream->connections; c != NULL; c = c->next)
        if (c->in_flight == 0 && c->writes == 0 && now - c->since >= STREAM_SPARED_MS)
            victim = idler(victim, c);
    if (victim != NULL)
        close_connection(victim);
    return victim != NULL;
}

static void on_sweep(uv_timer_t *timer) {
    struct stream *stream = timer->data;
    uint64_t now = loop_now(stream);
    for (struct connection *c = stream->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (c->in_flight == 0 && now - c->since >= STREAM_IDLE_MS)
            close_connection(c);
    }
}

struct stream *stream_new(struct worker *worker) {
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->worker = worker;
    stream->sweep.data = stream;
    uv_timer_init(worker_loop(worker), &stream->sweep);
    uv_timer_start(&stream->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    return stream;
}

static void close_door(struct door **link) {
    struct door *door = *link;
    *link = door->next;
    acceptor_close(door->acceptor);
    free(door);
}

int stream_add(struct stream *stream, int fd, const struct sockaddr_storage *address) {
    const struct acceptor_user user = {.take = take_connection, .make_room = make_room, .context = stream};
    struct door *door = malloc(sizeof *door);
    int rc = -ENOMEM;
    if (door == NULL) {
        close(fd);
        return rc;
    }
    *door = (struct door){stream->doors, acceptor_new(worker_loop(stream->worker), fd, BACKLOG, &user, &rc), *address};
    if (rc == 0)
        stream->doors = door;
    else
        free(door);
    return rc;
}

void stream_remove(struct stream *stream, const struct sockaddr_storage *address) {
    for (struct door **link = &stream->doors; *link != NULL;) {
        if (memcmp(&(*link)->address, address, sizeof *address) == 0)
            close_door(link);
        else
            link = &(*link)->next;
    }
}

void stream_drain(struct stream *stream) {
    while (stream->doors != NULL)
        close_door(&stream->doors);
    for (struct connection *c = stream->connections, *next; c != NULL; c = next) {
        next = c->next;
        c->ended = true;
        pause_reading(c);
        settle(c);
    }
}

bool stream_idle(const struct stream *stream) {
    return stream->connections == NULL;
}

void stream_close(struct stream *stream) {
    stream_drain(stream);
    while (stream->connections != NULL)
        close_connection(stream->connections);
    uv_close((uv_handle_t *)&stream->sweep, NULL);
}

void stream_free(struct stream *stream) {
    free(stream);
}
