/* hits/neighbours.h: the kernel's neighbour table (ARP, NDP), for the MACs of clients on the same link.
 *
 * Read once and then kept by the kernel's own notices (rtnetlink, RTNLGRP_NEIGH). Only unicast addresses with a valid Ethernet
 * address; an address that two links have with different MACs is nobody's. Without rtnetlink the table stays empty. The writer's
 * thread. */
#ifndef SUNDEW_HITS_NEIGHBOURS_H
#define SUNDEW_HITS_NEIGHBOURS_H

#include "policy/prefix.h"

struct neighbours;

/* NULL with *error = -errno. */
struct neighbours *neighbours_new(int *error);
void neighbours_free(struct neighbours *neighbours); /* NULL is nothing */

/* Takes what the kernel said since the last call; one system call when it said nothing. */
void neighbours_follow(struct neighbours *neighbours);

const uint8_t *neighbours_find(const struct neighbours *neighbours, const struct ip *address); /* 6 octets, or NULL */

/* The same for somebody who was answered just now: where the address is on one of this machine's links and not known, the kernel is
 * asking for it at this moment (a client that knew us needed not ask itself; a new IPv6 privacy address always comes so). Waits
 * NEIGHBOURS_AWAIT_MS at most, and NEIGHBOURS_AWAITS times a second at most, whoever asks. */
enum { NEIGHBOURS_AWAIT_MS = 10, NEIGHBOURS_AWAITS = 10, NEIGHBOURS_ROUTES = 200 /* times a second that a route is looked up */ };
const uint8_t *neighbours_await(struct neighbours *neighbours, const struct ip *address);
uint32_t neighbours_generation(const struct neighbours *neighbours); /* changes with any address */

/* Reads netlink messages as the kernel sends them. For tests; neighbours_follow calls it. */
void neighbours_message(struct neighbours *neighbours, const void *messages, size_t length);

#endif
