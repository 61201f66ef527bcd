/* hits/leases.c: who held which address when.
 *
 * Holders hang in two hash tables, by address and by MAC. The holders of one address stand in the order of their starts, the
 * latest first, and never overlap: a newcomer cuts its predecessor short. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hits/lease_file.h"
#include "hits/leases.h"

enum {
    BUCKET_SHARE = 4, /* holders at the limit for each bucket of a table, more or less */
    HOLDERS_MAX = 8,  /* remembered for one address */
    SQUEEZES = 6,     /* halvings of LEASES_PAST before nothing but present holders is left */
};
#define LEASES_PAST (8 * (int64_t)86400 * 1000000) /* microseconds that a past holder is remembered: history.keep and a day */
#define LEASES_SQUEEZE ((int64_t)60 * 1000000)     /* between two looks at all for room */
#define LEASES_GAP ((int64_t)5 * 1000000) /* microseconds between an end and the same holder's renewal that count as none */

struct entry {
    struct holder holder;
    struct ip address;
    const struct lease_file *source; /* compared, never followed */
    uint32_t round;                  /* of reading `source`, in which it was last named */
    struct entry *next;              /* in its address's bucket */
    struct entry *mac_next, **mac_link;
};

struct source {
    struct lease_file *file;
    struct leases *leases;
    uint32_t round;
    int error; /* last complaint made */
};

struct leases {
    size_t limit, holders;
    uint64_t refused;
    uint32_t generation;
    int64_t now_us, purged_us, squeezed_us;
    struct source **sources;
    size_t source_count;
    size_t buckets; /* of each table; a power of two */
    struct entry **by_address;
    struct entry **by_mac;
};

struct leases *leases_new(size_t limit) {
    struct leases *leases = calloc(1, sizeof *leases);
    if (leases == NULL)
        return NULL;
    leases->limit = limit;
    for (leases->buckets = 1; leases->buckets < limit / BUCKET_SHARE; leases->buckets *= 2)
        ;
    leases->by_address = calloc(leases->buckets, sizeof(struct entry *));
    leases->by_mac = calloc(leases->buckets, sizeof(struct entry *));
    if (leases->by_address != NULL && leases->by_mac != NULL)
        return leases;
    free(leases->by_address);
    free(leases->by_mac);
    free(leases);
    return NULL;
}

/* FNV-1a over a few octets. Addresses come from lease files, which their server bounds, so a fixed hash will do. */
static size_t hash(const struct leases *leases, const uint8_t *octets, size_t length) {
    uint64_t value = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        value = (value ^ octets[i]) * 1099511628211u;
    return (size_t)(value ^ value >> 32) & (leases->buckets - 1);
}

static void hang_mac(struct leases *leases, struct entry *entry) {
    if (!entry->holder.has_mac)
        return;
    struct entry **bucket = &leases->by_mac[hash(leases, entry->holder.mac, 6)];
    entry->mac_next = *bucket;
    entry->mac_link = bucket;
    if (*bucket != NULL)
        (*bucket)->mac_link = &entry->mac_next;
    *bucket = entry;
}

/* Takes *link out of both tables and frees it. */
static void drop(struct leases *leases, struct entry **link) {
    struct entry *entry = *link;
    *link = entry->next;
    if (entry->mac_link != NULL) {
        *entry->mac_link = entry->mac_next;
        if (entry->mac_next != NULL)
            entry->mac_next->mac_link = entry->mac_link;
    }
    phrase_unref(entry->holder.hostname);
    free(entry);
    leases->holders--;
    leases->generation++;
}

static void free_source(struct source *source) {
    lease_file_free(source->file);
    free(source);
}

void leases_free(struct leases *leases) {
    if (leases == NULL)
        return;
    for (size_t i = 0; i < leases->buckets; i++)
        while (leases->by_address[i] != NULL)
            drop(leases, &leases->by_address[i]);
    for (size_t i = 0; i < leases->source_count; i++)
        free_source(leases->sources[i]);
    free(leases->sources);
    free(leases->by_address);
    free(leases->by_mac);
    free(leases);
}

uint32_t leases_generation(const struct leases *leases) {
    return leases->generation;
}

/* --- looking up --- */

