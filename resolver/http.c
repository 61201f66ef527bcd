/* resolver/http.c: requests checked, routed to the page, the metrics or the control protocol's answers. See http.h. */
#include "resolver/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "resolver/http_listener.h"
#include "resolver/page.h"

enum {
    HTTP_CONNECTIONS = 64,    /* at once, of all */
    HTTP_PER_ADDRESS = 16,    /* at once, of one client */
    HTTP_IDLE_SECONDS = 15,   /* without an octet: then a connection is closed */
    HTTP_REQUEST_MS = 15000,  /* from the connection, or the last response, to a request's end, however its octets drip in */
    HTTP_RESPONSE_MS = 60000, /* from there to the response's end */
    HTTP_MEMORY = 32 * 1024,  /* octets for one connection's request line and headers */
    HTTP_THREADS = 2,
    TOKEN_MAX = 256,
    NONCE_LENGTH = 32,
};

/* A connection, and until when its client may take for what it does now. */
struct peer {
    struct peer *next, **link;
    int fd;
    uint64_t until_ms;
};

struct http {
    struct MHD_Daemon *daemon;
    struct http_listener *listener;
    struct http_source source;
    pthread_mutex_t lock; /* of peers and token */
    struct peer *peers;
    bool guarded;          /* a token is needed */
    char token[TOKEN_MAX]; /* under `lock` */
};

/* One parameter of a route, and how the control protocol wants it. */
struct parameter {
    const char *name;
    bool number;
};

struct route {
    const char *path;
    const char *command;
    struct parameter parameters[5];
};

static const struct route routes[] = {
    {"/api/status", "status", {{NULL, false}}},
    {"/api/zones", "zones", {{NULL, false}}},
    {"/api/clients", "clients", {{"since", false}, {"family", false}, {"zone", false}, {"limit", true}}},
    {"/api/hits", "hits", {{"since", false}, {"client", false}, {"family", false}, {"zone", false}, {"limit", true}}},
    {"/api/hours", "hours", {{"since", false}, {"client", false}, {"family", false}, {"zone", false}}},
    {"/api/explain", "explain", {{"name", false}, {"client", false}, {"type", false}}},
};

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type, const char *policy,
                               struct MHD_Response *response) {
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Frame-Options", "DENY");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Content-Security-Policy", policy);
    if (status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"sundew\", charset=\"UTF-8\"");
    }
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static const char nothing_allowed[] = "default-src 'none'; frame-ancestors 'none'";

static enum MHD_Result respond_text(struct MHD_Connection *connection, unsigned status, const char *text) {
    return respond(connection, status, "text/plain; charset=utf-8", nothing_allowed,
                   MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT));
}

/* Takes over `text` (malloc'ed). */
static enum MHD_Result respond_taken(struct MHD_Connection *connection, unsigned status, const char *type, const char *policy,
                                     char *text, size_t length) {
    if (text == NULL) {
        return respond_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
    }
    return respond(connection, status, type, policy, response);
}

/* The page with a nonce of its own: the one inline script that the policy allows is ours, whatever the data holds. */
static enum MHD_Result respond_page(struct MHD_Connection *connection) {
    static const char mark[] = "@NONCE@";
    unsigned char random[NONCE_LENGTH / 2];
    char nonce[NONCE_LENGTH + 1], policy[256], *text = NULL;
    size_t length = 0;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return respond_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "no randomness\n");
    }
    for (size_t i = 0; i < sizeof random; i++) {
        snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    }
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) {
        return MHD_NO;
    }
    const char *from = page_html;
    for (const char *at; (at = strstr(from, mark)) != NULL; from = at + strlen(mark)) {
        fwrite(from, 1, (size_t)(at - from), out);
        fputs(nonce, out);
    }
    fputs(from, out);
    fclose(out);
    snprintf(
        policy, sizeof policy,
        "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        nonce, nonce);
    return respond_taken(connection, MHD_HTTP_OK, "text/html; charset=utf-8", policy, text, length);
}

static enum MHD_Result respond_metrics(struct http *http, struct MHD_Connection *connection) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) {
        return MHD_NO;
    }
    http->source.metrics(http->source.context, out);
    fclose(out);
    return respond_taken(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", nothing_allowed, text, length);
}

/* A parameter's value; false where it is no number, or no text. */
static bool set_parameter(json_t *command, const struct parameter *parameter, const char *value, size_t length) {
    if (!parameter->number) {
        return memchr(value, '\0', length) == NULL && json_object_set_new(command, parameter->name, json_string(value)) == 0;
    }
    size_t digits = strspn(value, "0123456789");
    return digits == length && digits <= 9 && json_object_set_new(command, parameter->name, json_integer(atoll(value))) == 0;
}

