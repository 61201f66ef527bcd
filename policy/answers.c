/* policy/answers.c: lays out the records of an action's answers in wire form, so that answering is copying. */
#include <errno.h>
#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "policy/idna.h"
#include "policy/ruleset_private.h"

enum {
    TYPE_A = 1,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    TYPE_AAAA = 28,
    TYPE_DNAME = 39,
    TYPE_OPT = 41,
    TYPE_META_FIRST = 128, /* RFC 6895 section 3.1: QTYPEs and meta types */
    TYPE_META_LAST = 255,
    TYPE_ANY = 255,
    CLASS_IN = 1,
    EDE_FORGED = 4, /* RFC 8914 */
    EDE_BLOCKED = 15,
    RCODE_NXDOMAIN = 3,
    RCODE_REFUSED = 5,
    RECORDS_MAX = 64,       /* of a local rule */
    RECORDS_OCTETS = 32768, /* all of them in wire form: a TCP answer must hold them beside question and OPT */
    SOA_REFRESH = 3600,     /* seconds, as in any zone; nobody transfers it */
    SOA_RETRY = 900,
    SOA_EXPIRE = 604800,
};

struct wire {
    uint8_t octet[512];
    size_t length;
};

static void put(struct wire *wire, const void *octets, size_t length) {
    memcpy(wire->octet + wire->length, octets, length);
    wire->length += length;
}

static void put16(struct wire *wire, unsigned value) {
    put(wire, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static void put32(struct wire *wire, uint32_t value) {
    put16(wire, value >> 16);
    put16(wire, value & 0xffff);
}

/* Owner (a pointer to the question), type, class, TTL, length of what follows. */
static void put_head(struct wire *wire, unsigned type, uint32_t ttl, unsigned rdlength) {
    put16(wire, 0xc00c);
    put16(wire, type);
    put16(wire, CLASS_IN);
    put32(wire, ttl);
    put16(wire, rdlength);
}

static void put_soa(struct wire *wire, uint32_t ttl) {
    static const uint8_t MNAME[] = "\11localhost";
    static const uint8_t RNAME[] = "\6nobody\7invalid";
    put_head(wire, TYPE_SOA, ttl, sizeof MNAME + sizeof RNAME + 20);
    put(wire, MNAME, sizeof MNAME);
    put(wire, RNAME, sizeof RNAME);
    put32(wire, 1);
    put32(wire, SOA_REFRESH);
    put32(wire, SOA_RETRY);
    put32(wire, SOA_EXPIRE);
    put32(wire, ttl);
}

static int add_answer(struct ruleset *rules, struct spec *spec, struct spec_answer answer, const uint8_t *octets, size_t length) {
    answer.bytes = (uint32_t)rules->bytes.count;
    answer.length = (uint16_t)length;
    spec->answer_count++;
    if (rules->bytes.count + length > UINT32_MAX)
        return -E2BIG;
    if (growing_add(&rules->bytes, octets, length) != 0)
        return -ENOMEM;
    return growing_add(&rules->spec_answers, &answer, 1);
}

static int add_negative(struct ruleset *rules, struct spec *spec, uint8_t rcode, uint16_t ede) {
    struct wire wire = {.length = 0};
    put_soa(&wire, spec->ttl);
    return add_answer(rules, spec, (struct spec_answer){.rcode = rcode, .nscount = 1, .ede = ede}, wire.octet, wire.length);
}

static int add_addresses(struct ruleset *rules, struct spec *spec, const struct ip *v4, const struct ip *v6) {
    static const uint16_t TYPES[] = {TYPE_A, TYPE_AAAA, TYPE_ANY};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        struct wire wire = {.length = 0};
        struct spec_answer answer = {.qtype = TYPES[i], .ede = EDE_FORGED};
        if (v4 != NULL && TYPES[i] != TYPE_AAAA) {
            put_head(&wire, TYPE_A, spec->ttl, 4);
            put(&wire, v4->bytes + 12, 4);
            answer.ancount++;
        }
        if (v6 != NULL && TYPES[i] != TYPE_A) {
            put_head(&wire, TYPE_AAAA, spec->ttl, 16);
            put(&wire, v6->bytes, 16);
            answer.ancount++;
        }
        int rc = answer.ancount > 0 ? add_answer(rules, spec, answer, wire.octet, wire.length) : 0;
        if (rc != 0)
            return rc;
    }
    return add_negative(rules, spec, 0, EDE_FORGED);
}

/* --- local records -------------------------------------------------------------------------------------------------------------
 */

struct local_record {
    uint16_t type;
    uint16_t length;
    const uint8_t *octets;
};

struct local_records {
    struct local_record record[RECORDS_MAX];
    size_t count;
    uint8_t octets[RECORDS_OCTETS];
    size_t length;
};

static const char *record_fault(const ldns_rr *rr) {
    unsigned type = (unsigned)ldns_rr_get_type(rr);
    if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN)
        return "record's class is not IN";
    if (type == TYPE_CNAME || type == TYPE_DNAME)
        return "CNAME and DNAME can't stand among records: use action \"cname\"";
    if (type == 0 || type == TYPE_OPT || (type >= TYPE_META_FIRST && type <= TYPE_META_LAST))
        return "record of a type that can't be stored";
    return NULL;
}

