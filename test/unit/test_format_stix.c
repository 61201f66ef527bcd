/* test/unit/test_format_stix.c: STIX patterns, versions, relationships; TAXII envelopes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feeds/stix_pattern.h"
#include "feeds_collect.h"

static int on_value(void *context, enum stix_kind kind, const char *value, size_t length) {
    char *out = context;
    assert_int_equal(strlen(value), length);
    sprintf(out + strlen(out), "%c:%s ", "NAU"[kind], value);
    return 0;
}

static void expect_pattern(const char *pattern, int want, const char *values) {
    char out[8192] = "";
    int result = stix_pattern_read(pattern, on_value, out);
    if (result != want || strcmp(out, values) != 0)
        fail_msg("%s: %d %s", pattern, result, out);
}

static void patterns(void **state) {
    expect_pattern("[domain-name:value='x.example']", STIX_READ, "N:x.example ");
    expect_pattern(" [ domain-name:value == 'x.example' ] ", STIX_READ, "N:x.example ");
    expect_pattern("[domain-name:value = 'a' OR ipv4-addr:value = '1.2.3.4' OR ipv6-addr:value = '::1']", STIX_READ,
                   "N:a A:1.2.3.4 A:::1 ");
    expect_pattern("[domain-name:value IN ('a', 'b','c')]", STIX_READ, "N:a N:b N:c ");
    expect_pattern("[domain-name:value = 'a'] OR [url:value = 'http://b/']", STIX_READ, "N:a U:http://b/ ");
    expect_pattern("([domain-name:value = 'a'] OR ([domain-name:value = 'b']))", STIX_READ, "N:a N:b ");
    expect_pattern("[(domain-name:value = 'a' OR (domain-name:value = 'b'))]", STIX_READ, "N:a N:b ");
    expect_pattern("[ipv4-addr:value = '223.166.0.0/15']", STIX_READ, "A:223.166.0.0/15 ");
    expect_pattern("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", STIX_READ, "A:198.51.100.0/24 ");
    expect_pattern("[network-traffic:dst_ref.value = '192.0.2.1']", STIX_READ, "N:192.0.2.1 ");
    expect_pattern("[domain-name:resolves_to_refs[*].value = '192.0.2.1']", STIX_READ, "A:192.0.2.1 ");
    expect_pattern("[url:value = 'http://x/Farney\\'s_\\\\Home_&_']", STIX_READ, "U:http://x/Farney's_\\Home_&_ ");
    expect_pattern("[file:hashes.'SHA-256' = 'aa' OR domain-name:value = 'a']", STIX_READ, "N:a ");
    expect_pattern("/* AND */ [domain-name:value = 'a'] // OR nothing", STIX_READ, "N:a ");
    expect_pattern("[domain-name:value = 'a AND b']", STIX_READ, "N:a AND b ");
}

static void other_patterns(void **state) {
    expect_pattern("[file:hashes.'SHA-256' = 'aa']", STIX_ELSEWHERE, "");
    expect_pattern("[file:size = 25 OR file:size = -3 OR x:y = true OR x:z = t'2026-01-01T00:00:00Z']", STIX_ELSEWHERE, "");
    expect_pattern("[email-addr:value = 'a@b']", STIX_ELSEWHERE, "");
    expect_pattern("[domain-name:value = 'a' AND url:value = 'b']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value = 'a'] AND [url:value = 'b']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value = 'a'] FOLLOWEDBY [url:value = 'b']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value = 'a'] REPEATS 5 TIMES", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value = 'a'] WITHIN 5 SECONDS", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value LIKE 'a%']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value MATCHES '^a']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value != 'a']", STIX_COMPLEX, "");
    expect_pattern("[NOT domain-name:value = 'a']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value NOT = 'a']", STIX_COMPLEX, "");
    expect_pattern("[domain-name:value = 'a' OR domain-name:value MATCHES 'x']", STIX_COMPLEX, "");
    static const char *const malformed[] = {"",
                                            "domain-name:value = 'a'",
                                            "[domain-name:value = 'a'",
                                            "[domain-name:value = 'a]",
                                            "[domain-name:value 'a']",
                                            "[domain-name:value = 'a']]",
                                            "[]",
                                            "[domain-name:value = a]",
                                            "rule x { condition: true }",
                                            "[domain-name:value IN ()]",
                                            "[domain-name:value = 'a' OR ]"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        expect_pattern(malformed[i], STIX_MALFORMED, "");
    char deep[400];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    expect_pattern(deep, STIX_COMPLEX, "");
}

static void expect(const struct collected *result, const char *indicators) {
    assert_string_equal(result->faults, "");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, indicators);
}

