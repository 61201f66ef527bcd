/* test/replay/replay.c: plays scenarios (README) through the query machine. Cache and machine are real; policy text, upstream and
 * clock are the scenario's. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/query.h"
#include "test/replay/policy.h"
#include "test/unit/dns_text.h"

enum { TEXT_MAX = 200000, LINE_MAX_ = 2000, UPSTREAMS_MAX = 64 };

struct said {
    char name[300];
    char type[20];
    bool dnssec_ok;
    char *message; /* text; "servfail N", "silent" */
};

struct play {
    const char *file;
    unsigned line;
    struct config config;
    struct forward forwards[8];
    struct policy_text *policy;
    bool policy_changed;
    struct view views[16];
    unsigned view_count;
    struct cache *cache;
    struct ring *ring;
    struct stats stats;
    struct query_env env;
    struct said said[UPSTREAMS_MAX];
    unsigned said_count;
    uint8_t *out;
    char *came; /* what the last order brought */
};

static bool hopeful = true;

bool upstream_shared_hopeful(struct upstream_shared *shared, const struct question *question) {
    return hopeful;
}

static void die(const struct play *play, const char *what) {
    fprintf(stderr, "%s:%u: %s\n", play->file, play->line, what);
    exit(2);
}

static void came(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void came(struct play *play, const char *format, ...) {
    size_t have = strlen(play->came);
    va_list args;
    va_start(args, format);
    vsnprintf(play->came + have, TEXT_MAX - have, format, args);
    va_end(args);
}

static const char *question_text(const struct question *question, char *text) {
    static const struct {
        uint16_t type;
        const char *name;
    } types[] = {{1, "A"},   {2, "NS"},   {5, "CNAME"}, {6, "SOA"},    {12, "PTR"},
                 {15, "MX"}, {16, "TXT"}, {28, "AAAA"}, {65, "HTTPS"}, {255, "ANY"}};
    size_t length = name_to_text(question->name.wire, text);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type == question->type) {
            sprintf(text + length, " %s%s", types[i].name, question->dnssec_ok ? " do" : "");
            return text;
        }
    }
    sprintf(text + length, " TYPE%u%s", question->type, question->dnssec_ok ? " do" : "");
    return text;
}

/* --- what came --- */

static void tell_hits(struct play *play) {
    const struct record *record;
    while ((record = ring_peek(play->ring))) {
        char name[NAME_TEXT_MAX], text[NAME_TEXT_MAX + 20];
        name_to_text(record->names, name);
        if (record->kind == RECORD_HIT) {
            struct rule_info info;
            snapshot_rule(record->snapshot, record->rule, &info);
            came(play, "  hit %s %s %s %s %s", info.zone_name, trigger_name((enum trigger)record->trigger), info.text,
                 action_name((enum action)record->action), mode_name((enum mode)record->mode));
            if (record->via_length) {
                name_to_text(record->names + record->qname_length, text);
                came(play, " via=%s", text);
            }
            if (record->has_mac)
                came(play, " mac=%02x..%02x", record->mac[0], record->mac[5]);
            came(play, "\n");
        } else if (record->kind == RECORD_ASKED) {
            came(play, "  history %s\n", name);
        } else if (record->kind == RECORD_TAP) {
            const uint8_t *message = record->names + record->qname_length + record->via_length;
            came(play, "  tapped %s %u octets%s%s\n", message[2] & 0x80 ? "response" : "query", record->message_length,
                 record->snapshot ? " policy " : "", record->snapshot ? action_name((enum action)record->action) : "");
        } else if (record->kind == RECORD_QUERY) {
            came(play, "  logged %s rcode %u\n", name, record->rcode);
        }
        ring_drop(play->ring);
    }
}

static void tell_reply(struct play *play, size_t length, const char *question) {
    static char text[TEXT_MAX];
    *text = 0;
    dns_describe(play->out, length, text, sizeof text);
    char *save = NULL, *rcode = strtok_r(text, "\n", &save), *flags = strtok_r(NULL, "\n", &save);
    if (!flags) {
        came(play, "  %s\n", rcode);
        return;
    }
    came(play, "  %s%s\n", rcode + strlen("rcode "), flags + strlen("flags"));
    for (char *line = strtok_r(NULL, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strcmp(line, question))
            came(play, "  %s\n", line);
    }
}

