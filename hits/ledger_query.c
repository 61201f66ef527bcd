/* hits/ledger_query.c: what the ledger says: infected machines, and the history of hits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "config/config.h"
#include "hits/ledger_find.h"
#include "hits/ledger_machines.h"
#include "hits/ledger_query.h"
#include "hits/ledger_schema.h"
#include "hits/line.h"

/* Ids of the entries of windows that are still open: behind all others, a chunk's behind the one's before. They last as long as the
 * window. */
#define OPEN_ID ((int64_t)1 << 52)
enum { OPEN_CHUNK_SHIFT = 16 };

/* One member out of a part of the log's JSON, which stays the same from entry to entry for the most part: so the last is kept. */
struct member {
    struct text from; /* what it was last read from */
    char *value;      /* NULL: it isn't there */
    uint32_t serial;  /* grows when the value is read anew */
};

struct query {
    sqlite3 *db;
    struct batch_reader *reader;
    struct finder *finder;
    struct member zone_of, family_of;
    int64_t since_us;
    const char *client, *family, *zone; /* NULL: any */
    bool by_address;                    /* the client is called by it */
    struct ip address;
    int64_t limit, after;
    bool paged;
};

int ledger_query_since(const json_t *since, int64_t now_us, int64_t *since_us) {
    struct tm tm = {0};
    int64_t seconds;
    if (since == NULL || json_is_null(since)) {
        *since_us = 0;
        return 0;
    }
    if (json_is_number(since)) {
        *since_us = now_us - (int64_t)(json_number_value(since) * 1e6);
        return 0;
    }
    const char *text = json_string_value(since);
    if (text == NULL)
        return -EINVAL;
    if (config_duration(text, &seconds) == 0) {
        *since_us = seconds > now_us / 1000000 ? 0 : now_us - seconds * 1000000;
        return 0;
    }
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end != NULL && (*end == 'T' || *end == ' '))
        end = strptime(end + 1, "%H:%M:%S", &tm);
    if (end != NULL && *end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    if (end != NULL && *end == 'Z')
        end++;
    if (end == NULL || *end != '\0')
        return -EINVAL;
    *since_us = (int64_t)timegm(&tm) * 1000000;
    return 0;
}

static const char *text_parameter(const json_t *parameters, const char *name) {
    return json_string_value(json_object_get(parameters, name));
}

/* Reads the parameters. False with *why. */
static bool read_parameters(struct query *query, const json_t *parameters, const char **why) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    query->limit = LEDGER_QUERY_HITS;
    if (ledger_query_since(json_object_get(parameters, "since"), (int64_t)now.tv_sec * 1000000, &query->since_us) != 0) {
        *why = "since: neither a duration (\"24h\") nor a time (\"2026-11-22T17:40:00Z\")";
        return false;
    }
    query->client = text_parameter(parameters, "client");
    query->family = text_parameter(parameters, "family");
    query->zone = text_parameter(parameters, "zone");
    query->by_address = query->client != NULL && ip_from_text(&query->address, query->client, strlen(query->client)) == 0;
    const json_t *limit = json_object_get(parameters, "limit"), *after = json_object_get(parameters, "after");
    if (json_is_integer(limit) && json_integer_value(limit) > 0 && json_integer_value(limit) < LEDGER_QUERY_HITS)
        query->limit = json_integer_value(limit);
    query->paged = json_is_integer(after);
    query->after = json_integer_value(after);
    return true;
}

static void end(struct query *query) {
    finder_free(query->finder);
    batch_reader_free(query->reader);
    text_free(&query->zone_of.from);
    text_free(&query->family_of.from);
    free(query->zone_of.value);
    free(query->family_of.value);
    sqlite3_close(query->db);
}

/* query->db stays NULL for a ledger that has not begun yet: nothing was hit. False with *why: a failure; nothing is to be ended.
 * What is read from here on is the ledger at one moment. */
