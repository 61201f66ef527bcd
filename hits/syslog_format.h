/* hits/syslog_format.h: a line of the hit log as a syslog message (RFC 5424). Pure: text in, text out; any thread.
 *
 *     <29>1 2026-11-22T17:40:12.345678Z gw1 sundewd 4711 hit [hit@32473 client="10.1.2.3" proto="udp" ...] {"ts":...}
 *
 * The structured data repeats the line's members but `ts`, which is the TIMESTAMP; a list is one parameter an element. 32473 is the
 * number that RFC 5612 keeps for examples: sundew has none of its own. MSG is the line as it stands in the log, without the byte
 * order mark that section 6.4 asks for in front of UTF-8: JSON must not begin with one (RFC 8259, section 8.1), and what has none
 * is MSG-ANY by the grammar. */
#ifndef SUNDEW_HITS_SYSLOG_FORMAT_H
#define SUNDEW_HITS_SYSLOG_FORMAT_H

#include "hits/text.h"

/* Who says it: HOSTNAME, APP-NAME and PROCID, as they stand in every message. Visible because it is embedded by value. */
struct syslog_origin {
    char text[320];
};
void syslog_origin_init(struct syslog_origin *origin);

/* Appends the message for a line of `length` octets (one JSON object, without its '\n'). 0, -EINVAL for what isn't such a line,
 * -ENOMEM; what was appended then means nothing. */
int syslog_format(struct text *text, const struct syslog_origin *origin, const char *line, size_t length);

#endif
