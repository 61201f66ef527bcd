/* feeds/build.c: see build.h. One reason to exist: stores + configuration -> ruleset -> snapshot, in one place. */
#include "feeds/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/guard.h"
#include "feeds/store.h"

struct build *build_new(struct config *config, const char *snapshot, uint64_t seed) {
    struct build *build = calloc(1, sizeof *build);
    if (build == NULL)
        return NULL;
    build->config = config_ref(config);
    build->snapshot = strdup(snapshot);
    build->seed = seed;
    build->zones = calloc(config->zone_count + 1, sizeof *build->zones);
    if (build->snapshot == NULL || build->zones == NULL) {
        build_free(build);
        return NULL;
    }
    build->zone_count = config->zone_count;
    for (size_t i = 0; i < build->zone_count; i++) {
        build->zones[i].zone = &config->zones[i];
        build->zones[i].ages_at = INT64_MAX;
    }
    return build;
}

int build_add_part(struct build_part **parts, size_t *count, const char *store, const char *source, enum format format) {
    struct build_part part = {.store = strdup(store), .source = strdup(source), .format = format};
    struct build_part *larger = realloc(*parts, (*count + 1) * sizeof *larger);
    if (larger != NULL)
        *parts = larger;
    if (larger == NULL || part.store == NULL || part.source == NULL) {
        free(part.store);
        free(part.source);
        return -ENOMEM;
    }
    larger[(*count)++] = part;
    return 0;
}

static void free_parts(struct build_part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(parts[i].store);
        free(parts[i].source);
    }
    free(parts);
}

void build_forget(struct build_zone *zone) {
    for (size_t i = 0; i < zone->refusal_count; i++) {
        free(zone->refusals[i].rule);
        free(zone->refusals[i].path);
        free(zone->refusals[i].why);
        free(zone->refusals[i].source);
    }
    free(zone->refusals);
    free(zone->expires);
}

void build_free(struct build *build) {
    if (build == NULL)
        return;
    for (size_t i = 0; i < build->zone_count; i++) {
        struct build_zone *zone = &build->zones[i];
        free_parts(zone->parts, zone->part_count);
        build_forget(zone);
    }
    free_parts(build->never, build->never_count);
    free(build->zones);
    free(build->snapshot);
    config_unref(build->config);
    free(build);
}

struct run {
    struct build *build;
    struct ruleset *rules;
    struct guard *guard;
};

static struct refusal *refuse(struct run *run, struct build_zone *zone, const char *rule, const char *why, const char *source,
                              uint32_t line) {
    zone->counts.rejected++;
    if (zone->refusal_count >= BUILD_REFUSALS_KEPT && !run->build->all_refusals)
        return NULL;
    if ((zone->refusal_count & (zone->refusal_count - 1)) == 0) {
        size_t room = zone->refusal_count == 0 ? 1 : zone->refusal_count * 2;
        struct refusal *larger = realloc(zone->refusals, room * sizeof *larger);
        if (larger == NULL)
            return NULL;
        zone->refusals = larger;
    }
    struct refusal *refusal = &zone->refusals[zone->refusal_count++];
    *refusal = (struct refusal){.rule = strdup(rule), .why = strdup(why), .source = strdup(source), .line = line};
    return refusal;
}

static void rule_text(const struct rule *rule, char text[NAME_TEXT_MAX + 2]) {
    if (rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER) {
        size_t star = rule->match == MATCH_BELOW ? 2 : 0;
        memcpy(text, "*.", star);
        name_to_text(rule->name.wire, text + star);
    } else {
        prefix_to_text(&rule->prefix, text);
    }
}

static void refuse_rule(struct run *run, struct build_zone *zone, const struct indicator *indicator, const char *why, bool faulty) {
    char text[NAME_TEXT_MAX + 2];
    const struct rule *rule = &indicator->rule;
    rule_text(rule, text);
    struct refusal *refusal = refuse(run, zone, text, why, rule->source, rule->line);
    if (refusal == NULL)
        return;
    refusal->faulty = faulty;
    refusal->column = indicator->column;
    refusal->path = indicator->path != NULL ? strdup(indicator->path) : NULL;
}

