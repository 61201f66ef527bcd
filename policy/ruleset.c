/* policy/ruleset.c: takes rules in, packed: names and cold records in an arena, everything that repeats interned. */
#include "policy/ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "policy/ruleset_private.h"

enum { HUGE_PAGE = 1 << 21, ZONES_MAX = 65000, REFERENCE_DIGITS_MAX = 19 };

int growing_grow(struct growing *array, size_t count) {
    size_t room = array->room + array->room / 2 + count + 8;
    void *grown = realloc(array->data, room * array->element_size);
    if (grown == NULL)
        return -ENOMEM;
    array->data = grown;
    array->room = room;
    return 0;
}

int growing_add(struct growing *array, const void *elements, size_t count) {
    if (growing_reserve(array, count) != 0)
        return -ENOMEM;
    if (count > 0)
        memcpy((uint8_t *)array->data + array->count * array->element_size, elements, count * array->element_size);
    array->count += count;
    return 0;
}

static void growing_done(struct growing *array) {
    free(array->data);
}

void *huge_alloc(size_t size) {
    if (size < HUGE_PAGE)
        return malloc(size);
    void *room = aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (room != NULL)
        madvise(room, size, MADV_HUGEPAGE); /* a hint: if it isn't taken, it is just slower */
    return room;
}

/* Room for size octets in one piece, at *position; NULL: no memory. */
static uint8_t *arena_take(struct arena *arena, size_t size, uint64_t *position) {
    if (arena->chunks == 0 || arena->used + size > ARENA_CHUNK) {
        if (arena->chunks == arena->room) {
            size_t room = arena->room * 2 + 16;
            uint8_t **grown = realloc(arena->chunk, room * sizeof *grown);
            if (grown == NULL)
                return NULL;
            arena->chunk = grown;
            arena->room = room;
        }
        uint8_t *chunk = huge_alloc(ARENA_CHUNK);
        if (chunk == NULL)
            return NULL;
        /* a zero wire length ends a chunk that has no room for the next record */
        if (arena->chunks > 0 && arena->used + RECORD_WIRE <= ARENA_CHUNK)
            memset(arena->chunk[arena->chunks - 1] + arena->used, 0, RECORD_WIRE);
        arena->chunk[arena->chunks++] = chunk;
        arena->used = 0;
    }
    *position = (uint64_t)(arena->chunks - 1) * ARENA_CHUNK + arena->used;
    arena->used += size;
    return arena_at(arena, *position);
}

struct ruleset *ruleset_new(const struct ruleset_answers *answers) {
    struct ruleset *rules = calloc(1, sizeof *rules);
    if (rules == NULL)
        return NULL;
    rules->answers = *answers;
    rules->specs.element_size = sizeof(struct spec);
    rules->spec_faults.element_size = sizeof(const char *);
    rules->spec_answers.element_size = sizeof(struct spec_answer);
    rules->bytes.element_size = 1;
    rules->zones.element_size = sizeof(struct snapshot_zone);
    rules->zone_clients.element_size = sizeof(struct zone_client);
    if (strings_init(&rules->strings) == 0 && intern_init(&rules->profiles, sizeof(struct profile)) == 0 &&
        intern_init(&rules->labels, sizeof(struct label)) == 0 && intern_init(&rules->spec_keys, sizeof(struct spec_key)) == 0)
        return rules;
    ruleset_free(rules);
    return NULL;
}

static void arena_done(struct arena *arena) {
    for (size_t i = 0; i < arena->chunks; i++)
        free(arena->chunk[i]);
    free(arena->chunk);
}

void ruleset_free(struct ruleset *rules) {
    if (rules == NULL)
        return;
    arena_done(&rules->domains);
    arena_done(&rules->cold);
    free(rules->ips.item);
    free(rules->clients.item);
    free(rules->shields.item);
    strings_done(&rules->strings);
    intern_done(&rules->profiles);
    intern_done(&rules->labels);
    intern_done(&rules->spec_keys);
    growing_done(&rules->specs);
    growing_done(&rules->spec_faults);
    growing_done(&rules->spec_answers);
    growing_done(&rules->bytes);
    growing_done(&rules->zones);
    growing_done(&rules->zone_clients);
    free(rules);
}

