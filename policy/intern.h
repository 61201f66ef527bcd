/* policy/intern.h: tables that keep equal things once, for the compiler; private to policy/.
 *
 * `intern` numbers equal elements of one fixed size from 0 in the order they came; `strings` gives equal strings one offset into a
 * run of NUL-terminated text (offset 0: the empty string, which stands for an absent one). One thread. */
#ifndef SUNDEW_POLICY_INTERN_H
#define SUNDEW_POLICY_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct slots {
    uint32_t *slot; /* number or offset plus 1; 0 free */
    size_t mask;
    size_t used;
};

/* Visible because they are embedded; elements are read directly. */
struct intern {
    uint8_t *elements;
    size_t element_size;
    size_t count, room;
    struct slots slots;
};

struct strings {
    char *text;
    size_t size, room;
    struct slots slots;
};

int intern_init(struct intern *intern, size_t element_size); /* 0 or -ENOMEM, as all below */
void intern_done(struct intern *intern);
int intern_add(struct intern *intern, const void *element, uint32_t *number);

int strings_init(struct strings *strings);
void strings_done(struct strings *strings);
/* -E2BIG when there would be 4 GB of text. NULL and "" are offset 0; text must not hold NUL. */
int strings_add(struct strings *strings, const char *text, size_t length, uint32_t *offset);

#endif
