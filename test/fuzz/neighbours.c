/* test/fuzz/neighbours.c: netlink messages; the kernel is trusted, but this is cheap. */
#include "hits/neighbours.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int error;
    struct neighbours *neighbours = neighbours_new(&error);
    uint8_t *aligned = malloc(size + 1);
    memcpy(aligned, data, size);
    if (neighbours != NULL)
        neighbours_message(neighbours, aligned, size);
    free(aligned);
    neighbours_free(neighbours);
    return 0;
}
