/* hits/dnstap.c: records to protobuf frames to libfstrm's queue. See dnstap.h. */
#include "hits/dnstap.h"

#include <errno.h>
#include <fstrm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "hits/dnstap.pb-c.h"
#include "hits/dnstap_link.h"
#include "hits/text.h"

enum {
    QUEUE_FRAMES = 16384,  /* that may wait for the collector: as many as libfstrm allows */
    RECONNECT_SECONDS = 2, /* between attempts */
    IDENTITY_MAX = 256,
};

static const char content_type[] = "protobuf:dnstap.Dnstap";

struct dnstap {
    struct fstrm_iothr *thread;
    struct fstrm_iothr_queue *queue;
    struct dnstap_link link;
    struct dnstap_counts *counts;
    struct text extra; /* of the frame in work */
    char identity[IDENTITY_MAX];
};

static int set_address(struct dnstap_link *link, const struct config *config) {
    struct sockaddr_un *address = (struct sockaddr_un *)&link->address;
    if (config->dnstap.socket == NULL) {
        link->address = config->dnstap.tcp->address;
        link->address_length = config->dnstap.tcp->address_length;
        return 0;
    }
    size_t length = strlen(config->dnstap.socket);
    if (length >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, config->dnstap.socket, length + 1);
    link->address_length = sizeof *address;
    return 0;
}

/* libfstrm's thread, which takes over what it is given. */
static int start_thread(struct dnstap *dnstap) {
    struct fstrm_writer_options *writer_options = fstrm_writer_options_init();
    fstrm_writer_options_add_content_type(writer_options, content_type, sizeof content_type - 1);
    struct fstrm_writer *writer = dnstap_link_writer(&dnstap->link, writer_options);
    fstrm_writer_options_destroy(&writer_options);
    if (writer == NULL)
        return -ENOMEM;
    struct fstrm_iothr_options *options = fstrm_iothr_options_init();
    fstrm_iothr_options_set_input_queue_size(options, QUEUE_FRAMES);
    fstrm_iothr_options_set_reopen_interval(options, RECONNECT_SECONDS);
    dnstap->thread = fstrm_iothr_init(options, &writer);
    fstrm_iothr_options_destroy(&options);
    dnstap->queue = dnstap->thread == NULL ? NULL : fstrm_iothr_get_input_queue(dnstap->thread);
    fstrm_writer_destroy(&writer); /* NULL where the thread has it */
    return dnstap->queue == NULL ? -EAGAIN : 0;
}

int dnstap_open(struct dnstap **result, const struct config *config, struct dnstap_counts *counts, const char **why) {
    *result = NULL;
    if (config->dnstap.socket == NULL && config->dnstap.tcp == NULL)
        return 0;
    struct dnstap *dnstap = calloc(1, sizeof *dnstap);
    if (dnstap == NULL) {
        *why = "out of memory";
        return -ENOMEM;
    }
    dnstap->counts = counts;
    if (gethostname(dnstap->identity, sizeof dnstap->identity - 1) != 0)
        strcpy(dnstap->identity, "sundew");
    int error = set_address(&dnstap->link, config);
    *why = "the socket's path is too long: at most 107 octets";
    if (error == 0) {
        error = start_thread(dnstap);
        *why = "libfstrm's thread can't be started";
    }
    if (error != 0)
        dnstap_close(dnstap);
    else
        *result = dnstap;
    return error;
}

void dnstap_close(struct dnstap *dnstap) {
    if (dnstap == NULL)
        return;
    dnstap_link_end(&dnstap->link);
    fstrm_iothr_destroy(&dnstap->thread);
    text_free(&dnstap->extra);
    free(dnstap);
}

