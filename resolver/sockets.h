/* resolver/sockets.h: opens the sockets of every listening address, one UDP and one TCP socket a worker (SO_REUSEPORT).
 *
 * All are open before any is used: a daemon that can't have one of its addresses has none. Main thread. */
#ifndef SUNDEW_RESOLVER_SOCKETS_H
#define SUNDEW_RESOLVER_SOCKETS_H

#include "config/config.h"
#include "resolver/worker.h"

/* Every address of a configuration; sockets[worker * count + address]. Descriptors are -1 where the workers have them already. */
struct sockets {
    size_t count;
    unsigned workers;
    struct worker_socket sockets[];
};

enum { SOCKETS_TEXT_MAX = 80 };

/* Opens what `config` listens on and `held` (may be NULL) doesn't hold. 0 with *sockets, or -errno with the address that failed
 * in `which` (SOCKETS_TEXT_MAX). Another program's socket on the same address is -EADDRINUSE, though SO_REUSEPORT would let it
 * pass: two daemons must not share queries by accident. */
int sockets_open(struct sockets **sockets, const struct config *config, unsigned workers, const struct sockets *held, char *which);
void sockets_free(struct sockets *sockets); /* closes what is still open; NULL is nothing */

/* "dns://127.0.0.1:53". text: SOCKETS_TEXT_MAX. */
void sockets_text(const struct sockaddr_storage *address, char *text);

bool sockets_wildcard(const struct sockaddr_storage *address); /* 0.0.0.0 or :: */

#endif
