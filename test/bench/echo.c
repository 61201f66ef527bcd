/* test/bench/echo.c: the yardstick and the upstream of script/bench-wire: a UDP server that does next to nothing.
 *
 * usage: echo ADDRESS PORT [answer [DELAY_MS]]
 * Receives and sends in batches of 64 (recvmmsg, sendmmsg), blocking, one thread. Plain, it sends each packet back with QR set:
 * what the kernel alone costs, 1.0 in the tables. With `answer` it cuts the packet after the question and appends A 192.0.2.1
 * with TTL 3600 (or, for other types, nothing): an upstream that is never the limit. With DELAY_MS each answer leaves that much
 * later. It counts what it is asked: `asked.echo` A has the count for its address, and isn't counted. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, ROOM = 2048, HELD = 1 << 16, HELD_ROOM = 320 };

struct held {
    uint64_t due; /* ms */
    struct sockaddr_in to;
    size_t length;
    unsigned char octets[HELD_ROOM];
};

static const unsigned char record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1};
static const unsigned char counter[] = "\5asked\4echo\0\0\1\0"; /* and the last octet of class IN */

static unsigned char room[BATCH][ROOM];
static struct sockaddr_in peer[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static uint32_t asked;
static struct held held[HELD]; /* a ring, in order of time */
static unsigned held_first, held_count;

/* Turns the query into an answer in place; returns its length, or 0 for what is no query. */
static size_t answer(unsigned char *packet, size_t length) {
    size_t at = 12;
    if (length < 17) {
        return 0;
    }
    while (at < length && packet[at] != 0) {
        at += packet[at] + 1U;
    }
    at += 5;
    if (at > length) {
        return 0;
    }
    bool address = packet[at - 4] == 0 && packet[at - 3] == 1;
    bool count = at == 12 + sizeof counter && memcmp(packet + 12, counter, sizeof counter - 1) == 0;
    packet[2] = (unsigned char)(0x80 | (packet[2] & 1));
    packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    if (address) {
        packet[7] = 1;
        memcpy(packet + at, record, sizeof record);
        at += sizeof record;
    }
    if (count) {
        memcpy(packet + at - 4, &(uint32_t){htonl(asked)}, 4);
    } else {
        asked++;
    }
    return at;
}

static int bound(const char *address, const char *port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int size = 4 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &where.sin_addr) != 1 || bind(fd, (struct sockaddr *)&where, sizeof where) != 0) {
        perror("echo: bind");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

static void lay_out(int i, void *octets, size_t length, struct sockaddr_in *other) {
    parts[i] = (struct iovec){octets, length};
    messages[i].msg_hdr = (struct msghdr){.msg_name = other, .msg_namelen = sizeof *other, .msg_iov = &parts[i], .msg_iovlen = 1};
}

static int receive(int fd, int flags) {
    for (int i = 0; i < BATCH; i++) {
        lay_out(i, room[i], ROOM, &peer[i]);
    }
    int count = recvmmsg(fd, messages, BATCH, flags, NULL);
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
        perror("echo: recvmmsg");
        exit(1);
    }
    return count;
}

static void send_all(int fd, int count) {
    for (int sent = 0; sent < count;) {
        int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
        sent += n > 0 ? n : 1;
    }
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The same as in main, but each answer waits its time. What the ring has no room for is lost. */
static void answer_late(int fd, uint64_t delay) {
    for (;;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms(), due = held[held_first].due;
        poll(&readable, 1, held_count == 0 ? -1 : due > now ? (int)(due - now) : 0);
        int count = receive(fd, MSG_DONTWAIT), ready = 0;
        now = now_ms();
        for (int i = 0; i < count && held_count < HELD; i++) {
            struct held *last = &held[(held_first + held_count) % HELD];
            size_t length = messages[i].msg_len <= HELD_ROOM - sizeof record ? answer(room[i], messages[i].msg_len) : 0;
            *last = (struct held){.due = now + delay, .to = peer[i], .length = length};
            memcpy(last->octets, room[i], length);
            held_count += length > 0;
        }
        while (held_count > 0 && ready < BATCH && held[held_first].due <= now) {
            struct held *first = &held[held_first];
            lay_out(ready++, first->octets, first->length, &first->to);
            held_first = (held_first + 1) % HELD;
            held_count--;
        }
        send_all(fd, ready);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: echo ADDRESS PORT [answer [DELAY_MS]]\n");
        return 2;
    }
    bool answering = argc > 3;
    int fd = bound(argv[1], argv[2]);
    if (argc > 4) {
        answer_late(fd, (uint64_t)atoi(argv[4]));
    }
    for (;;) {
        int count = receive(fd, MSG_WAITFORONE);
        for (int i = 0; i < count; i++) {
            parts[i].iov_len = messages[i].msg_len;
            if (answering) {
                parts[i].iov_len = answer(room[i], messages[i].msg_len);
            } else {
                room[i][2] |= 0x80;
            }
        }
        send_all(fd, count);
    }
}
