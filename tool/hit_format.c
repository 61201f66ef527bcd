/* tool/hit_format.c: one function a format. See hit_format.h. */
#include "tool/hit_format.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/table.h"

static const char *const csv_columns[] = {"ts",   "client",  "mac",        "hostname",  "proto",  "qname", "qtype",
                                          "zone", "trigger", "rule",       "via",       "action", "mode",  "answer",
                                          "ttl",  "family",  "confidence", "reference", "count"};
enum { CSV_COLUMNS = sizeof csv_columns / sizeof *csv_columns, CONFIDENCE_HIGH = 70, CONFIDENCE_MEDIUM = 30 };

int hit_format_from_name(const char *name, enum hit_format *format) {
    static const char *const names[] = {"json", "csv", "ecs", "cef"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *format = (enum hit_format)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* A value as bare text that can't harm a terminal; lists joined with a blank, "" for what is absent. Malloc'ed, for the caller to
 * free. */
static char *plain(const json_t *value) {
    char *text = NULL;
    size_t length = 0, i;
    json_t *item;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) {
        return strdup("");
    }
    if (json_is_string(value)) {
        fputs(json_string_value(value), out);
    } else if (json_is_integer(value)) {
        fprintf(out, "%lld", (long long)json_integer_value(value));
    }
    json_array_foreach(value, i, item) {
        fprintf(out, "%s%s", i > 0 ? " " : "", json_is_string(item) ? json_string_value(item) : "");
    }
    fclose(out);
    char *safe = malloc(4 * length + 5);
    if (safe != NULL) {
        table_escape(text, safe, 4 * length + 5);
    }
    free(text);
    return safe != NULL ? safe : strdup("");
}

/* RFC 4180 section 2; a leading =, +, - or @ defused, which spreadsheets would run. */
static void csv_field(const json_t *value, FILE *out) {
    char *text = plain(value);
    bool quoted = text[strcspn(text, ",\" ")] != '\0' || (text[0] != '\0' && strchr("=+-@", text[0]) != NULL);
    if (quoted) {
        fputc('"', out);
    }
    if (text[0] != '\0' && strchr("=+-@", text[0]) != NULL) {
        fputc('\'', out);
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"') {
            fputc('"', out);
        }
        fputc(*c, out);
    }
    if (quoted) {
        fputc('"', out);
    }
    free(text);
}

static void write_csv(const json_t *hit, FILE *out) {
    for (size_t i = 0; i < CSV_COLUMNS; i++) {
        if (i > 0) {
            fputc(',', out);
        }
        csv_field(json_object_get(hit, csv_columns[i]), out);
    }
    fputs("\r\n", out);
}

static void copy(json_t *into, const char *key, const json_t *hit, const char *from) {
    json_t *value = json_object_get(hit, from);
    if (value != NULL) {
        json_object_set(into, key, value);
    }
}

static const char *string(const json_t *hit, const char *key) {
    const char *text = json_string_value(json_object_get(hit, key));
    return text != NULL ? text : "";
}

/* ECS writes 00-00-5E-00-53-23. */
static json_t *ecs_mac(const char *mac) {
    char text[32];
    size_t i = 0;
    for (; mac[i] != '\0' && i < sizeof text - 1; i++) {
        text[i] = mac[i] == ':' ? '-' : (char)toupper((unsigned char)mac[i]);
    }
    text[i] = '\0';
    return json_string(text);
}

static const char *ecs_confidence(json_int_t confidence) {
    return confidence >= CONFIDENCE_HIGH ? "High" : confidence >= CONFIDENCE_MEDIUM ? "Medium" : confidence > 0 ? "Low" : "None";
}

static bool is_address(const char *text) {
    unsigned char octets[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, octets) == 1 || inet_pton(AF_INET6, text, octets) == 1;
}

/* What indicator match rules look for: `ip` is of a type that takes whole addresses only, no prefixes. */
static void ecs_value(json_t *indicator, const json_t *hit) {
    const char *rule = string(hit, "rule"), *trigger = string(hit, "trigger");
    bool address = strcmp(trigger, "ip") == 0 || strcmp(trigger, "client") == 0;
    json_object_set_new(indicator, "type",
                        json_string(!address                    ? "domain-name"
                                    : strchr(rule, ':') != NULL ? "ipv6-addr"
                                                                : "ipv4-addr"));
    copy(indicator, "name", hit, "rule");
    if (!address) {
        json_object_set_new(indicator, "url", json_pack("{s:s}", "domain", strncmp(rule, "*.", 2) == 0 ? rule + 2 : rule));
    } else if (is_address(rule)) {
        copy(indicator, "ip", hit, "rule");
    }
}

