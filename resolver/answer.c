/* resolver/answer.c: reduces an upstream message to what its question permits, and rebuilds it in the form that the cache keeps.
 *
 * Every record is read once, into a table. The answer section is then walked from the question's name along CNAMEs and DNAMEs;
 * nothing that this walk doesn't reach is copied. A message is rejected as a whole when any of its records can't be parsed: half an
 * answer is worse than another server's. */
#include "resolver/answer.h"

#include <errno.h>
#include <stdlib.h>

#include "resolver/wire.h"

enum {
    CHAIN_MAX = 17,     /* names in one message's chain; longer ones are loops or worse */
    RECORDS_MAX = 5957, /* 65,535 octets hold no more (11 octets each) */
    PROOFS_MAX = 16,    /* NSEC or NSEC3 sets kept: an honest answer needs at most a few a chain link */
    SECTION_ANSWER = 0,
    SECTION_AUTHORITY = 1,
    RECORD_FIXED = 10, /* octets of type, class, TTL and length */
    POINTER = 0xC0,    /* the first octet of a compression pointer, at least */
    NOWHERE = UINT16_MAX,
};

/* A record of class IN, as it stands in the message. */
struct entry {
    uint32_t sketch; /* of the owner */
    uint32_t ttl;
    uint16_t owner; /* offset of the owner's first label, pointers resolved: who has the same has the same owner */
    uint16_t type;
    uint16_t rdata, rdlength;
};

/* A name that records are looked for under. */
struct known {
    struct name name;
    uint32_t sketch;
    uint16_t at; /* where it stands in the message, as struct entry's owner, or NOWHERE */
};

/* What is known while one message is read. */
struct build {
    const struct question *question;
    struct wire message;
    uint16_t flags;
    const struct answer_limits *limits;

    struct known chain[CHAIN_MAX]; /* chain[0] is the question's name, the last the name whose data is wanted */
    unsigned names;

    struct wire_out out;
    unsigned ttls, addresses;
    uint32_t ttl; /* the least */
    uint16_t ancount, nscount;
    uint8_t answer_flags;
    bool found;    /* the asked type stands at the chain's end */
    bool overlong; /* a DNAME makes a name of the chain's end that is too long to be one */
    bool failed;
    unsigned begin[3]; /* where a section's entries begin, and where the last one's end */
    struct entry entries[RECORDS_MAX];
    uint16_t ttl_at[RECORDS_MAX];
    uint8_t octets[65535];
};

/* What equal names have in common; most that differ don't. */
static uint32_t sketch_of(const struct name *name) {
    uint32_t first = name->length > 4 ? wire_get32(name->wire + 1) : 0;
    return (first ^ name->wire[name->length / 2]) * 31 + name->length * 128U + name->labels;
}

static uint32_t clamp(const struct answer_limits *limits, uint32_t ttl) {
    if (ttl > INT32_MAX)
        ttl = 0;
    if (ttl < limits->min_ttl)
        ttl = limits->min_ttl;
    return ttl > limits->max_ttl ? limits->max_ttl : ttl;
}

/* --- reading --- */

/* The name at an offset of the message, in lower case; false if there is none. */
static bool name_at(const struct build *build, size_t at, struct name *name) {
    struct wire wire = build->message;
    wire.at = at;
    wire.bad = false;
    wire_name(&wire, name);
    wire_fold(name);
    return !wire.bad;
}

/* Of a name that was found to be sound. */
static uint16_t resolve(const struct build *build, size_t at) {
    const uint8_t *data = build->message.data;
    while (data[at] >= POINTER)
        at = wire_get16(data + at) & WIRE_POINTER_MAX;
    return (uint16_t)at;
}

