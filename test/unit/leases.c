/* test/unit/leases.c: who held which address when, from the three servers' files as they grow, rotate and are rewritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/identity.h"
#include "hits/leases.h"

#define SECOND ((int64_t)1000000)
enum { T = 1795369200 /* 2026-11-22T17:40:00Z, a Sunday */ };

struct place {
    char folder[64], path[128];
    struct leases *leases;
};

static int set_up(void **state) {
    struct place *place = calloc(1, sizeof *place);
    strcpy(place->folder, "/tmp/sundew-leases-XXXXXX");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    snprintf(place->path, sizeof place->path, "%s/leases", place->folder);
    place->leases = leases_new(1000);
    *state = place;
    return 0;
}

static int tear_down(void **state) {
    struct place *place = *state;
    leases_free(place->leases);
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    int rc = system(command);
    free(place);
    return rc;
}

/* Writes (or appends) text as a server would at second `at`. */
static void put(const char *path, const char *text, bool append, int64_t at) {
    int fd = open(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    futimens(fd, times);
    close(fd);
}

static void configure(struct place *place, const char *format) {
    struct lease_config config = {(char *)(uintptr_t)format, place->path};
    assert_int_equal(leases_configure(place->leases, &config, 1), 0);
}

static void follow(struct place *place, int64_t at) {
    while (leases_follow(place->leases, at * SECOND))
        ;
}

/* Who held the address then, as "mac hostname"; "-" for what is unknown, "nobody". */
static const char *who(struct place *place, const char *address, int64_t at) {
    static char text[512];
    struct ip ip;
    assert_int_equal(ip_from_text(&ip, address, strlen(address)), 0);
    const struct holder *holder = leases_find(place->leases, &ip, at * SECOND);
    if (holder == NULL)
        return "nobody";
    char mac[18] = "-";
    if (holder->has_mac)
        snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", holder->mac[0], holder->mac[1], holder->mac[2], holder->mac[3],
                 holder->mac[4], holder->mac[5]);
    snprintf(text, sizeof text, "%s %s", mac, holder->hostname == NULL ? "-" : holder->hostname->text);
    return text;
}

static void test_dnsmasq(void **state) {
    struct place *place = *state;
    configure(place, "dnsmasq");
    put(place->path,
        "1795369800 52:54:00:00:00:01 10.0.0.5 laptop-7 01:52:54:00:00:00:01\n"
        "0 52:54:00:00:00:02 10.0.0.6 * *\n"
        "1795369800 06-00:11:22 10.0.0.7 token-ring *\n"
        "duid 00:01:00:01:2a:00:00:00:52:54:00:00:00:09\n"
        "1795369800 12345 2001:db8::5 phone 00:03:00:01:52:54:00:00:00:03\n"
        "garbage\n",
        false, T - 100);
    follow(place, T);
    assert_string_equal(who(place, "10.0.0.5", T), "52:54:00:00:00:01 laptop-7");
    assert_string_equal(who(place, "10.0.0.5", T - 5000), "52:54:00:00:00:01 laptop-7");
    assert_string_equal(who(place, "10.0.0.5", T + 599), "52:54:00:00:00:01 laptop-7");
    assert_string_equal(who(place, "10.0.0.5", T + 600), "nobody");
    assert_string_equal(who(place, "10.0.0.6", T + 100000000), "52:54:00:00:00:02 -");
    assert_string_equal(who(place, "10.0.0.7", T), "- token-ring");
    assert_string_equal(who(place, "2001:db8::5", T), "52:54:00:00:00:03 phone");
    assert_string_equal(who(place, "10.0.0.8", T), "nobody");
    struct leases_stats stats;
    leases_stats(place->leases, &stats);
    assert_int_equal(stats.skipped, 1);

    /* The address passes to another machine: hits before that stay with the old one. */
    put(place->path, "1795370400 52:54:00:00:00:04 10.0.0.5 other *\n", false, T + 50);
    uint32_t generation = leases_generation(place->leases);
    follow(place, T + 51);
    assert_true(leases_generation(place->leases) != generation);
    assert_string_equal(who(place, "10.0.0.5", T + 49), "52:54:00:00:00:01 laptop-7");
    assert_string_equal(who(place, "10.0.0.5", T + 50), "52:54:00:00:00:04 other");
    /* Who isn't in the file any more, holds nothing any more. */
    assert_string_equal(who(place, "10.0.0.6", T + 49), "52:54:00:00:00:02 -");
    assert_string_equal(who(place, "10.0.0.6", T + 50), "nobody");
}

