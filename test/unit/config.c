/* test/unit/config.c: every key is read, every fault is said at its place, and nothing is half-built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "config/build.h"
#include "config/config.h"
#include "config/value.h"

static void note(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    fprintf(context, "%s:%u:%u: %s: %s\n", file, line, column, path, message);
}

/* Parses text as /etc/sundew/t.json; *faults (the caller frees) holds what was said. */
static struct config *parse(const char *text, size_t length, char **faults) {
    size_t size;
    FILE *stream = open_memstream(faults, &size);
    struct config *config = config_parse("/etc/sundew/t.json", text, length, note, stream);
    fclose(stream);
    return config;
}

static struct config *good(const char *text) {
    char *faults;
    struct config *config = parse(text, strlen(text), &faults);
    assert_string_equal(faults, "");
    assert_non_null(config);
    free(faults);
    return config;
}

static void bad(const char *text, const char *wanted) {
    char *faults;
    struct config *config = parse(text, strlen(text), &faults);
    assert_string_equal(faults, wanted);
    assert_null(config);
    free(faults);
}

#define T "/etc/sundew/t.json:"

static void defaults(void **state) {
    struct config *config = good("{}");
    assert_string_equal(config->path, "/etc/sundew/t.json");
    assert_int_equal(config->listen_count, 2);
    assert_string_equal(config->listen[0].text, "dns://127.0.0.1:53");
    assert_string_equal(config->listen[1].text, "dns://[::1]:53");
    assert_int_equal(config->allow_count, 8);
    assert_true(config->workers >= 1);
    assert_int_equal(config->cache.size, 128 << 20);
    assert_int_equal(config->cache.min_ttl, 0);
    assert_int_equal(config->cache.max_ttl, 86400);
    assert_int_equal(config->cache.max_negative_ttl, 3600);
    assert_int_equal(config->cache.serve_stale, 86400);
    assert_true(config->cache.prefetch);
    assert_int_equal(config->policy.action, ACTION_LOOPBACK);
    assert_int_equal(config->policy.ttl, 2147483647);
    assert_memory_equal(config->policy.loopback.bytes + 12, "\x7f\0\0\x03", 4);
    assert_true(config->policy.break_dnssec && config->policy.extended_errors);
    assert_false(config->policy.has_ipv4 || config->policy.has_ipv6);
    assert_int_equal(config->log.repeat, 60);
    assert_null(config->log.queries);
    assert_int_equal(config->clients.keep, 90 * 86400);
    assert_int_equal(config->clients.max_size, 1 << 30);
    assert_true(config->history.enabled);
    assert_int_equal(config->history.keep, 7 * 86400);
    assert_int_equal(config->history.max_size, 256 << 20);
    assert_false(config->http.enabled);
    assert_true(config->forward_from_system);
    config_unref(config);
}

/* The zone of `whole` that gives every key. */
static void check_full_zone(const struct zone_config *b) {
    assert_string_equal(b->source, "https://user:pw@feeds.example/x?y=z");
    assert_string_equal(b->format, "threatfox");
    assert_int_equal(b->refresh, 600);
    assert_int_equal(b->min_confidence, 75);
    assert_int_equal(b->max_age, 30 * 86400);
    assert_int_equal(b->action, ACTION_CNAME);
    assert_string_equal(b->target, "*.garden.example");
    assert_int_equal(b->mode, MODE_MONITOR);
    assert_int_equal(b->family_count, 1);
    assert_true(b->threat_types_set);
    assert_true(b->exclude_compromised && b->refang && !b->to_ids);
    assert_int_equal(b->urls, URLS_HOSTS);
    assert_int_equal(b->max_rules, 10);
    assert_int_equal(b->max_shrink, 10);
    assert_int_equal(b->max_grow, 20);
    assert_int_equal(b->max_size, 1 << 20);
    assert_int_equal(b->window, 0);
    assert_int_equal(b->match, MATCH_BELOW);
    assert_int_equal(b->ttl, RULE_TTL_MAX);
    assert_int_equal(b->confidence, 40);
    assert_string_equal(b->post, "{\"query\": [1, \"x\"]}");
    assert_int_equal(b->client_count, 2);
}

