/* test/unit/message.c: what a client's packet may be, octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/message.h"

static uint8_t packet[1024];
static size_t length;
static struct message message;

/* A header and the question a.Test A IN. */
static void question(uint16_t flags, uint16_t additional) {
    static const uint8_t octets[] = {1, 'a', 4, 'T', 'e', 's', 't', 0, 0, 1, 0, 1};
    memset(packet, 0, sizeof packet);
    wire_set16(packet, 0xBEEF);
    wire_set16(packet + 2, flags);
    wire_set16(packet + 4, 1);
    wire_set16(packet + 10, additional);
    memcpy(packet + 12, octets, sizeof octets);
    length = 12 + sizeof octets;
}

static void opt(uint16_t size, uint32_t fields, const void *options, uint16_t count) {
    packet[length] = 0;
    wire_set16(packet + length + 1, TYPE_OPT);
    wire_set16(packet + length + 3, size);
    wire_set32(packet + length + 5, fields);
    wire_set16(packet + length + 9, count);
    if (count)
        memcpy(packet + length + 11, options, count);
    length += 11U + count;
}

/* Parses a copy that ends where the packet ends, so that a sanitizer sees what reads too far. */
static enum message_fault parse(void) {
    uint8_t *exact = malloc(length ? length : 1);
    memcpy(exact, packet, length);
    enum message_fault fault = message_parse(&message, exact, length);
    free(exact);
    return fault;
}

static void plain(void **state) {
    question(FLAG_RD | FLAG_CD, 0);
    assert_int_equal(parse(), MESSAGE_OK);
    assert_int_equal(message.id, 0xBEEF);
    assert_int_equal(message.limit, 512);
    assert_int_equal(message.question_length, 12);
    assert_int_equal(message.question.type, TYPE_A);
    assert_true(message.question.checking_disabled);
    assert_false(message.question.dnssec_ok || message.edns || message.keepalive || message.has_mac);
    assert_int_equal(message.question.name.length, 8);
    assert_int_equal(message.question.name.labels, 2);
    assert_memory_equal(message.question.name.wire, "\1a\4test", 8);
}

static void edns(void **state) {
    question(FLAG_RD, 1);
    opt(1400, 0x8000, NULL, 0);
    assert_int_equal(parse(), MESSAGE_OK);
    assert_true(message.edns && message.dnssec_ok && message.question.dnssec_ok);
    assert_int_equal(message.limit, 1400);
    question(FLAG_RD, 1);
    opt(100, 0, "\375\351\0\6\1\2\3\4\5\6\0\13\0\0\0\12\0\10ABCDEFGH", 26);
    assert_int_equal(parse(), MESSAGE_OK);
    assert_int_equal(message.limit, 512);
    assert_true(message.keepalive && message.has_mac && !message.dnssec_ok);
    assert_memory_equal(message.mac, "\1\2\3\4\5\6", 6);
    question(FLAG_RD, 1);
    opt(1232, 0, "\0\12\0\11ABCDEFGH", 12);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    assert_true(message.edns && message.question_length);
    question(FLAG_RD, 1);
    opt(1232, 1 << 16, NULL, 0);
    assert_int_equal(parse(), MESSAGE_BADVERS);
    question(FLAG_RD, 2);
    opt(1232, 0, NULL, 0);
    opt(1232, 0, NULL, 0);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    question(FLAG_RD, 1);
    memcpy(packet + length, "\1x\0\0\51\4\320\0\0\0\0\0\0", 13);
    length += 13;
    assert_int_equal(parse(), MESSAGE_FORMERR);
}

static void faults(void **state) {
    question(FLAG_QR, 0);
    assert_int_equal(parse(), MESSAGE_DROP);
    question(4 << 11, 0);
    assert_int_equal(parse(), MESSAGE_NOTIMP);
    question(5 << 11, 0);
    assert_int_equal(parse(), MESSAGE_NOTIMP);
    question(FLAG_TC, 0);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    for (unsigned count = 0; count <= 2; count += 2) {
        question(FLAG_RD, 0);
        wire_set16(packet + 4, count);
        assert_int_equal(parse(), MESSAGE_FORMERR);
        assert_int_equal(message.question_length, 0);
    }
    question(FLAG_RD, 0);
    wire_set16(packet + 6, 1);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    question(FLAG_RD, 0);
    length++;
    assert_int_equal(parse(), MESSAGE_FORMERR);
    question(FLAG_RD, 1);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    question(FLAG_RD, 0);
    packet[12] = 0xC0;
    assert_int_equal(parse(), MESSAGE_FORMERR);
    question(FLAG_RD, 0);
    packet[12] = 64;
    assert_int_equal(parse(), MESSAGE_FORMERR);
}