/* dnsmasq truncates, then writes: an empty file that was just written ends nobody's lease. */
static void test_dnsmasq_half_written(void **state) {
    struct place *place = *state;
    configure(place, "dnsmasq");
    const char *line = "1795369800 52:54:00:00:00:01 10.0.0.5 laptop-7 *\n";
    put(place->path, line, false, T - 100);
    follow(place, T);
    put(place->path, "", false, T + 10);
    follow(place, T + 10);
    assert_string_equal(who(place, "10.0.0.5", T + 11), "52:54:00:00:00:01 laptop-7");
    put(place->path, line, false, T + 10);
    follow(place, T + 20);
    assert_string_equal(who(place, "10.0.0.5", T + 21), "52:54:00:00:00:01 laptop-7");
    put(place->path, "", false, T + 30);
    follow(place, T + 40);
    assert_string_equal(who(place, "10.0.0.5", T + 31), "nobody");
}

#define KEA4 "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n"
#define KEA6                                                                                                                       \
    "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,"     \
    "state,user_context,hwtype,hwaddr_source,pool_id\n"

static void test_kea(void **state) {
    struct place *place = *state;
    configure(place, "kea");
    put(place->path, KEA4 "10.0.0.5,52:54:00:00:00:01,,600,1795369800,1,0,0,a&#x2cb.example.,0,,0\n", false, T);
    follow(place, T);
    assert_string_equal(who(place, "10.0.0.5", T - 1), "nobody");
    assert_string_equal(who(place, "10.0.0.5", T), "52:54:00:00:00:01 a,b.example");
    assert_string_equal(who(place, "10.0.0.5", T + 600), "nobody");
    /* Renewed at +300; given back at +400; another machine from +500. */
    put(place->path, "10.0.0.5,52:54:00:00:00:01,,600,1795370100,1,0,0,,0,,0\n", true, T + 300);
    follow(place, T + 300);
    assert_string_equal(who(place, "10.0.0.5", T + 899), "52:54:00:00:00:01 a,b.example");
    put(place->path, "10.0.0.5,52:54:00:00:00:01,,0,1795369500,1,0,0,,0,,0\n", true, T + 400);
    follow(place, T + 400);
    assert_string_equal(who(place, "10.0.0.5", T + 399), "52:54:00:00:00:01 a,b.example");
    assert_string_equal(who(place, "10.0.0.5", T + 400), "nobody");
    put(place->path, "10.0.0.5,52:54:00:00:00:02,,600,1795370300,1,0,0,new,0,,0\n10.0.0.6,52:54:", true, T + 500);
    follow(place, T + 500);
    assert_string_equal(who(place, "10.0.0.5", T + 399), "52:54:00:00:00:01 a,b.example");
    assert_string_equal(who(place, "10.0.0.5", T + 500), "52:54:00:00:00:02 new");
    assert_string_equal(who(place, "10.0.0.6", T + 500), "nobody");
    put(place->path, "00:00:00:03,,4294967295,1795369300,1,0,0,x,0,,0\n", true, T + 501);
    follow(place, T + 501);
    assert_string_equal(who(place, "10.0.0.6", T + 500000), "52:54:00:00:00:03 x");
}

