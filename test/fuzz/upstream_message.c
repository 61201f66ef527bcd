/* test/fuzz/upstream_message.c: any octets as a server's reply. What is taken for an answer carries the id and the question; then
 * the octets go where a real reply would go. */
#include <stdlib.h>
#include <string.h>

#include "resolver/upstream_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct answer_limits limits = {.max_ttl = 86400, .max_negative_ttl = 3600};
    const struct question question = {.name = {.length = 11, .labels = 2, .wire = "\1a\7example"}, .type = 1};
    uint8_t query[UPSTREAM_QUERY_MAX];
    size_t length = upstream_message_query(query, &question, 0x1234, size & 1);
    if (upstream_message_judge(&question, 0x1234, true, query, length).kind != REPLY_MISMATCH)
        abort(); /* our own query, reflected */
    struct reply reply = upstream_message_judge(&question, 0x1234, size & 1, data, size);
    if (reply.kind == REPLY_MISMATCH)
        return 0;
    if (size < 12 || memcmp(data, "\x12\x34", 2) != 0 || (data[2] & 0xf8) != 0x80)
        abort();
    struct answer *answer = NULL;
    if (reply.kind == REPLY_ANSWER && answer_from_message(&answer, &question, data, size, &limits, 1000) == 0)
        answer_unref(answer);
    return 0;
}
