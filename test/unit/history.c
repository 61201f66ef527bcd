/* test/unit/history.c: what was asked before a rule came is told once, with its true time, whatever is reloaded or restarted. */
#include "hit_build.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/history.h"
#include "hits/history_format.h"
#include "hits/preview.h"
#include "hits/writer.h"

#define HOUR_US ((uint64_t)3600 * 1000000)

static struct writer *start(struct build_place *place, const char *more) {
    struct config *config = build_config(place, 60, more);
    int error = 0;
    struct writer *writer = writer_start(config, 1, build_say, place, &error);
    assert_non_null(writer);
    config_unref(config);
    return writer;
}

static void ask(struct writer *writer, const char *client, const char *qname, uint64_t ts_us) {
    union build_record room;
    struct record *record = build_asked(&room, client, qname, ts_us);
    record->protocol = PROTOCOL_TCP;
    record->qtype = 28;
    while (!ring_put(writer_ring(writer, 0), record))
        sched_yield();
}

/* Waits until the log holds so many lines. */
static json_t *lines_after(struct build_place *place, size_t count) {
    for (;;) {
        json_t *lines = build_lines(place->hits);
        if (json_array_size(lines) >= count)
            return lines;
        json_decref(lines);
        usleep(2000);
    }
}

static const json_t *line_of(const json_t *lines, const char *client, const char *qname, json_int_t count) {
    size_t i;
    const json_t *line;
    json_array_foreach(lines, i, line) {
        if (strcmp(build_text(line, "client"), client) == 0 && strcmp(build_text(line, "qname"), qname) == 0 &&
            build_number(line, "count") == count)
            return line;
    }
    fail_msg("no line for %s asking %s, count %lld", client, qname, (long long)count);
    return NULL;
}

static void policy(struct writer *writer, const char *more) {
    struct snapshot *snapshot = build_policy(more);
    writer_policy(writer, snapshot);
    snapshot_unref(snapshot);
}

/* Every name that was asked can be found, so the history has been written. */
static void settle(struct writer *writer) {
    const char *why = "";
    struct snapshot *snapshot = build_policy("no.such.test");
    json_t *rows = writer_preview(writer, snapshot, &why);
    assert_non_null(rows);
    json_decref(rows);
    snapshot_unref(snapshot);
}

static void test_retro(void **state) {
    struct build_place *place = *state;
    struct writer *writer = start(place, "");
    char name[64];
    uint64_t now = build_now_us(), then = now - 30 * HOUR_US;
    policy(writer, NULL);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "host%d.example.test", i);
        ask(writer, "10.0.0.1", name, now - 1000000);
    }
    ask(writer, "10.0.0.1", "www.late.test", then);
    ask(writer, "10.0.0.1", "late.test", then + 2 * HOUR_US);
    ask(writer, "10.0.0.1", "www.late.test", then + 3 * HOUR_US);
    ask(writer, "10.0.0.1", "www.late.test", then + 3 * HOUR_US + 5); /* the same pair, the same hour */
    ask(writer, "10.0.0.2", "www.late.test", now - 2000000);
    policy(writer, "late.test");
    json_t *lines = lines_after(place, 3);
    char time[TIME_LENGTH + 1] = "";
    const json_t *first = line_of(lines, "10.0.0.1", "www.late.test", 1);
    text_time(time, then);
    assert_string_equal(build_text(first, "ts"), time);
    assert_string_equal(build_text(first, "mode"), "retro");
    assert_string_equal(build_text(first, "rule"), "late.test");
    assert_string_equal(build_text(first, "qtype"), "AAAA");
    assert_string_equal(build_text(first, "proto"), "tcp");
    assert_null(json_object_get(first, "answer"));
    text_time(time, then + 3 * HOUR_US);
    assert_string_equal(build_text(line_of(lines, "10.0.0.1", "www.late.test", 2), "ts"), time);
    line_of(lines, "10.0.0.2", "www.late.test", 1);
    json_decref(lines);

    /* Neither a reload nor a restart tells it again; what was asked meanwhile is told by the next policy. */
    policy(writer, NULL);
    settle(writer);
    ask(writer, "10.0.0.1", "again.late.test", now);
    policy(writer, "late.test");
    lines = lines_after(place, 4);
    line_of(lines, "10.0.0.1", "again.late.test", 1);
    json_decref(lines);
    writer_stop(writer);
    writer = start(place, "");
    policy(writer, "late.test");
    settle(writer);
    policy(writer, "other.test");
    settle(writer);
    policy(writer, "late.test");
    settle(writer);
    writer_stop(writer);
    lines = build_lines(place->hits);
    assert_int_equal(json_array_size(lines), 4);
    assert_int_equal(build_sum(lines, "count"), 5);
    json_decref(lines);
}

