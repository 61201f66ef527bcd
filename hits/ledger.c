/* hits/ledger.c: the book of infected machines and their hits, as its one writer sees it. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hits/ledger.h"
#include "hits/ledger_file.h"
#include "hits/ledger_find.h"
#include "hits/ledger_machines.h"
#include "hits/ledger_schema.h"

enum {
    BATCH_ENTRIES = 4096,  /* at most; a round of the writer has fewer */
    SMALL_ENTRIES = 64,    /* a batch of fewer is a small one */
    SMALL_BATCHES = 64,    /* so many small ones in a row are made one: when hits are few, each is a batch */
    PRUNE_ENTRIES = 20000, /* taken out in one step, some 10 ms */
    PRUNE_CUTS = 8,        /* batches of which a part is taken out in one step */
    VACUUM_PAGES = 200,    /* given back to the file system in one step */
    ROW_EPOCH_SHIFT = 40,  /* a row's note holds, above its id, after which failure or opening it was made */
    RETRY_SECONDS = 10,    /* between tries to open a book that can't be */
    COMPLAINT_SECONDS = 60,
};
#define CUT_SLACK_US ((int64_t)3600 * 1000000) /* that an entry may stay too long, so that a batch isn't cut each second */

enum statement {
    BATCH_ADD,
    BATCH_OLDEST, /* of those that are too old as a whole */
    BATCH_OLD,    /* of those that are in part */
    BATCH_GONE,
    BATCH_CUT,
    BATCHES_FROM,
    BATCHES_GONE,
    PROGRESS_PUT,
    PROGRESS_GONE,
    PROGRESS_ALL,
    RETRO_FIND,
    RETRO_NOTE,
    NOTE_FIND,
    NOTE_PUT,
    PAGES,
    PAGES_FREE,
    PAGE_SIZE,
    STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [BATCH_ADD] = "INSERT INTO batch(id, first_us, last_us, entries, data) VALUES(?1, ?2, ?3, ?4, ?5)",
    [BATCH_OLDEST] = "SELECT id, entries, data FROM batch WHERE last_us<?1 ORDER BY last_us LIMIT 1",
    [BATCH_OLD] = "SELECT id, entries, data FROM batch WHERE first_us<?1 ORDER BY first_us LIMIT 1",
    [BATCH_GONE] = "DELETE FROM batch WHERE id=?1",
    [BATCH_CUT] = "UPDATE batch SET first_us=?2, last_us=?3, data=?4 WHERE id=?1",
    [BATCHES_FROM] = "SELECT data, id, entries FROM batch WHERE id>=?1 ORDER BY id",
    [BATCHES_GONE] = "DELETE FROM batch WHERE id>=?1",
    [PROGRESS_PUT] = "INSERT OR REPLACE INTO progress(chunk, data) VALUES(?1, ?2)",
    [PROGRESS_GONE] = "DELETE FROM progress WHERE chunk=?1",
    [PROGRESS_ALL] = "SELECT data FROM progress ORDER BY chunk",
    [RETRO_FIND] = "SELECT until_us FROM retro WHERE machine=(SELECT id FROM machine WHERE key=?1) AND rule_hash=?2",
    [RETRO_NOTE] =
        "INSERT INTO retro SELECT id, ?2, ?3 FROM machine WHERE key=?1 ON CONFLICT DO UPDATE SET until_us=max(until_us, ?3)",
    [NOTE_FIND] = "SELECT value FROM note WHERE key=?1",
    [NOTE_PUT] = "INSERT INTO note VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value=excluded.value",
    [PAGES] = "PRAGMA page_count",
    [PAGES_FREE] = "PRAGMA freelist_count",
    [PAGE_SIZE] = "PRAGMA page_size",
};

