/* feeds/misp_tags.c: galaxies by how surely their value names a malware family. */
#include "feeds/misp_tags.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *prefix; /* up to and with the '=' */
    int rank;
} galaxies[] = {
    {"misp-galaxy:malpedia=", 6},
    {"misp-galaxy:malware=", 5},
    {"misp-galaxy:mitre-malware=", 5},
    {"misp-galaxy:mitre-enterprise-attack-malware=", 5},
    {"misp-galaxy:ransomware=", 5},
    {"misp-galaxy:botnet=", 5},
    {"misp-galaxy:banker=", 5},
    {"misp-galaxy:stealer=", 5},
    {"misp-galaxy:rat=", 5},
    {"misp-galaxy:backdoor=", 5},
    {"misp-galaxy:android=", 5},
    {"misp-galaxy:exploit-kit=", 4},
    {"misp-galaxy:tool=", 4},
    {"misp-galaxy:mitre-tool=", 4},
    {"misp-galaxy:threat-actor=", 3},
    {"misp-galaxy:mitre-intrusion-set=", 3},
    {"misp-galaxy:mitre-enterprise-attack-intrusion-set=", 3},
    {"malware_classification:malware-category=", 2},
};

/* The machine tag taxonomy has no numbers; these stand for its words. */
static const struct {
    const char *value;
    int confidence;
} judgments[] = {{"high", 90}, {"moderate", 65}, {"low", 35}};

/* The value of a machine tag, without its quotes; it may hold '"' and '=' itself. */
static size_t value_of(const char *name, size_t prefix, const char **value) {
    const char *text = name + prefix;
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text++;
        length -= 2;
    }
    *value = text;
    return length;
}

void misp_tags_add(struct misp_tags *tags, const char *name) {
    static const char judgment[] = "estimative-language:confidence-in-analytic-judgment=";
    const char *value;
    for (size_t i = 0; i < sizeof galaxies / sizeof galaxies[0]; i++) {
        size_t prefix = strlen(galaxies[i].prefix);
        if (galaxies[i].rank <= tags->rank || strncasecmp(name, galaxies[i].prefix, prefix) != 0)
            continue;
        size_t length = value_of(name, prefix, &value);
        if (length == 0)
            return;
        if (length >= MISP_FAMILY_MAX) {
            length = MISP_FAMILY_MAX - 1;
            while (((unsigned char)value[length] & 0xC0) == 0x80)
                length--;
        }
        memcpy(tags->family, value, length);
        tags->family[length] = '\0';
        tags->rank = galaxies[i].rank;
        return;
    }
    if (strncasecmp(name, judgment, sizeof judgment - 1) != 0)
        return;
    size_t length = value_of(name, sizeof judgment - 1, &value);
    for (size_t i = 0; i < sizeof judgments / sizeof judgments[0]; i++) {
        if (strlen(judgments[i].value) == length && strncasecmp(value, judgments[i].value, length) == 0)
            tags->confidence = judgments[i].confidence;
    }
}
