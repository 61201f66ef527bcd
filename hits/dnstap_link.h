/* hits/dnstap_link.h: the connection to a dnstap collector, as libfstrm reads and writes it, with an end to every wait.
 *
 * libfstrm's own sockets block for as long as a collector pleases, and so would the daemon's end. Here each call is given up after
 * DNSTAP_LINK_TIMEOUT_MS, and soon after dnstap_link_end. libfstrm's thread, but for the two functions. */
#ifndef SUNDEW_HITS_DNSTAP_LINK_H
#define SUNDEW_HITS_DNSTAP_LINK_H

#include <fstrm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

enum {
    DNSTAP_LINK_TIMEOUT_MS = 10000, /* that a connection, a write or an answer in the handshake may take */
    DNSTAP_LINK_END_MS = 300,       /* for what waits when the end comes */
};

/* Visible because it is embedded by value. Start from all zero, then the address. */
struct dnstap_link {
    struct sockaddr_storage address;
    socklen_t address_length;
    int fd;                      /* valid while connected */
    bool connected;              /* and nothing has failed since */
    _Atomic uint64_t give_up_ms; /* monotonic; 0: not ending */
};

/* A writer over `link`, which must outlive it; NULL: no memory. Connects to nobody yet. */
struct fstrm_writer *dnstap_link_writer(struct dnstap_link *link, const struct fstrm_writer_options *options);

/* What is under way ends soon. Any thread. */
void dnstap_link_end(struct dnstap_link *link);

#endif
