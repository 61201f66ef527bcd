/* feeds/zone_file.h: the entries of a zone file (RFC 1035 section 5.1), one at a time: enough of the language for policy zones.
 *
 * Parentheses, quotes, escapes, comments, a blank owner, $ORIGIN and $TTL are understood; TTL and class may be left out and come in
 * either order. $INCLUDE would read files of this machine and $GENERATE makes much out of little: both are refused as faults.
 * Unlike a name server, this reader needs no zone name: names stay relative where nothing said what to. Private to format_rpz.c. */
#ifndef SUNDEW_FEEDS_ZONE_FILE_H
#define SUNDEW_FEEDS_ZONE_FILE_H

#include "feeds/reading.h"

enum {
    ZONE_FILE_ENTRY_MAX = 262144, /* octets of one entry without its comments */
    ZONE_FILE_COMMENT_MAX = 512,  /* octets kept of an entry's comment */
};

/* A name that is known in full, or one below a zone whose name isn't known. */
struct zone_name {
    bool absolute;
    struct name name;
};

/* Visible because format_rpz.c reads the last entry out of it. */
struct zone_file {
    struct reading *reading;
    struct zone_name origin;
    bool has_origin; /* $ORIGIN was met */
    bool has_ttl;
    uint32_t ttl; /* of $TTL */

    /* The last entry. Texts point into `text`. */
    struct zone_name owner;
    bool has_owner;
    uint32_t line;
    uint32_t entry_ttl;
    bool has_entry_ttl;
    const char *type;
    char *rdata; /* its fields as written, parted by blanks */
    char comment[ZONE_FILE_COMMENT_MAX];

    char *text;
    size_t used;
    unsigned depth; /* open parentheses */
    /* Called for comments on lines of their own. */
    void (*on_comment)(void *context, const char *comment);
    void *context;
};

int zone_file_init(struct zone_file *file, struct reading *reading);
void zone_file_done(struct zone_file *file);

/* The next record. 1, 0 at the end, 2 for an entry that could not be read (it was reported), -errno; -EBADMSG if the text ends
 * inside parentheses. */
int zone_file_next(struct zone_file *file);

/* Reads a name as an entry writes it, relative to the current origin. 0, or -EINVAL with *why. */
int zone_file_name(const struct zone_file *file, const char *text, struct zone_name *name, const char **why);

#endif
