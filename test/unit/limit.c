/* test/unit/limit.c: who may ask, against prefix_contains itself, and the answers for those who may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/limit.h"

static struct prefix prefix_of(const char *text) {
    struct prefix prefix;
    assert_int_equal(prefix_from_text(&prefix, text, strlen(text), true, NULL), 0);
    return prefix;
}

static bool asks(const struct limit *limit, const char *text) {
    struct ip ip;
    assert_int_equal(ip_from_text(&ip, text, strlen(text)), 0);
    return limit_contains(limit, &ip);
}

static void test_ranges(void **state) {
    const struct prefix prefixes[] = {prefix_of("10.0.0.0/8"), prefix_of("127.0.0.1"), prefix_of("10.2.0.0/16"),
                                      prefix_of("fe80::/10"), prefix_of("::1")};
    struct limit *limit = limit_new(prefixes, sizeof prefixes / sizeof prefixes[0]);
    assert_true(asks(limit, "10.0.0.0") && asks(limit, "10.2.3.4") && asks(limit, "10.255.255.255"));
    assert_true(asks(limit, "127.0.0.1") && asks(limit, "::1") && asks(limit, "febf::1"));
    assert_false(asks(limit, "9.255.255.255") || asks(limit, "11.0.0.0") || asks(limit, "127.0.0.2"));
    assert_false(asks(limit, "::") || asks(limit, "fec0::") || asks(limit, "ffff::"));
    limit_free(limit);
}

static void test_none_and_all(void **state) {
    struct limit *none = limit_new(NULL, 0);
    assert_false(asks(none, "127.0.0.1") || asks(none, "::"));
    limit_free(none);
    const struct prefix prefixes[] = {prefix_of("::/0"), prefix_of("0.0.0.0/0")};
    struct limit *all = limit_new(prefixes, 2);
    assert_true(asks(all, "0.0.0.0") && asks(all, "::") && asks(all, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    limit_free(all);
}

/* Random sets over a small space, so that they overlap, touch and repeat. */
static void test_against_prefixes(void **state) {
    srandom(1);
    for (int round = 0; round < 300; round++) {
        struct prefix prefixes[12];
        size_t count = (size_t)random() % 12;
        for (size_t i = 0; i < count; i++) {
            uint8_t address[4] = {10, 0, 0, (uint8_t)random()};
            prefixes[i] = (struct prefix){ip_from_v4(address), (uint8_t)(120 + random() % 9)};
            uint8_t host = (uint8_t)(0xFF >> (prefixes[i].length - 120));
            prefixes[i].ip.bytes[15] &= (uint8_t)~host;
        }
        struct limit *limit = limit_new(prefixes, count);
        for (unsigned octet = 0; octet < 256; octet++) {
            uint8_t address[4] = {10, 0, 0, (uint8_t)octet};
            struct ip ip = ip_from_v4(address);
            bool wanted = false;
            for (size_t i = 0; i < count; i++)
                wanted = wanted || prefix_contains(&prefixes[i], &ip);
            assert_int_equal(limit_contains(limit, &ip), wanted);
        }
        limit_free(limit);
    }
}

/* id 0x1234, RD and CD, one question a.b A, an OPT with DO. */
static const uint8_t asked[] = {0x12, 0x34, 0x01, 0x10, 0, 1, 0, 0,  0, 0,    0, 1, 1,    'a', 1, 'B',
                                0,    0,    1,    0,    1, 0, 0, 41, 4, 0xD0, 0, 0, 0x80, 0,   0, 0};

static void test_error(void **state) {
    static const uint8_t refused[] = {0x12, 0x34, 0x81, 0x95, 0,  1, 0,    0, 0, 0,    0, 1, 1, 'a', 1,  'B', 0, 0, 1,
                                      0,    1,    0,    0,    41, 4, 0xD0, 0, 0, 0x80, 0, 0, 6, 0,   15, 0,   2, 0, 18};
    uint8_t out[LIMIT_ERROR_MAX];
    assert_int_equal(limit_error(asked, sizeof asked, 5, 18, out), sizeof refused);
    assert_memory_equal(out, refused, sizeof refused);
    assert_int_equal(limit_error(asked, sizeof asked, 5, 0, out), sizeof refused - 6);
    assert_int_equal(limit_error(asked, 21, 1, 18, out), 21); /* the OPT is cut off: header and question */
    assert_int_equal(out[11], 0);
}

static void test_error_of_junk(void **state) {
    uint8_t out[LIMIT_ERROR_MAX], packet[sizeof asked];
    memcpy(packet, asked, sizeof asked);
    assert_int_equal(limit_error(packet, 11, 1, 0, out), 0);
    packet[2] |= 0x80; /* an answer is never answered */
    assert_int_equal(limit_error(packet, sizeof packet, 1, 0, out), 0);
    packet[2] = 1;
    packet[5] = 2; /* two questions: the header alone */
    assert_int_equal(limit_error(packet, sizeof packet, 1, 0, out), 12);
    assert_int_equal(out[5], 0);
    packet[5] = 1;
    for (size_t length = 12; length < 21; length++)
        assert_int_equal(limit_error(packet, length, 1, 0, out), 12);
    packet[12] = 0xC0; /* a pointer is no question's name */
    assert_int_equal(limit_error(packet, sizeof packet, 1, 0, out), 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_none_and_all),
                                       cmocka_unit_test(test_against_prefixes), cmocka_unit_test(test_error),
                                       cmocka_unit_test(test_error_of_junk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
