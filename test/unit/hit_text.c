/* test/unit/hit_text.c: nothing that a client or a lease file chose can end a line, a string or a terminal's patience. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hits/line.h"
#include "policy/name.h"

#define JSON(octets, expected) check_json(octets, sizeof(octets) - 1, expected)

static void check_json(const char *octets, size_t length, const char *expected) {
    struct text text = {0};
    text_json(&text, octets, length);
    text_put(&text, "", 1);
    assert_string_equal(text.data, expected);
    text_free(&text);
}

static void test_json(void **state) {
    JSON("plain", "\"plain\"");
    JSON("", "\"\"");
    JSON("a\"b\\c", "\"a\\\"b\\\\c\"");
    JSON("\n\x1b[31m\x7f", "\"\\u000a\\u001b[31m\\u007f\"");
    JSON("a\0b", "\"a\\u0000b\"");
    JSON("gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"");
    JSON("\xc2\x9b", "\"\\u009b\"");                                /* a C1 control: CSI */
    JSON("\xff\xc3", "\"\\ufffd\\ufffd\"");                         /* not UTF-8 */
    JSON("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");              /* a surrogate */
    JSON("\xe2\x80\xaelive\xe2\x81\xa9", "\"\\u202elive\\u2069\""); /* turns the direction of writing */
    JSON("\xf3\xa0\x81\x81", "\"\\udb40\\udc41\"");                 /* a tag: not seen at all */
    JSON("\xf0\x9f\x8c\xb1", "\"\xf0\x9f\x8c\xb1\"");
}

static void test_printable(void **state) {
    static const char hostile[] = "a\x1b\xc2\x9b\xe2\x80\xae\xff\xc3\xbc";
    struct phrase *phrase = phrase_new_printable(hostile, sizeof hostile - 1);
    assert_string_equal(phrase->text, "a\\027\\194\\155\\226\\128\\174\\255\xc3\xbc");
    phrase_unref(phrase);
}

static void test_name(void **state) {
    struct text text = {0};
    text_json_name(&text, (const uint8_t *)"\x05"
                                           "a\"\\\n.\x04test");
    text_put(&text, "", 1);
    for (const char *at = text.data; *at != '\0'; at++)
        assert_true(*at >= 0x20 && *at < 0x7f);
    assert_null(strchr(text.data, '\n'));
    assert_non_null(strstr(text.data, "010"));
    text_free(&text);
}

/* Plain names are written by a shorter way, which comes to the same. */
static void test_names_agree(void **state) {
    static const char octets[] = "abcxyzABCZ0189-_-_abcxyz.\"\\;@$ \x7f\xff\x01*~";
    uint64_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t wire[NAME_WIRE_MAX];
        size_t length = 0, most = round % 2 == 0 ? 24 : sizeof octets - 1; /* of which octets */
        for (unsigned label = 0; label < round % 5; label++) {
            size_t octet = 1 + round / 5 % 61;
            wire[length++] = (uint8_t)octet;
            for (; octet > 0; octet--) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                wire[length++] = (uint8_t)octets[(random >> 33) % most];
            }
        }
        wire[length] = 0;
        char name[2 + NAME_TEXT_MAX] = "*.";
        size_t written = name_to_text(wire, name + 2);
        for (size_t front = 0; front <= 2; front += 2) {
            struct text text = {0}, long_way = {0};
            (front == 0 ? text_json_name : text_json_below)(&text, wire);
            text_json(&long_way, name + 2 - front, front + written);
            assert_int_equal(text.length, long_way.length);
            assert_memory_equal(text.data, long_way.data, text.length);
            text_free(&text);
            text_free(&long_way);
        }
    }
}

static void test_time(void **state) {
    char time[TIME_LENGTH + 1] = "";
    text_time(time, 1795369212345678u);
    assert_string_equal(time, "2026-11-22T17:40:12.345678Z");
    text_time(time, 951782400000001u);
    assert_string_equal(time, "2000-02-29T00:00:00.000001Z");
}

static void test_codes(void **state) {
    char buffer[LINE_CODE_MAX], mac[LINE_MAC_LENGTH + 1];
    assert_string_equal(line_type(1, buffer), "A");
    assert_string_equal(line_type(65, buffer), "HTTPS");
    assert_string_equal(line_type(255, buffer), "ANY");
    assert_string_equal(line_type(257, buffer), "CAA");
    assert_string_equal(line_type(0, buffer), "TYPE0");
    assert_string_equal(line_type(65280, buffer), "TYPE65280");
    assert_string_equal(line_rcode(3, buffer), "NXDOMAIN");
    assert_string_equal(line_rcode(23, buffer), "RCODE23");
    line_mac(mac, (const uint8_t *)"\x52\x54\x00\x12\x34\xab");
    assert_string_equal(mac, "52:54:00:12:34:ab");
}

static void test_number(void **state) {
    struct text text = {0};
    text_number(&text, 0);
    text_put(&text, " ", 1);
    text_number(&text, UINT64_MAX);
    text_put(&text, "", 1);
    assert_string_equal(text.data, "0 18446744073709551615");
    text_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),        cmocka_unit_test(test_printable), cmocka_unit_test(test_name),
        cmocka_unit_test(test_names_agree), cmocka_unit_test(test_time),      cmocka_unit_test(test_codes),
        cmocka_unit_test(test_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