struct ledger {
    char *path;
    sqlite3 *db; /* NULL: closed, hits are lost */
    sqlite3_stmt *statements[STATEMENTS];
    ledger_say *say;
    void *context;
    struct batch *batch;    /* entered, not written */
    struct batch *progress; /* of the chunk under way; between two, what is being rewritten */
    struct batch_reader *reader;
    struct machines *machines;
    int64_t next_entry;  /* ids are given here and never twice, so that an entry of a batch given up is simply missing */
    int64_t small_from;  /* from this id on there are small batches only, */
    unsigned small;      /* so many */
    int64_t pruned_to;   /* entries up to this id may be gone */
    uint32_t epoch;      /* of this opening, and since its last failure: notes of an earlier one may be another's now */
    bool in_batch;       /* within a transaction */
    uint64_t batch_hits; /* entered since the last commit, by count */
    uint64_t batch_rows; /* the same, by entry */
    uint64_t lost;
    uint64_t said_lost; /* of lost, by the last complaint */
    int64_t keep_us, max_octets;
    time_t try_again, complain_again;
    int error;        /* the last result code that was not SQLITE_OK */
    const char *loss; /* why hits were lost, the last time */
    struct ledger_file file;
    bool again;               /* the same book as before is being opened: it wasn't set aside */
    uint64_t unseen;          /* hits committed since the file was looked at */
    _Atomic uint32_t book;    /* counts the books that were opened */
    _Atomic uint32_t doubted; /* the one in which a reader found damage; 0 none */
};

static void set_aside(struct ledger *ledger);
static void open_book(struct ledger *ledger);

/* --- statements --- */

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

/* Runs one that changes something, and is bound. False: it failed, or isn't there. */
static bool done(struct ledger *ledger, sqlite3_stmt *bound) {
    return bound != NULL && run_once(ledger, bound);
}

/* Notes an SQLite result code; true if it is SQLITE_OK. */
static bool fine(struct ledger *ledger, int rc) {
    if (rc != SQLITE_OK)
        ledger->error = rc;
    return rc == SQLITE_OK;
}

static int64_t number(struct ledger *ledger, enum statement which) {
    sqlite3_stmt *query = statement(ledger, which);
    int64_t value = query != NULL && run(ledger, query) == SQLITE_ROW ? sqlite3_column_int64(query, 0) : 0;
    sqlite3_reset(query);
    return value;
}

static bool put_note(struct ledger *ledger, const char *key, const char *value) {
    sqlite3_stmt *put = statement(ledger, NOTE_PUT);
    if (put == NULL)
        return false;
    sqlite3_bind_text(put, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 2, value, -1, SQLITE_TRANSIENT);
    return run_once(ledger, put);
}

/* --- batches --- */

static void close_book(struct ledger *ledger) {
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(ledger->statements[i]);
        ledger->statements[i] = NULL;
    }
    machines_close(ledger->machines);
    sqlite3_close(ledger->db);
    ledger->db = NULL;
    ledger->in_batch = false;
}

static void lose(struct ledger *ledger, uint64_t hits) {
    ledger->lost += hits;
    if (hits > 0)
        ledger->loss = sqlite3_errstr(ledger->error);
}

/* After a failure: what the batch entered is gone, and a damaged book is replaced. */
static void give_up_batch(struct ledger *ledger) {
    lose(ledger, ledger->batch_hits);
    ledger->next_entry += batch_entries(ledger->batch);
    ledger->small_from = ledger->next_entry;
    ledger->small = 0;
    batch_clear(ledger->batch);
    if (ledger->in_batch)
        sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    machines_settle(ledger->machines, false);
    ledger->in_batch = false;
    ledger->batch_hits = ledger->batch_rows = 0;
    ledger->epoch++;
    if (ledger_schema_damaged(ledger->error)) {
        close_book(ledger);
        set_aside(ledger);
        open_book(ledger);
    }
}

