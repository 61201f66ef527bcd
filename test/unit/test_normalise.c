/* test/unit/test_normalise.c: values and URLs to names and addresses, in FORMATS.md's order of steps; and points in time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feeds/normalise.h"
#include "feeds/when.h"
#include "policy/idna.h"

/* The value as text: "name", "*name", ".name", an address or prefix; or the reason in parentheses. */
static const char *read_as(const char *text, size_t length, unsigned flags, bool url) {
    static char out[NAME_TEXT_MAX + 8];
    struct value value;
    const char *why = "?";
    int error = url ? normalise_url(text, length, flags, &value, &why) : normalise(text, length, flags, &value, &why);
    if (error) {
        snprintf(out, sizeof out, "(%s)", why);
    } else if (value.kind == VALUE_PREFIX) {
        prefix_to_text(&value.prefix, out);
    } else {
        struct name copy;
        assert_int_equal(name_from_wire(&copy, value.name.wire, value.name.length), value.name.length);
        assert_true(name_equal(&copy, &value.name));
        assert_int_equal(copy.labels, value.name.labels);
        out[0] = value.star ? '*' : '.';
        name_to_text(value.name.wire, out + (value.star || value.dot ? 1 : 0));
    }
    return out;
}

static void expect(const char *text, unsigned flags, const char *want) {
    assert_string_equal(read_as(text, strlen(text), flags, false), want);
}

static void expect_url(const char *text, unsigned flags, const char *want) {
    assert_string_equal(read_as(text, strlen(text), flags, true), want);
}

static void names(void **state) {
    expect("evil.example", 0, "evil.example");
    expect(" \tEvil.EXAMPLE.\r", 0, "evil.example");
    expect("\xEF\xBB\xBF"
           "evil.example",
           0, "evil.example");
    expect("*.evil.example", 0, "*evil.example");
    expect(".evil.example", 0, ".evil.example");
    expect("_dmarc.evil-1.example", 0, "_dmarc.evil-1.example");
    expect("-lead.trail-.example", 0, "-lead.trail-.example");
    expect("b\xC3\xBC"
           "cher.example",
           0, "xn--bcher-kva.example");
    expect("\xE7\xA8\x8E\xE7\x95\xAA\xE5\x8F\xB7"
           "717863.zip.zip",
           0, "xn--717863-od6jy32tqzi.zip.zip");
    expect("thxxpmailnctoaskmai.weebly.com", NORMALISE_REFANG, "thxxpmailnctoaskmai.weebly.com");
    expect("abc.onion", 0, "abc.onion");
    expect("zip", NORMALISE_ONE_LABEL, "zip");
    expect("a\\.b.*\\*.example", NORMALISE_ESCAPES, "(a '*' that doesn't stand alone in front)");
    expect("A\\.b.\\*.x\\032\\\\.\\000\\255.example.", NORMALISE_ESCAPES, "a\\.b.*.x\\032\\\\.\\000\\255.example");
    expect("*.x.b\\.", NORMALISE_ESCAPES, "*x.b\\.");
    expect("a\\,b,c.example", NORMALISE_ESCAPES, "(a character that doesn't belong in a name)");
    expect("a\\.b\xC3\xBC.example", NORMALISE_ESCAPES, "(not ASCII)");
    expect("a\\256.example", NORMALISE_ESCAPES, "(bad escape)");
    expect("x.example\\", NORMALISE_ESCAPES, "(bad escape)");
    expect("a\\.b.example", 0, "(a character that doesn't belong in a name)");
    expect(".", NORMALISE_ONE_LABEL, ".");
}

