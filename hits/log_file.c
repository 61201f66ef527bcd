/* hits/log_file.c: a file of lines that others rotate, remove and read along: whole lines only, or none. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hits/log_file.h"

enum { TORN_MAX = 65536 /* octets at the end of a file in which the end of its last whole line is looked for */ };

struct log_file {
    char *path; /* NULL: off */
    int fd;     /* -1: not open */
    dev_t device;
    ino_t inode;
    char *rest; /* of a line whose beginning is in the file and could not be cut off */
    size_t rest_length;
};

struct log_file *log_file_new(void) {
    struct log_file *file = calloc(1, sizeof *file);
    if (file != NULL)
        file->fd = -1;
    return file;
}

static void set_rest(struct log_file *file, const char *rest, size_t length) {
    char *copy = length == 0 ? NULL : malloc(length);
    if (copy != NULL)
        memcpy(copy, rest, length);
    free(file->rest);
    file->rest = copy;
    file->rest_length = copy == NULL ? 0 : length;
}

/* Writes until all is there or the kernel refuses. Returns the octets written; *error says why it is less than all. */
static size_t write_all(int fd, const char *octets, size_t length, int *error) {
    size_t done = 0;
    while (done < length) {
        ssize_t n = write(fd, octets + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *error = n < 0 ? -errno : -ENOSPC;
            break;
        }
        done += (size_t)n;
    }
    return done;
}

/* Completes the line that an earlier write left torn; false: still torn. */
static bool write_rest(struct log_file *file, int *error) {
    if (file->rest_length == 0)
        return true;
    size_t done = write_all(file->fd, file->rest, file->rest_length, error);
    if (done == file->rest_length) {
        set_rest(file, NULL, 0);
        return true;
    }
    memmove(file->rest, file->rest + done, file->rest_length - done);
    file->rest_length -= done;
    return false;
}

static void close_file(struct log_file *file) {
    int ignored = 0;
    if (file->fd < 0)
        return;
    write_rest(file, &ignored);
    set_rest(file, NULL, 0);
    close(file->fd);
    file->fd = -1;
}

void log_file_free(struct log_file *file) {
    if (file == NULL)
        return;
    close_file(file);
    free(file->path);
    free(file);
}

const char *log_file_where(const struct log_file *file) {
    return file->path;
}

void log_file_reopen(struct log_file *file) {
    close_file(file);
}

/* A kill -9 in the middle of write() can leave the beginning of a line at the end: takes it back. Nobody else writes here. */
static void cut_torn_end(int fd, const struct stat *at) {
    char end[TORN_MAX];
    off_t from = at->st_size > TORN_MAX ? at->st_size - TORN_MAX : 0;
    if (!S_ISREG(at->st_mode) || at->st_size == 0)
        return;
    ssize_t n = pread(fd, end, (size_t)(at->st_size - from), from);
    if (n <= 0 || end[n - 1] == '\n')
        return;
    const char *last = memrchr(end, '\n', (size_t)n);
    if (last == NULL && from > 0)
        return; /* no line of ours is so long */
    if (ftruncate(fd, last == NULL ? 0 : from + (last + 1 - end)) < 0) {
        ssize_t ended = write(fd, "\n", 1); /* at least the next line stands by itself */
        (void)ended;
    }
}

/* Makes fd the file that the path names now. 0 or -errno. */
static int open_file(struct log_file *file) {
    struct stat at;
    if (file->fd >= 0 && stat(file->path, &at) == 0 && at.st_dev == file->device && at.st_ino == file->inode)
        return 0;
    int fd = open(file->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &at) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    close_file(file);
    cut_torn_end(fd, &at);
    file->fd = fd;
    file->device = at.st_dev;
    file->inode = at.st_ino;
    return 0;
}

int log_file_path(struct log_file *file, const char *path) {
    if (path != NULL && file->path != NULL && strcmp(path, file->path) == 0)
        return 0;
    char *copy = path == NULL ? NULL : strdup(path);
    if (path != NULL && copy == NULL)
        return -ENOMEM;
    close_file(file);
    free(file->path);
    file->path = copy;
    if (copy != NULL)
        open_file(file); /* so that a torn end is mended now; a failure is told with the first line that is lost for it */
    return 0;
}

static uint64_t count_lines(const char *lines, size_t length) {
    uint64_t count = 0;
    for (const char *at = lines, *end = lines + length; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        count++;
    return count;
}

/* The write ended within a line: takes its beginning back, or keeps the rest of it for later. Returns where the lost lines begin.
 */
static size_t mend(struct log_file *file, const char *lines, size_t length, size_t done) {
    const char *last = memrchr(lines, '\n', done);
    size_t whole = last == NULL ? 0 : (size_t)(last + 1 - lines);
    if (whole == done)
        return done;
    struct stat at;
    if (fstat(file->fd, &at) == 0 && S_ISREG(at.st_mode) && ftruncate(file->fd, at.st_size - (off_t)(done - whole)) == 0)
        return whole;
    const char *end = memchr(lines + done, '\n', length - done);
    size_t next = end == NULL ? length : (size_t)(end + 1 - lines);
    set_rest(file, lines + done, next - done);
    return next;
}

uint64_t log_file_write(struct log_file *file, const char *lines, size_t length, int *error) {
    if (file->path == NULL || length == 0)
        return 0;
    int opened = open_file(file);
    if (opened < 0) {
        *error = opened;
        return count_lines(lines, length);
    }
    if (!write_rest(file, error))
        return count_lines(lines, length);
    size_t done = write_all(file->fd, lines, length, error);
    if (done == length)
        return 0;
    done = mend(file, lines, length, done);
    return count_lines(lines + done, length - done);
}
