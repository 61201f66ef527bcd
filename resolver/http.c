/* resolver/http.c: requests checked, routed to the page, the metrics or the control protocol's answers. See http.h. */
#include "resolver/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "resolver/page.h"

enum {
    HTTP_CONNECTIONS = 64,   /* at once, of all */
    HTTP_PER_ADDRESS = 16,   /* at once, of one client */
    HTTP_IDLE_SECONDS = 15,  /* then a connection is closed */
    HTTP_MEMORY = 32 * 1024, /* octets for one connection's request line and headers */
    HTTP_THREADS = 2,
    TOKEN_MAX = 256,
    NONCE_LENGTH = 32,
};

struct http {
    struct MHD_Daemon *daemon;
    struct http_source source;
    char token[TOKEN_MAX]; /* empty: none is needed */
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

static json_t *command_from(const struct route *route, struct MHD_Connection *connection) {
    json_t *command = json_pack("{s:s}", "command", route->command);
    for (size_t i = 0; i < sizeof route->parameters / sizeof *route->parameters && route->parameters[i].name != NULL; i++) {
        const struct parameter *parameter = &route->parameters[i];
        const char *value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, parameter->name);
        if (value == NULL || *value == '\0') {
            continue;
        }
        json_object_set_new(command, parameter->name, parameter->number ? json_integer(atoll(value)) : json_string(value));
    }
    return command;
}

static enum MHD_Result respond_api(struct http *http, struct MHD_Connection *connection, const struct route *route) {
    json_t *command = command_from(route, connection);
    if (command == NULL) {
        return respond_text(connection, MHD_HTTP_BAD_REQUEST, "a parameter is not UTF-8\n");
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

static bool authorised(const struct http *http, struct MHD_Connection *connection) {
    if (http->token[0] == '\0') {
        return true;
    }
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (header != NULL && strncasecmp(header, "Bearer ", 7) == 0) {
        return same_secret(header + 7, http->token);
    }
    char *password = NULL;
    char *user = MHD_basic_auth_get_username_password(connection, &password);
    bool good = password != NULL && same_secret(password, http->token);
    MHD_free(user);
    MHD_free(password);
    return good;
}

/* True for "127.0.0.1:9153", "[::1]", "localhost": what a browser sends when a person typed where sundew is. */
static bool host_is_literal(const char *host) {
    char name[64];
    if (host == NULL) {
        return true;
    }
    if (*host == '[') {
        return true;
    }
    size_t length = strcspn(host, ":");
    if (length >= sizeof name) {
        return false;
    }
    memcpy(name, host, length);
    name[length] = '\0';
    struct ip ip;
    return strcasecmp(name, "localhost") == 0 || ip_from_text(&ip, name, length) == 0;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state) {
    struct http *http = context;
    static int seen;
    if (*state == NULL) { /* headers only: a body is never wanted, so nothing is read of it */
        *state = &seen;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        *upload_size = 0;
        return respond_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    if (*upload_size != 0) {
        return MHD_NO;
    }
    if (http->token[0] == '\0' && !host_is_literal(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"))) {
        return respond_text(connection, MHD_HTTP_MISDIRECTED_REQUEST, "name this server by its address\n");
    }
    if (!authorised(http, connection)) {
        return respond_text(connection, MHD_HTTP_UNAUTHORIZED, "the token is missing or wrong\n");
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

int http_start(struct http **result, const struct config *config, const struct http_source *source, const char **why) {
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        *why = "out of memory";
        return -ENOMEM;
    }
    http->source = *source;
    if (config->http.token_file != NULL) {
        int error = read_token(config->http.token_file, http->token);
        if (error != 0) {
            *why = "the token file can't be read, or is empty";
            free(http);
            return error;
        }
    }
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;
    if (config->http.address.ss_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    errno = 0;
    http->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, http, MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&config->http.address,
                         MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, HTTP_PER_ADDRESS,
                         MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
                         MHD_OPTION_THREAD_POOL_SIZE, HTTP_THREADS, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_END);
    if (http->daemon == NULL) {
        int error = errno != 0 ? -errno : -EADDRNOTAVAIL;
        *why = "the address can't be listened on";
        free(http);
        return error;
    }
    *result = http;
    return 0;
}

void http_stop(struct http *http) {
    if (http == NULL) {
        return;
    }
    MHD_stop_daemon(http->daemon);
    explicit_bzero(http->token, sizeof http->token);
    free(http);
}
