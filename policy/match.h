/* policy/match.h: which rule decides? The hot path's question to a snapshot.
 *
 * Allocation-free, lock-free, exact, and it cannot fail: whatever the file holds, no read leaves the mapping. Any thread that
 * holds a reference. Semantics: CONTRACT.md, "Precedence".
 *
 *     struct verdict verdict;
 *     match_query(snapshot, &key, &client, wall_seconds, &verdict);
 *     for (unsigned i = 0; i < verdict.monitors; i++) log(&verdict.monitor[i]);
 *     if (verdict.decided) answer_from(&verdict.decision); */
#ifndef SUNDEW_POLICY_MATCH_H
#define SUNDEW_POLICY_MATCH_H

#include "policy/snapshot.h"

enum { MATCH_MONITORS_MAX = 16 }; /* monitored zones that one name may hit; further ones are not reported */

struct matched {
    uint32_t rule;    /* for snapshot_rule */
    uint32_t profile; /* for snapshot_profile */
    uint32_t spec;    /* for match_answer_bytes and match_cname_target */
    uint16_t zone;
    uint8_t trigger;      /* enum trigger */
    uint8_t action;       /* enum action */
    uint8_t mode;         /* enum mode */
    uint8_t labels;       /* of the rule's owner name; domain triggers, as is ... */
    uint8_t owner_length; /* ... how many octets of its wire form the name that matched ends with; 0 for prefixes */
};

/* `blank`: no rule of any zone, for any client, at any time, could match what was asked (nor is it protected), so the result
 * holds for every client as long as this snapshot does and may be remembered. `protected_`: a guarded name; policy is over. */
struct verdict {
    bool decided;
    bool blank;
    bool protected_;
    uint8_t monitors;
    struct matched decision;
    struct matched monitor[MATCH_MONITORS_MAX];
};

/* A look-up that was begun: at which suffixes of the name a rule may stand, in labels, the most first. Visible because it lies in
 * what a caller keeps of each name. */
struct match_ahead {
    uint8_t count;
    uint8_t depth[NAME_LABELS_MAX + 1];
};

/* For who has several names to ask about. A look-up reads memory twice, one read depending on the other: the filter's lines of the
 * name, then, for a name that is listed, its bucket. Out of ten million rules each waits for memory some 200 ns, longer than all
 * that is computed. So, with the same snapshot and key:
 *     match_prefetch        asks for the filter's lines; of all names first
 *     match_is_likely       reads them: false if no domain rule covers the name; true says nothing
 *     match_prefetch_rules  asks for the buckets, up to six lines in a row each; of few names at a time, or they wait for each
 * other match_query_ahead     goes on from there */
void match_prefetch(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead);
bool match_is_likely(const struct snapshot *snapshot, const struct name_key *key, struct match_ahead *ahead);
void match_prefetch_rules(const struct snapshot *snapshot, const struct name_key *key, const struct match_ahead *ahead);

/* Phase one: client and domain rules on the query name, zones in order. `now`: wall-clock seconds, for `expires`. `client` NULL:
 * not known; only zones that hold for all are asked, and no client rules. */
void match_query(const struct snapshot *snapshot, const struct name_key *qname, const struct ip *client, uint32_t now,
                 struct verdict *verdict);
/* The same verdict, behind match_is_likely. */
void match_query_ahead(const struct snapshot *snapshot, const struct name_key *qname, const struct match_ahead *ahead,
                       const struct ip *client, uint32_t now, struct verdict *verdict);

/* Phase two, one step of the CNAME chain. `name`: the name the chain has come to; `first`: it is the query name (its domain rules
 * were asked in phase one; only ip rules are asked); `addresses`: those found at this name (none unless it ends the chain).
 * Zones in order; within a zone domain, then ip (the longest prefix over all addresses, of several as long the lowest). */
void match_answer(const struct snapshot *snapshot, const struct name_key *name, bool first, const struct ip *addresses,
                  size_t count, const struct ip *client, uint32_t now, struct verdict *verdict);

/* What the whole snapshot has need of, so that callers can skip work. */
bool match_has_client_rules(const struct snapshot *snapshot); /* client triggers: phase one must be asked even for blank names */
bool match_has_ip_rules(const struct snapshot *snapshot);

/* Ready-made records of a decision for a query type. Each record begins with the owner pointer 0xC00C (the question's name); a
 * negative answer's SOA too. The contract gives that SOA the rule's name as owner where there is one: the caller, who knows the
 * question, patches those two octets, which are always a record's first, with a pointer to the matched suffix of the name.
 * Points into the mapping. For ACTION_CNAME, DROP, TRUNCATE, PASSTHRU there is none (all zero). */
struct answer_bytes {
    const uint8_t *bytes;
    uint16_t length;
    uint16_t ancount;
    uint16_t nscount; /* 1 for the SOA of a negative answer */
    uint8_t rcode;    /* 0, 3 or 5 */
    uint16_t ede;     /* RFC 8914: 4, 15 */
};
void match_answer_bytes(const struct snapshot *snapshot, const struct matched *matched, uint16_t qtype, struct answer_bytes *out);
uint32_t match_ttl(const struct snapshot *snapshot, const struct matched *matched);

/* ACTION_CNAME: the target as wire name; *wildcard: the query name is to be put in front. NULL if the decision has none. */
const struct name *match_cname_target(const struct snapshot *snapshot, const struct matched *matched, bool *wildcard,
                                      struct name *buffer);

/* Explain (cold): every rule that covers the name or address, in the order in which they are asked: phase one, then ip rules.
 * qname, address and client may be NULL; client rules are asked with a qname only. Calls back with what becomes of each. Returns
 * how many. */
enum explain_state {
    EXPLAIN_DECIDES,
    EXPLAIN_MONITOR,
    EXPLAIN_SHADOWED,
    EXPLAIN_EXPIRED,
    EXPLAIN_OTHER_CLIENTS,
    EXPLAIN_PROTECTED
};
size_t match_explain(const struct snapshot *snapshot, const struct name_key *qname, const struct ip *address,
                     const struct ip *client, uint32_t now,
                     void (*each)(void *context, const struct matched *matched, enum explain_state state), void *context);

#endif
