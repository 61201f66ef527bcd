/* test/unit/test_code.c: name codes: whatever a name is made of, its code is the one that the tables spell bit by bit, and decodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/code.h"

enum { SEED = 42, SAMPLE = 20000, NAMES = 20000 };

static uint64_t state = 1;

static unsigned below(unsigned limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 33) % limit);
}

/* Each letter is half as frequent as the one before, so that codes of all lengths come about. */
static uint8_t letter(void) {
    unsigned bits = below(1U << 20) | 1U << 19;
    return (uint8_t)('a' + __builtin_ctz(bits));
}

/* Letters; with `odd`, octets besides that the sample never had, which have the longest codes. */
static void make_name(struct name *name, bool odd, bool longest) {
    static const char *const ends[] = {"\3com", "\7duckdns\3org", "\1x"};
    size_t length = 0, room = longest ? 250 : 1 + below(60);
    unsigned labels = 0;
    while (length < room) {
        size_t octets = 1 + below(longest ? NAME_LABEL_MAX : 20);
        if (length + octets + 1 > room)
            octets = room - length > 1 ? room - length - 1 : 1;
        if (length + octets + 1 > 252)
            break;
        name->wire[length++] = (uint8_t)octets;
        for (labels++; octets > 0; octets--)
            name->wire[length++] = (uint8_t)(odd && below(3) ? 128 + below(128) : letter());
    }
    const char *end = ends[below(3)];
    size_t more = strlen(end);
    if (length + more + 1 <= NAME_WIRE_MAX) {
        memcpy(name->wire + length, end, more);
        length += more;
        labels += more > 4 ? 2 : 1;
    }
    name->wire[length++] = 0;
    name->length = (uint8_t)length;
    name->labels = (uint8_t)labels;
}

static struct code *make_code(void) {
    struct code *code = calloc(1, sizeof *code);
    struct code_statistics *statistics = code_statistics_new();
    struct name name;
    struct name_key key;
    for (unsigned pass = 0; pass < 2; pass++) {
        state = 7;
        for (unsigned i = 0; i < SAMPLE; i++) {
            make_name(&name, false, false);
            name_key_init(&key, name.wire, name.length, SEED);
            if (pass == 0)
                assert_int_equal(code_statistics_add(statistics, &key), 0);
            else
                code_count_octets(code, statistics, &key);
        }
        if (pass == 0)
            code_choose_suffixes(code, statistics, SEED);
    }
    code_choose_octets(code, statistics);
    code_statistics_free(statistics);
    return code;
}

struct spelt {
    uint8_t octets[CODE_MAX];
    size_t bits;
};

static void spell(struct spelt *spelt, const struct huffman *huffman, unsigned symbol) {
    unsigned length = huffman->length[symbol];
    uint32_t bits = huffman->symbol[symbol] >> CODE_LENGTH_BITS;
    while (length-- > 0) {
        if (bits >> length & 1)
            spelt->octets[spelt->bits / 8] |= (uint8_t)(0x80 >> spelt->bits % 8);
        spelt->bits++;
    }
}

/* The same by the plainest means. `suffix`: the dictionary's number, as decoding says it. */
static size_t spell_name(const struct code *code, const struct name *name, struct spelt *spelt) {
    memset(spelt, 0, sizeof *spelt);
    unsigned suffix = 0;
    for (unsigned i = 1; i <= code->suffix_count; i++) {
        if (name_is_within(name, &code->suffix[i]) && (suffix == 0 || code->suffix[i].labels > code->suffix[suffix].labels))
            suffix = i;
    }
    unsigned labels = name->labels - (suffix ? code->suffix[suffix].labels : 0U);
    spell(spelt, &code->suffixes, suffix);
    const uint8_t *at = name->wire;
    for (unsigned k = 0; k < labels; k++, at += *at + 1) {
        if (k > 0)
            spell(spelt, &code->octets, CODE_MARK);
        for (unsigned i = 1; i <= *at; i++)
            spell(spelt, &code->octets, at[i]);
    }
    while (spelt->bits % 8 != 0) {
        spelt->octets[spelt->bits / 8] |= (uint8_t)(0x80 >> spelt->bits % 8);
        spelt->bits++;
    }
    return spelt->bits / 8;
}

static void check(const struct code *code, const struct name *name) {
    static struct spelt spelt;
    struct name_key key;
    struct name back;
    uint8_t *out = malloc(CODE_ROOM); /* so that a store beyond it is seen */
    name_key_init(&key, name->wire, name->length, SEED);
    size_t length = code_encode(code, &key, name->labels, out);
    assert_int_equal(length, spell_name(code, name, &spelt));
    assert_memory_equal(out, spelt.octets, length);
    assert_int_equal(code_decode(code, out, length, &back), 0);
    assert_true(name_equal(name, &back));
    free(out);
}

static void test_codes(void **unused) {
    struct code *code = make_code();
    unsigned longest = 0;
    for (unsigned i = 0; i < CODE_MARK; i++)
        longest = code->octets.length[i] > longest ? code->octets.length[i] : longest;
    assert_true(4 * longest + 7 >= 64); /* or four symbols would always find room, and nothing else be tried */
    assert_true(code->suffix_count > 0);
    for (unsigned i = 0; i < NAMES; i++) {
        struct name name;
        make_name(&name, i % 2 == 0, i % 16 == 0);
        check(code, &name);
    }
    check(code, &(struct name){.length = 1, .labels = 0, .wire = {0}});
    for (unsigned i = 1; i <= code->suffix_count; i++)
        check(code, &code->suffix[i]);
    free(code);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
