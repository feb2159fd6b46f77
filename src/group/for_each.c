/* SPDX-License-Identifier: MIT
 * for_each.c - parallel loops over arrays: weir_for_each().
 *
 * Each thread that takes part in a loop has a part of it: a range of elements,
 * and an accumulator. The calling thread runs elements itself. If the loop is
 * long enough, it also submits helpers, which are members of a group made for
 * the loop, and which run elements on workers. A thread whose range is empty
 * claims the next range at the loop's cursor, and once the cursor has reached
 * the end it steals half of another part's range.
 *
 * If the pool's gate has a rate or is held, each element that is left becomes a
 * job, which passes the gate.
 *
 * The sections of this file, from the bottom layer up: paces that the pool
 * remembers; stopping; claiming elements; running them; helpers; the calling
 * thread; elements admitted one by one; the call.
 *
 * An element is claimed once, at the cursor, and then belongs to one range. It
 * leaves that range by one compare-and-swap: to be run by the thread whose part
 * that is, or to become part of a thief's range. So every element runs once,
 * and if the loop was not stopped the `done` of all parts add up to the count.
 * A helper ends only with an empty range, unless the loop is stopped.
 *
 * What the caller wrote before is published to helpers by their submission, and
 * what elements and helpers wrote is published to the caller by the completion
 * of the helpers' jobs: see group_private.h. No order among elements is
 * guaranteed, nor which thread runs one.
 */
#include "group/group_private.h"

#include "base/options.h"

#include <string.h>

/* One helper is submitted per this much work. Submitting and completing its job
 * takes a few microseconds. */
#define WORTH_NS 20000

/* With less work than this no sleeping worker is woken. On a virtual machine
 * waking one takes the calling thread 10 to 15 us, and the worker starts 30 us
 * later: a loop of 45 us was measured to take as long with a helper as
 * without. */
#define WAKE_NS 60000

/* How long the calling thread measures short elements before it decides: the
 * first ones are slower, since they find cold caches. */
#define PROBE_NS 3000

/* The time that a range should take, by the pace measured so far: claiming it
 * and reading the clock then take less than 1 % of it. */
#define RANGE_NS 20000
#define RANGE_MAX 0xffff

/* The largest range of the calling thread before it has submitted helpers: if
 * its elements take longer than those before, no other thread can steal them
 * yet. */
#define RANGE_ALONE 32

/* Elements that leave a range in one step; from then on they cannot be
 * stolen. */
#define BATCH_NS 2000
#define BATCH_MAX 16

/* How long a helper runs before it lets other jobs of the pool run. */
#define TURN_NS WEIR_MS

/* The number of parts that a thief looks at. */
#define VICTIMS 32

/* The most memory allocated in advance, for helpers submitted later. */
#define ROOM_BYTES 32768

/* With fewer elements per thread than this, one element is a large share of the
 * loop: then helpers are submitted before the first element has been measured,
 * unless the pool remembers the pace. */
#define FEW 32

/* A pace is the time in ns that 1,024 elements take. */
#define PACE_ONE 1024
#define PACE_MAX UINT32_MAX

/* GUARD KEYS of the fields below.
 *
 *   (c)  constant once the first helper has been submitted
 *   (a)  atomic: read and changed by any thread
 *   (r)  atomic, and relaxed: it publishes nothing, and a thread that sees a
 *        change late only runs a few elements more, or chooses another amount
 *        of work. The final value is read after all helpers have completed.
 *   (l)  the lock of the loop's group
 *   (o)  the thread that runs the part; there is one at a time
 *   (oa) atomic: changed by that thread only
 *   (t)  the calling thread
 *   (h)  set by the calling thread before it submits the first helper, and read
 *        by helpers
 */

/* What one thread does of a loop. A helper that ends to let other jobs run may
 * hand its part over to another helper. */
struct part {
    /* (a) generation * 2^32 + first * 2^16 + end, both counted from base */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) range;
    WEIR_ATOMIC(uint64_t) base; /* (oa) */
    uint64_t done;              /* (o) elements that returned 0 */
    uint64_t pace;              /* (o) as last measured; 0: not yet */
    uint64_t size;              /* (o) of the last range claimed */
    int number;                 /* (c) index; the calling thread has 0 */
    bool initialized;           /* (o) the accumulator */
    WEIR_ATOMIC(bool) taken;    /* (a) an element that is a job uses it */
    struct loop *loop;          /* (c) */
    void *accumulator;          /* (c) or NULL */
    void (*abandon)(struct weir_frame *frame); /* (o) that of the helper's
                                                  frame */
};

/* A loop, on the stack of the calling thread, which does not return before
 * every helper has completed. */
struct loop {
    /* Changed by every claim. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) cursor; /* (r) first not claimed */