/* Remembers when a rule in force runs out; the ruleset doesn't watch later times than 32 bits hold. */
static int note_expiry(struct build_zone *zone, int64_t expires) {
    if (expires <= 0 || expires >= UINT32_MAX)
        return 0;
    if ((zone->expires_count & (zone->expires_count - 1)) == 0) {
        size_t room = zone->expires_count == 0 ? 1 : zone->expires_count * 2;
        uint32_t *larger = realloc(zone->expires, room * sizeof *larger);
        if (larger == NULL)
            return -ENOMEM;
        zone->expires = larger;
    }
    zone->expires[zone->expires_count++] = (uint32_t)expires;
    return 0;
}

uint64_t build_run_out(const struct build_zone *zone, int64_t now) {
    uint64_t count = 0;
    for (size_t i = 0; i < zone->expires_count; i++)
        count += zone->expires[i] <= now;
    return count;
}

static int add_rule(struct run *run, struct build_zone *zone, int index, const struct selection *selection,
                    struct store_record *record) {
    struct rule *rule = &record->indicator.rule;
    if (record->indicator.revoked)
        return 0;
    int64_t ages_at = select_ages_at(selection, &record->indicator, record->carried);
    enum selected selected = select_rule(selection, &record->indicator, record->carried);
    if (selected == SELECT_INCOMPLETE)
        refuse_rule(run, zone, &record->indicator,
                    rule->action == ACTION_CNAME ? "an action \"cname\" without a target" : "an action \"local\" without records",
                    true);
    else if (selected == SELECT_EXPIRED)
        zone->counts.expired++;
    else if (selected != SELECT_TAKEN)
        zone->counts.left[selected]++;
    if (selected != SELECT_TAKEN)
        return 0;
    if (rule->trigger == TRIGGER_NAMESERVER || rule->trigger == TRIGGER_NAMESERVER_IP) {
        zone->counts.not_enforced++;
        return 0;
    }
    const char *why = guard_refuses(run->guard, rule);
    bool guarded = why != NULL;
    int error = guarded ? -EINVAL : ruleset_add(run->rules, index, rule, &why);
    if (error == -EINVAL) {
        refuse_rule(run, zone, &record->indicator, why != NULL ? why : "cannot be compiled", !guarded);
        return 0;
    }
    if (error == 0) {
        zone->counts.rules++;
        if (ages_at < zone->ages_at)
            zone->ages_at = ages_at;
        error = note_expiry(zone, rule->expires);
    }
    return error;
}

static struct selection selection_of(const struct build *build, const struct build_zone *zone, enum format format) {
    return (struct selection){.config = build->config,
                              .zone = zone->zone,
                              .format = format,
                              .feed = zone->feed,
                              .window = zone->window,
                              .now = build->now,
                              .fetched_at = zone->fetched_at,
                              .body_at = zone->body_at};
}

/* A store that is damaged costs what comes after the damage, said as a refusal; the next look at its source makes it anew. */
static int add_part(struct run *run, struct build_zone *zone, int index, const struct build_part *part) {
    struct store_reader *reader;
    int item = store_open(&reader, part->store);
    if (item != 0) {
        refuse(run, zone, part->source, "the saved copy cannot be read", part->source, 0);
        return 0;
    }
    struct selection selection = selection_of(run->build, zone, part->format);
    selection.head = store_head(reader);
    struct store_counts counts = store_counts(reader);
    zone->counts.ignored += counts.ignored;
    struct store_record record;
    uint64_t faults = 0;
    int error = 0;
    while (error == 0 && (item = store_next(reader, &record)) > STORE_END) {
        if (item == STORE_FAULT) {
            char place[32];
            snprintf(place, sizeof place, "line %u", record.line);
            faults++;
            refuse(run, zone, record.path[0] != '\0' ? record.path : place, record.message, part->source, record.line);
        } else {
            record.indicator.rule.source = part->source;
            error = add_rule(run, zone, index, &selection, &record);
        }
    }
    zone->counts.rejected += counts.faults - faults;
    if (item < 0)
        refuse(run, zone, part->source, "the saved copy is damaged", part->source, 0);
    store_close(reader);
    return error == -ENOMEM ? error : 0;
}

