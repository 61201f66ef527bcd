/* test/unit/test_snapshot.c: the file: what it says of itself, and that nothing damaged, cut off or foreign is taken for one. */
#include <errno.h>
#include <fcntl.h>

#include "policy_build.h"
#include "test/snapshot_repair.h"

static void add(struct ruleset *rules, int zone, struct rule rule) {
    const char *why = NULL;
    if (ruleset_add(rules, zone, &rule, &why) != 0)
        fail_msg("ruleset_add: %s", why);
}

/* A small policy with something of everything. */
static struct ruleset *small_policy(void) {
    struct ruleset *rules = build_rules();
    int allow = build_zone(rules, "allow", MODE_ENFORCE, NULL);
    int watch = build_zone(rules, "watch", MODE_MONITOR, NULL);
    int guests = build_zone(rules, "guests", MODE_ENFORCE, "10.66.0.0/16");
    int local = build_zone(rules, "local", MODE_ENFORCE, NULL);
    add(rules, allow,
        (struct rule){
            .name = build_name("good.evil.example"), .match = MATCH_SUBTREE, .trigger = TRIGGER_DOMAIN, .action = ACTION_PASSTHRU});
    add(rules, watch,
        (struct rule){.name = build_name("evil.example"),
                      .match = MATCH_BELOW,
                      .trigger = TRIGGER_DOMAIN,
                      .action = ACTION_NXDOMAIN,
                      .ttl = 60,
                      .family = "Emotet",
                      .confidence = 75,
                      .line = 7});
    add(rules, guests,
        (struct rule){.name = build_name("evil.example"),
                      .match = MATCH_EXACT,
                      .trigger = TRIGGER_DOMAIN,
                      .action = ACTION_REFUSED,
                      .expires = 5000});
    add(rules, local,
        (struct rule){.name = build_name("evil.example"),
                      .match = MATCH_SUBTREE,
                      .trigger = TRIGGER_DOMAIN,
                      .action = ACTION_LOOPBACK,
                      .ttl = RULE_TTL_MAX,
                      .reference = "https://example.org/report/7",
                      .source = "policy.json",
                      .first_seen = 1,
                      .last_seen = 2});
    add(rules, local,
        (struct rule){.name = build_name("garden.test"),
                      .trigger = TRIGGER_DOMAIN,
                      .match = MATCH_SUBTREE,
                      .action = ACTION_CNAME,
                      .target = "*.walled.example"});
    add(rules, local,
        (struct rule){.name = build_name("data.example"),
                      .trigger = TRIGGER_DOMAIN,
                      .match = MATCH_SUBTREE,
                      .action = ACTION_LOCAL,
                      .records = "300 IN TXT \"hello\""});
    add(rules, local, (struct rule){.prefix = build_prefix("203.0.113.0/24"), .trigger = TRIGGER_IP, .action = ACTION_SINKHOLE});
    add(rules, local, (struct rule){.prefix = build_prefix("203.0.113.7"), .trigger = TRIGGER_IP, .action = ACTION_NODATA});
    add(rules, local, (struct rule){.prefix = build_prefix("2001:db8:bad::/48"), .trigger = TRIGGER_IP, .action = ACTION_NXDOMAIN});
    add(rules, local, (struct rule){.prefix = build_prefix("10.66.0.7"), .trigger = TRIGGER_CLIENT, .action = ACTION_PASSTHRU});
    struct name shielded = build_name("corp.example");
    struct prefix shield = build_prefix("198.51.100.0/24");
    assert_int_equal(ruleset_protect_name(rules, &shielded, false), 0);
    assert_int_equal(ruleset_protect_prefix(rules, &shield), 0);
    return rules;
}

struct file {
    uint8_t *octets;
    size_t size;
};

static struct file read_file(int fd) {
    struct file file = {.size = (size_t)lseek(fd, 0, SEEK_END)};
    file.octets = malloc(file.size);
    assert_non_null(file.octets);
    assert_int_equal(pread(fd, file.octets, file.size, 0), file.size);
    close(fd);
    return file;
}

static int try_open(const uint8_t *octets, size_t size, struct snapshot **snapshot, const char **why) {
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, octets, size, 0), size);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *why = NULL;
    int rc = snapshot_open(snapshot, path, why);
    close(fd);
    return rc;
}

static void assert_refused(const uint8_t *octets, size_t size) {
    struct snapshot *snapshot = NULL;
    const char *why;
    assert_int_equal(try_open(octets, size, &snapshot, &why), -EBADMSG);
    assert_non_null(why);
    assert_null(snapshot);
}