static bool begin(struct query *query, const char *path, const json_t *parameters, const char **why) {
    int64_t migrated;
    *query = (struct query){0};
    if (!read_parameters(query, parameters, why))
        return false;
    int rc = ledger_schema_open(&query->db, path, false, &migrated);
    if (rc == SQLITE_OK) {
        query->reader = batch_reader_new();
        query->finder = finder_new(query->db);
        rc = query->reader == NULL || query->finder == NULL ? SQLITE_NOMEM : sqlite3_exec(query->db, "BEGIN", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK || rc == SQLITE_EMPTY)
        return true;
    *why = rc == SQLITE_BUSY ? "the ledger is being brought up to date; try again" : sqlite3_errstr(rc);
    end(query);
    return false;
}

static const char *column(sqlite3_stmt *row, int at) {
    return (const char *)sqlite3_column_text(row, at);
}

/* --- entries --- */

/* The member `name` of the JSON object that `part` makes between `open` and `close`; NULL: it has none. */
static const char *member_of(struct member *member, const char *name, const char *open, struct piece part, const char *close) {
    struct text *from = &member->from;
    if (member->serial > 0 && part.length > 0 && from->length == part.length && memcmp(from->data, part.text, part.length) == 0)
        return member->value;
    from->length = 0;
    text_string(from, open);
    text_put(from, part.text, part.length);
    text_string(from, close);
    json_t *members = from->failed ? NULL : json_loadb(from->data, from->length, 0, NULL);
    const char *value = json_string_value(json_object_get(members, name));
    free(member->value);
    member->value = value == NULL ? NULL : strdup(value);
    json_decref(members);
    from->length = 0;
    text_put(from, part.text, part.length);
    member->serial++;
    return member->value;
}

static const char *zone_of(struct query *query, const struct entry *entry) {
    return member_of(&query->zone_of, "zone", "{", entry->front, entry->rule.length > 0 ? "null}" : "}");
}

static const char *families_of(struct query *query, const struct entry *entry) {
    return member_of(&query->family_of, "family", "{\"ttl\":0", entry->details, "}");
}

/* Is `family` one of the rule's, which stand as "A, B"? */
static bool has_family(const char *families, const char *family) {
    if (family == NULL)
        return true;
    size_t length = strlen(family);
    for (const char *at = families; at != NULL && *at != '\0';) {
        size_t piece = strcspn(at, ",");
        if (piece == length && strncasecmp(at, family, length) == 0)
            return true;
        at += piece + (at[piece] == ',');
        at += strspn(at, " ");
    }
    return false;
}

/* Is it of the time, zone and family that were asked for? */
static bool chosen(struct query *query, const struct entry *entry) {
    if ((int64_t)entry->ts_us < query->since_us)
        return false;
    if (query->zone != NULL) {
        const char *zone = zone_of(query, entry);
        if (zone == NULL || strcmp(zone, query->zone) != 0)
            return false;
    }
    return query->family == NULL || has_family(families_of(query, entry), query->family);
}

/* Is the client called so by its address or MAC? */
static bool called(const struct query *query, const struct entry *entry) {
    char mac[LINE_MAC_LENGTH + 1];
    if (query->by_address && ip_equal(&query->address, &entry->client))
        return true;
    if (!entry->has_mac)
        return false;
    line_mac(mac, entry->mac);
    mac[LINE_MAC_LENGTH] = '\0';
    return strcasecmp(mac, query->client) == 0;
}

/* Is it the client's who was asked for, by address, MAC or the host name of that time? */
static bool of_client(const struct query *query, const struct entry *entry) {
    return query->client == NULL || called(query, entry) ||
           (entry->hostname.text != NULL && strlen(query->client) == entry->hostname.length &&
            strncasecmp(query->client, entry->hostname.text, entry->hostname.length) == 0);
}

/* What each() gives: every entry that is chosen, whatever its client, with its id. False ends it. */
typedef bool visit(void *context, struct query *query, int64_t id, const struct entry *entry);

/* Visits the entries of one batch, whose first id is `id`, that come behind query->after. SQLITE_OK, SQLITE_DONE: the visitor ended
 * it; or a failure. */
static int each_of(struct query *query, int64_t id, const void *octets, int length, visit *visitor, void *context) {
    struct entry entry;
    int got = batch_open(query->reader, octets, (size_t)length), rc = SQLITE_OK;
    got = got == 0 ? 1 : got;
    for (; rc == SQLITE_OK && got == 1 && (got = batch_next(query->reader, &entry)) == 1; id++) {
        struct entry whole = entry;
        if (entry.gone || (query->paged && id <= query->after))
            continue;
        if (entry.repeats != 0) {
            rc = finder_find(query->finder, entry.repeats, &whole);
            whole.ts_us = entry.ts_us;
            whole.count = entry.count;
            if (rc == SQLITE_DONE) { /* pruned meanwhile */
                rc = SQLITE_OK;
                continue;
            }
            rc = rc == SQLITE_ROW ? SQLITE_OK : rc;
        }
        if (rc == SQLITE_OK && chosen(query, &whole) && !visitor(context, query, id, &whole))
            rc = SQLITE_DONE;
    }
    return got < 0 ? (got == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT) : rc;
}

/* Called behind each batch. False ends it. */
typedef bool batch_ends(void *context, const struct query *query);

/* Visits what one statement gives: rows of first id and octets. SQLITE_DONE: all that was wanted; or a failure. */
static int each_row(struct query *query, const char *sql, visit *visitor, batch_ends *between, void *context) {
    sqlite3_stmt *rows = NULL;
    int rc = sqlite3_prepare_v2(query->db, sql, -1, &rows, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(rows, 1, query->since_us);
        sqlite3_bind_int64(rows, 2, query->paged ? query->after + 1 : 0);
    }
    while (rc == SQLITE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        rc = each_of(query, sqlite3_column_int64(rows, 0), sqlite3_column_blob(rows, 1), sqlite3_column_bytes(rows, 1), visitor,
                     context);
        if (between != NULL && !between(context, query) && rc == SQLITE_OK)
            rc = SQLITE_DONE;
    }
    sqlite3_finalize(rows);
    return rc;
}

/* Where reading begins: no earlier batch has anything of ?1 or later, nor an id of ?2 or later. */
#define BATCHES                                                                                                                    \
    "SELECT id, data FROM batch WHERE +last_us>=?1 AND id>=max(coalesce((SELECT min(id) FROM batch WHERE last_us>=?1), ?2),"       \
    " coalesce((SELECT max(id) FROM batch WHERE id<=?2), 0)) ORDER BY id "
#define OPEN_WINDOWS "SELECT (1<<52)+(chunk<<16), data FROM progress ORDER BY chunk "
_Static_assert(OPEN_ID == (int64_t)1 << 52 && OPEN_CHUNK_SHIFT == 16, "the statement says so");

static json_t *time_json(int64_t ts_us) {
    char text[TIME_LENGTH];
    text_time(text, (uint64_t)ts_us);
    return json_stringn(text, sizeof text);
}

static json_t *text_or_null(const char *text) {
    return text == NULL ? json_null() : json_string(text);
}

/* --- machines --- */

/* One machine, gathered over its entries. */
struct machine {
    json_t *row;
    bool named; /* its host name is the one asked for */
    int64_t last_us, hits;
    uint32_t zone_serial, family_serial; /* of the members last added */
};

struct clients {
    sqlite3_stmt *find; /* a machine's row by its key */
    json_t *index;      /* by key in hexadecimal: where in the list */
    struct machine *list;
    size_t count, room;
    bool failed; /* no memory */
};

/* Adds each of "A, B" that the array hasn't yet. */
static void add_each(json_t *array, const char *list) {
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ","), i;
        const json_t *known;
        bool found = false;
        json_array_foreach(array, i, known) found =
            found || (json_string_length(known) == length && strncasecmp(json_string_value(known), at, length) == 0);
        if (!found && length > 0)
            json_array_append_new(array, json_stringn(at, length));
        at += length + (at[length] == ',');
        at += strspn(at, " ");
    }
}

