/* policy/code_choose.c: choosing the dictionary and the code lengths that suit the names of a policy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/code_private.h"
#include "policy/hash.h"

enum {
    SUFFIX_LABELS_MAX = 4, /* of a dictionary entry */
    SUFFIX_OCTETS_MAX = 48,
    SUFFIX_TABLE = 1 << 18, /* slots; a sample has at most SUFFIX_TABLE_USED different suffixes counted */
    SUFFIX_TABLE_USED = 1 << 17,
};

struct suffix_count {
    uint64_t hash; /* 0: free */
    uint32_t count;
    uint32_t text; /* where its wire form begins in `wire` */
};

struct code_statistics {
    uint64_t octet[CODE_OCTETS];
    uint64_t suffix[CODE_SUFFIXES];
    struct suffix_count *table;
    unsigned used;
    uint8_t *wire; /* of the suffixes, one after another */
    size_t wire_size, wire_room;
};

struct code_statistics *code_statistics_new(void) {
    struct code_statistics *statistics = calloc(1, sizeof *statistics);
    if (statistics == NULL)
        return NULL;
    statistics->table = calloc(SUFFIX_TABLE, sizeof *statistics->table);
    if (statistics->table == NULL) {
        free(statistics);
        return NULL;
    }
    return statistics;
}

void code_statistics_free(struct code_statistics *statistics) {
    if (statistics == NULL)
        return;
    free(statistics->table);
    free(statistics->wire);
    free(statistics);
}

static int keep_wire(struct code_statistics *statistics, const uint8_t *wire, size_t length) {
    if (statistics->wire_size + length > statistics->wire_room) {
        size_t room = (statistics->wire_room + length) * 2;
        uint8_t *grown = realloc(statistics->wire, room);
        if (grown == NULL)
            return -ENOMEM;
        statistics->wire = grown;
        statistics->wire_room = room;
    }
    memcpy(statistics->wire + statistics->wire_size, wire, length);
    statistics->wire_size += length;
    return 0;
}

/* Two suffixes with one hash would be counted as one: that can make a code longer, never wrong. */
int code_statistics_add(struct code_statistics *statistics, const struct name_key *key) {
    for (unsigned k = 1; k <= key->labels && k <= SUFFIX_LABELS_MAX; k++) {
        size_t length = (size_t)key->length - key->at[k];
        if (length > SUFFIX_OCTETS_MAX)
            return 0;
        uint64_t hash = key->hash[k] | 1;
        size_t slot = (hash >> 20) % SUFFIX_TABLE;
        while (statistics->table[slot].hash != 0 && statistics->table[slot].hash != hash)
            slot = (slot + 1) % SUFFIX_TABLE;
        struct suffix_count *count = &statistics->table[slot];
        if (count->hash == 0) {
            if (statistics->used == SUFFIX_TABLE_USED)
                return 0;
            count->text = (uint32_t)statistics->wire_size;
            if (keep_wire(statistics, key->wire + key->at[k], length) != 0)
                return -ENOMEM;
            count->hash = hash;
            statistics->used++;
        }
        count->count++;
    }
    return 0;
}

/* What a dictionary entry saves: its octets in every name that ends in it. */
static uint64_t worth(const struct code_statistics *statistics, const struct suffix_count *count) {
    size_t length = 0;
    for (const uint8_t *at = statistics->wire + count->text; *at != 0; at += *at + 1)
        length += (size_t)*at + 1;
    return count->count > 1 ? count->count * (uint64_t)length : 0;
}

void code_choose_suffixes(struct code *code, struct code_statistics *statistics, uint64_t seed) {
    struct {
        uint64_t worth;
        size_t slot;
    } best[CODE_SUFFIXES];
    unsigned kept = 0;
    for (size_t slot = 0; slot < SUFFIX_TABLE; slot++) {
        if (statistics->table[slot].hash == 0)
            continue;
        uint64_t value = worth(statistics, &statistics->table[slot]);
        if (value == 0 || (kept == CODE_SUFFIXES - 1 && value <= best[kept - 1].worth))
            continue;
        unsigned place = kept < CODE_SUFFIXES - 1 ? kept++ : kept - 1;
        for (; place > 0 && best[place - 1].worth < value; place--)
            best[place] = best[place - 1];
        best[place].worth = value;
        best[place].slot = slot;
    }
    memset(code, 0, sizeof *code);
    for (unsigned i = 0; i < kept; i++) {
        const uint8_t *wire = statistics->wire + statistics->table[best[i].slot].text;
        name_from_wire(&code->suffix[i + 1], wire, NAME_WIRE_MAX);
    }
    code->suffix_count = kept;
    code_index_suffixes(code, seed);
}

