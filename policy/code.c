/* policy/code.c: coding names and reading codes back. How a code is chosen is in code_choose.c. */
#include "policy/code.h"

#include <errno.h>
#include <string.h>

#include "policy/code_private.h"
#include "policy/hash.h"

int huffman_assign(struct huffman *huffman, unsigned count) {
    uint32_t per_length[CODE_BITS_MAX + 2] = {0};
    for (unsigned symbol = 0; symbol < count; symbol++) {
        if (huffman->length[symbol] > CODE_BITS_MAX)
            return -EBADMSG;
        per_length[huffman->length[symbol]]++;
    }
    per_length[0] = 0; /* symbols that never occur have no code */
    uint32_t next = 0;
    unsigned index = 0;
    huffman->count = count;
    for (unsigned length = 1; length <= CODE_BITS_MAX; length++) {
        next <<= 1;
        huffman->first[length] = next;
        huffman->first_index[length] = (uint16_t)index;
        for (unsigned symbol = 0; symbol < count && per_length[length] > 0; symbol++) {
            if (huffman->length[symbol] != length)
                continue;
            huffman->symbol[symbol] = next++ << CODE_LENGTH_BITS | length;
            huffman->sorted[index++] = (uint16_t)symbol;
        }
        if (next > UINT32_C(1) << length)
            return -EBADMSG;
    }
    huffman->first_index[CODE_BITS_MAX + 1] = (uint16_t)index;
    /* complete, so that every bit string means something and the last code is all ones */
    return next == UINT32_C(1) << CODE_BITS_MAX ? 0 : -EBADMSG;
}

void code_index_suffixes(struct code *code, uint64_t seed) {
    memset(code->slot, 0, sizeof code->slot);
    code->suffix_labels_max = 0;
    for (unsigned i = 1; i <= code->suffix_count; i++) {
        const struct name *suffix = &code->suffix[i];
        struct name_key key;
        name_key_init(&key, suffix->wire, suffix->length, seed);
        code->suffix_hash[i] = key.hash[key.labels];
        if (suffix->labels > code->suffix_labels_max)
            code->suffix_labels_max = suffix->labels;
        size_t slot = code->suffix_hash[i] % CODE_SLOTS;
        while (code->slot[slot] != 0)
            slot = (slot + 1) % CODE_SLOTS;
        code->slot[slot] = (uint8_t)i;
    }
}

/* True if the name's last `length` octets are this suffix. No call for one that fits a word, as most do. */
static inline bool ends_with(const struct name *suffix, const struct name_key *key, size_t length) {
    enum { WORD = 8 };
    const uint8_t *wire = suffix->wire, *end = key->wire + key->length;
    if (suffix->length != length)
        return false;
    if (length > WORD || key->length < WORD)
        return memcmp(wire, end - length, length) == 0;
    return (load8(wire) ^ load8(end - WORD) >> 8 * (WORD - length)) << 8 * (WORD - length) == 0;
}

static inline unsigned find_suffix(const struct code *code, const struct name_key *key, unsigned labels) {
    unsigned k = labels < code->suffix_labels_max ? labels : code->suffix_labels_max;
    for (const uint64_t *hash = &key->hash[k]; k > 0; k--, hash--) {
        for (size_t slot = *hash % CODE_SLOTS; code->slot[slot] != 0; slot = (slot + 1) % CODE_SLOTS) {
            unsigned found = code->slot[slot];
            if (code->suffix_hash[found] == *hash && ends_with(&code->suffix[found], key, (size_t)key->length - key->at[k]))
                return found;
        }
    }
    return 0;
}

/* The dictionary's longest suffix of a name's last `labels` labels; 0 for none. */
unsigned code_find_suffix(const struct code *code, const struct name_key *key, unsigned labels) {
    return find_suffix(code, key, labels);
}

/* Bits, the first one highest; `pending` of them wait in the low end of `bits`, below what was written before. */
enum {
    CODE_WORD = 64,
    CODE_LENGTHS = 1 << CODE_LENGTH_BITS,
    FILL = 0x7f << CODE_LENGTH_BITS | 7, /* as a symbol: behind it, an octet that was begun is full, or just not begun */
};
struct bit_writer {
    uint64_t bits;
    uint32_t pending; /* modulo CODE_WORD: what is above is left over from symbols */
    uint8_t *out;
};

