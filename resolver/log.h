/* resolver/log.h: what sundewd says to its operator: one line on stderr, and to syslog where configured.
 *
 * A line is one write, so lines of several threads never mix. Control characters are escaped: text that came from outside (names,
 * feed errors) can't forge a line or move a terminal's cursor. Any thread. */
#ifndef SUNDEW_RESOLVER_LOG_H
#define SUNDEW_RESOLVER_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Switches syslog (facility daemon) on or off; stderr is always written. Main thread. */
void log_configure(bool syslog);

void log_say(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "info", "warning", "error" (anything else counts as error). */
enum log_level log_level_from_name(const char *name);

#endif
