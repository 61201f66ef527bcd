/* config/set.c: one value out of the document into its place in struct config, by the type that the table gives it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/build.h"
#include "config/value.h"
#include "policy/idna.h"

/* What a value of each type looks like, for the fault that says it doesn't. */
static const char *const wanted[] = {
    [TYPE_BOOL] = "true or false is wanted here",
    [TYPE_TRISTATE] = "true or false is wanted here",
    [TYPE_INTEGER] = "a whole number is wanted here",
    [TYPE_DURATION] = "a duration is wanted here: seconds as a number, or \"90s\" \"10m\" \"24h\" \"7d\" \"2w\"",
    [TYPE_SIZE] = "a size is wanted here: octets as a number, or \"64K\" \"128M\" \"1G\"",
    [TYPE_TTL] = "a TTL is wanted here: seconds as a number, or \"max\"",
    [TYPE_WORD] = "a word is wanted here",
    [TYPE_WORD_TEXT] = "a word is wanted here",
    [TYPE_TEXT] = "text is wanted here",
    [TYPE_COMMENT] = "text is wanted here",
    [TYPE_PATH] = "a path is wanted here",
    [TYPE_SECRET] = "the path of a file is wanted here",
    [TYPE_SOURCE] = "a path, a glob, or a URL is wanted here",
    [TYPE_URL] = "a URL is wanted here",
    [TYPE_BODY] = "an object is wanted here: {...}",
    [TYPE_RULES] = "an array of rules is wanted here: [...]",
    [TYPE_IPV4] = "an IPv4 address is wanted here",
    [TYPE_IPV6] = "an IPv6 address is wanted here",
    [TYPE_NAME] = "a domain name is wanted here",
    [TYPE_SOCKET] = "an address and port are wanted here, as in \"127.0.0.1:9153\"",
    [TYPE_SYSLOG] = "false, true, or where a collector is: \"udp://192.0.2.14:514\", \"tcp://192.0.2.14:601\" or \"unix:/dev/log\"",
    [TYPE_TCP] = "an address and port are wanted here, as in \"127.0.0.1:6000\"",
    [TYPE_ENDPOINTS] = "an array of addresses is wanted here, as in [\"dns://192.0.2.53\"]",
    [TYPE_PREFIXES] = "an array of addresses and prefixes is wanted here, as in [\"10.0.0.0/8\", \"::1\"]",
    [TYPE_TEXTS] = "an array of texts is wanted here",
    [TYPE_PROTECTED] = "an array of names and files is wanted here",
};

static void wrong_type(struct build *build, const struct key *key, const struct node *node) {
    fault_at(build->faults, node, "%s%s", wanted[key->type], key->nullable ? ", or null" : "");
}

/* True for text that can be used as a C string and shown; says what is wrong otherwise. */
static bool good_text(struct build *build, const struct node *node) {
    if (node->length == 0) {
        fault_at(build->faults, node, "is empty");
        return false;
    }
    for (size_t i = 0; i < node->length; i++) {
        if ((unsigned char)node->text[i] < ' ' || node->text[i] == 0x7F) {
            fault_at(build->faults, node, "holds a control character");
            return false;
        }
    }
    return true;
}

static bool is_text(struct build *build, const struct key *key, const struct node *node) {
    if (node->kind == JSON_STRING)
        return good_text(build, node);
    wrong_type(build, key, node);
    return false;
}

/* Takes over a string; what stood there (a default) is freed. */
static void put_string(struct build *build, const struct key *key, char *base, char *value) {
    char *old;
    if (!value)
        build->faults->no_memory = true;
    memcpy(&old, base + key->offset, sizeof old);
    free(old);
    memcpy(base + key->offset, &value, sizeof value);
}

static char *absolute(struct build *build, const char *path) {
    char *joined;
    if (path[0] == '/')
        return strdup(path);
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    return asprintf(&joined, "%s/%s", build->folder, path) < 0 ? NULL : joined;
}

static void put_number(const struct key *key, char *base, int64_t number) {
    int as_int = (int)number;
    unsigned as_unsigned = (unsigned)number;
    uint32_t as_u32 = (uint32_t)number;
    size_t as_size = (size_t)number;
    switch (key->store) {
    case STORE_INT:
        memcpy(base + key->offset, &as_int, sizeof as_int);
        break;
    case STORE_UNSIGNED:
        memcpy(base + key->offset, &as_unsigned, sizeof as_unsigned);
        break;
    case STORE_U32:
        memcpy(base + key->offset, &as_u32, sizeof as_u32);
        break;
    case STORE_I64:
        memcpy(base + key->offset, &number, sizeof number);
        break;
    case STORE_SIZE:
        memcpy(base + key->offset, &as_size, sizeof as_size);
        break;
    }
}

