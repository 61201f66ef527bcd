/* resolver/wire.c: names, records and compression on the wire; the bounds of everything that is read are checked here. */
#include "resolver/wire.h"

static uint8_t lower(uint8_t c) {
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

void wire_fold(struct name *name) {
    /* Length octets are at most 63 and so never letters: the whole wire form can be folded without looking at labels. */
    for (unsigned i = 0; i < name->length; i++)
        name->wire[i] = lower(name->wire[i]);
}

/* Appends a label that stands at message offset `at` to the name; false when the name grows too long. */
static bool append_label(const struct wire *wire, size_t at, uint8_t length, struct name *name) {
    if (name->length + 1U + length + 1U > NAME_WIRE_MAX)
        return false;
    const uint8_t *from = wire->data + (at - wire->origin);
    uint8_t *to = name->wire + name->length;
    memcpy(to, from, length + 1U);
    if (at < wire->folded) {
        for (unsigned i = 1; i <= length; i++)
            to[i] = lower(to[i]);
    }
    name->length = (uint8_t)(name->length + length + 1);
    name->labels++;
    return true;
}

/* Walks from message offset `at`; returns the offset behind the name's first stretch, 0 on error. */
static size_t walk_name(const struct wire *wire, size_t at, struct name *name) {
    size_t end = 0, ceiling = at;
    size_t limit = wire->origin + wire->length;
    name->length = name->labels = 0;
    for (;;) {
        if (at < wire->origin || at >= limit)
            return 0;
        uint8_t octet = wire->data[at - wire->origin];
        if (octet == 0) {
            name->wire[name->length++] = 0;
            return end ? end : at + 1;
        }
        if (octet <= NAME_LABEL_MAX) {
            if (limit - at <= octet || !append_label(wire, at, octet, name))
                return 0;
            at += octet + 1U;
        } else {
            if (octet < 0xC0 || limit - at < 2)
                return 0;
            if (!end)
                end = at + 2;
            at = (size_t)(octet & 0x3F) << 8 | wire->data[at + 1 - wire->origin];
            if (at >= ceiling)
                return 0;
            ceiling = at;
        }
    }
}

void wire_name(struct wire *wire, struct name *name) {
    size_t end = wire->bad ? 0 : walk_name(wire, wire->at + wire->origin, name);
    if (end == 0) {
        wire->bad = true;
        name->length = 1;
        name->labels = 0;
        name->wire[0] = 0;
        return;
    }
    wire->at = end - wire->origin;
}

/* What stands behind the owner. */
static void read_fields(struct wire *wire, struct wire_record *record) {
    const uint8_t *fields = wire_take(wire, 10);
    record->rdlength = fields ? wire_get16(fields + 8) : 0;
    record->rdata_at = wire->at;
    if (!wire_take(wire, record->rdlength)) {
        record->type = record->class = record->rdlength = 0;
        record->ttl = 0;
        return;
    }
    record->type = wire_get16(fields);
    record->class = wire_get16(fields + 2);
    record->ttl = wire_get32(fields + 4);
}

void wire_record(struct wire *wire, struct wire_record *record) {
    wire_name(wire, &record->owner);
    wire_fold(&record->owner);
    read_fields(wire, record);
}

void wire_record_bare(struct wire *wire, struct wire_record *record) {
    uint8_t octet;
    while ((octet = wire_u8(wire)) != 0 && octet <= NAME_LABEL_MAX)
        wire_take(wire, octet);
    if (octet != 0)
        wire_take(wire, 1); /* the other half of a pointer */
    record->owner.length = 0;
    read_fields(wire, record);
}

/* A reader over one record's rdata, with the whole message in sight for compression pointers. */
static struct wire rdata_reader(const struct wire *wire, const struct wire_record *record) {
    struct wire rdata = *wire;
    rdata.bad = false;
    rdata.at = record->rdata_at;
    return rdata;
}

bool wire_rdata_name(const struct wire *wire, const struct wire_record *record, struct name *name) {
    struct wire rdata = rdata_reader(wire, record);
    wire_name(&rdata, name);
    wire_fold(name);
    return !rdata.bad && rdata.at == record->rdata_at + record->rdlength;
}

void wire_put(struct wire_out *out, const void *octets, size_t count) {
    uint8_t *p = wire_room(out, count);
    if (p && count)
        memcpy(p, octets, count);
}

void wire_put16(struct wire_out *out, unsigned value) {
    uint8_t *p = wire_room(out, 2);
    if (p)
        wire_set16(p, value);
}

void wire_put32(struct wire_out *out, uint32_t value) {
    uint8_t *p = wire_room(out, 4);
    if (p)
        wire_set32(p, value);
}

/* Our own output: pointers are known to be sound. */
static size_t resolve(const uint8_t *data, size_t at) {
    while (data[at] >= 0xC0)
        at = (size_t)(data[at] & 0x3F) << 8 | data[at + 1];
    return at;
}

size_t wire_suffix(const uint8_t *data, size_t at, unsigned skip) {
    at = resolve(data, at);
    while (skip-- && data[at])
        at = resolve(data, at + data[at] + 1U);
    return at;
}

/* Is the name that was written at `at` the same as this one? */
static bool same_suffix(const uint8_t *data, size_t at, const uint8_t *name, bool fold) {
    for (;;) {
        at = resolve(data, at);
        uint8_t length = data[at];
        if (length != *name)
            return false;
        if (length == 0)
            return true;
        for (unsigned i = 1; i <= length; i++) {
            if (data[at + i] != name[i] && !(fold && lower(data[at + i]) == lower(name[i])))
                return false;
        }
        at += length + 1U;
        name += length + 1U;
    }
}

static void remember(struct wire_out *out, size_t at) {
    if (at <= WIRE_POINTER_MAX && out->suffixes < WIRE_SUFFIXES_MAX)
        out->suffix[out->suffixes++] = (uint16_t)at;
}

void wire_learn(struct wire_out *out, size_t at) {
    for (; out->data[at] && out->data[at] <= NAME_LABEL_MAX; at += out->data[at] + 1U)
        remember(out, at);
}

void wire_put_name(struct wire_out *out, const struct name *name, bool compress, bool fold) {
    const uint8_t *label = name->wire;
    unsigned known = out->suffixes;
    size_t start = out->at;
    for (; *label; label += *label + 1U) {
        for (unsigned i = 0; compress && i < known; i++) {
            if (same_suffix(out->data, out->suffix[i], label, fold)) {
                wire_put16(out, 0xC000U | out->suffix[i]);
                return;
            }
        }
        size_t at = start + (size_t)(label - name->wire);
        wire_put(out, label, *label + 1U);
        if (!out->full)
            remember(out, at);
    }
    wire_put(out, label, 1);
}

/* How rdata of the types that may hold names is laid out: `before` octets, `names` names, `after` octets. RFC 3597 section 4 lists
 * those that may be sent compressed (RFC 1035's own), and those that a receiver must expand all the same. */
struct layout {
    uint16_t type;
    uint8_t before, names, after;
    bool compress;
};
static const struct layout layouts[] = {
    {TYPE_NS, 0, 1, 0, true},  {TYPE_CNAME, 0, 1, 0, true}, {TYPE_SOA, 0, 2, 20, true},   {TYPE_MB, 0, 1, 0, true},
    {TYPE_MG, 0, 1, 0, true},  {TYPE_MR, 0, 1, 0, true},    {TYPE_PTR, 0, 1, 0, true},    {TYPE_MINFO, 0, 2, 0, true},
    {TYPE_MX, 2, 1, 0, true},  {TYPE_RP, 0, 2, 0, false},   {TYPE_AFSDB, 2, 1, 0, false}, {TYPE_RT, 2, 1, 0, false},
    {TYPE_PX, 2, 2, 0, false}, {TYPE_SRV, 6, 1, 0, false},  {TYPE_KX, 2, 1, 0, false},    {TYPE_DNAME, 0, 1, 0, false},
};

static const struct layout *layout_of(uint16_t type) {
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        if (layouts[i].type == type)
            return &layouts[i];
    }
    return NULL;
}

