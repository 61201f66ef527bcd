/* hits/line.c: a hit as one line of hits.jsonl, and a query as one of log.queries. */
#include <stdio.h>
#include <string.h>

#include "hits/line.h"

/* IANA "Resource Record (RR) TYPEs", those that a client may be seen to ask for. */
static const char *const type_names[] = {
    [1] = "A",       [2] = "NS",      [3] = "MD",       [4] = "MF",          [5] = "CNAME",  [6] = "SOA",
    [7] = "MB",      [8] = "MG",      [9] = "MR",       [10] = "NULL",       [11] = "WKS",   [12] = "PTR",
    [13] = "HINFO",  [14] = "MINFO",  [15] = "MX",      [16] = "TXT",        [17] = "RP",    [18] = "AFSDB",
    [19] = "X25",    [20] = "ISDN",   [21] = "RT",      [22] = "NSAP",       [24] = "SIG",   [25] = "KEY",
    [26] = "PX",     [27] = "GPOS",   [28] = "AAAA",    [29] = "LOC",        [30] = "NXT",   [33] = "SRV",
    [35] = "NAPTR",  [36] = "KX",     [37] = "CERT",    [38] = "A6",         [39] = "DNAME", [41] = "OPT",
    [42] = "APL",    [43] = "DS",     [44] = "SSHFP",   [45] = "IPSECKEY",   [46] = "RRSIG", [47] = "NSEC",
    [48] = "DNSKEY", [49] = "DHCID",  [50] = "NSEC3",   [51] = "NSEC3PARAM", [52] = "TLSA",  [53] = "SMIMEA",
    [55] = "HIP",    [59] = "CDS",    [60] = "CDNSKEY", [61] = "OPENPGPKEY", [62] = "CSYNC", [63] = "ZONEMD",
    [64] = "SVCB",   [65] = "HTTPS",  [99] = "SPF",     [104] = "NID",       [105] = "L32",  [106] = "L64",
    [107] = "LP",    [108] = "EUI48", [109] = "EUI64",  [249] = "TKEY",      [250] = "TSIG", [251] = "IXFR",
    [252] = "AXFR",  [253] = "MAILB", [254] = "MAILA",  [255] = "ANY",       [256] = "URI",  [257] = "CAA",
};

/* IANA "DNS RCODEs" up to what fits header and EDNS. */
static const char *const rcode_names[] = {"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
                                          "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE"};

const char *line_type(uint16_t type, char buffer[LINE_CODE_MAX]) {
    if (type < sizeof type_names / sizeof type_names[0] && type_names[type] != NULL)
        return type_names[type];
    snprintf(buffer, LINE_CODE_MAX, "TYPE%u", type);
    return buffer;
}

const char *line_rcode(uint16_t rcode, char buffer[LINE_CODE_MAX]) {
    if (rcode < sizeof rcode_names / sizeof rcode_names[0])
        return rcode_names[rcode];
    if (rcode == 16)
        return "BADVERS";
    snprintf(buffer, LINE_CODE_MAX, "RCODE%u", rcode);
    return buffer;
}

const char *line_protocol(enum protocol protocol) {
    static const char *const names[PROTOCOL_COUNT] = {"udp", "tcp", "tls", "https"};
    return protocol < PROTOCOL_COUNT ? names[protocol] : "udp";
}

void line_mac(char out[LINE_MAC_LENGTH + 1], const uint8_t mac[6]) {
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < 6; i++) {
        out[3 * i] = hex[mac[i] >> 4];
        out[3 * i + 1] = hex[mac[i] & 15];
        out[3 * i + 2] = ':';
    }
    out[LINE_MAC_LENGTH] = '\0';
}

#define PUT(text, literal) text_put(text, literal, sizeof(literal) - 1)

/* Where and how a query came in: the members that every line begins with. */
static void put_origin(struct text *text, uint64_t ts_us, const struct ip *client, enum protocol protocol) {
    char time[TIME_LENGTH], address[IP_TEXT_MAX];
    text_time(time, ts_us);
    PUT(text, "{\"ts\":\"");
    text_put(text, time, sizeof time);
    PUT(text, "\",\"client\":\"");
    text_put(text, address, ip_to_text(client, address));
    PUT(text, "\",\"proto\":\"");
    text_string(text, line_protocol(protocol));
    PUT(text, "\"");
}

static void put_question(struct text *text, const uint8_t *qname, uint16_t qtype) {
    char code[LINE_CODE_MAX];
    PUT(text, ",\"qname\":");
    text_json_name(text, qname);
    PUT(text, ",\"qtype\":\"");
    text_string(text, line_type(qtype, code));
    PUT(text, "\"");
}

void line_hit(struct text *text, const struct hit *hit) {
    put_origin(text, hit->ts_us, &hit->client, hit->protocol);
    if (hit->who.has_mac) {
        char mac[LINE_MAC_LENGTH + 1];
        line_mac(mac, hit->who.mac);
        PUT(text, ",\"mac\":\"");
        text_put(text, mac, LINE_MAC_LENGTH);
        PUT(text, "\"");
    }
    if (hit->who.hostname != NULL) {
        PUT(text, ",\"hostname\":");
        text_json(text, hit->who.hostname->text, hit->who.hostname->length);
    }
    put_question(text, hit->qname, hit->qtype);
    PUT(text, ",");
    text_piece(text, piece_of(hit->card->front));
    text_piece(text, hit->rule);
    text_piece(text, piece_of(hit->card->back));
    if (hit->answer != NULL) {
        PUT(text, ",\"answer\":");
        text_piece(text, piece_of(hit->answer));
    }
    text_piece(text, hit->details);
    PUT(text, ",\"count\":");
    text_number(text, hit->count);
    if (hit->via != NULL) {
        PUT(text, ",\"via\":");
        text_json_name(text, hit->via);
    }
    PUT(text, "}\n");
}

void line_query(struct text *text, const struct record *record) {
    char code[LINE_CODE_MAX];
    put_origin(text, record->ts_us, &record->client, (enum protocol)record->protocol);
    put_question(text, record->names, record->qtype);
    PUT(text, ",\"rcode\":\"");
    text_string(text, line_rcode(record->rcode, code));
    PUT(text, "\"}\n");
}
