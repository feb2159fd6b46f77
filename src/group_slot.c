/* SPDX-License-Identifier: MIT
 * group_slot.c - the life of one job of a group.
 *
 * A job lives in a slot of its group's; the pool's ring holds a reference to
 * it, with a ticket. Whoever turns the slot from QUEUED to TAKEN owns the
 * job: the worker that takes the reference, a waiter that helps, or who
 * cancels. A reference whose ticket is not that of a queued job any more is
 * stale: a worker passes over it, and whoever asks the pool for room or for
 * its end takes it out of the ring, see weir_tasks_skip_spent().
 *
 * Who ends a job does not lock the group where nothing is to be done about it
 * at once: it puts the slot on a stack, `ended`, which the next one takes in
 * who needs a slot or a result, or looks at the whole group. So workers never
 * wait for one another, or for readers.
 *
 * Owns: the slots; each job whoever has claimed it.
 * Locks: the group's, over lists, indices and counts. It is held while
 *   references are put into the ring, which never waits; no callback runs
 *   under it.
 * Order: claim is a seq_cst compare-and-swap. What submit writes into a slot
 *   is published by the ring to the worker, and by the lock to everybody
 *   else. What ends a job writes is published by the seq_cst
 *   compare-and-swap of `ended`, whose whole stack is taken at once, so that
 *   no slot on it can have been used again.
 * Invariants: unfinished = QUEUED + TAKEN, those on the stack included;
 *   unread = DONE; together with the free ones they are all slots. The count
 *   in `ended` is that of the stack, and all have ended where it is as large
 *   as `unfinished`. Whoever lowers that lowers `awaited` to it and then looks
 *   at the stack, so that of him and who ends the last job one sees it. A
 *   slot's ticket grows at each use, so that a reference never claims a later
 *   job. A group lives until its owner has destroyed it, the last reference to
 *   it has left the ring, and the last group below it is gone.
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

static void queue_locked(struct weir_group *g, struct weir_slot *slot)
{
    weir_slot_append_locked(slot->is_task ? &g->tasks : &g->queued, slot);
    slot->queued = true;
}

static void unqueue_locked(struct weir_group *g, struct weir_slot *slot)
{
    if (slot->queued)
        weir_slot_remove_locked(slot->is_task ? &g->tasks : &g->queued,
                                slot);
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

    /* Who claims it acquires what was written before. */
    weir_atomic_store(&slot->claim, ticket << 2 | state, weir_release);
}