/* Nearly every owner is the question's name or that of the record before, by a pointer. */
static void read_owner(const struct build *build, struct wire *wire, struct entry *entry, bool first) {
    size_t at = wire->at;
    unsigned pointer = wire->length - at >= 2 ? wire_get16(wire->data + at) : 0;
    if (pointer == (POINTER << 8 | WIRE_HEADER)) {
        entry->owner = WIRE_HEADER;
        entry->sketch = build->chain[0].sketch;
        wire->at = at + 2;
    } else if (!first && pointer == (POINTER << 8 | entry[-1].owner)) {
        entry->owner = entry[-1].owner;
        entry->sketch = entry[-1].sketch;
        wire->at = at + 2;
    } else {
        struct name name;
        wire_name(wire, &name);
        wire_fold(&name);
        entry->owner = wire->bad ? 0 : resolve(build, at);
        entry->sketch = sketch_of(&name);
    }
}

/* Reads a section's records behind `entries`; returns how many are there then. */
static unsigned read_records(struct build *build, struct wire *wire, unsigned count, unsigned entries) {
    for (unsigned first = entries; count > 0; count--) {
        struct entry *entry = &build->entries[entries];
        if (entries == RECORDS_MAX)
            wire->bad = true;
        else
            read_owner(build, wire, entry, entries == first);
        const uint8_t *fixed = wire_take(wire, RECORD_FIXED);
        if (!fixed)
            break;
        entry->type = wire_get16(fixed);
        entry->ttl = wire_get32(fixed + 4);
        entry->rdlength = wire_get16(fixed + 8);
        entry->rdata = (uint16_t)wire->at;
        if (!wire_take(wire, entry->rdlength))
            break;
        entries += wire_get16(fixed + 2) == CLASS_IN;
    }
    return entries;
}

/* The question section: the very one that was asked, but for letter case. */
static bool is_question(const struct question *question, const uint8_t *octets, size_t length) {
    const struct name *name = &question->name;
    if (length < name->length + 4U || wire_get16(octets + name->length) != question->type ||
        wire_get16(octets + name->length + 2) != CLASS_IN)
        return false;
    if (memcmp(octets, name->wire, name->length) == 0)
        return true;
    struct name there = {.length = name->length};
    memcpy(there.wire, octets, name->length);
    wire_fold(&there);
    return memcmp(there.wire, name->wire, name->length) == 0;
}

/* Header and question; then every record of the message must parse. */
static int read_message(struct build *build) {
    struct wire wire = build->message;
    const struct question *question = build->question;
    const uint8_t *header = wire_take(&wire, WIRE_HEADER);
    if (!header || wire.length > UINT16_MAX)
        return -EBADMSG;
    build->flags = wire_get16(header + 2);
    uint8_t rcode = build->flags & FLAG_RCODE;
    if (wire_get16(header + 4) != 1 || !(build->flags & FLAG_QR) || (build->flags & (FLAG_OPCODE | FLAG_TC)) ||
        (rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN && rcode != RCODE_YXDOMAIN) ||
        !is_question(question, wire.data + wire.at, wire.length - wire.at))
        return -EBADMSG;
    wire.at += question->name.length + 4U;
    build->message.folded = wire.folded = wire.at;
    struct known *first = &build->chain[0];
    name_copy(&first->name, &question->name);
    first->sketch = sketch_of(&question->name);
    first->at = WIRE_HEADER;
    build->names = 1;
    unsigned entries = 0;
    for (unsigned i = 0; i < 3; i++) {
        build->begin[i] = entries;
        entries = read_records(build, &wire, wire_get16(header + 6 + 2 * i), entries);
    }
    return wire.bad ? -EBADMSG : 0;
}

/* --- looking --- */

static bool owned_by(const struct build *build, const struct entry *entry, const struct known *owner) {
    struct name name;
    if (entry->owner == owner->at || entry->sketch != owner->sketch)
        return entry->owner == owner->at;
    return name_at(build, entry->owner, &name) && name_equal(&name, &owner->name);
}

