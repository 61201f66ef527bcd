/* test/unit/test_format_rpz.c: response policy zones: triggers, actions, the ways zone files are written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feeds_collect.h"

#define SOA "@ SOA localhost. root.localhost. (1787422219 43200 3600 259200 300)\n  NS localhost.\n"

static void expect_text(const char *text, const char *indicators) {
    const struct collected *result = collect(FORMAT_RPZ, text);
    assert_string_equal(result->faults, "");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, indicators);
}

static void expect(const char *record, const char *indicators) {
    char text[2048];
    snprintf(text, sizeof text, "$TTL 300\n" SOA "%s\n", record);
    expect_text(text, indicators);
}

static void expect_fault(const char *record, const char *fault) {
    char text[2048];
    snprintf(text, sizeof text, SOA "%s\n", record);
    const struct collected *result = collect(FORMAT_RPZ, text);
    assert_int_equal(result->error, 0);
    assert_string_equal(result->faults, fault);
    assert_string_equal(result->indicators, "");
}

static void actions(void **state) {
    expect("a.example CNAME .", "domain a.example match=exact action=nxdomain\n");
    expect("*.a.example CNAME .", "domain a.example match=below action=nxdomain\n");
    expect("A.Example 60 IN CNAME *.", "domain a.example match=exact action=nodata\n");
    expect("a.example IN 60 CNAME rpz-passthru.", "domain a.example match=exact action=passthru\n");
    expect("a.example CNAME RPZ-Drop.", "domain a.example match=exact action=drop\n");
    expect("a.example cname rpz-tcp-only.", "domain a.example match=exact action=truncate\n");
    expect("a.example CNAME a.example.", "domain a.example match=exact action=passthru\n");
    expect("a.example CNAME garden.example.", "domain a.example match=exact action=cname ttl=300 target=garden.example\n");
    expect("*.a.example 1h CNAME *.garden.example.",
           "domain a.example match=below action=cname ttl=3600 target=*.garden.example\n");
    expect("a.example A 192.0.2.1", "domain a.example match=exact action=local records=300 IN A 192.0.2.1\n");
    expect_fault("a.example CNAME rpz-passthru", "3:1 - RPZ's own words end in a dot: \"rpz-passthru\"\n");
    expect_fault("a.example CNAME", "3:1 - a target is missing\n");
    expect_fault("a.example CH CNAME .", "3:1 - a record's class must be IN: \"CH\"\n");
}

static void local_data(void **state) {
    expect("a.example A 192.0.2.1\n          7 TXT \"hello ; world\" \"x\\\"y\"\nb.example CNAME .\na.example 1d2h AAAA ( "
           "2001:db8::1\n ) ; far away\n"
           "*.a.example A 192.0.2.2",
           "domain b.example match=exact action=nxdomain\n"
           "domain a.example match=exact action=local records=300 IN A 192.0.2.1|7 IN TXT \"hello ; world\" \"x\\\"y\"|93600 IN "
           "AAAA 2001:db8::1\n"
           "domain a.example match=below action=local records=300 IN A 192.0.2.2\n");
    const struct collected *result = collect(FORMAT_RPZ, SOA "a.example A 300.1.1.1\nb.example A 192.0.2.1\nb.example RRSIG x\n");
    assert_int_equal(result->fault_count, 1);
    assert_string_equal(result->indicators, "domain b.example match=exact action=local records=3600 IN A 192.0.2.1\n");
    assert_string_equal(result->ignored, "a record of a type that is no policy\n");
}

static void address_triggers(void **state) {
    expect("8.0.0.0.10.rpz-ip CNAME rpz-passthru.", "ip 10.0.0.0/8 action=passthru\n");
    expect("32.1.2.0.192.rpz-ip CNAME .", "ip 192.0.2.1 action=nxdomain\n");
    expect("48.zz.2.db8.2001.rpz-ip CNAME .", "ip 2001:db8:2::/48 action=nxdomain\n");
    expect("128.1.zz.2001.rpz-ip CNAME .", "ip 2001::1 action=nxdomain\n");
    expect("128.1.zz.rpz-ip CNAME .", "ip ::1 action=nxdomain\n");
    expect("128.8.7.6.5.4.3.2.2001.rpz-ip CNAME .", "ip 2001:2:3:4:5:6:7:8 action=nxdomain\n");
    expect("24.0.2.0.192.rpz-client-ip CNAME rpz-drop.", "client 192.0.2.0/24 action=drop\n");
    expect("32.1.2.0.192.rpz-nsip CNAME .", "nameserver_ip 192.0.2.1 action=nxdomain\n");
    expect("ns.evil.example.rpz-nsdname CNAME .", "nameserver ns.evil.example match=exact action=nxdomain\n");
    expect("*.evil.example.rpz-nsdname CNAME .", "nameserver evil.example match=below action=nxdomain\n");
}

static void bad_triggers(void **state) {
    static const char *const owners[] = {"1.0.218.230.rpz-ip",
                                         "8.1.0.0.10.rpz-ip",
                                         "33.1.2.0.192.rpz-ip",
                                         "0.0.0.0.0.rpz-ip",
                                         "32.1.2.0.256.rpz-ip",
                                         "032.1.2.0.192.rpz-ip",
                                         "x.1.2.0.192.rpz-ip",
                                         "32.rpz-ip",
                                         "rpz-ip",
                                         "129.1.zz.2001.rpz-ip",
                                         "128.zz.1.zz.2001.rpz-ip",
                                         "128.g.zz.2001.rpz-ip",
                                         "128.1.2.3.2001.rpz-ip",
                                         "*.evil.*.example",
                                         "rpz-nsdname",
                                         "128.12345.zz.rpz-ip"};
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, SOA "%s CNAME .\nok.example CNAME .\n", owners[i]);
        const struct collected *result = collect(FORMAT_RPZ, text);
        if (result->fault_count != 1 || strcmp(result->indicators, "domain ok.example match=exact action=nxdomain\n") != 0)
            fail_msg("%s: %s%s", owners[i], result->indicators, result->faults);
    }
}

static void headers(void **state) {
    expect_text("; dump\n$TTL 30\n@ IN SOA rpz.urlhaus.abuse.ch. hostmaster.urlhaus.abuse.ch. 1 ; serial\n 2 3 4 5\n", "");
    expect_text("@ IN SOA a. b. (\n 1 ; serial\n 2 ; refresh\n 3 4\n 5 )\n NS localhost.\nx.example CNAME .\n",
                "domain x.example match=exact action=nxdomain\n");
    expect("1008691.com CNAME . ; Malware download (2020-10-21), see https://urlhaus.abuse.ch/host/1008691.com/",
           "domain 1008691.com match=exact action=nxdomain ref=https://urlhaus.abuse.ch/host/1008691.com/ "
           "first=2020-10-21T00:00:00Z\n");
    expect("0011pgvip.com.   CNAME  .", "domain 0011pgvip.com match=exact action=nxdomain\n");
}

static void origins(void **state) {
    const struct collected *result =
        collect(FORMAT_RPZ, "$ORIGIN rpz.local.\n@ 60 IN SOA a. b. 1 2 3 4 5\nx.example CNAME .\ny.example.rpz.local. A "
                            "192.0.2.4\n*.z.example 5 CNAME garden\n"
                            "out.example. CNAME .\n$ORIGIN sub.rpz.local.\nw.example CNAME .\n@ TXT \"x\"\n$ORIGIN "
                            "example.rpz.local.\n32.1.2.0.192.rpz-ip.rpz.local. CNAME .\n");
    assert_string_equal(result->faults, "");
    assert_string_equal(result->indicators, "domain x.example match=exact action=nxdomain\n"
                                            "domain z.example match=below action=cname ttl=5 target=garden.rpz.local\n"
                                            "domain out.example match=exact action=nxdomain\n"
                                            "domain w.example.sub match=exact action=nxdomain\n"
                                            "ip 192.0.2.1 action=nxdomain\n"
                                            "domain y.example match=exact action=local records=3600 IN A 192.0.2.4\n"
                                            "domain sub match=exact action=local records=3600 IN TXT \"x\"\n");
    expect_text("rpz.example. SOA a. b. 1 2 3 4 5\nx.test.rpz.example. CNAME .\n", "domain x.test match=exact action=nxdomain\n");
}

static void refused(void **state) {
    expect_fault("$INCLUDE /etc/passwd", "3:1 - refused in a policy zone: \"$INCLUDE\"\n");
    expect_fault("$GENERATE 1-9999999 x$ CNAME .", "3:1 - refused in a policy zone: \"$GENERATE\"\n");
    expect_fault("$TTL soon", "3:1 - not a TTL: \"soon\"\n");
    expect_fault("$FOO 1", "3:1 - unknown directive: \"$FOO\"\n");
    expect_fault("foo", "3:1 - no type of record\n");
    expect_fault("a.example TXT \"x", "3:1 - a quote that isn't closed on its line\n");
    expect_fault("a.example TXT x )", "3:1 - a ')' without its '('\n");
    expect_fault("a..example CNAME .", "3:1 - empty label: \"a..example\"\n");
    assert_int_equal(collect(FORMAT_RPZ, SOA "a.example TXT ( \"x\"\n")->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_RPZ, SOA "a.example CNAME .\nb.exam")->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_RPZ, SOA "a.example CNAME .\nb.example CNAME .")->error, 0);
}

static void counted(void **state) {
    static const char both[] = "a.example CNAME .\n*.a.example CNAME .\nb.example CNAME .\n*.b.example CNAME .\n";
    char text[512];
    snprintf(text, sizeof text, "; Entries: 2\n" SOA "%s", both); /* names */
    assert_int_equal(collect(FORMAT_RPZ, text)->error, 0);
    snprintf(text, sizeof text, SOA "%s; Number of entries: 4\n", both); /* records */
    assert_int_equal(collect(FORMAT_RPZ, text)->error, 0);
    snprintf(text, sizeof text, SOA "%s; Number of entries: 5\n", both);
    assert_int_equal(collect(FORMAT_RPZ, text)->error, -EBADMSG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions), cmocka_unit_test(local_data), cmocka_unit_test(address_triggers), cmocka_unit_test(bad_triggers),
        cmocka_unit_test(headers), cmocka_unit_test(origins),    cmocka_unit_test(refused),          cmocka_unit_test(counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
