/* policy/compile.c: puts a snapshot file together: output with checksums, cold records, and the order of the sections. */
#include "policy/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/compile_private.h"

enum { FAMILIES_MAX = 1024 /* octets of joined families */ };

/* --- output --------------------------------------------------------------------------------------------------------------------
 */

int output_init(struct output *output, int fd) {
    memset(output, 0, sizeof *output);
    output->fd = fd;
    output->offset = SNAPSHOT_HEADER;
    output->buffer = malloc(OUTPUT_BUFFER);
    return output->buffer != NULL ? 0 : -ENOMEM;
}

void output_done(struct output *output) {
    free(output->buffer);
}

static void write_out(struct output *output, const void *octets, size_t length, uint64_t offset) {
    const uint8_t *at = octets;
    while (length > 0 && output->error == 0) {
        ssize_t written = pwrite(output->fd, at, length, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            output->error = written < 0 ? -errno : -EIO;
            return;
        }
        at += written;
        length -= (size_t)written;
        offset += (uint64_t)written;
    }
}

static void flush(struct output *output) {
    checksum_add(&output->sum, output->buffer, output->used);
    write_out(output, output->buffer, output->used, output->offset);
    output->offset += output->used;
    output->used = 0;
}

void output_begin(struct output *output, enum section section) {
    output->place[section].offset = output->offset;
    checksum_init(&output->sum);
}

void output_put(struct output *output, const void *octets, size_t length) {
    const uint8_t *at = octets;
    while (length > 0) {
        size_t room = (size_t)(OUTPUT_BUFFER - (output->offset + output->used) % OUTPUT_BUFFER);
        size_t step = room < length ? room : length;
        memcpy(output->buffer + output->used, at, step);
        output->used += step;
        at += step;
        length -= step;
        if (step == room)
            flush(output);
    }
}

/* A section's end in the file: the next one begins there. */
static uint64_t padded_end(enum section section, uint64_t end) {
    return snapshot_round(end, section == SECTION_RESIDENT_END - 1 ? SNAPSHOT_PAGE : SNAPSHOT_ALIGN);
}

void output_end(struct output *output, enum section section) {
    static const uint8_t zeros[SNAPSHOT_PAGE];
    struct section_place *place = &output->place[section];
    uint64_t end = output->offset + output->used;
    place->size = end - place->offset;
    output_put(output, zeros, (size_t)(padded_end(section, end) - end));
    flush(output);
    place->checksum = checksum_value(&output->sum);
}

void output_section(struct output *output, enum section section, const void *octets, size_t length) {
    output_begin(output, section);
    output_put(output, octets, length);
    output_end(output, section);
}

void output_reserve(struct output *output, enum section section, size_t length) {
    struct section_place *place = &output->place[section];
    place->offset = output->offset;
    place->size = length;
    output->offset = padded_end(section, place->offset + length);
}

void output_late(struct output *output, enum section section, const void *octets) {
    struct section_place place = output->place[section];
    uint64_t end = output->offset;
    output->offset = place.offset;
    output_section(output, section, octets, place.size);
    output->offset = end;
}

void output_header(struct output *output, struct snapshot_header *header) {
    uint8_t block[SNAPSHOT_HEADER] = {0};
    memcpy(header->section, output->place, sizeof header->section);
    header->file_size = output->offset;
    memcpy(block, header, sizeof *header);
    header->id = snapshot_header_id(block);
    memcpy(block, header, sizeof *header);
    write_out(output, block, sizeof block, 0);
}

/* --- cold records --------------------------------------------------------------------------------------------------------------
 */

int cold_add(struct cold *cold, const uint8_t *record, size_t length) {
    uint64_t at = cold->octets.count;
    if (cold->rules++ % COLD_STRIDE == 0 && growing_add(&cold->index, &at, 1) != 0)
        return -ENOMEM;
    if (length > 0)
        return growing_add(&cold->octets, record, length);
    static const uint8_t none[COLD_FIELDS]; /* every field 0: a protection's */
    return growing_add(&cold->octets, none, sizeof none);
}

static const struct label *label_at(const struct ruleset *rules, uint64_t number) {
    return (const struct label *)(const void *)rules->labels.elements + number;
}

unsigned compile_confidence(const struct ruleset *rules, const uint8_t *cold, size_t length) {
    uint64_t field[COLD_FIELDS];
    if (cold_read(cold, cold + length, field) == NULL)
        return 0; /* a protection: it has none */
    return label_at(rules, field[COLD_LABEL])->confidence;
}

static bool has_family(const char *families, const char *family, size_t length) {
    for (const char *at = families; *at != '\0';) {
        size_t step = strcspn(at, ",");
        if (step == length && memcmp(at, family, length) == 0)
            return true;
        at += step;
        at += strspn(at, ", ");
    }
    return false;
}

