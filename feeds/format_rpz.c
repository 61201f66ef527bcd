/* feeds/format_rpz.c: a response policy zone as a file: owners are triggers, data are actions (FORMATS.md section 14).
 *
 * Records of one owner are one rule, wherever they stand in the file: local data is held until the end. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "feeds/local_data.h"
#include "feeds/texts.h"
#include "feeds/when.h"
#include "feeds/zone_file.h"

enum { TTL_DEFAULT = 3600 }; /* of a record in a file that states none anywhere; BIND takes the SOA's */

/* One record of local data. */
struct local {
    struct rule rule; /* trigger, name or prefix, match, line */
    size_t text;      /* "TTL IN TYPE RDATA", offset in the held text */
    size_t order;
};

struct rpz {
    struct zone_file file;
    struct zone_name apex;
    bool has_apex;
    struct local *locals;
    size_t local_count, local_size;
    struct texts held;
    char *scratch;          /* LOCAL_DATA_MAX */
    struct name last_owner; /* without "*.", to count names that come as a pair */
    uint64_t names, records, good, declared;
    bool outside_said;
};

static void fault(struct rpz *rpz, const char *message, const char *text) {
    reading_fault(rpz->file.reading, rpz->file.line, 1, NULL, NULL, text ? "%s: \"%.80s\"" : "%s", message, text);
}

static void read_comment(void *context, const char *comment) {
    static const char *const labels[] = {"entries:", "number of entries:"};
    struct rpz *rpz = context;
    comment += strspn(comment, " ;#");
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        if (strncasecmp(comment, labels[i], strlen(labels[i])) == 0)
            rpz->declared = strtoull(comment + strlen(labels[i]), NULL, 10);
    }
}

/* The owner's name below the zone's; false for the zone itself. Owners that aren't below the zone stand for themselves: some feeds
 * write every owner with a last dot. */
static bool relative_owner(struct rpz *rpz, struct name *name) {
    const struct zone_name *owner = &rpz->file.owner;
    *name = owner->name;
    if (owner->absolute && rpz->has_apex && rpz->apex.absolute) {
        if (name_is_within(name, &rpz->apex.name)) {
            name->length = (uint8_t)(name->length - rpz->apex.name.length + 1);
            name->labels = (uint8_t)(name->labels - rpz->apex.name.labels);
            name->wire[name->length - 1] = 0;
        } else if (!rpz->outside_said) {
            rpz->outside_said = true;
            reading_ignored(rpz->file.reading, "owners with a last dot that aren't below the zone: taken as they stand");
        }
    }
    return name->labels > 0;
}

/* The labels of a name from the left, as text. */
struct labels {
    char text[NAME_LABELS_MAX][NAME_LABEL_MAX + 1];
    unsigned count;
};

static void split(const struct name *name, unsigned without, struct labels *labels) {
    size_t at = 0;
    labels->count = name->labels - without;
    for (unsigned i = 0; i < labels->count; i++) {
        size_t length = name->wire[at];
        memcpy(labels->text[i], name->wire + at + 1, length);
        labels->text[i][length] = '\0';
        at += length + 1;
    }
}

static bool is_number(const char *text, unsigned low, unsigned high, unsigned *value) {
    size_t length = strlen(text);
    if (length == 0 || length > 3 || strspn(text, "0123456789") != length || (text[0] == '0' && length > 1))
        return false;
    *value = (unsigned)strtoul(text, NULL, 10);
    return *value >= low && *value <= high;
}

/* prefix.d.c.b.a, or prefix.words reversed with "zz" for "::". NULL, or what is wrong. */
static const char *read_prefix(const struct labels *labels, struct prefix *prefix) {
    char text[PREFIX_TEXT_MAX * 2];
    size_t used = 0;
    unsigned length, octet;
    const char *why = NULL;
    bool v4 = labels->count == 5, zz = false;
    for (unsigned i = 1; v4 && i < labels->count; i++)
        v4 = is_number(labels->text[i], 0, 255, &octet);
    if (labels->count < 2 || !is_number(labels->text[0], 1, v4 ? 32 : 128, &length))
        return "no prefix length in front of the reversed address";
    if (!v4 && labels->count > 9)
        return "not a reversed address";
    for (unsigned i = labels->count - 1; i > 0; i--) {
        const char *word = labels->text[i];
        bool is_zz = strcmp(word, "zz") == 0;
        if (!is_zz && (strlen(word) > 4 || strspn(word, "0123456789abcdef") != strlen(word)))
            return "not a reversed address";
        if (is_zz && (v4 || zz))
            return "\"zz\" may stand once in an IPv6 address";
        zz |= is_zz;
        bool at_edge = used == 0 || i == 1;
        if (is_zz)
            used += (size_t)snprintf(text + used, sizeof text - used, used == 0 ? "::" : at_edge ? "::" : ":");
        else
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s",
                                     used == 0 || text[used - 1] == ':' ? ""
                                     : v4                               ? "."
                                                                        : ":",
                                     word);
        if (is_zz && !at_edge)
            used += (size_t)snprintf(text + used, sizeof text - used, ":");
    }
    if (!v4 && !zz && labels->count != 9)
        return "four octets or eight words are expected in front of rpz-ip, reversed, after the prefix length";
    snprintf(text + used, sizeof text - used, "/%u", length);
    if (prefix_from_text(prefix, text, strlen(text), false, &why) != 0)
        return why ? why : "not a reversed address";
    if (!v4 && ip_is_v4(&prefix->ip) && prefix->length < 96)
        return "not a reversed address";
    return NULL;
}

