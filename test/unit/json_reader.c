/* test/unit/json_reader.c: what the JSON reader takes, refuses, and says of places; at every chunk boundary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/json_reader.h"

struct text {
    const char *at;
    size_t left;
    size_t chunk; /* octets a call; 0: all */
    long end;     /* what the source says at the end */
};

static long read_text(void *context, char *buffer, size_t size) {
    struct text *text = context;
    size_t n = text->left < size ? text->left : size;
    if (text->chunk && n > text->chunk)
        n = text->chunk;
    if (n == 0)
        return text->end;
    memcpy(buffer, text->at, n);
    text->at += n;
    text->left -= n;
    return (long)n;
}

/* Renders the events of a text as one line; in lines mode errors are skipped. The caller frees. */
static char *events(const char *json, size_t length, size_t chunk, const struct json_limits *limits) {
    static const char *const marks[] = {"", "{", "}", "[", "]", "k:", "s:", "n:", "T", "F", "N"};
    struct text text = {json, length, chunk, 0};
    struct json_reader *reader = json_reader_new(read_text, &text, limits);
    assert_non_null(reader);
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);
    for (int i = 0; i < 100000; i++) {
        enum json_event event = json_next(reader);
        if (event == JSON_END)
            break;
        if (event == JSON_ERROR) {
            fprintf(stream, "!%u:%u %s", json_line(reader), json_column(reader), json_error(reader));
            if (!limits || !limits->lines || json_read_error(reader))
                break;
            fputc('\n', stream);
            json_skip_line(reader);
            continue;
        }
        size_t n;
        const char *value = json_text(reader, &n);
        assert_int_equal(value[n], 0);
        fputs(marks[event], stream);
        fwrite(value, 1, n, stream);
        fputc(' ', stream);
    }
    fclose(stream);
    json_reader_free(reader);
    return out;
}

static void expect(const char *json, size_t length, const char *wanted, const struct json_limits *limits) {
    for (size_t chunk = 0; chunk < 20; chunk++) {
        char *got = events(json, length, chunk, limits);
        assert_string_equal(got, wanted);
        free(got);
    }
}

#define EXPECT(json, wanted) expect(json, sizeof(json) - 1, wanted, NULL)

static void values(void **state) {
    EXPECT("{}", "{ } ");
    EXPECT(" [ ] ", "[ ] ");
    EXPECT("\xEF\xBB\xBF[1]", "[ n:1 ] ");
    EXPECT("{\"a\":[1,-2.5e+3,0,true,false,null,\"x\"],\"b\":{}}", "{ k:a [ n:1 n:-2.5e+3 n:0 T F N s:x ] k:b { } } ");
    EXPECT("{\"a\":1,\"a\":2}", "{ k:a n:1 k:a n:2 } "); /* duplicates are the caller's */
    EXPECT("17", "n:17 ");
    EXPECT("\"\"", "s: ");
    EXPECT("\t\r\n\"x\"\n", "s:x ");
}

static void strings(void **state) {
    EXPECT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s:\"\\/\b\f\n\r\t ");
    EXPECT("\"\\u00e9\\u20AC\\ud83d\\ude00\"", "s:\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 ");
    EXPECT("\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 a long tail of text behind it\"",
           "s:\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 a long tail of text behind it ");
    EXPECT("\"\\ud83d\"", "!1:2 half of a surrogate pair");
    EXPECT("\"a\\ude00\"", "!1:3 half of a surrogate pair");
    EXPECT("\"\\ud83d\\u0041\"", "!1:2 half of a surrogate pair");
    EXPECT("\"\\ud83dx\"", "!1:2 half of a surrogate pair");
    EXPECT("\"\\u12g4\"", "!1:2 \\u wants four hexadecimal digits");
    EXPECT("\"\\u12\"", "!1:2 \\u wants four hexadecimal digits");
    EXPECT("\"\\x\"", "!1:2 not an escape that JSON knows");
    EXPECT("\"a\nb\"", "!1:3 the string is not closed on its line");
    EXPECT("\"a\tb\"", "!1:3 a control character in a string: write it as \\u00XX");
    EXPECT("\"a\\\tb\"", "!1:4 a control character in a string: write it as \\u00XX");
    EXPECT("\"a\0b\"", "!1:3 a control character in a string: write it as \\u00XX");
}

