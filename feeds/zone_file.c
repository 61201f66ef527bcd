/* feeds/zone_file.c: see zone_file.h. */
#include "feeds/zone_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/idna.h"

int zone_file_init(struct zone_file *file, struct reading *reading) {
    memset(file, 0, sizeof *file);
    file->reading = reading;
    file->origin.name = (struct name){.length = 1};
    file->text = malloc(ZONE_FILE_ENTRY_MAX + 1);
    return file->text ? 0 : -ENOMEM;
}

void zone_file_done(struct zone_file *file) {
    free(file->text);
}

static void fault(struct zone_file *file, const char *message, const char *text) {
    reading_fault(file->reading, file->line, 1, NULL, NULL, text ? "%s: \"%.80s\"" : "%s", message, text);
}

static void keep_comment(struct zone_file *file, const char *comment) {
    size_t length = strlen(comment);
    if (length >= sizeof file->comment)
        length = sizeof file->comment - 1;
    memcpy(file->comment, comment, length);
    file->comment[length] = '\0';
}

static bool put(struct zone_file *file, char c) {
    if (file->used == ZONE_FILE_ENTRY_MAX)
        return false;
    file->text[file->used++] = c;
    return true;
}

/* Adds a line to the entry, without comment and parentheses. NULL, or what is wrong. */
static const char *add_line(struct zone_file *file, const char *line) {
    bool quoted = false, room = true;
    const char *at = line;
    for (; *at && room; at++) {
        if (*at == '\\' && at[1]) {
            room = put(file, *at++) && put(file, *at);
        } else if (*at == '"') {
            quoted = !quoted;
            room = put(file, '"');
        } else if (!quoted && *at == ';') {
            keep_comment(file, at + 1);
            break;
        } else if (!quoted && (*at == '(' || *at == ')')) {
            if (*at == ')' && file->depth == 0)
                return "a ')' without its '('";
            file->depth += *at == '(' ? 1 : -1u;
            room = put(file, ' ');
        } else {
            room = put(file, *at == '\t' ? ' ' : *at);
        }
    }
    if (quoted)
        return "a quote that isn't closed on its line";
    return room && put(file, ' ') ? NULL : "an entry longer than 262144 octets";
}

/* All lines of one entry into file->text. 1, 0 at the end, 2 after a fault, -errno. */
static int gather(struct zone_file *file) {
    char *line;
    size_t length;
    file->used = 0;
    file->depth = 0;
    file->comment[0] = '\0';
    do {
        int got = reading_line(file->reading, &line, &length);
        if (got < 0)
            return got;
        if (got == 0 && file->depth > 0)
            return reading_refuse(file->reading, file->line, 1, "the text ends inside of parentheses");
        if (got == 0)
            return 0;
        if (file->used == 0)
            file->line = file->reading->line;
        const char *wrong = add_line(file, line);
        if (wrong) {
            fault(file, wrong, NULL);
            return 2;
        }
    } while (file->depth > 0);
    file->text[file->used] = '\0';
    return 1;
}

/* The next field at *at, ended in place; NULL if there is none. */
static char *next_field(char **at) {
    char *begin = *at + strspn(*at, " "), *end = begin;
    bool quoted = false;
    if (!*begin)
        return NULL;
    for (; *end && (quoted || *end != ' '); end++) {
        if (*end == '\\' && end[1])
            end++;
        else if (*end == '"')
            quoted = !quoted;
    }
    *at = *end ? end + 1 : end;
    *end = '\0';
    return begin;
}

/* Seconds, or BIND's units: 1w2d3h4m5s. */
static bool read_ttl(const char *text, uint32_t *ttl) {
    static const char units[] = "smhdw";
    static const uint32_t seconds[] = {1, 60, 3600, 86400, 604800};
    uint64_t total = 0, number = 0;
    bool open = false;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text; text++) {
        const char *unit = strchr(units, *text | 0x20);
        if (*text >= '0' && *text <= '9') {
            number = number * 10 + (uint64_t)(*text - '0');
            open = true;
        } else if (unit && open) {
            total += number * seconds[unit - units];
            number = 0;
            open = false;
        } else {
            return false;
        }
        if (total + number > INT32_MAX)
            return false;
    }
    *ttl = (uint32_t)(total + number);
    return true;
}

