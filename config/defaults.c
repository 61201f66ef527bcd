/* config/defaults.c: what the configuration takes from the machine where the file is silent: folders by user, servers from
 * /etc/resolv.conf, a worker a core, the feeder's program; and the embedded default. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/build.h"
#include "config/value.h"

enum { RESOLV_CONF_SERVERS = 8 };

static const char embedded[] =
    "{\n"
    "  \"listen\": [\"dns://127.0.0.1:5300\"],\n"
    "  \"zones\": [\n"
    "    {\"name\": \"sundew-test\", \"description\": \"built in, to see it work\",\n"
    "     \"rules\": [{\"domain\": \"cnc.sundew.test\", \"family\": \"sundew-test\", \"confidence\": 100}]}\n"
    "  ]\n"
    "}\n";

const char *config_embedded(size_t *length) {
    *length = sizeof embedded - 1;
    return embedded;
}

/* An absolute path in an environment variable, NULL otherwise (XDG Base Directory Specification: relative ones are ignored). */
static const char *folder_from(const char *variable) {
    const char *value = getenv(variable);
    return value && value[0] == '/' ? value : NULL;
}

char *config_default_state(void) {
    const char *state = folder_from("XDG_STATE_HOME"), *home = folder_from("HOME");
    char *path;
    if (state)
        return asprintf(&path, "%s/sundew", state) < 0 ? NULL : path;
    if (geteuid() == 0 || !home)
        return strdup("/var/lib/sundew");
    return asprintf(&path, "%s/.local/state/sundew", home) < 0 ? NULL : path;
}

/* As config_default_control, for the state folder that a configuration names. */
static char *control_beside(const char *state) {
    const char *runtime = folder_from("XDG_RUNTIME_DIR");
    char *path;
    if (geteuid() == 0)
        return strdup("/run/sundew/control.sock");
    if (runtime)
        return asprintf(&path, "%s/sundew/control.sock", runtime) < 0 ? NULL : path;
    return asprintf(&path, "%s/control.sock", state) < 0 ? NULL : path;
}

char *config_default_control(void) {
    char *state = config_default_state();
    char *control = state ? control_beside(state) : NULL;
    free(state);
    return control;
}

static unsigned cores(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > 256 ? 256 : (unsigned)count;
}

static bool is_own(const struct config *config, const struct endpoint *server) {
    for (size_t i = 0; i < config->listen_count; i++) {
        if (config_same_place(&config->listen[i], server))
            return true;
    }
    return false;
}

/* One line of resolv.conf(5): a server that isn't this daemon itself is added to forward->to. */
static void take_server(const struct config *config, char *line, struct forward *forward) {
    char *save, text[128];
    const char *why, *word = strtok_r(line, " \t\n", &save), *address = word ? strtok_r(NULL, " \t\n", &save) : NULL;
    struct endpoint server;
    if (!address || strcmp(word, "nameserver") != 0)
        return;
    snprintf(text, sizeof text, strchr(address, ':') ? "dns://[%s]" : "dns://%s", address);
    if (value_endpoint(text, &server, &why) < 0)
        return;
    if (is_own(config, &server) || forward->to_count == RESOLV_CONF_SERVERS) {
        free(server.text);
        return;
    }
    forward->to[forward->to_count++] = server;
}

int config_system_forward(struct config *config, const char *path) {
    struct forward *forward = calloc(1, sizeof *forward);
    if (forward)
        forward->to = calloc(RESOLV_CONF_SERVERS, sizeof *forward->to);
    if (!forward || !forward->to) {
        free(forward);
        return -ENOMEM;
    }
    name_from_text(&forward->zone, ".", 1, NULL);
    FILE *file = fopen(path, "re");
    char line[512];
    while (file && fgets(line, sizeof line, file))
        take_server(config, line, forward);
    if (file)
        fclose(file);
    config->forward_from_system = true;
    if (forward->to_count == 0) {
        free(forward->to);
        free(forward);
        return 0;
    }
    config->forward = forward;
    config->forward_count = 1;
    return 0;
}

int build_machine_defaults(struct build *build, const struct node *root) {
    struct config *config = build->config;
    const struct node *log = node_get(root, "log");
    if (config->workers == 0)
        config->workers = cores();
    if (!config->state_dir)
        config->state_dir = config_default_state();
    if (!config->state_dir)
        return -ENOMEM;
    if (!config->control && !node_get(root, "control") && !(config->control = control_beside(config->state_dir)))
        return -ENOMEM;
    if (!config->log.hits && !node_get(log, "hits") && asprintf(&config->log.hits, "%s/hits.jsonl", config->state_dir) < 0) {
        config->log.hits = NULL;
        return -ENOMEM;
    }
    if (!config->forward && !node_get(root, "forward"))
        return config_system_forward(config, "/etc/resolv.conf");
    return 0;
}

const char *config_feeder_path(void) {
    static char path[PATH_MAX + sizeof "/sundew-feeder"];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length > 0) {
        path[length] = '\0';
        size_t folder = strlen(dirname(path));
        snprintf(path + folder, sizeof path - folder, "/sundew-feeder");
        if (access(path, X_OK) == 0)
            return path;
    }
    return SUNDEW_LIBEXECDIR "/sundew-feeder";
}
