/* test/unit/test_format_lists.c: lists of names in their dialects, hosts files, adblock rules. */
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

static void expect(const struct collected *result, const char *indicators) {
    assert_string_equal(result->faults, "");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, indicators);
}

static void domains(void **state) {
    expect(
        collect(FORMAT_DOMAINS,
                "\xEF\xBB\xBF# a list\r\n! more\n; and more\n// more\n\na.example\r\n  B.Example. # "
                "trailing\n*.c.example\n.d.example\n||e.example^\n"
                "192.0.2.1\n198.51.100.0/24\n2001:db8::1\nhttp://f.example:80/x#y\ng.example/path\nh.example:8443\n192.0.2.2:80\n"
                "1,i.example\ndomain\n/^regex$/\nb\xC3\xBC"
                "cher.example\nlast.example"),
        "domain a.example\ndomain b.example\ndomain c.example match=subtree\ndomain d.example match=subtree\n"
        "domain e.example match=subtree\nip 192.0.2.1\nip 198.51.100.0/24\nip 2001:db8::1\ndomain f.example from_url\n"
        "domain g.example from_url\ndomain h.example\nip 192.0.2.2\ndomain i.example\ndomain xn--bcher-kva.example\ndomain "
        "last.example\n");
}

static void resolvers_lists(void **state) {
    const struct collected *result = collect(
        FORMAT_DOMAINS,
        "address=/a.example/0.0.0.0\naddress=/b.example/c.example/#\naddress=/host.example/192.0.2.1\nserver=/d.example/\n"
        "server=/corp.example/10.0.0.1\nlocal=/e.example/\naddress=/broken\n"
        "server:\n  local-zone: \"f.example.\" always_null\nlocal-zone: g.example redirect\nlocal-data: \"g.example A 0.0.0.0\"\n"
        "local-zone: \"h.example\" transparent\n0.0.0.0 i.example j.example\n");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators,
                        "domain a.example match=subtree\ndomain b.example match=subtree\ndomain c.example match=subtree\n"
                        "domain d.example match=subtree\ndomain e.example match=subtree\ndomain f.example match=subtree\n"
                        "domain g.example match=subtree\ndomain i.example match=exact\ndomain j.example match=exact\n");
    assert_int_equal(result->fault_count, 1);
    assert_int_equal(result->ignored_count, 5);
}

static void bad_lines(void **state) {
    const struct collected *result =
        collect(FORMAT_DOMAINS, "good.example\nbad name\nlocalonly\na..b.example\n(evil)\n\xFF\xFE.example\n");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain good.example\n");
    assert_string_equal(result->faults, "2:1 - a blank inside: \"bad name\"\n3:1 - a name of one label: \"localonly\"\n"
                                        "4:1 - an empty label: \"a..b.example\"\n"
                                        "5:1 - a character that doesn't belong in a name: \"(evil)\"\n"
                                        "6:1 - string encoding error: \"??.example\"\n");
}

static void counted(void **state) {
    expect(collect(FORMAT_DOMAINS, "# Entries: 2\na.example\nb.example\n"), "domain a.example\ndomain b.example\n");
    const struct collected *result = collect(FORMAT_DOMAINS, "# Entries: 3\na.example\nb.example\n");
    assert_int_equal(result->error, -EBADMSG);
    assert_string_equal(result->why, "line 3, column 1: cut off: 2 entries, and it declares 3");
    result = collect(FORMAT_HOSTS, "0.0.0.0 a.example\n# Number of entries: 9\n");
    assert_int_equal(result->error, -EBADMSG);
    /* An operator may have cut his own copy. */
    static const char text[] = "# Entries: 3\na.example\n";
    const struct format_options local = {.local = true};
    result = collect_chunks(FORMAT_DOMAINS, text, sizeof text - 1, 7, &local);
    assert_int_equal(result->error, 0);
    assert_int_equal(result->fault_count, 1);
}

/* "Comments only" is a list without entries; nothing at all is a failed download, unless it is an operator's file. */
static void empty(void **state) {
    enum format formats[] = {FORMAT_DOMAINS, FORMAT_HOSTS, FORMAT_ADBLOCK, FORMAT_RPZ};
    const struct format_options local = {.local = true};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        expect(collect(formats[i], formats[i] == FORMAT_RPZ ? "; nothing\n" : "# nothing\n"), "");
        assert_int_equal(collect(formats[i], "")->error, -EBADMSG);
        assert_int_equal(collect(formats[i], "\n \r\n")->error, -EBADMSG);
        assert_int_equal(collect_chunks(formats[i], "", 0, 1, &local)->error, 0);
        assert_int_equal(collect(formats[i], "<!doctype html>\n<html>")->error, -EBADMSG);
        assert_int_equal(collect(formats[i], "Service Unavailable\nplease try again later\n")->error, -EBADMSG);
        assert_int_equal(collect_chunks(formats[i], "a.example\n\0\0\0", 13, 5, NULL)->error, -EBADMSG);
        assert_int_equal(collect(formats[i], "{\"message\": \"rate limit\"}")->error, -EBADMSG);
    }
}

