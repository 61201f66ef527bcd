/* feeds/format_urlhaus.c: abuse.ch URLhaus: the dumps (a map of arrays by id) and the API's answer (FORMATS.md section 3). All of
 * its indicators are URLs of malware delivery. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "feeds/walk.h"

enum { CONFIDENCE_ONLINE = 80, CONFIDENCE_OFFLINE = 50 };

/* Where dump and API name a field differently, the API's name follows. */
enum { URL, STATUS, ADDED, ADDED_API, LAST, TAGS, LINK, LINK_API, ID, KEY_COUNT };

static const struct record_key keys[KEY_COUNT] = {
    [URL] = RECORD_KEY("url"),
    [STATUS] = RECORD_KEY("url_status"),
    [ADDED] = RECORD_KEY("dateadded"),
    [ADDED_API] = RECORD_KEY("date_added"),
    [LAST] = RECORD_KEY("last_online"),
    [TAGS] = RECORD_KEY("tags"),
    [LINK] = RECORD_KEY("urlhaus_link"),
    [LINK_API] = RECORD_KEY("urlhaus_reference"),
    [ID] = RECORD_KEY("id"),
};

struct urlhaus {
    struct reading *reading;
    char status[64]; /* query_status of the API; empty for a dump */
};

/* Each between blanks, so that a look-up is one search. */
static const char plain_words[] =
    " 32-bit 64-bit 32 64 arm arm5 arm6 arm7 aarch64 mips mipsel mpsl x86 x86-32 x86-64 x86_64 x64 i386 i486 "
    "i586 i686 ppc powerpc sparc sh4 superh m68k arc motorola renesas intel elf exe dll msi apk jar iso img "
    "vhd lnk hta js jse vbs vbe vba bat cmd ps1 ps powershell sh bash script shellscript py python php html "
    "htm svg pdf doc docx docm xls xlsx xlsm xlsb ppt rtf one zip rar 7z gz tar cab ace gzip archive ascii txt "
    "base64 encoded encrypted obfuscated rev reversed reverse hex xor png jpg stego steganography shellcode "
    "payload loader dropper downloader stealer rat trojan malware botnet ransomware miner backdoor phishing "
    "spam opendir pw password password-protected ua-wget ua-curl ua-other geofenced usa github discord gdrive "
    "dropbox bitbucket onedrive c2 webdav censys none unknown clickfix fakecaptcha mac macos linux windows "
    "android iot signed malicious wget ";

/* URLhaus has no field for the family; its tags hold it among words for what the file is, how it is packed and how it was found.
 * The first tag that is none of these words, and has a letter, is taken for the family. */
static bool is_family(const char *tag, size_t length) {
    bool letter = false;
    for (size_t i = 0; i < length; i++)
        letter |= ((unsigned char)tag[i] | 0x20) >= 'a' && ((unsigned char)tag[i] | 0x20) <= 'z';
    char padded[64];
    if (!letter || snprintf(padded, sizeof padded, " %s ", tag) >= (int)sizeof padded)
        return letter;
    return strchr(tag, ' ') || !strcasestr(plain_words, padded);
}

static int read_tags(void *context, struct record *record, unsigned field, enum json_event event) {
    struct urlhaus *feed = context;
    struct json_reader *json = feed->reading->json;
    if (field != TAGS || event != JSON_ARRAY)
        return json_skip(json) ? -EBADMSG : 0;
    while ((event = json_next(json)) != JSON_ARRAY_END) {
        size_t length;
        const char *text = json_text(json, &length);
        int error = 0;
        if (event == JSON_ERROR || ((event == JSON_OBJECT || event == JSON_ARRAY) && json_skip(json)))
            return -EBADMSG;
        if (event == JSON_STRING && record->fields[TAGS].length == 0 && is_family(text, length))
            error = record_append(record, TAGS, "", text, length);
        if (error)
            return error;
    }
    return 0;
}

static int read_record(void *context, const char *id) {
    struct urlhaus *feed = context;
    struct reading *reading = feed->reading;
    const struct record *record = &reading->record;
    size_t length, text_length;
    const char *url = record_text(record, URL, &length);
    if (!url) {
        reading_fault(reading, record->line, record->column, reading->path, keys[URL].name, "missing");
        return 1;
    }
    struct indicator indicator;
    walk_begin(reading, URL, &indicator);
    const char *status = record_text(record, STATUS, NULL);
    indicator.rule.confidence = status && strcmp(status, "online") == 0 ? CONFIDENCE_ONLINE : CONFIDENCE_OFFLINE;
    const char *family = record->fields[TAGS].type == JSON_ARRAY ? record_text(record, TAGS, &text_length) : NULL;
    indicator.rule.family = reading_family(reading, family, family ? text_length : 0);
    indicator.rule.first_seen = walk_time(record, ADDED, ADDED_API, false);
    indicator.rule.last_seen = walk_time(record, LAST, LAST, false);
    const char *own_id = record_text(record, ID, NULL);
    indicator.id = own_id ? own_id : id;
    char site[160];
    const char *reference = walk_either(record, LINK, LINK_API, &text_length);
    if (!reference && indicator.id) {
        snprintf(site, sizeof site, "https://urlhaus.abuse.ch/url/%.64s/", indicator.id);
        reference = site;
        text_length = strlen(site);
    }
    indicator.rule.reference = reading_reference(reading, reference, reference ? text_length : 0);
    return reading_emit_value(reading, &indicator, READING_URL, url, length, keys[URL].name);
}

static bool read_scalar(void *context, const char *key, const char *text) {
    struct urlhaus *feed = context;
    if (strcmp(key, "query_status") != 0 || !text)
        return false;
    snprintf(feed->status, sizeof feed->status, "%s", text);
    return true;
}

int format_urlhaus(struct reading *reading) {
    struct urlhaus feed = {.reading = reading};
    const struct walk walk = {.fields = {.keys = keys, .count = KEY_COUNT, .context = &feed, .nested = read_tags},
                              .context = &feed,
                              .record = read_record,
                              .scalar = read_scalar};
    int error = walk_records(reading, &walk);
    if (error)
        return error;
    if (strcmp(feed.status, "no_results") == 0)
        return -ENODATA;
    if (feed.status[0] != '\0' && strcmp(feed.status, "ok") != 0)
        return reading_refuse(reading, 1, 1, "URLhaus answers query_status \"%s\"", feed.status);
    return 0;
}