static void begin_machine(struct clients *clients, const struct query *query, const struct entry *entry, struct machine *machine) {
    uint8_t key[MACHINE_KEY_MAX];
    char mac[LINE_MAC_LENGTH + 1] = "", address[IP_TEXT_MAX];
    int length = machine_key(key, &entry->client, entry->has_mac ? entry->mac : NULL);
    ip_to_text(&entry->client, address);
    line_mac(mac, entry->mac);
    mac[LINE_MAC_LENGTH] = '\0';
    sqlite3_bind_blob(clients->find, 1, key, length, SQLITE_STATIC);
    bool known = sqlite3_step(clients->find) == SQLITE_ROW;
    const char *hostname = known ? column(clients->find, 1) : NULL;
    int64_t first_us = known ? sqlite3_column_int64(clients->find, 2) : (int64_t)entry->ts_us;
    *machine = (struct machine){.named = query->client != NULL && hostname != NULL && strcasecmp(hostname, query->client) == 0};
    machine->row = json_pack("{s:s, s:o, s:o, s:o, s:n, s:i, s:[], s:[]}", "address", known ? column(clients->find, 0) : address,
                             "mac", text_or_null(entry->has_mac ? mac : NULL), "hostname", text_or_null(hostname), "first_seen",
                             time_json(first_us), "last_seen", "hits", 0, "families", "zones");
    sqlite3_reset(clients->find);
}

