/* feeds/format_lists.c: plain lists of names in their dialects, and hosts files (FORMATS.md sections 11, 12, 16). */
#include <string.h>
#include <strings.h>

#include "feeds/list_line.h"

enum { NOT_MINE = 2 }; /* of a reader of one dialect: the line is of another */

/* Where dnsmasq sends what is blocked: nowhere at all, or to a sink. */
static bool dnsmasq_blocks(const char *target, bool is_server) {
    static const char *const sinks[] = {"", "#", "0.0.0.0", "127.0.0.1", "::", "::1"};
    for (size_t i = 0; i < (is_server ? 1 : sizeof sinks / sizeof sinks[0]); i++) {
        if (strcmp(sinks[i], target) == 0)
            return true;
    }
    return false;
}

/* address=/a.example/b.example/0.0.0.0, server=/a.example/, local=/a.example/: all mean the subtree. */
static int dnsmasq_line(struct list *list, char *text, const struct list_entry *where) {
    static const char *const words[] = {"address=/", "server=/", "local=/"};
    size_t word = 0;
    while (word < 3 && strncmp(text, words[word], strlen(words[word])) != 0)
        word++;
    if (word == 3)
        return NOT_MINE;
    char *at = text + strlen(words[word]), *target = strrchr(at, '/');
    if (!target) {
        reading_fault(list->reading, where->line, where->column, NULL, NULL, "a '/' is missing: \"%.80s\"", text);
        return 0;
    }
    *target++ = '\0';
    if (!dnsmasq_blocks(target, word > 0)) {
        list_ignore(list, word > 0 ? "a forwarder for a name" : "a host's address, not a sink");
        return 0;
    }
    for (char *next; at; at = next) {
        next = strchr(at, '/');
        if (next)
            *next++ = '\0';
        struct list_entry entry = *where;
        entry.match = MATCH_SUBTREE;
        int error = list_emit_text(list, &entry, at, strlen(at));
        if (error)
            return error;
    }
    return 0;
}

/* local-zone: "a.example." always_nxdomain */
static int unbound_line(struct list *list, char *text, const struct list_entry *where) {
    static const char *const blocking[] = {"always_null", "always_nxdomain", "always_nodata",  "always_refuse",
                                           "always_deny", "redirect",        "refuse",         "deny",
                                           "static",      "inform_deny",     "inform_redirect"};
    if (strncmp(text, "local-data", 10) == 0 || strcmp(text, "server:") == 0) {
        list_ignore(list, "a line of unbound's that blocks nothing by itself");
        return 0;
    }
    if (strncmp(text, "local-zone:", 11) != 0)
        return NOT_MINE;
    char *name = text + 11;
    name += strspn(name, " \t\"");
    size_t length = strcspn(name, " \t\"");
    const char *type = name + length;
    type += strspn(type, " \t\"");
    for (size_t i = 0; i < sizeof blocking / sizeof blocking[0]; i++) {
        if (strcmp(blocking[i], type) != 0)
            continue;
        struct list_entry entry = *where;
        entry.match = MATCH_SUBTREE;
        name[length] = '\0';
        return list_emit_text(list, &entry, name, length);
    }
    list_ignore(list, "a local zone that doesn't block");
    return 0;
}

/* "rank,name" of the lists of popular names. */
static char *behind_rank(char *text, size_t *length) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] != ',')
        return text;
    *length -= digits + 1;
    return text + digits + 1;
}

static int plain_line(struct list *list, char *text, size_t length, struct list_entry *entry) {
    if (text[0] == '/' && length > 1 && text[length - 1] == '/') {
        list_ignore(list, "a regular expression");
        return 0;
    }
    if (strcasecmp(text, "domain") == 0) {
        list_ignore(list, "the heading \"domain\" of the table that the list was made from");
        return 0;
    }
    if (strncmp(text, "||", 2) == 0 && length > 3 && text[length - 1] == '^') {
        text[length - 1] = '\0';
        entry->match = MATCH_SUBTREE;
        return list_emit_text(list, entry, text + 2, length - 3);
    }
    text = behind_rank(text, &length);
    return list_emit_text(list, entry, text, length);
}

static int domains_line(struct list *list, char *text, size_t length, uint32_t column) {
    struct list_entry entry = {.match = MATCH_COUNT, .line = list->reading->line, .column = column};
    int result = list_hosts_line(list, text, entry.line, column);
    if (result != 0)
        return result < 0 ? result : 0;
    list->entries++;
    result = dnsmasq_line(list, text, &entry);
    if (result == NOT_MINE)
        result = unbound_line(list, text, &entry);
    return result == NOT_MINE ? plain_line(list, text, length, &entry) : result;
}

static int hosts_line(struct list *list, char *text, size_t length, uint32_t column) {
    int result = list_hosts_line(list, text, list->reading->line, column);
    if (result != 0)
        return result < 0 ? result : 0;
    /* Some lists that call themselves hosts files are names alone. */
    const struct list_entry entry = {.match = MATCH_EXACT, .line = list->reading->line, .column = column};
    list->entries++;
    return list_emit_text(list, &entry, text, length);
}

static int read_lines(struct reading *reading, int (*read_line)(struct list *, char *, size_t, uint32_t)) {
    struct list list = {.reading = reading};
    char *line;
    size_t length;
    int got;
    while ((got = reading_line(reading, &line, &length)) > 0) {
        char *text = list_trim(line, &length);
        if (length == 0)
            continue;
        if (strchr("#!;", text[0]) || strncmp(text, "//", 2) == 0) {
            list_comment(&list, text);
            continue;
        }
        list_cut_comment(text, &length);
        int error = read_line(&list, text, length, (uint32_t)(text - line) + 1);
        if (error)
            return error;
    }
    return got < 0 ? got : list_end(&list);
}

int format_domains(struct reading *reading) {
    return read_lines(reading, domains_line);
}

int format_hosts(struct reading *reading) {
    return read_lines(reading, hosts_line);
}
