/* test/unit/test_name.c: names in and out of presentation form, their order, their hashes, and Unicode. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/idna.h"

static struct name text_name(const char *text) {
    struct name name;
    assert_int_equal(name_from_text(&name, text, strlen(text), NULL), 0);
    return name;
}

static void assert_text(const char *text, const char *expected) {
    struct name name = text_name(text);
    char out[NAME_TEXT_MAX];
    assert_int_equal(name_to_text(name.wire, out), strlen(expected));
    assert_string_equal(out, expected);
}

static void test_text(void **state) {
    assert_text("C2.Evil.Example.", "c2.evil.example");
    assert_text("c2.evil.example", "c2.evil.example");
    assert_text(".", ".");
    assert_text("a\\.b.c", "a\\.b.c");
    assert_text("\\065.x", "a.x");
    assert_text("\\000\\255\\032.x", "\\000\\255\\032.x");
    assert_text("_dmarc.-x-.example", "_dmarc.-x-.example");
    struct name name = text_name("a.bc.");
    assert_int_equal(name.length, 6);
    assert_int_equal(name.labels, 2);
    assert_memory_equal(name.wire, "\1a\2bc\0", 6);
}

static void assert_bad(const char *text, size_t length, const char *expected) {
    struct name name = text_name("kept");
    const char *why = NULL;
    assert_int_equal(name_from_text(&name, text, length, &why), -EINVAL);
    assert_string_equal(why, expected);
    assert_memory_equal(name.wire, "\4kept\0", 6);
}

static void test_bad_text(void **state) {
    assert_bad("", 0, "empty name");
    assert_bad("..", 2, "empty label");
    assert_bad("a..b", 4, "empty label");
    assert_bad(".a", 2, "empty label");
    assert_bad("a b", 3, "blank or control character in name");
    assert_bad("a\0b", 3, "blank or control character in name");
    assert_bad("a\\", 2, "bad escape");
    assert_bad("a\\25", 4, "bad escape");
    assert_bad("a\\256", 5, "bad escape");
    assert_bad("\xc3\xa4.example", 10, "not ASCII");
    char label[64];
    memset(label, 'a', sizeof label);
    assert_bad(label, 64, "label longer than 63 octets");
}

static void test_longest(void **state) {
    /* 127 labels of one octet are 255 octets of wire: the longest name there is */
    char text[2 * 128];
    for (size_t i = 0; i < sizeof text; i += 2) {
        text[i] = 'x';
        text[i + 1] = '.';
    }
    struct name name;
    assert_int_equal(name_from_text(&name, text, 2 * 127, NULL), 0);
    assert_int_equal(name.length, 255);
    assert_int_equal(name.labels, 127);
    struct name_key key;
    name_key_init(&key, name.wire, name.length, 1);
    assert_int_equal(key.labels, 127);
    assert_bad(text, 2 * 128, "name longer than 255 octets");
    text[2 * 127 - 2] = 'y';
    text[2 * 127 - 1] = 'y';
    assert_bad(text, 2 * 127, "name longer than 255 octets");
}

static void test_wire(void **state) {
    struct name name;
    assert_int_equal(name_from_wire(&name, (const uint8_t *)"\3WwW\7ExAmPlE\0rest", 17), 13);
    assert_memory_equal(name.wire, "\3www\7example\0", 13);
    assert_int_equal(name.labels, 2);
    assert_int_equal(name_from_wire(&name, (const uint8_t *)"\3www", 4), -EINVAL);
    assert_int_equal(name_from_wire(&name, (const uint8_t *)"\300\14", 2), -EINVAL);
    assert_int_equal(name_from_wire(&name, (const uint8_t *)"", 0), -EINVAL);
    /* only A to Z are lowered, whatever stands beside them */
    for (int octet = 0; octet < 256; octet++) {
        uint8_t wire[20] = {17};
        memset(wire + 1, octet, 17);
        assert_int_equal(name_from_wire(&name, wire, 19), 19);
        for (int i = 1; i <= 17; i++)
            assert_int_equal(name.wire[i], octet >= 'A' && octet <= 'Z' ? octet + 32 : octet);
    }
    uint8_t longest[256];
    for (size_t i = 0; i < 254; i += 2) {
        longest[i] = 1;
        longest[i + 1] = 'a';
    }
    longest[254] = 0;
    assert_int_equal(name_from_wire(&name, longest, 255), 255);
    longest[254] = 1;
    longest[255] = 0;
    assert_int_equal(name_from_wire(&name, longest, 256), -EINVAL);
}

