/* hits/lease_parser.c: the lease files of the three common DHCP servers, line by line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hits/lease_parser.h"

enum {
    FIELDS_MAX = 32,       /* of a line; Kea has up to 18 */
    DUID_MAX = 130,        /* octets: RFC 8415 section 11.1 */
    HARDWARE_ETHERNET = 1, /* IANA hardware type */
    DUID_LLT = 1,
    DUID_LL = 3 /* RFC 8415 sections 11.2, 11.4 */
};

struct field {
    const char *text;
    size_t length;
};

enum kea_column { KEA_ADDRESS, KEA_HWADDR, KEA_DUID, KEA_LIFETIME, KEA_EXPIRE, KEA_HOSTNAME, KEA_STATE, KEA_TYPE, KEA_COLUMNS };

enum isc_block { ISC_NONE, ISC_LEASE, ISC_IA, ISC_IAADDR, ISC_OTHER };

struct lease_parser {
    enum lease_format format;
    lease_each *each;
    void *context;
    uint64_t skipped;
    int8_t kea_column[KEA_COLUMNS]; /* its number in the file, -1 absent */
    bool kea_header;
    enum isc_block isc_block;
    unsigned isc_depth; /* of braces below ISC_OTHER */
    struct lease lease; /* being read */
    bool isc_active;    /* its binding state */
    bool duid_has_mac;  /* of the ia-na being read */
    uint8_t duid_mac[6];
    int64_t isc_cltt_us;
};

int lease_format_from_name(const char *name, enum lease_format *format) {
    static const char *const names[] = {"dnsmasq", "kea", "isc-dhcpd"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *format = (enum lease_format)i;
            return 0;
        }
    }
    return -EINVAL;
}

struct lease_parser *lease_parser_new(enum lease_format format, lease_each *each, void *context) {
    struct lease_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL)
        return NULL;
    parser->format = format;
    parser->each = each;
    parser->context = context;
    return parser;
}

void lease_parser_free(struct lease_parser *parser) {
    free(parser);
}

void lease_parser_reset(struct lease_parser *parser) {
    parser->kea_header = false;
    parser->isc_block = ISC_NONE;
    parser->isc_depth = 0;
}

uint64_t lease_parser_skipped(const struct lease_parser *parser) {
    return parser->skipped;
}

/* --- values --- */