static void know_owner(const struct build *build, const struct entry *entry, struct known *known) {
    name_at(build, entry->owner, &known->name);
    known->sketch = entry->sketch;
    known->at = entry->owner;
}

static struct wire_record record_of(const struct entry *entry) {
    struct wire_record record;
    record.owner.length = 0; /* stands elsewhere */
    record.type = entry->type;
    record.class = CLASS_IN;
    record.ttl = entry->ttl;
    record.rdlength = entry->rdlength;
    record.rdata_at = entry->rdata;
    return record;
}

/* The name that the rdata of a CNAME or DNAME is. */
static bool know_target(const struct build *build, const struct entry *entry, struct known *known) {
    struct wire_record record = record_of(entry);
    if (!wire_rdata_name(&build->message, &record, &known->name))
        return false;
    known->sketch = sketch_of(&known->name);
    known->at = resolve(build, entry->rdata);
    return true;
}

static uint16_t covered_type(const struct build *build, const struct entry *entry) {
    return entry->type == TYPE_RRSIG && entry->rdlength > 18 ? wire_get16(build->message.data + entry->rdata) : 0;
}

/* What of the answer section concerns a name. */
struct sight {
    bool wanted; /* the type that was asked for (ANY: any) */
    unsigned cnames;
    const struct entry *cname, *dname; /* the first CNAME; the DNAME nearest above the name */
    struct known above;                /* that DNAME's owner */
};

static void look_at(const struct build *build, const struct known *name, struct sight *sight) {
    uint16_t type = build->question->type;
    sight->wanted = false;
    sight->cnames = 0;
    sight->cname = sight->dname = NULL;
    for (unsigned i = build->begin[SECTION_ANSWER]; i < build->begin[SECTION_AUTHORITY]; i++) {
        const struct entry *entry = &build->entries[i];
        bool wanted = entry->type == type || type == TYPE_ANY;
        if ((wanted || entry->type == TYPE_CNAME) && owned_by(build, entry, name)) {
            sight->wanted |= wanted;
            if (entry->type == TYPE_CNAME && sight->cnames++ == 0)
                sight->cname = entry;
        }
        if (entry->type == TYPE_DNAME) {
            struct known owner;
            know_owner(build, entry, &owner);
            if (owner.name.labels < name->name.labels && name_is_within(&name->name, &owner.name) &&
                (!sight->dname || owner.name.labels > sight->above.name.labels)) {
                sight->dname = entry;
                sight->above = owner;
            }
        }
    }
}

/* All records of one set have one TTL, the least of them (RFC 2181 section 5.2). */
static uint32_t set_ttl(const struct build *build, const struct known *owner, uint16_t type, unsigned which) {
    uint32_t ttl = UINT32_MAX;
    for (unsigned i = build->begin[which]; i < build->begin[which + 1]; i++) {
        const struct entry *entry = &build->entries[i];
        if (entry->type == type && entry->ttl < ttl && owned_by(build, entry, owner))
            ttl = entry->ttl;
    }
    return clamp(build->limits, ttl);
}

/* --- writing --- */

static void put_owner(struct build *build, const struct known *owner) {
    if (owner->at == WIRE_HEADER && owner->name.length > 1)
        wire_put16(&build->out, POINTER << 8 | WIRE_HEADER);
    else
        wire_put_name(&build->out, &owner->name, true, true);
}

/* Takes account of a record that was written; ttl_at 0: it wasn't. */
static void account(struct build *build, size_t ttl_at, uint16_t type, uint32_t ttl, unsigned which) {
    if (ttl_at == 0 || build->ttls == RECORDS_MAX) {
        build->failed = true;
        return;
    }
    build->ttl_at[build->ttls++] = (uint16_t)(ttl_at - WIRE_HEADER);
    if (ttl < build->ttl)
        build->ttl = ttl;
    if (type == TYPE_RRSIG)
        build->answer_flags |= ANSWER_SIGNED;
    if (which == SECTION_AUTHORITY) {
        build->nscount++;
        return;
    }
    build->ancount++;
    if (type == TYPE_CNAME || type == TYPE_DNAME)
        build->answer_flags |= ANSWER_CHAIN;
}

