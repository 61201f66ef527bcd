/* resolver/query.c: the query machine.
 *
 * A query is parsed, looked up and judged by policy; then links of a CNAME chain are gathered, each from the cache or from
 * upstream, until the last is there; then the reply is written. Nearly every query is over within query_begin: a cached answer that
 * is known to be blank under this policy, or a policy answer. */
#include "resolver/query.h"

#include <limits.h>

#include "resolver/gate.h"
#include "resolver/reply.h"

enum {
    LOCAL_ANSWER_MAX = 512, /* the longest question and a record of local.c */
    RULES_AHEAD = 4,        /* packets of a batch whose rules are on their way: more would wait for each other */
};

#define LIKELY(x) __builtin_expect(!!(x), 1)

enum query_step {
    STEP_ANSWER, /* gathering the answer to the question */
    STEP_SIGNED, /* the same, while a phase-one decision waits to know whether the answer is signed (break_dnssec) */
    STEP_TARGET, /* gathering what a cname rule's target has */
};

/* What one call works with. */
struct turn {
    struct query_env *env;
    struct query *query;
    struct reply reply;
    size_t length; /* of the reply */
};

static uint32_t now_s(const struct query_env *env) {
    return (uint32_t)(env->now_ms / 1000);
}

static bool is_tcp(const struct query *query) {
    return query->client.protocol != PROTOCOL_UDP;
}

static void turn_init(struct turn *turn, struct query_env *env, struct query *query, uint8_t *out) {
    turn->env = env;
    turn->query = query;
    turn->reply = (struct reply){.message = query->message, .packet = query->packet, .out = out, .tcp = is_tcp(query)};
    turn->length = 0;
}

static void drop_links(struct query *query) {
    for (unsigned i = 0; i < query->links; i++)
        answer_unref(query->link[i]);
    query->links = 0;
}

/* What is recorded of a reply, where queries are logged or tapped. */
static __attribute__((noinline)) void note_reply(const struct turn *turn, unsigned rcode) {
    const struct query *query = turn->query;
    const struct config *config = query->view->config;
    if (!query->message->question_length)
        return;
    if (config->log.queries)
        gate_log_query(turn->env, query, rcode);
    if (gate_taps(config) && (query->hit || query->monitored || config->dnstap.responses))
        gate_tap(turn->env, query, turn->reply.out, turn->length);
}

/* A reply of this length was written. */
static inline enum query_wish send_reply(struct turn *turn, size_t length) {
    const struct config *config = turn->query->view->config;
    unsigned rcode = turn->reply.out[3] & FLAG_RCODE;
    turn->length = length;
    stat_add(turn->env->stats, STAT_RCODE_0 + rcode, 1);
    if (config->log.queries || gate_taps(config))
        note_reply(turn, rcode);
    return QUERY_REPLY;
}

static enum query_wish send_failure(struct turn *turn, unsigned rcode, unsigned ede) {
    return send_reply(turn, reply_empty(&turn->reply, rcode, ede));
}

static uint32_t age_of(const struct query_env *env, const struct answer *answer) {
    uint32_t now = now_s(env);
    return now > answer->received ? now - answer->received : 0;
}

/* --- writing what was gathered --- */

static bool any_stale(const struct query *query) {
    for (unsigned i = 0; i < query->links; i++) {
        if (query->link_stale[i])
            return true;
    }
    return false;
}

static void put_link(struct turn *turn, struct reply_parts *parts, unsigned i, unsigned cnames) {
    const struct answer *link = turn->query->link[i];
    reply_chain(parts, link, age_of(turn->env, link), turn->query->link_stale[i], cnames);
}

/* The truth: all links, as upstream gave them. */
static enum query_wish send_links(struct turn *turn) {
    struct query *query = turn->query;
    const struct answer *last = query->link[query->links - 1];
    bool stale = any_stale(query);
    if (stale)
        stat_add(turn->env->stats, STAT_STALE, 1);
    if (query->links == 1)
        return send_reply(turn, reply_answer(&turn->reply, last, age_of(turn->env, last), query->link_stale[0]));
    struct reply_parts parts;
    bool authentic = true;
    reply_begin(&parts, &turn->reply, stale ? REPLY_EDE_STALE : 0);
    parts.signatures = true;
    for (unsigned i = 0; i < query->links; i++) {
        put_link(turn, &parts, i, UINT_MAX);
        authentic &= (query->link[i]->flags & ANSWER_AUTHENTIC) != 0;
    }
    for (unsigned i = 0; i < query->links; i++) /* a link's wildcard is proved there, too */
        reply_authority(&parts, query->link[i], age_of(turn->env, query->link[i]), query->link_stale[i]);
    return send_reply(turn, reply_end(&parts, last->rcode, authentic));
}

