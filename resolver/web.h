/* resolver/web.h: lends the daemon to the HTTP page (http.h): its threads' questions are asked on the main thread.
 *
 * An HTTP thread leaves its question and sleeps; the main loop runs it as a command (command.h) and wakes the thread. Main thread,
 * but for what http.c calls. */
#ifndef SUNDEW_RESOLVER_WEB_H
#define SUNDEW_RESOLVER_WEB_H

#include "resolver/supervisor.h"

struct web;

struct web *web_new(struct supervisor *supervisor); /* NULL: no memory */

/* Listens as the configuration in force says; a change of "http" ends the old listener. That it can't listen is logged: answers are
 * worth more than the page. */
void web_configure(struct web *web);

/* Ends the listener (on libuv's pool, counted in supervisor->working); questions that wait are given up. */
void web_stop(struct web *web);
void web_close(struct web *web); /* closes the handles; after it has ended */
void web_free(struct web *web);  /* after the loop has closed it; NULL is nothing */

#endif
