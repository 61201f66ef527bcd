/* feeds/when.h: the points in time of every feed, as unix seconds. Pure; any thread. */
#ifndef SUNDEW_FEEDS_WHEN_H
#define SUNDEW_FEEDS_WHEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads, as UTC where no zone is given:
 *     2026-11-22T17:40:12.345678Z   RFC 3339, 0 to 9 fraction digits, 'T' or a blank, Z or an offset (+00:00, +0000), or no zone
 *     2026-11-22 17:40:12 UTC       abuse.ch
 *     2026-11-22                    a date: its first second, or its last if end_of_day
 *     1787422219                    unix seconds
 * 0, or -EINVAL with *seconds untouched. A date before 1970 reads as 1: 0 means "unknown"
 * everywhere, and is what the number 0 reads as. */
int when_parse(const char *text, size_t length, bool end_of_day, int64_t *seconds);

/* Writes RFC 3339 in UTC, whole seconds; text holds WHEN_TEXT_MAX. */
enum { WHEN_TEXT_MAX = 32 };
void when_format(int64_t seconds, char text[WHEN_TEXT_MAX]);

#endif
