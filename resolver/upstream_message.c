/* resolver/upstream_message.c: builds queries to forwarders, and judges their replies before anything believes them. */
#include "resolver/upstream_message.h"

#include <string.h>

#include "resolver/wire.h"

enum {
    OPTION_EDE = 15,
    OPT_DO = 0x8000, /* in the low half of an OPT's TTL */
};

static uint8_t *put16(uint8_t *at, unsigned value) {
    wire_set16(at, value);
    return at + 2;
}

size_t upstream_message_query(uint8_t *out, const struct question *question, uint16_t id, bool edns) {
    uint8_t *at = put16(out, id);
    at = put16(at, FLAG_RD | FLAG_AD | (question->checking_disabled ? FLAG_CD : 0));
    at = put16(at, 1);
    at = put16(at, 0);
    at = put16(at, 0);
    at = put16(at, edns);
    memcpy(at, question->name.wire, question->name.length);
    at = put16(at + question->name.length, question->type);
    at = put16(at, CLASS_IN);
    if (edns) {
        *at++ = 0; /* root */
        at = put16(at, TYPE_OPT);
        at = put16(at, UPSTREAM_UDP_MAX);
        at = put16(at, 0); /* extended rcode, version */
        at = put16(at, question->dnssec_ok ? OPT_DO : 0);
        at = put16(at, 0); /* no options */
    }
    return (size_t)(at - out);
}

/* The question section: the very one that was asked, but for letter case. */
static bool question_is(const struct question *question, const uint8_t *message, size_t length) {
    const struct name *name = &question->name;
    if (length < WIRE_HEADER + (size_t)name->length + 4)
        return false;
    const uint8_t *there = message + WIRE_HEADER, *tail = there + name->length;
    if (wire_get16(tail) != question->type || wire_get16(tail + 2) != CLASS_IN)
        return false;
    if (memcmp(there, name->wire, name->length) == 0)
        return true; /* nearly always */
    uint8_t different = 0;
    for (size_t i = 0; i < name->length; i++) {
        uint8_t octet = there[i]; /* a label's length is never a letter */
        different |= (uint8_t)(name->wire[i] ^ ((uint8_t)(octet - 'A') < 26 ? octet | 0x20 : octet));
    }
    return different == 0;
}

static uint16_t find_ede(const uint8_t *options, size_t length) {
    for (size_t at = 0; at + 4 <= length;) {
        size_t size = wire_get16(options + at + 2);
        if (wire_get16(options + at) == OPTION_EDE && size >= 2 && at + 6 <= length)
            return wire_get16(options + at + 4);
        at += 4 + size;
    }
    return 0;
}

/* Fills rcode and ede from the OPT. Returns whether the authority section begins with NS. */
static bool look_through(struct reply *reply, const uint8_t *message, size_t length, size_t at) {
    size_t answers = wire_get16(message + 6), authority = answers + wire_get16(message + 8);
    size_t count = authority + wire_get16(message + 10);
    bool referral = false;
    struct wire wire;
    wire_init(&wire, message, length, 0);
    wire.at = at;
    for (size_t i = 0; i < count; i++) {
        struct wire_record record;
        wire_record_bare(&wire, &record);
        if (wire.bad)
            break;
        if (i == answers && i < authority)
            referral = record.type == TYPE_NS;
        if (i >= authority && record.type == TYPE_OPT) {
            reply->rcode = (uint16_t)(reply->rcode | (record.ttl >> 24) << 4);
            reply->ede = find_ede(message + record.rdata_at, record.rdlength);
            break;
        }
    }
    return referral;
}

static enum reply_kind kind_of(uint16_t rcode, bool edns) {
    switch (rcode) {
    case RCODE_NOERROR:
    case RCODE_NXDOMAIN:
    case RCODE_YXDOMAIN:
        return REPLY_ANSWER;
    case RCODE_FORMERR:
    case RCODE_NOTIMP:
    case RCODE_BADVERS:
        return edns ? REPLY_PLAIN : REPLY_REFUSAL;
    default:
        return REPLY_REFUSAL;
    }
}

struct reply upstream_message_judge(const struct question *question, uint16_t id, bool edns, const uint8_t *message,
                                    size_t length) {
    struct reply reply = {.kind = REPLY_MISMATCH};
    if (length < WIRE_HEADER || wire_get16(message) != id)
        return reply;
    unsigned flags = wire_get16(message + 2), questions = wire_get16(message + 4);
    if ((flags & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR)
        return reply;
    reply.rcode = flags & FLAG_RCODE;
    if (questions == 0 && length == WIRE_HEADER && edns && kind_of(reply.rcode, true) == REPLY_PLAIN) {
        reply.kind = REPLY_PLAIN;
        return reply;
    }
    if (questions != 1 || !question_is(question, message, length))
        return reply;
    bool referral = false;
    if (wire_get16(message + 6) == 0 || reply.rcode != RCODE_NOERROR)
        referral = look_through(&reply, message, length, WIRE_HEADER + question->name.length + 4u);
    reply.kind = kind_of(reply.rcode, edns);
    if (reply.kind == REPLY_ANSWER && (flags & FLAG_TC))
        reply.kind = REPLY_TRUNCATED;
    else if (reply.kind == REPLY_ANSWER && referral && reply.rcode == RCODE_NOERROR && !(flags & (FLAG_AA | FLAG_RA)))
        reply.kind = REPLY_REFUSAL; /* lame: it serves neither the name nor recursion */
    return reply;
}
