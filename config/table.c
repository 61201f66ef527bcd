/* config/table.c: every key of the configuration, once. */
#include "config/table.h"

#include <string.h>

static const char *const action_words[] = {"loopback", "sinkhole", "nxdomain", "nodata", "refused", "drop",
                                           "truncate", "passthru", "cname",    "local",  NULL};
_Static_assert(sizeof action_words / sizeof *action_words == ACTION_COUNT + 1, "a word for every action, in the enum's order");
_Static_assert(ACTION_LOOPBACK == 0 && ACTION_TRUNCATE == 6 && ACTION_LOCAL == 9, "a word for every action, in the enum's order");

static const char *const match_words[] = {"exact", "below", "subtree", NULL};
_Static_assert(MATCH_EXACT == 0 && MATCH_BELOW == 1 && MATCH_SUBTREE == 2, "in the enum's order");

static const char *const mode_words[] = {"enforce", "monitor", NULL};
_Static_assert(MODE_ENFORCE == 0 && MODE_MONITOR == 1, "in the enum's order");

static const char *const urls_words[] = {"never", "hosts", NULL};
_Static_assert(URLS_NEVER == 0 && URLS_HOSTS == 1, "in the enum's order");

static const char *const format_words[] = {"sundew", "threatfox",   "feodo",   "urlhaus", "misp",    "stix", "taxii",
                                           "otx",    "warninglist", "domains", "hosts",   "adblock", "rpz",  NULL};
static const char *const lease_words[] = {"dnsmasq", "kea", "isc-dhcpd", NULL};

#define TTL_MAX RULE_TTL_MAX
#define LARGEST INT64_MAX
#define DAY 86400LL
#define YEAR (366 * DAY)
#define KILO (1LL << 10)
#define TERA (1LL << 40)

#define AT(member) .offset = offsetof(struct config, member)
#define ARRAY(member, counter) AT(member), .count = offsetof(struct config, counter)
#define ZONE(member) .offset = offsetof(struct zone_config, member)
#define ZONE_ARRAY(member, counter) ZONE(member), .count = offsetof(struct zone_config, counter)
#define ON(member) .flag = offsetof(struct config, member)
#define BETWEEN(low, high) .min = (low), .max = (high)
#define U32 .store = STORE_U32
#define I64 .store = STORE_I64
#define OR_NULL .nullable = true

#define ALLOWED                                                                                                                    \
    "[\"127.0.0.0/8\", \"::1\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"169.254.0.0/16\", \"fc00::/7\", "         \
    "\"fe80::/10\"]"

