/* hits/syslog_format.c: a line of the hit log as a syslog message (RFC 5424). See syslog_format.h. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "hits/syslog_format.h"

enum { HOSTNAME_MAX = 255 }; /* section 6: of printable ASCII */

/* Section 6.2.4: the host's name; the nil value where it has none, or one with octets that don't belong into a header. */
static void host_name(char name[HOSTNAME_MAX + 1]) {
    bool good = gethostname(name, HOSTNAME_MAX + 1) == 0;
    name[HOSTNAME_MAX] = '\0';
    for (const char *c = name; good && *c != '\0'; c++)
        good = *c > ' ' && *c < 0x7f;
    if (!good || name[0] == '\0')
        strcpy(name, "-");
}

void syslog_origin_init(struct syslog_origin *origin) {
    char name[HOSTNAME_MAX + 1];
    host_name(name);
    snprintf(origin->text, sizeof origin->text, " %s sundewd %d hit [hit@32473", name, (int)getpid());
}

/* PARAM-VALUE (section 6.3.3): '"', '\' and ']' behind a backslash. Control characters, C1 among them, come as names in the log
 * have them, \DDD, with that backslash escaped like any other: a relay or a terminal behind it may be no wiser than RFC 3164. */
static void put_value(struct text *text, const char *value, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value[i];
        bool c1 = c == 0xc2 && i + 1 < length && (unsigned char)value[i + 1] < 0xa0;
        if (c1 || c < 0x20 || c == 0x7f) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\\\%03u", c1 ? (unsigned char)value[++i] : c);
            text_string(text, escape);
            continue;
        }
        if (c == '"' || c == '\\' || c == ']')
            text_put(text, "\\", 1);
        text_put(text, value + i, 1);
    }
}

static void put_param(struct text *text, const char *name, const json_t *value) {
    text_put(text, " ", 1);
    text_string(text, name);
    text_put(text, "=\"", 2);
    if (json_is_string(value))
        put_value(text, json_string_value(value), json_string_length(value));
    else
        text_number(text, (uint64_t)json_integer_value(value));
    text_put(text, "\"", 1);
}

int syslog_format(struct text *text, const struct syslog_origin *origin, const char *line, size_t length) {
    json_t *hit = json_loadb(line, length, JSON_ALLOW_NUL, NULL), *value, *element;
    const char *name, *ts = json_string_value(json_object_get(hit, "ts"));
    size_t i;
    if (ts == NULL) {
        json_decref(hit);
        return -EINVAL;
    }
    text_put(text, "<", 1);
    text_number(text, LOG_DAEMON | LOG_NOTICE);
    text_put(text, ">1 ", 3);
    text_string(text, ts);
    text_string(text, origin->text);
    json_object_foreach(hit, name, value) {
        if (json_is_array(value))
            json_array_foreach(value, i, element) put_param(text, name, element);
        else if (strcmp(name, "ts") != 0)
            put_param(text, name, value);
    }
    text_put(text, "] ", 2);
    text_put(text, line, length);
    json_decref(hit);
    return text->failed ? -ENOMEM : 0;
}
