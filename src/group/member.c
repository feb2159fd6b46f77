/* SPDX-License-Identifier: MIT
 * member.c - the life of one job of a group.
 *
 * A job lives in a slot of its group's; the pool's ring holds a reference to
 * it, with a ticket. Whoever turns the slot from QUEUED to TAKEN owns the
 * job: the worker that takes the reference, a waiter that helps, or who
 * cancels. A reference whose ticket is not that of a queued job any more is
 * stale: a worker passes over it, and whoever asks the pool for room or for
 * its end takes it out of the ring, see weir_deferred_skip_orphaned().
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
#include "group/group_private.h"

#define STATE(claim) ((enum weir_member_state)((claim) & 3))

/* ---- lists ---- */

void weir_member_append_locked(struct weir_member_list *list,
                               struct weir_member *member)
{
    member->next = NULL;
    member->prev = list->last;
    if (list->last != NULL)
        list->last->next = member;
    else
        list->first = member;
    list->last = member;
}

void weir_member_remove_locked(struct weir_member_list *list,
                               struct weir_member *member)
{
    if (member->prev != NULL)
        member->prev->next = member->next;
    else
        list->first = member->next;
    if (member->next != NULL)
        member->next->prev = member->prev;
    else
        list->last = member->prev;
}

static void queue_locked(struct weir_group *g, struct weir_member *member)
{
    weir_member_append_locked(
        member->is_deferred ? &g->deferred_jobs : &g->queued, member);
    member->queued = true;
}

static void unqueue_locked(struct weir_group *g, struct weir_member *member)
{
    if (member->queued)
        weir_member_remove_locked(
            member->is_deferred ? &g->deferred_jobs : &g->queued, member);
    member->queued = false;
}

struct weir_member *weir_member_find_locked(struct weir_group *g,
                                            uint64_t index)
{
    struct weir_member *member = g->buckets[index & g->bucket_mask];

    while (member != NULL && member->result.index != index)
        member = member->bucket_next;
    return member;
}

/* ---- filling and freeing ---- */

/* Move a slot to a state; with a new ticket when a job comes or goes. */
static void set_state(struct weir_member *member, enum weir_member_state state,
                      bool new_generation)
{
    uint64_t claim = weir_atomic_load(&member->claim, weir_relaxed);
    uint64_t generation = (claim >> 2) + new_generation;

    /* Who claims it acquires what was written before. */
    weir_atomic_store(&member->claim, generation << 2 | state, weir_release);
}

struct weir_member *weir_member_add_locked(struct weir_group *g,
                                           const struct weir_job *job,
                                           int64_t now, bool is_deferred)
{
    struct weir_member *member = g->free;
    uint64_t index = g->next_index++;
    struct weir_member **bucket = &g->buckets[index & g->bucket_mask];

    if (member != NULL) {
        g->free = member->next;
    } else {
        member = &g->members[g->used_count++];
        member->group = g;
    }
    member->fn = job->fn;
    member->drop = job->drop;
    member->name = job->name;
    /* Member by member: what is reserved is 0 and stays so. */
    member->result.index = index;
    member->result.tag = job->tag;
    member->result.arg = job->arg;
    member->result.status = 0;
    member->result.attempts = 0;
    member->result.worker = -1;
    member->result.queued_at = now;
    member->result.began_at = 0;
    member->result.ended_at = 0;
    member->dropped = false;
    member->rerun_at = 0;
    member->is_deferred = is_deferred;
    member->deferred = NULL;
    weir_atomic_store(&member->stop, 0, weir_relaxed); /* under the lock */
    member->bucket_next = *bucket;
    *bucket = member;
    queue_locked(g, member);
    g->stats.unfinished++;
    g->stats.submitted++;
    set_state(member, WEIR_MEMBER_QUEUED, true);
    return member;
}

