/* resolver/answer.c: reduces an upstream message to what its question permits, and rebuilds it in the form that the cache keeps.
 *
 * The answer section is walked from the question's name along CNAMEs and DNAMEs; nothing that this walk doesn't reach is copied. A
 * message is rejected as a whole when any of its records can't be parsed: half an answer is worse than another server's. */
#include "resolver/answer.h"

#include <errno.h>
#include <stdlib.h>

#include "resolver/wire.h"

enum {
    CHAIN_MAX = 17,     /* names in one message's chain; longer ones are loops or worse */
    RECORDS_MAX = 5957, /* 65,535 octets hold no more (11 octets each) */
    PROOFS_MAX = 16,    /* NSEC or NSEC3 sets kept: an honest answer needs at most a few a chain link */
    SECTION_ANSWER = 0, /* index of the record counts after QDCOUNT */
    SECTION_AUTHORITY = 1,
};

/* What is known while one message is read. */
struct build {
    const struct question *question;
    struct wire message; /* positioned at the answer section when a pass begins */
    size_t begin[2];     /* where answer and authority sections begin */
    uint16_t count[3];
    uint16_t flags;
    const struct answer_limits *limits;

    struct name chain[CHAIN_MAX]; /* chain[0] is the question's name, the last the name whose data is wanted */
    unsigned names;

    struct wire_out out;
    unsigned ttls, addresses;
    uint32_t ttl; /* the least */
    uint16_t ancount, nscount;
    uint8_t answer_flags;
    bool found;    /* the asked type stands at the chain's end */
    bool overlong; /* a DNAME makes a name of the chain's end that is too long to be one */
    bool failed;
    uint16_t ttl_at[RECORDS_MAX];
    uint8_t octets[65535];
};

static uint32_t clamp(const struct answer_limits *limits, uint32_t ttl) {
    if (ttl > INT32_MAX)
        ttl = 0;
    if (ttl < limits->min_ttl)
        ttl = limits->min_ttl;
    return ttl > limits->max_ttl ? limits->max_ttl : ttl;
}

/* Starts a pass over a section. */
static struct wire section(const struct build *build, unsigned which) {
    struct wire wire = build->message;
    wire.at = build->begin[which];
    return wire;
}

/* Reads records until one of class IN; false at the section's end. */
static bool next_record(struct wire *wire, uint16_t *left, struct wire_record *record) {
    while (*left > 0) {
        --*left;
        wire_record(wire, record);
        if (wire->bad)
            return false;
        if (record->class == CLASS_IN)
            return true;
    }
    return false;
}

static void emit(struct build *build, const struct wire *wire, const struct wire_record *record, uint32_t ttl, unsigned which) {
    size_t at = build->ttls < RECORDS_MAX ? wire_copy_record(&build->out, wire, record, ttl) : 0;
    if (at == 0) {
        build->failed = true;
        return;
    }
    build->ttl_at[build->ttls++] = (uint16_t)(at - WIRE_HEADER);
    if (ttl < build->ttl)
        build->ttl = ttl;
    if (which == SECTION_ANSWER)
        build->ancount++;
    else
        build->nscount++;
    if (record->type == TYPE_RRSIG)
        build->answer_flags |= ANSWER_SIGNED;
    if (which == SECTION_ANSWER && (record->type == TYPE_CNAME || record->type == TYPE_DNAME))
        build->answer_flags |= ANSWER_CHAIN;
    if (which == SECTION_ANSWER)
        build->addresses += answer_record_addresses(wire, record, NULL, 0);
}

static uint16_t covered_type(const struct wire *wire, const struct wire_record *record) {
    return record->type == TYPE_RRSIG && record->rdlength > 18 ? wire_get16(wire->data + record->rdata_at) : 0;
}

