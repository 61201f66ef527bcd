/* test/unit/upstream_message.c: the query to its last bit, and every kind of reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "resolver/upstream_message.h"

static const struct question question = {.name = {.length = 11, .labels = 2, .wire = "\1a\7example"}, .type = 28};

#define QUESTION "\1a\7example\0\0\34\0\1"
#define SOA "\xc0\x0e\0\6\0\1\0\0\1\x2c\0\1\0" /* not a SOA that one could read: nobody does here */
#define NS "\0\0\2\0\1\0\0\1\x2c\0\1\0"

static void test_query(void **unused) {
    uint8_t out[UPSTREAM_QUERY_MAX];
    static const char with[] = "\x12\x34\1\x20\0\1\0\0\0\0\0\1" QUESTION "\0\0\x29\4\xd0\0\0\0\0\0";
    assert_int_equal(upstream_message_query(out, &question, 0x1234, true), sizeof(with));
    assert_memory_equal(out, with, sizeof(with));
    struct question secure = question;
    secure.dnssec_ok = secure.checking_disabled = true;
    assert_int_equal(upstream_message_query(out, &secure, 0x1234, true), sizeof(with));
    assert_int_equal(out[3], 0x30);
    assert_int_equal(out[sizeof(with) - 4], 0x80);
    assert_int_equal(upstream_message_query(out, &secure, 0x1234, false), sizeof(with) - 11);
    assert_int_equal(out[11], 0);
}

static struct reply judge(const char *message, size_t length, bool edns) {
    return upstream_message_judge(&question, 0x1234, edns, (const uint8_t *)message, length);
}

#define JUDGE(message, edns) judge(message, sizeof(message) - 1, edns)
#define KIND(message) (JUDGE(message, true).kind)

static void test_replies(void **unused) {
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0" QUESTION), REPLY_ANSWER);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1A\7exAMPle\0\0\34\0\1"), REPLY_ANSWER);
    assert_int_equal(KIND("\x12\x34\x81\x83\0\1\0\0\0\1\0\0" QUESTION SOA), REPLY_ANSWER);
    assert_int_equal(KIND("\x12\x34\x83\x80\0\1\0\0\0\0\0\0" QUESTION), REPLY_TRUNCATED);
    assert_int_equal(KIND("\x12\x34\x81\x85\0\1\0\0\0\0\0\0" QUESTION), REPLY_REFUSAL);
    assert_int_equal(KIND("\x12\x34\x81\x82\0\1\xff\xff\0\0\0\0" QUESTION), REPLY_REFUSAL); /* counts that lie */
    /* A referral helps nobody, unless whoever gives it offers recursion or is the zone's own server. */
    assert_int_equal(KIND("\x12\x34\x80\0\0\1\0\0\0\1\0\0" QUESTION NS), REPLY_REFUSAL);
    assert_int_equal(KIND("\x12\x34\x84\0\0\1\0\0\0\1\0\0" QUESTION NS), REPLY_ANSWER);
    assert_int_equal(KIND("\x12\x34\x80\0\0\1\0\0\0\1\0\0" QUESTION SOA), REPLY_ANSWER);
}

static void test_errors_explained(void **unused) {
    struct reply reply =
        JUDGE("\x12\x34\x81\x82\0\1\0\0\0\0\0\1" QUESTION "\0\0\x29\4\xd0\0\0\0\0\0\x0c\0\x0a\0\2ab\0\x0f\0\2\0\6", true);
    assert_int_equal(reply.kind, REPLY_REFUSAL);
    assert_int_equal(reply.rcode, 2);
    assert_int_equal(reply.ede, 6);
    reply = JUDGE("\x12\x34\x81\x82\0\1\0\0\0\0\0\1" QUESTION "\0\0\x29\4\xd0\0\0\0\0\0\4\0\x0f\0\2", true); /* an option cut off */
    assert_int_equal(reply.ede, 0);
}

static void test_without_edns(void **unused) {
    static const char badvers[] = "\x12\x34\x81\x80\0\1\0\0\0\0\0\1" QUESTION "\0\0\x29\4\xd0\1\0\0\0\0\0";
    assert_int_equal(judge(badvers, sizeof(badvers) - 1, true).kind, REPLY_PLAIN);
    assert_int_equal(judge(badvers, sizeof(badvers) - 1, true).rcode, 16);
    assert_int_equal(KIND("\x12\x34\x81\x81\0\1\0\0\0\0\0\0" QUESTION), REPLY_PLAIN);
    assert_int_equal(KIND("\x12\x34\x81\x84\0\1\0\0\0\0\0\0" QUESTION), REPLY_PLAIN);
    assert_int_equal(JUDGE("\x12\x34\x81\x84\0\1\0\0\0\0\0\0" QUESTION, false).kind, REPLY_REFUSAL);
    assert_int_equal(KIND("\x12\x34\x81\x81\0\0\0\0\0\0\0\0"), REPLY_PLAIN);
    assert_int_equal(JUDGE("\x12\x34\x81\x81\0\0\0\0\0\0\0\0", false).kind, REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\0\0\0\0\0\0\0"), REPLY_MISMATCH);
}

static void test_mismatches(void **unused) {
    assert_int_equal(KIND("\x12\x34\x81"), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x35\x81\x80\0\1\0\0\0\0\0\0" QUESTION), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x01\x80\0\1\0\0\0\0\0\0" QUESTION), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\xa9\x80\0\1\0\0\0\0\0\0" QUESTION), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\2\0\0\0\0\0\0" QUESTION QUESTION), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1b\7example\0\0\34\0\1"), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1"), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1a\7example\0\0\34\0\3"), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1a\7example\0\0\34\0"), REPLY_MISMATCH);
    assert_int_equal(KIND("\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1a\7examp\x0ce\0\0\34\0\1"), REPLY_MISMATCH); /* '\x0c' | 0x20 is ',' */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),        cmocka_unit_test(test_replies),    cmocka_unit_test(test_errors_explained),
        cmocka_unit_test(test_without_edns), cmocka_unit_test(test_mismatches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
