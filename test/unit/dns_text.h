/* test/unit/dns_text.h: DNS messages from and to text, by ldns, so that what our own code reads and writes is checked by another's.
 *
 * A message is lines: "rcode nxdomain", "flags ad tc", "question a.test A", "answer RR", "authority RR", "additional RR". */
#ifndef SUNDEW_TEST_DNS_TEXT_H
#define SUNDEW_TEST_DNS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/answer.h"

/* Writes the message; returns its length. Exits with a complaint on text that it can't read. */
size_t dns_message(const char *text, uint8_t *out, size_t size);

/* Appends canonical text of a message: one line each for rcode and flags, EDNS, and every record, sorted as they stand. */
void dns_describe(const uint8_t *message, size_t length, char *out, size_t size);

struct question dns_question(const char *name, const char *type);
uint16_t dns_type(const char *name);

#endif
