/* SPDX-License-Identifier: MIT
 * stress_pool.c - random programs on one pool, or on two pools whose jobs
 * submit to each other. */
#include "stress.h"

#include <weir/pool.h>

#define POOLS_MAX 2
#define SUBMITTERS_MAX 4
#define ENTRANTS_MAX 3
#define UNITS 6000 /* jobs of a round */
#define BATCH_MAX 12
#define DEPTH_MAX 3 /* a job at this depth submits nothing */

struct place {
    struct weir_pool *pool;
    struct weir_pool_options options;
    struct watched_gate watched; /* if there is a gate */
    atomic_long known;    /* accepted and not ended, or fewer */
    atomic_int accepted, ran, failed, dropped;
    atomic_int cancelled; /* closed with WEIR_CANCEL */
    atomic_int held;
    atomic_int started, stopped; /* hooks */
};

/* A job's argument. */
struct unit {
    struct place *place;
    struct dice dice;
    int depth;
    atomic_int accepted, ran, dropped;
};

static struct program {
    struct place places[POOLS_MAX];
    int count; /* of places */
    int submitters, entrants, exits;
    atomic_int next_unit;
    atomic_int stop;    /* for waiters and threads that change gates */
    struct unit units[UNITS];
} p;

static void stress_dump(void)
{
    for (int i = 0; i < p.count; i++) {
        struct place *place = &p.places[i];
        struct weir_pool_stats s = { 0 };
        struct weir_gate_stats g = { 0 };

        printf("# pool %d: workers %d capacity %zu limit %d rate %g burst "
               "%d; accepted %d ran %d dropped %d known %ld\n", i,
               place->options.workers, place->options.capacity,
               place->options.limit, place->options.rate_per_s,
               place->options.burst, atomic_load(&place->accepted),
               atomic_load(&place->ran), atomic_load(&place->dropped),
               atomic_load(&place->known));
        if (place->pool == NULL ||
            weir_pool_stats(place->pool, &s) != 0)
            continue;
        printf("# submitted %llu succeeded %llu failed %llu dropped %llu "
               "queued %zu running %zu wakeups %llu\n",
               (unsigned long long)s.submitted,
               (unsigned long long)s.succeeded,
               (unsigned long long)s.failed,
               (unsigned long long)s.dropped, s.queued, s.running,
               (unsigned long long)s.wakeups);
        /* The lock of the gate may be stuck, so it comes last. */
        fflush(stdout);
        if (weir_pool_gate(place->pool) != NULL &&
            weir_gate_stats(weir_pool_gate(place->pool), &g) == 0)
            printf("# gate: limit %d inside %d waiting %d held until %lld\n",
                   g.limit, g.inside, g.waiting, (long long)g.held_until);
    }
}

/* ---- submitting ---- */

static int job(struct weir_context *cx, void *arg);

static void dropped(void *arg, int reason)
{
    struct unit *t = arg;

    EXPECT_INT(reason, -ECANCELED);
    EXPECT_INT(atomic_load(&t->ran), 0);
    EXPECT_INT(atomic_fetch_add(&t->dropped, 1), 0);
    /* Only cancelling or a held gate drops a job. */
    EXPECT(atomic_load(&t->place->cancelled) ||
           atomic_load(&t->place->held));
    atomic_fetch_add(&t->place->dropped, 1);
    atomic_fetch_sub(&t->place->known, 1);
    beat();
}

/* Submit some jobs. Returns the result of weir_pool_submit(), or -ENOSPC if the
 * round has no jobs left. */
static ssize_t submit_some(struct place *place, struct dice *dice, int count,
                           int depth, int64_t deadline)
{
    struct weir_job jobs[BATCH_MAX] = { 0 };
    int first = atomic_fetch_add(&p.next_unit, count);
    ssize_t n;

    if (first + count > UNITS)
        return -ENOSPC;
    for (int i = 0; i < count; i++) {
        struct unit *t = &p.units[first + i];

        t->place = place;
        t->dice.state = roll(dice);
        t->depth = depth;
        jobs[i] = (struct weir_job){ .fn = job, .arg = t, .drop = dropped };
    }
    n = weir_pool_submit(place->pool, jobs, (size_t)count, deadline);
    beat();
    EXPECT(n != 0 && n <= count);
    if (n <= 0)
        return n;
    EXPECT(atomic_fetch_add(&place->known, (long)n) + (long)n <=
           (long)place->options.capacity);
    atomic_fetch_add(&place->accepted, (int)n);
    for (ssize_t i = 0; i < n; i++)
        atomic_store(&p.units[first + i].accepted, 1);
    return n;
}

