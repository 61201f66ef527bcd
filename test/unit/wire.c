/* test/unit/wire.c: names and records read and written, hostile ones included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/wire.h"

static struct name name_of(const char *text) {
    struct name name;
    assert_int_equal(name_from_text(&name, text, strlen(text), NULL), 0);
    return name;
}

/* Reads a name at `at` of octets that begin `origin` octets into a message; returns the cursor afterwards, 0 if it is bad. */
static size_t read_name(const void *octets, size_t length, size_t origin, size_t at, char *text) {
    uint8_t *exact = malloc(length);
    memcpy(exact, octets, length);
    struct wire wire;
    struct name name;
    wire_init(&wire, exact, length, origin);
    wire.at = at;
    wire_name(&wire, &name);
    name_to_text(name.wire, text);
    free(exact);
    return wire.bad ? 0 : wire.at;
}

static void names(void **state) {
    char text[NAME_TEXT_MAX];
    assert_int_equal(read_name("\1A\4Test\0", 8, 0, 0, text), 8);
    assert_string_equal(text, "A.Test");
    assert_int_equal(read_name("\4test\0\1a\300\0", 10, 0, 6, text), 10);
    assert_string_equal(text, "a.test");
    assert_int_equal(read_name("\4test\0\1a\300\14", 10, 12, 6, text), 10);
    assert_string_equal(text, "a.test");
}