static void nul_escape(void **state) {
    struct text text = {"\"a\\u0000b\"", 10, 0, 0};
    struct json_reader *reader = json_reader_new(read_text, &text, NULL);
    assert_int_equal(json_next(reader), JSON_STRING);
    size_t length;
    assert_memory_equal(json_text(reader, &length), "a\0b", 4);
    assert_int_equal(length, 3);
    assert_int_equal(json_next(reader), JSON_END);
    json_reader_free(reader);
}

static void bad_utf8(void **state) {
    EXPECT("\"\x80\"", "!1:2 not UTF-8");
    EXPECT("\"\xC0\xAF\"", "!1:2 not UTF-8");         /* overlong */
    EXPECT("\"ab\xC3\"", "!1:4 not UTF-8");           /* cut off */
    EXPECT("\"\xE0\x80\x80\"", "!1:2 not UTF-8");     /* overlong */
    EXPECT("\"\xED\xA0\x80\"", "!1:2 not UTF-8");     /* a surrogate */
    EXPECT("\"\xF4\x90\x80\x80\"", "!1:2 not UTF-8"); /* above U+10FFFF */
    EXPECT("\"\xF0\x9F\x98\"", "!1:2 not UTF-8");
    EXPECT("\"\xFF\"", "!1:2 not UTF-8");
    EXPECT("[\xC3\xA9]", "[ !1:2 a value is expected here");
}

static void faults(void **state) {
    EXPECT("", "!1:1 there is no JSON here: the text is empty");
    EXPECT("  \n ", "!2:2 there is no JSON here: the text is empty");
    EXPECT("[1,]", "[ n:1 !1:4 nothing comes after the last ','");
    EXPECT("{\"a\":1,}", "{ k:a n:1 !1:8 nothing comes after the last ','");
    EXPECT("[,1]", "[ !1:2 a value is expected here");
    EXPECT("[1 2]", "[ n:1 !1:4 a ',' or ']' is expected here");
    EXPECT("{\"a\" 1}", "{ k:a !1:6 a ':' is expected after a key");
    EXPECT("{a:1}", "{ !1:2 a key in double quotes is expected here");
    EXPECT("{\"a\":1 \"b\":2}", "{ k:a n:1 !1:8 a ',' or '}' is expected here");
    EXPECT("{\"a\":}", "{ k:a !1:6 a value is expected here");
    EXPECT("[1}", "[ n:1 !1:3 a ',' or ']' is expected here");
    EXPECT("[] x", "[ ] !1:4 more text after the end of the document");
    EXPECT("[]]", "[ ] !1:3 more text after the end of the document");
    EXPECT("['a']", "[ !1:2 JSON wants double quotes");
    EXPECT("[// no\n]", "[ !1:2 JSON has no comments (a key that begins with _ is one here)");
    EXPECT("[tru]", "[ !1:2 not a value: true, false, null, a number, or text in double quotes is expected");
    EXPECT("[truex]", "[ T !1:6 a ',' or ']' is expected here");
    EXPECT("{\n  \"a\": 1,\n  \"b\": nul\n}",
           "{ k:a n:1 k:b !3:8 not a value: true, false, null, a number, or text in double quotes is expected");
    EXPECT("[\0]", "[ !1:2 a value is expected here");
}

static void numbers(void **state) {
    static const char *const bad[] = {"01", "-", "1.", ".5", "1e", "1e+", "+1", "-01", "1.2.3", "--1", "1-1", "0x1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *got = events(bad[i], strlen(bad[i]), 1, NULL);
        assert_non_null(strchr(got, '!'));
        free(got);
    }
    EXPECT("[0,-0,10,1.5,1e9,1E-9,123456789012345678901234567890]",
           "[ n:0 n:-0 n:10 n:1.5 n:1e9 n:1E-9 n:123456789012345678901234567890 ] ");
}

