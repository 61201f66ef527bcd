/* test/unit/complaint.c: what is lost is said at once, then at most once a minute, and the rest at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hits/complaint.h"

struct heard {
    unsigned times;
    char text[512];
};

static void hear(void *context, const char *level, const char *text) {
    struct heard *heard = context;
    assert_string_equal(level, "error");
    heard->times++;
    snprintf(heard->text, sizeof heard->text, "%s", text);
}

static void test_once_a_minute(void **state) {
    (void)state;
    struct heard heard = {0};
    struct complaint_voice voice = {hear, &heard, 1000, false};
    struct complaint loss = {0};
    complaint_say(&loss, &voice, "hit log", "lines lost", "/a/b");
    assert_int_equal(heard.times, 0);
    loss.count = 3;
    loss.error = -ENOSPC;
    complaint_say(&loss, &voice, "hit log", "lines lost", "/a/b");
    assert_string_equal(heard.text, "hit log /a/b: 3 lines lost: No space left on device");
    loss.count = 5;
    voice.now_ms += COMPLAINT_MS - 1;
    complaint_say(&loss, &voice, "hit log", "lines lost", "/a/b");
    assert_int_equal(heard.times, 1);
    voice.now_ms++;
    loss.error = 0;
    complaint_say(&loss, &voice, "hit log", "lines lost", NULL);
    assert_int_equal(heard.times, 2);
    assert_string_equal(heard.text, "hit log: 2 lines lost");
    voice.now_ms += COMPLAINT_MS;
    complaint_say(&loss, &voice, "hit log", "lines lost", NULL);
    assert_int_equal(heard.times, 2);
}

static void test_the_rest_at_the_end(void **state) {
    (void)state;
    struct heard heard = {0};
    struct complaint_voice voice = {hear, &heard, 1000, false};
    struct complaint loss = {.count = 1};
    complaint_say(&loss, &voice, "history", "lines lost", NULL);
    loss.count = 8;
    voice.ending = true;
    complaint_say(&loss, &voice, "history", "lines lost", NULL);
    assert_int_equal(heard.times, 2);
    assert_string_equal(heard.text, "history: 7 lines lost");
}

static void test_a_count_that_falls(void **state) {
    (void)state;
    struct heard heard = {0};
    struct complaint_voice voice = {hear, &heard, 1000, false};
    struct complaint skips = {.count = 9};
    complaint_say(&skips, &voice, "leases", "lines", NULL);
    skips.count = 2;
    voice.now_ms += COMPLAINT_MS;
    complaint_say(&skips, &voice, "leases", "lines", NULL);
    assert_int_equal(heard.times, 1);
    skips.count = 3;
    complaint_say(&skips, &voice, "leases", "lines", NULL);
    assert_string_equal(heard.text, "leases: 1 lines");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_a_minute),
        cmocka_unit_test(test_the_rest_at_the_end),
        cmocka_unit_test(test_a_count_that_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