static void not_names(void **state) {
    char label[80], name[300];
    expect("", 0, "(empty)");
    expect(" \t ", 0, "(empty)");
    expect("domain autuo.xicp.net", 0, "(a blank inside)");
    assert_string_equal(read_as("a\0b.example", 11, 0, false), "(a control character inside)");
    expect("a\x01.example", 0, "(a control character inside)");
    expect("a*.example", 0, "(a '*' that doesn't stand alone in front)");
    expect("*.*.example", 0, "(a '*' that doesn't stand alone in front)");
    expect("*", NORMALISE_ONE_LABEL, "(a '*' that doesn't stand alone in front)");
    expect("a..example", 0, "(an empty label)");
    expect("..example", 0, "(an empty label)");
    expect("example", 0, "(a name of one label)");
    expect(".", 0, "(the root)");
    expect("evil.example/x", 0, "(a character that doesn't belong in a name)");
    expect("a\xFF\xFE.example", 0, "(string encoding error)");
    memset(label, 'a', sizeof label);
    strcpy(label + 63, ".example");
    expect(label, 0, label);
    memset(label, 'a', sizeof label);
    strcpy(label + 64, ".example");
    expect(label, 0, "(a label longer than 63 octets)");
    for (size_t i = 0; i < 254; i++)
        name[i] = i % 64 == 63 ? '.' : 'a';
    name[253] = '\0';
    expect(name, 0, name);
    strcpy(name + 253, "aa");
    assert_true(read_as(name, strlen(name), 0, false)[0] == '(');
}

/* Unicode that fills the room for its A-labels to the last octet, and one more: refused, and nothing is written past it. */
static void long_unicode(void **state) {
    char text[2200];
    for (size_t length = 1000; length < 1100; length++) {
        size_t used = 0;
        for (; used < length; used++)
            text[used] = used % 60 == 59 ? '.' : 'a';
        strcpy(text + used, ".b\xC3\xBC.c");
        struct name name;
        const char *why;
        assert_int_equal(name_from_unicode(&name, text, strlen(text), &why), -EINVAL);
    }
    strcpy(text, "b\xC3\xBC.");
    for (size_t i = 0; i < 500; i++)
        strcat(text, "ab.");
    expect(text, 0, "(too long)");
}

static void addresses(void **state) {
    expect("192.0.2.1", 0, "192.0.2.1");
    expect("2001:DB8::1", 0, "2001:db8::1");
    expect("[2001:db8::1]", 0, "2001:db8::1");
    expect("203.0.113.0/24", 0, "203.0.113.0/24");
    expect("203.0.113.9/24", 0, "(host bits set)");
    expect("203.0.113.9/24", NORMALISE_LOOSE_PREFIX, "203.0.113.0/24");
    expect("1.2.3.example", 0, "1.2.3.example");
    expect("103.83.86.40:14642", NORMALISE_PORT, "103.83.86.40");
    expect("94.154.43.60:0", NORMALISE_PORT, "94.154.43.60");
    expect("2a02:cf40:1::5:40669", NORMALISE_PORT, "2a02:cf40:1::5");
    expect("[2001:db8::5]:443", NORMALISE_PORT, "2001:db8::5");
    expect("evil.example:8080", NORMALISE_PORT, "evil.example");
    expect("evil.example:8080", 0, "(a character that doesn't belong in a name)");
    expect("192.0.2.1:70000", NORMALISE_PORT, "(a character that doesn't belong in a name)");
}

static void refanged(void **state) {
    expect("evil[.]example", NORMALISE_REFANG, "evil.example");
    expect("a(.)b[dot]evil[DOT]example", NORMALISE_REFANG, "a.b.evil.example");
    expect("43.166.202[.]32", NORMALISE_REFANG, "43.166.202.32");
    expect("43.166.202[.]32[:]8080", NORMALISE_REFANG | NORMALISE_PORT, "43.166.202.32");
    expect("evil[.]example", 0, "(a character that doesn't belong in a name)");
    expect_url("hxxps://teculse[.]click:9210/teams", NORMALISE_REFANG, "teculse.click");
    expect_url("hxxp://evil.example/a[.]b", NORMALISE_REFANG, "evil.example");
}