/* Kea reads its file from the beginning, and the last row of an address holds: so here, though its clock was set back. */
static void test_kea_last_row(void **state) {
    struct place *place = *state;
    configure(place, "kea");
    put(place->path,
        KEA4 "10.0.0.5,52:54:00:00:00:01,,600,1795373400,1,0,0,ahead,0,,0\n"
             "10.0.0.5,52:54:00:00:00:02,,6000,1795375200,1,0,0,back,0,,0\n",
        false, T);
    follow(place, T);
    assert_string_equal(who(place, "10.0.0.5", T), "52:54:00:00:00:02 back");
    assert_string_equal(who(place, "10.0.0.5", T + 3700), "52:54:00:00:00:02 back");
    /* Declined: nobody's until it is handed out again. Expired and reclaimed rows, too, say what is over. */
    put(place->path, "10.0.0.5,,,86400,1795455610,1,0,0,,1,,0\n", true, T + 10);
    follow(place, T + 11);
    assert_string_equal(who(place, "10.0.0.5", T + 9), "52:54:00:00:00:02 back");
    assert_string_equal(who(place, "10.0.0.5", T + 12), "nobody");
    put(place->path,
        "10.0.0.5,,,0,1795369210,1,0,0,,1,,0\n10.0.0.5,52:54:00:00:00:03,,60,1795369280,1,0,0,third,0,,0\n"
        "10.0.0.5,52:54:00:00:00:03,,60,1795369280,1,0,0,third,2,,0\n",
        true, T + 90);
    follow(place, T + 91);
    assert_string_equal(who(place, "10.0.0.5", T + 21), "52:54:00:00:00:03 third");
    assert_string_equal(who(place, "10.0.0.5", T + 80), "nobody");
}

/* The clean-up renames the journal and begins a new one; at a start the older files are read first. */
static void test_kea_rotation(void **state) {
    struct place *place = *state;
    char old[192];
    configure(place, "kea");
    snprintf(old, sizeof old, "%s.2", place->path);
    put(old, KEA4 "10.0.0.1,52:54:00:00:00:01,,6000,1795375200,1,0,0,one,0,,0\n", false, T);
    put(place->path, KEA4 "10.0.0.2,52:54:00:00:00:02,,6000,1795375200,1,0,0,two,0,,0\n", false, T);
    follow(place, T);
    assert_string_equal(who(place, "10.0.0.1", T), "52:54:00:00:00:01 one");
    assert_string_equal(who(place, "10.0.0.2", T), "52:54:00:00:00:02 two");
    put(place->path, "10.0.0.3,52:54:00:00:00:03,,6000,1795375200,1,0,0,three,0,,0\n", true, T + 1);
    snprintf(old, sizeof old, "%s.1", place->path);
    assert_int_equal(rename(place->path, old), 0);
    put(place->path, KEA4 "10.0.0.4,52:54:00:00:00:04,,6000,1795375200,1,0,0,four,0,,0\n", false, T + 2);
    follow(place, T + 2);
    for (int i = 1; i <= 4; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.0.0.%d", i);
        assert_string_not_equal(who(place, address, T + 2), "nobody");
    }
}

static void test_kea6(void **state) {
    struct place *place = *state;
    configure(place, "kea");
    put(place->path,
        KEA6 "2001:db8::5,00:03:00:01:52:54:00:00:00:09,600,1795369800,1,300,0,7,128,0,0,v6host.,52:54:00:00:00:01,0,,1,2,0\n"
             "2001:db8::6,00:03:00:01:52:54:00:00:00:02,600,1795369800,1,300,0,7,128,0,0,,,0,,,,0\n"
             "2001:db8:1::,00:03:00:01:52:54:00:00:00:03,600,1795369800,1,300,2,7,56,0,0,,,0,,,,0\n",
        false, T);
    follow(place, T);
    assert_string_equal(who(place, "2001:db8::5", T), "52:54:00:00:00:01 v6host");
    assert_string_equal(who(place, "2001:db8::6", T), "52:54:00:00:00:02 -");
    assert_string_equal(who(place, "2001:db8:1::", T), "nobody");
}