static bool is_absolute(const char *text) {
    size_t length = strlen(text), slashes = 0;
    if (length == 0 || text[length - 1] != '.')
        return false;
    while (slashes < length - 1 && text[length - 2 - slashes] == '\\')
        slashes++;
    return slashes % 2 == 0;
}

int zone_file_name(const struct zone_file *file, const char *text, struct zone_name *name, const char **why) {
    if (strcmp(text, "@") == 0) {
        *name = file->origin;
        return 0;
    }
    struct zone_name result = {.absolute = is_absolute(text)};
    bool ascii = true;
    for (const char *at = text; *at; at++)
        ascii &= (unsigned char)*at < 0x80;
    int error =
        ascii ? name_from_text(&result.name, text, strlen(text), why) : name_from_unicode(&result.name, text, strlen(text), why);
    if (error)
        return -EINVAL;
    const struct name *origin = &file->origin.name;
    if (!result.absolute) {
        if ((size_t)result.name.length - 1 + origin->length > NAME_WIRE_MAX) {
            *why = "name longer than 255 octets";
            return -EINVAL;
        }
        memcpy(result.name.wire + result.name.length - 1, origin->wire, origin->length);
        result.name.length = (uint8_t)(result.name.length - 1 + origin->length);
        result.name.labels = (uint8_t)(result.name.labels + origin->labels);
        result.absolute = file->origin.absolute;
    }
    *name = result;
    return 0;
}

/* $ORIGIN and $TTL; always leads on to the next entry. */
static int directive(struct zone_file *file, char *text) {
    char *at = text, *word = next_field(&at), *value = next_field(&at);
    const char *why = "a value is missing";
    if (strcasecmp(word, "$TTL") == 0) {
        if (value && read_ttl(value, &file->ttl)) {
            file->has_ttl = true;
            return 0;
        }
        fault(file, "not a TTL", value ? value : "");
    } else if (strcasecmp(word, "$ORIGIN") == 0) {
        struct zone_name name;
        if (value && zone_file_name(file, value, &name, &why) == 0) {
            file->origin = name;
            file->has_origin = true;
            return 0;
        }
        fault(file, why, value ? value : "");
    } else if (strcasecmp(word, "$INCLUDE") == 0 || strcasecmp(word, "$GENERATE") == 0) {
        fault(file, "refused in a policy zone", word);
    } else {
        fault(file, "unknown directive", word);
    }
    return 2;
}

static int read_owner(struct zone_file *file, const char *text) {
    const char *why;
    file->has_owner = zone_file_name(file, text, &file->owner, &why) == 0;
    if (file->has_owner)
        return 1;
    fault(file, why, text);
    return 2;
}

static bool is_class(const char *text) {
    return strcasecmp(text, "IN") == 0 || strcasecmp(text, "CH") == 0 || strcasecmp(text, "HS") == 0;
}

/* [TTL] [class] type rdata, in either order of the first two. */
static int read_record(struct zone_file *file, char *at) {
    bool has_class = false;
    file->has_entry_ttl = false;
    for (;;) {
        char *field = next_field(&at);
        if (!field) {
            fault(file, "no type of record", NULL);
            return 2;
        }
        if (!has_class && is_class(field)) {
            has_class = true;
            if (strcasecmp(field, "IN") != 0) {
                fault(file, "a record's class must be IN", field);
                return 2;
            }
        } else if (!file->has_entry_ttl && read_ttl(field, &file->entry_ttl)) {
            file->has_entry_ttl = true;
        } else {
            file->type = field;
            break;
        }
    }
    if (!file->has_entry_ttl)
        file->entry_ttl = file->ttl;
    file->rdata = at + strspn(at, " ");
    for (size_t length = strlen(file->rdata); length > 0 && file->rdata[length - 1] == ' ';)
        file->rdata[--length] = '\0';
    return 1;
}

int zone_file_next(struct zone_file *file) {
    for (;;) {
        int got = gather(file);
        if (got != 1)
            return got;
        char *at = file->text;
        bool blank = *at == ' ';
        if (at[strspn(at, " ")] == '\0') {
            if (file->comment[0] && file->on_comment)
                file->on_comment(file->context, file->comment);
            continue;
        }
        if (*at == '$') {
            got = directive(file, at);
            if (got != 0)
                return got;
            continue;
        }
        if (!blank && (got = read_owner(file, next_field(&at))) != 1)
            return got;
        if (blank && !file->has_owner) {
            fault(file, "an entry without an owner", NULL);
            return 2;
        }
        return read_record(file, at);
    }
}