static void bad_names(void **state) {
    static const struct {
        const char *octets;
        size_t length, at;
    } cases[] = {
        {"\300\0", 2, 0},       /* points to itself */
        {"\1a\300\2", 4, 0},    /* points forwards */
        {"\300\2\300\0", 4, 2}, /* a loop of two */
        {"\1a\300\0", 4, 0},    /* a loop through a label */
        {"\1a", 2, 0},          /* no end */
        {"\5abc", 4, 0},        /* cut off in a label */
        {"\300", 1, 0},         /* cut off in a pointer */
        {"\100abc\0", 5, 0},    /* label type 01 (RFC 6891 section 5) */
        {"\200abc\0", 5, 0},    /* label type 10 */
        {"\0\377\377", 3, 1},   /* points behind the message */
    };
    char text[NAME_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(read_name(cases[i].octets, cases[i].length, 0, cases[i].at, text), 0);
}

/* 255 octets are a name, 256 are not, however they are put together. */
static void long_names(void **state) {
    uint8_t octets[300] = {0};
    char text[NAME_TEXT_MAX];
    for (unsigned i = 0; i < 127; i++) {
        octets[2 * i] = 1;
        octets[2 * i + 1] = 'x';
    }
    assert_int_equal(read_name(octets, 255, 0, 0, text), 255);
    memcpy(octets + 255, "\1y\300\0", 4);
    assert_int_equal(read_name(octets, 259, 0, 255, text), 0);
    memcpy(octets + 255, "\1y\300\2", 4);
    assert_int_equal(read_name(octets, 259, 0, 255, text), 259);
}

static void folded(void **state) {
    struct wire wire;
    struct name name;
    char text[NAME_TEXT_MAX];
    wire_init(&wire, (const uint8_t *)"\4tEsT\0\1A\300\0", 10, 0);
    wire.at = wire.folded = 6;
    wire_name(&wire, &name);
    name_to_text(name.wire, text);
    assert_string_equal(text, "A.test");
}

static void sticky(void **state) {
    struct wire wire;
    wire_init(&wire, (const uint8_t *)"\1\2\3", 3, 0);
    assert_int_equal(wire_u16(&wire), 0x0102);
    assert_int_equal(wire_u32(&wire), 0);
    assert_true(wire.bad);
    assert_int_equal(wire_u8(&wire), 0);
    assert_int_equal(wire.at, 2);
}

/* A record is the same whether its owner is read or passed over, and ends in the same place, cut anywhere. */
static void bare(void **state) {
    static const uint8_t records[] = "\1a\4test\0\0\1\0\1\0\0\0\7\0\4\300\0\2\1" /* in full */
                                     "\1b\300\2\0\20\0\1\200\0\0\1\0\2\1x"       /* half and half */
                                     "\300\0\0\5\0\1\0\0\0\7\0\2\300\2"          /* by a pointer */
                                     "\0\0\51\4\320\0\0\200\0\0\0";              /* the root's */
    for (size_t length = 0; length < sizeof records; length++) {
        struct wire read, passed;
        wire_init(&read, records, length, 0);
        wire_init(&passed, records, length, 0);
        for (unsigned i = 0; i < 4; i++) {
            struct wire_record a, b;
            wire_record(&read, &a);
            wire_record_bare(&passed, &b);
            assert_int_equal(b.owner.length, 0);
            assert_int_equal(read.bad, passed.bad);
            assert_int_equal(a.type, b.type);
            assert_int_equal(a.class, b.class);
            assert_int_equal(a.ttl, b.ttl);
            assert_int_equal(a.rdlength, b.rdlength);
            if (!read.bad)
                assert_int_equal(read.at, passed.at);
        }
        assert_int_equal(read.bad, length < sizeof records - 1);
    }
}

static void compression(void **state) {
    uint8_t octets[100];
    struct wire_out out;
    struct name a = name_of("www.Example.test"), b = name_of("mail.example.test"), c = name_of("example.test");
    memcpy(a.wire + 5, "Example", 7);
    wire_out_init(&out, octets, sizeof octets, 0);
    wire_put_name(&out, &a, true, true);
    assert_int_equal(out.at, 18);
    wire_put_name(&out, &b, true, true);
    assert_int_equal(out.at, 25);
    assert_memory_equal(octets + 18, "\4mail\300\4", 7);
    wire_put_name(&out, &c, true, false);
    assert_memory_equal(octets + 25, "\7example\300\14", 10);
    wire_put_name(&out, &c, false, false);
    assert_int_equal(out.at, 35 + 14);
    assert_int_equal(wire_suffix(octets, 18, 1), 4);
    assert_int_equal(wire_suffix(octets, 18, 3), 17);
    assert_int_equal(wire_suffix(octets, 18, 9), 17);
    assert_false(out.full);
}

static void full(void **state) {
    uint8_t octets[20];
    struct name a = name_of("www.example.test");
    for (size_t size = 0; size < 18; size++) {
        struct wire_out out;
        wire_out_init(&out, octets, size, 0);
        wire_put_name(&out, &a, true, true);
        assert_true(out.full);
        assert_true(out.at <= size);
    }
}

/* Rdata that isn't what its type demands. */
static void bad_rdata(void **state) {
    static const struct {
        uint16_t type;
        const char *rdata;
        uint16_t length;
    } cases[] = {
        {TYPE_A, "\1\2\3", 3},     {TYPE_AAAA, "\1\2\3\4", 4}, {TYPE_CNAME, "\1a\0\0", 4},
        {TYPE_CNAME, "\1a", 2},    {TYPE_MX, "\0", 1},         {TYPE_MX, "\0\12\5ab", 5},
        {TYPE_SOA, "\0\0\0\0", 4}, {TYPE_NS, "\300\377", 2},   {TYPE_SRV, "\0\0\0\0\0\0", 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t octets[64] = {0}, copy[64];
        struct wire_out out;
        struct wire wire;
        struct wire_record record;
        wire_out_init(&out, octets, sizeof octets, 0);
        wire_put(&out, "", 1);
        wire_put16(&out, cases[i].type);
        wire_put16(&out, 1);
        wire_put32(&out, 60);
        wire_put16(&out, cases[i].length);
        wire_put(&out, cases[i].rdata, cases[i].length);
        wire_init(&wire, octets, out.at, 0);
        wire_record(&wire, &record);
        assert_false(wire.bad);
        wire_out_init(&out, copy, sizeof copy, 0);
        assert_int_equal(wire_copy_record(&out, &wire, &record, 1), 0);
        assert_false(out.full);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),       cmocka_unit_test(bad_names), cmocka_unit_test(long_names),
        cmocka_unit_test(folded),      cmocka_unit_test(sticky),    cmocka_unit_test(bare),
        cmocka_unit_test(compression), cmocka_unit_test(full),      cmocka_unit_test(bad_rdata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
