/* test/fuzz/leases.c: lease files of all three servers; the first octet says which. */
#include "hits/leases.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(void *context, const struct lease *lease) {
    leases_add(context, lease, (int64_t)1795369200 * 1000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct leases *leases = leases_new(64);
    struct lease_parser *parser = lease_parser_new((enum lease_format)(data[0] % 3), add, leases);
    for (const uint8_t *at = data + 1, *end = data + size, *stop; at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        lease_parser_line(parser, (const char *)at, (size_t)(stop - at));
    }
    lease_parser_free(parser);
    leases_free(leases);
    return 0;
}
