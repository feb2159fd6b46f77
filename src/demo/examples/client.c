/* SPDX-License-Identifier: MIT
 * client.c - a client that respects the limits of a service.
 *
 * It makes at most two calls at the same time, and ten per second. When the
 * service answers with Retry-After, all calls pause for that time, and the call
 * that got this answer is retried.
 *
 *   cc client.c $(pkg-config --cflags --libs weir-http)
 *   ./a.out URL...
 *
 * Prints the status of each call, in the order of the arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <weir/http.h>

struct call {
    const char *url;
    int status; /* of the last answer; 0: no answer */
};

static int get(struct weir_context *cx, void *arg)
{
    struct call *call = arg;
    struct weir_http *http = weir_local(cx);
    struct weir_http_response answer;
    int err = weir_http_perform(http, cx, &(struct weir_http_request){
        .url = call->url }, &answer);
    const char *pause;
    long seconds;

    if (err != 0)
        return err;
    call->status = answer.status;
    if (answer.error != WEIR_HTTP_OK)
        return -EIO;
    if (answer.status != 429 && answer.status < 500)
        return 0;
    pause = weir_http_header(http, "Retry-After");
    seconds = pause != NULL ? strtol(pause, NULL, 10) : 0;
    if (seconds > 0 && seconds < 60)
        weir_gate_hold(weir_pool_gate(weir_pool_of(cx)), 0,
                       weir_after(seconds * WEIR_S));
    return answer.status; /* a failure, so the pool retries the job */
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)argc - 1 : 0;
    struct call *calls = calloc(count + 1, sizeof *calls);
    struct weir_pool *pool = NULL;
    int err = calls != NULL ? weir_http_global_init() : -ENOMEM;

    if (err != 0)
        return 1;
    err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2, .rate_per_s = 10,
        .worker_start = weir_http_worker_start,
        .worker_stop = weir_http_worker_stop });
    for (size_t i = 0; i < count && err == 0; i++) {
        calls[i].url = argv[i + 1];
        if (weir_pool_submit(pool, &(struct weir_job){ .fn = get,
                .arg = &calls[i], .retries = 2,
                .deadline = weir_after(60 * WEIR_S) }, 1, WEIR_FOREVER) != 1)
            err = -EPIPE;
    }
    if (err == 0) /* wait for all jobs, including those to be retried */
        err = weir_pool_wait(pool, WEIR_FOREVER);
    weir_pool_destroy(pool);
    for (size_t i = 0; i < count && err == 0; i++)
        printf("%d %s\n", calls[i].status, calls[i].url);
    free(calls);
    weir_http_global_cleanup();
    return err != 0;
}