const struct holder *leases_find(const struct leases *leases, const struct ip *address, int64_t ts_us) {
    for (const struct entry *entry = leases->by_address[hash(leases, address->bytes, 16)]; entry != NULL; entry = entry->next)
        if (entry->holder.start_us <= ts_us && ts_us < entry->holder.end_us && ip_equal(&entry->address, address))
            return &entry->holder;
    return NULL;
}

const struct holder *leases_find_mac(const struct leases *leases, const uint8_t mac[6], int64_t ts_us) {
    for (const struct entry *entry = leases->by_mac[hash(leases, mac, 6)]; entry != NULL; entry = entry->mac_next)
        if (entry->holder.start_us <= ts_us && ts_us < entry->holder.end_us && entry->holder.hostname != NULL &&
            memcmp(entry->holder.mac, mac, 6) == 0)
            return &entry->holder;
    return NULL;
}

/* --- recording --- */

static bool same_name(const struct phrase *hostname, const struct lease *lease) {
    return hostname != NULL && hostname->length == lease->hostname_length &&
           memcmp(hostname->text, lease->hostname, hostname->length) == 0;
}

/* By MAC; where there is none, by name: the best that an address without either can say is that it changed nothing. */
static bool same_holder(const struct holder *holder, const struct lease *lease) {
    if (holder->has_mac != lease->has_mac)
        return false;
    if (holder->has_mac)
        return memcmp(holder->mac, lease->mac, sizeof holder->mac) == 0;
    return lease->hostname_length == 0 ? holder->hostname == NULL : same_name(holder->hostname, lease);
}

static void drop_ended(struct leases *leases, int64_t before_us) {
    for (size_t i = 0; i < leases->buckets; i++) {
        for (struct entry **link = &leases->by_address[i]; *link != NULL;) {
            if ((*link)->holder.end_us < before_us)
                drop(leases, link);
            else
                link = &(*link)->next;
        }
    }
}

/* Forgets holders that no hit or history can ask for any more. Once an hour at most: it looks at all. */
static void purge(struct leases *leases, int64_t now_us) {
    if (now_us - leases->purged_us < (int64_t)3600 * 1000000)
        return;
    leases->purged_us = now_us;
    drop_ended(leases, now_us - LEASES_PAST);
}

/* At the limit the present goes before the past: those who held an address longest ago are forgotten, until a sixteenth is free. */
static bool squeeze(struct leases *leases) {
    if (leases->now_us - leases->squeezed_us < LEASES_SQUEEZE)
        return false;
    leases->squeezed_us = leases->now_us;
    int64_t past = LEASES_PAST;
    for (int i = 0; i <= SQUEEZES && leases->holders > leases->limit - leases->limit / 16; i++) {
        past = i == SQUEEZES ? 0 : past / 2;
        drop_ended(leases, leases->now_us - past);
    }
    return leases->holders < leases->limit;
}

static void set_name(struct leases *leases, struct holder *holder, const struct lease *lease) {
    if (lease->hostname_length == 0 || same_name(holder->hostname, lease))
        return;
    struct phrase *hostname = phrase_new_printable(lease->hostname, lease->hostname_length);
    if (hostname == NULL || (holder->hostname != NULL && hostname->length == holder->hostname->length &&
                             memcmp(hostname->text, holder->hostname->text, hostname->length) == 0)) {
        phrase_unref(hostname);
        return;
    }
    phrase_unref(holder->hostname);
    holder->hostname = hostname;
    leases->generation++;
}

/* The holder that a lease continues: the same one, without a gap or another between. NULL: a new one. *newer: the start of the one
 * who came next. */
static struct entry *continued(struct entry *bucket, const struct lease *lease, int64_t start, int64_t end, int64_t *newer) {
    *newer = LEASE_NEVER;
    for (struct entry *entry = bucket; entry != NULL; entry = entry->next) {
        const struct holder *holder = &entry->holder;
        if (!ip_equal(&entry->address, &lease->address))
            continue;
        if (holder->start_us <= start)
            return same_holder(holder, lease) && (holder->end_us == LEASE_NEVER || start <= holder->end_us + LEASES_GAP) ? entry
                                                                                                                         : NULL;
        if (holder->start_us <= end && same_holder(holder, lease))
            return entry;
        *newer = holder->start_us;
    }
    return NULL;
}

