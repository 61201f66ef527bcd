/* hits/dnstap_link.c: the connection to a dnstap collector. See dnstap_link.h. */
#include "hits/dnstap_link.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 50,    /* between two looks whether the end has come */
    PARTS_MAX = 128, /* of one write; libfstrm gives two a frame */
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* False: it took too long. */
static bool await(const struct dnstap_link *link, short events, uint64_t until) {
    for (;;) {
        uint64_t give_up = atomic_load(&link->give_up_ms), now = now_ms();
        if (now >= until || (give_up != 0 && now >= give_up))
            return false;
        struct pollfd polled = {.fd = link->fd, .events = events};
        if (poll(&polled, 1, LOOK_MS) > 0)
            return true;
    }
}

static fstrm_res hang_up(void *context) {
    struct dnstap_link *link = context;
    if (!link->connected)
        return fstrm_res_failure;
    link->connected = false;
    close(link->fd);
    return fstrm_res_success;
}

static fstrm_res fail(struct dnstap_link *link) {
    hang_up(link);
    return fstrm_res_failure;
}

static fstrm_res dial(void *context) {
    struct dnstap_link *link = context;
    int error = 0;
    socklen_t length = sizeof error;
    hang_up(link); /* a handshake that failed leaves it open */
    link->fd = socket(link->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return fstrm_res_failure;
    link->connected = true;
    if (connect(link->fd, (const struct sockaddr *)&link->address, link->address_length) == 0)
        return fstrm_res_success;
    if (errno != EINPROGRESS || !await(link, POLLOUT, now_ms() + DNSTAP_LINK_TIMEOUT_MS) ||
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0)
        return fail(link);
    return fstrm_res_success;
}

static fstrm_res read_all(void *context, void *octets, size_t length) {
    struct dnstap_link *link = context;
    uint64_t until = now_ms() + DNSTAP_LINK_TIMEOUT_MS;
    for (size_t done = 0; done < length;) {
        ssize_t got = link->connected ? recv(link->fd, (uint8_t *)octets + done, length - done, 0) : 0;
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR) || !await(link, POLLIN, until))
            return fail(link);
    }
    return fstrm_res_success;
}

static fstrm_res write_all(void *context, const struct iovec *parts, int count) {
    struct dnstap_link *link = context;
    uint64_t until = now_ms() + DNSTAP_LINK_TIMEOUT_MS;
    size_t done = 0; /* octets of parts[0] */
    while (count > 0) {
        struct iovec left[PARTS_MAX];
        int n = count < PARTS_MAX ? count : PARTS_MAX;
        for (int i = 0; i < n; i++)
            left[i] = parts[i];
        left[0].iov_base = (uint8_t *)left[0].iov_base + done;
        left[0].iov_len -= done;
        struct msghdr message = {.msg_iov = left, .msg_iovlen = (size_t)n};
        ssize_t sent = link->connected ? sendmsg(link->fd, &message, MSG_NOSIGNAL) : -1;
        if (sent < 0 && link->connected && (errno == EAGAIN || errno == EINTR) && await(link, POLLOUT, until))
            continue;
        if (sent < 0)
            return fail(link);
        for (done += (size_t)sent; count > 0 && done >= parts[0].iov_len; parts++, count--)
            done -= parts[0].iov_len;
    }
    return fstrm_res_success;
}

static fstrm_res forget(void *context) {
    hang_up(context);
    return fstrm_res_success;
}

struct fstrm_writer *dnstap_link_writer(struct dnstap_link *link, const struct fstrm_writer_options *options) {
    struct fstrm_rdwr *rdwr = fstrm_rdwr_init(link);
    if (rdwr == NULL)
        return NULL;
    fstrm_rdwr_set_open(rdwr, dial);
    fstrm_rdwr_set_close(rdwr, hang_up);
    fstrm_rdwr_set_read(rdwr, read_all);
    fstrm_rdwr_set_write(rdwr, write_all);
    fstrm_rdwr_set_destroy(rdwr, forget);
    return fstrm_writer_init(options, &rdwr);
}

void dnstap_link_end(struct dnstap_link *link) {
    atomic_store(&link->give_up_ms, now_ms() + DNSTAP_LINK_END_MS);
}
