/* hits/identity.c: who is behind an address at a moment. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hits/identity.h"
#include "hits/line.h"
#include "hits/neighbours.h"

enum { IDENTITY_HOLDERS = 1 << 20 /* leases remembered, past ones too: some 125 MB at worst */ };

struct identities {
    struct leases *leases;
    struct neighbours *neighbours; /* NULL: the kernel doesn't let us */
};

struct identities *identities_new(void) {
    struct identities *identities = calloc(1, sizeof *identities);
    if (identities == NULL)
        return NULL;
    int error;
    identities->neighbours = neighbours_new(&error);
    identities->leases = leases_new(IDENTITY_HOLDERS);
    if (identities->leases != NULL)
        return identities;
    identities_free(identities);
    return NULL;
}

void identities_free(struct identities *identities) {
    if (identities == NULL)
        return;
    leases_free(identities->leases);
    neighbours_free(identities->neighbours);
    free(identities);
}

struct leases *identities_leases(struct identities *identities) {
    return identities->leases;
}

bool identities_follow(struct identities *identities, uint64_t now_us) {
    if (identities->neighbours != NULL)
        neighbours_follow(identities->neighbours);
    return leases_follow(identities->leases, (int64_t)now_us);
}

static void take_mac(struct identity *who, const uint8_t mac[6]) {
    who->has_mac = true;
    memcpy(who->mac, mac, sizeof who->mac);
}

void identities_find(struct identities *identities, const struct record *record, struct identity *who) {
    int64_t ts = (int64_t)record->ts_us;
    const struct holder *holder = leases_find(identities->leases, &record->client, ts);
    const uint8_t *neighbour = NULL;
    *who = (struct identity){0};
    if (identities->neighbours != NULL && !record->has_mac && (holder == NULL || !holder->has_mac || holder->mac_of_duid))
        neighbour = record->kind == RECORD_HIT ? neighbours_await(identities->neighbours, &record->client)
                                               : neighbours_find(identities->neighbours, &record->client);
    if (record->has_mac)
        take_mac(who, record->mac);
    else if (neighbour != NULL)
        take_mac(who, neighbour);
    else if (holder != NULL && holder->has_mac)
        take_mac(who, holder->mac);
    bool another =
        who->has_mac &&
        (holder == NULL || (!holder->mac_of_duid && holder->has_mac && memcmp(holder->mac, who->mac, sizeof who->mac) != 0));
    if (!another && holder != NULL)
        who->hostname = holder->hostname;
    if (who->hostname == NULL && who->has_mac) {
        const struct holder *of_mac = leases_find_mac(identities->leases, who->mac, ts);
        who->hostname = of_mac == NULL ? NULL : of_mac->hostname;
    }
}

uint32_t identities_generation(const struct identities *identities) {
    return leases_generation(identities->leases) +
           (identities->neighbours == NULL ? 0 : neighbours_generation(identities->neighbours));
}

/* 52:54:00:12:34:56, 52-54-00-12-34-56, 5254.0012.3456. Twelve digits in one piece may be a name. */
static bool read_mac(const char *text, uint8_t mac[6]) {
    unsigned digits = 0;
    const char *at = text;
    for (; *at != '\0'; at++) {
        if (isxdigit((unsigned char)*at) && digits < 12) {
            int value = isdigit((unsigned char)*at) ? *at - '0' : (*at | 0x20) - 'a' + 10;
            mac[digits / 2] = (uint8_t)(digits % 2 == 0 ? value << 4 : mac[digits / 2] | value);
            digits++;
        } else if (strchr(":-.", *at) == NULL || digits == 0 || digits % 2 != 0 || !isxdigit((unsigned char)at[1])) {
            return false;
        }
    }
    return digits == 12 && at - text > 12;
}

int identity_client(const char *text, char out[IDENTITY_CLIENT_MAX]) {
    size_t length = strlen(text);
    struct ip ip;
    uint8_t mac[6];
    if (ip_from_text(&ip, text, length) == 0) {
        ip_to_text(&ip, out);
        return 0;
    }
    if (read_mac(text, mac)) {
        line_mac(out, mac);
        return 0;
    }
    /* A slip in an address (or a prefix, which can't be asked for): of digits and dots, or of hexadecimal digits and colons. */
    size_t piece = strcspn(text, "/"), numbers = strspn(text, "0123456789."), digits = strspn(text, "0123456789abcdefABCDEF:.");
    bool slip = (numbers >= piece && memchr(text, '.', piece) != NULL) || (digits >= piece && memchr(text, ':', piece) != NULL);
    if (length == 0 || length >= IDENTITY_CLIENT_MAX || slip)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)text[i]))
            return -EINVAL;
    memcpy(out, text, length + 1);
    return 0;
}
