/* feeds/list_line.c: see list_line.h; FORMATS.md sections 11 to 13. */
#include "feeds/list_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

char *list_trim(char *text, size_t *length) {
    while (*length > 0 && is_blank(text[*length - 1]))
        text[--*length] = '\0';
    while (is_blank(*text)) {
        text++;
        --*length;
    }
    return text;
}

void list_comment(struct list *list, const char *comment) {
    static const char *const labels[] = {"entries:", "number of entries:"};
    while (*comment && strchr("#!; \t", *comment))
        comment++;
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        size_t length = strlen(labels[i]);
        if (strncasecmp(comment, labels[i], length) == 0)
            list->declared = strtoull(comment + length, NULL, 10);
    }
}

void list_cut_comment(char *text, size_t *length) {
    for (size_t i = 1; i < *length; i++) {
        if (text[i] == '#' && is_blank(text[i - 1])) {
            *length = i;
            text[i] = '\0';
            list_trim(text, length);
            return;
        }
    }
}

void list_ignore(struct list *list, const char *why) {
    list->good++;
    reading_ignored(list->reading, why);
}

int list_emit(struct list *list, const struct list_entry *entry, const struct value *value) {
    struct indicator indicator;
    reading_blank(&indicator);
    indicator.rule.line = entry->line;
    indicator.column = entry->column;
    indicator.allow = entry->allow;
    indicator.from_url = entry->from_url;
    if (value->kind == VALUE_NAME) {
        indicator.rule.trigger = TRIGGER_DOMAIN;
        indicator.rule.name = value->name;
        indicator.rule.match = value->star || value->dot ? MATCH_SUBTREE : entry->match;
    } else {
        indicator.rule.trigger = TRIGGER_IP;
        indicator.rule.prefix = value->prefix;
    }
    list->good++;
    return reading_emit(list->reading, &indicator);
}

int list_emit_text(struct list *list, const struct list_entry *entry, const char *text, size_t length) {
    const struct format_options *options = list->reading->options;
    unsigned flags = (options->refang ? NORMALISE_REFANG : 0u) | (options->protect || options->local ? NORMALISE_ONE_LABEL : 0u);
    struct value value;
    const char *why;
    if (normalise(text, length, flags, &value, &why) == 0)
        return list_emit(list, entry, &value);
    struct list_entry host = *entry;
    host.from_url = memchr(text, '/', length) != NULL;
    const char *otherwise = why;
    int error = host.from_url ? normalise_url(text, length, flags, &value, &otherwise)
                              : normalise(text, length, flags | NORMALISE_PORT, &value, &otherwise);
    if (error == 0)
        return list_emit(list, &host, &value);
    reading_fault(list->reading, entry->line, entry->column, NULL, NULL, "%s: \"%.80s\"", host.from_url ? otherwise : why, text);
    return 0;
}

/* Where hosts files send what they block; loopback and unspecified addresses. A zone id may follow ("fe80::1%lo0"). 1 a sink, 0
 * another address, -1 no address. */
static int is_sink(const char *text, size_t length) {
    static const uint8_t link_local_one[16] = {0xfe, 0x80, [15] = 1}, one[16] = {[15] = 1}, none[16] = {0};
    struct ip ip;
    const char *zone = memchr(text, '%', length);
    if (ip_from_text(&ip, text, zone ? (size_t)(zone - text) : length) != 0)
        return length == 1 && text[0] == '0' ? 1 : -1;
    if (ip_is_v4(&ip))
        return ip.bytes[12] == 127 || memcmp(ip.bytes + 12, none, 4) == 0;
    return memcmp(ip.bytes, none, 16) == 0 || memcmp(ip.bytes, one, 16) == 0 || memcmp(ip.bytes, link_local_one, 16) == 0;
}

/* Names that every hosts file gives the machine itself. */
static bool is_own_name(const char *name) {
    static const char *const names[] = {"localhost",  "localhost.localdomain",
                                        "localhost4", "localhost4.localdomain4",
                                        "localhost6", "localhost6.localdomain6",
                                        "local",      "broadcasthost",
                                        "0.0.0.0",    "127.0.0.1",
                                        "::1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(names[i], name) == 0)
            return true;
    }
    return strncasecmp(name, "ip6-", 4) == 0;
}

int list_hosts_line(struct list *list, char *text, uint32_t line, uint32_t column) {
    size_t address = strcspn(text, " \t");
    int sink = text[address] ? is_sink(text, address) : -1;
    struct list_entry entry = {.match = MATCH_EXACT, .line = line};
    if (sink < 0)
        return 0;
    char *at = text + address;
    while (*(at += strspn(at, " \t")) != '\0' && *at != '#') {
        size_t length = strcspn(at, " \t");
        bool last = at[length] == '\0';
        at[length] = '\0';
        entry.column = column + (uint32_t)(at - text);
        int error = 0;
        list->entries++;
        if (sink == 0)
            list_ignore(list, "a host's address, not a sink");
        else if (is_own_name(at) || (!strchr(at, '.') && !list->reading->options->protect))
            list_ignore(list, "a name of the machine itself");
        else
            error = list_emit_text(list, &entry, at, length);
        if (error)
            return error;
        at += length + (last ? 0 : 1);
    }
    return 1;
}

int list_end(struct list *list) {
    struct reading *reading = list->reading;
    if (list->good == 0 && list->entries > 0)
        return reading_refuse(reading, 1, 1, "no line of it can be read: not of format %s", format_name(reading->format));
    if (list->entries >= list->declared)
        return 0;
    if (!reading->options->local)
        return reading_refuse(reading, reading->line, 1, "cut off: %" PRIu64 " entries, and it declares %" PRIu64, list->entries,
                              list->declared);
    reading_fault(reading, reading->line, 1, NULL, NULL, "%" PRIu64 " entries, and the file declares %" PRIu64, list->entries,
                  list->declared);
    return 0;
}
