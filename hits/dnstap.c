/* hits/dnstap.c: records to protobuf frames to libfstrm's queue. See dnstap.h. */
#include "hits/dnstap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fstrm.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hits/dnstap.pb-c.h"

enum {
    QUEUE_FRAMES = 1024,   /* that may wait for the collector; a power of two */
    RECONNECT_SECONDS = 2, /* between attempts */
    IDENTITY_MAX = 256,
};

static const char content_type[] = "protobuf:dnstap.Dnstap";

struct dnstap {
    struct fstrm_iothr *thread;
    struct fstrm_iothr_queue *queue;
    char identity[IDENTITY_MAX];
    _Atomic uint64_t sent, lost;
};

/* A writer for the configured transport; NULL: it can't be made. */
static struct fstrm_writer *transport(const struct config *config) {
    struct fstrm_writer *writer = NULL;
    struct fstrm_writer_options *options = fstrm_writer_options_init();
    fstrm_writer_options_add_content_type(options, content_type, sizeof content_type - 1);
    if (config->dnstap.socket != NULL) {
        struct fstrm_unix_writer_options *unix_options = fstrm_unix_writer_options_init();
        fstrm_unix_writer_options_set_socket_path(unix_options, config->dnstap.socket);
        writer = fstrm_unix_writer_init(unix_options, options);
        fstrm_unix_writer_options_destroy(&unix_options);
    } else {
        const struct sockaddr_storage *address = &config->dnstap.tcp->address;
        char text[INET6_ADDRSTRLEN] = "", port[8];
        bool v6 = address->ss_family == AF_INET6;
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        inet_ntop(address->ss_family, v6 ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr, text, sizeof text);
        snprintf(port, sizeof port, "%u", ntohs(v6 ? in6->sin6_port : in->sin_port));
        struct fstrm_tcp_writer_options *tcp_options = fstrm_tcp_writer_options_init();
        fstrm_tcp_writer_options_set_socket_address(tcp_options, text);
        fstrm_tcp_writer_options_set_socket_port(tcp_options, port);
        writer = fstrm_tcp_writer_init(tcp_options, options);
        fstrm_tcp_writer_options_destroy(&tcp_options);
    }
    fstrm_writer_options_destroy(&options);
    return writer;
}

int dnstap_open(struct dnstap **result, const struct config *config, const char **why) {
    *result = NULL;
    if (config->dnstap.socket == NULL && config->dnstap.tcp == NULL) {
        return 0;
    }
    struct dnstap *dnstap = calloc(1, sizeof *dnstap);
    struct fstrm_writer *writer = dnstap == NULL ? NULL : transport(config);
    if (writer == NULL) {
        free(dnstap);
        *why = "the dnstap writer can't be made";
        return -ENOMEM;
    }
    if (gethostname(dnstap->identity, sizeof dnstap->identity - 1) != 0) {
        strcpy(dnstap->identity, "sundew");
    }
    struct fstrm_iothr_options *options = fstrm_iothr_options_init();
    fstrm_iothr_options_set_input_queue_size(options, QUEUE_FRAMES);
    fstrm_iothr_options_set_reopen_interval(options, RECONNECT_SECONDS);
    dnstap->thread = fstrm_iothr_init(options, &writer);
    fstrm_iothr_options_destroy(&options);
    dnstap->queue = dnstap->thread == NULL ? NULL : fstrm_iothr_get_input_queue(dnstap->thread);
    if (dnstap->queue == NULL) {
        fstrm_writer_destroy(&writer);
        dnstap_close(dnstap);
        *why = "the dnstap thread can't be started";
        return -EAGAIN;
    }
    *result = dnstap;
    return 0;
}

void dnstap_close(struct dnstap *dnstap) {
    if (dnstap == NULL) {
        return;
    }
    fstrm_iothr_destroy(&dnstap->thread);
    free(dnstap);
}

/* The owner that an RPZ would have for an address rule: prefix length, then the octets or 16-bit words from the right, then the
 * trigger's label (RPZ draft section 4.3). Wire form into `owner`. */