/* The chain up to the name that matched. */
static void put_kept(struct turn *turn, struct reply_parts *parts) {
    const struct query *query = turn->query;
    for (unsigned i = 0; i < query->kept_links; i++)
        put_link(turn, parts, i, i + 1U < query->kept_links ? UINT_MAX : query->kept_cnames);
}

static unsigned policy_ede(const struct query *query, unsigned ede) {
    return query->view->config->policy.extended_errors ? ede : 0;
}

/* The CNAME that a rule makes, and behind it what its target has (nothing yet for CNAME and ANY queries). */
static enum query_wish send_target(struct turn *turn, const struct name *target) {
    struct query *query = turn->query;
    struct reply_parts parts;
    unsigned rcode = RCODE_NOERROR;
    reply_begin(&parts, &turn->reply, policy_ede(query, REPLY_EDE_FORGED));
    put_kept(turn, &parts);
    reply_cname(&parts, target, match_ttl(query->view->snapshot, &query->decision));
    if (query->links > query->kept_links) {
        for (unsigned i = query->kept_links; i < query->links; i++)
            put_link(turn, &parts, i, UINT_MAX);
        const struct answer *last = query->link[query->links - 1];
        reply_authority(&parts, last, age_of(turn->env, last), query->link_stale[query->links - 1]);
        rcode = last->rcode;
    }
    return send_reply(turn, reply_end(&parts, rcode, false));
}

/* --- carrying out a decision --- */

static const struct name *matched_name(const struct query *query) {
    return query->via.length ? &query->via : &query->message->question.name;
}

/* The name that a cname rule points to; false if it grows too long (YXDOMAIN). */
static bool target_name(const struct query *query, struct name *result) {
    struct name buffer;
    bool wildcard = false;
    const struct name *target = match_cname_target(query->view->snapshot, &query->decision, &wildcard, &buffer);
    if (!target)
        return false;
    if (!wildcard) {
        *result = *target;
        return true;
    }
    const struct name *qname = &query->message->question.name;
    unsigned prefix = qname->length - 1U;
    if (prefix + target->length > NAME_WIRE_MAX)
        return false;
    memcpy(result->wire, qname->wire, prefix);
    memcpy(result->wire + prefix, target->wire, target->length);
    result->length = (uint8_t)(prefix + target->length);
    result->labels = (uint8_t)(qname->labels + target->labels);
    return true;
}

static enum query_wish apply_cname(struct turn *turn) {
    struct query *query = turn->query;
    struct name target;
    if (!target_name(query, &target)) {
        struct reply_parts parts;
        gate_hit(turn->env, query, RCODE_YXDOMAIN);
        reply_begin(&parts, &turn->reply, policy_ede(query, REPLY_EDE_FORGED));
        put_kept(turn, &parts);
        return send_reply(turn, reply_end(&parts, RCODE_YXDOMAIN, false));
    }
    uint16_t type = query->message->question.type;
    gate_hit(turn->env, query, RCODE_NOERROR);
    if (type == TYPE_CNAME || type == TYPE_ANY)
        return send_target(turn, &target);
    query->step = STEP_TARGET;
    query->ask.question = query->message->question;
    query->ask.question.name = target;
    query->ask.question.dnssec_ok = false; /* an answer that policy made isn't signed */
    return QUERY_LOOK;
}

/* A rule that sends a name to itself leaves it alone (RPZ's older way to say passthru). */
static bool points_to_itself(const struct query *query) {
    struct name target;
    return query->decision.action == ACTION_CNAME && target_name(query, &target) && name_equal(&target, matched_name(query));
}

