/* feeds/emit.c: see emit.h. One reason to exist: the three shapes of output. */
#include "feeds/emit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A zone's own name comes behind every owner when a server loads it; what is longer would cost the whole zone. */
enum { RPZ_OWNER_MAX = 190, RPZ_TTL = 3600 };

struct emitter {
    enum emit_kind kind;
    FILE *out;
    uint64_t count;
    uint64_t *owners; /* rpz: hashes of owners written: a CNAME must be alone */
    size_t room, used;
};

int emit_kind_from_name(const char *name, enum emit_kind *kind) {
    static const char *const names[] = {"json", "rpz", "domains"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *kind = (enum emit_kind)i;
            return 0;
        }
    }
    return -EINVAL;
}

struct emitter *emitter_new(enum emit_kind kind, FILE *out) {
    struct emitter *emitter = calloc(1, sizeof *emitter);
    if (emitter == NULL)
        return NULL;
    emitter->kind = kind;
    emitter->out = out;
    emitter->room = 1 << 12;
    emitter->owners = calloc(emitter->room, sizeof *emitter->owners);
    if (emitter->owners == NULL) {
        free(emitter);
        return NULL;
    }
    if (kind == EMIT_JSON)
        fputs("{\"rules\": [", out);
    else if (kind == EMIT_RPZ)
        fprintf(out, "$TTL %d\n@ IN SOA localhost. root.localhost. %lld 3600 600 86400 3600\n@ IN NS localhost.\n", RPZ_TTL,
                (long long)time(NULL));
    return emitter;
}

/* --- json --------------------------------------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *key, const char *text) {
    if (text != NULL)
        json_object_set_new(object, key, json_string(text));
}

/* A name in presentation form, with everything escaped that our own format takes only escaped; "*." in front stays. */
static void set_name(json_t *object, const char *key, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    char name[2 * NAME_TEXT_MAX];
    size_t used = 0;
    if (strncmp(text, "*.", 2) == 0) {
        memcpy(name, text, 2);
        used = 2;
        text += 2;
    }
    for (; *text != '\0' && used < sizeof name - 2; text++) {
        if (*text == '\\')
            name[used++] = *text++;
        else if (strchr(plain, *text) == NULL)
            name[used++] = '\\';
        if (*text != '\0')
            name[used++] = *text;
    }
    name[used] = '\0';
    set_text(object, key, name);
}

static void set_time(json_t *object, const char *key, int64_t seconds) {
    char text[32];
    struct tm tm;
    time_t when = (time_t)seconds;
    if (seconds == 0 || gmtime_r(&when, &tm) == NULL)
        return;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    set_text(object, key, text);
}

static void set_records(json_t *object, const char *records) {
    json_t *array = json_array();
    while (*records != '\0') {
        size_t length = strcspn(records, "\n");
        if (length > 0)
            json_array_append_new(array, json_stringn(records, length));
        records += length + (records[length] == '\n');
    }
    json_object_set_new(object, "records", array);
}

static void emit_json(struct emitter *emitter, const struct rule *rule) {
    static const char *const keys[] = {[TRIGGER_CLIENT] = "client",
                                       [TRIGGER_DOMAIN] = "domain",
                                       [TRIGGER_IP] = "ip",
                                       [TRIGGER_NAMESERVER] = "nameserver",
                                       [TRIGGER_NAMESERVER_IP] = "nameserver_ip"};
    char text[NAME_TEXT_MAX + PREFIX_TEXT_MAX];
    bool named = rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER;
    json_t *object = json_object();
    if (named) {
        name_to_text(rule->name.wire, text);
        set_name(object, keys[rule->trigger], text);
    } else {
        prefix_to_text(&rule->prefix, text);
        set_text(object, keys[rule->trigger], text);
    }
    if (named && rule->match < MATCH_COUNT)
        set_text(object, "match", match_name(rule->match));
    if (rule->action != RULE_ACTION_UNSET)
        set_text(object, "action", action_name(rule->action));
    if (rule->action == ACTION_CNAME && rule->target != NULL)
        set_name(object, "target", rule->target);
    if (rule->action == ACTION_LOCAL && rule->records != NULL)
        set_records(object, rule->records);
    if (rule->ttl != RULE_TTL_UNSET)
        json_object_set_new(object, "ttl", json_integer(rule->ttl));
    set_text(object, "family", rule->family);
    if (rule->confidence != RULE_CONFIDENCE_UNSET)
        json_object_set_new(object, "confidence", json_integer(rule->confidence));
    set_time(object, "first_seen", rule->first_seen);
    set_time(object, "last_seen", rule->last_seen);
    set_time(object, "expires", rule->expires);
    set_text(object, "reference", rule->reference);
    char *line = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    fprintf(emitter->out, "%s\n  %s", emitter->count == 0 ? "" : ",", line == NULL ? "{}" : line);
    free(line);
}

