/* hits/ledger.c: the book of infected machines and their hits, as its one writer sees it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "hits/ledger.h"
#include "hits/ledger_schema.h"
#include "hits/line.h"

enum {
    PRUNE_ROWS = 1000,    /* taken out in one step, some 10 ms */
    VACUUM_PAGES = 200,   /* given back to the file system in one step */
    ROW_EPOCH_SHIFT = 40, /* a row's note holds, above its id, which opening of which book it is of */
    RETRY_SECONDS = 10,   /* between tries to open a book that can't be */
    COMPLAINT_SECONDS = 60,
};

enum statement {
    MACHINE,
    MACHINE_GONE,
    ROWS_LESS,
    RULE_FIND,
    RULE_ADD,
    HIT_ADD,
    HIT_UPDATE,
    HITS_OLDEST,
    RETRO_FIND,
    RETRO_NOTE,
    RETRO_GONE,
    NOTE_FIND,
    NOTE_PUT,
    STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [MACHINE] = "INSERT INTO machine(key, mac, address, hostname, first_us, rows) VALUES(?1, ?2, ?3, ?4, ?5, 1)"
                " ON CONFLICT(key) DO UPDATE SET address=excluded.address, hostname=coalesce(excluded.hostname, hostname),"
                " first_us=min(first_us, excluded.first_us), rows=rows+1 RETURNING id",
    [RULE_FIND] = "SELECT id FROM rule WHERE hash=?1 AND identity=?2 AND details=?3",
    [RULE_ADD] = "INSERT INTO rule(hash, identity, details, zone, family) VALUES(?1, ?2, ?3, ?4, ?5)",
    [HIT_ADD] = "INSERT INTO hit(id, machine, rule, ts_us, count, client, proto, hostname, qname, qtype, answer, via)"
                " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [HIT_UPDATE] = "UPDATE hit SET ts_us=?2, count=?3, proto=?4, hostname=?5, qname=?6, qtype=?7, answer=?8, via=?9 WHERE id=?1",
    [HITS_OLDEST] = "DELETE FROM hit WHERE id IN (SELECT id FROM hit WHERE ts_us < ?1 ORDER BY ts_us LIMIT ?2) RETURNING machine",
    [ROWS_LESS] = "UPDATE machine SET rows=rows-1 WHERE id=?1",
    [MACHINE_GONE] = "DELETE FROM machine WHERE id=?1 AND rows<=0",
    [RETRO_GONE] = "DELETE FROM retro WHERE machine=?1 AND NOT EXISTS(SELECT 1 FROM machine WHERE id=?1)",
    [RETRO_FIND] = "SELECT until_us FROM retro WHERE machine=(SELECT id FROM machine WHERE key=?1) AND rule_hash=?2",
    [RETRO_NOTE] = "INSERT INTO retro VALUES((SELECT id FROM machine WHERE key=?1), ?2, ?3)"
                   " ON CONFLICT DO UPDATE SET until_us=max(until_us, excluded.until_us)",
    [NOTE_FIND] = "SELECT value FROM note WHERE key=?1",
    [NOTE_PUT] = "INSERT INTO note VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value=excluded.value",
};

struct ledger {
    char *path;
    sqlite3 *db; /* NULL: closed, hits are lost */
    sqlite3_stmt *statements[STATEMENTS];
    ledger_say *say;
    void *context;
    uint32_t epoch;      /* of this opening: rows of an earlier one may be another's now */
    uint32_t rule_epoch; /* the same of rules; also counts batches given up, which may have added some */
    int64_t next_hit;    /* ids are given here and never twice, so that a row of a batch given up is simply missing */
    bool in_batch;
    uint64_t batch_hits; /* entered since the last commit, by count */
    uint64_t batch_rows;
    uint64_t machines, lost;
    uint64_t said_lost; /* of lost, by the last complaint */
    int64_t highest_machine;
    int64_t keep_us, max_octets;
    time_t try_again, complain_again;
    int error; /* the last result code that was not SQLITE_OK */
};

/* --- opening and closing --- */

static void close_book(struct ledger *ledger) {
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(ledger->statements[i]);
        ledger->statements[i] = NULL;
    }
    sqlite3_close(ledger->db);
    ledger->db = NULL;
    ledger->in_batch = false;
}

static sqlite3_stmt *statement(struct ledger *ledger, enum statement which) {
    if (ledger->statements[which] == NULL) {
        int rc = sqlite3_prepare_v3(ledger->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &ledger->statements[which], NULL);
        if (rc != SQLITE_OK)
            ledger->error = rc;
    }
    return ledger->statements[which];
}

