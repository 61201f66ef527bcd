/* hits/ledger_clients.c: the infected machines, out of the ledger. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hits/ledger_clients.h"
#include "hits/ledger_query.h"
#include "hits/ledger_scan.h"
#include "hits/ledger_schema.h"
#include "hits/ledger_sightings.h"
#include "hits/line.h"

static const char machine_sql[] = "SELECT address, hostname, first_us, mac FROM machine WHERE key=?1";

struct ledger_clients {
    char *path;
    struct sightings *sightings;
};

struct gathering {
    struct sightings *sightings;
    sqlite3_stmt *find;                  /* a machine's row by its key; NULL: no client was asked for */
    uint32_t zone_serial, family_serial; /* of the scan's members that are */
    uint32_t zone, families;             /* these values; 0: none */
    bool failed;                         /* no memory */
};

static json_t *time_json(int64_t ts_us) {
    char text[TIME_LENGTH];
    text_time(text, (uint64_t)ts_us);
    return json_stringn(text, sizeof text);
}

static json_t *text_or_null(sqlite3_stmt *row, int at) {
    const char *text = (const char *)sqlite3_column_text(row, at);
    json_t *string = text == NULL ? NULL : json_string(text);
    return string == NULL ? json_null() : string;
}

/* Is its host name, the last that is known, the one asked for? */
static bool is_named(const struct gathering *gathering, const struct scan *scan, const struct sighting *sighting) {
    if (gathering->find == NULL)
        return false;
    sqlite3_bind_blob(gathering->find, 1, sighting->key, sighting->key_length, SQLITE_STATIC);
    bool known = sqlite3_step(gathering->find) == SQLITE_ROW;
    const char *hostname = known ? (const char *)sqlite3_column_text(gathering->find, 1) : NULL;
    bool named = hostname != NULL && strcasecmp(hostname, scan->client) == 0;
    sqlite3_reset(gathering->find);
    return named;
}

/* What the scan's members are as values; 0 for one that isn't there. */
static void read_values(struct gathering *gathering, struct scan *scan, const struct entry *entry) {
    const char *zone = scan_zone(scan, entry), *families = scan_families(scan, entry);
    if (gathering->zone_serial != scan->zone_of.serial) {
        gathering->zone = zone == NULL ? 0 : sightings_value(gathering->sightings, zone);
        gathering->failed = gathering->failed || (zone != NULL && gathering->zone == 0);
    }
    if (gathering->family_serial != scan->family_of.serial) {
        gathering->families = families == NULL ? 0 : sightings_value(gathering->sightings, families);
        gathering->failed = gathering->failed || (families != NULL && gathering->families == 0);
    }
    gathering->zone_serial = scan->zone_of.serial;
    gathering->family_serial = scan->family_of.serial;
}

/* scan_visit */
static bool add_to_machine(void *context, struct scan *scan, int64_t id, const struct entry *entry) {
    struct gathering *gathering = context;
    uint8_t key[MACHINE_KEY_MAX];
    bool fresh;
    int length = machine_key(key, &entry->client, entry->has_mac ? entry->mac : NULL);
    struct sighting *sighting = sightings_find(gathering->sightings, key, length, &fresh);
    (void)id;
    gathering->failed = sighting == NULL;
    if (sighting != NULL && fresh)
        sighting->named = is_named(gathering, scan, sighting);
    if (sighting == NULL || (scan->client != NULL && !sighting->named && !scan_called(scan, entry)))
        return !gathering->failed;
    sighting->hits += (int64_t)entry->count;
    if ((int64_t)entry->ts_us > sighting->last_us)
        sighting->last_us = (int64_t)entry->ts_us;
    read_values(gathering, scan, entry);
    if ((gathering->families != 0 && !sightings_add(gathering->sightings, &sighting->families, gathering->families)) ||
        (gathering->zone != 0 && !sightings_add(gathering->sightings, &sighting->zones, gathering->zone)))
        gathering->failed = true;
    return !gathering->failed;
}

