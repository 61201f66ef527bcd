/* test/fuzz/config.c: any octets as a configuration: faults or a config, never both, never a crash or leak. */
#include <stdlib.h>

#include "config/config.h"

static void count(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    if (!file || !line || !column || !*path || !*message)
        abort();
    ++*(size_t *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t faults = 0;
    struct config *config = config_parse("/etc/sundew/sundew.json", (const char *)data, size, count, &faults);
    if ((config != NULL) != (faults == 0))
        abort();
    uint8_t digest[16];
    if (config)
        config_policy_digest(config, digest);
    config_unref(config);
    return 0;
}
