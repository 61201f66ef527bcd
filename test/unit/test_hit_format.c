/* test/unit/test_hit_format.c: hits in other tools' shapes; hostile values stay inside their fields. */
#include "tool/hit_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
    assert_non_null(strstr(text, ",\"a|b=c,\"\"d\"\" <e>\",udp,"));
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
    assert_non_null(strstr(text, " shost=a|b\\=c,\"d\" <e> "));
    assert_non_null(strstr(text, " cs1Label=family cs1=\\=cmd()"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
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
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
