/* test/unit/test_format_torture.c: every seed of the fuzz target, with each allocation made to fail in turn: no crash, no leak, and
 * either -ENOMEM or an outcome as good as without the failure. Allocations are caught by the linker (--wrap). */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feeds_collect.h"

enum { SEED_MAX = 65536, FAILURES_MAX = 20000 };

static size_t countdown; /* allocations until the one that fails; 0: none does */
static bool failed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool fails(void) {
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return fails() ? NULL : __real_realloc(old, size);
}

static void torture(const char *name, const uint8_t *seed, size_t length) {
    enum format format = (enum format)(seed[0] & 0x1f);
    const struct format_options options = {.refang = (seed[0] & 0x40) != 0, .local = (seed[0] & 0x80) != 0};
    if (format >= FORMAT_COUNT)
        return;
    countdown = 0;
    const struct collected *result = collect_chunks(format, (const char *)seed + 1, length - 1, SIZE_MAX, &options);
    const int sound = result->error;
    const size_t count = result->count;
    failed = true;
    for (size_t at = 1; failed && at < FAILURES_MAX; at++) {
        failed = false;
        countdown = at;
        result = collect_chunks(format, (const char *)seed + 1, length - 1, SIZE_MAX, &options);
        countdown = 0;
        if (failed && result->error != -ENOMEM && result->error != sound)
            fail_msg("%s: allocation %zu: %d (%s)", name, at, result->error, result->why);
        if (failed && result->error == 0 && result->count + result->fault_count < count)
            fail_msg("%s: allocation %zu: rules lost without a word", name, at);
    }
    assert_false(failed);
}

static void every_allocation(void **state) {
    static uint8_t seed[SEED_MAX];
    DIR *folder = opendir(SUNDEW_SEEDS);
    struct dirent *entry;
    size_t seeds = 0;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char path[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", SUNDEW_SEEDS, entry->d_name);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        size_t length = fread(seed, 1, sizeof seed, file);
        fclose(file);
        assert_in_range(length, 1, SEED_MAX - 1);
        torture(entry->d_name, seed, length);
        seeds++;
    }
    closedir(folder);
    assert_true(seeds > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