struct weir_slot *weir_slot_fill_locked(struct weir_group *g,
                                        const struct weir_job *job,
                                        int64_t now, bool is_task)
{
    struct weir_slot *slot = g->free;
    uint64_t index = g->next_index++;
    struct weir_slot **bucket = &g->buckets[index & g->bucket_mask];

    if (slot != NULL) {
        g->free = slot->next;
    } else {
        slot = &g->slots[g->fresh++];
        slot->group = g;
    }
    slot->fn = job->fn;
    slot->drop = job->drop;
    slot->name = job->name;
    /* Member by member: what is reserved is 0 and stays so. */
    slot->result.index = index;
    slot->result.tag = job->tag;
    slot->result.arg = job->arg;
    slot->result.status = 0;
    slot->result.attempts = 0;
    slot->result.worker = -1;
    slot->result.queued_at = now;
    slot->result.began_at = 0;
    slot->result.ended_at = 0;
    slot->dropped = false;
    slot->again_at = 0;
    slot->is_task = is_task;
    slot->task = NULL;
    weir_atomic_store(&slot->stop, 0, weir_relaxed); /* under the lock */
    slot->same = *bucket;
    *bucket = slot;
    queue_locked(g, slot);
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

/* Let it be queued again, for the task that will bring it. */
void weir_slot_queue_again(struct weir_slot *slot, struct weir_task *task)
{
    struct weir_group *g = slot->group;
    int reason;

    weir_group_lock(g);
    if (!slot->is_task)
        unqueue_locked(g, slot);
    slot->is_task = true;
    slot->task = task;
    if (!slot->queued)
        queue_locked(g, slot);
    set_state(slot, WEIR_SLOT_QUEUED, false);
    /* Who stopped it until now did not find it here; who does so from now on
     * will. */
    reason = weir_slot_why_stop(slot);
    if (reason != 0)
        weir_task_take(task, reason);
    weir_sys_unlock(&g->lock);
}

void weir_slot_unqueue(struct weir_slot *slot)
{
    weir_group_lock(slot->group);
    unqueue_locked(slot->group, slot);
    weir_sys_unlock(&slot->group->lock);
}

/* ---- claiming ---- */

bool weir_slot_claim_ticket(struct weir_slot *slot, uint64_t ticket)
{
    uint64_t claim = ticket << 2 | WEIR_SLOT_QUEUED;

    return weir_atomic_cas_strong(&slot->claim, &claim,
                                  ticket << 2 | WEIR_SLOT_TAKEN,
                                  weir_seq_cst);
}

bool weir_slot_claim(struct weir_slot *slot)
{
    uint64_t claim = weir_atomic_load(&slot->claim, weir_seq_cst);

    return STATE(claim) == WEIR_SLOT_QUEUED &&
           weir_slot_claim_ticket(slot, claim >> 2);
}

/* Claim a job out of turn: its reference is stale from then on, and whoever
 * asks the pool for room or for its end lets it pass. */
static bool claim_aside_locked(struct weir_slot *slot)
{
    struct weir_pool *pool = slot->group->pool;

    if (!weir_slot_claim(slot))
        return false;
    /* Loaded first: the line is read by others. */
    if (!weir_atomic_load(&pool->may_be_stale, weir_seq_cst))
        weir_atomic_store(&pool->may_be_stale, true, weir_seq_cst);
    return true;
}

bool weir_slot_is_done(const struct weir_slot *slot)
{
    return STATE(weir_atomic_load(&slot->claim, weir_seq_cst)) ==
           WEIR_SLOT_DONE;
}

/* The oldest task from `slot` on that this thread may try to start. */
static struct weir_slot *find_task_locked(struct weir_slot *slot,
                                          struct weir_context *cx,
                                          bool look_only)
{
    while (slot != NULL && !weir_task_take_to_help(slot->task, cx, look_only))
        slot = slot->next;
    return slot;
}

struct weir_slot *weir_slot_take_task_locked(struct weir_group *g,
                                             struct weir_slot *after,
                                             struct weir_context *cx)
{
    return find_task_locked(after != NULL ? after->next : g->tasks.first, cx,
                            false);
}

bool weir_slot_any_queued_locked(struct weir_group *g,
                                 struct weir_context *cx)
{
    struct weir_slot *slot;

    while ((slot = g->queued.first) != NULL) {
        uint64_t claim = weir_atomic_load(&slot->claim, weir_seq_cst);

        if (STATE(claim) == WEIR_SLOT_QUEUED)
            return true;
        unqueue_locked(g, slot);
    }
    return find_task_locked(g->tasks.first, cx, true) != NULL;
}

struct weir_slot *weir_slot_claim_oldest_locked(struct weir_group *g)
{
    struct weir_slot *slot;

    while ((slot = g->queued.first) != NULL) {
        unqueue_locked(g, slot);
        if (claim_aside_locked(slot))
            return slot;
    }
    return NULL;
}

struct weir_slot *weir_slot_claim_index_locked(struct weir_group *g,
                                               uint64_t index)
{
    struct weir_slot *slot = weir_slot_find_locked(g, index);

    return slot != NULL && !slot->is_task && claim_aside_locked(slot) ? slot
                                                                      : NULL;
}

/* ---- ending ---- */

/* Count a job that has ended. Returns whether that stops the group: what is
 * queued is to be dropped then. */
static bool count_locked(struct weir_group *g, const struct weir_slot *slot)
{
    int status = slot->result.status, none = 0;

    g->stats.unfinished--;
    if (slot->dropped)
        g->stats.dropped++;
    else if (status == 0)
        g->stats.succeeded++;
    else
        g->stats.failed++;
    if (status != 0 && g->first_status == 0)
        g->first_status = status;
    if (!slot->dropped && status == 0)
        g->has_ok = true;
    /* Here, so that who sees this job ended is refused already. */
    return ((g->options.policy == WEIR_FAIL_FAST && status != 0) ||
            (g->options.policy == WEIR_FIRST_OK && g->has_ok)) &&
           weir_atomic_cas_strong(&g->stop, &none, -ECANCELED,
                                  weir_seq_cst);
}

/* Keep the result of a job that has ended, if results are kept. */
static void keep_locked(struct weir_group *g, struct weir_slot *slot)
{
    if (g->options.discard) {
        weir_slot_free_locked(g, slot);
        return;
    }
    g->stats.unread++;
    set_state(slot, WEIR_SLOT_DONE, false);
    weir_slot_append_locked(&g->done, slot);
}

/* How many ahead of the one that is taken in are fetched. */
#define AHEAD 4

/* Have the slot fetched that will be the next but some, if they go on as the
 * last two: one behind the other, for workers take jobs in order. */
static void fetch_ahead(const struct weir_group *g, uint32_t last,
                        uint32_t number)
{
    uint32_t ahead = number + AHEAD * (number - last) - 1;

    if (ahead >= g->options.window)
        return;
    weir_sys_prefetch(&g->slots[ahead]);
    weir_sys_prefetch(&g->slots[ahead].result);
}

/* Take what is on the stack now. */
static void take_stack_locked(struct weir_group *g)
{
    struct weir_slot *slot, *oldest = NULL;
    uint32_t number =
        (uint32_t)weir_atomic_exchange(&g->ended, 0, weir_seq_cst);

    /* The last one comes first: turn them round. */
    while (number != 0) {
        uint32_t last = number;

        slot = &g->slots[number - 1];
        number = slot->before;
        fetch_ahead(g, last, number);
        unqueue_locked(g, slot);
        slot->next = oldest;
        oldest = slot;
    }
    while ((slot = oldest) != NULL) {
        oldest = slot->next;
        count_locked(g, slot);
        keep_locked(g, slot);
    }
}

bool weir_slot_await_all_locked(struct weir_group *g)
{
    uint64_t unfinished;

    for (;;) {
        unfinished = g->stats.unfinished;
        weir_atomic_store(&g->awaited, unfinished, weir_seq_cst);
        /* Whoever ends the last one from here on sees that, and wakes. */
        if (unfinished == 0 || weir_atomic_load(&g->ended, weir_seq_cst) <
                                   unfinished * WEIR_ENDED_ONE)
            break;
        take_stack_locked(g);
    }
    if (unfinished == 0)
        weir_ec_notify_all(&g->all);
    return unfinished == 0;
}

void weir_slot_take_in_locked(struct weir_group *g)
{
    /* Who sleeps has announced itself and now looks: see park.h. */
    if (weir_atomic_load(&g->ended, weir_seq_cst) == 0)
        return;
    take_stack_locked(g);
    weir_slot_await_all_locked(g);
}

/* Wake who waits for the end of a job that was in slot `number`. Who sleeps
 * has announced itself, and then has taken in what had ended: either this end
 * was among that, or its announcement is seen here. */
static void tell_ended(struct weir_group *g, uint64_t number)
{
    uint64_t wants;

    weir_ec_notify_all(&g->changed);
    wants = weir_atomic_load(&g->wants, weir_seq_cst);
    if (wants == number || wants == WEIR_WANTED_MANY)
        weir_ec_notify_all(&g->wanted);
}

/* Where nothing has to be done at once: leave the job for the next one who
 * locks the group. The slot is nobody's from then on. */
static void leave_ended(struct weir_slot *slot)
{
    struct weir_group *g = slot->group;
    uint64_t number = weir_slot_number(slot);
    uint64_t ended = weir_atomic_load(&g->ended, weir_relaxed), now;

    do {
        slot->before = (uint32_t)ended;
        now = (ended - slot->before + WEIR_ENDED_ONE) | number;
    } while (!weir_atomic_cas_weak(&g->ended, &ended, now, weir_seq_cst));
    tell_ended(g, number);
    if (now >> 32 >= weir_atomic_load(&g->awaited, weir_seq_cst))
        weir_ec_notify_all(&g->all);
}

/* Where a task ends, which is free for another job after that, or something
 * may have to be done. */
static void take_in_ended(struct weir_slot *slot)
{
    struct weir_group *g = slot->group;
    uint64_t number = weir_slot_number(slot);
    bool stop, ready;

    weir_group_lock(g);
    unqueue_locked(g, slot);
    slot->task = NULL;
    stop = count_locked(g, slot);
    ready = !g->options.discard && g->options.on_ready != NULL &&
            g->stats.unread == 0;
    g->telling += ready;
    keep_locked(g, slot);
    weir_slot_await_all_locked(g);
    weir_sys_unlock(&g->lock);

    tell_ended(g, number);
    if (ready) {
        g->options.on_ready(g->options.user);
        weir_group_lock(g);
        g->telling--;
        weir_sys_unlock(&g->lock);
        weir_ec_notify_all(&g->all); /* who destroys waits for this too */
    }
    if (stop)
        weir_group_stop(g, -ECANCELED);
}

void weir_slot_finish(struct weir_slot *slot)
{
    const struct weir_group_options *o = &slot->group->options;

    if (slot->task == NULL && o->policy == WEIR_ALL && o->on_ready == NULL)
        leave_ended(slot);
    else
        take_in_ended(slot);
}

struct weir_event weir_slot_who(const struct weir_slot *slot)
{
    return (struct weir_event){ .group = slot->group,
        .index = slot->result.index, .tag = slot->result.tag,
        .name = slot->name, .arg = slot->result.arg };
}

void weir_slot_end_without_run(struct weir_slot *slot, int reason)
{
    struct weir_pool *pool = slot->group->pool;

    if (pool->on_event != NULL)
        weir_event_dropped(pool, weir_slot_who(slot), reason);
    if (slot->drop != NULL) {
        slot->drop(slot->result.arg, reason);
        slot->result.arg = NULL;
    }
    slot->dropped = true;
    slot->result.status = reason;
    if (slot->group->options.times)
        slot->result.ended_at = weir_sys_now();
    weir_slot_finish(slot);
}

void weir_slot_drop_aside(struct weir_slot *slot, int reason)
{
    weir_atomic_fetch_add(&slot->group->pool->cancelled_aside, 1,
                          weir_relaxed);
    weir_slot_end_without_run(slot, reason);
}

void weir_slot_cancel(struct weir_group *g, struct weir_slot *slot, int reason)
    WEIR_RELEASES(g->lock)
{
    struct weir_pool *pool = g->pool;
    struct weir_task *task = slot->task;
    bool mine;

    weir_pool_aside_begin(pool);
    mine = task != NULL ? weir_task_take(task, reason)
                        : claim_aside_locked(slot);

    /* Its result may wait already: then nobody looks. */
    weir_atomic_store(&slot->stop, reason, weir_seq_cst);
    weir_sys_unlock(&g->lock);
    if (mine && task != NULL)
        weir_task_drop(task, reason);
    else if (mine)
        weir_slot_drop_aside(slot, reason);
    weir_ring_notify_room(&pool->ring);
    weir_pool_aside_end(pool);
}
