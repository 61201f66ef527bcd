/* tool/hit_format.h: one hit (an object of the hit log, see sundew-policy(5)) in the shapes that other tools read.
 *
 *     json  the object itself, one a line
 *     csv   RFC 4180 with a header line
 *     ecs   Elastic Common Schema 8: dns.*, source.*, rule.*, threat.*
 *     cef   ArcSight Common Event Format 0
 *
 * Every value is escaped as its format wants; nothing in a hit can end a field or a line. */
#ifndef SUNDEW_TOOL_HIT_FORMAT_H
#define SUNDEW_TOOL_HIT_FORMAT_H

#include <jansson.h>
#include <stdio.h>

enum hit_format { HIT_FORMAT_JSON, HIT_FORMAT_CSV, HIT_FORMAT_ECS, HIT_FORMAT_CEF };

int hit_format_from_name(const char *name, enum hit_format *format); /* 0 or -EINVAL */
void hit_format_head(enum hit_format format, FILE *out);             /* what stands before the first hit: the header line of csv */
void hit_format_write(enum hit_format format, const json_t *hit, FILE *out);

#endif