static inline void put_symbol(struct bit_writer *writer, uint32_t symbol) {
    writer->bits = writer->bits << symbol % CODE_WORD | symbol >> CODE_LENGTH_BITS;
    writer->pending += symbol;
}

/* Writes the whole octets among the pending bits, fewer than CODE_WORD. It always stores eight octets, of which so many count as
 * are full: a branch on that would be guessed wrong every other time. */
static inline void put_octets(struct bit_writer *writer) {
    uint64_t octets = __builtin_bswap64(writer->bits << ~writer->pending % CODE_WORD << 1);
    memcpy(writer->out, &octets, sizeof octets);
    writer->out += writer->pending % CODE_WORD / 8;
    writer->pending %= 8;
}

/* Symbols are short nearly always, and then four find room beside what is pending (the suffix, if this is the beginning). Any two
 * do beside what doesn't fill an octet, or beside the suffix: 3 * CODE_BITS_MAX bits. */
static inline void put_four(struct bit_writer *writer, const uint32_t *symbol, const uint8_t octet[4]) {
    uint32_t a = symbol[octet[0]], b = symbol[octet[1]], c = symbol[octet[2]], d = symbol[octet[3]];
    bool fits = (writer->pending + a + b + c + d) % CODE_LENGTHS < CODE_WORD;
    if (__builtin_expect(!fits, 0))
        put_octets(writer);
    put_symbol(writer, a);
    put_symbol(writer, b);
    if (__builtin_expect(!fits, 0))
        put_octets(writer);
    put_symbol(writer, c);
    put_symbol(writer, d);
    put_octets(writer);
}

size_t code_encode(const struct code *code, const struct name_key *key, unsigned labels, uint8_t out[CODE_ROOM]) {
    struct bit_writer writer = {.out = out};
    const uint32_t *symbol = code->octets.symbol;
    unsigned suffix = find_suffix(code, key, labels);
    unsigned last = suffix > 0 ? code->suffix[suffix].labels : 0;
    put_symbol(&writer, code->suffixes.symbol[suffix]);
    const uint8_t *at = key->wire + key->at[labels];
    for (unsigned k = labels; k > last; k--) {
        unsigned left = *at++;
        for (; left >= 4; left -= 4, at += 4)
            put_four(&writer, symbol, at);
        if (left >= 2) {
            put_symbol(&writer, symbol[at[0]]);
            put_symbol(&writer, symbol[at[1]]);
            put_octets(&writer);
        }
        if (left % 2 != 0)
            put_symbol(&writer, symbol[at[left - 1]]);
        at += left;
        if (k > last + 1) {
            put_symbol(&writer, symbol[CODE_MARK]);
            put_octets(&writer);
        }
    }
    put_symbol(&writer, FILL);
    put_octets(&writer);
    return (size_t)(writer.out - out);
}

struct bit_reader {
    const uint8_t *at, *end;
    uint64_t window; /* the next bits, the first one highest; 0 behind the last */
    unsigned held;   /* bits in it */
};

static void fill_window(struct bit_reader *reader) {
    for (; reader->held <= 56 && reader->at < reader->end; reader->held += 8)
        reader->window |= (uint64_t)*reader->at++ << (56 - reader->held);
}

/* The next symbol, or -1 when what is left (fewer than eight ones, or nothing) is none. */
static int get_symbol(struct bit_reader *reader, const struct huffman *huffman) {
    if (reader->held < CODE_BITS_MAX)
        fill_window(reader);
    unsigned most = reader->held < CODE_BITS_MAX ? reader->held : CODE_BITS_MAX;
    for (unsigned length = 1; length <= most; length++) {
        uint32_t bits = (uint32_t)(reader->window >> (64 - length));
        uint32_t index = bits - huffman->first[length] + huffman->first_index[length];
        if (bits >= huffman->first[length] && index < huffman->first_index[length + 1]) {
            reader->window <<= length;
            reader->held -= length;
            return huffman->sorted[index];
        }
    }
    return -1;
}