/* --- upstream --- */

static const struct said *find_said(const struct play *play, const struct question *question) {
    for (unsigned i = play->said_count; i-- > 0;) {
        struct question other = dns_question(play->said[i].name, play->said[i].type);
        if (name_equal(&other.name, &question->name) && other.type == question->type &&
            play->said[i].dnssec_ok == question->dnssec_ok)
            return &play->said[i];
    }
    return NULL;
}

static struct answer *from_upstream(struct play *play, const struct question *question) {
    static uint8_t message[65535];
    const struct answer_limits limits = {play->config.cache.min_ttl, play->config.cache.max_ttl,
                                         play->config.cache.max_negative_ttl};
    const struct said *said = find_said(play, question);
    uint32_t now = (uint32_t)(play->env.now_ms / 1000);
    struct answer *answer = NULL;
    if (!said || !strncmp(said->message, "silent", 6))
        return answer_failure(question, 2, 22, 0, now);
    if (!strncmp(said->message, "servfail", 8))
        return answer_failure(question, 2, (uint16_t)atoi(said->message + 8), 5, now);
    char text[TEXT_MAX / 10], name[NAME_TEXT_MAX];
    name_to_text(question->name.wire, name);
    snprintf(text, sizeof text, "question %s %s\n%s", name, said->type, said->message);
    size_t length = dns_message(text, message, sizeof message);
    int error = answer_from_message(&answer, question, message, length, &limits, now);
    return error ? answer_failure(question, 2, 23, 5, now) : answer;
}

static void to_cache(struct play *play, const struct question *question, struct answer *answer) {
    struct name_key key;
    name_key_init(&key, question->name.wire, question->name.length, play->env.view->seed);
    struct cache_key cached = {key.hash[key.labels],        key.wire,      key.length, question->dnssec_ok,
                               question->checking_disabled, question->type};
    cache_put(play->cache, &cached, answer, (uint32_t)(play->env.now_ms / 1000));
}

/* Does the worker's part until the query is over. */
static enum query_wish serve(struct play *play, struct query *query, enum query_wish wish, size_t *length) {
    char text[NAME_TEXT_MAX + 20];
    if (wish != QUERY_ASK)
        return wish;
    while (wish == QUERY_ASK) {
        const struct said *said = find_said(play, &query->ask.question);
        if (said && !strncmp(said->message, "full", 4)) {
            wish = query_full(&play->env, query, play->out, length);
            break;
        }
        came(play, "  asked %s\n", question_text(&query->ask.question, text));
        if (said && !strncmp(said->message, "silent", 6) && query->deadline_ms) {
            came(play, "  waited %u ms\n", (unsigned)(query->deadline_ms - play->env.now_ms));
            play->env.now_ms = query->deadline_ms;
            wish = query_deadline(&play->env, query, play->out, length);
            continue;
        }
        if (said && !strncmp(said->message, "abandon", 7)) {
            wish = QUERY_DROP;
            break;
        }
        struct answer *answer = from_upstream(play, &query->ask.question);
        to_cache(play, &query->ask.question, answer);
        wish = query_answered(&play->env, query, answer, play->out, length);
        answer_unref(answer);
    }
    query_done(query);
    return wish;
}

static void play_packet(struct play *play, const struct client *client, const uint8_t *packet, size_t length,
                        const char *question) {
    static struct query query;
    char text[NAME_TEXT_MAX + 20];
    uint8_t *exact = malloc(length ? length : 1);
    memcpy(exact, packet, length);
    size_t out_length = 0;
    bool refresh;
    enum query_wish wish = query_begin(&play->env, client, exact, length, &query, play->out, &out_length);
    free(exact);
    refresh = play->env.refresh;
    wish = serve(play, &query, wish, &out_length);
    if (refresh || play->env.refresh)
        came(play, "  refresh %s\n", question_text(&play->env.refresh_question, text));
    if (play->env.view->pins)
        die(play, "a query that is over pins its view");
    if (wish == QUERY_DROP)
        came(play, "  dropped\n");
    else if (wish == QUERY_CLOSE)
        came(play, "  closed\n");
    else
        tell_reply(play, out_length, question);
    tell_hits(play);
}

