/* resolver/message.c: reads a client's query. The common packet (one question, at most an OPT behind it) takes one short pass. */
#include "resolver/message.h"

enum {
    EDNS_VERSION = 0,
    EDNS_DO = 0x8000,
    OPTION_KEEPALIVE = 11, /* RFC 7828 */
    OPTION_MAC = 65001,    /* dnsmasq --add-mac, six raw octets */
    UDP_MIN = 512,         /* what every client takes (RFC 1035 section 4.2.1) */
    OPT_FIXED = 11,        /* root owner, type, size, flags, length */
};

typedef uint8_t chunk __attribute__((vector_size(16)));

static void fold_chunk(uint8_t *to, const uint8_t *from) {
    chunk octets;
    memcpy(&octets, from, sizeof octets);
    octets |= (chunk)((chunk)(octets - 'A') < 26) & 0x20;
    memcpy(to, &octets, sizeof octets);
}

/* Copies `count` octets and lowers the letters among them. Length octets are below 'A', so that a whole wire name can be treated
 * alike. Sixteen at a time: the last chunk overlaps the one before, or, of a short name, goes beyond its end where the `room`
 * octets that may be read allow it (the name's buffer has room for any chunk that begins in a short name). */
static void fold_copy(uint8_t *to, const uint8_t *from, size_t count, size_t room) {
    if (count >= sizeof(chunk)) {
        size_t last = count - sizeof(chunk);
        for (size_t at = 0; at < last; at += sizeof(chunk))
            fold_chunk(to + at, from + at);
        fold_chunk(to + last, from + last);
    } else if (room >= sizeof(chunk)) {
        fold_chunk(to, from);
    } else {
        for (size_t i = 0; i < count; i++)
            to[i] = (uint8_t)(from[i] | ((uint8_t)(from[i] - 'A') < 26) << 5);
    }
}

/* Reads the question's name into *name, lower case; returns its octets, 0 if it isn't a plain, uncompressed name. */
static size_t question_name(struct name *name, const uint8_t *wire, size_t length) {
    size_t at = 0, room = length;
    unsigned labels = 0;
    if (length > NAME_WIRE_MAX)
        length = NAME_WIRE_MAX;
    while (at < length && wire[at] != 0) {
        if (wire[at] > NAME_LABEL_MAX)
            return 0;
        at += wire[at] + 1U;
        labels++;
    }
    if (at >= length)
        return 0;
    name->length = (uint8_t)(at + 1);
    name->labels = (uint8_t)labels;
    fold_copy(name->wire, wire, at + 1, room);
    return at + 1;
}

static bool read_options(struct message *message, const uint8_t *options, size_t length) {
    struct wire wire;
    wire_init(&wire, options, length, 0);
    while (wire.at < wire.length && !wire.bad) {
        uint16_t code = wire_u16(&wire), size = wire_u16(&wire);
        const uint8_t *value = wire_take(&wire, size);
        if (!value)
            break;
        if (code == OPTION_KEEPALIVE) {
            message->keepalive = true;
        } else if (code == OPTION_MAC && size == sizeof message->mac) {
            memcpy(message->mac, value, size);
            message->has_mac = true;
        }
    }
    return !wire.bad;
}

/* An OPT record whose owner was read; `fields` are its class and TTL (RFC 6891 section 6.1.2). */
static enum message_fault read_opt(struct message *message, uint16_t size, uint32_t fields, const uint8_t *options, size_t length) {
    if (message->edns)
        return MESSAGE_FORMERR;
    message->edns = true;
    message->limit = size < UDP_MIN ? UDP_MIN : size;
    message->dnssec_ok = message->question.dnssec_ok = (fields & EDNS_DO) != 0;
    if ((fields >> 16 & 0xFF) > EDNS_VERSION)
        return MESSAGE_BADVERS;
    return length == 0 || read_options(message, options, length) ? MESSAGE_OK : MESSAGE_FORMERR;
}

/* Whatever stands behind the question, when it isn't just an OPT. */
static enum message_fault read_additional(struct message *message, const uint8_t *packet, size_t length, size_t at,
                                          unsigned count) {
    struct wire wire;
    wire_init(&wire, packet, length, 0);
    wire.at = at;
    enum message_fault fault = MESSAGE_OK;
    for (; count > 0 && fault == MESSAGE_OK; count--) {
        struct wire_record record;
        wire_record(&wire, &record);
        if (wire.bad)
            return MESSAGE_FORMERR;
        if (record.type == TYPE_OPT)
            fault = record.owner.labels == 0
                        ? read_opt(message, record.class, record.ttl, packet + record.rdata_at, record.rdlength)
                        : MESSAGE_FORMERR;
    }
    return fault == MESSAGE_OK && wire.at != length ? MESSAGE_FORMERR : fault;
}

