/* feeds/popular.c: see popular.h. One reason to exist: which rules would answer for which popular names. */
#include "feeds/popular.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/match.h"

struct entry {
    uint8_t *wire;
    const char *list;
    uint32_t order; /* of addition */
    uint8_t length;
    bool exact;
};

/* A rule that would answer for a popular name. */
struct finding {
    uint32_t rule, entry;
    bool covers;
};

struct popular {
    struct entry *entries;
    size_t count, room;
    bool sorted;
    struct finding *findings; /* of the judgement under way */
    size_t finding_count, finding_room;
    const struct snapshot *snapshot;
    bool failed;
};

void popular_free(struct popular *popular) {
    if (popular == NULL)
        return;
    for (size_t i = 0; i < popular->count; i++)
        free(popular->entries[i].wire);
    free(popular->entries);
    free(popular->findings);
    free(popular);
}

struct popular *popular_new(void) {
    struct popular *popular = calloc(1, sizeof *popular);
    size_t count;
    const char *const *names = popular_names(&count);
    int error = popular == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < count && error == 0; i++) {
        bool exact = names[i][0] == '=';
        struct name name;
        error = name_from_text(&name, names[i] + exact, strlen(names[i] + exact), NULL);
        if (error == 0)
            error = popular_add(popular, &name, exact, "built-in");
    }
    if (error == 0)
        return popular;
    popular_free(popular);
    return NULL;
}

int popular_add(struct popular *popular, const struct name *name, bool exact, const char *list) {
    if (name->labels == 0)
        return 0; /* the root: every rule would stand below it */
    if (popular->count == popular->room) {
        size_t room = popular->room == 0 ? 1024 : popular->room * 2;
        struct entry *larger = realloc(popular->entries, room * sizeof *larger);
        if (larger == NULL)
            return -ENOMEM;
        popular->entries = larger;
        popular->room = room;
    }
    uint8_t *wire = malloc(name->length);
    if (wire == NULL)
        return -ENOMEM;
    memcpy(wire, name->wire, name->length);
    popular->entries[popular->count] =
        (struct entry){.wire = wire, .list = list, .order = (uint32_t)popular->count, .length = name->length, .exact = exact};
    popular->count++;
    popular->sorted = false;
    return 0;
}

static int compare_names(const struct entry *a, const struct entry *b) {
    return a->length != b->length ? a->length - b->length : memcmp(a->wire, b->wire, a->length);
}

static int compare_entries(const void *left, const void *right) {
    const struct entry *a = left, *b = right;
    int order = compare_names(a, b);
    return order != 0 ? order : a->order < b->order ? -1 : a->order > b->order;
}

static int compare_to_key(const void *key, const void *entry) {
    return compare_names(key, entry);
}

/* Sorts, so that names can be found, and leaves one of each. */
static void sort(struct popular *popular) {
    size_t kept = 0;
    if (popular->sorted || popular->count == 0)
        return;
    qsort(popular->entries, popular->count, sizeof *popular->entries, compare_entries);
    for (size_t i = 0; i < popular->count; i++) {
        if (kept > 0 && compare_names(&popular->entries[kept - 1], &popular->entries[i]) == 0)
            free(popular->entries[i].wire);
        else
            popular->entries[kept++] = popular->entries[i];
    }
    popular->count = kept;
    popular->sorted = true;
}

static void find(struct popular *popular, uint32_t rule, uint32_t entry, bool covers) {
    if (popular->finding_count == popular->finding_room) {
        size_t room = popular->finding_room == 0 ? 64 : popular->finding_room * 2;
        struct finding *larger = realloc(popular->findings, room * sizeof *larger);
        popular->failed = popular->failed || larger == NULL;
        if (larger == NULL)
            return;
        popular->findings = larger;
        popular->finding_room = room;
    }
    popular->findings[popular->finding_count++] = (struct finding){rule, entry, covers};
}

static void judge_match(struct popular *popular, uint32_t entry, const struct matched *matched) {
    if (matched->trigger == TRIGGER_DOMAIN && matched->action != ACTION_PASSTHRU)
        find(popular, matched->rule, entry, true);
}