#define INDICATOR(n, more)                                                                                                         \
    "{\"type\":\"indicator\",\"id\":\"indicator--" n "\",\"pattern\":\"[domain-name:value = '" n                                   \
    ".example']\",\"pattern_type\":\"stix\"" more "}"

static void bundle(void **state) {
    expect(
        collect(FORMAT_STIX,
                "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":["
                "{\"type\":\"relationship\",\"id\":\"relationship--1\",\"relationship_type\":\"indicates\",\"source_ref\":"
                "\"indicator--a\",\"target_ref\":\"malware--1\"},"
                "{\"type\":\"relationship\",\"id\":\"relationship--2\",\"relationship_type\":\"indicates\",\"source_ref\":"
                "\"indicator--a\",\"target_ref\":\"intrusion-set--1\"}," INDICATOR(
                    "a",
                    ",\"created\":\"2026-08-16T01:04:58.000Z\",\"modified\":\"2026-08-16T01:04:58.77405Z\",\"valid_from\":\"2026-"
                    "08-15T01:04:58Z\","
                    "\"valid_until\":\"2027-09-09T05:58:03.000Z\",\"confidence\":85,\"labels\":[\"phishing\"],\"indicator_types\":["
                    "\"malicious-activity\"],"
                    "\"external_references\":[{\"source_name\":\"x\"},{\"source_name\":\"t\",\"url\":\"https://t.example/"
                    "1\"},{\"url\":\"https://t.example/2\"}]") "," INDICATOR("b",
                                                                             ",\"labels\":[\"malicious-activity\",\"phishing\"],"
                                                                             "\"name\":\"n\"") "," INDICATOR("c",
                                                                                                             ",\"name\":\"the "
                                                                                                             "name\"") ","
                                                                                                                       "{\"type\":"
                                                                                                                       "\"domain-"
                                                                                                                       "name\","
                                                                                                                       "\"id\":"
                                                                                                                       "\"domain-"
                                                                                                                       "name--1\","
                                                                                                                       "\"value\":"
                                                                                                                       "\"sco."
                                                                                                                       "example\"},"
                                                                                                                       "{\"type\":"
                                                                                                                       "\"observed-"
                                                                                                                       "data\","
                                                                                                                       "\"id\":"
                                                                                                                       "\"observed-"
                                                                                                                       "data--1\","
                                                                                                                       "\"objects\""
                                                                                                                       ":{\"0\":{"
                                                                                                                       "\"type\":"
                                                                                                                       "\"domain-"
                                                                                                                       "name\","
                                                                                                                       "\"value\":"
                                                                                                                       "\"sdo."
                                                                                                                       "example\"}}"
                                                                                                                       "},"
                                                                                                                       "{\"type\":"
                                                                                                                       "\"intrusion"
                                                                                                                       "-set\","
                                                                                                                       "\"id\":"
                                                                                                                       "\"intrusion"
                                                                                                                       "-set--1\","
                                                                                                                       "\"name\":"
                                                                                                                       "\"APT0\"},"
                                                                                                                       "{\"type\":"
                                                                                                                       "\"malware\""
                                                                                                                       ",\"id\":"
                                                                                                                       "\"malware--"
                                                                                                                       "1\","
                                                                                                                       "\"name\":"
                                                                                                                       "\"Candiru\""
                                                                                                                       ",\"is_"
                                                                                                                       "family\":"
                                                                                                                       "false}]}"),
        "domain a.example conf=85 family=Candiru ref=https://t.example/1 first=2026-08-15T01:04:58Z last=2026-08-16T01:04:58Z "
        "expires=2027-09-09T05:58:03Z id=indicator--a\n"
        "domain b.example family=phishing id=indicator--b\n"
        "domain c.example family=the name id=indicator--c\n");
}

static void versions(void **state) {
    expect(
        collect(FORMAT_STIX,
                "{\"type\":\"bundle\",\"objects\":[" INDICATOR(
                    "a", ",\"modified\":\"2026-08-16T01:04:58.5Z\",\"name\":"
                         "\"new\"") "," INDICATOR("a", ",\"modified\":"
                                                       "\"2026-08-16T01:04:"
                                                       "58.25Z\",\"name\":"
                                                       "\"old\"") "," INDICATOR("b", ",\"modified\":\"2026-08-16T01:04:"
                                                                                     "58Z\"") ","
                                                                                              "{\"type\":\"indicator\","
                                                                                              "\"id\":\"indicator--b\","
                                                                                              "\"modified\":\"2026-08-17T01:"
                                                                                              "04:58Z\",\"revoked\":true},"
                                                                                              "{\"type\":\"indicator\","
                                                                                              "\"id\":\"indicator--c\","
                                                                                              "\"modified\":\"2026-08-17T01:"
                                                                                              "04:58Z\",\"revoked\":true}"
                                                                                              "," INDICATOR(
                                                                                                  "c", ",\"modified\":\"2026-08-"
                                                                                                       "16T01:04:"
                                                                                                       "58Z\"") ","
                                                                                                                "{\"type\":"
                                                                                                                "\"relationship\""
                                                                                                                ","
                                                                                                                "\"id\":"
                                                                                                                "\"relationship--"
                                                                                                                "1\","
                                                                                                                "\"relationship_"
                                                                                                                "type\":"
                                                                                                                "\"indicates\","
                                                                                                                "\"source_"
                                                                                                                "ref\":"
                                                                                                                "\"indicator--"
                                                                                                                "a\","
                                                                                                                "\"target_ref\":"
                                                                                                                "\"malware--"
                                                                                                                "1\","
                                                                                                                "\"revoked\":"
                                                                                                                "true},{\"type\":"
                                                                                                                "\"malware\","
                                                                                                                "\"id\":"
                                                                                                                "\"malware--1\","
                                                                                                                "\"name\":"
                                                                                                                "\"Candiru\"}]}"),
        "domain a.example family=new last=2026-08-16T01:04:58Z id=indicator--a\n"
        "revoked last=2026-08-17T01:04:58Z id=indicator--b\n"
        "revoked last=2026-08-17T01:04:58Z id=indicator--c\n");
}

static void skipped(void **state) {
    const struct collected *result = collect(
        FORMAT_STIX,
        "[{\"type\":\"bundle\",\"objects\":[" INDICATOR("benign", ",\"indicator_types\":[\"benign\"]") "," INDICATOR(
            "vpn", ",\"indicator_types\":[\"anonymization\"]") ","
                                                               "{\"type\":\"indicator\",\"id\":\"indicator--1\","
                                                               "\"pattern\":\"title: x\",\"pattern_type\":\"sigma\"},"
                                                               "{\"type\":\"indicator\",\"id\":\"indicator--2\","
                                                               "\"pattern\":\"[file:hashes.md5 = 'x']\"},"
                                                               "{\"type\":\"indicator\",\"id\":\"indicator--3\","
                                                               "\"pattern\":\"[a:b = 'x' AND c:d = 'e']\"},"
                                                               "{\"type\":\"indicator\",\"id\":\"indicator--4\","
                                                               "\"pattern\":\"[[\"},"
                                                               "{\"type\":\"indicator\",\"id\":\"indicator--5\"}"
                                                               "," INDICATOR("d", ",\"confidence\":\"high\"") "," INDICATOR(
                                                                   "e", ",\"valid_until\":\"never\"") ","
                                                                                                      "{\"type\":\"indicator\","
                                                                                                      "\"id\":\"indicator--6\","
                                                                                                      "\"pattern\":\"[domain-"
                                                                                                      "name:value = 'domain "
                                                                                                      "autuo.xicp.net' OR "
                                                                                                      "domain-name:value = "
                                                                                                      "'f.example']\"},"
                                                                                                      "null,7]}]");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain f.example id=indicator--6\n");
    assert_string_equal(result->ignored, "a pattern that isn't STIX's\nbenign, or a way to hide (indicator_types)\n"
                                         "benign, or a way to hide (indicator_types)\na kind of indicator that DNS doesn't see\n"
                                         "a pattern of more than alternatives\n");
    assert_int_equal(result->fault_count, 7);
    assert_non_null(strstr(result->faults, "objects[6].pattern missing\n"));
    assert_non_null(strstr(result->faults, "objects[7].confidence not a number from 0 to 100\n"));
    assert_non_null(strstr(result->faults, "objects[8].valid_until not a time\n"));
}

static void envelopes(void **state) {
    const struct collected *result = collect(FORMAT_TAXII, "{\"more\":true,\"next\":\"n 1\",\"objects\":[" INDICATOR("a", "") "]}");
    expect(result, "domain a.example id=indicator--a\n");
    assert_string_equal(result->pages, "more=1 next=n 1\n");
    result = collect(FORMAT_TAXII, "{}");
    expect(result, "");
    assert_string_equal(result->pages, "more=0 next=-\n");
    result = collect(FORMAT_TAXII, "{\"objects\":[],\"more\":false}");
    expect(result, "");
    assert_int_equal(collect(FORMAT_TAXII, "{\"title\":\"Unauthorized\",\"http_status\":\"401\"}")->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_TAXII, "{\"more\":true,\"objects\":[" INDICATOR("a", ""))->error, -EBADMSG);
    /* Pages put together into one array: what stands on one page is known on the other. */
    expect(collect(FORMAT_TAXII,
                   "[{\"more\":true,\"objects\":[" INDICATOR(
                       "a", "") ",{\"type\":\"relationship\",\"id\":\"relationship--1\","
                                "\"relationship_type\":\"indicates\",\"source_ref\":\"indicator--a\",\"target_ref\":\"tool--1\"}]},"
                                "{\"objects\":[{\"type\":\"tool\",\"id\":\"tool--1\",\"name\":\"T\"}]}]"),
           "domain a.example family=T id=indicator--a\n");
}

