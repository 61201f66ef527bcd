/* tool/table.c: aligned columns for people, and strings that cannot harm a terminal. */
#include "tool/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

enum { COLUMNS_MAX = 24, CELL_MAX = 4096 };

struct table {
    size_t columns;
    const char *title[COLUMNS_MAX];
    bool right[COLUMNS_MAX];
    size_t width[COLUMNS_MAX]; /* in characters */
    char **cells;
    size_t count, room;
    bool headed; /* the titles were printed */
};

static void *checked(void *memory) {
    if (memory == NULL) {
        fputs("sundew: out of memory\n", stderr);
        exit(TOOL_FAILED);
    }
    return memory;
}

/* Characters, not octets; the text was escaped, so it is valid UTF-8. */
static size_t text_width(const char *text) {
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xC0) != 0x80;
    return width;
}

struct table *table_new(const char *first, ...) {
    struct table *table = checked(calloc(1, sizeof *table));
    va_list arguments;
    va_start(arguments, first);
    for (const char *title = first; title != NULL && table->columns < COLUMNS_MAX; title = va_arg(arguments, const char *)) {
        size_t column = table->columns++;
        table->right[column] = title[0] == '>';
        table->title[column] = title + (title[0] == '>');
        table->width[column] = text_width(table->title[column]);
    }
    va_end(arguments);
    return table;
}

/* Octets of the UTF-8 character at text, 0 if there is none that a terminal should see. */
static size_t printable(const uint8_t *text) {
    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7F;
    size_t length = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
    if (text[0] < 0xC2 || text[0] > 0xF4)
        return 0;
    uint32_t point = text[0] & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3FU);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < smallest[length] || (point >= 0xD800 && point <= 0xDFFF) || point > 0x10FFFF)
        return 0;
    bool control = point < 0xA0 || point == 0x061C || (point >= 0x200B && point <= 0x200F) ||
                   (point >= 0x2028 && point <= 0x202E) || (point >= 0x2060 && point <= 0x206F) || point == 0xFEFF ||
                   (point >= 0xE0000 && point <= 0xE0FFF);
    return control ? 0 : length;
}

char *table_escape(const char *text, char *out, size_t size) {
    size_t at = 0;
    for (const uint8_t *p = (const uint8_t *)text; *p != '\0';) {
        size_t length = printable(p);
        if (at + (length > 0 ? length : 4) >= size)
            break;
        if (length > 0)
            memcpy(out + at, p, length);
        else
            snprintf(out + at, size - at, "\\x%02x", *p);
        at += length > 0 ? length : 4;
        p += length > 0 ? length : 1;
    }
    out[at] = '\0';
    return out;
}

static void add(struct table *table, const char *text) {
    char escaped[CELL_MAX];
    table_escape(text, escaped, sizeof escaped);
    if (table->count == table->room) {
        table->room = table->room == 0 ? 64 : table->room * 2;
        table->cells = checked(realloc(table->cells, table->room * sizeof *table->cells));
    }
    size_t column = table->count % table->columns, width = text_width(escaped);
    if (width > table->width[column])
        table->width[column] = width;
    table->cells[table->count++] = checked(strdup(escaped));
}

void table_cell(struct table *table, const char *format, ...) {
    char text[CELL_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(table, text);
}

/* Appends one value to text, as people read it. */
static void append(const json_t *value, char *text, size_t size) {
    size_t at = strlen(text);
    if (json_is_string(value))
        snprintf(text + at, size - at, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text + at, size - at, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text + at, size - at, "%.3g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text + at, size - at, "%s", json_is_true(value) ? "yes" : "no");
}

void table_cell_json(struct table *table, const json_t *value) {
    char text[CELL_MAX] = "";
    size_t i;
    json_t *item;
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            if (i > 0)
                snprintf(text + strlen(text), sizeof text - strlen(text), ", ");
            append(item, text, sizeof text);
        }
    } else {
        append(value, text, sizeof text);
    }
    add(table, text[0] == '\0' ? "-" : text);
}

void table_age(double seconds, char out[16]) {
    if (seconds < 120)
        snprintf(out, 16, "%.0fs", seconds);
    else if (seconds < 120 * 60)
        snprintf(out, 16, "%.0fm", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(out, 16, "%.0fh", seconds / 3600);
    else
        snprintf(out, 16, "%.0fd", seconds / 86400);
}

void table_cell_age(struct table *table, const json_t *seconds) {
    char text[16] = "-";
    if (json_is_number(seconds))
        table_age(json_number_value(seconds), text);
    add(table, text);
}

static void print_cell(const struct table *table, size_t column, const char *text) {
    bool last = column + 1 == table->columns;
    size_t pad = table->width[column] - text_width(text);
    if (table->right[column])
        printf("%*s%s", (int)pad, "", text);
    else if (last)
        fputs(text, stdout);
    else
        printf("%s%*s", text, (int)pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

void table_flush(struct table *table) {
    for (size_t column = 0; !table->headed && column < table->columns; column++)
        print_cell(table, column, table->title[column]);
    table->headed = true;
    for (size_t i = 0; i < table->count; i++) {
        print_cell(table, i % table->columns, table->cells[i]);
        free(table->cells[i]);
    }
    table->count = 0;
}

int table_print(struct table *table) {
    table_flush(table);
    free(table->cells);
    free(table);
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_failed("stdout: the output could not be written");
    return TOOL_DONE;
}
