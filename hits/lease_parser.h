/* hits/lease_parser.h: the lease files of the three common DHCP servers, line by line.
 *
 *     dnsmasq    "expiry MAC address hostname client-id", and after a "duid" line "expiry IAID address hostname DUID"; a snapshot:
 *                what isn't in it any more is over
 *     kea        memfile CSV, v4 and v6; columns by the header; updates appended
 *     isc-dhcpd  "lease ADDRESS { ... }" and "ia-na DUID { iaaddr ADDRESS { ... } }"; appended, the last block holds
 *
 * Hostile text: host names are the clients' own, files may be cut anywhere. A line that can't be read is skipped and counted. Pure;
 * one thread. */
#ifndef SUNDEW_HITS_LEASE_PARSER_H
#define SUNDEW_HITS_LEASE_PARSER_H

#include "policy/prefix.h"

enum lease_format { LEASE_DNSMASQ, LEASE_KEA, LEASE_ISC_DHCPD };
int lease_format_from_name(const char *name, enum lease_format *format); /* 0 or -EINVAL */

enum { LEASE_HOSTNAME_MAX = 255, LEASE_LINE_MAX = 65536 /* octets; longer lines are skipped */ };
#define LEASE_UNKNOWN INT64_MIN /* start_us: the file doesn't say */
#define LEASE_NEVER INT64_MAX   /* end_us: no end */

struct lease {
    struct ip address;
    int64_t start_us, end_us; /* since 1970; held from start to before end */
    bool ended;               /* given back: it is over now, if not before (end_us) */
    bool has_mac;
    bool mac_of_duid; /* the MAC is the one in the client's DUID: the machine's, perhaps another interface's */
    uint8_t mac[6];
    char hostname[LEASE_HOSTNAME_MAX + 1]; /* as the client sent it; "" unknown */
    size_t hostname_length;
};

struct lease_parser;
typedef void lease_each(void *context, const struct lease *lease);

struct lease_parser *lease_parser_new(enum lease_format format, lease_each *each, void *context); /* NULL: no memory */
void lease_parser_free(struct lease_parser *parser);
void lease_parser_reset(struct lease_parser *parser);                                 /* a file begins anew */
void lease_parser_line(struct lease_parser *parser, const char *line, size_t length); /* without '\n' */
uint64_t lease_parser_skipped(const struct lease_parser *parser);

#endif
