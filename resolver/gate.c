/* resolver/gate.c: policy applied to one query, and what is recorded of it. */
#include "resolver/gate.h"

/* --- records --- */

/* Octets of a record and its names. */
static inline size_t record_octets(const struct query *query, const struct name *via) {
    return sizeof(struct record) + query->message->question.name.length + (via ? via->length : 0);
}

/* Fills in all that every kind of record says, but the names. */
static inline void fill_record(struct record *record, const struct query_env *env, const struct query *query,
                               const struct matched *matched) {
    const struct message *message = query->message;
    record->protocol = query->client.protocol;
    record->qtype = message->question.type;
    record->client_port = query->client.port;
    record->ts_us = env->wall_us;
    record->client = query->client.address;
    if (message->has_mac && query->client.trusted) {
        record->has_mac = true;
        memcpy(record->mac, message->mac, sizeof record->mac);
    }
    if (matched) {
        record->action = matched->action;
        record->mode = matched->mode;
        record->trigger = matched->trigger;
        record->rule = matched->rule;
        record->profile = matched->profile;
        record->owner_length = matched->owner_length;
        record->snapshot = query->view->snapshot;
    }
}

/* Returns what is behind them. */
static inline uint8_t *put_names(struct record *record, const struct query *query, const struct name *via) {
    const struct name *qname = &query->message->question.name;
    uint8_t *at = record->names;
    record->qname_length = qname->length;
    at = name_put(at, qname->wire, qname->length);
    if (via) {
        record->via_length = via->length;
        at = name_put(at, via->wire, via->length);
    }
    return at;
}

static void put_record(struct query_env *env, const struct query *query, enum record_kind kind, const struct matched *matched,
                       const struct name *via, unsigned rcode) {
    struct record *record = env->ring ? ring_reserve(env->ring, kind, record_octets(query, via)) : NULL;
    if (!record)
        return;
    fill_record(record, env, query, matched);
    put_names(record, query, via);
    record->rcode = (uint16_t)rcode;
    ring_commit(env->ring);
}

static const struct name *via_of(const struct query *query) {
    return query->via.length ? &query->via : NULL;
}

static void put_tap(struct query_env *env, const struct query *query, const struct matched *matched, const struct name *via,
                    const uint8_t *message, size_t length) {
    enum { LARGEST = UINT16_MAX - 7 }; /* its size is rounded up */
    size_t size = record_octets(query, via) + length;
    if (size > LARGEST)
        return; /* no collector is promised 64 KB answers */
    struct record *record = ring_reserve(env->ring, RECORD_TAP, size);
    if (!record)
        return;
    fill_record(record, env, query, matched);
    record->rcode = message[3] & FLAG_RCODE;
    record->waited_ms = (uint32_t)(env->now_ms - query->began_ms);
    record->message_length = (uint16_t)length;
    memcpy(put_names(record, query, via), message, length);
    ring_commit(env->ring);
}

/* The name that the chain had come to after `cnames` CNAMEs of a link; false where that is the query name, or can't be told. */
static bool name_at(const struct query *query, unsigned link, unsigned cnames, struct name *name) {
    if ((link == 0 && cnames == 0) || link >= query->links)
        return false;
    const struct answer *answer = query->link[link];
    struct wire wire;
    wire_init(&wire, answer_octets(answer), answer->length, WIRE_HEADER);
    wire_name(&wire, name);
    wire.at = answer->question;
    for (unsigned i = 0; i < answer->ancount && cnames > 0; i++) {
        struct wire_record record;
        wire_record(&wire, &record);
        if (record.type == TYPE_CNAME && (!wire_rdata_name(&wire, &record, name) || --cnames == 0))
            break;
    }
    return cnames == 0;
}

void gate_tap(struct query_env *env, const struct query *query, const uint8_t *message, size_t length) {
    if (!env->ring)
        return;
    for (unsigned i = 0; i < query->monitored; i++) {
        struct name name;
        bool via = name_at(query, query->monitor[i].link, query->monitor[i].cnames, &name);
        put_tap(env, query, &query->monitor[i].matched, via ? &name : NULL, message, length);
    }
    if (query->hit)
        put_tap(env, query, &query->decision, via_of(query), message, length);
    else if (query->monitored == 0)
        put_tap(env, query, NULL, NULL, message, length);
}