/* ---- jobs ---- */

static void job_submits(struct unit *t)
{
    struct place *to = &p.places[within(&t->dice, 0, p.count - 1)];
    /* With a deadline: two full pools whose jobs wait for room in each other
     * would wait forever. In the job's own pool the deadline is not used. */
    int64_t deadline = to == t->place ? WEIR_FOREVER
                                      : some_deadline(&t->dice);
    ssize_t n = submit_some(to, &t->dice, within(&t->dice, 1, 3),
                            t->depth + 1, deadline);

    if (to == t->place)
        EXPECT(n > 0 || n == -EAGAIN || n == -ENOSPC || n == -EPIPE);
    else
        EXPECT(n > 0 || n == -ENOSPC || n == -EPIPE ||
               n == (deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT));
    /* Until it is cancelled a pool accepts the jobs that its own jobs
     * submit. */
    if (to == t->place && n == -EPIPE)
        EXPECT(atomic_load(&to->cancelled));
}

/* Sleep inside a job, whose permit others may use in the meantime. */
static void job_sleeps(struct weir_context *cx, struct unit *t)
{
    struct place *place = t->place;
    int err;

    if (weir_pool_gate(place->pool) != NULL)
        watched_out(&place->watched);
    err = weir_sleep(cx, within(&t->dice, 0, 300) * WEIR_US);
    if (weir_pool_gate(place->pool) != NULL)
        watched_in(&place->watched);
    EXPECT(err == 0 ||
           (err == -ECANCELED && atomic_load(&place->cancelled)));
}

static int job(struct weir_context *cx, void *arg)
{
    struct unit *t = arg;
    struct place *place = t->place;
    int failing, exiting;

    if (weir_pool_gate(place->pool) != NULL)
        watched_in(&place->watched);
    EXPECT_INT(atomic_load(&t->dropped), 0);
    EXPECT_INT(atomic_fetch_add(&t->ran, 1), 0);
    EXPECT(weir_local(cx) == place);
    EXPECT(weir_worker_index(cx) < place->options.workers);
    some_delay(&t->dice);
    if (t->depth < DEPTH_MAX && one_in(&t->dice, 6))
        job_submits(t);
    if (one_in(&t->dice, 12))
        job_sleeps(cx, t);
    if (one_in(&t->dice, 32))
        EXPECT_INT(weir_pool_wait(place->pool, WEIR_FOREVER), -EDEADLK);
    if (one_in(&t->dice, 32))
        EXPECT_INT(weir_pool_close(place->pool, WEIR_CANCEL, WEIR_FOREVER),
                   -EDEADLK);
    if (weir_stop_requested(cx))
        EXPECT(atomic_load(&place->cancelled));
    exiting = p.exits && one_in(&t->dice, 48);
    failing = exiting || one_in(&t->dice, 4);
    atomic_fetch_add(&place->ran, 1);
    atomic_fetch_add(&place->failed, failing);
    atomic_fetch_sub(&place->known, 1);
    if (weir_pool_gate(place->pool) != NULL)
        watched_out(&place->watched);
    beat();
    if (exiting)
        pthread_exit(NULL);
    return failing;
}

static int hook_start(void *user, int index, void **local)
{
    struct place *place = user;

    EXPECT(index >= 0 && index < place->options.workers);
    atomic_fetch_add(&place->started, 1);
    *local = place;
    return 0;
}

static void hook_stop(void *user, int index, void *local)
{
    struct place *place = user;

    (void)index;
    EXPECT(local == place);
    atomic_fetch_add(&place->stopped, 1);
}

/* ---- threads around the pools ---- */

struct actor {
    struct dice dice;
    struct place *place;
    int turns;
};

static void *submit_jobs(void *arg)
{
    struct actor *a = arg;

    for (int i = 0; i < a->turns; i++) {
        struct place *to = &p.places[within(&a->dice, 0, p.count - 1)];
        int64_t deadline = one_in(&a->dice, 3) ? WEIR_FOREVER
                                               : some_deadline(&a->dice);
        int count = one_in(&a->dice, 2) ? 1
                                        : within(&a->dice, 1, BATCH_MAX);
        ssize_t n = submit_some(to, &a->dice, count, 0, deadline);

        if (n == -ENOSPC || n == -EPIPE)
            break;
        if (n < 0)
            EXPECT_INT(n, deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT);
        if (n > 0 && n < count && deadline == WEIR_FOREVER) {
            /* Only a close ends such a call early. */
            n = submit_some(to, &a->dice, 1, 0, WEIR_FOREVER);
            EXPECT(n == -EPIPE || n == -ENOSPC);
        }
        some_delay(&a->dice);
    }
    return NULL;
}