static void whole(void **state) {
    struct config *config = good(
        "{ \"_comment\": {\"x\": [1]}, \"listen\": [\"dns://0.0.0.0:53\", \"dns://[::]:5353\"], \"allow\": [\"10.0.0.0/8\"],"
        " \"workers\": 3, \"state_dir\": \"state\", \"control\": \"./run/c.sock\","
        " \"forward\": [{\"zone\": \".\", \"to\": [\"dns://192.0.2.53:5301\", \"DNS://192.0.2.54\"]},"
        "               {\"zone\": \"Corp.Example\", \"to\": [\"dns://10.0.0.53\"]}],"
        " \"cache\": {\"size\": \"1G\", \"min_ttl\": 5, \"max_ttl\": \"2h\", \"max_negative_ttl\": 60, \"serve_stale\": 0, "
        "\"prefetch\": false},"
        " \"policy\": {\"action\": \"sinkhole\", \"ttl\": 300, \"loopback\": \"127.0.0.9\", \"sinkhole\": {\"ipv4\": "
        "\"192.0.2.66\","
        "              \"ipv6\": \"2001:db8::66\"}, \"break_dnssec\": false, \"extended_errors\": false,"
        "              \"never_block\": [\"never.json\", \"./never.json\", \"/abs/x\"]},"
        " \"zones\": [{\"name\": \"a\", \"source\": \"policy.d/*.json\"},"
        "  {\"name\": \"b\", \"source\": \"https://user:pw@feeds.example/x?y=z\", \"format\": \"threatfox\", \"refresh\": \"10m\","
        "   \"min_confidence\": 75, \"max_age\": \"30d\", \"action\": \"cname\", \"target\": \"*.garden.example\", \"mode\": "
        "\"monitor\","
        "   \"families\": [\"Emotet\"], \"exclude_families\": [], \"threat_types\": [], \"exclude_compromised\": true, \"to_ids\": "
        "false,"
        "   \"urls\": \"hosts\", \"max_rules\": 10, \"max_shrink\": 10, \"max_grow\": 20, \"max_size\": \"1M\", \"refang\": true,"
        "   \"window\": false, \"match\": \"below\", \"ttl\": \"max\", \"confidence\": 40, \"post\": {\"query\": [1, \"x\"]},"
        "   \"username\": \"u\", \"password_file\": \"/dev/null\", \"ca_file\": null, \"clients\": [\"10.9.0.0/16\", \"::1\"]},"
        "  {\"name\": \"c\", \"rules\": [\"x.example\"]}],"
        " \"log\": {\"hits\": null, \"repeat\": \"5m\", \"queries\": \"q.jsonl\", \"syslog\": true},"
        " \"clients\": {\"leases\": [{\"format\": \"kea\", \"path\": \"k.csv\"}], \"trust\": [\"127.0.0.1\"], \"keep\": \"1d\", "
        "\"max_size\": \"2M\"},"
        " \"history\": null, \"http\": {\"listen\": \"[::1]:9153\", \"token_file\": null}, \"dnstap\": {\"tcp\": "
        "\"127.0.0.1:6000\", \"queries\": true} }");
    assert_int_equal(config->listen_count, 2);
    assert_int_equal(config->listen[1].address.ss_family, AF_INET6);
    assert_int_equal(value_port(&config->listen[1].address), 5353);
    assert_int_equal(config->allow_count, 1);
    assert_int_equal(config->allow[0].length, 104);
    assert_int_equal(config->workers, 3);
    assert_string_equal(config->state_dir, "/etc/sundew/state");
    assert_string_equal(config->control, "/etc/sundew/run/c.sock");
    assert_int_equal(config->forward_count, 2);
    assert_false(config->forward_from_system);
    assert_int_equal(value_port(&config->forward[0].to[0].address), 5301);
    assert_int_equal(value_port(&config->forward[0].to[1].address), 53);
    assert_memory_equal(config->forward[1].zone.wire, "\4corp\7example", 14);
    assert_int_equal(config->cache.size, 1 << 30);
    assert_int_equal(config->cache.min_ttl, 5);
    assert_int_equal(config->cache.max_ttl, 7200);
    assert_int_equal(config->cache.serve_stale, 0);
    assert_false(config->cache.prefetch);
    assert_int_equal(config->policy.action, ACTION_SINKHOLE);
    assert_int_equal(config->policy.ttl, 300);
    assert_true(config->policy.has_ipv4 && config->policy.has_ipv6);
    assert_false(config->policy.break_dnssec || config->policy.extended_errors);
    assert_int_equal(config->policy.never_block_count, 3);
    assert_string_equal(config->policy.never_block[0], "never.json"); /* no '/': a name */
    assert_string_equal(config->policy.never_block[1], "/etc/sundew/never.json");
    assert_string_equal(config->policy.never_block[2], "/abs/x");
    assert_int_equal(config->zone_count, 3);
    assert_string_equal(config->zones[0].source, "/etc/sundew/policy.d/*.json");
    assert_int_equal(config->zones[0].action, CONFIG_UNSET);
    assert_int_equal(config->zones[0].mode, CONFIG_UNSET);
    assert_int_equal(config->zones[0].min_confidence, CONFIG_UNSET);
    assert_int_equal(config->zones[0].refresh, 3600);
    assert_int_equal(config->zones[0].max_size, 512 << 20);
    assert_int_equal(config->zones[0].max_rules, CONFIG_UNSET);
    assert_true(config->zones[0].to_ids);
    assert_false(config->zones[0].clients_set || config->zones[0].threat_types_set);
    check_full_zone(&config->zones[1]);
    assert_string_equal(config->zones[2].source, "builtin:c");
    assert_non_null(strstr(config->zones[2].builtin, "{\"rules\":"));
    assert_null(config->log.hits);
    assert_string_equal(config->log.queries, "/etc/sundew/q.jsonl");
    assert_int_equal(config->log.repeat, 300);
    assert_int_equal(config->log.syslog.transport, SYSLOG_UNIX);
    assert_string_equal(config->clients.leases[0].format, "kea");
    assert_string_equal(config->clients.leases[0].path, "/etc/sundew/k.csv");
    assert_int_equal(config->clients.trust_count, 1);
    assert_false(config->history.enabled);
    assert_true(config->http.enabled);
    assert_int_equal(value_port(&config->http.address), 9153);
    assert_string_equal(config->dnstap.tcp->text, "127.0.0.1:6000");
    assert_true(config->dnstap.queries && !config->dnstap.responses);
    assert_ptr_equal(config_ref(config), config);
    config_unref(config);
    config_unref(config);
}