/* `cnames`: how many CNAMEs of the newest link lead to where they matched. */
static __attribute__((noinline)) void monitor_hits(struct query_env *env, struct query *query, const struct verdict *verdict,
                                                   const struct name *via, unsigned cnames) {
    bool taps = gate_taps(query->view->config);
    for (unsigned i = 0; i < verdict->monitors; i++) {
        put_record(env, query, RECORD_HIT, &verdict->monitor[i], via, RCODE_NOERROR);
        if (!taps || query->monitored == QUERY_MONITORS_MAX)
            continue;
        query->monitor[query->monitored].matched = verdict->monitor[i];
        query->monitor[query->monitored].link = query->links ? (uint8_t)(query->links - 1) : 0;
        query->monitor[query->monitored++].cnames = (uint8_t)cnames;
    }
    stat_add(env->stats, STAT_MONITOR_HITS, verdict->monitors);
}

void gate_hit(struct query_env *env, struct query *query, unsigned rcode) {
    query->hit = true;
    put_record(env, query, RECORD_HIT, &query->decision, via_of(query), rcode);
    stat_add(env->stats, STAT_POLICY_HITS, 1);
    stat_add(env->stats, STAT_ACTION_0 + query->decision.action, 1);
}

void gate_log_query(struct query_env *env, const struct query *query, unsigned rcode) {
    put_record(env, query, RECORD_QUERY, NULL, NULL, rcode);
}

/* Of client, name and hour. A client behind a trusted sender is told apart by its MAC. */
static uint64_t asked_hash(const struct query_env *env, const struct arrival *arrival) {
    static const uint64_t HOUR = UINT64_C(3600) * 1000000; /* us */
    const struct client *client = arrival->client;
    const struct message *message = &arrival->message;
    const struct name_key *key = &arrival->key;
    uint64_t address[2];
    memcpy(address, client->address.bytes, sizeof address);
    if (message->has_mac && client->trusted) {
        uint64_t mac = 0;
        memcpy(&mac, message->mac, sizeof message->mac);
        address[1] ^= mac * 0xA0761D6478BD642Fu;
    }
    uint64_t hour = env->wall_us / HOUR;
    uint64_t hash = key->hash[key->labels] ^ (address[0] + hour) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 32 ^ address[1]) * 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 29;
}

void gate_prefetch_asked(const struct query_env *env, struct arrival *arrival) {
    if (!env->asked)
        return;
    arrival->asked = asked_hash(env, arrival);
    __builtin_prefetch(&env->asked[arrival->asked % QUERY_ASKED], 1);
}

/* One record a client, name and hour, as far as a table of the latest hashes can tell. */
void gate_log_asked(struct query_env *env, const struct query *query, const struct arrival *arrival) {
    if (!env->asked)
        return;
    uint64_t hash = arrival->asked ? arrival->asked : asked_hash(env, arrival);
    uint32_t *seen = &env->asked[hash % QUERY_ASKED], tag = (uint32_t)(hash >> 32);
    if (*seen == tag)
        return;
    *seen = tag;
    put_record(env, query, RECORD_ASKED, NULL, NULL, RCODE_NOERROR);
}

/* --- the two phases --- */

static inline enum gate judge(struct query_env *env, struct query *query, const struct verdict *verdict, const struct name *via,
                              unsigned cnames) {
    if (verdict->monitors)
        monitor_hits(env, query, verdict, via, cnames);
    if (verdict->protected_)
        return GATE_OVER;
    if (!verdict->decided)
        return GATE_OPEN;
    if (verdict->decision.action == ACTION_PASSTHRU) {
        stat_add(env->stats, STAT_PASSTHRU, 1);
        stat_add(env->stats, STAT_ACTION_0 + ACTION_PASSTHRU, 1);
        return GATE_OVER;
    }
    query->decision = verdict->decision;
    query->via.length = 0;
    if (via)
        query->via = *via;
    return GATE_DECIDED;
}

static uint32_t wall_seconds(const struct query_env *env) {
    return (uint32_t)(env->wall_us / 1000000);
}

