/* config/node.c: builds the tree from the reader's events, renders paths, and sorts faults into file order. */
#include "config/node.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_SHOWN = 256, MESSAGE_MAX = 512 };

struct fault {
    uint32_t line, column;
    size_t order; /* of its finding: keeps the sort stable */
    char *path;
    char *message;
};

struct whole_text {
    const char *at;
    size_t left;
};

static long read_whole(void *context, char *buffer, size_t size) {
    struct whole_text *text = context;
    size_t n = text->left < size ? text->left : size;
    memcpy(buffer, text->at, n);
    text->at += n;
    text->left -= n;
    return (long)n;
}

void node_free(struct node *node) {
    while (node) {
        struct node *next = node->next;
        node_free(node->child);
        free(node->key);
        free(node->text);
        free(node);
        node = next;
    }
}

const struct node *node_get(const struct node *object, const char *key) {
    for (const struct node *n = object && object->kind == JSON_OBJECT ? object->child : NULL; n; n = n->next) {
        if (strcmp(n->key, key) == 0)
            return n;
    }
    return NULL;
}

static char *copy_text(const struct json_reader *reader, size_t *length) {
    const char *text = json_text(reader, length);
    char *copy = malloc(*length + 1);
    if (copy)
        memcpy(copy, text, *length + 1);
    return copy;
}

/* A node for the event just read, hung under parent (NULL: the root). NULL: no memory. */
static struct node *add_node(const struct json_reader *reader, enum json_event event, struct node *parent) {
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->kind = event;
    node->line = json_line(reader);
    node->column = json_column(reader);
    node->begin = (size_t)json_offset(reader);
    if (event == JSON_STRING || event == JSON_NUMBER)
        node->text = copy_text(reader, &node->length);
    node->parent = parent;
    if (parent) {
        node->index = parent->count++;
        if (parent->last)
            parent->last->next = node;
        else
            parent->child = node;
        parent->last = node;
    }
    return node;
}

/* Takes the message as it is to be shown, but for control characters. */
static void fault_put(struct faults *faults, uint32_t line, uint32_t column, const char *path, char *message);

/* Writes "zones[2].refresh"; the root is ".". A key with odd octets is quoted, and shown as far as it is printable. */
static size_t render_path(const struct node *node, char *out, size_t size) {
    if (!node->parent)
        return 0;
    size_t at = render_path(node->parent, out, size);
    if (at >= size - 1)
        return at;
    int n;
    bool plain = node->key && *node->key;
    for (const char *c = node->key; plain && *c; c++)
        plain = isalnum((unsigned char)*c) || *c == '_' || *c == '-';
    if (!node->key)
        n = snprintf(out + at, size - at, "[%zu]", node->index);
    else
        n = snprintf(out + at, size - at, plain ? "%s%s" : "%s[\"%s\"]", at && plain ? "." : "", node->key);
    at += n > 0 ? (size_t)n : 0;
    return at < size ? at : size - 1;
}

/* Text that quotes the file must not move a terminal's cursor: control characters, U+0080 to U+009F among them, become '?'; for
 * `word`, which is to be one word, blanks too. */
static void disarm(char *text, bool word) {
    for (char *c = text; *c; c++) {
        bool upper = (unsigned char)*c == 0xC2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xA0;
        if ((unsigned char)*c < ' ' || *c == 0x7F || (word && *c == ' ') || upper)
            *c = '?';
        if (upper)
            *++c = '?';
    }
}

static void path_of(const struct node *node, char path[PATH_MAX_SHOWN]) {
    if (render_path(node, path, PATH_MAX_SHOWN) == 0)
        snprintf(path, PATH_MAX_SHOWN, ".");
    disarm(path, true);
}

struct tree {
    struct node *root, *open; /* the innermost open container */
    char *key;                /* whose value comes next */
    uint32_t key_line, key_column;
};

