/* hits/card.c: what hits say of their rules, made once a rule instead of once a hit. */
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "hits/card.h"
#include "hits/line.h"

enum {
    /* More than windows may be open (writer.c): those hold the cards anyway, and a rule that fell out of its slot costs a look at
     * the snapshot's cold pages for each hit. No table is touched before it is used. */
    CARD_SETS_LOG = 16,     /* of slots for rules of late, by (snapshot, rule, mode) */
    CARD_WAYS = 8,          /* slots a set: their keys fill a line of memory */
    CARD_LINE = 64,         /* octets of that */
    CARD_BUCKETS = 1 << 20, /* of cards by text; a power of two */
    CARD_ANSWERS = 64,
    CARD_PIECE = 64,       /* octets; memory for cards is handed out in these, */
    CARD_PIECES = 16,      /* up to so many; a larger card is allocated by itself */
    CARD_BLOCK = 64 * 1024 /* octets got at once: in a thread, malloc asks the kernel for every page otherwise */
};

/* A rule of late: its card, and its answer to the last question type (most rules are asked for one or two). */
struct slot {
    struct card *card;
    struct phrase *answer;
    _Atomic uint64_t *zone_hits, *family_hits; /* the card's, so that a repeat needn't touch it */
    uint32_t spec;
    uint16_t qtype;
    bool answered;
    uint8_t unused[24];
};
_Static_assert(sizeof(struct slot) == CARD_LINE, "a slot is one line");

struct set {
    uint64_t keys[CARD_WAYS]; /* 0: an empty slot */
};
_Static_assert(sizeof(struct set) == CARD_LINE, "a set is found by one line");

/* Memory that a card gave back. */
struct spare {
    struct spare *next;
};

struct block {
    struct block *next;
    uint64_t room[]; /* CARD_BLOCK in all */
};

struct cards {
    struct zone_counts *counts;
    struct set *sets;                     /* aligned, within set_room */
    struct slot *slots;                   /* CARD_WAYS a set; aligned, within slot_room */
    struct card **buckets;                /* CARD_BUCKETS */
    struct phrase *answers[CARD_ANSWERS]; /* of late, by text: most rules answer alike */
    struct text text;                     /* what is being put together */
    void *set_room, *slot_room;
    struct block *blocks;                 /* the first is being used up */
    size_t block_used;                    /* octets of it */
    struct spare *spare[CARD_PIECES + 1]; /* by pieces */
};

static void *aligned(void *room) {
    return (void *)(((uintptr_t)room + CARD_LINE - 1) & ~(uintptr_t)(CARD_LINE - 1));
}

struct cards *cards_new(struct zone_counts *counts) {
    size_t sets = (size_t)1 << CARD_SETS_LOG;
    struct cards *cards = calloc(1, sizeof *cards);
    if (cards == NULL)
        return NULL;
    cards->counts = counts;
    cards->block_used = CARD_BLOCK;
    cards->set_room = calloc(sets + 1, sizeof(struct set));
    cards->slot_room = calloc(sets * CARD_WAYS + 1, sizeof(struct slot));
    cards->buckets = calloc(CARD_BUCKETS, sizeof(struct card *));
    if (cards->set_room == NULL || cards->slot_room == NULL || cards->buckets == NULL) {
        cards_free(cards);
        return NULL;
    }
    cards->sets = aligned(cards->set_room);
    cards->slots = aligned(cards->slot_room);
    return cards;
}

static void slot_clear(struct cards *cards, struct slot *slot) {
    cards_unref(cards, slot->card);
    phrase_unref(slot->answer);
    *slot = (struct slot){0};
}

void cards_free(struct cards *cards) {
    if (cards == NULL)
        return;
    for (size_t i = 0; cards->sets != NULL && i < (size_t)CARD_WAYS << CARD_SETS_LOG; i++)
        if (cards->sets[i / CARD_WAYS].keys[i % CARD_WAYS] != 0)
            slot_clear(cards, &cards->slots[i]);
    for (size_t i = 0; i < CARD_ANSWERS; i++)
        phrase_unref(cards->answers[i]);
    text_free(&cards->text);
    while (cards->blocks != NULL) {
        struct block *block = cards->blocks;
        cards->blocks = block->next;
        free(block);
    }
    free(cards->set_room);
    free(cards->slot_room);
    free(cards->buckets);
    free(cards);
}

/* Room for a card of so many pieces; NULL: no memory. */
static void *card_room(struct cards *cards, size_t pieces) {
    if (pieces > CARD_PIECES)
        return malloc(pieces * CARD_PIECE);
    struct spare *spare = cards->spare[pieces];
    if (spare != NULL) {
        cards->spare[pieces] = spare->next;
        return spare;
    }
    if (cards->block_used + pieces * CARD_PIECE > CARD_BLOCK) {
        struct block *block = malloc(CARD_BLOCK);
        if (block == NULL)
            return NULL;
        block->next = cards->blocks;
        cards->blocks = block;
        cards->block_used = CARD_PIECE;
    }
    void *room = (char *)cards->blocks + cards->block_used;
    cards->block_used += pieces * CARD_PIECE;
    return room;
}