static void test_says(void **state) {
    struct snapshot *snapshot = build_snapshot(small_policy());
    assert_int_equal(snapshot_seed(snapshot), BUILD_SEED);
    assert_memory_equal(snapshot_digest(snapshot), ((uint8_t[16]){1, 2, 3}), 16);
    assert_int_equal(strspn(snapshot_id(snapshot), "0123456789abcdef"), 16);
    assert_int_equal(strlen(snapshot_id(snapshot)), 16);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    assert_int_equal(stats.rules, 10);
    assert_int_equal(stats.trigger[TRIGGER_DOMAIN], 6);
    assert_int_equal(stats.trigger[TRIGGER_IP], 3);
    assert_int_equal(stats.trigger[TRIGGER_CLIENT], 1);
    assert_int_equal(stats.zones, 4);
    assert_true(stats.resident_bytes > 0 && stats.resident_bytes < stats.file_bytes);
    assert_string_equal(snapshot_zone_name(snapshot, 2), "guests");
    assert_null(snapshot_zone_name(snapshot, 4));
    assert_int_equal(snapshot_zone_rules(snapshot, 3), 7);
    assert_int_equal(snapshot_zone_rules(snapshot, 4), 0);
    assert_true(match_has_client_rules(snapshot) && match_has_ip_rules(snapshot));
    struct rule_info info;
    assert_int_equal(snapshot_rule(snapshot, 1000, &info), -ENOENT);
    /* shared, and another opening is another generation */
    struct snapshot *same = snapshot_ref(snapshot);
    struct snapshot *other = build_snapshot(small_policy());
    assert_true(snapshot_generation(other) != snapshot_generation(snapshot) && snapshot_generation(snapshot) != 0);
    assert_string_equal(snapshot_id(other), snapshot_id(snapshot));
    snapshot_unref(snapshot);
    snapshot_repair_ask_all(same);
    snapshot_unref(same);
    snapshot_unref(other);
    snapshot_unref(NULL);
}

static unsigned open_files(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* A file that was replaced is given up by one of two who have it open: nothing of it is lost to the other, and nothing stays. */
static void test_replaced(void **state) {
    unsigned before = open_files();
    char path[] = "/tmp/sundew-snapshot-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct ruleset *rules = small_policy();
    assert_int_equal(compile_write(rules, &(struct compile_options){.seed = BUILD_SEED}, fd), 0);
    ruleset_free(rules);
    close(fd);
    struct snapshot *one = NULL, *other = NULL;
    assert_int_equal(snapshot_open(&one, path, NULL), 0);
    assert_int_equal(snapshot_open(&other, path, NULL), 0);
    unlink(path);
    snapshot_unref(one);
    struct rule_info info;
    assert_int_equal(snapshot_rule(other, 0, &info), 0);
    assert_string_equal(snapshot_zone_name(other, 2), "guests");
    snapshot_unref(other);
    assert_int_equal(open_files(), before);
}

/* Octets of the file's mapping that are in memory. */
static size_t mapped(const char *path) {
    FILE *smaps = fopen("/proc/self/smaps", "re");
    assert_non_null(smaps);
    char line[512];
    size_t kilobytes = 0, one;
    bool of_file = false;
    while (fgets(line, sizeof line, smaps) != NULL) {
        if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' '))
            of_file = strstr(line, path) != NULL;
        else if (of_file && sscanf(line, "Rss: %zu kB", &one) == 1)
            kilobytes += one;
    }
    fclose(smaps);
    return kilobytes * 1024;
}

static int add_lengths(void *context, uint32_t rule, const struct rule_info *info) {
    *(size_t *)context += strlen(info->text) + strlen(info->zone_name);
    return 0;
}

/* What was read of rules leaves memory when it is told to, and can be read again. */
static void test_rests(void **state) {
    char path[] = "/tmp/sundew-snapshot-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct ruleset *rules = small_policy();
    assert_int_equal(compile_write(rules, &(struct compile_options){.seed = BUILD_SEED}, fd), 0);
    ruleset_free(rules);
    close(fd);
    struct snapshot *snapshot = NULL;
    assert_int_equal(snapshot_open(&snapshot, path, NULL), 0);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    size_t lengths = 0, again = 0;
    snapshot_each(snapshot, add_lengths, &lengths);
    size_t before = mapped(path);
    snapshot_rest(snapshot);
    size_t after = mapped(path);
    assert_true(after < before && after <= (stats.resident_bytes | 4095) + 1);
    snapshot_each(snapshot, add_lengths, &again);
    assert_true(lengths > 0 && lengths == again);
    snapshot_unref(snapshot);
    unlink(path);
}

static void test_same_bytes(void **state) {
    struct file a = read_file(build_file(small_policy()));
    struct file b = read_file(build_file(small_policy()));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.octets, b.octets, a.size);
    free(a.octets);
    free(b.octets);
}

static void test_empty(void **state) {
    struct snapshot *snapshot = build_snapshot(build_rules());
    snapshot_repair_ask_all(snapshot);
    struct snapshot_stats stats;
    snapshot_stats(snapshot, &stats);
    assert_int_equal(stats.rules, 0);
    assert_false(match_has_client_rules(snapshot) || match_has_ip_rules(snapshot));
    snapshot_unref(snapshot);
}

