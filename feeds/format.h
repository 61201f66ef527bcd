/* feeds/format.h: what every format parser takes and gives: octets in, indicators and faults out.
 *
 * A parser knows its format and nothing of zones, guards, thresholds or files. It reads a stream (bounded memory, whatever the
 * size) and calls back once for each indicator; what it can't read it reports and goes on. The caller (feeds/select.c) applies the
 * zone's choices, its guards and its defaults, and adds rules to the ruleset. Feeder process, one thread. */
#ifndef SUNDEW_FEEDS_FORMAT_H
#define SUNDEW_FEEDS_FORMAT_H

#include <stdio.h>

#include "config/json_source.h"
#include "policy/rule.h"

enum format {
    FORMAT_SUNDEW,
    FORMAT_JSONL, /* "sundew", one rule a line; chosen by ending .jsonl or by the text itself */
    FORMAT_THREATFOX,
    FORMAT_FEODO,
    FORMAT_URLHAUS,
    FORMAT_MISP,
    FORMAT_STIX,
    FORMAT_TAXII, /* the envelope of one page */
    FORMAT_OTX,   /* one page */
    FORMAT_WARNINGLIST,
    FORMAT_DOMAINS,
    FORMAT_HOSTS,
    FORMAT_ADBLOCK,
    FORMAT_RPZ,
    FORMAT_COUNT
};

/* One indicator as its source states it. Unset: RULE_ACTION_UNSET, RULE_TTL_UNSET, RULE_CONFIDENCE_UNSET, MATCH_COUNT, NULL, 0.
 * The rule's strings are borrowed for the call. */
struct indicator {
    struct rule rule;
    const char *threat_type; /* ThreatFox: botnet_cc, ... */
    const char *family_id;   /* win.remcos beside the printable family; families match either */
    bool compromised;
    bool not_to_ids;  /* MISP to_ids false */
    bool from_url;    /* the host of a URL: only with urls "hosts", never for shared hosts */
    bool allow;       /* adblock @@: a passthru */
    const char *id;   /* the feed's own id of the record; keys window state; NULL: the value itself. One id may come with several
                         indicators (an OR chain, a composite): they are one record, and replace it whole */
    bool revoked;     /* STIX revoked, MISP deleted: removes all of `id` from the window state; nothing else but `id` need be set */
    uint32_t column;  /* rule.line and this: where it stands; 0 unknown */
    const char *path; /* "rules[3]" for faults; borrowed for the call; NULL where the format has no paths */
};

/* The head of a policy file in our own format (all optional; the configuration overrides them). Keys of a zone that decide where
 * and for whom it holds (clients, source, refresh, ...) are the configuration's alone: in a head they are faults that say so. */
struct format_head {
    const char *zone, *description, *target;
    int action;         /* enum action or -1 */
    int64_t ttl;        /* or -1 */
    int match;          /* enum match or -1 */
    int confidence;     /* or -1 */
    int mode;           /* enum mode or -1 */
    int min_confidence; /* or -1 */
    int64_t max_age;    /* seconds or -1 */
};

struct format_sink {
    void *context;
    /* An indicator was read. 0: go on. -errno stops the parser, which returns it. */
    int (*indicator)(void *context, const struct indicator *indicator);
    /* Something could not be read, and was skipped. path may be NULL; line and column from 1, 0 unknown. Before format_read
     * returns -EBADMSG the reason is reported here too, with its place. */
    void (*fault)(void *context, uint32_t line, uint32_t column, const char *path, const char *message);
    /* The head of a `sundew` document; called once before the first indicator, with what has been met by then, and again at the
     * end if head keys came after rules: then the caller reads the file a second time with that head. May be NULL. */
    void (*head)(void *context, const struct format_head *head);
    /* A page's outcome: `next` as the format gives it (OTX URL, TAXII token), more. May be NULL. */
    void (*page)(void *context, bool more, const char *next);
    /* A count that isn't a fault: indicators of kinds DNS can't see (hashes, e-mail), context, skipped patterns. May be NULL. */
    void (*ignored)(void *context, const char *why);
};

struct format_options {
    bool refang;
    bool protect; /* the list is for never_block: what it names is to be protected (warninglist types decide subtree or name);
                     names of one label are taken */
    struct format_memory *memory; /* STIX and TAXII: several documents are read as one (below); NULL: each stands alone */
    bool local; /* an operator's own file: no octets at all are an empty list, not a failed download; one label will do */
};

/* Reads the whole stream. 0: the document is complete and was of the format. -EBADMSG: it is not (not JSON, HTML, cut off, an API
 * error: *why says which; static or in the parser's buffer until the next call): the caller must discard what it was given.
 * -ENODATA: a well-formed answer without news (ThreatFox no_result). Other -errno from the source or the sink. */
int format_read(enum format format, json_source *source, void *source_context, const struct format_options *options,
                const struct format_sink *sink, const char **why);

/* The pages of a TAXII collection are one body of objects: what an indicator on one page indicates may stand on another, and a
 * later version on a third. Read with a memory, a document hands nothing over (but faults and the page's outcome);
 * format_memory_flush does, once the last page is read, and forgets all but the names of malware, tools and the like.
 * format_memory_save writes these as a STIX bundle: read with the next poll's memory, it names what that poll only refers to. */
struct format_memory;
struct format_memory *format_memory_new(void); /* NULL: no memory */
void format_memory_free(struct format_memory *memory);
bool format_memory_holds(const struct format_memory *memory); /* an indicator that wasn't flushed yet */
int format_memory_flush(struct format_memory *memory, const struct format_options *options, const struct format_sink *sink);
int format_memory_save(const struct format_memory *memory, FILE *file); /* 0 or -errno */

const char *format_name(enum format format);
int format_from_name(const char *name, enum format *format); /* 0 or -EINVAL */
/* By ending: .json, .jsonl -> sundew, .rpz/.zone -> rpz, hosts -> hosts, otherwise domains. */
enum format format_from_path(const char *path);
bool format_is_window(enum format format);         /* absence is not removal, by default */
int format_default_confidence(enum format format); /* FORMATS.md section 0; 100 where it leaves it to the zone */
enum match format_default_match(enum format format, bool from_url);

#endif
