/* resolver/message.h: reads a client's query: header, question, EDNS (RFC 1035, RFC 6891), and says what is wrong with it.
 *
 * The packet is read once, strictly, without allocation; nothing is kept but what the query machine asks for. Any thread. */
#ifndef SUNDEW_RESOLVER_MESSAGE_H
#define SUNDEW_RESOLVER_MESSAGE_H

#include "resolver/answer.h"
#include "resolver/wire.h"

/* What is to become of a packet. MESSAGE_OK is a question that can be answered; all but MESSAGE_DROP get a reply. */
enum message_fault {
    MESSAGE_OK,
    MESSAGE_DROP,    /* not a query: too short for a header, or an answer (answering those makes loops) */
    MESSAGE_FORMERR, /* not what it claims to be; the reply echoes the question if `question_length` isn't 0 */
    MESSAGE_NOTIMP,  /* another opcode than QUERY */
    MESSAGE_BADVERS, /* EDNS of a version that we don't speak (RFC 6891 section 6.1.3) */
    MESSAGE_REFUSED, /* AXFR, IXFR, and classes other than IN */
};

/* Visible because it lies in every waiting query. Only what is listed before `question` is always set; the rest is valid when
 * question_length isn't 0. `question.name` is in lower case; the client's letters are in the packet, at WIRE_HEADER. */
struct message {
    uint16_t id;
    uint16_t flags;           /* the header's second word */
    uint16_t question_length; /* octets of the question section; 0: there is none that can be echoed */
    uint16_t limit;           /* octets that the client takes over UDP: 512 without EDNS, never less (RFC 6891 section 6.2.3) */
    bool edns;                /* it sent an OPT: it gets one */
    bool dnssec_ok;           /* DO */
    bool keepalive;           /* asked for edns-tcp-keepalive (RFC 7828) */
    bool has_mac;             /* EDNS option 65001 with six octets, as dnsmasq's add-mac sends */
    uint8_t mac[6];
    struct question question; /* IN; DO and CD as asked */
};

static inline void message_copy(struct message *to, const struct message *from) {
    memcpy(to, from, offsetof(struct message, question));
    question_copy(&to->question, &from->question);
}

enum message_fault message_parse(struct message *message, const uint8_t *packet, size_t length);

#endif