static void extend(struct leases *leases, struct entry *entry, const struct lease *lease, int64_t start, int64_t end) {
    if (start < entry->holder.start_us)
        entry->holder.start_us = start;
    if (end < entry->holder.end_us || (end > entry->holder.end_us && !lease->ended)) {
        entry->holder.end_us = end;
        leases->generation++;
    }
    set_name(leases, &entry->holder, lease);
}

/* Cuts all who held the address before `start`, and lets the oldest of too many go. */
static void cut_before(struct leases *leases, struct entry *newcomer) {
    unsigned count = 1;
    for (struct entry **link = &newcomer->next; *link != NULL;) {
        struct entry *entry = *link;
        if (!ip_equal(&entry->address, &newcomer->address)) {
            link = &entry->next;
        } else if (++count > HOLDERS_MAX || entry->holder.start_us >= newcomer->holder.start_us) {
            drop(leases, link);
        } else {
            if (entry->holder.end_us > newcomer->holder.start_us)
                entry->holder.end_us = newcomer->holder.start_us;
            link = &entry->next;
        }
    }
}

/* At the limit an address makes room by itself: its oldest holder goes. False: nobody held it. */
static bool forget_oldest(struct leases *leases, const struct ip *address) {
    struct entry **oldest = NULL;
    for (struct entry **link = &leases->by_address[hash(leases, address->bytes, 16)]; *link != NULL; link = &(*link)->next)
        if (ip_equal(&(*link)->address, address))
            oldest = link;
    if (oldest != NULL)
        drop(leases, oldest);
    return oldest != NULL;
}

static struct entry *insert(struct leases *leases, const struct lease *lease, int64_t start, int64_t end) {
    bool room = leases->holders < leases->limit || forget_oldest(leases, &lease->address) || squeeze(leases);
    struct entry *entry = room ? calloc(1, sizeof *entry) : NULL;
    if (entry == NULL) {
        leases->refused++;
        return NULL;
    }
    entry->address = lease->address;
    entry->holder = (struct holder){start, end, lease->has_mac, lease->mac_of_duid, {0}, NULL};
    memcpy(entry->holder.mac, lease->mac, sizeof entry->holder.mac);
    struct entry **link = &leases->by_address[hash(leases, lease->address.bytes, 16)];
    while (*link != NULL && !(ip_equal(&(*link)->address, &lease->address) && (*link)->holder.start_us <= start))
        link = &(*link)->next;
    entry->next = *link;
    *link = entry;
    hang_mac(leases, entry);
    leases->holders++;
    leases->generation++;
    set_name(leases, &entry->holder, lease);
    cut_before(leases, entry);
    return entry;
}

/* The last word of a file holds, as it does for its server. Whoever the same file gave the address to at a later time, in a line
 * before this one, has it no more (a clock was set back, or a partner with another clock wrote); and an address that is nobody's
 * now (given back, declined) isn't another's either. Between two files the later start decides. */
static void overrule(struct leases *leases, const struct lease *lease, const struct lease_file *source, int64_t start,
                     int64_t seen_us) {
    for (struct entry **link = &leases->by_address[hash(leases, lease->address.bytes, 16)]; *link != NULL;) {
        struct entry *entry = *link;
        bool other = entry->source == source && ip_equal(&entry->address, &lease->address) && !same_holder(&entry->holder, lease);
        if (other && entry->holder.start_us > start) {
            drop(leases, link);
            continue;
        }
        if (other && lease->ended && entry->holder.end_us > seen_us) {
            entry->holder.end_us = seen_us;
            leases->generation++;
        }
        link = &entry->next;
    }
}

/* `source`: the file that says so, NULL none; `first`: it was never read before, so a lease without a start may be old. */
static struct entry *record(struct leases *leases, const struct lease *lease, const struct lease_file *source, int64_t seen_us,
                            bool first) {
    int64_t start = lease->start_us != LEASE_UNKNOWN ? lease->start_us : first ? LEASE_UNKNOWN : seen_us;
    int64_t end = lease->end_us, newer;
    if (lease->ended && end > seen_us)
        end = seen_us;
    overrule(leases, lease, source, start, seen_us);
    struct entry *entry = continued(leases->by_address[hash(leases, lease->address.bytes, 16)], lease, start, end, &newer);
    if (end > newer)
        end = newer;
    if (entry != NULL)
        extend(leases, entry, lease, start, end);
    else if (end > start && end >= leases->now_us - LEASES_PAST && !(lease->ended && lease->end_us == LEASE_NEVER))
        entry = insert(leases, lease, start, end);
    return entry;
}