    /* Read for every element, and rarely changed. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(
        int) status;           /* (r) the first that was not 0. Seq_cst in
                                  fail(), which then wakes elements that
                                  sleep, and in frame_stopping(), which those
                                  call after they have announced the sleep: see
                                  base/event_count.h */
    WEIR_ATOMIC(bool) paced;   /* (r) the gate must admit each element */
    WEIR_ATOMIC(int) threads;  /* (r) parts that may have a range; all of them
                                  were made before a helper was submitted */
    WEIR_ATOMIC(uint64_t) pace; /* (r) as last measured by any thread */
    struct weir_each each;     /* (c) */
    struct weir_pool *pool;    /* (c) */
    struct weir_group *group;  /* (h) of the helpers; NULL: none yet */
    struct weir_group *outer_group; /* (c) of the job around the loop */
    struct weir_context *cx;   /* (t) of the caller; NULL: it runs nothing */
    char *others;              /* (h) the parts of the helpers, one block */
    size_t stride;             /* (h) bytes from one of them to the next */
    bool over;                 /* (l) no more helpers are needed */
    bool helpers_made;         /* (t) the caller has tried to make helpers */
    int room;                  /* (t) number of helpers that have parts */
    int helpers;               /* (t) number of helpers submitted */
    bool helping;              /* (c) the caller runs elements too */
    int most;                  /* (c) the most helpers */
    int depth;                 /* (c) index of the frame of the caller */
    int64_t began_at;          /* (t) */

    struct part own;           /* of the caller */
};

static struct part *part_of(struct loop *l, int number)
{
    return number == 0 ? &l->own
                       : (struct part *)(void *)(l->others +
                             (size_t)(number - 1) * l->stride);
}

/* ---- paces that the pool remembers ---- */

/* Hash the function and the depth of the loop: a function that recurses through
 * loops has less to do the deeper it is. The upper 6 bits select one of the
 * pool's entries, and 32 others are its key. An entry is key * 2^32 + pace. */
static uint64_t pace_hash(const struct loop *l)
{
    return ((uint64_t)(uintptr_t)l->each.fn + (uint64_t)l->depth) *
           UINT64_C(0x9e3779b97f4a7c15);
}

/* Return the pace of an earlier loop, or 0. Relaxed here and below: an entry is
 * one word, and its key says for which loop it is. */
static uint64_t recall_pace(const struct loop *l)
{
    uint64_t mixed = pace_hash(l);
    uint64_t entry = weir_atomic_load(&l->pool->paces[mixed >> 58],
                                      weir_relaxed);

    return entry >> 32 == (mixed >> 16 & UINT32_MAX) ? entry & PACE_MAX : 0;
}

static void store_pace(const struct loop *l)
{
    uint64_t mixed = pace_hash(l);
    uint64_t pace = weir_atomic_load(&l->pace, weir_relaxed);

    if (pace > PACE_MAX)
        pace = PACE_MAX;
    if (pace != 0)
        weir_atomic_store(&l->pool->paces[mixed >> 58],
                          (mixed >> 16 & UINT32_MAX) << 32 | pace,
                          weir_relaxed);
}

/* Return the time that `elements` take, at most WEIR_S. */
static int64_t time_of(uint64_t elements, uint64_t pace)
{
    if (elements > (uint64_t)WEIR_S || pace > (uint64_t)WEIR_S)
        return WEIR_S;
    elements = elements * pace / PACE_ONE;
    return elements < (uint64_t)WEIR_S ? (int64_t)elements : WEIR_S;
}

/* Return the number of elements that take `ns`. */
static uint64_t elements_in(int64_t ns, uint64_t pace)
{
    return (uint64_t)ns * PACE_ONE / pace;
}

/* ---- stopping ---- */

/* Stop the loop. The first status is the loop's result. */
static void fail(struct loop *l, int status)
{
    int none = 0;

    if (weir_atomic_cas_strong(&l->status, &none, status, weir_seq_cst) &&
        l->group != NULL)
        weir_group_stop(l->group, -ECANCELED);
}

/* Return the reason to end the loop, after weir_stop_requested() returned 1. */
static int stop_reason(const struct loop *l, const struct weir_context *cx)
{
    struct weir_group *g = l->group != NULL ? l->group : l->outer_group;
    int reason = g != NULL ? weir_group_stopping(g) : 0;

    if (reason == 0 && weir_deadline(cx) <= weir_sys_now())
        reason = -ETIMEDOUT;
    return reason != 0 ? reason : -ECANCELED;
}

static bool may_continue(struct loop *l, const struct weir_context *cx)
{
    if (weir_atomic_load(&l->status, weir_relaxed) != 0 ||
        weir_atomic_load(&l->paced, weir_relaxed))
        return false;
    if (!weir_stop_requested(cx))
        return true;
    fail(l, stop_reason(l, cx));
    return false;
}

/* Complete the helpers that have not begun, because no element is left to be
 * claimed. They count as jobs that succeeded. */
static void cancel_helpers(struct loop *l)
{
    struct weir_group *g = l->group;
    struct weir_member *member;

    if (g == NULL)
        return;
    do {
        weir_group_lock(g);
        l->over = true;
        member = weir_member_claim_oldest_locked(g);
        weir_group_unlock(g);
        if (member != NULL)
            weir_member_complete(member, NULL);
    } while (member != NULL);
}

