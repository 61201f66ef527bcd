/* test/unit/test_format_samples.c: the parsers over whole samples of feeds, where they are at hand, held against counts that
 * jansson and plain text searches give: another path to the same numbers. Without the samples (SUNDEW_SAMPLES, or
 * shared/feeds/samples beside the source) the tests are skipped. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "feeds_collect.h"

static const char *sample(const char *name) {
    static const char *const roots[] = {SUNDEW_SOURCE "/../shared/feeds/samples", SUNDEW_SOURCE "/../../shared/feeds/samples"};
    static char path[1024];
    const char *root = getenv("SUNDEW_SAMPLES");
    for (size_t i = 0; root == NULL && i < 2; i++)
        root = access(roots[i], R_OK) == 0 ? roots[i] : NULL;
    if (root == NULL)
        skip();
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static json_t *load(const char *name) {
    json_t *json = json_load_file(sample(name), 0, NULL);
    assert_non_null(json);
    return json;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_one_of(const char *word, const char *words) {
    char padded[64];
    snprintf(padded, sizeof padded, " %s ", word);
    return strstr(words, padded) != NULL;
}

/* All indicators, and those that were faulty, make up what the sample holds. */
static const struct collected *read_sample(enum format format, const char *name, size_t want, size_t faults) {
    const struct collected *result = collect_file(format, sample(name));
    assert_int_equal(result->error, 0);
    assert_int_equal(result->fault_count, faults);
    assert_int_equal(result->count, want - faults);
    return result;
}

static void threatfox(void **state) {
    json_t *export = load("threatfox/recent.json"), *records;
    size_t want = 0, index;
    const char *key;
    json_t *record;
    json_object_foreach(export, key, records) {
        json_array_foreach(records, index, record) want += is_one_of(text_of(record, "ioc_type"), " domain ip:port url ");
    }
    json_decref(export);
    read_sample(FORMAT_THREATFOX, "threatfox/recent.json", want, 0);
    json_t *answer = load("threatfox/api.json");
    want = 0;
    json_array_foreach(json_object_get(answer, "data"), index, record) want +=
        is_one_of(text_of(record, "ioc_type"), " domain ip:port url ");
    json_decref(answer);
    read_sample(FORMAT_THREATFOX, "threatfox/api.json", want, 0);
    assert_int_equal(collect_file(FORMAT_THREATFOX, sample("threatfox/recent-truncated.json"))->error, -EBADMSG);
    assert_int_equal(collect_file(FORMAT_THREATFOX, sample("threatfox/error-page.html"))->error, -EBADMSG);
    assert_int_equal(collect_file(FORMAT_THREATFOX, sample("threatfox/api-bad_key.json"))->error, -EBADMSG);
    assert_int_equal(collect_file(FORMAT_THREATFOX, sample("threatfox/api-no_result.json"))->error, -ENODATA);
}

static void feodo_and_urlhaus(void **state) {
    json_t *json = load("feodo/ipblocklist.json"), *records, *record;
    size_t want = json_array_size(json), broken = 0, index;
    const char *key;
    json_decref(json);
    read_sample(FORMAT_FEODO, "feodo/ipblocklist.json", want, 0);
    json = load("urlhaus/json_online.json");
    want = 0;
    json_object_foreach(json, key, records) {
        json_array_foreach(records, index, record) {
            const char *host = strstr(text_of(record, "url"), "://") + 3;
            size_t length = strcspn(host, "/");
            want++;
            broken += !memchr(host, '.', length) && !memchr(host, ':', length);
        }
    }
    json_decref(json);
    read_sample(FORMAT_URLHAUS, "urlhaus/json_online.json", want, broken);
}

static void otx(void **state) {
    static const char *const pages[] = {"otx/subscribed-page1.json", "otx/subscribed-page2.json"};
    for (size_t i = 0; i < 2; i++) {
        json_t *page = load(pages[i]), *pulse, *indicator;
        size_t want = 0, revoked = 0, at, within;
        json_array_foreach(json_object_get(page, "results"), at, pulse) {
            json_array_foreach(json_object_get(pulse, "indicators"), within, indicator) {
                bool seen = is_one_of(text_of(indicator, "type"), " domain hostname IPv4 IPv6 CIDR URL ");
                want += seen;
                revoked += seen && json_integer_value(json_object_get(indicator, "is_active")) == 0;
            }
        }
        json_decref(page);
        const struct collected *result = read_sample(FORMAT_OTX, pages[i], want, 0);
        size_t said = 0;
        for (const char *text = result->indicators; (text = strstr(text, "revoked id=")) != NULL; text++)
            said++;
        assert_int_equal(said, revoked);
    }
}

