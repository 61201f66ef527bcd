/* resolver/reply.c: writes the message that goes back to a client. */
#include "resolver/reply.h"

#include <limits.h>

#include "resolver/query.h"

enum {
    OPT_OCTETS = 11,
    OPTION_KEEPALIVE = 11,
    OPTION_EDE = 15,
    OPTION_OCTETS = 6, /* code, length, two octets of value: both options that we send */
};

static size_t limit_of(const struct reply *reply) {
    if (reply->tcp)
        return QUERY_REPLY_MAX;
    return reply->message->limit < QUERY_UDP_MAX ? reply->message->limit : QUERY_UDP_MAX;
}

static size_t opt_octets(const struct reply *reply, unsigned ede) {
    if (!reply->message->edns)
        return 0;
    size_t options = (ede ? 1U : 0U) + (reply->tcp && reply->message->keepalive ? 1U : 0U);
    return OPT_OCTETS + options * OPTION_OCTETS;
}

static uint8_t *put_option(uint8_t *p, unsigned code, unsigned value) {
    wire_set16(p, code);
    wire_set16(p + 2, 2);
    wire_set16(p + 4, value);
    return p + OPTION_OCTETS;
}

/* Header and OPT around what stands between; returns the whole length. */
static inline size_t seal(const struct reply *reply, size_t at, unsigned flags, unsigned ancount, unsigned nscount, unsigned rcode,
                          unsigned ede) {
    const struct message *message = reply->message;
    uint8_t *out = reply->out;
    size_t opt = opt_octets(reply, ede);
    wire_set16(out, message->id);
    wire_set16(out + 2, FLAG_QR | FLAG_RA | flags | (message->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)) | (rcode & FLAG_RCODE));
    wire_set16(out + 4, message->question_length != 0);
    wire_set16(out + 6, ancount);
    wire_set16(out + 8, nscount);
    wire_set16(out + 10, opt != 0);
    if (opt == 0)
        return at;
    uint8_t *p = out + at;
    p[0] = 0;
    wire_set16(p + 1, TYPE_OPT);
    wire_set16(p + 3, QUERY_UDP_MAX);
    p[5] = (uint8_t)(rcode >> 4);
    p[6] = 0;
    wire_set16(p + 7, message->dnssec_ok ? 0x8000 : 0);
    wire_set16(p + 9, (unsigned)(opt - OPT_OCTETS));
    p += OPT_OCTETS;
    if (ede)
        p = put_option(p, OPTION_EDE, ede);
    if (reply->tcp && message->keepalive)
        put_option(p, OPTION_KEEPALIVE, REPLY_KEEPALIVE);
    return at + opt;
}

static inline size_t put_question(const struct reply *reply) {
    name_put(reply->out + WIRE_HEADER, reply->packet + WIRE_HEADER, reply->message->question_length);
    return WIRE_HEADER + reply->message->question_length;
}

size_t reply_empty(const struct reply *reply, unsigned rcode, unsigned ede) {
    return seal(reply, put_question(reply), 0, 0, 0, rcode, ede);
}

size_t reply_truncated(const struct reply *reply) {
    return seal(reply, put_question(reply), FLAG_TC, 0, 0, RCODE_NOERROR, 0);
}

static unsigned authentic_flag(const struct message *message, bool authentic) {
    return authentic && ((message->flags & FLAG_AD) || message->dnssec_ok) ? FLAG_AD : 0;
}

static unsigned stale_ede(uint8_t rcode) {
    return rcode == RCODE_NXDOMAIN ? REPLY_EDE_STALE_NXDOMAIN : REPLY_EDE_STALE;
}

size_t reply_answer(const struct reply *reply, const struct answer *answer, uint32_t age, bool stale) {
    unsigned ede = stale ? stale_ede(answer->rcode) : 0;
    size_t length = WIRE_HEADER + answer->length;
    if (length + opt_octets(reply, ede) > limit_of(reply))
        return reply->tcp ? reply_empty(reply, RCODE_SERVFAIL, 0) : reply_truncated(reply);
    uint8_t *octets = reply->out + WIRE_HEADER;
    memcpy(octets, answer_octets(answer), answer->length);
    put_question(reply);
    for (unsigned i = 0; i < answer->ttl_count; i++) {
        uint8_t *field = octets + answer->ttl_at[i];
        uint32_t ttl = wire_get32(field);
        wire_set32(field, stale ? REPLY_STALE_TTL : ttl > age ? ttl - age : 0);
    }
    return seal(reply, length, authentic_flag(reply->message, answer->flags & ANSWER_AUTHENTIC), answer->ancount, answer->nscount,
                answer->rcode, ede);
}

size_t reply_policy(const struct reply *reply, const struct answer_bytes *bytes, size_t owner, bool extended_error) {
    unsigned ede = extended_error ? bytes->ede : 0;
    size_t at = put_question(reply);
    if (at + bytes->length + opt_octets(reply, ede) > limit_of(reply))
        return reply->tcp ? reply_empty(reply, RCODE_SERVFAIL, 0) : reply_truncated(reply);
    if (bytes->length) {
        name_put(reply->out + at, bytes->bytes, bytes->length);
        if (bytes->nscount)
            wire_set16(reply->out + at, 0xC000U | (unsigned)owner);
    }
    return seal(reply, at + bytes->length, 0, bytes->ancount, bytes->nscount, bytes->rcode, ede);
}