/* All records of one set have one TTL, the least of them (RFC 2181 section 5.2). */
static uint32_t set_ttl(const struct build *build, const struct name *owner, uint16_t type, unsigned which) {
    struct wire wire = section(build, which);
    uint16_t left = build->count[which];
    struct wire_record record;
    uint32_t ttl = UINT32_MAX;
    while (next_record(&wire, &left, &record)) {
        if (record.type == type && record.ttl < ttl && name_equal(&record.owner, owner))
            ttl = record.ttl;
    }
    return clamp(build->limits, ttl);
}

/* Copies the set of `type` at `owner` (ANY: all that stands there), then, where DNSSEC was asked for, its signatures. */
static void emit_set(struct build *build, const struct name *owner, uint16_t type, unsigned which) {
    for (int signatures = 0; signatures <= (build->question->dnssec_ok && type != TYPE_ANY); signatures++) {
        struct wire wire = section(build, which);
        uint16_t left = build->count[which];
        struct wire_record record;
        uint32_t ttl = type == TYPE_ANY ? 0 : set_ttl(build, owner, type, which);
        while (!build->failed && next_record(&wire, &left, &record)) {
            bool wanted = signatures ? covered_type(&wire, &record) == type : record.type == type || type == TYPE_ANY;
            if (wanted && name_equal(&record.owner, owner))
                emit(build, &wire, &record, type == TYPE_ANY ? clamp(build->limits, record.ttl) : ttl, which);
        }
    }
}

/* Finds the first record of `type` at `owner` in the answer section (type ANY: any). */
static bool find(const struct build *build, const struct name *owner, uint16_t type, struct wire_record *record) {
    struct wire wire = section(build, SECTION_ANSWER);
    uint16_t left = build->count[SECTION_ANSWER];
    while (next_record(&wire, &left, record)) {
        if ((record->type == type || type == TYPE_ANY) && name_equal(&record->owner, owner))
            return true;
    }
    return false;
}

/* Finds the DNAME nearest above a name. */
static bool find_dname(const struct build *build, const struct name *name, struct wire_record *best) {
    struct wire wire = section(build, SECTION_ANSWER);
    uint16_t left = build->count[SECTION_ANSWER];
    struct wire_record record;
    bool any = false;
    while (next_record(&wire, &left, &record)) {
        if (record.type == TYPE_DNAME && record.owner.labels < name->labels && name_is_within(name, &record.owner) &&
            (!any || record.owner.labels > best->owner.labels)) {
            *best = record;
            any = true;
        }
    }
    return any;
}

/* What a DNAME makes of a name (RFC 6672 section 2.2); false when the outcome is too long. */
static bool substitute(const struct name *name, const struct name *owner, const struct name *target, struct name *result) {
    unsigned prefix = name->length - owner->length;
    if (prefix + target->length > NAME_WIRE_MAX)
        return false;
    memcpy(result->wire, name->wire, prefix);
    memcpy(result->wire + prefix, target->wire, target->length);
    result->length = (uint8_t)(prefix + target->length);
    result->labels = (uint8_t)(name->labels - owner->labels + target->labels);
    return true;
}

/* A CNAME that the server left to us (RFC 6672 section 3.1: with the DNAME's TTL). */
static void emit_synthesized(struct build *build, const struct name *owner, const struct name *target, uint32_t ttl) {
    uint8_t octets[2 * NAME_WIRE_MAX + 10];
    struct wire_out out;
    wire_out_init(&out, octets, sizeof octets, 0);
    wire_put(&out, owner->wire, owner->length);
    wire_put16(&out, TYPE_CNAME);
    wire_put16(&out, CLASS_IN);
    wire_put32(&out, ttl);
    wire_put16(&out, target->length);
    wire_put(&out, target->wire, target->length);
    struct wire wire;
    wire_init(&wire, octets, out.at, 0);
    struct wire_record record;
    wire_record(&wire, &record);
    emit(build, &wire, &record, ttl, SECTION_ANSWER);
}

