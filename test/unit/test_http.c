/* test/unit/test_http.c: the HTTP surface: what is served, to whom, and what is refused. */
#include "resolver/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct http *http;
    struct config config;
    char token_path[64];
};

static json_t *echo_command(void *context, const json_t *command) {
    const char *name = json_string_value(json_object_get(command, "name"));
    if (name != NULL && strcmp(name, "bad") == 0) {
        return json_pack("{s:b, s:s}", "ok", 0, "error", "bad <name>");
    }
    return json_pack("{s:b, s:O}", "ok", 1, "data", command);
}

static void write_metrics(void *context, FILE *out) {
    fputs("sundew_up 1\n", out);
}

/* A port that was free a moment ago. */
static struct sockaddr_in free_address(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return address;
}

static void start(struct fixture *fixture) {
    static const struct http_source source = {.answer = echo_command, .metrics = write_metrics};
    const char *why = NULL;
    struct sockaddr_in address = free_address();
    memcpy(&fixture->config.http.address, &address, sizeof address);
    fixture->config.http.address_length = sizeof address;
    assert_int_equal(http_start(&fixture->http, &fixture->config, &source, &why), 0);
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    start(fixture);
    *state = fixture;
    return 0;
}

static int set_up_with_token(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->token_path, "/tmp/sundew-token-XXXXXX");
    int fd = mkstemp(fixture->token_path);
    assert_true(fd >= 0 && write(fd, "s3cret\n", 7) == 7);
    close(fd);
    fixture->config.http.token_file = fixture->token_path;
    start(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    http_stop(fixture->http);
    if (fixture->token_path[0] != '\0') {
        unlink(fixture->token_path);
    }
    free(fixture);
    return 0;
}

/* Sends one request with Connection: close; the whole response, in static storage. */
static const char *ask(const struct fixture *fixture, const char *request_line, const char *headers) {
    static char response[65536];
    static char request[65536];
    size_t used = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&fixture->config.http.address, fixture->config.http.address_length), 0);
    int length = snprintf(request, sizeof request, "%s HTTP/1.1\r\n%sConnection: close\r\n\r\n", request_line, headers);
    assert_int_equal(write(fd, request, (size_t)length), length);
    for (ssize_t got; (got = read(fd, response + used, sizeof response - 1 - used)) > 0;) {
        used += (size_t)got;
    }
    close(fd);
    response[used] = '\0';
    return response;
}

static int status(const char *response) {
    return atoi(response + strlen("HTTP/1.1 "));
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define HOST "Host: 127.0.0.1:9153\r\n"

static void the_page_carries_its_own_nonce(void **state) {
    const char *response = ask(*state, "GET /", HOST);
    assert_int_equal(status(response), 200);
    const char *nonce = strstr(response, "script-src 'nonce-");
    assert_non_null(nonce);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "<script nonce=\"%.32s\">", nonce + strlen("script-src 'nonce-"));
    assert_non_null(strstr(response, wanted));
    assert_null(strstr(response, "@NONCE@"));
    assert_null(strstr(response, "unsafe-inline"));
}

static void parameters_reach_the_command(void **state) {
    const char *response = ask(*state, "GET /api/explain?name=%3Cscript%3E&client=10.0.0.1", HOST);
    assert_int_equal(status(response), 200);
    assert_non_null(strstr(response, "application/json"));
    assert_non_null(strstr(response, "{\"command\":\"explain\",\"name\":\"<script>\",\"client\":\"10.0.0.1\"}"));
    assert_non_null(strstr(response, "nosniff"));
}

static void refusals_are_json_too(void **state) {
    const char *response = ask(*state, "GET /api/explain?name=bad", HOST);
    assert_int_equal(status(response), 400);
    assert_non_null(strstr(response, "\"error\":\"bad <name>\""));
}

static void metrics_are_text(void **state) {
    const char *response = ask(*state, "GET /metrics", HOST);
    assert_int_equal(status(response), 200);
    assert_non_null(strstr(response, "text/plain; version=0.0.4"));
    assert_non_null(strstr(response, "sundew_up 1\n"));
}

static void head_has_no_body(void **state) {
    const char *response = ask(*state, "HEAD /metrics", HOST);
    assert_int_equal(status(response), 200);
    assert_null(strstr(response, "sundew_up"));
}

static void only_reading_is_allowed(void **state) {
    assert_int_equal(status(ask(*state, "POST /api/status", HOST "Content-Length: 0\r\n")), 405);
    assert_int_equal(status(ask(*state, "DELETE /", HOST)), 405);
    assert_int_equal(status(ask(*state, "POST /api/status", HOST "Content-Length: 1000000000\r\n")), 405);
    assert_int_equal(status(ask(*state, "PUT /", HOST "Transfer-Encoding: chunked\r\n")), 405);
    assert_int_equal(status(ask(*state, "GET /", HOST "Content-Length: 1000000000\r\n")), 413);
    assert_int_equal(status(ask(*state, "GET /", HOST "Transfer-Encoding: chunked\r\n")), 413);
}

static void parameters_are_checked(void **state) {
    assert_int_equal(status(ask(*state, "GET /api/hits?limit=10&since=", HOST)), 200);
    assert_int_equal(status(ask(*state, "GET /api/hits?limit=-5", HOST)), 400);
    assert_int_equal(status(ask(*state, "GET /api/hits?limit=1x", HOST)), 400);
    assert_int_equal(status(ask(*state, "GET /api/hits?limit=9999999999", HOST)), 400);
    assert_int_equal(status(ask(*state, "GET /api/explain?name=a%00b", HOST)), 400);
    assert_int_equal(status(ask(*state, "GET /api/explain?name=%ff", HOST)), 400);
}