/* False: no memory. */
static bool take_event(struct tree *tree, const struct json_reader *reader, enum json_event event) {
    if (event == JSON_OBJECT_END || event == JSON_ARRAY_END) {
        if (tree->open) {
            tree->open->end = (size_t)json_offset(reader) + 1;
            tree->open = tree->open->parent;
        }
        return true;
    }
    if (event == JSON_KEY) {
        size_t length;
        free(tree->key);
        tree->key = copy_text(reader, &length);
        tree->key_line = json_line(reader);
        tree->key_column = json_column(reader);
        return tree->key != NULL;
    }
    struct node *node = add_node(reader, event, tree->open);
    if (!node)
        return false;
    if (!tree->open) { /* the document itself, and there is one only */
        node_free(tree->root);
        tree->root = node;
    }
    node->key = tree->key;
    node->key_line = tree->key_line;
    node->key_column = tree->key_column;
    tree->key = NULL;
    if (event == JSON_OBJECT || event == JSON_ARRAY)
        tree->open = node;
    return node->text || (event != JSON_STRING && event != JSON_NUMBER);
}

static void not_json(const struct tree *tree, const struct json_reader *reader, struct faults *faults) {
    char path[PATH_MAX_SHOWN], message[MESSAGE_MAX];
    struct node here = {.parent = tree->open, .key = tree->key};
    path_of(!tree->key && tree->open ? tree->open : &here, path);
    snprintf(message, sizeof message, "not JSON: %s", json_error(reader));
    fault_put(faults, json_line(reader), json_column(reader), path, message);
}

struct node *node_read(const char *text, size_t length, struct faults *faults) {
    struct whole_text source = {text, length};
    struct tree tree = {0};
    struct json_reader *reader = json_reader_new(read_whole, &source, NULL);
    enum json_event event = JSON_ERROR;
    bool memory = reader != NULL;
    while (memory && (event = json_next(reader)) > JSON_END)
        memory = take_event(&tree, reader, event);
    if (!memory)
        faults->no_memory = true;
    else if (event == JSON_ERROR)
        not_json(&tree, reader, faults);
    free(tree.key);
    json_reader_free(reader);
    if (memory && event == JSON_END)
        return tree.root;
    node_free(tree.root);
    return NULL;
}

static void fault_put(struct faults *faults, uint32_t line, uint32_t column, const char *path, char *message) {
    disarm(message, false);
    if (faults->count == faults->room) {
        size_t room = faults->room ? faults->room * 2 : 16;
        struct fault *list = realloc(faults->list, room * sizeof *list);
        if (!list) {
            faults->no_memory = true;
            return;
        }
        faults->list = list;
        faults->room = room;
    }
    struct fault fault = {line, column, faults->count, strdup(path), strdup(message)};
    if (fault.path == NULL || fault.message == NULL) {
        free(fault.path);
        free(fault.message);
        faults->no_memory = true;
        return;
    }
    faults->list[faults->count++] = fault;
}

static void fault_write(struct faults *faults, const struct node *node, uint32_t line, uint32_t column, const char *format,
                        va_list arguments) {
    char path[PATH_MAX_SHOWN], message[MESSAGE_MAX];
    path_of(node, path);
    vsnprintf(message, sizeof message, format, arguments);
    fault_put(faults, line, column, path, message);
}

void fault_at(struct faults *faults, const struct node *node, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fault_write(faults, node, node->line, node->column, format, arguments);
    va_end(arguments);
}

void fault_key(struct faults *faults, const struct node *node, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fault_write(faults, node, node->key_line, node->key_column, format, arguments);
    va_end(arguments);
}

void fault_missing(struct faults *faults, const struct node *object, const char *key, const char *why) {
    char path[PATH_MAX_SHOWN], whole[2 * PATH_MAX_SHOWN], message[MESSAGE_MAX];
    path_of(object, path);
    if (strcmp(path, ".") == 0)
        snprintf(whole, sizeof whole, "%s", key);
    else
        snprintf(whole, sizeof whole, "%s.%s", path, key);
    snprintf(message, sizeof message, "%s", why);
    fault_put(faults, object->line, object->column, whole, message);
}

static int compare_faults(const void *a, const void *b) {
    const struct fault *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

size_t faults_report(struct faults *faults, const char *file, config_fault *each, void *context) {
    if (faults->no_memory) {
        char message[] = "no memory";
        fault_put(faults, 1, 1, ".", message);
        faults->no_memory = false;
    }
    size_t count = faults->count;
    if (count)
        qsort(faults->list, count, sizeof *faults->list, compare_faults);
    for (size_t i = 0; i < count; i++) {
        struct fault *fault = &faults->list[i];
        if (each)
            each(context, file, fault->line, fault->column, fault->path ? fault->path : ".",
                 fault->message ? fault->message : "no memory");
        free(fault->path);
        free(fault->message);
    }
    free(faults->list);
    *faults = (struct faults){0};
    return count;
}
