/* test/bench/load.c: asks a DNS server over UDP as fast as it answers, or at a steady rate, for about what the echo costs.
 *
 * usage: load [-p PORT] [-f FILE] [-t SECONDS | -n QUERIES] [-k SOCKETS] [-w WINDOW] [-T THREADS] [-r RATE] [-o FILE]
 * FILE holds a query a line, "NAME TYPE" (A, AAAA or a number), as dnsperf reads it; it is gone through again and again until the
 * time is up, or QUERIES are asked. To 127.0.0.1 only, for ten minutes at most. Every thread has SOCKETS sockets of its own (8),
 * so that SO_REUSEPORT spreads them, and begins at a place of its own in the file.
 *
 * Without -r: WINDOW queries (32) are open on each socket. A server's thread that has fewer of the sockets than another gets no
 * less to do: each socket waits for its own answers only.
 * With -r: RATE queries a second, one thread, which is awake shortly before and after a query is due; a query's time counts
 * from the moment when it was due, so that nothing is left out because the generator was late. -o writes "DUE LATENCY" of each
 * answer, in microseconds, DUE by CLOCK_MONOTONIC.
 *
 * An answer counts when id, socket and QR fit and its RCODE is NOERROR. What isn't answered within a second is lost. Prints
 *   sent=N answered=N lost=N wrong=N seconds=S cpu=S, and with -r: p50=US p99=US p99.9=US max=US */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,
    ROOM = 1536,
    SLOTS = 1024, /* queries open on a socket at most; the low bits of an id are its slot */
    SOCKETS_MAX = 64,
    THREADS_MAX = 8,
    SECONDS_MAX = 600,
    LOSS_US = 1000000,
    AWAKE_US = 200 /* before a query is due, and after */
};

struct query {
    uint8_t octets[272];
    uint16_t length;
};

struct slot {
    uint64_t due; /* 0: free */
    uint16_t id;
};

struct sock {
    int fd;
    unsigned open, next; /* queries that wait; where a free slot is looked for */
    struct slot slots[SLOTS];
};

struct thread {
    pthread_t thread;
    struct sock *socks;
    size_t at; /* next query of the file */
    uint64_t budget, sent, answered, lost, wrong;
    uint64_t last; /* when something was heard, us */
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    uint8_t room[BATCH][ROOM];
};

static struct query *queries;
static size_t query_count;
static unsigned port = 53, sockets = 8, window = 32, threads = 1;
static double seconds = 10, rate;
static uint64_t limit, end_us;
static struct latency { uint64_t due, us; } * latencies;
static size_t latency_count, latency_room;

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* --- the queries, ready made --- */

static bool make_query(struct query *query, const char *name, const char *type) {
    uint8_t *at = query->octets + 12;
    *query = (struct query){.octets = {[2] = 1, [5] = 1}};
    for (size_t label; *name != '\0'; name += label + (name[label] == '.')) {
        label = strcspn(name, ".");
        if (label == 0 || label > 63 || at + label + 7 > query->octets + sizeof query->octets)
            return false;
        *at++ = (uint8_t)label;
        memcpy(at, name, label);
        at += label;
    }
    unsigned number = strcmp(type, "A") == 0 ? 1 : strcmp(type, "AAAA") == 0 ? 28 : (unsigned)atoi(type);
    memcpy(at, (uint8_t[]){0, (uint8_t)(number >> 8), (uint8_t)number, 0, 1}, 5);
    query->length = (uint16_t)(at + 5 - query->octets);
    return number > 0;
}

static void read_queries(const char *path) {
    FILE *file = fopen(path, "re");
    char name[300], type[16];
    size_t room = 0;
    if (file == NULL)
        die(path);
    while (fscanf(file, "%299s %15s", name, type) == 2) {
        if (query_count == room) {
            room = room == 0 ? 4096 : room * 2;
            queries = realloc(queries, room * sizeof *queries);
            if (queries == NULL)
                die("realloc");
        }
        query_count += make_query(&queries[query_count], name, type);
    }
    fclose(file);
    if (query_count == 0) {
        fprintf(stderr, "%s: no queries\n", path);
        exit(1);
    }
}

/* --- one socket --- */

