/* tool/dhcp.c: `sundew dhcp`: what to paste into a DHCP or router-advertisement server so that it hands this resolver out. Offline.
 */
#include <stdio.h>
#include <string.h>

#include "policy/prefix.h"
#include "tool/tool.h"

enum { ADDRESSES_MAX = 16, LIFETIME_SECONDS = 1800 /* of an RDNSS: three advertisements of radvd's longest interval */ };

struct addresses {
    char v4[ADDRESSES_MAX][IP_TEXT_MAX];
    char v6[ADDRESSES_MAX][IP_TEXT_MAX];
    size_t v4_count, v6_count;
};

/* The addresses, `before` and `after` each, `between` them. */
static void list(char (*addresses)[IP_TEXT_MAX], size_t count, const char *before, const char *after, const char *between) {
    for (size_t i = 0; i < count; i++)
        printf("%s%s%s%s", i > 0 ? between : "", before, addresses[i], after);
}

static int print_dnsmasq(struct addresses *addresses) {
    if (addresses->v4_count > 0) {
        fputs("dhcp-option=option:dns-server,", stdout);
        list(addresses->v4, addresses->v4_count, "", "", ",");
        putchar('\n');
    }
    if (addresses->v6_count > 0) { /* by DHCPv6, and by RDNSS where dnsmasq sends advertisements */
        fputs("dhcp-option=option6:dns-server,", stdout);
        list(addresses->v6, addresses->v6_count, "[", "]", ",");
        putchar('\n');
    }
    return TOOL_DONE;
}

static void print_kea_data(const char *name, char (*addresses)[IP_TEXT_MAX], size_t count) {
    printf("\"option-data\": [\n    {\n        \"name\": \"%s\",\n        \"data\": \"", name);
    list(addresses, count, "", "", ", ");
    puts("\"\n    }\n]");
}

/* A member for "Dhcp4", "Dhcp6", a subnet or a shared network. With both families each needs a word on where it goes. */
static int print_kea(struct addresses *addresses) {
    bool both = addresses->v4_count > 0 && addresses->v6_count > 0;
    if (both)
        puts("// in \"Dhcp4\" of kea-dhcp4.conf, or in a subnet of it");
    if (addresses->v4_count > 0)
        print_kea_data("domain-name-servers", addresses->v4, addresses->v4_count);
    if (both)
        puts("// in \"Dhcp6\" of kea-dhcp6.conf, or in a subnet of it");
    if (addresses->v6_count > 0)
        print_kea_data("dns-servers", addresses->v6, addresses->v6_count);
    return TOOL_DONE;
}

static int print_isc_dhcpd(struct addresses *addresses) {
    if (addresses->v4_count > 0) {
        fputs("option domain-name-servers ", stdout);
        list(addresses->v4, addresses->v4_count, "", "", ", ");
        puts(";");
    }
    if (addresses->v6_count > 0) {
        fputs("option dhcp6.name-servers ", stdout);
        list(addresses->v6, addresses->v6_count, "", "", ", ");
        puts(";");
    }
    return TOOL_DONE;
}

/* Within "interface NAME { ... };". Three addresses at most: radvd takes no more in one RDNSS. */
static int print_radvd(struct addresses *addresses) {
    if (addresses->v6_count == 0)
        return tool_failed("radvd advertises IPv6 addresses only; none was given");
    for (size_t i = 0; i < addresses->v6_count; i += 3) {
        fputs("RDNSS ", stdout);
        list(addresses->v6 + i, addresses->v6_count - i < 3 ? addresses->v6_count - i : 3, "", "", " ");
        printf("\n{\n    AdvRDNSSLifetime %d;\n};\n", LIFETIME_SECONDS);
    }
    return TOOL_DONE;
}

/* The .network file of the interface that serves. */
static int print_networkd(struct addresses *addresses) {
    if (addresses->v4_count > 0) {
        fputs("[DHCPServer]\nEmitDNS=yes\nDNS=", stdout);
        list(addresses->v4, addresses->v4_count, "", "", " ");
        putchar('\n');
    }
    if (addresses->v6_count > 0) {
        printf("%s[IPv6SendRA]\nEmitDNS=yes\nDNS=", addresses->v4_count > 0 ? "\n" : "");
        list(addresses->v6, addresses->v6_count, "", "", " ");
        putchar('\n');
    }
    return TOOL_DONE;
}

/* False: not an address that can be handed out. */
static bool add(struct addresses *addresses, const char *text) {
    static const struct ip any;
    struct ip ip;
    if (ip_from_text(&ip, text, strlen(text)) != 0 || ip_equal(&ip, &any))
        return false;
    bool v4 = ip_is_v4(&ip);
    size_t *count = v4 ? &addresses->v4_count : &addresses->v6_count;
    if (*count == ADDRESSES_MAX || (v4 && memcmp(ip.bytes + 12, any.bytes, 4) == 0))
        return false;
    ip_to_text(&ip, v4 ? addresses->v4[(*count)++] : addresses->v6[(*count)++]);
    return true;
}

int tool_dhcp(struct tool *tool, int argc, char **argv) {
    static const struct {
        const char *name;
        int (*print)(struct addresses *addresses);
    } formats[] = {{"dnsmasq", print_dnsmasq},
                   {"kea", print_kea},
                   {"isc-dhcpd", print_isc_dhcpd},
                   {"radvd", print_radvd},
                   {"systemd-networkd", print_networkd}};
    enum { FORMATS = sizeof formats / sizeof formats[0] };
    struct addresses addresses = {.v4_count = 0};
    size_t format = FORMATS;
    bool taking = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--format") == 0 && i + 1 < argc) {
            for (format = 0, i++; format < FORMATS && strcmp(argv[i], formats[format].name) != 0; format++)
                ;
            if (format == FORMATS)
                return tool_usage(argv[0], "%s: no such format; dnsmasq, kea, isc-dhcpd, radvd, systemd-networkd", argv[i]);
            taking = false;
        } else if (strcmp(argv[i], "--address") == 0 && i + 1 < argc) {
            taking = true;
        } else if (!taking || argv[i][0] == '-') {
            return tool_usage(argv[0], "%s: no such argument, or it lacks its value", argv[i]);
        } else if (!add(&addresses, argv[i])) {
            return tool_usage(argv[0], "%s: not an address that can be handed out", argv[i]);
        }
    }
    if (format == FORMATS)
        return tool_usage(argv[0], "--format is missing");
    if (addresses.v4_count + addresses.v6_count == 0)
        return tool_usage(argv[0], "--address is missing");
    return formats[format].print(&addresses);
}
