/* config/build.h: the steps from text to struct config. Private to config/. */
#ifndef SUNDEW_CONFIG_BUILD_H
#define SUNDEW_CONFIG_BUILD_H

#include "config/node.h"
#include "config/table.h"

struct build {
    struct config *config; /* being filled */
    const char *text;      /* the document */
    char *folder;          /* that relative paths count from, without the last '/'; "" is the root */
    struct faults *faults;
};

/* Fills config with the table's defaults, then with the file's values (root may be any kind: that's a fault). */
void build_config(struct build *build, const struct node *root);

/* What is the machine's to say: state_dir, control, log.hits, forward, workers. Only what the file doesn't give. -ENOMEM. */
int build_machine_defaults(struct build *build, const struct node *root);

/* Faults that take more than one key to see. */
void build_check(struct build *build, const struct node *root);

/* Sets forward to the servers of a resolv.conf(5), this daemon's own addresses left out. -ENOMEM. */
int config_system_forward(struct config *config, const char *path);

/* True if what is sent to `other` would reach a socket that listens on `listen`. */
bool config_same_place(const struct endpoint *listen, const struct endpoint *other);

/* One value of the table's scalar kinds (value.c reads it, set.c stores it). */
void build_value(struct build *build, const struct key *key, const struct node *node, char *base);

#endif
