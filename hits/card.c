/* hits/card.c: what hits say of their rules, made once a rule instead of once a hit. */
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "hits/card.h"
#include "hits/line.h"

enum {
    /* Powers of two, and as many as windows may be open (writer.c): those hold the cards anyway, and a rule that fell out of its
     * slot costs a look at the snapshot's cold pages for each hit. Neither table is touched before it is used. */
    CARD_SLOTS = 262144,  /* rules of late, by (snapshot, rule, mode) */
    CARD_BUCKETS = 262144 /* of cards by text */
};

/* A rule of late: its card, and its answer to the last question type (most rules are asked for one or two). */
struct slot {
    uint32_t generation; /* of the snapshot; 0 empty */
    uint32_t rule;
    uint32_t spec;
    uint8_t mode;
    bool answered;
    uint16_t qtype;
    struct card *card;
    struct phrase *answer;
};

struct cards {
    struct slot slots[CARD_SLOTS];
    struct card *buckets[CARD_BUCKETS];
};

struct cards *cards_new(void) {
    return calloc(1, sizeof(struct cards));
}

static void slot_clear(struct cards *cards, struct slot *slot) {
    cards_unref(cards, slot->card);
    phrase_unref(slot->answer);
    *slot = (struct slot){0};
}

void cards_free(struct cards *cards) {
    if (cards == NULL)
        return;
    for (size_t i = 0; i < CARD_SLOTS; i++)
        slot_clear(cards, &cards->slots[i]);
    free(cards);
}

struct card *card_ref(struct card *card) {
    card->references++;
    return card;
}

static void card_free(struct card *card) {
    phrase_unref(card->identity);
    phrase_unref(card->details);
    free(card);
}

void cards_unref(struct cards *cards, struct card *card) {
    if (card == NULL || --card->references > 0)
        return;
    struct card **link = &cards->buckets[card->hash & (CARD_BUCKETS - 1)];
    while (*link != card)
        link = &(*link)->next;
    *link = card->next;
    card_free(card);
}

static void put_member(struct text *text, const char *name, const char *value) {
    text_string(text, name);
    text_json(text, value, strlen(value));
}

static struct phrase *identity_phrase(const struct rule_info *info, enum mode mode) {
    struct text text = {0};
    put_member(&text, "\"zone\":", info->zone_name);
    put_member(&text, ",\"trigger\":", trigger_name(info->trigger));
    put_member(&text, ",\"rule\":", info->text);
    put_member(&text, ",\"action\":", action_name(info->action));
    put_member(&text, ",\"mode\":", mode_name(mode));
    struct phrase *phrase = text.failed ? NULL : phrase_new(text.data, text.length);
    text_free(&text);
    return phrase;
}

static struct phrase *details_phrase(const struct rule_info *info) {
    struct text text = {0};
    text_string(&text, ",\"ttl\":");
    text_number(&text, info->ttl);
    if (info->family != NULL)
        put_member(&text, ",\"family\":", info->family);
    if (info->confidence != RULE_CONFIDENCE_UNSET) {
        text_string(&text, ",\"confidence\":");
        text_number(&text, info->confidence);
    }
    if (info->reference != NULL)
        put_member(&text, ",\"reference\":", info->reference);
    struct phrase *phrase = text.failed ? NULL : phrase_new(text.data, text.length);
    text_free(&text);
    return phrase;
}

/* FNV-1a: the texts are an operator's, and a chain grown long by chance costs only time. */
static uint32_t hash_phrase(uint32_t hash, const struct phrase *phrase) {
    for (uint32_t i = 0; i < phrase->length; i++)
        hash = (hash ^ (uint8_t)phrase->text[i]) * 16777619u;
    return hash;
}

static bool same_phrase(const struct phrase *a, const struct phrase *b) {
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* The card with the text of `info`, old or new, with a reference for the caller. */
static struct card *card_by_text(struct cards *cards, const struct rule_info *info, enum mode mode) {
    struct card *card = calloc(1, sizeof *card);
    if (card == NULL)
        return NULL;
    card->identity = identity_phrase(info, mode);
    card->details = details_phrase(info);
    if (card->identity == NULL || card->details == NULL) {
        card_free(card);
        return NULL;
    }
    card->hash = hash_phrase(hash_phrase(2166136261u, card->identity), card->details);
    struct card **bucket = &cards->buckets[card->hash & (CARD_BUCKETS - 1)];
    for (struct card *old = *bucket; old != NULL; old = old->next) {
        if (old->hash == card->hash && same_phrase(old->identity, card->identity) && same_phrase(old->details, card->details)) {
            card_free(card);
            return card_ref(old);
        }
    }
    card->references = 1;
    card->next = *bucket;
    *bucket = card;
    return card;
}

static struct slot *find_slot(struct cards *cards, struct snapshot *snapshot, uint32_t rule, enum mode mode) {
    uint32_t generation = snapshot_generation(snapshot);
    uint32_t mixed = (rule * 2654435761u) ^ (generation * 40503u) ^ ((uint32_t)mode << 7);
    struct slot *slot = &cards->slots[(mixed ^ mixed >> 15) & (CARD_SLOTS - 1)];
    if (slot->generation == generation && slot->rule == rule && slot->mode == mode)
        return slot;
    struct rule_info info;
    if (snapshot_rule(snapshot, rule, &info) != 0)
        return NULL;
    struct card *card = card_by_text(cards, &info, mode);
    if (card == NULL)
        return NULL;
    slot_clear(cards, slot);
    slot->generation = generation;
    slot->rule = rule;
    slot->mode = (uint8_t)mode;
    slot->card = card;
    return slot;
}

struct card *cards_find(struct cards *cards, struct snapshot *snapshot, uint32_t rule, enum mode mode) {
    struct slot *slot = find_slot(cards, snapshot, rule, mode);
    return slot == NULL ? NULL : slot->card;
}

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

static struct phrase *make_answer(const struct record *record) {
    struct matched matched = {
        .rule = record->rule, .spec = record->spec, .trigger = record->trigger, .action = record->action, .mode = record->mode};
    struct text text = {0};
    text_put(&text, "[", 1);
    if (record->action == ACTION_CNAME) {
        put_target(&text, record, &matched);
    } else {
        struct answer_bytes bytes;
        match_answer_bytes(record->snapshot, &matched, record->qtype, &bytes);
        size_t at = 0, step = 1;
        for (unsigned i = 0; i < bytes.ancount && step > 0; i++)
            at += step = put_rdata(&text, bytes.bytes + at, (size_t)bytes.length - at);
    }
    text_put(&text, "]", 1);
    struct phrase *phrase = text.failed || text.length == 2 ? NULL : phrase_new(text.data, text.length);
    text_free(&text);
    return phrase;
}

struct phrase *cards_answer(struct cards *cards, const struct record *record) {
    if (record->mode != MODE_ENFORCE)
        return NULL;
    if (record->action == ACTION_CNAME)
        return make_answer(record); /* may depend on the query name */
    struct slot *slot = find_slot(cards, record->snapshot, record->rule, MODE_ENFORCE);
    if (slot == NULL)
        return NULL;
    if (!slot->answered || slot->qtype != record->qtype || slot->spec != record->spec) {
        phrase_unref(slot->answer);
        slot->answer = make_answer(record);
        slot->answered = true;
        slot->qtype = record->qtype;
        slot->spec = record->spec;
    }
    return phrase_ref(slot->answer);
}
