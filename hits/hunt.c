/* hits/hunt.c: the retro-hunt: when a new policy is in force, tells of the clients that had asked before for what it lists. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hits/hunt.h"
#include "hits/retro.h"

enum { TOLD_AT_ONCE = 500 /* machines and rules between two pauses: some 10 ms */ };
#define CHANGE_US ((uint64_t)5 * 1000000) /* after which every worker has the new policy */

struct hunt {
    struct hunt_options options;
    uv_work_t work;
    bool running;
    atomic_bool stop;
    struct snapshot *policy; /* the one in force; NULL none yet */
    bool searched;           /* its search has begun, or isn't needed */
    uint64_t again_us;       /* when to search the latest names once more, 0 not */
    uint64_t changed_us;     /* when the policy came */
    /* the search under way */
    struct snapshot *snapshot;
    uint64_t since_us;
    struct findings findings;
    int error;
};

struct hunt *hunt_new(const struct hunt_options *options) {
    struct hunt *hunt = calloc(1, sizeof *hunt);
    if (hunt == NULL)
        return NULL;
    hunt->options = *options;
    hunt->work.data = hunt;
    return hunt;
}

void hunt_free(struct hunt *hunt) {
    if (hunt == NULL)
        return;
    retro_findings_free(&hunt->findings);
    snapshot_unref(hunt->snapshot);
    snapshot_unref(hunt->policy);
    free(hunt);
}

void hunt_stop(struct hunt *hunt) {
    atomic_store(&hunt->stop, true);
}

static uint64_t wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- telling --- */

static struct hit hit_of(const struct hunt *hunt, const struct finding *finding, const struct wording *wording) {
    const struct finding_client *client = &hunt->findings.clients[finding->client];
    return (struct hit){.ts_us = finding->ts_us,
                        .first_ts_us = finding->ts_us,
                        .client = client->address,
                        .protocol = (enum protocol)finding->protocol,
                        .who = client->who,
                        .qname = (const uint8_t *)hunt->findings.names.data + finding->name,
                        .qtype = finding->qtype,
                        .card = wording->card,
                        .rule = piece_of(wording->rule),
                        .details = piece_of(wording->details),
                        .count = 1};
}

/* Tells findings `from` to `to`, all of one machine and rule, but for what was told in an earlier search. */
static void tell_group(struct hunt *hunt, size_t from, size_t to) {
    const struct hunt_options *options = &hunt->options;
    const struct finding *list = hunt->findings.list;
    struct wording wording;
    if (!cards_word(options->cards, hunt->snapshot, list[from].rule, MODE_RETRO, &wording))
        return;
    uint64_t rule = retro_rule_hash(hunt->snapshot, list[from].rule);
    struct hit hit = hit_of(hunt, &list[from], &wording);
    uint64_t until = ledger_retro(options->ledger, &hit, rule);
    while (from < to && list[from].ts_us <= until)
        from++;
    if (from < to) {
        int64_t row = 0;
        hit = hit_of(hunt, &list[from], &wording);
        options->tell(options->context, TALLY_FIRST, &hit, &row);
        if (to - from > 1) {
            hit = hit_of(hunt, &list[to - 1], &wording);
            hit.first_ts_us = list[from + 1].ts_us;
            hit.count = to - from - 1;
            row = 0;
            options->tell(options->context, TALLY_SUMMARY, &hit, &row);
        }
        ledger_note_retro(options->ledger, &hit, rule, list[to - 1].ts_us);
    }
    wording_clear(&wording);
}

static void tell_all(struct hunt *hunt) {
    const struct findings *findings = &hunt->findings;
    size_t groups = 0;
    for (size_t from = 0, to; from < findings->count; from = to) {
        for (to = from + 1; to < findings->count && findings->list[to].same; to++)
            ;
        tell_group(hunt, from, to);
        if (++groups % TOLD_AT_ONCE == 0)
            hunt->options.pause(hunt->options.context);
    }
}

static void complain(const struct hunt *hunt) {
    char text[160];
    if (hunt->error != 0)
        snprintf(text, sizeof text, "history can't be searched: %s", strerror(-hunt->error));
    else if (hunt->findings.left_out > 0)
        snprintf(text, sizeof text, "history: %llu findings beyond the first %d of a policy are left out",
                 (unsigned long long)hunt->findings.left_out, RETRO_FINDINGS_MAX);
    else
        return;
    hunt->options.say(hunt->options.say_context, "warning", text);
}

/* --- searching --- */

static void search(uv_work_t *work) {
    struct hunt *hunt = work->data;
    hunt->error = retro_search(&hunt->findings, hunt->options.folder, hunt->snapshot, hunt->since_us,
                               (uint32_t)(wall_us() / 1000000), &hunt->stop);
}

static void next_search(struct hunt *hunt);

static void on_searched(uv_work_t *work, int status) {
    struct hunt *hunt = work->data;
    hunt->running = false;
    if (!atomic_load(&hunt->stop)) {
        tell_all(hunt);
        complain(hunt);
        if (hunt->error == 0)
            ledger_note_hunted(hunt->options.ledger, snapshot_id(hunt->snapshot));
        hunt->options.pause(hunt->options.context);
    }
    retro_findings_free(&hunt->findings);
    snapshot_unref(hunt->snapshot);
    hunt->snapshot = NULL;
    if (!atomic_load(&hunt->stop))
        next_search(hunt);
}

static void begin_search(struct hunt *hunt, uint64_t since_us) {
    history_flush(hunt->options.history);
    hunt->snapshot = snapshot_ref(hunt->policy);
    hunt->since_us = since_us;
    hunt->running = uv_queue_work(hunt->options.loop, &hunt->work, search, on_searched) == 0;
    if (!hunt->running) {
        snapshot_unref(hunt->snapshot);
        hunt->snapshot = NULL;
    }
}

static void next_search(struct hunt *hunt) {
    if (hunt->running || hunt->policy == NULL || !history_enabled(hunt->options.history))
        return;
    if (!hunt->searched) {
        hunt->searched = true;
        begin_search(hunt, 0);
    } else if (hunt->again_us != 0 && wall_us() >= hunt->again_us) {
        hunt->again_us = 0;
        begin_search(hunt, hunt->changed_us > CHANGE_US ? hunt->changed_us - CHANGE_US : 0);
    }
}

void hunt_policy(struct hunt *hunt, struct snapshot *snapshot) {
    bool first = hunt->policy == NULL;
    snapshot_unref(hunt->policy);
    hunt->policy = snapshot;
    hunt->changed_us = wall_us();
    hunt->again_us = first ? 0 : hunt->changed_us + CHANGE_US;
    hunt->searched = ledger_hunted(hunt->options.ledger, snapshot_id(snapshot));
    next_search(hunt);
}

void hunt_tend(struct hunt *hunt, uint64_t now_us) {
    if (hunt->again_us != 0 && now_us >= hunt->again_us)
        next_search(hunt);
}
