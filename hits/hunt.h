/* hits/hunt.h: the retro-hunt: when a new policy is in force, tells of the clients that had asked before for what it lists.
 *
 * The history is searched on a thread of libuv's pool; what is found is told on the writer's thread, once: the ledger remembers
 * until when each machine and rule were told. A few seconds after a new policy the latest names are searched once more, for
 * those that were asked while the workers were changing over. */
#ifndef SUNDEW_HITS_HUNT_H
#define SUNDEW_HITS_HUNT_H

#include <uv.h>

#include "hits/card.h"
#include "hits/history.h"
#include "hits/ledger.h"
#include "hits/tally.h"
#include "hits/writer.h"

struct hunt;

struct hunt_options {
    uv_loop_t *loop;
    const char *folder; /* the history's; must outlive the hunt */
    struct history *history;
    struct ledger *ledger;
    struct cards *cards;
    tally_tell *tell;             /* FIRST, and SUMMARY for further times of the same machine and rule */
    void (*pause)(void *context); /* called now and then while much is told: records are waiting in the rings */
    writer_say *say;
    void *say_context;
    void *context; /* of tell and pause */
};

struct hunt *hunt_new(const struct hunt_options *options); /* NULL: no memory */
void hunt_free(struct hunt *hunt);                         /* after the loop has ended */

void hunt_policy(struct hunt *hunt, struct snapshot *snapshot); /* takes the reference */
void hunt_tend(struct hunt *hunt, uint64_t now_us);             /* once a second */
void hunt_stop(struct hunt *hunt);                              /* what is under way ends soon, and tells nothing any more */

#endif