/* NULL with *why for parameters that make no command. */
static json_t *command_from(const struct route *route, struct MHD_Connection *connection, const char **why) {
    json_t *command = json_pack("{s:s}", "command", route->command);
    for (size_t i = 0; i < sizeof route->parameters / sizeof *route->parameters && route->parameters[i].name != NULL; i++) {
        const struct parameter *parameter = &route->parameters[i];
        const char *value = NULL;
        size_t length = 0;
        MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, parameter->name, strlen(parameter->name), &value, &length);
        if (value != NULL && length > 0 && !set_parameter(command, parameter, value, length)) {
            *why = parameter->number ? "a parameter is not a number\n" : "a parameter is not UTF-8 text\n";
            json_decref(command);
            return NULL;
        }
    }
    return command;
}

static enum MHD_Result respond_api(struct http *http, struct MHD_Connection *connection, const struct route *route) {
    const char *why = "out of memory\n";
    json_t *command = command_from(route, connection, &why);
    if (command == NULL) {
        return respond_text(connection, MHD_HTTP_BAD_REQUEST, why);
    }
    json_t *answer = http->source.answer(http->source.context, command);
    json_decref(command);
    if (answer == NULL) {
        return respond_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no answer\n");
    }
    bool ok = json_is_true(json_object_get(answer, "ok"));
    const json_t *body = ok ? json_object_get(answer, "data") : answer;
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(answer);
    return respond_taken(connection, ok ? MHD_HTTP_OK : MHD_HTTP_BAD_REQUEST, "application/json", nothing_allowed, text,
                         text == NULL ? 0 : strlen(text));
}

/* Compares in a time that depends on the lengths alone. */
static bool same_secret(const char *given, const char *wanted) {
    size_t length = strlen(wanted);
    unsigned char difference = 0;
    if (strlen(given) != length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        difference |= (unsigned char)(given[i] ^ wanted[i]);
    }
    return difference == 0;
}

static bool is_token(struct http *http, const char *given) {
    pthread_mutex_lock(&http->lock);
    bool good = same_secret(given, http->token);
    pthread_mutex_unlock(&http->lock);
    return good;
}

static bool authorised(struct http *http, struct MHD_Connection *connection) {
    if (!http->guarded) {
        return true;
    }
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0) {
        return is_token(http, header + 7);
    }
    char *password = NULL;
    char *user = MHD_basic_auth_get_username_password(connection, &password);
    bool good = password != NULL && is_token(http, password);
    MHD_free(user);
    MHD_free(password);
    return good;
}

/* True for "127.0.0.1:9153", "[::1]", "localhost": what a browser sends when a person typed where sundew is. */
static bool host_is_literal(const char *host) {
    char name[64];
    bool brackets = host != NULL && *host == '[';
    if (host == NULL) {
        return true; /* HTTP/1.0: no browser */
    }
    host += brackets;
    size_t length = strcspn(host, brackets ? "]" : ":");
    if (length >= sizeof name) {
        return false;
    }
    memcpy(name, host, length);
    name[length] = '\0';
    struct ip ip;
    return (!brackets && strcasecmp(name, "localhost") == 0) || ip_from_text(&ip, name, length) == 0;
}

/* --- connections, and what may take how long --- */

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct peer *add_peer(struct http *http, int fd) {
    struct peer *peer = malloc(sizeof *peer);
    if (peer == NULL) {
        return NULL;
    }
    *peer = (struct peer){.fd = fd, .until_ms = now_ms() + HTTP_REQUEST_MS};
    pthread_mutex_lock(&http->lock);
    peer->next = http->peers;
    peer->link = &http->peers;
    if (peer->next != NULL) {
        peer->next->link = &peer->next;
    }
    http->peers = peer;
    pthread_mutex_unlock(&http->lock);
    return peer;
}

static void drop_peer(struct http *http, struct peer *peer) {
    pthread_mutex_lock(&http->lock);
    *peer->link = peer->next;
    if (peer->next != NULL) {
        peer->next->link = peer->link;
    }
    pthread_mutex_unlock(&http->lock);
    free(peer);
}

/* A connection begins; or it ends, and its socket is closed after this. */
static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what) {
    struct http *http = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *state = info == NULL ? NULL : add_peer(http, info->connect_fd);
    } else if (*state != NULL) {
        drop_peer(http, *state);
        *state = NULL;
    }
}

static void give_time(struct http *http, struct MHD_Connection *connection, uint64_t ms) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct peer *peer = info == NULL ? NULL : info->socket_context;
    if (peer != NULL) {
        pthread_mutex_lock(&http->lock);
        peer->until_ms = now_ms() + ms;
        pthread_mutex_unlock(&http->lock);
    }
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode how) {
    give_time(context, connection, HTTP_REQUEST_MS);
}

