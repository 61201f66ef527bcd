/* resolver/limit.c: who may ask. */
#include "resolver/limit.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "policy/name.h"

typedef unsigned __int128 number;

struct range {
    number first, last;
};

struct limit {
    size_t count;
    struct range ranges[]; /* ascending, disjoint */
};

static number number_of(const struct ip *ip) {
    uint64_t half[2];
    memcpy(half, ip->bytes, sizeof half);
    return (number)be64toh(half[0]) << 64 | be64toh(half[1]);
}

static int by_first(const void *a, const void *b) {
    const struct range *left = a, *right = b;
    return left->first < right->first ? -1 : left->first > right->first;
}

struct limit *limit_new(const struct prefix *prefixes, size_t count) {
    struct limit *limit = malloc(sizeof *limit + count * sizeof limit->ranges[0]);
    if (limit == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        number host = prefixes[i].length == 0 ? ~(number)0 : ((number)1 << (128 - prefixes[i].length)) - 1;
        number first = number_of(&prefixes[i].ip) & ~host;
        limit->ranges[i] = (struct range){first, first | host};
    }
    if (count > 0)
        qsort(limit->ranges, count, sizeof limit->ranges[0], by_first);
    limit->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct range *last = &limit->ranges[limit->count];
        if (limit->count > 0 && limit->ranges[i].first <= last[-1].last) {
            if (limit->ranges[i].last > last[-1].last)
                last[-1].last = limit->ranges[i].last;
        } else {
            *last = limit->ranges[i];
            limit->count++;
        }
    }
    return limit;
}

void limit_free(struct limit *limit) {
    free(limit);
}

bool limit_contains(const struct limit *limit, const struct ip *ip) {
    number n = number_of(ip);
    size_t low = 0, high = limit->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (n > limit->ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < limit->count && n >= limit->ranges[low].first;
}

enum { HEADER = 12, QUESTION_FIXED = 4, OPT_FIXED = 11, EDE_OPTION = 6, TYPE_OPT = 41, OPTION_EDE = 15 };

/* Octets of the question at HEADER, 0 if it isn't one whole uncompressed question. */
static size_t question_length(const uint8_t *packet, size_t length) {
    struct name name;
    int octets = name_from_wire(&name, packet + HEADER, length - HEADER);
    if (octets < 0 || HEADER + (size_t)octets + QUESTION_FIXED > length)
        return 0;
    return (size_t)octets + QUESTION_FIXED;
}

size_t limit_error(const uint8_t *packet, size_t length, uint8_t rcode, uint16_t ede, uint8_t *out) {
    if (length < HEADER || (packet[2] & 0x80) != 0)
        return 0;
    memset(out, 0, HEADER);
    memcpy(out, packet, 2);
    out[2] = (uint8_t)(0x80 | (packet[2] & 0x79));         /* QR; opcode and RD as asked */
    out[3] = (uint8_t)(0x80 | (packet[3] & 0x10) | rcode); /* RA; CD as asked */
    size_t at = HEADER;
    bool one_question = packet[4] == 0 && packet[5] == 1;
    size_t question = one_question ? question_length(packet, length) : 0;
    if (question == 0)
        return at;
    memcpy(out + at, packet + at, question);
    at += question;
    out[5] = 1;
    /* An OPT that stands right behind the question is seen; whoever puts anything before it gets a plain header. */
    const uint8_t *opt = packet + at;
    bool alone = packet[6] == 0 && packet[7] == 0 && packet[8] == 0 && packet[9] == 0 && (packet[10] | packet[11]) != 0;
    if (!alone || length < at + OPT_FIXED || opt[0] != 0 || opt[1] != 0 || opt[2] != TYPE_OPT)
        return at;
    const uint8_t answer[OPT_FIXED + EDE_OPTION] = {
        0, 0,          TYPE_OPT, 1232 >> 8, 1232 & 0xFF,         0,           0, opt[7] & 0x80, 0, 0, ede != 0 ? EDE_OPTION : 0,
        0, OPTION_EDE, 0,        2,         (uint8_t)(ede >> 8), (uint8_t)ede};
    size_t octets = ede != 0 ? sizeof answer : OPT_FIXED;
    memcpy(out + at, answer, octets);
    out[11] = 1;
    return at + octets;
}