/* Switched off, nothing is kept, and what was kept is gone. */
static void test_off(void **state) {
    struct build_place *place = *state;
    char folder[128];
    char(*names)[HISTORY_FILE_NAME];
    snprintf(folder, sizeof folder, "%s/history", place->folder);
    struct writer *writer = start(place, "");
    ask(writer, "10.0.0.1", "late.test", build_now_us());
    settle(writer);
    assert_int_equal(history_list(folder, &names), 1);
    free(names);
    writer_stop(writer);
    writer = start(place, ", \"history\": null");
    ask(writer, "10.0.0.1", "late.test", build_now_us());
    policy(writer, "late.test");
    settle(writer);
    writer_stop(writer);
    assert_int_equal(history_list(folder, &names), 0);
    free(names);
    json_t *lines = build_lines(place->hits);
    assert_int_equal(json_array_size(lines), 0);
    json_decref(lines);
}

static void test_preview(void **state) {
    struct build_place *place = *state;
    struct writer *writer = start(place, "");
    uint64_t now = build_now_us();
    ask(writer, "10.0.0.1", "a.late.test", now - 3 * HOUR_US);
    ask(writer, "10.0.0.1", "a.late.test", now - 2 * HOUR_US);
    ask(writer, "10.0.0.1", "b.late.test", now - 3 * HOUR_US);
    ask(writer, "2001:db8::1", "late.test", now);
    ask(writer, "10.0.0.1", "harmless.test", now);
    struct snapshot *snapshot = build_policy("late.test");
    const char *why = "";
    json_t *preview = writer_preview(writer, snapshot, &why), *rows = json_object_get(preview, "asked");
    assert_int_equal(json_array_size(rows), 3);
    assert_int_equal(json_array_size(json_object_get(preview, "popular")), 0);
    assert_int_equal(json_array_size(json_object_get(preview, "protected")), 0);
    assert_string_equal(build_text(json_array_get(rows, 0), "client"), "2001:db8::1");
    const json_t *a = line_of(rows, "10.0.0.1", "a.late.test", 2);
    char time[TIME_LENGTH + 1] = "";
    text_time(time, now - 2 * HOUR_US);
    assert_string_equal(build_text(a, "last_asked"), time);
    assert_string_equal(build_text(a, "family"), "Late");
    line_of(rows, "10.0.0.1", "b.late.test", 1);
    json_decref(preview);
    /* Asked for by many: perhaps not a bot's. */
    for (int i = 2; i < 2 + PREVIEW_POPULAR; i++) {
        char client[32];
        snprintf(client, sizeof client, "10.0.0.%d", i);
        ask(writer, client, "late.test", now);
    }
    /* Protected by the policy in force. */
    struct ruleset *rules = build_rules();
    struct name name = build_name("late.test");
    assert_int_equal(ruleset_protect_name(rules, &name, false), 0);
    struct snapshot *in_force = build_snapshot(rules);
    writer_policy(writer, in_force);
    snapshot_unref(in_force);
    preview = writer_preview(writer, snapshot, &why);
    const json_t *popular = json_array_get(json_object_get(preview, "popular"), 0);
    assert_string_equal(build_text(popular, "rule"), "late.test");
    assert_int_equal(build_number(popular, "clients"), 2 + PREVIEW_POPULAR);
    const json_t *protected_ = json_object_get(preview, "protected");
    assert_int_equal(json_array_size(protected_), 1);
    assert_string_equal(build_text(json_array_get(protected_, 0), "rule"), "late.test");
    json_decref(preview);
    snapshot_unref(snapshot);
    writer_stop(writer);
}

