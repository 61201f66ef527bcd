/* test/unit/test_format_feeds.c: ThreatFox, Feodo Tracker, URLhaus and OTX: their fields, their pitfalls, their ways to fail. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feeds/scrub.h"
#include "feeds_collect.h"

static void expect(const struct collected *result, const char *indicators) {
    assert_string_equal(result->faults, "");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, indicators);
}

static void threatfox_export(void **state) {
    expect(
        collect(
            FORMAT_THREATFOX,
            "{\"1956272\":[{\"ioc_value\":\"103.83.86.40:14642\",\"ioc_type\":\"ip:port\",\"threat_type\":\"botnet_cc\","
            "\"malware\":\"win.remcos\","
            "\"malware_alias\":\"RemcosRAT\",\"malware_printable\":\"Remcos\",\"first_seen_utc\":\"2026-10-07 "
            "11:44:51\",\"last_seen_utc\":null,"
            "\"confidence_level\":100,\"is_compromised\":false,\"reference\":null,\"tags\":\"c2\",\"anonymous\":0,\"reporter\":"
            "\"x\"}],"
            "\"2\":[{\"ioc_value\":\"MicrosoftSyst3m.com\",\"ioc_type\":\"domain\",\"threat_type\":\"payload_delivery\","
            "\"malware\":\"unknown\","
            "\"malware_printable\":\"Unknown malware\",\"first_seen_utc\":\"2021-01-02 03:04:05\",\"last_seen_utc\":\"2026-10-08 "
            "00:00:00\","
            "\"confidence_level\":\"75\",\"is_compromised\":true,\"reference\":\"https://x.example/a\\nb\",\"anonymous\":\"1\"}],"
            "\"3\":[{\"ioc_value\":\"2a02:cf40:1::5:40669\",\"ioc_type\":\"ip:port\"}],"
            "\"4\":[{\"ioc_value\":\"http://hatcae.xyz:4538\",\"ioc_type\":\"url\"}],"
            "\"5\":[{\"ioc_value\":\"tcp://192.0.2.7:5000\",\"ioc_type\":\"url\",\"is_compromised\":\"true\"}]}"),
        "ip 103.83.86.40 conf=100 family=Remcos family_id=win.remcos ref=https://threatfox.abuse.ch/ioc/1956272/ "
        "first=2026-10-07T11:44:51Z id=1956272 threat=botnet_cc\n"
        "domain microsoftsyst3m.com conf=75 family=Unknown malware family_id=unknown ref=https://x.example/a%0Ab "
        "first=2021-01-02T03:04:05Z last=2026-10-08T00:00:00Z id=2 threat=payload_delivery compromised\n"
        "ip 2a02:cf40:1::5 ref=https://threatfox.abuse.ch/ioc/3/ id=3\n"
        "domain hatcae.xyz ref=https://threatfox.abuse.ch/ioc/4/ id=4 from_url\n"
        "ip 192.0.2.7 ref=https://threatfox.abuse.ch/ioc/5/ id=5 compromised from_url\n");
}

static void threatfox_api(void **state) {
    expect(collect(FORMAT_THREATFOX,
                   "{\"query_status\":\"ok\",\"data\":[{\"id\":\"41\",\"ioc\":\"gaga.example\",\"threat_type\":\"botnet_cc\",\"ioc_"
                   "type\":\"domain\","
                   "\"malware\":\"win.dridex\",\"malware_printable\":\"Dridex\",\"confidence_level\":50,\"first_seen\":\"2020-12-"
                   "08 13:36:27 UTC\","
                   "\"last_seen\":null,\"reference\":\"https:\\/\\/twitter.example\\/1\",\"tags\":[\"exe\",\"test\"]},"
                   "{\"id\":42,\"ioc\":\"aa\",\"ioc_type\":\"md5_hash\"}]}"),
           "domain gaga.example conf=50 family=Dridex family_id=win.dridex ref=https://twitter.example/1 "
           "first=2020-12-08T13:36:27Z id=41 "
           "threat=botnet_cc\n");
    assert_int_equal(
        collect(FORMAT_THREATFOX, "{\"query_status\":\"no_result\",\"data\":\"Your search did not yield any results\"}")->error,
        -ENODATA);
    const struct collected *result = collect(FORMAT_THREATFOX, "{\"query_status\":\"unknown_auth_key\",\"data\":\"the key\"}");
    assert_int_equal(result->error, -EBADMSG);
    assert_string_equal(result->why, "ThreatFox answers query_status \"unknown_auth_key\"");
    /* The status may come last. */
    assert_int_equal(
        collect(FORMAT_THREATFOX,
                "{\"data\":[{\"id\":1,\"ioc\":\"a.example\",\"ioc_type\":\"domain\"}],\"query_status\":\"illegal_days\"}")
            ->error,
        -EBADMSG);
}

