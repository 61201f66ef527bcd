/* test/unit/feeds_collect.c: the sink behind feeds_collect.h. */
#include "feeds_collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "feeds/when.h"

static struct collected collected;

struct input {
    const char *at;
    size_t left, chunk;
    int descriptor; /* -1: the text */
};

static long read_some(void *context, char *buffer, size_t size) {
    struct input *input = context;
    if (input->descriptor >= 0)
        return read(input->descriptor, buffer, size);
    size_t taken = input->left < size ? input->left : size;
    taken = taken < input->chunk ? taken : input->chunk;
    memcpy(buffer, input->at, taken);
    input->at += taken;
    input->left -= taken;
    return (long)taken;
}

__attribute__((format(printf, 3, 4))) static void add(char *to, size_t size, const char *format, ...) {
    size_t used = strlen(to);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(to + used, size - used, format, arguments);
    va_end(arguments);
}

#define SAY(...) add(collected.indicators, sizeof collected.indicators, __VA_ARGS__)

static void say_time(const char *name, int64_t seconds) {
    char text[WHEN_TEXT_MAX];
    if (seconds == 0)
        return;
    when_format(seconds, text);
    SAY(" %s=%s", name, text);
}

static void say_text(const char *name, const char *text) {
    if (text == NULL)
        return;
    SAY(" %s=", name);
    for (; *text; text++)
        SAY("%c", *text == '\n' ? '|' : *text);
}

static void say_value(const struct rule *rule) {
    char text[NAME_TEXT_MAX];
    if (rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER)
        name_to_text(rule->name.wire, text);
    else
        prefix_to_text(&rule->prefix, text);
    SAY("%s %s", trigger_name(rule->trigger), text);
}

static int on_indicator(void *context, const struct indicator *indicator) {
    const struct rule *rule = &indicator->rule;
    collected.count++;
    if (indicator->revoked)
        SAY("revoked");
    else
        say_value(rule);
    if (rule->match != MATCH_COUNT)
        SAY(" match=%s", match_name(rule->match));
    if (rule->action != RULE_ACTION_UNSET)
        SAY(" action=%s", action_name(rule->action));
    if (rule->ttl != RULE_TTL_UNSET)
        SAY(" ttl=%u", rule->ttl);
    if (rule->confidence != RULE_CONFIDENCE_UNSET)
        SAY(" conf=%u", rule->confidence);
    say_text("family", rule->family);
    say_text("family_id", indicator->family_id);
    say_text("ref", rule->reference);
    say_time("first", rule->first_seen);
    say_time("last", rule->last_seen);
    say_time("expires", rule->expires);
    say_text("target", rule->target);
    say_text("records", rule->records);
    say_text("id", indicator->id);
    say_text("threat", indicator->threat_type);
    SAY("%s%s%s%s\n", indicator->compromised ? " compromised" : "", indicator->not_to_ids ? " not_to_ids" : "",
        indicator->from_url ? " from_url" : "", indicator->allow ? " allow" : "");
    return 0;
}

static void on_fault(void *context, uint32_t line, uint32_t column, const char *path, const char *message) {
    collected.fault_count++;
    add(collected.faults, sizeof collected.faults, "%u:%u %s %s\n", line, column, path ? path : "-", message);
}

static void on_ignored(void *context, const char *why) {
    collected.ignored_count++;
    add(collected.ignored, sizeof collected.ignored, "%s\n", why);
}

static void on_head(void *context, const struct format_head *head) {
    add(collected.heads, sizeof collected.heads,
        "zone=%s action=%d ttl=%lld match=%d conf=%d target=%s mode=%d min=%d age=%lld after=%zu\n", head->zone ? head->zone : "-",
        head->action, (long long)head->ttl, head->match, head->confidence, head->target ? head->target : "-", head->mode,
        head->min_confidence, (long long)head->max_age, collected.count);
}

static void on_page(void *context, bool more, const char *next) {
    add(collected.pages, sizeof collected.pages, "more=%d next=%s\n", more, next ? next : "-");
}

static const struct collected *run(enum format format, struct input *input, const struct format_options *options) {
    const struct format_sink sink = {
        .indicator = on_indicator, .fault = on_fault, .head = on_head, .page = on_page, .ignored = on_ignored};
    const char *why = NULL;
    memset(&collected, 0, sizeof collected);
    collected.error = format_read(format, read_some, input, options, &sink, &why);
    snprintf(collected.why, sizeof collected.why, "%s", why ? why : "");
    return &collected;
}

const struct collected *collect_chunks(enum format format, const char *text, size_t length, size_t chunk,
                                       const struct format_options *options) {
    struct input input = {text, length, chunk, -1};
    return run(format, &input, options);
}

const struct collected *collect(enum format format, const char *text) {
    return collect_chunks(format, text, strlen(text), SIZE_MAX, NULL);
}

const struct collected *collect_file(enum format format, const char *path) {
    struct input input = {.descriptor = open(path, O_RDONLY | O_CLOEXEC)};
    if (input.descriptor < 0) {
        memset(&collected, 0, sizeof collected);
        collected.error = -errno;
        return &collected;
    }
    const struct collected *result = run(format, &input, NULL);
    close(input.descriptor);
    return result;
}
