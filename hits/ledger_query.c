/* hits/ledger_query.c: what the ledger says: the history of hits, and hits by the hour. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "hits/ledger_query.h"
#include "hits/ledger_scan.h"
#include "hits/line.h"

int ledger_query_since(const json_t *since, int64_t now_us, int64_t *since_us) {
    struct tm tm = {0};
    int64_t seconds;
    if (since == NULL || json_is_null(since)) {
        *since_us = 0;
        return 0;
    }
    if (json_is_number(since)) {
        *since_us = now_us - (int64_t)(json_number_value(since) * 1e6);
        return 0;
    }
    const char *text = json_string_value(since);
    if (text == NULL)
        return -EINVAL;
    if (config_duration(text, &seconds) == 0) {
        *since_us = seconds > now_us / 1000000 ? 0 : now_us - seconds * 1000000;
        return 0;
    }
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end != NULL && (*end == 'T' || *end == ' '))
        end = strptime(end + 1, "%H:%M:%S", &tm);
    if (end != NULL && *end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    if (end != NULL && *end == 'Z')
        end++;
    if (end == NULL || *end != '\0')
        return -EINVAL;
    *since_us = (int64_t)timegm(&tm) * 1000000;
    return 0;
}

bool ledger_query_damaged(const char *why) {
    return why != NULL && (strcmp(why, sqlite3_errstr(SQLITE_CORRUPT)) == 0 || strcmp(why, sqlite3_errstr(SQLITE_NOTADB)) == 0);
}

static json_t *time_json(int64_t ts_us) {
    char text[TIME_LENGTH];
    text_time(text, (uint64_t)ts_us);
    return json_stringn(text, sizeof text);
}

/* --- hits --- */

/* Hits as they come. Without paging the latest are wanted: batches come from the last on, and each is turned round when it ends. */
struct hits {
    json_t *list;  /* in order; without paging the latest first */
    json_t *batch; /* of the batch under way, in order */
};

static void set_text(json_t *hit, const char *name, const char *text) {
    if (text != NULL)
        json_object_set_new(hit, name, json_string(text));
}

static void set_piece(json_t *hit, const char *name, struct piece piece) {
    if (piece.text != NULL)
        json_object_set_new(hit, name, json_stringn(piece.text, piece.length));
}

static void set_name(json_t *hit, const char *name, struct piece wire) {
    char text[NAME_TEXT_MAX];
    if (wire.text != NULL)
        json_object_set_new(hit, name, json_stringn(text, name_to_text((const uint8_t *)wire.text, text)));
}

/* The members that the rule gave, as they stand in the log. */
static json_t *rule_json(const struct entry *entry) {
    struct text text = {0};
    text_string(&text, "{");
    text_put(&text, entry->front.text, entry->front.length);
    text_put(&text, entry->rule.text, entry->rule.length);
    text_put(&text, entry->back.text, entry->back.length);
    if (entry->answer.text != NULL) {
        text_string(&text, ",\"answer\":");
        text_put(&text, entry->answer.text, entry->answer.length);
    }
    text_put(&text, entry->details.text, entry->details.length);
    text_string(&text, "}");
    json_t *rule = text.failed ? NULL : json_loadb(text.data, text.length, 0, NULL);
    text_free(&text);
    return rule;
}

/* An entry as the log has it; the members come in the log's order. */
static json_t *hit_json(const struct entry *entry, const struct scan *scan, int64_t id) {
    char code[LINE_CODE_MAX], address[IP_TEXT_MAX], mac[LINE_MAC_LENGTH + 1];
    json_t *hit = json_object();
    if (scan->paged)
        json_object_set_new(hit, "id", json_integer(id));
    json_object_set_new(hit, "ts", time_json((int64_t)entry->ts_us));
    json_object_set_new(hit, "client", json_stringn(address, ip_to_text(&entry->client, address)));
    set_text(hit, "proto", line_protocol(entry->protocol));
    line_mac(mac, entry->mac);
    if (entry->has_mac)
        json_object_set_new(hit, "mac", json_stringn(mac, LINE_MAC_LENGTH));
    set_piece(hit, "hostname", entry->hostname);
    set_name(hit, "qname", entry->qname);
    set_text(hit, "qtype", line_type(entry->qtype, code));
    json_t *rule = rule_json(entry);
    if (rule != NULL)
        json_object_update(hit, rule);
    json_decref(rule);
    json_object_set_new(hit, "count", json_integer((json_int_t)entry->count));
    set_name(hit, "via", entry->via);
    return hit;
}

/* visit */
static bool add_hit(void *context, struct scan *scan, int64_t id, const struct entry *entry) {
    struct hits *hits = context;
    if (!scan_of_client(scan, entry))
        return true;
    json_t *hit = hit_json(entry, scan, id);
    if (!scan->paged)
        return json_array_append_new(hits->batch, hit) == 0;
    return json_array_append_new(hits->list, hit) == 0 && (int64_t)json_array_size(hits->list) < scan->limit;
}