static void all_faults_at_once(void **state) {
    bad("{\n"
        "  \"lisen\": [],\n"
        "  \"workers\": -1,\n"
        "  \"zones\": [\n"
        "    {\"name\": \"a\", \"source\": \"x.json\"},\n"
        "    {\"name\": \"a\", \"source\": \"ftp://x/\", \"refresh\": \"10 minutes\",\n"
        "     \"action\": \"sinkole\", \"min_confidence\": 101},\n"
        "    {\"sorce\": \"x\"}\n"
        "  ],\n"
        "  \"workers\": 2\n"
        "}",
        T "2:3: lisen: unknown key; did you mean \"listen\"?\n" T "3:14: workers: must be from 0 to 256\n" T
          "6:14: zones[1].name: is the name of zones[0] already\n" T
          "6:29: zones[1].source: a URL begins with https:// or http://\n" T
          "6:52: zones[1].refresh: a duration is wanted here: seconds as a number, or \"90s\" \"10m\" \"24h\" \"7d\" \"2w\"\n" T
          "7:16: zones[1].action: \"sinkole\" is unknown; did you mean \"sinkhole\"?\n" T
          "7:45: zones[1].min_confidence: must be from 0 to 100\n" T "8:5: zones[2].name: is missing\n" T
          "8:5: zones[2].source: is missing: a file, a glob, or an http(s) URL\n" T
          "8:6: zones[2].sorce: unknown key; did you mean \"source\"?\n" T "10:3: workers: given twice; the first is in line 3\n");
}

