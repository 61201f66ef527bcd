/* policy/match.c: finds the rules that cover a name or address, and the one that decides. */
#include "policy/match.h"

#include "policy/match_private.h"

static const uint64_t ONES = 0x0101010101010101u;
static const uint64_t HIGHS = 0x8080808080808080u;

struct candidate {
    const struct profile *profile;
    uint32_t rule;
    uint8_t trigger;
    uint8_t length; /* labels or bits: the longer the nearer */
};

/* --- buckets -------------------------------------------------------------------------------------------------------------------
 */

/* Of at least one octet; eight may be read of either side. */
static inline bool same_code(const uint8_t *stored, const uint8_t *fresh, size_t length) {
    for (; length > 8; length -= 8, stored += 8, fresh += 8) {
        if (load8(stored) != load8(fresh))
            return false;
    }
    return (load8(stored) ^ load8(fresh)) << 8 * (8 - length) == 0;
}

uint64_t bucket_offset_wide(const struct bucket_view *view, uint32_t entry) {
    uint64_t offset = 0;
    for (uint32_t i = 0; i < entry; i++)
        offset += bucket_length(view, i);
    return offset;
}

/* True if the entry has the name of the one before it: no code, and at most its 4 octets of `expires`. */
static inline bool shares_name(const struct snapshot *snapshot, const struct bucket_view *view, uint32_t entry) {
    return bucket_length(view, entry) <= 4 && bucket_code_length(view, entry, bucket_profile(snapshot, view, entry)) == 0;
}

/* Looks for a name code among the entries with the right fingerprint. On success the cursor stands on the name's first rule. */
static bool find_entry(const struct snapshot *snapshot, uint64_t hash, const uint8_t code[CODE_ROOM], size_t code_length,
                       struct cursor *cursor) {
    struct bucket_view *view = &cursor->view;
    uint64_t pattern = ONES * snapshot_fingerprint(hash);
    for (uint32_t i = 0; i < view->count; i += 8) {
        uint64_t differ = load8(view->fingerprints + i) ^ pattern;
        /* a set high bit: equal octet, or (rarely) one just above an equal one, which the comparison sorts out */
        for (uint64_t equal = (differ - ONES) & ~differ & HIGHS; equal != 0; equal &= equal - 1) {
            uint32_t entry = i + (uint32_t)__builtin_ctzll(equal) / 8;
            if (entry >= view->count)
                return false;
            if (bucket_code_length(view, entry, bucket_profile(snapshot, view, entry)) != code_length)
                continue;
            uint64_t offset = bucket_offset(view, entry);
            if (offset + code_length > view->data_size || !same_code(view->data + offset, code, code_length))
                continue;
            cursor->at = entry;
            cursor->end = entry + 1;
            cursor->offset = offset;
            while (cursor->end < view->count && shares_name(snapshot, view, cursor->end))
                cursor->end++;
            return true;
        }
    }
    return false;
}

/* --- suffixes ------------------------------------------------------------------------------------------------------------------
 */

static inline const struct filter_block *block_of(const struct snapshot *snapshot, uint64_t hash) {
    return &snapshot->filter[snapshot_place(hash, snapshot->buckets)];
}

/* Lists all depths at which a rule could cover the name. Asks for their filter blocks. */
static inline void list_depths(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead) {
    unsigned labels = key->labels;
    unsigned count = 0;
    if (snapshot->self_depth[labels / 64] >> labels % 64 & 1) {
        __builtin_prefetch(block_of(snapshot, key->hash[labels]));
        ahead->depth[count++] = (uint8_t)labels;
    }
    uint64_t below = (UINT64_C(1) << labels % 64) - 1;
    for (unsigned word = labels / 64 + 1; word-- > 0; below = ~UINT64_C(0)) {
        for (uint64_t left = snapshot->under_depth[word] & below; left != 0;) {
            unsigned bit = 63 - (unsigned)__builtin_clzll(left);
            left ^= UINT64_C(1) << bit;
            __builtin_prefetch(block_of(snapshot, key->hash[word * 64 + bit]));
            ahead->depth[count++] = (uint8_t)(word * 64 + bit);
        }
    }
    ahead->count = (uint8_t)count;
}

