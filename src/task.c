/* SPDX-License-Identifier: MIT
 * task.c - where tasks wait, and how they are taken.
 *
 * Owns: the tasks, made with the pool; each one that is TAKEN belongs to who
 *   took it, until that one lets it wait again or ends it.
 * Locks: one, over states, lists, heap and helpers: the innermost. It is
 *   taken inside a group's lock, a pool's own gate's and those of the gates
 *   of jobs, and nothing but posts happens under it.
 * Order: `ready` grows by a seq_cst read-modify-write before a worker is
 *   woken: see park.h. `over` is one too: of its end and the passing of its
 *   token the second one frees the task.
 * Invariants: a task uses one position of the ring, which counts as ended
 *   when the task is free again. So there are never more tasks than the
 *   capacity, and a claimed position always finds a free one. A parked task
 *   is where its `wait` says it is; only who has taken it moves it from
 *   there. A task in the heap is DELAYED or PARKED.
 * Wake-ups: a task that becomes ready wakes a worker, and the helpers of its
 *   group: they may be all there are. Where a gate may have opened all helpers
 *   try what is parked: the first in line may have no worker. A time that
 *   comes before the one until which a sleeper sleeps wakes one, which then
 *   sleeps until that, and all helpers.
 * Not guaranteed: that a delayed task starts at its time where no worker is
 *   free.
 */
#include "task.h"

#include "options.h"
#include "pool_private.h"

#define BACKOFF_FIRST (100 * WEIR_MS)
#define BACKOFF_MAX (30 * WEIR_S)

/* ---- making ---- */

int weir_tasks_init(struct weir_tasks *ts, size_t capacity,
                    size_t parked_max)
{
    int err = weir_sys_mutex_init(&ts->lock);

    if (err != 0)
        return err;
    /* Not touched, and so not there, until they are used. */
    ts->all = weir_sys_alloc_small(capacity * sizeof(*ts->all));
    ts->heap = weir_sys_alloc_small(capacity * sizeof(*ts->heap));
    if (ts->all == NULL || ts->heap == NULL) {
        weir_tasks_destroy(ts);
        return -ENOMEM;
    }
    ts->parked_max = parked_max != 0 ? parked_max : (capacity + 3) / 4;
    ts->watched = WEIR_FOREVER;
    ts->offers = 1;
    weir_atomic_store(&ts->due, WEIR_FOREVER, weir_relaxed); /* not shared */
    return 0;
}

void weir_tasks_free_memory(struct weir_tasks *ts)
{
    weir_sys_free(ts->heap);
    weir_sys_free(ts->all);
}

void weir_tasks_destroy(struct weir_tasks *ts)
{
    weir_sys_mutex_destroy(&ts->lock);
    weir_tasks_free_memory(ts);
}

bool weir_job_is_valid(const struct weir_job *job)
{
    return job->fn != NULL && job->start >= 0 && job->deadline >= 0 &&
           job->period_ns >= 0 && job->priority >= WEIR_LOW &&
           job->priority <= WEIR_HIGH &&
           weir_all_zero(job->reserved, sizeof(job->reserved));
}

/* ---- lists and heap ---- */

static struct weir_task_list *list_of(struct weir_tasks *ts,
                                      const struct weir_task *t)
{
    return &ts->lists[1 - t->job.priority];
}

static void append_locked(struct weir_task_list *list, struct weir_task *t)
{
    t->next = NULL;
    t->prev = list->last;
    *(t->prev != NULL ? &t->prev->next : &list->first) = t;
    list->last = t;
}

static void remove_locked(struct weir_task_list *list, struct weir_task *t)
{
    *(t->prev != NULL ? &t->prev->next : &list->first) = t->next;
    *(t->next != NULL ? &t->next->prev : &list->last) = t->prev;
}

static void heap_put(struct weir_tasks *ts, size_t at, struct weir_task *t)
{
    ts->heap[at - 1] = t;
    t->heap_at = at;
}

