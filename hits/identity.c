/* hits/identity.c: who is behind an address at a moment. */
#include <stdlib.h>
#include <string.h>

#include "hits/identity.h"

struct identities {
    uint32_t generation;
};

struct identities *identities_new(void) {
    return calloc(1, sizeof(struct identities));
}

void identities_free(struct identities *identities) {
    free(identities);
}

void identities_find(struct identities *identities, const struct record *record, struct identity *who) {
    *who = (struct identity){0};
    if (record->has_mac) {
        who->has_mac = true;
        memcpy(who->mac, record->mac, sizeof who->mac);
    }
}

uint32_t identities_generation(const struct identities *identities) {
    return identities->generation;
}
