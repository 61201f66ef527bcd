/* feeds/reading.c: reading ahead, lines, faults and the cleaning of text that will be shown to people. */
#include "feeds/reading.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/normalise.h"
#include "feeds/scrub.h"

int reading_fill(struct reading *reading) {
    size_t kept = reading->ahead_end - reading->ahead_settled;
    if (!reading->ahead && !(reading->ahead = malloc(READING_AHEAD)))
        return -ENOMEM;
    memmove(reading->ahead, reading->ahead + reading->ahead_settled, kept);
    reading->ahead_at = 0;
    reading->ahead_end = kept;
    while (reading->ahead_end < READING_AHEAD && !reading->source_ended) {
        long got =
            reading->source(reading->source_context, reading->ahead + reading->ahead_end, READING_AHEAD - reading->ahead_end);
        if (got < 0)
            return reading->source_error = (int)got;
        reading->source_ended = got == 0;
        reading->ahead_end += (size_t)got;
    }
    bool mended = false;
    reading->ahead_settled = reading->ahead_end;
    if (reading->scrubs)
        reading->ahead_settled = scrub(reading->ahead, reading->ahead_end, reading->source_ended, &mended);
    if (mended && !reading->mended)
        reading_ignored(reading, "octets that aren't UTF-8, or half a surrogate pair: read as '?'");
    reading->mended |= mended;
    return 0;
}

long reading_source(void *context, char *buffer, size_t size) {
    struct reading *reading = context;
    if (reading->ahead_at == reading->ahead_settled) {
        int error = reading->source_error ? reading->source_error : reading_fill(reading);
        if (error)
            return error;
    }
    size_t have = reading->ahead_settled - reading->ahead_at;
    if (have > size)
        have = size;
    if (have > 0)
        memcpy(buffer, reading->ahead + reading->ahead_at, have);
    reading->ahead_at += have;
    reading->source_octets += have;
    return (long)have;
}

/* Makes room in the line buffer and reads on. 1 more text, 0 no more, -errno. */
static int fill_lines(struct reading *reading) {
    memmove(reading->line_buffer, reading->line_buffer + reading->line_at, reading->line_end - reading->line_at);
    reading->line_end -= reading->line_at;
    reading->line_at = 0;
    long got = reading_source(reading, reading->line_buffer + reading->line_end, 2 * READING_LINE_MAX - reading->line_end);
    if (got < 0)
        return (int)got;
    reading->line_end += (size_t)got;
    return got > 0;
}

/* The rest of a line that is longer than the buffer. */
static int pass_line(struct reading *reading) {
    for (;;) {
        size_t have = reading->line_end - reading->line_at;
        char *newline = have ? memchr(reading->line_buffer + reading->line_at, '\n', have) : NULL;
        if (newline) {
            reading->line_at = (size_t)(newline + 1 - reading->line_buffer);
            return 1;
        }
        reading->line_at = reading->line_end;
        int more = fill_lines(reading);
        if (more <= 0)
            return more;
    }
}

/* One line as it stands. 1, 0 at the end, 2 for one that can't be used (it was passed over and said), -errno. */
static int next_line(struct reading *reading, char **line, size_t *length) {
    if (!reading->line_buffer) {
        reading->line_buffer = malloc(2 * READING_LINE_MAX + 1);
        if (!reading->line_buffer)
            return -ENOMEM;
    }
    for (;;) {
        size_t have = reading->line_end - reading->line_at;
        char *at = reading->line_buffer + reading->line_at;
        char *newline = have ? memchr(at, '\n', have) : NULL;
        if (!newline && have <= READING_LINE_MAX) {
            int more = fill_lines(reading);
            if (more < 0)
                return more;
            if (more > 0)
                continue;
            at = reading->line_buffer;
            have = reading->line_end;
            if (have == 0)
                return 0;
        }
        reading->line++;
        reading->last_line_whole = newline != NULL;
        size_t taken = newline ? (size_t)(newline - at) : have;
        if (taken > READING_LINE_MAX) {
            reading_fault(reading, reading->line, 1, NULL, NULL, "a line longer than %d octets", READING_LINE_MAX);
            int passed = pass_line(reading);
            return passed < 0 ? passed : 2;
        }
        reading->line_at += taken + (newline ? 1 : 0);
        if (taken > 0 && at[taken - 1] == '\r')
            taken--;
        at[taken] = '\0';
        *line = at;
        *length = taken;
        if (!memchr(at, '\0', taken))
            return 1;
        reading_fault(reading, reading->line, 1, NULL, NULL, "a line that holds a NUL");
        return 2;
    }
}

int reading_line(struct reading *reading, char **line, size_t *length) {
    int got;
    do
        got = next_line(reading, line, length);
    while (got == 2);
    return got;
}