/* Ready-made records: loopback, sinkhole, nxdomain, nodata, refused, local. */
static enum query_wish apply_records(struct turn *turn) {
    struct query *query = turn->query;
    struct answer_bytes bytes;
    match_answer_bytes(query->view->snapshot, &query->decision, query->message->question.type, &bytes);
    const struct name *name = matched_name(query);
    unsigned skip = query->decision.trigger == TRIGGER_DOMAIN ? name->labels - query->decision.labels : 0;
    bool extended = query->view->config->policy.extended_errors;
    gate_hit(turn->env, query, bytes.rcode);
    if (query->kept_links == 0 || bytes.rcode == RCODE_REFUSED) {
        size_t owner = WIRE_HEADER;
        for (unsigned i = 0; i < skip; i++)
            owner += name->wire[owner - WIRE_HEADER] + 1U;
        return send_reply(turn, reply_policy(&turn->reply, &bytes, owner, extended));
    }
    struct reply_parts parts;
    reply_begin(&parts, &turn->reply, extended ? bytes.ede : 0);
    put_kept(turn, &parts);
    reply_bytes(&parts, &bytes, skip);
    return send_reply(turn, reply_end(&parts, bytes.rcode, false));
}

/* There is no response to tap: the question stands in for it, as far as it was kept. */
static void tap_dropped(struct turn *turn) {
    const struct query *query = turn->query;
    uint8_t octets[WIRE_HEADER + WIRE_QUESTION_MAX];
    size_t length = (size_t)WIRE_HEADER + query->message->question_length;
    memcpy(octets, query->packet, length);
    wire_set16(octets + 10, 0);
    gate_tap(turn->env, query, octets, length);
}

/* Does what query->decision says. QUERY_LOOK: resolution goes on. */
static inline enum query_wish apply(struct turn *turn) {
    struct query *query = turn->query;
    switch ((enum action)query->decision.action) {
    case ACTION_DROP:
        gate_hit(turn->env, query, RCODE_NOERROR);
        if (gate_taps(query->view->config))
            tap_dropped(turn);
        return is_tcp(query) ? QUERY_CLOSE : QUERY_DROP;
    case ACTION_TRUNCATE:
        gate_hit(turn->env, query, RCODE_NOERROR);
        if (!is_tcp(query))
            return send_reply(turn, reply_truncated(&turn->reply));
        query->policy_over = true;
        return QUERY_LOOK;
    case ACTION_CNAME:
        return apply_cname(turn);
    default:
        return apply_records(turn);
    }
}

/* --- gathering links --- */

static bool respects_dnssec(const struct query *query) {
    return query->message->dnssec_ok && !query->view->config->policy.break_dnssec;
}

static bool any_signed(const struct query *query) {
    for (unsigned i = 0; i < query->links; i++) {
        if (query->link[i]->flags & ANSWER_SIGNED)
            return true;
    }
    return false;
}

/* The name at which an answer's chain ends. */
static void end_of_chain(const struct answer *answer, struct name *name) {
    struct wire wire;
    wire_init(&wire, answer_octets(answer), answer->length, WIRE_HEADER);
    wire_name(&wire, name);
    wire.at = answer->question;
    for (unsigned i = 0; i < answer->ancount; i++) {
        struct wire_record record;
        wire_record(&wire, &record);
        if (record.type == TYPE_CNAME)
            wire_rdata_name(&wire, &record, name);
    }
}

/* All links are there, or the next is to be looked for. */
static enum query_wish go_on(struct turn *turn) {
    struct query *query = turn->query;
    const struct answer *last = query->link[query->links - 1];
    if (!(last->flags & ANSWER_PARTIAL)) {
        if (query->step != STEP_TARGET)
            return send_links(turn);
        struct name target = {0};
        target_name(query, &target);
        return send_target(turn, &target);
    }
    struct name next;
    end_of_chain(last, &next);
    for (unsigned i = 0; i < query->links; i++) {
        const struct answer *link = query->link[i];
        if (link->question == next.length + 4 && memcmp(answer_octets(link), next.wire, next.length) == 0)
            return send_failure(turn, RCODE_SERVFAIL, 0); /* a loop */
    }
    if (query->links == QUERY_CHAIN_MAX)
        return send_failure(turn, RCODE_SERVFAIL, 0);
    query->ask.question.name = next;
    return QUERY_LOOK;
}

