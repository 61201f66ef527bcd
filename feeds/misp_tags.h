/* feeds/misp_tags.h: what MISP's tags say of an indicator's family and of the analyst's confidence. Pure. */
#ifndef SUNDEW_FEEDS_MISP_TAGS_H
#define SUNDEW_FEEDS_MISP_TAGS_H

#include <stdbool.h>
#include <stddef.h>

enum { MISP_FAMILY_MAX = 256 };

/* The best that a list of tags has said so far. All zero is nothing. */
struct misp_tags {
    int rank; /* of `family`: the higher the more it is the name of a malware family */
    char family[MISP_FAMILY_MAX];
    int confidence; /* 0: not said */
};

/* Takes one tag's name, such as misp-galaxy:malpedia="Remcos". Of equal rank the first stays. */
void misp_tags_add(struct misp_tags *tags, const char *name);

#endif