struct card *card_ref(struct card *card) {
    card->references++;
    return card;
}

void cards_unref(struct cards *cards, struct card *card) {
    if (card == NULL || --card->references > 0)
        return;
    struct card **link = &cards->buckets[card->hash & (CARD_BUCKETS - 1)];
    while (*link != card)
        link = &(*link)->next;
    *link = card->next;
    size_t pieces = card->pieces;
    if (pieces > CARD_PIECES) {
        free(card);
        return;
    }
    struct spare *spare = (void *)card;
    spare->next = cards->spare[pieces];
    cards->spare[pieces] = spare;
}

static void put_member(struct text *text, const char *name, const char *value) {
    text_string(text, name);
    text_json(text, value, strlen(value));
}

/* The text so far as a phrase; NULL: no memory. */
static struct phrase *phrase_of(const struct text *text) {
    return text->failed ? NULL : phrase_new(text->data, text->length);
}

static void put_identity(struct text *text, const struct rule_info *info, enum mode mode, uint32_t rule[2]) {
    put_member(text, "\"zone\":", info->zone_name);
    text_string(text, ",\"trigger\":\"");
    text_string(text, trigger_name(info->trigger)); /* which needs no escapes, as action and mode */
    text_string(text, "\",\"rule\":");
    rule[0] = (uint32_t)text->length;
    put_member(text, "", info->text);
    rule[1] = (uint32_t)text->length;
    text_string(text, ",\"action\":\"");
    text_string(text, action_name(info->action));
    text_string(text, "\",\"mode\":\"");
    text_string(text, mode_name(mode));
    text_string(text, "\"");
}

static void put_details(struct text *text, const struct rule_info *info) {
    text_string(text, ",\"ttl\":");
    text_number(text, info->ttl);
    if (info->family != NULL)
        put_member(text, ",\"family\":", info->family);
    if (info->confidence != RULE_CONFIDENCE_UNSET) {
        text_string(text, ",\"confidence\":");
        text_number(text, info->confidence);
    }
    if (info->reference != NULL)
        put_member(text, ",\"reference\":", info->reference);
}

/* The texts are an operator's, and a chain grown long by chance costs only time. */
static uint32_t hash_text(const char *text, size_t length) {
    uint64_t hash = length, word;
    for (; length >= sizeof word; text += sizeof word, length -= sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, length);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(hash ^ hash >> 32);
}

/* The phrases of a card lie in one block with it, their ends NUL. */
static void set_phrase(struct phrase *phrase, const char *text, size_t length) {
    phrase->references = 1;
    phrase->length = (uint32_t)length;
    memcpy(phrase->text, text, length);
    phrase->text[length] = '\0';
}

static size_t phrase_size(size_t length) {
    return (sizeof(struct phrase) + length + 1 + 7) & ~(size_t)7;
}

/* The card with the text of `info`, old or new, with a reference for the caller. */
static struct card *card_by_text(struct cards *cards, const struct rule_info *info, enum mode mode) {
    struct text *text = &cards->text;
    uint32_t rule[2];
    text->length = 0;
    put_identity(text, info, mode, rule);
    size_t first = text->length;
    put_details(text, info);
    if (text->failed) {
        text_free(text);
        return NULL;
    }
    size_t second = text->length - first;
    uint32_t hash = hash_text(text->data, text->length);
    struct card **bucket = &cards->buckets[hash & (CARD_BUCKETS - 1)];
    for (struct card *old = *bucket; old != NULL; old = old->next)
        if (old->hash == hash && old->identity->length == first && old->details->length == second &&
            memcmp(old->identity->text, text->data, first) == 0 && memcmp(old->details->text, text->data + first, second) == 0)
            return card_ref(old);
    size_t pieces = (sizeof(struct card) + phrase_size(first) + phrase_size(second) + CARD_PIECE - 1) / CARD_PIECE;
    struct card *card = card_room(cards, pieces);
    if (card == NULL)
        return NULL;
    *card = (struct card){
        .references = 1, .hash = hash, .rule_at = rule[0], .rule_end = rule[1], .pieces = (uint32_t)pieces, .next = *bucket};
    if (cards->counts != NULL) {
        card->zone_hits = zone_counts_find(cards->counts, info->zone_name, info->action);
        card->family_hits = info->family == NULL ? NULL : zone_counts_family(cards->counts, info->family);
    }
    card->identity = (void *)(card + 1);
    card->details = (void *)((char *)card->identity + phrase_size(first));
    set_phrase(card->identity, text->data, first);
    set_phrase(card->details, text->data + first, second);
    *bucket = card;
    return card;
}

static uint64_t key_of(uint32_t generation, uint32_t rule, enum mode mode) {
    return (uint64_t)generation << 34 | (uint64_t)rule << 2 | mode;
}
_Static_assert(MODE_ENFORCE < 4 && MODE_MONITOR < 4 && MODE_RETRO < 4, "two bits hold a mode");

static struct set *set_of(const struct cards *cards, uint64_t key) {
    return &cards->sets[key * 0x9e3779b97f4a7c15u >> (64 - CARD_SETS_LOG)];
}

