/* test/fuzz/answer.c: any octets as an upstream's answer to the question that they repeat. What is made of them must be sound: it
 * is read again, record by record, as the gate and the reply do. */
#include "resolver/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct answer_limits limits = {.max_ttl = 86400, .max_negative_ttl = 3600};
    struct question question = {.dnssec_ok = size & 1};
    struct wire wire;
    wire_init(&wire, data, size, 0);
    wire_take(&wire, WIRE_HEADER);
    wire_name(&wire, &question.name);
    wire_fold(&question.name);
    question.type = wire_u16(&wire);
    struct answer *answer = NULL;
    if (wire.bad || answer_from_message(&answer, &question, data, size, &limits, 1000) != 0)
        return 0;
    wire_init(&wire, answer_octets(answer), answer->length, WIRE_HEADER);
    wire.at = answer->question;
    for (unsigned i = 0; i < answer->ttl_count; i++) {
        struct wire_record record;
        wire_record(&wire, &record);
        if (wire_get32(answer_octets(answer) + answer->ttl_at[i]) != record.ttl || record.ttl > limits.max_ttl)
            __builtin_trap();
    }
    if (wire.bad || wire.at != answer->length || answer->ttl_count != answer->ancount + answer->nscount)
        __builtin_trap();
    answer_unref(answer);
    return 0;
}
