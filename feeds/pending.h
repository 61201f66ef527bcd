/* feeds/pending.h: indicators held back until the end of the record that they lie in has told their family (a MISP event, an OTX
 * pulse): JSON keys come in any order. Private to the parsers; only values and a few words are kept, not the record. */
#ifndef SUNDEW_FEEDS_PENDING_H
#define SUNDEW_FEEDS_PENDING_H

#include "feeds/reading.h"
#include "feeds/texts.h"

/* What an indicator states itself; texts may be NULL. Texts are copied; `field` must be static. */
struct pending_item {
    enum reading_value how;
    const char *value, *id, *family, *reference, *path;
    const char *field; /* of the value, for faults */
    int64_t first_seen, last_seen, expires;
    uint32_t line, column;
    uint8_t confidence; /* or RULE_CONFIDENCE_UNSET */
    bool not_to_ids;
    bool revoked; /* only the id counts */
};

/* What holds for all that don't state it themselves. */
struct pending_common {
    const char *family, *reference;
    int64_t first_seen;
    uint8_t confidence; /* or RULE_CONFIDENCE_UNSET */
};

/* Visible because parsers keep one by value; all zero is empty. */
struct pending {
    struct pending_entry *entries;
    size_t count, size;
    struct texts texts;
};

void pending_done(struct pending *pending);
int pending_add(struct pending *pending, const struct pending_item *item); /* 0, -ENOMEM, -EMSGSIZE */

/* Marks all from the `first`th on as revoked. */
void pending_revoke(struct pending *pending, size_t first);

/* Hands all on, in order, and empties the list. 0 or the sink's -errno; *good (may be NULL) grows by those that could be read. */
int pending_flush(struct pending *pending, struct reading *reading, const struct pending_common *common, uint64_t *good);

#endif
