/* hits/card.c: what hits say of their rules, put together once for many. */
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "hits/card.h"
#include "hits/line.h"

/* What was put together of late is remembered by what in which snapshot it was made of: one place each, the latest stays. Snapshots
 * are told apart by generation, which is never 0, so an unused place is nobody's. */
enum {
    PROFILES_LOG = 10,
    DETAILS_LOG = 12,
    ANSWERS_LOG = 8,
    PREFIXES_LOG = 8,
    CARD_BUCKETS = 64,
};

struct known_profile {
    uint32_t generation, profile;
    uint8_t trigger, mode;
    uint32_t ttl, spec;
    const struct card *card;
};

struct known_details { /* of rules without a reference */
    uint32_t generation, ttl;
    uint64_t label;
    struct details details;
};

struct known_answer {
    uint32_t generation, spec;
    uint16_t qtype;
    struct phrase *answer;
};

struct known_prefix {
    uint32_t generation, rule;
    struct phrase *text;
};

struct cards {
    struct zone_counts *counts;
    struct card *buckets[CARD_BUCKETS];
    struct known_profile profiles[1 << PROFILES_LOG];
    struct known_details details[1 << DETAILS_LOG];
    struct known_answer answers[1 << ANSWERS_LOG];
    struct known_prefix prefixes[1 << PREFIXES_LOG];
    struct text text;      /* what is being put together */
    struct rule_info info; /* what it is made of */
};

struct cards *cards_new(struct zone_counts *counts) {
    struct cards *cards = calloc(1, sizeof *cards);
    if (cards != NULL)
        cards->counts = counts;
    return cards;
}

static void card_free(struct card *card) {
    if (card == NULL)
        return;
    phrase_unref(card->front);
    phrase_unref(card->back);
    free(card);
}

void cards_free(struct cards *cards) {
    if (cards == NULL)
        return;
    for (size_t i = 0; i < CARD_BUCKETS; i++) {
        for (struct card *card = cards->buckets[i], *next; card != NULL; card = next) {
            next = card->next;
            card_free(card);
        }
    }
    for (size_t i = 0; i < 1 << DETAILS_LOG; i++)
        phrase_unref(cards->details[i].details.text);
    for (size_t i = 0; i < 1 << ANSWERS_LOG; i++)
        phrase_unref(cards->answers[i].answer);
    for (size_t i = 0; i < 1 << PREFIXES_LOG; i++)
        phrase_unref(cards->prefixes[i].text);
    text_free(&cards->text);
    free(cards);
}

/* Where among 2^log places something that two numbers tell apart is remembered. */
static size_t place_of(uint64_t a, uint64_t b, unsigned log) {
    return (size_t)((a * 0x9e3779b97f4a7c15u ^ b) * 0xd6e8feb86659fd93u >> (64 - log));
}

static void begin(struct cards *cards) {
    if (cards->text.failed)
        text_free(&cards->text);
    cards->text.length = 0;
}

/* What was put together, as a phrase; NULL: no memory. */
static struct phrase *end(const struct cards *cards) {
    return cards->text.failed ? NULL : phrase_new(cards->text.data, cards->text.length);
}

static void put_member(struct text *text, const char *name, const char *value) {
    text_string(text, name);
    text_json(text, value, strlen(value));
}

/* --- cards --- */

static struct card *new_card(struct cards *cards, const struct rule_info *info, enum mode mode) {
    struct card *card = calloc(1, sizeof *card);
    struct text *text = &cards->text;
    if (card == NULL)
        return NULL;
    begin(cards);
    put_member(text, "\"zone\":", info->zone_name);
    text_string(text, ",\"trigger\":\"");
    text_string(text, trigger_name(info->trigger)); /* which needs no escapes, as action and mode */
    text_string(text, "\",\"rule\":");
    card->front = end(cards);
    begin(cards);
    text_string(text, ",\"action\":\"");
    text_string(text, action_name(info->action));
    text_string(text, "\",\"mode\":\"");
    text_string(text, mode_name(mode));
    text_string(text, "\"");
    card->back = end(cards);
    card->action = info->action;
    card->below = info->trigger == TRIGGER_DOMAIN && info->match == MATCH_BELOW;
    if (card->front != NULL && card->back != NULL)
        return card;
    card_free(card);
    return NULL;
}

