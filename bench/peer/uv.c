/* SPDX-License-Identifier: MIT
 * uv.c - libuv's thread pool: one in a process, jobs come from event loops;
 * a producer is one, and waits for an answer when all its requests are out. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct request {
    uv_work_t work;
    void *arg;
    struct request *next;
};

static size_t bound;
static void (*job)(void *arg);
static _Thread_local uv_loop_t *loop;
static _Thread_local struct request *free_requests;

static void start(int workers, size_t ring, void (*fn)(void *arg))
{
    char number[16];

    snprintf(number, sizeof(number), "%d", workers);
    setenv("UV_THREADPOOL_SIZE", number, 1); /* read with the first job */
    bound = ring;
    job = fn;
}

static void run(uv_work_t *work)
{
    job(((struct request *)work->data)->arg);
}

static void answer(uv_work_t *work, int status)
{
    struct request *r = work->data;

    (void)status;
    r->next = free_requests;
    free_requests = r;
}

static void submit(void *arg)
{
    struct request *r;

    while ((r = free_requests) == NULL)
        uv_run(loop, UV_RUN_ONCE);
    free_requests = r->next;
    r->arg = arg;
    r->work.data = r;
    if (uv_queue_work(loop, &r->work, run, answer) != 0)
        peer_die("uv_queue_work() failed");
}

static void wait_all(void)
{
    uv_run(loop, UV_RUN_DEFAULT);
}

static void produce(void (*body)(void *user), void *user)
{
    struct request *requests = calloc(bound, sizeof(*requests));
    uv_loop_t mine;

    if (requests == NULL || uv_loop_init(&mine) != 0)
        peer_die("no event loop");
    free_requests = NULL;
    for (size_t i = 0; i < bound; i++) {
        requests[i].next = free_requests;
        free_requests = &requests[i];
    }
    loop = &mine;
    body(user);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    free(requests);
}

static void nothing(void)
{
}

static const struct peer uv = { "libuv", start, submit, nothing, nothing,
                                wait_all, NULL, produce, NULL };
const struct peer *const peer_all[] = { &uv, NULL };