static void not_json(void **state) {
    bad("", T "1:1: .: not JSON: there is no JSON here: the text is empty\n");
    bad("{\"zones\": [{\"name\": \"x\",}]}", T "1:25: zones[0]: not JSON: nothing comes after the last ','\n");
    bad("{\"cache\": {\"size\": 1x}}", T "1:21: cache: not JSON: a ',' or '}' is expected here\n");
    bad("{\"cache\" 3}", T "1:10: cache: not JSON: a ':' is expected after a key\n");
    bad("[]", T "1:1: .: a configuration is one JSON object: { \"listen\": ..., \"zones\": ... }\n");
    bad("{\"a\x1b[2J\": 1}", T "1:4: .: not JSON: a control character in a string: write it as \\u00XX\n");
    bad("{\"a\\u001b[2J\": 1}", T "1:2: [\"a?[2J\"]: unknown key\n");
}

static void check_syslog(const char *value, enum syslog_transport transport, const char *wanted, unsigned port) {
    char text[128];
    snprintf(text, sizeof text, "{\"log\": {\"syslog\": %s}}", value);
    struct config *config = good(text);
    const struct syslog_target *target = &config->log.syslog;
    assert_int_equal(target->transport, transport);
    assert_int_equal(target->own, strcmp(value, "true") == 0);
    if (transport == SYSLOG_UNIX) {
        assert_int_equal(target->address.ss_family, AF_UNIX);
        assert_string_equal(((const struct sockaddr_un *)&target->address)->sun_path, wanted);
    } else if (transport != SYSLOG_OFF) {
        assert_int_equal(value_port(&target->address), port);
    }
    config_unref(config);
}

static void syslog_targets(void **state) {
    check_syslog("false", SYSLOG_OFF, NULL, 0);
    check_syslog("null", SYSLOG_OFF, NULL, 0);
    check_syslog("true", SYSLOG_UNIX, "/dev/log", 0);
    check_syslog("\"unix:/run/s.sock\"", SYSLOG_UNIX, "/run/s.sock", 0);
    check_syslog("\"unix:s.sock\"", SYSLOG_UNIX, "/etc/sundew/s.sock", 0);
    check_syslog("\"udp://192.0.2.14\"", SYSLOG_UDP, NULL, 514);
    check_syslog("\"udp://[2001:db8::1]:5514\"", SYSLOG_UDP, NULL, 5514);
    check_syslog("\"tcp://192.0.2.14\"", SYSLOG_TCP, NULL, 601);
    bad("{\"log\": {\"syslog\": 1}}", T "1:20: log.syslog: false, true, or where a collector is: \"udp://192.0.2.14:514\", "
                                        "\"tcp://192.0.2.14:601\" or \"unix:/dev/log\", or null\n");
    bad("{\"log\": {\"syslog\": \"tls://192.0.2.14\"}}",
        T "1:20: log.syslog: not a scheme that is known: udp://, tcp:// or unix:\n");
    bad("{\"log\": {\"syslog\": \"/dev/log\"}}",
        T "1:20: log.syslog: begins with udp://, tcp:// or unix:, as in udp://192.0.2.14:514 or unix:/dev/log\n");
    bad("{\"log\": {\"syslog\": \"udp://collector\"}}", T "1:20: log.syslog: an IP address is wanted here, not a name\n");
    bad("{\"log\": {\"syslog\": \"unix:\"}}", T "1:20: log.syslog: a path comes after unix:, as in unix:/dev/log\n");
}