/* Keeps those depths of which the filter says that they may have rules. */
static inline void list_likely(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead) {
    unsigned likely = 0;
    for (unsigned i = 0; i < ahead->count; i++) {
        uint8_t depth = ahead->depth[i];
        ahead->depth[likely] = depth;
        likely += filter_has(block_of(snapshot, key->hash[depth]), key->hash[depth]);
    }
    ahead->count = (uint8_t)likely;
}

void match_prefetch(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead) {
    list_depths(snapshot, key, ahead);
}

bool match_is_likely(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead) {
    list_likely(snapshot, key, ahead);
    return ahead->count > 0;
}

void match_prefetch_rules(const struct snapshot *snapshot, const struct name_key *key, const struct match_ahead *ahead) {
    enum { BUCKET_LINES = 6 }; /* nearly all fit */
    for (unsigned i = 0; i < ahead->count; i++) {
        const uint8_t *bucket = snapshot->bucket_octets + block_of(snapshot, key->hash[ahead->depth[i]])->bucket;
        for (unsigned line = 0; line < BUCKET_LINES; line++)
            __builtin_prefetch(bucket + 64 * line);
    }
}

/* All of that for one name. */
static inline void look_ahead(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead) {
    list_depths(snapshot, key, ahead);
    list_likely(snapshot, key, ahead);
    match_prefetch_rules(snapshot, key, ahead);
}

/* Has the cursor stand on the rules of one suffix; false if there are none. */
static inline bool find_at(const struct search *search, unsigned depth, struct cursor *cursor) {
    const struct snapshot *snapshot = search->snapshot;
    uint64_t hash = search->key->hash[depth];
    /* coded before the bucket is looked at: it is needed nearly always, and the bucket is still on its way */
    uint8_t code[CODE_ROOM];
    size_t code_length = code_encode(&snapshot->code, search->key, depth, code);
    cursor->labels = (uint8_t)depth;
    cursor->self = depth == search->key->labels;
    return bucket_open(snapshot, block_of(snapshot, hash)->bucket, &cursor->view) &&
           find_entry(snapshot, hash, code, code_length, cursor);
}

/* Fills in the cursors of the rules that are there, of those that may be. */
static void find_ahead(struct search *search, const struct match_ahead *ahead) {
    search->cursors = 0;
    for (unsigned i = 0; i < ahead->count; i++)
        search->cursors += find_at(search, ahead->depth[i], &search->cursor[search->cursors]);
}

void match_find(struct search *search) {
    struct match_ahead ahead;
    look_ahead(search->snapshot, search->key, &ahead);
    find_ahead(search, &ahead);
}

void match_step(struct cursor *cursor) {
    cursor->offset += bucket_length(&cursor->view, cursor->at);
    cursor->at++;
}

bool match_is_protected(struct search *search, bool *any_rule) {
    *any_rule = false;
    for (unsigned i = 0; i < search->cursors; i++) {
        struct cursor *cursor = &search->cursor[i];
        for (; cursor->at < cursor->end; match_step(cursor)) {
            const struct profile *profile = bucket_profile(search->snapshot, &cursor->view, cursor->at);
            if (profile == NULL || (profile->flags & PROFILE_PROTECTS) == 0)
                break;
            if (match_holds((enum match)profile->match, cursor->self))
                return true;
        }
        for (uint32_t at = cursor->at; at < cursor->end && !*any_rule; at++) {
            const struct profile *profile = bucket_profile(search->snapshot, &cursor->view, at);
            *any_rule = profile != NULL && (profile->flags & PROFILE_PROTECTS) == 0 &&
                        match_holds((enum match)profile->match, cursor->self);
        }
    }
    return false;
}

