/* feeds/format.c: the formats by name, their defaults, and the one way into their parsers. */
#include "feeds/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "feeds/reading.h"

enum {
    CONFIDENCE_BY_ZONE = 100,
    FEED_STRING_MAX = 32 << 20, /* octets of one string in a feed */
};

static const struct {
    const char *name;
    int (*read)(struct reading *reading);
    bool json;
    bool lines; /* JSON lines */
    bool window;
    int confidence;   /* of an indicator that states none (FORMATS.md section 0) */
    enum match match; /* of a name that states none */
} formats[] = {
    [FORMAT_SUNDEW] = {"sundew", format_sundew, true, false, false, CONFIDENCE_BY_ZONE, MATCH_SUBTREE},
    [FORMAT_JSONL] = {"jsonl", format_jsonl, true, true, false, CONFIDENCE_BY_ZONE, MATCH_SUBTREE},
    [FORMAT_THREATFOX] = {"threatfox", format_threatfox, true, false, true, CONFIDENCE_BY_ZONE, MATCH_SUBTREE},
    [FORMAT_FEODO] = {"feodo", format_feodo, true, false, false, 90, MATCH_SUBTREE},
    [FORMAT_URLHAUS] = {"urlhaus", format_urlhaus, true, false, true, 50, MATCH_SUBTREE},
    [FORMAT_MISP] = {"misp", format_misp, true, false, false, 70, MATCH_SUBTREE},
    [FORMAT_STIX] = {"stix", format_stix, true, false, false, 60, MATCH_SUBTREE},
    [FORMAT_TAXII] = {"taxii", format_taxii, true, false, true, 60, MATCH_SUBTREE},
    [FORMAT_OTX] = {"otx", format_otx, true, false, true, 50, MATCH_SUBTREE},
    [FORMAT_WARNINGLIST] = {"warninglist", format_warninglist, true, false, false, CONFIDENCE_BY_ZONE, MATCH_SUBTREE},
    [FORMAT_DOMAINS] = {"domains", format_domains, false, false, false, CONFIDENCE_BY_ZONE, MATCH_SUBTREE},
    [FORMAT_HOSTS] = {"hosts", format_hosts, false, false, false, CONFIDENCE_BY_ZONE, MATCH_EXACT},
    [FORMAT_ADBLOCK] = {"adblock", format_adblock, false, false, false, CONFIDENCE_BY_ZONE, MATCH_SUBTREE},
    [FORMAT_RPZ] = {"rpz", format_rpz, false, false, false, CONFIDENCE_BY_ZONE, MATCH_EXACT},
};
_Static_assert(sizeof formats / sizeof formats[0] == FORMAT_COUNT, "every format has its row");

const char *format_name(enum format format) {
    return (unsigned)format < FORMAT_COUNT ? formats[format].name : NULL;
}