static void emit(struct build *build, const struct known *owner, const struct entry *entry, uint32_t ttl, unsigned which) {
    struct wire_record record = record_of(entry);
    put_owner(build, owner);
    account(build, wire_copy_rest(&build->out, &build->message, &record, ttl), entry->type, ttl, which);
    if (which == SECTION_ANSWER)
        build->addresses += answer_record_addresses(&build->message, &record, NULL, 0);
}

static void emit_signatures(struct build *build, const struct known *owner, uint16_t type, uint32_t ttl, unsigned which) {
    for (unsigned i = build->begin[which]; i < build->begin[which + 1] && !build->failed; i++)
        if (covered_type(build, &build->entries[i]) == type && owned_by(build, &build->entries[i], owner))
            emit(build, owner, &build->entries[i], ttl, which);
}

/* Copies the set of `type` at `owner` (ANY: all that stands there), then, where DNSSEC was asked for, its signatures. */
static void emit_set(struct build *build, const struct known *owner, uint16_t type, unsigned which) {
    uint32_t ttl = type == TYPE_ANY ? 0 : set_ttl(build, owner, type, which);
    for (unsigned i = build->begin[which]; i < build->begin[which + 1] && !build->failed; i++) {
        const struct entry *entry = &build->entries[i];
        if ((entry->type == type || type == TYPE_ANY) && owned_by(build, entry, owner))
            emit(build, owner, entry, type == TYPE_ANY ? clamp(build->limits, entry->ttl) : ttl, which);
    }
    if (build->question->dnssec_ok && type != TYPE_ANY)
        emit_signatures(build, owner, type, ttl, which);
}

/* A CNAME that the server left to us (RFC 6672 section 3.1: with the DNAME's TTL). */
static void emit_synthesized(struct build *build, const struct known *owner, const struct name *target, uint32_t ttl) {
    struct wire_out *out = &build->out;
    put_owner(build, owner);
    wire_put16(out, TYPE_CNAME);
    wire_put16(out, CLASS_IN);
    size_t ttl_at = out->at;
    wire_put32(out, ttl);
    wire_put16(out, 0);
    size_t rdata_at = out->at;
    wire_put_name(out, target, true, false);
    if (!out->full)
        wire_set16(out->data + rdata_at - 2, (unsigned)(out->at - rdata_at));
    account(build, out->full ? 0 : ttl_at, TYPE_CNAME, ttl, SECTION_ANSWER);
}

/* --- the chain --- */

/* What a DNAME makes of a name (RFC 6672 section 2.2); false when the outcome is too long. */
static bool substitute(const struct name *name, const struct name *owner, const struct name *target, struct known *result) {
    unsigned prefix = name->length - owner->length;
    if (prefix + target->length > NAME_WIRE_MAX)
        return false;
    memcpy(result->name.wire, name->wire, prefix);
    memcpy(result->name.wire + prefix, target->wire, target->length);
    result->name.length = (uint8_t)(prefix + target->length);
    result->name.labels = (uint8_t)(name->labels - owner->labels + target->labels);
    result->sketch = sketch_of(&result->name);
    result->at = NOWHERE;
    return true;
}

