/* resolver/log.c: what sundewd says to its operator. */
#include "resolver/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "hits/text.h"

enum { LINE_MAX_OCTETS = 2048 };

/* The local syslog, under `lock`. Not syslog(3): that waits for as long as the socket is full. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sockaddr_storage address;
static socklen_t address_length; /* 0: off */
static int syslog_fd = -1;

static void hang_up(void) {
    if (syslog_fd >= 0)
        close(syslog_fd);
    syslog_fd = -1;
}

void log_configure(const struct syslog_target *target) {
    pthread_mutex_lock(&lock);
    hang_up();
    address = target->address;
    address_length = target->own ? target->address_length : 0;
    pthread_mutex_unlock(&lock);
}

/* In the form that local collectors read from programs (RFC 3164 section 4.1, without HOSTNAME). What finds no room, or nobody, is
 * on stderr all the same. A collector that was started again is called once more. */
static void tell_syslog(int priority, const char *text) {
    char line[2 * LINE_MAX_OCTETS + 64], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &tm); /* the C locale: nobody sets another */
    int length = snprintf(line, sizeof line, "<%d>%s sundewd[%d]: %s", LOG_DAEMON | priority, stamp, (int)getpid(), text);
    pthread_mutex_lock(&lock);
    for (int tries = 0; address_length > 0 && tries < 2; tries++) {
        if (syslog_fd < 0) {
            syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            if (syslog_fd < 0 || connect(syslog_fd, (const struct sockaddr *)&address, address_length) < 0) {
                hang_up();
                break;
            }
        }
        if (send(syslog_fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN)
            break;
        hang_up();
    }
    pthread_mutex_unlock(&lock);
}

void log_say(enum log_level level, const char *format, ...) {
    static const char *const names[] = {"info", "warning", "error"};
    static const int priorities[] = {LOG_INFO, LOG_WARNING, LOG_ERR};
    char text[LINE_MAX_OCTETS], line[2 * LINE_MAX_OCTETS];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct phrase *printable = phrase_new_printable(text, strlen(text));
    if (printable == NULL)
        return; /* no memory */
    size_t head = (size_t)snprintf(line, sizeof line, "sundewd: %s: ", names[level]);
    size_t length = head + printable->length < sizeof line - 1 ? printable->length : sizeof line - 1 - head;
    memcpy(line + head, printable->text, length);
    phrase_unref(printable);
    length += head;
    line[length] = '\0';
    tell_syslog(priorities[level], line + head);
    line[length++] = '\n';
    /* Nobody to tell when stderr itself is gone. */
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored;
}

enum log_level log_level_from_name(const char *name) {
    if (name != NULL && strcmp(name, "info") == 0)
        return LOG_LEVEL_INFO;
    return name != NULL && strcmp(name, "warning") == 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR;
}
