/* SPDX-License-Identifier: MIT
 * work_http.c - jobs that call a server in this process which takes 2 ms. */
#include "work.h"

#include "serve/server.h"

#include <errno.h>
#include <stdio.h>
#include <weir/http.h>

#define CONNECTIONS_MAX 1024

static struct server *server;
static struct weir_http *own; /* for calls without a pool */
static char url[64];
static const struct weir_http_options http_options = { .proxy = "" };

static int http_open(const struct options *options)
{
    int workers = 64, err = weir_http_global_init();

    for (int i = 0; i < options->count_count; i++)
        if (options->counts[i] > workers)
            workers = options->counts[i];
    if (workers > CONNECTIONS_MAX)
        return -E2BIG;
    if (err == 0)
        err = server_start(&server, &(struct server_options){
            .workers = workers + 1 });
    if (err == 0)
        err = weir_http_create(&own, &http_options);
    if (err == 0)
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/delay/0.002",
                 server_port(server));
    return err;
}

static void http_close(void)
{
    weir_http_destroy(own);
    server_stop(server);
    weir_http_global_cleanup();
}

static int http_start(void *user, int index, void **local)
{
    (void)user;
    return weir_http_worker_start((void *)&http_options, index, local);
}

static int http_job(struct weir_context *cx, void *arg)
{
    struct weir_http_response r;
    int err = weir_http_perform(cx != NULL ? weir_local(cx) : own, cx,
        &(struct weir_http_request){ .url = url }, &r);

    if (err == 0 && (r.error != WEIR_HTTP_OK || r.status != 200))
        err = -EIO;
    meter_job((uintptr_t)arg);
    return err;
}

const struct work work_http = {
    .name = "http", .about = "each job calls a server on 127.0.0.1 that takes"
    " 2 ms", .job = http_job, .ops = 2, .open = http_open,
    .close = http_close, .worker_start = http_start,
    .worker_stop = weir_http_worker_stop };