void weir_member_free_locked(struct weir_group *g, struct weir_member *member)
{
    struct weir_member **at =
        &g->buckets[member->result.index & g->bucket_mask];

    while (*at != member)
        at = &(*at)->bucket_next;
    *at = member->bucket_next;
    set_state(member, WEIR_MEMBER_FREE, true);
    member->next = g->free;
    g->free = member;
}

void weir_member_undo_locked(struct weir_group *g, struct weir_member *member)
{
    unqueue_locked(g, member);
    g->next_index--;
    g->stats.unfinished--;
    g->stats.submitted--;
    weir_member_free_locked(g, member);
}

/* Let it be queued again, for the task that will bring it. */
void weir_member_requeue(struct weir_member *member,
                         struct weir_deferred *deferred)
{
    struct weir_group *g = member->group;
    int reason;

    weir_group_lock(g);
    if (!member->is_deferred)
        unqueue_locked(g, member);
    member->is_deferred = true;
    member->deferred = deferred;
    if (!member->queued)
        queue_locked(g, member);
    set_state(member, WEIR_MEMBER_QUEUED, false);
    /* Who stopped it until now did not find it here; who does so from now on
     * will. */
    reason = weir_member_stop_reason(member);
    if (reason != 0)
        weir_deferred_take(deferred, reason);
    weir_sys_unlock(&g->lock);
}

void weir_member_unqueue(struct weir_member *member)
{
    weir_group_lock(member->group);
    unqueue_locked(member->group, member);
    weir_sys_unlock(&member->group->lock);
}

/* ---- claiming ---- */

bool weir_member_claim_generation(struct weir_member *member,
                                  uint64_t generation)
{
    uint64_t claim = generation << 2 | WEIR_MEMBER_QUEUED;

    return weir_atomic_cas_strong(&member->claim, &claim,
                                  generation << 2 | WEIR_MEMBER_CLAIMED,
                                  weir_seq_cst);
}

bool weir_member_claim(struct weir_member *member)
{
    uint64_t claim = weir_atomic_load(&member->claim, weir_seq_cst);

    return STATE(claim) == WEIR_MEMBER_QUEUED &&
           weir_member_claim_generation(member, claim >> 2);
}

/* Claim a job out of turn: its reference is stale from then on, and whoever
 * asks the pool for room or for its end lets it pass. */
static bool claim_out_of_turn_locked(struct weir_member *member)
{
    struct weir_pool *pool = member->group->pool;

    if (!weir_member_claim(member))
        return false;
    /* Loaded first: the line is read by others. */
    if (!weir_atomic_load(&pool->may_be_stale, weir_seq_cst))
        weir_atomic_store(&pool->may_be_stale, true, weir_seq_cst);
    return true;
}

bool weir_member_is_done(const struct weir_member *member)
{
    return STATE(weir_atomic_load(&member->claim, weir_seq_cst)) ==
           WEIR_MEMBER_DONE;
}

/* The oldest task from `slot` on that this thread may try to start. */
static struct weir_member *find_deferred_locked(struct weir_member *member,
                                                struct weir_context *cx,
                                                bool look_only)
{
    while (member != NULL &&
           !weir_deferred_take_to_help(member->deferred, cx, look_only))
        member = member->next;
    return member;
}

struct weir_member *weir_member_take_deferred_locked(struct weir_group *g,
                                                     struct weir_member *after,
                                                     struct weir_context *cx)
{
    return find_deferred_locked(
        after != NULL ? after->next : g->deferred_jobs.first, cx, false);
}

bool weir_group_has_runnable_locked(struct weir_group *g,
                                    struct weir_context *cx)
{
    struct weir_member *member;

    while ((member = g->queued.first) != NULL) {
        uint64_t claim = weir_atomic_load(&member->claim, weir_seq_cst);

        if (STATE(claim) == WEIR_MEMBER_QUEUED)
            return true;
        unqueue_locked(g, member);
    }
    return find_deferred_locked(g->deferred_jobs.first, cx, true) != NULL;
}

struct weir_member *weir_member_claim_oldest_locked(struct weir_group *g)
{
    struct weir_member *member;

