/* feeds/fetch.c: see fetch.h. One reason to exist: libcurl behind a wall, with the rules on secrets and redirects in one place. */
#include "feeds/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "feeds/redact.h"

enum { RETRY_AFTER_MAX = 86400, SECRET_MAX = 64 << 10, HEADERS_MAX = 256 << 10 };

struct fetcher {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
};

struct socket_watch {
    uv_poll_t poll;
    struct fetcher *fetcher;
    curl_socket_t socket;
};

struct fetch {
    struct fetcher *fetcher;
    CURL *easy;
    char *url, *shown, *post, *accept, *etag, *last_modified, *ca_file, *proxy, *username, *password, *directory;
    char *taxii_last;
    struct curl_slist *headers, *secrets;
    bool secrets_dropped;
    unsigned redirects;
    uint64_t max_size;
    uint64_t hash;
    bool too_large;
    size_t header_octets; /* of all responses so far */
    int write_error;
    char curl_error[CURL_ERROR_SIZE];
    char *got_etag, *got_last_modified;
    struct fetch_result result;
    void (*done)(void *context, struct fetch_result *result);
    void *context;
};

/* --- libcurl on libuv -----------------------------------------------------------------------------------------------------------
 */

static void reap(struct fetcher *fetcher);

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct socket_watch *watch = poll->data;
    struct fetcher *fetcher = watch->fetcher;
    int running, flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(fetcher->multi, watch->socket, status < 0 ? CURL_CSELECT_ERR : flags, &running);
    reap(fetcher);
}

static void on_watch_closed(uv_handle_t *handle) {
    free(handle->data);
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *attached) {
    struct fetcher *fetcher = context;
    struct socket_watch *watch = attached;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
            curl_multi_assign(fetcher->multi, socket, NULL);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = calloc(1, sizeof *watch);
        if (watch == NULL)
            return -1;
        *watch = (struct socket_watch){.fetcher = fetcher, .socket = socket};
        if (uv_poll_init_socket(fetcher->loop, &watch->poll, socket) != 0) {
            free(watch);
            return -1;
        }
        watch->poll.data = watch;
        curl_multi_assign(fetcher->multi, socket, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_poll);
    return 0;
}

static void on_timeout(uv_timer_t *timer) {
    struct fetcher *fetcher = timer->data;
    int running;
    curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(fetcher);
}

static int on_set_timer(CURLM *multi, long ms, void *context) {
    struct fetcher *fetcher = context;
    if (ms < 0)
        uv_timer_stop(&fetcher->timer);
    else
        uv_timer_start(&fetcher->timer, on_timeout, ms == 0 ? 1 : (uint64_t)ms, 0);
    return 0;
}

struct fetcher *fetcher_new(uv_loop_t *loop) {
    struct fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (fetcher == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (fetcher->multi = curl_multi_init()) == NULL) {
        free(fetcher);
        return NULL;
    }
    fetcher->loop = loop;
    uv_timer_init(loop, &fetcher->timer);
    fetcher->timer.data = fetcher;
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 16L);
    return fetcher;
}

/* --- one exchange ---------------------------------------------------------------------------------------------------------------
 */

static void fetch_free(struct fetch *fetch) {
    if (fetch->easy != NULL) {
        curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_slist_free_all(fetch->headers);
    curl_slist_free_all(fetch->secrets);
    if (fetch->result.fd >= 0)
        close(fetch->result.fd);
    char *strings[] = {fetch->url,           fetch->shown,      fetch->post,     fetch->accept,           fetch->etag,
                       fetch->last_modified, fetch->ca_file,    fetch->proxy,    fetch->username,         fetch->password,
                       fetch->directory,     fetch->taxii_last, fetch->got_etag, fetch->got_last_modified};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free(strings[i]);
    free(fetch);
}

void *fetch_cancel(struct fetch *fetch) {
    void *context = fetch->context;
    fetch_free(fetch);
    return context;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context) {
    struct fetch *fetch = context;
    size_t length = size * count;
    fetch->result.size += length;
    if (fetch->max_size != 0 && fetch->result.size > fetch->max_size) {
        fetch->too_large = true;
        return 0;
    }
    for (size_t i = 0; i < length; i++)
        fetch->hash = (fetch->hash ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    for (size_t at = 0; at < length;) {
        ssize_t n = write(fetch->result.fd, bytes + at, length - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fetch->write_error = errno;
            return 0;
        }
        at += (size_t)n;
    }
    return length;
}

static void take_header(const char *line, size_t length, const char *name, char **value) {
    size_t size = strlen(name);
    if (length <= size || strncasecmp(line, name, size) != 0 || line[size] != ':')
        return;
    const char *start = line + size + 1, *end = line + length;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (unsigned char)end[-1] <= ' ')
        end--;
    free(*value);
    *value = end - start > 1024 ? NULL : strndup(start, (size_t)(end - start));
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context) {
    struct fetch *fetch = context;
    size_t length = size * count;
    fetch->header_octets += length;
    if (fetch->header_octets > HEADERS_MAX)
        return 0;
    take_header(bytes, length, "ETag", &fetch->got_etag);
    take_header(bytes, length, "Last-Modified", &fetch->got_last_modified);
    take_header(bytes, length, "X-TAXII-Date-Added-Last", &fetch->taxii_last);
    return length;
}

static void add_header(struct curl_slist **list, const char *name, const char *value) {
    char *line;
    if (value == NULL || asprintf(&line, "%s: %s", name, value) < 0)
        return;
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer != NULL)
        *list = longer;
    free(line);
}

