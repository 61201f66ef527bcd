/* feeds/link.h: the feeder's end of the socketpair to the supervisor: one JSON object a line, both ways (doc/design.md). */
#ifndef SUNDEW_FEEDS_LINK_H
#define SUNDEW_FEEDS_LINK_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

enum { LINK_FD = 3, LINK_LINE_MAX = 256 << 20 /* octets: a configuration with inline text */ };

struct link {
    uv_pipe_t pipe;
    char *buffer;
    size_t used, room;
    void (*message)(void *context, json_t *message); /* borrowed for the call */
    void (*closed)(void *context);                   /* the supervisor is gone */
    void *context;
};

int link_init(struct link *link, uv_loop_t *loop, int fd);
/* Takes the reference over. What can't be sent (the peer is gone) is dropped: `closed` follows. */
void link_send(struct link *link, json_t *message);
void link_log(struct link *link, const char *level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void link_done(struct link *link);

#endif