/* One bad record must not lose the rest: wrong types, nulls, strange kinds, doubled keys, odd nesting. */
static void threatfox_junk(void **state) {
    const struct collected *result = collect(
        FORMAT_THREATFOX,
        "{\"1\":null,\"2\":[null],\"3\":[{}],\"4\":[{\"ioc_value\":null,\"ioc_type\":\"domain\"}],"
        "\"5\":[{\"ioc_value\":\"a.example\",\"ioc_type\":\"domain\",\"confidence_level\":1000}],"
        "\"6\":[{\"ioc_value\":[1,{\"x\":2}],\"ioc_type\":\"domain\"}],\"7\":{\"ioc_value\":\"one.example\",\"ioc_type\":"
        "\"domain\"},"
        "\"8\":[[{\"ioc_value\":\"b.example\"}]],\"9\":[{\"ioc_value\":\"a\\u0000b.example\",\"ioc_type\":\"domain\"}],"
        "\"10\":[{\"ioc_value\":\"x\",\"ioc_type\":\"sha3_384_hash\"},{\"ioc_value\":\"x\",\"ioc_type\":\"envelope_from\"}],"
        "\"11\":[{\"ioc_value\":\"bad value\",\"ioc_type\":\"domain\"}],"
        "\"12\":[{\"ioc_value\":\"x.example\",\"ioc_value\":\"last.example\",\"ioc_type\":\"domain\",\"first_seen_utc\":\"soon\"}],"
        "\"12\":[{\"ioc_value\":\"twin.example\",\"ioc_type\":\"domain\"}]}");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain one.example ref=https://threatfox.abuse.ch/ioc/7/ id=7\n"
                                            "domain last.example ref=https://threatfox.abuse.ch/ioc/12/ id=12\n"
                                            "domain twin.example ref=https://threatfox.abuse.ch/ioc/12/ id=12\n");
    assert_int_equal(result->fault_count, 9);
    assert_non_null(strstr(result->faults, " 11[0].ioc_value a blank inside: \"bad value\"\n"));
    assert_non_null(strstr(result->faults, " 5[0].confidence_level not a number from 0 to 100\n"));
    assert_string_equal(result->ignored, "a file's hash\na kind of indicator that DNS doesn't see\n");
}

static void not_the_format(void **state) {
    static const char *const texts[] = {"<html>502</html>",
                                        "",
                                        "\"no key\"",
                                        "{\"error\":\"x\"}",
                                        "[1,2]",
                                        "{\"1\":[{\"ioc_value\":\"a.example\",\"ioc_type\":\"domain\"}]",
                                        "{\"1\":[{\"ioc_value\":\"a.exam",
                                        "{\"detail\":{\"message\":\"Unauthorized\"}}"};
    enum format formats[] = {FORMAT_THREATFOX, FORMAT_FEODO, FORMAT_URLHAUS,    FORMAT_OTX,
                             FORMAT_MISP,      FORMAT_STIX,  FORMAT_WARNINGLIST};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            const struct collected *result = collect(formats[f], texts[i]);
            if (result->error != -EBADMSG)
                fail_msg("%s takes %s", format_name(formats[f]), texts[i]);
            assert_true(result->why[0] != '\0');
        }
    }
    /* An export may be empty. */
    assert_int_equal(collect(FORMAT_THREATFOX, "{}")->error, 0);
    assert_int_equal(collect(FORMAT_FEODO, "[]")->error, 0);
}

