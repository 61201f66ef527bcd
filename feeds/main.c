/* feeds/main.c: sundew-feeder. One reason to exist: its command line.
 *
 *     sundew-feeder                                         as sundewd starts it: JSON lines over descriptor 3 (doc/design.md)
 *     sundew-feeder --check [-c FILE]                       all faults of all local policy files, one a line; exit 0 none, 1 some
 *     sundew-feeder --compile [-c FILE] -o SNAPSHOT         what the configuration's files and saved feeds give, offline
 *     sundew-feeder --zone FILE|URL [--format F] -o SNAPSHOT   one source alone, fetched if need be
 *     sundew-feeder --convert --from FORMAT --to json|rpz|domains FILE|-
 *     sundew-feeder --popular SNAPSHOT [NAME|FILE]...       which rules of a compiled zone would answer for popular names
 *     sundew-feeder --shared-hosts                          the hosts that `urls: hosts` never takes, one a line
 *     sundew-feeder --popular-names                         the names that `sundew preview` takes for popular, one a line
 *
 * Hostile text is read in every one of them, so every one of them gives up its privileges first. */
#include <stdio.h>
#include <string.h>

#include "feeds/convert.h"
#include "feeds/feeder.h"
#include "feeds/offline.h"
#include "feeds/popular.h"
#include "feeds/privilege.h"
#include "feeds/shared_hosts.h"

static int usage(void) {
    fputs("usage: sundew-feeder --check [-c FILE]\n"
          "       sundew-feeder --compile [-c FILE] -o SNAPSHOT\n"
          "       sundew-feeder --zone FILE|URL [--format FORMAT] -o SNAPSHOT\n"
          "       sundew-feeder --popular SNAPSHOT [NAME|FILE]...\n"
          "       sundew-feeder --convert --from FORMAT --to json|rpz|domains FILE|-\n"
          "Without arguments it is sundewd's child and speaks over descriptor 3.\n",
          stderr);
    return 2;
}

struct arguments {
    bool check, compile, convert;
    const char *config, *output, *zone, *format, *from, *to, *file;
};

/* Takes "-x value" and "--long value" and "--long=value"; -1 for what isn't known. */
static int parse(struct arguments *arguments, int argc, char **argv) {
    struct {
        const char *name;
        const char **value;
    } options[] = {{"-c", &arguments->config},   {"-o", &arguments->output},       {"--zone", &arguments->zone},
                   {"--from", &arguments->from}, {"--format", &arguments->format}, {"--to", &arguments->to}};
    for (int i = 1; i < argc; i++) {
        bool known = true;
        if (strcmp(argv[i], "--check") == 0)
            arguments->check = true;
        else if (strcmp(argv[i], "--compile") == 0)
            arguments->compile = true;
        else if (strcmp(argv[i], "--convert") == 0)
            arguments->convert = true;
        else
            known = false;
        for (size_t k = 0; k < sizeof options / sizeof *options && !known; k++) {
            size_t length = strlen(options[k].name);
            if (strcmp(argv[i], options[k].name) == 0 && i + 1 < argc)
                *options[k].value = argv[++i];
            else if (strncmp(argv[i], options[k].name, length) == 0 && argv[i][length] == '=')
                *options[k].value = argv[i] + length + 1;
            else
                continue;
            known = true;
        }
        if (!known && arguments->file == NULL && (argv[i][0] != '-' || argv[i][1] == '\0'))
            arguments->file = argv[i];
        else if (!known)
            return -1;
    }
    return 0;
}

static int print_list(const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        puts(list[i]);
    return 0;
}

int main(int argc, char **argv) {
    struct arguments arguments = {0};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("sundew-feeder " SUNDEW_VERSION);
        return 0;
    }
    size_t count;
    const char *const *list = argc != 2                                 ? NULL
                              : strcmp(argv[1], "--shared-hosts") == 0  ? shared_hosts_list(&count)
                              : strcmp(argv[1], "--popular-names") == 0 ? popular_names(&count)
                                                                        : NULL;
    if (list != NULL)
        return print_list(list, count);
    bool popular = argc > 2 && strcmp(argv[1], "--popular") == 0;
    if (!popular && parse(&arguments, argc, argv) != 0)
        return usage();
    int error = privilege_drop();
    if (error != 0) {
        fprintf(stderr, "sundew-feeder: cannot give up privileges: %s\n", strerror(-error));
        return 1;
    }
    if (argc == 1)
        return feeder_run();
    if (popular)
        return offline_popular(argv[2], argv + 3, (size_t)argc - 3);
    if (arguments.check)
        return offline_check(arguments.config);
    if (arguments.compile && arguments.output != NULL)
        return offline_compile(arguments.config, arguments.output);
    if (arguments.zone != NULL && arguments.output != NULL)
        return offline_zone(arguments.zone, arguments.format, arguments.output);
    if (arguments.convert && arguments.from != NULL && arguments.to != NULL && arguments.file != NULL)
        return convert(arguments.from, arguments.to, arguments.file);
    return usage();
}