/* Appends the families of `more` that `families` lacks, as far as there is room. */
static void append_families(char families[FAMILIES_MAX], const char *more) {
    for (const char *at = more; *at != '\0';) {
        size_t length = strcspn(at, ",");
        size_t have = strlen(families);
        if (!has_family(families, at, length) && have + length + 3 <= FAMILIES_MAX) {
            if (have > 0) {
                memcpy(families + have, ", ", 2);
                have += 2;
            }
            memcpy(families + have, at, length);
            families[have + length] = '\0';
        }
        at += length;
        at += strspn(at, ", ");
    }
}

int compile_join(struct ruleset *rules, uint8_t winner[COLD_RECORD_MAX], size_t *length, const uint8_t *other,
                 size_t other_length) {
    uint64_t field[COLD_FIELDS];
    uint64_t other_field[COLD_FIELDS];
    if (cold_read(winner, winner + *length, field) == NULL || cold_read(other, other + other_length, other_field) == NULL)
        return 0;
    struct label label = *label_at(rules, field[COLD_LABEL]);
    uint32_t other_family = label_at(rules, other_field[COLD_LABEL])->family;
    if (other_family == 0 || other_family == label.family)
        return 0;
    char families[FAMILIES_MAX] = "";
    append_families(families, rules->strings.text + label.family);
    append_families(families, rules->strings.text + other_family);
    int rc = strings_add(&rules->strings, families, strlen(families), &label.family);
    uint32_t number = 0;
    if (rc == 0)
        rc = intern_add(&rules->labels, &label, &number);
    if (rc != 0)
        return rc;
    field[COLD_LABEL] = number;
    *length = cold_write(winner, field);
    return 0;
}

/* --- the file ------------------------------------------------------------------------------------------------------------------
 */

static void write_growing(struct output *output, enum section section, const struct growing *array) {
    output_section(output, section, array->data, array->count * array->element_size);
}

static int write_sections(struct ruleset *rules, struct snapshot_header *header, struct output *output, struct cold *cold) {
    int rc = compile_names(&(struct names){.header = header, .rules = rules, .output = output, .cold = cold, .seed = header->seed});
    if (rc != 0)
        return rc;
    output_section(output, SECTION_PROFILES, rules->profiles.elements, rules->profiles.count * sizeof(struct profile));
    write_growing(output, SECTION_SPECS, &rules->specs);
    write_growing(output, SECTION_ANSWERS, &rules->spec_answers);
    write_growing(output, SECTION_BYTES, &rules->bytes);
    uint64_t shields = 0;
    /* zones carry counts of rules that the tables below add to: their place comes first, their content last */
    output_reserve(output, SECTION_ZONES, rules->zones.count * sizeof(struct snapshot_zone));
    write_growing(output, SECTION_ZONE_CLIENTS, &rules->zone_clients);
    rc = compile_prefixes(rules, &rules->ips, output, cold, SECTION_IPS, &header->trigger[TRIGGER_IP]);
    if (rc == 0)
        rc = compile_prefixes(rules, &rules->clients, output, cold, SECTION_CLIENTS, &header->trigger[TRIGGER_CLIENT]);
    if (rc == 0)
        rc = compile_prefixes(rules, &rules->shields, output, cold, SECTION_SHIELDS, &shields);
    if (rc != 0)
        return rc;
    output_section(output, SECTION_LABELS, rules->labels.elements, rules->labels.count * sizeof(struct label));
    write_growing(output, SECTION_COLD_INDEX, &cold->index);
    write_growing(output, SECTION_COLD, &cold->octets);
    output_section(output, SECTION_STRINGS, rules->strings.text, rules->strings.size);
    output_late(output, SECTION_ZONES, rules->zones.data);
    return 0;
}

int compile_write(struct ruleset *rules, const struct compile_options *options, int fd) {
    struct snapshot_header header = {.magic = SNAPSHOT_MAGIC, .version = SNAPSHOT_VERSION, .seed = options->seed};
    memcpy(header.digest, options->digest, sizeof header.digest);
    struct cold cold = {.index.element_size = sizeof(uint64_t), .octets.element_size = 1};
    struct output output;
    int rc = output_init(&output, fd);
    if (rc == 0)
        rc = write_sections(rules, &header, &output, &cold);
    if (rc == 0) {
        for (int i = 0; i < TRIGGER_COUNT; i++)
            header.rules += header.trigger[i];
        output_header(&output, &header);
        rc = output.error;
    }
    output_done(&output);
    free(cold.index.data);
    free(cold.octets.data);
    return rc;
}
