/* test/unit/record.c: an object read in one piece gives the fields, places and faults that it gives member by member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feeds/record.h"

struct source {
    const char *at;
    size_t left, chunk;
};

static long read_some(void *context, char *buffer, size_t size) {
    struct source *source = context;
    size_t n = source->left < size ? source->left : size;
    n = n < source->chunk ? n : source->chunk;
    memcpy(buffer, source->at, n);
    source->at += n;
    source->left -= n;
    return (long)n;
}

static void note_unknown(void *context, const char *key, size_t length) {
    fprintf(context, "unknown %.*s\n", (int)length, key);
}

static const struct record_key keys[] = {RECORD_KEY("domain"), RECORD_KEY("match"), RECORD_KEY("family"), RECORD_KEY("confidence"),
                                         RECORD_KEY("tags")};
enum { KEYS = sizeof keys / sizeof keys[0] };

/* All objects of JSON lines as text. A source that gives an octet at a time never has an object whole. */
static char *render(const char *json, size_t chunk, bool strict) {
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);
    struct source source = {json, strlen(json), chunk};
    const struct json_limits limits = {.lines = true};
    struct json_reader *reader = json_reader_new(read_some, &source, &limits);
    const struct record_reader how = {.keys = keys, .count = KEYS, .context = stream, .unknown = strict ? note_unknown : NULL};
    struct record record = {0};
    for (enum json_event event; (event = json_next(reader)) != JSON_END;) {
        int error = event == JSON_OBJECT ? record_read(&record, reader, &how) : -1;
        fprintf(stream, "%d at %u:%u, now at %u:%u %s\n", error, record.line, record.column, json_line(reader), json_column(reader),
                json_error(reader));
        if (error)
            json_skip_line(reader);
        for (unsigned i = 0; i < KEYS && !error; i++) {
            const struct record_field *field = &record.fields[i];
            const char *text = record_text(&record, i, NULL);
            fprintf(stream, "  %u: %d %u:%u %zu %s\n", i, field->type, field->line, field->column, field->length,
                    text ? text : "-");
        }
        fprintf(stream, "  repeated %d\n", record.repeated);
    }
    record_done(&record);
    json_reader_free(reader);
    fclose(stream);
    return out;
}

static void expect_same(const char *json) {
    for (int strict = 0; strict < 2; strict++) {
        char *whole = render(json, 65536, strict), *slow = render(json, 1, strict);
        assert_string_equal(whole, slow);
        free(whole);
        free(slow);
    }
}

static void one_piece(void **state) {
    expect_same("{\"domain\": \"a.example\", \"match\": \"exact\", \"family\": \"F\", \"confidence\": 90}\n"
                "{\"confidence\":1,\"domain\":\"b.example\"}\n"
                "  { \"domain\" : \"\" , \"match\":null, \"family\":true,\"confidence\":-1.5e3 }\n");
}

static void other_objects(void **state) {
    expect_same("{}\n{\"domain\": \"a.example\", \"tags\": [\"x\"], \"family\": \"F\"}\n"
                "{\"domain\": \"\\u00e9.example\"}\n{\"domain\": \"\xC3\xA9.example\"}\n"
                "{\"domain\": \"a.example\"\n}\n{\"domain\": \"a.example\"} x\n{\"domain\": 01}\n{\"domain\": \"a\", }\n"
                "{\"domain\": {\"family\": \"G\"}, \"match\": \"subtree\"}\n{\"domain\": \"a.example\"}\n");
}

static void repeated_and_unknown(void **state) {
    expect_same("{\"domain\": \"a.example\", \"match\": \"exact\", \"domain\": \"b.example\", \"family\": \"F\"}\n"
                "{\"domian\": \"a.example\", \"match\": \"exact\"}\n"
                "{\"match\": \"exact\", \"domains\": [\"x\"], \"_note\": \"n\", \"domain\": \"c.example\"}\n"
                "{\"_note\": \"n\", \"match\": \"exact\", \"domain\": \"c.example\"}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_piece),
        cmocka_unit_test(other_objects),
        cmocka_unit_test(repeated_and_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
