/* feeds/when.c: reads timestamps without the locale, the time zone or the leniency of strptime. */
#include "feeds/when.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DAY = 86400, UNIX_DIGITS_MAX = 12 };

struct cursor {
    const char *at;
    const char *end;
};

/* Exactly `digits` digits; -1 if they aren't there. */
static int number(struct cursor *cursor, int digits) {
    int value = 0;
    if (cursor->end - cursor->at < digits)
        return -1;
    for (int i = 0; i < digits; i++) {
        char c = cursor->at[i];
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    cursor->at += digits;
    return value;
}

static bool accept(struct cursor *cursor, char c) {
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar; years are counted from March so that leap days come last. */
static int64_t days_from_date(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool read_date(struct cursor *cursor, int64_t *days) {
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = number(cursor, 4);
    if (year < 0 || !accept(cursor, '-'))
        return false;
    int month = number(cursor, 2);
    if (month < 1 || month > 12 || !accept(cursor, '-'))
        return false;
    int day = number(cursor, 2);
    bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day < 1 || day > lengths[month - 1] + (leap ? 1 : 0))
        return false;
    *days = days_from_date(year, month, day);
    return true;
}

/* HH:MM[:SS[.fraction]]; the 60th second of a leap second is the next minute's first. */
static bool read_clock(struct cursor *cursor, int64_t *seconds) {
    int hour = number(cursor, 2);
    if (hour < 0 || hour > 23 || !accept(cursor, ':'))
        return false;
    int minute = number(cursor, 2);
    if (minute < 0 || minute > 59)
        return false;
    int second = 0;
    if (accept(cursor, ':')) {
        second = number(cursor, 2);
        if (second < 0 || second > 60)
            return false;
        if (accept(cursor, '.')) {
            int digits = 0;
            while (number(cursor, 1) >= 0)
                digits++;
            if (digits < 1 || digits > 9)
                return false;
        }
    }
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

static bool read_zone(struct cursor *cursor, int64_t *offset) {
    *offset = 0;
    if (cursor->at == cursor->end || accept(cursor, 'Z') || accept(cursor, 'z'))
        return true;
    if (cursor->end - cursor->at == 4 && memcmp(cursor->at, " UTC", 4) == 0) {
        cursor->at += 4;
        return true;
    }
    int sign = accept(cursor, '+') ? 1 : accept(cursor, '-') ? -1 : 0;
    int hours = sign ? number(cursor, 2) : -1;
    if (hours < 0 || hours > 23)
        return false;
    accept(cursor, ':');
    int minutes = number(cursor, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *offset = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_unix(const char *text, size_t length, int64_t *seconds) {
    int64_t value = 0;
    if (length == 0 || length > UNIX_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *seconds = value;
    return true;
}

int when_parse(const char *text, size_t length, bool end_of_day, int64_t *seconds) {
    if (read_unix(text, length, seconds))
        return 0;
    struct cursor cursor = {text, text + length};
    int64_t days, clock, offset = 0;
    if (!read_date(&cursor, &days))
        return -EINVAL;
    if (cursor.at == cursor.end)
        clock = end_of_day ? DAY - 1 : 0;
    else if (!(accept(&cursor, 'T') || accept(&cursor, 't') || accept(&cursor, ' ')) || !read_clock(&cursor, &clock) ||
             !read_zone(&cursor, &offset))
        return -EINVAL;
    if (cursor.at != cursor.end)
        return -EINVAL;
    int64_t value = days * DAY + clock - offset;
    *seconds = value > 0 ? value : 1;
    return 0;
}

void when_format(int64_t seconds, char text[WHEN_TEXT_MAX]) {
    int64_t days = seconds / DAY, rest = seconds % DAY;
    if (rest < 0) {
        days--;
        rest += DAY;
    }
    int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097,
            day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100),
            month = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    snprintf(text, WHEN_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, (int)month, (int)day, (int)(rest / 3600),
             (int)(rest / 60 % 60), (int)(rest % 60));
}
