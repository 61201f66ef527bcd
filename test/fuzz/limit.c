/* test/fuzz/limit.c: any packet of a client that may not ask. */
#include <stdint.h>

#include "resolver/limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t out[LIMIT_ERROR_MAX];
    size_t length = limit_error(data, size, 5, 18, out);
    if (length > sizeof out || (length > 0 && length < 12))
        __builtin_trap();
    return 0;
}
