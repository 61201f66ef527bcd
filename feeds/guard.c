/* feeds/guard.c: see guard.h. One reason to exist: the list of what must never be blocked, fast enough to ask for every rule. */
#include "feeds/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libpsl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/redact.h"
#include "policy/idna.h"

enum flag {
    IS_SUBTREE = 1,    /* protected with all below */
    IS_EXACT = 2,      /* protected itself */
    IS_SPECIAL = 4,    /* refused with all below; no need to shield */
    IS_SUFFIX = 8,     /* a public suffix */
    IS_WILDCARD = 16,  /* every child is a public suffix */
    IS_EXCEPTION = 32, /* although its parent IS_WILDCARD */
    IS_PARENT = 64,    /* has public suffixes below, with a non-suffix between */
    IS_LISTED = 128,   /* an IS_PARENT for which a rule was accepted */
};

struct entry {
    uint64_t hash; /* 0: free */
    uint32_t at;   /* in names: length octet and wire */
    uint8_t flags;
    uint8_t reason;
};

/* Shielded prefixes: a hash table keyed by address and length; a look-up tries the lengths that occur. */
struct shielded {
    struct prefix prefix;
    uint8_t reason;
    bool used;
};

/* A bit for each hash that is in the table, so that the question for a name that isn't (nearly every one is not) touches 16 KB
 * instead of half a megabyte. */
enum { PRESENT_BITS = 17 };

struct guard {
    uint64_t seed;
    uint64_t present[1 << (PRESENT_BITS - 6)];
    struct entry *entries;
    size_t room, count; /* room is a power of two */
    uint8_t *names;
    size_t names_used, names_room;
    struct shielded *prefixes;
    size_t prefix_count, prefix_room; /* room is a power of two, or 0 */
    bool lengths[129];
    bool by_libpsl;
};

static const char *const reasons[] = {
    [GUARD_NEVER_BLOCK] = "in never_block", [GUARD_FORWARDER] = "a forwarder of this resolver",
    [GUARD_FEED] = "the host of a feed",    [GUARD_OWN] = "an address of this resolver",
    [GUARD_SINKHOLE] = "the sinkhole",
};

static struct entry *find(const struct guard *guard, uint64_t hash, const uint8_t *wire, size_t length) {
    for (size_t i = hash & (guard->room - 1);; i = (i + 1) & (guard->room - 1)) {
        struct entry *entry = &guard->entries[i];
        if (entry->hash == 0)
            return entry;
        if (entry->hash == hash && guard->names[entry->at] == length && memcmp(guard->names + entry->at + 1, wire, length) == 0)
            return entry;
    }
}

static uint64_t nonzero(uint64_t hash) {
    return hash == 0 ? 1 : hash;
}

/* The entry of the name's last k labels, or NULL. */
static struct entry *find_suffix(const struct guard *guard, const struct name_key *key, unsigned k) {
    uint64_t hash = nonzero(key->hash[k]), bit = hash >> (64 - PRESENT_BITS);
    if ((guard->present[bit / 64] >> bit % 64 & 1) == 0)
        return NULL;
    struct entry *entry = find(guard, hash, key->wire + key->at[k], (size_t)key->length - key->at[k]);
    return entry->hash != 0 ? entry : NULL;
}

static int grow(struct guard *guard) {
    size_t room = guard->room * 2;
    struct entry *entries = calloc(room, sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < guard->room; i++) {
        if (guard->entries[i].hash == 0)
            continue;
        size_t at = guard->entries[i].hash & (room - 1);
        while (entries[at].hash != 0)
            at = (at + 1) & (room - 1);
        entries[at] = guard->entries[i];
    }
    free(guard->entries);
    guard->entries = entries;
    guard->room = room;
    return 0;
}

static int add(struct guard *guard, const uint8_t *wire, size_t length, uint64_t hash, uint8_t flags, enum guard_reason reason) {
    if (guard->count * 2 >= guard->room && grow(guard) != 0)
        return -ENOMEM;
    if (guard->names_used + length + 1 > guard->names_room) {
        size_t room = guard->names_room == 0 ? 256 << 10 : guard->names_room * 2;
        uint8_t *names = room > UINT32_MAX ? NULL : realloc(guard->names, room);
        if (names == NULL)
            return -ENOMEM;
        guard->names = names;
        guard->names_room = room;
    }
    hash = nonzero(hash);
    struct entry *entry = find(guard, hash, wire, length);
    if (entry->hash == 0) {
        *entry = (struct entry){.hash = hash, .at = (uint32_t)guard->names_used, .reason = (uint8_t)reason};
        guard->names[guard->names_used] = (uint8_t)length;
        memcpy(guard->names + guard->names_used + 1, wire, length);
        guard->names_used += length + 1;
        guard->count++;
        guard->present[hash >> (64 - PRESENT_BITS + 6)] |= UINT64_C(1) << (hash >> (64 - PRESENT_BITS)) % 64;
    }
    entry->flags |= flags;
    if (flags & (IS_SUBTREE | IS_EXACT))
        entry->reason = (uint8_t)reason;
    return 0;
}