void leases_add(struct leases *leases, const struct lease *lease, int64_t seen_us) {
    record(leases, lease, NULL, seen_us, false);
}

/* --- files --- */

/* lease_each */
static void take_lease(void *context, const struct lease *lease) {
    struct source *source = context;
    struct entry *entry =
        record(source->leases, lease, source->file, lease_file_written(source->file), lease_file_first(source->file));
    if (entry != NULL) {
        entry->source = source->file;
        entry->round = source->round;
    }
}

/* A snapshot was read whole: whoever it didn't name holds nothing any more. */
static void end_unnamed(struct leases *leases, const struct source *source) {
    int64_t written = lease_file_written(source->file);
    for (size_t i = 0; i < leases->buckets; i++) {
        for (struct entry *entry = leases->by_address[i]; entry != NULL; entry = entry->next) {
            if (entry->source == source->file && entry->round != source->round && entry->holder.end_us > written) {
                entry->holder.end_us = written;
                leases->generation++;
            }
        }
    }
}

bool leases_follow(struct leases *leases, int64_t now_us) {
    bool more = false;
    leases->now_us = now_us;
    purge(leases, now_us);
    for (size_t i = 0; i < leases->source_count; i++) {
        struct source *source = leases->sources[i];
        enum lease_news news = LEASE_FILE_SAME;
        int error = lease_file_follow(source->file, now_us, &news);
        if (error == 0 || source->error == 0)
            source->error = error;
        if (error == 0 && news == LEASE_FILE_WHOLE)
            end_unnamed(leases, source);
        if (error == 0 && (news == LEASE_FILE_WHOLE || news == LEASE_FILE_READ))
            source->round++;
        more = more || (error == 0 && news == LEASE_FILE_PORTION);
    }
    return more;
}

static struct source *take_source(struct leases *leases, const struct lease_config *file, enum lease_format format) {
    for (size_t i = 0; i < leases->source_count; i++) {
        struct source *source = leases->sources[i];
        if (source != NULL && lease_file_format(source->file) == format && strcmp(lease_file_path(source->file), file->path) == 0) {
            leases->sources[i] = NULL;
            return source;
        }
    }
    struct source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return NULL;
    source->leases = leases;
    source->round = 1;
    source->file = lease_file_new(format, file->path, take_lease, source);
    if (source->file != NULL)
        return source;
    free(source);
    return NULL;
}

int leases_configure(struct leases *leases, const struct lease_config *files, size_t count) {
    struct source **sources = calloc(count + 1, sizeof(struct source *));
    if (sources == NULL)
        return -ENOMEM;
    size_t taken = 0;
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        enum lease_format format;
        if (lease_format_from_name(files[i].format, &format) != 0)
            continue; /* config/ checked it */
        sources[taken] = take_source(leases, &files[i], format);
        if (sources[taken] == NULL)
            rc = -ENOMEM;
        else
            taken++;
    }
    for (size_t i = 0; i < leases->source_count; i++)
        if (leases->sources[i] != NULL)
            free_source(leases->sources[i]);
    free(leases->sources);
    leases->sources = sources;
    leases->source_count = taken;
    return rc;
}

void leases_stats(const struct leases *leases, struct leases_stats *stats) {
    *stats = (struct leases_stats){.holders = leases->holders, .refused = leases->refused};
    for (size_t i = 0; i < leases->source_count; i++)
        stats->skipped += lease_file_skipped(leases->sources[i]->file);
}

const char *leases_complaint(struct leases *leases, int *error) {
    for (size_t i = 0; i < leases->source_count; i++) {
        struct source *source = leases->sources[i];
        if (source->error < 0) {
            *error = source->error;
            source->error = 1; /* said */
            return lease_file_path(source->file);
        }
    }
    return NULL;
}