static void types_and_classes(void **state) {
    static const struct {
        uint16_t type, class;
        enum message_fault fault;
    } cases[] = {
        {TYPE_AXFR, 1, MESSAGE_REFUSED}, {TYPE_IXFR, 1, MESSAGE_REFUSED},
        {TYPE_OPT, 1, MESSAGE_FORMERR},  {TYPE_TSIG, 1, MESSAGE_FORMERR},
        {TYPE_ANY, 1, MESSAGE_OK},       {TYPE_TXT, 3, MESSAGE_REFUSED},
        {TYPE_A, 255, MESSAGE_REFUSED},  {65280, 1, MESSAGE_OK},
        {0, 1, MESSAGE_FORMERR},         {127, 1, MESSAGE_OK},
        {128, 1, MESSAGE_FORMERR},       {248, 1, MESSAGE_FORMERR},
        {254, 1, MESSAGE_FORMERR},       {256, 1, MESSAGE_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        question(FLAG_RD, 0);
        wire_set16(packet + length - 4, cases[i].type);
        wire_set16(packet + length - 2, cases[i].class);
        assert_int_equal(parse(), cases[i].fault);
    }
}

/* An OPT is seen whatever is wrong with the rest, so that the answer has one, too. */
static void edns_of_faulty(void **state) {
    for (unsigned opcode = 1; opcode < 16; opcode++) {
        question((uint16_t)(opcode << 11), 1);
        opt(1400, 0x8000, NULL, 0);
        assert_int_equal(parse(), MESSAGE_NOTIMP);
        assert_true(message.edns && message.dnssec_ok);
    }
    question(FLAG_RD, 1);
    wire_set16(packet + 4, 0);
    length = 12;
    opt(1232, 0, NULL, 0);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    assert_true(message.edns && !message.dnssec_ok);
    question(FLAG_RD, 1);
    wire_set16(packet + 4, 2);
    memcpy(packet + length, packet + 12, length - 12);
    length += length - 12;
    opt(1232, 0, NULL, 0);
    assert_int_equal(parse(), MESSAGE_FORMERR);
    assert_true(message.edns);
    question(5 << 11, 65535); /* none where the counts say */
    opt(1232, 1 << 16, NULL, 0);
    wire_set16(packet + 6, 1);
    assert_int_equal(parse(), MESSAGE_NOTIMP);
    assert_false(message.edns);
}

/* A transfer's question has an SOA in its authority section (RFC 1995 section 3); no other question has anything there. */
static void incremental_transfer(void **state) {
    static const uint8_t soa[] = "\xC0\x0C\0\6\0\1\0\0\0\0\0\26\0\0" /* both names the root */
                                 "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1";
    for (unsigned transfer = 0; transfer < 2; transfer++) {
        question(0, 1);
        if (transfer)
            wire_set16(packet + length - 4, TYPE_IXFR);
        wire_set16(packet + 8, 1);
        memcpy(packet + length, soa, sizeof soa - 1);
        length += sizeof soa - 1;
        opt(1232, 0, NULL, 0);
        assert_int_equal(parse(), transfer ? MESSAGE_REFUSED : MESSAGE_FORMERR);
        assert_true(message.edns);
    }
    length--;
    assert_int_equal(parse(), MESSAGE_FORMERR);
}

/* A name of 255 octets is the longest; one of 256 isn't a name. */
static void longest_name(void **state) {
    for (unsigned last = 61; last <= 62; last++) {
        question(FLAG_RD, 0);
        uint8_t *p = packet + 12;
        for (unsigned i = 0; i < 3; i++, p += 64) {
            memset(p, 'X', 64);
            *p = 63;
        }
        memset(p, 'X', last + 1);
        *p = (uint8_t)last;
        p += last + 1;
        memcpy(p, "\0\0\1\0\1", 5);
        length = (size_t)(p + 5 - packet);
        assert_int_equal(parse(), last == 61 ? MESSAGE_OK : MESSAGE_FORMERR);
    }
    assert_int_equal(message.question_length, 0);
}

static void every_truncation(void **state) {
    question(FLAG_RD, 1);
    opt(1232, 0x8000, "\0\12\0\10ABCDEFGH", 12);
    size_t whole = length;
    for (length = 0; length < whole; length++)
        assert_int_equal(parse(), length < 12 ? MESSAGE_DROP : MESSAGE_FORMERR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),          cmocka_unit_test(edns),
        cmocka_unit_test(faults),         cmocka_unit_test(types_and_classes),
        cmocka_unit_test(edns_of_faulty), cmocka_unit_test(incremental_transfer),
        cmocka_unit_test(longest_name),   cmocka_unit_test(every_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
