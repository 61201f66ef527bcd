/* hits/complaint.h: something that is lost, said to the operator at most once a minute, and what was not said yet at the end.
 *
 *     struct complaint loss = {0};
 *     loss.count += lost;                                      (as often as it happens; that says nothing)
 *     complaint_say(&loss, &voice, "hit log", "lines lost", path);      (each second: "hit log PATH: 3 lines lost: No space ...")
 *
 * One thread; allocates nothing. */
#ifndef SUNDEW_HITS_COMPLAINT_H
#define SUNDEW_HITS_COMPLAINT_H

#include <stdbool.h>
#include <stdint.h>

enum { COMPLAINT_MS = 60000 }; /* between two of one kind */

/* Says something to the operator. level: "info", "warning", "error". */
typedef void complaint_sayer(void *context, const char *level, const char *text);

/* Visible, because who loses counts. All zero: nothing is lost. */
struct complaint {
    uint64_t count; /* in all; less than before where it is no longer counted what was lost (of files that are no longer read) */
    int error;      /* -errno of the last loss, 0 unknown */
    uint64_t said, next_ms; /* count at the last complaint; when the next may be */
};

struct complaint_voice {
    complaint_sayer *say;
    void *context;
    uint64_t now_ms; /* of a clock that never goes back */
    bool ending;     /* there is no later */
};

/* Says how many more `unit` `what` has lost, if it has and it's time. where: the path of what loses, NULL if it has none. */
void complaint_say(struct complaint *complaint, const struct complaint_voice *voice, const char *what, const char *unit,
                   const char *where);

#endif
