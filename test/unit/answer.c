/* test/unit/answer.c: what of an upstream message is kept, and what makes it no answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/wire.h"
#include "test/unit/dns_text.h"

static const struct answer_limits limits = {.min_ttl = 0, .max_ttl = 86400, .max_negative_ttl = 3600};

static int build(struct answer **answer, const struct question *question, const char *text) {
    static uint8_t message[65535];
    size_t length = dns_message(text, message, sizeof message);
    *answer = NULL;
    return answer_from_message(answer, question, message, length, &limits, 1000);
}

/* Renders an answer as the message that a client would get, by ldns. */
static const char *text_of(const struct answer *answer) {
    static char text[200000];
    uint8_t message[WIRE_HEADER + 65535] = {0, 0, 0x81, 0x80, 0, 1};
    wire_set16(message + 2, 0x8180U | answer->rcode);
    wire_set16(message + 6, answer->ancount);
    wire_set16(message + 8, answer->nscount);
    memcpy(message + WIRE_HEADER, answer_octets(answer), answer->length);
    *text = 0;
    dns_describe(message, WIRE_HEADER + answer->length, text, sizeof text);
    return strstr(text, "question");
}

static void expect(const char *name, const char *type, bool dnssec_ok, const char *message, const char *text, uint32_t ttl,
                   unsigned flags) {
    struct question question = dns_question(name, type);
    question.dnssec_ok = dnssec_ok;
    struct answer *answer;
    assert_int_equal(build(&answer, &question, message), 0);
    assert_string_equal(text_of(answer), text);
    assert_int_equal(answer->ttl, ttl);
    assert_int_equal(answer->flags, flags);
    for (unsigned i = 0; i < answer->ttl_count; i++)
        assert_true(wire_get32(answer_octets(answer) + answer->ttl_at[i]) <= 86400);
    assert_int_equal(answer->ttl_count, answer->ancount + answer->nscount);
    answer_unref(answer);
}

static void expect_bad(const char *name, const char *type, const char *message) {
    struct question question = dns_question(name, type);
    struct answer *answer;
    assert_int_equal(build(&answer, &question, message), -EBADMSG);
    assert_null(answer);
}

static void positive(void **state) {
    expect("a.test", "A", false,
           "question A.test A\n answer A.TEST. 300 IN A 192.0.2.1\n answer a.test. 60 IN A 192.0.2.2\n answer other.test. 5 IN A "
           "192.0.2.3\n"
           "answer a.test. 300 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 test. AAAA\n"
           "authority test. 5 IN NS ns.test.\n additional ns.test. 5 IN A 192.0.2.9\n",
           "question a.test. IN A\nanswer a.test. 60 IN A 192.0.2.1\nanswer a.test. 60 IN A 192.0.2.2\n", 60, ANSWER_ADDRESSES);
    expect("mx.test", "MX", false, "question mx.test MX\n answer mx.test. 100000 IN MX 10 Mail.Else.Example.\n",
           "question mx.test. IN MX\nanswer mx.test. 86400 IN MX 10 Mail.Else.Example.\n", 86400, 0);
    expect("big.test", "A", false, "question big.test A\n answer big.test. 2147483648 IN A 192.0.2.1\n",
           "question big.test. IN A\nanswer big.test. 0 IN A 192.0.2.1\n", 0, ANSWER_ADDRESSES);
}

static void signatures(void **state) {
    expect("a.test", "A", true,
           "flags ad\n question a.test A\n answer a.test. 300 IN A 192.0.2.1\n"
           "answer a.test. 300 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 test. AAAA\n"
           "answer a.test. 300 IN RRSIG TXT 8 2 300 20300101000000 20200101000000 1 test. AAAA\n",
           "question a.test. IN A\nanswer a.test. 300 IN A 192.0.2.1\n"
           "answer a.test. 300 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 test. AAAA\n",
           300, ANSWER_AUTHENTIC | ANSWER_SIGNED | ANSWER_ADDRESSES);
}