bool dnstap_same_target(const struct config *a, const struct config *b) {
    const char *const texts[][2] = {
        {a->dnstap.socket, b->dnstap.socket},
        {a->dnstap.tcp != NULL ? a->dnstap.tcp->text : NULL, b->dnstap.tcp != NULL ? b->dnstap.tcp->text : NULL}};
    for (size_t i = 0; i < 2; i++) {
        if ((texts[i][0] == NULL) != (texts[i][1] == NULL) || (texts[i][0] != NULL && strcmp(texts[i][0], texts[i][1]) != 0))
            return false;
    }
    return true;
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

/* "The policy action taken in response to the rule match": a monitored rule's is to let the answer pass. */
static void fill_action(Dnstap__Policy *policy, const struct record *record) {
    static const int actions[ACTION_COUNT] = {
        [ACTION_LOOPBACK] = DNSTAP__POLICY__ACTION__LOCAL_DATA, [ACTION_SINKHOLE] = DNSTAP__POLICY__ACTION__LOCAL_DATA,
        [ACTION_CNAME] = DNSTAP__POLICY__ACTION__LOCAL_DATA,    [ACTION_LOCAL] = DNSTAP__POLICY__ACTION__LOCAL_DATA,
        [ACTION_NXDOMAIN] = DNSTAP__POLICY__ACTION__NXDOMAIN,   [ACTION_NODATA] = DNSTAP__POLICY__ACTION__NODATA,
        [ACTION_PASSTHRU] = DNSTAP__POLICY__ACTION__PASS,       [ACTION_DROP] = DNSTAP__POLICY__ACTION__DROP,
        [ACTION_TRUNCATE] = DNSTAP__POLICY__ACTION__TRUNCATE,   [ACTION_REFUSED] = 0,
    };
    int action = record->mode == MODE_MONITOR    ? DNSTAP__POLICY__ACTION__PASS
                 : record->action < ACTION_COUNT ? actions[record->action]
                                                 : 0;
    policy->has_action = action != 0;
    policy->action = action != 0 ? (Dnstap__Policy__Action)action : DNSTAP__POLICY__ACTION__LOCAL_DATA;
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
    uint64_t asked_us = record->ts_us - (uint64_t)record->waited_ms * 1000;
    message->type = response ? DNSTAP__MESSAGE__TYPE__CLIENT_RESPONSE : DNSTAP__MESSAGE__TYPE__CLIENT_QUERY;
    message->has_query_time_sec = message->has_query_time_nsec = true;
    message->query_time_sec = asked_us / 1000000;
    message->query_time_nsec = (uint32_t)(asked_us % 1000000) * 1000;
    message->has_query_message = !response;
    if (!response) {
        message->query_message = binary(octets, record->message_length);
        return;
    }
    message->has_response_time_sec = message->has_response_time_nsec = message->has_response_message = true;
    message->response_time_sec = record->ts_us / 1000000;
    message->response_time_nsec = (uint32_t)(record->ts_us % 1000000) * 1000;
    message->response_message = binary(octets, record->message_length);
}

/* libfstrm is done with a frame: written, or thrown away for want of a connection. */
static void release(void *octets, void *context) {
    struct dnstap *dnstap = context;
    free(octets);
    atomic_fetch_add(dnstap->link.connected ? &dnstap->counts->sent : &dnstap->counts->lost, 1);
}

static void submit(struct dnstap *dnstap, const Dnstap__Dnstap *frame) {
    size_t length = dnstap__dnstap__get_packed_size(frame);
    uint8_t *octets = malloc(length);
    if (octets != NULL) {
        dnstap__dnstap__pack(frame, octets);
        if (fstrm_iothr_submit(dnstap->thread, dnstap->queue, octets, length, release, dnstap) == fstrm_res_success)
            return;
        free(octets);
    }
    atomic_fetch_add(&dnstap->counts->lost, 1);
}

static void put_extra(struct text *text, const char *name, const char *value) {
    text_string(text, name);
    text_json(text, value, strlen(value));
}

static ProtobufCBinaryData extra(struct dnstap *dnstap, const struct rule_info *info, const struct record *record) {
    struct text *text = &dnstap->extra;
    text->length = 0;
    put_extra(text, "{\"zone\":", info->zone_name);
    put_extra(text, ",\"action\":", action_name((enum action)record->action));
    put_extra(text, ",\"mode\":", mode_name((enum mode)record->mode));
    text_string(text, "}");
    return binary(text->data, text->failed ? 0 : text->length);
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
        fill_action(&policy, record);
        fill_match(&policy, record, &prefix);
        frame.extra = extra(dnstap, &info, record);
        frame.has_extra = frame.extra.len > 0;
    }
    submit(dnstap, &frame);
}
