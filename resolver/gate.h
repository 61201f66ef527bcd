/* resolver/gate.h: policy applied to one query: the two phases, what they decide, and the hit records (CONTRACT.md, "Precedence").
 *
 * The gate says what policy wants; query.c does it. Monitored hits are recorded as they are found, a decision when it is carried
 * out (gate_hit): break_dnssec may leave it unapplied. The worker's thread; no allocation. */
#ifndef SUNDEW_RESOLVER_GATE_H
#define SUNDEW_RESOLVER_GATE_H

#include "resolver/query.h"

enum gate {
    GATE_OPEN,    /* nothing matched here */
    GATE_OVER,    /* passthru, or a protected name: no further rule is to be asked */
    GATE_DECIDED, /* query->decision, query->via */
};

/* Phase one, on the query name. Sets query->blank. */
enum gate gate_query(struct query_env *env, struct query *query, const struct arrival *arrival);

/* Phase two, over an answer that is the next link of the query's chain. On GATE_DECIDED *cnames says how many of the answer's
 * CNAMEs lead to the match. Remembers in the answer that it is blank, where it is and stands alone. */
enum gate gate_answer(struct query_env *env, struct query *query, struct answer *answer, bool first_link, unsigned *cnames);

/* Records and counts the decision. rcode: of the reply. */
void gate_hit(struct query_env *env, struct query *query, unsigned rcode);

/* Is there a dnstap collector? */
static inline bool gate_taps(const struct config *config) {
    return config->dnstap.socket || config->dnstap.tcp;
}

/* A message for dnstap: what the client sent or what it is sent. One record for each hit, or, where there was none, one without. */
void gate_tap(struct query_env *env, const struct query *query, const uint8_t *message, size_t length);

/* Records for log.queries, and for the history (gate_query does so for what no rule matches; nothing where the history is off). */
void gate_log_query(struct query_env *env, const struct query *query, unsigned rcode);
void gate_log_asked(struct query_env *env, const struct query *query, const struct arrival *arrival);
/* A hint: asks for the memory that gate_log_asked will read for this arrival. */
void gate_prefetch_asked(const struct query_env *env, struct arrival *arrival);

#endif
