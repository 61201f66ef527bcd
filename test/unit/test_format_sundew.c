/* test/unit/test_format_sundew.c: policy files in our own format: what rules mean, and where and how their faults are told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feeds_collect.h"

/* One rule, inside of a document, to what is said of it. */
static const struct collected *rule(const char *text) {
    char document[8192];
    snprintf(document, sizeof document, "{\"rules\":[%s]}", text);
    return collect(FORMAT_SUNDEW, document);
}

static void expect_rule(const char *text, const char *want) {
    const struct collected *result = rule(text);
    assert_string_equal(result->faults, "");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, want);
}

static void expect_fault(const char *text, const char *want) {
    const struct collected *result = rule(text);
    assert_string_equal(result->faults, want);
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "");
}

/* The example of the contract, word by word. */
static void contract(void **state) {
    const struct collected *result = collect(
        FORMAT_SUNDEW, "{\n"
                       "  \"zone\": \"local\", \"description\": \"found by our own desk\", \"action\": \"loopback\", \"ttl\": "
                       "\"max\", \"match\": \"subtree\",\n"
                       "  \"rules\": [\n"
                       "    \"evil.example\",\n"
                       "    {\"domain\": \"c2.evil.test\", \"match\": \"exact\", \"action\": \"sinkhole\", \"family\": \"Emotet\", "
                       "\"confidence\": 90,\n"
                       "     \"first_seen\": \"2026-11-01T00:00:00Z\", \"expires\": \"2026-12-01T00:00:00Z\", \"reference\": "
                       "\"https://example.org/report/7\"},\n"
                       "    {\"ip\": \"203.0.113.0/24\"}, {\"ip\": \"2001:db8:bad::/48\", \"action\": \"nxdomain\"},\n"
                       "    {\"client\": \"10.66.0.7\", \"action\": \"passthru\"},\n"
                       "    {\"domain\": \"good.evil.example\", \"action\": \"passthru\"},\n"
                       "    {\"domain\": \"www.walled.example\", \"action\": \"cname\", \"target\": \"garden.corp.example\"},\n"
                       "    {\"domain\": \"data.example\", \"action\": \"local\", \"records\": [\"300 IN TXT \\\"hello\\\"\", "
                       "\"300 IN A 192.0.2.9\"]}\n"
                       "  ]\n"
                       "}\n");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->faults, "");
    assert_string_equal(result->heads,
                        "zone=local action=0 ttl=2147483647 match=2 conf=-1 target=- mode=-1 min=-1 age=-1 after=0\n");
    assert_string_equal(result->indicators,
                        "domain evil.example\n"
                        "domain c2.evil.test match=exact action=sinkhole conf=90 family=Emotet ref=https://example.org/report/7 "
                        "first=2026-11-01T00:00:00Z expires=2026-12-01T00:00:00Z\n"
                        "ip 203.0.113.0/24\n"
                        "ip 2001:db8:bad::/48 action=nxdomain\n"
                        "client 10.66.0.7 action=passthru\n"
                        "domain good.evil.example action=passthru\n"
                        "domain www.walled.example action=cname target=garden.corp.example\n"
                        "domain data.example action=local records=300 IN TXT \"hello\"|300 IN A 192.0.2.9\n");
}

static void plain_texts(void **state) {
    expect_rule("\"*.evil.example\"", "domain evil.example match=below\n");
    expect_rule("\".evil.example.\"", "domain evil.example match=subtree\n");
    expect_rule("\"192.0.2.1\"", "ip 192.0.2.1\n");
    expect_rule("\"2001:db8::/32\"", "ip 2001:db8::/32\n");
    expect_rule("\"B\\u00fccher.Example\"", "domain xn--bcher-kva.example\n");
    expect_rule("\"test\"", "domain test\n");
    expect_fault("\"a b.example\"", "1:11 rules[0] a blank inside\n");
    expect_fault("\"10.0.0.1/8\"", "1:11 rules[0] host bits set\n");
    expect_fault("7", "1:11 rules[0] a rule is an object, or a name or address\n");
    expect_fault("[\"a.example\"]", "1:11 rules[0] a rule is an object, or a name or address\n");
    expect_fault("null", "1:11 rules[0] a rule is an object, or a name or address\n");
}

