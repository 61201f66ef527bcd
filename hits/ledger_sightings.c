/* hits/ledger_sightings.c: machines as the ledger's entries show them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "hits/ledger_sightings.h"

enum { PLACES_AT_FIRST = 256 /* of an index; a power of 2 */ };

/* Where things with a hash are in a list: open addressing, at most half full. */
struct places {
    uint32_t *at; /* 1 + where in the list; 0 free */
    uint32_t mask;
};

/* A set is its last value and the set before that was added: what machines have in common is there once. */
struct set {
    uint32_t before, value;
};

struct sightings {
    struct sighting *list;
    size_t count, room;
    struct places machines;
    struct set *sets; /* sets[0]: the empty one */
    size_t set_count, set_room;
    struct places set_places;
    json_t *numbers, *texts; /* values: text to number, and back */
    uint32_t *order;         /* places in list */
    size_t ordered;
    uint64_t seed[2]; /* random: clients must not be able to choose their place */
};

static bool places_begin(struct places *places, uint32_t count) {
    *places = (struct places){calloc(count, sizeof *places->at), count - 1};
    return places->at != NULL;
}

struct sightings *sightings_new(void) {
    struct sightings *sightings = calloc(1, sizeof *sightings);
    if (sightings == NULL)
        return NULL;
    sightings->numbers = json_object();
    sightings->texts = json_array();
    sightings->sets = calloc(PLACES_AT_FIRST, sizeof *sightings->sets);
    sightings->set_room = PLACES_AT_FIRST;
    sightings->set_count = 1;
    if (places_begin(&sightings->machines, PLACES_AT_FIRST) && places_begin(&sightings->set_places, PLACES_AT_FIRST) &&
        sightings->numbers != NULL && sightings->texts != NULL && sightings->sets != NULL &&
        getrandom(sightings->seed, sizeof sightings->seed, 0) == sizeof sightings->seed)
        return sightings;
    sightings_free(sightings);
    return NULL;
}

void sightings_free(struct sightings *sightings) {
    if (sightings == NULL)
        return;
    free(sightings->list);
    free(sightings->machines.at);
    free(sightings->sets);
    free(sightings->set_places.at);
    json_decref(sightings->numbers);
    json_decref(sightings->texts);
    free(sightings->order);
    free(sightings);
}

