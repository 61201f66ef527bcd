/* hits/history_format.h: what the history's writing and reading sides have in common: the segment's octets (hits/history.h). */
#ifndef SUNDEW_HITS_HISTORY_FORMAT_H
#define SUNDEW_HITS_HISTORY_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define HISTORY_MAGIC "SUNDEWH1"
#define HISTORY_ENDING ".asked"

enum {
    HISTORY_HEAD = 16,      /* octets: magic, beginning */
    HISTORY_FRAME_HEAD = 8, /* length, check */
    HISTORY_FILE_NAME = 23, /* 16 hex digits, the ending, NUL */
    HISTORY_NAME = 1,
    HISTORY_CLIENT = 2,
    HISTORY_ASKED = 3,
    HISTORY_WITH_MAC = 1
};

void history_put32(uint8_t *out, uint32_t value);
void history_put64(uint8_t *out, uint64_t value);
uint32_t history_check(const uint8_t *octets, size_t length);

/* The segments' file names, oldest first; *names is the caller's to free. */
size_t history_list(const char *folder, char (**names)[HISTORY_FILE_NAME]);

#endif