/* Move a task from `at` to where its time belongs. */
static void heap_settle(struct weir_tasks *ts, size_t at, struct weir_task *t)
{
    for (; at > 1 && ts->heap[at / 2 - 1]->due > t->due; at /= 2)
        heap_put(ts, at, ts->heap[at / 2 - 1]);
    for (;;) {
        size_t below = 2 * at;

        if (below < ts->heap_count &&
            ts->heap[below]->due < ts->heap[below - 1]->due)
            below++;
        if (below > ts->heap_count || ts->heap[below - 1]->due >= t->due)
            break;
        heap_put(ts, at, ts->heap[below - 1]);
        at = below;
    }
    heap_put(ts, at, t);
}

static void heap_remove(struct weir_tasks *ts, struct weir_task *t)
{
    size_t at = t->heap_at;

    t->heap_at = 0;
    if (at != ts->heap_count--)
        heap_settle(ts, at, ts->heap[ts->heap_count]);
}

static void wake_helpers_locked(struct weir_tasks *ts, const void *group)
{
    for (struct weir_helper *h = ts->helpers; h != NULL; h = h->next)
        if (group == NULL || h->group == group)
            weir_park_wake_all(h->park);
}

/* The heap has changed: tell when its first is due. */
static void tell_due_locked(struct weir_pool *pool)
{
    struct weir_tasks *ts = &pool->tasks;
    int64_t due = ts->heap_count > 0 ? ts->heap[0]->due : WEIR_FOREVER;
    bool sooner;

    if (due == weir_atomic_load(&ts->due, weir_relaxed))
        return;
    sooner = due < weir_atomic_exchange(&ts->due, due, weir_seq_cst);
    if (!sooner)
        return;
    if (due < ts->watched)
        weir_park_wake(&pool->ring.items);
    /* Who watches may be busy by then: each helper has its own alarm. */
    wake_helpers_locked(ts, NULL);
}

/* Have a task in the heap until `due` or its deadline. */
static void set_due_locked(struct weir_task *t, int64_t due)
{
    struct weir_tasks *ts = &t->pool->tasks;

    if (t->job.deadline != 0 && t->job.deadline < due)
        due = t->job.deadline;
    if (t->heap_at != 0)
        heap_remove(ts, t);
    t->due = due;
    if (due != WEIR_FOREVER)
        heap_settle(ts, ++ts->heap_count, t);
    tell_due_locked(t->pool);
}

/* Take a task out of wherever it waits, but for its gate. */
static void withdraw_locked(struct weir_task *t)
{
    struct weir_tasks *ts = &t->pool->tasks;

    if (t->state == WEIR_TASK_READY) {
        remove_locked(list_of(ts, t), t);
        weir_atomic_fetch_sub(&ts->ready, 1, weir_seq_cst);
    }
    ts->waiting -= t->state == WEIR_TASK_QUEUED ||
                   t->state == WEIR_TASK_READY;
    ts->delayed -= t->state == WEIR_TASK_DELAYED;
    ts->parked -= t->state == WEIR_TASK_PARKED;
    if (t->heap_at != 0) {
        heap_remove(ts, t);
        tell_due_locked(t->pool);
    }
}

static void take_locked(struct weir_task *t)
{
    withdraw_locked(t);
    t->state = WEIR_TASK_TAKEN;
    t->lent = false;
    t->wait.overtakes = false;
    for (int i = 0; i < t->pass_count; i++)
        t->passes[i].borrowed = false;
}

/* A gate may have opened: who helps tries what is parked once more. */
static void offer_locked(struct weir_tasks *ts)
{
    ts->offers++;
    wake_helpers_locked(ts, NULL);
}