/* --- the store by itself --- */

struct seen {
    unsigned names, asked;
    uint64_t last_us;
    char last[NAME_TEXT_MAX];
};

static bool see_name(void *context, const uint8_t *wire, uint8_t length) {
    ((struct seen *)context)->names++;
    return length > 0;
}

static void see_asked(void *context, const struct asked *asked) {
    struct seen *seen = context;
    seen->asked++;
    seen->last_us = asked->ts_us;
    name_to_text(asked->qname, seen->last);
}

static struct seen visit(const char *folder, uint64_t since_us) {
    struct seen seen = {0};
    struct history_visitor visitor = {see_name, see_asked, &seen, since_us, NULL};
    assert_int_equal(history_visit(folder, &visitor), 0);
    return seen;
}

static void put(struct history *history, unsigned client, unsigned name, uint64_t ts_us) {
    char address[32], qname[64];
    union build_record room;
    struct identity nobody = {0};
    snprintf(address, sizeof address, "10.%u.%u.%u", client >> 16, client >> 8 & 255, client & 255);
    snprintf(qname, sizeof qname, "name%u.example.test", name);
    history_asked(history, build_asked(&room, address, qname, ts_us), &nobody);
}

/* More than tables begin with; each pair once; times back and forth. */
static void test_many(void **state) {
    enum { CLIENTS = 60, NAMES = 700 };
    struct build_place *place = *state;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/history", place->folder);
    struct history *history = history_new(folder);
    history_configure(history, true, 86400, 64 << 20);
    uint64_t base = build_now_us() / HOUR_US * HOUR_US;
    for (int twice = 0; twice < 2; twice++)
        for (unsigned client = 0; client < CLIENTS; client++)
            for (unsigned name = 0; name < NAMES; name++)
                put(history, client, name, base + (client * 7919 + name * 104729) % 1000000);
    history_flush(history);
    struct seen seen = visit(folder, 0);
    assert_int_equal(seen.names, NAMES);
    assert_int_equal(seen.asked, CLIENTS * NAMES);
    assert_int_equal(history_lost(history), 0);
    put(history, 1, 1, base + HOUR_US);
    history_flush(history);
    assert_int_equal(visit(folder, 0).asked, CLIENTS * NAMES + 1);
    assert_int_equal(visit(folder, base + HOUR_US).asked, 1);
    history_free(history);
}

/* Too old and too large go, oldest first. */
static void test_bounds(void **state) {
    struct build_place *place = *state;
    char folder[128];
    char(*names)[HISTORY_FILE_NAME];
    snprintf(folder, sizeof folder, "%s/history", place->folder);
    struct history *history = history_new(folder);
    history_configure(history, true, 5 * 3600, 1 << 20);
    uint64_t now = build_now_us() / HOUR_US * HOUR_US;
    for (unsigned hour = 10; hour > 0; hour--)
        put(history, 1, 1, now - hour * HOUR_US);
    history_tend(history, now);
    size_t kept = history_list(folder, &names);
    free(names);
    assert_in_range(kept, 5, 6);
    for (unsigned i = 0; i < 150000; i++) /* all at once: the bound holds within a second, too */
        put(history, i % 1000, i, now + i);
    history_flush(history);
    size_t octets = 0;
    kept = history_list(folder, &names);
    for (size_t i = 0; i < kept; i++) {
        char path[256];
        struct stat at;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(stat(path, &at), 0);
        octets += (size_t)at.st_size;
    }
    free(names);
    assert_true(octets > 500000 && octets <= 2 << 20);
    history_free(history);
}

