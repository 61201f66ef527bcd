/* test/unit/test_prefix.c: addresses and prefixes, in and out of text, and what covers what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/prefix.h"
#include "policy/rule.h"

static struct prefix text_prefix(const char *text) {
    struct prefix prefix;
    assert_int_equal(prefix_from_text(&prefix, text, strlen(text), false, NULL), 0);
    return prefix;
}

static struct ip text_ip(const char *text) {
    struct ip ip;
    assert_int_equal(ip_from_text(&ip, text, strlen(text)), 0);
    return ip;
}

static void test_ip_text(void **state) {
    static const char *const same[] = {"192.0.2.1", "2001:db8::1", "::", "::1", "255.255.255.255"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct ip ip = text_ip(same[i]);
        char text[IP_TEXT_MAX];
        assert_int_equal(ip_to_text(&ip, text), strlen(same[i]));
        assert_string_equal(text, same[i]);
    }
    assert_true(ip_equal(&(struct ip){{0}}, &(struct ip){{0}}));
    struct ip bracketed = text_ip("[2001:DB8::1]");
    struct ip bare = text_ip("2001:db8::1");
    assert_true(ip_equal(&bracketed, &bare));
    struct ip v4 = text_ip("192.0.2.1");
    struct ip mapped = text_ip("::ffff:192.0.2.1");
    assert_true(ip_is_v4(&v4) && !ip_is_v4(&bare));
    assert_true(ip_equal(&v4, &mapped));
    static const char *const bad[] = {"",          "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "fe80::1%lo0",
                                      "[1.2.3.4]", "[::1",  "::1]",      "x",         "1:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ip_from_text(&v4, bad[i], strlen(bad[i])), -EINVAL);
}

static void assert_prefix(const char *text, uint8_t length, const char *expected) {
    struct prefix prefix = text_prefix(text);
    assert_int_equal(prefix.length, length);
    char out[PREFIX_TEXT_MAX];
    assert_int_equal(prefix_to_text(&prefix, out), strlen(expected));
    assert_string_equal(out, expected);
}

static void test_prefix_text(void **state) {
    assert_prefix("203.0.113.0/24", 120, "203.0.113.0/24");
    assert_prefix("203.0.113.7", 128, "203.0.113.7");
    assert_prefix("203.0.113.7/32", 128, "203.0.113.7");
    assert_prefix("0.0.0.0/0", 96, "0.0.0.0/0");
    assert_prefix("::/0", 0, "::/0");
    assert_prefix("2001:db8:bad::/48", 48, "2001:db8:bad::/48");
    assert_prefix("2001:db8::1", 128, "2001:db8::1");
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"203.0.113.1/24", "host bits set"},  {"2001:db8::1/64", "host bits set"}, {"203.0.113.0/33", "bad prefix length"},
        {"::/129", "bad prefix length"},      {"10.0.0.0/", "bad prefix length"},  {"10.0.0.0/08", "bad prefix length"},
        {"10.0.0.0/-1", "bad prefix length"}, {"/8", "not an IP address"},         {"example/8", "not an IP address"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct prefix prefix;
        const char *why = NULL;
        assert_int_equal(prefix_from_text(&prefix, bad[i].text, strlen(bad[i].text), false, &why), -EINVAL);
        assert_string_equal(why, bad[i].why);
    }
    struct prefix loose;
    assert_int_equal(prefix_from_text(&loose, "203.0.113.9/23", 14, true, NULL), 0);
    char out[PREFIX_TEXT_MAX];
    prefix_to_text(&loose, out);
    assert_string_equal(out, "203.0.112.0/23");
}

static void test_covers(void **state) {
    static const struct {
        const char *outer, *inner;
        bool covers;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.0/16", true},
        {"10.0.0.0/8", "11.0.0.0/16", false},
        {"10.0.0.0/16", "10.0.0.0/8", false},
        {"0.0.0.0/0", "203.0.113.7", true},
        {"::/0", "203.0.113.7", false},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"203.0.113.4/30", "203.0.113.7", true},
        {"203.0.113.4/30", "203.0.113.8", false},
        {"203.0.113.7", "203.0.113.7", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct prefix outer = text_prefix(cases[i].outer);
        struct prefix inner = text_prefix(cases[i].inner);
        assert_int_equal(prefix_covers(&outer, &inner), cases[i].covers);
        if (inner.length == 128)
            assert_int_equal(prefix_contains(&outer, &inner.ip), cases[i].covers);
    }
}

static void test_words(void **state) {
    enum action action;
    enum match match;
    for (int i = 0; i < ACTION_COUNT; i++) {
        const char *word = action_name((enum action)i);
        assert_int_equal(action_from_name(word, strlen(word), &action), 0);
        assert_int_equal(action, i);
    }
    for (int i = 0; i < MATCH_COUNT; i++) {
        const char *word = match_name((enum match)i);
        assert_int_equal(match_from_name(word, strlen(word), &match), 0);
        assert_int_equal(match, i);
    }
    assert_int_equal(action_from_name("loop", 4, &action), -EINVAL);
    assert_int_equal(match_from_name("subtrees", 8, &match), -EINVAL);
    assert_null(action_name(ACTION_COUNT));
    assert_string_equal(trigger_name(TRIGGER_NAMESERVER_IP), "nameserver_ip");
    assert_string_equal(mode_name(MODE_MONITOR), "monitor");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip_text),
        cmocka_unit_test(test_prefix_text),
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