static void make_ready_locked(struct weir_task *t)
{
    struct weir_tasks *ts = &t->pool->tasks;

    if (t->state == WEIR_TASK_PARKED)
        offer_locked(ts);
    withdraw_locked(t);
    t->state = WEIR_TASK_READY;
    ts->waiting++;
    append_locked(list_of(ts, t), t);
    weir_atomic_fetch_add(&ts->ready, 1, weir_seq_cst);
    weir_park_wake(&t->pool->ring.items);
    if (t->group != NULL)
        wake_helpers_locked(ts, t->group);
}

/* ---- at gates ---- */

/* Why a task must not wait any more; 0: it may. */
static int must_end_locked(const struct weir_task *t, bool held)
{
    int mode = weir_atomic_load(&t->pool->mode, weir_seq_cst);

    if (t->cancel != 0)
        return t->cancel;
    return mode == WEIR_CANCEL || (mode == WEIR_DRAIN && held) ? -ECANCELED
                                                               : 0;
}

static bool park(struct weir_gate_wait *wait, int64_t when, bool held)
{
    struct weir_task *t = (struct weir_task *)(void *)wait;
    struct weir_tasks *ts = &t->pool->tasks;
    bool may;

    weir_sys_lock(&ts->lock);
    t->refused = must_end_locked(t, held);
    may = t->refused == 0;
    if (may) {
        t->state = WEIR_TASK_PARKED;
        t->tried = t->lent ? ts->offers : 0;
        ts->parked++;
        set_due_locked(t, when);
        if (!t->lent && t->group != NULL)
            wake_helpers_locked(ts, t->group); /* they may be luckier */
    }
    weir_sys_unlock(&ts->lock);
    return may;
}

static void look(struct weir_gate_wait *wait, int64_t when, bool held)
{
    struct weir_task *t = (struct weir_task *)(void *)wait;
    struct weir_tasks *ts = &t->pool->tasks;

    weir_sys_lock(&ts->lock);
    if (t->state == WEIR_TASK_PARKED) {
        if (when == WEIR_NOW || must_end_locked(t, held) != 0)
            make_ready_locked(t);
        else
            set_due_locked(t, when);
    } else {
        offer_locked(ts); /* it may have no worker to look */
    }
    weir_sys_unlock(&ts->lock);
}

/* ---- submitting ---- */

void weir_task_forget(struct weir_gate_pass *passes, int count)
{
    while (count-- > 0)
        weir_gate_forget(&passes[count]);
}

int weir_task_expect(struct weir_pool *pool, const struct weir_job *job,
                     struct weir_gate *second,
                     struct weir_gate_pass passes[2], int *count)
{
    struct weir_gate *gates[] = { job->gate, second };
    int err = 0;

    *count = 0;
    for (int i = 0; i < 2 && err == 0; i++) {
        if (gates[i] == NULL || (i == 1 && gates[1] == gates[0]))
            continue;
        passes[*count] = (struct weir_gate_pass){ .gate = gates[i] };
        /* The key is for the job's own gate, and its group's if it can. */
        err = weir_gate_expect(&passes[*count],
                               i == 0 || weir_gate_has_keys(gates[i])
                                   ? job->key : 0,
                               pool->tasks.parked_max);
        *count += err == 0;
    }
    if (err != 0)
        weir_task_forget(passes, *count);
    return err;
}

struct weir_task *weir_task_make(struct weir_pool *pool,
                                 const struct weir_job *job)
{
    struct weir_tasks *ts = &pool->tasks;
    struct weir_task *t;

    weir_sys_lock(&ts->lock);
    t = ts->free;
    if (t != NULL)
        ts->free = t->next;
    else
        t = &ts->all[ts->used++];
    *t = (struct weir_task){ .job = *job, .pool = pool, .turn = job->start,
        .wait = { .owner = pool, .park = park, .look = look },
        .state = WEIR_TASK_TAKEN };
    weir_sys_unlock(&ts->lock);
    return t;
}

