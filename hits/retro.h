/* hits/retro.h: which of the names that clients asked for lately would a policy have matched?
 *
 * The retro-hunt asks it when a new policy is in force, `sundew preview` before. Only domain rules can be told (the history knows
 * no answers), and what a passthru or a protected name decides is no finding. Any thread; nothing is changed. */
#ifndef SUNDEW_HITS_RETRO_H
#define SUNDEW_HITS_RETRO_H

#include "hits/history.h"

enum { RETRO_FINDINGS_MAX = 1000000 };

/* One pair that matched. Ordered by machine, rule, time: `same` is true if machine and rule are those of the one before. */
struct finding {
    uint64_t ts_us;
    uint32_t client; /* index into clients */
    uint32_t name;   /* offset into names: a wire name */
    uint32_t rule;
    uint16_t qtype;
    uint8_t protocol;
    uint8_t name_length;
    bool same;
};

struct finding_client {
    struct ip address;
    struct identity who; /* its hostname is owned by the findings */
};

struct findings {
    struct finding *list;
    size_t count, room;
    struct finding_client *clients;
    size_t client_count, client_room;
    struct text names;
    uint64_t left_out; /* beyond RETRO_FINDINGS_MAX, or for want of memory */
};

/* Searches the history from `since_us` on. 0 or -errno. retro_findings_free in any case. */
int retro_search(struct findings *findings, const char *folder, const struct snapshot *snapshot, uint64_t since_us, uint32_t now,
                 const atomic_bool *cancel);
void retro_findings_free(struct findings *findings);

/* A rule's identity over policies and restarts: a hash of zone, trigger and text. */
uint64_t retro_rule_hash(const struct snapshot *snapshot, uint32_t rule);

#endif