int format_from_name(const char *name, enum format *format) {
    for (unsigned i = 0; i < FORMAT_COUNT; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *format = (enum format)i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool ends_with(const char *path, const char *ending) {
    size_t length = strlen(path), want = strlen(ending);
    return length >= want && strcasecmp(path + length - want, ending) == 0;
}

enum format format_from_path(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    if (ends_with(file, ".json"))
        return FORMAT_SUNDEW;
    if (ends_with(file, ".jsonl"))
        return FORMAT_JSONL;
    if (ends_with(file, ".rpz") || ends_with(file, ".zone"))
        return FORMAT_RPZ;
    return strcasecmp(file, "hosts") == 0 || ends_with(file, ".hosts") ? FORMAT_HOSTS : FORMAT_DOMAINS;
}

bool format_is_window(enum format format) {
    return formats[format].window;
}

int format_default_confidence(enum format format) {
    return formats[format].confidence;
}

enum match format_default_match(enum format format, bool from_url) {
    return from_url ? MATCH_EXACT : formats[format].match;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Passes a byte order mark, and refuses what is no feed at all, whatever the format: nothing, a web page, an archive. */
static int look_ahead(struct reading *reading) {
    if (reading->ahead_end >= 3 && memcmp(reading->ahead, "\xEF\xBB\xBF", 3) == 0)
        reading->ahead_at = 3;
    size_t at = reading->ahead_at;
    while (at < reading->ahead_end && is_space(reading->ahead[at]))
        at++;
    const char *text = reading->ahead + at;
    size_t left = reading->ahead_end - at;
    if (left == 0 && reading->source_ended) {
        if (!formats[reading->format].json && reading->options->local)
            return 0;
        return reading_refuse(reading, 1, 1, "the document is empty");
    }
    if (left >= 1 && text[0] == '<')
        return reading_refuse(reading, 1, 1, "a web page (HTML or XML), not a document of format %s",
                              formats[reading->format].name);
    if (left >= 4 && (memcmp(text, "PK\3\4", 4) == 0 || memcmp(text, "\x1f\x8b", 2) == 0))
        return reading_refuse(reading, 1, 1, "compressed data, not a document of format %s", formats[reading->format].name);
    if (!formats[reading->format].json && memchr(reading->ahead, '\0', reading->ahead_end))
        return reading_refuse(reading, 1, 1, "binary data, not a document of format %s", formats[reading->format].name);
    return 0;
}

/* Where the value that begins at text ends, if it is an object that is closed on its first line; NULL otherwise. */
static const char *closed_on_its_line(const char *text, const char *end) {
    unsigned depth = 0;
    bool quoted = false;
    for (const char *at = text; at < end && *at != '\n'; at++) {
        if (quoted && *at == '\\' && at + 1 < end)
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && (*at == '{' || *at == '['))
            depth++;
        else if (!quoted && (*at == '}' || *at == ']') && --depth == 0)
            return at + 1;
    }
    return NULL;
}

/* JSON lines are told from a document by the text itself: their first line is a whole rule. */
static bool looks_like_lines(const struct reading *reading) {
    const char *text = reading->ahead + reading->ahead_at, *end = reading->ahead + reading->ahead_end;
    while (text < end && is_space(*text))
        text++;
    if (text == end || *text == '[')
        return false;
    if (*text == '"')
        return true;
    const char *after = *text == '{' ? closed_on_its_line(text, end) : NULL;
    if (!after)
        return false;
    size_t length = (size_t)(after - text);
    if (memmem(text, length, "\"rules\"", 7))
        return false;
    const char *more = after;
    while (more < end && is_space(*more))
        more++;
    if (more < end)
        return memchr(after, '\n', (size_t)(more - after)) != NULL;
    return memmem(text, length, "\"domain\"", 8) || memmem(text, length, "\"ip\"", 4) || memmem(text, length, "\"client\"", 8);
}

static bool is_own(enum format format) {
    return format == FORMAT_SUNDEW || format == FORMAT_JSONL;
}

static int open_json(struct reading *reading) {
    /* Feeds carry whole files in strings that nobody here wants (MISP's attachments); our own format has no such thing. */
    const struct json_limits limits = {.lines = formats[reading->format].lines,
                                       .string = is_own(reading->format) ? 0 : FEED_STRING_MAX};
    reading->json = json_reader_new(reading_source, reading, &limits);
    return reading->json ? 0 : -ENOMEM;
}

int format_read(enum format format, json_source *source, void *source_context, const struct format_options *options,
                const struct format_sink *sink, const char **why) {
    static _Thread_local char reason[READING_WHY_MAX]; /* *why outlives the reading */
    static const struct format_options none;
    struct reading *reading = calloc(1, sizeof *reading);
    if (why)
        *why = NULL;
    if (!reading)
        return -ENOMEM;
    reading->format = format;
    reading->options = options ? options : &none;
    reading->sink = sink;
    reading->source = source;
    reading->source_context = source_context;
    reading->scrubs = formats[format].json && !is_own(format); /* our own authors are told */
    int error = reading_fill(reading);
    if (!error)
        error = look_ahead(reading);
    if (!error && format == FORMAT_SUNDEW && looks_like_lines(reading))
        reading->format = FORMAT_JSONL;
    if (!error && formats[reading->format].json)
        error = open_json(reading);
    if (!error)
        error = formats[reading->format].read(reading);
    if (error && why) {
        memcpy(reason, reading->why, sizeof reason);
        *why = reason[0] ? reason : strerror(-error);
    }
    json_reader_free(reading->json);
    record_done(&reading->record);
    free(reading->line_buffer);
    free(reading->ahead);
    free(reading);
    return error;
}
