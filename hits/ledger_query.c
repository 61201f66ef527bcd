/* hits/ledger_query.c: what the ledger says: infected machines, and the history of hits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "config/config.h"
#include "hits/ledger_query.h"
#include "hits/ledger_schema.h"
#include "hits/line.h"

struct query {
    sqlite3 *db;
    int64_t since_us;
    const char *client, *family, *zone; /* NULL: any */
    char client_text[IP_TEXT_MAX];      /* `client` as addresses and MACs are written in the ledger */
    int64_t limit, after;
    bool paged;
};

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

static const char *text_parameter(const json_t *parameters, const char *name) {
    return json_string_value(json_object_get(parameters, name));
}

/* Reads the parameters. False with *why. */
static bool read_parameters(struct query *query, const json_t *parameters, const char **why) {
    struct timespec now;
    struct ip ip;
    clock_gettime(CLOCK_REALTIME, &now);
    query->limit = LEDGER_QUERY_HITS;
    if (ledger_query_since(json_object_get(parameters, "since"), (int64_t)now.tv_sec * 1000000, &query->since_us) != 0) {
        *why = "since: neither a duration (\"24h\") nor a time (\"2026-11-22T17:40:00Z\")";
        return false;
    }
    query->client = text_parameter(parameters, "client");
    query->family = text_parameter(parameters, "family");
    query->zone = text_parameter(parameters, "zone");
    if (query->client != NULL && ip_from_text(&ip, query->client, strlen(query->client)) == 0) {
        ip_to_text(&ip, query->client_text);
        query->client = query->client_text;
    }
    const json_t *limit = json_object_get(parameters, "limit"), *after = json_object_get(parameters, "after");
    if (json_is_integer(limit) && json_integer_value(limit) > 0 && json_integer_value(limit) < LEDGER_QUERY_HITS)
        query->limit = json_integer_value(limit);
    query->paged = json_is_integer(after);
    query->after = json_integer_value(after);
    return true;
}

/* query->db stays NULL for a ledger that has not begun yet: nothing was hit. False with *why: a failure. */
static bool begin(struct query *query, const char *path, const json_t *parameters, const char **why) {
    *query = (struct query){0};
    if (!read_parameters(query, parameters, why))
        return false;
    int rc = ledger_schema_open(&query->db, path, false);
    if (rc != SQLITE_OK && rc != SQLITE_EMPTY)
        *why = sqlite3_errstr(rc);
    return rc == SQLITE_OK || rc == SQLITE_EMPTY;
}

static const char *column(sqlite3_stmt *row, int at) {
    return (const char *)sqlite3_column_text(row, at);
}

/* Is `family` one of the rule's, which stand as "A, B"? */
static bool has_family(const char *families, const char *family) {
    if (family == NULL)
        return true;
    size_t length = strlen(family);
    for (const char *at = families; at != NULL && *at != '\0';) {
        size_t piece = strcspn(at, ",");
        if (piece == length && strncasecmp(at, family, length) == 0)
            return true;
        at += piece + (at[piece] == ',');
        at += strspn(at, " ");
    }
    return false;
}

static json_t *time_json(int64_t ts_us) {
    char text[TIME_LENGTH];
    text_time(text, (uint64_t)ts_us);
    return json_stringn(text, sizeof text);
}

static json_t *text_or_null(const char *text) {
    return text == NULL ? json_null() : json_string(text);
}

/* --- machines --- */

/* One machine, gathered over the rules it hit. */
struct machine {
    json_t *row;
    int64_t last_us, hits;
};

/* Adds each of "A, B" that the array hasn't yet. */
static void add_each(json_t *array, const char *list) {
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ","), i;
        const json_t *known;
        bool found = false;
        json_array_foreach(array, i, known) found =
            found || (json_string_length(known) == length && strncasecmp(json_string_value(known), at, length) == 0);
        if (!found && length > 0)
            json_array_append_new(array, json_stringn(at, length));
        at += length + (at[length] == ',');
        at += strspn(at, " ");
    }
}

