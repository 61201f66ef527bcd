/* hits/line.h: a hit as one line of hits.jsonl (CONTRACT.md, "The hit log"), and a query as one of log.queries.
 *
 * A fixed shape written without a JSON library: this is what bounds how many hits a second can be told one by one. */
#ifndef SUNDEW_HITS_LINE_H
#define SUNDEW_HITS_LINE_H

#include "hits/hit.h"

/* Each appends one object and '\n'. */
void line_hit(struct text *text, const struct hit *hit);
void line_query(struct text *text, const struct record *record);

/* Names as in the log; the buffer is used where there is no mnemonic ("TYPE65280", "RCODE15"). */
enum { LINE_CODE_MAX = 12 };
const char *line_type(uint16_t type, char buffer[LINE_CODE_MAX]);
const char *line_rcode(uint16_t rcode, char buffer[LINE_CODE_MAX]);
const char *line_protocol(enum protocol protocol);
enum { LINE_MAC_LENGTH = 17 };
void line_mac(char out[LINE_MAC_LENGTH + 1], const uint8_t mac[6]); /* 52:54:00:12:34:56 and NUL */

#endif