static void feodo(void **state) {
    const struct collected *result =
        collect(FORMAT_FEODO, "[{\"ip_address\":\"162.243.103.246\",\"port\":8080,\"status\":\"offline\",\"hostname\":\"ec2."
                              "amazonaws.com\",\"as_number\":14061,"
                              "\"first_seen\":\"2022-06-04 21:24:53\",\"last_online\":\"2026-03-07\",\"malware\":\"Emotet\"},"
                              "{\"ip_address\":\"192.0.2.1\",\"status\":\"online\",\"hostname\":null,\"malware\":\"QakBot\"},{\"ip_"
                              "address\":null},{\"ip_address\":\"x\"}]");
    assert_int_equal(result->error, 0);
    assert_int_equal(result->fault_count, 2);
    assert_string_equal(result->indicators, "ip 162.243.103.246 conf=60 family=Emotet ref=https://feodotracker.abuse.ch/ "
                                            "first=2022-06-04T21:24:53Z last=2026-03-07T23:59:59Z\n"
                                            "ip 192.0.2.1 conf=90 family=QakBot ref=https://feodotracker.abuse.ch/\n");
}

static void urlhaus(void **state) {
    const struct collected *result =
        collect(FORMAT_URLHAUS,
                "{\"3927714\":[{\"dateadded\":\"2026-10-03 16:04:18 "
                "UTC\",\"url\":\"http://130.12.209.166:33401/bin.sh\",\"url_status\":\"online\","
                "\"last_online\":\"2026-10-03 16:04:18 "
                "UTC\",\"threat\":\"malware_download\",\"tags\":[\"32-bit\",\"arm\",\"ELF\",\"Mozi\",\"mirai\"],"
                "\"urlhaus_link\":\"https://urlhaus.abuse.ch/url/3927714/\",\"reporter\":\"x\"}],"
                "\"2\":[{\"dateadded\":\"2026-10-03 16:04:18 "
                "UTC\",\"url\":\"https://evil.example/a,b\\\"c.exe\",\"url_status\":\"offline\","
                "\"last_online\":null,\"tags\":null}],"
                "\"3\":[{\"url\":\"http://[2001:db8::7]:33401/x\",\"tags\":[\"exe\",null,7,[\"x\"]]}],"
                "\"4\":[{\"url\":\"https://ttps://\"}],\"5\":[{\"url\":\"http://http/\"}],\"6\":[{\"url\":\"https://^\"}]}");
    assert_int_equal(result->error, 0);
    assert_int_equal(result->fault_count, 3);
    assert_string_equal(
        result->indicators,
        "ip 130.12.209.166 conf=80 family=Mozi ref=https://urlhaus.abuse.ch/url/3927714/ first=2026-10-03T16:04:18Z "
        "last=2026-10-03T16:04:18Z id=3927714 from_url\n"
        "domain evil.example conf=50 ref=https://urlhaus.abuse.ch/url/2/ first=2026-10-03T16:04:18Z id=2 from_url\n"
        "ip 2001:db8::7 conf=50 ref=https://urlhaus.abuse.ch/url/3/ id=3 from_url\n");
}

