/* feeds/stix_pattern.c: a tokenizer and a recursive descent over the part of the grammar that stix_pattern.h names. The pattern is
 * read twice: first to see whether it is fit as a whole, then to hand its values over. */
#include "feeds/stix_pattern.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { NESTING_MAX = 32 };

enum token { END, WORD, PATH, STRING, OTHER_LITERAL, EQUAL, OPEN, CLOSE, OPEN_BRACKET, CLOSE_BRACKET, COMMA, BAD_OPERATOR, BAD };

struct parser {
    const char *at;
    enum token token;
    const char *begin; /* of a word or path */
    size_t length;
    char text[STIX_VALUE_MAX]; /* of a string, unescaped */
    size_t text_length;
    bool too_long;
    unsigned nesting;
    size_t values;
    stix_value *value; /* NULL in the first pass */
    void *context;
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct parser *p) {
    for (;;) {
        if (is_space(*p->at)) {
            p->at++;
        } else if (p->at[0] == '/' && p->at[1] == '*') {
            const char *end = strstr(p->at + 2, "*/");
            p->at = end ? end + 2 : p->at + strlen(p->at);
        } else if (p->at[0] == '/' && p->at[1] == '/') {
            p->at += strcspn(p->at, "\n");
        } else {
            return;
        }
    }
}

/* At the opening quote. */
static enum token read_string(struct parser *p) {
    p->text_length = 0;
    p->too_long = false;
    for (p->at++; *p->at != '\''; p->at++) {
        if (*p->at == '\\' && p->at[1])
            p->at++;
        if (*p->at == '\0')
            return BAD;
        if (p->text_length < STIX_VALUE_MAX - 1)
            p->text[p->text_length++] = *p->at;
        else
            p->too_long = true;
    }
    p->at++;
    p->text[p->text_length] = '\0';
    return STRING;
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* type:property.'quoted property'[*].ref */
static enum token read_path(struct parser *p) {
    while (*p->at) {
        if (is_word(*p->at) || strchr(":.*", *p->at)) {
            p->at++;
        } else if (*p->at == '[') {
            p->at += strcspn(p->at, "]");
            p->at += *p->at != '\0';
        } else if (*p->at == '\'') {
            if (read_string(p) == BAD)
                return BAD;
        } else {
            break;
        }
    }
    p->length = (size_t)(p->at - p->begin);
    return PATH;
}

static enum token read_word(struct parser *p) {
    p->begin = p->at;
    if ((*p->at == 't' || *p->at == 'h' || *p->at == 'b') && p->at[1] == '\'') {
        p->at++;
        return read_string(p) == BAD ? BAD : OTHER_LITERAL;
    }
    while (is_word(*p->at) || *p->at == '.')
        p->at++;
    if (*p->at == ':')
        return read_path(p);
    p->length = (size_t)(p->at - p->begin);
    char first = *p->begin;
    return (first >= '0' && first <= '9') || first == '-' ? OTHER_LITERAL : WORD;
}

static void advance(struct parser *p) {
    static const struct {
        char c;
        enum token token;
    } marks[] = {{'(', OPEN}, {')', CLOSE}, {'[', OPEN_BRACKET}, {']', CLOSE_BRACKET}, {',', COMMA}};
    skip_space(p);
    if (*p->at == '\0') {
        p->token = END;
        return;
    }
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (*p->at == marks[i].c) {
            p->at++;
            p->token = marks[i].token;
            return;
        }
    }
    if (*p->at == '=') {
        p->at += p->at[1] == '=' ? 2 : 1;
        p->token = EQUAL;
    } else if (strchr("!<>", *p->at)) {
        p->at++;
        p->token = BAD_OPERATOR;
    } else if (*p->at == '\'') {
        p->token = read_string(p);
    } else {
        p->token = is_word(*p->at) ? read_word(p) : BAD;
    }
}

static bool is_keyword(const struct parser *p, const char *word) {
    return p->token == WORD && p->length == strlen(word) && memcmp(p->begin, word, p->length) == 0;
}

