/* feeds/report.h: what `sundew zones` shows, as JSON. */
#ifndef SUNDEW_FEEDS_REPORT_H
#define SUNDEW_FEEDS_REPORT_H

#include <jansson.h>

#include "feeds/feeder.h"

/* An array, one object a zone, in order. rejected: each with "rejected_rules", a list of {rule, why, source, line}. */
json_t *report_zones(const struct feeder *feeder, bool rejected);

#endif
