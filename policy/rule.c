/* policy/rule.c: the names of triggers, matches, actions and modes, as files, logs and the control protocol spell them. */
#include "policy/rule.h"

#include <errno.h>
#include <string.h>

static const char *const TRIGGERS[] = {"client", "domain", "ip", "nameserver", "nameserver_ip"};
static const char *const MATCHES[] = {"exact", "below", "subtree"};
static const char *const ACTIONS[] = {"loopback", "sinkhole", "nxdomain", "nodata", "refused",
                                      "drop",     "truncate", "passthru", "cname",  "local"};
static const char *const MODES[] = {"enforce", "monitor", "retro"};
_Static_assert(sizeof TRIGGERS / sizeof *TRIGGERS == TRIGGER_COUNT, "a name for each trigger");
_Static_assert(sizeof MATCHES / sizeof *MATCHES == MATCH_COUNT, "a name for each match");
_Static_assert(sizeof ACTIONS / sizeof *ACTIONS == ACTION_COUNT, "a name for each action");
_Static_assert(sizeof MODES / sizeof *MODES == MODE_COUNT, "a name for each mode");

const char *trigger_name(enum trigger trigger) {
    return (unsigned)trigger < TRIGGER_COUNT ? TRIGGERS[trigger] : NULL;
}

const char *match_name(enum match match) {
    return (unsigned)match < MATCH_COUNT ? MATCHES[match] : NULL;
}

const char *action_name(enum action action) {
    return (unsigned)action < ACTION_COUNT ? ACTIONS[action] : NULL;
}

const char *mode_name(enum mode mode) {
    return (unsigned)mode < MODE_COUNT ? MODES[mode] : NULL;
}

static int find_name(const char *const *names, int count, const char *text, size_t length) {
    for (int i = 0; i < count; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0)
            return i;
    }
    return -EINVAL;
}

int action_from_name(const char *text, size_t length, enum action *action) {
    int found = find_name(ACTIONS, ACTION_COUNT, text, length);
    if (found < 0)
        return found;
    *action = (enum action)found;
    return 0;
}

int match_from_name(const char *text, size_t length, enum match *match) {
    int found = find_name(MATCHES, MATCH_COUNT, text, length);
    if (found < 0)
        return found;
    *match = (enum match)found;
    return 0;
}