static void endpoints(void **state) {
    bad("{\"listen\": [\"tls://0.0.0.0:853\", \"https://0.0.0.0:443/dns-query\", \"127.0.0.1\", \"udp://1.2.3.4\", \"dns://::1\","
        " \"dns://localhost\", \"dns://1.2.3.4:0\", \"dns://[::1\", 5, \"tls://9.9.9.9#\"]}",
        T "1:13: listen[0]: this build doesn't speak tls:// yet; use dns://\n" T
          "1:34: listen[1]: this build doesn't speak https:// yet; use dns://\n" T
          "1:67: listen[2]: begins with dns://, as in dns://192.0.2.53 or dns://[2001:db8::53]:5353\n" T
          "1:80: listen[3]: not a scheme that is known: dns://, tls:// or https://\n" T
          "1:97: listen[4]: an IPv6 address goes into brackets, like [2001:db8::1]:53\n" T
          "1:110: listen[5]: an IP address is wanted here, not a name\n" T
          "1:129: listen[6]: a port is a number from 1 to 65535\n" T "1:148: listen[7]: the ']' is missing\n" T
          "1:162: listen[8]: text in double quotes is wanted here\n" T "1:165: listen[9]: a name comes after '#'\n");
    bad("{\"listen\": [], \"forward\": [{\"zone\": \".\", \"to\": []}]}",
        T "1:12: listen: is empty: there would be nothing to answer on\n" T
          "1:48: forward[0].to: is empty: there is nobody to ask\n");
    bad("{\"listen\": [\"dns://127.0.0.1\", \"dns://127.0.0.1:53\"]}", T "1:32: listen[1]: is listened on already\n");
    bad("{\"listen\": [\"dns://0.0.0.0\"], \"forward\": [{\"zone\": \".\", \"to\": [\"dns://127.0.0.1\"]}]}",
        T "1:64: forward[0].to[0]: is this daemon itself (\"listen\")\n");
    bad("{\"forward\": [{\"zone\": \"a.b\", \"to\": [\"dns://192.0.2.1\"]}, {\"zone\": \"A.b.\", \"to\": [\"dns://192.0.2.2\"]}, "
        "{}]}",
        T "1:67: forward[1].zone: is given already in forward[0]\n" T "1:103: forward[2].zone: is missing (\".\" is all names)\n" T
          "1:103: forward[2].to: is missing: the servers to ask, as in [\"dns://192.0.2.53\"]\n");
    bad("{\"allow\": [\"10.0.0.1/8\"]}", T "1:12: allow[0]: host bits set\n");
}

static void contradictions(void **state) {
    bad("{\"zones\": [{\"name\": \"x\", \"source\": \"x\", \"action\": \"sinkhole\"}]}",
        T "1:51: zones[0].action: sinkhole needs policy.sinkhole.ipv4 or policy.sinkhole.ipv6\n");
    bad("{\"zones\": [{\"name\": \"x\", \"source\": \"x\", \"action\": \"cname\"}]}",
        T "1:51: zones[0].action: cname needs a \"target\" beside it\n");
    bad("{\"policy\": {\"action\": \"local\"}}", T "1:23: policy.action: local is for single rules: it needs their \"records\"\n");
    bad("{\"zones\": [{\"name\": \"\", \"source\": \"http:///x\", \"clients\": []}, {\"name\": \"a\\u0007\", \"rules\": [], "
        "\"source\": \"y\"}]}",
        T "1:21: zones[0].name: is empty\n" T "1:35: zones[0].source: the URL has no host\n" T
          "1:59: zones[0].clients: is empty: the zone would hold for nobody (without it, for all)\n" T
          "1:73: zones[1].name: holds a control character\n" T "1:84: zones[1].rules: a zone has either \"source\" or \"rules\"\n");
    bad("{\"zones\": [{\"name\": \"x\", \"source\": \"x\", \"format\": \"misb\", \"headers_file\": \"/nonexistent\"}]}",
        T "1:51: zones[0].format: \"misb\" is unknown; did you mean \"misp\"?\n" T
          "1:75: zones[0].headers_file: /nonexistent cannot be read: No such file or directory\n");
    bad("{\"cache\": {\"min_ttl\": 90, \"max_ttl\": \"1m\"}}", T "1:23: cache.min_ttl: cache.min_ttl is above cache.max_ttl\n");
    bad("{\"policy\": {\"never_block\": [\"a..b\", \"corp.example\"]}}",
        T "1:29: policy.never_block[0]: not a domain name: empty label (a file is written with a '/': \"./a..b\")\n");
    bad("{\"http\": {\"listen\": \"0.0.0.0:9153\"}}",
        T "1:21: http.listen: needs http.token_file: without one, only a loopback address is served\n");
    bad("{\"cache\": null}", T "1:11: cache: can't be switched off with null: an object is wanted here: {...}\n");
}

