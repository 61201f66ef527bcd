/* test/unit/test_format_misp.c: MISP events in all their wrappers, their types, flags and tags; and manifests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feeds/misp_manifest.h"
#include "feeds_collect.h"

#define ATTRIBUTE(value) "{\"uuid\":\"u\",\"type\":\"domain\",\"to_ids\":true,\"value\":\"" value "\"}"

static void expect(const struct collected *result, const char *indicators) {
    assert_string_equal(result->faults, "");
    assert_int_equal(result->error, 0);
    assert_string_equal(result->indicators, indicators);
}

static void wrappers(void **state) {
    static const char want[] = "domain a.example family=i id=u\n";
    expect(collect(FORMAT_MISP, "{\"Event\":{\"info\":\"i\",\"Attribute\":[" ATTRIBUTE("a.example") "]}}"), want);
    expect(collect(FORMAT_MISP, "{\"response\":[{\"Event\":{\"Attribute\":[" ATTRIBUTE("a.example") "],\"info\":\"i\"}}]}"), want);
    expect(collect(FORMAT_MISP, "{\"info\":\"i\",\"Attribute\":[" ATTRIBUTE("a.example") "]}"), want);
    expect(collect(FORMAT_MISP, "[{\"Event\":{\"info\":\"i\",\"Attribute\":[" ATTRIBUTE("a.example") "]}}]"), want);
    expect(collect(FORMAT_MISP, "[{\"info\":\"i\",\"Attribute\":[" ATTRIBUTE("a.example") "]}]"), want);
    expect(collect(FORMAT_MISP,
                   "{\"response\":{\"Attribute\":[{\"uuid\":\"u\",\"type\":\"domain\",\"to_ids\":true,\"value\":\"a.example\","
                   "\"Event\":{\"id\":\"7\",\"info\":\"i\"}}]}}"),
           want);
    expect(collect(FORMAT_MISP, "{\"response\":[]}"), "");
    expect(collect(FORMAT_MISP, "{\"response\":{\"Attribute\":[]}}"), "");
    /* Two events: each keeps its own family. */
    expect(collect(FORMAT_MISP, "{\"response\":[{\"Event\":{\"Attribute\":[" ATTRIBUTE(
                                    "a.example") "],\"info\":\"one\"}},"
                                                 "{\"Event\":{\"Attribute\":[" ATTRIBUTE("b.example") "],\"info\":\"two\"}}]}"),
           "domain a.example family=one id=u\ndomain b.example family=two id=u\n");
    assert_int_equal(collect(FORMAT_MISP, "{\"name\":\"Authentication failed.\",\"message\":\"x\"}")->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_MISP, "[\"dnsbirthday\"]")->error, -EBADMSG);
    assert_int_equal(collect(FORMAT_MISP, "{\"Event\":{\"Attribute\":[" ATTRIBUTE("a.example") ",]}}")->error, -EBADMSG);
}

static void types(void **state) {
    const struct collected *result =
        collect(FORMAT_MISP,
                "{\"Event\":{\"date\":\"2026-04-21\",\"timestamp\":\"1776809739\",\"Attribute\":["
                "{\"type\":\"domain\",\"to_ids\":true,\"value\":\"Context.ai\",\"comment\":\"https://x.com/"
                "1\",\"timestamp\":\"1776737827\"},"
                "{\"type\":\"hostname\",\"to_ids\":\"1\",\"value\":\"h.example\",\"comment\":\"seen https://x.com/1\"},"
                "{\"type\":\"ip-dst\",\"to_ids\":true,\"value\":\"192.0.2.1\",\"first_seen\":\"2022-04-21T17:48:23.000000+00:00\","
                "\"last_seen\":\"2022-04-22T17:48:23.000000+02:00\"},"
                "{\"type\":\"ip-src\",\"to_ids\":true,\"value\":\"192.0.2.2\"},"
                "{\"type\":\"url\",\"to_ids\":true,\"value\":\"http://api.example.com/*\"},"
                "{\"type\":\"uri\",\"to_ids\":true,\"value\":\"u.example/x...\"},"
                "{\"type\":\"domain|ip\",\"to_ids\":true,\"value\":\"wsaudio.example|178.20.157.189\",\"uuid\":\"c\"},"
                "{\"type\":\"hostname|port\",\"to_ids\":true,\"value\":\"p.example|8080\"},"
                "{\"type\":\"ip-dst|port\",\"to_ids\":true,\"value\":\"94.75.207.3|35247\"},"
                "{\"type\":\"ip-dst|port\",\"to_ids\":true,\"value\":\"2001:db8::1|443\"},"
                "{\"type\":\"sha256\",\"to_ids\":true,\"value\":\"aa\"},{\"type\":\"domain\",\"to_ids\":true,\"value\":null},"
                "{\"type\":\"domain\",\"to_ids\":true,\"value\":\"bad name\"}]}}");
    assert_int_equal(result->error, 0);
    assert_int_equal(result->fault_count, 2);
    assert_non_null(strstr(result->faults, " Attribute[12].value a blank inside: \"bad name\"\n"));
    assert_string_equal(result->indicators, "domain context.ai ref=https://x.com/1 first=2026-04-21T00:00:00Z\n"
                                            "domain h.example first=2026-04-21T00:00:00Z\n"
                                            "ip 192.0.2.1 first=2022-04-21T17:48:23Z last=2022-04-22T15:48:23Z\n"
                                            "domain api.example.com first=2026-04-21T00:00:00Z from_url\n"
                                            "domain u.example first=2026-04-21T00:00:00Z from_url\n"
                                            "domain wsaudio.example first=2026-04-21T00:00:00Z id=c\n"
                                            "ip 178.20.157.189 first=2026-04-21T00:00:00Z id=c\n"
                                            "domain p.example first=2026-04-21T00:00:00Z\n"
                                            "ip 94.75.207.3 first=2026-04-21T00:00:00Z\n"
                                            "ip 2001:db8::1 first=2026-04-21T00:00:00Z\n");
    assert_string_equal(result->ignored, "a source address (ip-src)\na kind of indicator that DNS doesn't see\n");
}