/* Goes one step along the chain: 1 a step was made, 0 the chain ends here, -1 it can't be right. */
static int follow(struct build *build, const struct sight *sight) {
    const struct known *here = &build->chain[build->names - 1];
    struct known target, made;
    if (!sight->cname && !sight->dname)
        return 0;
    if (build->names == CHAIN_MAX)
        return -1;
    if (sight->cname && !know_target(build, sight->cname, &target))
        return -1;
    if (sight->dname) {
        struct known onto;
        if (!know_target(build, sight->dname, &onto))
            return -1;
        bool fits = substitute(&here->name, &sight->above.name, &onto.name, &made);
        if (!sight->cname && !fits) {
            emit_set(build, &sight->above, TYPE_DNAME, SECTION_ANSWER);
            build->overlong = true;
            return 0;
        }
        if (!sight->cname || (fits && name_equal(&made.name, &target.name)))
            emit_set(build, &sight->above, TYPE_DNAME, SECTION_ANSWER);
    }
    if (sight->cname) {
        emit_set(build, here, TYPE_CNAME, SECTION_ANSWER);
    } else {
        target = made;
        emit_synthesized(build, here, &target.name, set_ttl(build, &sight->above, TYPE_DNAME, SECTION_ANSWER));
    }
    for (unsigned i = 0; i < build->names; i++) {
        if (name_equal(&build->chain[i].name, &target.name))
            return -1;
    }
    build->chain[build->names++] = target;
    return 1;
}

static int build_answer(struct build *build) {
    uint16_t type = build->question->type;
    for (int step = 1; step > 0;) {
        const struct known *here = &build->chain[build->names - 1];
        struct sight sight;
        look_at(build, here, &sight);
        if (sight.cnames > 1)
            return -EBADMSG; /* which one holds can't be said */
        build->found = sight.wanted;
        if (build->found)
            emit_set(build, here, type, SECTION_ANSWER);
        step = build->found || type == TYPE_CNAME || type == TYPE_ANY ? 0 : follow(build, &sight);
        if (step < 0)
            return -EBADMSG;
    }
    return build->failed ? -EBADMSG : 0;
}

/* --- the authority section --- */

/* True if the name is at or above one of the chain's names: then the answer's question permits data of that zone. */
static bool zone_of_chain(const struct build *build, const struct name *zone) {
    for (unsigned i = 0; i < build->names; i++) {
        if (name_is_within(&build->chain[i].name, zone))
            return true;
    }
    return false;
}

/* Proofs of non-existence count only where a signature names a zone that the chain lies in. */
static bool proof_belongs(const struct build *build, const struct known *owner, uint16_t type) {
    for (unsigned i = build->begin[SECTION_AUTHORITY]; i < build->begin[SECTION_AUTHORITY + 1]; i++) {
        const struct entry *entry = &build->entries[i];
        struct name signer;
        if (covered_type(build, entry) == type && owned_by(build, entry, owner) && name_at(build, entry->rdata + 18U, &signer) &&
            zone_of_chain(build, &signer) && name_is_within(&owner->name, &signer))
            return true;
    }
    return false;
}

/* NSEC and NSEC3 prove a negative answer, or a wildcard behind a positive one. Each owner's set is copied once. */
static void emit_proofs(struct build *build) {
    struct known owner;
    uint16_t last_type = 0;
    unsigned sets = 0;
    for (unsigned i = build->begin[SECTION_AUTHORITY]; i < build->begin[SECTION_AUTHORITY + 1]; i++) {
        const struct entry *entry = &build->entries[i];
        if (build->failed || sets == PROOFS_MAX)
            break;
        if ((entry->type != TYPE_NSEC && entry->type != TYPE_NSEC3) || (entry->type == last_type && owned_by(build, entry, &owner)))
            continue;
        struct known its;
        know_owner(build, entry, &its);
        if (!proof_belongs(build, &its, entry->type))
            continue;
        emit_set(build, &its, entry->type, SECTION_AUTHORITY);
        sets++;
        owner = its;
        last_type = entry->type;
    }
}