static size_t prefix_owner(const struct prefix *prefix, const char *trigger, uint8_t owner[NAME_WIRE_MAX]) {
    char text[128];
    const uint8_t *b = prefix->ip.bytes;
    struct name name;
    if (ip_is_v4(&prefix->ip)) {
        snprintf(text, sizeof text, "%u.%u.%u.%u.%u.%s", prefix->length - 96U, b[15], b[14], b[13], b[12], trigger);
    } else {
        int at = snprintf(text, sizeof text, "%u", prefix->length);
        for (int word = 7; word >= 0; word--) {
            at += snprintf(text + at, sizeof text - (size_t)at, ".%x", b[2 * word] * 256U + b[2 * word + 1]);
        }
        snprintf(text + at, sizeof text - (size_t)at, ".%s", trigger);
    }
    if (name_from_text(&name, text, strlen(text), NULL) != 0) {
        return 0;
    }
    memcpy(owner, name.wire, name.length);
    return name.length;
}

static size_t rule_owner(const struct rule_info *info, struct prefix *prefix, uint8_t owner[NAME_WIRE_MAX]) {
    struct name name;
    switch (info->trigger) {
    case TRIGGER_CLIENT:
    case TRIGGER_IP:
        if (prefix_from_text(prefix, info->text, strlen(info->text), false, NULL) != 0) {
            return 0;
        }
        return prefix_owner(prefix, info->trigger == TRIGGER_CLIENT ? "rpz-client-ip" : "rpz-ip", owner);
    default:
        if (name_from_text(&name, info->text, strlen(info->text), NULL) != 0) {
            return 0;
        }
        memcpy(owner, name.wire, name.length);
        return name.length;
    }
}

static void fill_action(Dnstap__Policy *policy, enum action action) {
    static const int actions[ACTION_COUNT] = {
        [ACTION_LOOPBACK] = DNSTAP__POLICY__ACTION__LOCAL_DATA, [ACTION_SINKHOLE] = DNSTAP__POLICY__ACTION__LOCAL_DATA,
        [ACTION_CNAME] = DNSTAP__POLICY__ACTION__LOCAL_DATA,    [ACTION_LOCAL] = DNSTAP__POLICY__ACTION__LOCAL_DATA,
        [ACTION_NXDOMAIN] = DNSTAP__POLICY__ACTION__NXDOMAIN,   [ACTION_NODATA] = DNSTAP__POLICY__ACTION__NODATA,
        [ACTION_PASSTHRU] = DNSTAP__POLICY__ACTION__PASS,       [ACTION_DROP] = DNSTAP__POLICY__ACTION__DROP,
        [ACTION_TRUNCATE] = DNSTAP__POLICY__ACTION__TRUNCATE,   [ACTION_REFUSED] = 0,
    };
    policy->has_action = action < ACTION_COUNT && actions[action] != 0;
    policy->action = policy->has_action ? (Dnstap__Policy__Action)actions[action] : DNSTAP__POLICY__ACTION__LOCAL_DATA;
}

