/* feeds/format_adblock.c: adblock-style lists, as far as a rule has a meaning for DNS (FORMATS.md section 13).
 *
 * The rules are held as text until the list ends, because later lines may take earlier ones back ($badfilter, @@). In adblock's
 * language an exception covers its whole subtree, deeper blocks too, unless these are $important; ours lets the nearest rule
 * decide. So what an exception covers is left out here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/list_line.h"
#include "feeds/texts.h"

enum {
    RULE_ALLOW = 1,
    RULE_IMPORTANT = 2,
    RULE_BAD = 4,      /* takes back the same rule without $badfilter */
    RULE_EXACT = 8,    /* |x^ */
    RULE_SUBTREE = 16, /* ||x^ */
    RULE_SAME = RULE_ALLOW | RULE_IMPORTANT | RULE_EXACT | RULE_SUBTREE,
};

/* A rule, in reading order. */
struct rule_line {
    size_t text; /* offset in the held text */
    uint32_t line;
    uint8_t flags;
};

struct names {
    struct name *names;
    size_t count, size;
};

struct adblock {
    struct list list;
    struct rule_line *rules;
    size_t count, size;
    struct texts held; /* their texts */
    size_t *bad;       /* indexes of RULE_BAD, sorted by text */
    size_t bad_count;
    struct names exceptions; /* of subtrees; sorted */
    struct names important;
};

/* The rule's modifiers into flags. False: one of them isn't known, so the rule may not be applied. */
static bool read_modifiers(const char *text, unsigned *flags) {
    while (*text) {
        size_t length = strcspn(text, ",");
        if (length == 9 && memcmp(text, "important", 9) == 0)
            *flags |= RULE_IMPORTANT;
        else if (length == 9 && memcmp(text, "badfilter", 9) == 0)
            *flags |= RULE_BAD;
        else if (!(length == 3 && (memcmp(text, "all", 3) == 0 || memcmp(text, "doc", 3) == 0)) &&
                 !(length == 8 && memcmp(text, "document", 8) == 0) && length > 0)
            return false;
        text += length + (text[length] == ',');
    }
    return true;
}

static bool is_cosmetic(const char *text) {
    static const char *const marks[] = {"##", "#@#", "#?#", "#@?#", "#$#", "#@$#", "#%#", "#@%#", "$$", "$@$"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *mark = strstr(text, marks[i]);
        if (mark && (mark == text ? mark[2] != '#' && mark[2] != ' ' && mark[2] != '\0' : true))
            return true;
    }
    return false;
}

