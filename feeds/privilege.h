/* feeds/privilege.h: what a process that reads hostile text doesn't need, it doesn't keep. */
#ifndef SUNDEW_FEEDS_PRIVILEGE_H
#define SUNDEW_FEEDS_PRIVILEGE_H

/* Keeps CAP_DAC_READ_SEARCH (policy files may be readable by root alone) of what there is, drops every other capability for good,
 * sets no_new_privs, no core dumps (headers files are secrets), and asks to be killed when the parent dies. 0 or -errno. */
int privilege_drop(void);

#endif
