/* SPDX-License-Identifier: MIT
 * group_slot.c - the life of one job of a group.
 *
 * A job lives in a slot of its group's; the pool's ring holds a reference to
 * it, with a ticket. Whoever turns the slot from QUEUED to TAKEN owns the
 * job: the worker that takes the reference, a waiter that helps, or who
 * cancels. A reference whose ticket is not that of a queued job any more is
 * stale and passed over.
 *
 * Owns: the slots; each job whoever has claimed it.
 * Locks: the group's, over lists, indices and counts. It is held while
 *   references are put into the ring, which never waits; no callback runs
 *   under it.
 * Order: claim is a seq_cst compare-and-swap. What submit writes into a slot
 *   is published by the ring to the worker, and by the lock to everybody
 *   else.
 * Invariants: unfinished = QUEUED + TAKEN; unread = DONE; together with the
 *   free ones they are all slots. A slot's ticket grows at each use, so that
 *   a reference never claims a later job. A group lives until its owner has
 *   destroyed it, the last reference to it has left the ring, and the last
 *   group below it is gone.
 * Wake-ups: ending a job wakes all who wait for any result, or for room; who
 *   waits for that one; and if it was the last, who waits for all.
 * Not guaranteed: that the queued list holds only queued jobs: what was
 *   claimed through the ring leaves it when it ends, or when it is passed
 *   over.
 */
#include "group_private.h"

#define STATE(claim) ((enum weir_slot_state)((claim) & 3))

/* ---- lists ---- */

void weir_slot_append_locked(struct weir_slot_list *list,
                             struct weir_slot *slot)
{
    slot->next = NULL;
    slot->prev = list->last;
    if (list->last != NULL)
        list->last->next = slot;
    else
        list->first = slot;
    list->last = slot;
}

void weir_slot_remove_locked(struct weir_slot_list *list,
                             struct weir_slot *slot)
{
    if (slot->prev != NULL)
        slot->prev->next = slot->next;
    else
        list->first = slot->next;
    if (slot->next != NULL)
        slot->next->prev = slot->prev;
    else
        list->last = slot->prev;
}

static void unqueue_locked(struct weir_group *g, struct weir_slot *slot)
{
    if (slot->queued)
        weir_slot_remove_locked(&g->queued, slot);
    slot->queued = false;
}

struct weir_slot *weir_slot_find_locked(struct weir_group *g, uint64_t index)
{
    struct weir_slot *slot = g->buckets[index & g->bucket_mask];

    while (slot != NULL && slot->result.index != index)
        slot = slot->same;
    return slot;
}

/* ---- filling and freeing ---- */

/* Move a slot to a state; with a new ticket when a job comes or goes. */
static void set_state(struct weir_slot *slot, enum weir_slot_state state,
                      bool new_ticket)
{
    uint64_t claim = weir_atomic_load(&slot->claim, weir_relaxed);
    uint64_t ticket = (claim >> 2) + new_ticket;

    weir_atomic_store(&slot->claim, ticket << 2 | state, weir_seq_cst);
}

struct weir_slot *weir_slot_fill_locked(struct weir_group *g,
                                        const struct weir_job *job,
                                        int64_t now)
{
    struct weir_slot *slot = g->free;
    uint64_t index = g->next_index++;
    struct weir_slot **bucket = &g->buckets[index & g->bucket_mask];

    g->free = slot->next;
    slot->fn = job->fn;
    slot->drop = job->drop;
    slot->result = (struct weir_result){ .index = index, .tag = job->tag,
        .arg = job->arg, .worker = -1, .queued_at = now };
    slot->wanted = false;
    weir_atomic_store(&slot->stop, 0, weir_relaxed); /* under the lock */
    slot->same = *bucket;
    *bucket = slot;
    weir_slot_append_locked(&g->queued, slot);
    slot->queued = true;
    g->stats.unfinished++;
    g->stats.submitted++;
    set_state(slot, WEIR_SLOT_QUEUED, true);
    return slot;
}

void weir_slot_free_locked(struct weir_group *g, struct weir_slot *slot)
{
    struct weir_slot **at =
        &g->buckets[slot->result.index & g->bucket_mask];

    while (*at != slot)
        at = &(*at)->same;
    *at = slot->same;
    set_state(slot, WEIR_SLOT_FREE, true);
    slot->next = g->free;
    g->free = slot;
}

