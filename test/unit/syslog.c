/* test/unit/syslog.c: hits as RFC 5424 messages, octet by octet; collectors that are late, full, gone, or come again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hits/syslog_format.h"
#include "hits/syslog_sender.h"

enum { PATIENCE_MS = 20000 };

#define LINE "{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"client\":\"10.1.2.3\",\"qname\":\"c2.evil.test\",\"count\":1}"

/* --- the message --- */

static void check_format(const char *line, const char *wanted) {
    const struct syslog_origin origin = {" gw1 sundewd 4711 hit [hit@32473"};
    struct text text = {0};
    char whole[4096];
    assert_int_equal(syslog_format(&text, &origin, line, strlen(line)), 0);
    text_put(&text, "", 1);
    snprintf(whole, sizeof whole, "<29>1 2026-11-22T17:40:12.345678Z gw1 sundewd 4711 hit [hit@32473%s] %s", wanted, line);
    assert_string_equal(text.data, whole);
    text_free(&text);
}

static void test_message(void **state) {
    check_format(LINE, " client=\"10.1.2.3\" qname=\"c2.evil.test\" count=\"1\"");
    check_format("{\"ts\":\"2026-11-22T17:40:12.345678Z\"}", "");
    check_format("{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"answer\":[\"192.0.2.9\",\"192.0.2.10\"],\"ttl\":2147483647}",
                 " answer=\"192.0.2.9\" answer=\"192.0.2.10\" ttl=\"2147483647\"");
}

static void test_hostile_values(void **state) {
    check_format("{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"family\":\"a\\\"] [x y=\\\"1\\\"] \\\\]\"}",
                 " family=\"a\\\"\\] [x y=\\\"1\\\"\\] \\\\\\]\"");
    check_format("{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"qname\":\"a\\\\010b.test\"}", " qname=\"a\\\\010b.test\"");
    check_format("{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"hostname\":\"\\n<0>\\u0000\\u007f\\u001b[2J\\u009b1m\u202e\"}",
                 " hostname=\"\\\\010<0>\\\\000\\\\127\\\\027[2J\\\\194\\\\1551m\\\\226\\\\128\\\\174\"");
    check_format("{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"family\":\"\xc3\xa4\xf0\x9f\xa6\xa0\"}",
                 " family=\"\xc3\xa4\xf0\x9f\xa6\xa0\"");
}

static void test_no_hit(void **state) {
    static const char *const bad[] = {"", "{", "[]", "{}", "{\"ts\":1}", "{\"ts\":\"\xff\"}"};
    const struct syslog_origin origin = {" - sundewd 1 hit [hit@32473"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text text = {0};
        assert_int_equal(syslog_format(&text, &origin, bad[i], strlen(bad[i])), -EINVAL);
        text_free(&text);
    }
}

static void test_origin(void **state) {
    struct syslog_origin origin;
    char wanted[64];
    syslog_origin_init(&origin);
    snprintf(wanted, sizeof wanted, " sundewd %d hit [hit@32473", (int)getpid());
    assert_int_equal(origin.text[0], ' ');
    assert_ptr_equal(strchr(origin.text + 1, ' '), strstr(origin.text, wanted));
    assert_true(strchr(origin.text + 1, ' ') > origin.text + 1);
}

/* --- collectors --- */

struct place {
    char folder[64];
    struct syslog_target target;
    char text[160];
    struct syslog *syslog;
};

static int set_up(void **state) {
    struct place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/sundew-syslog-XXXXXX");
    place->target.text = place->text;
    place->syslog = syslog_new();
    *state = place;
    return mkdtemp(place->folder) != NULL && place->syslog != NULL ? 0 : -1;
}

static int tear_down(void **state) {
    struct place *place = *state;
    char command[128];
    syslog_free(place->syslog);
    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    int rc = system(command);
    free(place);
    return rc;
}