static void open_socket(struct sock *sock) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int size = 4 << 20;
    sock->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock->fd < 0 || connect(sock->fd, (struct sockaddr *)&server, sizeof server) != 0)
        die("socket");
    setsockopt(sock->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(sock->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Lays the next query of the file out as message i. False: all slots are taken. */
static bool lay_out(struct thread *thread, struct sock *sock, unsigned i, uint64_t due) {
    struct slot *slot = NULL;
    for (unsigned n = 0; n < SLOTS && slot == NULL; n++)
        if (sock->slots[sock->next++ % SLOTS].due == 0)
            slot = &sock->slots[(sock->next - 1) % SLOTS];
    if (slot == NULL)
        return false;
    const struct query *query = &queries[thread->at];
    thread->at = thread->at + 1 < query_count ? thread->at + 1 : 0;
    slot->id = (uint16_t)((slot->id & ~(SLOTS - 1U)) + SLOTS + (unsigned)(slot - sock->slots));
    slot->due = due;
    memcpy(thread->room[i], query->octets, query->length);
    memcpy(thread->room[i], &slot->id, sizeof slot->id);
    thread->parts[i] = (struct iovec){thread->room[i], query->length};
    thread->messages[i].msg_hdr = (struct msghdr){.msg_iov = &thread->parts[i], .msg_iovlen = 1};
    return true;
}

static void ask(struct thread *thread, struct sock *sock, unsigned count, uint64_t due) {
    unsigned ready = 0;
    if (thread->budget < count)
        count = (unsigned)thread->budget;
    while (ready < count && lay_out(thread, sock, ready, due))
        ready++;
    for (unsigned at = 0; at < ready;) {
        int sent = sendmmsg(sock->fd, thread->messages + at, ready - at, 0);
        at += sent > 0 ? (unsigned)sent : 0;
        if (sent <= 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
            die("sendmmsg");
    }
    thread->sent += ready;
    thread->budget -= ready;
    sock->open += ready;
}

static void note_latency(uint64_t due, uint64_t now) {
    if (latency_count < latency_room)
        latencies[latency_count++] = (struct latency){due, now - due};
}

/* Reads what has come, one batch. Returns the number of queries that are no longer open. */
static unsigned hear(struct thread *thread, struct sock *sock) {
    for (unsigned i = 0; i < BATCH; i++) {
        thread->parts[i] = (struct iovec){thread->room[i], ROOM};
        thread->messages[i].msg_hdr = (struct msghdr){.msg_iov = &thread->parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(sock->fd, thread->messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = rate > 0 && count > 0 ? now_us() : 0;
    unsigned closed = 0;
    for (int i = 0; i < count; i++) {
        uint16_t id;
        memcpy(&id, thread->room[i], sizeof id);
        struct slot *slot = &sock->slots[id % SLOTS];
        if (thread->messages[i].msg_len < 12 || slot->due == 0 || slot->id != id || (thread->room[i][2] & 0x80) == 0) {
            thread->wrong++;
            continue;
        }
        if ((thread->room[i][3] & 15) != 0)
            thread->wrong++;
        else
            thread->answered++;
        if (rate > 0)
            note_latency(slot->due, now);
        slot->due = 0;
        closed++;
    }
    sock->open -= closed;
    return closed;
}

/* Gives up what has waited too long. */
static void give_up(struct thread *thread, struct sock *sock, uint64_t now) {
    for (unsigned i = 0; i < SLOTS && sock->open > 0; i++) {
        if (sock->slots[i].due != 0 && sock->slots[i].due + LOSS_US < now) {
            sock->slots[i].due = 0;
            sock->open--;
            thread->lost++;
        }
    }
}

/* --- the two ways to ask --- */

static void *saturate(void *argument) {
    struct thread *thread = argument;
    struct pollfd polls[SOCKETS_MAX];
    for (unsigned i = 0; i < sockets; i++)
        polls[i] = (struct pollfd){.fd = thread->socks[i].fd, .events = POLLIN};
    for (uint64_t now = now_us(), swept = now, open = 1; open > 0; now = now_us()) {
        bool more = now < end_us, idle = true;
        open = 0;
        for (unsigned i = 0; i < sockets; i++) {
            struct sock *sock = &thread->socks[i];
            idle = (sock->open == 0 || hear(thread, sock) == 0) && idle;
            if (now - swept > LOSS_US / 4)
                give_up(thread, sock, now);
            if (more && sock->open < window)
                ask(thread, sock, window - sock->open < BATCH ? window - sock->open : BATCH, now);
            open += sock->open;
        }
        if (now - swept > LOSS_US / 4)
            swept = now;
        if (!idle)
            thread->last = now;
        if (idle && open > 0)
            poll(polls, sockets, 100);
    }
    return NULL;
}

static void *pace(void *argument) {
    struct thread *thread = argument;
    struct pollfd polls[SOCKETS_MAX];
    for (unsigned i = 0; i < sockets; i++)
        polls[i] = (struct pollfd){.fd = thread->socks[i].fd, .events = POLLIN};
    uint64_t begin = now_us(), now = begin, asked = begin, swept = begin, total = (uint64_t)(seconds * rate), open = 1;
    for (uint64_t n = 0; n < total || open > 0; now = now_us()) {
        uint64_t due = begin + (uint64_t)((double)n * 1e6 / rate);
        if (n < total && due <= now) {
            ask(thread, &thread->socks[n++ % sockets], 1, due);
            asked = now;
        }
        open = 0;
        for (unsigned i = 0; i < sockets; i++) {
            if (thread->socks[i].open > 0 && hear(thread, &thread->socks[i]) > 0)
                thread->last = now;
            if (now > swept + LOSS_US / 4)
                give_up(thread, &thread->socks[i], now);
            open += thread->socks[i].open;
        }
        if (now > swept + LOSS_US / 4)
            swept = now;
        uint64_t next = n == total ? UINT64_MAX : begin + (uint64_t)((double)n * 1e6 / rate);
        if ((open == 0 || now > asked + AWAKE_US) && next > now + 2 * AWAKE_US) {
            uint64_t pause = next - now - AWAKE_US < LOSS_US / 8 ? next - now - AWAKE_US : LOSS_US / 8;
            ppoll(polls, sockets, &(struct timespec){.tv_nsec = (long)pause * 1000}, NULL);
        }
    }
    return NULL;
}

static int by_latency(const void *a, const void *b) {
    uint64_t x = ((const struct latency *)a)->us, y = ((const struct latency *)b)->us;
    return (x > y) - (x < y);
}

static void report_latency(const char *path) {
    FILE *file = path != NULL ? fopen(path, "we") : NULL;
    if (path != NULL && file == NULL)
        die(path);
    for (size_t i = 0; file != NULL && i < latency_count; i++)
        fprintf(file, "%llu %llu\n", (unsigned long long)latencies[i].due, (unsigned long long)latencies[i].us);
    if (file != NULL)
        fclose(file);
    if (latency_count == 0)
        return;
    qsort(latencies, latency_count, sizeof *latencies, by_latency);
    static const struct {
        const char *name;
        double part;
    } shown[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        size_t at = (size_t)((double)latency_count * shown[i].part);
        printf(" %s=%llu", shown[i].name, (unsigned long long)latencies[at < latency_count ? at : latency_count - 1].us);
    }
}

static struct thread *run(void) {
    struct thread *all = calloc(threads, sizeof *all);
    if (all == NULL)
        die("calloc");
    for (unsigned i = 0; i < threads; i++) {
        all[i].socks = calloc(sockets, sizeof *all[i].socks);
        if (all[i].socks == NULL)
            die("calloc");
        all[i].at = query_count / threads * i;
        all[i].budget = limit > 0 ? limit / threads + (i < limit % threads) : UINT64_MAX;
        for (unsigned k = 0; k < sockets; k++)
            open_socket(&all[i].socks[k]);
    }
    end_us = now_us() + (uint64_t)(seconds * 1e6);
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&all[i].thread, NULL, rate > 0 ? pace : saturate, &all[i]) != 0)
            die("pthread_create");
    for (unsigned i = 0; i < threads; i++)
        pthread_join(all[i].thread, NULL);
    return all;
}

static unsigned number(const char *text, unsigned least, unsigned most) {
    long value = strtol(text, NULL, 10);
    return value < (long)least ? least : value > (long)most ? most : (unsigned)value;
}

/* False: the command line isn't understood. */
static bool parse(int argc, char **argv, const char **path, const char **out) {
    for (int c; (c = getopt(argc, argv, "p:f:t:n:k:w:T:r:o:")) != -1;) {
        if (c == 'p')
            port = number(optarg, 1, 65535);
        else if (c == 'f')
            *path = optarg;
        else if (c == 't')
            seconds = atof(optarg);
        else if (c == 'n')
            limit = strtoull(optarg, NULL, 10);
        else if (c == 'k')
            sockets = number(optarg, 1, SOCKETS_MAX);
        else if (c == 'w')
            window = number(optarg, 1, SLOTS);
        else if (c == 'T')
            threads = number(optarg, 1, THREADS_MAX);
        else if (c == 'r')
            rate = atof(optarg);
        else if (c == 'o')
            *out = optarg;
        else
            return false;
    }
    if (limit > 0 || seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    if (rate > 0)
        threads = 1;
    return *path != NULL && seconds > 0 && rate >= 0 && rate <= 1e6;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    const char *path = NULL, *out = NULL;
    if (!parse(argc, argv, &path, &out)) {
        fprintf(stderr, "usage: load -f FILE [-p PORT] [-t SECONDS | -n QUERIES] [-k SOCKETS] [-w WINDOW] [-T THREADS]"
                        " [-r RATE] [-o FILE]\n");
        return 2;
    }
    latency_room = (size_t)(rate * seconds) + 1;
    latencies = calloc(latency_room, sizeof *latencies);
    if (latencies == NULL)
        die("calloc");
    read_queries(path);
    uint64_t begin = now_us();
    struct thread *all = run();
    struct thread sum = {.last = begin + 1};
    for (unsigned i = 0; i < threads; i++) {
        sum.sent += all[i].sent;
        sum.answered += all[i].answered;
        sum.lost += all[i].lost;
        sum.wrong += all[i].wrong;
        sum.last = all[i].last > sum.last ? all[i].last : sum.last;
    }
    printf("sent=%llu answered=%llu lost=%llu wrong=%llu seconds=%.3f cpu=%.3f", (unsigned long long)sum.sent,
           (unsigned long long)sum.answered, (unsigned long long)sum.lost, (unsigned long long)sum.wrong,
           (double)(sum.last - begin) / 1e6, cpu_seconds());
    if (rate > 0)
        report_latency(out);
    printf("\n");
    return 0;
}