void weir_slot_undo_locked(struct weir_group *g, struct weir_slot *slot)
{
    unqueue_locked(g, slot);
    g->next_index--;
    g->stats.unfinished--;
    g->stats.submitted--;
    weir_slot_free_locked(g, slot);
}

/* ---- claiming ---- */

static bool claim_ticket(struct weir_slot *slot, uint64_t ticket)
{
    uint64_t claim = ticket << 2 | WEIR_SLOT_QUEUED;

    return weir_atomic_cas_strong(&slot->claim, &claim,
                                  ticket << 2 | WEIR_SLOT_TAKEN,
                                  weir_seq_cst);
}

bool weir_slot_claim(struct weir_slot *slot)
{
    uint64_t claim = weir_atomic_load(&slot->claim, weir_seq_cst);

    return STATE(claim) == WEIR_SLOT_QUEUED && claim_ticket(slot, claim >> 2);
}

bool weir_slot_is_done(const struct weir_slot *slot)
{
    return STATE(weir_atomic_load(&slot->claim, weir_seq_cst)) ==
           WEIR_SLOT_DONE;
}

bool weir_slot_any_queued_locked(struct weir_group *g)
{
    struct weir_slot *slot;

    while ((slot = g->queued.first) != NULL) {
        uint64_t claim = weir_atomic_load(&slot->claim, weir_seq_cst);

        if (STATE(claim) == WEIR_SLOT_QUEUED)
            return true;
        unqueue_locked(g, slot);
    }
    return false;
}

struct weir_slot *weir_slot_claim_oldest_locked(struct weir_group *g)
{
    struct weir_slot *slot;

    while ((slot = g->queued.first) != NULL) {
        unqueue_locked(g, slot);
        if (weir_slot_claim(slot))
            return slot;
    }
    return NULL;
}

/* ---- ending ---- */

/* What the group has to do after a job has ended. */
struct after {
    bool ready;  /* a result, and there was none before */
    bool changed, wanted, all;
    bool stop; /* what is queued is to be dropped */
};

static void count_locked(struct weir_group *g, struct weir_slot *slot,
                         struct after *after)
{
    int status = slot->result.status;

    if (slot->result.attempts == 0)
        g->stats.cancelled++;
    else if (status == 0)
        g->stats.succeeded++;
    else
        g->stats.failed++;
    if (status != 0 && g->first_status == 0)
        g->first_status = status;
    if (slot->result.attempts != 0 && status == 0)
        g->has_ok = true;
    if ((g->options.policy == WEIR_FAIL_FAST && status != 0) ||
        (g->options.policy == WEIR_FIRST_OK && g->has_ok)) {
        int none = 0;

        /* Here, so that who sees this job ended is refused already. */
        after->stop = weir_atomic_cas_strong(&g->stop, &none, -ECANCELED,
                                             weir_seq_cst);
    }
}

/* A claimed job has ended: keep its result, tell who waits. The caller keeps
 * the group alive. */
static void finish(struct weir_slot *slot)
{
    struct weir_group *g = slot->group;
    struct after after = { .stop = false };

    weir_sys_lock(&g->lock);
    unqueue_locked(g, slot);
    count_locked(g, slot, &after);
    g->stats.unfinished--;
    after.wanted = slot->wanted;
    after.all = g->stats.unfinished == 0;
    if (g->options.discard) {
        weir_slot_free_locked(g, slot);
    } else {
        after.ready =
            g->stats.unread++ == 0 && g->options.on_ready != NULL;
        g->telling += after.ready;
        set_state(slot, WEIR_SLOT_DONE, false);
        weir_slot_append_locked(&g->done, slot);
    }
    weir_sys_unlock(&g->lock);

    /* The unlock is no read-modify-write of ours that a sleeper could load,
     * but who sleeps has looked under the lock after announcing itself, see
     * weir_group_sleep: either it saw this end, or its announcement comes
     * before our lock and is seen here. */
    weir_park_wake_all(&g->changed);
    if (after.wanted)
        weir_park_wake_all(&g->wanted);
    if (after.all)
        weir_park_wake_all(&g->all);
    if (after.ready) {
        g->options.on_ready(g->options.user);
        weir_sys_lock(&g->lock);
        g->telling--;
        weir_sys_unlock(&g->lock);
        weir_park_wake_all(&g->all); /* who destroys waits for this too */
    }
    if (after.stop)
        weir_group_stop(g, -ECANCELED);
}

