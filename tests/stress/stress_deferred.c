/* SPDX-License-Identifier: MIT
 * stress_deferred.c - random programs of deferred jobs: times, deadlines,
 * periods, reruns, priorities and gates with keys that two pools share, in
 * groups and inside jobs, while gates are held and set, jobs cancelled, and
 * pools closed. */
#include "stress.h"

#include <weir/group.h>

#include <stdbool.h>
#include <string.h>

#define POOLS 2
#define GATES 3
#define KEYS 4
#define UNITS 3000
#define SUBMITTERS 2
#define DEPTH_MAX 3

/* A job's argument. */
struct unit {
    struct dice dice;
    struct weir_pool *pool;
    int depth;
    int gates[2]; /* the job's and its group's; -1: none */
    uint64_t key;
    int periodic, retried;
    uint64_t order; /* order of acceptance; 0: not tracked */
    int64_t start;
    atomic_int accepted, running, runs, ended, dropped;
};

/* One key of a gate. */
struct lane {
    atomic_int inside;
    atomic_ullong last; /* the order of the last job that began */
};

static struct program {
    struct weir_pool *pools[POOLS];
    struct weir_gate *gates[GATES];
    int limits[GATES]; /* the highest it ever has; INT_MAX for none */
    bool keyed[GATES];
    struct lane lanes[GATES][KEYS];
    atomic_int next_unit, stop, closing, groups;
    struct unit units[UNITS];
} p;

static void stress_dump(void)
{
    for (int i = 0; i < POOLS; i++) {
        struct weir_pool_stats s = { 0 };

        if (p.pools[i] == NULL || weir_pool_stats(p.pools[i], &s) != 0)
            continue;
        printf("# pool %d: submitted %llu succeeded %llu failed %llu "
               "dropped %llu queued %zu running %zu delayed %zu "
               "parked %zu\n", i, (unsigned long long)s.submitted,
               (unsigned long long)s.succeeded,
               (unsigned long long)s.failed,
               (unsigned long long)s.dropped, s.queued, s.running,
               s.delayed, s.parked);
    }
    for (int i = 0; i < GATES; i++) {
        struct weir_gate_stats s = { 0 };

        if (p.gates[i] == NULL || weir_gate_stats(p.gates[i], &s) != 0)
            continue;
        printf("# gate %d: limit %d inside %d waiting %d parked %zu "
               "keys %zu held until %lld\n", i, s.limit, s.inside,
               s.waiting, s.parked, s.keys, (long long)s.held_until);
    }
    fflush(stdout);
}

/* ---- gates, watched ---- */

static struct lane *lane_of(const struct unit *t, int i)
{
    int gate = t->gates[i];

    return gate < 0 ? NULL : &p.lanes[gate][p.keyed[gate] ? t->key : 0];
}

/* A job that is helped inherits the permits of its waiter: only jobs that no
 * other job waits for are counted. */
static void go_in(struct unit *t)
{
    for (int i = 0; i < 2 && t->depth == 0; i++) {
        struct lane *lane = lane_of(t, i);

        if (lane != NULL && (i == 0 || t->gates[0] != t->gates[1]))
            EXPECT(atomic_fetch_add(&lane->inside, 1) <
                   p.limits[t->gates[i]]);
    }
    if (t->order != 0 && atomic_load(&t->runs) == 0)
        EXPECT(atomic_exchange(&lane_of(t, 0)->last, t->order) < t->order);
}

static void go_out(struct unit *t)
{
    for (int i = 0; i < 2 && t->depth == 0; i++) {
        struct lane *lane = lane_of(t, i);

        if (lane != NULL && (i == 0 || t->gates[0] != t->gates[1]))
            atomic_fetch_sub(&lane->inside, 1);
    }
}

/* ---- jobs ---- */

static void play(struct unit *t);

static void dropped(void *arg, int reason)
{
    struct unit *t = arg;

    EXPECT(reason < 0);
    EXPECT_INT(atomic_load(&t->running), 0);
    EXPECT_INT(atomic_load(&t->ended), 0);
    EXPECT_INT(atomic_fetch_add(&t->dropped, 1), 0);
    beat();
}