void weir_task_queue(struct weir_task *t)
{
    struct weir_tasks *ts = &t->pool->tasks;

    weir_sys_lock(&ts->lock);
    if (t->job.priority != 0 &&
        weir_atomic_load(&t->pool->mode, weir_seq_cst) != WEIR_CANCEL) {
        make_ready_locked(t);
    } else {
        t->state = WEIR_TASK_QUEUED;
        ts->waiting++;
    }
    ts->tokens++;
    weir_sys_unlock(&ts->lock);
}

/* ---- taking ---- */

bool weir_task_pass(struct weir_task *t, bool *last)
{
    struct weir_tasks *ts = &t->pool->tasks;
    bool took;

    weir_sys_lock(&ts->lock);
    took = t->state == WEIR_TASK_QUEUED;
    if (took)
        take_locked(t);
    ts->tokens--;
    weir_sys_unlock(&ts->lock);
    *last = (weir_atomic_fetch_or(&t->over, WEIR_TASK_PASSED, weir_seq_cst) &
             WEIR_TASK_ENDED) != 0;
    return took;
}

struct weir_task *weir_task_take_ready(struct weir_pool *pool, bool queued)
{
    struct weir_tasks *ts = &pool->tasks;
    struct weir_task *high, *normal, *low, *t = NULL;
    unsigned turn;

    weir_sys_lock(&ts->lock);
    high = ts->lists[0].first;
    normal = ts->lists[1].first;
    low = ts->lists[2].first;
    turn = ts->turn++;
    /* Of the normal ones those in the list and those in the ring in turn. */
    if (low != NULL && turn % 16 == 15)
        t = low;
    else if (high != NULL && (turn % 4 != 3 || (normal == NULL && !queued)))
        t = high;
    else if (normal != NULL && (!queued || !ts->listed))
        t = normal;
    else if (!queued)
        t = low;
    ts->listed = t != NULL && t == normal;
    if (t != NULL)
        take_locked(t);
    weir_sys_unlock(&ts->lock);
    return t;
}

bool weir_task_take(struct weir_task *t, int why)
{
    struct weir_tasks *ts = &t->pool->tasks;
    bool took;

    weir_sys_lock(&ts->lock);
    took = t->state != WEIR_TASK_TAKEN;
    if (took)
        take_locked(t);
    else
        t->cancel = why;
    weir_sys_unlock(&ts->lock);
    return took;
}

/* Whether a job that this thread is inside of holds the permit. */
static bool is_held(const struct weir_context *cx,
                    const struct weir_gate_pass *pass)
{
    for (; cx != NULL; cx = cx->outer)
        for (int i = 0; i < cx->depth; i++) {
            const struct weir_frame *f = &cx->frames[i];

            for (int j = 0; f->task != NULL && j < f->task->pass_count; j++)
                if ((f->held & 1u << j) != 0 &&
                    f->task->passes[j].gate == pass->gate &&
                    f->task->passes[j].key == pass->key)
                    return true;
        }
    return false;
}

bool weir_task_take_to_help(struct weir_task *t, struct weir_context *cx,
                            bool look_only)
{
    struct weir_tasks *ts = &t->pool->tasks;
    bool ok;

    weir_sys_lock(&ts->lock);
    ok = t->state == WEIR_TASK_QUEUED || t->state == WEIR_TASK_READY ||
         (t->state == WEIR_TASK_PARKED && t->tried != ts->offers);
    if (ok && !look_only) {
        take_locked(t);
        t->lent = true;
        t->wait.overtakes = true;
        for (int i = 0; i < t->pass_count; i++)
            t->passes[i].borrowed = is_held(cx, &t->passes[i]);
    }
    weir_sys_unlock(&ts->lock);
    return ok;
}

/* ---- waiting for a turn ---- */

