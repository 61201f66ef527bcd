/* test/unit/policy_build.h: makes a snapshot out of a ruleset in memory, for tests. */
#ifndef SUNDEW_TEST_POLICY_BUILD_H
#define SUNDEW_TEST_POLICY_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/compile.h"
#include "policy/match.h"

enum { BUILD_SEED = 0x5eed };

static inline struct ip build_ip(const char *text) {
    struct ip ip;
    assert_int_equal(ip_from_text(&ip, text, strlen(text)), 0);
    return ip;
}

static inline struct prefix build_prefix(const char *text) {
    struct prefix prefix;
    assert_int_equal(prefix_from_text(&prefix, text, strlen(text), false, NULL), 0);
    return prefix;
}

static inline struct name build_name(const char *text) {
    struct name name;
    assert_int_equal(name_from_text(&name, text, strlen(text), NULL), 0);
    return name;
}

static inline struct ruleset *build_rules(void) {
    struct ruleset_answers answers = {
        .loopback = build_ip("127.0.0.3"),
        .has_ipv4 = true,
        .has_ipv6 = true,
        .sinkhole_ipv4 = build_ip("192.0.2.66"),
        .sinkhole_ipv6 = build_ip("2001:db8::66"),
    };
    struct ruleset *rules = ruleset_new(&answers);
    assert_non_null(rules);
    return rules;
}

static inline int build_zone(struct ruleset *rules, const char *name, enum mode mode, const char *client) {
    struct prefix prefix;
    if (client != NULL)
        prefix = build_prefix(client);
    int zone = ruleset_add_zone(
        rules, &(struct ruleset_zone){.name = name, .mode = mode, .clients = &prefix, .client_count = client != NULL});
    assert_true(zone >= 0);
    return zone;
}

/* The compiled file, in memory; frees the ruleset. */
static inline int build_file(struct ruleset *rules) {
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_true(fd >= 0);
    struct compile_options options = {.seed = BUILD_SEED, .digest = {1, 2, 3}};
    assert_int_equal(compile_write(rules, &options, fd), 0);
    ruleset_free(rules);
    return fd;
}

static inline struct snapshot *build_open(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct snapshot *snapshot = NULL;
    const char *why = "";
    if (snapshot_open(&snapshot, path, &why) != 0)
        fail_msg("snapshot_open: %s", why);
    close(fd);
    return snapshot;
}

static inline struct snapshot *build_snapshot(struct ruleset *rules) {
    return build_open(build_file(rules));
}

static inline void build_key(struct name_key *key, const struct name *name) {
    name_key_init(key, name->wire, name->length, BUILD_SEED);
}

#endif
