/* config/config.h: what an operator configured, parsed, checked and immutable.
 *
 * All three programs read the file through here. The table in config/table.c is the one place that lists keys, types, units,
 * bounds, defaults and help; parser, --check, "did you mean" and man page follow it. A config is built whole or not at all;
 * afterwards nobody writes to it. Reference-counted atomically, any thread. All strings are owned by the config.
 * Durations are seconds unless a name says otherwise. Paths are absolute (relative ones were resolved against the file). */
#ifndef SUNDEW_CONFIG_CONFIG_H
#define SUNDEW_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "policy/prefix.h"
#include "policy/rule.h"

enum scheme { SCHEME_DNS, SCHEME_TLS, SCHEME_HTTPS };

struct endpoint {
    enum scheme scheme;
    struct sockaddr_storage address;
    socklen_t address_length;
    char *host; /* "#name" of tls://; NULL otherwise */
    char *text; /* as written */
};

struct forward {
    struct name zone;
    struct endpoint *to;
    size_t to_count;
};

/* Tri-state numbers below: CONFIG_UNSET means "the policy file's head, or the default, decides". */
#define CONFIG_UNSET (-1)

enum urls { URLS_NEVER, URLS_HOSTS };

struct zone_config {
    char *name;
    char *source;       /* absolute path, glob or URL */
    char *builtin;      /* the embedded zone's JSON text; NULL for all others. Then source is "builtin:NAME" */
    char *format;       /* NULL: by the file's ending */
    int action;         /* enum action or CONFIG_UNSET */
    int64_t ttl;        /* or CONFIG_UNSET */
    int match;          /* enum match or CONFIG_UNSET */
    char *target;       /* head key of action "cname"; NULL unset */
    int mode;           /* enum mode or CONFIG_UNSET: enforce */
    int confidence;     /* 0..100 or CONFIG_UNSET */
    int min_confidence; /* 0..100 or CONFIG_UNSET: 0 */
    int64_t max_age;    /* seconds or CONFIG_UNSET */
    int window;         /* 0, 1 or CONFIG_UNSET (the format's default) */
    int64_t refresh;    /* seconds; default 3600; files are watched besides */
    char **families;
    size_t family_count;
    char **exclude_families;
    size_t exclude_family_count;
    char **threat_types;
    size_t threat_type_count;
    bool threat_types_set;
    bool exclude_compromised;
    bool to_ids; /* default true: only those */
    enum urls urls;
    int64_t max_rules; /* or CONFIG_UNSET: none */
    int max_shrink;    /* per cent, default 50 */
    int max_grow;      /* per cent, or CONFIG_UNSET: none */
    int64_t max_size;  /* octets unpacked, default 512M */
    bool refang;
    char *headers_file, *ca_file, *username, *password_file, *proxy;
    char *post; /* JSON text of the body; NULL: GET */
    struct prefix *clients;
    size_t client_count;
    bool clients_set;
    uint32_t line; /* in the configuration file */
};

struct lease_config {
    char *format;
    char *path;
};

/* Where hits go as syslog messages. */
enum syslog_transport { SYSLOG_OFF, SYSLOG_UNIX, SYSLOG_UDP, SYSLOG_TCP };

struct syslog_target {
    enum syslog_transport transport;
    bool own; /* written as `true`: the daemon's own messages go to the local syslog, too */
    struct sockaddr_storage address;
    socklen_t address_length;
    char *text; /* as written, "unix:/dev/log" for true; NULL: off */
};

struct config {
    char *path; /* of the file; NULL for the embedded default */
    char *text; /* its octets, as read: what the feeder is given */
    size_t text_length;

    struct endpoint *listen;
    size_t listen_count;
    struct prefix *allow;
    size_t allow_count;
    unsigned workers; /* never 0 here: one per core was resolved */
    char *state_dir;
    char *control; /* NULL: off */
    struct forward *forward;
    size_t forward_count;
    bool forward_from_system; /* the file has none: "." goes to the servers of /etc/resolv.conf (count 0 if there are none) */

    struct {
        size_t size;
        uint32_t min_ttl, max_ttl, max_negative_ttl, serve_stale;
        bool prefetch;
    } cache;

    struct {
        enum action action;
        uint32_t ttl;
        struct ip loopback;
        bool has_ipv4, has_ipv6;
        struct ip sinkhole_ipv4, sinkhole_ipv6;
        bool break_dnssec, extended_errors;
        char **never_block;
        size_t never_block_count; /* names as written, or absolute paths: begins with '/' */
    } policy;

    char **popular;
    size_t popular_count; /* like never_block */

    struct zone_config *zones;
    size_t zone_count;

    struct {
        char *hits; /* NULL: off */
        uint32_t repeat;
        char *queries; /* NULL: off */
        struct syslog_target syslog;
    } log;

    struct {
        struct lease_config *leases;
        size_t lease_count;
        struct prefix *trust;
        size_t trust_count;
        int64_t keep;     /* seconds, default 90d */
        int64_t max_size; /* octets, default 1G */
    } clients;

    struct {
        bool enabled;
        int64_t keep;
        int64_t max_size;
    } history; /* "history": null switches it off */

    struct {
        bool enabled;
        struct sockaddr_storage address;
        socklen_t address_length;
        char *token_file;
    } http;

    struct {
        char *socket;
        struct endpoint *tcp;
        bool queries;
        bool responses;
    } dnstap; /* socket and tcp NULL: off */
};

/* One fault a call, in file order. path is like "zones[2].refresh"; line and column from 1. */
typedef void config_fault(void *context, const char *file, uint32_t line, uint32_t column, const char *path, const char *message);

/* Reads and checks the file at path (NULL: the embedded default). Every fault is reported. Returns the config, or NULL if there
 * was any. config_parse does the same for text that is already in memory (the feeder's way); path names it in faults and anchors
 * relative paths, and may be NULL for the embedded default. */
struct config *config_load(const char *path, config_fault *fault, void *context);
struct config *config_parse(const char *path, const char *text, size_t length, config_fault *fault, void *context);
/* For --check alone: as config_load, but gives what can be read whatever the faults are (*count of them were reported), so that the
 * policy files are looked at, too, and all is said at once. Zones without a name or source are left out. NULL: not JSON at all. */
struct config *config_inspect(const char *path, config_fault *fault, void *context, size_t *count);
const char *config_embedded(size_t *length); /* the embedded default's text */

/* Where state and the control socket are when nobody says: $XDG_STATE_HOME/sundew (root without it: /var/lib/sundew, others
 * ~/.local/state/sundew); root /run/sundew/control.sock, others $XDG_RUNTIME_DIR/sundew/control.sock, else in the state folder.
 * The caller frees; NULL: no memory. */
char *config_default_state(void);
char *config_default_control(void);

/* Path of the executable sundew-feeder: beside this program, else where it is installed. Static storage: main threads only. */
const char *config_feeder_path(void);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* A digest of all that decides what a compiled policy means (policy, zones, forwarders' and feeds' names). A snapshot that carries
 * another one was compiled for another configuration. */
void config_policy_digest(const struct config *config, uint8_t digest[16]);

/* Values as operators write them; also used for command lines. 0 or -EINVAL, *out untouched then. */
int config_duration(const char *text, int64_t *seconds);
int config_size(const char *text, int64_t *octets);

/* The nearest of the candidates (NULL-terminated) by edit distance, or NULL if none is near. */
const char *config_did_you_mean(const char *word, const char *const *candidates);

#endif
