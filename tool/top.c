/* tool/top.c: `sundew top`: a live view of the daemon in a terminal; q ends it. A daemon that is gone is waited for. */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

enum {
    INTERVAL_MS = 1000,
    CELL_MAX = 512,
    CLIENTS_SINCE_HOURS = 24,
    CLIENTS_LOOKED_AT = 500 /* more than a screen has lines */,
    COLUMNS_MAX = 6,
    PATIENCE_SECONDS = 2,
    SILENT_LOOKS = 10
};

/* What the last look brought, and what rates are counted from. */
struct view {
    json_t *status, *clients, *zones; /* NULL: not known */
    double queries, hits;             /* at the last look */
    double at;                        /* monotonic seconds of it; 0 none */
    double queries_rate, hits_rate;
    unsigned silent; /* looks for which the zones are not asked for: nobody said them in time */
};

static double number(const json_t *data, const char *key) {
    return json_number_value(json_object_get(data, key));
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static json_t *fetch(struct tool *tool, json_t *request) {
    json_t *data = NULL;
    return request_send(tool, request, &data) == TOOL_DONE ? data : NULL;
}

static void forget(struct view *view) {
    json_decref(view->status);
    json_decref(view->clients);
    json_decref(view->zones);
    view->status = view->clients = view->zones = NULL;
}

/* Asks the daemon again. Rates need two looks at the same daemon: one whose counters went back was restarted. */
static void look(struct tool *tool, struct view *view) {
    char since[16];
    snprintf(since, sizeof since, "%dh", CLIENTS_SINCE_HOURS);
    forget(view);
    view->status = fetch(tool, json_pack("{s:s}", "command", "status"));
    if (view->status == NULL) {
        view->at = 0;
        return;
    }
    view->clients = fetch(tool, json_pack("{s:s, s:s, s:i}", "command", "clients", "since", since, "limit", CLIENTS_LOOKED_AT));
    if (view->silent > 0)
        view->silent--;
    else if ((view->zones = fetch(tool, json_pack("{s:s}", "command", "zones"))) == NULL)
        view->silent = SILENT_LOOKS;
    double now = seconds_now(), queries = number(view->status, "queries"), hits = number(view->status, "policy_hits");
    bool known = view->at > 0 && queries >= view->queries && hits >= view->hits && now > view->at;
    view->queries_rate = known ? (queries - view->queries) / (now - view->at) : 0;
    view->hits_rate = known ? (hits - view->hits) / (now - view->at) : 0;
    view->queries = queries;
    view->hits = hits;
    view->at = now;
}

/* A value as text that can't harm the terminal. */
static const char *text_of(const json_t *value, char out[CELL_MAX]) {
    char joined[CELL_MAX] = "";
    size_t i;
    json_t *item;
    if (json_is_integer(value))
        snprintf(joined, sizeof joined, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(joined, sizeof joined, "%.1f", json_real_value(value));
    else if (json_is_string(value))
        snprintf(joined, sizeof joined, "%s", json_string_value(value));
    json_array_foreach(value, i, item) {
        size_t used = strlen(joined);
        if (json_is_string(item))
            snprintf(joined + used, sizeof joined - used, "%s%s", i > 0 ? ", " : "", json_string_value(item));
    }
    if (joined[0] == '\0')
        return "-";
    return table_escape(joined, out, CELL_MAX);
}

static const char *plain(const json_t *row, const char *key, char out[CELL_MAX]) {
    return text_of(json_object_get(row, key), out);
}

static const char *age(const json_t *row, const char *key, char out[CELL_MAX]) {
    const json_t *value = json_object_get(row, key);
    if (!json_is_number(value))
        return "-";
    table_age(json_number_value(value), out);
    return out;
}

/* How long ago a moment was that stands there as in the log. */
static const char *ago(const json_t *row, const char *key, char out[CELL_MAX]) {
    struct tm tm = {0};
    const char *text = json_string_value(json_object_get(row, key));
    if (text == NULL || strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
        return "-";
    double seconds = difftime(time(NULL), timegm(&tm));
    table_age(seconds > 0 ? seconds : 0, out);
    return out;
}

static const char *server_state(const json_t *row, const char *key, char out[CELL_MAX]) {
    return json_is_true(json_object_get(row, key)) ? "up" : "down";
}

static const char *zone_state(const json_t *row, const char *key, char out[CELL_MAX]) {
    if (json_is_string(json_object_get(row, "error")))
        return plain(row, "error", out);
    return json_is_true(json_object_get(row, "stale")) ? "stale" : "ok";
}

/* A column is as wide as what stands in it, `most` at most; the last ones are cut where the line ends. */
struct column {
    const char *title, *key;
    const char *(*text)(const json_t *row, const char *key, char out[CELL_MAX]);
    int most;
};

/* Octets of text that fit into `columns` of the screen, and how many columns they take. */
static int fit(const char *text, int columns, int *taken) {
    mbstate_t state = {0};
    int octets = 0;
    *taken = 0;
    while (text[octets] != '\0') {
        wchar_t character;
        size_t length = mbrtowc(&character, text + octets, MB_CUR_MAX, &state);
        int width = length == 0 || length > MB_CUR_MAX ? -1 : wcwidth(character);
        if (width < 0 || *taken + width > columns)
            break;
        octets += (int)length;
        *taken += width;
    }
    return octets;
}

/* Puts text on a line, in `columns` at most; returns the columns taken. */
static int put(int y, int x, int columns, const char *text) {
    int taken;
    int octets = fit(text, columns < COLS - x ? columns : COLS - x, &taken);
    mvaddnstr(y, x, text, octets);
    return taken;
}

static const char *cell_of(const struct column *column, const json_t *row, char out[CELL_MAX]) {
    return row == NULL ? column->title : column->text(row, column->key, out);
}

static void draw_row(int y, const struct column *columns, const int *widths, size_t count, const json_t *row) {
    int x = 0;
    for (size_t i = 0; i < count && x < COLS; i++) {
        char cell[CELL_MAX];
        put(y, x, widths[i], cell_of(&columns[i], row, cell));
        x += widths[i] + 2;
    }
}

/* Draws a list from line y on, at most `lines` lines with its title; returns the line after it. */
static int draw_list(int y, int lines, const char *title, const struct column *columns, size_t count, const json_t *rows) {
    int widths[COLUMNS_MAX] = {0};
    if (lines < 2)
        return y;
    size_t most = (size_t)lines - 1, have = json_array_size(rows), shown = have < most ? have : most;
    for (size_t i = 0; i <= shown; i++) {
        for (size_t c = 0; c < count; c++) {
            char cell[CELL_MAX];
            int width;
            fit(cell_of(&columns[c], i == 0 ? NULL : json_array_get(rows, i - 1), cell), columns[c].most, &width);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    attron(A_REVERSE);
    mvhline(y, 0, ' ', COLS);
    draw_row(y, columns, widths, count, NULL);
    attroff(A_REVERSE);
    for (size_t i = 0; i < shown; i++)
        draw_row(y + 1 + (int)i, columns, widths, count, json_array_get(rows, i));
    if (have == 0)
        put(y + 1, 0, COLS, title);
    return y + 1 + (int)(have == 0 ? 1 : shown);
}

static double lost(const json_t *status) {
    static const char *const keys[] = {"lines_lost",        "query_lines_lost", "ring_lost_hits", "ring_lost_asked",
                                       "ring_lost_queries", "ledger_lost",      "syslog_lost",    "dnstap_lost"};
    double sum = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        sum += number(json_object_get(status, "log"), keys[i]);
    return sum;
}

static void draw_head(const struct view *view) {
    char up[16], line[CELL_MAX];
    table_age(number(view->status, "uptime_s"), up);
    attron(A_BOLD);
    int x = put(0, 0, COLS, "sundew");
    attroff(A_BOLD);
    snprintf(line, sizeof line, "  up %s  %.0f queries/s  %.1f%% from cache  %.1f hits/s", up, view->queries_rate,
             100 * number(view->status, "hit_ratio"), view->hits_rate);
    put(0, x, COLS, line);
    snprintf(line, sizeof line, "%.0f queries  %.0f policy hits  %.0f rules  %.0f zones  %.0f records lost", view->queries,
             view->hits, number(view->status, "rules"), number(view->status, "zones"), lost(view->status));
    put(1, 0, COLS, line);
}

static void draw(const struct tool *tool, const struct view *view) {
    static const struct column clients[] = {{"CLIENT", "address", plain, 40}, {"SEEN", "last_seen", ago, 5},
                                            {"HITS", "hits", plain, 10},      {"FAMILIES", "families", plain, 24},
                                            {"MAC", "mac", plain, 17},        {"HOST", "hostname", plain, 24}};
    static const struct column zones[] = {{"ZONE", "name", plain, 24},
                                          {"MODE", "mode", plain, 8},
                                          {"RULES", "rules", plain, 11},
                                          {"AGE", "age_s", age, 5},
                                          {"STATE", "", zone_state, CELL_MAX}};
    static const struct column upstreams[] = {{"UPSTREAM", "server", plain, 40}, {"STATE", "up", server_state, 5},
                                              {"RTT ms", "rtt_ms", plain, 8},    {"QUERIES", "queries", plain, 12},
                                              {"FAILED", "failures", plain, 12}, {"FOR", "zone", plain, 40}};
    erase();
    if (view->status == NULL) {
        char path[CELL_MAX], line[CELL_MAX + 64];
        snprintf(line, sizeof line, "sundew  no daemon at %s, waiting", table_escape(tool->control, path, sizeof path));
        put(0, 0, COLS, line);
        refresh();
        return;
    }
    draw_head(view);
    int room = LINES - 4, y = 3;
    y = draw_list(y, room / 2, "(no client has asked for a listed name)", clients, sizeof clients / sizeof *clients,
                  view->clients) +
        1;
    y = draw_list(y, (LINES - y) / 2 + 1, view->zones == NULL ? "(the feeder doesn't say)" : "(no zones)", zones,
                  sizeof zones / sizeof *zones, view->zones) +
        1;
    draw_list(y, LINES - y, "(no upstreams)", upstreams, sizeof upstreams / sizeof *upstreams,
              json_object_get(view->status, "upstreams"));
    refresh();
}

int tool_top(struct tool *tool, int argc, char **argv) {
    struct view view = {0};
    if (argc > 1)
        return tool_usage(argv[0], "takes no arguments");
    if (!tool->terminal)
        return tool_failed("top: stdout is not a terminal");
    if (freopen("/dev/null", "w", stderr) == NULL) /* complaints of one look would tear the picture */
        return TOOL_FAILED;
    tool->patience = PATIENCE_SECONDS; /* q is heard between two looks */
    setlocale(LC_ALL, "");
    if (initscr() == NULL)
        return TOOL_FAILED;
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    timeout(INTERVAL_MS);
    for (int key = ERR; key != 'q' && key != 'Q'; key = getch()) {
        if (key == ERR)
            look(tool, &view);
        draw(tool, &view); /* also after KEY_RESIZE, at once */
    }
    endwin();
    forget(&view);
    return TOOL_DONE;
}