/* A name trigger: x is exact, *.x all below. NULL, or what is wrong. */
static const char *read_name(struct rule *rule, const struct name *name, unsigned without) {
    size_t from = 0, end = 0;
    unsigned labels = name->labels - without;
    rule->match = MATCH_EXACT;
    for (unsigned i = 0; i < labels; i++) {
        bool star = name->wire[end] == 1 && name->wire[end + 1] == '*';
        if (star && i > 0)
            return "a '*' that isn't the first label";
        end += (size_t)name->wire[end] + 1;
        if (star) {
            rule->match = MATCH_BELOW;
            from = end;
        }
    }
    rule->name.labels = (uint8_t)(labels - (rule->match == MATCH_BELOW ? 1 : 0));
    rule->name.length = (uint8_t)(end - from + 1);
    memcpy(rule->name.wire, name->wire + from, end - from);
    rule->name.wire[end - from] = 0;
    return NULL;
}

static const struct {
    const char *label;
    enum trigger trigger;
} suffixes[] = {
    {"rpz-ip", TRIGGER_IP},
    {"rpz-client-ip", TRIGGER_CLIENT},
    {"rpz-nsdname", TRIGGER_NAMESERVER},
    {"rpz-nsip", TRIGGER_NAMESERVER_IP},
};

static const char *read_trigger(struct rule *rule, const struct name *name) {
    size_t at = 0;
    for (unsigned i = 1; i < name->labels; i++)
        at += (size_t)name->wire[at] + 1;
    size_t length = name->wire[at], kind = 0;
    const size_t kinds = sizeof suffixes / sizeof suffixes[0];
    while (kind < kinds &&
           (strlen(suffixes[kind].label) != length || memcmp(suffixes[kind].label, name->wire + at + 1, length) != 0))
        kind++;
    rule->trigger = kind < kinds ? suffixes[kind].trigger : TRIGGER_DOMAIN;
    if (rule->trigger == TRIGGER_DOMAIN)
        return read_name(rule, name, 0);
    if (rule->trigger == TRIGGER_NAMESERVER)
        return name->labels < 2 ? "no name in front of rpz-nsdname" : read_name(rule, name, 1);
    struct labels labels;
    split(name, 1, &labels);
    return read_prefix(&labels, &rule->prefix);
}

static bool is_type(const struct rpz *rpz, const char *type) {
    return strcasecmp(rpz->file.type, type) == 0;
}

/* Types that BIND doesn't take for data in a policy zone either. */
static bool is_infrastructure(const struct rpz *rpz) {
    static const char *const types[] = {"SOA",        "NS",     "DNAME", "RRSIG", "NSEC",   "NSEC3",
                                        "NSEC3PARAM", "DNSKEY", "DS",    "CDS",   "CDNSKEY"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (is_type(rpz, types[i]))
            return true;
    }
    return false;
}

/* "; Malware download (2020-10-21), see https://urlhaus.abuse.ch/host/1008691.com/" */
static void read_remark(struct rpz *rpz, struct rule *rule) {
    const char *comment = rpz->file.comment, *link = strstr(comment, "https://");
    if (!link)
        link = strstr(comment, "http://");
    size_t length = link ? strcspn(link, " \t\"<>|,;") : 0;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)link[i] >= 0x80)
            length = 0;
    }
    if (length > 8)
        rule->reference = reading_reference(rpz->file.reading, link, length);
    for (const char *at = comment; *at; at++) {
        if (strspn(at, "0123456789") == 4 && at[4] == '-' && strlen(at) >= 10 && when_parse(at, 10, false, &rule->first_seen) == 0)
            break;
    }
}