static uint32_t mixed(const struct sightings *sightings, const uint64_t *words, size_t count) {
    uint64_t hash = sightings->seed[0];
    for (size_t i = 0; i < count; i++) {
        unsigned __int128 product = (unsigned __int128)(hash ^ words[i]) * (sightings->seed[1] | 1);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t hash_machine(const struct sightings *sightings, size_t place) {
    uint64_t words[3] = {0}; /* what is behind a shorter key is zero */
    _Static_assert(sizeof words >= MACHINE_KEY_MAX, "a key fits");
    memcpy(words, sightings->list[place].key, MACHINE_KEY_MAX);
    return mixed(sightings, words, 3);
}

static uint32_t hash_set(const struct sightings *sightings, size_t place) {
    const uint64_t words[1] = {(uint64_t)sightings->sets[place].before << 32 | sightings->sets[place].value};
    return mixed(sightings, words, 1);
}

typedef uint32_t hash_of(const struct sightings *sightings, size_t place);
typedef bool same_as(const struct sightings *sightings, size_t a, size_t b);

/* Looks for what equals the list's last, number `last`. Found: its number; else `last`, which then has a place. */
static size_t settle(const struct sightings *sightings, struct places *places, size_t last, hash_of *hash, same_as *same) {
    uint32_t at = hash(sightings, last) & places->mask;
    for (; places->at[at] != 0; at = (at + 1) & places->mask)
        if (same(sightings, places->at[at] - 1, last))
            return places->at[at] - 1;
    places->at[at] = (uint32_t)last + 1;
    return last;
}

/* Makes room for one more of `count`; false: no memory. */
static bool spread(const struct sightings *sightings, struct places *places, size_t count, hash_of *hash) {
    struct places wider;
    if (count * 2 <= places->mask)
        return true;
    if (count > UINT32_MAX / 8 || !places_begin(&wider, (places->mask + 1) * 4))
        return false;
    for (uint32_t i = 0; i <= places->mask; i++) {
        if (places->at[i] == 0)
            continue;
        uint32_t at = hash(sightings, places->at[i] - 1) & wider.mask;
        while (wider.at[at] != 0)
            at = (at + 1) & wider.mask;
        wider.at[at] = places->at[i];
    }
    free(places->at);
    *places = wider;
    return true;
}

/* Room for one more in a list; the list, perhaps moved, or NULL: no memory. */
static void *grown(void *list, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return list;
    size_t more = *room == 0 ? PLACES_AT_FIRST : *room + *room / 2;
    void *moved = realloc(list, more * size);
    if (moved != NULL)
        *room = more;
    return moved;
}

static bool same_machine(const struct sightings *sightings, size_t a, size_t b) {
    return memcmp(sightings->list[a].key, sightings->list[b].key, MACHINE_KEY_MAX) == 0;
}

struct sighting *sightings_find(struct sightings *sightings, const uint8_t *key, int length, bool *fresh) {
    struct sighting *list = grown(sightings->list, sightings->count, &sightings->room, sizeof *list);
    if (list == NULL)
        return NULL;
    sightings->list = list;
    if (!spread(sightings, &sightings->machines, sightings->count, hash_machine))
        return NULL;
    list[sightings->count] = (struct sighting){.key_length = (uint8_t)length};
    memcpy(list[sightings->count].key, key, (size_t)length);
    size_t place = settle(sightings, &sightings->machines, sightings->count, hash_machine, same_machine);
    *fresh = place == sightings->count;
    sightings->count += *fresh;
    return &list[place];
}

/* --- sets --- */

uint32_t sightings_value(struct sightings *sightings, const char *text) {
    json_int_t known = json_integer_value(json_object_get(sightings->numbers, text));
    if (known > 0)
        return (uint32_t)known;
    if (json_array_append_new(sightings->texts, json_string(text)) != 0)
        return 0;
    known = (json_int_t)json_array_size(sightings->texts);
    return json_object_set_new(sightings->numbers, text, json_integer(known)) == 0 ? (uint32_t)known : 0;
}

static bool same_set(const struct sightings *sightings, size_t a, size_t b) {
    return sightings->sets[a].before == sightings->sets[b].before && sightings->sets[a].value == sightings->sets[b].value;
}

bool sightings_add(struct sightings *sightings, uint32_t *set, uint32_t value) {
    for (uint32_t at = *set; at != 0; at = sightings->sets[at].before)
        if (sightings->sets[at].value == value)
            return true;
    struct set *sets = grown(sightings->sets, sightings->set_count, &sightings->set_room, sizeof *sets);
    if (sets == NULL)
        return false;
    sightings->sets = sets;
    if (!spread(sightings, &sightings->set_places, sightings->set_count, hash_set))
        return false;
    sets[sightings->set_count] = (struct set){*set, value};
    *set = (uint32_t)settle(sightings, &sightings->set_places, sightings->set_count, hash_set, same_set);
    sightings->set_count += *set == sightings->set_count;
    return true;
}

/* Adds each of "A, B" that the array hasn't yet. */
static void add_each(json_t *array, const char *list) {
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ","), i;
        const json_t *known;
        bool found = false;
        json_array_foreach(array, i, known) found =
            found || (json_string_length(known) == length && strncasecmp(json_string_value(known), at, length) == 0);
        if (!found && length > 0)
            json_array_append_new(array, json_stringn(at, length));
        at += length + (at[length] == ',');
        at += strspn(at, " ");
    }
}

json_t *sightings_set(const struct sightings *sightings, uint32_t set) {
    json_t *values = json_array(), *array = json_array();
    for (uint32_t at = set; at != 0; at = sightings->sets[at].before)
        json_array_append(values, json_array_get(sightings->texts, sightings->sets[at].value - 1));
    for (size_t i = json_array_size(values); i-- > 0;)
        add_each(array, json_string_value(json_array_get(values, i)));
    json_decref(values);
    return array;
}

/* --- order --- */

/* Of two that were seen at the same moment the order is that of their keys: any will do that stays. */
static int later_first(const void *a, const void *b, void *context) {
    const struct sighting *list = context, *left = &list[*(const uint32_t *)a], *right = &list[*(const uint32_t *)b];
    if (left->last_us != right->last_us)
        return left->last_us > right->last_us ? -1 : 1;
    return memcmp(left->key, right->key, MACHINE_KEY_MAX);
}

bool sightings_order(struct sightings *sightings) {
    free(sightings->machines.at); /* nothing is looked for any more */
    sightings->machines = (struct places){0};
    sightings->order = malloc((sightings->count + 1) * sizeof *sightings->order);
    if (sightings->order == NULL)
        return false;
    for (size_t i = 0; i < sightings->count; i++)
        if (sightings->list[i].hits > 0)
            sightings->order[sightings->ordered++] = (uint32_t)i;
    qsort_r(sightings->order, sightings->ordered, sizeof *sightings->order, later_first, sightings->list);
    return true;
}

size_t sightings_count(const struct sightings *sightings) {
    return sightings->ordered;
}

const struct sighting *sightings_at(const struct sightings *sightings, size_t place) {
    return &sightings->list[sightings->order[place]];
}
