/* feeds/report.h: what `sundew zones` shows, as JSON. */
#ifndef SUNDEW_FEEDS_REPORT_H
#define SUNDEW_FEEDS_REPORT_H

#include <jansson.h>

#include "feeds/feeder.h"

json_t *report_zones(const struct feeder *feeder);    /* an array, one object a zone, in order */
json_t *report_rejected(const struct feeder *feeder); /* an array of {zone, rule, why, source, line} */

#endif