static void truncation(void **state) {
    static const char whole[] = "{\"a\": [1, true, \"x\\u00e9\\ud83d\\ude00\", {\"b\": null}], \"c\": -1.5e3}";
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        for (size_t chunk = 0; chunk < 3; chunk++) {
            char *copy = malloc(length + 1); /* of the exact size, for ASan's sake */
            memcpy(copy, whole, length);
            char *got = events(copy, length, chunk, NULL);
            assert_non_null(strchr(got, '!'));
            free(got);
            free(copy);
        }
    }
}

static void depth(void **state) {
    const struct json_limits three = {.depth = 3};
    expect("[[[]]]", 6, "[ [ [ ] ] ] ", &three);
    expect("[[[[", 4, "[ [ [ !1:4 nested too deeply", &three);
    char deep[1000];
    memset(deep, '[', sizeof deep);
    char *got = events(deep, sizeof deep, 0, NULL);
    assert_non_null(strstr(got, "!1:65 nested too deeply"));
    free(got);
}

static void string_limit(void **state) {
    const struct json_limits four = {.string = 4};
    expect("\"abcd\"", 6, "s:abcd ", &four);
    expect("\"abcde\"", 7, "!1:1 the string is too long", &four);
    expect("\"\\u0061\\u0061\\u0061\\u0061\"", 26, "s:aaaa ", &four);
    expect("\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", 53, "!1:1 the string is too long", &four);
}

static void long_string(void **state) {
    size_t length = 300000; /* several times the reader's buffer */
    char *json = malloc(length);
    memset(json, 'a', length);
    json[0] = json[length - 1] = '"';
    for (size_t chunk = 0; chunk < 200000; chunk += 70001) {
        struct text text = {json, length, chunk, 0};
        struct json_reader *reader = json_reader_new(read_text, &text, NULL);
        size_t got;
        assert_int_equal(json_next(reader), JSON_STRING);
        assert_memory_equal(json_text(reader, &got), json + 1, length - 2);
        assert_int_equal(got, length - 2);
        assert_int_equal(json_next(reader), JSON_END);
        json_reader_free(reader);
    }
    free(json);
}

static void lines(void **state) {
    const struct json_limits limits = {.lines = true};
#define LINES(json, wanted) expect(json, sizeof(json) - 1, wanted, &limits)
    LINES("", "");
    LINES("\n\n", "");
    LINES("{\"a\":1}\n{\"a\":2}\n", "{ k:a n:1 } { k:a n:2 } ");
    LINES("1\r\n2\r\n\r\n3", "n:1 n:2 n:3 ");
    LINES("1 2\n3\n", "n:1 !1:3 more text after the line's value\nn:3 ");
    LINES("{\"a\":\n1}\n2\n", "{ k:a !1:6 the line ends in the middle of a value\nn:1 !2:2 more text after the line's value\nn:2 ");
    LINES("{\"a\n4\n", "{ !1:4 the string is not closed on its line\nn:4 ");
    LINES("[1,\"\xFF\"]\n5", "[ n:1 !1:5 not UTF-8\nn:5 ");
    LINES("6\n[1", "n:6 [ n:1 !2:3 the text ends in the middle of a value\n");
    LINES("<html>\n7\n", "!1:1 a value is expected here\nn:7 ");
}

static void places(void **state) {
    static const char json[] = "\xEF\xBB\xBF{\n  \"zones\": [\n    {\"name\": \"x\"}\n  ]\n}";
    static const struct {
        enum json_event event;
        unsigned line, column, offset, depth;
    } wanted[] = {{JSON_OBJECT, 1, 1, 3, 1},       {JSON_KEY, 2, 3, 7, 1},        {JSON_ARRAY, 2, 12, 16, 2},
                  {JSON_OBJECT, 3, 5, 22, 3},      {JSON_KEY, 3, 6, 23, 3},       {JSON_STRING, 3, 14, 31, 3},
                  {JSON_OBJECT_END, 3, 17, 34, 2}, {JSON_ARRAY_END, 4, 3, 38, 1}, {JSON_OBJECT_END, 5, 1, 40, 0}};
    for (size_t chunk = 0; chunk < 8; chunk++) {
        struct text text = {json, sizeof json - 1, chunk, 0};
        struct json_reader *reader = json_reader_new(read_text, &text, NULL);
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            assert_int_equal(json_next(reader), wanted[i].event);
            assert_int_equal(json_line(reader), wanted[i].line);
            assert_int_equal(json_column(reader), wanted[i].column);
            assert_int_equal(json_offset(reader), wanted[i].offset);
            assert_int_equal(json_depth(reader), wanted[i].depth);
        }
        assert_int_equal(json_next(reader), JSON_END);
        assert_int_equal(json_next(reader), JSON_END);
        json_reader_free(reader);
    }
}