static void wrong_kinds(void **state) {
    /* Every row of the table refuses an array of an array, and says so at the right place. */
    for (size_t i = 0; i < config_table_size; i++) {
        const struct key *key = &config_table[i];
        if (key->type == TYPE_RULES)
            continue; /* what rules are is the feeder's to say */
        char before[128] = "", after[64] = "", text[512], copy[64], *save, *part;
        snprintf(copy, sizeof copy, "%s", key->path);
        size_t prefix = 0;
        for (part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
            char *array = strstr(part, "[]");
            if (array)
                *array = '\0';
            prefix += (size_t)snprintf(before + prefix, sizeof before - prefix, array ? "{\"%s\":[" : "{\"%s\":", part);
            memmove(after + (array ? 2 : 1), after, strlen(after) + 1);
            memcpy(after, array ? "]}" : "}", array ? 2 : 1);
        }
        snprintf(text, sizeof text, "%s[[]]%s", before, after);
        char *faults;
        assert_null(parse(text, strlen(text), &faults));
        char place[32];
        size_t at = strlen(before);
        snprintf(place, sizeof place, T "1:%zu: ", at + 1);
        char element[32];
        snprintf(element, sizeof element, T "1:%zu: ", at + 2);
        if (!strstr(faults, place) && !strstr(faults, element))
            fail_msg("%s: %s", text, faults);
        free(faults);
    }
}

static void values(void **state) {
    int64_t n = 7;
    assert_int_equal(config_duration("90", &n), 0);
    assert_int_equal(n, 90);
    assert_int_equal(config_duration("90s", &n), 0);
    assert_int_equal(config_duration("10m", &n), 0);
    assert_int_equal(n, 600);
    assert_int_equal(config_duration("24h", &n), 0);
    assert_int_equal(n, 86400);
    assert_int_equal(config_duration("2w", &n), 0);
    assert_int_equal(n, 14 * 86400);
    static const char *const bad_durations[] = {
        "", "s", "-1", "1.5h", "10 m", "10min", "99999999999999999999", "9223372036854775807w", "1M"};
    for (size_t i = 0; i < sizeof bad_durations / sizeof *bad_durations; i++)
        assert_int_equal(config_duration(bad_durations[i], &n), -EINVAL);
    assert_int_equal(n, 14 * 86400);
    assert_int_equal(config_size("64M", &n), 0);
    assert_int_equal(n, 64 << 20);
    assert_int_equal(config_size("1g", &n), 0);
    assert_int_equal(n, 1 << 30);
    assert_int_equal(config_size("64MB", &n), -EINVAL);
    assert_int_equal(config_size("99999999T", &n), -EINVAL);
}

static void suggestions(void **state) {
    static const char *const words[] = {"listen", "log", "zones", "cache", NULL};
    assert_string_equal(config_did_you_mean("lsiten", words), "listen");
    assert_string_equal(config_did_you_mean("zone", words), "zones");
    assert_string_equal(config_did_you_mean("Cache", words), "cache");
    assert_string_equal(config_did_you_mean("logs", words), "log");
    assert_null(config_did_you_mean("upstream", words));
    assert_null(config_did_you_mean("", words));
    assert_null(config_did_you_mean("a-very-long-word-that-is-none-of-ours-at-all", words));
}

static void embedded_default(void **state) {
    char *faults;
    size_t size;
    FILE *stream = open_memstream(&faults, &size);
    setenv("XDG_STATE_HOME", "/tmp/xdg", 1);
    struct config *config = config_load(NULL, note, stream);
    fclose(stream);
    assert_string_equal(faults, "");
    assert_non_null(config);
    assert_null(config->path);
    assert_string_equal(config->listen[0].text, "dns://127.0.0.1:5300");
    assert_string_equal(config->state_dir, "/tmp/xdg/sundew");
    assert_string_equal(config->log.hits, "/tmp/xdg/sundew/hits.jsonl");
    assert_string_equal(config->zones[0].name, "sundew-test");
    assert_string_equal(config->zones[0].source, "builtin:sundew-test");
    assert_non_null(strstr(config->zones[0].builtin, "cnc.sundew.test"));
    size_t length;
    assert_string_equal(config->text, config_embedded(&length));
    assert_int_equal(config->text_length, length);
    char *control = config_default_control();
    assert_string_equal(config->control, control);
    free(control);
    config_unref(config);
    free(faults);
}