static void test_flipped(void **state) {
    struct file file = read_file(build_file(small_policy()));
    for (size_t at = 0; at < file.size; at++) {
        for (int bit = at % 2 ? 0 : 7; bit < 8; bit += 3) {
            file.octets[at] ^= (uint8_t)(1 << bit);
            assert_refused(file.octets, file.size);
            file.octets[at] ^= (uint8_t)(1 << bit);
        }
    }
    struct snapshot *snapshot = NULL;
    const char *why;
    assert_int_equal(try_open(file.octets, file.size, &snapshot, &why), 0);
    snapshot_unref(snapshot);
    free(file.octets);
}

static void test_cut(void **state) {
    struct file file = read_file(build_file(small_policy()));
    for (size_t size = 0; size < file.size; size += size % 64 == 1 ? 63 : 1)
        assert_refused(file.octets, size);
    uint8_t *longer = calloc(1, file.size + 4096);
    assert_non_null(longer);
    memcpy(longer, file.octets, file.size);
    assert_refused(longer, file.size + 1);
    assert_refused(longer, file.size + 64);
    assert_refused(longer, file.size + 4096);
    free(longer);
    free(file.octets);
}

static void test_foreign(void **state) {
    uint8_t octets[8192];
    memset(octets, 'x', sizeof octets);
    assert_refused(octets, sizeof octets);
    memset(octets, 0, sizeof octets);
    assert_refused(octets, sizeof octets);
    struct snapshot *snapshot = NULL;
    const char *why = NULL;
    assert_int_equal(snapshot_open(&snapshot, "/nonexistent/policy.snapshot", &why), -ENOENT);
    assert_non_null(why);
    assert_int_equal(snapshot_open(&snapshot, "/", &why), -EBADMSG);
    assert_int_equal(snapshot_open(&snapshot, "/dev/null", NULL), -EBADMSG);
    /* another version, whole otherwise */
    struct file file = read_file(build_file(small_policy()));
    file.octets[offsetof(struct snapshot_header, version)]++;
    snapshot_repair(file.octets, file.size);
    assert_int_equal(try_open(file.octets, file.size, &snapshot, &why), -EBADMSG);
    assert_string_equal(why, "snapshot of another version");
    free(file.octets);
}

/* Damage that the checksums don't show, as if someone had made it on purpose: refused or harmless. */
static void test_forged(void **state) {
    struct file file = read_file(build_file(small_policy()));
    uint8_t *damaged = malloc(file.size);
    assert_non_null(damaged);
    uint64_t random = 20261122;
    unsigned opened = 0;
    for (int round = 0; round < 6000; round++) {
        memcpy(damaged, file.octets, file.size);
        for (unsigned i = 0; i <= (unsigned)round % 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)((random >> 33) % file.size);
            static const uint8_t VALUES[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
            damaged[at] = round % 3 ? VALUES[(random >> 20) % sizeof VALUES] : (uint8_t)(random >> 24);
        }
        snapshot_repair(damaged, file.size);
        struct snapshot *snapshot = NULL;
        const char *why;
        int rc = try_open(damaged, file.size, &snapshot, &why);
        if (rc == 0) {
            snapshot_repair_ask_all(snapshot);
            snapshot_unref(snapshot);
            opened++;
        } else
            assert_int_equal(rc, -EBADMSG);
    }
    assert_true(opened > 100 && opened < 6000);
    free(damaged);
    free(file.octets);
}

/* A profile that claims to be a protection, where a rule is expected: its zone and spec mean nothing and must not be used. */
static void test_forged_protection(void **state) {
    struct file file = read_file(build_file(small_policy()));
    struct snapshot_header header;
    memcpy(&header, file.octets, sizeof header);
    uint8_t *profiles = file.octets + header.section[SECTION_PROFILES].offset;
    unsigned opened = 0;
    for (size_t i = 0; i < header.section[SECTION_PROFILES].size / sizeof(struct profile); i++) {
        struct profile kept;
        memcpy(&kept, profiles + i * sizeof kept, sizeof kept);
        struct profile forged = {.zone = UINT16_MAX, .match = kept.match, .flags = PROFILE_PROTECTS, .spec = UINT32_MAX};
        memcpy(profiles + i * sizeof forged, &forged, sizeof forged);
        snapshot_repair(file.octets, file.size);
        struct snapshot *snapshot = NULL;
        const char *why;
        if (try_open(file.octets, file.size, &snapshot, &why) == 0) {
            snapshot_repair_ask_all(snapshot);
            snapshot_unref(snapshot);
            opened++;
        }
        memcpy(profiles + i * sizeof kept, &kept, sizeof kept);
    }
    assert_true(opened > 0);
    free(file.octets);
}

static void test_full_disk(void **state) {
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        skip();
    struct ruleset *rules = small_policy();
    struct compile_options options = {.seed = 1};
    assert_int_equal(compile_write(rules, &options, fd), -ENOSPC);
    ruleset_free(rules);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says),     cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_flipped),  cmocka_unit_test(test_cut),        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_forged),   cmocka_unit_test(test_full_disk),  cmocka_unit_test(test_forged_protection),
        cmocka_unit_test(test_replaced), cmocka_unit_test(test_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