/* Phase two over the newest link. */
static enum query_wish judge_link(struct turn *turn) {
    struct query *query = turn->query;
    unsigned cnames;
    switch (gate_answer(turn->env, query, query->link[query->links - 1], query->links == 1, &cnames)) {
    case GATE_DECIDED:
        query->kept_links = query->links;
        query->kept_cnames = (uint8_t)cnames;
        if ((respects_dnssec(query) && any_signed(query)) || points_to_itself(query)) {
            query->policy_over = true;
            return go_on(turn);
        }
        enum query_wish wish = apply(turn);
        return wish == QUERY_LOOK && query->step != STEP_TARGET ? go_on(turn) : wish;
    case GATE_OVER:
        query->policy_over = true;
        return go_on(turn);
    default:
        return go_on(turn);
    }
}

/* The decision of phase one waited for this: is the real answer signed? */
static enum query_wish judge_signed(struct turn *turn) {
    struct query *query = turn->query;
    query->step = STEP_ANSWER;
    if (any_signed(query)) {
        query->policy_over = true;
        return go_on(turn);
    }
    /* A cname's target takes the truth's place among the links; a truncate over TCP asks for the truth again, from the cache. */
    drop_links(query);
    query->ask.question = query->message->question;
    return apply(turn);
}

/* Takes an answer (and its reference) as the next link. */
static enum query_wish take(struct turn *turn, struct answer *answer, bool stale) {
    struct query *query = turn->query;
    query->link_stale[query->links] = stale;
    query->link[query->links++] = answer;
    if (query->step == STEP_SIGNED)
        return judge_signed(turn);
    if (answer->flags & ANSWER_FAILURE)
        return send_failure(turn, answer->rcode, answer->ede);
    return query->step == STEP_TARGET || query->policy_over ? go_on(turn) : judge_link(turn);
}

static void wish_refresh(struct turn *turn) {
    turn->env->refresh = true;
    turn->env->refresh_question = turn->query->ask.question;
}

/* What the cache said of ask.question: takes it, or waits for upstream. */
static enum query_wish consider(struct turn *turn, struct answer *answer, enum cache_state state) {
    struct query *query = turn->query;
    struct query_env *env = turn->env;
    if (state == CACHE_FRESH || state == CACHE_PREFETCH) {
        if (query->links == 0)
            stat_add(env->stats, STAT_CACHE_HITS, 1);
        if (state == CACHE_PREFETCH && query->view->config->cache.prefetch) {
            stat_add(env->stats, STAT_PREFETCHES, 1);
            wish_refresh(turn);
        }
        return take(turn, answer, false);
    }
    if (state == CACHE_STALE && env->upstream && !upstream_shared_hopeful(env->upstream, &query->ask.question)) {
        wish_refresh(turn);
        return take(turn, answer, true);
    }
    if (query->links == 0)
        stat_add(env->stats, STAT_CACHE_MISSES, 1);
    query->deadline_ms = 0;
    if (state == CACHE_STALE) {
        query->stale = answer;
        query->deadline_ms = env->now_ms + QUERY_STALE_MS;
    }
    uint64_t end = query->began_ms + QUERY_TOTAL_MS;
    if (query->links > 0 && (query->deadline_ms == 0 || query->deadline_ms > end))
        query->deadline_ms = end > env->now_ms ? end : env->now_ms + 1;
    return QUERY_ASK;
}

static struct cache_key cache_key_of(const struct question *question, const struct name_key *key) {
    return (struct cache_key){
        .hash = key->hash[key->labels],
        .name = key->wire,
        .length = key->length,
        .dnssec_ok = question->dnssec_ok,
        .checking_disabled = question->checking_disabled,
        .type = question->type,
    };
}

static struct answer *look(const struct query_env *env, const struct view *view, const struct cache_key *cached,
                           enum cache_state *state) {
    return cache_get(env->cache, cached, now_s(env), view->config->cache.serve_stale, state);
}

/* What is served locally of a name that a chain or a rule leads to, in the form of an answer; NULL if it isn't (or without memory:
 * then it is asked for, as any name). */
static struct answer *local_answer(const struct turn *turn, const struct question *question) {
    const struct config *config = turn->query->view->config;
    const struct answer_limits limits = {.max_ttl = LOCAL_TTL, .max_negative_ttl = LOCAL_TTL};
    uint8_t octets[LOCAL_ANSWER_MAX];
    struct answer *answer = NULL;
    struct wire_out out;
    struct local local;
    if (!local_find(config, &question->name, question->type, &local))
        return NULL;
    wire_out_init(&out, octets, sizeof octets, 0);
    wire_put16(&out, 0);
    wire_put16(&out, FLAG_QR | local.rcode);
    wire_put16(&out, 1);
    for (unsigned counts = 3; counts > 0; counts--)
        wire_put16(&out, 0);
    wire_put(&out, question->name.wire, question->name.length);
    wire_put16(&out, question->type);
    wire_put16(&out, CLASS_IN);
    wire_set16(octets + (local_write(&local, &question->name, &out) ? 6 : 8), 1);
    return answer_from_message(&answer, question, octets, out.at, &limits, now_s(turn->env)) == 0 ? answer : NULL;
}