/* ---- claiming ----
 *
 * A range and its base are two words, which a thief reads one after the other.
 * It must not combine a range with the base of another one.
 *   - set_range() stores `base` and then `range` with release; steal_from()
 *     loads `range` with acquire and then `base`, so it sees this base or a
 *     later one. (The compare-and-swaps in between, which take elements away,
 *     continue the release.) A failed compare-and-swap loads relaxed, so the
 *     thief loads `range` again before it tries again.
 *   - A later base is stored only by the owner of the part, after the range has
 *     become empty; and the next range has a new generation. So `range` has
 *     changed by then, and the thief's compare-and-swap fails.
 */

/* Give a part a new range. Requires: its range is empty, and the caller runs
 * the part. */
static void set_range(struct part *p, uint64_t base, uint64_t count)
{
    /* Relaxed: a range that is empty is changed by its owner only. */
    uint64_t range = weir_atomic_load(&p->range, weir_relaxed);

    /* Between the two stores the range is still empty. Release: publishes
     * `base` to the acquire load of steal_from(). */
    weir_atomic_store(&p->base, base, weir_relaxed);
    weir_atomic_store(&p->range,
                      ((range >> 32) + 1) << 32 | (count & RANGE_MAX),
                      weir_release);
}

/* Return the number of elements that leave the range in one step. */
static uint64_t batch_size(const struct part *p)
{
    uint64_t size = p->pace != 0 ? elements_in(BATCH_NS, p->pace) : 1;

    return size < 1 ? 1 : size < BATCH_MAX ? size : BATCH_MAX;
}

/* Return the number of elements to claim of those left: what takes RANGE_NS by
 * the pace measured, but at most half of a fair share. */
static uint64_t range_size(const struct loop *l, const struct part *p,
                           uint64_t left)
{
    uint64_t threads = (uint64_t)weir_atomic_load(&l->threads, weir_relaxed);
    uint64_t least = batch_size(p);
    uint64_t size = p->pace != 0 ? elements_in(RANGE_NS, p->pace) : 1;

    /* Extrapolate a measurement to at most eight times as many elements. */
    if (p->size != 0 && size > 8 * p->size)
        size = 8 * p->size;
    if (threads > 1 && size > left / (2 * threads))
        size = left / (2 * threads);
    if (size < least)
        size = least;
    if (size > RANGE_MAX)
        size = RANGE_MAX;
    if (size > RANGE_ALONE && threads == 1 && l->most > 0 && !l->helpers_made)
        size = RANGE_ALONE;
    return size < left ? size : left;
}

/* Steal the upper half of what another part has left. */
static bool steal_from(struct part *victim, struct part *p)
{
    for (;;) {
        uint64_t range = weir_atomic_load(&victim->range, weir_acquire);
        uint64_t first = range >> 16 & RANGE_MAX, end = range & RANGE_MAX;
        uint64_t base = weir_atomic_load(&victim->base, weir_relaxed);
        uint64_t half = (end - first + 1) / 2;

        if (first >= end)
            return false;
        if (weir_atomic_cas_weak(&victim->range, &range, range - half,
                                 weir_acq_rel)) {
            set_range(p, base + end - half, half);
            return true;
        }
    }
}

static bool steal(struct loop *l, struct part *p)
{
    int threads = weir_atomic_load(&l->threads, weir_relaxed);
    int at = p->number;

    for (int i = 0; i < VICTIMS && i + 1 < threads; i++) {
        at = at + 1 < threads ? at + 1 : 0;
        if (steal_from(part_of(l, at), p))
            return true;
    }
    return false;
}

static bool claim(struct loop *l, struct part *p)
{
    uint64_t first = weir_atomic_load(&l->cursor, weir_relaxed), size;

    do {
        if (first >= l->each.count)
            return steal(l, p);
        size = range_size(l, p, l->each.count - first);
    } while (!weir_atomic_cas_weak(&l->cursor, &first, first + size,
                                   weir_relaxed));
    p->size = size;
    set_range(p, first, size);
    return true;
}

/* ---- running ---- */

/* Computed as a number: without an array there is no pointer to add to. */
static void *element_at(const struct loop *l, uint64_t index)
{
    return (void *)((uintptr_t)l->each.array +
                    (size_t)index * l->each.size);
}

/* Run an element that has returned WEIR_RERUN. */
static int run_element_again(struct loop *l, struct weir_context *cx,
                             void *element)
{
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    int status = WEIR_RERUN;

    while (status == WEIR_RERUN) {
        if (weir_sleep(cx, cx->current.retry_ns) != 0) {
            status = stop_reason(l, cx);
            break;
        }
        cx->current.retry_ns = -1;
        frame->attempt++;
        status = l->each.fn(cx, l->each.user, element);
        if (weir_worker_is_forked(cx))
            return -ECHILD;
        weir_listener_end(&frame->listener);
    }
    frame->attempt = 1; /* of the next element */
    return status;
}