static void *wait_for_idle(void *arg)
{
    struct actor *a = arg;

    while (!atomic_load(&p.stop)) {
        int64_t deadline = some_deadline(&a->dice);
        struct weir_pool_stats s;
        int err = weir_pool_wait(a->place->pool, deadline);

        EXPECT(err == 0 ||
               err == (deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT));
        EXPECT_INT(weir_pool_stats(a->place->pool, &s), 0);
        EXPECT(s.queued <= a->place->options.capacity);
        EXPECT(s.queued_peak <= a->place->options.capacity);
        EXPECT(s.running <= (size_t)a->place->options.workers);
        usleep((useconds_t)within(&a->dice, 0, 200));
    }
    return NULL;
}

/* Close until the pool is closed. */
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

        if (mode == WEIR_CANCEL)
            atomic_store(&a->place->cancelled, 1);
        err = weir_pool_close(a->place->pool, mode, deadline);
        EXPECT(err == 0 ||
               err == (deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT));
        EXPECT(err == 0 || deadline != WEIR_FOREVER);
    } while (err != 0);
    return NULL;
}

/* ---- a round ---- */

static void make_place(struct place *place, struct dice *dice)
{
    struct weir_pool_options *o = &place->options;
    int64_t made = weir_now();

    o->workers = within(dice, 1, 6);
    o->capacity = (size_t)(one_in(dice, 3) ? within(dice, 1, 3)
                                           : within(dice, 1, 80));
    if (one_in(dice, 2))
        o->limit = within(dice, 1, o->workers);
    if (one_in(dice, 3))
        o->rate_per_s = within(dice, 3000, 500000);
    o->burst = within(dice, 1, 8);
    o->worker_start = hook_start;
    o->worker_stop = hook_stop;
    o->user = place;
    REQUIRE(weir_pool_create(&place->pool, o) == 0);
    EXPECT_INT(atomic_load(&place->started), o->workers);
    EXPECT((weir_pool_gate(place->pool) != NULL) ==
           (o->limit != 0 || o->rate_per_s > 0));
    if (weir_pool_gate(place->pool) != NULL)
        watched_init(&place->watched, weir_pool_gate(place->pool), o->limit,
                     o->rate_per_s, o->burst, made);
}