/* Follows the chain through the cache until there is something for the worker to do. The query's own name isn't served locally when
 * it comes here. */
static enum query_wish run(struct turn *turn, enum query_wish wish) {
    struct query *query = turn->query;
    while (wish == QUERY_LOOK) {
        struct name_key key;
        enum cache_state state;
        const struct question *question = &query->ask.question;
        struct answer *answer = local_answer(turn, question);
        if (answer) {
            wish = take(turn, answer, false);
            continue;
        }
        name_key_init(&key, question->name.wire, question->name.length, query->view->seed);
        const struct cache_key cached = cache_key_of(question, &key);
        answer = look(turn->env, query->view, &cached, &state);
        wish = consider(turn, answer, state);
    }
    return wish;
}

/* --- the way in --- */

static enum query_wish send_fault(struct turn *turn, enum message_fault fault) {
    static const uint8_t rcodes[] = {
        [MESSAGE_FORMERR] = RCODE_FORMERR,
        [MESSAGE_NOTIMP] = RCODE_NOTIMP,
        [MESSAGE_BADVERS] = RCODE_BADVERS,
        [MESSAGE_REFUSED] = RCODE_REFUSED,
    };
    if (fault == MESSAGE_DROP || fault == MESSAGE_FORMERR)
        stat_add(turn->env->stats, STAT_BAD_PACKETS, 1);
    return fault == MESSAGE_DROP ? QUERY_DROP : send_reply(turn, reply_empty(&turn->reply, rcodes[fault], 0));
}

/* Before the cache is asked in whatever way. */
static void make_cache_key(struct arrival *arrival) {
    arrival->cached = cache_key_of(&arrival->message.question, &arrival->key);
}

static void look_up_arrival(const struct query_env *env, struct arrival *arrival) {
    arrival->answer = look(env, env->view, &arrival->cached, &arrival->state);
    arrival->looked_up = true;
}

/* Policy first: an operator may list names that are served locally, too. Then what the cache says. */
static enum query_wish begin(struct turn *turn, struct arrival *arrival) {
    struct query *query = turn->query;
    const struct question *question = &query->message->question;
    enum query_wish wish = QUERY_LOOK;
    enum gate gate = gate_query(turn->env, query, arrival);
    query->policy_over = gate == GATE_OVER;
    if (gate == GATE_DECIDED && points_to_itself(query)) {
        query->policy_over = true;
    } else if (gate == GATE_DECIDED) {
        if (!respects_dnssec(query))
            wish = apply(turn);
        else
            query->step = STEP_SIGNED;
    }
    if (wish != QUERY_LOOK || query->step == STEP_TARGET) {
        if (arrival->answer)
            answer_unref(arrival->answer);
        return wish == QUERY_LOOK ? run(turn, wish) : wish;
    }
    struct local local;
    if (local_find(query->view->config, &question->name, question->type, &local)) {
        if (arrival->answer)
            answer_unref(arrival->answer);
        if (query->step == STEP_SIGNED) { /* local data isn't signed */
            query->step = STEP_ANSWER;
            wish = apply(turn);
        }
        if (wish != QUERY_LOOK || query->step == STEP_TARGET)
            return run(turn, wish);
        stat_add(turn->env->stats, STAT_LOCAL, 1);
        return send_reply(turn, reply_local(&turn->reply, &local));
    }
    if (!arrival->looked_up) {
        make_cache_key(arrival);
        look_up_arrival(turn->env, arrival);
    }
    question_copy(&query->ask.question, question);
    return run(turn, consider(turn, arrival->answer, arrival->state));
}

/* The query will wait: what it needs must outlive packet and arrival. */
static void keep(struct query *query) {
    message_copy(&query->kept, query->message);
    query->message = &query->kept;
    memcpy(query->head, query->packet, (size_t)WIRE_HEADER + query->kept.question_length);
    query->packet = query->head;
    query->view->pins++;
    query->pinned = true;
}

