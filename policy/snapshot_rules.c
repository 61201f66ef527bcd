/* policy/snapshot_rules.c: what a snapshot knows of its rules beside matching: looked up by number, or listed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/snapshot_private.h"

enum { GUESSES = 12 /* at a rule's bucket, before its place is found by halving */ };

static const char *string_at(const struct snapshot *snapshot, uint64_t offset) {
    return offset > 0 && offset < snapshot->strings_size ? snapshot->strings + offset : NULL;
}

/* --- cold records --------------------------------------------------------------------------------------------------------------
 */

/* Where the cold record of a rule begins, or NULL. */
static const uint8_t *cold_at(const struct snapshot *snapshot, uint64_t rule) {
    uint64_t index = rule / COLD_STRIDE;
    if (index >= snapshot->cold_index_count || snapshot->cold_index[index] > snapshot->cold_size)
        return NULL;
    return cold_skip(snapshot->cold + snapshot->cold_index[index], snapshot->cold + snapshot->cold_size, rule % COLD_STRIDE);
}

/* Appends a part of a reference to the `length` octets that are there; what finds no room (in a damaged file) is left out. */
static size_t append_part(char text[RULE_REFERENCE_MAX], size_t length, const char *part, size_t octets) {
    if (octets > RULE_REFERENCE_MAX - 1 - length)
        octets = RULE_REFERENCE_MAX - 1 - length;
    memcpy(text + length, part, octets);
    return length + octets;
}

/* A reference that was cut in two around its number. */
static const char *join_reference(const struct snapshot *snapshot, const uint64_t field[COLD_FIELDS],
                                  char text[RULE_REFERENCE_MAX]) {
    const char *head = string_at(snapshot, field[COLD_REFERENCE]);
    if (field[COLD_NUMBER] == 0)
        return head;
    const char *tail = string_at(snapshot, field[COLD_TAIL]);
    char digits[20];
    size_t at = sizeof digits, length = 0;
    for (uint64_t number = field[COLD_NUMBER] - 1; at == sizeof digits || number > 0; number /= 10)
        digits[--at] = (char)('0' + number % 10);
    if (head != NULL)
        length = append_part(text, length, head, strlen(head));
    length = append_part(text, length, digits + at, sizeof digits - at);
    if (tail != NULL)
        length = append_part(text, length, tail, strlen(tail));
    text[length] = '\0';
    return text;
}

static int64_t known_time(uint64_t time) {
    return time <= INT64_MAX ? (int64_t)time : 0;
}

/* Reads the cold record at `at` into info. Returns what follows, or NULL. */
static const uint8_t *fill_cold(const struct snapshot *snapshot, const uint8_t *at, uint64_t *number, struct rule_info *info) {
    uint64_t field[COLD_FIELDS];
    at = at != NULL ? cold_read(at, snapshot->cold + snapshot->cold_size, field) : NULL;
    if (at == NULL)
        return NULL;
    info->family = NULL;
    info->confidence = RULE_CONFIDENCE_UNSET;
    *number = field[COLD_LABEL];
    if (field[COLD_LABEL] < snapshot->label_count) {
        const struct label *label = &snapshot->labels[field[COLD_LABEL]];
        info->family = string_at(snapshot, label->family);
        info->confidence = (uint8_t)label->confidence;
    }
    info->source = string_at(snapshot, field[COLD_SOURCE]);
    info->line = (uint32_t)field[COLD_LINE];
    info->reference = join_reference(snapshot, field, info->reference_text);
    info->first_seen = known_time(field[COLD_FIRST_SEEN]);
    uint64_t difference = field[COLD_LAST_SEEN] >> 1 ^ (0 - (field[COLD_LAST_SEEN] & 1));
    info->last_seen = known_time(field[COLD_FIRST_SEEN] + difference);
    return at;
}

static void fill_profile(const struct snapshot *snapshot, const struct profile *profile, struct rule_info *info) {
    const struct spec *spec = &snapshot->specs[profile->spec];
    info->zone = profile->zone;
    info->zone_name = snapshot_zone_name(snapshot, profile->zone);
    info->mode = (enum mode)snapshot->zones[profile->zone].mode;
    info->match = (enum match)profile->match;
    info->action = (enum action)spec->action;
    info->ttl = spec->ttl;
    info->target = string_at(snapshot, spec->target_text);
    info->records = string_at(snapshot, spec->records_text);
}

static int64_t expires_of(const struct profile *profile, uint32_t expires) {
    return profile->flags & PROFILE_EXPIRES ? expires : 0;
}

/* --- domain rules --------------------------------------------------------------------------------------------------------------
 */

/* The bucket with a number; false if it is empty. */
static bool open_numbered(const struct snapshot *snapshot, uint64_t number, struct bucket_view *view) {
    const struct filter_block *block = &snapshot->filter[number];
    return block[0].bucket < block[1].bucket && bucket_open(snapshot, block[0].bucket, view);
}