/* The machine of an entry; NULL: no memory. */
static struct machine *machine_of(struct clients *clients, const struct query *query, const struct entry *entry) {
    static const char hex[] = "0123456789abcdef";
    uint8_t key[MACHINE_KEY_MAX];
    char text[2 * MACHINE_KEY_MAX + 1];
    int length = machine_key(key, &entry->client, entry->has_mac ? entry->mac : NULL);
    for (int i = 0; i < length; i++) {
        text[2 * i] = hex[key[i] >> 4];
        text[2 * i + 1] = hex[key[i] & 15];
    }
    text[2 * length] = '\0';
    const json_t *known = json_object_get(clients->index, text);
    if (known != NULL)
        return &clients->list[json_integer_value(known)];
    if (clients->count == clients->room) {
        size_t room = clients->room == 0 ? 64 : clients->room * 2;
        struct machine *list = realloc(clients->list, room * sizeof *list);
        if (list == NULL)
            return NULL;
        clients->list = list;
        clients->room = room;
    }
    json_object_set_new(clients->index, text, json_integer((json_int_t)clients->count));
    struct machine *machine = &clients->list[clients->count++];
    begin_machine(clients, query, entry, machine);
    return machine;
}

/* visit */
static bool add_to_machine(void *context, struct query *query, int64_t id, const struct entry *entry) {
    struct clients *clients = context;
    struct machine *machine = machine_of(clients, query, entry);
    clients->failed = machine == NULL;
    if (clients->failed || (query->client != NULL && !machine->named && !called(query, entry)))
        return !clients->failed;
    machine->hits += (int64_t)entry->count;
    if ((int64_t)entry->ts_us > machine->last_us)
        machine->last_us = (int64_t)entry->ts_us;
    const char *zone = zone_of(query, entry), *families = families_of(query, entry);
    if (machine->family_serial != query->family_of.serial)
        add_each(json_object_get(machine->row, "families"), families);
    if (machine->zone_serial != query->zone_of.serial)
        add_each(json_object_get(machine->row, "zones"), zone);
    machine->family_serial = query->family_of.serial;
    machine->zone_serial = query->zone_of.serial;
    return true;
}

static int later_first(const void *a, const void *b) {
    const char *left = json_string_value(json_object_get(*(json_t *const *)a, "last_seen"));
    const char *right = json_string_value(json_object_get(*(json_t *const *)b, "last_seen"));
    return strcmp(right == NULL ? "" : right, left == NULL ? "" : left);
}

static json_t *sorted(json_t *clients) {
    size_t count = json_array_size(clients), i;
    json_t **rows = calloc(count + 1, sizeof(json_t *)), *result = json_array(), *row;
    if (rows == NULL || result == NULL) {
        free(rows);
        json_decref(result);
        return clients;
    }
    json_array_foreach(clients, i, row) rows[i] = json_incref(row);
    qsort(rows, count, sizeof(json_t *), later_first);
    for (i = 0; i < count; i++)
        json_array_append_new(result, rows[i]);
    free(rows);
    json_decref(clients);
    return result;
}

/* Makes the array of all that had a hit, and frees the rest. */
static json_t *end_clients(struct clients *clients) {
    json_t *array = json_array();
    for (size_t i = 0; i < clients->count; i++) {
        struct machine *machine = &clients->list[i];
        json_object_set_new(machine->row, "last_seen", time_json(machine->last_us));
        json_object_set_new(machine->row, "hits", json_integer(machine->hits));
        if (machine->hits > 0)
            json_array_append(array, machine->row);
        json_decref(machine->row);
    }
    sqlite3_finalize(clients->find);
    json_decref(clients->index);
    free(clients->list);
    return sorted(array);
}