static void chains(void **state) {
    expect("a.test", "A", false,
           "question a.test A\n answer c.test. 30 IN A 192.0.2.1\n answer b.test. 20 IN CNAME c.test.\n answer a.test. 10 IN CNAME "
           "b.test.\n",
           "question a.test. IN A\nanswer a.test. 10 IN CNAME b.test.\nanswer b.test. 20 IN CNAME c.test.\n"
           "answer c.test. 30 IN A 192.0.2.1\n",
           10, ANSWER_CHAIN | ANSWER_ADDRESSES);
    expect("a.test", "CNAME", false,
           "question a.test CNAME\n answer a.test. 10 IN CNAME b.test.\n answer b.test. 20 IN CNAME c.test.\n",
           "question a.test. IN CNAME\nanswer a.test. 10 IN CNAME b.test.\n", 10, ANSWER_CHAIN);
    expect("a.test", "A", false, "question a.test A\n answer a.test. 10 IN CNAME b.other.\n",
           "question a.test. IN A\nanswer a.test. 10 IN CNAME b.other.\n", 10, ANSWER_CHAIN | ANSWER_PARTIAL);
    expect("a.test", "A", false,
           "rcode NXDOMAIN\n question a.test A\n answer a.test. 10 IN CNAME b.test.\n authority test. 50 IN SOA n. m. 1 2 3 4 40\n",
           "question a.test. IN A\nanswer a.test. 10 IN CNAME b.test.\nauthority test. 40 IN SOA n. m. 1 2 3 4 40\n", 10,
           ANSWER_CHAIN | ANSWER_NEGATIVE);
}

static void dnames(void **state) {
    expect("x.old.test", "A", false,
           "question x.old.test A\n answer old.test. 60 IN DNAME new.test.\n answer x.old.test. 0 IN CNAME x.new.test.\n"
           "answer x.new.test. 30 IN A 192.0.2.1\n",
           "question x.old.test. IN A\nanswer old.test. 60 IN DNAME new.test.\nanswer x.old.test. 0 IN CNAME x.new.test.\n"
           "answer x.new.test. 30 IN A 192.0.2.1\n",
           0, ANSWER_CHAIN | ANSWER_ADDRESSES);
    expect("x.old.test", "A", false,
           "question x.old.test A\n answer old.test. 60 IN DNAME new.test.\n answer x.new.test. 30 IN A 192.0.2.1\n",
           "question x.old.test. IN A\nanswer old.test. 60 IN DNAME new.test.\nanswer x.old.test. 60 IN CNAME x.new.test.\n"
           "answer x.new.test. 30 IN A 192.0.2.1\n",
           30, ANSWER_CHAIN | ANSWER_ADDRESSES);
}

/* RFC 6672 section 2.2: the name that a DNAME makes has more than 255 octets. */
static void overlong(void **state) {
#define LABEL_50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
#define LONG LABEL_50 LABEL_50 LABEL_50 LABEL_50 "x.test"
#define DNAME_QUESTION "question " LONG " A\n"
#define DNAME_ANSWER "answer x.test. 60 IN DNAME " LABEL_50 "test.\n"
    expect(LONG, "A", false, "rcode YXDOMAIN\n" DNAME_QUESTION DNAME_ANSWER, "question " LONG ". IN A\n" DNAME_ANSWER, 60,
           ANSWER_CHAIN | ANSWER_NEGATIVE);
    expect_bad(LONG, "A", DNAME_QUESTION DNAME_ANSWER);
    expect_bad(LONG, "A", "rcode YXDOMAIN\n" DNAME_QUESTION);
    expect_bad("x.old.test", "A", "rcode YXDOMAIN\n question x.old.test A\n answer old.test. 60 IN DNAME new.test.\n");
}

static void negatives(void **state) {
    expect("a.test", "A", false, "rcode NXDOMAIN\n question a.test A\n authority test. 9000 IN SOA n. m. 1 2 3 4 8000\n",
           "question a.test. IN A\nauthority test. 3600 IN SOA n. m. 1 2 3 4 8000\n", 3600, ANSWER_NEGATIVE);
    expect("a.test", "A", false,
           "question a.test A\n authority test. 90 IN SOA n. m. 1 2 3 4 8000\n authority other. 9 IN SOA n. m. 1 2 3 4 5\n",
           "question a.test. IN A\nauthority test. 90 IN SOA n. m. 1 2 3 4 8000\n", 90, ANSWER_NEGATIVE);
    expect("a.test", "A", false, "question a.test A\n authority other. 90 IN SOA n. m. 1 2 3 4 8000\n", "question a.test. IN A\n",
           0, ANSWER_NEGATIVE);
    expect("a.test", "A", true,
           "rcode NXDOMAIN\n question a.test A\n authority test. 90 IN SOA n. m. 1 2 3 4 8000\n"
           "authority test. 90 IN RRSIG SOA 8 1 300 20300101000000 20200101000000 1 test. AAAA\n"
           "authority 0.test. 90 IN NSEC b.test. A RRSIG\n"
           "authority 0.test. 90 IN RRSIG NSEC 8 1 300 20300101000000 20200101000000 1 test. AAAA\n"
           "authority evil.other. 90 IN NSEC b.other. A RRSIG\n"
           "authority evil.other. 90 IN RRSIG NSEC 8 1 300 20300101000000 20200101000000 1 other. AAAA\n",
           "question a.test. IN A\nauthority test. 90 IN SOA n. m. 1 2 3 4 8000\n"
           "authority test. 90 IN RRSIG SOA 8 1 300 20300101000000 20200101000000 1 test. AAAA\n"
           "authority 0.test. 90 IN NSEC b.test. A RRSIG \n"
           "authority 0.test. 90 IN RRSIG NSEC 8 1 300 20300101000000 20200101000000 1 test. AAAA\n",
           90, ANSWER_NEGATIVE | ANSWER_SIGNED);
}