static void test_isc(void **state) {
    struct place *place = *state;
    configure(place, "isc-dhcpd");
    put(place->path,
        "# The format of this file is documented in the dhcpd.leases(5) manual page.\n"
        "authoring-byte-order little-endian;\n\n"
        "failover peer \"x\" state {\n  my state normal at 0 2026/11/22 10:00:00;\n}\n"
        "lease 10.0.0.5 {\n  starts 0 2026/11/22 17:40:00;\n  ends 0 2026/11/22 17:50:00;\n  cltt 0 2026/11/22 17:40:00;\n"
        "  binding state active;\n  next binding state free;\n  rewind binding state free;\n"
        "  hardware ethernet 52:54:00:00:00:01;\n  uid \"\\001RT\\000\\000\\000}\";\n  client-hostname \"lap;top \\\"7\\\"\";\n}\n"
        "lease 10.0.0.6 {\n  starts epoch 1795369200; # Sun\n  ends never;\n  binding state active;\n"
        "  hardware ethernet 52:54:00:00:00:02;\n}\n",
        false, T);
    follow(place, T);
    assert_string_equal(who(place, "10.0.0.5", T), "52:54:00:00:00:01 lap;top \"7\"");
    assert_string_equal(who(place, "10.0.0.5", T + 600), "nobody");
    assert_string_equal(who(place, "10.0.0.6", T + 100000000), "52:54:00:00:00:02 -");
    /* Released at 17:45, in two writes; then handed to another. */
    put(place->path, "lease 10.0.0.5 {\n  starts 0 2026/11/22 17:40:00;\n  ends 0 2026/11/22 17:45:00;\n", true, T + 300);
    follow(place, T + 300);
    assert_string_equal(who(place, "10.0.0.5", T + 400), "52:54:00:00:00:01 lap;top \"7\"");
    put(place->path, "  binding state free;\n  hardware ethernet 52:54:00:00:00:01;\n}\n", true, T + 301);
    follow(place, T + 301);
    assert_string_equal(who(place, "10.0.0.5", T + 299), "52:54:00:00:00:01 lap;top \"7\"");
    assert_string_equal(who(place, "10.0.0.5", T + 300), "nobody");
    put(place->path,
        "lease 10.0.0.5 {\n  starts 0 2026/11/22 17:46:00;\n  ends 0 2026/11/22 17:56:00;\n  binding state active;\n"
        "  hardware ethernet 52:54:00:00:00:03;\n}\n",
        true, T + 360);
    follow(place, T + 360);
    assert_string_equal(who(place, "10.0.0.5", T + 299), "52:54:00:00:00:01 lap;top \"7\"");
    assert_string_equal(who(place, "10.0.0.5", T + 360), "52:54:00:00:00:03 -");
    /* dhcpd writes the file anew from time to time, with what holds last. */
    unlink(place->path);
    put(place->path,
        "lease 10.0.0.5 {\n  starts 0 2026/11/22 17:46:00;\n  ends 0 2026/11/22 18:06:00;\n  binding state active;\n"
        "  hardware ethernet 52:54:00:00:00:03;\n  client-hostname \"third\";\n}\n",
        false, T + 400);
    follow(place, T + 400);
    assert_string_equal(who(place, "10.0.0.5", T + 299), "52:54:00:00:00:01 lap;top \"7\"");
    assert_string_equal(who(place, "10.0.0.5", T + 1559), "52:54:00:00:00:03 third");
}