static void urls(void **state) {
    expect_url("http://hatcae.xyz:4538", 0, "hatcae.xyz");
    expect_url("https://t.me/x?y#z", 0, "t.me");
    expect_url("tcp://evil.example:5000", 0, "evil.example");
    expect_url("HTTP://User:Pass@Evil.Example./", 0, "evil.example");
    expect_url("http://[2001:db8::7]:33401/bin.sh", 0, "2001:db8::7");
    expect_url("http://192.0.2.9/bin.sh", 0, "192.0.2.9");
    expect_url("http://evil.example:/x", 0, "evil.example");
    expect_url("evil.example/path/http://other.example", 0, "evil.example");
    expect_url("http://evil.example\\@good.example/", 0, "evil.example");
    expect_url("https://ttps://", 0, "(a name of one label)");
    expect_url("http://http/", 0, "(a name of one label)");
    expect_url("http://http://evil.example/", 0, "(a name of one label)");
    expect_url("https://^", 0, "(a character that doesn't belong in a name)");
    expect_url("http:///x", 0, "(a URL without a host)");
    expect_url("", 0, "(a URL without a host)");
    expect_url("http://*.evil.example/", 0, "(a URL without a host)");
}

static int64_t when(const char *text, bool end_of_day) {
    int64_t seconds = -7;
    return when_parse(text, strlen(text), end_of_day, &seconds) == 0 ? seconds : -1;
}

static void times(void **state) {
    assert_int_equal(when("2026-11-22T17:40:12Z", false), 1795369212);
    assert_int_equal(when("2026-11-22T17:40:12.1Z", false), 1795369212);
    assert_int_equal(when("2026-11-22T17:40:12.123456789Z", false), 1795369212);
    assert_int_equal(when("2026-11-22T18:40:12+01:00", false), 1795369212);
    assert_int_equal(when("2026-11-22T12:40:12.000000-0500", false), 1795369212);
    assert_int_equal(when("2026-11-22 17:40:12 UTC", false), 1795369212);
    assert_int_equal(when("2026-11-22 17:40:12", false), 1795369212);
    assert_int_equal(when("2026-11-22T17:40:12.500000", false), 1795369212);
    assert_int_equal(when("2026-11-22", false), 1795305600);
    assert_int_equal(when("2026-11-22", true), 1795305600 + 86399);
    assert_int_equal(when("1787422219", false), 1787422219);
    assert_int_equal(when("0", false), 0);
    assert_int_equal(when("2024-02-29", false), 1709164800);
    assert_int_equal(when("1969-12-31T23:00:00Z", false), 1);
    assert_int_equal(when("2016-12-31T23:59:60Z", false), 1483228800);
}

static void no_times(void **state) {
    static const char *const texts[] = {"",
                                        "2026-02-30",
                                        "2025-02-29",
                                        "2026-13-01",
                                        "2026-1-1",
                                        "yesterday",
                                        "2026-11-22T24:00:00Z",
                                        "2026-11-22T17:40:12X",
                                        "2026-11-22T17:60:00Z",
                                        "2026-11-22 UTC",
                                        "2026-11-22T17:40:12.Z",
                                        "2026-11-22T17:40:12.1234567890Z",
                                        "-1",
                                        "1e9",
                                        "2026-11-22T17:40:12+25:00"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(when(texts[i], false), -1);
}

static void times_written(void **state) {
    char text[WHEN_TEXT_MAX];
    static const char *const texts[] = {"1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2026-11-22T17:40:12Z",
                                        "2100-03-01T00:00:00Z"};
    for (size_t i = 1; i < sizeof texts / sizeof texts[0]; i++) {
        when_format(when(texts[i], false), text);
        assert_string_equal(text, texts[i]);
    }
    when_format(0, text);
    assert_string_equal(text, texts[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),     cmocka_unit_test(not_names), cmocka_unit_test(long_unicode),
        cmocka_unit_test(addresses), cmocka_unit_test(refanged),  cmocka_unit_test(urls),
        cmocka_unit_test(times),     cmocka_unit_test(no_times),  cmocka_unit_test(times_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