static void misp(void **state) {
    DIR *folder = opendir(sample("misp-feed"));
    struct dirent *entry;
    size_t events = 0;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char name[300];
        if (strlen(entry->d_name) != 41)
            continue;
        snprintf(name, sizeof name, "misp-feed/%s", entry->d_name);
        json_t *event = load(name), *attribute;
        size_t want = 0, index;
        json_array_foreach(json_object_get(json_object_get(event, "Event"), "Attribute"), index, attribute) want +=
            is_one_of(text_of(attribute, "type"), " domain hostname ip-dst url ");
        json_decref(event);
        const struct collected *result = collect_file(FORMAT_MISP, sample(name));
        assert_int_equal(result->error, 0);
        assert_int_equal(result->count + result->fault_count, want);
        assert_true(result->fault_count <= want / 50);
        events++;
    }
    closedir(folder);
    assert_int_equal(events, 24);
}

/* Counts comparisons that a DNS policy can be made of, in patterns without anything else. */
static size_t count_values(const char *pattern) {
    static const char *const paths[] = {"domain-name:value", "ipv4-addr:value", "ipv6-addr:value", "url:value"};
    size_t count = 0;
    if (strstr(pattern, " AND ") || strstr(pattern, " MATCHES ") || strstr(pattern, " LIKE ") || strstr(pattern, "FOLLOWEDBY"))
        return 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (const char *at = pattern; (at = strstr(at, paths[i])) != NULL; at++)
            count++;
    }
    return count;
}

static void stix(void **state) {
    static const char *const folders[] = {"stix/mvt", "stix/oasis"};
    size_t bundles = 0, total = 0, faults = 0;
    for (size_t i = 0; i < 2; i++) {
        DIR *folder = opendir(sample(folders[i]));
        struct dirent *entry;
        assert_non_null(folder);
        while ((entry = readdir(folder)) != NULL) {
            char name[300];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(name, sizeof name, "%s/%s", folders[i], entry->d_name);
            json_t *bundle = load(name), *object;
            size_t want = 0, index;
            json_array_foreach(json_object_get(bundle, "objects"), index, object) want +=
                strcmp(text_of(object, "type"), "indicator") == 0 ? count_values(text_of(object, "pattern")) : 0;
            json_decref(bundle);
            const struct collected *result = collect_file(FORMAT_STIX, sample(name));
            assert_int_equal(result->error, 0);
            if (result->count + result->fault_count != want)
                fail_msg("%s: %zu and %zu, not %zu", name, result->count, result->fault_count, want);
            total += result->count;
            faults += result->fault_count;
            bundles++;
        }
        closedir(folder);
    }
    assert_int_equal(bundles, 22);
    assert_int_equal(faults, 3);
    assert_true(total > 1000);
    const struct collected *result = collect_file(FORMAT_STIX, sample("stix/mvt/candiru.json"));
    assert_non_null(strstr(result->indicators, "domain conquerconfess.com family=Candiru first=2025-08-08T19:03:18Z"));
}

/* The same list in five dialects: two of its names are longer than a name may be. */
static void lists(void **state) {
    enum { NAMES = 4875, TOO_LONG = 2 };
    read_sample(FORMAT_DOMAINS, "lists/domains-tweetfeed.txt", NAMES, TOO_LONG);
    read_sample(FORMAT_HOSTS, "lists/hosts-tweetfeed.txt", NAMES, TOO_LONG);
    read_sample(FORMAT_ADBLOCK, "lists/adblock-tweetfeed.txt", NAMES, TOO_LONG);
    read_sample(FORMAT_DOMAINS, "lists/dnsmasq-tweetfeed.conf", NAMES, TOO_LONG);
    read_sample(FORMAT_RPZ, "lists/rpz-tweetfeed.rpz", 2 * NAMES, 2 * TOO_LONG);
}

static void warninglists(void **state) {
    DIR *folder = opendir(sample("warninglists"));
    struct dirent *entry;
    size_t lists = 0;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char name[300];
        if (entry->d_name[0] == '.' || entry->d_name[0] == '_')
            continue;
        snprintf(name, sizeof name, "warninglists/%s", entry->d_name);
        json_t *list = load(name);
        size_t want = json_array_size(json_object_get(list, "list"));
        json_decref(list);
        const struct collected *result = collect_file(FORMAT_WARNINGLIST, sample(name));
        assert_int_equal(result->error, 0);
        assert_int_equal(result->fault_count, 0);
        assert_int_equal(result->count + result->ignored_count, want);
        assert_int_equal(result->ignored_count == 0 ? 0 : want,
                         result->ignored_count); /* a list of hashes, or nothing of the kind */
        lists++;
    }
    closedir(folder);
    assert_int_equal(lists, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threatfox),    cmocka_unit_test(feodo_and_urlhaus),
        cmocka_unit_test(otx),          cmocka_unit_test(misp),
        cmocka_unit_test(stix),         cmocka_unit_test(lists),
        cmocka_unit_test(warninglists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
