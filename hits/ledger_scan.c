/* hits/ledger_scan.c: goes through the ledger's entries for one question. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "hits/ledger_query.h"
#include "hits/ledger_scan.h"
#include "hits/ledger_schema.h"
#include "hits/line.h"

static const char *text_parameter(const json_t *parameters, const char *name) {
    return json_string_value(json_object_get(parameters, name));
}

/* Reads the parameters. False with *why. */
static bool read_parameters(struct scan *scan, const json_t *parameters, const char **why) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    scan->limit = LEDGER_QUERY_HITS;
    if (ledger_query_since(json_object_get(parameters, "since"), (int64_t)now.tv_sec * 1000000, &scan->since_us) != 0) {
        *why = "since: neither a duration (\"24h\") nor a time (\"2026-11-22T17:40:00Z\")";
        return false;
    }
    scan->client = text_parameter(parameters, "client");
    scan->family = text_parameter(parameters, "family");
    scan->zone = text_parameter(parameters, "zone");
    scan->by_address = scan->client != NULL && ip_from_text(&scan->address, scan->client, strlen(scan->client)) == 0;
    const json_t *limit = json_object_get(parameters, "limit"), *after = json_object_get(parameters, "after");
    if (json_is_integer(limit) && json_integer_value(limit) > 0 && json_integer_value(limit) < LEDGER_QUERY_HITS)
        scan->limit = json_integer_value(limit);
    scan->paged = json_is_integer(after);
    scan->after = json_integer_value(after);
    return true;
}

void scan_end(struct scan *scan) {
    finder_free(scan->finder);
    batch_reader_free(scan->reader);
    text_free(&scan->zone_of.from);
    text_free(&scan->family_of.from);
    free(scan->zone_of.value);
    free(scan->family_of.value);
    sqlite3_close(scan->db);
}

bool scan_begin(struct scan *scan, const char *path, const json_t *parameters, const char **why) {
    int64_t migrated;
    *scan = (struct scan){0};
    if (!read_parameters(scan, parameters, why))
        return false;
    int rc = ledger_schema_open(&scan->db, path, false, &migrated);
    if (rc == SQLITE_OK) {
        scan->reader = batch_reader_new();
        scan->finder = finder_new(scan->db);
        rc = scan->reader == NULL || scan->finder == NULL ? SQLITE_NOMEM : sqlite3_exec(scan->db, "BEGIN", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK || rc == SQLITE_EMPTY)
        return true;
    *why = rc == SQLITE_BUSY ? "the ledger is being brought up to date; try again" : sqlite3_errstr(rc);
    scan_end(scan);
    return false;
}

/* --- entries --- */

/* The member `name` of the JSON object that `part` makes between `open` and `close`; NULL: it has none. */
static const char *member_of(struct scan_member *member, const char *name, const char *open, struct piece part, const char *close) {
    struct text *from = &member->from;
    if (member->serial > 0 && part.length > 0 && from->length == part.length && memcmp(from->data, part.text, part.length) == 0)
        return member->value;
    from->length = 0;
    text_string(from, open);
    text_put(from, part.text, part.length);
    text_string(from, close);
    json_t *members = from->failed ? NULL : json_loadb(from->data, from->length, 0, NULL);
    const char *value = json_string_value(json_object_get(members, name));
    free(member->value);
    member->value = value == NULL ? NULL : strdup(value);
    json_decref(members);
    from->length = 0;
    text_put(from, part.text, part.length);
    member->serial++;
    return member->value;
}

const char *scan_zone(struct scan *scan, const struct entry *entry) {
    return member_of(&scan->zone_of, "zone", "{", entry->front, entry->rule.length > 0 ? "null}" : "}");
}

const char *scan_families(struct scan *scan, const struct entry *entry) {
    return member_of(&scan->family_of, "family", "{\"ttl\":0", entry->details, "}");
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

/* Is it of the time, zone and family that were asked for? */
static bool chosen(struct scan *scan, const struct entry *entry) {
    if ((int64_t)entry->ts_us < scan->since_us)
        return false;
    if (scan->zone != NULL) {
        const char *zone = scan_zone(scan, entry);
        if (zone == NULL || strcmp(zone, scan->zone) != 0)
            return false;
    }
    return scan->family == NULL || has_family(scan_families(scan, entry), scan->family);
}

bool scan_called(const struct scan *scan, const struct entry *entry) {
    char mac[LINE_MAC_LENGTH + 1];
    if (scan->by_address && ip_equal(&scan->address, &entry->client))
        return true;
    if (!entry->has_mac)
        return false;
    line_mac(mac, entry->mac);
    mac[LINE_MAC_LENGTH] = '\0';
    return strcasecmp(mac, scan->client) == 0;
}

bool scan_of_client(const struct scan *scan, const struct entry *entry) {
    return scan->client == NULL || scan_called(scan, entry) ||
           (entry->hostname.text != NULL && strlen(scan->client) == entry->hostname.length &&
            strncasecmp(scan->client, entry->hostname.text, entry->hostname.length) == 0);
}

/* Visits the entries of one batch, whose first id is `id`, that come behind scan->after. SQLITE_OK, SQLITE_DONE: the visitor ended
 * it; or a failure. */
static int each_of(struct scan *scan, int64_t id, const void *octets, int length, scan_visit *visitor, void *context) {
    struct entry entry;
    int got = batch_open(scan->reader, octets, (size_t)length), rc = SQLITE_OK;
    got = got == 0 ? 1 : got;
    for (; rc == SQLITE_OK && got == 1 && (got = batch_next(scan->reader, &entry)) == 1; id++) {
        struct entry whole = entry;
        if (entry.gone || (scan->paged && id <= scan->after))
            continue;
        if (entry.repeats != 0) {
            rc = finder_find(scan->finder, entry.repeats, &whole);
            whole.ts_us = entry.ts_us;
            whole.count = entry.count;
            if (rc == SQLITE_DONE) { /* pruned meanwhile */
                rc = SQLITE_OK;
                continue;
            }
            rc = rc == SQLITE_ROW ? SQLITE_OK : rc;
        }
        if (rc == SQLITE_OK && chosen(scan, &whole) && !visitor(context, scan, id, &whole))
            rc = SQLITE_DONE;
    }
    return got < 0 ? (got == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT) : rc;
}

int scan_each(struct scan *scan, const char *sql, scan_visit *visitor, scan_behind *between, void *context) {
    sqlite3_stmt *rows = NULL;
    int rc = sqlite3_prepare_v2(scan->db, sql, -1, &rows, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(rows, 1, scan->since_us);
        sqlite3_bind_int64(rows, 2, scan->paged ? scan->after + 1 : 0);
    }
    while (rc == SQLITE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        rc = each_of(scan, sqlite3_column_int64(rows, 0), sqlite3_column_blob(rows, 1), sqlite3_column_bytes(rows, 1), visitor,
                     context);
        if (between != NULL && !between(context, scan) && rc == SQLITE_OK)
            rc = SQLITE_DONE;
    }
    sqlite3_finalize(rows);
    return rc;
}
