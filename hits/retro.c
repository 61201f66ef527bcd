/* hits/retro.c: which of the names that clients asked for lately would a policy have matched? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hits/retro.h"
#include "policy/match.h"

enum { CLIENT_BUCKETS = 4096 };

struct search {
    struct findings *findings;
    const struct snapshot *snapshot;
    uint32_t now;
    struct name_key key; /* of the last name that asked() was called for */
    uint8_t key_wire[NAME_WIRE_MAX];
    uint32_t buckets[CLIENT_BUCKETS]; /* of clients by address: index + 1 */
    uint32_t *chain;                  /* the next of the bucket: index + 1 */
    size_t chain_room;
};

static bool make_room(void **array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return true;
    size_t more = *room == 0 ? 64 : *room * 2;
    void *grown = realloc(*array, more * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

/* history_visitor.name: any rule of any client may match, or none ever does. */
static bool matters(void *context, const uint8_t *wire, uint8_t length) {
    struct search *search = context;
    static const struct ip nobody;
    struct name_key key;
    struct verdict verdict;
    name_key_init(&key, wire, length, snapshot_seed(search->snapshot));
    match_query(search->snapshot, &key, &nobody, search->now, &verdict);
    return !verdict.blank;
}

static bool same_client(const struct finding_client *client, const struct asked *asked) {
    const struct phrase *hostname = client->who.hostname;
    size_t length = hostname == NULL ? 0 : hostname->length;
    return ip_equal(&client->address, &asked->client) && client->who.has_mac == asked->has_mac &&
           (!asked->has_mac || memcmp(client->who.mac, asked->mac, 6) == 0) && length == asked->hostname_length &&
           (length == 0 || memcmp(hostname->text, asked->hostname, length) == 0);
}

/* The client's index, new or old; -1: no memory. */
static int64_t client_of(struct search *search, const struct asked *asked) {
    struct findings *findings = search->findings;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ asked->client.bytes[i]) * 1099511628211u;
    uint32_t *bucket = &search->buckets[(hash ^ hash >> 32) & (CLIENT_BUCKETS - 1)];
    for (uint32_t at = *bucket; at != 0; at = search->chain[at - 1])
        if (same_client(&findings->clients[at - 1], asked))
            return at - 1;
    size_t index = findings->client_count;
    if (!make_room((void **)&findings->clients, index, &findings->client_room, sizeof *findings->clients) ||
        !make_room((void **)&search->chain, index, &search->chain_room, sizeof *search->chain))
        return -1;
    struct finding_client *client = &findings->clients[index];
    *client = (struct finding_client){.address = asked->client, .who = {.has_mac = asked->has_mac}};
    memcpy(client->who.mac, asked->mac, 6);
    if (asked->hostname_length > 0)
        client->who.hostname = phrase_new_printable(asked->hostname, asked->hostname_length);
    search->chain[index] = *bucket;
    *bucket = (uint32_t)++findings->client_count;
    return (int64_t)index;
}

static void add(struct search *search, const struct asked *asked, const struct matched *matched) {
    struct findings *findings = search->findings;
    if (matched->trigger != TRIGGER_DOMAIN || matched->action == ACTION_PASSTHRU)
        return;
    bool room = findings->count < RETRO_FINDINGS_MAX &&
                make_room((void **)&findings->list, findings->count, &findings->room, sizeof *findings->list);
    int64_t client = room ? client_of(search, asked) : -1;
    size_t name = findings->names.length;
    if (client >= 0)
        text_put(&findings->names, (const char *)asked->qname, asked->qname_length);
    if (client < 0 || findings->names.failed) {
        findings->left_out++;
        return;
    }
    findings->list[findings->count++] = (struct finding){.ts_us = asked->ts_us,
                                                         .client = (uint32_t)client,
                                                         .name = (uint32_t)name,
                                                         .rule = matched->rule,
                                                         .qtype = asked->qtype,
                                                         .protocol = (uint8_t)asked->protocol,
                                                         .name_length = asked->qname_length};
}

/* history_visitor.asked */
static void judge(void *context, const struct asked *asked) {
    struct search *search = context;
    struct verdict verdict;
    if (search->key.length != asked->qname_length || memcmp(search->key_wire, asked->qname, asked->qname_length) != 0) {
        memcpy(search->key_wire, asked->qname, asked->qname_length);
        name_key_init(&search->key, search->key_wire, asked->qname_length, snapshot_seed(search->snapshot));
    }
    match_query(search->snapshot, &search->key, &asked->client, search->now, &verdict);
    for (unsigned i = 0; i < verdict.monitors; i++)
        add(search, asked, &verdict.monitor[i]);
    if (verdict.decided && !verdict.protected_)
        add(search, asked, &verdict.decision);
}

/* Machines as the ledger knows them: by MAC, where there is one, else by address. */
static int compare_machines(const struct finding_client *a, const struct finding_client *b) {
    if (a->who.has_mac != b->who.has_mac)
        return a->who.has_mac ? 1 : -1;
    return a->who.has_mac ? memcmp(a->who.mac, b->who.mac, 6) : memcmp(a->address.bytes, b->address.bytes, 16);
}

static int compare(const void *left, const void *right, void *context) {
    const struct finding *a = left, *b = right;
    const struct finding_client *clients = context;
    int order = a->client == b->client ? 0 : compare_machines(&clients[a->client], &clients[b->client]);
    if (order != 0)
        return order;
    if (a->rule != b->rule)
        return a->rule < b->rule ? -1 : 1;
    return a->ts_us < b->ts_us ? -1 : a->ts_us > b->ts_us;
}

int retro_search(struct findings *findings, const char *folder, const struct snapshot *snapshot, uint64_t since_us, uint32_t now,
                 const atomic_bool *cancel) {
    *findings = (struct findings){0};
    struct search *search = calloc(1, sizeof *search);
    if (search == NULL)
        return -ENOMEM;
    search->findings = findings;
    search->snapshot = snapshot;
    search->now = now;
    struct history_visitor visitor = {matters, judge, search, since_us, cancel};
    int rc = history_visit(folder, &visitor);
    if (findings->count > 0)
        qsort_r(findings->list, findings->count, sizeof *findings->list, compare, findings->clients);
    for (size_t i = 1; i < findings->count; i++) {
        const struct finding *before = &findings->list[i - 1];
        struct finding *finding = &findings->list[i];
        finding->same = finding->rule == before->rule &&
                        compare_machines(&findings->clients[finding->client], &findings->clients[before->client]) == 0;
    }
    free(search->chain);
    free(search);
    return rc;
}

void retro_findings_free(struct findings *findings) {
    for (size_t i = 0; i < findings->client_count; i++)
        phrase_unref(findings->clients[i].who.hostname);
    free(findings->clients);
    free(findings->list);
    text_free(&findings->names);
    *findings = (struct findings){0};
}

static uint64_t hash_text(uint64_t hash, const char *text) {
    do
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    while (*text++ != '\0');
    return hash;
}

uint64_t retro_rule_hash(const struct snapshot *snapshot, uint32_t rule) {
    struct rule_info info;
    if (snapshot_rule(snapshot, rule, &info) != 0)
        return 0;
    return hash_text(hash_text(hash_text(14695981039346656037u, info.zone_name), trigger_name(info.trigger)), info.text);
}
