/* feeds/texts.h: many small texts in one growing piece of memory, addressed by offset because it moves. */
#ifndef SUNDEW_FEEDS_TEXTS_H
#define SUNDEW_FEEDS_TEXTS_H

#include <stddef.h>

enum { TEXTS_MAX = 512 << 20 }; /* octets: as much as a whole document may have (max_size by default) */

/* Visible because parsers keep one by value; all zero is empty. `text` may be walked: texts follow each other, each with its NUL.
 */
struct texts {
    char *text;
    size_t used, size;
};

void texts_done(struct texts *texts);

/* Copies length octets and a NUL in. Returns the offset in texts->text, -ENOMEM, or -EMSGSIZE past TEXTS_MAX. */
long texts_keep(struct texts *texts, const char *text, size_t length);

#endif