static int job(struct weir_context *cx, void *arg)
{
    struct unit *t = arg;
    int status = one_in(&t->dice, 5) ? 7 : 0;
    bool over;

    EXPECT_INT(atomic_fetch_add(&t->running, 1), 0);
    EXPECT_INT(atomic_load(&t->dropped), 0);
    EXPECT_INT(atomic_load(&t->ended), 0);
    EXPECT(weir_now() >= t->start);
    go_in(t);
    beat();
    some_delay(&t->dice);
    if (one_in(&t->dice, 6)) {
        go_out(t);
        weir_sleep(cx, within(&t->dice, 0, 200) * WEIR_US);
        if (t->depth == 0)
            t->order = 0; /* others were inside in the meantime */
        go_in(t);
    }
    if (t->depth < DEPTH_MAX && one_in(&t->dice, 6)) {
        go_out(t);
        play(t);
        t->order = 0;
        go_in(t);
    }
    if (one_in(&t->dice, 8) && atomic_load(&t->runs) < 4)
        status = WEIR_RERUN;
    if (one_in(&t->dice, 2))
        weir_retry_in(cx, within(&t->dice, 0, 500) * WEIR_US);
    else if (status != 0)
        weir_retry_in(cx, 0);
    go_out(t);
    atomic_fetch_add(&t->runs, 1);
    /* The job does not know whether it runs again: the end of the round
     * checks. */
    over = status == 0 && !t->periodic;
    atomic_fetch_sub(&t->running, 1);
    if (over)
        EXPECT_INT(atomic_fetch_add(&t->ended, 1), 0);
    return status;
}

static struct unit *make_job(struct dice *dice, struct weir_pool *pool,
                              int depth, int group_gate, bool in_group,
                              struct weir_job *job_out)
{
    int number = atomic_fetch_add(&p.next_unit, 1);
    struct unit *t;
    struct weir_job *j = job_out;

    if (number >= UNITS)
        return NULL;
    t = &p.units[number];
    t->dice.state = roll(dice);
    t->pool = pool;
    t->depth = depth;
    t->gates[0] = one_in(dice, 2) ? within(dice, 0, GATES - 1) : -1;
    t->gates[1] = group_gate;
    t->key = (uint64_t)within(dice, 0, KEYS - 1);
    *j = (struct weir_job){ .fn = job, .arg = t, .drop = dropped };
    if (t->gates[0] >= 0)
        j->gate = p.gates[t->gates[0]];
    if ((t->gates[0] >= 0 && !p.keyed[t->gates[0]]))
        t->key = 0;
    j->key = t->key;
    if (one_in(dice, 4))
        j->start = t->start = weir_after(within(dice, 0, 2000) * WEIR_US);
    if (one_in(dice, 6))
        j->deadline = weir_after(within(dice, 0, 4000) * WEIR_US);
    if (one_in(dice, 16) && !in_group)
        j->period_ns = within(dice, 1, 1000) * WEIR_US;
    if (one_in(dice, 4))
        j->retries = (uint32_t)within(dice, 1, 3);
    j->priority = one_in(dice, 3) ? within(dice, -1, 1) : 0;
    t->periodic = j->period_ns != 0;
    t->retried = (int)j->retries;
    return t;
}

/* Create a group of some jobs and wait for it, from a job or from outside. */
static void play(struct unit *t)
{
    struct dice *dice = &t->dice;
    /* Only of a later pool: jobs of two pools that wait for each other's jobs
     * would occupy all workers. */
    struct weir_pool *pool = one_in(dice, 8) ? p.pools[POOLS - 1] : t->pool;
    int gate = one_in(dice, 3) ? within(dice, 0, GATES - 1) : -1;
    struct weir_group_options o = {
        .window = (size_t)within(dice, 1, 16),
        .policy = (enum weir_policy)within(dice, 0, 2),
        .help = one_in(dice, 2),
        .gate = gate >= 0 ? p.gates[gate] : NULL,
    };
    struct weir_group *group;
    struct weir_result r;
    int count = within(dice, 1, 12), err = 0;
    uint64_t accepted = 0, read = 0;

    if (one_in(dice, 8))
        o.deadline = weir_after(within(dice, 0, 3000) * WEIR_US);
    REQUIRE(weir_group_create(&group, pool, &o) == 0);
    atomic_fetch_add(&p.groups, 1);
    for (int i = 0; i < count; i++) {
        struct weir_job j;
        struct unit *child =
            make_job(dice, pool, t->depth + 1, gate, true, &j);
        ssize_t n;

        if (child == NULL)
            break;
        n = weir_group_submit(group, &j, 1, some_deadline(dice));
        beat();
        EXPECT(n == 1 || n == -EAGAIN || n == -ETIMEDOUT || n == -EPIPE ||
               n == -ECANCELED || n == -ENOBUFS || n == -EDEADLK);
        if (n == 1) {
            atomic_store(&child->accepted, 1);
            accepted++;
        } else if (n == -ENOBUFS) {
            err = weir_group_next(group, &r, WEIR_FOREVER);
            EXPECT(err == 0 || err == -EDEADLK);
            read += err == 0;
        }
        if (one_in(dice, 8))
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -EINTR), 0);
        else if (one_in(dice, 4))
            weir_group_cancel(group, (uint64_t)within(dice, 0, i),
                              -ECANCELED);
    }
    if (one_in(dice, 4)) {
        err = weir_group_wait(group, some_deadline(dice));
        EXPECT(err == 0 || err == -EAGAIN || err == -ETIMEDOUT ||
               err == -EDEADLK);
    } else if (!one_in(dice, 4)) {
        while ((err = weir_group_next(group, &r, WEIR_FOREVER)) == 0) {
            EXPECT(r.arg != NULL || r.status < 0);
            read++;
            beat();
        }
        EXPECT(err == -ENOENT || err == -EDEADLK);
        if (err == -ENOENT)
            EXPECT_INT(read, accepted);
    }
    weir_group_destroy(group);
    atomic_fetch_sub(&p.groups, 1);
}

