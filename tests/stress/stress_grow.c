/* SPDX-License-Identifier: MIT
 * stress_grow.c - random programs over pools that grow, are set and closed,
 * or have no threads, and caller threads; their jobs block, sleep, set stop
 * functions, wait for groups and end their threads. */
#include "stress.h"

#include <weir/group.h>
#include <weir/pool.h>

#define ACTORS_MAX 6
#define UNITS 3000

struct unit {
    struct dice dice;
    int level;
    atomic_int accepted, ran, dropped, heard, over;
};

static struct program {
    struct weir_pool *pool;
    struct weir_pool_options options;
    int max, exits, sets;
    atomic_int cancelled, closed, stop, next_unit;
    atomic_int started, stopped, inside;
    atomic_int began, ended, callers;
    struct unit units[UNITS];
} p;

static void stress_dump(void)
{
    struct weir_pool_stats s = { 0 };

    printf("# workers %d max %d callers %d capacity %zu limit %d idle %lld\n",
           p.options.workers, p.options.workers_max, p.options.callers_max,
           p.options.capacity, p.options.limit,
           (long long)p.options.idle_ns);
    if (p.pool == NULL || weir_pool_stats(p.pool, &s) != 0)
        return;
    printf("# submitted %llu succeeded %llu failed %llu dropped %llu queued "
           "%zu running %zu delayed %zu workers %d blocked %d; inside %d\n",
           (unsigned long long)s.submitted, (unsigned long long)s.succeeded,
           (unsigned long long)s.failed, (unsigned long long)s.dropped,
           s.queued, s.running, s.delayed, s.workers, s.blocked,
           atomic_load(&p.inside));
    fflush(stdout);
}

/* ---- jobs ---- */

static int job(struct weir_context *cx, void *arg);

static void dropped(void *arg, int reason)
{
    struct unit *t = arg;

    EXPECT(reason == -ECANCELED);
    EXPECT_INT(atomic_load(&t->ran), 0);
    EXPECT_INT(atomic_fetch_add(&t->dropped, 1), 0);
    beat();
}

static struct unit *take_unit(struct dice *dice, int level)
{
    int at = atomic_fetch_add(&p.next_unit, 1);

    if (at >= UNITS)
        return NULL;
    p.units[at].dice.state = roll(dice);
    p.units[at].level = level;
    return &p.units[at];
}

static struct weir_job make_job(struct dice *dice, struct unit *t)
{
    struct weir_job j = { .fn = job, .arg = t, .drop = dropped };

    if (one_in(dice, 8))
        j.start = weir_after(within(dice, 0, 2000) * WEIR_US);
    if (one_in(dice, 8))
        j.priority = within(dice, -1, 1);
    return j;
}

static ssize_t submit_one(struct dice *dice, int level, int64_t deadline)
{
    struct unit *t = take_unit(dice, level);
    struct weir_job j;
    ssize_t n;

    if (t == NULL)
        return -ENOSPC;
    j = make_job(dice, t);
    atomic_store(&t->accepted, 1);
    n = weir_pool_submit(p.pool, &j, 1, deadline);
    if (n != 1)
        atomic_store(&t->accepted, 0);
    beat();
    return n;
}

static void heard(void *arg)
{
    struct unit *t = arg;

    EXPECT_INT(atomic_load(&t->over), 0);
    EXPECT_INT(atomic_fetch_add(&t->heard, 1), 0);
}

static void waits_for_jobs(struct unit *t)
{
    struct weir_group *group;
    int count = within(&t->dice, 1, 3);

    REQUIRE(weir_group_create(&group, p.pool, NULL) == 0);
    for (int i = 0; i < count; i++) {
        struct unit *below = take_unit(&t->dice, t->level + 1);
        struct weir_job j = { .fn = job, .arg = below, .drop = dropped };

        if (below == NULL)
            break;
        atomic_store(&below->accepted, 1);
        if (weir_group_submit(group, &j, 1, WEIR_FOREVER) != 1)
            atomic_store(&below->accepted, 0);
    }
    if (one_in(&t->dice, 3))
        weir_group_wait(group, some_deadline(&t->dice));
    if (one_in(&t->dice, 4))
        weir_group_cancel(group, WEIR_EVERY, -ECANCELED);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
}

