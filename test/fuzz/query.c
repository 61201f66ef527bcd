/* test/fuzz/query.c: any packet through the whole machine, and any octets as upstream's answer to it. Input: one octet of switches,
 * two of the packet's length, the packet, the answer. Every reply must parse, and fit the client. */
#include <stdlib.h>

#include "resolver/query.h"
#include "test/replay/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
bool upstream_shared_hopeful(struct upstream_shared *shared, const struct question *question) {
    return true;
}

enum { TCP = 1, KEEP_SIGNED = 2, SILENT = 4, TRUSTED = 8 };

static struct config config = {.cache = {.max_ttl = 86400, .max_negative_ttl = 3600, .serve_stale = 86400}};
static struct stats stats;
static struct view view = {.config = &config};
static struct query_env env = {.view = &view, .stats = &stats, .now_ms = 1000000, .wall_us = 1000000};
static uint8_t out[QUERY_REPLY_MAX];

static void once(void) {
    static const char *const lines[] = {
        "zone a",
        "rule loop.test loopback",
        "rule sink.test below sinkhole",
        "rule nx.test nxdomain ttl 60",
        "rule walled.test cname target *.garden.test",
        "rule drop.test drop",
        "rule cut.test truncate",
        "rule pass.loop.test passthru",
        "rule ip 203.0.113.0/24 nodata",
        "rule ip 198.51.100.0/24 cname target garden.test",
        "rule data.test local record 60 IN TXT \"x\"",
        "zone b monitor",
        "rule test nodata",
    };
    if (view.snapshot)
        return;
    ip_from_text(&config.policy.loopback, "127.0.0.3", 9);
    config.policy.has_ipv4 = config.policy.extended_errors = true;
    struct policy_text *policy = policy_text_new(&config);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        policy_text_line(policy, lines[i]);
    view.snapshot = policy_text_snapshot(policy);
    view.generation = snapshot_generation(view.snapshot);
    view.seed = snapshot_seed(view.snapshot);
    policy_text_free(policy);
    env.ring = ring_new(65536, NULL, NULL);
}

/* What was written is a message, and no longer than the client takes. */
static void check_reply(const struct client *client, const uint8_t *packet, size_t packet_length, size_t length) {
    struct wire wire;
    struct wire_record record;
    struct message message;
    message_parse(&message, packet, packet_length);
    wire_init(&wire, out, length, 0);
    wire_take(&wire, WIRE_HEADER);
    wire_take(&wire, wire_get16(out + 4) ? message.question_length : 0);
    for (unsigned i = 6; i < 12; i += 2) {
        for (unsigned n = wire_get16(out + i); n > 0; n--)
            wire_record(&wire, &record);
    }
    size_t limit = message.limit < QUERY_UDP_MAX ? message.limit : QUERY_UDP_MAX;
    if (wire.bad || wire.at != length || (client->protocol == PROTOCOL_UDP && length > limit))
        __builtin_trap();
}

static struct answer *make_answer(const struct question *question, const uint8_t *data, size_t size) {
    static const struct answer_limits limits = {.max_ttl = 86400, .max_negative_ttl = 3600};
    struct answer *answer = NULL;
    if (answer_from_message(&answer, question, data, size, &limits, 1000) != 0)
        answer = answer_failure(question, RCODE_SERVFAIL, 22, 5, 1000);
    return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    once();
    uint8_t switches = data[0];
    size_t packet_length = wire_get16(data + 1), out_length = 0;
    data += 3;
    size -= 3;
    packet_length = packet_length < size ? packet_length : size;
    struct client client = {.protocol = switches & TCP ? PROTOCOL_TCP : PROTOCOL_UDP, .trusted = (switches & TRUSTED) != 0};
    config.policy.break_dnssec = !(switches & KEEP_SIGNED);
    env.cache = cache_new(1 << 16);
    struct query query;
    enum query_wish wish = query_begin(&env, &client, data, packet_length, &query, out, &out_length);
    if (wish == QUERY_ASK) {
        while (wish == QUERY_ASK) {
            if (switches & SILENT) {
                wish = query_deadline(&env, &query, out, &out_length);
                continue;
            }
            struct answer *answer = make_answer(&query.ask.question, data + packet_length, size - packet_length);
            wish = query_answered(&env, &query, answer, out, &out_length);
            answer_unref(answer);
        }
        query_done(&query);
    }
    if (wish == QUERY_REPLY)
        check_reply(&client, data, packet_length, out_length);
    while (ring_peek(env.ring))
        ring_drop(env.ring);
    if (view.pins)
        __builtin_trap();
    cache_free(env.cache);
    return 0;
}