/* --- which rule ----------------------------------------------------------------------------------------------------------------
 */

bool snapshot_zone_admits(const struct snapshot *snapshot, const struct snapshot_zone *zone, const struct ip *client) {
    if (!zone->restricted)
        return true;
    if (client == NULL)
        return false;
    struct prefix_key key = prefix_key_of(client);
    bool v4 = prefix_key_is_v4(key, 128);
    const struct zone_client *clients = snapshot->zone_clients + zone->clients + (v4 ? 0 : zone->v4_clients);
    uint32_t low = 0;
    for (uint32_t count = v4 ? zone->v4_clients : zone->v6_clients; count > 0;) {
        uint32_t half = count / 2;
        struct prefix_key middle = clients[low + half].key;
        bool right = middle.high < key.high || (middle.high == key.high && middle.low <= key.low);
        low = right ? low + half + 1 : low;
        count = right ? count - half - 1 : half;
    }
    if (low == 0)
        return false;
    const struct zone_client *last = &clients[low - 1];
    struct prefix prefix = {.ip = prefix_key_ip(last->key), .length = (uint8_t)last->length};
    return prefix_contains(&prefix, client);
}

/* True if the rule is in force for this client now. */
static inline bool in_force(const struct search *search, const struct profile *profile, uint32_t expires) {
    if ((profile->flags & PROFILE_EXPIRES) && search->now >= expires)
        return false;
    const struct snapshot_zone *zone = &search->snapshot->zones[profile->zone];
    return !zone->restricted || snapshot_zone_admits(search->snapshot, zone, search->client);
}

/* 0 for a rule that doesn't expire. */
static inline uint32_t cursor_expires(const struct cursor *cursor, const struct profile *profile) {
    if ((profile->flags & PROFILE_EXPIRES) == 0)
        return 0;
    return snapshot_expires(&cursor->view, cursor->offset, bucket_code_length(&cursor->view, cursor->at, profile));
}

/* The domain rule that goes first in the first zone from `zone` on that has one. */
static bool pick_domain(struct search *search, uint32_t zone, struct candidate *best) {
    bool found = false;
    for (unsigned i = 0; i < search->cursors; i++) {
        struct cursor *cursor = &search->cursor[i];
        for (; cursor->at < cursor->end; match_step(cursor)) {
            const struct profile *profile = bucket_profile(search->snapshot, &cursor->view, cursor->at);
            if (profile == NULL || (profile->flags & PROFILE_PROTECTS) || profile->zone < zone ||
                !match_holds((enum match)profile->match, cursor->self))
                continue;
            if (!in_force(search, profile, cursor_expires(cursor, profile)))
                continue;
            /* a rule of this zone at a deeper name went before */
            if (found && profile->zone >= best->profile->zone)
                break;
            *best = (struct candidate){
                .profile = profile,
                .rule = cursor->view.first + cursor->at,
                .trigger = TRIGGER_DOMAIN,
                .length = cursor->labels,
            };
            found = true;
            break;
        }
    }
    return found;
}

/* Eytzinger search: the greatest key that isn't greater than the one wanted is where the path last went right. */
static uint32_t last_right(uint64_t node) {
    return (uint32_t)(node >> (__builtin_ctzll(node) + 1));
}

static const struct prefix_node *find_v4(const struct prefix_table *table, uint32_t wanted) {
    uint64_t node = 1;
    while (node < table->v4_nodes) {
        __builtin_prefetch(table->v4_key + 16 * node); /* four levels on: sixteen keys, one line */
        node = 2 * node + (table->v4_key[node] <= wanted);
    }
    uint32_t found = last_right(node);
    while (found != 0 && (uint64_t)(table->v4_key[found] ^ wanted) >> (128 - table->v4_node[found].length) != 0)
        found = table->v4_node[found].parent;
    return found != 0 ? &table->v4_node[found] : NULL;
}

