/* SPDX-License-Identifier: MIT
 * trace.c - telling a pool's watcher what happens. Owns nothing, locks
 * nothing; see event.h. Callers look first whether there is a watcher. */
#include "pool/pool_private.h"

const char weir_proxy_name[] = "";

/* Jobs that this thread is inside of. */
static int jobs_of(const struct weir_context *cx)
{
    int jobs = 0;

    for (; cx != NULL; cx = cx->outer)
        jobs += cx->depth + cx->bare;
    return jobs;
}

/* Jobs that the innermost one runs inside of. */
static int depth_of(const struct weir_context *cx)
{
    int jobs = jobs_of(cx);

    return jobs > 0 ? jobs - 1 : 0;
}

static void tell(struct weir_pool *pool, struct weir_context *cx,
                 struct weir_event event)
{
    event.at = weir_sys_now();
    event.worker = cx != NULL && cx->pool == pool ? cx->index : -1;
    pool->on_event(pool->user, &event);
}

void weir_event_worker(struct weir_context *cx, enum weir_event_kind kind)
{
    tell(cx->pool, cx, (struct weir_event){ .kind = kind });
}

void weir_event_began(struct weir_context *cx, struct weir_event who)
{
    who.kind = WEIR_JOB_BEGAN;
    who.depth = depth_of(cx);
    cx->who = who;
    tell(cx->pool, cx, who);
}

void weir_event_ended(struct weir_context *cx, enum weir_event_kind kind,
                      int status)
{
    struct weir_event event = cx->who;

    event.kind = kind;
    event.status = status;
    tell(cx->pool, cx, event);
}

void weir_event_abandoned(struct weir_context *cx, struct weir_event who,
                          bool last)
{
    who.kind = last ? WEIR_JOB_ENDED : WEIR_JOB_RERUN;
    who.status = -ECANCELED;
    who.depth = jobs_of(cx);
    tell(cx->pool, cx, who);
}

void weir_event_dropped(struct weir_pool *pool, struct weir_event who,
                        int reason)
{
    who.kind = WEIR_JOB_DROPPED;
    who.status = reason;
    tell(pool, weir_worker_in(pool), who);
}

void weir_progress(struct weir_context *cx, uint64_t done, uint64_t total)
{
    struct weir_event event = cx->who;

    if (cx->pool->on_event == NULL)
        return;
    event.kind = WEIR_JOB_PROGRESS;
    event.done = done;
    event.total = total;
    tell(cx->pool, cx, event);
}
