/* test/bench/echo.c: the yardstick and the upstream of script/bench-wire: a UDP server that does next to nothing.
 *
 * usage: echo ADDRESS PORT [answer]
 * Receives and sends in batches of 64 (recvmmsg, sendmmsg), blocking, one thread. Plain, it sends each packet back with QR set:
 * what the kernel alone costs, 1.0 in the tables. With `answer` it cuts the packet after the question and appends A 192.0.2.1
 * with TTL 3600 (or, for other types, nothing): an upstream that is never the limit. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, ROOM = 2048 };

static const unsigned char record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1};

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
    packet[2] = (unsigned char)(0x80 | (packet[2] & 1));
    packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    if (address) {
        packet[7] = 1;
        memcpy(packet + at, record, sizeof record);
        at += sizeof record;
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

int main(int argc, char **argv) {
    static unsigned char room[BATCH][ROOM];
    static struct sockaddr_in from[BATCH];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    if (argc < 3) {
        fprintf(stderr, "usage: echo ADDRESS PORT [answer]\n");
        return 2;
    }
    bool answering = argc > 3;
    int fd = bound(argv[1], argv[2]);
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){room[i], ROOM};
            messages[i].msg_hdr =
                (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return 1;
        }
        for (int i = 0; i < count; i++) {
            parts[i].iov_len = messages[i].msg_len;
            if (answering) {
                parts[i].iov_len = answer(room[i], messages[i].msg_len);
            } else {
                room[i][2] |= 0x80;
            }
        }
        for (int sent = 0; sent < count;) {
            int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
            sent += n > 0 ? n : 1;
        }
    }
}
