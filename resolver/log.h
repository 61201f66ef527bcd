/* resolver/log.h: what sundewd says to its operator: one line on stderr, and to syslog where configured.
 *
 * A line is one write, so lines of several threads never mix. What must not be shown raw is escaped (phrase_new_printable): text
 * that came from outside (names, feed errors) can't forge a line or move a terminal's cursor. Any thread. */
#ifndef SUNDEW_RESOLVER_LOG_H
#define SUNDEW_RESOLVER_LOG_H

#include "config/config.h"

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Messages go to `target`, too, if it is the daemon's own (config.h); stderr is always written. Main thread. */
void log_configure(const struct syslog_target *target);

void log_say(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "info", "warning", "error" (anything else counts as error). */
enum log_level log_level_from_name(const char *name);

#endif
