/* resolver/command.h: what an operator can ask of a running daemon (doc/design.md, "Control socket"), apart from how it was asked.
 *
 *     command_run(supervisor, request, on_answer, client);   // {"command":"flush","name":"example.org"}
 *
 * Main thread. What takes long (ledger, history) runs on libuv's pool, what belongs to the feeder is sent there. */
#ifndef SUNDEW_RESOLVER_COMMAND_H
#define SUNDEW_RESOLVER_COMMAND_H

#include <jansson.h>

#include "resolver/supervisor.h"

/* `done` is called exactly once, perhaps before this returns, with {"ok":true,"data":...} or {"ok":false,"error":text}, a new
 * reference that it takes. The request is borrowed. */
void command_run(struct supervisor *supervisor, const json_t *request, void (*done)(void *context, json_t *answer), void *context);

/* Writes "client" of a request for hits or clients as hits write it. NULL, or why it can't be one (static). */
const char *command_client(json_t *request);

#endif
