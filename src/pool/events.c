/* SPDX-License-Identifier: MIT
 * events.c - reporting events to the pool's on_event. Callers check first that
 * the pool has one. */
#include "pool/pool_private.h"

/* Return how many jobs this thread runs, one inside the other. */
static int jobs_of(const struct weir_context *cx)
{
    int jobs = 0;

    for (; cx != NULL; cx = cx->outer)
        jobs += cx->depth + cx->plain.runs;
    return jobs;
}

/* Return how many jobs the innermost job runs inside of. */
static int depth_of(const struct weir_context *cx)
{
    int jobs = jobs_of(cx);

    return jobs > 0 ? jobs - 1 : 0;
}

static void report(struct weir_pool *pool, struct weir_context *cx,
                   struct weir_event event)
{
    event.at = weir_sys_now();
    event.worker = cx != NULL && cx->pool == pool ? cx->index : -1;
    pool->on_event(pool->user, &event);
}

void weir_event_worker(struct weir_context *cx, enum weir_event_kind kind)
{
    report(cx->pool, cx, (struct weir_event){ .kind = kind });
}

void weir_event_began(struct weir_context *cx, struct weir_event event)
{
    event.kind = WEIR_JOB_BEGAN;
    event.depth = depth_of(cx);
    cx->current.event = event;
    report(cx->pool, cx, event);
}

void weir_event_ended(struct weir_context *cx, enum weir_event_kind kind,
                      int status)
{
    struct weir_event event = cx->current.event;

    event.kind = kind;
    event.status = status;
    report(cx->pool, cx, event);
}

void weir_event_abandoned(struct weir_context *cx, struct weir_event event,
                          bool last)
{
    event.kind = last ? WEIR_JOB_ENDED : WEIR_JOB_RERUN;
    event.status = -ECANCELED;
    event.depth = jobs_of(cx);
    report(cx->pool, cx, event);
}

void weir_event_dropped(struct weir_pool *pool, struct weir_event event,
                        int reason)
{
    event.kind = WEIR_JOB_DROPPED;
    event.status = reason;
    report(pool, weir_worker_in(pool), event);
}

void weir_progress(struct weir_context *cx, uint64_t done, uint64_t total)
{
    struct weir_event event = cx->current.event;

    if (cx->pool->on_event == NULL)
        return;
    event.kind = WEIR_JOB_PROGRESS;
    event.done = done;
    event.total = total;
    report(cx->pool, cx, event);
}