static void test_isc6(void **state) {
    struct place *place = *state;
    configure(place, "isc-dhcpd");
    put(place->path,
        "server-duid \"\\000\\001\\000\\001\";\n"
        "ia-na \"\\007\\000\\000\\000\\000\\003\\000\\001RT\\000\\000\\000\\001\" {\n  cltt 0 2026/11/22 17:40:00;\n"
        "  iaaddr 2001:db8::5 {\n    binding state active;\n    preferred-life 375;\n    max-life 600;\n"
        "    ends 0 2026/11/22 17:50:00;\n    set ddns-fwd-name = \"six.example\";\n  }\n}\n"
        "ia-pd \"\\007\\000\" {\n  cltt 0 2026/11/22 17:40:00;\n  iaprefix 2001:db8:1::/56 {\n    binding state active;\n  }\n}\n",
        false, T);
    follow(place, T);
    assert_string_equal(who(place, "2001:db8::5", T), "52:54:00:00:00:01 six.example");
    assert_string_equal(who(place, "2001:db8::5", T + 600), "nobody");
}

static void test_hostile(void **state) {
    struct place *place = *state;
    configure(place, "dnsmasq");
    put(place->path, "0 52:54:00:00:00:01 10.0.0.5 \x1b[31mred\xff\x07 *\n", false, T - 100);
    follow(place, T);
    assert_string_equal(who(place, "10.0.0.5", T), "52:54:00:00:00:01 \\027[31mred\\255\\007");
    char *huge = malloc(300000);
    memset(huge, 'x', 299998);
    strcpy(huge + 299998, "\n");
    put(place->path, huge, true, T - 99);
    put(place->path, "0 52:54:00:00:00:02 10.0.0.6 ok *\n", true, T - 99);
    free(huge);
    follow(place, T + 1);
    assert_string_equal(who(place, "10.0.0.6", T), "52:54:00:00:00:02 ok");
}

static void test_limit(void **state) {
    struct place *place = *state;
    struct lease lease = {.start_us = T * SECOND, .end_us = LEASE_NEVER, .has_mac = true};
    for (unsigned i = 0; i < 1500; i++) {
        lease.address = ip_from_v4((uint8_t[4]){10, 0, (uint8_t)(i >> 8), (uint8_t)i});
        leases_add(place->leases, &lease, T * SECOND);
    }
    struct leases_stats stats;
    leases_stats(place->leases, &stats);
    assert_int_equal(stats.holders, 1000);
    assert_int_equal(stats.refused, 500);
    /* At the limit an address that passes to another machine is still known to have passed. */
    lease.address = ip_from_v4((uint8_t[4]){10, 0, 0, 1});
    for (uint8_t i = 1; i < 100; i++) {
        lease.mac[5] = i;
        lease.start_us = (T + i) * SECOND;
        leases_add(place->leases, &lease, (T + i) * SECOND);
    }
    assert_string_equal(who(place, "10.0.0.1", T + 99), "00:00:00:00:00:63 -");
    assert_string_equal(who(place, "10.0.0.1", T + 98), "nobody");
    assert_string_equal(who(place, "10.0.0.1", T + 5), "nobody");
    leases_stats(place->leases, &stats);
    assert_int_equal(stats.holders, 1000);
}

/* At the limit those who held an address longest ago make room for those who hold one now; what is long over isn't taken in. */
static void test_limit_past(void **state) {
    struct place *place = *state;
    configure(place, "kea");
    put(place->path, KEA4 "10.0.9.9,52:54:00:00:00:09,,60,1790000000,1,0,0,,0,,0\n", false, T);
    follow(place, T);
    struct leases_stats stats;
    leases_stats(place->leases, &stats);
    assert_int_equal(stats.holders, 0);
    struct lease lease = {.has_mac = true};
    for (unsigned i = 0; i < 1500; i++) { /* the first 500 ended yesterday */
        lease.address = ip_from_v4((uint8_t[4]){10, 0, (uint8_t)(i >> 8), (uint8_t)i});
        lease.start_us = (T - 2 * 86400) * SECOND;
        lease.end_us = i < 500 ? (T - 86400) * SECOND : LEASE_NEVER;
        leases_add(place->leases, &lease, T * SECOND);
    }
    leases_stats(place->leases, &stats);
    assert_int_equal(stats.holders, 1000);
    assert_int_equal(stats.refused, 0);
    assert_string_equal(who(place, "10.0.0.1", T - 86401), "nobody");
    assert_string_equal(who(place, "10.0.5.200", T), "00:00:00:00:00:00 -");
}