static int job(struct weir_context *cx, void *arg)
{
    struct unit *t = arg;
    int sets_stop = one_in(&t->dice, 4), blocks = one_in(&t->dice, 4);

    EXPECT_INT(atomic_load(&t->dropped), 0);
    EXPECT_INT(atomic_fetch_add(&t->ran, 1), 0);
    atomic_fetch_add(&p.inside, 1);
    if (sets_stop)
        weir_on_stop(cx, heard, t);
    if (blocks)
        weir_blocking_begin(cx);
    some_delay(&t->dice);
    if (one_in(&t->dice, 24))
        usleep((useconds_t)within(&t->dice, 1000, 14000));
    if (one_in(&t->dice, 5))
        weir_sleep(cx, within(&t->dice, 0, 500) * WEIR_US);
    if (t->level < 3 && one_in(&t->dice, 5))
        waits_for_jobs(t);
    if (t->level < 3 && one_in(&t->dice, 6))
        submit_one(&t->dice, t->level + 1, WEIR_NO_WAIT);
    if (one_in(&t->dice, 32))
        EXPECT_INT(weir_pool_run(p.pool, WEIR_FOREVER), -EDEADLK);
    if (p.sets && one_in(&t->dice, 16))
        weir_pool_set(p.pool, &(struct weir_pool_options){
            .workers = within(&t->dice, 1, p.max) });
    weir_progress(cx, 1, 2);
    if (blocks && one_in(&t->dice, 2))
        weir_blocking_end(cx);
    if (sets_stop && one_in(&t->dice, 2)) {
        weir_on_stop(cx, NULL, NULL);
        atomic_store(&t->over, 1);
    }
    atomic_fetch_sub(&p.inside, 1);
    beat();
    /* Not on a caller thread, and not inside another job, whose group would
     * leak. */
    if (p.exits && t->level == 0 && weir_worker_index(cx) < p.max &&
        one_in(&t->dice, 32))
        pthread_exit(NULL);
    return one_in(&t->dice, 4);
}

static int hook_start(void *user, int index, void **local)
{
    EXPECT(index >= 0 && index < p.max + p.options.callers_max);
    atomic_fetch_add(&p.started, 1);
    *local = user;
    return 0;
}

static void hook_stop(void *user, int index, void *local)
{
    (void)index;
    EXPECT(local == user);
    atomic_fetch_add(&p.stopped, 1);
}

static void on_event(void *user, const struct weir_event *event)
{
    (void)user;
    if (event->kind == WEIR_JOB_BEGAN)
        atomic_fetch_add(&p.began, 1);
    if (event->kind == WEIR_JOB_ENDED || event->kind == WEIR_JOB_RERUN)
        atomic_fetch_add(&p.ended, 1);
}

/* ---- threads ---- */

struct actor {
    struct dice dice;
    int turns;
};

static void *submit_jobs(void *arg)
{
    struct actor *a = arg;

    for (int i = 0; i < a->turns; i++) {
        ssize_t n = submit_one(&a->dice, 0, one_in(&a->dice, 3)
                                   ? WEIR_FOREVER : some_deadline(&a->dice));

        if (n == -EPIPE || n == -ENOSPC)
            break;
        /* A submitter that finds no room may become a caller thread. */
        if (n < 0 && one_in(&a->dice, 2))
            weir_pool_run(p.pool, one_in(&a->dice, 2) ? weir_now()
                                                      : WEIR_NO_WAIT);
        some_delay(&a->dice);
    }
    return NULL;
}

static void *run_caller(void *arg)
{
    struct actor *a = arg;

    while (!atomic_load(&p.stop)) {
        int64_t deadline = one_in(&a->dice, 4) ? WEIR_FOREVER
                                               : some_deadline(&a->dice);
        int err = weir_pool_run(p.pool, deadline);

        EXPECT(err == 0 || err == -EBUSY ||
               (err == (deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT) &&
                deadline != WEIR_FOREVER));
        usleep((useconds_t)within(&a->dice, 0, 300));
    }
    return NULL;
}

static void *watch(void *arg)
{
    struct actor *a = arg;

    while (!atomic_load(&p.stop)) {
        struct weir_pool_stats s;

        EXPECT_INT(weir_pool_stats(p.pool, &s), 0);
        EXPECT(s.workers <= p.max && s.workers_peak <= p.max);
        EXPECT(s.blocked >= 0 && s.blocked <= p.max);
        weir_pool_wait(p.pool, some_deadline(&a->dice));
        if (p.sets)
            EXPECT_INT(weir_pool_set(p.pool, &(struct weir_pool_options){
                .workers = within(&a->dice, 1, p.max),
                .idle_ns = within(&a->dice, 1, 3000) * WEIR_US }), 0);
        usleep((useconds_t)within(&a->dice, 0, 300));
    }
    return NULL;
}