int code_decode(const struct code *code, const uint8_t *at, size_t size, struct name *name) {
    struct bit_reader reader = {.at = at, .end = at + size};
    int suffix = get_symbol(&reader, &code->suffixes);
    if (suffix < 0 || (unsigned)suffix > code->suffix_count)
        return -EBADMSG;
    static const struct name ROOT = {.length = 1, .labels = 0, .wire = {0}};
    const struct name *end = suffix > 0 ? &code->suffix[suffix] : &ROOT;
    size_t label = 0; /* where the current label's length octet is */
    size_t length = 0;
    unsigned labels = 0;
    for (;;) {
        int symbol = get_symbol(&reader, &code->octets);
        bool label_ends = symbol < 0 || symbol >= CODE_MARK;
        if (!label_ends) {
            if (length == 0)
                length = 1;
            if (length - label > NAME_LABEL_MAX || length + end->length >= NAME_WIRE_MAX)
                return -EBADMSG;
            name->wire[length++] = (uint8_t)symbol;
            continue;
        }
        if (length > 0) {
            if (length == label + 1)
                return -EBADMSG;
            name->wire[label] = (uint8_t)(length - label - 1);
            labels++;
            label = length;
        }
        if (symbol != CODE_MARK)
            break;
        if (length == 0 || length + end->length >= NAME_WIRE_MAX)
            return -EBADMSG;
        length++;
    }
    memcpy(name->wire + length, end->wire, end->length);
    name->length = (uint8_t)(length + end->length);
    name->labels = (uint8_t)(labels + end->labels);
    return 0;
}

size_t code_write(const struct code *code, uint8_t *out) {
    uint8_t *at = out;
    uint32_t count = code->suffix_count;
    memcpy(at, &count, sizeof count);
    at += sizeof count;
    memcpy(at, code->octets.length, CODE_OCTETS);
    at += CODE_OCTETS;
    memcpy(at, code->suffixes.length, CODE_SUFFIXES);
    at += CODE_SUFFIXES;
    for (unsigned i = 1; i <= code->suffix_count; i++) {
        memcpy(at, code->suffix[i].wire, code->suffix[i].length);
        at += code->suffix[i].length;
    }
    return (size_t)(at - out);
}

int code_read(struct code *code, const uint8_t *at, size_t size, uint64_t seed) {
    if (size < CODE_SIZE_MIN)
        return -EBADMSG;
    const uint8_t *end = at + size;
    code->suffix_count = load4(at);
    at += 4;
    if (code->suffix_count >= CODE_SUFFIXES)
        return -EBADMSG;
    memcpy(code->octets.length, at, CODE_OCTETS);
    memcpy(code->suffixes.length, at + CODE_OCTETS, CODE_SUFFIXES);
    at += CODE_OCTETS + CODE_SUFFIXES;
    if (huffman_assign(&code->octets, CODE_OCTETS) != 0 || huffman_assign(&code->suffixes, CODE_SUFFIXES) != 0)
        return -EBADMSG;
    for (unsigned i = 0; i < CODE_OCTETS; i++) {
        if (code->octets.length[i] == 0)
            return -EBADMSG;
    }
    /* the fill must not be mistaken for a symbol: the code of all ones is the fill's own and longer than any fill */
    if (code->octets.sorted[CODE_OCTETS - 1] != CODE_FILL || code->octets.length[CODE_FILL] < 8)
        return -EBADMSG;
    for (unsigned i = 0; i <= code->suffix_count; i++) {
        if (code->suffixes.length[i] == 0)
            return -EBADMSG;
    }
    for (unsigned i = 1; i <= code->suffix_count; i++) {
        int taken = name_from_wire(&code->suffix[i], at, (size_t)(end - at));
        if (taken < 0)
            return -EBADMSG;
        at += taken;
    }
    code_index_suffixes(code, seed);
    return at == end ? 0 : -EBADMSG;
}
