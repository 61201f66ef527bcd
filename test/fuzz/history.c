/* test/fuzz/history.c: a history segment as a damaged disk may give it back. The check of each frame is made to fit, so that what
 * is behind it is reached. */
#include "hits/history.h"
#include "hits/history_format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool name(void *context, const uint8_t *wire, uint8_t length) {
    return wire[length - 1] == 0;
}

static void asked(void *context, const struct asked *pair) {
    *(uint64_t *)context += pair->ts_us + pair->hostname_length + pair->qname[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t sum = 0;
    struct history_visitor visitor = {name, asked, &sum, 0, NULL};
    uint8_t *segment = malloc(HISTORY_HEAD + HISTORY_FRAME_HEAD + size), *frame = segment + HISTORY_HEAD;
    memcpy(segment, HISTORY_MAGIC "\0\0\0\0\0\0\0", HISTORY_HEAD);
    history_put32(frame, (uint32_t)size);
    history_put32(frame + 4, history_check(data, size));
    memcpy(frame + HISTORY_FRAME_HEAD, data, size);
    history_read(segment, HISTORY_HEAD + HISTORY_FRAME_HEAD + size, &visitor);
    history_read(data, size, &visitor);
    free(segment);
    return 0;
}
