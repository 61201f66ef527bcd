/* test/fuzz/json_reader.c: any octets, in chunks of any size, as a document and as lines: positions never go back, all ends. */
#include <stdlib.h>
#include <string.h>

#include "config/json_reader.h"

struct source {
    const uint8_t *at;
    size_t left, chunk;
};

static long read_some(void *context, char *buffer, size_t size) {
    struct source *source = context;
    size_t n = source->left < size ? source->left : size;
    n = n < source->chunk ? n : source->chunk;
    memcpy(buffer, source->at, n);
    source->at += n;
    source->left -= n;
    return (long)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    const struct json_limits limits = {.depth = 8, .string = 200, .lines = data[0] & 1};
    struct source source = {data + 1, size - 1, (size_t)(data[0] >> 1) + 1};
    struct json_reader *reader = json_reader_new(read_some, &source, &limits);
    uint64_t last = 0;
    for (enum json_event event; reader && (event = json_next(reader)) != JSON_END;) {
        size_t length;
        const char *text = json_text(reader, &length);
        if (text[length] != 0 || json_offset(reader) + 1 < last || (event != JSON_ERROR && json_depth(reader) > 8))
            abort();
        last = json_offset(reader);
        struct json_member members[4];
        size_t count, octets = json_peek_object(reader, &text, members, 4, &count);
        if (octets > 0 &&
            (text[0] != '{' || text[octets - 1] != '}' || members[count - 1].text + members[count - 1].length >= octets))
            abort();
        if (octets > 0)
            json_pass_object(reader, octets);
        if (event == JSON_ERROR && !limits.lines)
            break;
        if (event == JSON_ERROR)
            json_skip_line(reader);
    }
    json_reader_free(reader);
    return 0;
}