/* What was asked last is in the segment that it belongs to, whatever ends that one: a flush, the hour, the end. Off is off. */
static void test_last_words(void **state) {
    struct build_place *place = *state;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/history", place->folder);
    struct history *history = history_new(folder);
    history_configure(history, true, 86400, 64 << 20);
    uint64_t base = build_now_us() / HOUR_US * HOUR_US - 2 * HOUR_US, asked = 0;
    for (unsigned count = 1; count <= 40; count++) {
        for (unsigned i = 0; i < count; i++)
            put(history, i % 2, count * 100 + i, base + i);
        put(history, 2, count * 100, base + count); /* another client of a name that is known */
        put(history, 2, count * 100, base + count);
        asked += count + 1;
        history_flush(history);
        assert_int_equal(visit(folder, 0).asked, asked);
    }
    put(history, 1, 1, base);
    put(history, 2, 1, base + HOUR_US);
    assert_int_equal(visit(folder, 0).asked, asked + 1);
    assert_int_equal(visit(folder, base + HOUR_US).asked, 0);
    history_free(history);
    assert_int_equal(visit(folder, 0).asked, asked + 2);
    assert_int_equal(visit(folder, base + HOUR_US).asked, 1);
    history = history_new(folder);
    history_configure(history, true, 86400, 64 << 20);
    put(history, 1, 1, base);
    assert_true(history_configure(history, false, 86400, 64 << 20) > 0);
    history_configure(history, true, 86400, 64 << 20);
    put(history, 1, 2, base);
    history_flush(history);
    assert_int_equal(visit(folder, 0).asked, 1);
    history_free(history);
}

/* A segment cut or damaged anywhere gives what comes before, and never a false pair. */
static void test_damage(void **state) {
    struct build_place *place = *state;
    char folder[128], path[256];
    char(*names)[HISTORY_FILE_NAME];
    snprintf(folder, sizeof folder, "%s/history", place->folder);
    struct history *history = history_new(folder);
    history_configure(history, true, 86400, 64 << 20);
    uint64_t now = build_now_us() / HOUR_US * HOUR_US;
    for (unsigned i = 0; i < 40; i++) {
        put(history, i % 3, i, now + i);
        if (i % 10 == 9)
            history_flush(history);
    }
    history_free(history);
    assert_int_equal(history_list(folder, &names), 1);
    snprintf(path, sizeof path, "%s/%s", folder, names[0]);
    free(names);
    uint8_t whole[8192], broken[8192];
    int fd = open(path, O_RDONLY);
    size_t length = (size_t)read(fd, whole, sizeof whole);
    close(fd);
    unsigned whole_frames = 0; /* cuts that hurt nothing: before, between and after the four frames */
    for (size_t cut = 0; cut <= length; cut++) {
        struct seen seen = {0};
        struct history_visitor visitor = {see_name, see_asked, &seen, 0, NULL};
        uint8_t *copy = malloc(cut + 1); /* exactly, so that a read beyond is noticed */
        memcpy(copy, whole, cut);
        whole_frames += history_read(copy, cut, &visitor);
        assert_int_equal(seen.asked % 10, 0);
        free(copy);
    }
    assert_int_equal(whole_frames, 5);
    for (size_t at = HISTORY_HEAD; at < length; at++) {
        struct seen seen = {0};
        struct history_visitor visitor = {see_name, see_asked, &seen, 0, NULL};
        memcpy(broken, whole, length);
        broken[at] ^= 0x41;
        history_read(broken, length, &visitor);
        assert_true(seen.asked < 40 && seen.asked % 10 == 0);
    }
}

/* The place isn't there or isn't ours: counted, and taken into use when it comes. */
static void test_no_place(void **state) {
    struct build_place *place = *state;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/no/history", place->folder);
    struct history *history = history_new(folder);
    history_configure(history, true, 86400, 64 << 20);
    put(history, 1, 1, build_now_us());
    assert_int_equal(history_lost(history), 1);
    assert_true(history_error(history) < 0);
    snprintf(folder, sizeof folder, "%s/no", place->folder);
    mkdir(folder, 0700);
    put(history, 1, 1, build_now_us());
    assert_int_equal(history_lost(history), 1);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_retro, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_off, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_preview, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_many, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_bounds, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_last_words, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_damage, build_place, build_clear),
        cmocka_unit_test_setup_teardown(test_no_place, build_place, build_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