/* --- rpz ---------------------------------------------------------------------------------------------------------------------- */

/* True the first time. */
static bool is_new(struct emitter *emitter, const char *owner) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char *at = owner; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001B3u;
    hash = hash == 0 ? 1 : hash;
    if (emitter->used * 2 >= emitter->room) {
        size_t room = emitter->room * 2;
        uint64_t *owners = calloc(room, sizeof *owners);
        for (size_t i = 0; i < emitter->room && owners != NULL; i++) {
            size_t at = emitter->owners[i] & (room - 1);
            while (emitter->owners[i] != 0 && owners[at] != 0)
                at = (at + 1) & (room - 1);
            if (emitter->owners[i] != 0)
                owners[at] = emitter->owners[i];
        }
        if (owners == NULL)
            return false;
        free(emitter->owners);
        emitter->owners = owners;
        emitter->room = room;
    }
    size_t at = hash & (emitter->room - 1);
    while (emitter->owners[at] != 0 && emitter->owners[at] != hash)
        at = (at + 1) & (emitter->room - 1);
    if (emitter->owners[at] == hash)
        return false;
    emitter->owners[at] = hash;
    emitter->used++;
    return true;
}

/* 192.0.2.0/24 is 24.0.2.0.192.rpz-ip; 2001:db8::/32 is 32.zz.db8.2001.rpz-ip (the longest run of zero words is zz). */
static void prefix_owner(const struct prefix *prefix, const char *suffix, char *out, size_t size) {
    const uint8_t *bytes = prefix->ip.bytes;
    if (ip_is_v4(&prefix->ip) && prefix->length >= 96) {
        snprintf(out, size, "%d.%d.%d.%d.%d.%s", prefix->length - 96, bytes[15], bytes[14], bytes[13], bytes[12], suffix);
        return;
    }
    unsigned best = 8, best_length = 1; /* a single zero word isn't worth a zz */
    for (unsigned start = 0; start < 8; start++) {
        unsigned length = 0;
        while (start + length < 8 && bytes[2 * (start + length)] == 0 && bytes[2 * (start + length) + 1] == 0)
            length++;
        if (length > best_length) {
            best = start;
            best_length = length;
        }
    }
    size_t used = (size_t)snprintf(out, size, "%d", prefix->length);
    for (unsigned i = 8; i-- > 0;) {
        if (best < 8 && i >= best && i < best + best_length) {
            used += (size_t)snprintf(out + used, size - used, "%s", i == best ? ".zz" : "");
            continue;
        }
        used += (size_t)snprintf(out + used, size - used, ".%x", bytes[2 * i] << 8 | bytes[2 * i + 1]);
    }
    snprintf(out + used, size - used, ".%s", suffix);
}