/* A bound in the row's own unit, as an operator would write it. */
static void show_bound(const struct key *key, int64_t bound, char text[24]) {
    static const char *const size_units[] = {"", "K", "M", "G", "T"};
    static const struct {
        int64_t seconds;
        const char *unit;
    } durations[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    size_t unit = 0;
    if (key->type == TYPE_SIZE) {
        for (; bound && bound % 1024 == 0 && unit < 4; unit++)
            bound /= 1024;
        snprintf(text, 24, "%lld%s", (long long)bound, size_units[unit]);
    } else if (key->type == TYPE_DURATION && bound > 0) {
        while (bound % durations[unit].seconds)
            unit++;
        snprintf(text, 24, "%lld%s", (long long)(bound / durations[unit].seconds), durations[unit].unit);
    } else {
        snprintf(text, 24, "%lld", (long long)bound);
    }
}

static void set_number(struct build *build, const struct key *key, const struct node *node, char *base) {
    int64_t number = 0;
    int error = -EINVAL;
    bool negative = node->kind == JSON_NUMBER && node->text[0] == '-';
    if (node->kind == JSON_NUMBER)
        error = config_duration(node->text + negative, &number); /* digits only here: a number has no unit */
    else if (node->kind == JSON_STRING && key->type == TYPE_SIZE)
        error = config_size(node->text, &number);
    else if (node->kind == JSON_STRING && key->type == TYPE_TTL && strcmp(node->text, "max") == 0)
        error = 0, number = RULE_TTL_MAX;
    else if (node->kind == JSON_STRING && (key->type == TYPE_DURATION || key->type == TYPE_TTL))
        error = config_duration(node->text, &number);
    if (error < 0 || (node->kind == JSON_STRING && strlen(node->text) != node->length)) {
        wrong_type(build, key, node);
        return;
    }
    number = negative ? -number : number;
    if (number < key->min || number > key->max) {
        char low[24], high[24];
        show_bound(key, key->min, low);
        show_bound(key, key->max, high);
        if (key->max == INT64_MAX)
            fault_at(build->faults, node, "must be at least %s", low);
        else
            fault_at(build->faults, node, "must be from %s to %s", low, high);
        return;
    }
    put_number(key, base, number);
}

static void set_word(struct build *build, const struct key *key, const struct node *node, char *base) {
    if (!is_text(build, key, node))
        return;
    for (int i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], node->text) != 0)
            continue;
        if (key->type == TYPE_WORD_TEXT)
            put_string(build, key, base, strdup(node->text));
        else
            put_number(key, base, i);
        return;
    }
    char all[256] = "";
    for (size_t i = 0, at = 0; key->words[i] && at < sizeof all; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", key->words[i]);
    const char *near = config_did_you_mean(node->text, key->words);
    if (near)
        fault_at(build->faults, node, "\"%.40s\" is unknown; did you mean \"%s\"?", node->text, near);
    else
        fault_at(build->faults, node, "\"%.40s\" is unknown; it is one of %s", node->text, all);
}

static void set_text(struct build *build, const struct key *key, const struct node *node, char *base) {
    if (!is_text(build, key, node))
        return;
    if (key->max && (int64_t)node->length > key->max) {
        fault_at(build->faults, node, "is longer than %lld octets", (long long)key->max);
        return;
    }
    put_string(build, key, base, strdup(node->text));
}

static void set_path(struct build *build, const struct key *key, const struct node *node, char *base) {
    if (!is_text(build, key, node))
        return;
    char *path = absolute(build, node->text);
    if (path && key->type == TYPE_SECRET && access(path, R_OK) < 0)
        fault_at(build->faults, node, "%s cannot be read: %s", path, strerror(errno));
    put_string(build, key, base, path);
}

