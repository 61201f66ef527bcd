/* config/suggest.c: "did you mean": the nearest of some words. */
#include <string.h>

#include "config/config.h"

enum { WORD_MAX = 32 }; /* octets; nothing longer is ever near one of ours */

/* Edits (insert, delete, replace, swap two neighbours) that turn one into the other, letters' case aside. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    unsigned row[3][WORD_MAX + 1];
    for (unsigned j = 0; j <= b_length; j++)
        row[1][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *two_up = row[(i + 2) % 3], *up = row[i % 3], *now = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = (a[i - 1] | 0x20) == (b[j - 1] | 0x20);
            unsigned best = up[j - 1] + !same;
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_up[j - 2] + 1 < best)
                best = two_up[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[(a_length + 1) % 3][b_length];
}

const char *config_did_you_mean(const char *word, const char *const *candidates) {
    size_t length = strlen(word);
    if (length == 0 || length > WORD_MAX)
        return NULL;
    const char *nearest = NULL;
    unsigned least = (unsigned)(length < 4 ? 1 : length < 7 ? 2 : 3);
    for (; *candidates; candidates++) {
        size_t candidate = strlen(*candidates);
        if (candidate > WORD_MAX)
            continue;
        unsigned d = distance(word, length, *candidates, candidate);
        if (d < least || (d == least && !nearest)) {
            nearest = *candidates;
            least = d;
        }
    }
    return nearest;
}