/* Goes one step along the chain: 1 a step was made, 0 the chain ends here, -1 it can't be right. */
static int follow(struct build *build) {
    const struct name *here = &build->chain[build->names - 1];
    struct name target, made;
    struct wire_record cname, dname;
    bool has_cname = find(build, here, TYPE_CNAME, &cname);
    bool has_dname = find_dname(build, here, &dname);
    if (!has_cname && !has_dname)
        return 0;
    if (build->names == CHAIN_MAX)
        return -1;
    if (has_cname && !wire_rdata_name(&build->message, &cname, &target))
        return -1;
    if (has_dname) {
        struct name onto;
        if (!wire_rdata_name(&build->message, &dname, &onto))
            return -1;
        bool fits = substitute(here, &dname.owner, &onto, &made);
        if (!has_cname && !fits) {
            emit_set(build, &dname.owner, TYPE_DNAME, SECTION_ANSWER);
            build->overlong = true;
            return 0;
        }
        if (!has_cname || (fits && name_equal(&made, &target)))
            emit_set(build, &dname.owner, TYPE_DNAME, SECTION_ANSWER);
    }
    if (has_cname) {
        emit_set(build, here, TYPE_CNAME, SECTION_ANSWER);
    } else {
        target = made;
        emit_synthesized(build, here, &target, set_ttl(build, &dname.owner, TYPE_DNAME, SECTION_ANSWER));
    }
    for (unsigned i = 0; i < build->names; i++) {
        if (name_equal(&build->chain[i], &target))
            return -1;
    }
    build->chain[build->names++] = target;
    return 1;
}

/* True for a name that has more than one CNAME: which one holds can't be said. */
static bool cname_ambiguous(const struct build *build, const struct name *owner) {
    struct wire wire = section(build, SECTION_ANSWER);
    uint16_t left = build->count[SECTION_ANSWER];
    struct wire_record record;
    unsigned count = 0;
    if (left < 2)
        return false; /* the commonest answer of all: not worth another walk */
    while (next_record(&wire, &left, &record)) {
        if (record.type == TYPE_CNAME && name_equal(&record.owner, owner))
            count++;
    }
    return count > 1;
}

static int build_answer(struct build *build) {
    uint16_t type = build->question->type;
    for (;;) {
        const struct name *here = &build->chain[build->names - 1];
        struct wire_record record;
        if (cname_ambiguous(build, here))
            return -EBADMSG;
        build->found = find(build, here, type, &record);
        if (build->found) {
            emit_set(build, here, type, SECTION_ANSWER);
            break;
        }
        if (type == TYPE_CNAME || type == TYPE_ANY)
            break;
        int step = follow(build);
        if (step < 0)
            return -EBADMSG;
        if (step == 0)
            break;
    }
    return build->failed ? -EBADMSG : 0;
}

/* True if the name is at or above one of the chain's names: then the answer's question permits data of that zone. */
static bool zone_of_chain(const struct build *build, const struct name *zone) {
    for (unsigned i = 0; i < build->names; i++) {
        if (name_is_within(&build->chain[i], zone))
            return true;
    }
    return false;
}

/* Proofs of non-existence count only where a signature names a zone that the chain lies in. */
static bool proof_belongs(const struct build *build, const struct name *owner, uint16_t type) {
    struct wire wire = section(build, SECTION_AUTHORITY);
    uint16_t left = build->count[SECTION_AUTHORITY];
    struct wire_record record;
    while (next_record(&wire, &left, &record)) {
        if (covered_type(&wire, &record) != type || !name_equal(&record.owner, owner))
            continue;
        struct wire rdata = wire;
        struct name signer;
        rdata.at = record.rdata_at + 18;
        wire_name(&rdata, &signer);
        wire_fold(&signer);
        if (!rdata.bad && zone_of_chain(build, &signer) && name_is_within(owner, &signer))
            return true;
    }
    return false;
}