static bool begin_batch(struct ledger *ledger) {
    if (ledger->db == NULL)
        return false;
    if (ledger->in_batch)
        return true;
    ledger->in_batch = fine(ledger, sqlite3_exec(ledger->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    if (!ledger->in_batch)
        give_up_batch(ledger);
    return ledger->in_batch;
}

static void bind_batch(sqlite3_stmt *to, int span, int data, struct batch *batch) {
    uint64_t first_us, last_us;
    struct piece octets = batch_octets(batch);
    batch_span(batch, &first_us, &last_us);
    sqlite3_bind_int64(to, span, (int64_t)first_us);
    sqlite3_bind_int64(to, span + 1, (int64_t)last_us);
    sqlite3_bind_blob(to, data, octets.text, (int)octets.length, SQLITE_STATIC);
}

static bool add_batch(struct ledger *ledger, int64_t id, struct batch *batch) {
    sqlite3_stmt *add = statement(ledger, BATCH_ADD);
    if (add == NULL)
        return false;
    sqlite3_bind_int64(add, 1, id);
    sqlite3_bind_int64(add, 4, batch_entries(batch));
    bind_batch(add, 2, 5, batch);
    return run_once(ledger, add);
}

/* Makes what was entered a row. False: a failure. Within a transaction. */
static bool write_batch(struct ledger *ledger) {
    uint32_t entries = batch_entries(ledger->batch);
    if (entries == 0)
        return true;
    if (!add_batch(ledger, ledger->next_entry, ledger->batch))
        return false;
    ledger->next_entry += entries;
    ledger->small++;
    if (entries >= SMALL_ENTRIES) {
        ledger->small_from = ledger->next_entry;
        ledger->small = 0;
    }
    ledger->batch_rows += entries;
    batch_clear(ledger->batch);
    return true;
}

/* Notes a failure to read a batch, if it is one. */
static bool well_read(struct ledger *ledger, int got) {
    if (got < 0)
        ledger->error = got == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
    return got >= 0;
}

/* Adds a batch's entries, as they are, to another. */
static bool copy_batch(struct ledger *ledger, const void *octets, int length, struct batch *to) {
    struct entry entry;
    int got = batch_open(ledger->reader, octets, (size_t)length);
    while (got == 0 && (got = batch_next(ledger->reader, &entry)) == 1)
        got = batch_add(to, &entry) ? 0 : -ENOMEM;
    return well_read(ledger, got);
}

/* Makes the small batches one, so that what their entries have in common is there once; ids stay. False: a failure. Within a
 * transaction. */
static bool merge_small(struct ledger *ledger) {
    sqlite3_stmt *from = statement(ledger, BATCHES_FROM), *gone = statement(ledger, BATCHES_GONE);
    bool well = from != NULL && gone != NULL, whole = true;
    int64_t next = ledger->small_from;
    if (!well)
        return false;
    sqlite3_bind_int64(from, 1, next);
    while (well && whole && run(ledger, from) == SQLITE_ROW) {
        whole = sqlite3_column_int64(from, 1) == next; /* the first of them may be pruned already */
        next += sqlite3_column_int64(from, 2);
        well = copy_batch(ledger, sqlite3_column_blob(from, 0), sqlite3_column_bytes(from, 0), ledger->progress);
    }
    sqlite3_reset(from);
    if (well && whole && next == ledger->next_entry) {
        sqlite3_bind_int64(gone, 1, ledger->small_from);
        well = run_once(ledger, gone) && add_batch(ledger, ledger->small_from, ledger->progress);
    }
    batch_clear(ledger->progress);
    ledger->small_from = ledger->next_entry;
    ledger->small = 0;
    return well;
}

/* Brings the machines' numbers of entries up to date, and notes that they are. Within a transaction, after write_batch. */
static bool write_machines(struct ledger *ledger) {
    char next[24];
    snprintf(next, sizeof next, "%lld", (long long)ledger->next_entry);
    return fine(ledger, machines_write_all(ledger->machines)) && put_note(ledger, "machines", next);
}

static int64_t octets_used(struct ledger *ledger) {
    return (number(ledger, PAGES) - number(ledger, PAGES_FREE)) * number(ledger, PAGE_SIZE);
}

/* --- taking out --- */

/* Goes through a batch's octets: what is from before `before_us` is taken from its machine, the rest goes to `rest` (NULL: there is
 * none), its places kept. False: a failure. */
static bool take_out(struct ledger *ledger, sqlite3_stmt *row, int64_t before_us, struct batch *rest) {
    struct entry entry;
    int got = batch_open(ledger->reader, sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2));
    got = got == 0 ? 1 : got;
    while (got == 1 && (got = batch_next(ledger->reader, &entry)) == 1) {
        bool old = !entry.gone && (rest == NULL || (int64_t)entry.ts_us < before_us);
        bool taken = !old || machines_take_out(ledger->machines, &entry);
        entry.gone = entry.gone || old;
        if (!taken || (rest != NULL && !batch_add(rest, &entry)))
            got = -ENOMEM;
    }
    return well_read(ledger, got);
}

/* Takes out the oldest batches from before `before_us`, until `most` entries are gone; write_machines is then due. False: a
 * failure. */
static bool prune(struct ledger *ledger, int64_t before_us, int64_t most) {
    sqlite3_stmt *oldest = statement(ledger, BATCH_OLDEST), *gone = statement(ledger, BATCH_GONE);
    bool well = oldest != NULL && gone != NULL, any = true;
    while (well && any && most > 0) {
        sqlite3_bind_int64(oldest, 1, before_us);
        int rc = run(ledger, oldest);
        any = rc == SQLITE_ROW;
        well = any ? take_out(ledger, oldest, 0, NULL) : rc == SQLITE_DONE;
        int64_t id = any ? sqlite3_column_int64(oldest, 0) : 0, entries = any ? sqlite3_column_int64(oldest, 1) : 0;
        sqlite3_reset(oldest);
        if (!well || !any)
            break;
        sqlite3_bind_int64(gone, 1, id);
        well = run_once(ledger, gone);
        most -= entries;
        ledger->pruned_to = id + entries > ledger->pruned_to ? id + entries : ledger->pruned_to;
    }
    return well;
}

/* Takes the entries from before `before_us` out of batches that have some from before `slack_us`. False: a failure. */
static bool cut(struct ledger *ledger, int64_t before_us, int64_t slack_us) {
    sqlite3_stmt *old = statement(ledger, BATCH_OLD), *put = statement(ledger, BATCH_CUT);
    bool well = old != NULL && put != NULL, any = true;
    for (unsigned i = 0; well && any && i < PRUNE_CUTS; i++) {
        sqlite3_bind_int64(old, 1, slack_us);
        int rc = run(ledger, old);
        any = rc == SQLITE_ROW;
        batch_clear(ledger->progress);
        well = any ? take_out(ledger, old, before_us, ledger->progress) : rc == SQLITE_DONE;
        int64_t id = any ? sqlite3_column_int64(old, 0) : 0, entries = any ? sqlite3_column_int64(old, 1) : 0;
        if (well && any) {
            sqlite3_bind_int64(put, 1, id);
            bind_batch(put, 2, 4, ledger->progress);
            ledger->pruned_to = id + entries > ledger->pruned_to ? id + entries : ledger->pruned_to;
        }
        sqlite3_reset(old);
        well = well && (!any || run_once(ledger, put));
    }
    batch_clear(ledger->progress);
    return well;
}

/* --- opening --- */

/* The damaged book stays for whoever wants to look into it; its journal goes with it. The book must be closed. */
static void set_aside(struct ledger *ledger) {
    char aside[4096], text[8400];
    ledger->again = false;
    ledger_file_set_aside(ledger->path, true, aside, sizeof aside);
    snprintf(text, sizeof text, "ledger %s is damaged: it was set aside as %s, and a new one begun", ledger->path, aside);
    ledger->say(ledger->context, "error", text);
}

/* Machines' entries of after their numbers were last written. */
static bool recount(struct ledger *ledger) {
    sqlite3_stmt *find = statement(ledger, NOTE_FIND), *batches = statement(ledger, BATCHES_FROM);
    if (find == NULL || batches == NULL)
        return false;
    sqlite3_bind_text(find, 1, "machines", -1, SQLITE_STATIC);
    int64_t from = run(ledger, find) == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    ledger->next_entry = from > ledger->next_entry ? from : ledger->next_entry;
    sqlite3_bind_int64(batches, 1, from);
    int rc, got = 0;
    while ((rc = run(ledger, batches)) == SQLITE_ROW && got == 0) {
        struct entry entry;
        got = batch_open(ledger->reader, sqlite3_column_blob(batches, 0), (size_t)sqlite3_column_bytes(batches, 0));
        while (got == 0 && (got = batch_next(ledger->reader, &entry)) == 1)
            got = entry.gone || machines_enter(ledger->machines, &entry, entry.ts_us) ? 0 : -ENOMEM;
    }
    sqlite3_reset(batches);
    return well_read(ledger, got) && rc == SQLITE_DONE;
}

/* Enters the repeats of a window that was open when the writer ended without closing it. False: a failure. */
static bool adopt(struct ledger *ledger, struct finder *finder, struct entry *entry) {
    struct entry whole = *entry;
    if (entry->repeats != 0) {
        int rc = finder_find(finder, entry->repeats, &whole);
        if (rc == SQLITE_DONE) {
            lose(ledger, entry->count);
            return true;
        }
        if (rc != SQLITE_ROW) {
            ledger->error = rc;
            return false;
        }
        whole.ts_us = entry->ts_us;
        whole.count = entry->count;
    }
    if (!batch_add(ledger->batch, &whole) || !machines_enter(ledger->machines, &whole, whole.ts_us)) {
        ledger->error = SQLITE_NOMEM;
        return false;
    }
    return batch_entries(ledger->batch) < BATCH_ENTRIES || write_batch(ledger);
}

static bool adopt_progress(struct ledger *ledger) {
    sqlite3_stmt *all = statement(ledger, PROGRESS_ALL);
    struct finder *finder = finder_new(ledger->db);
    int rc = SQLITE_DONE, got = 0;
    bool well = all != NULL && finder != NULL;
    while (well && (rc = run(ledger, all)) == SQLITE_ROW) {
        struct entry entry;
        got = batch_open(ledger->reader, sqlite3_column_blob(all, 0), (size_t)sqlite3_column_bytes(all, 0));
        while (well && got == 0 && (got = batch_next(ledger->reader, &entry)) == 1) {
            well = adopt(ledger, finder, &entry);
            got = 0;
        }
        well = well_read(ledger, got) && well;
    }
    sqlite3_reset(all);
    finder_free(finder);
    return well && rc == SQLITE_DONE && write_batch(ledger) &&
           fine(ledger, sqlite3_exec(ledger->db, "DELETE FROM progress", NULL, NULL, NULL));
}

/* What the last writer left unfinished, in one transaction. False: a failure, in ledger->error. */
static bool take_over(struct ledger *ledger) {
    sqlite3_stmt *last = NULL;
    static const char query[] = "SELECT id + entries FROM batch ORDER BY id DESC LIMIT 1";
    if (!fine(ledger, machines_open(ledger->machines, ledger->db)) ||
        !fine(ledger, sqlite3_prepare_v2(ledger->db, query, -1, &last, NULL)))
        return false;
    ledger->next_entry = sqlite3_step(last) == SQLITE_ROW ? sqlite3_column_int64(last, 0) : 1;
    sqlite3_finalize(last);
    if (!fine(ledger, sqlite3_exec(ledger->db, "BEGIN IMMEDIATE", NULL, NULL, NULL)))
        return false;
    /* Of a book that was open until now the windows go on. */
    bool well = recount(ledger) && (ledger->again || adopt_progress(ledger)) && write_machines(ledger) &&
                fine(ledger, sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL));
    machines_settle(ledger->machines, well);
    batch_clear(ledger->batch);
    ledger->batch_rows = 0;
    ledger->small_from = ledger->next_entry;
    ledger->small = 0;
    return well;
}

