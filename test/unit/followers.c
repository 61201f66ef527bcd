/* test/unit/followers.c: every follower gets every line, whole, from when it comes until it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hits/followers.h"

struct heard {
    char text[256];
};

/* Puts a bar behind each line, so that it shows what came in one call. */
static void hear(void *context, const char *line, size_t length) {
    struct heard *heard = context;
    size_t had = strlen(heard->text);
    snprintf(heard->text + had, sizeof heard->text - had, "%.*s|", (int)length, line);
}

static void pass(struct followers *followers, const char *lines) {
    followers_pass(followers, lines, strlen(lines));
}

static void test_coming_and_going(void **state) {
    (void)state;
    struct followers *followers = followers_new();
    struct heard one = {""}, two = {""};
    pass(followers, "nobody\n");
    int first = followers_add(followers, hear, &one);
    pass(followers, "a\nbb\n");
    int second = followers_add(followers, hear, &two);
    assert_true(first >= 0 && second >= 0 && first != second);
    pass(followers, "c\n");
    followers_remove(followers, first);
    followers_remove(followers, first);
    pass(followers, "d\n");
    pass(followers, "");
    assert_string_equal(one.text, "a\n|bb\n|c\n|");
    assert_string_equal(two.text, "c\n|d\n|");
    followers_free(followers); /* with one that never left */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_coming_and_going)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
