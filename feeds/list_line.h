/* feeds/list_line.h: what the line formats share: comments, the declared count, hosts lines, and one entry to an indicator.
 *
 * Private to format_lists.c and format_adblock.c. */
#ifndef SUNDEW_FEEDS_LIST_LINE_H
#define SUNDEW_FEEDS_LIST_LINE_H

#include "feeds/normalise.h"
#include "feeds/reading.h"

struct list {
    struct reading *reading;
    uint64_t entries;  /* met, whether or not they could be read */
    uint64_t good;     /* of the format, whether or not they have a meaning for DNS */
    uint64_t declared; /* by a comment such as "# Entries: 4875"; 0 if there is none */
};

/* How one entry is to be taken. */
struct list_entry {
    enum match match; /* MATCH_COUNT: the zone decides */
    bool allow;
    bool from_url;
    uint32_t line;
    uint32_t column;
};

/* Takes blanks off both ends. */
char *list_trim(char *text, size_t *length);

/* Looks into a comment for the count of entries. */
void list_comment(struct list *list, const char *comment);

/* Cuts a comment that follows an entry after a blank. */
void list_cut_comment(char *text, size_t *length);

/* What a list says of itself can't be ignored silently: an entry without a meaning for DNS. */
void list_ignore(struct list *list, const char *why);

/* Hands an entry on. "*." and "." in front mean the whole subtree in lists. 0 or the sink's -errno. */
int list_emit(struct list *list, const struct list_entry *entry, const struct value *value);

/* Normalises text as a name or address and hands it on, or reports it. 0 or the sink's -errno. */
int list_emit_text(struct list *list, const struct list_entry *entry, const char *text, size_t length);

/* A hosts line: an address, then names. 1 it was one and its names were handed on, 0 it isn't one, or the sink's -errno. The line
 * is changed. */
int list_hosts_line(struct list *list, char *text, uint32_t line, uint32_t column);

/* At the end of the text: nothing of the format in it, or fewer entries than it declares, is refused. (An operator's own file may
 * have been shortened by hand: there the count is a fault only.) */
int list_end(struct list *list);

#endif
