/* config/check.c: the faults that one value alone doesn't show: what contradicts, repeats, or misses something else. */
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "config/build.h"
#include "config/value.h"
#include "policy/idna.h"

static const struct node *element(const struct node *array, size_t index) {
    const struct node *node = array && array->kind == JSON_ARRAY ? array->child : NULL;
    while (node && index--)
        node = node->next;
    return node && node->kind == JSON_OBJECT ? node : NULL;
}

/* Elements that were refused are not in the array, so the two sides are matched by their text. */
static const struct node *written_as(const struct node *array, const char *text, size_t nth) {
    for (const struct node *n = array && array->kind == JSON_ARRAY ? array->child : NULL; n; n = n->next) {
        if (n->kind == JSON_STRING && strcmp(n->text, text) == 0 && nth-- == 0)
            return n;
    }
    return NULL;
}

static bool is_any(const struct endpoint *endpoint) {
    static const uint8_t zero[16];
    struct ip ip = value_address(&endpoint->address);
    return ip_is_v4(&ip) ? memcmp(ip.bytes + 12, zero, 4) == 0 : memcmp(ip.bytes, zero, 16) == 0;
}

bool config_same_place(const struct endpoint *listen, const struct endpoint *other) {
    struct ip a = value_address(&listen->address), b = value_address(&other->address);
    const struct ip v6_loopback = {{[15] = 1}};
    if (value_port(&listen->address) != value_port(&other->address))
        return false;
    bool loopback = ip_is_v4(&b) ? b.bytes[12] == 127 : ip_equal(&b, &v6_loopback);
    return ip_equal(&a, &b) || (is_any(listen) && loopback && listen->address.ss_family == other->address.ss_family);
}

static void check_listen(struct build *build, const struct node *root) {
    const struct config *config = build->config;
    const struct node *array = node_get(root, "listen");
    if (array && array->kind == JSON_ARRAY && !array->child)
        fault_at(build->faults, array, "is empty: there would be nothing to answer on");
    for (size_t i = 0; i < config->listen_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct endpoint *a = &config->listen[i], *b = &config->listen[j];
            struct ip x = value_address(&a->address), y = value_address(&b->address);
            if (!ip_equal(&x, &y) || value_port(&a->address) != value_port(&b->address))
                continue;
            const struct node *node = written_as(array, a->text, strcmp(a->text, b->text) == 0);
            if (node)
                fault_at(build->faults, node, "is listened on already");
            break;
        }
    }
    const struct node *control = node_get(root, "control");
    if (control && config->control && strlen(config->control) >= sizeof((struct sockaddr_un *)0)->sun_path)
        fault_at(build->faults, control, "is too long for a socket's path (107 octets)");
}

static void check_servers(struct build *build, const struct forward *forward, const struct node *to) {
    const struct config *config = build->config;
    if (to->kind == JSON_ARRAY && !to->child)
        fault_at(build->faults, to, "is empty: there is nobody to ask");
    for (size_t i = 0; i < forward->to_count; i++) {
        const struct node *node = written_as(to, forward->to[i].text, 0);
        for (size_t j = 0; node && j < config->listen_count; j++) {
            if (config_same_place(&config->listen[j], &forward->to[i])) {
                fault_at(build->faults, node, "is this daemon itself (\"listen\")");
                break;
            }
        }
    }
}

static void check_forward(struct build *build, const struct node *root) {
    const struct config *config = build->config;
    const struct node *array = node_get(root, "forward");
    for (size_t i = 0; i < config->forward_count; i++) {
        const struct node *object = element(array, i);
        if (!object)
            continue;
        const struct node *zone = node_get(object, "zone"), *to = node_get(object, "to");
        if (!zone)
            fault_missing(build->faults, object, "zone", "is missing (\".\" is all names)");
        if (!to)
            fault_missing(build->faults, object, "to", "is missing: the servers to ask, as in [\"dns://192.0.2.53\"]");
        else
            check_servers(build, &config->forward[i], to);
        for (size_t j = 0; zone && config->forward[i].zone.length && j < i; j++) {
            if (name_equal(&config->forward[i].zone, &config->forward[j].zone)) {
                fault_at(build->faults, zone, "is given already in forward[%zu]", j);
                break;
            }
        }
    }
}

static void check_action(struct build *build, const struct node *node, int action, const char *target) {
    const struct config *config = build->config;
    if (!node)
        return;
    if (action == ACTION_SINKHOLE && !config->policy.has_ipv4 && !config->policy.has_ipv6)
        fault_at(build->faults, node, "sinkhole needs policy.sinkhole.ipv4 or policy.sinkhole.ipv6");
    else if (action == ACTION_CNAME && !target)
        fault_at(build->faults, node, "cname needs a \"target\" beside it");
    else if (action == ACTION_LOCAL)
        fault_at(build->faults, node, "local is for single rules: it needs their \"records\"");
}