static long idle_seconds(void) {
    const char *text = getenv("SUNDEW_FEEDER_IDLE_SECONDS"); /* for tests, which can't wait half a minute */
    long seconds = text == NULL ? 0 : strtol(text, NULL, 10);
    return seconds > 0 ? seconds : FETCH_IDLE_SECONDS;
}

static int open_body(struct fetch *fetch) {
    if (fetch->result.fd >= 0)
        close(fetch->result.fd);
    fetch->result.fd = open(fetch->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fetch->result.fd < 0) { /* a file system without O_TMPFILE */
        char path[4096];
        snprintf(path, sizeof path, "%s/.body-XXXXXX", fetch->directory);
        fetch->result.fd = mkostemp(path, O_CLOEXEC);
        if (fetch->result.fd >= 0)
            unlink(path);
    }
    fetch->result.size = 0;
    fetch->hash = 0xCBF29CE484222325u;
    return fetch->result.fd < 0 ? -errno : 0;
}

static void set_options(struct fetch *fetch, bool with_secrets) {
    CURL *easy = fetch->easy;
    curl_easy_setopt(easy, CURLOPT_URL, fetch->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sundew/" SUNDEW_VERSION);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)FETCH_CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)FETCH_IDLE_RATE);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, idle_seconds());
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)FETCH_TOTAL_SECONDS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->curl_error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    if (fetch->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->ca_file);
    if (fetch->proxy != NULL)
        curl_easy_setopt(easy, CURLOPT_PROXY, fetch->proxy);
    struct curl_slist *headers = NULL;
    add_header(&headers, "Accept", fetch->accept);
    add_header(&headers, "If-None-Match", fetch->etag);
    add_header(&headers, "If-Modified-Since", fetch->last_modified);
    if (fetch->post != NULL) {
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, fetch->post);
        add_header(&headers, "Content-Type", "application/json");
    }
    if (with_secrets) {
        if (fetch->username != NULL)
            curl_easy_setopt(easy, CURLOPT_USERNAME, fetch->username);
        if (fetch->password != NULL)
            curl_easy_setopt(easy, CURLOPT_PASSWORD, fetch->password);
        for (struct curl_slist *secret = fetch->secrets; secret != NULL; secret = secret->next) {
            struct curl_slist *longer = curl_slist_append(headers, secret->data);
            headers = longer != NULL ? longer : headers;
        }
    }
    curl_slist_free_all(fetch->headers);
    fetch->headers = headers;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
}