/* ---- threads ---- */

struct submitter {
    struct dice dice;
    int turns;
};

static void *submit_jobs(void *arg)
{
    struct submitter *s = arg;
    struct unit own = { .depth = 0 };

    for (int i = 0; i < s->turns; i++) {
        struct weir_pool *pool = p.pools[within(&s->dice, 0, POOLS - 1)];
        struct weir_job j;
        struct unit *t;
        ssize_t n;

        if (one_in(&s->dice, 10)) {
            own.dice.state = roll(&s->dice);
            own.pool = pool;
            play(&own);
            continue;
        }
        t = make_job(&s->dice, pool, 0, -1, false, &j);
        if (t == NULL)
            break;
        n = weir_pool_submit(pool, &j, 1, some_deadline(&s->dice));
        beat();
        EXPECT(n == 1 || n == -EAGAIN || n == -ETIMEDOUT || n == -EPIPE);
        if (n == 1)
            atomic_store(&t->accepted, 1);
        some_delay(&s->dice);
    }
    return NULL;
}

static void *change_gates(void *arg)
{
    struct dice *dice = arg;

    while (!atomic_load(&p.stop)) {
        int i = within(dice, 0, GATES - 1);
        uint64_t key = p.keyed[i] && one_in(dice, 2)
                           ? (uint64_t)within(dice, 0, KEYS - 1)
                           : WEIR_EVERY;

        if (one_in(dice, 3)) {
            EXPECT_INT(weir_gate_hold(p.gates[i], key,
                one_in(dice, 2) ? WEIR_FOREVER
                                : weir_after(200 * WEIR_US)), 0);
            some_delay(dice);
            if (!atomic_load(&p.closing) || one_in(dice, 2))
                EXPECT_INT(weir_gate_hold(p.gates[i], key, WEIR_NO_WAIT), 0);
        }
        if (one_in(dice, 4)) {
            int limit = p.limits[i] == INT_MAX ? within(dice, 1, 8)
                                               : within(dice, 1, p.limits[i]);

            EXPECT_INT(weir_gate_set(p.gates[i], &(struct weir_gate_options){
                .limit = limit,
                .rate_per_s = one_in(dice, 2) ? WEIR_NONE
                                              : within(dice, 20000, 1000000),
                .burst = within(dice, 1, 8) }), 0);
        }
        if (one_in(dice, 4) &&
            weir_gate_acquire(p.gates[i], p.keyed[i] ? 1 : 0,
                            some_deadline(dice)) == 0) {
            some_delay(dice);
            weir_gate_release(p.gates[i], p.keyed[i] ? 1 : 0);
        }
        usleep((useconds_t)within(dice, 0, 300));
    }
    for (int i = 0; i < GATES; i++) {
        EXPECT_INT(weir_gate_hold(p.gates[i], WEIR_EVERY, WEIR_NO_WAIT), 0);
        for (uint64_t key = 0; p.keyed[i] && key < KEYS; key++)
            EXPECT_INT(weir_gate_hold(p.gates[i], key, WEIR_NO_WAIT), 0);
    }
    return NULL;
}

static void *close_pool(void *arg)
{
    struct weir_pool *pool = ((void **)arg)[0];
    struct dice *dice = ((void **)arg)[1];

    usleep((useconds_t)within(dice, 0, 3000));
    atomic_store(&p.closing, 1);
    if (one_in(dice, 2))
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    else
        EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    return NULL;
}

/* ---- a round ---- */

