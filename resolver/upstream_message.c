/* resolver/upstream_message.c: builds queries to forwarders, and judges their replies before anything believes them. */
#include "resolver/upstream_message.h"

#include <string.h>

enum {
    HEADER = 12,
    FLAG_QR = 0x80,     /* octet 2 */
    OPCODE_MASK = 0x78, /* octet 2 */
    FLAG_AA = 0x04,     /* octet 2 */
    FLAG_TC = 0x02,     /* octet 2 */
    FLAG_RD = 0x01,     /* octet 2 */
    FLAG_RA = 0x80,     /* octet 3 */
    FLAG_AD = 0x20,     /* octet 3 */
    FLAG_CD = 0x10,     /* octet 3 */
    RCODE_NOERROR = 0,
    RCODE_FORMERR = 1,
    RCODE_NXDOMAIN = 3,
    RCODE_NOTIMP = 4,
    RCODE_YXDOMAIN = 6,
    RCODE_BADVERS = 16,
    TYPE_NS = 2,
    TYPE_OPT = 41,
    OPTION_EDE = 15,
};

static uint16_t read16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t *write16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

size_t upstream_message_query(uint8_t *out, const struct question *question, uint16_t id, bool edns) {
    uint8_t *at = write16(out, id);
    *at++ = FLAG_RD;
    *at++ = (uint8_t)(FLAG_AD | (question->checking_disabled ? FLAG_CD : 0));
    at = write16(at, 1);
    at = write16(at, 0);
    at = write16(at, 0);
    at = write16(at, edns);
    memcpy(at, question->name.wire, question->name.length);
    at = write16(at + question->name.length, question->type);
    at = write16(at, CLASS_IN);
    if (edns) {
        *at++ = 0; /* root */
        at = write16(at, TYPE_OPT);
        at = write16(at, UPSTREAM_UDP_MAX);
        at = write16(at, 0); /* extended rcode, version */
        at = write16(at, question->dnssec_ok ? 0x8000 : 0);
        at = write16(at, 0); /* no options */
    }
    return (size_t)(at - out);
}

static bool question_is(const struct question *question, const uint8_t *message, size_t length) {
    const struct name *name = &question->name;
    if (length < HEADER + (size_t)name->length + 4)
        return false;
    for (size_t i = 0; i < name->length; i++) {
        uint8_t octet = message[HEADER + i]; /* a label's length is never a letter */
        if (name->wire[i] != (octet >= 'A' && octet <= 'Z' ? octet + ('a' - 'A') : octet))
            return false;
    }
    const uint8_t *tail = message + HEADER + name->length;
    return read16(tail) == question->type && read16(tail + 2) == CLASS_IN;
}

/* --- a walk over records; `at` stays within `length`, and 0 says that the message ends too early --- */

static size_t skip_name(const uint8_t *message, size_t length, size_t at) {
    while (at < length && message[at] != 0) {
        if (message[at] >= 0xc0)
            return at + 2 <= length ? at + 2 : 0;
        at += message[at] + 1u;
    }
    return at < length ? at + 1 : 0;
}

struct record_view {
    uint16_t type;
    uint16_t data_length;
    uint8_t extended_rcode; /* of an OPT */
    const uint8_t *data;
};

static size_t next_record(const uint8_t *message, size_t length, size_t at, struct record_view *record) {
    at = skip_name(message, length, at);
    if (at == 0 || length - at < 10)
        return 0;
    record->type = read16(message + at);
    record->extended_rcode = message[at + 4];
    record->data_length = read16(message + at + 8);
    record->data = message + at + 10;
    return length - at - 10 >= record->data_length ? at + 10 + record->data_length : 0;
}

static uint16_t find_ede(const struct record_view *opt) {
    for (size_t at = 0; at + 4 <= opt->data_length;) {
        size_t size = read16(opt->data + at + 2);
        if (read16(opt->data + at) == OPTION_EDE && size >= 2 && at + 6 <= opt->data_length)
            return read16(opt->data + at + 4);
        at += 4 + size;
    }
    return 0;
}

/* Fills rcode and ede from the OPT. Returns whether the authority section begins with NS. */
static bool look_through(struct reply *reply, const uint8_t *message, size_t length, size_t at) {
    size_t answers = read16(message + 6), authority = answers + read16(message + 8), count = authority + read16(message + 10);
    bool referral = false;
    for (size_t i = 0; i < count && at != 0; i++) {
        struct record_view record;
        at = next_record(message, length, at, &record);
        if (at != 0 && i == answers && i < authority)
            referral = record.type == TYPE_NS;
        if (at != 0 && i >= authority && record.type == TYPE_OPT) {
            reply->rcode = (uint16_t)(reply->rcode | record.extended_rcode << 4);
            reply->ede = find_ede(&record);
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
    if (length < HEADER || read16(message) != id || (message[2] & (FLAG_QR | OPCODE_MASK)) != FLAG_QR)
        return reply;
    reply.rcode = message[3] & 0x0f;
    if (read16(message + 4) == 0 && length == HEADER && edns && kind_of(reply.rcode, true) == REPLY_PLAIN) {
        reply.kind = REPLY_PLAIN;
        return reply;
    }
    if (read16(message + 4) != 1 || !question_is(question, message, length))
        return reply;
    bool referral = false;
    if (read16(message + 6) == 0 || reply.rcode != RCODE_NOERROR)
        referral = look_through(&reply, message, length, HEADER + question->name.length + 4u);
    reply.kind = kind_of(reply.rcode, edns);
    if (reply.kind == REPLY_ANSWER && (message[2] & FLAG_TC))
        reply.kind = REPLY_TRUNCATED;
    else if (reply.kind == REPLY_ANSWER && referral && reply.rcode == RCODE_NOERROR && !(message[2] & FLAG_AA) &&
             !(message[3] & FLAG_RA))
        reply.kind = REPLY_REFUSAL; /* lame: it serves neither the name nor recursion */
    return reply;
}
