/* resolver/web.c: lends the daemon to the HTTP page. */
#include "resolver/web.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "policy/snapshot.h"
#include "resolver/command.h"
#include "resolver/http.h"
#include "resolver/log.h"
#include "resolver/metrics.h"
#include "resolver/status.h"

enum {
    WEB_FEEDER_MS = 2000,  /* that a question for the feeder may take: two of its threads serve everybody */
    WEB_OTHERS_MS = 30000, /* the others: ledger and history on a busy machine */
};

/* One HTTP thread's question. It lives on that thread's stack, which sleeps until `done`. */
struct call {
    struct call *next;
    struct web *web;
    const json_t *request;
    FILE *metrics; /* not NULL: the exposition is wanted, request is what it needs first */
    json_t *answer;
    bool done;
};

/* A call under way on the main thread. What it is for may come late, or never: the HTTP thread is let go at `until_ms`. */
struct errand {
    struct errand *next, **link;
    struct call *call; /* NULL: let go */
    bool feeder;       /* asked for the feeder's word */
    uint64_t until_ms;
};

struct web {
    struct supervisor *supervisor;
    struct config *config; /* that the listener was started with; NULL: none runs */
    struct http *http;
    uv_async_t async;
    uv_timer_t second;
    bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct call *calls; /* not yet begun */
    bool closed;        /* no question is taken any more */
    struct errand *errands;
};

struct ending {
    uv_work_t work;
    struct web *web;
    struct http *http;
};

/* --- HTTP threads --- */

static void ask(struct web *web, struct call *call) {
    call->web = web;
    pthread_mutex_lock(&web->lock);
    if (web->closed) {
        call->done = true;
    } else {
        call->next = web->calls;
        web->calls = call;
        uv_async_send(&web->async);
    }
    while (!call->done)
        pthread_cond_wait(&web->answered, &web->lock);
    pthread_mutex_unlock(&web->lock);
}

static json_t *on_request(void *context, const json_t *request) {
    struct call call = {.request = request};
    ask(context, &call);
    return call.answer;
}

static void on_metrics(void *context, FILE *out) {
    json_t *request = json_pack("{s:s}", "command", "zones");
    struct call call = {.request = request, .metrics = out};
    ask(context, &call);
    json_decref(call.answer);
    json_decref(request);
}

/* --- main thread --- */

/* zones NULL: the feeder didn't say. */
static void write_metrics(struct supervisor *supervisor, const json_t *zones, FILE *out) {
    uint64_t counts[STAT_COUNT];
    struct cache_stats cache;
    struct writer_stats writer;
    struct snapshot_stats snapshot;
    size_t count;
    struct upstream_health *upstreams = status_upstreams(supervisor, &count);
    status_counts(supervisor, counts);
    cache_stats(supervisor->cache, &cache);
    writer_stats(supervisor->writer, &writer);
    snapshot_stats(supervisor->snapshot, &snapshot);
    json_t *hits = writer_counts(supervisor->writer);
    struct process_figures process;
    process_figures(&process);
    unsigned waiting = 0;
    for (unsigned i = 0; i < supervisor->worker_count; i++)
        waiting += worker_queries(supervisor->workers[i]);
    const struct metrics_input input = {
        .counts = counts,
        .cache = &cache,
        .writer = &writer,
        .snapshot = &snapshot,
        .snapshot_id = snapshot_id(supervisor->snapshot),
        .upstreams = upstreams,
        .upstream_count = count,
        .zones = zones,
        .hits = hits,
        .process = &process,
        .waiting = waiting,
        .feeder_running = zones != NULL && feeder_running(supervisor->feeder),
        .feeder_restarts = feeder_restarts(supervisor->feeder),
        .uptime_seconds = (double)(uv_now(&supervisor->loop) - supervisor->started_ms) / 1000,
        .workers = supervisor->worker_count,
    };
    metrics_write(&input, out);
    json_decref(hits);
    free(upstreams);
}

/* Lets the HTTP thread go on with `answer`, which it takes; the call is gone then. */
static void finish(struct call *call, json_t *answer) {
    struct web *web = call->web;
    call->answer = answer;
    if (call->metrics != NULL)
        write_metrics(web->supervisor, json_object_get(answer, "data"), call->metrics);
    pthread_mutex_lock(&web->lock);
    call->done = true;
    pthread_cond_broadcast(&web->answered);
    pthread_mutex_unlock(&web->lock);
}

static void on_answer(void *context, json_t *answer) {
    struct errand *errand = context;
    if (errand->link != NULL) {
        *errand->link = errand->next;
        if (errand->next != NULL)
            errand->next->link = errand->link;
    }
    if (errand->call != NULL)
        finish(errand->call, answer);
    else
        json_decref(answer);
    free(errand);
}

/* The feeder still owes an answer that was given up: no use in waiting for another. */
static bool feeder_is_silent(const struct web *web) {
    const struct errand *errand = web->errands;
    while (errand != NULL && (errand->call != NULL || !errand->feeder))
        errand = errand->next;
    return errand != NULL;
}