struct text {
    const char *at;
};

static long read_text(void *context, char *buffer, size_t size) {
    struct text *text = context;
    size_t length = strnlen(text->at, size);
    memcpy(buffer, text->at, length);
    text->at += length;
    return (long)length;
}

static int gather(void *context, const struct indicator *indicator) {
    char *out = context, name[NAME_TEXT_MAX];
    name_to_text(indicator->rule.name.wire, name);
    sprintf(out + strlen(out), "%s=%s ", name, indicator->rule.family ? indicator->rule.family : "-");
    return 0;
}

static void read_page(const char *page, const struct format_options *options, const struct format_sink *sink) {
    struct text text = {page};
    const char *why;
    assert_int_equal(format_read(FORMAT_TAXII, read_text, &text, options, sink, &why), 0);
}

/* Pages that are read with a memory are one body of objects; the next poll still knows the names. */
static void pages(void **state) {
    static const char relation[] =
        "{\"objects\":[{\"type\":\"relationship\",\"id\":\"relationship--%d\",\"relationship_type\":\"indicates\","
        "\"source_ref\":\"indicator--%c\",\"target_ref\":\"malware--1\"}]}";
    char out[512] = "", page[512], *saved = NULL;
    size_t size;
    struct format_options options = {.memory = format_memory_new()};
    const struct format_sink sink = {.context = out, .indicator = gather};
    snprintf(page, sizeof page, relation, 1, 'a');
    read_page(page, &options, &sink);
    read_page("{\"more\":true,\"objects\":[" INDICATOR("a", ",\"name\":\"old\"") "]}", &options, &sink);
    read_page("{}", &options, &sink);
    read_page("{\"objects\":[{\"type\":\"malware\",\"id\":\"malware--1\",\"name\":\"Poison "
              "\\\"Ivy\\\"\\n\",\"modified\":\"2018-02-23T18:30:00.5Z\"}]}",
              &options, &sink);
    assert_string_equal(out, "");
    assert_true(format_memory_holds(options.memory));
    assert_int_equal(format_memory_flush(options.memory, &options, &sink), 0);
    assert_string_equal(out, "a.example=Poison \"Ivy\" ");
    FILE *file = open_memstream(&saved, &size);
    assert_int_equal(format_memory_save(options.memory, file), 0);
    fclose(file);
    assert_string_equal(saved,
                        "{\"type\":\"bundle\",\"objects\":[\n{\"type\":\"malware\",\"modified\":\"2018-02-23T18:30:00.500000000Z\","
                        "\"id\":\"malware--1\",\"name\":\"Poison \\u0022Ivy\\u0022\\u000a\"}]}\n");
    format_memory_free(options.memory);
    options.memory = format_memory_new();
    out[0] = '\0';
    read_page(saved, &options, &sink);
    assert_false(format_memory_holds(options.memory));
    read_page("{\"objects\":[" INDICATOR("b", "") "]}", &options, &sink);
    snprintf(page, sizeof page, relation, 2, 'b');
    read_page(page, &options, &sink);
    assert_int_equal(format_memory_flush(options.memory, &options, &sink), 0);
    assert_string_equal(out, "b.example=Poison \"Ivy\" ");
    format_memory_free(options.memory);
    free(saved);
}

/* Many objects: the table of ids grows, and nothing is lost. */
static void many(void **state) {
    enum { COUNT = 3000 };
    static char text[COUNT * 160];
    size_t used = (size_t)sprintf(text, "{\"type\":\"bundle\",\"objects\":[");
    for (unsigned i = 0; i < COUNT; i++)
        used += (size_t)sprintf(
            text + used, "{\"type\":\"indicator\",\"id\":\"indicator--%u\",\"pattern\":\"[domain-name:value='d%u.example']\"},",
            i / 2, i);
    sprintf(text + used - 1, "]}");
    const struct collected *result = collect(FORMAT_STIX, text);
    assert_int_equal(result->error, 0);
    assert_int_equal(result->count, COUNT / 2);
    assert_non_null(strstr(result->indicators, "domain d1.example id=indicator--0\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns), cmocka_unit_test(other_patterns), cmocka_unit_test(bundle), cmocka_unit_test(versions),
        cmocka_unit_test(skipped),  cmocka_unit_test(envelopes),      cmocka_unit_test(pages),  cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