/* Let a taken task wait for its turn: 0; or why it must not. */
static int wait_for_turn(struct weir_task *t, int64_t now)
{
    struct weir_tasks *ts = &t->pool->tasks;
    int why;

    weir_sys_lock(&ts->lock);
    /* What is not due ends with the draining, as what is held. */
    why = must_end_locked(t, t->turn > now);
    if (why == 0 && t->turn <= now) {
        make_ready_locked(t);
    } else if (why == 0) {
        t->state = WEIR_TASK_DELAYED;
        ts->delayed++;
        set_due_locked(t, t->turn);
    }
    weir_sys_unlock(&ts->lock);
    return why;
}

int weir_task_start(struct weir_task *t)
{
    int64_t now = 0;
    int err;

    if (weir_atomic_load(&t->pool->mode, weir_seq_cst) == WEIR_CANCEL)
        return -ECANCELED;
    if ((t->turn | t->job.deadline) != 0)
        now = weir_sys_now();
    if (t->job.deadline != 0 && now >= t->job.deadline)
        return -ETIMEDOUT;
    if (t->turn > now) {
        err = wait_for_turn(t, now);
        return err != 0 ? err : -EAGAIN;
    }
    if (t->turn == 0 && t->job.period_ns != 0)
        t->turn = weir_sys_now();
    err = 0;
    if (t->pass_count > 0)
        err = weir_gate_admit(t->passes, t->pass_count, &t->wait);
    return err == -ECANCELED ? t->refused : err;
}

int64_t weir_backoff_ns(uint32_t failures)
{
    int64_t ns = BACKOFF_FIRST;

    while (failures-- > 1 && ns < BACKOFF_MAX)
        ns *= 2;
    return ns < BACKOFF_MAX ? ns : BACKOFF_MAX;
}

bool weir_task_wants_again(struct weir_task *t, int status, int64_t retry_ns)
{
    int64_t now = weir_sys_now();
    int64_t wait = retry_ns;

    t->again = true;
    if (status == WEIR_AGAIN) {
        wait = retry_ns > 0 ? retry_ns : 0;
    } else if (status != 0) {
        t->again = ++t->failures <= t->job.retries;
        if (retry_ns < 0)
            wait = weir_backoff_ns(t->failures);
    } else {
        t->again = t->job.period_ns != 0;
        t->failures = 0;
        if (!t->again)
            return false;
        /* The next turn from the last one on: those missed are left out. */
        wait = t->job.period_ns - (now - t->turn) % t->job.period_ns;
    }
    t->turn = wait < WEIR_FOREVER - now ? now + wait : WEIR_FOREVER;
    return t->again;
}

int weir_task_requeue(struct weir_task *t)
{
    return wait_for_turn(t, weir_sys_now());
}

/* ---- ending ---- */

void weir_task_leave(struct weir_task *t, unsigned held)
{
    for (int i = 0; i < t->pass_count; i++)
        if ((held & 1u << i) != 0)
            weir_gate_pass_back(&t->passes[i]);
}

void weir_task_part(struct weir_task *t)
{
    weir_gate_unpark(&t->wait);
    weir_task_forget(t->passes, t->pass_count);
    t->pass_count = 0;
}

void weir_task_free(struct weir_task *t)
{
    struct weir_tasks *ts = &t->pool->tasks;

    weir_sys_lock(&ts->lock);
    t->state = WEIR_TASK_FREE;
    t->next = ts->free;
    ts->free = t;
    weir_sys_unlock(&ts->lock);
}

void weir_task_end(struct weir_task *t)
{
    struct weir_pool *pool = t->pool;

    if ((weir_atomic_fetch_or(&t->over, WEIR_TASK_ENDED, weir_seq_cst) &
         WEIR_TASK_PASSED) == 0)
        return;
    weir_task_free(t);
    weir_atomic_fetch_add(&pool->ended_aside, 1, weir_seq_cst);
    weir_park_wake(&pool->ring.room);
    weir_pool_settle(pool);
}

