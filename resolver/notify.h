/* resolver/notify.h: tells systemd how the daemon is (sd_notify(3)), where systemd wants to know. Main thread. */
#ifndef SUNDEW_RESOLVER_NOTIFY_H
#define SUNDEW_RESOLVER_NOTIFY_H

/* state: "READY=1", "RELOADING=1", "STOPPING=1". Nothing happens without NOTIFY_SOCKET. */
void notify_state(const char *state);

#endif