void http_tend(struct http *http, uint64_t now) {
    pthread_mutex_lock(&http->lock);
    for (const struct peer *peer = http->peers; peer != NULL; peer = peer->next) {
        if (now >= peer->until_ms) {
            shutdown(peer->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&http->lock);
}

/* --- requests --- */

static enum MHD_Result count_host(void *context, enum MHD_ValueKind kind, const char *key, const char *value) {
    *(unsigned *)context += strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* What is refused by the headers alone, before any body is read; NULL: nothing is. */
static const char *refusal(struct http *http, struct MHD_Connection *connection, const char *method, unsigned *status) {
    unsigned hosts = 0;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_host, &hosts);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        *status = MHD_HTTP_METHOD_NOT_ALLOWED;
        return "only GET and HEAD\n";
    }
    if ((length != NULL && strcmp(length, "0") != 0) ||
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL) {
        *status = MHD_HTTP_CONTENT_TOO_LARGE;
        return "no body is wanted\n";
    }
    if (hosts > 1) { /* RFC 9112 section 3.2 */
        *status = MHD_HTTP_BAD_REQUEST;
        return "one Host is enough\n";
    }
    if (!http->guarded && !host_is_literal(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST))) {
        *status = MHD_HTTP_MISDIRECTED_REQUEST;
        return "name this server by its address\n";
    }
    if (!authorised(http, connection)) {
        *status = MHD_HTTP_UNAUTHORIZED;
        return "the token is missing or wrong\n";
    }
    return NULL;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state) {
    struct http *http = context;
    static int seen;
    if (*state == NULL) { /* the headers are there */
        unsigned status = MHD_HTTP_OK;
        const char *why = refusal(http, connection, method, &status);
        *state = &seen;
        give_time(http, connection, HTTP_RESPONSE_MS);
        return why != NULL ? respond_text(connection, status, why) : MHD_YES;
    }
    if (strcmp(url, "/") == 0) {
        return respond_page(connection);
    }
    if (strcmp(url, "/metrics") == 0) {
        return respond_metrics(http, connection);
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(url, routes[i].path) == 0) {
            return respond_api(http, connection, &routes[i]);
        }
    }
    return respond_text(connection, MHD_HTTP_NOT_FOUND, "nothing here\n");
}

/* The first line of the token file. 0 or -errno. */
static int read_token(const char *path, char token[TOKEN_MAX]) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    bool got = fgets(token, TOKEN_MAX, file) != NULL;
    fclose(file);
    if (got) {
        token[strcspn(token, "\r\n")] = '\0';
    }
    return got && token[0] != '\0' ? 0 : -EINVAL;
}

/* Without an error log, which would let strangers write to ours. NULL: no memory, descriptors or threads. */
static struct MHD_Daemon *start_daemon(struct http *http) {
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0, NULL, NULL, handle, http,
                            MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, HTTP_PER_ADDRESS,
                            MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)HTTP_MEMORY, MHD_OPTION_THREAD_POOL_SIZE, HTTP_THREADS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
                            MHD_OPTION_END);
}

int http_start(struct http **result, const struct config *config, const struct http_source *source, const char **why) {
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        *why = "out of memory";
        return -ENOMEM;
    }
    http->source = *source;
    http->guarded = config->http.token_file != NULL;
    if (http->guarded) {
        int error = read_token(config->http.token_file, http->token);
        if (error != 0) {
            *why = "the token file can't be read, or is empty";
            free(http);
            return error;
        }
    }
    pthread_mutex_init(&http->lock, NULL);
    http->daemon = start_daemon(http);
    int error = -ENOMEM;
    if (http->daemon != NULL) {
        http->listener =
            http_listener_start((const struct sockaddr *)&config->http.address, config->http.address_length, http->daemon, &error);
    }
    if (http->listener == NULL) {
        *why = http->daemon != NULL ? "the address can't be listened on" : "libmicrohttpd can't be started";
        if (http->daemon != NULL) {
            MHD_stop_daemon(http->daemon);
        }
        pthread_mutex_destroy(&http->lock);
        free(http);
        return error;
    }
    *result = http;
    return 0;
}

int http_retoken(struct http *http, const struct config *config) {
    char token[TOKEN_MAX] = "";
    int error = http->guarded ? read_token(config->http.token_file, token) : 0;
    if (http->guarded && error == 0) {
        pthread_mutex_lock(&http->lock);
        memcpy(http->token, token, sizeof token);
        pthread_mutex_unlock(&http->lock);
    }
    explicit_bzero(token, sizeof token);
    return error;
}

void http_stop(struct http *http) {
    if (http == NULL) {
        return;
    }
    http_listener_stop(http->listener);
    MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->lock);
    explicit_bzero(http->token, sizeof http->token);
    free(http);
}
