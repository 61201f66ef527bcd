/* feeds/privilege.c: see privilege.h. One reason to exist: the system calls for giving up power. */
#include "feeds/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int privilege_drop(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (capability != CAP_DAC_READ_SEARCH)
            prctl(PR_CAPBSET_DROP, capability); /* fails without CAP_SETPCAP; then there is nothing to fear from it */
    if (syscall(SYS_capget, &header, data) != 0)
        return -errno;
    __u32 kept = 1u << CAP_DAC_READ_SEARCH;
    data[0].effective &= kept;
    data[0].permitted &= kept;
    data[1].effective = data[1].permitted = data[0].inheritable = data[1].inheritable = 0;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, data) != 0)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? -errno : 0;
}
