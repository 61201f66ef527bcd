/* resolver/exchange.c: which server is asked when, and what its reply means. */
#include "resolver/exchange.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "resolver/wire.h"

enum via { VIA_NONE, VIA_UDP, VIA_TCP };

enum { EDE_NO_REACHABLE_AUTHORITY = 22, EDE_NETWORK_ERROR = 23 }; /* RFC 8914 */

static void send_next(struct exchange *exchange);

static uint64_t now_of(const struct exchange *exchange) {
    return uv_now(exchange->host->carriers.loop);
}

static struct attempt *attempt_of(struct pending *pending) {
    return (struct attempt *)((char *)pending - offsetof(struct attempt, pending));
}

/* --- the end --- */

static void cancel_attempt(struct attempt *attempt) {
    if (attempt->via == VIA_NONE)
        return;
    if (attempt->via == VIA_UDP)
        udp_pool_cancel(&attempt->pending);
    else
        upstream_tcp_cancel(&attempt->pending);
    attempt->via = VIA_NONE;
    attempt->exchange->on_the_way--;
}

static void cancel_attempts(struct exchange *exchange) {
    for (size_t i = 0; exchange->on_the_way > 0 && i < EXCHANGE_TRIES; i++)
        cancel_attempt(&exchange->attempts[i]);
}

/* The carrier gave it back. */
static enum via attempt_back(struct attempt *attempt) {
    enum via via = attempt->via;
    attempt->via = VIA_NONE;
    attempt->exchange->on_the_way--;
    return via;
}

static void let_go(struct exchange *exchange) {
    wheel_clear(&exchange->host->wheel, &exchange->timer);
    cancel_attempts(exchange);
    for (size_t i = 0; i < exchange->choice_count; i++)
        exchange->choices[i].lane->users--;
    exchange->choice_count = 0;
}

void exchange_abandon(struct exchange *exchange) {
    exchange->ended = true;
    let_go(exchange);
}

static void settle_if_quiet(struct exchange *exchange) {
    if (!exchange->ended || exchange->held || exchange->on_the_way > 0)
        return;
    let_go(exchange);
    exchange->host->settled(exchange);
}

void exchange_release(struct exchange *exchange) {
    exchange->held = false;
    settle_if_quiet(exchange);
}

static void end(struct exchange *exchange, struct answer *answer) {
    exchange->ended = true;
    for (size_t i = 0; exchange->on_the_way > 0 && i < EXCHANGE_TRIES; i++)
        if (exchange->attempts[i].via == VIA_TCP)
            cancel_attempt(&exchange->attempts[i]);
    if (exchange->on_the_way > 0) {
        uint64_t now = now_of(exchange);
        wheel_set(&exchange->host->wheel, &exchange->timer, now, now + EXCHANGE_LINGER_MS);
    } else {
        wheel_clear(&exchange->host->wheel, &exchange->timer);
    }
    exchange->host->ended(exchange, answer);
    settle_if_quiet(exchange);
}

static void fail(struct exchange *exchange) {
    stat_add(exchange->host->stats, STAT_UPSTREAM_FAILURES, 1);
    uint16_t ede = exchange->ede;
    if (ede == 0 && exchange->silent)
        ede = EDE_NO_REACHABLE_AUTHORITY;
    else if (ede == 0 && !exchange->refused)
        ede = EDE_NETWORK_ERROR;
    uint32_t now_s = (uint32_t)(now_of(exchange) / 1000);
    uint32_t ttl = exchange->refused ? FAILURE_REFUSED_S : FAILURE_SILENT_S;
    struct answer *answer = answer_failure(&exchange->flight.question, RCODE_SERVFAIL, ede, ttl, now_s);
    end(exchange, answer);
    if (answer)
        answer_unref(answer);
}

/* --- sending --- */

static int send_attempt(struct exchange *exchange, size_t choice_index, enum via via) {
    struct choice *choice = &exchange->choices[choice_index];
    struct lane *lane = choice->lane;
    struct attempt *attempt = exchange->attempts;
    while (attempt->via != VIA_NONE)
        if (++attempt == exchange->attempts + EXCHANGE_TRIES)
            return -EAGAIN;
    attempt->exchange = exchange;
    attempt->choice = (uint8_t)choice_index;
    attempt->overdue = false;
    attempt->pending.question = &exchange->flight.question;
    attempt->pending.edns = !choice->plain && !server_is_plain(lane->server, now_of(exchange));
    int error = via == VIA_TCP ? upstream_tcp_send(&lane->tcp, &attempt->pending) : udp_pool_send(&lane->udp, &attempt->pending);
    if (error < 0)
        return error;
    attempt->via = (uint8_t)via;
    exchange->on_the_way++;
    choice->tries++;
    lane->queries++;
    stat_add(exchange->host->stats, STAT_UPSTREAM_QUERIES, 1);
    if (via == VIA_TCP)
        stat_add(exchange->host->stats, STAT_UPSTREAM_TCP, 1);
    return 0;
}