#define OTX_INDICATORS                                                                                                             \
    "[{\"id\":1,\"indicator\":\"1woat.top\",\"type\":\"domain\",\"created\":\"2023-08-09T05:05:15\",\"expiration\":null,\"is_"     \
    "active\":1},"                                                                                                                 \
    "{\"id\":2,\"indicator\":\"old.example\",\"type\":\"hostname\",\"created\":\"2023-08-09T05:05:15.123\","                       \
    "\"expiration\":\"2026-09-07T00:00:00\",\"is_active\":1},"                                                                     \
    "{\"id\":3,\"indicator\":\"198.51.100.0/25\",\"type\":\"CIDR\"},{\"id\":4,\"indicator\":\"https://u.example/"                  \
    "x\",\"type\":\"URL\"},"                                                                                                       \
    "{\"id\":5,\"indicator\":\"gone.example\",\"type\":\"domain\",\"is_active\":0},"                                               \
    "{\"id\":6,\"indicator\":\"aa\",\"type\":\"FileHash-MD5\"},{\"id\":7,\"indicator\":\"x.example\",\"type\":\"Domain\"}]"

static void otx(void **state) {
    /* The family after the indicators, as a string; and before them, as an object. */
    const struct collected *result =
        collect(FORMAT_OTX, "{\"results\":[{\"indicators\":" OTX_INDICATORS
                            ",\"id\":\"64d3\",\"adversary\":\"Someone\",\"malware_families\":[\"WHIRLPOOL\",\"B\"]},"
                            "{\"id\":\"64d4\",\"malware_families\":[{\"id\":\"q\",\"display_name\":\"Qakbot\",\"target\":null}],"
                            "\"more_indicators\":true,"
                            "\"indicators\":[{\"indicator\":\"2001:db8::1\",\"type\":\"IPv6\"}]},"
                            "{\"id\":\"64d5\",\"malware_families\":[],\"adversary\":\"APT0\",\"indicators\":[{\"indicator\":\"192."
                            "0.2.1\",\"type\":\"IPv4\"}]}],"
                            "\"count\":3,\"next\":\"https://x.example/?page=2\",\"previous\":null}");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->pages, "more=1 next=https://x.example/?page=2\n");
    assert_int_equal(result->fault_count, 1);
    assert_non_null(strstr(result->faults, "results[1].more_indicators the pulse has more indicators than the page holds\n"));
    assert_string_equal(
        result->indicators,
        "domain 1woat.top family=WHIRLPOOL ref=https://otx.alienvault.com/pulse/64d3 first=2023-08-09T05:05:15Z id=1\n"
        "domain old.example family=WHIRLPOOL ref=https://otx.alienvault.com/pulse/64d3 first=2023-08-09T05:05:15Z "
        "expires=2026-09-07T00:00:00Z id=2\n"
        "ip 198.51.100.0/25 family=WHIRLPOOL ref=https://otx.alienvault.com/pulse/64d3 id=3\n"
        "domain u.example family=WHIRLPOOL ref=https://otx.alienvault.com/pulse/64d3 id=4 from_url\n"
        "revoked id=5\n"
        "ip 2001:db8::1 family=Qakbot ref=https://otx.alienvault.com/pulse/64d4\n"
        "ip 192.0.2.1 family=APT0 ref=https://otx.alienvault.com/pulse/64d5\n");
    assert_int_equal(result->ignored_count, 3);
}

static void otx_pages(void **state) {
    expect(collect(FORMAT_OTX, "{\"id\":\"64d3\",\"name\":\"x\",\"malware_families\":[\"W\"],\"indicators\":[{\"id\":1,"
                               "\"indicator\":\"a.example\",\"type\":\"domain\"}]}"),
           "domain a.example family=W ref=https://otx.alienvault.com/pulse/64d3 id=1\n");
    const struct collected *result =
        collect(FORMAT_OTX, "{\"results\":[{\"id\":9,\"indicator\":\"a.example\",\"type\":\"domain\"}],\"next\":null}");
    expect(result, "domain a.example id=9\n");
    assert_string_equal(result->pages, "more=0 next=-\n");
    assert_int_equal(collect(FORMAT_OTX, "{\"results\":[],\"next\":null}")->error, 0);
    assert_int_equal(collect(FORMAT_OTX, "{\"detail\":\"Authentication required\"}")->error, -EBADMSG);
}

