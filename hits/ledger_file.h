/* hits/ledger_file.h: the ledger's files as the file system has them: may they be opened, are they still the ones that were opened.
 *
 * Looked at by name and through SQLite, never by opening them a second time: closing that would end SQLite's locks on them. */
#ifndef SUNDEW_HITS_LEDGER_FILE_H
#define SUNDEW_HITS_LEDGER_FILE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Something stands there that can't be a book: a folder, a pipe, a device, a link that leads nowhere. */
bool ledger_file_odd(const char *path);

/* The book that was opened, and its journal. Visible because it is embedded by value. */
struct ledger_file {
    dev_t device, journal_device;
    ino_t inode, journal_inode;
    off_t size, journal_size; /* when last looked at */
};

/* After the first transaction: from then on there is a journal. False: they are gone already. */
bool ledger_file_note(struct ledger_file *file, sqlite3 *db);

enum ledger_state {
    LEDGER_SAME,
    LEDGER_GONE,    /* the book was removed, or another put in its place */
    LEDGER_APART,   /* its journal was, or cut off */
    LEDGER_DAMAGED, /* the book was cut off, or its head overwritten */
};
/* Outside a transaction; two stat() calls and a read. */
enum ledger_state ledger_file_look(struct ledger_file *file, sqlite3 *db);

/* After the book was closed: its journal still stands beside `path`, and would be taken for that of the next book. */
bool ledger_file_journal_left(const struct ledger_file *file, const char *path);

/* Renames what stands there, and its journal, to `aside`: PATH.damaged-TIME, a name that is free. `book`: the book itself, too. */
void ledger_file_set_aside(const char *path, bool book, char *aside, size_t size);

#endif