json_t *ledger_query_clients(const char *path, const json_t *parameters, const char **why) {
    static const char sql[] = "SELECT address, hostname, first_us FROM machine WHERE key=?1";
    struct query query;
    if (!begin(&query, path, parameters, why))
        return NULL;
    if (query.db == NULL)
        return json_array();
    query.paged = false;
    struct clients clients = {.index = json_object()};
    int rc = sqlite3_prepare_v2(query.db, sql, -1, &clients.find, NULL);
    if (rc == SQLITE_OK)
        rc = each_row(&query, BATCHES, add_to_machine, NULL, &clients);
    if (rc == SQLITE_DONE && !clients.failed)
        rc = each_row(&query, OPEN_WINDOWS, add_to_machine, NULL, &clients);
    json_t *array = end_clients(&clients);
    rc = clients.failed ? SQLITE_NOMEM : rc;
    end(&query);
    if (rc == SQLITE_DONE)
        return array;
    json_decref(array);
    *why = sqlite3_errstr(rc);
    return NULL;
}

/* --- hits --- */

/* Hits as they come. Without paging the latest are wanted: batches come from the last on, and each is turned round when it ends. */
struct hits {
    json_t *list;  /* in order; without paging the latest first */
    json_t *batch; /* of the batch under way, in order */
};

static void set_text(json_t *hit, const char *name, const char *text) {
    if (text != NULL)
        json_object_set_new(hit, name, json_string(text));
}

static void set_piece(json_t *hit, const char *name, struct piece piece) {
    if (piece.text != NULL)
        json_object_set_new(hit, name, json_stringn(piece.text, piece.length));
}

static void set_name(json_t *hit, const char *name, struct piece wire) {
    char text[NAME_TEXT_MAX];
    if (wire.text != NULL)
        json_object_set_new(hit, name, json_stringn(text, name_to_text((const uint8_t *)wire.text, text)));
}

/* The members that the rule gave, as they stand in the log. */
static json_t *rule_json(const struct entry *entry) {
    struct text text = {0};
    text_string(&text, "{");
    text_put(&text, entry->front.text, entry->front.length);
    text_put(&text, entry->rule.text, entry->rule.length);
    text_put(&text, entry->back.text, entry->back.length);
    if (entry->answer.text != NULL) {
        text_string(&text, ",\"answer\":");
        text_put(&text, entry->answer.text, entry->answer.length);
    }
    text_put(&text, entry->details.text, entry->details.length);
    text_string(&text, "}");
    json_t *rule = text.failed ? NULL : json_loadb(text.data, text.length, 0, NULL);
    text_free(&text);
    return rule;
}

/* An entry as the log has it; the members come in the log's order. */
static json_t *hit_json(const struct entry *entry, const struct query *query, int64_t id) {
    char code[LINE_CODE_MAX], address[IP_TEXT_MAX], mac[LINE_MAC_LENGTH + 1];
    json_t *hit = json_object();
    if (query->paged)
        json_object_set_new(hit, "id", json_integer(id));
    json_object_set_new(hit, "ts", time_json((int64_t)entry->ts_us));
    json_object_set_new(hit, "client", json_stringn(address, ip_to_text(&entry->client, address)));
    set_text(hit, "proto", line_protocol(entry->protocol));
    line_mac(mac, entry->mac);
    if (entry->has_mac)
        json_object_set_new(hit, "mac", json_stringn(mac, LINE_MAC_LENGTH));
    set_piece(hit, "hostname", entry->hostname);
    set_name(hit, "qname", entry->qname);
    set_text(hit, "qtype", line_type(entry->qtype, code));
    json_t *rule = rule_json(entry);
    if (rule != NULL)
        json_object_update(hit, rule);
    json_decref(rule);
    json_object_set_new(hit, "count", json_integer((json_int_t)entry->count));
    set_name(hit, "via", entry->via);
    return hit;
}

/* visit */
static bool add_hit(void *context, struct query *query, int64_t id, const struct entry *entry) {
    struct hits *hits = context;
    if (!of_client(query, entry))
        return true;
    json_t *hit = hit_json(entry, query, id);
    if (!query->paged)
        return json_array_append_new(hits->batch, hit) == 0;
    return json_array_append_new(hits->list, hit) == 0 && (int64_t)json_array_size(hits->list) < query->limit;
}

/* Moves the batch under way to the list. True: there is room for more. */
static bool turn(void *context, const struct query *query) {
    struct hits *hits = context;
    for (size_t i = json_array_size(hits->batch); i-- > 0;)
        json_array_append(hits->list, json_array_get(hits->batch, i));
    json_array_clear(hits->batch);
    return query->paged || (int64_t)json_array_size(hits->list) < query->limit;
}