/* True if neither phase of policy would match anything: what the answer remembers of it. */
static bool known_blank(const struct view *view, const struct answer *answer) {
    return atomic_load_explicit(&answer->blank, memory_order_relaxed) == view->generation;
}

static enum query_wish answer_or_judge(struct turn *turn, struct arrival *arrival) {
    struct query_env *env = turn->env;
    struct query *query = turn->query;
    struct answer *answer = arrival->answer;
    if (LIKELY(answer && arrival->state == CACHE_FRESH && !(answer->flags & (ANSWER_FAILURE | ANSWER_PARTIAL)) &&
               known_blank(query->view, answer) && !match_has_client_rules(query->view->snapshot))) {
        stat_add(env->stats, STAT_CACHE_HITS, 1);
        gate_log_asked(env, query, arrival);
        enum query_wish wish = send_reply(turn, reply_answer(&turn->reply, answer, age_of(env, answer), false));
        answer_unref(answer);
        return wish;
    }
    return begin(turn, arrival);
}

static void read_arrival(const struct query_env *env, struct arrival *arrival) {
    arrival->answer = NULL;
    arrival->asked = 0;
    arrival->looked_up = arrival->foreseen = arrival->listed = false;
    arrival->fault = message_parse(&arrival->message, arrival->packet, arrival->length);
    const struct name *name = &arrival->message.question.name;
    if (arrival->fault == MESSAGE_OK)
        name_key_init(&arrival->key, name->wire, name->length, env->view->seed);
}

/* --- packets that came together: step by step, all of them in each; every loop asks for the memory that the next one reads --- */

static void aim_at_cache(const struct query_env *env, struct arrival *arrival) {
    make_cache_key(arrival);
    cache_prefetch_shard(env->cache, &arrival->cached);
}

static void foresee(const struct query_env *env, struct arrival *arrival) {
    arrival->listed = match_is_likely(env->view->snapshot, &arrival->key, &arrival->ahead);
    arrival->foreseen = true;
}

static void ask_for_rules(const struct query_env *env, const struct arrival *arrival) {
    if (arrival->listed)
        match_prefetch_rules(env->view->snapshot, &arrival->key, &arrival->ahead);
}

/* Asks the cache about all that aren't likely listed. Returns how many it had. */
static unsigned look_up_together(const struct query_env *env, struct arrival *arrivals, const struct arrival *end) {
    unsigned found = 0;
    for (struct arrival *arrival = arrivals; arrival < end; arrival++) {
        if (arrival->fault == MESSAGE_OK && !arrival->listed)
            cache_prefetch(env->cache, &arrival->cached);
    }
    for (struct arrival *arrival = arrivals; arrival < end && env->mostly_cached; arrival++) {
        if (arrival->fault == MESSAGE_OK)
            cache_prefetch_answer(env->cache, &arrival->cached);
    }
    for (struct arrival *arrival = arrivals; arrival < end; arrival++) {
        if (arrival->fault != MESSAGE_OK || arrival->listed)
            continue;
        look_up_arrival(env, arrival);
        found += arrival->answer != NULL;
        if (!arrival->answer && !arrival->foreseen)
            match_prefetch(env->view->snapshot, &arrival->key, &arrival->ahead);
        gate_prefetch_asked(env, arrival);
    }
    return found;
}

static void ahead_together(struct query_env *env, struct arrival *arrivals, unsigned count) {
    const struct arrival *end = arrivals + count;
    bool cache_first = env->mostly_cached;
    unsigned behind = count;
    for (struct arrival *arrival = arrivals; arrival < end; arrival++) {
        read_arrival(env, arrival);
        arrival->behind = --behind;
        if (arrival->fault != MESSAGE_OK)
            continue;
        if (cache_first)
            aim_at_cache(env, arrival);
        else
            match_prefetch(env->view->snapshot, &arrival->key, &arrival->ahead);
    }
    for (struct arrival *arrival = arrivals; arrival < end && !cache_first; arrival++) {
        if (arrival->fault != MESSAGE_OK)
            continue;
        foresee(env, arrival);
        if (!arrival->listed)
            aim_at_cache(env, arrival);
    }
    unsigned found = look_up_together(env, arrivals, end);
    for (struct arrival *arrival = arrivals; arrival < end && cache_first; arrival++) {
        if (arrival->fault == MESSAGE_OK && !arrival->answer)
            foresee(env, arrival);
    }
    for (unsigned i = 0; i < RULES_AHEAD && i < count; i++)
        ask_for_rules(env, &arrivals[i]);
    env->mostly_cached = 2 * found > count;
}