/* Run an element. Returns its status; -ECHILD in a child that it has forked. */
static int run_element(struct loop *l, struct weir_context *cx,
                       uint64_t index)
{
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    void *element = element_at(l, index);
    int status;

    cx->current.tag = index;
    cx->current.retry_ns = -1;
    status = l->each.fn(cx, l->each.user, element);
    if (weir_worker_is_forked(cx))
        return -ECHILD;
    weir_listener_end(&frame->listener);
    return status == WEIR_RERUN ? run_element_again(l, cx, element) : status;
}

/* Run the range of a part until it is empty or the loop is stopped. */
static void run_range(struct loop *l, struct weir_context *cx,
                      struct part *p)
{
    /* Relaxed, as all of this function: this thread has set base and range, and
     * thieves only take elements away. */
    uint64_t base = weir_atomic_load(&p->base, weir_relaxed);
    uint64_t most = batch_size(p);
    uint64_t range = weir_atomic_load(&p->range, weir_relaxed);

    for (;;) {
        uint64_t first = range >> 16 & RANGE_MAX, end = range & RANGE_MAX;
        uint64_t n = end - first < most ? end - first : most;

        if (first >= end)
            return;
        /* It fails if a thief has taken elements in between. */
        if (!weir_atomic_cas_weak(&p->range, &range, range + (n << 16),
                                  weir_relaxed))
            continue;
        for (; n > 0; n--, first++) {
            int status;

            if (weir_atomic_load(&l->status, weir_relaxed) != 0)
                return;
            status = run_element(l, cx, base + first);
            if (status != 0) {
                /* A forked child must not touch the loop's group. */
                if (weir_worker_is_forked(cx))
                    weir_atomic_store(&l->status, status, weir_relaxed);
                else
                    fail(l, status);
                return;
            }
            p->done++;
        }
        range = weir_atomic_load(&p->range, weir_relaxed);
    }
}

static void measure(struct loop *l, struct part *p, int64_t ns,
                    uint64_t elements)
{
    if (elements == 0)
        return;
    if (ns > WEIR_S)
        ns = WEIR_S;
    p->pace = (uint64_t)(ns > 0 ? ns : 1) * PACE_ONE / elements;
    if (p->pace == 0)
        p->pace = 1;
    weir_atomic_store(&l->pace, p->pace, weir_relaxed);
}

/* Claim a range and run it. Returns false if there was none. Sets *now to the
 * time at its end. */
static bool run_next(struct loop *l, struct weir_context *cx, struct part *p,
                     int64_t *now)
{
    uint64_t done = p->done;
    int64_t then = *now;

    if (!claim(l, p))
        return false;
    run_range(l, cx, p);
    *now = weir_sys_now();
    measure(l, p, *now - then, p->done - done);
    return true;
}

/* Initialize the accumulator of a part, once. Returns 0, or the status of an
 * `init` that failed: then there is nothing to combine. */
static int make_accumulator(struct loop *l, struct part *p)
{
    int status = 0;

    if (!p->initialized && p->accumulator != NULL && l->each.init != NULL)
        status = l->each.init(l->each.user, p->accumulator);
    p->initialized = status == 0;
    return status;
}

/* ---- helpers ---- */

/* The thread of a helper ends inside an element: stop the loop. */
static void abandon_helper(struct weir_frame *frame)
{
    struct part *p = frame->owner_data;

    fail(p->loop, -ECANCELED);
    p->abandon(frame);
}

static int help(struct weir_context *cx, void *arg);

static void fill_helper(struct loop *l, struct weir_job *job, int number)
{
    *job = (struct weir_job){ .fn = help, .arg = part_of(l, number),
                              .name = l->each.name };
}

/* Submit a helper that runs a part, without waiting. Returns true if it was
 * accepted, or if no more helpers are needed; false if there was no room, or
 * the loop is stopped. */
static bool submit_helper(struct loop *l, struct part *p)
{
    struct weir_job job;
    bool goes;

    fill_helper(l, &job, p->number);
    weir_group_lock(l->group);
    goes = l->over || weir_group_try_submit_locked(l->group, &job);
    weir_group_unlock(l->group);
    return goes;
}

/* Return whether a thread should let others use its worker or its permit; also
 * notice that the gate has become paced. */
static bool must_yield(struct loop *l, bool turn_is_over)
{
    struct weir_pool *pool = l->pool;
    unsigned pressure = pool->gate != NULL ? weir_gate_pressure(pool->gate) : 0;

    if ((pressure & WEIR_GATE_PACED) != 0)
        weir_atomic_store(&l->paced, true, weir_relaxed);
    return turn_is_over && ((pressure & WEIR_GATE_CONTENDED) != 0 ||
                            weir_pool_has_jobs(pool));
}