void weir_task_drop(struct weir_task *t, int why)
{
    weir_task_part(t);
    weir_atomic_fetch_add(&t->pool->cancelled_aside, 1, weir_relaxed);
    if (t->job.drop != NULL)
        t->job.drop(t->job.arg, why);
    weir_task_end(t);
}

/* ---- times and closing ---- */

void weir_tasks_promote(struct weir_pool *pool)
{
    struct weir_tasks *ts = &pool->tasks;
    int64_t now = weir_sys_now();

    if (now < weir_atomic_load(&ts->due, weir_relaxed))
        return;
    weir_sys_lock(&ts->lock);
    while (ts->heap_count > 0 && ts->heap[0]->due <= now)
        make_ready_locked(ts->heap[0]);
    weir_sys_unlock(&ts->lock);
}

int64_t weir_tasks_watch(struct weir_pool *pool)
{
    struct weir_tasks *ts = &pool->tasks;
    int64_t due = WEIR_FOREVER;

    weir_sys_lock(&ts->lock);
    if (ts->heap_count > 0 && ts->heap[0]->due < ts->watched) {
        due = ts->heap[0]->due;
        ts->watched = due;
    }
    weir_sys_unlock(&ts->lock);
    return due;
}

void weir_tasks_unwatch(struct weir_pool *pool, int64_t until)
{
    struct weir_tasks *ts = &pool->tasks;

    weir_sys_lock(&ts->lock);
    if (ts->watched == until)
        ts->watched = WEIR_FOREVER;
    weir_sys_unlock(&ts->lock);
}

bool weir_tasks_unwatched(struct weir_pool *pool)
{
    struct weir_tasks *ts = &pool->tasks;
    bool unwatched;

    if (weir_atomic_load(&ts->due, weir_seq_cst) == WEIR_FOREVER)
        return false;
    weir_sys_lock(&ts->lock);
    unwatched = weir_atomic_load(&ts->due, weir_relaxed) < ts->watched;
    weir_sys_unlock(&ts->lock);
    return unwatched;
}

void weir_tasks_sweep(struct weir_pool *pool)
{
    struct weir_tasks *ts = &pool->tasks;

    weir_tasks_promote(pool); /* what is due already is to run */
    for (size_t i = 0;; i++) {
        struct weir_task *t = &ts->all[i];
        bool cancel = weir_atomic_load(&pool->mode, weir_seq_cst) ==
                      WEIR_CANCEL;
        bool took = false;

        weir_sys_lock(&ts->lock);
        if (i >= ts->used) {
            weir_sys_unlock(&ts->lock);
            break;
        }
        if (t->state == WEIR_TASK_DELAYED ||
            (cancel && (t->state == WEIR_TASK_PARKED ||
                        t->state == WEIR_TASK_READY))) {
            take_locked(t);
            took = true;
        } else if (t->state == WEIR_TASK_PARKED) {
            make_ready_locked(t); /* its gate may be held */
        }
        weir_sys_unlock(&ts->lock);
        if (took)
            weir_task_drop(t, -ECANCELED);
    }
    weir_tasks_rouse(pool); /* what they will run again, they drop */
}

void weir_tasks_rouse(struct weir_pool *pool)
{
    weir_sys_lock(&pool->tasks.lock);
    wake_helpers_locked(&pool->tasks, NULL);
    weir_sys_unlock(&pool->tasks.lock);
}

void weir_helper_enter(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_tasks *ts = &pool->tasks;

    weir_sys_lock(&ts->lock);
    h->prev = NULL;
    h->next = ts->helpers;
    if (h->next != NULL)
        h->next->prev = h;
    ts->helpers = h;
    weir_sys_unlock(&ts->lock);
}

void weir_helper_leave(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_tasks *ts = &pool->tasks;

    weir_sys_lock(&ts->lock);
    *(h->prev != NULL ? &h->prev->next : &ts->helpers) = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    weir_sys_unlock(&ts->lock);
}
