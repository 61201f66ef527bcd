/* resolver/priority.h: how the kernel is to share processors among those who answer and those who prepare.
 *
 * Answering takes microseconds of a core and must begin at once; reading and compiling feeds takes seconds and can wait. Both
 * wishes are hints: what the kernel doesn't know or allow is left as it is, and nothing depends on it. Neither needs a privilege.
 */
#ifndef SUNDEW_RESOLVER_PRIORITY_H
#define SUNDEW_RESOLVER_PRIORITY_H

#include <sys/types.h>

/* The calling thread answers: it asks for short slices, so that it needn't wait for the end of another's (Linux 6.12 and later). A
 * real-time or idle policy that the operator chose stays. */
void priority_answer(void);

/* The process, and the threads that it has not begun yet, prepare in the background: long slices, which those with short ones may
 * interrupt, and a smaller share where a core is wanted by others of ours, too. It doesn't keep a real-time policy, which was meant
 * for answering; an idle one it does. */
void priority_prepare(pid_t process);

#endif