static void skipping(void **state) {
    static const char json[] = "{\"a\": {\"x\": [1, {}]}, \"b\": 1, \"c\": [[], 2], \"d\": 3}";
    struct text text = {json, sizeof json - 1, 1, 0};
    struct json_reader *reader = json_reader_new(read_text, &text, NULL);
    assert_int_equal(json_next(reader), JSON_OBJECT);
    for (const char *key = "abc"; *key; key++) {
        assert_int_equal(json_next(reader), JSON_KEY);
        assert_int_equal(json_text(reader, NULL)[0], *key);
        if (*key == 'c')
            assert_int_equal(json_next(reader), JSON_ARRAY);
        assert_int_equal(json_skip(reader), 0);
    }
    assert_int_equal(json_next(reader), JSON_KEY);
    assert_int_equal(json_next(reader), JSON_NUMBER);
    assert_int_equal(json_next(reader), JSON_OBJECT_END);
    assert_int_equal(json_next(reader), JSON_END);
    json_reader_free(reader);
}

static void source_fails(void **state) {
    struct text text = {"[1, 2", 5, 2, -5};
    struct json_reader *reader = json_reader_new(read_text, &text, NULL);
    assert_int_equal(json_next(reader), JSON_ARRAY);
    assert_int_equal(json_skip(reader), -1);
    assert_int_equal(json_next(reader), JSON_ERROR);
    assert_int_equal(json_read_error(reader), -5);
    assert_non_null(strstr(json_error(reader), "cannot be read"));
    json_skip_line(reader);
    assert_int_equal(json_next(reader), JSON_ERROR);
    json_reader_free(reader);
}

/* --- plain objects in one piece ------------------------------------------------------------------------------------------------
 */

enum { PLAIN_CASES = 40000, PLAIN_ROOM = 5 };

static unsigned pick(unsigned *state, unsigned below) {
    *state = *state * 1103515245u + 12345u;
    return (*state >> 16) % below;
}

/* Lines of objects: most of them plain, all kinds of others between, some octets changed at random. */
static size_t make_lines(unsigned *random, char *out, size_t room) {
    static const char *const values[] = {"\"\"",
                                         "\"abc.example.com\"",
                                         "\"a longer text, with blanks\"",
                                         "7",
                                         "-0.5e+3",
                                         "100",
                                         "null",
                                         "true",
                                         "false",
                                         "\"tab\\t\"",
                                         "\"\xC3\xA9\"",
                                         "[1]",
                                         "{\"x\": 2}",
                                         "01",
                                         "nul",
                                         "1.",
                                         "\"\"x",
                                         "-"};
    static const char *const blanks[] = {"", " ", "  ", "", " ", "\t", "", " "};
    size_t used = 0;
    unsigned count = 1 + pick(random, 4);
    for (unsigned line = 0; line < count; line++) {
        unsigned members = pick(random, PLAIN_ROOM + 2), kinds = pick(random, 3) ? 9 : sizeof values / sizeof values[0];
        unsigned spaces = pick(random, 3) ? 5 : sizeof blanks / sizeof blanks[0];
        used += (size_t)snprintf(out + used, room - used, "%s{", blanks[pick(random, spaces)]);
        for (unsigned i = 0; i < members; i++)
            used += (size_t)snprintf(out + used, room - used, "%s%s\"k%u\"%s:%s%s%s", i ? "," : "", blanks[pick(random, spaces)],
                                     pick(random, 9), blanks[pick(random, spaces)], blanks[pick(random, spaces)],
                                     values[pick(random, kinds)], blanks[pick(random, spaces)]);
        used += (size_t)snprintf(out + used, room - used, "}%s", pick(random, 20) ? "\n" : "");
    }
    if (pick(random, 3) == 0)
        out[pick(random, (unsigned)used)] = "\"\\{}[]:,\n x0\x80"[pick(random, 13)];
    return pick(random, 8) ? used : pick(random, (unsigned)used) + 1;
}