static bool same_phrase(const struct phrase *a, const struct phrase *b) {
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* The card with these words, old or new. */
static const struct card *card_of(struct cards *cards, const struct rule_info *info, enum mode mode) {
    struct card *card = new_card(cards, info, mode);
    if (card == NULL)
        return NULL;
    struct card **bucket = &cards->buckets[(card->front->length + card->back->length * 7) % CARD_BUCKETS];
    for (struct card *old = *bucket; old != NULL; old = old->next) {
        if (old->below == card->below && same_phrase(old->front, card->front) && same_phrase(old->back, card->back)) {
            card_free(card);
            return old;
        }
    }
    if (cards->counts != NULL)
        card->zone_hits = zone_counts_find(cards->counts, info->zone_name, info->action);
    card->next = *bucket;
    *bucket = card;
    return card;
}

/* What is known of a hit record's profile; NULL: no memory, or a damaged snapshot. */
static const struct known_profile *find_profile(struct cards *cards, const struct record *record) {
    uint32_t generation = snapshot_generation(record->snapshot);
    uint64_t kind = (uint64_t)record->trigger << 2 | record->mode;
    struct known_profile *known = &cards->profiles[place_of((uint64_t)generation << 32 | record->profile, kind, PROFILES_LOG)];
    if (known->generation == generation && known->profile == record->profile && known->trigger == record->trigger &&
        known->mode == record->mode)
        return known;
    struct rule_info *info = &cards->info;
    uint32_t spec;
    info->trigger = (enum trigger)record->trigger;
    if (snapshot_profile(record->snapshot, record->profile, &spec, info) != 0)
        return NULL;
    const struct card *card = card_of(cards, info, (enum mode)record->mode);
    if (card == NULL)
        return NULL;
    *known = (struct known_profile){.generation = generation,
                                    .profile = record->profile,
                                    .trigger = record->trigger,
                                    .mode = record->mode,
                                    .ttl = info->ttl,
                                    .spec = spec,
                                    .card = card};
    return known;
}

const struct card *cards_find(struct cards *cards, const struct record *record) {
    const struct known_profile *known = find_profile(cards, record);
    return known == NULL ? NULL : known->card;
}

/* --- rules --- */

void card_put_rule(struct text *text, const struct card *card, const uint8_t *owner) {
    if (card->below)
        text_json_below(text, owner);
    else
        text_json_name(text, owner);
}

static struct phrase *rule_phrase(struct cards *cards, const struct rule_info *info) {
    begin(cards);
    text_json(&cards->text, info->text, strlen(info->text));
    return end(cards);
}

struct phrase *cards_prefix(struct cards *cards, const struct record *record) {
    uint32_t generation = snapshot_generation(record->snapshot);
    struct known_prefix *known = &cards->prefixes[place_of(generation, record->rule, PREFIXES_LOG)];
    if (known->generation != generation || known->rule != record->rule) {
        struct phrase *text =
            snapshot_rule(record->snapshot, record->rule, &cards->info) == 0 ? rule_phrase(cards, &cards->info) : NULL;
        if (text == NULL)
            return NULL;
        phrase_unref(known->text);
        *known = (struct known_prefix){generation, record->rule, text};
    }
    return phrase_ref(known->text);
}

/* --- details --- */

/* Puts together all but the reference. */
static void put_details(struct text *text, const struct rule_info *info, uint32_t ttl) {
    text_string(text, ",\"ttl\":");
    text_number(text, ttl);
    if (info->family != NULL)
        put_member(text, ",\"family\":", info->family);
    if (info->confidence != RULE_CONFIDENCE_UNSET) {
        text_string(text, ",\"confidence\":");
        text_number(text, info->confidence);
    }
}

/* The details of cards->info but for the reference; NULL: no memory. */
static const struct details *find_details(struct cards *cards, uint32_t generation, uint64_t label, uint32_t ttl) {
    const struct rule_info *info = &cards->info;
    struct known_details *known = &cards->details[place_of((uint64_t)generation << 32 | ttl, label, DETAILS_LOG)];
    if (known->generation == generation && known->label == label && known->ttl == ttl)
        return &known->details;
    begin(cards);
    put_details(&cards->text, info, ttl);
    struct phrase *text = end(cards);
    if (text == NULL)
        return NULL;
    phrase_unref(known->details.text);
    *known = (struct known_details){.generation = generation, .label = label, .ttl = ttl, .details.text = text};
    if (cards->counts != NULL && info->family != NULL)
        known->details.family_hits = zone_counts_family(cards->counts, info->family);
    return &known->details;
}

bool cards_details(struct cards *cards, const struct record *record, struct details *details) {
    const struct known_profile *profile = find_profile(cards, record);
    struct rule_info *info = &cards->info;
    uint64_t label;
    if (profile == NULL || snapshot_notes(record->snapshot, record->rule, &label, info) != 0)
        return false;
    const struct details *common = find_details(cards, snapshot_generation(record->snapshot), label, profile->ttl);
    if (common == NULL)
        return false;
    *details = *common;
    if (info->reference == NULL) {
        phrase_ref(details->text);
        return true;
    }
    begin(cards);
    text_piece(&cards->text, piece_of(common->text));
    put_member(&cards->text, ",\"reference\":", info->reference);
    details->text = end(cards);
    return details->text != NULL;
}

/* --- answers --- */

/* rdata of any type (2 octets of length before it) in presentation form; NULL: unreadable or no memory. The caller frees. */
static char *print_rdata(uint16_t type, const uint8_t *rdlength, size_t length) {
    ldns_rr *rr = ldns_rr_new();
    ldns_buffer *buffer = ldns_buffer_new(512);
    char *printed = NULL;
    if (rr != NULL && buffer != NULL) {
        size_t position = 0;
        ldns_rr_set_type(rr, (ldns_rr_type)type);
        if (ldns_wire2rdf(rr, rdlength, length, &position) == LDNS_STATUS_OK) {
            for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
                if (i > 0)
                    ldns_buffer_printf(buffer, " ");
                ldns_rdf2buffer_str(buffer, ldns_rr_rdf(rr, i));
            }
            printed = ldns_buffer_export2str(buffer);
        }
    }
    ldns_buffer_free(buffer);
    ldns_rr_free(rr);
    return printed;
}