    while ((member = g->queued.first) != NULL) {
        unqueue_locked(g, member);
        if (claim_out_of_turn_locked(member))
            return member;
    }
    return NULL;
}

struct weir_member *weir_member_claim_index_locked(struct weir_group *g,
                                                   uint64_t index)
{
    struct weir_member *member = weir_member_find_locked(g, index);

    return member != NULL && !member->is_deferred &&
                   claim_out_of_turn_locked(member)
               ? member
               : NULL;
}

/* ---- ending ---- */

/* Count a job that has ended. Returns whether that stops the group: what is
 * queued is to be dropped then. */
static bool count_locked(struct weir_group *g, const struct weir_member *member)
{
    int status = member->result.status, none = 0;

    g->stats.unfinished--;
    if (member->dropped)
        g->stats.dropped++;
    else if (status == 0)
        g->stats.succeeded++;
    else
        g->stats.failed++;
    if (status != 0 && g->first_status == 0)
        g->first_status = status;
    if (!member->dropped && status == 0)
        g->has_ok = true;
    /* Here, so that who sees this job ended is refused already. */
    return ((g->options.policy == WEIR_FAIL_FAST && status != 0) ||
            (g->options.policy == WEIR_FIRST_OK && g->has_ok)) &&
           weir_atomic_cas_strong(&g->stop, &none, -ECANCELED,
                                  weir_seq_cst);
}

/* Keep the result of a job that has ended, if results are kept. */
static void keep_locked(struct weir_group *g, struct weir_member *member)
{
    if (g->options.discard) {
        weir_member_free_locked(g, member);
        return;
    }
    g->stats.unread++;
    set_state(member, WEIR_MEMBER_DONE, false);
    weir_member_append_locked(&g->unread, member);
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
    weir_sys_prefetch(&g->members[ahead]);
    weir_sys_prefetch(&g->members[ahead].result);
}

/* Take what is on the stack now. */
static void drain_stack_locked(struct weir_group *g)
{
    struct weir_member *member, *oldest = NULL;
    uint32_t number =
        (uint32_t)weir_atomic_exchange(&g->completed, 0, weir_seq_cst);

    /* The last one comes first: turn them round. */
    while (number != 0) {
        uint32_t last = number;

        member = &g->members[number - 1];
        number = member->completed_before;
        fetch_ahead(g, last, number);
        unqueue_locked(g, member);
        member->next = oldest;
        oldest = member;
    }
    while ((member = oldest) != NULL) {
        oldest = member->next;
        count_locked(g, member);
        keep_locked(g, member);
    }
}

bool weir_group_await_all_locked(struct weir_group *g)
{
    uint64_t unfinished;

    for (;;) {
        unfinished = g->stats.unfinished;
        weir_atomic_store(&g->awaited, unfinished, weir_seq_cst);
        /* Whoever ends the last one from here on sees that, and wakes. */
        if (unfinished == 0 || weir_atomic_load(&g->completed, weir_seq_cst) <
                                   unfinished * WEIR_COMPLETED_ONE)
            break;
        drain_stack_locked(g);
    }
    if (unfinished == 0)
        weir_ec_notify_all(&g->all);
    return unfinished == 0;
}

void weir_group_drain_completed_locked(struct weir_group *g)
{
    /* Who sleeps has announced itself and now looks: see base/event_count.h. */
    if (weir_atomic_load(&g->completed, weir_seq_cst) == 0)
        return;
    drain_stack_locked(g);
    weir_group_await_all_locked(g);
}

/* Wake who waits for the end of a job that was in slot `number`. Who sleeps
 * has announced itself, and then has taken in what had ended: either this end
 * was among that, or its announcement is seen here. */
static void notify_completed(struct weir_group *g, uint64_t number)
{
    uint64_t waited_for;

    weir_ec_notify_all(&g->changed);
    waited_for = weir_atomic_load(&g->waited_for, weir_seq_cst);
    if (waited_for == number || waited_for == WEIR_WAITED_FOR_MANY)
        weir_ec_notify_all(&g->result_ended);
}

