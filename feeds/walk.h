/* feeds/walk.h: walks documents whose records lie in arrays, alone or under keys: [{}, {}], {"id": [{}]}, {"data": [{}]}.
 *
 * Private to the parsers of abuse.ch's formats. The document is streamed; reading->record holds one record at a time. */
#ifndef SUNDEW_FEEDS_WALK_H
#define SUNDEW_FEEDS_WALK_H

#include "feeds/reading.h"

struct walk {
    struct record_reader fields;
    void *context;
    /* A record was read; `id` is the key above it, NULL in a bare array; reading->path names it. 0 it was of the format (whether or
     * not DNS can see it), 1 it was not (and was reported), -errno. */
    int (*record)(void *context, const char *id);
    /* A key of the outermost object whose value isn't a record: `text` of a string, else NULL. True: it's known, and fine. */
    bool (*scalar)(void *context, const char *key, const char *text);
};

/* 0, or -EBADMSG: not JSON, or not one record of the format among those that were there. */
int walk_records(struct reading *reading, const struct walk *walk);

/* For `record`: the text of the first of two fields that is given (abuse.ch's files and APIs name things differently), or NULL; and
 * the time that it says, 0 unknown (end_of_day: of a mere date, the last second). */
const char *walk_either(const struct record *record, unsigned field, unsigned other, size_t *length);
int64_t walk_time(const struct record *record, unsigned field, unsigned other, bool end_of_day);
/* For `record`: an indicator with everything unset but its place, which is the field's. */
void walk_begin(const struct reading *reading, unsigned field, struct indicator *indicator);

#endif