static void rejected(void **state) {
    expect_bad("a.test", "A", "question b.test A\n answer a.test. 1 IN A 192.0.2.1\n");
    expect_bad("a.test", "A", "question a.test AAAA\n answer a.test. 1 IN A 192.0.2.1\n");
    expect_bad("a.test", "A", "rcode SERVFAIL\n question a.test A\n");
    expect_bad("a.test", "A", "rcode REFUSED\n question a.test A\n");
    expect_bad("a.test", "A", "flags tc\n question a.test A\n answer a.test. 1 IN A 192.0.2.1\n");
    expect_bad("a.test", "A", "flags query\n question a.test A\n answer a.test. 1 IN A 192.0.2.1\n");
    expect_bad("a.test", "A", "question a.test A\n authority test. 1 IN NS ns.test.\n");
    expect_bad("a.test", "A", "rcode NXDOMAIN\n question a.test A\n answer a.test. 1 IN A 192.0.2.1\n");
    expect_bad("a.test", "A", "question a.test A\n answer a.test. 1 IN CNAME b.test.\n answer b.test. 1 IN CNAME a.test.\n");
    expect_bad("a.test", "A", "question a.test A\n answer a.test. 1 IN CNAME b.test.\n answer a.test. 1 IN CNAME c.test.\n");
}

static void any(void **state) {
    expect("a.test", "ANY", false,
           "question a.test ANY\n answer a.test. 10 IN A 192.0.2.1\n answer a.test. 20 IN TXT \"x\"\n answer b.test. 20 IN TXT "
           "\"y\"\n",
           "question a.test. IN ANY\nanswer a.test. 10 IN A 192.0.2.1\nanswer a.test. 20 IN TXT \"x\"\n", 10, ANSWER_ADDRESSES);
}

static void every_truncation(void **state) {
    uint8_t message[1024];
    size_t length = dns_message("question a.test A\n answer a.test. 10 IN CNAME b.test.\n answer b.test. 30 IN A 192.0.2.1\n"
                                "authority test. 90 IN SOA n. m. 1 2 3 4 8000\n",
                                message, sizeof message);
    struct question question = dns_question("a.test", "A");
    for (size_t i = 0; i < length; i++) {
        uint8_t *exact = malloc(i ? i : 1);
        memcpy(exact, message, i);
        struct answer *answer = NULL;
        assert_int_equal(answer_from_message(&answer, &question, exact, i, &limits, 1000), -EBADMSG);
        free(exact);
    }
}

/* Sets are gathered from wherever their records stand, each with the least of its TTLs; what is sent twice is kept twice. */
static void scattered(void **state) {
    expect("a.test", "A", true,
           "question a.test A\n answer a.test. 9 IN RRSIG CNAME 8 2 300 20300101000000 20200101000000 1 test. AAAA\n"
           "answer b.test. 50 IN A 192.0.2.1\n answer c.test. 1 IN A 192.0.2.9\n answer A.test. 70 IN CNAME b.test.\n"
           "answer b.TEST. 40 IN A 192.0.2.2\n answer b.test. 60 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 test. AAAA\n"
           "answer B.test. 50 IN A 192.0.2.1\n",
           "question a.test. IN A\nanswer a.test. 70 IN CNAME b.test.\n"
           "answer a.test. 70 IN RRSIG CNAME 8 2 300 20300101000000 20200101000000 1 test. AAAA\n"
           "answer b.test. 40 IN A 192.0.2.1\nanswer b.test. 40 IN A 192.0.2.2\nanswer b.test. 40 IN A 192.0.2.1\n"
           "answer b.test. 40 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 test. AAAA\n",
           40, ANSWER_CHAIN | ANSWER_SIGNED | ANSWER_ADDRESSES);
    expect_bad("a.test", "A",
               "question a.test A\n answer a.test. 1 IN A 192.0.2.1\n answer A.test. 1 IN CNAME b.test.\n"
               "answer a.test. 1 IN CNAME b.test.\n");
    expect_bad("a.test", "A",
               "question a.test A\n answer c.test. 1 IN CNAME A.test.\n answer b.test. 1 IN CNAME c.test.\n"
               "answer a.test. 1 IN CNAME b.test.\n");
}

