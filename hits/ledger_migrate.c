/* hits/ledger_migrate.c: brings a ledger of version 1 into the form of version 2. */
#include <stdlib.h>
#include <string.h>

#include "hits/ledger_batch.h"
#include "hits/ledger_migrate.h"
#include "hits/ledger_schema.h"

enum { ENTRIES_A_BATCH = 1000 };

struct migration {
    struct batch *batch;
    sqlite3_stmt *add;
    int64_t first; /* the id of the batch's first entry */
    int64_t entries;
};

static struct piece column(sqlite3_stmt *row, int at) {
    const char *text = (const char *)sqlite3_column_text(row, at);
    return (struct piece){text, (uint32_t)sqlite3_column_bytes(row, at)};
}

static struct piece wire(sqlite3_stmt *row, int at, struct name *name) {
    struct piece text = column(row, at);
    const char *why;
    if (text.text == NULL)
        return text;
    if (name_from_text(name, text.text, text.length, &why) != 0)
        *name = (struct name){.length = 1};
    return (struct piece){(const char *)name->wire, name->length};
}

/* The identity's three parts: the rule's text is what differs most. */
static void split(struct piece identity, struct entry *entry) {
    static const char rule[] = ",\"rule\":", action[] = ",\"action\":";
    const char *at = memmem(identity.text, identity.length, rule, sizeof rule - 1), *end = identity.text + identity.length;
    at = at == NULL ? end : at + sizeof rule - 1;
    const char *back = memmem(at, (size_t)(end - at), action, sizeof action - 1);
    back = back == NULL ? end : back;
    entry->front = (struct piece){identity.text, (uint32_t)(at - identity.text)};
    entry->rule = (struct piece){at, (uint32_t)(back - at)};
    entry->back = (struct piece){back, (uint32_t)(end - back)};
}

static int put(struct migration *migration) {
    uint64_t first_us, last_us;
    struct piece octets = batch_octets(migration->batch);
    batch_span(migration->batch, &first_us, &last_us);
    sqlite3_bind_int64(migration->add, 1, migration->first);
    sqlite3_bind_int64(migration->add, 2, (int64_t)first_us);
    sqlite3_bind_int64(migration->add, 3, (int64_t)last_us);
    sqlite3_bind_int64(migration->add, 4, batch_entries(migration->batch));
    sqlite3_bind_blob(migration->add, 5, octets.text, (int)octets.length, SQLITE_STATIC);
    int rc = sqlite3_step(migration->add);
    sqlite3_reset(migration->add);
    batch_clear(migration->batch);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int take(struct migration *migration, sqlite3_stmt *row) {
    struct name qname, via;
    struct entry entry = {.ts_us = (uint64_t)sqlite3_column_int64(row, 1),
                          .count = (uint64_t)sqlite3_column_int64(row, 2),
                          .protocol = (enum protocol)(sqlite3_column_int(row, 4) & 3),
                          .qtype = (uint16_t)sqlite3_column_int(row, 8)};
    struct piece client = column(row, 3), key = {sqlite3_column_blob(row, 5), (uint32_t)sqlite3_column_bytes(row, 5)};
    if (client.text == NULL || ip_from_text(&entry.client, client.text, client.length) != 0)
        return SQLITE_CORRUPT;
    entry.has_mac = key.length == 7 && key.text[0] == 'm';
    if (entry.has_mac)
        memcpy(entry.mac, key.text + 1, sizeof entry.mac);
    entry.hostname = column(row, 6);
    entry.qname = wire(row, 7, &qname);
    entry.answer = column(row, 9);
    entry.via = wire(row, 10, &via);
    split(column(row, 11), &entry);
    entry.details = column(row, 12);
    if (batch_entries(migration->batch) == 0)
        migration->first = sqlite3_column_int64(row, 0);
    migration->entries++;
    if (!batch_add(migration->batch, &entry))
        return SQLITE_NOMEM;
    return batch_entries(migration->batch) < ENTRIES_A_BATCH ? SQLITE_OK : put(migration);
}

static int take_all(struct migration *migration, sqlite3 *db) {
    static const char sql[] =
        "SELECT h.id, h.ts_us, h.count, h.client, h.proto, m.key, h.hostname, h.qname, h.qtype, h.answer, h.via,"
        " r.identity, r.details FROM hit h JOIN machine m ON m.id=h.machine JOIN rule r ON r.id=h.rule"
        " ORDER BY h.id";
    static const char add[] = "INSERT INTO batch(id, first_us, last_us, entries, data) VALUES(?1, ?2, ?3, ?4, ?5)";
    sqlite3_stmt *rows = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &rows, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, add, -1, &migration->add, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW)
        rc = take(migration, rows);
    if (rc == SQLITE_DONE)
        rc = batch_entries(migration->batch) > 0 ? put(migration) : SQLITE_OK;
    sqlite3_finalize(rows);
    sqlite3_finalize(migration->add);
    return rc;
}

int ledger_migrate(sqlite3 *db, int64_t *entries) {
    struct migration migration = {.batch = batch_new()};
    if (migration.batch == NULL)
        return SQLITE_NOMEM;
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE;" LEDGER_BATCH_TABLES, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = take_all(&migration, db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "INSERT OR REPLACE INTO note SELECT 'machines', coalesce(max(id), 0) + 1 FROM hit;"
                          "DROP TABLE hit; DROP TABLE rule;" LEDGER_STAMP "COMMIT",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    batch_free(migration.batch);
    *entries = migration.entries;
    return rc;
}