/* Opens the book, and takes over what is in it. An SQLite result code. */
static int try_book(struct ledger *ledger) {
    int64_t migrated = 0;
    char text[4400];
    ledger->error = ledger_schema_open(&ledger->db, ledger->path, true, &migrated);
    if (ledger->error != SQLITE_OK)
        return ledger->error;
    if (migrated > 0) {
        snprintf(text, sizeof text, "ledger %s: %lld entries of an earlier version taken over", ledger->path, (long long)migrated);
        ledger->say(ledger->context, "info", text);
    }
    bool well = take_over(ledger);
    int rc = well ? SQLITE_CANTOPEN : ledger->error;
    if (well && ledger_file_note(&ledger->file, ledger->db))
        return SQLITE_OK;
    close_book(ledger);
    return rc == SQLITE_OK ? SQLITE_ERROR : rc;
}

static void open_book(struct ledger *ledger) {
    ledger->epoch++;
    ledger->pruned_to = 0;
    ledger->unseen = 0;
    atomic_fetch_add(&ledger->book, 1);
    int rc = try_book(ledger);
    if (ledger_schema_damaged(rc)) {
        set_aside(ledger);
        rc = try_book(ledger);
    }
    ledger->error = rc;
    if (rc == SQLITE_OK)
        return;
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
    ledger->batch = batch_new();
    ledger->progress = batch_new();
    ledger->reader = batch_reader_new();
    ledger->machines = machines_new();
    ledger->say = say;
    ledger->context = context;
    ledger->keep_us = ledger->max_octets = INT64_MAX;
    if (ledger->path != NULL && ledger->batch != NULL && ledger->progress != NULL && ledger->reader != NULL &&
        ledger->machines != NULL)
        return ledger;
    ledger_free(ledger);
    return NULL;
}