/* What stands where something simpler was wanted: grammar that isn't ours, or no grammar at all. */
static enum stix_result unfit(const struct parser *p) {
    static const char *const words[] = {"AND",        "NOT",    "FOLLOWEDBY", "LIKE",    "MATCHES", "ISSUBSET",
                                        "ISSUPERSET", "EXISTS", "WITHIN",     "REPEATS", "START",   "IN"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is_keyword(p, words[i]))
            return STIX_COMPLEX;
    }
    return p->token == BAD_OPERATOR ? STIX_COMPLEX : STIX_MALFORMED;
}

/* What a path points to, or -1. */
static int kind_of(const char *path, size_t length) {
    static const struct {
        const char *path;
        enum stix_kind kind;
    } paths[] = {
        {"domain-name:value", STIX_NAME},
        {"ipv4-addr:value", STIX_ADDRESS},
        {"ipv6-addr:value", STIX_ADDRESS},
        {"url:value", STIX_URL},
        {"network-traffic:dst_ref.value", STIX_NAME}, /* of a name or an address */
        {"domain-name:resolves_to_refs[*].value", STIX_ADDRESS},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (strlen(paths[i].path) == length && memcmp(paths[i].path, path, length) == 0)
            return (int)paths[i].kind;
    }
    return -1;
}

/* The literal that is the current token. */
static int take_literal(struct parser *p, int kind) {
    if (p->token != STRING && p->token != OTHER_LITERAL && !(p->token == WORD && (is_keyword(p, "true") || is_keyword(p, "false"))))
        return (int)unfit(p);
    int result = STIX_READ;
    if (kind >= 0 && p->token == STRING && !p->too_long) {
        p->values++;
        if (p->value)
            result = p->value(p->context, (enum stix_kind)kind, p->text, p->text_length);
    }
    if (result == STIX_READ)
        advance(p);
    return result;
}

/* IN ( literal, ... ), from the opening parenthesis. */
static int read_set(struct parser *p, int kind) {
    if (p->token != OPEN)
        return (int)unfit(p);
    do {
        advance(p);
        int result = take_literal(p, kind);
        if (result != STIX_READ)
            return result;
    } while (p->token == COMMA);
    if (p->token != CLOSE)
        return STIX_MALFORMED;
    advance(p);
    return STIX_READ;
}

static int read_comparison(struct parser *p) {
    if (p->token != PATH)
        return (int)unfit(p);
    int kind = kind_of(p->begin, p->length);
    advance(p);
    if (is_keyword(p, "IN")) {
        advance(p);
        return read_set(p, kind);
    }
    if (p->token != EQUAL && !(is_keyword(p, "ISSUBSET") && kind == STIX_ADDRESS))
        return (int)unfit(p);
    advance(p);
    return take_literal(p, kind);
}

/* Alternatives, parted by OR: of comparisons inside of brackets, of observations outside. */
static int read_alternatives(struct parser *p, bool inside) {
    if (++p->nesting > NESTING_MAX)
        return STIX_COMPLEX;
    for (;;) {
        int result;
        enum token closing = p->token == OPEN_BRACKET && !inside ? CLOSE_BRACKET : CLOSE;
        if (p->token == OPEN || closing == CLOSE_BRACKET) {
            advance(p);
            result = read_alternatives(p, inside || closing == CLOSE_BRACKET);
            if (result == STIX_READ && p->token != closing)
                result = (int)unfit(p);
            if (result == STIX_READ)
                advance(p);
        } else {
            result = inside ? read_comparison(p) : (int)unfit(p);
        }
        if (result != STIX_READ)
            return result;
        if (!is_keyword(p, "OR"))
            break;
        advance(p);
    }
    p->nesting--;
    return STIX_READ;
}

static int read_pattern(struct parser *p) {
    advance(p);
    int result = read_alternatives(p, false);
    return result == STIX_READ && p->token != END ? (int)unfit(p) : result;
}

int stix_pattern_read(const char *pattern, stix_value *value, void *context) {
    struct parser p = {.at = pattern};
    int result = read_pattern(&p);
    if (result != STIX_READ)
        return result;
    if (p.values == 0)
        return STIX_ELSEWHERE;
    p = (struct parser){.at = pattern, .value = value, .context = context};
    return read_pattern(&p);
}