/* Moves the batch under way to the list. True: there is room for more. */
static bool turn(void *context, const struct scan *scan) {
    struct hits *hits = context;
    for (size_t i = json_array_size(hits->batch); i-- > 0;)
        json_array_append(hits->list, json_array_get(hits->batch, i));
    json_array_clear(hits->batch);
    return scan->paged || (int64_t)json_array_size(hits->list) < scan->limit;
}

/* The latest `limit` of a list that has the latest first, oldest first. */
static json_t *reversed(json_t *list, size_t limit) {
    json_t *result = json_array();
    for (size_t i = json_array_size(list) < limit ? json_array_size(list) : limit; i-- > 0;)
        json_array_append(result, json_array_get(list, i));
    json_decref(list);
    return result;
}

json_t *ledger_query_hits(const char *path, const json_t *parameters, const char **why) {
    struct scan scan;
    if (!scan_begin(&scan, path, parameters, why))
        return NULL;
    if (scan.db == NULL)
        return json_array();
    struct hits hits = {json_array(), json_array()};
    int rc = scan.paged ? scan_each(&scan, SCAN_BATCHES, add_hit, turn, &hits)
                        : scan_each(&scan, SCAN_OPEN_WINDOWS "DESC", add_hit, turn, &hits);
    if (rc == SQLITE_DONE && (int64_t)json_array_size(hits.list) < scan.limit)
        rc = scan.paged ? scan_each(&scan, SCAN_OPEN_WINDOWS, add_hit, turn, &hits)
                        : scan_each(&scan, SCAN_BATCHES "DESC", add_hit, turn, &hits);
    json_decref(hits.batch);
    scan_end(&scan);
    if (rc == SQLITE_DONE)
        return scan.paged ? hits.list : reversed(hits.list, (size_t)scan.limit);
    json_decref(hits.list);
    *why = sqlite3_errstr(rc);
    return NULL;
}

/* --- hits by the hour --- */

struct hour {
    int64_t number; /* hours since 1970 */
    int64_t enforced, monitored;
};

/* In order. Entries come nearly so: a place is found from the end. */
struct hours {
    struct hour *list;
    size_t count, room;
    bool failed; /* no memory */
};

/* The place of an hour, made where there is none yet; NULL: no memory. */
static struct hour *hour_of(struct hours *hours, int64_t number) {
    size_t at = hours->count;
    while (at > 0 && hours->list[at - 1].number > number)
        at--;
    if (at > 0 && hours->list[at - 1].number == number)
        return &hours->list[at - 1];
    if (hours->count == hours->room) {
        size_t room = hours->room == 0 ? 64 : hours->room * 2;
        struct hour *list = realloc(hours->list, room * sizeof *list);
        if (list == NULL)
            return NULL;
        hours->list = list;
        hours->room = room;
    }
    memmove(&hours->list[at + 1], &hours->list[at], (hours->count++ - at) * sizeof *hours->list);
    hours->list[at] = (struct hour){.number = number};
    return &hours->list[at];
}

/* A card's identity ends with the mode (hits/card.c). */
static bool is_monitored(const struct entry *entry) {
    static const char end_of[] = "\"mode\":\"monitor\"";
    const struct piece *last = entry->back.length > 0 ? &entry->back : &entry->front;
    const size_t length = sizeof end_of - 1;
    return last->length >= length && memcmp(last->text + last->length - length, end_of, length) == 0;
}

/* visit */
static bool add_to_hour(void *context, struct scan *scan, int64_t id, const struct entry *entry) {
    struct hours *hours = context;
    if (!scan_of_client(scan, entry))
        return true;
    struct hour *hour = hour_of(hours, (int64_t)(entry->ts_us / 3600000000u));
    hours->failed = hour == NULL;
    if (hour != NULL)
        *(is_monitored(entry) ? &hour->monitored : &hour->enforced) += (int64_t)entry->count;
    return hour != NULL;
}

json_t *ledger_query_hours(const char *path, const json_t *parameters, const char **why) {
    struct scan scan;
    if (!scan_begin(&scan, path, parameters, why))
        return NULL;
    json_t *list = json_array();
    if (scan.db == NULL)
        return list;
    struct hours hours = {0};
    scan.paged = false;
    int rc = scan_each(&scan, SCAN_BATCHES, add_to_hour, NULL, &hours);
    if (rc == SQLITE_DONE && !hours.failed)
        rc = scan_each(&scan, SCAN_OPEN_WINDOWS, add_to_hour, NULL, &hours);
    rc = hours.failed ? SQLITE_NOMEM : rc;
    scan_end(&scan);
    for (size_t i = 0; i < hours.count; i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:I, s:I}", "ts", time_json(hours.list[i].number * 3600000000), "enforced",
                                        (json_int_t)hours.list[i].enforced, "monitored", (json_int_t)hours.list[i].monitored));
    free(hours.list);
    if (rc == SQLITE_DONE)
        return list;
    json_decref(list);
    *why = sqlite3_errstr(rc);
    return NULL;
}
