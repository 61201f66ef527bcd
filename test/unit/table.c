/* test/unit/table.c: what a hostile name may do to a terminal: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tool/table.h"
#include "tool/tool.h"

int tool_failed(const char *format, ...) {
    return TOOL_FAILED;
}

static void test_escape(void **state) {
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"plain", "plain"},
        {"b\xC3\xBC"
         "cher \xE2\x82\xAC \xF0\x9F\x8C\xBF",
         "b\xC3\xBC"
         "cher \xE2\x82\xAC \xF0\x9F\x8C\xBF"},
        {"\x1B[2J\r\n\t\x7F", "\\x1b[2J\\x0d\\x0a\\x09\\x7f"},
        {"\xC2\x9B"
         "31m",
         "\\xc2\\x9b31m"}, /* C1 CSI */
        {"a\xE2\x80\xAE"
         "b",
         "a\\xe2\\x80\\xaeb"},                                                   /* right-to-left override */
        {"\xFF\xC0\xAF\xED\xA0\x80\xC3", "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xc3"}, /* not UTF-8 */
    };
    char out[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(table_escape(cases[i].text, out, sizeof out), cases[i].wanted);
}

static void test_escape_is_bounded(void **state) {
    char out[9];
    memset(out, 'x', sizeof out);
    assert_string_equal(table_escape("\x01\x02\x03", out, 8), "\\x01");
    assert_int_equal(out[8], 'x');
    assert_string_equal(table_escape("1234567890", out, 8), "1234567");
    assert_string_equal(table_escape("12345\xE2\x82\xAC", out, 8), "12345"); /* no half character */
}

static void test_age(void **state) {
    static const struct {
        double seconds;
        const char *wanted;
    } cases[] = {{0, "0s"}, {119, "119s"}, {120, "2m"}, {7200, "2h"}, {172800, "2d"}};
    char out[16];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        table_age(cases[i].seconds, out);
        assert_string_equal(out, cases[i].wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_escape), cmocka_unit_test(test_escape_is_bounded),
                                       cmocka_unit_test(test_age)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