/* A message whose records stand behind the question for `name`, octet by octet. */
static void expect_octets(const char *name, const char *type, const void *records, size_t length, unsigned answers,
                          const char *text, uint32_t ttl, unsigned flags) {
    struct question question = dns_question(name, type);
    uint8_t message[1024] = {0, 0, 0x81, 0x80, 0, 1, 0, (uint8_t)answers};
    size_t at = WIRE_HEADER;
    memcpy(message + at, question.name.wire, question.name.length);
    at += question.name.length;
    wire_set16(message + at, question.type);
    wire_set16(message + at + 2, CLASS_IN);
    at += 4;
    memcpy(message + at, records, length);
    for (size_t cut = 0; cut < at + length; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        struct answer *none = NULL;
        memcpy(exact, message, cut);
        assert_int_equal(answer_from_message(&none, &question, exact, cut, &limits, 1000), -EBADMSG);
        free(exact);
    }
    struct answer *answer;
    assert_int_equal(answer_from_message(&answer, &question, message, at + length, &limits, 1000), 0);
    assert_string_equal(text_of(answer), text);
    assert_int_equal(answer->ttl, ttl);
    assert_int_equal(answer->flags, flags);
    answer_unref(answer);
}
#define OCTETS(octets) octets, sizeof(octets) - 1
#define A_RECORD(ttl, last) "\0\1\0\1\0\0\0" ttl "\0\4\300\0\2" last

/* However an owner is written, it is the same name: by a pointer to the question (12) or into rdata (36), or in full. */
static void pointers(void **state) {
    expect_octets("a.test", "A",
                  OCTETS("\300\14\0\5\0\1\0\0\0\24\0\4\1B\300\16" /* a.test CNAME B.test, at 36 */
                         "\300\44" A_RECORD("\36", "\1")          /* by pointer, twice in a row */
                         "\300\44" A_RECORD("\12", "\2")          /* */
                         "\1b\4TEST\0" A_RECORD("\50", "\3")      /* in full */
                         "\1b\300\16" A_RECORD("\50", "\4")),     /* half and half */
                  5,
                  "question a.test. IN A\nanswer a.test. 20 IN CNAME B.test.\nanswer B.test. 10 IN A 192.0.2.1\n"
                  "answer B.test. 10 IN A 192.0.2.2\nanswer B.test. 10 IN A 192.0.2.3\nanswer B.test. 10 IN A 192.0.2.4\n",
                  10, ANSWER_CHAIN | ANSWER_ADDRESSES);
    expect_octets(".", "NS", OCTETS("\300\14\0\2\0\1\0\0\0\12\0\3\1a\0\0\0\2\0\1\0\0\0\5\0\2\300\35"), 2,
                  "question . IN NS\nanswer . 5 IN NS a.\nanswer . 5 IN NS a.\n", 5, 0);
    expect_octets("a.test", "MX", OCTETS("\300\14\0\17\0\1\0\0\0\12\0\6\0\7\1m\300\16"), 1,
                  "question a.test. IN MX\nanswer a.test. 10 IN MX 7 m.test.\n", 10, 0);
    /* The name that a DNAME makes stands nowhere in the message; an owner may stand in the header. */
    expect_octets("x.o.test", "A",
                  OCTETS("\300\16\0\47\0\1\0\0\0\12\0\3\1n\0"
                         "\300\0" A_RECORD("\5", "\1")),
                  2, "question x.o.test. IN A\nanswer o.test. 10 IN DNAME n.\nanswer x.o.test. 10 IN CNAME x.n.\n", 10,
                  ANSWER_CHAIN | ANSWER_PARTIAL);
}

static void failure(void **state) {
    struct question question = dns_question("a.test", "A");
    struct answer *answer = answer_failure(&question, RCODE_SERVFAIL, 22, 5, 1000);
    assert_string_equal(text_of(answer), "question a.test. IN A\n");
    assert_int_equal(answer->flags, ANSWER_FAILURE);
    assert_int_equal(answer->ede, 22);
    answer_unref(answer_ref(answer));
    answer_unref(answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positive), cmocka_unit_test(signatures),       cmocka_unit_test(chains),    cmocka_unit_test(dnames),
        cmocka_unit_test(overlong), cmocka_unit_test(negatives),        cmocka_unit_test(rejected),  cmocka_unit_test(any),
        cmocka_unit_test(failure),  cmocka_unit_test(every_truncation), cmocka_unit_test(scattered), cmocka_unit_test(pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