static void warninglists(void **state) {
    expect(collect(FORMAT_WARNINGLIST, "{\"list\":[\".google.ad\",\"AAA\",\"domain\",\"x.example\"],\"type\":\"hostname\","
                                       "\"matching_attributes\":[\"domain\"]}"),
           "domain google.ad match=subtree\ndomain aaa match=subtree\ndomain x.example match=subtree\n");
    expect(collect(FORMAT_WARNINGLIST,
                   "{\"type\":\"string\",\"matching_attributes\":[\"hostname\"],\"list\":[\".a.example\",\"b.example\"]}"),
           "domain a.example match=subtree\ndomain b.example match=exact\n");
    expect(collect(FORMAT_WARNINGLIST, "{\"type\":\"cidr\",\"matching_attributes\":[\"ip-dst\"],\"list\":[\"104.155.11.149\",\"10."
                                       "1.2.3/8\",\"2001:db8::/32\"]}"),
           "ip 104.155.11.149\nip 10.0.0.0/8\nip 2001:db8::/32\n");
    const struct collected *result = collect(FORMAT_WARNINGLIST, "{\"type\":\"regex\",\"list\":[\"/.*/g\"]}");
    assert_string_equal(result->indicators, "");
    assert_string_equal(result->ignored, "a substring or a regular expression\n");
    assert_non_null(strstr(result->faults, "its entries are skipped"));
    result =
        collect(FORMAT_WARNINGLIST,
                "{\"type\":\"string\",\"matching_attributes\":[\"md5\",\"sha1\"],\"list\":[\"d41d8cd98f00b204e9800998ecf8427e\"]}");
    expect(result, "");
    assert_int_equal(result->ignored_count, 1);
    result = collect(FORMAT_WARNINGLIST, "{\n\"list\":[\n\"a b\",\n7,\"c.example\"],\"type\":\"string\"}");
    assert_string_equal(result->indicators, "domain c.example match=exact\n");
    assert_string_equal(result->faults, "4:1 list text is expected here\n3:1 list a blank inside: \"a b\"\n");
}

static void registry(void **state) {
    enum format format = FORMAT_COUNT;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        assert_int_equal(format_from_name(format_name((enum format)i), &format), 0);
        assert_int_equal(format, i);
    }
    assert_int_equal(format_from_name("csv", &format), -EINVAL);
    assert_int_equal(format_from_path("/etc/sundew/a.json"), FORMAT_SUNDEW);
    assert_int_equal(format_from_path("a.jsonl"), FORMAT_JSONL);
    assert_int_equal(format_from_path("dir.json/tif.rpz"), FORMAT_RPZ);
    assert_int_equal(format_from_path("db.zone"), FORMAT_RPZ);
    assert_int_equal(format_from_path("/etc/hosts"), FORMAT_HOSTS);
    assert_int_equal(format_from_path("list.txt"), FORMAT_DOMAINS);
    assert_true(format_is_window(FORMAT_THREATFOX) && format_is_window(FORMAT_URLHAUS) && format_is_window(FORMAT_OTX) &&
                format_is_window(FORMAT_TAXII));
    assert_false(format_is_window(FORMAT_MISP) || format_is_window(FORMAT_STIX) || format_is_window(FORMAT_HOSTS));
    assert_int_equal(format_default_match(FORMAT_HOSTS, false), MATCH_EXACT);
    assert_int_equal(format_default_match(FORMAT_URLHAUS, true), MATCH_EXACT);
    assert_int_equal(format_default_match(FORMAT_THREATFOX, false), MATCH_SUBTREE);
    assert_int_equal(format_default_confidence(FORMAT_OTX), 50);
}

