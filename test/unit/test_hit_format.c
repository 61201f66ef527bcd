/* test/unit/test_hit_format.c: hits in other tools' shapes; hostile values stay inside their fields. */
#include "tool/hit_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tool/tool.h"

int tool_failed(const char *format, ...) { /* table.c's; nothing is printed here */
    fail_msg("%s", format);
    return 1;
}

static char *formatted(enum hit_format format, const char *hit_text) {
    char *text = NULL;
    size_t length = 0;
    json_t *hit = json_loads(hit_text, 0, NULL);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(hit);
    hit_format_head(format, out);
    hit_format_write(format, hit, out);
    fclose(out);
    json_decref(hit);
    return text;
}

static const char hit[] =
    "{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"client\":\"10.1.2.3\",\"proto\":\"udp\",\"mac\":\"52:54:00:12:34:ab\","
    "\"hostname\":\"a|b=c,\\\"d\\\"\\n<e>\",\"qname\":\"c2.evil.test\",\"qtype\":\"A\",\"zone\":\"local\",\"trigger\":\"domain\","
    "\"rule\":\"c2.evil.test\",\"action\":\"sinkhole\",\"mode\":\"enforce\",\"answer\":[\"192.0.2.66\"],\"ttl\":2147483647,"
    "\"family\":\"=cmd()\",\"confidence\":90,\"count\":3}";

static void csv_is_one_record(void **state) {
    char *text = formatted(HIT_FORMAT_CSV, hit);
    assert_non_null(strstr(text, "ts,client,mac,hostname,proto,"));
    assert_non_null(strstr(text, ",\"a|b=c,\"\"d\"\"\\x0a<e>\",udp,"));
    assert_non_null(strstr(text, ",\"'=cmd()\",90,,3\r\n"));
    free(text);
}

static void ecs_has_the_schema_s_names(void **state) {
    char *text = formatted(HIT_FORMAT_ECS, hit);
    json_t *document = json_loads(text, 0, NULL);
    const char *type = NULL, *name = NULL, *mac = NULL, *software = NULL, *confidence = NULL, *ip = NULL;
    assert_int_equal(json_unpack(document, "{s:{s:{s:s, s:s}}, s:{s:s, s:s}, s:{s:{s:s}, s:{s:s}}}", "dns", "question", "name",
                                 &name, "type", &type, "source", "mac", &mac, "ip", &ip, "threat", "indicator", "confidence",
                                 &confidence, "software", "name", &software),
                     0);
    assert_string_equal(name, "c2.evil.test");
    assert_string_equal(type, "A");
    assert_string_equal(mac, "52-54-00-12-34-AB");
    assert_string_equal(ip, "10.1.2.3");
    assert_string_equal(confidence, "High");
    assert_string_equal(software, "=cmd()");
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    json_decref(document);
    free(text);
}

