/* policy/explain.c: every rule that covers a name or address, in the order in which they are asked, and what becomes of each. */
#include "policy/match.h"
#include "policy/match_private.h"

/* A rule that covers, and its turn: phase, zone, trigger, nearness, match, number, packed so that a smaller one goes first. */
struct covering {
    uint64_t turn;
    const struct profile *profile;
    uint32_t rule;
    uint32_t expires;
    uint8_t trigger;
    uint8_t length;
    bool shielded;
};

struct explanation {
    struct search search;
    const struct ip *address;
    uint64_t from; /* the first turn that is still to come */
    struct covering next;
    bool found;
};

static void offer(struct explanation *explanation, struct covering covering) {
    uint64_t phase = covering.trigger == TRIGGER_IP;
    covering.turn = phase << 61 | (uint64_t)covering.profile->zone << 45 | (uint64_t)covering.trigger << 42 |
                    (uint64_t)(255 - covering.length) << 34 | (uint64_t)covering.profile->match << 32 | covering.rule;
    if (covering.turn < explanation->from || (explanation->found && covering.turn >= explanation->next.turn))
        return;
    explanation->next = covering;
    explanation->found = true;
}

static void offer_domains(struct explanation *explanation) {
    const struct snapshot *snapshot = explanation->search.snapshot;
    for (unsigned i = 0; i < explanation->search.cursors; i++) {
        /* a copy: every turn starts anew */
        struct cursor cursor = explanation->search.cursor[i];
        for (; cursor.at < cursor.end; match_step(&cursor)) {
            const struct profile *profile = bucket_profile(snapshot, &cursor.view, cursor.at);
            if (profile == NULL || (profile->flags & PROFILE_PROTECTS) || !match_holds((enum match)profile->match, cursor.self))
                continue;
            uint32_t code_length = bucket_code_length(&cursor.view, cursor.at, profile);
            offer(explanation, (struct covering){
                                   .profile = profile,
                                   .rule = cursor.view.first + cursor.at,
                                   .expires = snapshot_expires(&cursor.view, cursor.offset, code_length),
                                   .trigger = TRIGGER_DOMAIN,
                                   .length = cursor.labels,
                               });
        }
    }
}

static void offer_prefixes(struct explanation *explanation, const struct prefix_table *table, enum trigger trigger,
                           const struct ip *address) {
    const struct snapshot *snapshot = explanation->search.snapshot;
    uint64_t first_rule = snapshot->header->entries + (trigger == TRIGGER_CLIENT ? snapshot->ips.rules : 0);
    bool shielded = trigger == TRIGGER_IP && prefix_table_find(&snapshot->shields, address).node != NULL;
    for (struct prefix_walk walk = prefix_table_find(table, address); walk.node != NULL; prefix_walk_next(&walk)) {
        const struct prefix_node *at = walk.node;
        for (uint32_t i = at->rules; i < at->rules + at->rule_count; i++)
            offer(explanation, (struct covering){
                                   .profile = &snapshot->profiles[table->rule[i].profile],
                                   .rule = (uint32_t)(first_rule + i),
                                   .expires = table->rule[i].expires,
                                   .trigger = (uint8_t)trigger,
                                   .length = at->length & 0xff,
                                   .shielded = shielded,
                               });
    }
}

/* The covering rule whose turn is next. */
static bool next_covering(struct explanation *explanation) {
    const struct snapshot *snapshot = explanation->search.snapshot;
    explanation->found = false;
    offer_domains(explanation);
    if (explanation->search.client != NULL && explanation->search.key != NULL)
        offer_prefixes(explanation, &snapshot->clients, TRIGGER_CLIENT, explanation->search.client);
    if (explanation->address != NULL)
        offer_prefixes(explanation, &snapshot->ips, TRIGGER_IP, explanation->address);
    explanation->from = explanation->next.turn + 1;
    return explanation->found;
}

struct progress {
    bool protected_;
    bool decided;
    int monitored_zone; /* the last one, -1 none */
    bool second_phase;
};

static enum explain_state state_of(const struct explanation *explanation, const struct covering *covering,
                                   struct progress *progress) {
    const struct snapshot *snapshot = explanation->search.snapshot;
    const struct snapshot_zone *zone = &snapshot->zones[covering->profile->zone];
    if (progress->second_phase != (covering->trigger == TRIGGER_IP)) {
        progress->second_phase = true;
        progress->monitored_zone = -1;
    }
    if (progress->protected_ || covering->shielded)
        return EXPLAIN_PROTECTED;
    if ((covering->profile->flags & PROFILE_EXPIRES) && explanation->search.now >= covering->expires)
        return EXPLAIN_EXPIRED;
    if (!snapshot_zone_admits(snapshot, zone, explanation->search.client))
        return EXPLAIN_OTHER_CLIENTS;
    if (progress->decided || progress->monitored_zone == covering->profile->zone)
        return EXPLAIN_SHADOWED;
    if (zone->mode != MODE_ENFORCE) {
        progress->monitored_zone = covering->profile->zone;
        return EXPLAIN_MONITOR;
    }
    progress->decided = true;
    return EXPLAIN_DECIDES;
}

size_t match_explain(const struct snapshot *snapshot, const struct name_key *qname, const struct ip *address,
                     const struct ip *client, uint32_t now,
                     void (*each)(void *context, const struct matched *matched, enum explain_state state), void *context) {
    struct explanation explanation = {.address = address};
    explanation.search.snapshot = snapshot;
    explanation.search.key = qname;
    explanation.search.client = client;
    explanation.search.now = now;
    struct progress progress = {.monitored_zone = -1};
    if (qname != NULL) {
        bool any_rule;
        match_find(&explanation.search);
        /* asked of a copy: it moves the cursors */
        struct search copy = explanation.search;
        progress.protected_ = match_is_protected(&copy, &any_rule);
    }
    size_t count = 0;
    for (; next_covering(&explanation); count++) {
        const struct covering *covering = &explanation.next;
        enum explain_state state = state_of(&explanation, covering, &progress);
        struct matched matched = {
            .rule = covering->rule,
            .profile = (uint32_t)(covering->profile - snapshot->profiles),
            .spec = covering->profile->spec,
            .zone = covering->profile->zone,
            .trigger = covering->trigger,
            .action = snapshot->specs[covering->profile->spec].action,
            .mode = snapshot->zones[covering->profile->zone].mode,
            .labels = covering->trigger == TRIGGER_DOMAIN ? covering->length : 0,
            .owner_length = covering->trigger == TRIGGER_DOMAIN ? match_owner_length(qname, covering->length) : 0,
        };
        each(context, &matched, state);
    }
    return count;
}
