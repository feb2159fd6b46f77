/* SPDX-License-Identifier: MIT
 * member.c - the states of a group's members, from submit until the result is
 * read. */
#include "group/group_private.h"

#define STATE(claim) ((enum weir_member_state)((claim) & 3))

/* ---- lists ---- */

static void queue_locked(struct weir_group *g, struct weir_member *member)
    WEIR_GROUP_LOCKED
{
    weir_list_append(member->is_deferred ? &g->deferred_jobs : &g->queued,
                     &member->link);
    member->queued = true;
}

static void unqueue_locked(struct weir_group *g, struct weir_member *member)
    WEIR_GROUP_LOCKED
{
    if (member->queued)
        weir_list_remove(member->is_deferred ? &g->deferred_jobs : &g->queued,
                         &member->link);
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

/* ---- adding and freeing ---- */

/* Change the state of a member; to a new generation if a job enters or leaves
 * it. */
static void set_state(struct weir_member *member, enum weir_member_state state,
                      bool new_generation)
{
    /* Relaxed: no other thread changes it now. A claim needs QUEUED, and the
     * other changes need the lock, or are the owner's. */
    uint64_t claim = weir_atomic_load(&member->claim, weir_relaxed);
    uint64_t generation = (claim >> 2) + new_generation;

    /* Release: publishes the job to the compare-and-swap that claims the
     * member, in weir_member_claim_generation(). */
    weir_atomic_store(&member->claim, generation << 2 | state, weir_release);
}

struct weir_member *weir_member_add_locked(struct weir_group *g,
                                           const struct weir_job *job,
                                           int64_t now, bool is_deferred)
{
    struct weir_member *member = weir_member_of(g->free);
    uint64_t index = g->next_index++;
    struct weir_member **bucket = &g->buckets[index & g->bucket_mask];

    if (member != NULL) {
        g->free = member->link.next;
    } else {
        member = &g->members[g->used_count++];
        member->group = g;
    }
    member->fn = job->fn;
    member->drop = job->drop;
    member->name = job->name;
    /* Not a struct assignment: `reserved` is 0, in the third cache line, which
     * is not touched here. */
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
    member->has_entry = true;
    member->deferred = NULL;
    /* Relaxed: published by the lock to threads that cancel, and by
     * set_state() below to the thread that claims the member. */
    weir_atomic_store(&member->stop, 0, weir_relaxed);
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
    member->link.next = g->free;
    g->free = &member->link;
}

void weir_member_undo_locked(struct weir_group *g, struct weir_member *member)
{
    unqueue_locked(g, member);
    g->next_index--;
    g->stats.unfinished--;
    g->stats.submitted--;
    weir_member_free_locked(g, member);
}

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
    /* A thread that stopped the job or the group before did not find it queued,
     * but has stored the reason, which is visible here. One that does so later
     * finds it queued. */
    reason = weir_member_stop_reason(member);
    if (reason != 0)
        weir_deferred_take(deferred, reason);
    weir_group_unlock(g);
}