/* The job of a helper. */
static int help(struct weir_context *cx, void *arg)
{
    struct part *p = arg;
    struct loop *l = p->loop;
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    int64_t now = weir_sys_now(), since = now;
    bool goes = false;
    int status;

    p->abandon = frame->abandon;
    frame->abandon = abandon_helper;
    frame->owner_data = p;
    p->pace = weir_atomic_load(&l->pace, weir_relaxed);
    status = make_accumulator(l, p);
    if (status != 0)
        fail(l, status);
    while (may_continue(l, cx) && run_next(l, cx, p, &now) &&
           !weir_worker_is_forked(cx)) {
        /* Let another helper, at the end of the ring, continue with this part.
         * If the ring is full, and the calling thread runs elements too, it
         * can finish the loop without this part. */
        if (must_yield(l, now - since >= TURN_NS)) {
            goes = submit_helper(l, p) || l->helping;
            if (goes)
                break;
            since = now;
        }
    }
    if (!goes && !weir_worker_is_forked(cx))
        cancel_helpers(l);
    /* A program often runs several loops in a row. */
    cx->search.expects_more = true;
    return 0;
}

/* Set the most helpers of the loop. Together with the calling thread they are
 * as many as the threads of the pool, or its limit, or the elements, whichever
 * is least. */
static void set_most(struct loop *l)
{
    const struct weir_pool *pool = l->pool;
    /* Relaxed: estimates, as are the other values of the pool used here. */
    int most = weir_atomic_load(&pool->target, weir_relaxed);
    int limit = weir_atomic_load(&pool->limit, weir_relaxed);

    if (most < pool->own_threads_max)
        most = pool->own_threads_max; /* it may grow, if elements block */
    if (most < 1)
        most = 1;
    most += weir_atomic_load(&pool->callers, weir_relaxed);
    if (limit != WEIR_NONE && limit < most)
        most = limit;
    if (l->each.count < (uint64_t)most)
        most = (int)l->each.count;
    l->most = most - (l->helping ? 1 : 0);
}

/* Return the number of helpers to submit for this much work. */
static int helpers_for(const struct loop *l, int64_t work_ns)
{
    /* Relaxed: a hint, whether a worker would have to be woken. */
    uint64_t state = weir_atomic_load(&l->pool->ring.items.state,
                                      weir_relaxed);

    if (work_ns < WAKE_NS && weir_ec_waiters(state) != 0)
        return 0;
    return work_ns / WORTH_NS < l->most ? (int)(work_ns / WORTH_NS)
                                        : l->most;
}

/* Allocate the parts of other threads. */
static int make_parts(struct loop *l, int count)
{
    size_t bytes = l->each.total_bytes;

    if (bytes > SIZE_MAX / 2)
        return -ENOMEM;
    bytes = (bytes + WEIR_CACHE_LINE - 1) & ~(size_t)(WEIR_CACHE_LINE - 1);
    l->stride = sizeof(struct part) + bytes;
    l->others = weir_sys_alloc((size_t)count, l->stride);
    if (l->others == NULL)
        return -ENOMEM;
    for (int i = 1; i <= count; i++) {
        struct part *p = part_of(l, i);

        p->loop = l;
        p->number = i;
        if (l->each.total_bytes != 0)
            p->accumulator = p + 1;
    }
    return 0;
}

/* Allocate the parts of helpers, and create their group. */
static int make_helpers(struct loop *l, int count)
{
    int64_t deadline = l->cx != NULL ? weir_deadline(l->cx) : WEIR_FOREVER;
    int err = make_parts(l, count);

    if (err != 0)
        return err;
    /* Twice the number of parts: a helper that continues with a part is
     * submitted before the one that had it has completed. */
    err = weir_group_create(&l->group, l->pool, &(struct weir_group_options){
        .window = 2 * (size_t)count, .discard = 1,
        .deadline = deadline == WEIR_FOREVER ? 0 : deadline });
    if (err != 0) {
        weir_sys_free(l->others);
        l->others = NULL;
    }
    return err;
}

/* Return the number of helpers to allocate parts for if `count` are submitted
 * now. It is larger, because the elements may turn out to take longer than the
 * first ones, but limited to what is allocated in a microsecond or two. */
static int room_for(const struct loop *l, int count)
{
    size_t each = sizeof(struct part) + sizeof(struct weir_member) * 2;
    int room;

    if (l->each.total_bytes >= ROOM_BYTES)
        return count;
    room = (int)(ROOM_BYTES / (each + l->each.total_bytes));
    if (room < count)
        room = count;
    return room < l->most ? room : l->most;
}

/* Submit helpers until there are `count` of them. Without memory, or without
 * room in the ring, there are fewer, and the calling thread runs the rest. */
static void submit_helpers(struct loop *l, int count)
{
    if (!l->helpers_made) {
        int room = room_for(l, count);

        l->helpers_made = true;
        if (make_helpers(l, room) == 0) {
            l->room = room;
            /* Groups that elements create from now on stop with the loop. */
            l->cx->frames[l->depth].owner = l->group;
        }
    }
    if (count > l->room)
        count = l->room;
    while (l->helpers < count) {
        weir_atomic_store(&l->threads, l->helpers + 2, weir_relaxed);
        if (!submit_helper(l, part_of(l, l->helpers + 1)))
            break;
        l->helpers++;
    }
}

/* Before the first element: submit helpers if the pool remembers a pace that
 * makes it worthwhile, or if there are few elements. */
