/* test/unit/local.c: which names are served locally, and under which zone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/local.h"

static struct forward forwards[2];
static struct config config = {.forward = forwards};

static struct name name_of(const char *text) {
    struct name name;
    assert_int_equal(name_from_text(&name, text, strlen(text), NULL), 0);
    return name;
}

/* Labels of the zone that serves the name, 0: none. */
static unsigned zone(const char *text, uint16_t type, struct local *local) {
    struct name name = name_of(text);
    local->zone = 0;
    return local_find(&config, &name, type, local) ? local->zone : 0;
}

/* Every address block of RFC 6303 and RFC 7793: its zone is local, its neighbours are not. */
static void reverse_v4(void **state) {
    struct local local;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            char text[64];
            snprintf(text, sizeof text, "9.7.%u.%u.in-addr.arpa", b, a);
            unsigned expected = a == 0 || a == 10 || a == 127 ? 3 : 0;
            if ((a == 169 && b == 254) || (a == 172 && b >= 16 && b < 32) || (a == 192 && b == 168) ||
                (a == 100 && b >= 64 && b < 128))
                expected = 4;
            assert_int_equal(zone(text, TYPE_PTR, &local), expected);
            assert_true(expected == 0 || local.rcode == RCODE_NXDOMAIN);
        }
    }
    assert_int_equal(zone("1.2.0.192.in-addr.arpa", TYPE_PTR, &local), 5);
    assert_int_equal(zone("1.3.0.192.in-addr.arpa", TYPE_PTR, &local), 0);
    assert_int_equal(zone("1.100.51.198.in-addr.arpa", TYPE_PTR, &local), 5);
    assert_int_equal(zone("1.113.0.203.in-addr.arpa", TYPE_PTR, &local), 5);
    assert_int_equal(zone("255.255.255.255.in-addr.arpa", TYPE_PTR, &local), 6);
    assert_int_equal(zone("254.255.255.255.in-addr.arpa", TYPE_PTR, &local), 0);
    assert_int_equal(zone("016.172.in-addr.arpa", TYPE_PTR, &local), 0);
    assert_int_equal(zone("x10.in-addr.arpa", TYPE_PTR, &local), 0);
    assert_int_equal(zone("in-addr.arpa", TYPE_PTR, &local), 0);
    assert_int_equal(zone("arpa", TYPE_PTR, &local), 0);
}

static void reverse_v6(void **state) {
    static const struct {
        const char *front;
        unsigned labels;
    } cases[] = {
        {"1.d.f", 4},
        {"1.c.f", 0},
        {"1.8.e.f", 5},
        {"1.9.e.f", 5},
        {"1.a.e.f", 5},
        {"1.b.e.f", 5},
        {"1.c.e.f", 0},
        {"8.b.d.0.1.0.0.2", 10},
        {"1.8.b.d.0.1.0.0.2", 10},
        {"9.b.d.0.1.0.0.2", 0},
    };
    struct local local;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s.ip6.arpa", cases[i].front);
        assert_int_equal(zone(text, TYPE_PTR, &local), cases[i].labels);
    }
    const char *zeroes = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
    for (unsigned last = 0; last < 3; last++) {
        char text[100];
        snprintf(text, sizeof text, "%u.%s", last, zeroes);
        assert_int_equal(zone(text, TYPE_PTR, &local), last < 2 ? 34 : 0);
    }
}

static void special(void **state) {
    struct local local;
    assert_int_equal(zone("a.b.localhost", TYPE_A, &local), 1);
    assert_int_equal(local.data, LOCAL_A);
    assert_int_equal(zone("localhost", TYPE_TXT, &local), 1);
    assert_int_equal(local.data, LOCAL_NOTHING);
    assert_int_equal(local.rcode, RCODE_NOERROR);
    assert_int_equal(zone("a.invalid", TYPE_A, &local), 1);
    assert_int_equal(local.rcode, RCODE_NXDOMAIN);
    assert_int_equal(zone("a.onion", TYPE_A, &local), 1);
    assert_int_equal(zone("a.home.arpa", TYPE_A, &local), 2);
    assert_int_equal(zone("home.arpa", TYPE_DS, &local), 0);
    assert_int_equal(zone("a.resolver.arpa", TYPE_SVCB, &local), 2);
    assert_int_equal(local.rcode, RCODE_NOERROR);
    assert_int_equal(zone("test", TYPE_A, &local), 0);
    assert_int_equal(zone("example", TYPE_A, &local), 0);
    assert_int_equal(zone("xlocalhost", TYPE_A, &local), 0);
    assert_int_equal(zone(".", TYPE_NS, &local), 0);
}

/* A label that ends like a zone's wire form isn't that zone. */
static void look_alike(void **state) {
    struct name name = {.length = 19, .labels = 1};
    struct local local;
    memcpy(name.wire, "\21xxxxxxx\10localhost\0", 19);
    assert_false(local_find(&config, &name, TYPE_A, &local));
}

static void forwarded(void **state) {
    struct local local;
    config.forward_count = 2;
    forwards[0].zone = name_of(".");
    forwards[1].zone = name_of("5.10.in-addr.arpa");
    assert_int_equal(zone("1.1.5.10.in-addr.arpa", TYPE_PTR, &local), 0);
    assert_int_equal(zone("5.10.in-addr.arpa", TYPE_SOA, &local), 0);
    assert_int_equal(zone("1.1.6.10.in-addr.arpa", TYPE_PTR, &local), 3);
    assert_int_equal(local.rcode, RCODE_NXDOMAIN);
    forwards[1].zone = name_of("1.5.10.in-addr.arpa");
    assert_int_equal(zone("5.10.in-addr.arpa", TYPE_PTR, &local), 3);
    assert_int_equal(local.rcode, RCODE_NOERROR);
    forwards[1].zone = name_of("in-addr.arpa");
    assert_int_equal(zone("1.1.6.10.in-addr.arpa", TYPE_PTR, &local), 0);
    config.forward_count = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reverse_v4), cmocka_unit_test(reverse_v6), cmocka_unit_test(special),
        cmocka_unit_test(look_alike), cmocka_unit_test(forwarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