/* How long this try may take before another server is asked besides. */
static uint64_t patience(const struct exchange *exchange, const struct choice *choice, enum via via) {
    if (exchange->choice_count == 1 || via == VIA_TCP)
        return EXCHANGE_ALONE_MS + (choice->tries > 1 ? EXCHANGE_ALONE_MS / 5 : 0);
    uint64_t first = EXCHANGE_FIRST_MAX_MS;
    if (choice->lane->rtt_us)
        first = (choice->lane->rtt_us + 4 * (uint64_t)choice->lane->deviation_us) / 1000;
    if (first < EXCHANGE_FIRST_MIN_MS)
        first = EXCHANGE_FIRST_MIN_MS;
    if (first > EXCHANGE_FIRST_MAX_MS)
        first = EXCHANGE_FIRST_MAX_MS;
    return first << (choice->tries > 4 ? 3 : choice->tries - 1);
}

static void arm(struct exchange *exchange, uint64_t wait_ms) {
    uint64_t now = now_of(exchange), at = now + wait_ms;
    wheel_set(&exchange->host->wheel, &exchange->timer, now, at < exchange->deadline_ms ? at : exchange->deadline_ms);
}

/* Asks this server; false: it can't be asked. */
static bool try_choice(struct exchange *exchange, size_t index, enum via via) {
    struct choice *choice = &exchange->choices[index];
    int error = send_attempt(exchange, index, via);
    if (error == 0) {
        arm(exchange, patience(exchange, choice, via));
        return true;
    }
    if (error != -EAGAIN) {
        choice->spent = true;
        if (error == -ENETUNREACH || error == -EHOSTUNREACH || error == -ECONNREFUSED)
            server_unreachable(choice->lane->server, now_of(exchange));
    }
    return false;
}

/* The next server in turn that may be asked. With none left, waits for what is on the way; with nothing on the way, fails. */
static void send_next(struct exchange *exchange) {
    for (size_t i = 0; i < exchange->choice_count; i++) {
        size_t index = exchange->next_choice;
        exchange->next_choice = (uint8_t)((index + 1) % exchange->choice_count);
        if (!exchange->choices[index].spent && try_choice(exchange, index, VIA_UDP))
            return;
    }
    if (exchange->on_the_way > 0)
        arm(exchange, EXCHANGE_MS);
    else
        fail(exchange);
}

/* A try came to nothing. If a reply to another one may still come in good time, that is waited for. */
static void send_instead(struct exchange *exchange) {
    for (size_t i = 0; exchange->on_the_way > 0 && i < EXCHANGE_TRIES; i++) {
        const struct attempt *attempt = &exchange->attempts[i];
        if (attempt->via != VIA_NONE && !attempt->overdue &&
            server_state(exchange->choices[attempt->choice].lane->server) != SERVER_GONE)
            return;
    }
    send_next(exchange);
}

/* --- the beginning --- */

/* A server that isn't the best but well is put first once in a while, so that its round trip time is known. One that is down is
 * asked besides, so that its recovery is noticed at nobody's cost. */
static void explore(struct exchange *exchange) {
    uint64_t now = now_of(exchange);
    struct choice *first = exchange->choices;
    if (exchange->choice_count < 2 || server_state(first->lane->server) == SERVER_GONE || lane_rtt(first->lane) == 0)
        return;
    for (size_t i = 1; i < exchange->choice_count; i++) {
        struct choice *choice = &exchange->choices[i];
        struct server *server = choice->lane->server;
        if (!server_probe(server, now))
            continue;
        if (server_state(server) == SERVER_GONE) {
            (void)send_attempt(exchange, i, VIA_UDP);
        } else {
            struct lane *best = first->lane;
            first->lane = choice->lane;
            choice->lane = best;
        }
        return;
    }
}

void exchange_begin(struct exchange *exchange) {
    uint64_t now = now_of(exchange);
    bool dead = true;
    for (size_t i = 0; i < exchange->choice_count; i++) {
        exchange->choices[i].lane->users++;
        dead = dead && server_is_dead(exchange->choices[i].lane->server, now);
    }
    exchange->deadline_ms = now + (dead ? EXCHANGE_DEAD_MS : EXCHANGE_MS);
    explore(exchange);
    send_next(exchange);
}

/* --- what comes back --- */

/* A refusal, or a reply that is no answer: another server may know better. A SERVFAIL comes with an explanation or without one; to
 * refuse is to be out of reach (RFC 8914 section 4.23). */
