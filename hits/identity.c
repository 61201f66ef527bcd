/* hits/identity.c: who is behind an address at a moment. */
#include <stdlib.h>
#include <string.h>

#include "hits/identity.h"
#include "hits/neighbours.h"

enum { IDENTITY_HOLDERS = 500000 /* leases remembered, past ones too: about 80 MB at worst */ };

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
        neighbour = neighbours_find(identities->neighbours, &record->client);
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