static void triggers(void **state) {
    expect_rule("{\"nameserver\":\"ns.evil.example\"}", "nameserver ns.evil.example\n");
    expect_rule("{\"nameserver_ip\":\"192.0.2.0/24\"}", "nameserver_ip 192.0.2.0/24\n");
    expect_rule("{\"domain\":\"*.a.example\",\"match\":\"below\"}", "domain a.example match=below\n");
    expect_rule("{\"_why\":{\"x\":[1]},\"domain\":\"a.example\",\"comment\":\"x\",\"description\":\"y\",\"family\":null}",
                "domain a.example\n");
    expect_fault("{\"domain\":\"*.a.example\",\"match\":\"exact\"}",
                 "1:43 rules[0].match \"*.\" in front of the name means below\n");
    expect_fault("{\"action\":\"drop\"}",
                 "1:11 rules[0] no trigger: a rule needs one of domain, ip, client, nameserver and nameserver_ip\n");
    expect_fault("{\"domain\":\"a.example\",\"ip\":\"192.0.2.1\"}",
                 "1:38 rules[0].ip a second trigger: a rule has one of domain, ip, client, nameserver and nameserver_ip\n");
    expect_fault("{\"domain\":\"192.0.2.1\"}", "1:21 rules[0].domain an address: write \"ip\"\n");
    expect_fault("{\"ip\":\"a.example\"}", "1:17 rules[0].ip not an address and not a prefix\n");
    expect_fault("{\"ip\":\"192.0.2.1\",\"match\":\"exact\"}", "1:37 rules[0].match only names have a match\n");
    expect_fault("{\"domain\":7}", "1:21 rules[0].domain text is expected here\n");
    expect_fault("{\"domain\":\"\"}", "1:21 rules[0].domain must not be empty\n");
    expect_fault("{\"domain\":\"a\\u0000b.example\"}", "1:21 rules[0].domain must not hold a NUL\n");
    expect_fault("{\"domain\":\"a.example\",\"domain\":\"b.example\"}", "1:42 rules[0].domain given twice\n");
}

static void values(void **state) {
    expect_rule("{\"domain\":\"a.example\",\"ttl\":0,\"confidence\":0}", "domain a.example ttl=0 conf=0\n");
    expect_rule("{\"domain\":\"a.example\",\"ttl\":\"max\",\"confidence\":100}", "domain a.example ttl=2147483647 conf=100\n");
    expect_rule("{\"domain\":\"a.example\",\"expires\":\"2026-12-01\"}", "domain a.example expires=2026-12-01T23:59:59Z\n");
    expect_rule("{\"domain\":\"a.example\",\"last_seen\":1796083200}", "domain a.example last=2026-12-01T00:00:00Z\n");
    expect_fault(
        "{\"domain\":\"a.example\",\"confidence\":101,\"ttl\":-1,\"expires\":\"2026-02-30\",\"action\":\"dorp\",\"family\":7}",
        "1:91 rules[0].action must be one of loopback, sinkhole, nxdomain, nodata, refused, drop, truncate, passthru, cname and "
        "local\n"
        "1:56 rules[0].ttl must be seconds from 0 to 2147483647, or \"max\"\n"
        "1:46 rules[0].confidence must be a whole number from 0 to 100\n"
        "1:69 rules[0].expires not a time such as 2026-11-22T17:40:00Z\n"
        "1:107 rules[0].family text is expected here\n");
    expect_fault("{\"domain\":\"a.example\",\"ttl\":2147483648}",
                 "1:39 rules[0].ttl must be seconds from 0 to 2147483647, or \"max\"\n");
    expect_fault("{\"domain\":\"a.example\",\"confidence\":\"90\"}",
                 "1:46 rules[0].confidence must be a whole number from 0 to 100\n");
    expect_fault("{\"domain\":\"a.example\",\"confidence\":9.5}",
                 "1:46 rules[0].confidence must be a whole number from 0 to 100\n");
    expect_fault("{\"domain\":\"a.example\",\"match\":\"suffix\"}", "1:41 rules[0].match must be exact, below or subtree\n");
}

static void unknown_keys(void **state) {
    expect_fault("{\"domain\":\"a.example\",\"expirse\":\"2026-12-01\"}",
                 "1:33 rules[0].expirse unknown key \"expirse\"; did you mean \"expires\"?\n");
    expect_fault("{\"domain\":\"a.example\",\"qqqqqqqqqq\":1}", "1:33 rules[0].qqqqqqqqqq unknown key \"qqqqqqqqqq\"\n");
    expect_fault("{\"domain\":\"a.example\",\"x\\ny\":{}}", "1:33 rules[0].x?y unknown key \"x?y\"\n");
}

