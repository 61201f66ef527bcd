/* test/fuzz/snapshot.c: any octets as a snapshot, as they are and with their checksums put right: refused, or every question to it
 * is answered without a read outside the mapping. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/snapshot_repair.h"

static void open_and_ask(const uint8_t *file, size_t size) {
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    if (fd < 0 || write(fd, file, size) != (ssize_t)size)
        abort();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct snapshot *snapshot = NULL;
    const char *why = NULL;
    if (snapshot_open(&snapshot, path, &why) == 0)
        snapshot_repair_ask_all(snapshot);
    else if (why == NULL)
        abort();
    snapshot_unref(snapshot);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    open_and_ask(data, size);
    uint8_t *repaired = malloc(size + 1);
    if (repaired == NULL)
        abort();
    memcpy(repaired, data, size);
    snapshot_repair(repaired, size);
    open_and_ask(repaired, size);
    free(repaired);
    return 0;
}
