/* policy/code_private.h: what code.c and code_choose.c share. */
#ifndef SUNDEW_POLICY_CODE_PRIVATE_H
#define SUNDEW_POLICY_CODE_PRIVATE_H

#include "policy/code.h"

/* Fills in codes from lengths; 0 or -EBADMSG if the lengths don't make a complete code. */
int huffman_assign(struct huffman *huffman, unsigned count);
/* Fills in the look-up table of the dictionary. */
void code_index_suffixes(struct code *code, uint64_t seed);
unsigned code_find_suffix(const struct code *code, const struct name_key *key, unsigned labels);

#endif