static int hold(struct adblock *adblock, const char *text, size_t length, unsigned flags) {
    if (adblock->count == adblock->size) {
        size_t size = adblock->size ? 2 * adblock->size : 1024;
        struct rule_line *grown = realloc(adblock->rules, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        adblock->rules = grown;
        adblock->size = size;
    }
    long offset = texts_keep(&adblock->held, text, length);
    if (offset < 0)
        return (int)offset;
    adblock->rules[adblock->count++] =
        (struct rule_line){.text = (size_t)offset, .line = adblock->list.reading->line, .flags = (uint8_t)flags};
    return 0;
}

/* What a pattern covers: flags, and its text cut down to the name. NULL: no meaning for DNS. */
static char *read_pattern(char *text, size_t *length, unsigned *flags) {
    bool anchored = false;
    if (strncmp(text, "||", 2) == 0) {
        *flags |= RULE_SUBTREE;
        text += 2;
        *length -= 2;
        anchored = true;
    } else if (text[0] == '|') {
        *flags |= RULE_EXACT;
        text++;
        *length -= 1;
        anchored = true;
    }
    if (*length > 0 && text[*length - 1] == '|')
        text[--*length] = '\0';
    bool closed = *length > 0 && text[*length - 1] == '^';
    if (closed)
        text[--*length] = '\0';
    if (*length == 0 || strpbrk(text, "^|/:?=&%~$,@!()[]+ \t") || (closed && !anchored))
        return NULL;
    bool star = strchr(text, '*') != NULL;
    return star && (anchored || strncmp(text, "*.", 2) != 0) ? NULL : text;
}

static int rule_line(struct adblock *adblock, char *text, size_t length) {
    struct list *list = &adblock->list;
    unsigned flags = 0;
    list->entries++;
    if (strncmp(text, "@@", 2) == 0) {
        flags |= RULE_ALLOW;
        text += 2;
        length -= 2;
    }
    if (text[0] == '/' && strchr(text + 1, '/')) {
        list_ignore(list, "a regular expression or a path");
        return 0;
    }
    if (strpbrk(text, " \t\"{}<>")) {
        reading_fault(list->reading, list->reading->line, 1, NULL, NULL, "no adblock rule: \"%.80s\"", text);
        return 0;
    }
    char *dollar = strrchr(text, '$');
    if (dollar) {
        *dollar = '\0';
        length = (size_t)(dollar - text);
        if (!read_modifiers(dollar + 1, &flags)) {
            list_ignore(list, "a rule with a modifier that DNS can't honour");
            return 0;
        }
    }
    text = read_pattern(text, &length, &flags);
    if (!text) {
        list_ignore(list, "a pattern of more than a name");
        return 0;
    }
    return hold(adblock, text, length, flags);
}

static int read_line(struct adblock *adblock, char *line, size_t length) {
    char *text = list_trim(line, &length);
    if (length == 0 || (text[0] == '[' && text[length - 1] == ']'))
        return 0;
    if (text[0] != '!' && is_cosmetic(text)) {
        adblock->list.entries++;
        list_ignore(&adblock->list, "a cosmetic rule");
        return 0;
    }
    if (text[0] == '!' || text[0] == '#') {
        list_comment(&adblock->list, text);
        return 0;
    }
    list_cut_comment(text, &length);
    int result = list_hosts_line(&adblock->list, text, adblock->list.reading->line, (uint32_t)(text - line) + 1);
    if (result != 0)
        return result < 0 ? result : 0;
    return rule_line(adblock, text, length);
}

static int compare_bad(const void *a, const void *b, void *context) {
    const struct adblock *adblock = context;
    const struct rule_line *x = &adblock->rules[*(const size_t *)a], *y = &adblock->rules[*(const size_t *)b];
    int order = strcmp(adblock->held.text + x->text, adblock->held.text + y->text);
    return order ? order : (x->flags & RULE_SAME) - (y->flags & RULE_SAME);
}

static int collect_bad(struct adblock *adblock) {
    for (size_t i = 0; i < adblock->count; i++)
        adblock->bad_count += (adblock->rules[i].flags & RULE_BAD) != 0;
    if (adblock->bad_count == 0)
        return 0;
    adblock->bad = malloc(adblock->bad_count * sizeof *adblock->bad);
    if (!adblock->bad)
        return -ENOMEM;
    size_t at = 0;
    for (size_t i = 0; i < adblock->count; i++) {
        if (adblock->rules[i].flags & RULE_BAD)
            adblock->bad[at++] = i;
    }
    qsort_r(adblock->bad, adblock->bad_count, sizeof *adblock->bad, compare_bad, adblock);
    return 0;
}

static bool taken_back(struct adblock *adblock, size_t index) {
    size_t low = 0, high = adblock->bad_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_bad(&index, &adblock->bad[middle], adblock);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static int compare_names(const void *a, const void *b) {
    return name_compare(a, b);
}

static int add_name(struct names *names, const struct name *name) {
    if (names->count == names->size) {
        size_t size = names->size ? 2 * names->size : 64;
        struct name *grown = realloc(names->names, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        names->names = grown;
        names->size = size;
    }
    names->names[names->count++] = *name;
    return 0;
}

/* True if the name or one above it is in the list. */
static bool covered(const struct names *names, const struct name *name) {
    struct name suffix;
    size_t at = 0;
    for (unsigned labels = name->labels; names->count > 0 && labels > 0; labels--) {
        suffix.length = (uint8_t)(name->length - at);
        suffix.labels = (uint8_t)labels;
        memcpy(suffix.wire, name->wire + at, suffix.length);
        if (bsearch(&suffix, names->names, names->count, sizeof suffix, compare_names))
            return true;
        at += (size_t)name->wire[at] + 1;
    }
    return false;
}

static int read_name(const struct adblock *adblock, const struct rule_line *rule, struct value *value) {
    const char *text = adblock->held.text + rule->text, *why;
    return normalise(text, strlen(text), NORMALISE_ONE_LABEL, value, &why);
}

/* The subtrees that exceptions and important rules hold. */
static int collect_names(struct adblock *adblock) {
    struct value value;
    for (size_t i = 0; i < adblock->count; i++) {
        const struct rule_line *rule = &adblock->rules[i];
        bool holds = (rule->flags & (RULE_ALLOW | RULE_IMPORTANT)) != 0 && !(rule->flags & (RULE_BAD | RULE_EXACT));
        if (!holds || taken_back(adblock, i) || read_name(adblock, rule, &value) != 0 || value.kind != VALUE_NAME)
            continue;
        int error = add_name(rule->flags & RULE_ALLOW ? &adblock->exceptions : &adblock->important, &value.name);
        if (error)
            return error;
    }
    if (adblock->exceptions.count)
        qsort(adblock->exceptions.names, adblock->exceptions.count, sizeof(struct name), compare_names);
    if (adblock->important.count)
        qsort(adblock->important.names, adblock->important.count, sizeof(struct name), compare_names);
    return 0;
}

static bool overruled(const struct adblock *adblock, const struct rule_line *rule, const struct value *value) {
    if (value->kind != VALUE_NAME || rule->flags & RULE_IMPORTANT)
        return false;
    return covered(rule->flags & RULE_ALLOW ? &adblock->important : &adblock->exceptions, &value->name);
}

static int emit_rule(struct adblock *adblock, size_t index) {
    const struct rule_line *rule = &adblock->rules[index];
    const char *text = adblock->held.text + rule->text;
    struct list_entry entry = {.match = rule->flags & RULE_EXACT     ? MATCH_EXACT
                                        : rule->flags & RULE_SUBTREE ? MATCH_SUBTREE
                                                                     : MATCH_COUNT,
                               .allow = (rule->flags & RULE_ALLOW) != 0,
                               .line = rule->line,
                               .column = 1};
    struct value value;
    if (rule->flags & RULE_BAD) {
        list_ignore(&adblock->list, "a $badfilter");
        return 0;
    }
    if (taken_back(adblock, index)) {
        list_ignore(&adblock->list, "taken back by a $badfilter");
        return 0;
    }
    if (read_name(adblock, rule, &value) == 0 && overruled(adblock, rule, &value)) {
        list_ignore(&adblock->list, entry.allow ? "an exception below an important rule" : "covered by an exception");
        return 0;
    }
    return list_emit_text(&adblock->list, &entry, text, strlen(text));
}

/* Exceptions first: of two rules for one name, the first stays. */
static int emit_rules(struct adblock *adblock) {
    int error = collect_bad(adblock);
    if (!error)
        error = collect_names(adblock);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; !error && i < adblock->count; i++) {
            if (((adblock->rules[i].flags & RULE_ALLOW) != 0) == (pass == 0))
                error = emit_rule(adblock, i);
        }
    }
    return error;
}

int format_adblock(struct reading *reading) {
    struct adblock adblock = {.list = {.reading = reading}};
    char *line;
    size_t length;
    int error = 0, got = 0;
    while (!error && (got = reading_line(reading, &line, &length)) > 0)
        error = read_line(&adblock, line, length);
    if (!error)
        error = got;
    if (!error)
        error = emit_rules(&adblock);
    if (!error)
        error = list_end(&adblock.list);
    texts_done(&adblock.held);
    free(adblock.rules);
    free(adblock.bad);
    free(adblock.exceptions.names);
    free(adblock.important.names);
    return error;
}
