/* feeds/reading.h: what the format parsers share: one document being read, its place, its faults and the way to the sink.
 *
 * Private to the parsers (format_*.c) and format.c. A parser is one function, `int format_x(struct reading *)`, that returns what
 * format_read returns. One thread. */
#ifndef SUNDEW_FEEDS_READING_H
#define SUNDEW_FEEDS_READING_H

#include "feeds/format.h"
#include "feeds/record.h"

enum {
    READING_AHEAD = 65536,        /* octets looked at before a parser is chosen: HTML, emptiness, JSON lines */
    READING_LINE_MAX = 65536,     /* octets of a line in list formats (AdGuard Home's limit) */
    READING_PATH_MAX = 160,       /* octets of a fault's path, NUL included; cut there */
    READING_WHY_MAX = 256,        /* octets of a reason, NUL included; cut there */
    READING_FAMILY_MAX = 255,     /* octets of a family; longer ones are cut */
    READING_REFERENCE_MAX = 2048, /* octets of a reference; longer ones are left out */
};

/* Visible because every parser works on it. */
struct reading {
    enum format format;
    const struct format_options *options;
    const struct format_sink *sink;
    struct json_reader *json; /* NULL for formats that aren't JSON */
    struct record record;     /* the parser's scratch, freed by format_read */
    char path[READING_PATH_MAX];
    char why[READING_WHY_MAX];
    char family[READING_FAMILY_MAX + 1];
    char reference[READING_REFERENCE_MAX + 1];

    json_source *source;
    void *source_context;
    int source_error; /* -errno of the source, 0 while it's well */
    char *ahead;      /* octets read ahead: from ahead_at up to ahead_settled ready, the rest waits for more */
    size_t ahead_at, ahead_settled, ahead_end;
    bool scrubs; /* mends text on its way (feeds/scrub.h) */
    bool mended; /* had to */
    bool source_ended;
    uint64_t source_octets; /* handed to the JSON reader so far */

    char *line_buffer; /* of list formats */
    size_t line_at, line_end;
    uint32_t line;
    bool last_line_whole; /* the text so far ended with a newline */
};

/* Reads ahead up to READING_AHEAD octets once all that is settled has been handed out. 0 or -errno. */
int reading_fill(struct reading *reading);

/* What was read ahead, then the source's. A json_source; context is the reading. */
long reading_source(void *reading, char *buffer, size_t size);

/* The next line of a list without its newline and CR, NUL-terminated, valid until the next call. 1, 0 at the end, -errno of the
 * source. Lines over READING_LINE_MAX are reported as faults and passed over; so are lines that hold a NUL. */
int reading_line(struct reading *reading, char **line, size_t *length);

/* Hands an indicator on; fills in confidence, TTL and so on only where the parser did. Returns what the sink returns. */
int reading_emit(struct reading *reading, const struct indicator *indicator);

/* How a record's value is to be read: a name or address; one that carries a port; a URL, of which the host counts. */
enum reading_value { READING_PLAIN, READING_WITH_PORT, READING_URL };

/* Normalises a record's value into the indicator (trigger, name or prefix, from_url, place and path) and hands it on. 0 handed on,
 * 1 it couldn't be read and was reported as a fault of `field`, or the sink's -errno. */
int reading_emit_value(struct reading *reading, struct indicator *indicator, enum reading_value how, const char *text,
                       size_t length, const char *field);

/* An indicator with everything unset. */
void reading_blank(struct indicator *indicator);

/* Reports a fault; the path is `path`, a dot and `field` (either may be NULL). */
__attribute__((format(printf, 6, 7))) void reading_fault(struct reading *reading, uint32_t line, uint32_t column, const char *path,
                                                         const char *field, const char *message, ...);

/* The document isn't of the format: says why, as a fault at line and column and as format_read's *why. Returns -EBADMSG. */
__attribute__((format(printf, 4, 5))) int reading_refuse(struct reading *reading, uint32_t line, uint32_t column,
                                                         const char *message, ...);

/* After json_next or json_skip failed: the source's -errno, or reading_refuse with the reader's place and words. */
int reading_json_error(struct reading *reading);

void reading_ignored(struct reading *reading, const char *why);

/* Text on its way to logs, tables and metrics. A family: control characters become blanks, cut at READING_FAMILY_MAX; NULL if
 * nothing is left. A reference: control characters are percent-encoded; NULL if there is none or it is too long. In the reading's
 * memory; valid until the next call. */
const char *reading_family(struct reading *reading, const char *text, size_t length);
const char *reading_reference(struct reading *reading, const char *text, size_t length);

int format_sundew(struct reading *reading);
int format_jsonl(struct reading *reading);
int format_threatfox(struct reading *reading);
int format_feodo(struct reading *reading);
int format_urlhaus(struct reading *reading);
int format_misp(struct reading *reading);
int format_stix(struct reading *reading);
int format_taxii(struct reading *reading);
int format_otx(struct reading *reading);
int format_warninglist(struct reading *reading);
int format_domains(struct reading *reading);
int format_hosts(struct reading *reading);
int format_adblock(struct reading *reading);
int format_rpz(struct reading *reading);

#endif
