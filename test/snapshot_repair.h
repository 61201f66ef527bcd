/* test/snapshot_repair.h: makes a damaged snapshot look whole again, so that what lies behind the checksums is tested too; and asks
 * a snapshot everything there is to ask, whatever it holds. */
#ifndef SUNDEW_TEST_SNAPSHOT_REPAIR_H
#define SUNDEW_TEST_SNAPSHOT_REPAIR_H

#include <string.h>

#include "policy/match.h"
#include "policy/snapshot_format.h"

static inline void snapshot_repair(uint8_t *file, size_t size) {
    struct snapshot_header header;
    if (size < SNAPSHOT_HEADER)
        return;
    memcpy(&header, file, sizeof header);
    header.file_size = size;
    for (int i = 0; i < SECTION_COUNT; i++) {
        uint64_t begin = header.section[i].offset;
        uint64_t end = i + 1 < SECTION_COUNT ? header.section[i + 1].offset : size;
        if (begin > end || end > size)
            continue;
        struct checksum sum;
        checksum_init(&sum);
        checksum_add(&sum, file + begin, end - begin);
        header.section[i].checksum = checksum_value(&sum);
    }
    memcpy(file, &header, sizeof header);
    header.id = snapshot_header_id(file);
    memcpy(file, &header, sizeof header);
}

static inline int snapshot_repair_see(void *context, uint32_t rule, const struct rule_info *info) {
    size_t *octets = context;
    *octets += strlen(info->text) + strlen(info->zone_name);
    *octets += info->family != NULL ? strlen(info->family) : 0;
    *octets += info->reference != NULL ? strlen(info->reference) : 0;
    return *octets > 1000000;
}

static inline void snapshot_repair_explained(void *context, const struct matched *matched, enum explain_state state) {
    ++*(size_t *)context;
}

static inline void snapshot_repair_ask(const struct snapshot *snapshot, const char *text, const struct ip *address) {
    struct name name;
    struct name_key key;
    if (name_from_text(&name, text, strlen(text), NULL) != 0)
        return;
    name_key_init(&key, name.wire, name.length, snapshot_seed(snapshot));
    struct verdict verdict[2];
    match_query(snapshot, &key, address, 100, &verdict[0]);
    match_answer(snapshot, &key, false, address, 1, address, 100, &verdict[1]);
    for (int i = 0; i < 2; i++) {
        if (!verdict[i].decided)
            continue;
        struct answer_bytes bytes;
        match_answer_bytes(snapshot, &verdict[i].decision, 1, &bytes);
        volatile uint8_t seen = 0;
        for (unsigned at = 0; at < bytes.length; at++)
            seen = (uint8_t)(seen ^ bytes.bytes[at]);
        bool wildcard;
        struct name target;
        match_cname_target(snapshot, &verdict[i].decision, &wildcard, &target);
        struct rule_info info;
        snapshot_rule(snapshot, verdict[i].decision.rule, &info);
    }
    size_t count = 0;
    match_explain(snapshot, &key, address, address, 100, snapshot_repair_explained, &count);
}

/* Every question, of a few names and addresses. */
static inline void snapshot_repair_ask_all(const struct snapshot *snapshot) {
    static const char *const NAMES[] = {".", "evil.example", "a.b.evil.example", "garden.test", "c2.evil.test", "data.example",
                                        "x"};
    static const uint8_t ADDRESSES[][16] = {
        {[10] = 0xff, 0xff, 203, 0, 113, 7}, {0x20, 1, 0xd, 0xb8, 0xb, 0xad}, {[10] = 0xff, 0xff, 10, 66, 0, 7}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        for (size_t j = 0; j < sizeof ADDRESSES / sizeof *ADDRESSES; j++) {
            struct ip address = ip_from_v6(ADDRESSES[j]);
            snapshot_repair_ask(snapshot, NAMES[i], &address);
        }
    }
    size_t octets = 0;
    snapshot_each(snapshot, snapshot_repair_see, &octets);
    for (uint32_t number = 0; number < 64; number++) {
        struct rule_info info;
        uint64_t label;
        uint32_t spec;
        snapshot_rule(snapshot, number, &info);
        snapshot_profile(snapshot, number, &spec, &info);
        snapshot_notes_prefetch(snapshot, number, 0);
        snapshot_notes_prefetch(snapshot, number, 1);
        snapshot_notes(snapshot, number, &label, &info);
    }
}

#endif