static inline unsigned __int128 wide_key(struct prefix_key key) {
    return (unsigned __int128)key.high << 64 | key.low;
}

static const struct prefix_node *find_v6(const struct prefix_table *table, unsigned __int128 wanted) {
    uint64_t node = 1;
    while (node < table->v6_nodes) {
        __builtin_prefetch(table->v6_key + 4 * node);
        node = 2 * node + (wide_key(table->v6_key[node]) <= wanted);
    }
    uint32_t found = last_right(node);
    while (found != 0) {
        unsigned length = table->v6_node[found].length;
        if (length == 0 || (wide_key(table->v6_key[found]) ^ wanted) >> (128 - length) == 0)
            return &table->v6_node[found];
        found = table->v6_node[found].parent;
    }
    return NULL;
}

struct prefix_walk prefix_table_find(const struct prefix_table *table, const struct ip *ip) {
    struct prefix_key key = prefix_key_of(ip);
    if (prefix_key_is_v4(key, 128))
        return (struct prefix_walk){.nodes = table->v4_node, .node = find_v4(table, (uint32_t)key.low)};
    return (struct prefix_walk){.nodes = table->v6_node, .node = find_v6(table, wide_key(key))};
}

/* Does a rule on a prefix go before the best so far? The longest first; of prefixes as long the lowest, which is compiled first, so
 * that it doesn't depend on how upstream rotates the addresses. */
static bool nearer_prefix(const struct candidate *best, uint16_t zone, unsigned length, uint32_t rule) {
    if (zone != best->profile->zone)
        return zone < best->profile->zone;
    return length != best->length ? length > best->length : rule < best->rule;
}

/* The rule that goes first for any of the addresses in the first zone from `zone` on that has one. */
static bool pick_prefix(const struct search *search, const struct prefix_table *table, enum trigger trigger,
                        const struct ip *addresses, size_t count, uint32_t zone, struct candidate *best) {
    const struct snapshot *snapshot = search->snapshot;
    uint64_t first_rule = snapshot->header->entries + (trigger == TRIGGER_CLIENT ? snapshot->ips.rules : 0);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (trigger == TRIGGER_IP && prefix_table_find(&snapshot->shields, &addresses[i]).node != NULL)
            continue;
        for (struct prefix_walk walk = prefix_table_find(table, &addresses[i]); walk.node != NULL; prefix_walk_next(&walk)) {
            const struct prefix_node *at = walk.node;
            for (uint32_t j = at->rules; j < at->rules + at->rule_count; j++) {
                const struct profile *profile = &snapshot->profiles[table->rule[j].profile];
                if (profile->zone < zone || !in_force(search, profile, table->rule[j].expires))
                    continue;
                uint32_t rule = (uint32_t)(first_rule + j);
                if (!found || nearer_prefix(best, profile->zone, at->length & 0xff, rule))
                    *best = (struct candidate){
                        .profile = profile, .rule = rule, .trigger = (uint8_t)trigger, .length = at->length & 0xff};
                found = true;
                break;
            }
        }
    }
    return found;
}

/* --- verdicts ------------------------------------------------------------------------------------------------------------------
 */

static struct matched matched_of(const struct search *search, const struct candidate *candidate) {
    const struct snapshot *snapshot = search->snapshot;
    bool domain = candidate->trigger == TRIGGER_DOMAIN;
    return (struct matched){
        .rule = candidate->rule,
        .profile = (uint32_t)(candidate->profile - snapshot->profiles),
        .spec = candidate->profile->spec,
        .zone = candidate->profile->zone,
        .trigger = candidate->trigger,
        .action = snapshot->specs[candidate->profile->spec].action,
        .mode = snapshot->zones[candidate->profile->zone].mode,
        .labels = domain ? candidate->length : 0,
        .owner_length = domain ? match_owner_length(search->key, candidate->length) : 0,
    };
}

