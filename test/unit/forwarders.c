/* test/unit/forwarders.c: the longest zone wins, health follows servers from table to table, and what is due when on the wheel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/forwarders.h"
#include "resolver/wheel.h"
#include "resolver/wire.h"

enum { NOW = 1000000, ZONES = 8 };

struct table_under_test {
    struct config config;
    struct forward forward[ZONES];
    struct endpoint to[ZONES][2];
};

static void add_zone(struct table_under_test *table, const char *zone, unsigned port, unsigned other_port) {
    struct forward *forward = &table->forward[table->config.forward_count];
    struct endpoint *to = table->to[table->config.forward_count++];
    const unsigned ports[] = {port, other_port};
    assert_int_equal(name_from_text(&forward->zone, zone, strlen(zone), NULL), 0);
    forward->to = to;
    forward->to_count = other_port ? 2 : 1;
    for (size_t i = 0; i < forward->to_count; i++) {
        struct sockaddr_in *address = (struct sockaddr_in *)&to[i].address;
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t)ports[i]);
        to[i].address_length = sizeof(*address);
        to[i].text = "dns://0.0.0.0";
    }
    table->config.forward = table->forward;
}

static const struct forward_zone *find(const struct forwarders *forwarders, const char *text, uint16_t type) {
    struct question question = {.type = type};
    assert_int_equal(name_from_text(&question.name, text, strlen(text), NULL), 0);
    return forwarders_find(forwarders, &question);
}

static void assert_zone_of(const struct forwarders *forwarders, const char *name, uint16_t type, const char *expected) {
    char text[NAME_TEXT_MAX] = "none";
    const struct forward_zone *zone = find(forwarders, name, type);
    if (zone)
        name_to_text(zone->name.wire, text);
    assert_string_equal(text, expected);
}

static void assert_zone(const struct forwarders *forwarders, const char *name, const char *expected) {
    assert_zone_of(forwarders, name, TYPE_A, expected);
}

static void test_longest_zone(void **unused) {
    struct table_under_test table = {0};
    add_zone(&table, "b.example", 1, 0);
    add_zone(&table, "example", 1, 0);
    add_zone(&table, "x.y.a.example", 2, 0);
    add_zone(&table, "a.example", 3, 1);
    add_zone(&table, "test", 4, 0);
    struct forwarders *forwarders = forwarders_new(&table.config, NULL);
    assert_int_equal(forwarders->server_count, 4);
    assert_zone(forwarders, "example", "example");
    assert_zone(forwarders, "aa.example", "example");
    assert_zone(forwarders, "a.example", "a.example");
    assert_zone(forwarders, "y.a.example", "a.example");
    assert_zone(forwarders, "x.y.a.example", "x.y.a.example");
    assert_zone(forwarders, "w.x.y.a.example", "x.y.a.example");
    assert_zone(forwarders, "z.y.a.example", "a.example"); /* behind x.y.a.example in canonical order */
    assert_zone(forwarders, "zz.b.example", "b.example");
    assert_zone(forwarders, "zzz.example", "example");
    assert_zone(forwarders, "a.test", "test");
    assert_zone(forwarders, "org", "none");
    assert_zone(forwarders, "aexample", "none");
    assert_zone(forwarders, ".", "none");
    assert_zone_of(forwarders, "x.y.a.example", TYPE_DS, "a.example");
    assert_zone_of(forwarders, "a.example", TYPE_DS, "example");
    assert_zone_of(forwarders, "y.a.example", TYPE_DS, "a.example");
    assert_zone_of(forwarders, "test", TYPE_DS, "test"); /* nobody else is there to ask */
    forwarders_unref(forwarders);
    add_zone(&table, ".", 5, 0);
    forwarders = forwarders_new(&table.config, NULL);
    assert_zone(forwarders, "org", ".");
    assert_zone(forwarders, ".", ".");
    assert_zone_of(forwarders, ".", TYPE_DS, ".");
    assert_zone_of(forwarders, "test", TYPE_DS, ".");
    assert_zone(forwarders, "q.a.example", "a.example");
    forwarders_unref(forwarders);
}

