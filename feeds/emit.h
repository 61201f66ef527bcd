/* feeds/emit.h: rules in the shapes that `sundew convert` writes. One thread. */
#ifndef SUNDEW_FEEDS_EMIT_H
#define SUNDEW_FEEDS_EMIT_H

#include <stdio.h>

#include "policy/rule.h"

enum emit_kind { EMIT_JSON, EMIT_RPZ, EMIT_DOMAINS };

struct emitter;

int emit_kind_from_name(const char *name, enum emit_kind *kind); /* 0 or -EINVAL */

struct emitter *emitter_new(enum emit_kind kind, FILE *out); /* writes the beginning; NULL: no memory */
/* Unset action, ttl and match are left unset where the shape can (json), else they are loopback, 3600 s and subtree. 0, or -ENOTSUP
 * with *why: the shape has no words for it (an address in a list of names). */
int emitter_rule(struct emitter *emitter, const struct rule *rule, const char **why);
int emitter_done(struct emitter *emitter); /* writes the end, frees; -EIO if anything could not be written */

#endif
