/* policy/idna.h: domain names as people write them: Unicode to A-labels (IDNA2008, UTS 46 non-transitional mapping).
 *
 * Apart from name.h because it needs libidn2 and allocates; for text from operators and feeds, never for packets. */
#ifndef SUNDEW_POLICY_IDNA_H
#define SUNDEW_POLICY_IDNA_H

#include "policy/name.h"

/* Like name_from_text, but text is UTF-8: labels that aren't ASCII become A-labels; ideographic and full-width full stops count as
 * dots. ASCII labels (underscores, "xn--", odd hyphens) are taken as they stand. 0, -EINVAL with *why (static), or -ENOMEM. */
int name_from_unicode(struct name *name, const char *text, size_t length, const char **why);

#endif