static json_t *begin_machine(sqlite3_stmt *row) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:[], s:[]}", "address", text_or_null(column(row, 3)), "mac",
                     text_or_null(column(row, 4)), "hostname", text_or_null(column(row, 5)), "first_seen",
                     time_json(sqlite3_column_int64(row, 6)), "last_seen", json_null(), "hits", 0, "families", "zones");
}

static void end_machine(json_t *clients, struct machine *machine) {
    if (machine->row == NULL)
        return;
    json_object_set_new(machine->row, "last_seen", time_json(machine->last_us));
    json_object_set_new(machine->row, "hits", json_integer(machine->hits));
    json_array_append_new(clients, machine->row);
    *machine = (struct machine){0};
}

static int later_first(const void *a, const void *b) {
    const char *left = json_string_value(json_object_get(*(json_t *const *)a, "last_seen"));
    const char *right = json_string_value(json_object_get(*(json_t *const *)b, "last_seen"));
    return strcmp(right == NULL ? "" : right, left == NULL ? "" : left);
}

static json_t *sorted(json_t *clients) {
    size_t count = json_array_size(clients), i;
    json_t **rows = calloc(count + 1, sizeof(json_t *)), *result = json_array(), *row;
    if (rows == NULL || result == NULL) {
        free(rows);
        json_decref(result);
        return clients;
    }
    json_array_foreach(clients, i, row) rows[i] = json_incref(row);
    qsort(rows, count, sizeof(json_t *), later_first);
    for (i = 0; i < count; i++)
        json_array_append_new(result, rows[i]);
    free(rows);
    json_decref(clients);
    return result;
}

json_t *ledger_query_clients(const char *path, const json_t *parameters, const char **why) {
    static const char sql[] =
        "SELECT h.machine, sum(h.count), max(h.ts_us), m.address, m.mac, m.hostname, m.first_us, r.family, r.zone"
        " FROM hit h JOIN machine m ON m.id=h.machine JOIN rule r ON r.id=h.rule"
        " WHERE h.ts_us>=?1 AND (?2 IS NULL OR h.client=?2 OR m.mac=?2 COLLATE NOCASE OR m.hostname=?2 COLLATE NOCASE)"
        " AND (?3 IS NULL OR r.zone=?3) GROUP BY h.machine, h.rule ORDER BY h.machine, h.rule";
    struct query query;
    sqlite3_stmt *row = NULL;
    if (!begin(&query, path, parameters, why))
        return NULL;
    json_t *clients = json_array();
    if (query.db == NULL)
        return clients;
    struct machine machine = {0};
    int64_t id = 0;
    int rc = sqlite3_prepare_v2(query.db, sql, -1, &row, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(row, 1, query.since_us);
        sqlite3_bind_text(row, 2, query.client, -1, SQLITE_STATIC);
        sqlite3_bind_text(row, 3, query.zone, -1, SQLITE_STATIC);
    }
    while (rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        if (!has_family(column(row, 7), query.family))
            continue;
        if (sqlite3_column_int64(row, 0) != id || machine.row == NULL) {
            end_machine(clients, &machine);
            machine.row = begin_machine(row);
            id = sqlite3_column_int64(row, 0);
        }
        machine.hits += sqlite3_column_int64(row, 1);
        if (sqlite3_column_int64(row, 2) > machine.last_us)
            machine.last_us = sqlite3_column_int64(row, 2);
        add_each(json_object_get(machine.row, "families"), column(row, 7));
        json_t *zones = json_object_get(machine.row, "zones");
        add_each(zones, column(row, 8));
    }
    end_machine(clients, &machine);
    sqlite3_finalize(row);
    sqlite3_close(query.db);
    if (rc == SQLITE_DONE)
        return sorted(clients);
    json_decref(clients);
    *why = sqlite3_errstr(rc);
    return NULL;
}