static void refuse(struct exchange *exchange, struct choice *choice, const struct reply *reply) {
    choice->spent = true;
    exchange->refused = true;
    if (exchange->ede == 0)
        exchange->ede = reply->ede || reply->rcode == RCODE_SERVFAIL ? reply->ede : EDE_NO_REACHABLE_AUTHORITY;
    send_instead(exchange);
}

static void take_answer(struct exchange *exchange, struct choice *choice, bool edns, const struct reply *reply,
                        const uint8_t *message, size_t length) {
    struct answer *answer = NULL;
    uint64_t now = now_of(exchange);
    exchange->host->answering(exchange);
    int error =
        answer_from_message(&answer, &exchange->flight.question, message, length, exchange->host->limits, (uint32_t)(now / 1000));
    if (error < 0) {
        refuse(exchange, choice, reply);
        return;
    }
    if (!edns && choice->plain) /* it answers without EDNS what it wouldn't with */
        atomic_store_explicit(&choice->lane->server->plain_ms, now + SERVER_PLAIN_MS, memory_order_relaxed);
    end(exchange, answer);
    answer_unref(answer);
}

static void on_reply(struct pending *pending, const struct reply *reply, const uint8_t *message, size_t length) {
    struct attempt *attempt = attempt_of(pending);
    struct exchange *exchange = attempt->exchange;
    size_t index = attempt->choice;
    struct choice *choice = &exchange->choices[index];
    enum via via = attempt_back(attempt);
    bool refused = reply->kind == REPLY_REFUSAL;
    server_replied(choice->lane->server, now_of(exchange), refused);
    if (via == VIA_UDP)
        lane_sample(choice->lane, exchange->host->carriers.now_us - pending->sent_us);
    if (exchange->ended) {
        settle_if_quiet(exchange);
        return;
    }
    bool asked = true;
    switch (reply->kind) {
    case REPLY_TRUNCATED:
        asked = try_choice(exchange, index, VIA_TCP);
        break;
    case REPLY_PLAIN:
        choice->plain = true;
        asked = try_choice(exchange, index, via);
        break;
    case REPLY_ANSWER:
        take_answer(exchange, choice, pending->edns, reply, message, length);
        break;
    default:
        refuse(exchange, choice, reply);
        break;
    }
    if (!asked)
        send_instead(exchange);
}

static void on_failed(struct pending *pending, int error) {
    struct attempt *attempt = attempt_of(pending);
    struct exchange *exchange = attempt->exchange;
    size_t index = attempt->choice;
    struct choice *choice = &exchange->choices[index];
    enum via via = attempt_back(attempt);
    if (via == VIA_UDP) {
        if (!attempt->overdue)
            server_unreachable(choice->lane->server, now_of(exchange));
    } else {
        atomic_fetch_add_explicit(&choice->lane->server->failures, 1, memory_order_relaxed);
    }
    if (exchange->ended) {
        settle_if_quiet(exchange);
        return;
    }
    if (via == VIA_TCP && pending->excused && choice->tcp_again < EXCHANGE_TCP_AGAIN) {
        choice->tcp_again++;
        if (try_choice(exchange, index, VIA_TCP))
            return;
    }
    choice->spent = true;
    send_instead(exchange);
}

static void count_overdue(struct exchange *exchange) {
    uint64_t now = now_of(exchange);
    for (size_t i = 0; i < EXCHANGE_TRIES; i++) {
        struct attempt *attempt = &exchange->attempts[i];
        if (attempt->via == VIA_NONE || attempt->overdue)
            continue;
        struct lane *lane = exchange->choices[attempt->choice].lane;
        attempt->overdue = true;
        exchange->silent = true;
        server_silent(lane->server, now);
        lane_sample(lane, uv_hrtime() / 1000 - attempt->pending.sent_us);
    }
}

void exchange_due(struct wheel_entry *entry) {
    struct exchange *exchange = (struct exchange *)((char *)entry - offsetof(struct exchange, timer));
    count_overdue(exchange);
    if (exchange->ended) {
        cancel_attempts(exchange);
        settle_if_quiet(exchange);
    } else if (now_of(exchange) >= exchange->deadline_ms) {
        fail(exchange);
    } else {
        send_next(exchange);
    }
}

static void on_mismatch(struct carrier_host *carriers) {
    struct exchange_host *host = (struct exchange_host *)carriers;
    stat_add(host->stats, STAT_UPSTREAM_MISMATCHES, 1);
}

void exchange_host_init(struct exchange_host *host) {
    host->carriers.reply = on_reply;
    host->carriers.failed = on_failed;
    host->carriers.mismatch = on_mismatch;
    wheel_init(&host->wheel, uv_now(host->carriers.loop));
}
