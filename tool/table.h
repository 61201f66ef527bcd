/* tool/table.h: aligned columns for people, and strings that cannot harm a terminal.
 *
 *     struct table *table = table_new("ZONE", ">RULES", NULL);  // '>' aligns right
 *     table_cell(table, "%s", name);
 *     table_cell(table, "%lld", rules);   // a row is complete when each column has a cell
 *     return table_print(table);          // and frees it
 *
 * Every cell is escaped. Out of memory ends the program with a message: it is a command line, nothing is lost. */
#ifndef SUNDEW_TOOL_TABLE_H
#define SUNDEW_TOOL_TABLE_H

#include <jansson.h>
#include <stddef.h>

struct table;

struct table *table_new(const char *first, ...) __attribute__((sentinel));
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The value as people read it: strings bare, lists joined with ", ", null and absent as "-". */
void table_cell_json(struct table *table, const json_t *value);
/* Seconds as "12s", "3m", "5h", "2d"; null as "-". */
void table_cell_age(struct table *table, const json_t *seconds);
/* Prints the rows so far, as wide as those so far need, and forgets them. */
void table_flush(struct table *table);
int table_print(struct table *table); /* TOOL_DONE, or TOOL_FAILED when stdout refuses it */

/* Writes text with control characters, invalid UTF-8 and characters that turn the direction of writing as \xNN; output is cut at
 * size - 1 octets and always ends in NUL. Returns out. */
char *table_escape(const char *text, char *out, size_t size);

void table_age(double seconds, char out[16]);

#endif