static void expect_same(const struct json_reader *a, enum json_event event_a, const struct json_reader *b,
                        enum json_event event_b) {
    size_t length_a, length_b;
    const char *text_a = json_text(a, &length_a), *text_b = json_text(b, &length_b);
    assert_int_equal(event_a, event_b);
    assert_int_equal(length_a, length_b);
    assert_memory_equal(text_a, text_b, length_a);
    assert_int_equal(json_line(a), json_line(b));
    assert_int_equal(json_column(a), json_column(b));
    assert_int_equal(json_offset(a), json_offset(b));
    assert_int_equal(json_depth(a), json_depth(b));
    assert_string_equal(json_error(a), json_error(b));
}

/* What was seen in one piece is what the other reader says of it member by member, up to the end of the object. */
static void expect_members(struct json_reader *slow, const char *text, const struct json_member *members, size_t count,
                           uint32_t column) {
    for (size_t i = 0; i < count; i++) {
        const struct json_member *member = &members[i];
        size_t length;
        assert_int_equal(json_next(slow), JSON_KEY);
        assert_memory_equal(json_text(slow, &length), text + member->key, member->key_length);
        assert_int_equal(length, member->key_length);
        assert_int_equal(json_next(slow), member->type);
        assert_memory_equal(json_text(slow, &length), text + member->text, member->length);
        assert_int_equal(length, member->length);
        assert_int_equal(json_column(slow), column + member->at);
    }
}

static unsigned compare_readings(const char *json, size_t length, bool lines, size_t limit) {
    const struct json_limits limits = {.lines = lines, .string = limit};
    struct text one = {json, length, 0, 0}, two = {json, length, 0, 0};
    struct json_reader *fast = json_reader_new(read_text, &one, &limits), *slow = json_reader_new(read_text, &two, &limits);
    unsigned plain = 0;
    for (;;) {
        enum json_event a = json_next(fast), b = json_next(slow);
        expect_same(fast, a, slow, b);
        if (a == JSON_END || (a == JSON_ERROR && !lines))
            break;
        if (a == JSON_ERROR) {
            json_skip_line(fast);
            json_skip_line(slow);
        }
        struct json_member members[PLAIN_ROOM];
        const char *text;
        size_t count, octets = json_peek_object(fast, &text, members, PLAIN_ROOM, &count);
        if (octets == 0)
            continue;
        plain++;
        assert_int_equal(a, JSON_OBJECT);
        assert_true(octets <= limit || limit == 0);
        expect_members(slow, text, members, count, json_column(fast));
        json_pass_object(fast, octets);
        expect_same(fast, JSON_OBJECT_END, slow, json_next(slow));
    }
    json_reader_free(fast);
    json_reader_free(slow);
    return plain;
}

static void plain_objects(void **state) {
    unsigned random = 1, plain = 0;
    char json[4096];
    for (unsigned i = 0; i < PLAIN_CASES; i++) {
        size_t length = make_lines(&random, json, sizeof json);
        plain += compare_readings(json, length, pick(&random, 4) > 0, pick(&random, 4) ? 0 : 40);
    }
    assert_in_range(plain, PLAIN_CASES / 2, 4 * PLAIN_CASES);
    assert_int_equal(compare_readings("{\"a\":1}", 8, false, 0), 1);
    assert_int_equal(compare_readings("{\"a\":1", 7, false, 0), 0);
    assert_int_equal(compare_readings("{}", 2, false, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),   cmocka_unit_test(strings),      cmocka_unit_test(nul_escape),    cmocka_unit_test(bad_utf8),
        cmocka_unit_test(faults),   cmocka_unit_test(numbers),      cmocka_unit_test(truncation),    cmocka_unit_test(depth),
        cmocka_unit_test(places),   cmocka_unit_test(string_limit), cmocka_unit_test(long_string),   cmocka_unit_test(lines),
        cmocka_unit_test(skipping), cmocka_unit_test(source_fails), cmocka_unit_test(plain_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
