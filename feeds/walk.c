/* feeds/walk.c: streams a map of arrays or an array, record by record. */
#include "feeds/walk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "feeds/when.h"

enum { KEY_SHOWN = 64 };

struct walker {
    struct reading *reading;
    const struct walk *walk;
    uint64_t good, bad;
};

static void say_place(struct reading *reading, const char *id, uint64_t index) {
    snprintf(reading->path, sizeof reading->path, "%s[%llu]", id ? id : "", (unsigned long long)index);
}

static int one_record(struct walker *w, const char *id, uint64_t index) {
    struct reading *reading = w->reading;
    int error = record_read(&reading->record, reading->json, &w->walk->fields);
    if (error)
        return error == -EBADMSG ? reading_json_error(reading) : error;
    say_place(reading, id, index);
    int result = w->walk->record(w->walk->context, id);
    w->good += result == 0;
    w->bad += result > 0;
    return result < 0 ? result : 0;
}

static int not_a_record(struct walker *w, const char *path, enum json_event event) {
    struct reading *reading = w->reading;
    w->bad++;
    reading_fault(reading, json_line(reading->json), json_column(reading->json), path, NULL, "a record is expected here");
    return event == JSON_ARRAY && json_skip(reading->json) ? reading_json_error(reading) : 0;
}

static int not_a_member(struct walker *w, const char *id, uint64_t index, enum json_event event) {
    say_place(w->reading, id, index);
    return not_a_record(w, w->reading->path, event);
}

/* After the ARRAY event. */
static int records(struct walker *w, const char *id) {
    for (uint64_t index = 0;; index++) {
        enum json_event event = json_next(w->reading->json);
        if (event == JSON_ERROR)
            return reading_json_error(w->reading);
        if (event == JSON_ARRAY_END)
            return 0;
        int error = event == JSON_OBJECT ? one_record(w, id, index) : not_a_member(w, id, index, event);
        if (error)
            return error;
    }
}

/* The value of a key of the outermost object. */
static int value_of(struct walker *w, const char *key) {
    enum json_event event = json_next(w->reading->json);
    switch (event) {
    case JSON_ERROR:
        return reading_json_error(w->reading);
    case JSON_ARRAY:
        return records(w, key);
    case JSON_OBJECT:
        return one_record(w, key, 0);
    default:
        if (w->walk->scalar &&
            w->walk->scalar(w->walk->context, key, event == JSON_STRING ? json_text(w->reading->json, NULL) : NULL))
            return 0;
        return not_a_record(w, key, event);
    }
}

static int members(struct walker *w) {
    for (;;) {
        enum json_event event = json_next(w->reading->json);
        if (event == JSON_OBJECT_END)
            return 0;
        if (event != JSON_KEY)
            return reading_json_error(w->reading);
        char key[KEY_SHOWN];
        snprintf(key, sizeof key, "%s", json_text(w->reading->json, NULL));
        int error = value_of(w, key);
        if (error)
            return error;
    }
}

int walk_records(struct reading *reading, const struct walk *walk) {
    struct walker w = {.reading = reading, .walk = walk};
    enum json_event event = json_next(reading->json);
    int error;
    if (event == JSON_ARRAY)
        error = records(&w, NULL);
    else if (event == JSON_OBJECT)
        error = members(&w);
    else if (event == JSON_ERROR)
        error = reading_json_error(reading);
    else
        error = reading_refuse(reading, 1, 1, "neither an object nor an array");
    if (error)
        return error;
    if (json_next(reading->json) != JSON_END)
        return reading_json_error(reading);
    return w.good == 0 && w.bad > 0 ? reading_refuse(reading, 1, 1, "no record of format %s in it", format_name(reading->format))
                                    : 0;
}

const char *walk_either(const struct record *record, unsigned field, unsigned other, size_t *length) {
    const char *text = record_text(record, field, length);
    return text ? text : record_text(record, other, length);
}

int64_t walk_time(const struct record *record, unsigned field, unsigned other, bool end_of_day) {
    size_t length;
    int64_t seconds = 0;
    const char *text = walk_either(record, field, other, &length);
    if (text)
        when_parse(text, length, end_of_day, &seconds);
    return seconds;
}

void walk_begin(const struct reading *reading, unsigned field, struct indicator *indicator) {
    reading_blank(indicator);
    indicator->rule.line = reading->record.fields[field].line;
    indicator->column = reading->record.fields[field].column;
    indicator->path = reading->path;
}
