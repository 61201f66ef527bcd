/* hits/ledger_pages.c: listings of machines that somebody is reading page by page. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "hits/ledger_clients.h"
#include "hits/ledger_pages.h"
#include "hits/ledger_query.h"

struct listing {
    uint64_t id; /* 0: a free place */
    uint64_t used_ms;
    struct ledger_clients *clients;
};

struct ledger_pages {
    char *path;
    uv_mutex_t gather; /* whoever makes a listing */
    uv_mutex_t lock;   /* the rest; never waits for `gather` */
    uint64_t last_id;
    struct listing list[LEDGER_PAGES_KEPT];
};

struct ledger_pages *ledger_pages_new(const char *path) {
    struct ledger_pages *pages = calloc(1, sizeof *pages);
    if (pages == NULL)
        return NULL;
    pages->path = strdup(path);
    if (pages->path == NULL) {
        free(pages);
        return NULL;
    }
    uv_mutex_init(&pages->gather);
    uv_mutex_init(&pages->lock);
    return pages;
}

static void drop(struct listing *listing) {
    ledger_clients_free(listing->clients);
    *listing = (struct listing){0};
}

void ledger_pages_free(struct ledger_pages *pages) {
    if (pages == NULL)
        return;
    for (size_t i = 0; i < LEDGER_PAGES_KEPT; i++)
        drop(&pages->list[i]);
    uv_mutex_destroy(&pages->gather);
    uv_mutex_destroy(&pages->lock);
    free(pages->path);
    free(pages);
}

static size_t limit_of(const json_t *parameters) {
    json_int_t limit = json_integer_value(json_object_get(parameters, "limit"));
    return limit > 0 && limit < LEDGER_QUERY_CLIENTS ? (size_t)limit : LEDGER_QUERY_CLIENTS;
}

/* Takes a listing out, so that nobody else has it meanwhile. NULL: it isn't there any more. */
static struct ledger_clients *take(struct ledger_pages *pages, uint64_t id) {
    struct ledger_clients *clients = NULL;
    uv_mutex_lock(&pages->lock);
    for (size_t i = 0; i < LEDGER_PAGES_KEPT; i++) {
        if (id == 0 || pages->list[i].id != id)
            continue;
        clients = pages->list[i].clients;
        pages->list[i] = (struct listing){0};
    }
    uv_mutex_unlock(&pages->lock);
    return clients;
}

static void put_back(struct ledger_pages *pages, uint64_t id, struct ledger_clients *clients) {
    uv_mutex_lock(&pages->lock);
    struct listing *place = &pages->list[0];
    for (size_t i = 1; i < LEDGER_PAGES_KEPT; i++)
        if (pages->list[i].used_ms < place->used_ms)
            place = &pages->list[i];
    drop(place);
    *place = (struct listing){id, uv_hrtime() / 1000000, clients};
    uv_mutex_unlock(&pages->lock);
}

static uint64_t new_id(struct ledger_pages *pages) {
    uv_mutex_lock(&pages->lock);
    uint64_t id = ++pages->last_id;
    uv_mutex_unlock(&pages->lock);
    return id;
}

/* One page from place `from` on; the listing goes back for the next, if there is one. */
static json_t *page(struct ledger_pages *pages, uint64_t id, struct ledger_clients *clients, size_t from, size_t limit,
                    const char **why) {
    size_t total = ledger_clients_count(clients);
    json_t *rows = ledger_clients_rows(clients, from, limit, why), *next = json_null();
    if (rows != NULL && total > from && total - from > limit) {
        char text[48];
        snprintf(text, sizeof text, "%" PRIu64 "-%zu", id, from + limit);
        next = json_string(text);
        put_back(pages, id, clients);
    } else {
        ledger_clients_free(clients);
    }
    return rows == NULL ? NULL : json_pack("{s:o, s:o, s:I}", "rows", rows, "next", next, "total", (json_int_t)total);
}

json_t *ledger_pages_clients(struct ledger_pages *pages, const json_t *parameters, const char **why) {
    const char *after = json_string_value(json_object_get(parameters, "after"));
    uint64_t id = 0;
    size_t from = 0;
    if (after != NULL && after[0] != '\0') {
        struct ledger_clients *clients = sscanf(after, "%" SCNu64 "-%zu", &id, &from) == 2 ? take(pages, id) : NULL;
        if (clients != NULL)
            return page(pages, id, clients, from, limit_of(parameters), why);
        *why = "after: this listing is no longer kept; begin again";
        return NULL;
    }
    uv_mutex_lock(&pages->gather);
    json_t *rows = after == NULL ? ledger_query_clients(pages->path, parameters, why) : NULL;
    struct ledger_clients *clients = after == NULL ? NULL : ledger_clients_list(pages->path, parameters, why);
    uv_mutex_unlock(&pages->gather);
    if (clients != NULL)
        rows = page(pages, new_id(pages), clients, 0, limit_of(parameters), why);
    return rows;
}

void ledger_pages_tend(struct ledger_pages *pages, uint64_t now_ms) {
    uv_mutex_lock(&pages->lock);
    for (size_t i = 0; i < LEDGER_PAGES_KEPT; i++)
        if (pages->list[i].id != 0 && now_ms > pages->list[i].used_ms + LEDGER_PAGES_SECONDS * 1000)
            drop(&pages->list[i]);
    uv_mutex_unlock(&pages->lock);
}
