/* config/digest.c: the digest of what decides a compiled policy's meaning.
 *
 * FNV-1a of 128 bits over a canonical rendering: it tells an operator's own configurations apart, and nobody gains by a collision
 * but against themselves, so no cryptographic library is linked for it. */
#include <stdio.h>
#include <string.h>

#include "config/config.h"

struct digest {
    unsigned __int128 state;
};

static void add(struct digest *digest, const void *data, size_t length) {
    const uint8_t *octets = data;
    const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13B;
    for (size_t i = 0; i < length; i++)
        digest->state = (digest->state ^ octets[i]) * prime;
}

/* Every value goes in with its length (or a mark for NULL), so that neighbours can't run together. */
static void add_text(struct digest *digest, const char *text) {
    uint64_t length = text ? strlen(text) : UINT64_MAX;
    add(digest, &length, sizeof length);
    if (text)
        add(digest, text, strlen(text));
}

static void add_number(struct digest *digest, int64_t number) {
    add(digest, &number, sizeof number);
}

static void add_texts(struct digest *digest, char *const *texts, size_t count) {
    add_number(digest, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        add_text(digest, texts[i]);
}

static void add_prefixes(struct digest *digest, const struct prefix *prefixes, size_t count) {
    add_number(digest, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        add(digest, prefixes[i].ip.bytes, sizeof prefixes[i].ip.bytes);
        add_number(digest, prefixes[i].length);
    }
}

static void add_policy(struct digest *digest, const struct config *config) {
    add_number(digest, (int64_t)config->policy.action);
    add_number(digest, config->policy.ttl);
    add(digest, config->policy.loopback.bytes, sizeof config->policy.loopback.bytes);
    add_number(digest, config->policy.has_ipv4 | config->policy.has_ipv6 << 1);
    add(digest, config->policy.sinkhole_ipv4.bytes, sizeof config->policy.sinkhole_ipv4.bytes);
    add(digest, config->policy.sinkhole_ipv6.bytes, sizeof config->policy.sinkhole_ipv6.bytes);
    add_number(digest, config->policy.break_dnssec | config->policy.extended_errors << 1);
    add_texts(digest, config->policy.never_block, config->policy.never_block_count);
}

static void add_zone(struct digest *digest, const struct zone_config *zone) {
    add_text(digest, zone->name);
    add_text(digest, zone->source);
    add_text(digest, zone->builtin);
    add_text(digest, zone->format);
    add_text(digest, zone->target);
    add_text(digest, zone->post);
    const int64_t numbers[] = {
        zone->action,         zone->ttl,         zone->match,           (int64_t)zone->mode, zone->confidence,
        zone->min_confidence, zone->max_age,     zone->window,          (int64_t)zone->urls, zone->max_rules,
        zone->max_shrink,     zone->max_grow,    zone->max_size,        zone->refang,        zone->exclude_compromised,
        zone->to_ids,         zone->clients_set, zone->threat_types_set};
    add(digest, numbers, sizeof numbers);
    add_texts(digest, zone->families, zone->family_count);
    add_texts(digest, zone->exclude_families, zone->exclude_family_count);
    add_texts(digest, zone->threat_types, zone->threat_type_count);
    add_prefixes(digest, zone->clients, zone->client_count);
}

void config_policy_digest(const struct config *config, uint8_t out[16]) {
    struct digest digest = {((unsigned __int128)0x6C62272E07BB0142 << 64) | 0x62B821756295C58D};
    add_text(&digest, "sundew policy 1");
    add_policy(&digest, config);
    add_number(&digest, (int64_t)config->zone_count);
    for (size_t i = 0; i < config->zone_count; i++)
        add_zone(&digest, &config->zones[i]);
    /* Forwarders are guarded names. Those of resolv.conf come and go with the network and have no names: left out. */
    for (size_t i = 0; i < config->forward_count && !config->forward_from_system; i++) {
        add(&digest, config->forward[i].zone.wire, config->forward[i].zone.length);
        for (size_t j = 0; j < config->forward[i].to_count; j++)
            add_text(&digest, config->forward[i].to[j].text);
    }
    for (size_t i = 0; i < 16; i++)
        out[i] = (uint8_t)(digest.state >> (8 * (15 - i)));
}