/* --- orders --- */

static void renew_policy(struct play *play) {
    if (!play->policy_changed)
        return;
    struct view *view = &play->views[play->view_count++];
    view->config = &play->config;
    view->snapshot = policy_text_snapshot(play->policy);
    view->generation = snapshot_generation(view->snapshot);
    view->seed = snapshot_seed(view->snapshot);
    play->env.view = view;
    play->policy_changed = false;
}

struct asking {
    struct client client;
    uint16_t flags, class;
    unsigned edns;
    bool dnssec_ok, mac, keepalive;
};

static void asking_word(struct play *play, struct asking *asking, char *word, char **save) {
    if (!strcmp(word, "tcp"))
        asking->client.protocol = PROTOCOL_TCP;
    else if (!strcmp(word, "trusted"))
        asking->client.trusted = true;
    else if (!strcmp(word, "cd"))
        asking->flags |= FLAG_CD;
    else if (!strcmp(word, "ad"))
        asking->flags |= FLAG_AD;
    else if (!strcmp(word, "norecurse"))
        asking->flags &= (uint16_t)~FLAG_RD;
    else if (!strcmp(word, "edns"))
        asking->edns = (unsigned)atoi(strtok_r(NULL, " ", save));
    else if (!strcmp(word, "opcode"))
        asking->flags |= (uint16_t)(atoi(strtok_r(NULL, " ", save)) << 11);
    else if (!strcmp(word, "class"))
        asking->class = (uint16_t)atoi(strtok_r(NULL, " ", save));
    else if (!strcmp(word, "do"))
        asking->dnssec_ok = true;
    else if (!strcmp(word, "mac"))
        asking->mac = true;
    else if (!strcmp(word, "keepalive"))
        asking->keepalive = true;
    else if (!strcmp(word, "client")) {
        word = strtok_r(NULL, " ", save);
        if (ip_from_text(&asking->client.address, word, strlen(word)))
            die(play, "bad address");
    } else {
        die(play, "unknown word of a query");
    }
}

static void put_opt(struct wire_out *out, const struct asking *asking) {
    unsigned size = asking->edns ? asking->edns : 1232;
    wire_put(out, "", 1);
    wire_put16(out, TYPE_OPT);
    wire_put16(out, size);
    wire_put32(out, asking->dnssec_ok ? 0x8000 : 0);
    wire_put16(out, (asking->mac ? 10U : 0U) + (asking->keepalive ? 4U : 0U));
    if (asking->mac)
        wire_put(out, "\375\351\0\6\122\124\0\1\2\3", 10);
    if (asking->keepalive)
        wire_put(out, "\0\13\0", 4);
}

/* The name goes out in the letters that the scenario has. */
static void order_query(struct play *play, char *rest) {
    struct asking asking = {.flags = FLAG_RD, .class = CLASS_IN};
    asking.client.port = 5353;
    ip_from_text(&asking.client.address, "10.1.2.3", 8);
    char *save = NULL, *name = strtok_r(rest, " ", &save), *type = strtok_r(NULL, " ", &save);
    for (char *word = strtok_r(NULL, " ", &save); word; word = strtok_r(NULL, " ", &save))
        asking_word(play, &asking, word, &save);
    struct question question = dns_question(name, type);
    if (strcmp(name, ".") && name[strlen(name) - 1] != '.') {
        unsigned at = 0;
        for (const char *c = name; *c && !strchr(name, '\\'); c++, at++) {
            if (*c != '.')
                question.name.wire[at + 1] = (uint8_t)*c;
        }
    }
    uint8_t packet[1000] = {0xAB, 0xCD};
    struct wire_out out;
    wire_out_init(&out, packet, sizeof packet, 2);
    bool edns = asking.edns || asking.dnssec_ok || asking.mac || asking.keepalive;
    wire_put16(&out, asking.flags);
    wire_put16(&out, 1);
    wire_put32(&out, 0);
    wire_put16(&out, edns);
    wire_put(&out, question.name.wire, question.name.length);
    wire_put16(&out, question.type);
    wire_put16(&out, asking.class);
    if (edns)
        put_opt(&out, &asking);
    char expected[400];
    snprintf(expected, sizeof expected, "question %s%s IN %s", name, name[strlen(name) - 1] == '.' ? "" : ".", type);
    play_packet(play, &asking.client, packet, out.at, expected);
}