/* The SOA that makes an answer negative: at or above the chain's last name. Its TTL is the negative TTL (RFC 2308 section 5). */
static bool emit_soa(struct build *build, bool *delegation) {
    const struct name *end = &build->chain[build->names - 1].name;
    *delegation = false;
    for (unsigned i = build->begin[SECTION_AUTHORITY]; i < build->begin[SECTION_AUTHORITY + 1]; i++) {
        const struct entry *entry = &build->entries[i];
        struct known owner;
        *delegation |= entry->type == TYPE_NS;
        if (entry->type != TYPE_SOA || entry->rdlength < 22)
            continue;
        know_owner(build, entry, &owner);
        if (!name_is_within(end, &owner.name))
            continue;
        uint32_t minimum = wire_get32(build->message.data + entry->rdata + entry->rdlength - 4);
        uint32_t ttl = clamp(build->limits, entry->ttl < minimum ? entry->ttl : minimum);
        if (ttl > build->limits->max_negative_ttl)
            ttl = build->limits->max_negative_ttl;
        emit(build, &owner, entry, ttl, SECTION_AUTHORITY);
        if (build->question->dnssec_ok)
            emit_signatures(build, &owner, TYPE_SOA, ttl, SECTION_AUTHORITY);
        return true;
    }
    return false;
}

/* Says what kind of answer it is, and completes the authority section. */
static int conclude(struct build *build) {
    uint8_t rcode = build->flags & FLAG_RCODE;
    bool delegation = false;
    if (build->found) {
        if (rcode != RCODE_NOERROR)
            return -EBADMSG;
    } else if (build->overlong != (rcode == RCODE_YXDOMAIN)) {
        return -EBADMSG;
    } else if (build->overlong) {
        build->answer_flags |= ANSWER_NEGATIVE;
    } else {
        bool soa = emit_soa(build, &delegation);
        if (rcode == RCODE_NOERROR && !soa && build->names > 1) {
            build->answer_flags |= ANSWER_PARTIAL;
        } else {
            if (!soa && delegation && rcode == RCODE_NOERROR)
                return -EBADMSG; /* a referral: that server doesn't resolve for us */
            build->answer_flags |= ANSWER_NEGATIVE;
            if (!soa)
                build->ttl = 0; /* RFC 2308 section 5: without an SOA it is not to be cached */
        }
    }
    if (build->question->dnssec_ok && !build->failed)
        emit_proofs(build);
    if (build->flags & FLAG_AD)
        build->answer_flags |= ANSWER_AUTHENTIC;
    if (build->addresses > ANSWER_ADDRESSES_MAX)
        return -EBADMSG;
    if (build->addresses > 0)
        build->answer_flags |= ANSWER_ADDRESSES;
    return build->failed ? -EBADMSG : 0;
}

static void put_question(struct build *build) {
    const struct question *question = build->question;
    wire_out_init(&build->out, build->octets, sizeof build->octets, WIRE_HEADER);
    wire_put(&build->out, question->name.wire, question->name.length);
    wire_put16(&build->out, question->type);
    wire_put16(&build->out, CLASS_IN);
    wire_learn(&build->out, WIRE_HEADER);
}

/* An answer that holds the writer's octets from the question on. */
static struct answer *finish(const struct build *build, uint32_t now) {
    size_t length = build->out.at - WIRE_HEADER;
    struct answer *answer = malloc(sizeof *answer + build->ttls * sizeof *answer->ttl_at + length);
    if (!answer)
        return NULL;
    *answer = (struct answer){
        .references = 1,
        .received = now,
        .ttl = build->ttl,
        .length = (uint16_t)length,
        .question = (uint16_t)(build->question->name.length + 4),
        .ancount = build->ancount,
        .nscount = build->nscount,
        .ttl_count = (uint16_t)build->ttls,
        .rcode = build->flags & FLAG_RCODE,
        .flags = build->answer_flags,
    };
    memcpy(answer->ttl_at, build->ttl_at, build->ttls * sizeof *answer->ttl_at);
    memcpy(answer->ttl_at + build->ttls, build->octets + WIRE_HEADER, length);
    return answer;
}