/* Buckets that so many entries fill, on average. */
static uint64_t buckets_of(const struct snapshot *snapshot, uint64_t entries) {
    uint64_t all = snapshot->header->entries;
    return all == 0 ? 0 : (uint64_t)((unsigned __int128)entries * snapshot->buckets / all);
}

/* The bucket that holds an entry, or -ENOENT. Empty buckets, which know no number, are passed over. Names are spread evenly by
 * their hash, so a guess by proportion is off by little; from a few wrong ones on, the rest is halved. */
static int find_bucket(const struct snapshot *snapshot, uint64_t entry, struct bucket_view *view) {
    uint64_t low = 0, guess = buckets_of(snapshot, entry);
    unsigned guesses = GUESSES;
    for (uint64_t high = snapshot->buckets; low < high;) {
        uint64_t middle = guess < low ? low : guess < high ? guess : high - 1;
        if (guesses == 0)
            middle = low + (high - low) / 2;
        else
            guesses--;
        uint64_t at = middle;
        while (at < high && !open_numbered(snapshot, at, view))
            at++;
        if (at == high || view->first > entry) {
            uint64_t beyond = at == high ? 1 : buckets_of(snapshot, view->first - entry);
            guess = middle - (beyond + 1 < middle ? beyond + 1 : middle);
            high = middle;
        } else if (entry - view->first < view->count) {
            return 0;
        } else {
            low = at + 1;
            guess = low + buckets_of(snapshot, entry - view->first - view->count);
        }
    }
    return -ENOENT;
}

static int write_domain_text(const struct snapshot *snapshot, const uint8_t *code, uint32_t length, enum match match, char *text) {
    struct name name;
    if (code_decode(&snapshot->code, code, length, &name) != 0)
        return -ENOENT;
    if (match == MATCH_BELOW) {
        *text++ = '*';
        *text++ = '.';
    }
    name_to_text(name.wire, text);
    return 0;
}

/* All of an entry but its cold record. `owner`: the entry, at or before it, that has the name's code. */
static int fill_domain(const struct snapshot *snapshot, const struct bucket_view *view, uint32_t entry, uint32_t owner,
                       struct rule_info *info) {
    const struct profile *profile = bucket_profile(snapshot, view, entry);
    if (profile == NULL || (profile->flags & PROFILE_PROTECTS))
        return -ENOENT;
    uint64_t code = bucket_offset(view, owner);
    uint32_t code_length = bucket_code_length(view, owner, bucket_profile(snapshot, view, owner));
    if (code + code_length > view->data_size)
        return -ENOENT;
    info->trigger = TRIGGER_DOMAIN;
    uint32_t own_length = bucket_code_length(view, entry, profile);
    fill_profile(snapshot, profile, info);
    info->expires = expires_of(profile, snapshot_expires(view, bucket_offset(view, entry), own_length));
    return write_domain_text(snapshot, view->data + code, code_length, info->match, info->text);
}

static bool has_code(const struct snapshot *snapshot, const struct bucket_view *view, uint32_t entry) {
    return bucket_code_length(view, entry, bucket_profile(snapshot, view, entry)) > 0;
}

static int domain_rule(const struct snapshot *snapshot, uint32_t rule, struct rule_info *info) {
    struct bucket_view view;
    if (find_bucket(snapshot, rule, &view) != 0)
        return -ENOENT;
    uint32_t owner = rule - view.first;
    while (owner > 0 && !has_code(snapshot, &view, owner))
        owner--;
    return fill_domain(snapshot, &view, rule - view.first, owner, info);
}

/* --- prefix rules --------------------------------------------------------------------------------------------------------------
 */

/* The node that a rule belongs to, if it is among these: rules ascend with the prefixes. 0: it isn't. */
static uint32_t find_node(const struct prefix_node *nodes, uint32_t count, uint32_t rule) {
    uint32_t found = 0;
    for (uint64_t node = 1; node < count;) {
        bool right = nodes[node].rules <= rule;
        if (right)
            found = (uint32_t)node;
        node = 2 * node + right;
    }
    return found != 0 && rule - nodes[found].rules < nodes[found].rule_count ? found : 0;
}

static int find_prefix(const struct prefix_table *table, uint32_t rule, struct prefix *prefix) {
    uint32_t node = find_node(table->v4_node, table->v4_nodes, rule);
    struct prefix_key key = {.high = 0, .low = UINT64_C(0xffff) << 32};
    if (node != 0) {
        key.low |= table->v4_key[node];
        *prefix = (struct prefix){.ip = prefix_key_ip(key), .length = table->v4_node[node].length & 0xff};
        return 0;
    }
    node = find_node(table->v6_node, table->v6_nodes, rule);
    if (node == 0)
        return -ENOENT;
    *prefix = (struct prefix){.ip = prefix_key_ip(table->v6_key[node]), .length = table->v6_node[node].length & 0xff};
    return 0;
}

