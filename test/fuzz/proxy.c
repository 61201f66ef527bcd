/* test/fuzz/proxy.c: what a trusted sender puts in front of a message; what grows octet by octet never changes its mind. */
#include <errno.h>

#include "resolver/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct proxy proxy;
    int last = -EAGAIN;
    for (size_t length = 0; length <= size && length <= 128; length++) {
        int rc = proxy_parse(data, length, &proxy);
        if (rc > 16 + UINT16_MAX || (rc > 0 && rc < 16) || (last != -EAGAIN && rc != last))
            __builtin_trap();
        last = rc;
    }
    return 0;
}