void ledger_limits(struct ledger *ledger, int64_t keep_seconds, int64_t max_octets) {
    ledger->keep_us = keep_seconds > INT64_MAX / 1000000 ? INT64_MAX : keep_seconds * 1000000;
    ledger->max_octets = max_octets;
}

uint64_t ledger_machines(const struct ledger *ledger) {
    return machines_count(ledger->machines);
}

uint64_t ledger_lost(const struct ledger *ledger) {
    return ledger->lost;
}

uint32_t ledger_book(const struct ledger *ledger) {
    return atomic_load(&ledger->book);
}

void ledger_doubt(struct ledger *ledger, uint32_t book) {
    atomic_store(&ledger->doubted, book);
}

/* --- committing --- */

void ledger_commit(struct ledger *ledger) {
    if ((!ledger->in_batch && batch_entries(ledger->batch) == 0) || !begin_batch(ledger))
        return;
    bool well = write_batch(ledger) && (ledger->small < SMALL_BATCHES || merge_small(ledger));
    /* A book at its size lets go of as much as it takes in. */
    if (well && ledger->batch_rows > 0 && octets_used(ledger) > ledger->max_octets)
        well = prune(ledger, INT64_MAX, (int64_t)ledger->batch_rows * 2) && write_machines(ledger);
    if (well && machines_full(ledger->machines))
        well = write_machines(ledger);
    well = well && fine(ledger, machines_write(ledger->machines));
    if (!well || !fine(ledger, sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL))) {
        give_up_batch(ledger);
        return;
    }
    machines_settle(ledger->machines, true);
    ledger->in_batch = false;
    ledger->unseen += ledger->batch_hits;
    ledger->batch_hits = ledger->batch_rows = 0;
}

