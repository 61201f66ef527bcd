/* hits/ledger_machines.c: the ledger's table of machines, kept in memory between two writings. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hits/ledger_machines.h"
#include "hits/line.h"

enum {
    MACHINES_AT_FIRST = 1024,
    MACHINES_KEPT = 65536, /* beyond this the table is written out and begun anew: some 10 MB */
    KEY_HASHED = 24        /* octets of a key as it is hashed, padded */
};

struct machine {
    uint8_t key[MACHINE_KEY_MAX];
    uint8_t key_length;
    bool known;   /* is in the table with what stands here */
    bool changed; /* to be written with this batch */
    bool touched; /* is in the list of this transaction */
    bool fewer;   /* entries were taken out since its number was written: it may have none left */
    struct ip address;
    struct phrase *hostname; /* the last that was known */
    uint64_t first_us;
    int64_t pending; /* entries more than the table says */
    int64_t fresh;   /* the same, of this transaction */
    int64_t written; /* of both, what this transaction wrote */
};

enum statement { PUT, ROWS, GONE, RETRO_GONE, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    [PUT] = "INSERT INTO machine(key, mac, address, hostname, first_us, rows) VALUES(?1, ?2, ?3, ?4, ?5, 0)"
            " ON CONFLICT(key) DO UPDATE SET address=excluded.address, hostname=coalesce(excluded.hostname, hostname),"
            " first_us=min(first_us, excluded.first_us)",
    [ROWS] = "UPDATE machine SET rows=rows+?2 WHERE key=?1 RETURNING id, rows",
    [GONE] = "DELETE FROM machine WHERE id=?1",
    [RETRO_GONE] = "DELETE FROM retro WHERE machine=?1",
};

struct machines {
    struct machine *list;
    uint32_t *touched; /* indexes; as much room as the list */
    size_t count, room, touched_count;
    uint32_t *index; /* by key: 1 + where in the list, 0 none */
    uint32_t mask;
    uint64_t seed[2]; /* random: clients must not be able to choose their place */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    uint64_t rows, settled_rows; /* machines in the table; as committed */
    bool dirty, wrote_all;
};

int machine_key(uint8_t key[MACHINE_KEY_MAX], const struct ip *client, const uint8_t *mac) {
    key[0] = mac != NULL ? 'm' : 'a';
    if (mac != NULL)
        memcpy(key + 1, mac, 6);
    else
        memcpy(key + 1, client->bytes, 16);
    return mac != NULL ? 7 : MACHINE_KEY_MAX;
}

struct machines *machines_new(void) {
    struct machines *machines = calloc(1, sizeof *machines);
    if (machines == NULL)
        return NULL;
    machines->room = MACHINES_AT_FIRST;
    machines->mask = MACHINES_AT_FIRST * 2 - 1;
    machines->list = calloc(machines->room, sizeof *machines->list);
    machines->touched = calloc(machines->room, sizeof *machines->touched);
    machines->index = calloc((size_t)machines->mask + 1, sizeof *machines->index);
    if (machines->list == NULL || machines->touched == NULL || machines->index == NULL ||
        getrandom(machines->seed, sizeof machines->seed, 0) != sizeof machines->seed) {
        machines_free(machines);
        return NULL;
    }
    return machines;
}

static void forget(struct machines *machines) {
    for (size_t i = 0; i < machines->count; i++)
        phrase_unref(machines->list[i].hostname);
    memset(machines->index, 0, ((size_t)machines->mask + 1) * sizeof *machines->index);
    machines->count = machines->touched_count = 0;
    machines->dirty = machines->wrote_all = false;
}

void machines_free(struct machines *machines) {
    if (machines == NULL)
        return;
    machines_close(machines);
    for (size_t i = 0; i < machines->count; i++)
        phrase_unref(machines->list[i].hostname);
    free(machines->list);
    free(machines->touched);
    free(machines->index);
    free(machines);
}