static void a_request_is_not_too_large(void **state) {
    static char large[40000 + 1];
    memset(large, 'a', sizeof large - 1);
    memcpy(large, HOST "X: ", strlen(HOST "X: "));
    memcpy(large + sizeof large - 3, "\r\n", 2);
    assert_int_equal(status(ask(*state, "GET /", large)), 431);
}

static int begin(const struct fixture *fixture) {
    static const char some[] = "GET / HT";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&fixture->config.http.address, fixture->config.http.address_length), 0);
    assert_int_equal(write(fd, some, strlen(some)), strlen(some));
    assert_int_equal(status(ask(fixture, "GET /metrics", HOST)), 200); /* the server has seen both */
    return fd;
}

/* Whoever sends a header octet by octet is cut off all the same. */
static void time_is_limited(void **state) {
    static const char rest[] = "TP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    const struct fixture *fixture = *state;
    char start[9] = "";
    int fd = begin(fixture);
    http_tend(fixture->http, now_ms() + 10000);
    assert_int_equal(write(fd, rest, strlen(rest)), strlen(rest));
    assert_int_equal(recv(fd, start, 8, MSG_WAITALL), 8);
    assert_string_equal(start, "HTTP/1.1");
    close(fd);
    fd = begin(fixture);
    http_tend(fixture->http, now_ms() + 16000);
    assert_true(recv(fd, start, 8, MSG_WAITALL) <= 0);
    close(fd);
    assert_int_equal(status(ask(fixture, "GET /metrics", HOST)), 200);
}

static double cpu_seconds(void) {
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

/* Who comes then waits, without costing a thread's whole time, and is answered later. */
static void descriptors_may_run_out(void **state) {
    static const char request[] = "GET /metrics HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    const struct fixture *fixture = *state;
    const struct sockaddr *address = (const struct sockaddr *)&fixture->config.http.address;
    struct rlimit before, none;
    char start[9] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int connected = connect(fd, address, fixture->config.http.address_length);
    ssize_t written = write(fd, request, strlen(request));
    double used = cpu_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    used = cpu_seconds() - used;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(connected == 0 && written == (ssize_t)strlen(request));
    assert_true(used < 0.2);
    assert_int_equal(recv(fd, start, 8, MSG_WAITALL), 8);
    assert_string_equal(start, "HTTP/1.1");
    close(fd);
}

static void nothing_else_is_served(void **state) {
    assert_int_equal(status(ask(*state, "GET /../../etc/passwd", HOST)), 404);
    assert_int_equal(status(ask(*state, "GET /api/stop", HOST)), 404);
    assert_int_equal(status(ask(*state, "GET /api/status/", HOST)), 404);
}

static void a_foreign_host_name_is_refused(void **state) {
    assert_int_equal(status(ask(*state, "GET /api/clients", "Host: rebound.evil.example\r\n")), 421);
    assert_int_equal(status(ask(*state, "GET /api/clients", "Host: localhost:9153\r\n")), 200);
    assert_int_equal(status(ask(*state, "GET /api/clients", "Host: [::1]:9153\r\n")), 200);
    assert_int_equal(status(ask(*state, "GET /api/clients", "Host: [rebound.evil.example]\r\n")), 421);
    assert_int_equal(status(ask(*state, "GET /api/clients", HOST "Host: rebound.evil.example\r\n")), 400);
    assert_int_equal(status(ask(*state, "GET /api/clients", "")), 400);
}

static void the_token_is_needed(void **state) {
    assert_int_equal(status(ask(*state, "GET /", HOST)), 401);
    assert_int_equal(status(ask(*state, "GET /", HOST "Authorization: Bearer s3cre\r\n")), 401);
    assert_int_equal(status(ask(*state, "GET /", HOST "Authorization: Bearer s3creT\r\n")), 401);
    assert_int_equal(status(ask(*state, "GET /", HOST "Authorization: Bearer s3cret\r\n")), 200);
    assert_int_equal(status(ask(*state, "GET /", HOST "Authorization: Basic eDpzM2NyZXQ=\r\n")), 200);
}

static void the_token_is_read_again(void **state) {
    struct fixture *fixture = *state;
    FILE *file = fopen(fixture->token_path, "w");
    fputs("another\n", file);
    fclose(file);
    assert_int_equal(http_retoken(fixture->http, &fixture->config), 0);
    assert_int_equal(status(ask(fixture, "GET /", HOST "Authorization: Bearer s3cret\r\n")), 401);
    assert_int_equal(status(ask(fixture, "GET /", HOST "Authorization: Bearer another\r\n")), 200);
    assert_int_equal(truncate(fixture->token_path, 0), 0);
    assert_int_equal(http_retoken(fixture->http, &fixture->config), -EINVAL);
    assert_int_equal(status(ask(fixture, "GET /", HOST "Authorization: Bearer another\r\n")), 200);
    assert_int_equal(status(ask(fixture, "GET /", HOST "Authorization: Bearer \r\n")), 401);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_page_carries_its_own_nonce, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parameters_reach_the_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_are_json_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(metrics_are_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_has_no_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_reading_is_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_else_is_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_foreign_host_name_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parameters_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_is_not_too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_is_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptors_may_run_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_token_is_read_again, set_up_with_token, tear_down),
        cmocka_unit_test_setup_teardown(the_token_is_needed, set_up_with_token, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