int answer_from_message(struct answer **answer, const struct question *question, const uint8_t *message, size_t length,
                        const struct answer_limits *limits, uint32_t now) {
    struct build build; /* 180 KB of stack, of which only what is used is touched */
    build.question = question;
    build.limits = limits;
    build.ttls = build.addresses = 0;
    build.ttl = UINT32_MAX;
    build.ancount = build.nscount = 0;
    build.answer_flags = 0;
    build.found = build.overlong = build.failed = false;
    wire_init(&build.message, message, length, 0);
    int error = read_message(&build);
    if (error == 0) {
        put_question(&build);
        error = build_answer(&build);
    }
    if (error == 0)
        error = conclude(&build);
    if (error)
        return error;
    if (build.ttl == UINT32_MAX)
        build.ttl = 0;
    struct answer *made = finish(&build, now);
    if (!made)
        return -ENOMEM;
    *answer = made;
    return 0;
}

struct answer *answer_failure(const struct question *question, uint8_t rcode, uint16_t ede, uint32_t ttl, uint32_t now) {
    size_t length = question->name.length + 4U;
    struct answer *answer = malloc(sizeof *answer + length);
    if (!answer)
        return NULL;
    *answer = (struct answer){
        .references = 1,
        .received = now,
        .ttl = ttl,
        .length = (uint16_t)length,
        .question = (uint16_t)length,
        .ede = ede,
        .rcode = rcode,
        .flags = ANSWER_FAILURE,
    };
    uint8_t *octets = (uint8_t *)answer->ttl_at;
    memcpy(octets, question->name.wire, question->name.length);
    wire_set16(octets + question->name.length, question->type);
    wire_set16(octets + question->name.length + 2, CLASS_IN);
    return answer;
}

void answer_unref(struct answer *answer) {
    if (answer && atomic_fetch_sub_explicit(&answer->references, 1, memory_order_acq_rel) == 1)
        free(answer);
}

/* --- addresses --- */

static void add_address(struct ip *addresses, unsigned room, unsigned *count, const uint8_t *octets, size_t size) {
    if (addresses && *count < room)
        addresses[*count] = size == 4 ? ip_from_v4(octets) : ip_from_v6(octets);
    ++*count;
}

/* ipv4hint and ipv6hint (RFC 9460 section 7.3) of an HTTPS or SVCB record. A malformed list ends the reading: clients do so too. */
static unsigned hint_addresses(const struct wire *wire, const struct wire_record *record, struct ip *addresses, unsigned room) {
    enum { KEY_IPV4HINT = 4, KEY_IPV6HINT = 6 };
    struct wire rdata = *wire;
    struct name target;
    unsigned count = 0;
    rdata.at = record->rdata_at;
    rdata.length = record->rdata_at + record->rdlength;
    wire_u16(&rdata);
    wire_name(&rdata, &target);
    while (!rdata.bad && rdata.at < rdata.length) {
        uint16_t key = wire_u16(&rdata), length = wire_u16(&rdata);
        const uint8_t *value = wire_take(&rdata, length);
        size_t size = key == KEY_IPV4HINT ? 4 : key == KEY_IPV6HINT ? 16 : 0;
        if (!value || size == 0)
            continue;
        for (size_t i = 0; i + size <= length; i += size)
            add_address(addresses, room, &count, value + i, size);
    }
    return count;
}

unsigned answer_record_addresses(const struct wire *wire, const struct wire_record *record, struct ip *addresses, unsigned room) {
    unsigned count = 0;
    const uint8_t *rdata = wire->data + record->rdata_at;
    if (record->type == TYPE_A && record->rdlength == 4)
        add_address(addresses, room, &count, rdata, 4);
    else if (record->type == TYPE_AAAA && record->rdlength == 16)
        add_address(addresses, room, &count, rdata, 16);
    else if (record->type == TYPE_HTTPS || record->type == TYPE_SVCB)
        return hint_addresses(wire, record, addresses, room);
    return count;
}