static void verdict_init(struct verdict *verdict, bool blank) {
    verdict->decided = false;
    verdict->blank = blank;
    verdict->protected_ = false;
    verdict->monitors = 0;
}

/* One phase: in each zone the domain rule, and before it (client) or after it (ip) the prefix rule. */
struct phase {
    const struct prefix_table *table; /* NULL: none */
    enum trigger trigger;
    const struct ip *addresses;
    size_t count;
};

static void decide(struct search *search, const struct phase *phase, struct verdict *verdict) {
    for (uint32_t zone = 0;;) {
        struct candidate domain;
        struct candidate prefix;
        bool has_domain = pick_domain(search, zone, &domain);
        bool has_prefix = phase->table != NULL &&
                          pick_prefix(search, phase->table, phase->trigger, phase->addresses, phase->count, zone, &prefix);
        if (!has_domain && !has_prefix)
            return;
        bool take_prefix = has_prefix;
        if (has_domain && has_prefix)
            take_prefix = prefix.profile->zone < domain.profile->zone ||
                          (prefix.profile->zone == domain.profile->zone && phase->trigger < TRIGGER_DOMAIN);
        struct matched matched = matched_of(search, take_prefix ? &prefix : &domain);
        if (matched.mode == MODE_ENFORCE) {
            verdict->decided = true;
            verdict->decision = matched;
            return;
        }
        if (verdict->monitors < MATCH_MONITORS_MAX)
            verdict->monitor[verdict->monitors++] = matched;
        zone = matched.zone + 1u;
    }
}

/* What match_is_protected and decide say of a single rule, without their loops: the usual hit. */
static inline void decide_single(const struct search *search, struct verdict *verdict) {
    const struct cursor *cursor = &search->cursor[0];
    const struct profile *profile = bucket_profile(search->snapshot, &cursor->view, cursor->at);
    if (profile == NULL || !match_holds((enum match)profile->match, cursor->self))
        return;
    verdict->blank = false;
    verdict->protected_ = (profile->flags & PROFILE_PROTECTS) != 0;
    if (verdict->protected_ || !in_force(search, profile, cursor_expires(cursor, profile)))
        return;
    struct matched matched = {
        .rule = cursor->view.first + cursor->at,
        .profile = (uint32_t)(profile - search->snapshot->profiles),
        .spec = profile->spec,
        .zone = profile->zone,
        .trigger = TRIGGER_DOMAIN,
        .action = search->snapshot->specs[profile->spec].action,
        .mode = search->snapshot->zones[profile->zone].mode,
        .labels = cursor->labels,
        .owner_length = match_owner_length(search->key, cursor->labels),
    };
    verdict->decided = matched.mode == MODE_ENFORCE;
    if (verdict->decided)
        verdict->decision = matched;
    else
        verdict->monitor[verdict->monitors++] = matched;
}

void match_query_ahead(const struct snapshot *snapshot, const struct name_key *qname, const struct match_ahead *ahead,
                       const struct ip *client, uint32_t now, struct verdict *verdict) {
    verdict_init(verdict, true);
    bool client_rules = !prefix_table_is_empty(&snapshot->clients);
    if (ahead->count == 0 && !client_rules)
        return;
    struct search search;
    search.snapshot = snapshot;
    search.key = qname;
    search.client = client;
    search.now = now;
    if (ahead->count == 1)
        search.cursors = find_at(&search, ahead->depth[0], &search.cursor[0]);
    else
        find_ahead(&search, ahead);
    if (search.cursors == 0 && !client_rules)
        return;
    if (search.cursors == 1 && search.cursor[0].end - search.cursor[0].at == 1 && !client_rules) {
        decide_single(&search, verdict);
        return;
    }
    if (search.cursors > 0) {
        bool any_rule;
        verdict->protected_ = match_is_protected(&search, &any_rule);
        verdict->blank = !verdict->protected_ && !any_rule;
        if (verdict->protected_)
            return;
    }
    struct phase phase = {.trigger = TRIGGER_CLIENT, .addresses = client, .count = 1};
    if (client_rules && client != NULL)
        phase.table = &snapshot->clients;
    decide(&search, &phase, verdict);
}