static int emit(struct rpz *rpz, const struct rule *rule) {
    struct indicator indicator;
    reading_blank(&indicator);
    indicator.rule = *rule;
    indicator.column = 1;
    rpz->good++;
    return reading_emit(rpz->file.reading, &indicator);
}

/* A CNAME to anything but RPZ's own words: the name to answer with. NULL, or what is wrong. */
static const char *read_target(struct rpz *rpz, struct rule *rule, const char *text, char target[NAME_TEXT_MAX]) {
    struct zone_name name;
    const char *why;
    if (strncasecmp(text, "rpz-", 4) == 0 && strchr(text, '.') == NULL)
        return "RPZ's own words end in a dot";
    if (zone_file_name(&rpz->file, text, &name, &why) != 0)
        return why;
    if (rule->trigger == TRIGGER_DOMAIN && rule->match == MATCH_EXACT && name_equal(&name.name, &rule->name)) {
        rule->action = ACTION_PASSTHRU; /* the old spelling of rpz-passthru */
        return NULL;
    }
    name_to_text(name.name.wire, target);
    rule->action = ACTION_CNAME;
    rule->target = target;
    rule->ttl = rpz->file.has_entry_ttl || rpz->file.has_ttl ? rpz->file.entry_ttl : TTL_DEFAULT;
    return NULL;
}

static int read_cname(struct rpz *rpz, struct rule *rule) {
    static const struct {
        const char *target;
        enum action action;
    } words[] = {{".", ACTION_NXDOMAIN},
                 {"*.", ACTION_NODATA},
                 {"rpz-passthru.", ACTION_PASSTHRU},
                 {"rpz-drop.", ACTION_DROP},
                 {"rpz-tcp-only.", ACTION_TRUNCATE}};
    char target[NAME_TEXT_MAX];
    const char *text = rpz->file.rdata;
    size_t i = 0;
    while (i < sizeof words / sizeof words[0] && strcasecmp(words[i].target, text) != 0)
        i++;
    if (i < sizeof words / sizeof words[0]) {
        rule->action = words[i].action;
    } else {
        const char *wrong = text[0] == '\0' ? "a target is missing" : read_target(rpz, rule, text, target);
        if (wrong) {
            fault(rpz, wrong, text[0] ? text : NULL);
            return 0;
        }
    }
    return emit(rpz, rule);
}