void reading_blank(struct indicator *indicator) {
    memset(&indicator->rule, 0, offsetof(struct rule, name));
    memset((char *)indicator + offsetof(struct indicator, rule.prefix), 0,
           sizeof *indicator - offsetof(struct indicator, rule.prefix));
    indicator->rule.name.length = 0;
    indicator->rule.name.labels = 0;
    indicator->rule.match = MATCH_COUNT;
    indicator->rule.action = RULE_ACTION_UNSET;
    indicator->rule.ttl = RULE_TTL_UNSET;
    indicator->rule.confidence = RULE_CONFIDENCE_UNSET;
}

int reading_emit(struct reading *reading, const struct indicator *indicator) {
    return reading->sink->indicator(reading->sink->context, indicator);
}

int reading_emit_value(struct reading *reading, struct indicator *indicator, enum reading_value how, const char *text,
                       size_t length, const char *field) {
    unsigned flags = reading->options->refang ? NORMALISE_REFANG : 0;
    struct value value;
    const char *why;
    int error;
    if (how == READING_URL)
        error = normalise_url(text, length, flags, &value, &why);
    else
        error = normalise(text, length, flags | (how == READING_WITH_PORT ? NORMALISE_PORT : 0), &value, &why);
    if (error) {
        reading_fault(reading, indicator->rule.line, indicator->column, indicator->path, field, "%s: \"%.80s\"", why, text);
        return 1;
    }
    struct rule *rule = &indicator->rule;
    rule->match = value.star ? MATCH_BELOW : value.dot ? MATCH_SUBTREE : MATCH_COUNT;
    indicator->from_url = how == READING_URL;
    if (value.kind == VALUE_NAME) {
        rule->trigger = TRIGGER_DOMAIN;
        rule->name = value.name;
    } else {
        rule->trigger = TRIGGER_IP;
        rule->prefix = value.prefix;
    }
    return reading_emit(reading, indicator);
}

void reading_ignored(struct reading *reading, const char *why) {
    if (reading->sink->ignored)
        reading->sink->ignored(reading->sink->context, why);
}

static bool is_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* A feed's words in a message must not forge a log line, and must be UTF-8: messages travel as JSON. */
static void make_showable(char *text) {
    while (*text) {
        size_t length = scrub_sequence(text, 4); /* the NUL at the end is part of none */
        if (length == 0 || is_control(*text))
            *text = '?';
        text += length ? length : 1;
    }
}

void reading_fault(struct reading *reading, uint32_t line, uint32_t column, const char *path, const char *field,
                   const char *message, ...) {
    if (!reading->sink->fault)
        return;
    char text[READING_WHY_MAX], where[READING_PATH_MAX];
    va_list arguments;
    va_start(arguments, message);
    vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    snprintf(where, sizeof where, "%s%s%s", path ? path : "", path && path[0] && field ? "." : "", field ? field : "");
    make_showable(text);
    make_showable(where);
    reading->sink->fault(reading->sink->context, line, column, where[0] ? where : NULL, text);
}

int reading_refuse(struct reading *reading, uint32_t line, uint32_t column, const char *message, ...) {
    char text[READING_WHY_MAX];
    va_list arguments;
    va_start(arguments, message);
    vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    make_showable(text);
    if (line > 1 || column > 1)
        snprintf(reading->why, sizeof reading->why, "line %u, column %u: %.200s", line, column, text);
    else
        snprintf(reading->why, sizeof reading->why, "%.250s", text);
    make_showable(reading->why); /* a sequence may have been cut */
    if (reading->sink->fault)
        reading->sink->fault(reading->sink->context, line, column, NULL, text);
    return -EBADMSG;
}

int reading_json_error(struct reading *reading) {
    if (reading->source_error)
        return reading->source_error;
    return reading_refuse(reading, json_line(reading->json), json_column(reading->json), "%s", json_error(reading->json));
}

const char *reading_family(struct reading *reading, const char *text, size_t length) {
    if (!text)
        return NULL;
    if (length > READING_FAMILY_MAX) {
        length = READING_FAMILY_MAX;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    while (length > 0 && (text[0] == ' ' || is_control(text[0]))) {
        text++;
        length--;
    }
    while (length > 0 && (text[length - 1] == ' ' || is_control(text[length - 1])))
        length--;
    if (length == 0)
        return NULL;
    memcpy(reading->family, text, length);
    reading->family[length] = '\0';
    for (size_t i = 0; i < length; i++) {
        if (is_control(text[i]))
            reading->family[i] = ' ';
    }
    return reading->family;
}

const char *reading_reference(struct reading *reading, const char *text, size_t length) {
    size_t out = 0;
    if (!text || length == 0 || length > READING_REFERENCE_MAX)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        if (out + 3 > READING_REFERENCE_MAX)
            return NULL;
        if (is_control(text[i]))
            out += (size_t)sprintf(reading->reference + out, "%%%02X", (unsigned char)text[i]);
        else
            reading->reference[out++] = text[i];
    }
    reading->reference[out] = '\0';
    return reading->reference;
}
