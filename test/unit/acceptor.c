/* test/unit/acceptor.c: who can't be accepted waits, costs nothing meanwhile, and is accepted when that is possible again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/acceptor.h"

enum { CLIENTS = 5, PATIENCE_MS = 10000 };

struct scene {
    uv_loop_t loop;
    uv_timer_t end;
    struct acceptor *acceptor;
    int clients[CLIENTS];
    int taken[CLIENTS];
    unsigned taken_count, refusals, starved;
    int spare; /* what make_room can give back; -1 nothing */
    int error;
    struct rlimit limit;
};

static bool take(void *context, int fd, const union peer *peer) {
    struct scene *scene = context;
    if (scene->refusals > 0) {
        scene->refusals--;
        close(fd);
        return false;
    }
    scene->taken[scene->taken_count++] = fd;
    if (scene->taken_count == CLIENTS)
        uv_stop(&scene->loop);
    return true;
}

static bool make_room(void *context, int error) {
    struct scene *scene = context;
    scene->starved++;
    scene->error = error;
    bool any = scene->spare >= 0;
    if (any)
        close(scene->spare);
    scene->spare = -1;
    return any;
}

static void on_end(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void run(struct scene *scene, uint64_t milliseconds) {
    uv_timer_start(&scene->end, on_end, milliseconds, 0);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&scene->end);
}

/* From now on `free_count` descriptors are left. */
static void ration(const struct scene *scene, unsigned free_count) {
    struct rlimit limit = scene->limit;
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    limit.rlim_cur = (rlim_t)next + free_count;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct acceptor_user user = {take, make_room, scene};
    socklen_t length = sizeof address;
    int error, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    uv_loop_init(&scene->loop);
    uv_timer_init(&scene->loop, &scene->end);
    scene->spare = -1;
    if (getrlimit(RLIMIT_NOFILE, &scene->limit) != 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return -1;
    scene->acceptor = acceptor_new(&scene->loop, fd, CLIENTS, &user, &error);
    for (size_t i = 0; i < CLIENTS; i++) {
        scene->clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(scene->clients[i], (struct sockaddr *)&address, sizeof address) != 0)
            return -1;
    }
    *state = scene;
    return scene->acceptor == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    setrlimit(RLIMIT_NOFILE, &scene->limit);
    acceptor_close(scene->acceptor);
    uv_close((uv_handle_t *)&scene->end, NULL);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&scene->loop);
    for (size_t i = 0; i < CLIENTS; i++)
        close(scene->clients[i]);
    for (size_t i = 0; i < scene->taken_count; i++)
        close(scene->taken[i]);
    free(scene);
    return rc;
}

static void test_descriptors_run_out_and_come_back(void **state) {
    struct scene *scene = *state;
    ration(scene, 2);
    run(scene, 3 * ACCEPTOR_REST_MS + ACCEPTOR_REST_MS / 2);
    assert_int_equal(scene->taken_count, 2);
    assert_int_equal(scene->error, -EMFILE);
    assert_in_range(scene->starved, 1, 5); /* it looked now and then, not all the time */
    setrlimit(RLIMIT_NOFILE, &scene->limit);
    run(scene, PATIENCE_MS);
    assert_int_equal(scene->taken_count, CLIENTS);
}

static void test_room_is_made(void **state) {
    struct scene *scene = *state;
    scene->spare = dup(0);
    ration(scene, CLIENTS - 1);
    run(scene, PATIENCE_MS);
    assert_int_equal(scene->taken_count, CLIENTS);
    assert_int_equal(scene->starved, 1);
}

static void test_no_memory_for_one_holds_the_others_back(void **state) {
    struct scene *scene = *state;
    scene->refusals = 1;
    run(scene, ACCEPTOR_REST_MS / 2);
    assert_int_equal(scene->taken_count, 0);
    run(scene, 2 * ACCEPTOR_REST_MS);
    assert_int_equal(scene->taken_count, CLIENTS - 1);
}

static void test_closed_while_it_rests(void **state) {
    struct scene *scene = *state;
    ration(scene, 0);
    run(scene, ACCEPTOR_REST_MS / 2);
    assert_int_equal(scene->taken_count, 0);
    assert_true(scene->starved > 0); /* the tear-down closes it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_descriptors_run_out_and_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_is_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_for_one_holds_the_others_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closed_while_it_rests, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