void weir_member_unqueue(struct weir_member *member)
{
    weir_group_lock(member->group);
    unqueue_locked(member->group, member);
    weir_group_unlock(member->group);
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

/* Claim a member that the pool has not brought. Its entry in the ring, if it
 * has one, is stale from now on. */
static bool claim_out_of_turn_locked(struct weir_member *member)
    WEIR_GROUP_LOCKED
{
    if (!weir_member_claim(member))
        return false;
    if (member->has_entry)
        weir_pool_note_stale(member->group->pool);
    return true;
}

bool weir_member_is_done(const struct weir_member *member)
{
    return STATE(weir_atomic_load(&member->claim, weir_seq_cst)) ==
           WEIR_MEMBER_DONE;
}

/* Find the first member, from `member` on, whose deferred job this thread may
 * try to start; and take that job, unless `look_only`. */
static struct weir_member *find_deferred_locked(struct weir_member *member,
                                                struct weir_context *cx,
                                                bool look_only)
    WEIR_GROUP_LOCKED
{
    while (member != NULL &&
           !weir_deferred_take_to_help(member->deferred, cx, look_only))
        member = weir_member_of(member->link.next);
    return member;
}

struct weir_member *weir_member_take_deferred_locked(struct weir_group *g,
                                                     struct weir_member *after,
                                                     struct weir_context *cx)
{
    return find_deferred_locked(
        weir_member_of(after != NULL ? after->link.next
                                     : g->deferred_jobs.first),
        cx, false);
}

bool weir_group_has_runnable_locked(struct weir_group *g,
                                    struct weir_context *cx)
{
    struct weir_member *member;

    while ((member = weir_member_of(g->queued.first)) != NULL) {
        uint64_t claim = weir_atomic_load(&member->claim, weir_seq_cst);

        if (STATE(claim) == WEIR_MEMBER_QUEUED)
            return true;
        unqueue_locked(g, member);
    }
    return find_deferred_locked(weir_member_of(g->deferred_jobs.first), cx,
                                true) != NULL;
}

struct weir_member *weir_member_claim_oldest_locked(struct weir_group *g)
{
    struct weir_member *member;

    while ((member = weir_member_of(g->queued.first)) != NULL) {
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

/* ---- completing ---- */

/* Count a completed job. Returns whether it stops the group: then the caller
 * must call weir_group_stop(), to drop what is queued. */
static bool count_locked(struct weir_group *g, const struct weir_member *member)
    WEIR_GROUP_LOCKED
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
    /* Set under the lock, so that a thread that finds this job completed can
     * no longer submit. */
    return ((g->options.policy == WEIR_FAIL_FAST && status != 0) ||
            (g->options.policy == WEIR_FIRST_OK && g->has_ok)) &&
           weir_atomic_cas_strong(&g->stop, &none, -ECANCELED,
                                  weir_seq_cst);
}

/* Keep the result of a completed job, or free its member if the group discards
 * results. */
static void keep_locked(struct weir_group *g, struct weir_member *member)
    WEIR_GROUP_LOCKED
{
    if (g->options.discard) {
        weir_member_free_locked(g, member);
        return;
    }
    g->stats.unread++;
    set_state(member, WEIR_MEMBER_DONE, false);
    weir_list_append(&g->unread, &member->link);
}

/* Prefetch distance in members. */
#define AHEAD 4

/* Prefetch a member that will be drained soon. Workers take jobs in order, so
 * the members on the stack are often equally far apart in the array: the guess
 * is that they continue as the last two. */
static void fetch_ahead(const struct weir_group *g, uint32_t last,
                        uint32_t number)
{
    uint32_t ahead = number + AHEAD * (number - last) - 1;

    if (ahead >= g->options.window)
        return;
    weir_sys_prefetch(&g->members[ahead]);
    weir_sys_prefetch(&g->members[ahead].result);
}

/* Count and keep what is on the stack now. */
static void drain_stack_locked(struct weir_group *g)
    WEIR_GROUP_LOCKED
{
    struct weir_link *oldest = NULL;
    uint32_t number =
        (uint32_t)weir_atomic_exchange(&g->completed, 0, weir_seq_cst);

    /* The stack begins with the latest: reverse it. */
    while (number != 0) {
        struct weir_member *member = &g->members[number - 1];
        uint32_t last = number;

        number = member->completed_before;
        fetch_ahead(g, last, number);
        unqueue_locked(g, member);
        member->link.next = oldest;
        oldest = &member->link;
    }
    while (oldest != NULL) {
        struct weir_member *member = weir_member_of(oldest);

        oldest = oldest->next;
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
        /* The thread that pushes the last member after this store sees it, and
         * notifies. */
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
    /* Seq_cst: it pairs with the push of a completing thread, see "Memory
     * ordering" in group_private.h. */
    if (weir_atomic_load(&g->completed, weir_seq_cst) == 0)
        return;
    drain_stack_locked(g);
    weir_group_await_all_locked(g);
}

/* Notify the threads that wait for any result, for room, or for the job of
 * this member. Called after the push, or after the lock was released. */
static void notify_completed(struct weir_group *g, uint64_t number)
{
    uint64_t waited_for;

    weir_ec_notify_all(&g->changed);
    waited_for = weir_atomic_load(&g->waited_for, weir_seq_cst);
    if (waited_for == number || waited_for == WEIR_WAITED_FOR_MANY)
        weir_ec_notify_all(&g->result_ended);
}

/* Complete a job without the lock, if nothing must be done immediately: push
 * its member onto `completed`, for the next thread that drains that. After the
 * compare-and-swap the caller no longer owns the member. */
static void push_completed(struct weir_member *member)
{
    struct weir_group *g = member->group;
    uint64_t number = weir_member_number(member);
    /* Relaxed: the compare-and-swap fails if the value is old. */
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

/* Complete a job with the lock: a deferred job brought it, which will be used
 * for another job after this; or something may have to be done immediately. */
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
    weir_group_unlock(g);

    notify_completed(g, number);
    if (ready) {
        g->options.on_ready(g->options.user);
        weir_group_lock(g);
        g->in_on_ready--;
        weir_group_unlock(g);
        weir_ec_notify_all(&g->all); /* weir_group_destroy() waits for it */
    }
    if (stop)
        weir_group_stop(g, -ECANCELED);
}

void weir_member_complete(struct weir_member *member,
                          struct weir_context *worker)
{
    const struct weir_group_options *o = &member->group->options;
    struct weir_pool *pool = member->group->pool;
    struct weir_deferred *deferred = member->deferred;
    bool has_entry = member->has_entry;
    enum weir_outcome outcome = member->dropped ? WEIR_OUTCOME_DROPPED
                                : member->result.status == 0
                                    ? WEIR_OUTCOME_SUCCEEDED
                                    : WEIR_OUTCOME_FAILED;

    weir_count_outcome(pool, worker, outcome);
    if (deferred == NULL && o->policy == WEIR_ALL && o->on_ready == NULL)
        push_completed(member);
    else
        complete_locking(member);
    if (deferred != NULL)
        weir_deferred_free(deferred);
    if (has_entry)
        weir_count_end(pool, worker);
    else
        weir_atomic_fetch_add(&pool->inlined, 1, weir_seq_cst);
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
    weir_member_complete(member, NULL);
}

enum weir_cancelled weir_member_cancel(struct weir_group *g,
                                       struct weir_member *member, int reason)
    WEIR_RELEASES(weir_group_locks)
{
    struct weir_deferred *deferred = member->deferred;
    bool mine;

    if (weir_member_is_done(member)) {
        weir_group_unlock(g);
        return WEIR_WAS_OVER;
    }
    mine = deferred != NULL ? weir_deferred_take(deferred, reason)
                            : claim_out_of_turn_locked(member);
    /* If the job has completed meanwhile, nothing reads this any more. */
    weir_atomic_store(&member->stop, reason, weir_seq_cst);
    weir_group_unlock(g);
    if (mine && deferred != NULL)
        weir_deferred_drop(deferred, reason);
    else if (mine)
        weir_member_drop(member, reason);
    return mine ? WEIR_WAS_QUEUED : WEIR_WAS_RUNNING;
}