static void run(struct web *web, struct call *call) {
    const char *command = json_string_value(json_object_get(call->request, "command"));
    bool feeder = command != NULL && strcmp(command, "zones") == 0;
    struct errand *errand = feeder && feeder_is_silent(web) ? NULL : malloc(sizeof *errand);
    if (errand == NULL) {
        finish(call, NULL);
        return;
    }
    *errand = (struct errand){.next = web->errands,
                              .link = &web->errands,
                              .call = call,
                              .feeder = feeder,
                              .until_ms = uv_now(&web->supervisor->loop) + (feeder ? WEB_FEEDER_MS : WEB_OTHERS_MS)};
    if (errand->next != NULL)
        errand->next->link = &errand->next;
    web->errands = errand;
    command_run(web->supervisor, call->request, on_answer, errand);
}

static void on_async(uv_async_t *async) {
    struct web *web = async->data;
    pthread_mutex_lock(&web->lock);
    struct call *calls = web->calls;
    web->calls = NULL;
    pthread_mutex_unlock(&web->lock);
    for (struct call *next; calls != NULL; calls = next) {
        next = calls->next; /* once woken, the call is gone */
        run(web, calls);
    }
}

static void let_go(struct web *web, uint64_t now) {
    for (struct errand *errand = web->errands; errand != NULL; errand = errand->next) {
        struct call *call = errand->call;
        if (call == NULL || now < errand->until_ms)
            continue;
        errand->call = NULL;
        finish(call, NULL);
    }
}

static void on_second(uv_timer_t *timer) {
    struct web *web = timer->data;
    let_go(web, uv_now(timer->loop));
    if (web->http != NULL)
        http_tend(web->http, uv_now(timer->loop));
}

struct web *web_new(struct supervisor *supervisor) {
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL || uv_async_init(&supervisor->loop, &web->async, on_async) != 0) {
        free(web);
        return NULL;
    }
    web->supervisor = supervisor;
    web->async.data = web->second.data = web;
    uv_timer_init(&supervisor->loop, &web->second);
    uv_timer_start(&web->second, on_second, 1000, 1000);
    pthread_mutex_init(&web->lock, NULL);
    pthread_cond_init(&web->answered, NULL);
    return web;
}

static void start(struct web *web) {
    struct config *config = web->supervisor->config;
    const struct http_source source = {web, on_request, on_metrics};
    const char *why = NULL;
    if (web->stopping || !config->http.enabled)
        return;
    int rc = http_start(&web->http, config, &source, &why);
    if (rc != 0) {
        log_say(LOG_LEVEL_ERROR, "http: %s: %s; there is no page", why != NULL ? why : "it can't listen", strerror(-rc));
        return;
    }
    web->config = config_ref(config);
}

static bool same_http(const struct config *a, const struct config *b) {
    const char *left = a->http.token_file, *right = b->http.token_file;
    return a->http.enabled == b->http.enabled && a->http.address_length == b->http.address_length &&
           memcmp(&a->http.address, &b->http.address, a->http.address_length) == 0 && (left == NULL) == (right == NULL);
}

static void on_end(uv_work_t *work) {
    http_stop(((struct ending *)work)->http);
}

static void on_ended(uv_work_t *work, int status) {
    struct ending *ending = (struct ending *)work;
    struct web *web = ending->web;
    web->supervisor->working--;
    free(ending);
    start(web);
}

/* http_stop waits for threads that may wait for this one, so it runs elsewhere. */
static void end(struct web *web) {
    struct ending *ending = web->http != NULL ? malloc(sizeof *ending) : NULL;
    if (ending == NULL)
        return;
    *ending = (struct ending){.web = web, .http = web->http};
    config_unref(web->config);
    web->config = NULL;
    web->http = NULL;
    web->supervisor->working++;
    uv_queue_work(&web->supervisor->loop, &ending->work, on_end, on_ended);
}

void web_configure(struct web *web) {
    const struct config *config = web->supervisor->config;
    if (web->http == NULL) {
        start(web);
    } else if (!same_http(web->config, config)) {
        end(web);
    } else {
        int rc = http_retoken(web->http, config);
        if (rc != 0)
            log_say(LOG_LEVEL_ERROR, "http: %s: %s; the old token stays", config->http.token_file, strerror(-rc));
    }
}

void web_stop(struct web *web) {
    web->stopping = true;
    let_go(web, UINT64_MAX);
    end(web);
}

void web_close(struct web *web) {
    pthread_mutex_lock(&web->lock);
    web->closed = true;
    pthread_mutex_unlock(&web->lock);
    uv_close((uv_handle_t *)&web->async, NULL);
    uv_close((uv_handle_t *)&web->second, NULL);
}

void web_free(struct web *web) {
    if (web == NULL)
        return;
    for (struct errand *errand = web->errands; errand != NULL; errand = errand->next)
        errand->link = NULL; /* its answer comes when nobody waits any more */
    pthread_cond_destroy(&web->answered);
    pthread_mutex_destroy(&web->lock);
    free(web);
}