static void submit_helpers_early(struct loop *l)
{
    uint64_t pace = recall_pace(l), count = l->each.count;
    int helpers = 0;

    if (pace != 0)
        helpers = helpers_for(l, time_of(count, pace));
    else if (count / FEW <= (uint64_t)l->most)
        helpers = helpers_for(l, INT64_MAX);
    if (helpers > 0)
        submit_helpers(l, helpers);
}

/* After the calling thread has run a range: submit the helpers that the pace
 * measured so far makes worthwhile. */
static void submit_helpers_late(struct loop *l, int64_t now)
{
    uint64_t cursor = weir_atomic_load(&l->cursor, weir_relaxed);
    int helpers;

    if (now - l->began_at < PROBE_NS || cursor >= l->each.count)
        return;
    helpers = helpers_for(l, time_of(l->each.count - cursor, l->own.pace));
    if (helpers > l->helpers)
        submit_helpers(l, helpers);
}

/* ---- the calling thread ---- */

static bool frame_stopping(const struct weir_frame *frame)
{
    const struct weir_frame *outer = frame - 1;
    const struct part *p = frame->owner_data;

    if (weir_atomic_load(&p->loop->status, weir_seq_cst) != 0)
        return true;
    return p->loop->depth > 0 && outer->stopping(outer);
}

static int64_t frame_deadline(const struct weir_frame *frame)
{
    const struct weir_frame *outer = frame - 1;
    const struct part *p = frame->owner_data;

    return p->loop->depth > 0 ? outer->deadline(outer) : WEIR_FOREVER;
}

/* Never called: end_thread() removes the loop's frame first. */
static void frame_abandon(struct weir_frame *frame)
{
    (void)frame; /* GCOVR_EXCL_LINE */
}

static void push_frame(struct loop *l)
{
    struct weir_context *cx = l->cx;

    l->depth = cx->depth;
    cx->frames[cx->depth++] = (struct weir_frame){ .cx = cx,
        .owner = l->outer_group, .owner_data = &l->own, .attempt = 1,
        .stopping = frame_stopping, .deadline = frame_deadline,
        .abandon = frame_abandon };
}

/* Release the permit and reacquire it, after the threads that wait for one. */
static void yield_permit(struct loop *l)
{
    struct weir_context *cx = l->cx;

    weir_worker_release_permit(cx);
    weir_gate_reacquire(&(struct weir_gate_permit){ .gate = l->pool->gate },
                        &cx->gate_waiter);
    cx->permit = true;
}

/* Run elements in the calling thread until none can be claimed. */
static void run_here(void *arg)
{
    struct loop *l = arg;
    struct weir_context *cx = l->cx;
    int64_t now = weir_sys_now(), since = now;
    bool outside = cx->index < 0;

    l->began_at = now;
    while (may_continue(l, cx) && run_next(l, cx, &l->own, &now) &&
           !weir_worker_is_forked(cx)) {
        if (!l->helpers_made || l->helpers < l->room)
            submit_helpers_late(l, now);
        if (l->pool->gate != NULL &&
            must_yield(l, now - since >= TURN_NS) && outside) {
            yield_permit(l);
            since = now = weir_sys_now();
        }
    }
}

/* Wait until all helpers have completed: spin first, because each may have just
 * one element left. */
static void await_helpers(struct loop *l)
{
    struct weir_group *g = l->group;
    uint64_t left;

    if (g == NULL)
        return;
    cancel_helpers(l);
    weir_group_lock(g);
    left = g->stats.unfinished;
    weir_group_unlock(g);
    if (left > 0 && weir_spin_begin(&g->spin))
        weir_group_spin(g, left);
    weir_group_wait_end(g);
}

/* Combine the accumulators of the parts, and free those. */
static void free_parts(struct loop *l)
{
    int threads = weir_atomic_load(&l->threads, weir_relaxed);

    for (int i = 1; i < threads; i++) {
        struct part *p = part_of(l, i);

        l->own.done += p->done;
        if (p->initialized && p->accumulator != NULL)
            l->each.combine(l->each.user, l->each.total, p->accumulator);
    }
    weir_sys_free(l->others);
    l->others = NULL;
    /* Relaxed: no other thread takes part any more. */
    weir_atomic_store(&l->threads, 1, weir_relaxed);
}

static void finish(struct loop *l)
{
    await_helpers(l);
    free_parts(l);
}

/* An element has ended the calling thread, which is a worker. The jobs in
 * frames above that of the loop end first, then the loop, then the job that
 * called it. */
static void end_thread(void *arg)
{
    struct loop *l = arg;
    struct weir_context *cx = l->cx;

    if (weir_worker_is_forked(cx))
        weir_sys_end_process(1);
    while (cx->depth > l->depth + 1) {
        struct weir_frame *frame = &cx->frames[--cx->depth];

        frame->abandon(frame);
    }
    weir_listener_end(&cx->frames[l->depth].listener);
    cx->depth--;
    fail(l, -ECANCELED);
    finish(l);
    weir_group_destroy(l->group);
}

