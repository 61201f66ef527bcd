/* hits/ledger_file.c: the ledger's files as the file system has them. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "hits/ledger_file.h"
#include "hits/ledger_schema.h"

enum {
    HEAD = 32,      /* octets of the head that are looked at (SQLite's "Database File Format", 1.3) */
    HEAD_SIZE = 16, /* where the size of a page stands; 1 means 65536 */
    HEAD_PAGES = 28 /* where their number stands */
};

bool ledger_file_odd(const char *path) {
    struct stat link, target;
    if (lstat(path, &link) != 0)
        return false;
    return stat(path, &target) != 0 ? S_ISLNK(link.st_mode) && (errno == ENOENT || errno == ELOOP) : !S_ISREG(target.st_mode);
}

/* Both by the names that SQLite uses, which are those behind a link. */
static bool find(sqlite3 *db, struct stat *book, struct stat *journal) {
    const char *path = sqlite3_db_filename(db, "main");
    *journal = (struct stat){0};
    if (path == NULL || lstat(path, book) != 0)
        return false;
    if (lstat(sqlite3_filename_wal(path), journal) != 0)
        *journal = (struct stat){0};
    return true;
}

bool ledger_file_note(struct ledger_file *file, sqlite3 *db) {
    struct stat book, journal;
    if (!find(db, &book, &journal))
        return false;
    *file = (struct ledger_file){book.st_dev, journal.st_dev, book.st_ino, journal.st_ino, book.st_size, journal.st_size};
    return true;
}

static uint32_t number(const uint8_t *octets) {
    return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 | octets[3];
}

/* Does the file that SQLite has open begin as a book does, and is it as long as it says, if it is `shorter` than it was? (One that
 * grew may be longer by its head than the disk had room for; then the journal has the rest.) */
static bool is_whole(sqlite3 *db, off_t size, bool shorter) {
    sqlite3_file *open = NULL;
    uint8_t head[HEAD];
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &open) != SQLITE_OK || open == NULL || open->pMethods == NULL)
        return true; /* no way to tell */
    int rc = open->pMethods->xRead(open, head, HEAD, 0);
    if (rc != SQLITE_OK)
        return rc != SQLITE_IOERR_SHORT_READ;
    int64_t page = (int64_t)head[HEAD_SIZE] << 8 | head[HEAD_SIZE + 1];
    return memcmp(head, "SQLite format 3", 16) == 0 &&
           (!shorter || size >= (page == 1 ? 65536 : page) * (int64_t)number(head + HEAD_PAGES));
}

enum ledger_state ledger_file_look(struct ledger_file *file, sqlite3 *db) {
    struct stat book, journal;
    if (!find(db, &book, &journal) || book.st_dev != file->device || book.st_ino != file->inode)
        return LEDGER_GONE;
    bool shorter = book.st_size < file->size, cut = journal.st_size < file->journal_size && journal.st_size < LEDGER_JOURNAL_MAX;
    file->size = book.st_size;
    file->journal_size = journal.st_size;
    if (!is_whole(db, book.st_size, shorter))
        return LEDGER_DAMAGED;
    /* SQLite itself cuts a journal off only that has grown beyond its limit, and then to it. */
    bool same = journal.st_dev == file->journal_device && journal.st_ino == file->journal_inode;
    return same && !cut ? LEDGER_SAME : LEDGER_APART;
}

bool ledger_file_journal_left(const struct ledger_file *file, const char *path) {
    char name[4096];
    struct stat journal;
    snprintf(name, sizeof name, "%s-wal", path);
    return lstat(name, &journal) == 0 && journal.st_dev == file->journal_device && journal.st_ino == file->journal_inode;
}

void ledger_file_set_aside(const char *path, bool book, char *aside, size_t size) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    char from[4096], to[4112], stamp[32];
    struct stat taken;
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    snprintf(aside, size, "%s.damaged-%s", path, stamp);
    for (unsigned i = 1; i < 100 && lstat(aside, &taken) == 0; i++)
        snprintf(aside, size, "%s.damaged-%s-%u", path, stamp, i);
    for (size_t i = book ? 0 : 1; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(from, sizeof from, "%s%s", path, endings[i]);
        snprintf(to, sizeof to, "%s%s", aside, endings[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            remove(from);
    }
}