static void test_order(void **state) {
    /* RFC 4034 section 6.1 */
    static const char *const sorted[] = {".",           "example",        "a.example", "yljkjljk.a.example",
                                         "z.a.example", "zabc.a.example", "z.example", "\\001.z.example",
                                         "*.z.example", "\\200.z.example"};
    for (size_t i = 0; i < sizeof sorted / sizeof *sorted; i++) {
        for (size_t j = 0; j < sizeof sorted / sizeof *sorted; j++) {
            struct name a = text_name(sorted[i]);
            struct name b = text_name(sorted[j]);
            int order = name_compare(&a, &b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(name_equal(&a, &b), i == j);
        }
    }
}

static void assert_within(const char *name_text, const char *ancestor_text, bool expected) {
    struct name name = text_name(name_text);
    struct name ancestor = text_name(ancestor_text);
    assert_int_equal(name_is_within(&name, &ancestor), expected);
}

static void test_within(void **state) {
    assert_within("a.example", "example", true);
    assert_within("example", "example", true);
    assert_within("example", ".", true);
    assert_within("xexample", "example", false);
    assert_within("example", "a.example", false);
    assert_within("a.example.org", "example", false);
    /* the octets of the ancestor, but not at a label's edge */
    assert_within("b\\007example", "example", false);
}

static void test_key(void **state) {
    const uint64_t seed = 0x0123456789abcdef;
    struct name name = text_name("a-rather-long-label-of-many-octets.www.c2-x.example.org");
    struct name_key key;
    name_key_init(&key, name.wire, name.length, seed);
    assert_int_equal(key.labels, 5);
    assert_int_equal(key.at[0], name.length - 1);
    assert_int_equal(key.at[5], 0);
    for (unsigned k = 0; k <= 5; k++) {
        /* a suffix hashes as it does by itself, wherever it lies in memory */
        uint8_t length = (uint8_t)(name.length - key.at[k]);
        uint8_t *exact = malloc(length);
        assert_non_null(exact);
        memcpy(exact, name.wire + key.at[k], length);
        struct name_key own;
        name_key_init(&own, exact, length, seed);
        assert_int_equal(own.labels, k);
        assert_true(own.hash[k] == key.hash[k]);
        free(exact);
        for (unsigned other = 0; other < k; other++)
            assert_true(key.hash[other] != key.hash[k]);
    }
    struct name_key reseeded;
    name_key_init(&reseeded, name.wire, name.length, seed + 1);
    assert_true(reseeded.hash[5] != key.hash[5]);
    assert_true(reseeded.hash[1] != key.hash[1]);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Near-equal names must not collide: half a million of them, 64 bits. */
static void test_key_spread(void **state) {
    enum { COUNT = 500000 };
    uint64_t *hash = malloc(COUNT * sizeof *hash);
    assert_non_null(hash);
    for (unsigned i = 0; i < COUNT; i++) {
        char text[32];
        int length = snprintf(text, sizeof text, i % 2 ? "%u.example" : "host-number-%u.test", i / 2);
        struct name name;
        assert_int_equal(name_from_text(&name, text, (size_t)length, NULL), 0);
        struct name_key key;
        name_key_init(&key, name.wire, name.length, 7);
        hash[i] = key.hash[2];
    }
    qsort(hash, COUNT, sizeof *hash, by_value);
    for (unsigned i = 1; i < COUNT; i++)
        assert_true(hash[i] != hash[i - 1]);
    free(hash);
}

static void assert_unicode(const char *text, const char *expected) {
    struct name name;
    const char *why = "";
    assert_int_equal(name_from_unicode(&name, text, strlen(text), &why), 0);
    char out[NAME_TEXT_MAX];
    name_to_text(name.wire, out);
    assert_string_equal(out, expected);
}

static void test_unicode(void **state) {
    assert_unicode("B\xc3\xbc"
                   "cher.Example",
                   "xn--bcher-kva.example");
    assert_unicode("B\xc3\x9c"
                   "CHER.example.",
                   "xn--bcher-kva.example");
    assert_unicode("fa\xc3\x9f.de", "xn--fa-hia.de"); /* IDNA2008: sharp s stays itself */
    assert_unicode("_x.b\xc3\xbc"
                   "cher\xe3\x80\x82"
                   "example",
                   "_x.xn--bcher-kva.example");
    assert_unicode("r3---sn.xn--bcher-kva.example", "r3---sn.xn--bcher-kva.example");
    struct name name;
    const char *why = NULL;
    assert_int_equal(name_from_unicode(&name, "b\xc3.example", 10, &why), -EINVAL);
    assert_non_null(why);
    assert_int_equal(name_from_unicode(&name, "\xe2\x98\x83\xe2\x80\x8b\xcc\x80..x", 12, &why), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_bad_text),   cmocka_unit_test(test_longest),
        cmocka_unit_test(test_wire), cmocka_unit_test(test_order),      cmocka_unit_test(test_within),
        cmocka_unit_test(test_key),  cmocka_unit_test(test_key_spread), cmocka_unit_test(test_unicode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