/* One address that passes from hand to hand keeps its last few holders. */
static void test_many_holders(void **state) {
    struct place *place = *state;
    struct lease lease = {.end_us = LEASE_NEVER, .has_mac = true, .address = ip_from_v4((uint8_t[4]){10, 0, 0, 1})};
    for (uint8_t i = 1; i < 100; i++) {
        lease.mac[5] = i;
        lease.start_us = (T + i) * SECOND;
        leases_add(place->leases, &lease, (T + i) * SECOND);
    }
    assert_string_equal(who(place, "10.0.0.1", T + 99), "00:00:00:00:00:63 -");
    assert_string_equal(who(place, "10.0.0.1", T + 95), "00:00:00:00:00:5f -");
    assert_string_equal(who(place, "10.0.0.1", T + 5), "nobody");
}

static void test_missing_file(void **state) {
    struct place *place = *state;
    int error = 0;
    configure(place, "dnsmasq");
    follow(place, T);
    assert_string_equal(leases_complaint(place->leases, &error), place->path);
    assert_true(error < 0);
    follow(place, T);
    assert_null(leases_complaint(place->leases, &error));
    put(place->path, "0 52:54:00:00:00:01 10.0.0.5 late *\n", false, T);
    follow(place, T + 1);
    assert_string_equal(who(place, "10.0.0.5", T + 2), "52:54:00:00:00:01 late");
    /* A configuration that keeps the file keeps what is known; one that drops it stops following. */
    configure(place, "dnsmasq");
    assert_string_equal(who(place, "10.0.0.5", T + 2), "52:54:00:00:00:01 late");
    assert_int_equal(leases_configure(place->leases, NULL, 0), 0);
    follow(place, T + 3);
}

/* What an operator calls a machine by. */
static void test_client(void **state) {
    static const char *const good[][2] = {
        {"10.1.2.3", "10.1.2.3"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::ffff:10.1.2.3", "10.1.2.3"},
        {"52:54:00:AB:cd:01", "52:54:00:ab:cd:01"},
        {"52-54-00-ab-cd-01", "52:54:00:ab:cd:01"},
        {"5254.00ab.cd01", "52:54:00:ab:cd:01"},
        {"525400abcd01", "525400abcd01"},
        {"nonsense", "nonsense"},
        {"Petra's iPhone", "Petra's iPhone"},
        {"7", "7"},
        {"=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"},
        {"52:54:00:ab:cd:0g", "52:54:00:ab:cd:0g"},
    };
    static const char *const bad[] = {"",
                                      "10.1.2",
                                      "10.1.2.256",
                                      "10.1.2.3.4",
                                      "10.0.0.0/8",
                                      "2001:db8::/",
                                      "2001:db8:::1",
                                      "52:54:00:ab:cd",

                                      "52:54:00:ab:cd:01:02",
                                      "a\nb",
                                      ":",
                                      "52:54:00:ab:cd:01:",
                                      "1."};
    char text[IDENTITY_CLIENT_MAX], *huge = calloc(1, IDENTITY_CLIENT_MAX + 1);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(identity_client(good[i][0], text), 0);
        assert_string_equal(text, good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (identity_client(bad[i], text) == 0)
            fail_msg("%s was taken", bad[i]);
    memset(huge, 'x', IDENTITY_CLIENT_MAX);
    assert_int_not_equal(identity_client(huge, text), 0);
    free(huge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dnsmasq, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dnsmasq_half_written, set_up, tear_down),
        cmocka_unit_test(test_client),
        cmocka_unit_test_setup_teardown(test_kea, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kea_last_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kea_rotation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kea6, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_isc, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_isc6, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit_past, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_holders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
