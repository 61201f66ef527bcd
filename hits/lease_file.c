/* hits/lease_file.c: follows one lease file as its server appends to it, rewrites it or puts another in its place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/lease_file.h"

enum {
    CHUNK = 65536,         /* octets a read */
    PORTION = 4 << 20,     /* octets a call: some 50 ms */
    FIRST = 32 << 20,      /* the same of a file that is new: what was hit meanwhile waits in the rings to be given to somebody */
    HEAD = 256,            /* octets at the beginning by which a file rewritten in place is noticed */
    SETTLED_US = 50 * 1000 /* a snapshot younger than this may be half written: dnsmasq truncates, then writes */
};

struct lease_file {
    enum lease_format format;
    char *path;
    struct lease_parser *parser;
    int fd; /* of the file followed, -1 none: its last lines can still be read when another has taken its name */
    struct stat last;
    off_t offset;       /* read so far */
    bool first;         /* not yet read to its end once */
    bool unsettled;     /* read while young: to be read again */
    bool before;        /* Kea: the files from before the last clean-up are read */
    uint8_t head[HEAD]; /* as first read */
    size_t head_length;
    char *line; /* begun, not ended */
    size_t line_length;
};

struct lease_file *lease_file_new(enum lease_format format, const char *path, lease_each *each, void *context) {
    struct lease_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return NULL;
    file->format = format;
    file->fd = -1;
    file->first = true;
    file->path = strdup(path);
    file->line = malloc(LEASE_LINE_MAX + 1);
    file->parser = lease_parser_new(format, each, context);
    if (file->path != NULL && file->line != NULL && file->parser != NULL)
        return file;
    lease_file_free(file);
    return NULL;
}

void lease_file_free(struct lease_file *file) {
    if (file == NULL)
        return;
    if (file->fd >= 0)
        close(file->fd);
    lease_parser_free(file->parser);
    free(file->line);
    free(file->path);
    free(file);
}

int64_t lease_file_written(const struct lease_file *file) {
    return (int64_t)file->last.st_mtim.tv_sec * 1000000 + file->last.st_mtim.tv_nsec / 1000;
}

bool lease_file_first(const struct lease_file *file) {
    return file->first;
}

const char *lease_file_path(const struct lease_file *file) {
    return file->path;
}

enum lease_format lease_file_format(const struct lease_file *file) {
    return file->format;
}

uint64_t lease_file_skipped(const struct lease_file *file) {
    return lease_parser_skipped(file->parser);
}

static void begin(struct lease_file *file) {
    file->offset = 0;
    file->head_length = 0;
    file->line_length = 0;
    lease_parser_reset(file->parser);
}

/* Splits octets into lines; a line beyond LEASE_LINE_MAX is given cut, one octet too long, so that the parser counts it. */
static void feed(struct lease_file *file, const char *octets, size_t length) {
    const char *end = octets + length;
    while (octets < end) {
        const char *newline = memchr(octets, '\n', (size_t)(end - octets));
        size_t piece = (size_t)((newline == NULL ? end : newline) - octets);
        size_t room = LEASE_LINE_MAX + 1 - file->line_length;
        if (newline != NULL && file->line_length == 0) {
            lease_parser_line(file->parser, octets, piece);
        } else {
            memcpy(file->line + file->line_length, octets, piece < room ? piece : room);
            file->line_length += piece < room ? piece : room;
            if (newline != NULL) {
                lease_parser_line(file->parser, file->line, file->line_length);
                file->line_length = 0;
            }
        }
        octets += piece + (newline != NULL);
    }
}

/* Reads on in fd, at most a portion. 1: there may be more, 0: at the end, -errno. */
static int read_on(struct lease_file *file, int fd) {
    char chunk[CHUNK];
    const size_t portion = file->first ? FIRST : PORTION;
    for (size_t taken = 0; taken < portion;) {
        ssize_t n = pread(fd, chunk, sizeof chunk, file->offset);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if (file->head_length < HEAD && file->offset == (off_t)file->head_length) {
            size_t more = HEAD - file->head_length < (size_t)n ? HEAD - file->head_length : (size_t)n;
            memcpy(file->head + file->head_length, chunk, more);
            file->head_length += more;
        }
        feed(file, chunk, (size_t)n);
        file->offset += n;
        taken += (size_t)n;
    }
    return 1;
}

/* Kea cleans its journal up by writing what is left into another file: "X.2" (or "X.completed") and "X.1" are older than X. */
static void read_before(struct lease_file *file) {
    static const char *const endings[] = {".completed", ".2", ".1"};
    bool completed = false;
    file->before = true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0] && !completed; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s%s", file->path, endings[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        completed = i == 0; /* it replaces the others */
        fstat(fd, &file->last);
        begin(file);
        while (read_on(file, fd) > 0)
            ;
        close(fd);
    }
    file->last = (struct stat){0};
    begin(file);
}

static bool head_changed(const struct lease_file *file) {
    uint8_t head[HEAD];
    ssize_t n = file->head_length == 0 ? 0 : pread(file->fd, head, file->head_length, 0);
    return n != (ssize_t)file->head_length || memcmp(head, file->head, file->head_length) != 0;
}

/* Another file stands under the name: the last lines of the old one first. */
static int change_over(struct lease_file *file) {
    if (file->fd >= 0) {
        while (file->format == LEASE_KEA && read_on(file, file->fd) > 0)
            ;
        close(file->fd);
    }
    begin(file);
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0)
        return -errno;
    return fstat(file->fd, &file->last) == 0 ? 0 : -errno;
}

int lease_file_follow(struct lease_file *file, int64_t now_us, enum lease_news *news) {
    struct stat now;
    if (stat(file->path, &now) < 0)
        return -errno;
    if (!S_ISREG(now.st_mode))
        return -EINVAL;
    bool other = file->fd < 0 || now.st_dev != file->last.st_dev || now.st_ino != file->last.st_ino;
    bool touched = other || now.st_size != file->last.st_size || now.st_mtim.tv_sec != file->last.st_mtim.tv_sec ||
                   now.st_mtim.tv_nsec != file->last.st_mtim.tv_nsec;
    bool again = file->unsettled && now_us - lease_file_written(file) >= SETTLED_US;
    *news = LEASE_FILE_SAME;
    if (!touched && !again && file->offset >= now.st_size)
        return 0;
    if (file->format == LEASE_KEA && !file->before)
        read_before(file);
    int rc = other ? change_over(file) : 0;
    if (rc < 0)
        return rc;
    if (!other) {
        file->last = now;
        if (now.st_size < file->offset || ((touched || again) && file->format == LEASE_DNSMASQ) || (touched && head_changed(file)))
            begin(file);
    }
    rc = read_on(file, file->fd);
    if (rc < 0)
        return rc;
    *news = rc > 0 ? LEASE_FILE_PORTION : LEASE_FILE_READ;
    if (rc == 0 && file->format == LEASE_DNSMASQ) {
        file->unsettled = now_us - lease_file_written(file) < SETTLED_US;
        if (!file->unsettled && file->line_length == 0)
            *news = LEASE_FILE_WHOLE;
    }
    file->first = file->first && rc > 0;
    return 0;
}