/* --- hits --- */

static void set_text(json_t *hit, const char *name, const char *text) {
    if (text != NULL)
        json_object_set_new(hit, name, json_string(text));
}

/* A row as the log has it; the members come in the log's order. */
static json_t *hit_json(sqlite3_stmt *row, bool paged) {
    char code[LINE_CODE_MAX];
    json_t *hit = json_object();
    if (paged)
        json_object_set_new(hit, "id", json_integer(sqlite3_column_int64(row, 0)));
    json_object_set_new(hit, "ts", time_json(sqlite3_column_int64(row, 1)));
    set_text(hit, "client", column(row, 3));
    set_text(hit, "proto", line_protocol((enum protocol)sqlite3_column_int(row, 4)));
    set_text(hit, "mac", column(row, 5));
    set_text(hit, "hostname", column(row, 6));
    set_text(hit, "qname", column(row, 7));
    set_text(hit, "qtype", line_type((uint16_t)sqlite3_column_int(row, 8), code));
    struct text text = {0};
    text_string(&text, "{");
    text_string(&text, column(row, 11));
    if (column(row, 9) != NULL) {
        text_string(&text, ",\"answer\":");
        text_string(&text, column(row, 9));
    }
    text_string(&text, column(row, 12));
    text_string(&text, "}");
    json_t *rule = text.failed ? NULL : json_loadb(text.data, text.length, 0, NULL);
    text_free(&text);
    if (rule != NULL)
        json_object_update(hit, rule);
    json_decref(rule);
    json_object_set_new(hit, "count", json_integer(sqlite3_column_int64(row, 2)));
    set_text(hit, "via", column(row, 10));
    return hit;
}

/* The latest come first out of the ledger, but are given oldest first. */
static json_t *reversed(json_t *hits) {
    json_t *result = json_array();
    for (size_t i = json_array_size(hits); i-- > 0;)
        json_array_append(result, json_array_get(hits, i));
    json_decref(hits);
    return result;
}

#define HIT_COLUMNS                                                                                                                \
    "SELECT h.id, h.ts_us, h.count, h.client, h.proto, m.mac, h.hostname, h.qname, h.qtype, h.answer, h.via, r.identity,"          \
    " r.details, r.family FROM hit h JOIN machine m ON m.id=h.machine JOIN rule r ON r.id=h.rule WHERE h.ts_us>=?1"                \
    " AND (?2 IS NULL OR h.client=?2 OR m.mac=?2 COLLATE NOCASE OR h.hostname=?2 COLLATE NOCASE)"                                  \
    " AND (?3 IS NULL OR r.zone=?3) AND h.id>?4 ORDER BY h.id "

json_t *ledger_query_hits(const char *path, const json_t *parameters, const char **why) {
    struct query query;
    sqlite3_stmt *row = NULL;
    if (!begin(&query, path, parameters, why))
        return NULL;
    json_t *hits = json_array();
    if (query.db == NULL)
        return hits;
    int rc = sqlite3_prepare_v2(query.db, query.paged ? HIT_COLUMNS : HIT_COLUMNS "DESC", -1, &row, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(row, 1, query.since_us);
        sqlite3_bind_text(row, 2, query.client, -1, SQLITE_STATIC);
        sqlite3_bind_text(row, 3, query.zone, -1, SQLITE_STATIC);
        sqlite3_bind_int64(row, 4, query.after);
    }
    while (rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW && query.limit > 0) {
        rc = SQLITE_OK;
        if (!has_family(column(row, 13), query.family))
            continue;
        json_array_append_new(hits, hit_json(row, query.paged));
        query.limit--;
    }
    sqlite3_finalize(row);
    sqlite3_close(query.db);
    if (rc == SQLITE_DONE || rc == SQLITE_ROW)
        return query.paged ? hits : reversed(hits);
    json_decref(hits);
    *why = sqlite3_errstr(rc);
    return NULL;
}