const struct key config_table[] = {
    {"listen", TYPE_ENDPOINTS, ARRAY(listen, listen_count), .fallback = "[\"dns://127.0.0.1:53\", \"dns://[::1]:53\"]",
     .help = "addresses to answer on"},
    {"allow", TYPE_PREFIXES, ARRAY(allow, allow_count), .fallback = ALLOWED,
     .help = "clients that are answered; others get REFUSED"},
    {"workers", TYPE_INTEGER, STORE_UNSIGNED, BETWEEN(0, 256), AT(workers), .fallback = "0", .help = "threads; 0: one a core"},
    {"state_dir", TYPE_PATH, AT(state_dir), .help = "folder for the snapshot, saved feeds, ledger and history"},
    {"control", TYPE_PATH, AT(control), OR_NULL, .help = "the control socket"},

    {"forward", TYPE_OBJECTS, ARRAY(forward, forward_count), .size = sizeof(struct forward),
     .help = "who is asked for which names"},
    {"forward[].zone", TYPE_NAME, .offset = offsetof(struct forward, zone),
     .help = "the name that this entry is for, with all below it"},
    {"forward[].to", TYPE_ENDPOINTS, .offset = offsetof(struct forward, to), .count = offsetof(struct forward, to_count),
     .help = "its servers, the healthiest and fastest of which is asked first"},

    {"cache", TYPE_OBJECT, .help = "the cache of upstream's answers"},
    {"cache.size", TYPE_SIZE, STORE_SIZE, BETWEEN(64 * KILO, TERA), AT(cache.size), .fallback = "\"128M\"",
     .help = "memory for answers"},
    {"cache.min_ttl", TYPE_DURATION, U32, BETWEEN(0, DAY), AT(cache.min_ttl), .fallback = "0",
     .help = "answers are kept at least so long"},
    {"cache.max_ttl", TYPE_DURATION, U32, BETWEEN(0, TTL_MAX), AT(cache.max_ttl), .fallback = "\"1d\"",
     .help = "answers are kept at most so long"},
    {"cache.max_negative_ttl", TYPE_DURATION, U32, BETWEEN(0, TTL_MAX), AT(cache.max_negative_ttl), .fallback = "\"1h\"",
     .help = "the same for NXDOMAIN and no data"},
    {"cache.serve_stale", TYPE_DURATION, U32, BETWEEN(0, YEAR), AT(cache.serve_stale), .fallback = "\"1d\"",
     .help = "how long after its end an answer may still be given when no server answers; 0: never"},
    {"cache.prefetch", TYPE_BOOL, AT(cache.prefetch), .fallback = "true", .help = "popular answers are renewed before they end"},

    {"policy", TYPE_OBJECT, .help = "what holds for every zone that says nothing else"},
    {"policy.action", TYPE_WORD, STORE_INT, AT(policy.action), .words = action_words, .fallback = "\"loopback\"",
     .help = "the action of a rule"},
    {"policy.ttl", TYPE_TTL, U32, BETWEEN(0, TTL_MAX), AT(policy.ttl), .fallback = "\"max\"",
     .help = "the TTL of what sundew makes"},
    {"policy.loopback", TYPE_IPV4, AT(policy.loopback), .fallback = "\"127.0.0.3\"", .help = "the address of action loopback"},
    {"policy.sinkhole", TYPE_OBJECT, .help = "the addresses of action sinkhole"},
    {"policy.sinkhole.ipv4", TYPE_IPV4, AT(policy.sinkhole_ipv4), ON(policy.has_ipv4), OR_NULL, .help = "the answer to A"},
    {"policy.sinkhole.ipv6", TYPE_IPV6, AT(policy.sinkhole_ipv6), ON(policy.has_ipv6), OR_NULL, .help = "the answer to AAAA"},
    {"policy.break_dnssec", TYPE_BOOL, AT(policy.break_dnssec), .fallback = "true",
     .help = "rules hold for signed answers to clients that set DO, too"},
    {"policy.extended_errors", TYPE_BOOL, AT(policy.extended_errors), .fallback = "true", .help = "answers say why (RFC 8914)"},
    {"policy.never_block", TYPE_PROTECTED, ARRAY(policy.never_block, policy.never_block_count),
     .help = "names, and files of names, that no zone may answer for"},

    {"popular", TYPE_PROTECTED, ARRAY(popular, popular_count),
     .help = "names, and files of names, that sundew preview warns of besides those it knows"},

    {"zones", TYPE_OBJECTS, ARRAY(zones, zone_count), .size = sizeof(struct zone_config),
     .help = "policy zones, the first decides"},
    {"zones[].name", TYPE_TEXT, BETWEEN(1, 64), ZONE(name), .help = "what hits and sundew zones call it"},
    {"zones[].description", TYPE_COMMENT, .help = "for people"},
    {"zones[].source", TYPE_SOURCE, ZONE(source), .help = "a file, a glob, or an http(s) URL"},
    {"zones[].rules", TYPE_RULES, ZONE(builtin), .help = "rules written here instead of a source"},
    {"zones[].format", TYPE_WORD_TEXT, ZONE(format), .words = format_words, .help = "the format of the source"},
    {"zones[].action", TYPE_WORD, STORE_INT, ZONE(action), .words = action_words, .help = "the action of its rules"},
    {"zones[].ttl", TYPE_TTL, I64, BETWEEN(0, TTL_MAX), ZONE(ttl), .help = "the TTL of what sundew makes"},
    {"zones[].match", TYPE_WORD, STORE_INT, ZONE(match), .words = match_words, .help = "what a name stands for"},
    {"zones[].target", TYPE_TEXT, BETWEEN(1, 1010), ZONE(target), .help = "the target of action cname"},
    {"zones[].mode", TYPE_WORD, STORE_INT, ZONE(mode), .words = mode_words, .help = "enforce, or only log"},
    {"zones[].confidence", TYPE_INTEGER, STORE_INT, BETWEEN(0, 100), ZONE(confidence), .help = "of rules that state none"},
    {"zones[].min_confidence", TYPE_INTEGER, STORE_INT, BETWEEN(0, 100), ZONE(min_confidence), .help = "rules below are left out"},
    {"zones[].max_age", TYPE_DURATION, I64, BETWEEN(1, 100 * YEAR), ZONE(max_age),
     .help = "rules not seen for so long are left out"},
    {"zones[].window", TYPE_TRISTATE, ZONE(window), .help = "absence from a fetch is not removal"},
    {"zones[].refresh", TYPE_DURATION, I64, BETWEEN(1, YEAR), ZONE(refresh), .fallback = "\"1h\"", .help = "time between fetches"},
    {"zones[].families", TYPE_TEXTS, ZONE_ARRAY(families, family_count), .help = "only these malware families"},
    {"zones[].exclude_families", TYPE_TEXTS, ZONE_ARRAY(exclude_families, exclude_family_count), .help = "not these"},
    {"zones[].threat_types", TYPE_TEXTS, ZONE_ARRAY(threat_types, threat_type_count),
     .flag = offsetof(struct zone_config, threat_types_set), .help = "only these threat types"},
    {"zones[].exclude_compromised", TYPE_BOOL, ZONE(exclude_compromised), .fallback = "false",
     .help = "leaves out hacked sites of others"},
    {"zones[].to_ids", TYPE_BOOL, ZONE(to_ids), .fallback = "true", .help = "only what MISP marks for detection"},
    {"zones[].urls", TYPE_WORD, STORE_INT, ZONE(urls), .words = urls_words, .fallback = "\"never\"", .help = "hosts out of URLs"},
    {"zones[].max_rules", TYPE_INTEGER, I64, BETWEEN(1, LARGEST), ZONE(max_rules), .help = "more are refused"},
    {"zones[].max_shrink", TYPE_INTEGER, STORE_INT, BETWEEN(0, 100), ZONE(max_shrink), .fallback = "50",
     .help = "per cent that a snapshot may lose unconfirmed"},
    {"zones[].max_grow", TYPE_INTEGER, STORE_INT, BETWEEN(0, 1000000), ZONE(max_grow),
     .help = "per cent that it may gain unconfirmed"},
    {"zones[].max_size", TYPE_SIZE, I64, BETWEEN(1, TERA), ZONE(max_size), .fallback = "\"512M\"", .help = "of a body, unpacked"},
    {"zones[].refang", TYPE_BOOL, ZONE(refang), .fallback = "false", .help = "reads hxxp and [.] as they are meant"},
    {"zones[].headers_file", TYPE_SECRET, ZONE(headers_file), OR_NULL, .help = "HTTP headers to send, one a line"},
    {"zones[].ca_file", TYPE_SECRET, ZONE(ca_file), OR_NULL, .help = "certificates that its server is checked with"},
    {"zones[].username", TYPE_TEXT, BETWEEN(1, 1024), ZONE(username), OR_NULL, .help = "for HTTP basic authentication"},
    {"zones[].password_file", TYPE_SECRET, ZONE(password_file), OR_NULL, .help = "its password, on the first line"},
    {"zones[].proxy", TYPE_URL, ZONE(proxy), OR_NULL, .help = "an HTTP proxy"},
    {"zones[].post", TYPE_BODY, ZONE(post), OR_NULL, .help = "makes the fetch a POST with this JSON body"},
    {"zones[].clients", TYPE_PREFIXES, ZONE_ARRAY(clients, client_count), .flag = offsetof(struct zone_config, clients_set),
     .help = "the zone holds for these clients only"},

    {"log", TYPE_OBJECT, .help = "what is written down"},
    {"log.hits", TYPE_PATH, AT(log.hits), OR_NULL, .help = "the hit log"},
    {"log.repeat", TYPE_DURATION, U32, BETWEEN(0, DAY), AT(log.repeat), .fallback = "\"60s\"",
     .help = "repeats within are counted, not written"},
    {"log.queries", TYPE_PATH, AT(log.queries), OR_NULL, .help = "a log of all queries"},
    {"log.syslog", TYPE_SYSLOG, AT(log.syslog), OR_NULL, .fallback = "false",
     .help = "hits go to syslog, too: true is the local one, or where a collector is"},

    {"clients", TYPE_OBJECT, .help = "who clients are"},
    {"clients.leases", TYPE_OBJECTS, ARRAY(clients.leases, clients.lease_count), .size = sizeof(struct lease_config),
     .help = "lease files of DHCP servers"},
    {"clients.leases[].format", TYPE_WORD_TEXT, .offset = offsetof(struct lease_config, format), .words = lease_words,
     .help = "whose lease file it is"},
    {"clients.leases[].path", TYPE_PATH, .offset = offsetof(struct lease_config, path), .help = "where it is"},
    {"clients.trust", TYPE_PREFIXES, ARRAY(clients.trust, clients.trust_count),
     .help = "senders whose word on the client is believed (EDNS option 65001, PROXY protocol)"},
    {"clients.keep", TYPE_DURATION, I64, BETWEEN(60, 100 * YEAR), AT(clients.keep), .fallback = "\"90d\"",
     .help = "how long the ledger remembers"},
    {"clients.max_size", TYPE_SIZE, I64, BETWEEN(1024 * KILO, TERA), AT(clients.max_size), .fallback = "\"1G\"",
     .help = "of the ledger"},

    {"history", TYPE_OBJECT, OR_NULL, ON(history.enabled), .help = "what clients asked for lately; null: not remembered"},
    {"history.keep", TYPE_DURATION, I64, BETWEEN(60, YEAR), AT(history.keep), .fallback = "\"7d\"", .help = "how long"},
    {"history.max_size", TYPE_SIZE, I64, BETWEEN(1024 * KILO, TERA), AT(history.max_size), .fallback = "\"256M\"", .help = "of it"},

    {"http", TYPE_OBJECT, OR_NULL, ON(http.enabled), .help = "metrics, page and API; absent or null: off"},
    {"http.listen", TYPE_SOCKET, ARRAY(http.address, http.address_length), .fallback = "\"127.0.0.1:9153\"", .help = "where"},
    {"http.token_file", TYPE_SECRET, AT(http.token_file), OR_NULL, .help = "the token that callers must send"},

    {"dnstap", TYPE_OBJECT, OR_NULL, .help = "frames to a dnstap collector"},
    {"dnstap.socket", TYPE_PATH, AT(dnstap.socket), OR_NULL, .help = "its Unix socket"},
    {"dnstap.tcp", TYPE_TCP, AT(dnstap.tcp), OR_NULL, .help = "or its address and port"},
    {"dnstap.queries", TYPE_BOOL, AT(dnstap.queries), .fallback = "false", .help = "every query, too"},
    {"dnstap.responses", TYPE_BOOL, AT(dnstap.responses), .fallback = "false", .help = "every response, too"},
};
const size_t config_table_size = sizeof config_table / sizeof *config_table;

const char *table_name_in(const struct key *key, const char *section) {
    size_t length = strlen(section);
    if (strncmp(key->path, section, length) != 0 || strpbrk(key->path + length, ".["))
        return NULL;
    return key->path + length;
}

const struct key *table_find(const char *section, const char *name) {
    for (size_t i = 0; i < config_table_size; i++) {
        const char *own = table_name_in(&config_table[i], section);
        if (own && strcmp(own, name) == 0)
            return &config_table[i];
    }
    return NULL;
}