/* The latest `limit` of a list that has the latest first, oldest first. */
static json_t *reversed(json_t *list, size_t limit) {
    json_t *result = json_array();
    for (size_t i = json_array_size(list) < limit ? json_array_size(list) : limit; i-- > 0;)
        json_array_append(result, json_array_get(list, i));
    json_decref(list);
    return result;
}

json_t *ledger_query_hits(const char *path, const json_t *parameters, const char **why) {
    struct query query;
    if (!begin(&query, path, parameters, why))
        return NULL;
    if (query.db == NULL)
        return json_array();
    struct hits hits = {json_array(), json_array()};
    int rc =
        query.paged ? each_row(&query, BATCHES, add_hit, turn, &hits) : each_row(&query, OPEN_WINDOWS "DESC", add_hit, turn, &hits);
    if (rc == SQLITE_DONE && (int64_t)json_array_size(hits.list) < query.limit)
        rc = query.paged ? each_row(&query, OPEN_WINDOWS, add_hit, turn, &hits)
                         : each_row(&query, BATCHES "DESC", add_hit, turn, &hits);
    json_decref(hits.batch);
    end(&query);
    if (rc == SQLITE_DONE)
        return query.paged ? hits.list : reversed(hits.list, (size_t)query.limit);
    json_decref(hits.list);
    *why = sqlite3_errstr(rc);
    return NULL;
}

/* --- hits by the hour --- */

struct hour {
    int64_t number; /* hours since 1970 */
    int64_t enforced, monitored;
};

/* In order. Entries come nearly so: a place is found from the end. */
struct hours {
    struct hour *list;
    size_t count, room;
    bool failed; /* no memory */
};

/* The place of an hour, made where there is none yet; NULL: no memory. */
static struct hour *hour_of(struct hours *hours, int64_t number) {
    size_t at = hours->count;
    while (at > 0 && hours->list[at - 1].number > number)
        at--;
    if (at > 0 && hours->list[at - 1].number == number)
        return &hours->list[at - 1];
    if (hours->count == hours->room) {
        size_t room = hours->room == 0 ? 64 : hours->room * 2;
        struct hour *list = realloc(hours->list, room * sizeof *list);
        if (list == NULL)
            return NULL;
        hours->list = list;
        hours->room = room;
    }
    memmove(&hours->list[at + 1], &hours->list[at], (hours->count++ - at) * sizeof *hours->list);
    hours->list[at] = (struct hour){.number = number};
    return &hours->list[at];
}

/* A card's identity ends with the mode (hits/card.c). */
static bool is_monitored(const struct entry *entry) {
    static const char end_of[] = "\"mode\":\"monitor\"";
    const struct piece *last = entry->back.length > 0 ? &entry->back : &entry->front;
    const size_t length = sizeof end_of - 1;
    return last->length >= length && memcmp(last->text + last->length - length, end_of, length) == 0;
}

/* visit */
static bool add_to_hour(void *context, struct query *query, int64_t id, const struct entry *entry) {
    struct hours *hours = context;
    if (!of_client(query, entry))
        return true;
    struct hour *hour = hour_of(hours, (int64_t)(entry->ts_us / 3600000000u));
    hours->failed = hour == NULL;
    if (hour != NULL)
        *(is_monitored(entry) ? &hour->monitored : &hour->enforced) += (int64_t)entry->count;
    return hour != NULL;
}

json_t *ledger_query_hours(const char *path, const json_t *parameters, const char **why) {
    struct query query;
    if (!begin(&query, path, parameters, why))
        return NULL;
    json_t *list = json_array();
    if (query.db == NULL)
        return list;
    struct hours hours = {0};
    query.paged = false;
    int rc = each_row(&query, BATCHES, add_to_hour, NULL, &hours);
    if (rc == SQLITE_DONE && !hours.failed)
        rc = each_row(&query, OPEN_WINDOWS, add_to_hour, NULL, &hours);
    rc = hours.failed ? SQLITE_NOMEM : rc;
    end(&query);
    for (size_t i = 0; i < hours.count; i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:I, s:I}", "ts", time_json(hours.list[i].number * 3600000000), "enforced",
                                        (json_int_t)hours.list[i].enforced, "monitored", (json_int_t)hours.list[i].monitored));
    free(hours.list);
    if (rc == SQLITE_DONE)
        return list;
    json_decref(list);
    *why = sqlite3_errstr(rc);
    return NULL;
}