/* Types that are no data type (RFC 6895 section 3.1): transfers are refused, ANY is asked for, the others stand in no question
 * (RFC 9824 says so of the first, NXNAME). */
static inline enum message_fault check_type(uint16_t type) {
    if (type > 0 && type < TYPE_OPT) /* nearly always */
        return MESSAGE_OK;
    switch (type) {
    case TYPE_AXFR:
    case TYPE_IXFR:
        return MESSAGE_REFUSED;
    case TYPE_ANY:
        return MESSAGE_OK;
    case 0:
    case TYPE_OPT:
        return MESSAGE_FORMERR;
    default:
        return type >= TYPE_META_FIRST && type < TYPE_ANY ? MESSAGE_FORMERR : MESSAGE_OK;
    }
}

/* Who sends an OPT gets one back, whatever else is wrong with the message (RFC 6891 section 6.1.1). */
static void look_for_opt(struct message *message, const uint8_t *packet, size_t length) {
    struct wire wire;
    struct wire_record record;
    wire_init(&wire, packet, length, 0);
    wire.at = WIRE_HEADER;
    for (unsigned count = wire_get16(packet + 4); count > 0 && !wire.bad; count--) {
        wire_name(&wire, &record.owner);
        wire_take(&wire, 4);
    }
    for (unsigned count = (unsigned)wire_get16(packet + 6) + wire_get16(packet + 8); count > 0 && !wire.bad; count--)
        wire_record(&wire, &record);
    for (unsigned count = wire_get16(packet + 10); count > 0 && !message->edns && !wire.bad; count--) {
        wire_record(&wire, &record);
        if (record.type == TYPE_OPT && record.owner.labels == 0)
            (void)read_opt(message, record.class, record.ttl, NULL, 0);
    }
}

static enum message_fault read_query(struct message *message, const uint8_t *packet, size_t length) {
    message->id = wire_get16(packet);
    message->flags = wire_get16(packet + 2);
    message->question_length = 0;
    message->limit = UDP_MIN;
    message->edns = message->dnssec_ok = message->keepalive = message->has_mac = false;
    if (message->flags & FLAG_QR)
        return MESSAGE_DROP;
    if (message->flags & FLAG_OPCODE)
        return MESSAGE_NOTIMP;
    if (wire_get16(packet + 4) != 1)
        return MESSAGE_FORMERR;
    size_t name = question_name(&message->question.name, packet + WIRE_HEADER, length - WIRE_HEADER);
    size_t at = WIRE_HEADER + name + 4;
    if (name == 0 || at > length)
        return MESSAGE_FORMERR;
    message->question_length = (uint16_t)(name + 4);
    message->question.type = wire_get16(packet + at - 4);
    message->question.dnssec_ok = false;
    message->question.checking_disabled = (message->flags & FLAG_CD) != 0;
    uint16_t class = wire_get16(packet + at - 2);

    enum message_fault fault = MESSAGE_OK;
    unsigned additional = wire_get16(packet + 10);
    const uint8_t *opt = packet + at;
    if (message->question.type == TYPE_IXFR && wire_get16(packet + 6) == 0)
        additional += wire_get16(packet + 8); /* the SOA that the asker has (RFC 1995 section 3) */
    else if (wire_get32(packet + 6) != 0)
        return MESSAGE_FORMERR;
    if (message->flags & FLAG_TC)
        return MESSAGE_FORMERR;
    if (additional == 1 && length - at >= OPT_FIXED && opt[0] == 0 && wire_get16(opt + 1) == TYPE_OPT &&
        wire_get16(opt + 9) == length - at - OPT_FIXED)
        fault = read_opt(message, wire_get16(opt + 3), wire_get32(opt + 5), opt + OPT_FIXED, length - at - OPT_FIXED);
    else if (additional != 0 || at != length)
        fault = read_additional(message, packet, length, at, additional);
    if (fault == MESSAGE_OK && class != CLASS_IN)
        return MESSAGE_REFUSED;
    return fault == MESSAGE_OK ? check_type(message->question.type) : fault;
}

enum message_fault message_parse(struct message *message, const uint8_t *packet, size_t length) {
    if (length < WIRE_HEADER)
        return MESSAGE_DROP;
    enum message_fault fault = read_query(message, packet, length);
    if (fault != MESSAGE_OK && fault != MESSAGE_DROP && !message->edns)
        look_for_opt(message, packet, length);
    return fault;
}