static void on_thread_exit(void *arg)
{
    const struct loop *l = arg;

    if (weir_worker_is_forked(l->cx))
        weir_sys_end_process(1);
    weir_sys_abort(__FILE__, __LINE__, "weir_for_each: an element has "
                                       "ended a thread of the application");
}

/* Run elements in the calling thread, which is inside a job or is an
 * application thread that helps. `ended` is called if an element ends it. */
static void run_caller_part(struct loop *l, void (*ended)(void *arg))
{
    struct weir_context *cx = l->cx;
    uint64_t tag = cx->current.tag;
    int64_t retry_ns = cx->current.retry_ns;
    int blocks = weir_grow_pause(cx);

    l->helping = true;
    set_most(l);
    l->own.accumulator = l->each.total;
    push_frame(l);
    submit_helpers_early(l);
    weir_sys_run_with_exit_handler(run_here, ended, l);
    cx->depth--;
    store_pace(l);
    cx->current.tag = tag;
    cx->current.retry_ns = retry_ns;
    if (!weir_worker_is_forked(cx))
        weir_grow_resume(cx, blocks);
}

static int run_inside(struct loop *l, struct weir_context *cx)
{
    l->cx = cx;
    if (cx->depth > 0)
        l->outer_group = cx->frames[cx->depth - 1].owner;
    run_caller_part(l, end_thread);
    if (weir_worker_is_forked(cx))
        return -ECHILD;
    finish(l);
    return 0;
}

/* Run the loop in an application thread. Returns 0; -ENOENT if this thread
 * cannot run elements now; -EPIPE; -ECHILD. */
static int run_outside(struct loop *l)
{
    enum { DEPTH = 16 };
    struct weir_pool *pool = l->pool;
    struct weir_context *outer = weir_worker_current();
    struct weir_frame frames[DEPTH + 1];
    struct weir_context cx = { .pool = pool,
                               .fork_guard = pool->fork_guard,
                               .index = -1,
                               .frames = frames,
                               .outer = outer,
                               .depth_max = DEPTH };
    int cancel, err = 0;

    if (pool->worker_start != NULL || weir_context_init(&cx) != 0)
        return -ENOENT;
    if (pool->help_depth < DEPTH)
        cx.depth_max = pool->help_depth;
    if (pool->gate != NULL &&
        weir_gate_acquire(pool->gate, 0, WEIR_NO_WAIT) != 0) {
        weir_context_destroy(&cx);
        return -ENOENT;
    }
    cx.permit = pool->gate != NULL;
    weir_external_helper_enter(&cx);
    weir_pool_busy_begin(pool);
    /* Checked after weir_pool_busy_begin(): a drain that begins later waits for
     * this loop. */
    if (weir_atomic_load(&pool->ring.insiders_only, weir_seq_cst) ||
        weir_ring_is_closed(&pool->ring)) {
        err = -EPIPE;
    } else {
        l->cx = &cx;
        cancel = weir_sys_disable_cancel();
        weir_worker_set_current(&cx);
        run_caller_part(l, on_thread_exit);
        weir_worker_set_current(outer);
        weir_sys_restore_cancel(cancel);
        if (weir_worker_is_forked(&cx)) {
            weir_context_destroy(&cx);
            return -ECHILD;
        }
    }
    weir_worker_release_permit(&cx);
    weir_worker_release_refs(&cx);
    weir_external_helper_leave(&cx);
    weir_pool_busy_end(pool);
    weir_context_destroy(&cx);
    l->cx = NULL;
    finish(l);
    return err;
}

/* Let helpers run the loop: at least one, for which this call may have to wait
 * for room. */
static int run_elsewhere(struct loop *l)
{
    struct weir_job job;
    int helpers, err;
    ssize_t n;

    set_most(l);
    helpers = l->most;
    err = make_helpers(l, helpers);
    if (err != 0)
        return err;
    weir_atomic_store(&l->threads, helpers + 1, weir_relaxed);
    fill_helper(l, &job, 1);
    n = weir_group_submit(l->group, &job, 1, WEIR_FOREVER);
    for (int i = 2; n == 1 && i <= helpers; i++)
        if (!submit_helper(l, part_of(l, i)))
            break;
    err = n == 1 ? weir_group_wait(l->group, WEIR_FOREVER) : (int)n;
    free_parts(l);
    return err;
}

/* ---- elements admitted one by one ---- */

/* Take a part whose accumulator no element uses now. There is one for each
 * thread. An element that ends its thread keeps its part, and stops the
 * loop. */
static struct part *take_accumulator(struct loop *l)
{
    int threads = weir_atomic_load(&l->threads, weir_relaxed);

    for (int i = 1; i < threads; i++) {
        struct part *p = part_of(l, i);
        bool no = false;

        /* Relaxed: the compare-and-swap decides. Its acquire pairs with the
         * release in element_job(), which publishes the accumulator. */
        if (!weir_atomic_load(&p->taken, weir_relaxed) &&
            weir_atomic_cas_strong(&p->taken, &no, true, weir_acquire))
            return p;
    }
    return NULL;
}

