/* config/config.c: reads a configuration whole or not at all, and counts its references. */
#include "config/config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/build.h"

enum { CONFIG_TEXT_MAX = 64 << 20 }; /* octets of a file; a configuration is written by hand */

/* The public struct comes first; the count is nobody's business. */
struct counted {
    struct config config;
    atomic_uint references;
};

static void free_endpoints(struct endpoint *endpoints, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(endpoints[i].host);
        free(endpoints[i].text);
    }
    free(endpoints);
}

static void free_texts(char **texts, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static void free_zone(struct zone_config *zone) {
    char *const texts[] = {zone->name,    zone->source,   zone->builtin,       zone->format, zone->target, zone->headers_file,
                           zone->ca_file, zone->username, zone->password_file, zone->proxy,  zone->post};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    free_texts(zone->families, zone->family_count);
    free_texts(zone->exclude_families, zone->exclude_family_count);
    free_texts(zone->threat_types, zone->threat_type_count);
    free(zone->clients);
}

static void free_config(struct config *config) {
    char *const texts[] = {config->path,         config->text,        config->state_dir,       config->control,
                           config->log.hits,     config->log.queries, config->log.syslog.text, config->http.token_file,
                           config->dnstap.socket};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    free_endpoints(config->listen, config->listen_count);
    free_endpoints(config->dnstap.tcp, config->dnstap.tcp ? 1 : 0);
    for (size_t i = 0; i < config->forward_count; i++)
        free_endpoints(config->forward[i].to, config->forward[i].to_count);
    free(config->forward);
    for (size_t i = 0; i < config->zone_count; i++)
        free_zone(&config->zones[i]);
    free(config->zones);
    for (size_t i = 0; i < config->clients.lease_count; i++) {
        free(config->clients.leases[i].format);
        free(config->clients.leases[i].path);
    }
    free(config->clients.leases);
    free(config->clients.trust);
    free(config->allow);
    free_texts(config->policy.never_block, config->policy.never_block_count);
    free_texts(config->popular, config->popular_count);
    free(config);
}

struct config *config_ref(struct config *config) {
    atomic_fetch_add_explicit(&((struct counted *)(void *)config)->references, 1, memory_order_relaxed);
    return config;
}

void config_unref(struct config *config) {
    if (config && atomic_fetch_sub_explicit(&((struct counted *)(void *)config)->references, 1, memory_order_acq_rel) == 1)
        free_config(config);
}

/* The file's own name made absolute, as it stands (no link is followed: paths count from where the operator put the file). */
static char *absolute_path(const char *path) {
    char *folder = path[0] == '/' ? NULL : getcwd(NULL, 0), *whole;
    if (path[0] == '/')
        return strdup(path);
    if (!folder || asprintf(&whole, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path) < 0)
        whole = NULL;
    free(folder);
    return whole;
}

static char *folder_of(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? strndup(path, (size_t)(slash - path)) : getcwd(NULL, 0);
}

static int copy_origin(struct config *config, const char *path, const char *text, size_t length) {
    config->path = path ? absolute_path(path) : NULL;
    config->text = malloc(length + 1);
    if ((path && !config->path) || !config->text)
        return -ENOMEM;
    memcpy(config->text, text, length);
    config->text[length] = '\0';
    config->text_length = length;
    return 0;
}

/* A zone whose rules stand in the configuration is its own source. */
static int name_builtins(struct config *config) {
    for (size_t i = 0; i < config->zone_count; i++) {
        struct zone_config *zone = &config->zones[i];
        if (zone->builtin && !zone->source && zone->name && asprintf(&zone->source, "builtin:%s", zone->name) < 0) {
            zone->source = NULL;
            return -ENOMEM;
        }
    }
    return 0;
}

/* Parses and checks; *count faults are reported. The config is as complete as it can be, NULL if there is nothing to build it from.
 */
static struct config *parse(const char *path, const char *text, size_t length, config_fault *fault, void *context, size_t *count) {
    struct counted *counted = calloc(1, sizeof *counted);
    struct faults faults = {0};
    struct node *root = NULL;
    char *folder = NULL;
    const char *shown = path ? path : "(embedded)";
    *count = 1;
    if (!counted) {
        if (fault)
            fault(context, shown, 1, 1, ".", "no memory");
        return NULL;
    }
    struct config *config = &counted->config;
    atomic_init(&counted->references, 1);
    if (copy_origin(config, path, text, length) < 0 || !(folder = folder_of(config->path)))
        faults.no_memory = true;
    else
        root = node_read(text, length, &faults);
    if (root) {
        struct build build = {config, text, folder, &faults};
        build_config(&build, root);
        if (build_machine_defaults(&build, root) < 0 || name_builtins(config) < 0)
            faults.no_memory = true;
        build_check(&build, root);
    }
    bool whole = root && !faults.no_memory;
    node_free(root);
    free(folder);
    *count = faults_report(&faults, shown, fault, context);
    if (whole)
        return config;
    config_unref(config);
    return NULL;
}

struct config *config_parse(const char *path, const char *text, size_t length, config_fault *fault, void *context) {
    size_t count;
    struct config *config = parse(path, text, length, fault, context, &count);
    if (config && count > 0) {
        config_unref(config);
        return NULL;
    }
    return config;
}

/* The whole file, or NULL with errno. */
static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t room = 0, used = 0;
    int error = file ? 0 : errno;
    while (!error) {
        if (used == room) {
            char *grown = realloc(text, room = room ? room * 2 : 16384);
            if (!grown) {
                error = ENOMEM;
                break;
            }
            text = grown;
        }
        size_t n = fread(text + used, 1, room - used, file);
        used += n;
        if (n == 0) {
            error = ferror(file) ? errno : 0;
            break;
        }
        if (used > CONFIG_TEXT_MAX)
            error = EFBIG;
    }
    if (file)
        fclose(file);
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    *length = used;
    return text;
}

/* Reads the file and parses it; as parse. */
static struct config *load(const char *path, config_fault *fault, void *context, size_t *count) {
    size_t length;
    if (!path) {
        const char *text = config_embedded(&length);
        return parse(NULL, text, length, fault, context, count);
    }
    char *text = read_file(path, &length);
    if (!text) {
        char message[128];
        snprintf(message, sizeof message, "cannot be read: %s", strerror(errno));
        if (fault)
            fault(context, path, 1, 1, ".", message);
        *count = 1;
        return NULL;
    }
    struct config *config = parse(path, text, length, fault, context, count);
    free(text);
    return config;
}

struct config *config_load(const char *path, config_fault *fault, void *context) {
    size_t count;
    struct config *config = load(path, fault, context, &count);
    if (config && count > 0) {
        config_unref(config);
        return NULL;
    }
    return config;
}

struct config *config_inspect(const char *path, config_fault *fault, void *context, size_t *count) {
    struct config *config = load(path, fault, context, count);
    size_t kept = 0;
    for (size_t i = 0; config && i < config->zone_count; i++) {
        if (config->zones[i].name && config->zones[i].source)
            config->zones[kept++] = config->zones[i];
        else
            free_zone(&config->zones[i]);
    }
    if (config)
        config->zone_count = kept;
    return config;
}
