/* hits/log_file.h: a file of lines that others rotate, remove and read along: whole lines only, or none.
 *
 * Every write goes to the file that the path names now (opened anew when it was renamed, removed or asked for). A line that the
 * disk took only in part is cut off again, or, where that can't be (a pipe), completed before anything else is written; what a kill
 * -9 tore is cut off when the file is opened. What could not be written is lost and counted; it never blocks. One thread. */
#ifndef SUNDEW_HITS_LOG_FILE_H
#define SUNDEW_HITS_LOG_FILE_H

#include <stddef.h>
#include <stdint.h>

struct log_file;

struct log_file *log_file_new(void); /* without a path: off. NULL: no memory */
void log_file_free(struct log_file *file);

int log_file_path(struct log_file *file, const char *path); /* opens it; NULL: off. 0 or -ENOMEM (then nothing changed) */
const char *log_file_where(const struct log_file *file);    /* the path, NULL when off */
void log_file_reopen(struct log_file *file);                /* at the next write */

/* Appends `length` octets of whole lines, each ended by '\n'. Returns how many lines were lost (0: all is written); *error is
 * then the last -errno. */
uint64_t log_file_write(struct log_file *file, const char *lines, size_t length, int *error);

#endif