/* NSEC and NSEC3 prove a negative answer, or a wildcard behind a positive one. Each owner's set is copied once. */
static void emit_proofs(struct build *build) {
    struct wire wire = section(build, SECTION_AUTHORITY);
    uint16_t left = build->count[SECTION_AUTHORITY];
    struct wire_record record;
    struct name last = {0};
    uint16_t last_type = 0;
    for (unsigned sets = 0; sets < PROOFS_MAX && !build->failed && next_record(&wire, &left, &record);) {
        if (record.type != TYPE_NSEC && record.type != TYPE_NSEC3)
            continue;
        if ((record.type == last_type && name_equal(&record.owner, &last)) || !proof_belongs(build, &record.owner, record.type))
            continue;
        emit_set(build, &record.owner, record.type, SECTION_AUTHORITY);
        sets++;
        last = record.owner;
        last_type = record.type;
    }
}

/* The SOA that makes an answer negative: at or above the chain's last name. Its TTL is the negative TTL (RFC 2308 section 5). */
static bool emit_soa(struct build *build, bool *delegation) {
    struct wire wire = section(build, SECTION_AUTHORITY);
    uint16_t left = build->count[SECTION_AUTHORITY];
    struct wire_record record;
    *delegation = false;
    while (next_record(&wire, &left, &record)) {
        if (record.type == TYPE_NS)
            *delegation = true;
        if (record.type != TYPE_SOA || !name_is_within(&build->chain[build->names - 1], &record.owner) || record.rdlength < 22)
            continue;
        uint32_t minimum = wire_get32(wire.data + record.rdata_at + record.rdlength - 4);
        uint32_t ttl = record.ttl < minimum ? record.ttl : minimum;
        ttl = clamp(build->limits, ttl);
        if (ttl > build->limits->max_negative_ttl)
            ttl = build->limits->max_negative_ttl;
        emit(build, &wire, &record, ttl, SECTION_AUTHORITY);
        if (build->question->dnssec_ok) {
            struct name owner = record.owner;
            wire = section(build, SECTION_AUTHORITY);
            left = build->count[SECTION_AUTHORITY];
            while (!build->failed && next_record(&wire, &left, &record)) {
                if (covered_type(&wire, &record) == TYPE_SOA && name_equal(&record.owner, &owner))
                    emit(build, &wire, &record, ttl, SECTION_AUTHORITY);
            }
        }
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

/* Header and question; then every record of the message must parse. */
static int check_message(struct build *build) {
    struct wire *wire = &build->message;
    wire_u16(wire);
    build->flags = wire_u16(wire);
    uint16_t questions = wire_u16(wire);
    for (unsigned i = 0; i < 3; i++)
        build->count[i] = wire_u16(wire);
    struct name name;
    wire_name(wire, &name);
    wire_fold(&name);
    uint16_t type = wire_u16(wire), class = wire_u16(wire);
    if (wire->bad || questions != 1 || !(build->flags & FLAG_QR) || (build->flags & (FLAG_OPCODE | FLAG_TC)) ||
        type != build->question->type || class != CLASS_IN || !name_equal(&name, &build->question->name))
        return -EBADMSG;
    uint8_t rcode = build->flags & FLAG_RCODE;
    if (rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN && rcode != RCODE_YXDOMAIN)
        return -EBADMSG;
    wire->folded = wire->at;
    for (unsigned i = 0; i < 3; i++) {
        if (i < 2)
            build->begin[i] = wire->at;
        for (unsigned n = build->count[i]; n > 0 && !wire->bad; n--) {
            struct wire_record record;
            wire_record(wire, &record);
        }
    }
    return wire->bad ? -EBADMSG : 0;
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
    struct build build; /* 80 KB of stack, of which only what is used is touched */
    build.question = question;
    build.limits = limits;
    build.chain[0] = question->name;
    build.names = 1;
    build.ttls = build.addresses = 0;
    build.ttl = UINT32_MAX;
    build.ancount = build.nscount = 0;
    build.answer_flags = 0;
    build.found = build.overlong = build.failed = false;
    wire_init(&build.message, message, length, 0);
    int error = check_message(&build);
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