/* ending: nothing will be said any more. */
static void complain(struct ledger *ledger, bool ending) {
    time_t now = time(NULL);
    if (ledger->lost == ledger->said_lost || (now < ledger->complain_again && !ending))
        return;
    char text[4400];
    snprintf(text, sizeof text, "ledger %s: %llu hits not entered: %s", ledger->path,
             (unsigned long long)(ledger->lost - ledger->said_lost), ledger->loss);
    ledger->say(ledger->context, "error", text);
    ledger->said_lost = ledger->lost;
    ledger->complain_again = now + COMPLAINT_SECONDS;
}

void ledger_free(struct ledger *ledger) {
    if (ledger == NULL)
        return;
    if (ledger->batch != NULL && ledger->machines != NULL)
        ledger_commit(ledger);
    complain(ledger, true);
    close_book(ledger);
    batch_free(ledger->batch);
    batch_free(ledger->progress);
    batch_reader_free(ledger->reader);
    machines_free(ledger->machines);
    free(ledger->path);
    free(ledger);
}

/* Lets go of what is too old or too much, a step. False: a failure. */
static bool prune_step(struct ledger *ledger, int64_t now_us) {
    int64_t keep_us = ledger->keep_us, slack_us = keep_us / 16 < CUT_SLACK_US ? keep_us / 16 : CUT_SLACK_US;
    if (keep_us < now_us &&
        (!prune(ledger, now_us - keep_us, PRUNE_ENTRIES) || !cut(ledger, now_us - keep_us, now_us - keep_us - slack_us)))
        return false;
    return octets_used(ledger) <= ledger->max_octets || prune(ledger, INT64_MAX, PRUNE_ENTRIES);
}