static void cef_escapes_delimiters(void **state) {
    char *text = formatted(HIT_FORMAT_CEF, hit);
    assert_int_equal(strncmp(text, "CEF:0|sundew|sundewd|", 21), 0);
    assert_non_null(strstr(text, " shost=a|b\\=c,\"d\"\\\\x0a<e> "));
    assert_non_null(strstr(text, " cs1Label=family cs1=\\=cmd()"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
}

static void cef_has_the_dictionary_s_fields(void **state) {
    char *text = formatted(HIT_FORMAT_CEF, hit);
    assert_non_null(
        strstr(text, "|domain|Listed name or address asked for|8|rt=1795369212345 src=10.1.2.3 proto=UDP app=DNS smac="));
    assert_non_null(strstr(text, " cs6Label=mode cs6=enforce cn1Label=confidence cn1=90\n"));
    free(text);
    text = formatted(HIT_FORMAT_CEF, "{\"ts\":\"2026-11-22T17:40:12.5Z\",\"client\":\"2001:db8::1\",\"proto\":\"tls\","
                                     "\"trigger\":\"ip\",\"confidence\":30}");
    assert_non_null(strstr(text, "|ip|Listed name or address asked for|6|rt=1795369212500 c6a2Label=Source IPv6 Address "
                                 "c6a2=2001:db8::1 proto=TCP app=DoT cn1Label=confidence cn1=30\n"));
    free(text);
}

static json_t *ecs_of(const char *trigger, const char *rule, const char *answer) {
    char hit_text[1024];
    snprintf(hit_text, sizeof hit_text,
             "{\"ts\":\"2026-11-22T17:40:12.345678Z\",\"client\":\"10.1.2.3\",\"proto\":\"udp\",\"qname\":\"a.test\","
             "\"qtype\":\"A\",\"zone\":\"local\",\"trigger\":\"%s\",\"rule\":\"%s\",\"action\":\"local\",\"mode\":\"monitor\","
             "\"answer\":%s,\"count\":1}",
             trigger, rule, answer);
    char *text = formatted(HIT_FORMAT_ECS, hit_text);
    json_t *document = json_loads(text, 0, NULL);
    assert_non_null(document);
    free(text);
    return document;
}

static void check(json_t *document, const char *path, const char *wanted) {
    char copy[128];
    json_t *at = document;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok(copy, "."); key != NULL; key = strtok(NULL, "."))
        at = json_object_get(at, key);
    char *dumped = at == NULL ? strdup("(absent)") : json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(dumped, wanted);
    free(dumped);
}

/* Fields of type ip refuse the whole document for anything else. */
static void ecs_addresses_are_addresses(void **state) {
    json_t *document = ecs_of("domain", "a.test", "[\"garden.test\",\"192.0.2.9\",\"2001:db8::9\",\"\\\"text\\\"\"]");
    check(document, "dns.resolved_ip", "[\"192.0.2.9\",\"2001:db8::9\"]");
    check(document, "dns.answers",
          "[{\"data\":\"garden.test\"},{\"data\":\"192.0.2.9\"},{\"data\":\"2001:db8::9\"},{\"data\":\"\\\"text\\\"\"}]");
    check(document, "related.ip", "[\"10.1.2.3\",\"192.0.2.9\",\"2001:db8::9\"]");
    check(document, "threat.indicator.url.domain", "\"a.test\"");
    check(document, "threat.indicator.ip", "(absent)");
    check(document, "event.type", "[\"info\"]");
    json_decref(document);
    document = ecs_of("domain", "a.test", "[\"garden.test\"]");
    check(document, "dns.resolved_ip", "(absent)");
    json_decref(document);
    static const char *const rules[][4] = {{"ip", "203.0.113.7", "\"ipv4-addr\"", "\"203.0.113.7\""},
                                           {"ip", "203.0.113.0/24", "\"ipv4-addr\"", "(absent)"},
                                           {"ip", "2001:db8:bad::/48", "\"ipv6-addr\"", "(absent)"},
                                           {"client", "10.66.0.7", "\"ipv4-addr\"", "\"10.66.0.7\""}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        document = ecs_of(rules[i][0], rules[i][1], "[]");
        check(document, "threat.indicator.type", rules[i][2]);
        check(document, "threat.indicator.ip", rules[i][3]);
        check(document, "threat.indicator.url", "(absent)");
        json_decref(document);
    }
}

static void nothing_harms_a_terminal(void **state) {
    static const char hostile[] = "{\"ts\":\"2026-11-22T17:40:12Z\",\"client\":\"10.1.2.3\",\"proto\":\"udp\",\"qname\":\"x\","
                                  "\"family\":\"\\u001b[2J\\u009b1m\\u202e\\n\"}";
    for (enum hit_format format = HIT_FORMAT_JSON; format <= HIT_FORMAT_CEF; format++) {
        char *text = formatted(format, hostile);
        const char *last = strrchr(text, format == HIT_FORMAT_CSV ? '\r' : '\n');
        for (const char *c = text; c < last; c++)
            assert_true((*c >= ' ' && *c < 0x7f) || (format == HIT_FORMAT_CSV && (*c == '\r' || *c == '\n')));
        free(text);
    }
}

static void names_are_known(void **state) {
    enum hit_format format = HIT_FORMAT_JSON;
    assert_int_equal(hit_format_from_name("cef", &format), 0);
    assert_int_equal(format, HIT_FORMAT_CEF);
    assert_true(hit_format_from_name("xml", &format) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_is_one_record),
        cmocka_unit_test(ecs_has_the_schema_s_names),
        cmocka_unit_test(cef_escapes_delimiters),
        cmocka_unit_test(cef_has_the_dictionary_s_fields),
        cmocka_unit_test(ecs_addresses_are_addresses),
        cmocka_unit_test(nothing_harms_a_terminal),
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