/* Cut anywhere, what is mended comes out the same, and what is sound untouched. */
static void scrubbed(void **state) {
    static const char sick[] = "a\xFF\"\\ud83d\\ude00 \\ud800\\ud800\\udc00 \\\\ud800 "
                               "\\udc00\\n\xE2\x82\xE2\x82\xAC\xED\xA0\x80\xF4\x90\x80\x80\xC0\xAF\\u12";
    static const char well[] = "a?\"\\ud83d\\ude00 \\u003f\\ud800\\udc00 \\\\ud800 \\u003f\\n??\xE2\x82\xAC?????????\\u12";
    for (size_t cut = 1; cut < sizeof sick; cut++) {
        char out[sizeof sick] = "", piece[sizeof sick];
        size_t done = 0, kept = 0, given = 0;
        bool mended = false;
        while (given < sizeof sick - 1 || kept > 0) {
            size_t more = sizeof sick - 1 - given < cut ? sizeof sick - 1 - given : cut;
            memcpy(piece + kept, sick + given, more);
            given += more;
            size_t settled = scrub(piece, kept + more, given == sizeof sick - 1, &mended);
            assert_true(kept + more - settled <= SCRUB_REST_MAX);
            memcpy(out + done, piece, settled);
            done += settled;
            kept = kept + more - settled;
            memmove(piece, piece + settled, kept);
        }
        assert_int_equal(done, sizeof sick - 1);
        assert_true(mended);
        assert_string_equal(out, well);
    }
}

/* Octets that aren't UTF-8, a half surrogate, an attachment of two megabytes: the other records are none the worse. */
static void mended(void **state) {
    const struct collected *result = collect(
        FORMAT_THREATFOX, "{\"1\":[{\"ioc_value\":\"a\xFF.example\",\"ioc_type\":\"domain\"}],\"2\":[{\"ioc_value\":\"b.example\","
                          "\"ioc_type\":\"domain\","
                          "\"malware_printable\":\"x\\ud800\"}],\"3\":[{\"ioc_value\":\"c.example\",\"ioc_type\":\"domain\"}]}");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain b.example family=x? ref=https://threatfox.abuse.ch/ioc/2/ id=2\n"
                                            "domain c.example ref=https://threatfox.abuse.ch/ioc/3/ id=3\n");
    assert_int_equal(result->fault_count, 1);
    assert_int_equal(result->ignored_count, 1);
    enum { DATA = 2 << 20 };
    char *text = malloc(DATA + 256);
    size_t used = (size_t)sprintf(text, "{\"Event\":{\"Attribute\":[{\"type\":\"malware-sample\",\"value\":\"x\",\"data\":\"");
    memset(text + used, 'A', DATA);
    strcpy(text + used + DATA, "\"},{\"type\":\"domain\",\"to_ids\":true,\"value\":\"a.example\"}]}}");
    expect(collect(FORMAT_MISP, text), "domain a.example\n");
    free(text);
}

static long broken(void *context, char *buffer, size_t size) {
    return -EIO;
}

static int stop(void *context, const struct indicator *indicator) {
    return -ECANCELED;
}

static long one_record(void *context, char *buffer, size_t size) {
    static const char text[] = "[{\"ip_address\":\"192.0.2.1\"}]";
    bool *given = context;
    if (*given)
        return 0;
    *given = true;
    memcpy(buffer, text, sizeof text - 1);
    return sizeof text - 1;
}

static void errors_pass_through(void **state) {
    const struct format_sink sink = {.indicator = stop};
    const char *why;
    bool given = false;
    assert_int_equal(format_read(FORMAT_FEODO, broken, NULL, NULL, &sink, &why), -EIO);
    assert_int_equal(format_read(FORMAT_HOSTS, broken, NULL, NULL, &sink, &why), -EIO);
    assert_int_equal(format_read(FORMAT_FEODO, one_record, &given, NULL, &sink, &why), -ECANCELED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threatfox_export),
        cmocka_unit_test(threatfox_api),
        cmocka_unit_test(threatfox_junk),
        cmocka_unit_test(not_the_format),
        cmocka_unit_test(feodo),
        cmocka_unit_test(urlhaus),
        cmocka_unit_test(otx),
        cmocka_unit_test(otx_pages),
        cmocka_unit_test(warninglists),
        cmocka_unit_test(registry),
        cmocka_unit_test(scrubbed),
        cmocka_unit_test(mended),
        cmocka_unit_test(errors_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