static void *close_pool(void *arg)
{
    struct actor *a = arg;
    int err;

    usleep((useconds_t)a->turns);
    do {
        enum weir_close mode = one_in(&a->dice, 3) ? WEIR_CANCEL
                                                   : WEIR_DRAIN;
        int64_t deadline = one_in(&a->dice, 3) ? WEIR_FOREVER
                                               : some_deadline(&a->dice);

        atomic_store(&p.closed, 1);
        if (mode == WEIR_CANCEL)
            atomic_store(&p.cancelled, 1);
        err = weir_pool_close(p.pool, mode, deadline);
        EXPECT(err == 0 || deadline != WEIR_FOREVER);
    } while (err != 0);
    return NULL;
}

/* ---- a round ---- */

static void make_pool(struct dice *dice)
{
    struct weir_pool_options *o = &p.options;

    o->workers = one_in(dice, 5) ? WEIR_NONE : within(dice, 1, 3);
    if (o->workers > 0 && !one_in(dice, 6))
        o->workers_max = o->workers + within(dice, 1, 4);
    p.max = o->workers < 0 ? 0 : o->workers_max ? o->workers_max
                                                : o->workers;
    p.sets = o->workers_max > 0 && one_in(dice, 2);
    p.exits = one_in(dice, 3);
    o->callers_max = within(dice, 1, 3);
    o->capacity = (size_t)(one_in(dice, 3) ? within(dice, 1, 4)
                                           : within(dice, 5, 100));
    o->idle_ns = within(dice, 1, 3000) * WEIR_US;
    if (one_in(dice, 3))
        o->limit = within(dice, 1, 3);
    o->worker_start = hook_start;
    o->worker_stop = hook_stop;
    o->on_event = one_in(dice, 2) ? on_event : NULL;
    o->user = &p;
    REQUIRE(weir_pool_create(&p.pool, o) == 0);
}

static void check(void)
{
    struct weir_pool_stats s;
    int used = atomic_load(&p.next_unit), heard_late = 0;

    EXPECT_INT(weir_pool_stats(p.pool, &s), 0);
    EXPECT_INT(s.queued, 0);
    EXPECT_INT(s.running, 0);
    EXPECT_INT(s.workers, 0);
    EXPECT_INT(s.blocked, 0);
    EXPECT_INT(s.submitted, s.succeeded + s.failed + s.dropped);
    EXPECT_INT(atomic_load(&p.started), atomic_load(&p.stopped));
    EXPECT_INT(atomic_load(&p.began), atomic_load(&p.ended));
    for (int i = 0; i < used && i < UNITS; i++) {
        struct unit *t = &p.units[i];

        EXPECT_INT(atomic_load(&t->ran) + atomic_load(&t->dropped),
                   atomic_load(&t->accepted));
        heard_late += atomic_load(&t->heard) > 1;
    }
    EXPECT_INT(heard_late, 0);
}

static void grow_round(struct dice *dice)
{
    struct actor actors[ACTORS_MAX + 2];
    pthread_t threads[ACTORS_MAX + 2];
    int submitters, callers, count = 0, early = one_in(dice, 2);

    memset(&p, 0, sizeof(p));
    make_pool(dice);
    submitters = within(dice, 1, 3);
    callers = p.max == 0 ? within(dice, 1, 2) : within(dice, 0, 2);
    for (int i = 0; i < submitters + callers + 1; i++, count++) {
        actors[i] = (struct actor){ { roll(dice) }, within(dice, 1, 150) };
        threads[i] = start(i < submitters ? submit_jobs
                           : i < submitters + callers ? run_caller : watch,
                           &actors[i]);
    }
    if (!early)
        for (int i = 0; i < submitters; i++)
            join(threads[i]);
    actors[count] = (struct actor){ { roll(dice) },
                                    early ? within(dice, 0, 5000) : 0 };
    close_pool(&actors[count]);
    atomic_store(&p.stop, 1);
    for (int i = early ? 0 : submitters; i < count; i++)
        join(threads[i]);
    check();
    weir_pool_destroy(p.pool);
    p.pool = NULL;
}

static void grow_programs(void)
{
    stress_rounds(grow_round);
}

static const struct tap_case cases[] = {
    { "random programs: each job ends exactly once while pools grow and "
      "caller threads come and go", grow_programs },
};

int main(void)
{
    return STRESS_RUN(cases);
}