static int by_prefix(const void *a, const void *b) {
    const struct prefix *x = a;
    const struct prefix *y = b;
    bool v4 = ip_is_v4(&x->ip) && x->length >= 96;
    if (v4 != (ip_is_v4(&y->ip) && y->length >= 96))
        return v4 ? -1 : 1;
    int order = memcmp(x->ip.bytes, y->ip.bytes, sizeof x->ip.bytes);
    return order != 0 ? order : (int)x->length - (int)y->length;
}

/* Sorted, and without those that another one covers, so that one binary search tells. */
static int add_zone_clients(struct ruleset *rules, const struct ruleset_zone *zone, struct snapshot_zone *stored) {
    if (zone->client_count == 0)
        return 0;
    struct prefix *sorted = malloc(zone->client_count * sizeof *sorted);
    if (sorted == NULL)
        return -ENOMEM;
    memcpy(sorted, zone->clients, zone->client_count * sizeof *sorted);
    qsort(sorted, zone->client_count, sizeof *sorted, by_prefix);
    const struct prefix *kept = NULL;
    int rc = 0;
    for (size_t i = 0; i < zone->client_count && rc == 0; i++) {
        if (kept != NULL && prefix_covers(kept, &sorted[i]))
            continue;
        kept = &sorted[i];
        struct zone_client client = {.key = prefix_key_of(&kept->ip), .length = kept->length};
        rc = growing_add(&rules->zone_clients, &client, 1);
        if (prefix_key_is_v4(client.key, kept->length))
            stored->v4_clients++;
        else
            stored->v6_clients++;
    }
    free(sorted);
    return rc;
}

int ruleset_add_zone(struct ruleset *rules, const struct ruleset_zone *zone) {
    if (rules->zones.count >= ZONES_MAX)
        return -E2BIG;
    struct snapshot_zone stored = {
        .clients = (uint32_t)rules->zone_clients.count,
        .restricted = zone->client_count > 0,
        .mode = (uint8_t)zone->mode,
    };
    int rc = strings_add(&rules->strings, zone->name, strlen(zone->name), &stored.name);
    if (rc == 0)
        rc = add_zone_clients(rules, zone, &stored);
    if (rc == 0)
        rc = growing_add(&rules->zones, &stored, 1);
    return rc != 0 ? rc : (int)rules->zones.count - 1;
}

/* Neighbouring rules mostly share source and the constant parts of their reference: compared with the last before it is looked for.
 */
static int add_again(struct ruleset *rules, struct memo *memo, const char *text, size_t length, uint32_t *offset) {
    if (length != memo->length || memcmp(rules->strings.text + memo->offset, text, length) != 0) {
        int rc = strings_add(&rules->strings, text, length, &memo->offset);
        if (rc != 0)
            return rc;
        memo->length = length;
    }
    *offset = memo->offset;
    return 0;
}

static int add_string(struct ruleset *rules, const char *text, uint32_t *offset) {
    return strings_add(&rules->strings, text, text != NULL ? strlen(text) : 0, offset);
}

/* The spec of a key: made at its first use. One that can't be made is remembered with its fault. */
static int make_spec(struct ruleset *rules, const struct spec_key *key, uint32_t *number) {
    int rc = intern_add(&rules->spec_keys, key, number);
    if (rc != 0 || *number < rules->specs.count)
        return rc;
    struct spec spec;
    const char *fault = NULL;
    rc = answers_make(rules, key, &spec, &fault);
    if (rc != 0 && rc != -EINVAL)
        return rc;
    if (rc == -EINVAL)
        spec = (struct spec){.action = ACTION_PASSTHRU};
    return growing_add(&rules->specs, &spec, 1) != 0 || growing_add(&rules->spec_faults, &fault, 1) != 0 ? -ENOMEM : 0;
}

