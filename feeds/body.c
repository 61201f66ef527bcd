/* feeds/body.c: see body.h. One reason to exist: no parser should know how its text was packed. */
#include "feeds/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

struct body {
    const char *text; /* in memory */
    size_t length, at;
    gzFile gz; /* a plain or a gzip file: zlib passes plain ones through */
    zip_t *zip;
    zip_file_t *member;
    uint64_t limit, delivered;
};

static int open_zip(struct body *body, int fd) {
    int code;
    body->zip = zip_fdopen(fd, 0, &code);
    if (body->zip == NULL) {
        close(fd);
        return -EBADMSG;
    }
    zip_int64_t count = zip_get_num_entries(body->zip, 0), largest = -1;
    zip_uint64_t size = 0;
    for (zip_int64_t i = 0; i < count; i++) {
        zip_stat_t status;
        if (zip_stat_index(body->zip, (zip_uint64_t)i, 0, &status) == 0 && (largest < 0 || status.size > size)) {
            largest = i;
            size = status.size;
        }
    }
    if (largest >= 0)
        body->member = zip_fopen_index(body->zip, (zip_uint64_t)largest, 0);
    return body->member == NULL ? -EBADMSG : 0;
}

int body_open(struct body **out, int fd, uint64_t limit) {
    struct body *body = calloc(1, sizeof *body);
    if (body == NULL) {
        close(fd);
        return -ENOMEM;
    }
    body->limit = limit;
    char start[4] = "";
    int error = 0;
    if (pread(fd, start, 4, 0) == 4 && memcmp(start, "PK\003\004", 4) == 0) {
        error = open_zip(body, fd);
    } else if ((body->gz = gzdopen(fd, "rb")) == NULL) {
        close(fd);
        error = -ENOMEM;
    } else {
        /* what is plain passes zlib's buffer by when much more is asked for than it holds */
        gzbuffer(body->gz, memcmp(start, "\037\213", 2) == 0 ? 128 << 10 : 16 << 10);
    }
    if (error != 0) {
        body_close(body);
        return error;
    }
    *out = body;
    return 0;
}

int body_open_text(struct body **out, const char *text, size_t length) {
    struct body *body = calloc(1, sizeof *body);
    if (body == NULL)
        return -ENOMEM;
    body->text = text;
    body->length = length;
    *out = body;
    return 0;
}

long body_read(void *context, char *buffer, size_t size) {
    struct body *body = context;
    long n;
    if (body->text != NULL) {
        size_t left = body->length - body->at;
        n = (long)(left < size ? left : size);
        memcpy(buffer, body->text + body->at, (size_t)n);
        body->at += (size_t)n;
    } else if (body->member != NULL) {
        n = (long)zip_fread(body->member, buffer, size);
        if (n < 0)
            return -EBADMSG;
    } else {
        errno = 0;
        n = gzread(body->gz, buffer, (unsigned)(size > (1u << 20) ? 1u << 20 : size));
        int state = Z_OK;
        if (n <= 0)
            gzerror(body->gz, &state); /* a gzip stream that is cut off ends like a complete one, but says so here */
        if (state != Z_OK && state != Z_STREAM_END)
            return state == Z_ERRNO && errno != 0 ? -errno : -EBADMSG;
    }
    body->delivered += (uint64_t)n;
    return body->limit != 0 && body->delivered > body->limit ? -EFBIG : n;
}

void body_close(struct body *body) {
    if (body == NULL)
        return;
    if (body->member != NULL)
        zip_fclose(body->member);
    if (body->zip != NULL)
        zip_discard(body->zip);
    if (body->gz != NULL)
        gzclose_r(body->gz);
    free(body);
}
