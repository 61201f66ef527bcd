/* feeds/redact.c: see redact.h. One reason to exist: secrets in URLs must not be shown. */
#include "feeds/redact.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool redact_is_url(const char *source) {
    return strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0;
}

/* The authority without user and password: from *start, `length` octets. */
static const char *host_and_port(const char *url, size_t *length) {
    const char *start = strstr(url, "://") + 3;
    size_t authority = strcspn(start, "/?#");
    for (size_t i = authority; i > 0; i--)
        if (start[i - 1] == '@') {
            *length = authority - i;
            return start + i;
        }
    *length = authority;
    return start;
}

void redact_url(const char *source, char *out, size_t size) {
    if (!redact_is_url(source)) {
        snprintf(out, size, "%s", source);
    } else {
        size_t length;
        const char *host = host_and_port(source, &length), *path = host + length;
        snprintf(out, size, "%.*s://%.*s%.*s", (int)(strstr(source, "://") - source), source, (int)length, host,
                 (int)strcspn(path, "?#"), path);
    }
    for (char *at = out; size > 0 && *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = '?';
}

int redact_host(const char *url, char *host, size_t size) {
    if (!redact_is_url(url))
        return -EINVAL;
    size_t length;
    const char *start = host_and_port(url, &length);
    if (length > 0 && start[0] == '[') {
        const char *end = memchr(start, ']', length);
        if (end == NULL)
            return -EINVAL;
        start++;
        length = (size_t)(end - start);
    } else {
        const char *colon = memchr(start, ':', length);
        length = colon != NULL ? (size_t)(colon - start) : length;
    }
    if (length == 0 || length >= size)
        return -EINVAL;
    memcpy(host, start, length);
    host[length] = '\0';
    return 0;
}