static int add_name(struct guard *guard, const struct name *name, uint8_t flags, enum guard_reason reason) {
    struct name_key key;
    name_key_init(&key, name->wire, name->length, guard->seed);
    return add(guard, name->wire, name->length, key.hash[name->labels], flags, reason);
}

struct guard *guard_new(uint64_t seed) {
    static const char *const special[] = {"localhost", "in-addr.arpa", "ip6.arpa", "resolver.arpa"};
    struct guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL)
        return NULL;
    guard->seed = seed;
    guard->room = 1 << 15;
    guard->entries = calloc(guard->room, sizeof *guard->entries);
    int error = guard->entries == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < sizeof special / sizeof *special && error == 0; i++) {
        struct name name;
        error = name_from_text(&name, special[i], strlen(special[i]), NULL);
        if (error == 0)
            error = add_name(guard, &name, IS_SPECIAL, GUARD_NEVER_BLOCK);
    }
    if (error != 0) {
        guard_free(guard);
        return NULL;
    }
    return guard;
}

void guard_free(struct guard *guard) {
    if (guard == NULL)
        return;
    free(guard->entries);
    free(guard->names);
    free(guard->prefixes);
    free(guard);
}

/* One line of the list: a rule up to the first blank; "//" begins a comment. Lines that make no name are passed over. */
static int add_suffix_line(struct guard *guard, char *line) {
    line[strcspn(line, " \t\r\n")] = '\0';
    if (line[0] == '\0' || strncmp(line, "//", 2) == 0)
        return 0;
    uint8_t flag = IS_SUFFIX;
    if (line[0] == '!') {
        flag = IS_EXCEPTION;
        line++;
    } else if (strncmp(line, "*.", 2) == 0) {
        flag = IS_WILDCARD;
        line += 2;
    }
    struct name name;
    if (name_from_unicode(&name, line, strlen(line), NULL) != 0)
        return 0;
    struct name_key key;
    name_key_init(&key, name.wire, name.length, guard->seed);
    int error = add(guard, name.wire, name.length, key.hash[name.labels], flag, 0);
    for (unsigned k = name.labels - 1u; k >= 2 && k < name.labels && error == 0 && flag == IS_SUFFIX; k--)
        error = add(guard, name.wire + key.at[k], (size_t)name.length - key.at[k], key.hash[k], IS_PARENT, 0);
    return error;
}

int guard_load_suffixes(struct guard *guard, const char *path) {
    FILE *file = fopen(path != NULL ? path : "/usr/share/publicsuffix/public_suffix_list.dat", "re");
    if (file == NULL) {
        guard->by_libpsl = true;
        return -errno;
    }
    char line[1024];
    int error = 0;
    while (error == 0 && fgets(line, sizeof line, file) != NULL)
        error = add_suffix_line(guard, line);
    fclose(file);
    return error;
}

int guard_add_name(struct guard *guard, const struct name *name, bool exact, enum guard_reason reason) {
    if (name->labels == 0)
        return 0; /* the root would protect everything: surely not meant */
    return add_name(guard, name, exact ? IS_EXACT : IS_SUBTREE, reason);
}

static struct prefix cut(const struct ip *ip, unsigned length) {
    struct prefix prefix = {.length = (uint8_t)length};
    memcpy(prefix.ip.bytes, ip->bytes, length / 8);
    if (length % 8 != 0)
        prefix.ip.bytes[length / 8] = (uint8_t)(ip->bytes[length / 8] & 0xFF00 >> length % 8);
    return prefix;
}