void query_ahead(struct query_env *env, struct arrival *arrivals, unsigned count) {
    if (count != 1) {
        ahead_together(env, arrivals, count);
        return;
    }
    read_arrival(env, arrivals);
    arrivals->behind = 0;
    if (LIKELY(arrivals->fault == MESSAGE_OK)) {
        make_cache_key(arrivals);
        look_up_arrival(env, arrivals);
    }
}

enum query_wish query_admit(struct query_env *env, struct arrival *arrival, struct query *query, uint8_t *out, size_t *out_length) {
    query->client = *arrival->client;
    query->view = env->view;
    query->message = &arrival->message;
    query->packet = arrival->packet;
    query->pinned = query->policy_over = query->blank = query->hit = false;
    query->step = STEP_ANSWER;
    query->links = query->kept_links = query->kept_cnames = query->monitored = 0;
    query->stale = NULL;
    query->began_ms = env->now_ms;
    query->via.length = 0;
    env->refresh = false;
    stat_add(env->stats, is_tcp(query) ? STAT_QUERIES_TCP : STAT_QUERIES_UDP, 1);
    if (arrival->behind >= RULES_AHEAD)
        ask_for_rules(env, arrival + RULES_AHEAD);
    struct turn turn;
    turn_init(&turn, env, query, out);
    bool whole = arrival->fault == MESSAGE_OK;
    if (query->view->config->dnstap.queries && gate_taps(query->view->config) && whole)
        gate_tap(env, query, arrival->packet, arrival->length);
    enum query_wish wish = LIKELY(whole) ? answer_or_judge(&turn, arrival) : send_fault(&turn, arrival->fault);
    if (wish == QUERY_ASK) {
        keep(query);
    } else if (query->links > 0) {
        drop_links(query);
    }
    *out_length = turn.length;
    return wish;
}

enum query_wish query_begin(struct query_env *env, const struct client *client, const uint8_t *packet, size_t length,
                            struct query *query, uint8_t *out, size_t *out_length) {
    struct arrival arrival; /* not zeroed: a kilobyte, of which a few lines are used */
    arrival.client = client;
    arrival.packet = packet;
    arrival.length = length;
    query_ahead(env, &arrival, 1);
    return query_admit(env, &arrival, query, out, out_length);
}

enum query_wish query_answered(struct query_env *env, struct query *query, struct answer *answer, uint8_t *out,
                               size_t *out_length) {
    struct turn turn;
    struct answer *stale = query->stale;
    query->stale = NULL;
    env->refresh = false;
    turn_init(&turn, env, query, out);
    bool use_stale = stale && (answer->flags & ANSWER_FAILURE);
    if (stale && !use_stale)
        answer_unref(stale);
    enum query_wish wish = run(&turn, take(&turn, use_stale ? stale : answer_ref(answer), use_stale));
    *out_length = turn.length;
    return wish;
}

enum query_wish query_deadline(struct query_env *env, struct query *query, uint8_t *out, size_t *out_length) {
    struct turn turn;
    enum query_wish wish = QUERY_ASK;
    env->refresh = false;
    turn_init(&turn, env, query, out);
    for (struct answer *stale; wish == QUERY_ASK && (stale = query->stale) != NULL;) { /* a chain may be stale link by link */
        query->stale = NULL;
        wish = run(&turn, take(&turn, stale, true));
    }
    if (wish == QUERY_ASK)
        wish = send_failure(&turn, RCODE_SERVFAIL, REPLY_EDE_UNREACHABLE);
    *out_length = turn.length;
    return wish;
}

enum query_wish query_full(struct query_env *env, struct query *query, uint8_t *out, size_t *out_length) {
    return query->stale ? query_deadline(env, query, out, out_length) : QUERY_DROP;
}

void query_done(struct query *query) {
    drop_links(query);
    if (query->stale)
        answer_unref(query->stale);
    query->stale = NULL;
    if (query->pinned)
        query->view->pins--;
    query->pinned = false;
}