/* Whether two URLs have scheme, host and port in common; -EPROTO for what isn't http(s), -EACCES for https to http. */
static int same_origin(const char *from, const char *to, bool *same) {
    CURLU *a = curl_url(), *b = curl_url();
    char *parts[6] = {NULL};
    int error = -EPROTO;
    if (a != NULL && b != NULL && curl_url_set(a, CURLUPART_URL, from, 0) == CURLUE_OK &&
        curl_url_set(b, CURLUPART_URL, to, 0) == CURLUE_OK && curl_url_get(a, CURLUPART_SCHEME, &parts[0], 0) == CURLUE_OK &&
        curl_url_get(b, CURLUPART_SCHEME, &parts[1], 0) == CURLUE_OK &&
        curl_url_get(a, CURLUPART_HOST, &parts[2], 0) == CURLUE_OK && curl_url_get(b, CURLUPART_HOST, &parts[3], 0) == CURLUE_OK &&
        curl_url_get(a, CURLUPART_PORT, &parts[4], CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_get(b, CURLUPART_PORT, &parts[5], CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcasecmp(parts[1], "http") == 0 || strcasecmp(parts[1], "https") == 0)) {
        *same = strcasecmp(parts[0], parts[1]) == 0 && strcasecmp(parts[2], parts[3]) == 0 && strcmp(parts[4], parts[5]) == 0;
        error = strcasecmp(parts[0], "https") == 0 && strcasecmp(parts[1], "http") == 0 ? -EACCES : 0;
    }
    for (size_t i = 0; i < 6; i++)
        curl_free(parts[i]);
    curl_url_cleanup(a);
    curl_url_cleanup(b);
    return error;
}

bool fetch_same_origin(const char *a, const char *b) {
    bool same = false;
    return same_origin(a, b, &same) == 0 && same;
}

static int fail(struct fetch *fetch, int error, const char *what) {
    fetch->result.error = error;
    snprintf(fetch->result.why, sizeof fetch->result.why, "%s: %s", fetch->shown, what);
    return error;
}

static int begin(struct fetch *fetch) {
    if (fetch->easy != NULL) {
        curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    int error = open_body(fetch);
    fetch->easy = error == 0 ? curl_easy_init() : NULL;
    if (fetch->easy == NULL)
        return fail(fetch, error != 0 ? error : -ENOMEM, strerror(error != 0 ? -error : ENOMEM));
    set_options(fetch, !fetch->secrets_dropped);
    return curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) == CURLM_OK ? 0 : fail(fetch, -ENOMEM, "no memory");
}

/* Goes on at `location`; 0 if that is under way. */
static int redirect(struct fetch *fetch, const char *location, long status) {
    char shown[1024];
    bool same = false;
    if (++fetch->redirects > FETCH_REDIRECTS)
        return fail(fetch, -ELOOP, "more than 5 redirects");
    int error = same_origin(fetch->url, location, &same);
    if (error == -EACCES)
        return fail(fetch, error, "a redirect from https to http is not followed");
    if (error != 0)
        return fail(fetch, error, "a redirect to what is not http or https");
    bool keeps_post = status == 307 || status == 308;
    if (fetch->post != NULL && keeps_post && !same)
        return fail(fetch, -EACCES, "a POST is not redirected to another host");
    fetch->secrets_dropped = fetch->secrets_dropped || !same;
    if (fetch->post != NULL && !keeps_post) {
        free(fetch->post);
        fetch->post = NULL;
    }
    char *url = strdup(location);
    if (url == NULL)
        return fail(fetch, -ENOMEM, "no memory");
    free(fetch->url);
    fetch->url = url;
    redact_url(url, shown, sizeof shown);
    free(fetch->shown);
    fetch->shown = strdup(shown);
    return fetch->shown == NULL ? -ENOMEM : begin(fetch);
}

static const char *status_text(long status) {
    switch (status) {
    case 401:
    case 403:
        return " (is the key right?)";
    case 404:
    case 410:
        return " (no such feed)";
    case 406:
    case 415:
        return " (another protocol version?)";
    case 429:
        return " (asked too often)";
    default:
        return "";
    }
}

static const char *transfer_text(const struct fetch *fetch, CURLcode code) {
    if (fetch->too_large)
        return "larger than max_size";
    if (fetch->header_octets > HEADERS_MAX)
        return "headers without end";
    if (fetch->write_error != 0)
        return strerror(fetch->write_error);
    if (code == CURLE_OPERATION_TIMEDOUT && fetch->result.size == 0)
        return "timed out without an answer";
    if (code == CURLE_OPERATION_TIMEDOUT)
        return "too slow: timed out";
    if (code == CURLE_PARTIAL_FILE)
        return "cut off: shorter than announced";
    return curl_easy_strerror(code); /* the long text may quote hosts and ports, which vary; the short one is steady */
}

/* True when the exchange is over and result is filled. */
static bool conclude(struct fetch *fetch, CURLcode code) {
    long status = 0;
    char text[160], *location = NULL;
    curl_off_t retry = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(fetch->easy, CURLINFO_REDIRECT_URL, &location);
    curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &retry);
    if (retry > 0 && (status == 429 || status == 503))
        fetch->result.retry_after = (int64_t)time(NULL) + (retry < RETRY_AFTER_MAX ? retry : RETRY_AFTER_MAX);
    if (code != CURLE_OK) {
        fail(fetch, fetch->too_large ? -EFBIG : -EIO, transfer_text(fetch, code));
    } else if (status >= 300 && status < 400 && status != 304 && location != NULL) {
        return redirect(fetch, location, status) != 0;
    } else if (status == 304 && (fetch->etag != NULL || fetch->last_modified != NULL)) {
        fetch->result.unchanged = true;
    } else if (status != 200) {
        snprintf(text, sizeof text, "HTTP status %ld%s", status, status_text(status));
        fail(fetch, -EIO, text);
    }
    fetch->result.etag = fetch->got_etag;
    fetch->result.last_modified = fetch->got_last_modified;
    fetch->result.taxii_last = fetch->taxii_last;
    fetch->result.body_hash = fetch->hash == 0 ? 1 : fetch->hash;
    return true;
}

