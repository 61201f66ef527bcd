/* resolver/main.c: sundewd: reads the command line and the configuration, then checks it or runs the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "resolver/feeder.h"
#include "resolver/supervisor.h"

enum { EXIT_USAGE = 2 };

static void on_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message) {
    fprintf(context, "%s:%u:%u: %s: %s\n", file, line, column, path, message);
}

/* The policy files are the feeder's to read, and the configuration with them, so that all faults are said at once: this process
 * becomes it, its faults on the same stream. */
static int check_all(const char *path) {
    const char *feeder = config_feeder_path();
    fflush(stdout);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    if (path != NULL)
        execl(feeder, "sundew-feeder", "--check", "-c", path, (char *)NULL);
    else
        execl(feeder, "sundew-feeder", "--check", (char *)NULL);
    fprintf(stderr, "sundewd: %s: %s\n", feeder, strerror(errno));
    return EXIT_FAILURE;
}

static int usage(const char *wrong) {
    fprintf(stderr, "sundewd: %s: no such option, or it lacks its value\nUsage: sundewd [-c FILE] [--check] [--version] [--help]\n",
            wrong);
    return EXIT_USAGE;
}

static int help(void) {
    puts("Usage: sundewd [-c FILE] [--check] [--version] [--help]\n\n"
         "  -c FILE    configuration; default /etc/sundew/sundew.json, or an embedded one where that is missing\n"
         "  --check    print every fault of configuration and policy files; exit 0 if there is none, else 1\n"
         "  --version, --help");
    return EXIT_SUCCESS;
}

/* A socket must never come to be stdout by being opened first. */
static void fill_standard_descriptors(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv) {
    const char *given = NULL;
    bool check = false;
    fill_standard_descriptors();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0)
            check = true;
        else if (strcmp(argv[i], "--version") == 0)
            return puts("sundewd " SUNDEW_VERSION) < 0;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help();
        else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc)
            given = argv[++i];
        else
            return usage(argv[i]);
    }
    const char *path = supervisor_config_path(given);
    if (check)
        return check_all(path);
    struct config *config = config_load(path, on_fault, stderr);
    return config != NULL ? supervisor_run(given, config) : EXIT_FAILURE;
}