/* Points the target at a socket file that nobody has bound yet. */
static void aim_unix(struct place *place) {
    struct sockaddr_un *address = (struct sockaddr_un *)&place->target.address;
    place->target.transport = SYSLOG_UNIX;
    place->target.address_length = sizeof *address;
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s/log", place->folder);
    snprintf(place->text, sizeof place->text, "unix:%s/log", place->folder);
}

static int listen_unix(struct place *place) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unlink(((const struct sockaddr_un *)&place->target.address)->sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&place->target.address, place->target.address_length), 0);
    return fd;
}

/* A bound socket on a free loopback port, and the target pointed at it. */
static int listen_inet(struct place *place, enum syslog_transport transport) {
    struct sockaddr_in *address = (struct sockaddr_in *)&place->target.address;
    int fd = socket(AF_INET, (transport == SYSLOG_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0), on = 1;
    place->target.transport = transport;
    place->target.address_length = sizeof *address;
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = address->sin_port};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &place->target.address_length), 0);
    if (transport == SYSLOG_TCP)
        assert_int_equal(listen(fd, 8), 0);
    snprintf(place->text, sizeof place->text, "%s://127.0.0.1:%u", transport == SYSLOG_TCP ? "tcp" : "udp",
             ntohs(address->sin_port));
    return fd;
}

static void wait_readable(int fd) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
}

/* The `count` member of the next message, which must be whole. */
static unsigned next_number(int fd) {
    static char text[1 << 18];
    wait_readable(fd);
    ssize_t length = recv(fd, text, sizeof text - 1, 0);
    assert_true(length > 0);
    text[length] = '\0';
    assert_memory_equal(text, "<29>1 20", 8);
    assert_int_equal(text[length - 1], '}');
    const char *count = strstr(text, "\"count\":");
    assert_non_null(count);
    return (unsigned)atoi(count + strlen("\"count\":"));
}

static void put_number(struct place *place, unsigned number, size_t padding) {
    char *line = NULL;
    int length =
        asprintf(&line, "{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"family\":\"%*s\",\"count\":%u}\n", (int)padding, "", number);
    syslog_put(place->syslog, line, (size_t)length);
    free(line);
}

static void wait_counts(const struct place *place, uint64_t sent, uint64_t lost) {
    for (unsigned waited = 0; waited < PATIENCE_MS; waited += 5) {
        if (syslog_sent(place->syslog) == sent && syslog_lost(place->syslog) == lost)
            return;
        usleep(5000);
    }
    fail_msg("sent %llu, lost %llu", (unsigned long long)syslog_sent(place->syslog),
             (unsigned long long)syslog_lost(place->syslog));
}

static void test_late_and_restarted(void **state) {
    struct place *place = *state;
    aim_unix(place);
    put_number(place, 0, 1); /* to nowhere: nothing is wanted, nothing is lost */
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    assert_string_equal(syslog_where(place->syslog), place->text);
    put_number(place, 1, 1);
    put_number(place, 2, 1);
    int fd = listen_unix(place);
    assert_int_equal(next_number(fd), 1);
    assert_int_equal(next_number(fd), 2);
    close(fd);
    put_number(place, 3, 1);
    fd = listen_unix(place);
    assert_int_equal(next_number(fd), 3);
    wait_counts(place, 3, 0);
    close(fd);
}

/* A collector that reads nothing: the caller goes on at once, the queue fills, the rest is counted; what waited comes. */
static void test_full(void **state) {
    struct place *place = *state;
    enum { EACH = 50000, COUNT = 400 };
    aim_unix(place);
    int fd = listen_unix(place);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    for (unsigned i = 0; i < COUNT; i++)
        put_number(place, i, EACH);
    uint64_t lost = syslog_lost(place->syslog);
    assert_true(lost > 0 && lost < COUNT);
    for (uint64_t i = 0; i < COUNT - lost; i++)
        next_number(fd);
    wait_counts(place, COUNT - lost, lost);
    put_number(place, 1, 300000); /* more than a datagram holds */
    put_number(place, 2, 1);
    assert_int_equal(next_number(fd), 2);
    assert_int_equal(syslog_error(place->syslog), -EMSGSIZE);
    close(fd);
}

