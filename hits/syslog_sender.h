/* hits/syslog_sender.h: lines of the hit log on their way to a syslog collector: a unix socket, UDP (RFC 5426), TCP (RFC 6587).
 *
 * A thread of its own formats (hits/syslog_format.h), connects, sends and waits; whoever has lines only copies them into a queue.
 * A collector that is slow or gone costs what the queue can't hold, which is counted; it is called again every second, and gets
 * what waited. What UDP loses on its way nobody knows, but a port that nobody listens on is noticed, and counted.
 *
 *     struct syslog *syslog = syslog_new();
 *     syslog_configure(syslog, &config->log.syslog);
 *     syslog_put(syslog, lines, length); */
#ifndef SUNDEW_HITS_SYSLOG_SENDER_H
#define SUNDEW_HITS_SYSLOG_SENDER_H

#include "config/config.h"

struct syslog;

struct syslog *syslog_new(void); /* to nowhere yet; NULL: no memory */
/* Sends what waits for as long as SYSLOG_STOP_MS (syslog_sender.c) at most; the rest is lost. NULL is nothing. */
void syslog_free(struct syslog *syslog);

/* The three below: one thread, and none of them waits. A new target is given what waits for the old one; the same one again changes
 * nothing. 0, or -errno where the thread can't be started. */
int syslog_configure(struct syslog *syslog, const struct syslog_target *target);
void syslog_put(struct syslog *syslog, const char *lines, size_t length); /* whole lines, each with its '\n' */
const char *syslog_where(const struct syslog *syslog);                    /* the target as configured; NULL: to nowhere */

/* Any thread. */
uint64_t syslog_sent(const struct syslog *syslog); /* lines given to the kernel */
uint64_t syslog_lost(const struct syslog *syslog);
int syslog_error(const struct syslog *syslog); /* -errno of the last failure, 0 none */

#endif
