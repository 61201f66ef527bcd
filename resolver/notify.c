/* resolver/notify.c: tells systemd how the daemon is. */
#include "resolver/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void notify_state(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char text[96]; /* RELOADING needs the time at which it began (Type=notify-reload) */
    int length =
        snprintf(text, sizeof text, "%s\nMONOTONIC_USEC=%lld\n", state, (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, text, (size_t)length, MSG_NOSIGNAL, (struct sockaddr *)&address,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}