static void flags(void **state) {
    expect(
        collect(
            FORMAT_MISP,
            "{\"Event\":{\"Attribute\":["
            "{\"type\":\"domain\",\"to_ids\":false,\"value\":\"a.example\"},{\"type\":\"domain\",\"to_ids\":\"0\",\"value\":\"b."
            "example\"},"
            "{\"type\":\"domain\",\"to_ids\":true,\"deleted\":true,\"value\":\"c.example\",\"uuid\":\"c\"}],"
            "\"Object\":[{\"name\":\"domain-ip\",\"Attribute\":[{\"type\":\"domain\",\"to_ids\":true,\"value\":\"d.example\"}]},"
            "{\"Attribute\":[{\"type\":\"domain\",\"to_ids\":true,\"value\":\"e.example\",\"uuid\":\"e\"}],\"deleted\":true}]}}"),
        "domain a.example not_to_ids\ndomain b.example not_to_ids\nrevoked id=c\ndomain d.example\nrevoked id=e\n");
}

static void families(void **state) {
    /* The attribute's galaxy, over the event's, over the event's info; malpedia before an actor; the tags last. */
    expect(
        collect(FORMAT_MISP,
                "{\"Event\":{\"info\":\"campaign\",\"Attribute\":["
                "{\"type\":\"domain\",\"to_ids\":true,\"value\":\"a.example\",\"Tag\":[{\"name\":\"misp-galaxy:threat-actor="
                "\\\"APT\\\"\"},"
                "{\"name\":\"misp-galaxy:malpedia=\\\"Rem\\\"c=os\\\"\"}]},"
                "{\"type\":\"domain\",\"to_ids\":true,\"value\":\"b.example\",\"Tag\":[{\"name\":\"malware\"},{\"name\":null},7]}],"
                "\"Tag\":[{\"name\":\"tlp:clear\"},{\"name\":\"misp-galaxy:ransomware=\\\"Locker\\\"\"},"
                "{\"name\":\"estimative-language:confidence-in-analytic-judgment=\\\"high\\\"\"}]}}"),
        "domain a.example conf=90 family=Rem\"c=os\ndomain b.example conf=90 family=Locker\n");
    expect(collect(FORMAT_MISP,
                   "{\"Event\":{\"Tag\":[{\"name\":\"x\"}],\"info\":\"campaign\",\"Attribute\":[" ATTRIBUTE("a.example") "]}}"),
           "domain a.example family=campaign id=u\n");
}

struct input {
    const char *at;
};

static long read_some(void *context, char *buffer, size_t size) {
    struct input *input = context;
    size_t length = strnlen(input->at, size);
    memcpy(buffer, input->at, length);
    input->at += length;
    return (long)length;
}

static int on_event(void *context, const char *uuid, int64_t timestamp) {
    char *out = context;
    sprintf(out + strlen(out), "%s %lld\n", uuid, (long long)timestamp);
    return 0;
}

static int manifest(const char *text, char *out, char why[MISP_MANIFEST_WHY_MAX]) {
    struct input input = {text};
    out[0] = why[0] = '\0';
    return misp_manifest_read(read_some, &input, on_event, out, why);
}

static void manifests(void **state) {
    char out[1024], why[MISP_MANIFEST_WHY_MAX];
    assert_int_equal(
        manifest(
            "{\"2E035642-c558-5019-89f2-bc7bdf8b34ce\":{\"info\":\"x\",\"timestamp\":\"1755989538\",\"Orgc\":{\"name\":\"y\"}},"
            "\"../../etc/passwd\":{\"timestamp\":1},\"3e035642-c558-5019-89f2-bc7bdf8b34ce\":{\"timestamp\":5},"
            "\"4e035642-c558-5019-89f2-bc7bdf8b34ce\":[1]}",
            out, why),
        0);
    assert_string_equal(out, "2e035642-c558-5019-89f2-bc7bdf8b34ce 1755989538\n3e035642-c558-5019-89f2-bc7bdf8b34ce 5\n");
    assert_int_equal(manifest("{}", out, why), 0);
    static const char *const texts[] = {"", "<html>", "[]", "{\"error\":\"x\"}",
                                        "{\"2e035642-c558-5019-89f2-bc7bdf8b34ce\":{\"info\":\"x\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(manifest(texts[i], out, why), -EBADMSG);
        assert_true(why[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrappers), cmocka_unit_test(types),     cmocka_unit_test(flags),
        cmocka_unit_test(families), cmocka_unit_test(manifests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
