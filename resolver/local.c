/* resolver/local.c: the locally served zones, as a table. */
#include "resolver/local.h"

#include "resolver/answer.h"

enum contents {
    EMPTY,     /* SOA and NS at the zone's name, nothing below */
    HOLLOW,    /* nothing, at any name */
    LOOPBACK,  /* the loopback addresses, at every name */
    LOCALHOST, /* PTR localhost at the zone's name */
};

/* A zone is `name`, or, where `high` isn't 0, one decimal label from low to high in front of it. */
struct local_zone {
    const char *name;
    enum contents contents;
    uint8_t length; /* octets of name */
    uint8_t low, high;
};

/* One zone a line, one literal a label. */
/* clang-format off */
#define ZONE(name, contents) {name, contents, sizeof(name), 0, 0}
#define ZONES(low, high, name) {name, EMPTY, sizeof(name), low, high}
#define V4 "\7in-addr\4arpa"
#define V6 "\3ip6\4arpa"
#define ZERO "\1" "0"
#define ZEROES_8 ZERO ZERO ZERO ZERO ZERO ZERO ZERO ZERO
#define ZEROES_31 ZEROES_8 ZEROES_8 ZEROES_8 ZERO ZERO ZERO ZERO ZERO ZERO ZERO

static const struct local_zone zones[] = {
    ZONE("\11localhost", LOOPBACK),
    ZONE("\7invalid", EMPTY),
    ZONE("\5onion", EMPTY),
    ZONE("\4home\4arpa", EMPTY),
    ZONE("\10resolver\4arpa", HOLLOW),
    ZONE("\1" "1" "\1" "0" "\1" "0" "\3" "127" V4, LOCALHOST),
    ZONE("\1" "0" V4, EMPTY),
    ZONE("\2" "10" V4, EMPTY),
    ZONES(64, 127, "\3" "100" V4),
    ZONE("\3" "127" V4, EMPTY),
    ZONE("\3" "254" "\3" "169" V4, EMPTY),
    ZONES(16, 31, "\3" "172" V4),
    ZONE("\1" "2" "\1" "0" "\3" "192" V4, EMPTY),
    ZONE("\3" "168" "\3" "192" V4, EMPTY),
    ZONE("\3" "100" "\2" "51" "\3" "198" V4, EMPTY),
    ZONE("\3" "113" "\1" "0" "\3" "203" V4, EMPTY),
    ZONE("\3" "255" "\3" "255" "\3" "255" "\3" "255" V4, EMPTY),
    ZONE("\1" "1" ZEROES_31 V6, LOCALHOST),
    ZONE(ZERO ZEROES_31 V6, EMPTY),
    ZONE("\1" "d" "\1" "f" V6, EMPTY),
    ZONE("\1" "8" "\1" "e" "\1" "f" V6, EMPTY),
    ZONE("\1" "9" "\1" "e" "\1" "f" V6, EMPTY),
    ZONE("\1" "a" "\1" "e" "\1" "f" V6, EMPTY),
    ZONE("\1" "b" "\1" "e" "\1" "f" V6, EMPTY),
    ZONE("\1" "8" "\1" "b" "\1" "d" "\1" "0" "\1" "1" "\1" "0" "\1" "0" "\1" "2" V6, EMPTY),
};
/* clang-format on */

/* The octets of a name that stand before a suffix of it; -1 if it isn't one (that begins at a label). */
static int octets_before(const struct name *name, const char *suffix, unsigned length) {
    if (name->length < length || memcmp(name->wire + name->length - length, suffix, length) != 0)
        return -1;
    int before = name->length - (int)length, at = 0;
    while (at < before)
        at += name->wire[at] + 1;
    return at == before ? before : -1;
}

static uint8_t count_labels(const uint8_t *wire) {
    uint8_t labels = 0;
    for (; *wire; wire += *wire + 1)
        labels++;
    return labels;
}

/* A canonical decimal label; -1 if it isn't one. */
static int decimal(const uint8_t *label) {
    int value = 0;
    if (*label == 0 || *label > 3 || (*label > 1 && label[1] == '0'))
        return -1;
    for (unsigned i = 1; i <= *label; i++) {
        if (label[i] < '0' || label[i] > '9')
            return -1;
        value = value * 10 + (label[i] - '0');
    }
    return value;
}

/* Labels of the zone if the name lies in it, else 0. */
static uint8_t zone_labels(const struct local_zone *zone, const struct name *name) {
    int before = octets_before(name, zone->name, zone->length);
    if (before < 0)
        return 0;
    uint8_t labels = count_labels((const uint8_t *)zone->name);
    if (zone->high == 0)
        return labels;
    const uint8_t *label = NULL;
    for (int at = 0; at < before; at += name->wire[at] + 1)
        label = name->wire + at;
    int value = label ? decimal(label) : -1;
    return value >= zone->low && value <= zone->high ? (uint8_t)(labels + 1) : 0;
}

