/* test/unit/dns_text.c: DNS messages from and to text, by ldns. */
#include "test/unit/dns_text.h"

#include <ctype.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void die(const char *what, const char *line) {
    fprintf(stderr, "dns_text: %s: %s\n", what, line);
    exit(2);
}

uint16_t dns_type(const char *name) {
    uint16_t type = (uint16_t)ldns_get_rr_type_by_name(name);
    if (type == 0)
        die("no such type", name);
    return type;
}

struct question dns_question(const char *name, const char *type) {
    struct question question = {.type = dns_type(type)};
    if (name_from_text(&question.name, name, strlen(name), NULL))
        die("bad name", name);
    return question;
}

static void set_flags(ldns_pkt *packet, char *words) {
    for (char *save = NULL, *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (!strcmp(word, "ad"))
            ldns_pkt_set_ad(packet, true);
        else if (!strcmp(word, "tc"))
            ldns_pkt_set_tc(packet, true);
        else if (!strcmp(word, "query"))
            ldns_pkt_set_qr(packet, false);
        else
            die("no such flag", word);
    }
}

static void add_question(ldns_pkt *packet, char *words) {
    char *type = strchr(words, ' ');
    if (!type)
        die("question needs a type", words);
    *type++ = 0;
    ldns_rr *rr = ldns_rr_new();
    ldns_rdf *owner = ldns_dname_new_frm_str(words);
    if (!owner)
        die("bad name", words);
    ldns_rr_set_owner(rr, owner);
    ldns_rr_set_type(rr, (ldns_rr_type)dns_type(type));
    ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
    ldns_rr_set_question(rr, true);
    ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, rr);
}

static void add_record(ldns_pkt *packet, ldns_pkt_section section, const char *text) {
    ldns_rr *rr = NULL;
    if (ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL) != LDNS_STATUS_OK)
        die("bad record", text);
    ldns_pkt_push_rr(packet, section, rr);
}

static void add_line(ldns_pkt *packet, char *line) {
    char *rest = strchr(line, ' ');
    if (!rest)
        die("bad line", line);
    *rest++ = 0;
    while (*rest == ' ')
        rest++;
    if (!strcmp(line, "rcode")) {
        ldns_lookup_table *rcode = ldns_lookup_by_name(ldns_rcodes, rest);
        if (!rcode)
            die("no such rcode", rest);
        ldns_pkt_set_rcode(packet, (uint8_t)rcode->id);
    } else if (!strcmp(line, "flags")) {
        set_flags(packet, rest);
    } else if (!strcmp(line, "question")) {
        add_question(packet, rest);
    } else {
        add_record(packet,
                   !strcmp(line, "answer")      ? LDNS_SECTION_ANSWER
                   : !strcmp(line, "authority") ? LDNS_SECTION_AUTHORITY
                                                : LDNS_SECTION_ADDITIONAL,
                   rest);
    }
}

size_t dns_message(const char *text, uint8_t *out, size_t size) {
    ldns_pkt *packet = ldns_pkt_new();
    ldns_pkt_set_qr(packet, true);
    ldns_pkt_set_ra(packet, true);
    ldns_pkt_set_rd(packet, true);
    ldns_pkt_set_id(packet, 0x1234);
    char *copy = strdup(text);
    for (char *save = NULL, *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        while (*line == ' ')
            line++;
        if (*line)
            add_line(packet, line);
    }
    free(copy);
    uint8_t *wire = NULL;
    size_t length = 0;
    if (ldns_pkt2wire(&wire, packet, &length) != LDNS_STATUS_OK || length > size)
        die("can't write message", text);
    memcpy(out, wire, length);
    free(wire);
    ldns_pkt_free(packet);
    return length;
}

static void append(char *out, size_t size, const char *text) {
    size_t have = strlen(out);
    snprintf(out + have, size - have, "%s", text);
}

static void describe_section(const char *label, const ldns_rr_list *list, char *out, size_t size) {
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        char *text = ldns_rr2str(ldns_rr_list_rr(list, i));
        char line[70000];
        for (char *c = text; *c; c++) {
            if (*c == '\t')
                *c = ' ';
        }
        text[strcspn(text, "\n")] = 0;
        snprintf(line, sizeof line, "%s %s\n", label, text);
        append(out, size, line);
        free(text);
    }
}

static void describe_options(ldns_pkt *packet, char *out, size_t size) {
    char line[64];
    ldns_rdf *data = ldns_pkt_edns_data(packet);
    if (!data)
        return;
    const uint8_t *p = ldns_rdf_data(data), *end = p + ldns_rdf_size(data);
    while (end - p >= 4) {
        unsigned code = (unsigned)(p[0] << 8 | p[1]), length = (unsigned)(p[2] << 8 | p[3]);
        if (code == 15 && length >= 2)
            snprintf(line, sizeof line, "ede %d\n", p[4] << 8 | p[5]);
        else
            snprintf(line, sizeof line, "option %u length %u\n", code, length);
        append(out, size, line);
        p += 4 + length;
    }
}

void dns_describe(const uint8_t *message, size_t length, char *out, size_t size) {
    ldns_pkt *packet = NULL;
    char line[256];
    if (ldns_wire2pkt(&packet, message, length) != LDNS_STATUS_OK) {
        append(out, size, "unreadable\n");
        return;
    }
    ldns_lookup_table *rcode = ldns_lookup_by_id(ldns_rcodes, (int)ldns_pkt_get_rcode(packet));
    snprintf(line, sizeof line, "rcode %s\nflags%s%s%s%s%s%s%s\n", rcode ? rcode->name : "?", ldns_pkt_qr(packet) ? " qr" : "",
             ldns_pkt_aa(packet) ? " aa" : "", ldns_pkt_tc(packet) ? " tc" : "", ldns_pkt_rd(packet) ? " rd" : "",
             ldns_pkt_ra(packet) ? " ra" : "", ldns_pkt_ad(packet) ? " ad" : "", ldns_pkt_cd(packet) ? " cd" : "");
    for (char *c = line; *c; c++)
        *c = (char)tolower(*c);
    append(out, size, line);
    if (ldns_pkt_edns(packet)) {
        snprintf(line, sizeof line, "edns %u%s\n", (unsigned)ldns_pkt_edns_udp_size(packet), ldns_pkt_edns_do(packet) ? " do" : "");
        append(out, size, line);
        if (ldns_pkt_edns_extended_rcode(packet)) {
            snprintf(line, sizeof line, "extended %u\n", (unsigned)ldns_pkt_edns_extended_rcode(packet));
            append(out, size, line);
        }
        describe_options(packet, out, size);
    }
    describe_section("question", ldns_pkt_question(packet), out, size);
    describe_section("answer", ldns_pkt_answer(packet), out, size);
    describe_section("authority", ldns_pkt_authority(packet), out, size);
    describe_section("additional", ldns_pkt_additional(packet), out, size);
    ldns_pkt_free(packet);
}
