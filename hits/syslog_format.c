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

/* PARAM-VALUE (section 6.3.3): '"', '\' and ']' behind a backslash. What must not be shown raw comes as names in the log have it,
 * \DDD for each octet, with that backslash escaped like any other: a relay or a terminal behind it may be no wiser than RFC 3164.
 */
static void put_value(struct text *text, const char *value, size_t length) {
    struct phrase *printable = phrase_new_printable(value, length);
    if (printable == NULL) {
        text->failed = true;
        return;
    }
    for (const char *c = printable->text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\' || *c == ']')
            text_put(text, "\\", 1);
        text_put(text, c, 1);
    }
    phrase_unref(printable);
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
