/* hits/followers.c: those who read the hit log while it is written: a list under a lock. */
#include "hits/followers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct follower {
    struct follower *next;
    int id;
    void (*on_line)(void *context, const char *line, size_t length);
    void *context;
};

struct followers {
    uv_mutex_t lock; /* of all below, and held while lines are passed on */
    struct follower *first;
    int next_id;
};

struct followers *followers_new(void) {
    struct followers *followers = calloc(1, sizeof *followers);
    if (followers != NULL && uv_mutex_init(&followers->lock) != 0) {
        free(followers);
        return NULL;
    }
    return followers;
}

void followers_free(struct followers *followers) {
    if (followers == NULL)
        return;
    for (struct follower *next, *follower = followers->first; follower != NULL; follower = next) {
        next = follower->next;
        free(follower);
    }
    uv_mutex_destroy(&followers->lock);
    free(followers);
}

int followers_add(struct followers *followers, void (*on_line)(void *context, const char *line, size_t length), void *context) {
    struct follower *follower = malloc(sizeof *follower);
    if (follower == NULL)
        return -ENOMEM;
    uv_mutex_lock(&followers->lock);
    int id = followers->next_id++;
    *follower = (struct follower){followers->first, id, on_line, context};
    followers->first = follower;
    uv_mutex_unlock(&followers->lock);
    return id;
}

void followers_remove(struct followers *followers, int id) {
    uv_mutex_lock(&followers->lock);
    struct follower **link = &followers->first;
    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    struct follower *gone = *link;
    if (gone != NULL)
        *link = gone->next;
    uv_mutex_unlock(&followers->lock);
    free(gone);
}

void followers_pass(struct followers *followers, const char *lines, size_t length) {
    uv_mutex_lock(&followers->lock);
    for (size_t at = 0; followers->first != NULL && at < length;) {
        const char *line = lines + at;
        size_t line_length = (size_t)((const char *)memchr(line, '\n', length - at) + 1 - line);
        for (struct follower *follower = followers->first; follower != NULL; follower = follower->next)
            follower->on_line(follower->context, line, line_length);
        at += line_length;
    }
    uv_mutex_unlock(&followers->lock);
}