static void check_target(struct build *build, const struct node *node) {
    struct name name;
    const char *why = "no memory";
    if (!node || node->kind != JSON_STRING || !node->length)
        return;
    size_t skip = strncmp(node->text, "*.", 2) == 0 ? 2 : 0;
    if (name_from_unicode(&name, node->text + skip, node->length - skip, &why) < 0)
        fault_at(build->faults, node, "not a domain name: %s", why);
}

static void check_source(struct build *build, const struct zone_config *zone, const struct node *object) {
    const struct node *source = node_get(object, "source"), *rules = node_get(object, "rules"),
                      *format = node_get(object, "format");
    if (!source && !rules)
        fault_missing(build->faults, object, "source", "is missing: a file, a glob, or an http(s) URL");
    if (source && rules)
        fault_key(build->faults, rules, "a zone has either \"source\" or \"rules\"");
    if (rules && format && zone->format && strcmp(zone->format, "sundew") != 0)
        fault_at(build->faults, format, "\"rules\" are always of format \"sundew\"");
    if (format && zone->format && strcmp(zone->format, "warninglist") == 0 && zone->action != ACTION_PASSTHRU)
        fault_at(build->faults, format, "a warninglist names what must not be blocked: it belongs into policy.never_block");
    if (zone->password_file && !zone->username)
        fault_key(build->faults, node_get(object, "password_file"), "needs a \"username\" beside it");
    const struct node *clients = node_get(object, "clients");
    if (clients && clients->kind == JSON_ARRAY && !clients->child)
        fault_at(build->faults, clients, "is empty: the zone would hold for nobody (without it, for all)");
}

static void check_zones(struct build *build, const struct node *root) {
    const struct config *config = build->config;
    const struct node *array = node_get(root, "zones");
    for (size_t i = 0; i < config->zone_count; i++) {
        struct zone_config *zone = &build->config->zones[i];
        const struct node *object = element(array, i), *name = node_get(object, "name");
        if (!object)
            continue;
        zone->line = object->line;
        if (!name)
            fault_missing(build->faults, object, "name", "is missing");
        check_source(build, zone, object);
        check_action(build, node_get(object, "action"), zone->action, zone->target);
        check_target(build, node_get(object, "target"));
        for (size_t j = 0; zone->name && j < i; j++) {
            if (config->zones[j].name && strcmp(zone->name, config->zones[j].name) == 0) {
                fault_at(build->faults, name, "is the name of zones[%zu] already", j);
                break;
            }
        }
    }
}

static void check_leases(struct build *build, const struct node *root) {
    const struct node *array = node_get(node_get(root, "clients"), "leases");
    for (size_t i = 0; i < build->config->clients.lease_count; i++) {
        const struct node *object = element(array, i);
        if (object && !node_get(object, "format"))
            fault_missing(build->faults, object, "format", "is missing: dnsmasq, kea or isc-dhcpd");
        if (object && !node_get(object, "path"))
            fault_missing(build->faults, object, "path", "is missing");
    }
}

static void check_http(struct build *build, const struct node *root) {
    const struct config *config = build->config;
    const struct node *listen = node_get(node_get(root, "http"), "listen");
    struct ip ip = value_address(&config->http.address);
    const struct ip v6_loopback = {{[15] = 1}};
    bool loopback = ip_is_v4(&ip) ? ip.bytes[12] == 127 : ip_equal(&ip, &v6_loopback);
    if (listen && listen->kind == JSON_STRING && !loopback && !config->http.token_file)
        fault_at(build->faults, listen, "needs http.token_file: without one, only a loopback address is served");
}

void build_check(struct build *build, const struct node *root) {
    const struct config *config = build->config;
    const struct node *cache = node_get(root, "cache"), *policy = node_get(root, "policy"), *dnstap = node_get(root, "dnstap");
    const struct node *min_ttl = node_get(cache, "min_ttl"), *max_ttl = node_get(cache, "max_ttl");
    check_listen(build, root);
    check_forward(build, root);
    if ((min_ttl || max_ttl) && config->cache.min_ttl > config->cache.max_ttl)
        fault_at(build->faults, min_ttl ? min_ttl : max_ttl, "cache.min_ttl is above cache.max_ttl");
    check_action(build, node_get(policy, "action"), (int)config->policy.action, NULL);
    check_zones(build, root);
    check_leases(build, root);
    check_http(build, root);
    if (config->dnstap.socket && config->dnstap.tcp)
        fault_key(build->faults, node_get(dnstap, "tcp"), "either \"socket\" or \"tcp\"");
}