static json_t *ecs_threat(const json_t *hit) {
    json_t *indicator = json_object(), *threat = json_object();
    ecs_value(indicator, hit);
    copy(indicator, "reference", hit, "reference");
    copy(indicator, "provider", hit, "zone");
    if (json_object_get(hit, "confidence") != NULL) {
        json_object_set_new(indicator, "confidence",
                            json_string(ecs_confidence(json_integer_value(json_object_get(hit, "confidence")))));
    }
    json_object_set_new(threat, "indicator", indicator);
    if (json_object_get(hit, "family") != NULL) {
        json_object_set_new(threat, "software", json_pack("{s:O, s:s}", "name", json_object_get(hit, "family"), "type", "Malware"));
    }
    return threat;
}

/* The answer: every datum, and by itself what is an address, for a document with anything else in resolved_ip is refused. */
static void ecs_answers(json_t *dns, json_t *related_ip, const json_t *hit) {
    json_t *answers = json_array(), *addresses = json_array(), *item;
    size_t i;
    json_array_foreach(json_object_get(hit, "answer"), i, item) {
        json_array_append_new(answers, json_pack("{s:O}", "data", item));
        if (json_is_string(item) && is_address(json_string_value(item))) {
            json_array_append(addresses, item);
            json_array_append(related_ip, item);
        }
    }
    if (json_array_size(answers) > 0) {
        json_object_set(dns, "answers", answers);
    }
    if (json_array_size(addresses) > 0) {
        json_object_set(dns, "resolved_ip", addresses);
    }
    json_decref(answers);
    json_decref(addresses);
}

static void append(json_t *list, const json_t *hit, const char *key) {
    if (json_object_get(hit, key) != NULL) {
        json_array_append(list, json_object_get(hit, key));
    }
}

static void write_ecs(const json_t *hit, FILE *out) {
    bool enforced = strcmp(string(hit, "mode"), "enforce") == 0;
    bool stream = strcmp(string(hit, "proto"), "udp") != 0;
    json_t *question = json_object(), *dns = json_object(), *source = json_object(), *rule = json_object();
    copy(question, "name", hit, "qname");
    copy(question, "type", hit, "qtype");
    json_object_set_new(question, "class", json_string("IN"));
    json_object_set_new(dns, "type", json_string("answer"));
    json_object_set_new(dns, "question", question);
    json_t *ips = json_array(), *hosts = json_array();
    append(ips, hit, "client");
    append(hosts, hit, "qname");
    append(hosts, hit, "hostname");
    ecs_answers(dns, ips, hit);
    copy(source, "ip", hit, "client");
    copy(source, "address", hit, "client");
    copy(source, "domain", hit, "hostname");
    if (json_object_get(hit, "mac") != NULL) {
        json_object_set_new(source, "mac", ecs_mac(string(hit, "mac")));
    }
    copy(rule, "name", hit, "rule");
    copy(rule, "ruleset", hit, "zone");
    copy(rule, "reference", hit, "reference");
    json_t *event =
        json_pack("{s:s, s:[s,s], s:[s], s:s, s:s, s:s}", "kind", "alert", "category", "network", "intrusion_detection", "type",
                  enforced ? "denied" : "info", "module", "sundew", "dataset", "sundew.hits", "outcome", "success");
    copy(event, "action", hit, "action");
    json_t *document =
        json_pack("{s:s, s:{s:s}, s:o, s:o, s:o, s:o, s:o, s:{s:s, s:s}, s:{s:o, s:o}}", "@timestamp", string(hit, "ts"), "ecs",
                  "version", "8.11.0", "event", event, "dns", dns, "source", source, "rule", rule, "threat", ecs_threat(hit),
                  "network", "protocol", "dns", "transport", stream ? "tcp" : "udp", "related", "ip", ips, "hosts", hosts);
    json_object_set_new(document, "sundew", json_object());
    copy(json_object_get(document, "sundew"), "mode", hit, "mode");
    copy(json_object_get(document, "sundew"), "count", hit, "count");
    copy(json_object_get(document, "sundew"), "via", hit, "via");
    json_dumpf(document, out, JSON_COMPACT | JSON_ENSURE_ASCII);
    fputc('\n', out);
    json_decref(document);
}