/* A zone has one mode: the configuration's, else that of its file's head, unless the file is one of many. */
static enum mode mode_of(const struct build_zone *zone) {
    struct store_reader *reader;
    enum mode mode = zone->zone->mode >= 0 ? (enum mode)zone->zone->mode : MODE_ENFORCE;
    if (zone->zone->mode >= 0 || zone->part_count != 1 || store_open(&reader, zone->parts[0].store) != 0)
        return mode;
    const struct format_head *head = store_head(reader);
    if (head != NULL && head->mode >= 0)
        mode = (enum mode)head->mode;
    store_close(reader);
    return mode;
}

static int add_zone(struct run *run, struct build_zone *zone) {
    zone->counts.mode = mode_of(zone);
    struct ruleset_zone head = {.name = zone->zone->name,
                                .mode = zone->counts.mode,
                                .clients = zone->zone->clients,
                                .client_count = zone->zone->client_count};
    int index = ruleset_add_zone(run->rules, &head), error = index < 0 ? index : 0;
    /* "clients": [] names nobody, so the zone holds for nobody */
    if (zone->zone->clients_set && zone->zone->client_count == 0)
        return error;
    for (size_t i = 0; i < zone->part_count && error == 0; i++)
        error = add_part(run, zone, index, &zone->parts[i]);
    return error;
}

/* never_block files: what they name is protected, whatever action they would have as policy. */
static int add_never(struct run *run, const struct build_part *part) {
    struct store_reader *reader;
    struct store_record record;
    if (store_open(&reader, part->store) != 0)
        return 0;
    int error = 0;
    while (error == 0 && store_next(reader, &record) > STORE_END) {
        const struct rule *rule = &record.indicator.rule;
        if (rule->trigger == TRIGGER_DOMAIN)
            error = guard_add_name(run->guard, &rule->name, rule->match == MATCH_EXACT, GUARD_NEVER_BLOCK);
        else if (rule->trigger == TRIGGER_IP)
            error = guard_add_prefix(run->guard, &rule->prefix, GUARD_NEVER_BLOCK);
    }
    store_close(reader);
    return error;
}

static int fill(struct run *run) {
    struct build *build = run->build;
    guard_load_suffixes(run->guard, NULL);
    int error = guard_add_config(run->guard, build->config);
    for (size_t i = 0; i < build->never_count && error == 0; i++)
        error = add_never(run, &build->never[i]);
    for (size_t i = 0; i < build->zone_count && error == 0; i++)
        error = add_zone(run, &build->zones[i]);
    return error == 0 ? guard_protect(run->guard, run->rules) : error;
}

/* What was added is more than what is in force: a name that a feed lists twice is one rule. */
static void count_zone(void *context, uint32_t zone, uint64_t rules) {
    struct build *build = context;
    if (zone < build->zone_count)
        build->zones[zone].counts.rules = rules;
}

void build_run(struct build *build) {
    const struct config *config = build->config;
    struct ruleset_answers answers = {.loopback = config->policy.loopback,
                                      .has_ipv4 = config->policy.has_ipv4,
                                      .has_ipv6 = config->policy.has_ipv6,
                                      .sinkhole_ipv4 = config->policy.sinkhole_ipv4,
                                      .sinkhole_ipv6 = config->policy.sinkhole_ipv6};
    struct run run = {.build = build, .rules = ruleset_new(&answers), .guard = guard_new(build->seed)};
    build->error = run.rules == NULL || run.guard == NULL ? -ENOMEM : fill(&run);
    if (build->error != 0)
        snprintf(build->published.why, sizeof build->published.why, "cannot build the policy: %s", strerror(-build->error));
    guard_free(run.guard);
    if (build->error == 0) {
        struct compile_options options = {.seed = build->seed};
        config_policy_digest(config, options.digest);
        build->error = publish_snapshot(build->snapshot, run.rules, &options, &build->published, count_zone, build);
    }
    ruleset_free(run.rules);
}

int build_count(const struct selection *selection, const char *store, uint64_t *count) {
    struct store_reader *reader;
    struct store_record record;
    int item = store_open(&reader, store);
    if (item != 0)
        return item;
    struct selection choice = *selection;
    choice.head = store_head(reader);
    uint64_t taken = 0;
    while ((item = store_next(reader, &record)) > STORE_END) {
        if (item != STORE_RULE || record.indicator.revoked)
            continue;
        enum selected selected = select_rule(&choice, &record.indicator, record.carried);
        taken += selected == SELECT_TAKEN || selected == SELECT_EXPIRED;
    }
    store_close(reader);
    if (item == STORE_END)
        *count = taken;
    return item;
}