static void order_packet(struct play *play, const char *hex) {
    uint8_t packet[LINE_MAX_];
    size_t length = 0;
    struct client client = {.port = 5353};
    ip_from_text(&client.address, "10.1.2.3", 8);
    for (; hex[0] && hex[1]; hex += *hex == ' ' ? 1 : 2) {
        unsigned octet;
        if (*hex != ' ' && sscanf(hex, "%2x", &octet) == 1)
            packet[length++] = (uint8_t)octet;
    }
    play_packet(play, &client, packet, length, "");
}

static void order_config(struct play *play, char *rest) {
    struct config *config = &play->config;
    char *value = strchr(rest, ' ');
    if (!value)
        die(play, "config needs a value");
    *value++ = 0;
    bool on = !strcmp(value, "on");
    if (!strcmp(rest, "break_dnssec"))
        config->policy.break_dnssec = on;
    else if (!strcmp(rest, "extended_errors"))
        config->policy.extended_errors = on;
    else if (!strcmp(rest, "prefetch"))
        config->cache.prefetch = on;
    else if (!strcmp(rest, "serve_stale"))
        config->cache.serve_stale = (uint32_t)atoi(value);
    else if (!strcmp(rest, "max_ttl"))
        config->cache.max_ttl = (uint32_t)atoi(value);
    else if (!strcmp(rest, "sinkhole"))
        config->policy.has_ipv4 = config->policy.has_ipv6 = on;
    else if (!strcmp(rest, "queries"))
        config->log.queries = on ? (char *)(uintptr_t) "queries" : NULL;
    else if (!strcmp(rest, "dnstap")) {
        config->dnstap.socket = (char *)(uintptr_t) "dnstap";
        config->dnstap.queries = config->dnstap.responses = on;
    } else if (!strcmp(rest, "history"))
        play->env.asked = on ? calloc(QUERY_ASKED, sizeof *play->env.asked) : NULL;
    else if (!strcmp(rest, "forward"))
        name_from_text(&config->forward[config->forward_count++].zone, value, strlen(value), NULL);
    else
        die(play, "unknown key");
}

static void order_upstream(struct play *play, char *rest, const char *block) {
    struct said *said = &play->said[play->said_count++];
    char *save = NULL, *word;
    snprintf(said->name, sizeof said->name, "%s", strtok_r(rest, " ", &save));
    snprintf(said->type, sizeof said->type, "%s", strtok_r(NULL, " ", &save));
    word = strtok_r(NULL, " ", &save);
    said->dnssec_ok = word && !strcmp(word, "do");
    while (*block == ' ')
        block++;
    said->message = strdup(block);
}

/* One order with the indented lines that follow it. Returns true if these are an expectation. */
static bool order(struct play *play, char *line, const char *block) {
    if (policy_text_line(play->policy, line)) {
        play->policy_changed = true;
        return true;
    }
    char *rest = strchr(line, ' ');
    if (!rest)
        die(play, "bad order");
    *rest++ = 0;
    if (!strcmp(line, "config")) {
        order_config(play, rest);
        play->policy_changed = true;
    } else if (!strcmp(line, "hopeful")) {
        hopeful = !strcmp(rest, "yes");
    } else if (!strcmp(line, "time")) {
        play->env.now_ms = strtoull(rest, NULL, 10) * 1000;
        play->env.wall_us = play->env.now_ms * 1000;
    } else if (!strcmp(line, "upstream")) {
        order_upstream(play, rest, block);
        return false;
    } else if (!strcmp(line, "new")) {
        policy_text_free(play->policy);
        play->policy = policy_text_new(&play->config);
        play->policy_changed = true;
    } else if (!strcmp(line, "query")) {
        renew_policy(play);
        order_query(play, rest);
    } else if (!strcmp(line, "packet")) {
        renew_policy(play);
        order_packet(play, rest);
    } else {
        die(play, "unknown order");
    }
    return true;
}