static void long_lines(void **state) {
    enum { LENGTH = 200000 };
    char *text = malloc(LENGTH + 64);
    memset(text, 'a', LENGTH);
    strcpy(text + LENGTH, "\nb.example\n");
    const struct collected *result = collect_chunks(FORMAT_DOMAINS, text, strlen(text), 1000, NULL);
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, "domain b.example\n");
    assert_string_equal(result->faults, "1:1 - a line longer than 65536 octets\n");
    memset(text, 'a', 65536);
    strcpy(text + 65536, "\nb.example");
    result = collect(FORMAT_DOMAINS, text);
    assert_int_equal(result->count, 1);
    assert_int_equal(result->fault_count, 1);
    free(text);
}

static void hosts(void **state) {
    const struct collected *result =
        collect(FORMAT_HOSTS,
                "127.0.0.1\tlocalhost localhost.localdomain local\n::1 ip6-localhost ip6-loopback\nfe80::1%lo0 "
                "localhost\n255.255.255.255 broadcasthost\n"
                "0.0.0.0 0.0.0.0\n127.0.1.1 myhost\n0.0.0.0 \t A.example  b.example\t# c.example\n:: d.example#x\n0 e.example\n"
                "192.0.2.1 mapping.example\nplain.example\n0.0.0.0 bad_name..example f.example\n");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators,
                        "domain a.example match=exact\ndomain b.example match=exact\ndomain e.example match=exact\n"
                        "domain plain.example match=exact\ndomain f.example match=exact\n");
    assert_int_equal(result->fault_count, 2);
    assert_int_equal(result->ignored_count, 10);
}

static void adblock(void **state) {
    expect(
        collect(
            FORMAT_ADBLOCK,
            "[Adblock Plus 2.0]\n! Title: x\n# comment\n||a.example^\n||b.example^$important\n|c.example^\nd.example\n*.e.example\n"
            "0.0.0.0 f.example\n||192.0.2.1^\n||g.example^$all,document\n||h.example^|\n@@||i.example^\n@@|j.example^\n"),
        "domain f.example match=exact\ndomain i.example match=subtree allow\ndomain j.example match=exact allow\n"
        "domain a.example match=subtree\ndomain b.example match=subtree\ndomain c.example match=exact\ndomain d.example\n"
        "domain e.example match=subtree\nip 192.0.2.1\ndomain g.example match=subtree\ndomain h.example match=subtree\n");
}

/* What can't be said in DNS is left out whole: never may a modifier be dropped and the name blocked. */
static void adblock_left_out(void **state) {
    static const char *const lines[] = {
        "||x.example^$third-party",
        "||x.example^$denyallow=a|b",
        "||x.example^$client=192.0.2.1",
        "||x.example^$dnstype=AAAA",
        "||x.example^$dnsrewrite=1.2.3.4",
        "||x.example^$important,unknown",
        "x.example##.ad",
        "##.ad",
        "x.example#@#.ad",
        "x.example#?#.ad",
        "||x.example/p^$script",
        "||x.example/path",
        "||*.x.example^",
        "||x*.example^",
        "://ww4.",
        "-norgesalg.com^",
        "/x[0-9]+.example/",
        "||x.example:8080^",
        "@@||x.example^$third-party",
        "http://x.example^",
        "|https://x.example^",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const struct collected *result = collect(FORMAT_ADBLOCK, lines[i]);
        if (result->error || result->count || result->fault_count || result->ignored_count != 1)
            fail_msg("%s: %s%s", lines[i], result->indicators, result->faults);
    }
}

static void adblock_taken_back(void **state) {
    const struct collected *result =
        collect(FORMAT_ADBLOCK, "||a.example^$badfilter\n||a.example^\n||b.example^\n||sub.b.example^\n@@||ok.b.example^\n||deep."
                                "ok.b.example^\n||must.ok.b.example^$important\n"
                                "||c.example^$important\n@@||no.c.example^\n@@||b2.example^\n||b2.example^\n|a.example^\n@@||d."
                                "example^\n@@||d.example^$badfilter\n||d.example^\n");
    expect(result,
           "domain ok.b.example match=subtree allow\ndomain b2.example match=subtree allow\ndomain b.example match=subtree\n"
           "domain sub.b.example match=subtree\ndomain must.ok.b.example match=subtree\ndomain c.example match=subtree\n"
           "domain a.example match=exact\ndomain d.example match=subtree\n");
}

static void refanged(void **state) {
    static const char text[] = "hxxp://a[.]example:80/x\nb(.)example\n43.166.202[.]32\nthxxpx.example\n";
    const struct format_options options = {.refang = true};
    expect(collect_chunks(FORMAT_DOMAINS, text, sizeof text - 1, 100, &options),
           "domain a.example from_url\ndomain b.example\nip 43.166.202.32\ndomain thxxpx.example\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains),
        cmocka_unit_test(resolvers_lists),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(counted),
        cmocka_unit_test(empty),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(hosts),
        cmocka_unit_test(adblock),
        cmocka_unit_test(refanged),
        cmocka_unit_test(adblock_left_out),
        cmocka_unit_test(adblock_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
