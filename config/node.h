/* config/node.h: a small JSON document as a tree whose every value knows where it stands, and the list of its faults.
 *
 * For configuration files (read whole, walked several times, complained about by place). Feeds never come this way: they stream.
 * Private to config/. One thread. */
#ifndef SUNDEW_CONFIG_NODE_H
#define SUNDEW_CONFIG_NODE_H

#include "config/config.h"
#include "config/json_reader.h"

/* Visible because every file of config/ walks it. `kind` is OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE or NULL. */
struct node {
    enum json_event kind;
    uint32_t line, column;
    size_t begin, end; /* octets of the document */
    char *key;         /* NULL: an array's element, or the root */
    uint32_t key_line, key_column;
    char *text; /* STRING and NUMBER, NUL-terminated */
    size_t length;
    size_t index; /* among its parent's children */
    size_t count; /* of its children */
    struct node *parent, *child, *last, *next;
};

struct faults {
    struct fault *list;
    size_t count, room;
    bool no_memory;
};

/* Reads a whole document. A text that isn't JSON gives one fault and NULL. */
struct node *node_read(const char *text, size_t length, struct faults *faults);
void node_free(struct node *node);
const struct node *node_get(const struct node *object, const char *key); /* the first of that name, or NULL; object may be NULL */

/* Remembers a fault at the value's place (fault_key: at its key; fault_missing: at the object, for a key that isn't there). */
void fault_at(struct faults *faults, const struct node *node, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fault_key(struct faults *faults, const struct node *node, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fault_missing(struct faults *faults, const struct node *object, const char *key, const char *why);

/* Hands all of them over in file order (each may be NULL), forgets them, and returns how many there were. */
size_t faults_report(struct faults *faults, const char *file, config_fault *each, void *context);

#endif
