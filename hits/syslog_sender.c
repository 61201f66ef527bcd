/* hits/syslog_sender.c: lines to a syslog collector, by a thread that may wait. See syslog_sender.h. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "hits/syslog_format.h"
#include "hits/syslog_sender.h"

enum {
    SYSLOG_QUEUE = 4 << 20,        /* octets of lines that wait: some ten thousand */
    SYSLOG_RETRY_MS = 1000,        /* between two attempts to reach a collector */
    SYSLOG_CONNECT_MS = 5000,      /* for a TCP handshake */
    SYSLOG_TCP_TIMEOUT_MS = 30000, /* that data may go unacknowledged before the connection is given up */
    SYSLOG_TRIES = 3,              /* connections that one message may break: a collector may choke on it */
    SYSLOG_STOP_MS = 300,          /* for what waits when the end comes */
};

/* What the queue's users and the thread share stands under `lock`; `target_text` belongs to the user, the last block to the thread.
 */
struct syslog {
    pthread_t thread;
    bool started;
    int wake; /* eventfd: there is something in the queue, or an order */
    char *target_text;
    _Atomic uint64_t sent, lost;
    _Atomic int error;

    pthread_mutex_t lock;
    struct text queue;
    struct syslog_target new_target;
    bool retarget, stop;

    struct syslog_target target;
    struct syslog_origin origin;
    struct text lines, message;
    int fd;     /* connected, or -1 */
    bool moved; /* the target has changed since the last look */
    uint64_t next_dial_ms;
    uint64_t stop_ms; /* when to give up; 0: not ending */
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void lose(struct syslog *syslog, uint64_t lines, int error) {
    atomic_fetch_add_explicit(&syslog->lost, lines, memory_order_relaxed);
    if (error != 0)
        atomic_store_explicit(&syslog->error, error, memory_order_relaxed);
}

static uint64_t count_lines(const char *lines, size_t length) {
    uint64_t count = 0;
    for (const char *at = lines, *end = lines + length; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        count++;
    return count;
}

/* --- the thread --- */

static void hang_up(struct syslog *syslog) {
    if (syslog->fd >= 0)
        close(syslog->fd);
    syslog->fd = -1;
}

/* Takes orders, and lines if there are none in work. */
static void take_orders(struct syslog *syslog) {
    uint64_t ignored;
    ssize_t got = read(syslog->wake, &ignored, sizeof ignored);
    (void)got; /* nothing there is as good */
    pthread_mutex_lock(&syslog->lock);
    if (syslog->retarget) {
        hang_up(syslog);
        syslog->target = syslog->new_target;
        syslog->next_dial_ms = 0;
        syslog->retarget = false;
        syslog->moved = true;
    }
    if (syslog->stop && syslog->stop_ms == 0)
        syslog->stop_ms = now_ms() + SYSLOG_STOP_MS;
    if (syslog->lines.length == 0) {
        struct text empty = syslog->lines;
        syslog->lines = syslog->queue;
        syslog->queue = empty;
    }
    pthread_mutex_unlock(&syslog->lock);
}

static bool given_up(const struct syslog *syslog) {
    return syslog->stop_ms != 0 && now_ms() >= syslog->stop_ms;
}

/* Waits until `events` come on the socket (no events: for the time alone), and takes orders meanwhile. 0; -ETIMEDOUT; -ECANCELED:
 * the target has changed and the socket is closed, or the end came. */
static int await(struct syslog *syslog, short events, uint64_t ms) {
    uint64_t until = now_ms() + ms;
    for (;;) {
        uint64_t now = now_ms(), end = syslog->stop_ms != 0 && syslog->stop_ms < until ? syslog->stop_ms : until;
        if (given_up(syslog) || syslog->moved)
            return -ECANCELED;
        if (now >= end)
            return -ETIMEDOUT;
        struct pollfd polled[2] = {{.fd = syslog->wake, .events = POLLIN}, {.fd = events != 0 ? syslog->fd : -1, .events = events}};
        int ready = poll(polled, 2, (int)(end - now));
        if (ready > 0 && polled[0].revents != 0)
            take_orders(syslog);
        else if (ready > 0)
            return 0;
        else if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

/* One attempt at a connection. 0 or -errno, the socket closed then. */
static int dial(struct syslog *syslog) {
    const struct syslog_target *target = &syslog->target;
    const int kind = target->transport == SYSLOG_TCP ? SOCK_STREAM : SOCK_DGRAM, on = 1, timeout = SYSLOG_TCP_TIMEOUT_MS;
    int error = 0;
    socklen_t length = sizeof error;
    syslog->fd = socket(target->address.ss_family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (syslog->fd < 0)
        return -errno;
    if (connect(syslog->fd, (const struct sockaddr *)&target->address, target->address_length) < 0) {
        error = errno == EINPROGRESS ? -await(syslog, POLLOUT, SYSLOG_CONNECT_MS) : errno;
        if (error == 0 && getsockopt(syslog->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            error = errno;
    }
    if (error != 0) {
        hang_up(syslog);
        return -error;
    }
    if (target->transport == SYSLOG_TCP) {
        setsockopt(syslog->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(syslog->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    }
    return 0;
}

/* Sees to it that there is a connection, however long that takes. 0, or -ECANCELED: there is no target, or the end came. */
static int reach(struct syslog *syslog) {
    while (syslog->fd < 0) {
        syslog->moved = false;
        if (syslog->target.transport == SYSLOG_OFF || given_up(syslog))
            return -ECANCELED;
        uint64_t now = now_ms();
        if (now < syslog->next_dial_ms && await(syslog, 0, syslog->next_dial_ms - now) != -ETIMEDOUT)
            continue;
        syslog->next_dial_ms = now_ms() + SYSLOG_RETRY_MS;
        int error = dial(syslog);
        if (error != 0 && error != -ECANCELED)
            atomic_store_explicit(&syslog->error, error, memory_order_relaxed);
    }
    return 0;
}

/* A connection that the collector has closed takes one more message without a word: look first. */
static bool still_there(const struct syslog *syslog) {
    char ignored[256];
    ssize_t got;
    while ((got = recv(syslog->fd, ignored, sizeof ignored, MSG_DONTWAIT)) > 0)
        ;
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* All octets of the parts, waiting for room. 0, or -errno: they are not sent, or not wholly, and a stream is useless then. */
static int send_all(struct syslog *syslog, struct iovec *parts, size_t count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    while (message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(syslog->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            int rc = await(syslog, errno == EAGAIN ? POLLOUT : 0, errno == EAGAIN ? SYSLOG_TCP_TIMEOUT_MS : 10);
            if (rc == -ECANCELED)
                return rc;
            continue;
        }
        if (sent < 0 && errno == ECONNREFUSED && syslog->target.transport == SYSLOG_UDP) {
            lose(syslog, 1, -ECONNREFUSED); /* said of an earlier one, now that its ICMP message is back; this one has its turn */
            continue;
        }
        if (sent < 0 && errno != EINTR)
            return -errno;
        size_t done = sent < 0 ? 0 : (size_t)sent;
        while (message.msg_iovlen > 0 && done >= message.msg_iov->iov_len) {
            done -= message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + done;
            message.msg_iov->iov_len -= done;
        }
    }
    return 0;
}

static int send_message(struct syslog *syslog) {
    char octets[24]; /* RFC 6587 section 3.4.1: MSG-LEN SP SYSLOG-MSG */
    bool stream = syslog->target.transport == SYSLOG_TCP;
    if (stream && !still_there(syslog))
        return -EPIPE;
    int head = stream ? snprintf(octets, sizeof octets, "%zu ", syslog->message.length) : 0;
    struct iovec parts[2] = {{octets, (size_t)head}, {syslog->message.data, syslog->message.length}};
    return send_all(syslog, stream ? parts : parts + 1, stream ? 2 : 1);
}

/* One line, sent or counted as lost. -ECANCELED: neither; there is no target, or the end came. */
static int deliver(struct syslog *syslog, const char *line, size_t length) {
    syslog->message.length = 0;
    int rc = syslog_format(&syslog->message, &syslog->origin, line, length);
    if (syslog->message.failed)
        text_free(&syslog->message);
    for (unsigned tries = 0; rc == 0 && tries < SYSLOG_TRIES; tries++) {
        rc = reach(syslog);
        if (rc == 0 && (rc = send_message(syslog)) == 0) {
            atomic_fetch_add_explicit(&syslog->sent, 1, memory_order_relaxed);
            return 0;
        }
        if (rc == -EMSGSIZE || (rc == -ECANCELED && !syslog->moved))
            break;
        hang_up(syslog);
        rc = tries + 1 < SYSLOG_TRIES ? 0 : rc;
    }
    if (rc == -ECANCELED && !syslog->moved)
        return rc;
    lose(syslog, 1, rc);
    return 0;
}

static void *run(void *context) {
    struct syslog *syslog = context;
    for (;;) {
        take_orders(syslog);
        const struct text *lines = &syslog->lines;
        size_t at = 0;
        while (at < lines->length) {
            const char *line = lines->data + at, *end = memchr(line, '\n', lines->length - at);
            if (deliver(syslog, line, (size_t)(end - line)) != 0)
                break;
            at += (size_t)(end + 1 - line);
        }
        if (at < lines->length && syslog->target.transport != SYSLOG_OFF) {
            lose(syslog, count_lines(lines->data + at, lines->length - at), 0);
        }
        bool idle = lines->length == 0;
        syslog->lines.length = 0;
        if (syslog->stop_ms != 0 && (idle || given_up(syslog)))
            break;
        struct pollfd polled = {.fd = syslog->wake, .events = POLLIN};
        if (idle)
            poll(&polled, 1, -1);
    }
    hang_up(syslog);
    return NULL;
}

/* --- whoever has lines --- */

static void wake(const struct syslog *syslog) {
    const uint64_t one = 1;
    ssize_t ignored = write(syslog->wake, &one, sizeof one); /* fails at 2^64 - 1 only, and the thread is awake then */
    (void)ignored;
}

struct syslog *syslog_new(void) {
    struct syslog *syslog = calloc(1, sizeof *syslog);
    if (syslog == NULL)
        return NULL;
    syslog->fd = -1;
    syslog->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (syslog->wake < 0) {
        free(syslog);
        return NULL;
    }
    pthread_mutex_init(&syslog->lock, NULL);
    return syslog;
}

void syslog_free(struct syslog *syslog) {
    if (syslog == NULL)
        return;
    if (syslog->started) {
        pthread_mutex_lock(&syslog->lock);
        syslog->stop = true;
        pthread_mutex_unlock(&syslog->lock);
        wake(syslog);
        pthread_join(syslog->thread, NULL);
    }
    close(syslog->wake);
    pthread_mutex_destroy(&syslog->lock);
    text_free(&syslog->queue);
    text_free(&syslog->lines);
    text_free(&syslog->message);
    free(syslog->target_text);
    free(syslog);
}

int syslog_configure(struct syslog *syslog, const struct syslog_target *target) {
    bool off = target->transport == SYSLOG_OFF;
    if (off ? syslog->target_text == NULL : syslog->target_text != NULL && strcmp(syslog->target_text, target->text) == 0)
        return 0;
    char *text = off ? NULL : strdup(target->text);
    if (!off && text == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&syslog->lock);
    syslog->new_target = *target;
    syslog->new_target.text = NULL; /* the configuration's */
    syslog->retarget = true;
    if (off)
        syslog->queue.length = 0;
    pthread_mutex_unlock(&syslog->lock);
    if (!syslog->started) {
        syslog_origin_init(&syslog->origin);
        int error = pthread_create(&syslog->thread, NULL, run, syslog);
        if (error != 0) {
            free(text);
            return -error;
        }
        syslog->started = true;
    }
    free(syslog->target_text);
    syslog->target_text = text;
    wake(syslog);
    return 0;
}

void syslog_put(struct syslog *syslog, const char *lines, size_t length) {
    if (syslog->target_text == NULL || length == 0)
        return;
    pthread_mutex_lock(&syslog->lock);
    size_t room = SYSLOG_QUEUE - syslog->queue.length, taken = length;
    if (length > room) {
        const char *last = memrchr(lines, '\n', room);
        taken = last == NULL ? 0 : (size_t)(last + 1 - lines);
    }
    bool asleep = syslog->queue.length == 0;
    text_put(&syslog->queue, lines, taken);
    if (syslog->queue.failed) { /* no memory: what waits is gone, too */
        lose(syslog, count_lines(syslog->queue.data, syslog->queue.length), -ENOMEM);
        text_free(&syslog->queue);
        taken = 0;
    }
    pthread_mutex_unlock(&syslog->lock);
    if (taken < length)
        lose(syslog, count_lines(lines + taken, length - taken), 0);
    if (asleep)
        wake(syslog);
}

const char *syslog_where(const struct syslog *syslog) {
    return syslog->target_text;
}

uint64_t syslog_sent(const struct syslog *syslog) {
    return atomic_load_explicit(&syslog->sent, memory_order_relaxed);
}

uint64_t syslog_lost(const struct syslog *syslog) {
    return atomic_load_explicit(&syslog->lost, memory_order_relaxed);
}

int syslog_error(const struct syslog *syslog) {
    return atomic_load_explicit(&syslog->error, memory_order_relaxed);
}