static void set_url(struct build *build, const struct key *key, const struct node *node, char *base) {
    const char *why;
    if (!is_text(build, key, node))
        return;
    if (key->type == TYPE_SOURCE && !value_is_url(node->text))
        put_string(build, key, base, absolute(build, node->text));
    else if (value_url(node->text, &why) < 0)
        fault_at(build->faults, node, "%s", why);
    else
        put_string(build, key, base, strdup(node->text));
}

/* Part of the document, kept as text. Rules are made a policy file of their own; blank lines and blanks in front let its lines and
 * columns be those of the configuration. */
static void set_json(struct build *build, const struct key *key, const struct node *node, char *base) {
    static const char head[] = "{\"rules\":";
    bool rules = key->type == TYPE_RULES;
    if (node->kind != (rules ? JSON_ARRAY : JSON_OBJECT)) {
        wrong_type(build, key, node);
        return;
    }
    size_t lines = rules ? node->line - 1 : 0, used = rules && lines == 0 ? sizeof head - 1 : 0;
    size_t blanks = rules && node->column - 1 > used ? node->column - 1 - used : 0, length = node->end - node->begin;
    char *text = malloc(sizeof head + lines + blanks + length + 2), *p = text;
    if (text) {
        if (rules)
            p = stpcpy(p, head);
        p = (char *)memset(p, '\n', lines) + lines;
        p = (char *)memset(p, ' ', blanks) + blanks;
        p = (char *)memcpy(p, build->text + node->begin, length) + length;
        memcpy(p, "}", 2);
        p[rules] = '\0';
    }
    put_string(build, key, base, text);
}

static void set_address(struct build *build, const struct key *key, const struct node *node, char *base) {
    struct ip ip;
    const bool given = true;
    if (!is_text(build, key, node))
        return;
    if (ip_from_text(&ip, node->text, node->length) < 0 || ip_is_v4(&ip) != (key->type == TYPE_IPV4)) {
        wrong_type(build, key, node);
        return;
    }
    memcpy(base + key->offset, &ip, sizeof ip);
    if (key->flag)
        memcpy(base + key->flag, &given, sizeof given);
}

static void set_name(struct build *build, const struct key *key, const struct node *node, char *base) {
    struct name name;
    const char *why = "no memory";
    if (!is_text(build, key, node))
        return;
    if (name_from_unicode(&name, node->text, node->length, &why) < 0)
        fault_at(build->faults, node, "not a domain name: %s", why);
    else
        memcpy(base + key->offset, &name, sizeof name);
}

static void set_socket(struct build *build, const struct key *key, const struct node *node, char *base) {
    struct sockaddr_storage address;
    socklen_t length;
    const char *why;
    if (!is_text(build, key, node))
        return;
    if (value_socket(node->text, 0, &address, &length, &why) < 0) {
        fault_at(build->faults, node, "%s", why);
        return;
    }
    if (key->type == TYPE_SOCKET) {
        memcpy(base + key->offset, &address, sizeof address);
        memcpy(base + key->count, &length, sizeof length);
        return;
    }
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    char *text = strdup(node->text);
    if (!endpoint || !text) {
        build->faults->no_memory = true;
        free(endpoint);
        free(text);
        return;
    }
    *endpoint = (struct endpoint){.address = address, .address_length = length, .text = text};
    const void *made = endpoint;
    memcpy(base + key->offset, &made, sizeof made);
}

/* One element of an array type, to the slot. False: a fault was said. */
static bool set_element(struct build *build, const struct key *key, const struct node *node, void *slot) {
    const char *why = "no memory";
    if (node->kind != JSON_STRING) {
        fault_at(build->faults, node, "text in double quotes is wanted here");
        return false;
    }
    if (!good_text(build, node))
        return false;
    struct name name;
    if (key->type == TYPE_ENDPOINTS && value_endpoint(node->text, slot, &why) == 0)
        return true;
    if (key->type == TYPE_PREFIXES && prefix_from_text(slot, node->text, node->length, false, &why) == 0)
        return true;
    if (key->type == TYPE_PROTECTED && !strchr(node->text, '/') && name_from_unicode(&name, node->text, node->length, &why) < 0) {
        fault_at(build->faults, node, "not a domain name: %s (a file is written with a '/': \"./%.40s\")", why, node->text);
        return false;
    }
    if (key->type == TYPE_TEXTS || key->type == TYPE_PROTECTED) {
        char **text = slot;
        *text = strchr(node->text, '/') && key->type == TYPE_PROTECTED ? absolute(build, node->text) : strdup(node->text);
        if (*text)
            return true;
    }
    fault_at(build->faults, node, "%s", why);
    return false;
}

