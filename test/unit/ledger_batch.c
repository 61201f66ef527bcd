/* test/unit/ledger_batch.c: what is entered is read back, what entries have in common is there once, and damage is noticed. */
#include "hit_build.h"

#include <errno.h>

#include "hits/ledger_batch.h"

#define PIECE(literal)                                                                                                             \
    (struct piece) {                                                                                                               \
        literal, sizeof(literal) - 1                                                                                               \
    }

static struct entry example(unsigned number) {
    struct entry entry = {.ts_us = 1795369212345678u + number * 1000003,
                          .count = number % 3 == 0 ? 1 : number,
                          .client = build_ip(number % 2 == 0 ? "10.1.2.3" : "2001:db8::1"),
                          .has_mac = number % 5 == 0,
                          .mac = {2, 0, 0, 0, 0, 7},
                          .protocol = (enum protocol)(number % PROTOCOL_COUNT),
                          .qtype = (uint16_t)(number * 257),
                          .qname = {"\4evil\4test", 11},
                          .front = PIECE("\"zone\":\"local\",\"rule\":"),
                          .rule = PIECE("\"evil.test\""),
                          .back = PIECE(",\"mode\":\"enforce\""),
                          .details = PIECE(",\"ttl\":5")};
    if (number % 4 == 1)
        entry.hostname = PIECE("laptop-7");
    if (number % 4 == 2)
        entry.answer = PIECE("[\"127.0.0.3\"]");
    if (number % 4 == 3)
        entry.via = (struct piece){"\1a\4test", 8};
    if (number % 7 == 6)
        entry = (struct entry){.repeats = 1000 - (int64_t)number, .ts_us = entry.ts_us - 5000000, .count = 1u << number % 32};
    if (number % 11 == 10)
        entry = (struct entry){.gone = true, .count = 1};
    if (entry.repeats == 0 && !entry.has_mac)
        memset(entry.mac, 0, sizeof entry.mac);
    return entry;
}

static void assert_piece(struct piece a, struct piece b) {
    assert_int_equal(a.text == NULL, b.text == NULL);
    assert_int_equal(a.length, b.length);
    if (a.length > 0)
        assert_memory_equal(a.text, b.text, a.length);
}

static void assert_entry(const struct entry *a, const struct entry *b) {
    assert_int_equal(a->gone, b->gone);
    assert_int_equal(a->repeats, b->repeats);
    assert_int_equal(a->ts_us, b->ts_us);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->client.bytes, b->client.bytes, sizeof a->client.bytes);
    assert_int_equal(a->has_mac, b->has_mac);
    assert_memory_equal(a->mac, b->mac, sizeof a->mac);
    assert_int_equal(a->protocol, b->protocol);
    assert_int_equal(a->qtype, b->qtype);
    assert_piece(a->hostname, b->hostname);
    assert_piece(a->qname, b->qname);
    assert_piece(a->via, b->via);
    assert_piece(a->front, b->front);
    assert_piece(a->rule, b->rule);
    assert_piece(a->back, b->back);
    assert_piece(a->details, b->details);
    assert_piece(a->answer, b->answer);
}

static void test_round(void **state) {
    enum { ENTRIES = 500 };
    struct batch *batch = batch_new();
    struct batch_reader *reader = batch_reader_new();
    for (unsigned round = 0; round < 2; round++) { /* the second in what the first left */
        for (unsigned i = 0; i < ENTRIES; i++) {
            struct entry entry = example(i + round);
            assert_true(batch_add(batch, &entry));
        }
        assert_int_equal(batch_entries(batch), ENTRIES);
        struct piece octets = batch_octets(batch);
        assert_true(octets.length < ENTRIES * 24); /* the texts are there once */
        assert_int_equal(batch_open(reader, octets.text, octets.length), 0);
        struct entry read;
        for (unsigned i = 0; i < ENTRIES; i++) {
            struct entry entry = example(i + round);
            assert_int_equal(batch_next(reader, &read), 1);
            assert_entry(&read, &entry);
        }
        assert_int_equal(batch_next(reader, &read), 0);
        batch_clear(batch);
    }
    batch_reader_free(reader);
    batch_free(batch);
}

/* Many different strings: they are found again all the same. */
static void test_many_strings(void **state) {
    enum { ENTRIES = 5000 };
    struct batch *batch = batch_new();
    struct batch_reader *reader = batch_reader_new();
    struct entry read;
    char text[32];
    for (unsigned i = 0; i < 2 * ENTRIES; i++) {
        struct entry entry = example(0);
        entry.details = (struct piece){text, (uint32_t)snprintf(text, sizeof text, "%u", i % ENTRIES)};
        assert_true(batch_add(batch, &entry));
    }
    struct piece octets = batch_octets(batch);
    assert_int_equal(batch_open(reader, octets.text, octets.length), 0);
    for (unsigned i = 0; i < 2 * ENTRIES; i++) {
        struct piece wanted = {text, (uint32_t)snprintf(text, sizeof text, "%u", i % ENTRIES)};
        assert_int_equal(batch_next(reader, &read), 1);
        assert_piece(read.details, wanted);
    }
    batch_reader_free(reader);
    batch_free(batch);
}

static void test_damage(void **state) {
    struct batch *batch = batch_new();
    struct batch_reader *reader = batch_reader_new();
    for (unsigned i = 0; i < 20; i++) {
        struct entry entry = example(i);
        assert_true(batch_add(batch, &entry));
    }
    struct piece octets = batch_octets(batch);
    uint8_t *copy = malloc(octets.length);
    for (uint32_t i = 0; i < octets.length; i++) {
        memcpy(copy, octets.text, octets.length);
        copy[i] ^= 4;
        assert_int_equal(batch_open(reader, copy, octets.length), -EBADMSG);
        assert_int_equal(batch_open(reader, octets.text, i), -EBADMSG);
    }
    assert_int_equal(batch_open(reader, NULL, 0), -EBADMSG);
    free(copy);
    batch_reader_free(reader);
    batch_free(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_many_strings),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
