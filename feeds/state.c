/* feeds/state.c: see state.h. One reason to exist: the memory of sources survives a restart. */
#include "feeds/state.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "feeds/publish.h"

static uint64_t hash_text(const char *text) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    return hash;
}

void state_file_name(const char *zone, char name[STATE_NAME_SIZE]) {
    size_t used = 0;
    if (strlen(zone) * 3 + 1 > STATE_NAME_SIZE) {
        snprintf(name, STATE_NAME_SIZE, "%%%016llx", (unsigned long long)hash_text(zone));
        return;
    }
    for (const char *at = zone; *at != '\0'; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || *at == '-' ||
                     *at == '_' || (*at == '.' && at != zone);
        used += (size_t)snprintf(name + used, STATE_NAME_SIZE - used, plain ? "%c" : "%%%02X", (unsigned char)*at);
    }
    name[used] = '\0';
}

int state_directory(const char *state_dir, char *path, size_t size) {
    if ((size_t)snprintf(path, size, "%s/zones", state_dir) >= size)
        return -ENAMETOOLONG;
    if (mkdir(state_dir, 0750) != 0 && errno != EEXIST)
        return -errno;
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -errno : 0;
}

int state_store(char *path, size_t size, const char *directory, const char *zone, const char *key) {
    char name[STATE_NAME_SIZE];
    state_file_name(zone, name);
    int length;
    if (key == NULL || key[0] == '\0') {
        length = snprintf(path, size, "%s/%s.rules", directory, name);
    } else {
        length = snprintf(path, size, "%s/%s.d", directory, name);
        if ((size_t)length < size && mkdir(path, 0700) != 0 && errno != EEXIST)
            return -errno;
        length = snprintf(path, size, "%s/%s.d/%016llx.rules", directory, name, (unsigned long long)hash_text(key));
    }
    return (size_t)length >= size ? -ENAMETOOLONG : 0;
}

void state_set(char **field, const char *value) {
    char *copy = value == NULL ? NULL : strdup(value);
    free(*field);
    *field = copy;
}

int state_add_member(struct state *state, const char *key, const char *mark) {
    if ((state->member_count & (state->member_count - 1)) == 0) {
        size_t room = state->member_count == 0 ? 1 : state->member_count * 2;
        struct state_member *larger = realloc(state->members, room * sizeof *larger);
        if (larger == NULL)
            return -ENOMEM;
        state->members = larger;
    }
    struct state_member member = {.key = strdup(key), .mark = strdup(mark)};
    state->members[state->member_count++] = member;
    return member.key == NULL || member.mark == NULL ? -ENOMEM : 0;
}

void state_clear_members(struct state *state) {
    for (size_t i = 0; i < state->member_count; i++) {
        free(state->members[i].key);
        free(state->members[i].mark);
    }
    free(state->members);
    state->members = NULL;
    state->member_count = 0;
}

void state_done(struct state *state) {
    state_clear_members(state);
    free(state->source);
    free(state->reading);
    free(state->etag);
    free(state->last_modified);
    free(state->added_after);
    free(state->error);
    *state = (struct state){0};
}

static void take_string(const json_t *object, const char *key, char **field) {
    state_set(field, json_string_value(json_object_get(object, key)));
}

static int64_t take_integer(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

bool state_load(struct state *state, const char *directory, const char *zone, const char *source, const char *reading) {
    char name[STATE_NAME_SIZE], path[4096];
    state_file_name(zone, name);
    *state = (struct state){0};
    state_set(&state->source, source);
    state_set(&state->reading, reading);
    if ((size_t)snprintf(path, sizeof path, "%s/%s.json", directory, name) >= sizeof path)
        return false;
    json_t *object = json_load_file(path, 0, NULL);
    const char *old_source = json_string_value(json_object_get(object, "source"));
    const char *old_reading = json_string_value(json_object_get(object, "reading"));
    if (old_source == NULL || old_reading == NULL || strcmp(old_source, source) != 0 || strcmp(old_reading, reading) != 0) {
        json_decref(object);
        return false;
    }
    state->fetched_at = take_integer(object, "fetched_at");
    state->body_at = take_integer(object, "body_at");
    state->not_before = take_integer(object, "not_before");
    state->body_hash = (uint64_t)take_integer(object, "body_hash");
    state->held = json_is_true(json_object_get(object, "held"));
    const char *version = json_string_value(json_object_get(object, "version"));
    state->by_other = version == NULL || strcmp(version, SUNDEW_VERSION) != 0;
    if (!state->by_other) {
        take_string(object, "etag", &state->etag);
        take_string(object, "last_modified", &state->last_modified);
    } else {
        state->body_hash = 0;
    }
    take_string(object, "added_after", &state->added_after);
    take_string(object, "error", &state->error);
    const char *key;
    json_t *mark;
    json_object_foreach(json_object_get(object, "members"), key, mark) {
        if (json_is_string(mark))
            state_add_member(state, key, state->by_other ? "" : json_string_value(mark));
    }
    json_decref(object);
    return true;
}

int state_save(const struct state *state, const char *directory, const char *zone) {
    char name[STATE_NAME_SIZE], path[4096];
    state_file_name(zone, name);
    if ((size_t)snprintf(path, sizeof path, "%s/%s.json", directory, name) >= sizeof path)
        return -ENAMETOOLONG;
    json_t *members = json_object();
    for (size_t i = 0; i < state->member_count; i++)
        json_object_set_new(members, state->members[i].key, json_string(state->members[i].mark));
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:s*, s:s*, s:s*, s:s*, s:o}", "version", SUNDEW_VERSION,
                               "source", state->source, "reading", state->reading, "fetched_at", (json_int_t)state->fetched_at,
                               "body_at", (json_int_t)state->body_at, "not_before", (json_int_t)state->not_before, "body_hash",
                               (json_int_t)state->body_hash, "held", (int)state->held, "etag", state->etag, "last_modified",
                               state->last_modified, "added_after", state->added_after, "error", state->error, "members", members);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(1));
    json_decref(object);
    if (text == NULL)
        return -ENOMEM;
    int error = publish_text(path, text, strlen(text));
    free(text);
    return error;
}
