/* feeds/texts.c: the growing piece of memory of texts.h. */
#include "feeds/texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void texts_done(struct texts *texts) {
    free(texts->text);
    *texts = (struct texts){0};
}

long texts_keep(struct texts *texts, const char *text, size_t length) {
    if (length >= TEXTS_MAX || texts->used + length + 1 > TEXTS_MAX)
        return -EMSGSIZE;
    if (texts->size - texts->used < length + 1) {
        size_t size = texts->size ? texts->size : 8192;
        while (size - texts->used < length + 1)
            size *= 2;
        char *grown = realloc(texts->text, size);
        if (!grown)
            return -ENOMEM;
        texts->text = grown;
        texts->size = size;
    }
    size_t offset = texts->used;
    if (length > 0)
        memcpy(texts->text + offset, text, length);
    texts->text[offset + length] = '\0';
    texts->used += length + 1;
    return (long)offset;
}