/* CEF: backslash and the field's own delimiter escaped. */
static void cef_text(const char *text, char delimiter, FILE *out) {
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == delimiter) {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

static void cef_extension(const char *key, const json_t *value, FILE *out) {
    if (value == NULL) {
        return;
    }
    char *text = plain(value);
    fprintf(out, " %s=", key);
    cef_text(text, '=', out);
    free(text);
}

/* A field that says itself what it means: cs1Label, cs1. */
static void cef_labelled(const char *key, const char *label, const json_t *value, FILE *out) {
    if (value != NULL) {
        fprintf(out, " %sLabel=%s", key, label);
        cef_extension(key, value, out);
    }
}

/* Milliseconds since 1970: of the two forms of a time that CEF knows, the one without a time zone. */
static long long cef_time(const char *ts) {
    struct tm tm = {0};
    const char *rest = strptime(ts, "%Y-%m-%dT%H:%M:%S", &tm);
    long long milliseconds = 0, place = 100;
    if (rest == NULL) {
        return 0;
    }
    for (rest += *rest == '.'; isdigit((unsigned char)*rest) && place > 0; rest++, place /= 10) {
        milliseconds += (*rest - '0') * place;
    }
    return (long long)timegm(&tm) * 1000 + milliseconds;
}

/* `src` is for IPv4 alone. */
static void cef_client(const json_t *hit, FILE *out) {
    const json_t *client = json_object_get(hit, "client");
    if (strchr(string(hit, "client"), ':') != NULL) {
        cef_labelled("c6a2", "Source IPv6 Address", client, out);
    } else {
        cef_extension("src", client, out);
    }
}

static void write_cef(const json_t *hit, FILE *out) {
    static const char *const extensions[][2] = {
        {"smac", "mac"}, {"shost", "hostname"}, {"dhost", "qname"}, {"act", "action"}, {"cnt", "count"}};
    static const char *const labelled[][2] = {
        {"cs1", "family"}, {"cs2", "zone"}, {"cs3", "rule"},       {"cs4", "via"},
        {"cs5", "qtype"},  {"cs6", "mode"}, {"cn1", "confidence"}, {"flexString1", "reference"}};
    const char *proto = string(hit, "proto");
    json_int_t confidence = json_integer_value(json_object_get(hit, "confidence"));
    fputs("CEF:0|sundew|sundewd|" SUNDEW_VERSION "|", out);
    cef_text(string(hit, "trigger"), '|', out);
    fputs("|Listed name or address asked for|", out);
    fprintf(out, "%d|", confidence >= CONFIDENCE_HIGH ? 8 : confidence >= CONFIDENCE_MEDIUM ? 6 : 4);
    fprintf(out, "rt=%lld", cef_time(string(hit, "ts")));
    cef_client(hit, out);
    fprintf(out, " proto=%s app=%s", strcmp(proto, "udp") == 0 ? "UDP" : "TCP",
            strcmp(proto, "tls") == 0     ? "DoT"
            : strcmp(proto, "https") == 0 ? "DoH"
                                          : "DNS");
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        cef_extension(extensions[i][0], json_object_get(hit, extensions[i][1]), out);
    }
    for (size_t i = 0; i < sizeof labelled / sizeof *labelled; i++) {
        cef_labelled(labelled[i][0], labelled[i][1], json_object_get(hit, labelled[i][1]), out);
    }
    fputc('\n', out);
}

void hit_format_head(enum hit_format format, FILE *out) {
    for (size_t i = 0; format == HIT_FORMAT_CSV && i < CSV_COLUMNS; i++) {
        fprintf(out, "%s%s", csv_columns[i], i + 1 < CSV_COLUMNS ? "," : "\r\n");
    }
}

void hit_format_write(enum hit_format format, const json_t *hit, FILE *out) {
    switch (format) {
    case HIT_FORMAT_JSON:
        json_dumpf(hit, out, JSON_COMPACT | JSON_ENSURE_ASCII);
        fputc('\n', out);
        break;
    case HIT_FORMAT_CSV:
        write_csv(hit, out);
        break;
    case HIT_FORMAT_ECS:
        write_ecs(hit, out);
        break;
    case HIT_FORMAT_CEF:
        write_cef(hit, out);
        break;
    }
}