static bool is(struct field field, const char *word) {
    return field.length == strlen(word) && memcmp(field.text, word, field.length) == 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Octets as "0:1a:2b", one or two digits each. Returns how many, or -EINVAL. */
static int read_octets(struct field field, uint8_t *octets, size_t size) {
    size_t count = 0, i = 0;
    while (i < field.length) {
        int value = hex_digit(field.text[i++]);
        int low = i < field.length ? hex_digit(field.text[i]) : -1;
        if (value < 0 || count == size)
            return -EINVAL;
        if (low >= 0) {
            value = value << 4 | low;
            i++;
        }
        octets[count++] = (uint8_t)value;
        if (i < field.length && (field.text[i++] != ':' || i == field.length))
            return -EINVAL;
    }
    return (int)count;
}

static int read_number(struct field field, int64_t *number) {
    int64_t value = 0;
    if (field.length == 0 || field.length > 12) /* in microseconds it must fit, too */
        return -EINVAL;
    for (size_t i = 0; i < field.length; i++) {
        if (field.text[i] < '0' || field.text[i] > '9')
            return -EINVAL;
        value = value * 10 + (field.text[i] - '0');
    }
    *number = value;
    return 0;
}

static void take_mac(struct lease *lease, struct field field) {
    uint8_t mac[6];
    if (read_octets(field, mac, sizeof mac) == (int)sizeof mac) {
        lease->has_mac = true;
        lease->mac_of_duid = false;
        memcpy(lease->mac, mac, sizeof mac);
    }
}

/* The Ethernet address in a DUID-LLT or DUID-LL. */
static bool mac_of_duid(const uint8_t *duid, size_t length, uint8_t mac[6]) {
    if (length < 4 || duid[0] != 0 || duid[2] != 0 || duid[3] != HARDWARE_ETHERNET)
        return false;
    size_t at = duid[1] == DUID_LLT ? 8 : duid[1] == DUID_LL ? 4 : 0;
    if (at == 0 || length != at + 6)
        return false;
    memcpy(mac, duid + at, 6);
    return true;
}

static void take_duid(struct lease *lease, struct field field) {
    uint8_t duid[DUID_MAX];
    int length = read_octets(field, duid, sizeof duid);
    if (length > 0 && mac_of_duid(duid, (size_t)length, lease->mac))
        lease->has_mac = lease->mac_of_duid = true;
}

static void take_hostname(struct lease *lease, struct field field) {
    while (field.length > 0 && field.text[field.length - 1] == '.')
        field.length--;
    if (is(field, "*"))
        field.length = 0;
    lease->hostname_length = field.length > LEASE_HOSTNAME_MAX ? LEASE_HOSTNAME_MAX : field.length;
    memcpy(lease->hostname, field.text, lease->hostname_length);
    lease->hostname[lease->hostname_length] = '\0';
}

static void start_lease(struct lease *lease) {
    *lease = (struct lease){.start_us = LEASE_UNKNOWN, .end_us = LEASE_NEVER};
}

/* --- dnsmasq --- */

static size_t split(const char *line, size_t length, char separator, struct field *fields) {
    size_t count = 0;
    const char *end = line + length;
    while (count < FIELDS_MAX) {
        const char *stop = memchr(line, separator, (size_t)(end - line));
        fields[count++] = (struct field){line, (size_t)((stop == NULL ? end : stop) - line)};
        if (stop == NULL)
            break;
        line = stop + 1;
    }
    return count;
}

/* src/lease.c, lease_update_file(): one space between fields; a MAC of another medium than Ethernet has its type in front. */
static bool dnsmasq_line(struct lease_parser *parser, const char *line, size_t length) {
    struct field fields[FIELDS_MAX];
    size_t count = split(line, length, ' ', fields);
    struct lease *lease = &parser->lease;
    int64_t expiry;
    start_lease(lease);
    if (count == 2 && is(fields[0], "duid"))
        return true;
    if (count < 4 || read_number(fields[0], &expiry) != 0 || ip_from_text(&lease->address, fields[2].text, fields[2].length) != 0)
        return false;
    if (ip_is_v4(&lease->address))
        take_mac(lease, fields[1]);
    else if (count > 4)
        take_duid(lease, fields[4]);
    take_hostname(lease, fields[3]);
    if (expiry > 0)
        lease->end_us = expiry * 1000000;
    parser->each(parser->context, lease);
    return true;
}

/* --- Kea --- */

static bool kea_header(struct lease_parser *parser, const struct field *fields, size_t count) {
    static const char *const names[KEA_COLUMNS] = {"address", "hwaddr",   "duid",  "valid_lifetime",
                                                   "expire",  "hostname", "state", "lease_type"};
    for (int column = 0; column < KEA_COLUMNS; column++) {
        parser->kea_column[column] = -1;
        for (size_t i = 0; i < count; i++)
            if (is(fields[i], names[column]))
                parser->kea_column[column] = (int8_t)i;
    }
    parser->kea_header = true;
    return parser->kea_column[KEA_ADDRESS] >= 0 && parser->kea_column[KEA_EXPIRE] >= 0;
}

/* Kea writes a comma in a value as "&#x2c" and a '&' that might be taken for that as "&#x26". */
static void take_kea_hostname(struct lease *lease, struct field field) {
    char plain[LEASE_HOSTNAME_MAX];
    size_t length = 0;
    for (size_t i = 0; i < field.length && length < sizeof plain;) {
        if (field.length - i >= 5 && memcmp(field.text + i, "&#x", 3) == 0 && hex_digit(field.text[i + 3]) >= 0 &&
            hex_digit(field.text[i + 4]) >= 0) {
            plain[length++] = (char)(hex_digit(field.text[i + 3]) << 4 | hex_digit(field.text[i + 4]));
            i += 5;
        } else {
            plain[length++] = field.text[i++];
        }
    }
    take_hostname(lease, (struct field){plain, length});
}

static bool kea_line(struct lease_parser *parser, const char *line, size_t length) {
    struct field fields[FIELDS_MAX], value[KEA_COLUMNS];
    size_t count = split(line, length, ',', fields);
    if (!parser->kea_header)
        return kea_header(parser, fields, count);
    for (int column = 0; column < KEA_COLUMNS; column++) {
        int8_t at = parser->kea_column[column];
        value[column] = at >= 0 && (size_t)at < count ? fields[at] : (struct field){"", 0};
    }
    struct lease *lease = &parser->lease;
    int64_t expire, lifetime = 0, state = 0, type = 0;
    start_lease(lease);
    if (ip_from_text(&lease->address, value[KEA_ADDRESS].text, value[KEA_ADDRESS].length) != 0 ||
        read_number(value[KEA_EXPIRE], &expire) != 0 || read_number(value[KEA_LIFETIME], &lifetime) != 0)
        return false;
    read_number(value[KEA_STATE], &state);
    read_number(value[KEA_TYPE], &type);
    if (type == 2)
        return true; /* a delegated prefix: a router's, not a machine's */
    take_duid(lease, value[KEA_DUID]);
    take_mac(lease, value[KEA_HWADDR]);
    take_kea_hostname(lease, value[KEA_HOSTNAME]);
    /* A lifetime of 0 marks a lease as deleted; `expire` is then when it was last renewed. 2^32-1 is for ever. */
    lease->start_us = (expire - lifetime) * 1000000;
    lease->ended = state != 0 || lifetime == 0;
    if (lifetime != 0)
        lease->end_us = lifetime == UINT32_MAX ? LEASE_NEVER : expire * 1000000;
    parser->each(parser->context, lease);
    return true;
}

/* --- ISC dhcpd --- */

/* Days since 1970-01-01 of a day in the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "2026/11/22" "17:40:12", UTC. */
static bool isc_date(struct field date, struct field time, int64_t *us) {
    struct field day[FIELDS_MAX], clock[FIELDS_MAX];
    int64_t n[6];
    if (split(date.text, date.length, '/', day) != 3 || split(time.text, time.length, ':', clock) != 3)
        return false;
    for (int i = 0; i < 3; i++)
        if (read_number(day[i], &n[i]) != 0 || read_number(clock[i], &n[3 + i]) != 0)
            return false;
    if (n[0] < 1970 || n[0] > 9999 || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 || n[4] > 59 || n[5] > 60)
        return false;
    *us = (days_of(n[0], n[1], n[2]) * 86400 + n[3] * 3600 + n[4] * 60 + n[5]) * 1000000;
    return true;
}

/* After "starts", "ends", "cltt": "3 2026/11/22 17:40:12", "epoch 1795369212", or "never". */
static bool isc_time(const struct field *words, size_t count, int64_t *us) {
    int64_t seconds;
    if (count >= 2 && is(words[1], "never")) {
        *us = LEASE_NEVER;
        return true;
    }
    if (count >= 3 && is(words[1], "epoch") && read_number(words[2], &seconds) == 0 && seconds < INT64_MAX / 1000000) {
        *us = seconds * 1000000;
        return true;
    }
    return count >= 4 && isc_date(words[2], words[3], us);
}

/* A quoted string with \ooo, \" and \\ resolved. Returns the octets written. */
static size_t isc_string(struct field quoted, char *out, size_t size) {
    size_t length = 0;
    if (quoted.length < 2 || quoted.text[0] != '"')
        return 0;
    for (size_t i = 1; i < quoted.length && quoted.text[i] != '"' && length < size; i++) {
        const char *at = quoted.text + i;
        if (*at != '\\' || i + 1 == quoted.length) {
            out[length++] = *at;
        } else if (quoted.length - i > 3 && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' &&
                   at[3] <= '7') {
            out[length++] = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            i += 3;
        } else {
            out[length++] = at[1];
            i++;
        }
    }
    return length;
}

/* Words of a line, blanks between; a quoted string is one word; the last ';' is left off. */
static size_t isc_words(const char *line, size_t length, struct field *words) {
    size_t count = 0, i = 0;
    while (length > 0 && (line[length - 1] == ';' || line[length - 1] == ' ' || line[length - 1] == '\r'))
        length--;
    while (count < FIELDS_MAX) {
        while (i < length && (line[i] == ' ' || line[i] == '\t'))
            i++;
        if (i == length || line[i] == '#')
            break;
        size_t begun = i;
        bool quoted = false;
        for (; i < length && (quoted || (line[i] != ' ' && line[i] != '\t')); i++) {
            if (line[i] == '\\' && i + 1 < length)
                i++;
            else if (line[i] == '"')
                quoted = !quoted;
        }
        if (i > length)
            i = length;
        words[count++] = (struct field){line + begun, i - begun};
    }
    return count;
}

/* The line opens a block. */
static bool isc_open(struct lease_parser *parser, const struct field *words, size_t count) {
    struct lease *lease = &parser->lease;
    bool address = count == 3 && (is(words[0], "lease") || is(words[0], "iaaddr"));
    if (parser->isc_block == ISC_NONE && count == 3 && (is(words[0], "ia-na") || is(words[0], "ia-ta"))) {
        char uid[4 + DUID_MAX]; /* IAID, then DUID */
        size_t length = isc_string(words[1], uid, sizeof uid);
        parser->duid_has_mac = length > 4 && mac_of_duid((const uint8_t *)uid + 4, length - 4, parser->duid_mac);
        parser->isc_cltt_us = LEASE_UNKNOWN;
        parser->isc_block = ISC_IA;
        return true;
    }
    if (address && ((parser->isc_block == ISC_NONE && is(words[0], "lease")) || parser->isc_block == ISC_IA)) {
        start_lease(lease);
        parser->isc_active = false;
        if (ip_from_text(&lease->address, words[1].text, words[1].length) == 0) {
            if (parser->isc_block == ISC_IA) {
                lease->start_us = parser->isc_cltt_us;
                lease->has_mac = lease->mac_of_duid = parser->duid_has_mac;
                memcpy(lease->mac, parser->duid_mac, sizeof lease->mac);
            }
            parser->isc_block = parser->isc_block == ISC_IA ? ISC_IAADDR : ISC_LEASE;
            return true;
        }
    }
    /* Another block (failover state, ia-pd, an address that can't be read): passed over with all in it. */
    if (parser->isc_block != ISC_NONE)
        return false;
    parser->isc_block = ISC_OTHER;
    parser->isc_depth = 1;
    return !address;
}

static void isc_close(struct lease_parser *parser) {
    if (parser->isc_block == ISC_LEASE || parser->isc_block == ISC_IAADDR) {
        parser->lease.ended = !parser->isc_active;
        if (parser->lease.end_us == LEASE_NEVER && parser->lease.ended && parser->lease.start_us == LEASE_UNKNOWN)
            parser->lease.end_us = 0; /* never held by anyone that the file knows */
        parser->each(parser->context, &parser->lease);
    }
    parser->isc_block = parser->isc_block == ISC_IAADDR ? ISC_IA : ISC_NONE;
}

/* A statement within "lease" or "iaaddr". */
static void isc_statement(struct lease_parser *parser, const struct field *words, size_t count) {
    struct lease *lease = &parser->lease;
    char text[LEASE_HOSTNAME_MAX];
    int64_t us;
    if (is(words[0], "starts") && isc_time(words, count, &us))
        lease->start_us = us == LEASE_NEVER ? LEASE_UNKNOWN : us;
    else if (is(words[0], "ends") && isc_time(words, count, &us))
        lease->end_us = us;
    else if (count == 3 && is(words[0], "binding") && is(words[1], "state"))
        parser->isc_active = is(words[2], "active");
    else if (count == 3 && is(words[0], "hardware") && is(words[1], "ethernet"))
        take_mac(lease, words[2]);
    else if (count == 2 && is(words[0], "client-hostname"))
        take_hostname(lease, (struct field){text, isc_string(words[1], text, sizeof text)});
    else if (count == 4 && is(words[0], "set") && is(words[1], "ddns-fwd-name") && lease->hostname_length == 0)
        take_hostname(lease, (struct field){text, isc_string(words[3], text, sizeof text)});
}

static bool isc_line(struct lease_parser *parser, const char *line, size_t length) {
    struct field words[FIELDS_MAX];
    size_t count = isc_words(line, length, words);
    if (count == 0)
        return true;
    bool opens = is(words[count - 1], "{"), closes = is(words[0], "}");
    if (parser->isc_block == ISC_OTHER) {
        parser->isc_depth += opens;
        parser->isc_depth -= closes;
        if (parser->isc_depth == 0)
            parser->isc_block = ISC_NONE;
        return true;
    }
    if (is(words[0], "lease") && opens)
        parser->isc_block = ISC_NONE; /* a block that was cut off: dhcpd begins a new one on a new line */
    if (opens)
        return isc_open(parser, words, count);
    if (closes)
        isc_close(parser);
    else if (parser->isc_block == ISC_LEASE || parser->isc_block == ISC_IAADDR)
        isc_statement(parser, words, count);
    else if (parser->isc_block == ISC_IA && is(words[0], "cltt") && !isc_time(words, count, &parser->isc_cltt_us))
        return false;
    return true;
}

void lease_parser_line(struct lease_parser *parser, const char *line, size_t length) {
    static bool (*const readers[])(struct lease_parser *, const char *, size_t) = {dnsmasq_line, kea_line, isc_line};
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length > 0 && (length > LEASE_LINE_MAX || !readers[parser->format](parser, line, length)))
        parser->skipped++;
}