void code_count_octets(const struct code *code, struct code_statistics *statistics, const struct name_key *key) {
    unsigned suffix = code_find_suffix(code, key, key->labels);
    unsigned last = suffix > 0 ? code->suffix[suffix].labels : 0;
    statistics->suffix[suffix]++;
    for (unsigned k = key->labels; k > last; k--) {
        const uint8_t *label = key->wire + key->at[k];
        for (unsigned i = 1; i <= label[0]; i++)
            statistics->octet[label[i]]++;
        statistics->octet[CODE_MARK] += k > last + 1;
    }
}

/* Huffman's algorithm, the plain way: join the two rarest until one is left. Returns the longest code's length. */
static unsigned huffman_lengths(const uint64_t *weight, unsigned count, uint8_t *length) {
    uint64_t node_weight[2 * CODE_OCTETS];
    uint16_t parent[2 * CODE_OCTETS] = {0};
    unsigned nodes = 0;
    uint16_t leaf[CODE_OCTETS];
    for (unsigned symbol = 0; symbol < count; symbol++) {
        length[symbol] = 0;
        if (weight[symbol] == 0)
            continue;
        leaf[nodes] = (uint16_t)symbol;
        node_weight[nodes++] = weight[symbol];
    }
    unsigned leaves = nodes;
    for (unsigned left = leaves; left > 1; left--) {
        unsigned rarest[2] = {UINT16_MAX, UINT16_MAX};
        for (unsigned i = 0; i < nodes; i++) {
            if (parent[i] != 0)
                continue;
            if (rarest[0] == UINT16_MAX || node_weight[i] < node_weight[rarest[0]]) {
                rarest[1] = rarest[0];
                rarest[0] = i;
            } else if (rarest[1] == UINT16_MAX || node_weight[i] < node_weight[rarest[1]])
                rarest[1] = i;
        }
        parent[rarest[0]] = parent[rarest[1]] = (uint16_t)nodes;
        node_weight[nodes] = node_weight[rarest[0]] + node_weight[rarest[1]];
        nodes++;
    }
    unsigned longest = 0;
    for (unsigned i = 0; i < leaves; i++) {
        unsigned depth = 0;
        for (unsigned node = i; parent[node] != 0; node = parent[node])
            depth++;
        length[leaf[i]] = (uint8_t)depth;
        longest = depth > longest ? depth : longest;
    }
    return longest;
}

/* Rare symbols are made less rare until no code is too long; costs next to nothing. */
static void limited_lengths(uint64_t *weight, unsigned count, uint8_t *length) {
    while (huffman_lengths(weight, count, length) > CODE_BITS_MAX) {
        for (unsigned i = 0; i < count; i++)
            weight[i] = weight[i] > 0 ? weight[i] / 4 + 1 : 0;
    }
}

void code_choose_octets(struct code *code, struct code_statistics *statistics) {
    /* any octet may come in a name; the sample may lack it */
    for (unsigned i = 0; i < CODE_OCTETS; i++)
        statistics->octet[i] = i == CODE_FILL ? 1 : statistics->octet[i] * 4 + 4;
    limited_lengths(statistics->octet, CODE_OCTETS, code->octets.length);
    /* The fill takes the longest code, and has the highest number: so its code is the last of all, all ones. With 258 symbols it is
     * longer than 8 bits. */
    uint8_t *lengths = code->octets.length;
    for (unsigned i = 0; i < CODE_FILL; i++) {
        if (lengths[i] > lengths[CODE_FILL]) {
            uint8_t longer = lengths[i];
            lengths[i] = lengths[CODE_FILL];
            lengths[CODE_FILL] = longer;
        }
    }
    /* two symbols at least, or the only one would have no bit */
    for (unsigned i = 0; i <= code->suffix_count || i < 2; i++)
        statistics->suffix[i] = statistics->suffix[i] * 4 + 1;
    limited_lengths(statistics->suffix, CODE_SUFFIXES, code->suffixes.length);
    huffman_assign(&code->octets, CODE_OCTETS);
    huffman_assign(&code->suffixes, CODE_SUFFIXES);
}
