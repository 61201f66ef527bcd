/* test/fuzz/message.c: any octets as a client's query. */
#include "resolver/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct message message;
    if (message_parse(&message, data, size) == MESSAGE_OK && WIRE_HEADER + (size_t)message.question_length > size)
        __builtin_trap();
    return 0;
}