static int prefix_rule(const struct snapshot *snapshot, const struct prefix_table *table, enum trigger trigger, uint32_t rule,
                       struct rule_info *info) {
    struct prefix prefix;
    if (rule >= table->rules || find_prefix(table, rule, &prefix) != 0)
        return -ENOENT;
    prefix_to_text(&prefix, info->text);
    info->trigger = trigger;
    const struct profile *profile = &snapshot->profiles[table->rule[rule].profile];
    fill_profile(snapshot, profile, info);
    info->expires = expires_of(profile, table->rule[rule].expires);
    return 0;
}

/* --- all of them ---------------------------------------------------------------------------------------------------------------
 */

/* All but the cold record. */
static int fill_rule(const struct snapshot *snapshot, uint64_t rule, struct rule_info *info) {
    uint64_t entries = snapshot->header->entries;
    if (rule < entries)
        return domain_rule(snapshot, (uint32_t)rule, info);
    rule -= entries;
    if (rule < snapshot->ips.rules)
        return prefix_rule(snapshot, &snapshot->ips, TRIGGER_IP, (uint32_t)rule, info);
    rule -= snapshot->ips.rules;
    return prefix_rule(snapshot, &snapshot->clients, TRIGGER_CLIENT, (uint32_t)rule, info);
}

int snapshot_rule(const struct snapshot *snapshot, uint32_t rule, struct rule_info *info) {
    uint64_t label;
    int rc = fill_rule(snapshot, rule, info);
    return rc == 0 ? snapshot_notes(snapshot, rule, &label, info) : rc;
}

int snapshot_profile(const struct snapshot *snapshot, uint32_t number, uint32_t *spec, struct rule_info *info) {
    const struct profile *profile = number < snapshot->profile_count ? &snapshot->profiles[number] : NULL;
    if (profile == NULL || (profile->flags & PROFILE_PROTECTS))
        return -ENOENT;
    *spec = profile->spec;
    fill_profile(snapshot, profile, info);
    return 0;
}

int snapshot_notes(const struct snapshot *snapshot, uint32_t rule, uint64_t *label, struct rule_info *info) {
    return fill_cold(snapshot, cold_at(snapshot, rule), label, info) == NULL ? -ENOENT : 0;
}

void snapshot_notes_prefetch(const struct snapshot *snapshot, uint32_t rule, unsigned step) {
    enum { RECORD = 14 /* octets of a cold record, about; those of the rules before it are read over */ };
    uint64_t index = rule / COLD_STRIDE;
    if (index >= snapshot->cold_index_count)
        return;
    if (step == 0) {
        __builtin_prefetch(&snapshot->cold_index[index]);
    } else if (snapshot->cold_index[index] < snapshot->cold_size) {
        const uint8_t *at = snapshot->cold + snapshot->cold_index[index];
        for (uint64_t octet = 0; octet <= (rule % COLD_STRIDE + 1) * RECORD; octet += 64)
            __builtin_prefetch(at + octet);
    }
}

/* A listing in progress: the cold records are read in step with the rules. */
struct listing {
    const struct snapshot *snapshot;
    const uint8_t *cold;
    struct rule_info *info;
    int (*each)(void *context, uint32_t rule, const struct rule_info *info);
    void *context;
};

/* Takes the next cold record; calls back if `filled`, which says that the rest of info is. */
static int list_one(struct listing *listing, uint32_t rule, bool filled) {
    uint64_t label;
    listing->cold = fill_cold(listing->snapshot, listing->cold, &label, listing->info);
    return filled && listing->cold != NULL ? listing->each(listing->context, rule, listing->info) : 0;
}

static int list_bucket(struct listing *listing, const struct bucket_view *view) {
    uint32_t owner = 0;
    int rc = 0;
    for (uint32_t entry = 0; entry < view->count && rc == 0; entry++) {
        if (has_code(listing->snapshot, view, entry))
            owner = entry;
        rc = list_one(listing, view->first + entry, fill_domain(listing->snapshot, view, entry, owner, listing->info) == 0);
    }
    return rc;
}

static int list_all(struct listing *listing) {
    const struct snapshot *snapshot = listing->snapshot;
    int rc = 0;
    listing->cold = cold_at(snapshot, 0);
    for (uint64_t bucket = 0; bucket < snapshot->buckets && rc == 0; bucket++) {
        struct bucket_view view;
        if (open_numbered(snapshot, bucket, &view))
            rc = list_bucket(listing, &view);
    }
    uint64_t last = snapshot->header->entries + snapshot->ips.rules + snapshot->clients.rules;
    for (uint64_t rule = snapshot->header->entries; rule < last && rc == 0; rule++)
        rc = list_one(listing, (uint32_t)rule, fill_rule(snapshot, rule, listing->info) == 0);
    return rc;
}

int snapshot_each(const struct snapshot *snapshot, int (*each)(void *context, uint32_t rule, const struct rule_info *info),
                  void *context) {
    struct rule_info info;
    struct listing listing = {.snapshot = snapshot, .info = &info, .each = each, .context = context};
    return list_all(&listing);
}