/* The job of one element. */
static int element_job(struct weir_context *cx, void *arg)
{
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    const struct weir_group *g = frame->owner;
    struct loop *l = g->options.user;
    struct part *p;
    int status;

    if (l->each.total_bytes == 0)
        return l->each.fn(cx, l->each.user, arg);
    p = take_accumulator(l);
    if (p == NULL)
        return -ECANCELED;
    status = make_accumulator(l, p);
    if (status == 0) {
        frame->owner_data = p;
        status = l->each.fn(cx, l->each.user, arg);
        frame->owner_data = NULL;
    }
    weir_atomic_store(&p->taken, false, weir_release);
    return status;
}

/* Submit a job for each element that is left. */
static int submit_elements(struct loop *l, struct weir_group *g)
{
    uint64_t from = weir_atomic_load(&l->cursor, weir_relaxed);
    int err = 0;

    for (uint64_t i = from; i < l->each.count && err == 0;) {
        struct weir_job job = { .fn = element_job, .tag = i,
            .name = l->each.name,
            .arg = element_at(l, i) };
        ssize_t n = weir_group_submit(g, &job, 1, WEIR_FOREVER);

        if (n == 1) {
            i++;
        } else if (n == -EAGAIN) {
            /* This is inside a job, and the ring is full. Either the gate is
             * closed, or other threads run jobs in all members. */
            i += weir_group_queue_for_waiter(g, &job);
            err = weir_group_wait(g, WEIR_FOREVER);
        } else {
            err = (int)n;
        }
    }
    return err;
}

/* Run what is left with a job for each element. */
static int run_one_by_one(struct loop *l)
{
    struct weir_group *g;
    int threads = l->each.total_bytes != 0 ? l->pool->contexts_count + 1 : 0,
        err;

    if (threads > 0) {
        err = make_parts(l, threads);
        if (err != 0)
            return err;
        weir_atomic_store(&l->threads, threads + 1, weir_relaxed);
    }
    err = weir_group_create(&g, l->pool, &(struct weir_group_options){
        .policy = WEIR_FAIL_FAST, .discard = 1, .user = l });
    if (err == 0) {
        err = submit_elements(l, g);
        /* -ECANCELED: an element has failed, and its status is the result. */
        if (err == 0 || err == -ECANCELED)
            err = weir_group_wait(g, WEIR_FOREVER);
        if (err == 0)
            err = weir_group_status(g);
        weir_group_destroy(g); /* waits for running elements */
    }
    if (err != -ECHILD)
        free_parts(l);
    return err;
}

/* ---- the call ---- */

static bool is_valid(const struct weir_each *each)
{
    return (each->fn != NULL || each->count == 0) &&
           (each->total_bytes == 0 ||
            (each->total != NULL && each->combine != NULL)) &&
           weir_is_all_zero(each->reserved, sizeof(each->reserved));
}

static bool is_paced(struct weir_pool *pool)
{
    return pool->gate != NULL &&
           (weir_gate_pressure(pool->gate) & WEIR_GATE_PACED) != 0;
}

/* Return the result of a loop, after all helpers have completed. */
static int result(struct loop *l)
{
    int status = weir_atomic_load(&l->status, weir_seq_cst);

    if (l->own.done == l->each.count)
        return 0; /* even if a reason to stop came too late */
    if (status == 0 && l->group != NULL)
        status = weir_group_status(l->group);
    if (status == 0 && !weir_atomic_load(&l->paced, weir_relaxed))
        status = -ECANCELED; /* not possible: GCOVR_EXCL_LINE */
    return status;
}

int weir_for_each(struct weir_pool *pool, const struct weir_each *each)
{
    struct weir_context *cx;
    struct loop l = { .each = *each, .pool = pool, .own.loop = &l };
    int err = 0;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    if (!is_valid(each))
        return -EINVAL;
    if (each->count == 0)
        return 0;
    weir_atomic_store(&l.threads, 1, weir_relaxed);
    cx = weir_worker_in(pool);
    if (cx != NULL && cx->depth > cx->depth_max)
        return -EDEADLK;
    if (is_paced(pool)) {
        weir_atomic_store(&l.paced, true, weir_relaxed);
    } else {
        err = cx != NULL ? run_inside(&l, cx) : run_outside(&l);
        if (err == -ENOENT)
            err = run_elsewhere(&l);
        if (err == 0)
            err = result(&l);
        weir_group_destroy(l.group);
        l.group = NULL;
    }
    if (err == -ECHILD) { /* an element has forked this child */
        weir_sys_free(l.others);
        return err;
    }
    if (err == 0 && weir_atomic_load(&l.paced, weir_relaxed) &&
        weir_atomic_load(&l.cursor, weir_relaxed) < each->count)
        err = run_one_by_one(&l);
    return err;
}

void *weir_accumulator(const struct weir_context *cx)
{
    const struct part *p = NULL;

    if (cx->depth > 0)
        p = cx->frames[cx->depth - 1].owner_data;
    return p != NULL ? p->accumulator : NULL;
}