static void targets(void **state) {
    expect_rule("{\"domain\":\"a.example\",\"action\":\"cname\",\"target\":\"*.Garden.Example.\"}",
                "domain a.example action=cname target=*.garden.example\n");
    expect_rule("{\"domain\":\"a.example\",\"action\":\"cname\"}",
                "domain a.example action=cname\n"); /* the zone's target may do */
    expect_fault("{\"domain\":\"a.example\",\"action\":\"drop\",\"target\":\"b.example\"}",
                 "1:58 rules[0].target only action cname has a target\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"cname\",\"target\":\"192.0.2.1\"}", "1:59 rules[0].target not a name\n");
}

static void records(void **state) {
    expect_rule(
        "{\"domain\":\"a.example\",\"action\":\"local\",\"ttl\":60,\"records\":[\"A 192.0.2.1\",\"IN 5 AAAA 2001:DB8::1\"]}",
        "domain a.example action=local ttl=60 records=60 IN A 192.0.2.1|5 IN AAAA 2001:db8::1\n");
    expect_rule("{\"domain\":\"a.example\",\"action\":\"local\",\"records\":\"60 MX 10 mx.example.\"}",
                "domain a.example action=local records=60 IN MX 10 mx.example.\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"local\"}",
                 "1:11 rules[0].records missing: action local answers with them\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"local\",\"records\":[]}", "1:60 rules[0].records must not be empty\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"local\",\"records\":[7]}",
                 "1:61 rules[0].records text is expected here\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"local\",\"records\":[\"60 CH TXT x\"]}",
                 "1:61 rules[0].records[0] a record's class must be IN\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"local\",\"records\":[\"60 CH TXT x\",\"60 IN TXT x\",\"60 IN CNAME x.\"]}",
                 "1:61 rules[0].records[0] a record's class must be IN\n"
                 "1:89 rules[0].records[2] CNAME and DNAME can't stand among records: use action \"cname\"\n");
    expect_fault("{\"domain\":\"a.example\",\"action\":\"drop\",\"records\":[\"60 A 192.0.2.1\"]}",
                 "1:59 rules[0].records only action local has records\n");
    const struct collected *result = rule("{\"domain\":\"a.example\",\"action\":\"local\",\"records\":[\"60 IN A 999.1.1.1\"]}");
    assert_int_equal(result->count, 0);
    assert_int_equal(result->fault_count, 1);
}

static void heads(void **state) {
    const struct collected *result = collect(
        FORMAT_SUNDEW,
        "{\"zone\":\"a\",\"acton\":\"drop\",\"clients\":[],\"ttl\":-1,\"mode\":\"monitor\",\"_x\":1,\"rules\":[\"a.example\"],"
        "\"confidence\":40,\"max_age\":\"30d\",\"min_confidence\":75,\"target\":\"*.g.example\"}");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->faults, "1:13 acton unknown key \"acton\"; did you mean \"action\"?\n"
                                        "1:28 clients \"clients\" is for the zone in the configuration, not for a policy file\n"
                                        "1:47 ttl must be seconds from 0 to 2147483647, or \"max\"\n");
    assert_string_equal(result->heads,
                        "zone=a action=-1 ttl=-1 match=-1 conf=-1 target=- mode=1 min=-1 age=-1 after=0\n"
                        "zone=a action=-1 ttl=-1 match=-1 conf=40 target=*.g.example mode=1 min=75 age=2592000 after=1\n");
}

static void bare_array(void **state) {
    const struct collected *result = collect(FORMAT_SUNDEW, "\xEF\xBB\xBF[\"a.example\", {\"ip\":\"x\"}]");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain a.example\n");
    assert_int_equal(result->fault_count, 1);
    assert_non_null(strstr(result->faults, " [1].ip not an address"));
}

