/* tool/request.h: a question to the daemon over its control socket (doc/design.md, "Control socket"), and the answer.
 *
 *     json_t *data;
 *     int code = request_send(tool, json_pack("{s:s}", "command", "status"), &data);
 *     if (code != TOOL_DONE) return code;   // it was said why */
#ifndef SUNDEW_TOOL_REQUEST_H
#define SUNDEW_TOOL_REQUEST_H

#include <jansson.h>

#include "tool/tool.h"

/* Sends the request (the reference is taken) and waits for the answer. TOOL_DONE: *data holds a new reference to its "data" (null
 * if there was none). Otherwise it was said why on stderr: TOOL_FAILED the daemon refused, TOOL_USAGE what was asked for makes no
 * sense, TOOL_NO_DAEMON nobody listens; then *data is NULL, but for a refresh that failed, of which it tells the outcomes. */
int request_send(struct tool *tool, json_t *request, json_t **data);

/* Sends a request with "follow" and calls each for every object that comes, until it returns false or the daemon closes. */
int request_follow(struct tool *tool, json_t *request, bool (*each)(void *context, json_t *object), void *context);

/* Prints a document on stdout, for --json. Takes the reference. Returns TOOL_DONE, or TOOL_FAILED when stdout refuses it. */
int request_print_json(json_t *document);

#endif