static void reap(struct fetcher *fetcher) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        struct fetch *fetch;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
        if (!conclude(fetch, code))
            continue;
        if (fetch->result.fd >= 0)
            lseek(fetch->result.fd, 0, SEEK_SET);
        void (*done)(void *, struct fetch_result *) = fetch->done;
        done(fetch->context, &fetch->result);
        fetch_free(fetch);
    }
}

/* --- starting -------------------------------------------------------------------------------------------------------------------
 */

static int read_secret(const char *path, char **text, size_t *size, char why[FETCH_ERROR_MAX]) {
    FILE *file = fopen(path, "re");
    char *buffer = malloc(SECRET_MAX + 1);
    size_t length = file == NULL || buffer == NULL ? 0 : fread(buffer, 1, SECRET_MAX, file);
    int error = file == NULL || ferror(file) ? -errno : 0;
    if (file != NULL)
        fclose(file);
    if (error == 0 && length == SECRET_MAX)
        error = -EFBIG; /* half a secret is none */
    if (error != 0 || buffer == NULL) {
        snprintf(why, FETCH_ERROR_MAX, "%s: %s", path, strerror(error != 0 ? -error : ENOMEM));
        free(buffer);
        return error != 0 ? error : -ENOMEM;
    }
    buffer[length] = '\0';
    *text = buffer;
    *size = length;
    return 0;
}

/* What stands behind the first line of a password's file needn't stay in memory. */
static void keep_first_line(char *text, size_t size) {
    size_t length = strcspn(text, "\r\n");
    explicit_bzero(text + length, size - length);
}

static int read_secrets(struct fetch *fetch, const struct fetch_request *request, char why[FETCH_ERROR_MAX]) {
    char *text, *rest, *line;
    size_t size;
    int error = 0;
    if (request->password_file != NULL && (error = read_secret(request->password_file, &fetch->password, &size, why)) == 0)
        keep_first_line(fetch->password, size);
    if (error != 0 || request->headers_file == NULL || (error = read_secret(request->headers_file, &text, &size, why)) != 0)
        return error;
    for (rest = text; error == 0 && (line = strsep(&rest, "\r\n")) != NULL;) {
        if (line[0] == '\0' || line[0] == '#' || strchr(line, ':') == NULL)
            continue;
        struct curl_slist *longer = curl_slist_append(fetch->secrets, line);
        if (longer != NULL)
            fetch->secrets = longer;
        else
            error = -ENOMEM;
    }
    if (error != 0)
        snprintf(why, FETCH_ERROR_MAX, "%s: %s", request->headers_file, strerror(-error));
    explicit_bzero(text, size); /* not up to the first NUL: lines end in one each by now */
    free(text);
    return error;
}

/* User and password that stand in the URL are secrets like others: taken out of it, so that they end with the first host. */
static void split_user(struct fetch *fetch) {
    CURLU *url = curl_url();
    char *text = NULL, *user = NULL, *password = NULL;
    if (url != NULL && curl_url_set(url, CURLUPART_URL, fetch->url, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_USER, &user, CURLU_URLDECODE) == CURLUE_OK) {
        curl_url_get(url, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
        curl_url_set(url, CURLUPART_USER, NULL, 0);
        curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
        if (curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
            free(fetch->url);
            fetch->url = strdup(text);
        }
        if (fetch->username == NULL) {
            fetch->username = strdup(user);
            free(fetch->password);
            fetch->password = password == NULL ? NULL : strdup(password);
        }
    }
    curl_free(text);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(url);
}

static char *copy(const char *text) {
    return text == NULL ? NULL : strdup(text);
}

int fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                void (*done)(void *context, struct fetch_result *result), void *context, struct fetch **out,
                char why[FETCH_ERROR_MAX]) {
    char shown[1024];
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL)
        return -ENOMEM;
    redact_url(request->url, shown, sizeof shown);
    *fetch = (struct fetch){.fetcher = fetcher,
                            .url = copy(request->url),
                            .shown = copy(shown),
                            .post = copy(request->post),
                            .accept = copy(request->accept),
                            .etag = copy(request->etag),
                            .last_modified = copy(request->last_modified),
                            .ca_file = copy(request->ca_file),
                            .proxy = copy(request->proxy),
                            .username = copy(request->username),
                            .directory = copy(request->directory),
                            .max_size = request->max_size,
                            .done = done,
                            .context = context,
                            .result = {.fd = -1}};
    int error = fetch->url == NULL || fetch->shown == NULL || fetch->directory == NULL ? -ENOMEM : 0;
    if (error == 0)
        error = read_secrets(fetch, request, why);
    if (error == 0) {
        split_user(fetch);
        error = begin(fetch);
        if (error != 0)
            snprintf(why, FETCH_ERROR_MAX, "%s", fetch->result.why);
    }
    if (error != 0) {
        fetch_free(fetch);
        return error;
    }
    *out = fetch;
    return 0;
}