static void play_init(struct play *play, const char *file) {
    memset(play, 0, sizeof *play);
    play->file = file;
    hopeful = true;
    struct config *config = &play->config;
    config->forward = play->forwards;
    name_from_text(&config->forward[config->forward_count++].zone, ".", 1, NULL);
    config->cache.max_ttl = 86400;
    config->cache.max_negative_ttl = 3600;
    config->cache.serve_stale = 86400;
    config->cache.prefetch = true;
    config->policy.break_dnssec = config->policy.extended_errors = true;
    ip_from_text(&config->policy.loopback, "127.0.0.3", 9);
    config->policy.has_ipv4 = config->policy.has_ipv6 = true;
    ip_from_text(&config->policy.sinkhole_ipv4, "192.0.2.66", 10);
    ip_from_text(&config->policy.sinkhole_ipv6, "2001:db8::66", 12);
    play->policy = policy_text_new(config);
    play->policy_changed = true;
    play->cache = cache_new(1 << 20);
    play->ring = ring_new(1 << 16, NULL, NULL);
    play->out = malloc(QUERY_REPLY_MAX);
    play->came = calloc(1, TEXT_MAX);
    play->env = (struct query_env){.cache = play->cache,
                                   .ring = play->ring,
                                   .stats = &play->stats,
                                   .upstream = (struct upstream_shared *)play,
                                   .now_ms = 1000000,
                                   .wall_us = 1000000000};
}

static void play_done(struct play *play) {
    policy_text_free(play->policy);
    for (unsigned i = 0; i < play->view_count; i++)
        snapshot_unref(play->views[i].snapshot);
    for (unsigned i = 0; i < play->said_count; i++)
        free(play->said[i].message);
    free(play->env.asked);
    cache_free(play->cache);
    ring_free(play->ring);
    free(play->out);
    free(play->came);
}

/* Reads the indented block behind an order; leaves the line after it in `line`. */
static bool read_block(struct play *play, FILE *in, char *line, char *block) {
    *block = 0;
    while (fgets(line, LINE_MAX_, in)) {
        play->line++;
        if (line[0] != ' ' || line[1] != ' ')
            return true;
        strncat(block, line, TEXT_MAX / 10 - strlen(block) - 1);
    }
    return false;
}

static int play_file(const char *file, FILE *rewrite) {
    static char block[TEXT_MAX / 10];
    struct play play;
    char line[LINE_MAX_], copy[LINE_MAX_];
    int failures = 0;
    FILE *in = fopen(file, "r");
    play_init(&play, file);
    if (!in)
        die(&play, strerror(errno));
    bool more = fgets(line, sizeof line, in) != NULL;
    while (more) {
        memcpy(copy, line, sizeof copy);
        line[strcspn(line, "\n")] = 0;
        char now[LINE_MAX_];
        memcpy(now, line, sizeof now);
        unsigned at = ++play.line;
        play.line = at - 1;
        more = read_block(&play, in, line, block);
        *play.came = 0;
        bool expectation = true;
        if (*now && *now != '#')
            expectation = order(&play, now, block);
        if (expectation && strcmp(block, play.came)) {
            failures++;
            if (!rewrite)
                printf("%s:%u: %sexpected:\n%scame:\n%s", file, at, copy, block, play.came);
        }
        if (rewrite)
            fprintf(rewrite, "%s%s", copy, expectation ? play.came : block);
    }
    fclose(in);
    play_done(&play);
    return failures;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc == 3 && !strcmp(argv[1], "-w")) {
        char *text = NULL;
        size_t size = 0;
        FILE *memory = open_memstream(&text, &size);
        play_file(argv[2], memory);
        fclose(memory);
        FILE *out = fopen(argv[2], "w");
        fwrite(text, 1, size, out);
        fclose(out);
        free(text);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        failed += play_file(argv[i], NULL) != 0;
    printf("%d scenarios, %d failed\n", argc - 1, failed);
    return failed != 0;
}