/* The record's wire form with the root as owner, which is one octet, made to point at the question instead. */
static const char *keep_record(struct local_records *records, const ldns_rr *rr) {
    uint8_t *wire = NULL;
    size_t length = 0;
    if (ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &length) != LDNS_STATUS_OK)
        return "out of memory";
    const char *fault = NULL;
    if (records->count == RECORDS_MAX)
        fault = "more than 64 records";
    else if (records->length + length + 1 > RECORDS_OCTETS)
        fault = "more than 32 KB of records";
    if (fault == NULL) {
        uint8_t *to = records->octets + records->length;
        to[0] = 0xc0;
        to[1] = 0x0c;
        memcpy(to + 2, wire + 1, length - 1);
        records->record[records->count++] = (struct local_record){
            .type = (uint16_t)ldns_rr_get_type(rr),
            .length = (uint16_t)(length + 1),
            .octets = to,
        };
        records->length += length + 1;
    }
    free(wire);
    return fault;
}

/* One zone-file line without owner. */
static const char *read_record(struct local_records *records, const char *line, size_t length, uint32_t ttl) {
    char *text = malloc(length + 3);
    if (text == NULL)
        return "out of memory";
    memcpy(text, ". ", 2);
    memcpy(text + 2, line, length);
    text[length + 2] = '\0';
    ldns_rr *rr = NULL;
    ldns_status status = ldns_rr_new_frm_str(&rr, text, ttl, NULL, NULL);
    free(text);
    if (status != LDNS_STATUS_OK)
        return ldns_get_errorstr_by_id(status);
    const char *fault = record_fault(rr);
    if (fault == NULL)
        fault = keep_record(records, rr);
    ldns_rr_free(rr);
    return fault;
}

static const char *read_records(struct local_records *records, const char *text, uint32_t ttl) {
    records->count = 0;
    records->length = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        if (strspn(text, " \t\r") < length) {
            const char *fault = read_record(records, text, length, ttl);
            if (fault != NULL)
                return fault;
        }
        text += length + (text[length] == '\n');
    }
    return records->count > 0 ? NULL : "action \"local\" without records";
}

static bool seen_before(const struct local_records *records, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (records->record[i].type == records->record[index].type)
            return true;
    }
    return false;
}

static int add_local(struct ruleset *rules, struct spec *spec, const struct local_records *records) {
    uint8_t *set = malloc(records->length);
    if (set == NULL)
        return -ENOMEM;
    int rc = 0;
    for (size_t i = 0; i < records->count && rc == 0; i++) {
        if (seen_before(records, i))
            continue;
        struct spec_answer answer = {.qtype = records->record[i].type, .ede = EDE_FORGED};
        size_t length = 0;
        for (size_t j = i; j < records->count; j++) {
            if (records->record[j].type != answer.qtype)
                continue;
            memcpy(set + length, records->record[j].octets, records->record[j].length);
            length += records->record[j].length;
            answer.ancount++;
        }
        rc = add_answer(rules, spec, answer, set, length);
    }
    free(set);
    struct spec_answer any = {.qtype = TYPE_ANY, .ede = EDE_FORGED, .ancount = (uint16_t)records->count};
    if (rc == 0)
        rc = add_answer(rules, spec, any, records->octets, records->length);
    return rc != 0 ? rc : add_negative(rules, spec, 0, EDE_FORGED);
}

static int make_local(struct ruleset *rules, const struct spec_key *key, struct spec *spec, const char **why) {
    struct local_records *records = malloc(sizeof *records);
    if (records == NULL)
        return -ENOMEM;
    *why = read_records(records, rules->strings.text + key->records, key->ttl);
    int rc = *why != NULL ? -EINVAL : add_local(rules, spec, records);
    free(records);
    return rc;
}

/* --- cname ---------------------------------------------------------------------------------------------------------------------
 */

static int make_cname(struct ruleset *rules, const struct spec_key *key, struct spec *spec, const char **why) {
    const char *text = rules->strings.text + key->target;
    if (*text == '\0') {
        *why = "action \"cname\" without target";
        return -EINVAL;
    }
    if (strncmp(text, "*.", 2) == 0) {
        spec->flags |= SPEC_WILDCARD;
        text += 2;
    }
    struct name target;
    int rc = name_from_unicode(&target, text, strlen(text), why);
    if (rc != 0)
        return rc;
    spec->target = (uint32_t)rules->bytes.count;
    spec->target_length = target.length;
    return growing_add(&rules->bytes, target.wire, target.length);
}

int answers_make(struct ruleset *rules, const struct spec_key *key, struct spec *spec, const char **why) {
    const struct ruleset_answers *from = &rules->answers;
    *spec = (struct spec){
        .ttl = key->ttl,
        .action = (uint8_t)key->action,
        .answers = (uint32_t)rules->spec_answers.count,
        .target_text = key->target,
        .records_text = key->records,
    };
    switch ((enum action)key->action) {
    case ACTION_LOOPBACK:
        return add_addresses(rules, spec, &from->loopback, NULL);
    case ACTION_SINKHOLE:
        return add_addresses(rules, spec, from->has_ipv4 ? &from->sinkhole_ipv4 : NULL,
                             from->has_ipv6 ? &from->sinkhole_ipv6 : NULL);
    case ACTION_NXDOMAIN:
        return add_negative(rules, spec, RCODE_NXDOMAIN, EDE_BLOCKED);
    case ACTION_NODATA:
        return add_negative(rules, spec, 0, EDE_BLOCKED);
    case ACTION_REFUSED:
        return add_answer(rules, spec, (struct spec_answer){.rcode = RCODE_REFUSED, .ede = EDE_BLOCKED}, NULL, 0);
    case ACTION_CNAME:
        return make_cname(rules, key, spec, why);
    case ACTION_LOCAL:
        return make_local(rules, key, spec, why);
    case ACTION_DROP:
    case ACTION_TRUNCATE:
    case ACTION_PASSTHRU:
        return 0;
    case ACTION_COUNT:
        break;
    }
    *why = "no such action";
    return -EINVAL;
}
