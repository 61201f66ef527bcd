/* feeds/format_feodo.c: abuse.ch Feodo Tracker's ipblocklist.json (FORMATS.md section 2). Its `hostname` is the hoster's reverse
 * DNS and never an indicator. */
#include <string.h>

#include "feeds/walk.h"

enum { CONFIDENCE_ONLINE = 90, CONFIDENCE_OFFLINE = 60 };
enum { ADDRESS, STATUS, FIRST, LAST, MALWARE, KEY_COUNT };

static const struct record_key keys[KEY_COUNT] = {
    [ADDRESS] = RECORD_KEY("ip_address"), [STATUS] = RECORD_KEY("status"),   [FIRST] = RECORD_KEY("first_seen"),
    [LAST] = RECORD_KEY("last_online"),   [MALWARE] = RECORD_KEY("malware"),
};

static int read_record(void *context, const char *id) {
    static const char site[] = "https://feodotracker.abuse.ch/";
    struct reading *reading = context;
    const struct record *record = &reading->record;
    size_t length, text_length;
    const char *address = record_text(record, ADDRESS, &length);
    if (!address) {
        reading_fault(reading, record->line, record->column, reading->path, keys[ADDRESS].name, "missing");
        return 1;
    }
    struct indicator indicator;
    walk_begin(reading, ADDRESS, &indicator);
    const char *status = record_text(record, STATUS, NULL);
    indicator.rule.confidence = status && strcmp(status, "online") == 0 ? CONFIDENCE_ONLINE : CONFIDENCE_OFFLINE;
    const char *family = record_text(record, MALWARE, &text_length);
    indicator.rule.family = reading_family(reading, family, family ? text_length : 0);
    indicator.rule.first_seen = walk_time(record, FIRST, FIRST, false);
    indicator.rule.last_seen = walk_time(record, LAST, LAST, true);
    indicator.rule.reference = site;
    return reading_emit_value(reading, &indicator, READING_PLAIN, address, length, keys[ADDRESS].name);
}

int format_feodo(struct reading *reading) {
    const struct walk walk = {.fields = {.keys = keys, .count = KEY_COUNT}, .context = reading, .record = read_record};
    return walk_records(reading, &walk);
}