/* Somebody may have removed, replaced or cut off the book while it is open; SQLite wouldn't tell. */
static void look_after_book(struct ledger *ledger) {
    char aside[4096], text[8400];
    enum ledger_state state = ledger_file_look(&ledger->file, ledger->db);
    bool doubted = atomic_load(&ledger->doubted) == atomic_load(&ledger->book) || ledger_schema_damaged(ledger->error);
    if (state == LEDGER_SAME && !doubted) {
        ledger->unseen = 0;
        return;
    }
    ledger->error = SQLITE_CORRUPT;
    int64_t next = ledger->next_entry;
    uint64_t unseen = ledger->unseen;
    bool again = state == LEDGER_APART && !doubted;
    ledger->again = again;
    if (!again)
        lose(ledger, ledger->unseen);
    if (state == LEDGER_GONE)
        ledger->loss = "the file was gone";
    close_book(ledger);
    if (state == LEDGER_DAMAGED || (state != LEDGER_GONE && doubted)) {
        set_aside(ledger);
    } else {
        if (state == LEDGER_GONE && ledger_file_journal_left(&ledger->file, ledger->path))
            ledger_file_set_aside(ledger->path, false, aside, sizeof aside);
        snprintf(text, sizeof text, "ledger %s: %s while in use; what stands there is opened anew", ledger->path,
                 state == LEDGER_GONE ? "the file was removed or replaced" : "its journal (-wal) was removed, replaced or cut off");
        ledger->say(ledger->context, "error", text);
    }
    open_book(ledger);
    if (again && !ledger->again) /* it was set aside after all */
        lose(ledger, unseen);
    else if (again && ledger->next_entry < next)
        lose(ledger, (uint64_t)(next - ledger->next_entry)); /* by entry: what the lost journal alone knew */
    ledger->again = false;
}

