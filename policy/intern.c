/* policy/intern.c: open addressing over elements and strings. */
#include "policy/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/hash.h"

enum { SLOTS_FIRST = 64 };

static int slots_init(struct slots *slots, size_t count) {
    slots->slot = calloc(count, sizeof *slots->slot);
    slots->mask = count - 1;
    slots->used = 0;
    return slots->slot != NULL ? 0 : -ENOMEM;
}

static void slots_put(struct slots *slots, uint64_t hash, uint32_t value) {
    size_t at = (hash >> 32) & slots->mask;
    while (slots->slot[at] != 0)
        at = (at + 1) & slots->mask;
    slots->slot[at] = value;
    slots->used++;
}

int intern_init(struct intern *intern, size_t element_size) {
    memset(intern, 0, sizeof *intern);
    intern->element_size = element_size;
    return slots_init(&intern->slots, SLOTS_FIRST);
}

void intern_done(struct intern *intern) {
    free(intern->elements);
    free(intern->slots.slot);
}

static int intern_grow_slots(struct intern *intern) {
    struct slots grown;
    if (slots_init(&grown, (intern->slots.mask + 1) * 4) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < intern->count; i++)
        slots_put(&grown, hash_octets(intern->elements + i * intern->element_size, intern->element_size), (uint32_t)i + 1);
    free(intern->slots.slot);
    intern->slots = grown;
    return 0;
}

int intern_add(struct intern *intern, const void *element, uint32_t *number) {
    uint64_t hash = hash_octets(element, intern->element_size);
    for (size_t at = (hash >> 32) & intern->slots.mask; intern->slots.slot[at] != 0; at = (at + 1) & intern->slots.mask) {
        uint32_t found = intern->slots.slot[at] - 1;
        if (memcmp(intern->elements + found * intern->element_size, element, intern->element_size) == 0) {
            *number = found;
            return 0;
        }
    }
    if (intern->slots.used * 2 > intern->slots.mask && intern_grow_slots(intern) != 0)
        return -ENOMEM;
    if (intern->count == intern->room) {
        size_t room = intern->room * 2 + 16;
        uint8_t *grown = realloc(intern->elements, room * intern->element_size);
        if (grown == NULL)
            return -ENOMEM;
        intern->elements = grown;
        intern->room = room;
    }
    memcpy(intern->elements + intern->count * intern->element_size, element, intern->element_size);
    *number = (uint32_t)intern->count++;
    slots_put(&intern->slots, hash, *number + 1);
    return 0;
}

int strings_init(struct strings *strings) {
    memset(strings, 0, sizeof *strings);
    strings->text = calloc(1, 64);
    strings->room = 64;
    strings->size = 1; /* the empty string */
    if (strings->text != NULL && slots_init(&strings->slots, SLOTS_FIRST) == 0)
        return 0;
    free(strings->text);
    return -ENOMEM;
}

void strings_done(struct strings *strings) {
    free(strings->text);
    free(strings->slots.slot);
}

static int strings_grow_slots(struct strings *strings) {
    struct slots grown;
    if (slots_init(&grown, (strings->slots.mask + 1) * 4) != 0)
        return -ENOMEM;
    for (size_t at = 1; at < strings->size;) {
        size_t length = strlen(strings->text + at);
        slots_put(&grown, hash_octets(strings->text + at, length), (uint32_t)at);
        at += length + 1;
    }
    free(strings->slots.slot);
    strings->slots = grown;
    return 0;
}

int strings_add(struct strings *strings, const char *text, size_t length, uint32_t *offset) {
    if (length == 0) {
        *offset = 0;
        return 0;
    }
    uint64_t hash = hash_octets(text, length);
    for (size_t at = (hash >> 32) & strings->slots.mask; strings->slots.slot[at] != 0; at = (at + 1) & strings->slots.mask) {
        uint32_t found = strings->slots.slot[at];
        if (strncmp(strings->text + found, text, length) == 0 && strings->text[found + length] == '\0') {
            *offset = found;
            return 0;
        }
    }
    if (strings->size + length + 1 > UINT32_MAX)
        return -E2BIG;
    if (strings->slots.used * 2 > strings->slots.mask && strings_grow_slots(strings) != 0)
        return -ENOMEM;
    if (strings->size + length + 1 > strings->room) {
        size_t room = strings->room + strings->room / 2 + length + 1;
        char *grown = realloc(strings->text, room);
        if (grown == NULL)
            return -ENOMEM;
        strings->text = grown;
        strings->room = room;
    }
    *offset = (uint32_t)strings->size;
    memcpy(strings->text + strings->size, text, length);
    strings->text[strings->size + length] = '\0';
    strings->size += length + 1;
    slots_put(&strings->slots, hash, *offset);
    return 0;
}