/* The slot that has the key; NULL: none. */
static struct slot *has_slot(const struct cards *cards, const struct set *set, uint64_t key) {
    for (size_t way = 0; way < CARD_WAYS; way++)
        if (set->keys[way] == key)
            return &cards->slots[(size_t)(set - cards->sets) * CARD_WAYS + way];
    return NULL;
}

static struct slot *find_slot(struct cards *cards, struct snapshot *snapshot, uint32_t rule, enum mode mode) {
    uint64_t key = key_of(snapshot_generation(snapshot), rule, mode);
    struct set *set = set_of(cards, key);
    struct slot *slot = has_slot(cards, set, key);
    struct rule_info info;
    if (slot != NULL)
        return slot;
    if (snapshot_rule(snapshot, rule, &info) != 0)
        return NULL;
    struct card *card = card_by_text(cards, &info, mode);
    if (card == NULL)
        return NULL;
    slot = has_slot(cards, set, 0);
    if (slot == NULL)
        slot = &cards->slots[(size_t)(set - cards->sets) * CARD_WAYS + rule % CARD_WAYS];
    slot_clear(cards, slot);
    set->keys[(size_t)(slot - cards->slots) % CARD_WAYS] = key;
    slot->card = card;
    slot->zone_hits = card->zone_hits;
    slot->family_hits = card->family_hits;
    return slot;
}

struct card *cards_find(struct cards *cards, struct snapshot *snapshot, uint32_t rule, enum mode mode) {
    struct slot *slot = find_slot(cards, snapshot, rule, mode);
    return slot == NULL ? NULL : slot->card;
}

struct card *cards_hit(struct cards *cards, const struct record *record) {
    struct slot *slot = find_slot(cards, record->snapshot, record->rule, (enum mode)record->mode);
    if (slot == NULL)
        return NULL;
    if (slot->zone_hits != NULL)
        atomic_fetch_add_explicit(slot->zone_hits, 1, memory_order_relaxed);
    if (slot->family_hits != NULL)
        atomic_fetch_add_explicit(slot->family_hits, 1, memory_order_relaxed);
    return slot->card;
}

const struct card *cards_ahead(const struct cards *cards, const struct record *record, unsigned step, uint64_t *place) {
    uint64_t key = key_of(snapshot_generation(record->snapshot), record->rule, (enum mode)record->mode);
    const struct set *set = set_of(cards, key);
    if (step == 0) {
        __builtin_prefetch(set);
        return NULL;
    }
    const struct slot *slot = has_slot(cards, set, key);
    if (slot == NULL) {
        const struct slot *empty = step == 1 ? has_slot(cards, set, 0) : NULL;
        if (empty != NULL)
            __builtin_prefetch(empty, 1);
        snapshot_rule_prefetch(record->snapshot, record->rule, step - 1, place);
        return NULL;
    }
    if (step == 1)
        __builtin_prefetch(slot, 1);
    return step == 1 ? NULL : slot->card;
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

/* The same phrase for the same text, mostly. */
static struct phrase *share_answer(struct cards *cards) {
    struct phrase *answer = phrase_of(&cards->text);
    if (answer == NULL)
        return NULL;
    struct phrase **place = &cards->answers[hash_text(answer->text, answer->length) % CARD_ANSWERS];
    if (*place != NULL && (*place)->length == answer->length && memcmp((*place)->text, answer->text, answer->length) == 0) {
        phrase_unref(answer);
        return phrase_ref(*place);
    }
    phrase_unref(*place);
    *place = phrase_ref(answer);
    return answer;
}

static struct phrase *make_answer(struct cards *cards, const struct record *record) {
    struct matched matched = {
        .rule = record->rule, .spec = record->spec, .trigger = record->trigger, .action = record->action, .mode = record->mode};
    struct text *text = &cards->text;
    text->length = 0;
    text_put(text, "[", 1);
    if (record->action == ACTION_CNAME) {
        put_target(text, record, &matched);
    } else {
        struct answer_bytes bytes;
        match_answer_bytes(record->snapshot, &matched, record->qtype, &bytes);
        size_t at = 0, step = 1;
        for (unsigned i = 0; i < bytes.ancount && step > 0; i++)
            at += step = put_rdata(text, bytes.bytes + at, (size_t)bytes.length - at);
    }
    text_put(text, "]", 1);
    struct phrase *answer = text->failed || text->length == 2 ? NULL : share_answer(cards);
    if (text->failed)
        text_free(text);
    return answer;
}

struct phrase *cards_answer(struct cards *cards, const struct record *record) {
    if (record->mode != MODE_ENFORCE)
        return NULL;
    if (record->action == ACTION_CNAME)
        return make_answer(cards, record); /* may depend on the query name */
    struct slot *slot = find_slot(cards, record->snapshot, record->rule, MODE_ENFORCE);
    if (slot == NULL)
        return NULL;
    if (!slot->answered || slot->qtype != record->qtype || slot->spec != record->spec) {
        phrase_unref(slot->answer);
        slot->answer = make_answer(cards, record);
        slot->answered = true;
        slot->qtype = record->qtype;
        slot->spec = record->spec;
    }
    return phrase_ref(slot->answer);
}