static void end_without_run(struct weir_slot *slot, int why)
{
    if (slot->drop != NULL) {
        slot->drop(slot->result.arg, why);
        slot->result.arg = NULL;
    }
    slot->result.status = why;
    slot->result.ended_at = weir_sys_now();
    finish(slot);
}

void weir_slot_drop_aside(struct weir_slot *slot, int why)
{
    weir_atomic_fetch_add(&slot->group->pool->cancelled_aside, 1,
                          weir_relaxed);
    end_without_run(slot, why);
}

/* ---- running ---- */

static bool frame_stopping(const struct weir_frame *frame)
{
    struct weir_slot *slot = frame->slot;

    return weir_atomic_load(&slot->stop, weir_seq_cst) != 0 ||
           weir_group_stopping(frame->group) != 0;
}

static int64_t frame_deadline(const struct weir_frame *frame)
{
    int64_t deadline = WEIR_FOREVER;

    for (const struct weir_group *g = frame->group; g != NULL; g = g->parent)
        if (g->options.deadline < deadline)
            deadline = g->options.deadline;
    return deadline;
}

/* The thread of a job ends inside it: the job ends with it. */
static void frame_abandon(struct weir_frame *frame)
{
    struct weir_slot *slot = frame->slot;
    struct weir_group *g = frame->group;

    slot->result.status = -ECANCELED;
    slot->result.ended_at = weir_sys_now();
    if (!frame->token)
        weir_atomic_fetch_add(&g->pool->failed_aside, 1, weir_relaxed);
    finish(slot);
    if (frame->token)
        weir_group_release(g);
}

/* Run a claimed job. There is a frame left. Returns its status. */
static int run_claimed(struct weir_context *cx, struct weir_slot *slot,
                       bool token)
{
    struct weir_frame *frame = &cx->frames[cx->depth];
    uint64_t outer_tag = cx->tag;
    int status;

    *frame = (struct weir_frame){ .group = slot->group, .slot = slot,
        .token = token, .stopping = frame_stopping,
        .deadline = frame_deadline,
        .abandon = frame_abandon };
    cx->depth++;
    cx->tag = slot->result.tag;
    slot->result.worker = cx->index;
    slot->result.attempts = 1;
    slot->result.began_at = weir_sys_now();
    status = slot->fn(cx, slot->result.arg);
    slot->result.ended_at = weir_sys_now();
    slot->result.status = status;
    cx->tag = outer_tag;
    cx->depth--;
    finish(slot);
    return status;
}

void weir_slot_run_aside(struct weir_context *cx, struct weir_slot *slot)
{
    struct weir_pool *pool = slot->group->pool;
    int why = weir_group_stopping(slot->group);

    if (weir_atomic_load(&pool->mode, weir_seq_cst) == WEIR_CANCEL)
        why = -ECANCELED;
    if (why != 0)
        weir_slot_drop_aside(slot, why);
    else if (run_claimed(cx, slot, false) != 0)
        weir_atomic_fetch_add(&pool->failed_aside, 1, weir_relaxed);
}

int weir_slot_run(struct weir_context *cx, void *arg)
{
    struct weir_slot *slot = arg;
    struct weir_group *g = slot->group;
    int status = 0;

    if (claim_ticket(slot, cx->tag)) {
        int why = weir_group_stopping(g);

        if (why != 0)
            weir_slot_drop_aside(slot, why);
        else
            status = run_claimed(cx, slot, true);
    }
    weir_group_release(g);
    return status;
}

bool weir_slot_stale(const struct weir_job *job)
{
    const struct weir_slot *slot = job->arg;

    return job->drop == weir_slot_dropped &&
           weir_atomic_load(&slot->claim, weir_seq_cst) !=
               (job->tag << 2 | WEIR_SLOT_QUEUED);
}

/* The pool drops a reference. It drops all it holds, so if the job is queued
 * its own reference goes too, whichever this one is. */
void weir_slot_dropped(void *arg, int why)
{
    struct weir_slot *slot = arg;
    struct weir_group *g = slot->group;
    bool claimed;

    /* Under the lock, so that a job which is being submitted has been
     * accepted by the ring, or taken back. */
    weir_sys_lock(&g->lock);
    claimed = weir_slot_claim(slot);
    weir_sys_unlock(&g->lock);
    /* The pool counts a job as dropped for this reference, so a job that
     * was not is taken off, and one that was is not counted twice. */
    if (claimed)
        end_without_run(slot, why);
    else
        weir_atomic_fetch_sub(&g->pool->cancelled_aside, 1, weir_relaxed);
    weir_group_release(g);
}
