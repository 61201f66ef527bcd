/* resolver/log.c: what sundewd says to its operator. */
#include "resolver/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 2048 };

static atomic_bool to_syslog;

void log_configure(bool syslog) {
    if (syslog && !atomic_load(&to_syslog))
        openlog("sundewd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    atomic_store(&to_syslog, syslog);
}

/* Escapes as it copies; stops where the room ends. Returns what it wrote. */
static size_t escape(const char *text, char *out, size_t room) {
    size_t at = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && at + 4 < room; p++) {
        if (*p >= 0x20 && *p != 0x7F)
            out[at++] = (char)*p;
        else
            at += (size_t)snprintf(out + at, room - at, "\\x%02x", *p);
    }
    return at;
}

void log_say(enum log_level level, const char *format, ...) {
    static const char *const names[] = {"info", "warning", "error"};
    static const int priorities[] = {LOG_INFO, LOG_WARNING, LOG_ERR};
    char text[LINE_MAX_OCTETS], line[2 * LINE_MAX_OCTETS];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t head = (size_t)snprintf(line, sizeof line, "sundewd: %s: ", names[level]);
    size_t length = head + escape(text, line + head, sizeof line - head - 1);
    line[length] = '\0';
    if (atomic_load_explicit(&to_syslog, memory_order_relaxed))
        syslog(priorities[level], "%s", line + head);
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