static void test_end(void **state) {
    struct place *place = *state;
    aim_unix(place);
    int fd = listen_unix(place);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    for (unsigned i = 0; i < 5; i++)
        put_number(place, i, 1);
    syslog_free(place->syslog); /* sends what waits */
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(next_number(fd), i);
    place->syslog = syslog_new();
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    for (unsigned i = 0; i < 200; i++)
        put_number(place, i, 100000);
    syslog_free(place->syslog); /* and goes though nobody reads */
    place->syslog = NULL;
    close(fd);
}

static void test_udp(void **state) {
    struct place *place = *state;
    int fd = listen_inet(place, SYSLOG_UDP);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    put_number(place, 1, 1);
    assert_int_equal(next_number(fd), 1);
    close(fd);
    put_number(place, 2, 1); /* into the void; its ICMP message comes with the next */
    wait_counts(place, 2, 0);
    fd = -1;
    for (unsigned i = 0; syslog_lost(place->syslog) == 0 && i < 1000; i++) {
        put_number(place, 3, 1);
        usleep(5000);
    }
    assert_true(syslog_lost(place->syslog) > 0);
    assert_int_equal(syslog_error(place->syslog), -ECONNREFUSED);
}

/* Reads one frame as RFC 6587 counts it. */
static unsigned next_frame(int fd) {
    static char text[1 << 18];
    char *end;
    size_t length = 0;
    for (;;) {
        wait_readable(fd);
        ssize_t got = recv(fd, text + length, 1, 0);
        assert_int_equal(got, 1);
        if (text[length++] == ' ')
            break;
    }
    size_t wanted = strtoul(text, &end, 10);
    assert_int_equal(*end, ' ');
    for (length = 0; length < wanted;) {
        wait_readable(fd);
        ssize_t got = recv(fd, text + length, wanted - length, 0);
        assert_true(got > 0);
        length += (size_t)got;
    }
    text[length] = '\0';
    assert_memory_equal(text, "<29>1 20", 8);
    assert_int_equal(text[length - 1], '}');
    return (unsigned)atoi(strstr(text, "\"count\":") + strlen("\"count\":"));
}

static void test_tcp(void **state) {
    struct place *place = *state;
    int fd = listen_inet(place, SYSLOG_TCP);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    put_number(place, 1, 1);
    put_number(place, 2, 60000);
    int peer = accept(fd, NULL, NULL);
    assert_int_equal(next_frame(peer), 1);
    assert_int_equal(next_frame(peer), 2);
    close(peer); /* the collector starts again */
    close(fd);
    usleep(20000);
    put_number(place, 3, 1);
    put_number(place, 4, 1);
    fd = listen_inet(place, SYSLOG_TCP);
    wait_readable(fd);
    peer = accept(fd, NULL, NULL);
    assert_int_equal(next_frame(peer), 3);
    assert_int_equal(next_frame(peer), 4);
    wait_counts(place, 4, 0);
    close(peer);
    close(fd);
}

static void test_another_target(void **state) {
    struct place *place = *state;
    const struct syslog_target off = {SYSLOG_OFF, .text = NULL};
    aim_unix(place);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    put_number(place, 1, 1); /* nobody is there */
    int fd = listen_inet(place, SYSLOG_UDP);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    assert_int_equal(next_number(fd), 1);
    assert_int_equal(syslog_configure(place->syslog, &off), 0);
    assert_null(syslog_where(place->syslog));
    put_number(place, 2, 1);
    assert_int_equal(syslog_configure(place->syslog, &place->target), 0);
    put_number(place, 3, 1);
    assert_int_equal(next_number(fd), 3);
    wait_counts(place, 2, 0);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_no_hit),
        cmocka_unit_test(test_origin),
        cmocka_unit_test_setup_teardown(test_late_and_restarted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_udp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_target, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