/* Where nothing has to be done at once: leave the job for the next one who
 * locks the group. The slot is nobody's from then on. */
static void push_completed(struct weir_member *member)
{
    struct weir_group *g = member->group;
    uint64_t number = weir_member_number(member);
    uint64_t completed = weir_atomic_load(&g->completed, weir_relaxed), now;

    do {
        member->completed_before = (uint32_t)completed;
        now = (completed - member->completed_before + WEIR_COMPLETED_ONE) |
              number;
    } while (
        !weir_atomic_cas_weak(&g->completed, &completed, now, weir_seq_cst));
    notify_completed(g, number);
    if (now >> 32 >= weir_atomic_load(&g->awaited, weir_seq_cst))
        weir_ec_notify_all(&g->all);
}

/* Where a task ends, which is free for another job after that, or something
 * may have to be done. */
static void complete_locking(struct weir_member *member)
{
    struct weir_group *g = member->group;
    uint64_t number = weir_member_number(member);
    bool stop, ready;

    weir_group_lock(g);
    unqueue_locked(g, member);
    member->deferred = NULL;
    stop = count_locked(g, member);
    ready = !g->options.discard && g->options.on_ready != NULL &&
            g->stats.unread == 0;
    g->in_on_ready += ready;
    keep_locked(g, member);
    weir_group_await_all_locked(g);
    weir_sys_unlock(&g->lock);

    notify_completed(g, number);
    if (ready) {
        g->options.on_ready(g->options.user);
        weir_group_lock(g);
        g->in_on_ready--;
        weir_sys_unlock(&g->lock);
        weir_ec_notify_all(&g->all); /* who destroys waits for this too */
    }
    if (stop)
        weir_group_stop(g, -ECANCELED);
}

void weir_member_finish(struct weir_member *member)
{
    const struct weir_group_options *o = &member->group->options;

    if (member->deferred == NULL && o->policy == WEIR_ALL &&
        o->on_ready == NULL)
        push_completed(member);
    else
        complete_locking(member);
}

struct weir_event weir_member_event(const struct weir_member *member)
{
    return (struct weir_event){ .group = member->group,
        .index = member->result.index, .tag = member->result.tag,
        .name = member->name, .arg = member->result.arg };
}

void weir_member_drop(struct weir_member *member, int reason)
{
    struct weir_pool *pool = member->group->pool;

    if (pool->on_event != NULL)
        weir_event_dropped(pool, weir_member_event(member), reason);
    if (member->drop != NULL) {
        member->drop(member->result.arg, reason);
        member->result.arg = NULL;
    }
    member->dropped = true;
    member->result.status = reason;
    if (member->group->options.times)
        member->result.ended_at = weir_sys_now();
    weir_member_finish(member);
}

void weir_member_drop_counted(struct weir_member *member, int reason)
{
    weir_atomic_fetch_add(&member->group->pool->dropped_elsewhere, 1,
                          weir_relaxed);
    weir_member_drop(member, reason);
}

void weir_member_cancel(struct weir_group *g, struct weir_member *member,
                        int reason) WEIR_RELEASES(g->lock)
{
    struct weir_pool *pool = g->pool;
    struct weir_deferred *deferred = member->deferred;
    bool mine;

    weir_pool_busy_begin(pool);
    mine = deferred != NULL ? weir_deferred_take(deferred, reason)
                        : claim_out_of_turn_locked(member);

    /* Its result may wait already: then nobody looks. */
    weir_atomic_store(&member->stop, reason, weir_seq_cst);
    weir_sys_unlock(&g->lock);
    if (mine && deferred != NULL)
        weir_deferred_drop(deferred, reason);
    else if (mine)
        weir_member_drop_counted(member, reason);
    weir_ring_notify_room(&pool->ring);
    weir_pool_busy_end(pool);
}
