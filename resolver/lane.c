/* resolver/lane.c: a server as one worker sees it. */
#include "resolver/lane.h"

#include <stdlib.h>

enum {
    PUBLISH_SAMPLES = 16,
    CLEAR_US = 2000, /* round trip times closer than this, and a quarter, are the same: the order configured decides */
};

struct lane *lane_new(struct server *server, struct carrier_host *host, unsigned places) {
    struct lane *lane = calloc(1, sizeof(*lane));
    if (!lane)
        return NULL;
    lane->server = server_ref(server);
    const struct sockaddr *address = (const struct sockaddr *)&server->address;
    udp_pool_init(&lane->udp, host, address, server->address_length, places);
    upstream_tcp_init(&lane->tcp, host, address);
    return lane;
}

void lane_free(struct lane *lane) {
    udp_pool_free(&lane->udp);
    server_unref(lane->server);
    free(lane);
}

static void publish(struct lane *lane) {
    if (lane->rtt_us)
        atomic_store_explicit(&lane->server->rtt_us, lane->rtt_us, memory_order_relaxed);
    if (lane->queries)
        atomic_fetch_add_explicit(&lane->server->queries, lane->queries, memory_order_relaxed);
    lane->queries = 0;
}

void lane_sample(struct lane *lane, uint64_t elapsed_us) {
    uint32_t sample = elapsed_us < 1 ? 1 : elapsed_us > 10000000 ? 10000000 : (uint32_t)elapsed_us;
    if (lane->rtt_us == 0) {
        lane->rtt_us = sample;
        lane->deviation_us = sample / 2;
    } else {
        uint32_t off = sample > lane->rtt_us ? sample - lane->rtt_us : lane->rtt_us - sample;
        lane->deviation_us = lane->deviation_us - lane->deviation_us / 4 + off / 4;
        lane->rtt_us = lane->rtt_us - lane->rtt_us / 8 + sample / 8;
        if (lane->rtt_us == 0)
            lane->rtt_us = 1;
    }
    if (lane->samples++ % PUBLISH_SAMPLES == 0)
        publish(lane);
}

uint32_t lane_rtt(const struct lane *lane) {
    return lane->rtt_us ? lane->rtt_us : atomic_load_explicit(&lane->server->rtt_us, memory_order_relaxed);
}

void lane_sweep(struct lane *lane, uint64_t now_ms) {
    publish(lane);
    udp_pool_sweep(&lane->udp, now_ms);
    upstream_tcp_sweep(&lane->tcp, now_ms);
}

void lane_close(struct lane *lane) {
    if (lane->closing)
        return;
    lane->closing = true;
    publish(lane);
    udp_pool_close(&lane->udp);
    upstream_tcp_close(&lane->tcp);
}

bool lane_is_closed(const struct lane *lane) {
    return udp_pool_is_closed(&lane->udp) && upstream_tcp_is_closed(&lane->tcp);
}

bool lane_is_better(const struct lane *a, const struct lane *b) {
    enum server_state state_a = server_state(a->server), state_b = server_state(b->server);
    if (state_a != state_b)
        return state_a < state_b;
    uint64_t rtt_a = lane_rtt(a), rtt_b = lane_rtt(b);
    return rtt_a && rtt_b && rtt_a + rtt_a / 4 + CLEAR_US < rtt_b;
}