/* Appends the rdata of one record at `at` to a JSON array. Its owner is the pointer 0xC00C (policy/match.h). Returns the record's
 * length, 0 for what isn't one. */
static size_t put_rdata(struct text *text, const uint8_t *at, size_t left) {
    if (left < 12)
        return 0;
    uint16_t type = (uint16_t)(at[2] << 8 | at[3]);
    size_t length = (size_t)(at[10] << 8 | at[11]);
    if (left < 12 + length)
        return 0;
    if (text->length > 1)
        text_put(text, ",", 1);
    if ((type == 1 && length == 4) || (type == 28 && length == 16)) {
        char address[IP_TEXT_MAX];
        struct ip ip = type == 1 ? ip_from_v4(at + 12) : ip_from_v6(at + 12);
        size_t written = ip_to_text(&ip, address);
        text_json(text, address, written);
        return 12 + length;
    }
    char *printed = print_rdata(type, at + 10, 2 + length);
    size_t end = printed == NULL ? 0 : strlen(printed);
    if (end > 1 && printed[end - 1] == '.' && (type == 5 || type == 2 || type == 12))
        end--; /* names in the log have no last dot */
    text_json(text, printed == NULL ? "" : printed, end);
    free(printed);
    return 12 + length;
}

/* The target of a cname rule; one that begins with "*." has the query name put in front. */
static void put_target(struct text *text, const struct record *record, const struct matched *matched) {
    struct name buffer;
    bool wildcard = false;
    const struct name *target = match_cname_target(record->snapshot, matched, &wildcard, &buffer);
    if (target == NULL)
        return;
    size_t front = wildcard ? (size_t)record->qname_length - 1 : 0;
    if (front + target->length > NAME_WIRE_MAX)
        return; /* answered YXDOMAIN */
    uint8_t whole[NAME_WIRE_MAX];
    memcpy(whole, record->names, front);
    memcpy(whole + front, target->wire, target->length);
    text_json_name(text, whole);
}

static struct phrase *make_answer(struct cards *cards, const struct record *record, const struct known_profile *profile) {
    struct matched matched = {.spec = profile->spec};
    struct text *text = &cards->text;
    begin(cards);
    text_put(text, "[", 1);
    if (profile->card->action == ACTION_CNAME) {
        put_target(text, record, &matched);
    } else {
        struct answer_bytes bytes;
        match_answer_bytes(record->snapshot, &matched, record->qtype, &bytes);
        size_t at = 0, step = 1;
        for (unsigned i = 0; i < bytes.ancount && step > 0; i++)
            at += step = put_rdata(text, bytes.bytes + at, (size_t)bytes.length - at);
    }
    text_put(text, "]", 1);
    return text->length == 2 ? NULL : end(cards);
}

struct phrase *cards_answer(struct cards *cards, const struct record *record) {
    const struct known_profile *profile = record->mode == MODE_ENFORCE ? find_profile(cards, record) : NULL;
    if (profile == NULL)
        return NULL;
    if (profile->card->action == ACTION_CNAME)
        return make_answer(cards, record, profile); /* may depend on the query name */
    uint32_t generation = snapshot_generation(record->snapshot);
    struct known_answer *known = &cards->answers[place_of((uint64_t)generation << 32 | profile->spec, record->qtype, ANSWERS_LOG)];
    if (known->generation != generation || known->spec != profile->spec || known->qtype != record->qtype) {
        phrase_unref(known->answer);
        *known = (struct known_answer){generation, profile->spec, record->qtype, make_answer(cards, record, profile)};
    }
    return phrase_ref(known->answer);
}

/* --- by number --- */

void wording_clear(struct wording *wording) {
    phrase_unref(wording->rule);
    phrase_unref(wording->details);
    *wording = (struct wording){0};
}

bool cards_word(struct cards *cards, const struct snapshot *snapshot, uint32_t rule, enum mode mode, struct wording *wording) {
    struct rule_info *info = &cards->info;
    *wording = (struct wording){0};
    if (snapshot_rule(snapshot, rule, info) != 0)
        return false;
    wording->card = card_of(cards, info, mode);
    wording->rule = rule_phrase(cards, info);
    begin(cards);
    put_details(&cards->text, info, info->ttl);
    if (info->reference != NULL)
        put_member(&cards->text, ",\"reference\":", info->reference);
    wording->details = end(cards);
    if (wording->card != NULL && wording->rule != NULL && wording->details != NULL)
        return true;
    wording_clear(wording);
    return false;
}