static int hold_local(struct rpz *rpz, const struct rule *rule) {
    const struct zone_file *file = &rpz->file;
    char origin[NAME_TEXT_MAX] = "", *line = NULL;
    const char *why;
    if (file->origin.absolute)
        name_to_text(file->origin.name.wire, origin);
    int length = asprintf(&line, "%s %s", file->type, file->rdata);
    if (length < 0)
        return -ENOMEM;
    uint32_t ttl = file->has_entry_ttl || file->has_ttl ? file->entry_ttl : TTL_DEFAULT;
    int error = local_data_read(line, (size_t)length, ttl, origin[0] ? origin : NULL, rpz->scratch, &why);
    free(line);
    if (error == -EINVAL)
        fault(rpz, why, file->type);
    if (error)
        return error == -EINVAL ? 0 : error;
    if (rpz->local_count == rpz->local_size) {
        size_t size = rpz->local_size ? 2 * rpz->local_size : 64;
        struct local *grown = realloc(rpz->locals, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        rpz->locals = grown;
        rpz->local_size = size;
    }
    long offset = texts_keep(&rpz->held, rpz->scratch, strlen(rpz->scratch));
    if (offset < 0)
        return (int)offset;
    struct local *local = &rpz->locals[rpz->local_count];
    *local = (struct local){.rule = *rule, .text = (size_t)offset, .order = rpz->local_count};
    local->rule.reference = NULL; /* lives in the reading's memory, which the next record overwrites */
    rpz->local_count++;
    return 0;
}

static void count_owner(struct rpz *rpz, const struct name *name) {
    struct rule bare = {.match = MATCH_EXACT};
    rpz->records++;
    if (read_name(&bare, name, 0) != NULL || name_equal(&bare.name, &rpz->last_owner))
        return;
    rpz->last_owner = bare.name;
    rpz->names++;
}

static int read_entry(struct rpz *rpz) {
    struct indicator blank;
    struct name name;
    if (is_type(rpz, "SOA") && !rpz->has_apex) {
        rpz->apex = rpz->file.owner;
        rpz->has_apex = true;
    } else if (rpz->file.has_origin && !rpz->has_apex) {
        rpz->apex = rpz->file.origin;
        rpz->has_apex = true;
    }
    bool below = relative_owner(rpz, &name);
    if (!below || is_infrastructure(rpz)) {
        rpz->good++;
        if (below)
            reading_ignored(rpz->file.reading, "a record of a type that is no policy");
        return 0;
    }
    count_owner(rpz, &name);
    reading_blank(&blank);
    struct rule rule = blank.rule;
    rule.line = rpz->file.line;
    const char *wrong = read_trigger(&rule, &name);
    if (wrong) {
        char text[NAME_TEXT_MAX];
        name_to_text(name.wire, text);
        fault(rpz, wrong, text);
        return 0;
    }
    read_remark(rpz, &rule);
    return is_type(rpz, "CNAME") ? read_cname(rpz, &rule) : hold_local(rpz, &rule);
}

static int compare_owners(const struct rule *x, const struct rule *y) {
    if (x->trigger != y->trigger)
        return x->trigger < y->trigger ? -1 : 1;
    if (x->trigger != TRIGGER_DOMAIN && x->trigger != TRIGGER_NAMESERVER)
        return memcmp(&x->prefix, &y->prefix, sizeof x->prefix);
    int order = name_compare(&x->name, &y->name);
    return order ? order : (int)x->match - (int)y->match;
}

static int compare_locals(const void *a, const void *b) {
    const struct local *x = a, *y = b;
    int order = compare_owners(&x->rule, &y->rule);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* The records of one owner, from the first-th to before the end-th, as one rule. */
static int emit_local(struct rpz *rpz, size_t first, size_t end) {
    size_t size = 1, used = 0;
    for (size_t i = first; i < end; i++)
        size += strlen(rpz->held.text + rpz->locals[i].text) + 1;
    char *records = malloc(size);
    if (!records)
        return -ENOMEM;
    for (size_t i = first; i < end; i++)
        used += (size_t)snprintf(records + used, size - used, "%s%s", i > first ? "\n" : "", rpz->held.text + rpz->locals[i].text);
    struct rule rule = rpz->locals[first].rule;
    rule.action = ACTION_LOCAL;
    rule.records = records;
    int error = emit(rpz, &rule);
    free(records);
    return error;
}

static int emit_locals(struct rpz *rpz) {
    int error = 0;
    if (rpz->local_count)
        qsort(rpz->locals, rpz->local_count, sizeof *rpz->locals, compare_locals);
    for (size_t first = 0, end; !error && first < rpz->local_count; first = end) {
        end = first + 1;
        while (end < rpz->local_count && compare_owners(&rpz->locals[first].rule, &rpz->locals[end].rule) == 0)
            end++;
        error = emit_local(rpz, first, end);
    }
    return error;
}

/* What feeds declare counts names (which come with their "*." twin) or records; it is the latter if it is just the number of them.
 */
static int check_count(struct rpz *rpz) {
    struct reading *reading = rpz->file.reading;
    bool counts_records = rpz->records >= rpz->declared && rpz->records <= rpz->declared + rpz->declared / 16 + 4;
    if (rpz->good == 0 && rpz->records > 0)
        return reading_refuse(reading, 1, 1, "no record of it can be read: not a policy zone");
    if (rpz->names >= rpz->declared || counts_records)
        return 0;
    if (!reading->options->local)
        return reading_refuse(reading, reading->line, 1, "cut off: %" PRIu64 " names, and it declares %" PRIu64, rpz->names,
                              rpz->declared);
    reading_fault(reading, reading->line, 1, NULL, NULL, "%" PRIu64 " names, and the file declares %" PRIu64, rpz->names,
                  rpz->declared);
    return 0;
}

static int read_zone(struct rpz *rpz) {
    int got;
    bool last_faulty = false;
    while ((got = zone_file_next(&rpz->file)) > 0) {
        last_faulty = got == 2;
        rpz->records += got == 2;
        rpz->names += got == 2;
        int error = got == 1 ? read_entry(rpz) : 0;
        if (error)
            return error;
    }
    if (got < 0)
        return got;
    if (last_faulty && !rpz->file.reading->last_line_whole && !rpz->file.reading->options->local)
        return reading_refuse(rpz->file.reading, rpz->file.line, 1, "the text ends in the middle of an entry");
    int error = emit_locals(rpz);
    return error ? error : check_count(rpz);
}

int format_rpz(struct reading *reading) {
    struct rpz rpz = {.has_apex = false};
    int error = zone_file_init(&rpz.file, reading);
    if (error)
        return error;
    rpz.file.on_comment = read_comment;
    rpz.file.context = &rpz;
    rpz.last_owner.length = 0;
    rpz.scratch = malloc(LOCAL_DATA_MAX);
    error = rpz.scratch ? read_zone(&rpz) : -ENOMEM;
    zone_file_done(&rpz.file);
    texts_done(&rpz.held);
    free(rpz.locals);
    free(rpz.scratch);
    return error;
}