void match_query(const struct snapshot *snapshot, const struct name_key *qname, const struct ip *client, uint32_t now,
                 struct verdict *verdict) {
    struct match_ahead ahead;
    look_ahead(snapshot, qname, &ahead);
    match_query_ahead(snapshot, qname, &ahead, client, now, verdict);
}

/* True if a rule covers one of the addresses, in force or not. */
static bool any_ip_rule(const struct snapshot *snapshot, const struct ip *addresses, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (prefix_table_find(&snapshot->ips, &addresses[i]).node != NULL &&
            prefix_table_find(&snapshot->shields, &addresses[i]).node == NULL)
            return true;
    }
    return false;
}

void match_answer(const struct snapshot *snapshot, const struct name_key *name, bool first, const struct ip *addresses,
                  size_t count, const struct ip *client, uint32_t now, struct verdict *verdict) {
    verdict_init(verdict, true);
    bool any_ip = any_ip_rule(snapshot, addresses, count);
    if (first && !any_ip)
        return;
    struct search search;
    search.snapshot = snapshot;
    search.key = name;
    search.client = client;
    search.now = now;
    match_find(&search);
    bool any_rule;
    verdict->protected_ = match_is_protected(&search, &any_rule);
    if (first) {
        search.cursors = 0; /* its domain rules had their say in phase one */
        any_rule = false;
    }
    verdict->blank = !verdict->protected_ && !any_rule && !any_ip;
    if (verdict->blank || verdict->protected_)
        return;
    struct phase phase = {.trigger = TRIGGER_IP, .addresses = addresses, .count = count};
    if (any_ip)
        phase.table = &snapshot->ips;
    decide(&search, &phase, verdict);
}

bool match_has_client_rules(const struct snapshot *snapshot) {
    return !prefix_table_is_empty(&snapshot->clients);
}

bool match_has_ip_rules(const struct snapshot *snapshot) {
    return !prefix_table_is_empty(&snapshot->ips);
}

/* --- answers -------------------------------------------------------------------------------------------------------------------
 */

void match_answer_bytes(const struct snapshot *snapshot, const struct matched *matched, uint16_t qtype, struct answer_bytes *out) {
    *out = (struct answer_bytes){.bytes = NULL};
    if (matched->spec >= snapshot->spec_count)
        return;
    const struct spec *spec = &snapshot->specs[matched->spec];
    if (spec->answer_count == 0)
        return;
    const struct spec_answer *answer = &snapshot->answers[spec->answers];
    const struct spec_answer *last = answer + spec->answer_count - 1;
    while (answer < last && answer->qtype != qtype)
        answer++;
    out->bytes = snapshot->bytes + answer->bytes;
    out->length = answer->length;
    out->ancount = answer->ancount;
    out->nscount = answer->nscount;
    out->rcode = answer->rcode;
    out->ede = answer->ede;
}

uint32_t match_ttl(const struct snapshot *snapshot, const struct matched *matched) {
    return matched->spec < snapshot->spec_count ? snapshot->specs[matched->spec].ttl : 0;
}

const struct name *match_cname_target(const struct snapshot *snapshot, const struct matched *matched, bool *wildcard,
                                      struct name *buffer) {
    if (matched->spec >= snapshot->spec_count)
        return NULL;
    const struct spec *spec = &snapshot->specs[matched->spec];
    if (spec->target_length == 0)
        return NULL;
    *wildcard = spec->flags & SPEC_WILDCARD;
    return name_from_wire(buffer, snapshot->bytes + spec->target, spec->target_length) > 0 ? buffer : NULL;
}