int machines_open(struct machines *machines, sqlite3 *db) {
    forget(machines);
    machines->db = db;
    sqlite3_stmt *query;
    int rc = sqlite3_prepare_v2(db, "SELECT count(*) FROM machine", -1, &query, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(query)) == SQLITE_ROW) {
        machines->settled_rows = machines->rows = (uint64_t)sqlite3_column_int64(query, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(query);
    for (int i = 0; i < STATEMENTS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &machines->statements[i], NULL);
    return rc;
}

void machines_close(struct machines *machines) {
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(machines->statements[i]);
        machines->statements[i] = NULL;
    }
    machines->db = NULL;
}

/* --- in memory --- */

static uint32_t hash_key(const struct machines *machines, const uint8_t *key, int length) {
    uint8_t padded[KEY_HASHED] = {0};
    memcpy(padded, key, (size_t)length);
    uint64_t words[KEY_HASHED / 8], hash = machines->seed[0];
    memcpy(words, padded, sizeof words);
    for (size_t i = 0; i < KEY_HASHED / 8; i++) {
        unsigned __int128 product = (unsigned __int128)(hash ^ words[i]) * (machines->seed[1] | 1);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static bool grow(struct machines *machines) {
    size_t room = machines->room * 2, places = room * 2;
    struct machine *list = realloc(machines->list, room * sizeof *list);
    if (list != NULL)
        machines->list = list;
    uint32_t *touched = list == NULL ? NULL : realloc(machines->touched, room * sizeof *touched);
    if (touched != NULL)
        machines->touched = touched;
    uint32_t *index = touched == NULL ? NULL : calloc(places, sizeof *index);
    if (index == NULL)
        return false;
    machines->room = room;
    machines->mask = (uint32_t)places - 1;
    for (size_t i = 0; i < machines->count; i++) {
        uint32_t at = hash_key(machines, list[i].key, list[i].key_length) & machines->mask;
        while (index[at] != 0)
            at = (at + 1) & machines->mask;
        index[at] = (uint32_t)i + 1;
    }
    free(machines->index);
    machines->index = index;
    return true;
}

/* The machine of an entry, noted as touched; NULL: no memory. */
static struct machine *find(struct machines *machines, const struct entry *entry) {
    uint8_t key[MACHINE_KEY_MAX];
    int length = machine_key(key, &entry->client, entry->has_mac ? entry->mac : NULL);
    if (machines->count == machines->room && !grow(machines))
        return NULL;
    uint32_t at = hash_key(machines, key, length) & machines->mask;
    struct machine *machine = NULL;
    for (; machines->index[at] != 0; at = (at + 1) & machines->mask) {
        machine = &machines->list[machines->index[at] - 1];
        if (machine->key_length == length && memcmp(machine->key, key, (size_t)length) == 0)
            break;
    }
    if (machines->index[at] == 0) {
        machine = &machines->list[machines->count];
        *machine = (struct machine){.key_length = (uint8_t)length, .address = entry->client, .first_us = UINT64_MAX};
        memcpy(machine->key, key, (size_t)length);
        machines->index[at] = (uint32_t)++machines->count;
    }
    if (!machine->touched)
        machines->touched[machines->touched_count++] = (uint32_t)(machine - machines->list);
    machine->touched = machines->dirty = true;
    return machine;
}

static bool same_hostname(const struct machine *machine, struct piece hostname) {
    return hostname.text == NULL || (machine->hostname != NULL && machine->hostname->length == hostname.length &&
                                     memcmp(machine->hostname->text, hostname.text, hostname.length) == 0);
}

bool machines_enter(struct machines *machines, const struct entry *entry, uint64_t first_us) {
    struct machine *machine = find(machines, entry);
    if (machine == NULL)
        return false;
    machine->fresh++;
    if (machine->known && first_us >= machine->first_us && ip_equal(&machine->address, &entry->client) &&
        same_hostname(machine, entry->hostname))
        return true;
    machine->changed = true;
    machine->address = entry->client;
    machine->first_us = first_us < machine->first_us ? first_us : machine->first_us;
    if (!same_hostname(machine, entry->hostname)) {
        phrase_unref(machine->hostname);
        machine->hostname = phrase_new(entry->hostname.text, entry->hostname.length);
    }
    return true;
}

bool machines_take_out(struct machines *machines, const struct entry *entry) {
    struct machine *machine = find(machines, entry);
    if (machine == NULL)
        return false;
    machine->fresh--;
    machine->fewer = true;
    return true;
}

/* --- to the table --- */

static int run(sqlite3_stmt *bound) {
    int rc = sqlite3_step(bound);
    sqlite3_reset(bound);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int put(struct machines *machines, struct machine *machine) {
    sqlite3_stmt *statement = machines->statements[PUT];
    char mac[LINE_MAC_LENGTH + 1], address[IP_TEXT_MAX];
    sqlite3_bind_blob(statement, 1, machine->key, machine->key_length, SQLITE_STATIC);
    if (machine->key[0] == 'm') {
        line_mac(mac, machine->key + 1);
        sqlite3_bind_text(statement, 2, mac, LINE_MAC_LENGTH, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(statement, 2);
    }
    sqlite3_bind_text(statement, 3, address, (int)ip_to_text(&machine->address, address), SQLITE_STATIC);
    if (machine->hostname != NULL)
        sqlite3_bind_text(statement, 4, machine->hostname->text, (int)machine->hostname->length, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, 4);
    sqlite3_bind_int64(statement, 5, (int64_t)machine->first_us);
    sqlite3_set_last_insert_rowid(machines->db, 0); /* which only a new row changes */
    int rc = run(statement);
    if (rc != SQLITE_OK)
        return rc;
    machines->rows += sqlite3_last_insert_rowid(machines->db) != 0;
    machine->changed = false;
    machine->known = true;
    return SQLITE_OK;
}

int machines_write(struct machines *machines) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < machines->touched_count && rc == SQLITE_OK; i++)
        if (machines->list[machines->touched[i]].changed)
            rc = put(machines, &machines->list[machines->touched[i]]);
    return rc;
}

/* Brings the number of entries up to date; a machine without any goes. */
static int put_rows(struct machines *machines, struct machine *machine) {
    sqlite3_stmt *statement = machines->statements[ROWS];
    sqlite3_bind_blob(statement, 1, machine->key, machine->key_length, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, machine->pending + machine->fresh);
    int rc = sqlite3_step(statement);
    int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    bool gone = rc == SQLITE_ROW && sqlite3_column_int64(statement, 1) <= 0;
    sqlite3_reset(statement);
    machine->written = machine->pending + machine->fresh;
    if (!gone)
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    sqlite3_bind_int64(machines->statements[GONE], 1, id);
    sqlite3_bind_int64(machines->statements[RETRO_GONE], 1, id);
    rc = run(machines->statements[GONE]);
    machine->known = false;
    machine->first_us = UINT64_MAX;
    machines->rows--;
    return rc == SQLITE_OK ? run(machines->statements[RETRO_GONE]) : rc;
}

int machines_write_all(struct machines *machines) {
    int rc = machines_write(machines);
    for (size_t i = 0; i < machines->count && rc == SQLITE_OK; i++) {
        struct machine *machine = &machines->list[i];
        if (machine->pending + machine->fresh == 0 && !machine->fewer)
            continue;
        if (!machine->touched)
            machines->touched[machines->touched_count++] = (uint32_t)i;
        machine->touched = true;
        rc = put_rows(machines, machine);
    }
    machines->wrote_all = rc == SQLITE_OK;
    return rc;
}

void machines_settle(struct machines *machines, bool committed) {
    for (size_t i = 0; i < machines->touched_count; i++) {
        struct machine *machine = &machines->list[machines->touched[i]];
        if (committed) {
            machine->pending += machine->fresh - machine->written;
            machine->fewer = machine->fewer && !machines->wrote_all;
        } else
            machine->known = machine->changed = false;
        machine->fresh = machine->written = 0;
        machine->touched = false;
    }
    machines->touched_count = 0;
    if (committed)
        machines->settled_rows = machines->rows;
    else
        machines->rows = machines->settled_rows;
    bool clean = committed && machines->wrote_all;
    machines->wrote_all = false;
    if (!clean)
        return;
    machines->dirty = false;
    if (machines->count > MACHINES_KEPT)
        forget(machines);
}

bool machines_full(const struct machines *machines) {
    return machines->count > MACHINES_KEPT;
}

bool machines_dirty(const struct machines *machines) {
    return machines->dirty;
}

uint64_t machines_count(const struct machines *machines) {
    return machines->settled_rows;
}