static void lines(void **state) {
    static const char text[] =
        "{\"domain\":\"a.example\"}\r\n\nnot json\n{\"domain\":\"b.example\"\n\"c.example\"\n{\"domain\":\"d.example\"}";
    enum format formats[] = {FORMAT_JSONL, FORMAT_SUNDEW};
    for (size_t i = 0; i < 2; i++) {
        const struct collected *result = collect(formats[i], text);
        assert_int_equal(result->error, 0);
        assert_string_equal(result->indicators, "domain a.example\ndomain c.example\ndomain d.example\n");
        assert_int_equal(result->fault_count, 2);
        assert_memory_equal(result->faults, "3:1 - ", 6);
    }
    /* Cut off inside of the last line; and nothing that is JSON at all. */
    assert_int_equal(collect_chunks(FORMAT_JSONL, text, sizeof text - 4, 3, NULL)->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_JSONL, "evil.example\nmore.example\n")->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_SUNDEW, "{\"domain\":\"a.example\"}")->count, 1);
}

/* What is no policy file: none of it may be taken for one. */
static void refused(void **state) {
    static const char *const texts[] = {
        "",
        "  \n",
        "<!DOCTYPE html><html></html>",
        "<?xml version=\"1.0\"?>",
        "{\"error\":\"unauthorized\"}",
        "{\"rules\":{}}",
        "7",
        "null",
        "{\"rules\":[\"a.example\"]",
        "{\"rules\":[\"a.example\"",
        "{\"rules\":[\"a.exam",
        "{\"rules\":[\"a.example\",]}",
        "{\"rules\":[\"a.example\"]} trailing",
        "{\"rules\":[\"a\xFF.example\"]}",
        "{\"rules\":[{\"domain\":\"a.example\"",
        "PK\x03\x04zip",
        "\x1f\x8b\x08\x01gzip",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct collected *result = collect(FORMAT_SUNDEW, texts[i]);
        assert_int_equal(result->error, -EBADMSG);
        assert_true(result->why[0] != '\0');
        assert_true(result->fault_count > 0);
    }
    assert_string_equal(collect(FORMAT_SUNDEW, "{\n \"rules\":[\"a.example\",]}")->why,
                        "line 2, column 23: nothing comes after the last ','");
}

static void deep_and_huge(void **state) {
    enum { SIZE = 2 << 20 };
    char *text = malloc(SIZE + 64);
    memset(text, '[', SIZE);
    text[SIZE] = '\0';
    assert_int_equal(collect(FORMAT_SUNDEW, text)->error, -EBADMSG);
    /* A text of 100 kB where a name belongs costs its rule alone. */
    size_t used = (size_t)sprintf(text, "[{\"domain\":\"");
    memset(text + used, 'a', 100000);
    strcpy(text + used + 100000, "\"},\"b.example\"]");
    const struct collected *result = collect(FORMAT_SUNDEW, text);
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain b.example\n");
    free(text);
}

static void shown_texts(void **state) {
    char text[4096], reference[3000];
    expect_rule("{\"domain\":\"a.example\",\"family\":\" A\\nB\\u007f \",\"reference\":\"https://x.example/\\n\\u001b[2J\"}",
                "domain a.example family=A B ref=https://x.example/%0A%1B[2J\n");
    memset(reference, 'a', sizeof reference - 1);
    reference[sizeof reference - 1] = '\0';
    snprintf(text, sizeof text, "{\"domain\":\"a.example\",\"reference\":\"%s\"}", reference);
    expect_rule(text, "domain a.example\n");
}

/* However the source cuts its octets, the same comes out. */
static void chunks(void **state) {
    static const char text[] = "{\"rules\":[{\"domain\":\"a.example\",\"family\":\"x\"},\"b.example\"],\"zone\":\"z\"}";
    for (size_t chunk = 1; chunk < sizeof text; chunk++) {
        const struct collected *result = collect_chunks(FORMAT_SUNDEW, text, sizeof text - 1, chunk, NULL);
        assert_int_equal(result->error, 0);
        assert_string_equal(result->indicators, "domain a.example family=x\ndomain b.example\n");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contract),     cmocka_unit_test(plain_texts), cmocka_unit_test(triggers), cmocka_unit_test(values),
        cmocka_unit_test(unknown_keys), cmocka_unit_test(targets),     cmocka_unit_test(records),  cmocka_unit_test(heads),
        cmocka_unit_test(bare_array),   cmocka_unit_test(lines),       cmocka_unit_test(refused),  cmocka_unit_test(deep_and_huge),
        cmocka_unit_test(shown_texts),  cmocka_unit_test(chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