/* Gathers what is in the ledger; an SQLite result code. */
static int gather(struct scan *scan, struct sightings *sightings) {
    struct gathering gathering = {.sightings = sightings};
    int rc = SQLITE_OK;
    if (scan->db == NULL)
        return sightings_order(sightings) ? SQLITE_OK : SQLITE_NOMEM;
    if (scan->client != NULL)
        rc = sqlite3_prepare_v2(scan->db, machine_sql, -1, &gathering.find, NULL);
    if (rc == SQLITE_OK)
        rc = scan_each(scan, SCAN_BATCHES, add_to_machine, NULL, &gathering);
    if (rc == SQLITE_DONE && !gathering.failed)
        rc = scan_each(scan, SCAN_OPEN_WINDOWS, add_to_machine, NULL, &gathering);
    sqlite3_finalize(gathering.find);
    if (gathering.failed || (rc == SQLITE_DONE && !sightings_order(sightings)))
        return SQLITE_NOMEM;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

struct ledger_clients *ledger_clients_list(const char *path, const json_t *parameters, const char **why) {
    struct scan scan;
    if (!scan_begin(&scan, path, parameters, why))
        return NULL;
    scan.paged = false;
    struct ledger_clients *clients = calloc(1, sizeof *clients);
    int rc = SQLITE_NOMEM;
    if (clients != NULL) {
        clients->path = strdup(path);
        clients->sightings = sightings_new();
        if (clients->path != NULL && clients->sightings != NULL)
            rc = gather(&scan, clients->sightings);
    }
    scan_end(&scan);
    if (rc == SQLITE_OK)
        return clients;
    ledger_clients_free(clients);
    *why = sqlite3_errstr(rc);
    return NULL;
}

void ledger_clients_free(struct ledger_clients *clients) {
    if (clients == NULL)
        return;
    free(clients->path);
    sightings_free(clients->sightings);
    free(clients);
}

size_t ledger_clients_count(const struct ledger_clients *clients) {
    return sightings_count(clients->sightings);
}

static json_t *row_json(const struct sightings *sightings, const struct sighting *sighting, sqlite3_stmt *machine) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "address", text_or_null(machine, 0), "mac",
                     text_or_null(machine, 3), "hostname", text_or_null(machine, 1), "first_seen",
                     time_json(sqlite3_column_int64(machine, 2)), "last_seen", time_json(sighting->last_us), "hits",
                     (json_int_t)sighting->hits, "families", sightings_set(sightings, sighting->families), "zones",
                     sightings_set(sightings, sighting->zones));
}

json_t *ledger_clients_rows(const struct ledger_clients *clients, size_t from, size_t count, const char **why) {
    json_t *rows = json_array();
    sqlite3 *db = NULL;
    sqlite3_stmt *find = NULL;
    int64_t migrated;
    size_t end = ledger_clients_count(clients);
    from = from < end ? from : end; /* whoever asks may say anything */
    end = end - from > count ? from + count : end;
    int rc = from == end ? SQLITE_EMPTY : ledger_schema_open(&db, clients->path, false, &migrated);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, machine_sql, -1, &find, NULL);
    for (size_t place = from; rc == SQLITE_OK && place < end; place++) {
        const struct sighting *sighting = sightings_at(clients->sightings, place);
        sqlite3_bind_blob(find, 1, sighting->key, sighting->key_length, SQLITE_STATIC);
        rc = sqlite3_step(find);
        if (rc == SQLITE_ROW && json_array_append_new(rows, row_json(clients->sightings, sighting, find)) != 0)
            rc = SQLITE_NOMEM;
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
        sqlite3_reset(find);
    }
    sqlite3_finalize(find);
    sqlite3_close(db);
    if (rc == SQLITE_OK || rc == SQLITE_EMPTY)
        return rows;
    json_decref(rows);
    *why = sqlite3_errstr(rc);
    return NULL;
}

json_t *ledger_query_clients(const char *path, const json_t *parameters, const char **why) {
    json_int_t limit = json_integer_value(json_object_get(parameters, "limit"));
    struct ledger_clients *clients = ledger_clients_list(path, parameters, why);
    if (clients == NULL)
        return NULL;
    json_t *rows =
        ledger_clients_rows(clients, 0, limit > 0 && limit < LEDGER_QUERY_CLIENTS ? (size_t)limit : LEDGER_QUERY_CLIENTS, why);
    ledger_clients_free(clients);
    return rows;
}
