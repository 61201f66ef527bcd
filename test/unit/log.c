/* test/unit/log.c: the daemon's own messages: one line each, nothing raw in it, and a local syslog that is full or gone holds
 * nobody up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "resolver/log.h"

struct place {
    char folder[64];
    struct syslog_target target;
    int saved, end; /* stderr, and where it can be read */
};

static int set_up(void **state) {
    struct place *place = calloc(1, sizeof *place);
    struct sockaddr_un *address = (struct sockaddr_un *)&place->target.address;
    int ends[2];
    strcpy(place->folder, "/tmp/sundew-own-XXXXXX");
    if (mkdtemp(place->folder) == NULL || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    place->target.transport = SYSLOG_UNIX;
    place->target.own = true;
    place->target.address_length = sizeof *address;
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s/log", place->folder);
    place->saved = dup(STDERR_FILENO);
    place->end = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    *state = place;
    return 0;
}

static int tear_down(void **state) {
    struct place *place = *state;
    const struct syslog_target off = {SYSLOG_OFF, .text = NULL};
    log_configure(&off);
    dup2(place->saved, STDERR_FILENO);
    close(place->saved);
    close(place->end);
    unlink(((struct sockaddr_un *)&place->target.address)->sun_path);
    rmdir(place->folder);
    free(place);
    return 0;
}

static int collector(const struct place *place) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(((const struct sockaddr_un *)&place->target.address)->sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&place->target.address, place->target.address_length), 0);
    return fd;
}

static const char *next(int fd) {
    static char text[16384];
    ssize_t length = read(fd, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void test_escapes(void **state) {
    struct place *place = *state;
    log_say(LOG_LEVEL_WARNING, "zone %s", "a\nsundewd: info: b\x1b[2J\xc2\x9b\xe2\x80\xae\xff \xc3\xa4");
    assert_string_equal(next(place->end),
                        "sundewd: warning: zone a\\010sundewd: info: b\\027[2J\\194\\155\\226\\128\\174\\255 \xc3\xa4\n");
    char *large = malloc(10000);
    memset(large, 1, 9999);
    large[9999] = '\0';
    log_say(LOG_LEVEL_ERROR, "%s", large);
    const char *line = next(place->end);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    free(large);
}

static void test_local_syslog(void **state) {
    struct place *place = *state;
    char wanted[64];
    log_configure(&place->target);
    log_say(LOG_LEVEL_INFO, "nobody is there");
    int fd = collector(place);
    log_say(LOG_LEVEL_ERROR, "one");
    const char *text = next(fd);
    snprintf(wanted, sizeof wanted, " sundewd[%d]: one", (int)getpid());
    assert_memory_equal(text, "<27>", 4);
    assert_string_equal(text + 4 + strlen("Nov 22 17:40:12"), wanted);
    close(fd);
    fd = collector(place); /* started again */
    log_say(LOG_LEVEL_INFO, "two");
    assert_memory_equal(next(fd), "<30>", 4);
    for (unsigned i = 0; i < 2000; i++) /* nobody reads: it must not wait */
        log_say(LOG_LEVEL_INFO, "%2000u", i);
    assert_memory_equal(next(fd), "<30>", 4);
    place->target.own = false; /* a collector of hits alone */
    log_configure(&place->target);
    while (next(fd)[0] != '\0')
        ;
    log_say(LOG_LEVEL_INFO, "three");
    assert_string_equal(next(fd), "");
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_escapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_local_syslog, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