static void make_all(struct dice *dice)
{
    memset(&p, 0, sizeof(p));
    for (int i = 0; i < GATES; i++) {
        struct weir_gate_options o = {
            .limit = one_in(dice, 6) ? WEIR_NONE : within(dice, 1, 3),
            .rate_per_s = one_in(dice, 4) ? within(dice, 20000, 1000000) : 0,
            .burst = within(dice, 0, 4),
            .keys_max = one_in(dice, 2) ? KEYS + 1 : 0 };

        p.keyed[i] = o.keys_max != 0;
        p.limits[i] = watched_number(o.limit);
        REQUIRE(weir_gate_create(&p.gates[i], &o) == 0);
    }
    for (int i = 0; i < POOLS; i++)
        REQUIRE(weir_pool_create(&p.pools[i], &(struct weir_pool_options){
            .workers = within(dice, 1, 4),
            .capacity = (size_t)within(dice, 2, 40),
            .limit = one_in(dice, 2) ? within(dice, 1, 3) : 0,
            .rate_per_s = one_in(dice, 4) ? 50000 : 0,
            .parked_max = (size_t)within(dice, 0, 10),
            .help_depth = within(dice, 1, 6) }) == 0);
}

static void check_unit(struct unit *t)
{
    EXPECT_INT(atomic_load(&t->running), 0);
    if (!atomic_load(&t->accepted)) {
        EXPECT_INT(atomic_load(&t->runs), 0);
        EXPECT_INT(atomic_load(&t->dropped), 0);
    } else if (t->periodic && atomic_load(&t->dropped) == 0) {
        EXPECT(atomic_load(&t->runs) > 0); /* a failure has ended it */
    } else {
        EXPECT(atomic_load(&t->dropped) + (atomic_load(&t->runs) > 0) >= 1);
        EXPECT(atomic_load(&t->dropped) + atomic_load(&t->ended) <= 1);
    }
}

static void round_of_jobs(struct dice *dice)
{
    struct submitter submitters[SUBMITTERS];
    pthread_t threads[SUBMITTERS], changer, closer = pthread_self();
    struct dice changes, closes;
    void *what[2];
    bool early = one_in(dice, 2);
    int count;

    make_all(dice);
    changes.state = roll(dice);
    closes.state = roll(dice);
    changer = start(change_gates, &changes);
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i].dice.state = roll(dice);
        submitters[i].turns = within(dice, 5, 120);
        threads[i] = start(submit_jobs, &submitters[i]);
    }
    what[0] = p.pools[0];
    what[1] = &closes;
    if (early)
        closer = start(close_pool, what);
    for (int i = 0; i < SUBMITTERS; i++)
        join(threads[i]);
    if (early)
        join(closer);
    if (one_in(dice, 4))
        atomic_store(&p.closing, 1); /* some may stay held */
    if (!atomic_load(&p.closing)) {
        atomic_store(&p.stop, 1);
        join(changer);
    }
    for (int i = 0; i < POOLS; i++)
        EXPECT_INT(weir_pool_close(p.pools[i], one_in(dice, 3) ? WEIR_CANCEL
                                                               : WEIR_DRAIN,
                                   WEIR_FOREVER), 0);
    /* Jobs of one pool may have used the other. */
    for (int i = 0; i < POOLS; i++) {
        struct weir_pool_stats s;

        EXPECT_INT(weir_pool_stats(p.pools[i], &s), 0);
        EXPECT_INT(s.delayed, 0);
        EXPECT_INT(s.parked, 0);
        EXPECT_INT(s.running, 0);
        EXPECT_INT(s.queued, 0);
        EXPECT_INT(s.succeeded + s.failed + s.dropped, s.submitted);
        weir_pool_destroy(p.pools[i]);
        p.pools[i] = NULL;
    }
    if (atomic_exchange(&p.stop, 1) == 0)
        join(changer);
    EXPECT_INT(atomic_load(&p.groups), 0);
    for (int i = 0; i < GATES; i++) {
        struct weir_gate_stats s;

        EXPECT_INT(weir_gate_stats(p.gates[i], &s), 0);
        EXPECT_INT(s.inside, 0);
        EXPECT_INT(s.waiting, 0);
        EXPECT_INT(s.parked, 0);
        weir_gate_destroy(p.gates[i]);
        p.gates[i] = NULL;
        for (int key = 0; key < KEYS; key++)
            EXPECT_INT(atomic_load(&p.lanes[i][key].inside), 0);
    }
    count = atomic_load(&p.next_unit);
    for (int i = 0; i < count && i < UNITS; i++)
        check_unit(&p.units[i]);
}

static void random_programs(void)
{
    stress_rounds(round_of_jobs);
}

static const struct tap_case cases[] = {
    { "random programs: each deferred job ends exactly once and runs only "
      "with its permits", random_programs },
};

int main(void)
{
    return STRESS_RUN(cases);
}
