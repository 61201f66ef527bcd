/* test/fuzz/ledger.c: a batch of the ledger as a damaged disk may give it back. The check is made to fit, so that what is behind it
 * is reached; what is read is written again, and must be read the same. */
#include "hits/ledger_batch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all, into `copy` too. The number of entries; what their octets sum to goes to *sum. */
static uint32_t play(const uint8_t *octets, size_t size, struct batch *copy, uint64_t *sum) {
    struct batch_reader *reader = batch_reader_new();
    struct entry entry;
    uint32_t count = 0;
    *sum = 0;
    for (int got = batch_open(reader, octets, size); got >= 0 && (got = batch_next(reader, &entry)) == 1; count++) {
        *sum += entry.ts_us + entry.count + entry.qtype + (uint64_t)entry.repeats + entry.gone;
        for (uint32_t i = 0; i < entry.details.length; i++)
            *sum += (uint8_t)entry.details.text[i];
        if (entry.qname.length > 0)
            *sum += (uint8_t)entry.qname.text[entry.qname.length - 1];
        if (copy != NULL && !batch_add(copy, &entry))
            abort();
    }
    batch_reader_free(reader);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t sum, again;
    play(data, size, NULL, &sum);
    uint8_t *octets = malloc(size + LEDGER_BATCH_TAIL);
    if (size > 0)
        memcpy(octets, data, size);
    uint64_t check = batch_check(octets, size);
    for (unsigned i = 0; i < LEDGER_BATCH_TAIL; i++)
        octets[size + i] = (uint8_t)(check >> 8 * i);
    struct batch *copy = batch_new();
    uint32_t count = play(octets, size + LEDGER_BATCH_TAIL, copy, &sum);
    struct piece written = batch_octets(copy);
    if (play((const uint8_t *)written.text, written.length, NULL, &again) != count || again != sum)
        abort();
    batch_free(copy);
    free(octets);
    return 0;
}
