/* tool/top.c: `sundew top`: a live view of the daemon in a terminal; q ends it. A daemon that is gone is waited for. */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/request.h"
#include "tool/table.h"
#include "tool/tool.h"

enum { INTERVAL_MS = 1000, CELL_MAX = 512, CLIENTS_SINCE_HOURS = 24 };

/* What the last look brought, and what rates are counted from. */
struct view {
    json_t *status, *clients, *zones; /* NULL: not known */
    double queries, hits;             /* at the last look */
    double at;                        /* monotonic seconds of it; 0 none */
    double queries_rate, hits_rate;
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
    view->clients = fetch(tool, json_pack("{s:s, s:s}", "command", "clients", "since", since));
    view->zones = fetch(tool, json_pack("{s:s}", "command", "zones"));
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

/* A column: title, key, width; 0 takes what is left of the line. */
struct column {
    const char *title, *key;
    int width;
};

static void draw_row(int y, const struct column *columns, size_t count, const json_t *row) {
    int x = 0;
    for (size_t i = 0; i < count && x < COLS; i++) {
        char cell[CELL_MAX];
        int width = columns[i].width != 0 ? columns[i].width : COLS - x;
        const char *text = row == NULL ? columns[i].title : text_of(json_object_get(row, columns[i].key), cell);
        mvaddnstr(y, x, text, width - 1 < COLS - x ? width - 1 : COLS - x);
        x += width;
    }
}

/* Draws a list from line y on, at most `lines` lines with its title; returns the line after it. */
static int draw_list(int y, int lines, const char *title, const struct column *columns, size_t count, const json_t *rows) {
    if (lines < 2)
        return y;
    attron(A_REVERSE);
    mvhline(y, 0, ' ', COLS);
    draw_row(y, columns, count, NULL);
    attroff(A_REVERSE);
    size_t most = (size_t)lines - 1, have = json_array_size(rows);
    for (size_t i = 0; i < have && i < most; i++)
        draw_row(y + 1 + (int)i, columns, count, json_array_get(rows, i));
    if (have == 0)
        mvprintw(y + 1, 0, "(%s)", title);
    return y + 1 + (int)(have == 0 ? 1 : have < most ? have : most);
}

static void draw_head(const struct view *view) {
    char age[16];
    table_age(number(view->status, "uptime_s"), age);
    attron(A_BOLD);
    mvprintw(0, 0, "sundew");
    attroff(A_BOLD);
    printw("  up %s  %.0f queries/s  %.1f%% from cache  %.1f hits/s", age, view->queries_rate,
           100 * number(view->status, "hit_ratio"), view->hits_rate);
    mvprintw(1, 0, "%.0f queries  %.0f policy hits  %.0f rules  %.0f zones  lost %.0f", view->queries, view->hits,
             number(view->status, "rules"), number(view->status, "zones"),
             number(json_object_get(view->status, "log"), "lines_lost") +
                 number(json_object_get(view->status, "log"), "ring_lost_hits"));
}

static void draw(const struct tool *tool, const struct view *view) {
    static const struct column clients[] = {
        {"CLIENT", "address", 18}, {"MAC", "mac", 19}, {"HOST", "hostname", 16}, {"HITS", "hits", 8}, {"FAMILIES", "families", 0}};
    static const struct column zones[] = {
        {"ZONE", "name", 18}, {"MODE", "mode", 9}, {"RULES", "rules", 12}, {"AGE s", "age_s", 10}, {"ERROR", "error", 0}};
    static const struct column upstreams[] = {{"UPSTREAM", "server", 34},
                                              {"RTT ms", "rtt_ms", 9},
                                              {"QUERIES", "queries", 12},
                                              {"FAILED", "failures", 10},
                                              {"FOR", "zone", 0}};
    erase();
    if (view->status == NULL) {
        char path[CELL_MAX];
        mvprintw(0, 0, "sundew  no daemon at %s, waiting", table_escape(tool->control, path, sizeof path));
        refresh();
        return;
    }
    draw_head(view);
    int room = LINES - 4, y = 3;
    y = draw_list(y, room / 2, "no client has asked for a listed name", clients, sizeof clients / sizeof *clients, view->clients) +
        1;
    y = draw_list(y, (LINES - y) / 2 + 1, "no zones", zones, sizeof zones / sizeof *zones, view->zones) + 1;
    draw_list(y, LINES - y, "no upstreams", upstreams, sizeof upstreams / sizeof *upstreams,
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
