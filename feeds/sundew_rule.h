/* feeds/sundew_rule.h: one rule of a policy file in our own format, from its JSON to an indicator. Private to format_sundew.c. */
#ifndef SUNDEW_FEEDS_SUNDEW_RULE_H
#define SUNDEW_FEEDS_SUNDEW_RULE_H

#include "feeds/reading.h"

/* The OBJECT event, or the STRING event, of a rule was just delivered. Reads it and hands the indicator on, or reports all that is
 * wrong with it (path may be NULL). `head` is what is known of the document's head. 0, -EBADMSG with the reader in error, or the
 * sink's. */
int sundew_rule_object(struct reading *reading, const struct format_head *head, const char *path);
int sundew_rule_text(struct reading *reading, const char *path);

/* Values that rules and heads share. 0, or -EINVAL with *why (static). */
int sundew_ttl(const struct record *record, unsigned field, int64_t *ttl, const char **why);
int sundew_integer(const struct record *record, unsigned field, int64_t low, int64_t high, int64_t *value);

#endif