/* Runs a statement whose parameters are bound. SQLITE_ROW, SQLITE_DONE, or a failure, which is noted. */
static int run(struct ledger *ledger, sqlite3_stmt *bound) {
    int rc = sqlite3_step(bound);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        ledger->error = rc;
    return rc;
}

/* A statement that gives nothing back. False: it failed. */
static bool run_once(struct ledger *ledger, sqlite3_stmt *bound) {
    int rc = run(ledger, bound);
    sqlite3_reset(bound);
    return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

/* The damaged book stays for whoever wants to look into it; -wal and -shm go with it. */
static void set_aside(struct ledger *ledger) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    char aside[4096], from[4096], to[4096], text[8400], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    snprintf(aside, sizeof aside - 8, "%s.damaged-%s", ledger->path, stamp);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(from, sizeof from, "%s%s", ledger->path, endings[i]);
        snprintf(to, sizeof to, "%s%s", aside, endings[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            remove(from);
    }
    snprintf(text, sizeof text, "ledger %s is damaged: it was set aside as %s, and a new one begun", ledger->path, aside);
    ledger->say(ledger->context, "error", text);
}

static void count_rows(struct ledger *ledger) {
    sqlite3_stmt *query;
    static const char counts[] = "SELECT count(*), coalesce(max(id), 0), (SELECT coalesce(max(id), 0) FROM hit) FROM machine";
    if (sqlite3_prepare_v2(ledger->db, counts, -1, &query, NULL) != SQLITE_OK)
        return;
    if (sqlite3_step(query) == SQLITE_ROW) {
        ledger->machines = (uint64_t)sqlite3_column_int64(query, 0);
        ledger->highest_machine = sqlite3_column_int64(query, 1);
        ledger->next_hit = sqlite3_column_int64(query, 2) + 1;
    }
    sqlite3_finalize(query);
}

static void open_book(struct ledger *ledger) {
    int rc = ledger_schema_open(&ledger->db, ledger->path, true);
    if (ledger_schema_damaged(rc)) {
        set_aside(ledger);
        rc = ledger_schema_open(&ledger->db, ledger->path, true);
    }
    ledger->epoch++;
    ledger->rule_epoch++;
    ledger->error = rc;
    if (rc == SQLITE_OK) {
        count_rows(ledger);
        return;
    }
    ledger->try_again = time(NULL) + RETRY_SECONDS;
    char text[4400];
    snprintf(text, sizeof text, "ledger %s: %s; hits are logged, but not entered", ledger->path, sqlite3_errstr(rc));
    ledger->say(ledger->context, "error", text);
}

struct ledger *ledger_new(const char *path, ledger_say *say, void *context) {
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return NULL;
    ledger->path = strdup(path);
    ledger->say = say;
    ledger->context = context;
    ledger->keep_us = ledger->max_octets = INT64_MAX;
    if (ledger->path == NULL) {
        free(ledger);
        return NULL;
    }
    return ledger;
}

void ledger_limits(struct ledger *ledger, int64_t keep_seconds, int64_t max_octets) {
    ledger->keep_us = keep_seconds > INT64_MAX / 1000000 ? INT64_MAX : keep_seconds * 1000000;
    ledger->max_octets = max_octets;
}

uint64_t ledger_machines(const struct ledger *ledger) {
    return ledger->machines;
}

uint64_t ledger_lost(const struct ledger *ledger) {
    return ledger->lost;
}

/* --- batches --- */

/* After a failure: what the batch entered is gone, and a damaged book is replaced. */
static void give_up_batch(struct ledger *ledger) {
    ledger->lost += ledger->batch_hits;
    if (ledger->in_batch)
        sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    ledger->in_batch = false;
    ledger->batch_hits = ledger->batch_rows = 0;
    ledger->rule_epoch++;
    if (ledger_schema_damaged(ledger->error)) {
        close_book(ledger);
        open_book(ledger);
    }
}

static bool begin_batch(struct ledger *ledger) {
    if (ledger->db == NULL)
        return false;
    if (ledger->in_batch)
        return true;
    int rc = sqlite3_exec(ledger->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    ledger->in_batch = rc == SQLITE_OK;
    if (!ledger->in_batch) {
        ledger->error = rc;
        give_up_batch(ledger);
    }
    return ledger->in_batch;
}

static int64_t octets_used(struct ledger *ledger) {
    int64_t pages[3] = {0};
    static const char *const pragmas[] = {"PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA page_size"};
    for (int i = 0; i < 3; i++) {
        sqlite3_stmt *query;
        if (sqlite3_prepare_v2(ledger->db, pragmas[i], -1, &query, NULL) == SQLITE_OK && sqlite3_step(query) == SQLITE_ROW)
            pages[i] = sqlite3_column_int64(query, 0);
        sqlite3_finalize(query);
    }
    return (pages[0] - pages[1]) * pages[2];
}

/* Takes out at most `rows` hits from before `before_us`, and the machines that have none left. False: a failure. */
static bool prune(struct ledger *ledger, int64_t before_us, int64_t rows) {
    sqlite3_stmt *oldest = statement(ledger, HITS_OLDEST), *less = statement(ledger, ROWS_LESS);
    sqlite3_stmt *gone = statement(ledger, MACHINE_GONE), *retro = statement(ledger, RETRO_GONE);
    if (oldest == NULL || less == NULL || gone == NULL || retro == NULL)
        return false;
    sqlite3_bind_int64(oldest, 1, before_us);
    sqlite3_bind_int64(oldest, 2, rows);
    bool fine = true;
    int rc;
    while ((rc = run(ledger, oldest)) == SQLITE_ROW && fine) {
        int64_t machine = sqlite3_column_int64(oldest, 0);
        sqlite3_bind_int64(less, 1, machine);
        sqlite3_bind_int64(gone, 1, machine);
        sqlite3_bind_int64(retro, 1, machine);
        fine = run_once(ledger, less) && run_once(ledger, gone);
        if (fine && sqlite3_changes(ledger->db) > 0) {
            ledger->machines--;
            fine = run_once(ledger, retro);
        }
    }
    sqlite3_reset(oldest);
    return fine && (rc == SQLITE_DONE || rc == SQLITE_ROW);
}

void ledger_commit(struct ledger *ledger) {
    if (!ledger->in_batch)
        return;
    /* A book at its size lets go of as much as it takes in. */
    bool fine = true;
    if (ledger->batch_rows > 0 && octets_used(ledger) > ledger->max_octets)
        fine = prune(ledger, INT64_MAX, (int64_t)ledger->batch_rows * 2);
    int rc = fine ? sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL) : SQLITE_ERROR;
    if (rc != SQLITE_OK) {
        if (fine)
            ledger->error = rc;
        give_up_batch(ledger);
        return;
    }
    ledger->in_batch = false;
    ledger->batch_hits = ledger->batch_rows = 0;
}

void ledger_free(struct ledger *ledger) {
    if (ledger == NULL)
        return;
    ledger_commit(ledger);
    close_book(ledger);
    free(ledger->path);
    free(ledger);
}

static void complain(struct ledger *ledger) {
    time_t now = time(NULL);
    if (ledger->lost == ledger->said_lost || now < ledger->complain_again)
        return;
    char text[4400];
    snprintf(text, sizeof text, "ledger %s: %llu hits not entered: %s", ledger->path,
             (unsigned long long)(ledger->lost - ledger->said_lost), sqlite3_errstr(ledger->error));
    ledger->say(ledger->context, "error", text);
    ledger->said_lost = ledger->lost;
    ledger->complain_again = now + COMPLAINT_SECONDS;
}

void ledger_tend(struct ledger *ledger, uint64_t now_us) {
    complain(ledger);
    if (ledger->db == NULL && time(NULL) >= ledger->try_again)
        open_book(ledger);
    if (ledger->db == NULL || !begin_batch(ledger))
        return;
    bool fine = true;
    if (ledger->keep_us < (int64_t)now_us)
        fine = prune(ledger, (int64_t)now_us - ledger->keep_us, PRUNE_ROWS);
    if (fine && octets_used(ledger) > ledger->max_octets)
        fine = prune(ledger, INT64_MAX, PRUNE_ROWS);
    if (!fine) {
        give_up_batch(ledger);
        return;
    }
    ledger_commit(ledger);
    char vacuum[64];
    snprintf(vacuum, sizeof vacuum, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    if (ledger->db != NULL)
        sqlite3_exec(ledger->db, vacuum, NULL, NULL, NULL);
}

/* --- entering --- */

static void bind_phrase(sqlite3_stmt *to, int at, const struct phrase *phrase) {
    if (phrase == NULL)
        sqlite3_bind_null(to, at);
    else
        sqlite3_bind_text(to, at, phrase->text, (int)phrase->length, SQLITE_STATIC);
}

static void bind_name(sqlite3_stmt *to, int at, const uint8_t *wire) {
    char name[NAME_TEXT_MAX];
    if (wire == NULL)
        sqlite3_bind_null(to, at);
    else
        sqlite3_bind_text(to, at, name, (int)name_to_text(wire, name), SQLITE_TRANSIENT);
}

enum { KEY_MAX = 17 };

static int machine_key(uint8_t key[KEY_MAX], const struct hit *hit) {
    key[0] = hit->who.has_mac ? 'm' : 'a';
    if (hit->who.has_mac)
        memcpy(key + 1, hit->who.mac, 6);
    else
        memcpy(key + 1, hit->client.bytes, 16);
    return hit->who.has_mac ? 7 : 17;
}

/* The machine's id, new or old, with one row more; 0: failed. */
static int64_t enter_machine(struct ledger *ledger, const struct hit *hit, const char *address, int address_length) {
    sqlite3_stmt *upsert = statement(ledger, MACHINE);
    uint8_t key[KEY_MAX];
    char mac[LINE_MAC_LENGTH + 1];
    if (upsert == NULL)
        return 0;
    sqlite3_bind_blob(upsert, 1, key, machine_key(key, hit), SQLITE_STATIC);
    if (hit->who.has_mac) {
        line_mac(mac, hit->who.mac);
        sqlite3_bind_text(upsert, 2, mac, LINE_MAC_LENGTH, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(upsert, 2);
    }
    sqlite3_bind_text(upsert, 3, address, address_length, SQLITE_STATIC);
    bind_phrase(upsert, 4, hit->who.hostname);
    sqlite3_bind_int64(upsert, 5, (int64_t)hit->first_ts_us);
    int64_t id = run(ledger, upsert) == SQLITE_ROW ? sqlite3_column_int64(upsert, 0) : 0;
    sqlite3_reset(upsert);
    if (id > ledger->highest_machine) {
        ledger->highest_machine = id;
        ledger->machines++;
    }
    return id;
}

/* Text columns by which readers choose, out of the card's own JSON. */
static void bind_member(sqlite3_stmt *to, int at, const json_t *members, const char *name) {
    const char *text = json_string_value(json_object_get(members, name));
    if (text == NULL)
        sqlite3_bind_null(to, at);
    else
        sqlite3_bind_text(to, at, text, -1, SQLITE_TRANSIENT);
}

static int64_t add_rule(struct ledger *ledger, const struct card *card) {
    sqlite3_stmt *add = statement(ledger, RULE_ADD);
    struct text text = {0};
    text_put(&text, "{", 1);
    text_put(&text, card->identity->text, card->identity->length);
    text_put(&text, card->details->text, card->details->length);
    text_put(&text, "}", 1);
    json_t *members = text.failed ? NULL : json_loadb(text.data, text.length, 0, NULL);
    text_free(&text);
    int64_t id = 0;
    if (add != NULL && members != NULL) {
        sqlite3_bind_int64(add, 1, card->hash);
        bind_phrase(add, 2, card->identity);
        bind_phrase(add, 3, card->details);
        bind_member(add, 4, members, "zone");
        bind_member(add, 5, members, "family");
        if (run_once(ledger, add))
            id = sqlite3_last_insert_rowid(ledger->db);
    }
    json_decref(members);
    return id;
}

static int64_t enter_rule(struct ledger *ledger, struct card *card) {
    if (card->ledger_row != 0 && card->ledger_epoch == ledger->rule_epoch)
        return card->ledger_row;
    sqlite3_stmt *find = statement(ledger, RULE_FIND);
    if (find == NULL)
        return 0;
    sqlite3_bind_int64(find, 1, card->hash);
    bind_phrase(find, 2, card->identity);
    bind_phrase(find, 3, card->details);
    int rc = run(ledger, find);
    int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    if (rc == SQLITE_DONE)
        id = add_rule(ledger, card);
    card->ledger_row = id;
    card->ledger_epoch = ledger->rule_epoch;
    return id;
}

/* The last query's columns, from `at` on: proto, hostname, qname, qtype, answer, via. */
static void bind_query(sqlite3_stmt *to, int at, const struct hit *hit) {
    sqlite3_bind_int(to, at, (int)hit->protocol);
    bind_phrase(to, at + 1, hit->who.hostname);
    bind_name(to, at + 2, hit->qname);
    sqlite3_bind_int(to, at + 3, hit->qtype);
    bind_phrase(to, at + 4, hit->answer);
    bind_name(to, at + 5, hit->via);
}

/* A new row; its id, 0: failed. */
static int64_t add_hit(struct ledger *ledger, const struct hit *hit) {
    char address[IP_TEXT_MAX];
    int address_length = (int)ip_to_text(&hit->client, address);
    int64_t rule = enter_rule(ledger, hit->card);
    int64_t machine = rule == 0 ? 0 : enter_machine(ledger, hit, address, address_length);
    sqlite3_stmt *add = statement(ledger, HIT_ADD);
    if (machine == 0 || add == NULL)
        return 0;
    sqlite3_bind_int64(add, 1, ledger->next_hit);
    sqlite3_bind_int64(add, 2, machine);
    sqlite3_bind_int64(add, 3, rule);
    sqlite3_bind_int64(add, 4, (int64_t)hit->ts_us);
    sqlite3_bind_int64(add, 5, (int64_t)hit->count);
    sqlite3_bind_text(add, 6, address, address_length, SQLITE_STATIC);
    bind_query(add, 7, hit);
    if (!run_once(ledger, add))
        return 0;
    ledger->batch_rows++;
    return ledger->next_hit++;
}

/* False: the row is not there any more, or a failure. */
static bool update_hit(struct ledger *ledger, const struct hit *hit, int64_t id) {
    sqlite3_stmt *update = statement(ledger, HIT_UPDATE);
    if (update == NULL)
        return false;
    sqlite3_bind_int64(update, 1, id);
    sqlite3_bind_int64(update, 2, (int64_t)hit->ts_us);
    sqlite3_bind_int64(update, 3, (int64_t)hit->count);
    bind_query(update, 4, hit);
    return run_once(ledger, update) && sqlite3_changes(ledger->db) > 0;
}

void ledger_hit(struct ledger *ledger, const struct hit *hit, bool final, int64_t *row) {
    if (!begin_batch(ledger)) {
        ledger->lost += final ? hit->count : 0;
        return;
    }
    int64_t id = *row & (((int64_t)1 << ROW_EPOCH_SHIFT) - 1);
    ledger->error = SQLITE_OK;
    bool old = id != 0 && *row >> ROW_EPOCH_SHIFT == (int64_t)ledger->epoch && update_hit(ledger, hit, id);
    if (!old && ledger->error == SQLITE_OK)
        id = add_hit(ledger, hit);
    ledger->batch_hits += final ? hit->count : 0;
    if (ledger->error != SQLITE_OK || id == 0)
        give_up_batch(ledger);
    else
        *row = (int64_t)ledger->epoch << ROW_EPOCH_SHIFT | id;
}

/* --- notes --- */

uint64_t ledger_retro(struct ledger *ledger, const struct hit *hit, uint64_t rule_hash) {
    sqlite3_stmt *find = ledger->db == NULL ? NULL : statement(ledger, RETRO_FIND);
    uint8_t key[KEY_MAX];
    if (find == NULL)
        return 0;
    sqlite3_bind_blob(find, 1, key, machine_key(key, hit), SQLITE_STATIC);
    sqlite3_bind_int64(find, 2, (int64_t)rule_hash);
    uint64_t until = run(ledger, find) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    return until;
}

void ledger_note_retro(struct ledger *ledger, const struct hit *hit, uint64_t rule_hash, uint64_t until_us) {
    sqlite3_stmt *note = begin_batch(ledger) ? statement(ledger, RETRO_NOTE) : NULL;
    uint8_t key[KEY_MAX];
    if (note == NULL)
        return;
    sqlite3_bind_blob(note, 1, key, machine_key(key, hit), SQLITE_STATIC);
    sqlite3_bind_int64(note, 2, (int64_t)rule_hash);
    sqlite3_bind_int64(note, 3, (int64_t)until_us);
    if (!run_once(ledger, note))
        give_up_batch(ledger);
}

bool ledger_hunted(struct ledger *ledger, const char *snapshot_id) {
    sqlite3_stmt *find = ledger->db == NULL ? NULL : statement(ledger, NOTE_FIND);
    if (find == NULL)
        return false;
    sqlite3_bind_text(find, 1, "hunted", -1, SQLITE_STATIC);
    bool same = run(ledger, find) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(find, 0), snapshot_id) == 0;
    sqlite3_reset(find);
    return same;
}

void ledger_note_hunted(struct ledger *ledger, const char *snapshot_id) {
    sqlite3_stmt *put = begin_batch(ledger) ? statement(ledger, NOTE_PUT) : NULL;
    if (put == NULL)
        return;
    sqlite3_bind_text(put, 1, "hunted", -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 2, snapshot_id, -1, SQLITE_TRANSIENT);
    if (!run_once(ledger, put))
        give_up_batch(ledger);
}