static void check_place(struct place *place)
{
    struct weir_pool_stats s;

    EXPECT_INT(weir_pool_wait(place->pool, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_pool_stats(place->pool, &s), 0);
    EXPECT_INT(s.submitted, atomic_load(&place->accepted));
    EXPECT_INT(s.succeeded + s.failed, atomic_load(&place->ran));
    EXPECT_INT(s.failed, atomic_load(&place->failed));
    EXPECT_INT(s.dropped, atomic_load(&place->dropped));
    EXPECT_INT(s.submitted, s.succeeded + s.failed + s.dropped);
    EXPECT_INT(s.queued, 0);
    EXPECT_INT(s.running, 0);
    EXPECT_INT(atomic_load(&place->known), 0);
    if (weir_pool_gate(place->pool) != NULL)
        watched_check(&place->watched);
}

static void check_units(void)
{
    int used = atomic_load(&p.next_unit);

    for (int i = 0; i < used && i < UNITS; i++) {
        struct unit *t = &p.units[i];

        EXPECT_INT(atomic_load(&t->ran) + atomic_load(&t->dropped),
                   atomic_load(&t->accepted));
    }
}

/* Threads around one pool that end without help or at `stop`. */
struct around {
    struct actor waiter;
    struct gate_changer changer;
    struct entrant entrants[ENTRANTS_MAX];
    pthread_t waiting, changing, entering[ENTRANTS_MAX];
    int entrants_count;
    int changes;
};

static void surround(struct around *around, struct place *place,
                     struct dice *dice)
{
    *around = (struct around){ 0 };
    around->waiter = (struct actor){ { roll(dice) }, place, 0 };
    around->waiting = start(wait_for_idle, &around->waiter);
    if (weir_pool_gate(place->pool) == NULL)
        return;
    around->changer = (struct gate_changer){
        .watched = &place->watched, .dice = { roll(dice) },
        .stop = &p.stop, .sets = within(dice, 0, 1),
        .changes_rate = within(dice, 0, 1), .holds = within(dice, 0, 1),
        .held = &place->held,
    };
    around->changes = within(dice, 0, 1);
    if (around->changes)
        around->changing = start(change_gate, &around->changer);
    around->entrants_count = within(dice, 0, ENTRANTS_MAX);
    for (int i = 0; i < around->entrants_count; i++) {
        around->entrants[i] = (struct entrant){
            .watched = &place->watched, .dice = { roll(dice) },
            .turns = within(dice, 1, 100),
        };
        around->entering[i] = start(acquire_gate, &around->entrants[i]);
    }
}

static void withdraw(struct around *around)
{
    join(around->waiting);
    if (around->changes)
        join(around->changing);
    for (int i = 0; i < around->entrants_count; i++)
        join(around->entering[i]);
}

static void pool_round(struct dice *dice)
{
    struct around around[POOLS_MAX];
    struct actor submitters[SUBMITTERS_MAX], closers[2 * POOLS_MAX];
    pthread_t submitting[SUBMITTERS_MAX], closing[2 * POOLS_MAX];
    int count, early = one_in(dice, 2), twice = within(dice, 1, 2);
    int turns = one_in(dice, 3) ? 200 : 30;

    memset(&p, 0, sizeof(p));
    p.count = within(dice, 1, POOLS_MAX);
    p.exits = one_in(dice, 3);
    p.submitters = count = within(dice, 1, SUBMITTERS_MAX);
    for (int i = 0; i < p.count; i++)
        make_place(&p.places[i], dice);
    for (int i = 0; i < p.count; i++)
        surround(&around[i], &p.places[i], dice);
    for (int i = 0; i < count; i++) {
        submitters[i] = (struct actor){ { roll(dice) }, NULL,
                                        within(dice, 1, turns) };
        submitting[i] = start(submit_jobs, &submitters[i]);
    }
    for (int i = 0; i < p.count * twice; i++)
        closers[i] = (struct actor){ { roll(dice) }, &p.places[i / twice],
                                     early ? within(dice, 0, 3000) : 0 };
    if (!early) {
        for (int i = 0; i < count; i++)
            join(submitting[i]);
        /* Waiting for each pool separately is not enough: their jobs submit to
         * each other. */
        for (int i = 0; i < p.count; i++)
            EXPECT_INT(weir_pool_wait(p.places[i].pool, WEIR_FOREVER), 0);
        if (p.count == 1)
            check_units();
    }
    for (int i = 0; i < p.count * twice; i++)
        closing[i] = start(close_pool, &closers[i]);
    if (early)
        for (int i = 0; i < count; i++)
            join(submitting[i]);
    for (int i = 0; i < p.count * twice; i++)
        join(closing[i]);
    atomic_store(&p.stop, 1);
    for (int i = 0; i < p.count; i++)
        withdraw(&around[i]);
    check_units();
    for (int i = 0; i < p.count; i++) {
        EXPECT_INT(atomic_load(&p.places[i].stopped),
                   p.places[i].options.workers);
        check_place(&p.places[i]);
    }
    for (int i = 0; i < p.count; i++) {
        weir_pool_destroy(p.places[i].pool);
        p.places[i].pool = NULL;
    }
}

static void pool_programs(void)
{
    stress_rounds(pool_round);
}

/* Destroy while everything is in progress except calls on the pool itself. */
static void destroy_round(struct dice *dice)
{
    struct actor submitter;

    memset(&p, 0, sizeof(p));
    p.count = 1;
    p.exits = one_in(dice, 3);
    make_place(&p.places[0], dice);
    if (weir_pool_gate(p.places[0].pool) != NULL && one_in(dice, 2)) {
        atomic_store(&p.places[0].held, 1);
        EXPECT_INT(weir_gate_hold(weir_pool_gate(p.places[0].pool), 0,
                                  one_in(dice, 2) ? WEIR_FOREVER
                                                  : weir_after(WEIR_MS)),
                   0);
    }
    submitter = (struct actor){ { roll(dice) }, NULL, 0 };
    for (int i = within(dice, 0, 30); i > 0; i--)
        submit_some(&p.places[0], &submitter.dice,
                    within(dice, 1, BATCH_MAX), 0, WEIR_NO_WAIT);
    some_delay(dice);
    atomic_store(&p.places[0].cancelled, 1);
    weir_pool_destroy(p.places[0].pool);
    p.places[0].pool = NULL;
    check_units();
    EXPECT_INT(atomic_load(&p.places[0].stopped),
               p.places[0].options.workers);
}

static void destroy_programs(void)
{
    stress_rounds(destroy_round);
}

static const struct tap_case cases[] = {
    { "random programs: each job ends exactly once within its limits, and "
      "nothing hangs", pool_programs },
    { "random programs: destroying a busy pool ends each job exactly once",
      destroy_programs },
};

int main(void)
{
    return STRESS_RUN(cases);
}
