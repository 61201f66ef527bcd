/* test/unit/proxy.c: PROXY headers, whole, in pieces, with extensions, and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "resolver/proxy.h"

enum { FIXED = 16, V4 = 12, V6 = 36 };

/* A header as a proxy makes it; what follows the fixed part is zero. */
static void begin(uint8_t *header, uint8_t command, uint8_t family, uint16_t declared) {
    memcpy(header, "\r\n\r\n\0\r\nQUIT\n", 12);
    header[12] = command;
    header[13] = family;
    header[14] = (uint8_t)(declared >> 8);
    header[15] = (uint8_t)declared;
}

static void assert_source(const struct proxy *proxy, const char *text, unsigned port) {
    struct ip ip;
    assert_int_equal(ip_from_text(&ip, text, strlen(text)), 0);
    assert_true(proxy->named);
    assert_true(ip_equal(&proxy->address, &ip));
    assert_int_equal(proxy->port, port);
}

static void test_v4(void **state) {
    static const uint8_t addresses[V4] = {192, 0, 2, 7, 127, 0, 0, 1, 0x9C, 0x40, 0, 53};
    for (uint8_t transport = 1; transport <= 2; transport++) {
        uint8_t packet[FIXED + V4 + 5] = {0};
        struct proxy proxy;
        begin(packet, 0x21, (uint8_t)(0x10 | transport), V4);
        memcpy(packet + FIXED, addresses, V4);
        assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), FIXED + V4);
        assert_source(&proxy, "192.0.2.7", 40000);
        for (size_t length = 0; length < FIXED + V4; length++)
            assert_int_equal(proxy_parse(packet, length, &proxy), -EAGAIN);
    }
}

static void test_v6_with_extensions(void **state) {
    enum { TLVS = 500 };
    uint8_t packet[FIXED + V6 + TLVS] = {0};
    struct proxy proxy;
    begin(packet, 0x21, 0x22, V6 + TLVS);
    memcpy(packet + FIXED, (const uint8_t[]){0x20, 0x01, 0x0d, 0xb8}, 4);
    packet[FIXED + 15] = 7;
    packet[FIXED + 33] = 99;
    assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), sizeof packet);
    assert_source(&proxy, "2001:db8::7", 99);
    assert_int_equal(proxy_parse(packet, FIXED + V6, &proxy), sizeof packet); /* extensions needn't be there */
    assert_int_equal(proxy_parse(packet, FIXED + V6 - 1, &proxy), -EAGAIN);
}

static void test_mapped(void **state) {
    uint8_t packet[FIXED + V6] = {0};
    struct proxy proxy;
    begin(packet, 0x21, 0x21, V6);
    memcpy(packet + FIXED + 10, (const uint8_t[]){0xFF, 0xFF, 192, 0, 2, 7}, 6);
    assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), sizeof packet);
    assert_source(&proxy, "192.0.2.7", 0);
}

static void test_nobody_named(void **state) {
    static const uint8_t kinds[][2] = {{0x20, 0x00}, {0x20, 0x11}, {0x20, 0xFF}, {0x21, 0x00},
                                       {0x21, 0x10}, {0x21, 0x31}, {0x21, 0x32}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        uint8_t packet[FIXED] = {0};
        struct proxy proxy;
        begin(packet, kinds[i][0], kinds[i][1], 0);
        assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), FIXED);
        assert_false(proxy.named);
        begin(packet, kinds[i][0], kinds[i][1], UINT16_MAX);
        assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), FIXED + UINT16_MAX);
        assert_false(proxy.named);
    }
}

static void test_malformed(void **state) {
    static const struct {
        uint8_t command, family;
        uint16_t declared;
    } bad[] = {
        {0x11, 0x11, V4},     {0x31, 0x11, V4},     {0x01, 0x11, V4}, /* versions */
        {0x22, 0x11, V4},     {0x2F, 0x11, V4},                       /* commands */
        {0x21, 0x41, V4},     {0x21, 0xF1, V4},     {0x21, 0x13, V4}, /* families, transports */
        {0x21, 0x11, V4 - 1}, {0x21, 0x21, V6 - 1}, {0x21, 0x12, 0},  /* too short for its addresses */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t packet[FIXED + V6] = {0};
        struct proxy proxy;
        begin(packet, bad[i].command, bad[i].family, bad[i].declared);
        assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), -EBADMSG);
        assert_int_equal(proxy_parse(packet, FIXED, &proxy), -EBADMSG);
    }
}

static void test_none(void **state) {
    uint8_t packet[FIXED + V4] = {0};
    struct proxy proxy;
    for (size_t i = 0; i < 12; i++) {
        begin(packet, 0x21, 0x11, V4);
        packet[i] ^= 1;
        assert_int_equal(proxy_parse(packet, sizeof packet, &proxy), 0);
        assert_int_equal(proxy_parse(packet, i + 1, &proxy), 0);
        assert_int_equal(proxy_parse(packet, i, &proxy), -EAGAIN);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_v4),        cmocka_unit_test(test_v6_with_extensions),
                                       cmocka_unit_test(test_mapped),    cmocka_unit_test(test_nobody_named),
                                       cmocka_unit_test(test_malformed), cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