void ledger_tend(struct ledger *ledger, uint64_t now_us) {
    complain(ledger, false);
    if (ledger->db == NULL && time(NULL) >= ledger->try_again)
        open_book(ledger);
    ledger_commit(ledger);
    if (ledger->db != NULL)
        look_after_book(ledger);
    if (!begin_batch(ledger))
        return;
    bool well = prune_step(ledger, (int64_t)now_us) && (!machines_dirty(ledger->machines) || write_machines(ledger));
    if (!well) {
        give_up_batch(ledger);
        return;
    }
    ledger_commit(ledger);
    char vacuum[64];
    snprintf(vacuum, sizeof vacuum, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    if (ledger->db != NULL)
        fine(ledger, sqlite3_exec(ledger->db, vacuum, NULL, NULL, NULL));
}

/* --- entering --- */

static struct piece piece_of_name(const uint8_t *wire) {
    uint32_t length = 0;
    if (wire == NULL)
        return (struct piece){NULL, 0};
    while (wire[length] != 0)
        length += wire[length] + 1u;
    return (struct piece){(const char *)wire, length + 1};
}

static void entry_of(struct entry *entry, const struct hit *hit) {
    *entry = (struct entry){.ts_us = hit->ts_us,
                            .count = hit->count,
                            .client = hit->client,
                            .has_mac = hit->who.has_mac,
                            .protocol = hit->protocol,
                            .qtype = hit->qtype,
                            .hostname = piece_of(hit->who.hostname),
                            .qname = piece_of_name(hit->qname),
                            .via = piece_of_name(hit->via),
                            .front = piece_of(hit->card->front),
                            .rule = hit->rule,
                            .back = piece_of(hit->card->back),
                            .details = hit->details,
                            .answer = piece_of(hit->answer)};
    memcpy(entry->mac, hit->who.mac, sizeof entry->mac);
}

int64_t ledger_hit(struct ledger *ledger, const struct hit *hit) {
    struct entry entry;
    if (ledger->db == NULL) {
        lose(ledger, hit->count);
        return 0;
    }
    entry_of(&entry, hit);
    ledger->batch_hits += hit->count;
    if (!batch_add(ledger->batch, &entry) || !machines_enter(ledger->machines, &entry, hit->first_ts_us)) {
        ledger->error = SQLITE_NOMEM;
        give_up_batch(ledger);
        return 0;
    }
    int64_t id = ledger->next_entry + batch_entries(ledger->batch) - 1;
    if (batch_entries(ledger->batch) == BATCH_ENTRIES && begin_batch(ledger) && !write_batch(ledger))
        give_up_batch(ledger);
    return (int64_t)ledger->epoch << ROW_EPOCH_SHIFT | id;
}

void ledger_progress(struct ledger *ledger, const struct hit *hit, int64_t row) {
    int64_t id = row & (((int64_t)1 << ROW_EPOCH_SHIFT) - 1);
    struct entry entry = {.repeats = id, .ts_us = hit->ts_us, .count = hit->count};
    if (!hit->like_first || row >> ROW_EPOCH_SHIFT != (int64_t)ledger->epoch || id <= ledger->pruned_to)
        entry_of(&entry, hit);
    batch_add(ledger->progress, &entry); /* no memory: the next second has some, or the window's end */
}

void ledger_progress_end(struct ledger *ledger, uint32_t chunk) {
    bool any = batch_entries(ledger->progress) > 0;
    sqlite3_stmt *put = begin_batch(ledger) ? statement(ledger, any ? PROGRESS_PUT : PROGRESS_GONE) : NULL;
    if (put != NULL) {
        struct piece octets = batch_octets(ledger->progress);
        sqlite3_bind_int64(put, 1, chunk);
        if (any)
            sqlite3_bind_blob(put, 2, octets.text, (int)octets.length, SQLITE_STATIC);
        if (!run_once(ledger, put))
            give_up_batch(ledger);
    }
    batch_clear(ledger->progress);
}

/* --- notes --- */

static void bind_key(sqlite3_stmt *to, const struct hit *hit) {
    uint8_t key[MACHINE_KEY_MAX];
    int length = machine_key(key, &hit->client, hit->who.has_mac ? hit->who.mac : NULL);
    sqlite3_bind_blob(to, 1, key, length, SQLITE_TRANSIENT);
}

uint64_t ledger_retro(struct ledger *ledger, const struct hit *hit, uint64_t rule_hash) {
    sqlite3_stmt *find = ledger->db == NULL ? NULL : statement(ledger, RETRO_FIND);
    if (find == NULL)
        return 0;
    bind_key(find, hit);
    sqlite3_bind_int64(find, 2, (int64_t)rule_hash);
    uint64_t until = run(ledger, find) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    return until;
}

void ledger_note_retro(struct ledger *ledger, const struct hit *hit, uint64_t rule_hash, uint64_t until_us) {
    if (!begin_batch(ledger))
        return;
    bool known = fine(ledger, machines_write(ledger->machines));
    sqlite3_stmt *note = known ? statement(ledger, RETRO_NOTE) : NULL;
    if (note != NULL) {
        bind_key(note, hit);
        sqlite3_bind_int64(note, 2, (int64_t)rule_hash);
        sqlite3_bind_int64(note, 3, (int64_t)until_us);
    }
    if (!done(ledger, note))
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
    if (begin_batch(ledger) && !put_note(ledger, "hunted", snapshot_id))
        give_up_batch(ledger);
}