enum gate gate_query(struct query_env *env, struct query *query, const struct arrival *arrival) {
    struct verdict verdict;
    const struct snapshot *snapshot = query->view->snapshot;
    const struct ip *client = &query->client.address;
    if (arrival->foreseen)
        match_query_ahead(snapshot, &arrival->key, &arrival->ahead, client, wall_seconds(env), &verdict);
    else
        match_query(snapshot, &arrival->key, client, wall_seconds(env), &verdict);
    query->blank = verdict.blank;
    /* The history is for what no rule matched in its time: the rest is in the hit log already. */
    if (verdict.monitors == 0 && (!verdict.decided || verdict.decision.action == ACTION_PASSTHRU))
        gate_log_asked(env, query, arrival);
    return judge(env, query, &verdict, NULL, 0);
}

/* A walk along an answer. */
struct walk {
    struct name name; /* where it is */
    bool first;       /* still at the query name, whose domain rules were asked in phase one */
    bool blank;
    unsigned cnames;
    unsigned count;
    struct ip addresses[ANSWER_ADDRESSES_MAX];
};

/* Asks for the rules on the name that the walk has come to. `awaited`: its data is a link still to come, so that only what keeps us
 * from asking for it counts yet; the rest is judged with the addresses at hand, which rules of earlier zones may hold for. */
static enum gate ask_step(struct query_env *env, struct query *query, struct walk *walk, bool via, bool awaited) {
    if (walk->first && walk->count == 0)
        return GATE_OPEN;
    struct name_key key;
    struct verdict verdict;
    name_key_init(&key, walk->name.wire, walk->name.length, query->view->seed);
    match_answer(query->view->snapshot, &key, walk->first, walk->addresses, walk->count, &query->client.address, wall_seconds(env),
                 &verdict);
    walk->blank &= verdict.blank;
    if (awaited && (!verdict.decided || verdict.decision.action == ACTION_PASSTHRU))
        return GATE_OPEN;
    return judge(env, query, &verdict, via ? &walk->name : NULL, walk->cnames);
}

static enum gate walk_answer(struct query_env *env, struct query *query, const struct answer *answer, bool first_link,
                             struct walk *walk) {
    uint16_t type = query->message->question.type;
    bool ip_rules = match_has_ip_rules(query->view->snapshot);
    struct wire wire;
    wire_init(&wire, answer_octets(answer), answer->length, WIRE_HEADER);
    wire_name(&wire, &walk->name);
    wire.at = answer->question;
    for (unsigned i = 0; i < answer->ancount; i++) {
        struct wire_record record;
        wire_record_bare(&wire, &record);
        if (record.type == TYPE_CNAME && type != TYPE_CNAME && type != TYPE_ANY) {
            enum gate gate = ask_step(env, query, walk, !first_link || walk->cnames > 0, false);
            if (gate != GATE_OPEN)
                return gate;
            if (!wire_rdata_name(&wire, &record, &walk->name))
                return GATE_OPEN;
            walk->first = false;
            walk->cnames++;
        } else if (ip_rules && walk->count < ANSWER_ADDRESSES_MAX) {
            walk->count +=
                answer_record_addresses(&wire, &record, walk->addresses + walk->count, ANSWER_ADDRESSES_MAX - walk->count);
        }
    }
    if (walk->count > ANSWER_ADDRESSES_MAX)
        walk->count = ANSWER_ADDRESSES_MAX;
    return ask_step(env, query, walk, !first_link || walk->cnames > 0, (answer->flags & ANSWER_PARTIAL) != 0);
}

enum gate gate_answer(struct query_env *env, struct query *query, struct answer *answer, bool first_link, unsigned *cnames) {
    struct walk walk; /* 64 KB, touched as needed */
    walk.first = first_link;
    walk.blank = true;
    walk.cnames = walk.count = 0;
    enum gate gate = GATE_OPEN;
    unsigned judged = ANSWER_CHAIN | (match_has_ip_rules(query->view->snapshot) ? ANSWER_ADDRESSES : 0);
    if ((answer->flags & judged) || !first_link)
        gate = walk_answer(env, query, answer, first_link, &walk);
    *cnames = walk.cnames;
    if (first_link && query->blank && walk.blank && gate == GATE_OPEN)
        atomic_store_explicit(&answer->blank, query->view->generation, memory_order_relaxed);
    return gate;
}