static void free_elements(const struct key *key, char *elements, size_t count) {
    for (size_t i = 0; elements && i < count && key->type != TYPE_PREFIXES; i++) {
        if (key->type == TYPE_ENDPOINTS) {
            free(((struct endpoint *)(void *)elements)[i].host);
            free(((struct endpoint *)(void *)elements)[i].text);
        } else {
            free(((char **)(void *)elements)[i]);
        }
    }
    free(elements);
}

static void set_array(struct build *build, const struct key *key, const struct node *node, char *base) {
    const size_t size = key->type == TYPE_ENDPOINTS  ? sizeof(struct endpoint)
                        : key->type == TYPE_PREFIXES ? sizeof(struct prefix)
                                                     : sizeof(char *);
    const bool given = true;
    if (node->kind != JSON_ARRAY) {
        wrong_type(build, key, node);
        return;
    }
    char *elements = calloc(node->count + 1, size), *old;
    size_t count = 0, old_count;
    if (!elements) {
        build->faults->no_memory = true;
        return;
    }
    for (const struct node *element = node->child; element; element = element->next)
        count += set_element(build, key, element, elements + count * size);
    memcpy(&old, base + key->offset, sizeof old);
    memcpy(&old_count, base + key->count, sizeof old_count);
    free_elements(key, old, old_count);
    memcpy(base + key->offset, &elements, sizeof elements);
    memcpy(base + key->count, &count, sizeof count);
    if (key->flag)
        memcpy(base + key->flag, &given, sizeof given);
}

static void set_truth(struct build *build, const struct key *key, const struct node *node, char *base) {
    const bool yes = node->kind == JSON_TRUE;
    if (!yes && node->kind != JSON_FALSE)
        wrong_type(build, key, node);
    else if (key->type == TYPE_TRISTATE)
        put_number(key, base, yes);
    else
        memcpy(base + key->offset, &yes, sizeof yes);
}

static void set_syslog(struct build *build, const struct key *key, const struct node *node, char *base) {
    struct syslog_target made = {0}, old;
    const char *why;
    if (node->kind != JSON_TRUE && node->kind != JSON_FALSE && !is_text(build, key, node))
        return;
    bool own = node->kind == JSON_TRUE;
    if (node->kind != JSON_FALSE && value_syslog(own ? "unix:/dev/log" : node->text, build->folder, &made, &why) < 0) {
        fault_at(build->faults, node, "%s", why);
        return;
    }
    made.own = own;
    memcpy(&old, base + key->offset, sizeof old);
    free(old.text);
    memcpy(base + key->offset, &made, sizeof made);
}

void build_value(struct build *build, const struct key *key, const struct node *node, char *base) {
    typedef void setter(struct build *, const struct key *, const struct node *, char *);
    static setter *const setters[] = {
        [TYPE_BOOL] = set_truth,      [TYPE_TRISTATE] = set_truth, [TYPE_INTEGER] = set_number,  [TYPE_DURATION] = set_number,
        [TYPE_SIZE] = set_number,     [TYPE_TTL] = set_number,     [TYPE_WORD] = set_word,       [TYPE_WORD_TEXT] = set_word,
        [TYPE_TEXT] = set_text,       [TYPE_PATH] = set_path,      [TYPE_SECRET] = set_path,     [TYPE_SOURCE] = set_url,
        [TYPE_URL] = set_url,         [TYPE_BODY] = set_json,      [TYPE_RULES] = set_json,      [TYPE_IPV4] = set_address,
        [TYPE_IPV6] = set_address,    [TYPE_NAME] = set_name,      [TYPE_SOCKET] = set_socket,   [TYPE_TCP] = set_socket,
        [TYPE_SYSLOG] = set_syslog,   [TYPE_TEXTS] = set_array,    [TYPE_ENDPOINTS] = set_array, [TYPE_PREFIXES] = set_array,
        [TYPE_PROTECTED] = set_array,
    };
    if (node->kind == JSON_NULL && key->nullable)
        return; /* off is what stands there: nothing nullable has a default in the table, see config/defaults.c */
    if (key->type == TYPE_COMMENT) {
        if (node->kind != JSON_STRING)
            wrong_type(build, key, node);
        return;
    }
    setters[key->type](build, key, node, base);
}