static void test_health(void **unused) {
    struct table_under_test table = {0};
    add_zone(&table, ".", 1, 2);
    struct forwarders *forwarders = forwarders_new(&table.config, NULL);
    struct server *first = forwarders->servers[0], *second = forwarders->servers[1];
    struct question root = {.name = {.length = 1}, .type = TYPE_A};
    server_silent(first, NOW);
    server_silent(first, NOW + 400);
    assert_int_equal(server_state(first), SERVER_WELL);
    server_silent(first, NOW + 800);
    assert_int_equal(server_state(first), SERVER_GONE);
    assert_false(server_is_dead(first, NOW + 800));
    assert_true(server_is_dead(first, NOW + SERVER_DEAD_MS));
    assert_true(forwarders_hopeful(forwarders, &root, NOW + SERVER_DEAD_MS));
    server_unreachable(second, NOW + 800);
    assert_true(server_is_dead(second, NOW + 800));
    assert_false(forwarders_hopeful(forwarders, &root, NOW + SERVER_DEAD_MS));
    /* Probed once each time it is due, ever more slowly. */
    uint64_t due = NOW + 800 + SERVER_PROBE_MS;
    for (unsigned gap = SERVER_PROBE_MS; gap < 4 * SERVER_PROBE_MAX_MS; gap *= 2) {
        assert_false(server_probe(first, due - 1));
        assert_true(server_probe(first, due));
        assert_false(server_probe(first, due));
        due += gap < SERVER_PROBE_MAX_MS ? gap : SERVER_PROBE_MAX_MS;
    }
    /* Health goes with the address, not with the table. */
    struct table_under_test changed = {0};
    add_zone(&changed, ".", 3, 1);
    struct forwarders *next = forwarders_new(&changed.config, forwarders);
    assert_ptr_equal(next->servers[1], first);
    assert_int_equal(server_state(next->servers[0]), SERVER_WELL);
    forwarders_unref(forwarders);
    server_replied(first, NOW + 9000, false);
    assert_int_equal(server_state(first), SERVER_WELL);
    for (unsigned i = 0; i < SERVER_POOR; i++)
        server_replied(first, NOW + 9000, true);
    assert_int_equal(server_state(first), SERVER_BAD);
    server_replied(first, NOW + 9000, false);
    assert_int_equal(server_state(first), SERVER_WELL);
    struct upstream_health health[2];
    assert_int_equal(forwarders_health(next, health, 1), 2);
    assert_int_equal(forwarders_health(next, health, 2), 2);
    assert_int_equal(health[1].failures, SERVER_POOR);
    assert_int_equal(health[1].timeouts, 3);
    forwarders_unref(next);
}

static size_t turn(struct wheel *wheel, uint64_t now) {
    size_t count = 0;
    while (wheel_turn(wheel, now))
        count++;
    return count;
}

static void test_wheel(void **unused) {
    struct wheel wheel;
    struct wheel_entry a = {0}, b = {0}, c = {0};
    wheel_init(&wheel, NOW);
    wheel_set(&wheel, &a, NOW, NOW + 100);
    wheel_set(&wheel, &b, NOW, NOW + 100);
    wheel_set(&wheel, &c, NOW, NOW);
    assert_int_equal(turn(&wheel, NOW), 0);
    assert_int_equal(turn(&wheel, NOW + WHEEL_TICK_MS), 1);
    assert_int_equal(turn(&wheel, NOW + 99), 0);
    wheel_set(&wheel, &b, NOW + 99, NOW + 300); /* moved */
    assert_int_equal(turn(&wheel, NOW + 100 + WHEEL_TICK_MS), 1);
    assert_null(a.link);
    wheel_set(&wheel, &c, NOW + 110, NOW + 110 + 10 * WHEEL_SPAN_MS); /* no further than the wheel goes */
    assert_int_equal(turn(&wheel, NOW + 300 + WHEEL_TICK_MS), 1);
    wheel_clear(&wheel, &c);
    wheel_clear(&wheel, &c);
    assert_int_equal(wheel.count, 0);
    wheel_set(&wheel, &a, NOW + 500000, NOW + 500100); /* after a long rest */
    assert_int_equal(turn(&wheel, NOW + 500099), 0);
    assert_int_equal(turn(&wheel, NOW + 900000), 1); /* turned late */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_zone),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_wheel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