/* False when the rdata isn't what its type demands. */
static bool copy_rdata(struct wire_out *out, const struct wire *wire, const struct wire_record *record) {
    bool address = record->type == TYPE_A || record->type == TYPE_AAAA;
    const struct layout *layout = address ? NULL : layout_of(record->type);
    if (!layout) {
        if (address && record->rdlength != (record->type == TYPE_A ? 4 : 16))
            return false;
        wire_put(out, wire->data + record->rdata_at, record->rdlength);
        return true;
    }
    struct wire rdata = rdata_reader(wire, record);
    const uint8_t *fixed = wire_take(&rdata, layout->before);
    if (!fixed)
        return false;
    wire_put(out, fixed, layout->before);
    for (unsigned i = 0; i < layout->names; i++) {
        struct name name;
        wire_name(&rdata, &name);
        if (rdata.bad)
            return false;
        wire_put_name(out, &name, layout->compress, false);
    }
    fixed = wire_take(&rdata, layout->after);
    if (!fixed || rdata.at != record->rdata_at + record->rdlength)
        return false;
    wire_put(out, fixed, layout->after);
    return true;
}

size_t wire_copy_rest(struct wire_out *out, const struct wire *wire, const struct wire_record *record, uint32_t ttl) {
    size_t at = out->at;
    uint8_t *fixed = wire_room(out, 10);
    if (!fixed)
        return 0;
    wire_set16(fixed, record->type);
    wire_set16(fixed + 2, record->class);
    wire_set32(fixed + 4, ttl);
    if (!copy_rdata(out, wire, record) || out->full)
        return 0;
    wire_set16(fixed + 8, (unsigned)(out->at - at - 10));
    return at + 4;
}

size_t wire_copy_record(struct wire_out *out, const struct wire *wire, const struct wire_record *record, uint32_t ttl) {
    wire_put_name(out, &record->owner, true, true);
    return wire_copy_rest(out, wire, record, ttl);
}