/* The spec of a rule. 0, -EINVAL with *why, -ENOMEM. */
static int intern_spec(struct ruleset *rules, const struct rule *rule, uint32_t *number, const char **why) {
    struct spec_key key = {.action = rule->action, .ttl = rule->ttl <= RULE_TTL_MAX ? rule->ttl : RULE_TTL_MAX};
    int rc = 0;
    if (rule->action == ACTION_CNAME)
        rc = add_string(rules, rule->target, &key.target);
    if (rule->action == ACTION_LOCAL)
        rc = add_string(rules, rule->records, &key.records);
    struct spec_memo *last = &rules->last_spec;
    if (rc == 0 && !(last->known && memcmp(&last->key, &key, sizeof key) == 0)) {
        last->known = false;
        rc = make_spec(rules, &key, &last->number);
        last->key = key;
        last->known = rc == 0;
    }
    if (rc != 0)
        return rc;
    *number = last->number;
    *why = ((const char **)rules->spec_faults.data)[*number];
    return *why == NULL ? 0 : -EINVAL;
}

/* Cuts "https://feed.example/ioc/1956272/" into head, number and tail, if the number can be written back as it was. */
static int split_reference(struct ruleset *rules, const char *text, uint64_t field[COLD_FIELDS]) {
    size_t length = strlen(text);
    size_t end = length;
    while (end > 0 && (text[end - 1] < '0' || text[end - 1] > '9'))
        end--;
    size_t begin = end;
    while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9')
        begin--;
    size_t digits = end - begin;
    uint32_t head = 0;
    uint32_t tail = 0;
    if (digits == 0 || digits > REFERENCE_DIGITS_MAX || (digits > 1 && text[begin] == '0') ||
        length + REFERENCE_DIGITS_MAX >= RULE_REFERENCE_MAX) {
        int rc = strings_add(&rules->strings, text, length, &head);
        field[COLD_REFERENCE] = head;
        return rc;
    }
    uint64_t number = 0;
    for (size_t i = begin; i < end; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    int rc = add_again(rules, &rules->last_head, text, begin, &head);
    if (rc == 0)
        rc = add_again(rules, &rules->last_tail, text + end, length - end, &tail);
    field[COLD_REFERENCE] = head;
    field[COLD_NUMBER] = number + 1;
    field[COLD_TAIL] = tail;
    return rc;
}

static uint64_t known_time(int64_t time) {
    return time > 0 ? (uint64_t)time : 0;
}

/* The rule's cold record into out; *length of it. */
static int make_cold(struct ruleset *rules, const struct rule *rule, uint8_t out[COLD_RECORD_MAX], size_t *length) {
    uint64_t field[COLD_FIELDS] = {0};
    struct label label = {.confidence = rule->confidence};
    uint32_t number = 0;
    uint32_t source = 0;
    int rc = add_string(rules, rule->family, &label.family);
    if (rc == 0)
        rc = intern_add(&rules->labels, &label, &number);
    if (rc == 0 && rule->source != NULL)
        rc = add_again(rules, &rules->last_source, rule->source, strlen(rule->source), &source);
    if (rc == 0 && rule->reference != NULL)
        rc = split_reference(rules, rule->reference, field);
    if (rc != 0)
        return rc;
    field[COLD_LABEL] = number;
    field[COLD_SOURCE] = source;
    field[COLD_LINE] = rule->line;
    field[COLD_FIRST_SEEN] = known_time(rule->first_seen);
    int64_t difference = (int64_t)known_time(rule->last_seen) - (int64_t)field[COLD_FIRST_SEEN];
    field[COLD_LAST_SEEN] = (uint64_t)difference << 1 ^ (uint64_t)(difference >> 63);
    *length = cold_write(out, field);
    return 0;
}

static int add_record(struct ruleset *rules, const struct name *name, uint32_t profile, const uint32_t *expires,
                      const uint8_t *cold, size_t cold_length) {
    uint64_t position;
    size_t size = RECORD_WIRE + (size_t)name->length + (expires != NULL ? sizeof *expires : 0) + cold_length;
    uint8_t *record = arena_take(&rules->domains, size, &position);
    if (record == NULL)
        return -ENOMEM;
    memcpy(record + RECORD_PROFILE, &profile, sizeof profile);
    record[RECORD_WIRE_LENGTH] = name->length;
    record[RECORD_COLD_LENGTH] = (uint8_t)cold_length;
    uint8_t *at = record + RECORD_WIRE;
    memcpy(at, name->wire, name->length);
    at += name->length;
    if (expires != NULL) {
        memcpy(at, expires, sizeof *expires);
        at += sizeof *expires;
    }
    if (cold_length > 0)
        memcpy(at, cold, cold_length);
    rules->domain_count++;
    return 0;
}

static int add_item(struct prefix_items *items, const struct prefix_item *item) {
    if (items->count == items->room) {
        size_t room = items->room * 2 + 64;
        struct prefix_item *grown = realloc(items->item, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        items->item = grown;
        items->room = room;
    }
    items->item[items->count++] = *item;
    return 0;
}

static int add_prefix_rule(struct ruleset *rules, struct prefix_items *items, const struct rule *rule, uint32_t profile,
                           uint32_t expires, const uint8_t *cold, size_t cold_length) {
    struct prefix_item item = {
        .key = prefix_key_of(&rule->prefix.ip),
        .length = rule->prefix.length,
        .cold_length = (uint8_t)cold_length,
        .profile = profile,
        .expires = expires,
    };
    uint8_t *kept = arena_take(&rules->cold, cold_length, &item.cold);
    if (kept == NULL)
        return -ENOMEM;
    memcpy(kept, cold, cold_length);
    return add_item(items, &item);
}

static int intern_profile(struct ruleset *rules, const struct profile *profile, uint32_t *number) {
    struct profile_memo *last = &rules->last_profile[profile->match];
    if (!last->known || memcmp(&last->profile, profile, sizeof *profile) != 0) {
        int rc = intern_add(&rules->profiles, profile, &last->number);
        last->known = rc == 0;
        last->profile = *profile;
        if (rc != 0)
            return rc;
    }
    *number = last->number;
    return 0;
}

int ruleset_add(struct ruleset *rules, int zone, const struct rule *rule, const char **why) {
    const char *ignored;
    if (why == NULL)
        why = &ignored;
    *why = NULL;
    if (rule->trigger == TRIGGER_NAMESERVER || rule->trigger == TRIGGER_NAMESERVER_IP)
        return 0; /* not enforceable by a forwarder; counted by who reads them */
    if (zone < 0 || (size_t)zone >= rules->zones.count || rule->trigger >= TRIGGER_COUNT) {
        *why = "no such zone or trigger";
        return -EINVAL;
    }
    bool domain = rule->trigger == TRIGGER_DOMAIN;
    bool expiring = rule->expires > 0 && rule->expires < UINT32_MAX;
    uint32_t expires = expiring ? (uint32_t)rule->expires : 0;
    struct profile profile = {
        .zone = (uint16_t)zone,
        .match = (uint8_t)(domain ? rule->match : MATCH_EXACT),
        .flags = expiring ? PROFILE_EXPIRES : 0,
    };
    if (profile.match >= MATCH_COUNT) {
        *why = "no such match";
        return -EINVAL;
    }
    uint8_t cold[COLD_RECORD_MAX];
    size_t cold_length = 0;
    uint32_t number = 0;
    int rc = intern_spec(rules, rule, &profile.spec, why);
    if (rc == 0)
        rc = intern_profile(rules, &profile, &number);
    if (rc == 0)
        rc = make_cold(rules, rule, cold, &cold_length);
    if (rc == 0 && domain)
        rc = add_record(rules, &rule->name, number, expiring ? &expires : NULL, cold, cold_length);
    else if (rc == 0)
        rc = add_prefix_rule(rules, rule->trigger == TRIGGER_IP ? &rules->ips : &rules->clients, rule, number, expires, cold,
                             cold_length);
    rules->rule_count += rc == 0;
    return rc;
}

int ruleset_protect_name(struct ruleset *rules, const struct name *name, bool exact) {
    struct profile profile = {.match = exact ? MATCH_EXACT : MATCH_SUBTREE, .flags = PROFILE_PROTECTS};
    uint32_t number = 0;
    int rc = intern_add(&rules->profiles, &profile, &number);
    return rc != 0 ? rc : add_record(rules, name, number, NULL, NULL, 0);
}

int ruleset_protect_prefix(struct ruleset *rules, const struct prefix *prefix) {
    struct prefix_item item = {.key = prefix_key_of(&prefix->ip), .length = prefix->length};
    return add_item(&rules->shields, &item);
}

size_t ruleset_count(const struct ruleset *rules) {
    return rules->rule_count;
}