static struct shielded *find_prefix(struct shielded *table, size_t room, const struct prefix *prefix) {
    uint64_t high, low;
    memcpy(&high, prefix->ip.bytes, 8);
    memcpy(&low, prefix->ip.bytes + 8, 8);
    uint64_t hash = (high * 0x9E3779B97F4A7C15u ^ low ^ prefix->length) * 0xD6E8FEB86659FD93u;
    size_t at = (hash >> 32) & (room - 1);
    while (table[at].used && (table[at].prefix.length != prefix->length || !ip_equal(&table[at].prefix.ip, &prefix->ip)))
        at = (at + 1) & (room - 1);
    return &table[at];
}

static int grow_prefixes(struct guard *guard) {
    size_t room = guard->prefix_room == 0 ? 64 : guard->prefix_room * 2;
    struct shielded *table = calloc(room, sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < guard->prefix_room; i++)
        if (guard->prefixes[i].used)
            *find_prefix(table, room, &guard->prefixes[i].prefix) = guard->prefixes[i];
    free(guard->prefixes);
    guard->prefixes = table;
    guard->prefix_room = room;
    return 0;
}

int guard_add_prefix(struct guard *guard, const struct prefix *prefix, enum guard_reason reason) {
    if (guard->prefix_count * 2 >= guard->prefix_room && grow_prefixes(guard) != 0)
        return -ENOMEM;
    struct shielded *shielded = find_prefix(guard->prefixes, guard->prefix_room, prefix);
    if (shielded->used)
        return 0;
    *shielded = (struct shielded){.prefix = *prefix, .reason = (uint8_t)reason, .used = true};
    guard->lengths[prefix->length] = true;
    guard->prefix_count++;
    return 0;
}

/* Unspecified and loopback addresses aren't shielded: a rule for 127.0.0.0/8 is how one stops DNS rebinding. */
static int add_address(struct guard *guard, const struct ip *ip, enum guard_reason reason) {
    static const struct ip none, loopback = {.bytes = {[15] = 1}};
    if (ip_equal(ip, &none) || ip_equal(ip, &loopback) || (ip_is_v4(ip) && (ip->bytes[12] == 127 || ip->bytes[12] == 0)))
        return 0;
    return guard_add_prefix(guard, &(struct prefix){.ip = *ip, .length = 128}, reason);
}

static int add_endpoint(struct guard *guard, const struct endpoint *endpoint, enum guard_reason reason) {
    struct name name;
    if (endpoint->host != NULL && name_from_text(&name, endpoint->host, strlen(endpoint->host), NULL) == 0)
        guard_add_name(guard, &name, false, reason);
    struct ip ip;
    if (endpoint->address.ss_family == AF_INET)
        ip = ip_from_v4((const uint8_t *)&((const struct sockaddr_in *)&endpoint->address)->sin_addr);
    else
        ip = ip_from_v6((const uint8_t *)&((const struct sockaddr_in6 *)&endpoint->address)->sin6_addr);
    return add_address(guard, &ip, reason);
}

static int add_feed_host(struct guard *guard, const char *url) {
    char host[256];
    struct name name;
    if (url == NULL || redact_host(url, host, sizeof host) != 0)
        return 0;
    struct ip ip;
    if (ip_from_text(&ip, host, strlen(host)) == 0)
        return add_address(guard, &ip, GUARD_FEED);
    return name_from_text(&name, host, strlen(host), NULL) == 0 ? guard_add_name(guard, &name, false, GUARD_FEED) : 0;
}

int guard_add_config(struct guard *guard, const struct config *config) {
    int error = 0;
    for (size_t i = 0; i < config->policy.never_block_count && error == 0; i++) {
        const char *text = config->policy.never_block[i];
        struct name name;
        struct prefix prefix;
        if (text[0] == '/')
            continue;
        if (prefix_from_text(&prefix, text, strlen(text), true, NULL) == 0)
            error = guard_add_prefix(guard, &prefix, GUARD_NEVER_BLOCK);
        else if (name_from_unicode(&name, text, strlen(text), NULL) == 0)
            error = guard_add_name(guard, &name, false, GUARD_NEVER_BLOCK);
    }
    for (size_t i = 0; i < config->forward_count && error == 0; i++)
        for (size_t k = 0; k < config->forward[i].to_count && error == 0; k++)
            error = add_endpoint(guard, &config->forward[i].to[k], GUARD_FORWARDER);
    for (size_t i = 0; i < config->listen_count && error == 0; i++)
        error = add_endpoint(guard, &config->listen[i], GUARD_OWN);
    for (size_t i = 0; i < config->zone_count && error == 0; i++) {
        error = add_feed_host(guard, config->zones[i].source);
        if (error == 0)
            error = add_feed_host(guard, config->zones[i].proxy);
    }
    if (error == 0 && config->policy.has_ipv4)
        error = add_address(guard, &config->policy.sinkhole_ipv4, GUARD_SINKHOLE);
    if (error == 0 && config->policy.has_ipv6)
        error = add_address(guard, &config->policy.sinkhole_ipv6, GUARD_SINKHOLE);
    return error;
}

