/* test/fuzz/format.c: every feed parser. The first octet picks format and options; what parsers hand over must be whole. */
#include <stdlib.h>
#include <string.h>

#include "feeds/format.h"
#include "feeds/misp_manifest.h"

struct input {
    const uint8_t *at;
    size_t left;
};

static long read_some(void *context, char *buffer, size_t size) {
    struct input *input = context;
    size_t taken = input->left < size ? input->left : size;
    if (taken > 0)
        memcpy(buffer, input->at, taken);
    input->at += taken;
    input->left -= taken;
    return (long)taken;
}

static int check(void *context, const struct indicator *indicator) {
    const struct rule *rule = &indicator->rule;
    struct name copy;
    const char *texts[] = {rule->family, rule->reference, rule->target, rule->records, indicator->id, indicator->path};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *(size_t *)context += texts[i] ? strlen(texts[i]) : 0;
    if (indicator->revoked)
        return 0;
    bool named = rule->trigger == TRIGGER_DOMAIN || rule->trigger == TRIGGER_NAMESERVER;
    if ((unsigned)rule->trigger >= TRIGGER_COUNT || (rule->confidence > 100 && rule->confidence != RULE_CONFIDENCE_UNSET))
        abort();
    if (named && (name_from_wire(&copy, rule->name.wire, rule->name.length) != rule->name.length ||
                  !name_equal(&copy, &rule->name) || copy.labels != rule->name.labels))
        abort();
    if (!named && rule->prefix.length > 128)
        abort();
    return 0;
}

static void fault(void *context, uint32_t line, uint32_t column, const char *path, const char *message) {
    *(size_t *)context += strlen(message) + (path ? strlen(path) : 0);
}

static int manifest_event(void *context, const char *uuid, int64_t timestamp) {
    return strlen(uuid) == MISP_UUID_LENGTH ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct input input = {data + 1, size - 1};
    size_t sum = 0;
    const char *why;
    const struct format_options options = {.refang = (data[0] & 0x40) != 0, .local = (data[0] & 0x80) != 0};
    const struct format_sink sink = {.context = &sum, .indicator = check, .fault = fault};
    unsigned format = data[0] & 0x1f;
    if (format < FORMAT_COUNT) {
        format_read((enum format)format, read_some, &input, &options, &sink, &why);
    } else {
        char reason[MISP_MANIFEST_WHY_MAX];
        misp_manifest_read(read_some, &input, manifest_event, NULL, reason);
    }
    return 0;
}