static ProtobufCBinaryData binary(const void *data, size_t length) {
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

static ProtobufCBinaryData address_of(const struct ip *ip) {
    return ip_is_v4(ip) ? binary(ip->bytes + 12, 4) : binary(ip->bytes, 16);
}

/* What the rule looked at, and what it saw there. `prefix` is the rule's, for address rules. */
static void fill_match(Dnstap__Policy *policy, const struct record *record, const struct prefix *prefix) {
    policy->has_match = true;
    policy->has_value = true;
    switch (record->trigger) {
    case TRIGGER_CLIENT:
        policy->match = DNSTAP__POLICY__MATCH__CLIENT_IP;
        policy->value = address_of(&record->client);
        break;
    case TRIGGER_IP: /* which address of several it was is known for a whole address only */
        policy->match = DNSTAP__POLICY__MATCH__RESPONSE_IP;
        policy->has_value = prefix->length == 128;
        policy->value = address_of(&prefix->ip);
        break;
    default:
        policy->match = DNSTAP__POLICY__MATCH__QNAME;
        policy->value = record->via_length != 0 ? binary(record->names + record->qname_length, record->via_length)
                                                : binary(record->names, record->qname_length);
    }
}

static void fill_message(Dnstap__Message *message, const struct record *record) {
    static const Dnstap__SocketProtocol protocols[PROTOCOL_COUNT] = {
        [PROTOCOL_UDP] = DNSTAP__SOCKET_PROTOCOL__UDP,
        [PROTOCOL_TCP] = DNSTAP__SOCKET_PROTOCOL__TCP,
        [PROTOCOL_TLS] = DNSTAP__SOCKET_PROTOCOL__DOT,
        [PROTOCOL_HTTPS] = DNSTAP__SOCKET_PROTOCOL__DOH,
    };
    const uint8_t *octets = record->names + record->qname_length + record->via_length;
    bool response = record->message_length > 2 && (octets[2] & 0x80) != 0;
    message->has_socket_family = message->has_socket_protocol = message->has_query_address = message->has_query_port = true;
    message->socket_family = ip_is_v4(&record->client) ? DNSTAP__SOCKET_FAMILY__INET : DNSTAP__SOCKET_FAMILY__INET6;
    message->socket_protocol = protocols[record->protocol];
    message->query_address = address_of(&record->client);
    message->query_port = record->client_port;
    if (response) {
        message->type = DNSTAP__MESSAGE__TYPE__CLIENT_RESPONSE;
        message->has_response_time_sec = message->has_response_time_nsec = message->has_response_message = true;
        message->response_time_sec = record->ts_us / 1000000;
        message->response_time_nsec = (uint32_t)(record->ts_us % 1000000) * 1000;
        message->response_message = binary(octets, record->message_length);
    } else {
        message->type = DNSTAP__MESSAGE__TYPE__CLIENT_QUERY;
        message->has_query_time_sec = message->has_query_time_nsec = message->has_query_message = true;
        message->query_time_sec = record->ts_us / 1000000;
        message->query_time_nsec = (uint32_t)(record->ts_us % 1000000) * 1000;
        message->query_message = binary(octets, record->message_length);
    }
}

static void submit(struct dnstap *dnstap, Dnstap__Dnstap *frame) {
    size_t length = dnstap__dnstap__get_packed_size(frame);
    uint8_t *octets = malloc(length);
    if (octets == NULL) {
        atomic_fetch_add(&dnstap->lost, 1);
        return;
    }
    dnstap__dnstap__pack(frame, octets);
    if (fstrm_iothr_submit(dnstap->thread, dnstap->queue, octets, length, fstrm_free_wrapper, NULL) != fstrm_res_success) {
        free(octets);
        atomic_fetch_add(&dnstap->lost, 1);
        return;
    }
    atomic_fetch_add(&dnstap->sent, 1);
}

void dnstap_put(struct dnstap *dnstap, const struct record *record) {
    Dnstap__Dnstap frame = DNSTAP__DNSTAP__INIT;
    Dnstap__Message message = DNSTAP__MESSAGE__INIT;
    Dnstap__Policy policy = DNSTAP__POLICY__INIT;
    struct rule_info info;
    struct prefix prefix = {0};
    uint8_t owner[NAME_WIRE_MAX];
    frame.type = DNSTAP__DNSTAP__TYPE__MESSAGE;
    frame.message = &message;
    frame.has_identity = frame.has_version = true;
    frame.identity = binary(dnstap->identity, strlen(dnstap->identity));
    frame.version = binary("sundew " SUNDEW_VERSION, strlen("sundew " SUNDEW_VERSION));
    fill_message(&message, record);
    if (record->snapshot != NULL && snapshot_rule(record->snapshot, record->rule, &info) == 0) {
        message.policy = &policy;
        policy.type = (char *)(uintptr_t) "RPZ";
        policy.rule = binary(owner, rule_owner(&info, &prefix, owner));
        policy.has_rule = policy.rule.len != 0;
        fill_action(&policy, record->action);
        fill_match(&policy, record, &prefix);
    }
    submit(dnstap, &frame);
}

uint64_t dnstap_sent(const struct dnstap *dnstap) {
    return dnstap == NULL ? 0 : atomic_load(&dnstap->sent);
}

uint64_t dnstap_lost(const struct dnstap *dnstap) {
    return dnstap == NULL ? 0 : atomic_load(&dnstap->lost);
}