static void system_servers(void **state) {
    char path[] = "/tmp/sundew-resolv-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] =
        "# x\nnameserver 127.0.0.1\nsearch a.b\nnameserver\t192.0.2.7 # y\nnameserver 2001:db8::7\nnameserver bogus\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct config *config = good("{\"forward\": []}");
    config->forward_count = 0;
    free(config->forward);
    assert_int_equal(config_system_forward(config, path), 0);
    assert_int_equal(config->forward_count, 1);
    assert_int_equal(config->forward[0].to_count, 2);
    assert_string_equal(config->forward[0].to[0].text, "dns://192.0.2.7");
    assert_string_equal(config->forward[0].to[1].text, "dns://[2001:db8::7]");
    config_unref(config);
    unlink(path);
}

static void digests(void **state) {
    static const char *const texts[] = {
        "{\"forward\": []}",
        "{\"forward\": [], \"policy\": {\"ttl\": 5}}",
        "{\"forward\": [], \"policy\": {\"never_block\": [\"a\"]}}",
        "{\"forward\": [], \"zones\": [{\"name\": \"a\", \"source\": \"b\"}]}",
        "{\"forward\": [], \"zones\": [{\"name\": \"a\", \"source\": \"b\", \"mode\": \"monitor\"}]}",
        "{\"forward\": [], \"zones\": [{\"name\": \"a\", \"source\": \"b\", \"clients\": [\"::1\"]}]}",
        "{\"forward\": [{\"zone\": \".\", \"to\": [\"dns://192.0.2.1\"]}]}",
    };
    enum { COUNT = sizeof texts / sizeof *texts };
    uint8_t digest[COUNT][16], again[16];
    for (size_t i = 0; i < COUNT; i++) {
        struct config *config = good(texts[i]);
        config_policy_digest(config, digest[i]);
        config_policy_digest(config, again);
        assert_memory_equal(digest[i], again, 16);
        config_unref(config);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(digest[i], digest[j], 16);
    }
    struct config *config =
        good("{\"forward\": [], \"workers\": 2, \"cache\": {\"size\": \"1M\"}, \"listen\": [\"dns://127.0.0.1:5\"]}");
    config_policy_digest(config, again);
    assert_memory_equal(digest[0], again, 16); /* what isn't policy doesn't count */
    config_unref(config);
}

static void unreadable(void **state) {
    char *faults;
    size_t size;
    FILE *stream = open_memstream(&faults, &size);
    assert_null(config_load("/nonexistent/x.json", note, stream));
    assert_null(config_load("/", NULL, NULL));
    fclose(stream);
    assert_string_equal(faults, "/nonexistent/x.json:1:1: .: cannot be read: No such file or directory\n");
    free(faults);
}

/* The example that is shipped is a configuration that holds. */
static void example(void **state) {
    char *faults;
    size_t size;
    FILE *stream = open_memstream(&faults, &size);
    struct config *config = config_load(SUNDEW_SOURCE "/doc/examples/sundew.json", note, stream);
    fclose(stream);
    assert_string_equal(faults, "");
    assert_int_equal(config->zone_count, 5);
    config_unref(config);
    free(faults);
}

static void inspection(void **state) {
    char path[] = "/tmp/sundew-config-XXXXXX", *faults;
    static const char text[] =
        "{\"lisen\": 1, \"zones\": [{\"name\": \"a\", \"source\": \"x\", \"refresh\": \"y\"}, {\"name\": \"b\"}, 7]}";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    size_t size, count;
    FILE *stream = open_memstream(&faults, &size);
    struct config *config = config_inspect(path, note, stream, &count);
    fclose(stream);
    assert_non_null(config);
    assert_int_equal(count, 4);
    assert_non_null(strstr(faults, "lisen"));
    assert_int_equal(config->zone_count, 1);
    assert_string_equal(config->zones[0].name, "a");
    config_unref(config);
    free(faults);
    assert_null(config_inspect("/nonexistent", NULL, NULL, &count));
    assert_int_equal(count, 1);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),    cmocka_unit_test(whole),          cmocka_unit_test(all_faults_at_once),
        cmocka_unit_test(not_json),    cmocka_unit_test(syslog_targets), cmocka_unit_test(endpoints),
        cmocka_unit_test(wrong_kinds), cmocka_unit_test(contradictions), cmocka_unit_test(values),
        cmocka_unit_test(suggestions), cmocka_unit_test(digests),        cmocka_unit_test(embedded_default),
        cmocka_unit_test(unreadable),  cmocka_unit_test(system_servers), cmocka_unit_test(inspection),
        cmocka_unit_test(example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
