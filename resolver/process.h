/* resolver/process.h: what the kernel says of this process, under the names that Prometheus' own libraries use. */
#ifndef SUNDEW_RESOLVER_PROCESS_H
#define SUNDEW_RESOLVER_PROCESS_H

/* -1: not known. */
struct process_figures {
    double cpu_seconds;
    double resident_bytes, virtual_bytes;
    double open_fds, max_fds;
    double start_seconds; /* since 1970 */
};

/* Reads /proc/self; any thread. */
void process_figures(struct process_figures *figures);

#endif