size_t reply_local(const struct reply *reply, const struct local *local) {
    struct wire_out out;
    wire_out_init(&out, reply->out, limit_of(reply), put_question(reply));
    bool answer = local_write(local, &reply->message->question.name, &out);
    if (out.full || out.at + opt_octets(reply, 0) > limit_of(reply))
        return reply_truncated(reply);
    return seal(reply, out.at, 0, answer, !answer, local->rcode, 0);
}

/* --- replies put together --- */

void reply_begin(struct reply_parts *parts, const struct reply *reply, unsigned ede) {
    parts->reply = reply;
    parts->ede = ede;
    parts->ancount = parts->nscount = 0;
    parts->signatures = false;
    parts->last = WIRE_HEADER;
    wire_out_init(&parts->out, reply->out, limit_of(reply) - opt_octets(reply, ede), put_question(reply));
    wire_learn(&parts->out, WIRE_HEADER);
}

static uint32_t aged(uint32_t ttl, uint32_t age, bool stale) {
    return stale ? REPLY_STALE_TTL : ttl > age ? ttl - age : 0;
}

/* Copies `count` records, the last of them the given number of CNAMEs; leaves RRSIGs out where they are dropped. */
static uint16_t copy_records(struct reply_parts *parts, struct wire *wire, unsigned count, unsigned cnames, uint32_t age,
                             bool stale) {
    bool signatures = parts->signatures || parts->reply->message->question.type == TYPE_RRSIG;
    uint16_t copied = 0;
    while (count-- > 0 && cnames > 0 && !parts->out.full) {
        struct wire_record record;
        wire_record(wire, &record);
        if (wire->bad)
            break;
        if (record.type == TYPE_RRSIG && !signatures)
            continue;
        size_t at = wire_copy_record(&parts->out, wire, &record, aged(record.ttl, age, stale));
        if (at == 0)
            break;
        copied++;
        if (record.type == TYPE_CNAME) {
            parts->last = at + 6; /* behind TTL and length: the target */
            cnames--;
        }
    }
    return copied;
}

static struct wire records_of(const struct answer *answer) {
    struct wire wire;
    wire_init(&wire, answer_octets(answer), answer->length, WIRE_HEADER);
    wire.at = answer->question;
    return wire;
}

void reply_chain(struct reply_parts *parts, const struct answer *answer, uint32_t age, bool stale, unsigned cnames) {
    struct wire wire = records_of(answer);
    if (stale)
        parts->ede = parts->ede ? parts->ede : stale_ede(answer->rcode);
    parts->ancount = (uint16_t)(parts->ancount + copy_records(parts, &wire, answer->ancount, cnames, age, stale));
}

void reply_authority(struct reply_parts *parts, const struct answer *answer, uint32_t age, bool stale) {
    struct wire wire = records_of(answer);
    for (unsigned i = 0; i < answer->ancount; i++) {
        struct wire_record record;
        wire_record(&wire, &record);
    }
    parts->nscount = (uint16_t)(parts->nscount + copy_records(parts, &wire, answer->nscount, UINT_MAX, age, stale));
}

/* A pointer to the name that the chain has come to, or to what is left of it without its first `skip` labels. */
static void put_last(struct reply_parts *parts, unsigned skip) {
    if (parts->out.full)
        return;
    size_t at = wire_suffix(parts->out.data, parts->last, skip);
    if (at > WIRE_POINTER_MAX)
        parts->out.full = true;
    wire_put16(&parts->out, 0xC000U | (unsigned)at);
}

void reply_cname(struct reply_parts *parts, const struct name *target, uint32_t ttl) {
    put_last(parts, 0);
    wire_put16(&parts->out, TYPE_CNAME);
    wire_put16(&parts->out, CLASS_IN);
    wire_put32(&parts->out, ttl);
    size_t length_at = parts->out.at;
    wire_put16(&parts->out, 0);
    wire_put_name(&parts->out, target, true, false);
    if (parts->out.full)
        return;
    wire_set16(parts->out.data + length_at, (unsigned)(parts->out.at - length_at - 2));
    parts->last = length_at + 2;
    parts->ancount++;
}

void reply_bytes(struct reply_parts *parts, const struct answer_bytes *bytes, unsigned skip) {
    enum { OWNER = 2, FIXED = 8, LENGTH = 2 };
    struct wire wire;
    wire_init(&wire, bytes->bytes, bytes->length, 0);
    for (unsigned i = 0; i < (unsigned)bytes->ancount + bytes->nscount; i++) {
        wire_take(&wire, OWNER);
        const uint8_t *rest = wire_take(&wire, FIXED + LENGTH);
        uint16_t length = rest ? wire_get16(rest + FIXED) : 0;
        if (!wire_take(&wire, length))
            break;
        put_last(parts, i < bytes->ancount ? 0 : skip);
        wire_put(&parts->out, rest, FIXED + LENGTH + (size_t)length);
    }
    parts->ancount = (uint16_t)(parts->ancount + bytes->ancount);
    parts->nscount = (uint16_t)(parts->nscount + bytes->nscount);
}

size_t reply_end(struct reply_parts *parts, unsigned rcode, bool authentic) {
    const struct reply *reply = parts->reply;
    if (parts->out.full || parts->out.at + opt_octets(reply, parts->ede) > limit_of(reply))
        return reply->tcp ? reply_empty(reply, RCODE_SERVFAIL, 0) : reply_truncated(reply);
    return seal(reply, parts->out.at, authentic_flag(reply->message, authentic), parts->ancount, parts->nscount, rcode, parts->ede);
}