static bool suffix_by_libpsl(const struct name *name) {
    char text[NAME_TEXT_MAX];
    name_to_text(name->wire, text);
    return psl_is_public_suffix(psl_builtin(), text) != 0;
}

static const char *refuses_name(struct guard *guard, const struct rule *rule) {
    const struct name *name = &rule->name;
    if (name->labels == 0)
        return "the root";
    if (name->labels == 1)
        return "a top-level domain";
    struct name_key key;
    name_key_init(&key, name->wire, name->length, guard->seed);
    uint8_t own = 0, parent = 0;
    struct entry *self = NULL;
    for (unsigned k = name->labels; k > 0; k--) {
        struct entry *entry = find_suffix(guard, &key, k);
        uint8_t flags = entry == NULL ? 0 : entry->flags;
        if (k == name->labels) {
            own = flags;
            self = entry;
        }
        if (k == name->labels - 1u)
            parent = flags;
        if (flags & IS_SPECIAL)
            return "a special-use name";
        if (flags & IS_SUBTREE || (k == name->labels && flags & IS_EXACT && rule->match != MATCH_BELOW))
            return reasons[entry->reason];
    }
    if (own & IS_SUFFIX || (parent & IS_WILDCARD && !(own & IS_EXCEPTION)) || (guard->by_libpsl && suffix_by_libpsl(name)))
        return "a public suffix";
    if (own & IS_PARENT && rule->match != MATCH_EXACT)
        self->flags |= IS_LISTED;
    return NULL;
}

static const char *refuses_prefix(const struct guard *guard, const struct prefix *prefix) {
    static const struct prefix v4 = {.ip = {.bytes = {[10] = 0xFF, [11] = 0xFF}}, .length = 96};
    if (prefix_covers(&v4, prefix) ? prefix->length < 96 + 8 : prefix->length < 16)
        return "a prefix that is too wide";
    for (unsigned length = 0; length <= prefix->length && guard->prefix_count > 0; length++) {
        if (!guard->lengths[length])
            continue;
        struct prefix outer = cut(&prefix->ip, length);
        const struct shielded *shielded = find_prefix(guard->prefixes, guard->prefix_room, &outer);
        if (shielded->used)
            return reasons[shielded->reason];
    }
    return NULL;
}

const char *guard_refuses(struct guard *guard, const struct rule *rule) {
    if (rule->action == ACTION_PASSTHRU)
        return NULL;
    if (rule->trigger == TRIGGER_DOMAIN)
        return refuses_name(guard, rule);
    if (rule->trigger == TRIGGER_IP)
        return refuses_prefix(guard, &rule->prefix);
    return NULL;
}

/* True if a rule was accepted for a parent of this public suffix. */
static bool below_listed(const struct guard *guard, const struct name_key *key) {
    for (unsigned k = key->labels - 1u; k >= 2 && k < key->labels; k--) {
        const struct entry *entry = find_suffix(guard, key, k);
        if (entry != NULL && entry->flags & IS_LISTED)
            return true;
    }
    return false;
}

int guard_protect(const struct guard *guard, struct ruleset *rules) {
    int error = 0;
    for (size_t i = 0; i < guard->room && error == 0; i++) {
        const struct entry *entry = &guard->entries[i];
        if (entry->hash == 0 || !(entry->flags & (IS_SUBTREE | IS_EXACT | IS_SUFFIX)))
            continue;
        struct name name;
        if (name_from_wire(&name, guard->names + entry->at + 1, guard->names[entry->at]) < 0)
            continue;
        struct name_key key;
        name_key_init(&key, name.wire, name.length, guard->seed);
        if (entry->flags & IS_SUBTREE)
            error = ruleset_protect_name(rules, &name, false);
        else if (entry->flags & IS_EXACT || below_listed(guard, &key))
            error = ruleset_protect_name(rules, &name, true);
    }
    for (size_t i = 0; i < guard->prefix_room && error == 0; i++)
        if (guard->prefixes[i].used)
            error = ruleset_protect_prefix(rules, &guard->prefixes[i].prefix);
    return error;
}
