/* config/table.h: the one table of all keys: path, type, bounds, default, help.
 *
 * The parser walks a file along it, --check and "did you mean" take their words from it, and the man page sundew.json(5) is
 * compared with it by test/lint. A new key is a new row (and its place in struct config). Private to config/. */
#ifndef SUNDEW_CONFIG_TABLE_H
#define SUNDEW_CONFIG_TABLE_H

#include "config/config.h"

enum key_type {
    TYPE_OBJECT,    /* a section; its keys are rows of their own. `flag`: set unless null */
    TYPE_OBJECTS,   /* an array of sections, rows "name[]..." */
    TYPE_BOOL,      /* bool */
    TYPE_TRISTATE,  /* int: 0, 1 (CONFIG_UNSET: not given) */
    TYPE_INTEGER,   /* stored as `store` says, like the next three */
    TYPE_DURATION,  /* seconds, or 90s 10m 24h 7d 2w */
    TYPE_SIZE,      /* octets, or 64K 128M 1G */
    TYPE_TTL,       /* seconds, or "max" */
    TYPE_WORD,      /* int: the index among `words` */
    TYPE_WORD_TEXT, /* char *: one of `words` */
    TYPE_TEXT,      /* char *: any text without control characters, not empty */
    TYPE_COMMENT,   /* text that nobody reads */
    TYPE_PATH,      /* char *: made absolute */
    TYPE_SECRET,    /* char *: a path that must be readable now */
    TYPE_SOURCE,    /* char *: a path, a glob or a URL */
    TYPE_URL,       /* char * */
    TYPE_BODY,      /* char *: an object, kept as JSON text */
    TYPE_RULES,     /* char *: an array, kept as the JSON text of a policy file */
    TYPE_IPV4,      /* struct ip; `flag`: set when given */
    TYPE_IPV6,
    TYPE_NAME,      /* struct name */
    TYPE_SOCKET,    /* struct sockaddr_storage; `count`: its socklen_t */
    TYPE_SYSLOG,    /* struct syslog_target: false, true, or where */
    TYPE_TCP,       /* struct endpoint *: one address and port */
    TYPE_ENDPOINTS, /* array and `count`, like all that follow; `flag`: set when given */
    TYPE_PREFIXES,
    TYPE_TEXTS,
    TYPE_PROTECTED, /* char **: names, or paths where there is a '/' */
};

enum key_store { STORE_INT, STORE_UNSIGNED, STORE_U32, STORE_I64, STORE_SIZE };

/* Offsets count from struct config, or from the element's struct for rows "zones[]...", "forward[]...", "clients.leases[]...".
 * `count` and `flag` are 0 where there is none (nothing that is counted or flagged stands at offset 0). */
struct key {
    const char *path;
    enum key_type type;
    enum key_store store;
    bool nullable; /* null switches it off */
    int64_t min, max;
    const char *const *words; /* NULL-terminated */
    const char *fallback;     /* JSON text; NULL: none, or one that depends on the machine (config/defaults.c) */
    size_t offset, count, flag;
    size_t size; /* TYPE_OBJECTS: of one element */
    const char *help;
};

extern const struct key config_table[];
extern const size_t config_table_size;

/* The row of section (e.g. "zones[].", "" for the top) and key; NULL if there is none. */
const struct key *table_find(const char *section, const char *key);

/* The name of a row within its section ("refresh" of "zones[].refresh" in section "zones[]."); NULL if it isn't of it. */
const char *table_name_in(const struct key *key, const char *section);

#endif