/* Rules that match the popular names themselves. */
static void judge_names(struct popular *popular) {
    uint32_t now = (uint32_t)time(NULL);
    for (uint32_t i = 0; i < popular->count; i++) {
        struct name_key key;
        struct verdict verdict;
        name_key_init(&key, popular->entries[i].wire, popular->entries[i].length, snapshot_seed(popular->snapshot));
        match_query(popular->snapshot, &key, NULL, now, &verdict);
        for (unsigned k = 0; k < verdict.monitors; k++)
            judge_match(popular, i, &verdict.monitor[k]);
        if (verdict.decided && !verdict.protected_)
            judge_match(popular, i, &verdict.decision);
    }
}

/* snapshot_each: a rule below a popular name. Of popular names on the way up the nearest counts; at the rule's own name judge_names
 * has told, unless the rule is for all below it only. */
static int judge_rule(void *context, uint32_t rule, const struct rule_info *info) {
    struct popular *popular = context;
    bool below = info->match == MATCH_BELOW && strncmp(info->text, "*.", 2) == 0;
    const char *text = info->text + (below ? 2 : 0);
    struct name name;
    if (info->trigger != TRIGGER_DOMAIN || info->action == ACTION_PASSTHRU || name_from_text(&name, text, strlen(text), NULL) != 0)
        return 0;
    for (size_t at = 0; name.wire[at] != 0; at += name.wire[at] + 1u) {
        struct entry key = {.wire = name.wire + at, .length = (uint8_t)(name.length - at)}, *found;
        found = bsearch(&key, popular->entries, popular->count, sizeof *found, compare_to_key);
        if (found == NULL || (found->exact && (at > 0 || below)))
            continue;
        if (at > 0 || below)
            find(popular, rule, (uint32_t)(found - popular->entries), at == 0);
        return 0;
    }
    return 0;
}

static int compare_findings(const void *left, const void *right, void *context) {
    const struct finding *a = left, *b = right;
    const struct popular *popular = context;
    if (a->covers != b->covers)
        return a->covers ? -1 : 1;
    if (a->entry != b->entry) {
        char first[NAME_TEXT_MAX], second[NAME_TEXT_MAX];
        name_to_text(popular->entries[a->entry].wire, first);
        name_to_text(popular->entries[b->entry].wire, second);
        return strcmp(first, second);
    }
    return a->rule < b->rule ? -1 : a->rule > b->rule;
}

static json_t *row_json(const struct popular *popular, const struct finding *finding) {
    struct rule_info info;
    char name[NAME_TEXT_MAX];
    const struct entry *entry = &popular->entries[finding->entry];
    if (snapshot_rule(popular->snapshot, finding->rule, &info) != 0)
        return NULL;
    name_to_text(entry->wire, name);
    return json_pack("{s:s, s:s, s:s, s:b, s:s}", "rule", info.text, "zone", info.zone_name, "name", name, "covers",
                     (int)finding->covers, "list", entry->list);
}

json_t *popular_judge(struct popular *popular, const struct snapshot *snapshot) {
    popular->snapshot = snapshot;
    popular->finding_count = 0;
    sort(popular);
    judge_names(popular);
    snapshot_each(snapshot, judge_rule, popular);
    if (popular->finding_count > 0)
        qsort_r(popular->findings, popular->finding_count, sizeof *popular->findings, compare_findings, popular);
    if (popular->failed)
        return NULL;
    json_t *rows = json_array();
    for (size_t i = 0; i < popular->finding_count && i < POPULAR_ROWS; i++) {
        json_t *row = row_json(popular, &popular->findings[i]);
        if (row != NULL)
            json_array_append_new(rows, row);
    }
    size_t left_out = popular->finding_count > POPULAR_ROWS ? popular->finding_count - POPULAR_ROWS : 0;
    return json_pack("{s:o, s:I}", "popular", rows, "left_out", (json_int_t)left_out);
}
