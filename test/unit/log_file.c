/* test/unit/log_file.c: whole lines or none, whatever the disk, logrotate or an operator does to the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/log_file.h"

struct place {
    char folder[64], path[128];
    struct log_file *file;
};

static int set_up(void **state) {
    struct place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/sundew-log-XXXXXX");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    snprintf(place->path, sizeof place->path, "%s/hits.jsonl", place->folder);
    place->file = log_file_new();
    log_file_path(place->file, place->path);
    *state = place;
    return 0;
}

static int tear_down(void **state) {
    struct place *place = *state;
    log_file_free(place->file);
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    int rc = system(command);
    free(place);
    return rc;
}

static uint64_t put(struct place *place, const char *lines, int *error) {
    *error = 0;
    return log_file_write(place->file, lines, strlen(lines), error);
}

static void holds(const char *path, const char *expected) {
    char text[4096] = "";
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    assert_string_equal(text, expected);
}

static void test_append(void **state) {
    struct place *place = *state;
    int error;
    assert_int_equal(put(place, "one\n", &error), 0);
    assert_int_equal(put(place, "two\nthree\n", &error), 0);
    holds(place->path, "one\ntwo\nthree\n");
    log_file_path(place->file, NULL);
    assert_int_equal(put(place, "four\n", &error), 0);
    assert_null(log_file_where(place->file));
    holds(place->path, "one\ntwo\nthree\n");
}

/* What a kill -9 in the middle of a write leaves. */
static void test_torn_end(void **state) {
    struct place *place = *state;
    int error, fd = open(place->path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "one\ntwo\nthr", 11), 11);
    close(fd);
    log_file_reopen(place->file);
    put(place, "four\n", &error);
    holds(place->path, "one\ntwo\nfour\n");
    fd = open(place->path, O_WRONLY | O_TRUNC, 0600);
    assert_int_equal(write(fd, "torn", 4), 4);
    close(fd);
    log_file_reopen(place->file);
    put(place, "five\n", &error);
    holds(place->path, "five\n");
}

static void test_rotation(void **state) {
    struct place *place = *state;
    char old[192];
    int error;
    snprintf(old, sizeof old, "%s.1", place->path);
    put(place, "one\n", &error);
    assert_int_equal(rename(place->path, old), 0);
    put(place, "two\n", &error);
    holds(old, "one\n");
    holds(place->path, "two\n");
    assert_int_equal(unlink(place->path), 0);
    put(place, "three\n", &error);
    holds(place->path, "three\n");
    log_file_reopen(place->file);
    put(place, "four\n", &error);
    holds(place->path, "three\nfour\n");
}

static void test_missing_folder_appears(void **state) {
    struct place *place = *state;
    char folder[192], path[256];
    int error;
    snprintf(folder, sizeof folder, "%s/later", place->folder);
    snprintf(path, sizeof path, "%s/hits.jsonl", folder);
    log_file_path(place->file, path);
    assert_int_equal(put(place, "one\ntwo\n", &error), 2);
    assert_int_equal(error, -ENOENT);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(put(place, "three\n", &error), 0);
    holds(path, "three\n");
}

/* A limit on the file's size makes write() take a part of the last line, as a full disk does. */
static void test_full_disk(void **state) {
    struct place *place = *state;
    struct rlimit before, tight;
    int error;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    tight = before;
    tight.rlim_cur = 16;
    put(place, "0123456\n", &error);
    setrlimit(RLIMIT_FSIZE, &tight);
    assert_int_equal(put(place, "abc\ndefghijkl\nmno\n", &error), 2);
    assert_int_equal(error, -EFBIG);
    holds(place->path, "0123456\nabc\n");
    assert_int_equal(put(place, "pq\n", &error), 0);
    setrlimit(RLIMIT_FSIZE, &before);
    put(place, "rst\n", &error);
    holds(place->path, "0123456\nabc\npq\nrst\n");
}

/* A pipe can't be cut: the torn line is completed before the next one. */
static void test_torn_line_in_a_pipe(void **state) {
    struct place *place = *state;
    unlink(place->path);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    int reader = open(place->path, O_RDONLY | O_NONBLOCK), error, octets = 0;
    assert_true(reader >= 0);
    size_t size = 70000;
    char *line = malloc(size + 1), *got = calloc(1, 3 * size);
    memset(line, 'x', size);
    line[size - 1] = '\n';
    line[size] = '\0';
    assert_int_equal(put(place, line, &error), 0); /* its beginning is in the pipe, so the rest will come */
    assert_int_equal(error, -EAGAIN);
    for (ssize_t n; octets < 65536 && (n = read(reader, got + octets, 65536)) > 0;)
        octets += (int)n;
    assert_int_equal(put(place, "next\n", &error), 0);
    for (ssize_t n; (n = read(reader, got + octets, 65536)) > 0;)
        octets += (int)n;
    assert_int_equal(octets, size + 5);
    assert_memory_equal(got, line, size);
    assert_string_equal(got + size, "next\n");
    close(reader);
    free(line);
    free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rotation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_folder_appears, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_line_in_a_pipe, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
