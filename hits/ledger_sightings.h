/* hits/ledger_sightings.h: machines as the ledger's entries show them, gathered over all of them: when last seen, how many hits, of
 * which families and zones.
 *
 * Compact, since whoever spoofs addresses chooses how many there are: 64 octets or so a machine, index and order included, and 12
 * for each combination of families (or zones) that machines have. One thread at a time. */
#ifndef SUNDEW_HITS_LEDGER_SIGHTINGS_H
#define SUNDEW_HITS_LEDGER_SIGHTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hits/ledger_machines.h"

struct sightings;

/* Visible, because whoever gathers fills it. */
struct sighting {
    uint8_t key[MACHINE_KEY_MAX];
    uint8_t key_length;
    bool named;               /* for whoever gathers: its host name is the one asked for */
    uint32_t families, zones; /* sets, see sightings_add */
    int64_t last_us, hits;
};

struct sightings *sightings_new(void); /* NULL: no memory */
void sightings_free(struct sightings *sightings);

/* The machine of a key, begun (hits 0) if *fresh. Borrowed until the next call; NULL: no memory. */
struct sighting *sightings_find(struct sightings *sightings, const uint8_t *key, int length, bool *fresh);

/* A zone's name or a rule's families ("A, B") as a number > 0; 0: no memory. */
uint32_t sightings_value(struct sightings *sightings, const char *text);
/* Adds a value to a set, unless it is in it. A set is a number, 0 the empty one. False: no memory. */
bool sightings_add(struct sightings *sightings, uint32_t *set, uint32_t value);
/* The set as an array of strings in the order of adding; each family of "A, B" by itself. New reference. */
json_t *sightings_set(const struct sightings *sightings, uint32_t set);

/* Ends the gathering: orders the machines with hits, the latest seen first. False: no memory. */
bool sightings_order(struct sightings *sightings);
size_t sightings_count(const struct sightings *sightings); /* of those ordered */
const struct sighting *sightings_at(const struct sightings *sightings, size_t place);

#endif