static void rpz_records(struct emitter *emitter, const char *owner, const struct rule *rule, uint32_t ttl) {
    static const char *const data[ACTION_COUNT] = {[ACTION_LOOPBACK] = "A 127.0.0.3",
                                                   [ACTION_SINKHOLE] = "A 127.0.0.3",
                                                   [ACTION_NXDOMAIN] = "CNAME .",
                                                   [ACTION_NODATA] = "CNAME *.",
                                                   [ACTION_REFUSED] = "CNAME .",
                                                   [ACTION_DROP] = "CNAME rpz-drop.",
                                                   [ACTION_TRUNCATE] = "CNAME rpz-tcp-only.",
                                                   [ACTION_PASSTHRU] = "CNAME rpz-passthru."};
    if (!is_new(emitter, owner))
        return;
    if (rule->action == ACTION_CNAME) {
        size_t length = strlen(rule->target);
        fprintf(emitter->out, "%s %u IN CNAME %s%s\n", owner, ttl, rule->target,
                length > 0 && rule->target[length - 1] == '.' ? "" : ".");
    } else if (rule->action == ACTION_LOCAL) {
        for (const char *line = rule->records; *line != '\0';) {
            size_t length = strcspn(line, "\n");
            if (length > 0)
                fprintf(emitter->out, "%s %.*s\n", owner, (int)length, line);
            line += length + (line[length] == '\n');
        }
    } else {
        fprintf(emitter->out, "%s %u IN %s\n", owner, ttl, data[rule->action < ACTION_COUNT ? rule->action : ACTION_LOOPBACK]);
    }
}

static int emit_rpz(struct emitter *emitter, const struct rule *rule, const char **why) {
    char owner[NAME_TEXT_MAX + 32], text[NAME_TEXT_MAX];
    uint32_t ttl = rule->ttl == RULE_TTL_UNSET ? RPZ_TTL : rule->ttl;
    if ((rule->action == ACTION_CNAME && rule->target == NULL) || (rule->action == ACTION_LOCAL && rule->records == NULL)) {
        *why = "an action without its target or records";
        return -ENOTSUP;
    }
    if (rule->trigger != TRIGGER_DOMAIN && rule->trigger != TRIGGER_NAMESERVER) {
        prefix_owner(&rule->prefix,
                     rule->trigger == TRIGGER_IP       ? "rpz-ip"
                     : rule->trigger == TRIGGER_CLIENT ? "rpz-client-ip"
                                                       : "rpz-nsip",
                     owner, sizeof owner);
        rpz_records(emitter, owner, rule, ttl);
        return 0;
    }
    if (rule->name.length > RPZ_OWNER_MAX || rule->name.labels == 0) {
        *why = "a name too long for a zone file";
        return -ENOTSUP;
    }
    const char *suffix = rule->trigger == TRIGGER_NAMESERVER ? ".rpz-nsdname" : "";
    name_to_text(rule->name.wire, text);
    snprintf(owner, sizeof owner, "%s%s", text, suffix);
    if (rule->match != MATCH_BELOW)
        rpz_records(emitter, owner, rule, ttl);
    snprintf(owner, sizeof owner, "*.%s%s", text, suffix);
    if (rule->match != MATCH_EXACT)
        rpz_records(emitter, owner, rule, ttl);
    return 0;
}

/* --- all ---------------------------------------------------------------------------------------------------------------------- */

static int emit_domain(struct emitter *emitter, const struct rule *rule, const char **why) {
    char text[NAME_TEXT_MAX];
    *why = rule->trigger != TRIGGER_DOMAIN   ? "not a name: a list of names cannot hold it"
           : rule->action == ACTION_PASSTHRU ? "a passthru: a list of names cannot say so"
           : rule->match == MATCH_BELOW      ? "only below a name: a list of names cannot say so"
                                             : NULL;
    if (*why != NULL)
        return -ENOTSUP;
    name_to_text(rule->name.wire, text);
    if (is_new(emitter, text))
        fprintf(emitter->out, "%s\n", text);
    return 0;
}

int emitter_rule(struct emitter *emitter, const struct rule *rule, const char **why) {
    int error = 0;
    if (emitter->kind == EMIT_JSON)
        emit_json(emitter, rule);
    else if (emitter->kind == EMIT_RPZ)
        error = emit_rpz(emitter, rule, why);
    else
        error = emit_domain(emitter, rule, why);
    emitter->count += error == 0;
    return error;
}

int emitter_done(struct emitter *emitter) {
    if (emitter->kind == EMIT_JSON)
        fputs(emitter->count == 0 ? "]}\n" : "\n]}\n", emitter->out);
    int error = fflush(emitter->out) != 0 || ferror(emitter->out) ? -EIO : 0;
    free(emitter->owners);
    free(emitter);
    return error;
}