/* Does a forward zone cover the name (true), or does one lie below it (*above, so that the name must exist)? */
static bool forwarded(const struct config *config, const struct name *name, bool *above) {
    *above = false;
    for (size_t i = 0; i < config->forward_count; i++) {
        const struct name *zone = &config->forward[i].zone;
        if (zone->labels == 0)
            continue;
        if (name_is_within(name, zone))
            return true;
        if (name_is_within(zone, name))
            *above = true;
    }
    return false;
}

static enum local_data data_at(enum contents contents, bool apex, uint16_t type) {
    if (contents == HOLLOW)
        return LOCAL_NOTHING;
    if (contents == LOOPBACK && (type == TYPE_A || type == TYPE_ANY))
        return LOCAL_A;
    if (contents == LOOPBACK && type == TYPE_AAAA)
        return LOCAL_AAAA;
    if (contents == LOCALHOST && apex && (type == TYPE_PTR || type == TYPE_ANY))
        return LOCAL_PTR;
    if (apex && type == TYPE_SOA)
        return LOCAL_SOA;
    if (apex && type == TYPE_NS)
        return LOCAL_NS;
    return LOCAL_NOTHING;
}

/* The zones end in four top-level domains, and hardly any name that is asked for ends like one of these. */
static bool ends_like_zones(const struct name *name) {
    static const char tails[][5] = {"arpa", "host", "alid", "nion"};
    enum { TAIL = sizeof tails[0] };
    for (size_t i = 0; i < sizeof tails / sizeof *tails && name->length > TAIL; i++) {
        if (memcmp(name->wire + name->length - TAIL, tails[i], TAIL) == 0)
            return true;
    }
    return false;
}

bool local_find(const struct config *config, const struct name *name, uint16_t type, struct local *local) {
    if (!ends_like_zones(name))
        return false;
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        const struct local_zone *zone = &zones[i];
        uint8_t labels = zone_labels(zone, name);
        bool above;
        if (labels == 0)
            continue;
        bool apex = name->labels == labels;
        /* The DS of a zone is its parent's to give: a validator behind us needs the proof that there is none. */
        if (forwarded(config, name, &above) || (apex && type == TYPE_DS && labels > 1))
            return false;
        local->zone = labels;
        local->data = data_at(zone->contents, apex, type);
        local->rcode = apex || above || zone->contents == LOOPBACK || zone->contents == HOLLOW ? RCODE_NOERROR : RCODE_NXDOMAIN;
        return true;
    }
    return false;
}

/* A pointer to the zone's name within the question's. */
static unsigned zone_pointer(const struct local *local, const struct name *name) {
    size_t at = 0;
    for (unsigned skip = name->labels - local->zone; skip > 0; skip--)
        at += name->wire[at] + 1U;
    return 0xC000U | (unsigned)(WIRE_HEADER + at);
}

static void put_soa(struct wire_out *out, unsigned zone) {
    static const uint8_t mailbox[] = "\6nobody\7invalid";
    static const uint32_t timers[] = {1, 3600, 1200, 604800, LOCAL_TTL};
    wire_put16(out, zone);
    wire_put(out, mailbox, sizeof mailbox);
    for (unsigned i = 0; i < 5; i++)
        wire_put32(out, timers[i]);
}

bool local_write(const struct local *local, const struct name *name, struct wire_out *out) {
    static const uint8_t loopback6[16] = {[15] = 1};
    static const uint16_t types[] = {TYPE_SOA, TYPE_A, TYPE_AAAA, TYPE_PTR, TYPE_SOA, TYPE_NS};
    unsigned zone = zone_pointer(local, name);
    bool answer = local->data != LOCAL_NOTHING;
    wire_put16(out, answer ? 0xC000U | WIRE_HEADER : zone);
    wire_put16(out, types[local->data]);
    wire_put16(out, CLASS_IN);
    wire_put32(out, LOCAL_TTL);
    size_t length_at = out->at;
    wire_put16(out, 0);
    switch (local->data) {
    case LOCAL_A:
        wire_put(out, "\177\0\0\1", 4);
        break;
    case LOCAL_AAAA:
        wire_put(out, loopback6, sizeof loopback6);
        break;
    case LOCAL_PTR:
        wire_put(out, "\11localhost", 11);
        break;
    case LOCAL_NS:
        wire_put16(out, zone);
        break;
    default:
        put_soa(out, zone);
    }
    if (!out->full)
        wire_set16(out->data + length_at, (unsigned)(out->at - length_at - 2));
    return answer;
}
