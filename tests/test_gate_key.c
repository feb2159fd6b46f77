/* SPDX-License-Identifier: MIT
 * test_gate_key.c - gates of jobs: keys, quotas, holds, parking; and the two
 * measured promises, about a stuck HTTP host and about a rate. */
#include "jobs.h"
#include "resident.h"

/* ---- in order, within the limit ---- */

struct lane {
    atomic_int inside, most, next, broken;
};

struct passenger {
    struct lane *lane;
    int number;
};

static int pass_lane(struct weir_context *cx, void *arg)
{
    struct passenger *p = arg;
    int inside = atomic_fetch_add(&p->lane->inside, 1) + 1;

    (void)cx;
    if (inside > atomic_load(&p->lane->most))
        atomic_store(&p->lane->most, inside);
    if (atomic_fetch_add(&p->lane->next, 1) != p->number)
        atomic_store(&p->lane->broken, 1);
    sched_yield();
    atomic_fetch_sub(&p->lane->inside, 1);
    return 0;
}

static void limit_one_is_a_queue(void)
{
    enum { LANES = 5, EACH = 200 };
    static struct passenger all[LANES * EACH];
    struct lane lanes[LANES] = { { .most = 0 } };

    for (int round = 0; round < 4; round++) {
        int keyed = round % 2;
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 4, .limit = round < 2 ? 0 : 4 });
        struct weir_gate *gate = make_gate(&(struct weir_gate_options){
            .keys_max = keyed ? LANES : 0 });
        int used = keyed ? LANES : 1;

        memset(lanes, 0, sizeof(lanes));
        for (int i = 0; i < used * EACH; i++) {
            all[i] = (struct passenger){ &lanes[i % used], i / used };
            submit_to(pool, &(struct weir_job){ .fn = pass_lane,
                .arg = &all[i], .gate = gate,
                .key = (uint64_t)(i % used) });
        }
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(gate_stats(gate).inside_peak <= used, 1);
        EXPECT_INT(gate_stats(gate).acquired, used * EACH);
        weir_gate_destroy(gate); /* before the pool: all jobs have ended */
        for (int i = 0; i < used; i++) {
            EXPECT_INT(atomic_load(&lanes[i].next), EACH);
            EXPECT_INT(atomic_load(&lanes[i].most), 1);
            EXPECT_INT(atomic_load(&lanes[i].broken), 0);
        }
        weir_pool_destroy(pool);
    }
}

static void parked_hold_no_worker(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job parked, other;

    job_init(&parked);
    job_init(&other);
    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    for (int i = 0; i < 3; i++)
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &parked,
            .gate = gate });
    AWAIT(pool_stats(pool).parked == 3);
    EXPECT_INT(gate_stats(gate).parked, 3);
    EXPECT_INT(pool_stats(pool).queued, 0);
    EXPECT_INT(pool_stats(pool).running, 0);
    block_worker(pool, &other); /* there is a worker for it */
    latch_open(&other.go);
    AWAIT(atomic_load(&other.runs) == 1);
    EXPECT_INT(atomic_load(&parked.runs), 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), -EAGAIN);
    weir_gate_release(gate, 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&parked.runs), 3);
    EXPECT_INT(gate_stats(gate).waited, 3);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

/* ---- holds ---- */

static void a_held_key_holds_its_own(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = 2, .keys_max = 4 });
    struct job held, free_one;

    job_init(&held);
    job_init(&free_one);
    EXPECT_INT(weir_gate_hold(gate, 1, WEIR_FOREVER), 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &held,
        .gate = gate, .key = 1 });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &free_one,
        .gate = gate, .key = 2 });
    AWAIT(atomic_load(&free_one.runs) == 1);
    AWAIT(pool_stats(pool).parked == 1);
    EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_FOREVER), 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &free_one,
        .gate = gate, .key = 2 });
    AWAIT(pool_stats(pool).parked == 2);
    EXPECT_INT(weir_gate_hold(gate, 1, WEIR_NO_WAIT), 0);
    EXPECT_INT(atomic_load(&held.runs), 0);
    EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&held.runs), 1);
    EXPECT_INT(atomic_load(&free_one.runs), 2);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

static void a_hold_of_a_key_ends(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = 1 });
    int64_t until = weir_after(20 * WEIR_MS);
    struct job j;

    job_init(&j);
    EXPECT_INT(weir_gate_hold(gate, 9, until), 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .gate = gate, .key = 9 });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT(j.at[0] >= until);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

/* ---- quotas and keys ---- */

static void a_hold_of_every_key_ends(void)
{
    for (size_t keys = 1; keys <= 64; keys *= 4) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 2, .capacity = 64, .parked_max = 64 });
        struct weir_gate *gate = make_gate(&(struct weir_gate_options){
            .keys_max = keys });
        atomic_int ran = 0;

        EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_FOREVER), 0);
        for (size_t i = 0; i < keys; i++)
            submit_to(pool, &(struct weir_job){ .fn = count_run,
                .arg = &ran, .gate = gate, .key = i });
        AWAIT(pool_stats(pool).parked == keys);
        EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_NO_WAIT), 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), keys);
        weir_pool_destroy(pool);
        weir_gate_destroy(gate);
    }
}

static void a_key_has_a_quota(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = 20, .parked_max = 3 });
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = 2 });
    struct weir_group *group = make_group(pool, NULL);
    struct weir_job j = { .fn = count_run, .gate = gate };
    atomic_int ran = 0;

    j.arg = &ran;
    EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(weir_pool_submit(pool, &j, 1, WEIR_FOREVER), 1);
    /* Immediately, whatever the deadline; and nothing has changed. */
    /* returns: weir_pool_submit -EAGAIN */
    EXPECT_INT(weir_pool_submit(pool, &j, 1, WEIR_FOREVER), -EAGAIN);
    /* returns: weir_group_submit -EAGAIN */
    EXPECT_INT(weir_group_submit(group, &j, 1, WEIR_FOREVER), -EAGAIN);
    EXPECT_INT(group_stats(group).submitted, 0);
    EXPECT_INT(pool_stats(pool).submitted, 3);
    EXPECT_INT(gate_stats(gate).rejected, 2);
    j.key = 1; /* another key has its own */
    EXPECT_INT(weir_group_submit(group, &j, 1, WEIR_FOREVER), 1);
    j.key = 2; /* and there is no room for a third */
    EXPECT_INT(weir_pool_submit(pool, &j, 1, WEIR_FOREVER), -EAGAIN);
    /* returns: weir_gate_acquire -EAGAIN */
    EXPECT_INT(weir_gate_acquire(gate, 2, WEIR_FOREVER), -EAGAIN);
    /* returns: weir_gate_hold -EAGAIN */
    EXPECT_INT(weir_gate_hold(gate, 2, WEIR_FOREVER), -EAGAIN);
    EXPECT_INT(gate_stats(gate).keys, 2);
    EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    /* Unused keys make room. */
    EXPECT_INT(gate_stats(gate).keys, 0);
    for (j.key = 100; j.key < 200; j.key++) {
        EXPECT_INT(weir_pool_submit(pool, &j, 1, WEIR_FOREVER), 1);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    EXPECT_INT(atomic_load(&ran), 104);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

/* Return how often a key is acquired before the first rejection. At a tick an
 * hour none passes while the test runs. */
static int count_burst(struct weir_gate *gate, uint64_t key)
{
    int entered = 0;

    while (weir_gate_acquire(gate, key, WEIR_NO_WAIT) == 0)
        entered++;
    return entered;
}

static void a_full_burst_at_first(void)
{
    const struct weir_gate_options hourly = { .limit = WEIR_NONE,
        .burst = 5, .rate_per_s = 1.0 / 3600, .keys_max = 4 };
    struct weir_gate *gate = make_gate(&hourly);

    for (uint64_t key = 0; key < 3; key++)
        EXPECT_INT(count_burst(gate, key), 5);
    /* A new rate does not reset the keys that have permits out, */
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1.0 / 7200 }), 0);
    EXPECT_INT(count_burst(gate, 0), 0);
    /* or the unused ones. */
    for (int i = 0; i < 5; i++)
        weir_gate_release(gate, 1);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1.0 / 3600 }), 0);
    EXPECT_INT(count_burst(gate, 1), 0);
    EXPECT_INT(gate_stats(gate).keys, 3);
    EXPECT_INT(count_burst(gate, 3), 5);
    /* But a period without a rate clears what the keys have used. */
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = WEIR_NONE }), 0);
    EXPECT_INT(gate_stats(gate).keys, 3);
    EXPECT_INT(weir_gate_set(gate, &hourly), 0);
    for (uint64_t key = 0; key < 4; key++)
        EXPECT_INT(count_burst(gate, key), 5);
    weir_gate_destroy(gate);
}

/* A key is forgotten and frees its entry `burst` periods after the last tick it
 * used, and not before, whatever is changed in between. */
static void a_key_is_remembered(void)
{
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = WEIR_NONE, .rate_per_s = 1.0 / 3600, .keys_max = 2 });

    for (uint64_t key = 0; key < 2; key++) {
        EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT), 0);
        weir_gate_release(gate, key);
    }
    EXPECT_INT(weir_gate_acquire(gate, 2, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1e9 }), 0);
    /* Key 1 is forgotten immediately, and key 0 is still held. */
    AWAIT(gate_stats(gate).keys == 1);
    EXPECT_INT(weir_gate_acquire(gate, 2, WEIR_FOREVER), 0);
    EXPECT_INT(weir_gate_acquire(gate, 3, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 3, WEIR_FOREVER), 0);
    EXPECT_INT(gate_stats(gate).keys, 2);
    weir_gate_destroy(gate);

    /* Ticks used under a removed rate do not count for the next one, whose
     * burst starts full. */
    gate = make_gate(&(struct weir_gate_options){ .rate_per_s = 1.0 / 3600,
        .keys_max = 2 });
    for (uint64_t key = 0; key < 2; key++) {
        EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT), 0);
        weir_gate_release(gate, key);
        EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
            .rate_per_s = key == 0 ? WEIR_NONE : 0 }), 0);
        EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
            .burst = 5, .rate_per_s = 1.0 / 3600 }), 0);
    }
    EXPECT_INT(gate_stats(gate).keys, 1);
    weir_gate_destroy(gate);
}

static void untried_jobs_are_in_line(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job blocks;
    atomic_int ran = 0;

    block_worker(pool, &blocks);
    for (int i = 0; i < 2; i++)
        submit_to(pool, &(struct weir_job){ .fn = count_run, .arg = &ran,
            .gate = gate });
    EXPECT_INT(gate_stats(gate).parked, 2);
    EXPECT_INT(pool_stats(pool).parked, 0);
    latch_open(&blocks.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(gate_stats(gate).parked, 0);
    EXPECT_INT(gate_stats(gate).waited, 0);
    EXPECT_INT(atomic_load(&ran), 2);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

/* Of 4 million: few enough that the tables of an emulator do not matter. */
static void keys_are_touched_when_used(void)
{
    long long before = resident_bytes();
    struct weir_gate *gate;
    int err;

    if (before < 0) {
        SKIP("resident memory cannot be measured here");
        return;
    }
    err = weir_gate_create(&gate, &(struct weir_gate_options){
        .limit = WEIR_NONE, .rate_per_s = 1.0 / 3600,
        .keys_max = (size_t)1 << 22 });
    if (err == -ENOMEM) {
        SKIP("there is no room for 4 million keys");
        return;
    }
    REQUIRE(err == 0);
    for (uint64_t key = 0; key < 3; key++) {
        EXPECT_INT(weir_gate_acquire(gate, key << 40, WEIR_NO_WAIT), 0);
        weir_gate_release(gate, key << 40);
    }
    EXPECT_INT(gate_stats(gate).keys, 3);
    EXPECT(resident_bytes() - before < RESIDENT_SLACK);
    weir_gate_destroy(gate);
}

struct racer {
    struct weir_gate *gate;
    atomic_int *order;
    int came; /* in the order of acquiring, from 0 */
};

static int race_as_job(struct weir_context *cx, void *arg)
{
    struct racer *r = arg;

    (void)cx;
    r->came = atomic_fetch_add(r->order, 1);
    return 0;
}

static void *race_as_thread(void *arg)
{
    struct racer *r = arg;

    EXPECT_INT(weir_gate_acquire(r->gate, 0, WEIR_FOREVER), 0);
    r->came = atomic_fetch_add(r->order, 1);
    weir_gate_release(r->gate, 0);
    return NULL;
}

static void threads_before_jobs(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job blocks;
    atomic_int ran = 0;

    /* The thread comes first. */
    for (int i = 0; i < 200; i++) {
        atomic_int order = 0;
        struct racer thread = { .gate = gate, .order = &order }, job = thread;
        pthread_t id;

        REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
        id = start(race_as_thread, &thread);
        AWAIT(gate_stats(gate).waiting == 1);
        submit_to(pool, &(struct weir_job){ .fn = race_as_job, .arg = &job,
            .gate = gate });
        if (i % 2 == 0)
            AWAIT(pool_stats(pool).parked == 1);
        weir_gate_release(gate, 0);
        join(id);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(thread.came, 0);
        EXPECT_INT(job.came, 1);
    }
    /* The job comes first, and has no worker yet. */
    block_worker(pool, &blocks);
    submit_to(pool, &(struct weir_job){ .fn = count_run, .arg = &ran,
        .gate = gate });
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    weir_gate_release(gate, 0);
    latch_open(&blocks.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

static void a_wrong_key(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .limit = 1 });
    struct weir_gate *keyed = make_gate(&(struct weir_gate_options){
        .keys_max = 1 });
    struct weir_group *group = make_group(pool, NULL);
    const struct weir_job bad[] = {
        { .fn = count_run, .gate = keyed, .key = WEIR_EVERY },
        { .fn = count_run, .gate = weir_pool_gate(pool) },
        { .fn = count_run, .start = -1 },
        { .fn = count_run, .deadline = WEIR_NO_WAIT },
        { .fn = count_run, .period_ns = -1 },
        { .fn = count_run, .priority = 2 },
        { .fn = count_run, .priority = -2 },
        { .fn = count_run, .reserved = { 1 } },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* returns: weir_pool_submit -EINVAL */
        EXPECT_INT(weir_pool_submit(pool, &bad[i], 1, WEIR_NO_WAIT), -EINVAL);
        EXPECT_INT(weir_group_submit(group, &bad[i], 1, WEIR_NO_WAIT), -EINVAL);
    }
    EXPECT_INT(weir_group_submit(group, &(struct weir_job){
        .fn = count_run, .period_ns = 1 }, 1, WEIR_NO_WAIT), -EINVAL);
    EXPECT_INT(pool_stats(pool).submitted, 0);
    EXPECT_INT(group_stats(group).submitted, 0);
    EXPECT_INT(gate_stats(keyed).keys, 0);
    weir_gate_destroy(keyed);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- several gates, several pools ---- */

static void all_gates_or_none(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *first = make_gate(NULL), *second = make_gate(NULL);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .gate = second });
    struct job j;

    job_init(&j);
    for (int i = 0; i < 2; i++) {
        struct weir_gate *full = i == 0 ? first : second;
        struct weir_gate *open = i == 0 ? second : first;

        REQUIRE(weir_gate_acquire(full, 0, WEIR_NO_WAIT) == 0);
        submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &j,
            .gate = first });
        AWAIT(pool_stats(pool).parked == 1);
        EXPECT_INT(gate_stats(full).parked, 1);
        /* It holds no permit of the open gate. */
        EXPECT_INT(gate_stats(open).parked, 0);
        EXPECT_INT(gate_stats(open).inside, 0);
        EXPECT_INT(weir_gate_acquire(open, 0, WEIR_NO_WAIT), 0);
        weir_gate_release(full, 0);
        AWAIT(gate_stats(open).parked == 1);
        EXPECT_INT(gate_stats(full).inside, 0);
        EXPECT_INT(atomic_load(&j.runs), i);
        weir_gate_release(open, 0);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.runs), i + 1);
        /* It waited at both gates, one after the other. */
        EXPECT_INT(gate_stats(first).waited, i + 1);
        EXPECT_INT(gate_stats(second).waited, i + 1);
    }
    weir_gate_destroy(first);
    weir_gate_destroy(second);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void a_busy_pool_blocks_no_other(void)
{
    struct weir_gate *gate = make_gate(NULL);
    struct weir_pool *busy = make_workers(1), *idle = make_workers(1);
    struct job waits, blocks, runs;

    job_init(&waits);
    job_init(&runs);
    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    submit_to(busy, &(struct weir_job){ .fn = run_job, .arg = &waits,
        .gate = gate });
    AWAIT(pool_stats(busy).parked == 1);
    block_worker(busy, &blocks);
    submit_to(idle, &(struct weir_job){ .fn = run_job, .arg = &runs,
        .gate = gate });
    AWAIT(pool_stats(idle).parked == 1);
    EXPECT_INT(gate_stats(gate).parked, 2);
    weir_gate_release(gate, 0);
    EXPECT_INT(weir_pool_wait(idle, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&runs.runs), 1);
    EXPECT_INT(atomic_load(&waits.runs), 0);
    latch_open(&blocks.go);
    EXPECT_INT(weir_pool_wait(busy, WEIR_FOREVER), 0);
    weir_gate_destroy(gate);
    weir_pool_destroy(busy);
    weir_pool_destroy(idle);
}

static int sleep_and_count(struct weir_context *cx, void *arg)
{
    int *counter = arg; /* guarded only by the gate */

    for (int i = 0; i < 20; i++) {
        ++*counter;
        weir_sleep(cx, 1);
        ++*counter;
    }
    return 0;
}

static void alone_between_sleeps(void)
{
    struct weir_gate *gate = make_gate(NULL);
    struct weir_pool *pools[2] = { make_workers(3), make_workers(2) };
    int counter = 0;

    for (int i = 0; i < 20; i++)
        submit_to(pools[i % 2], &(struct weir_job){ .fn = sleep_and_count,
            .arg = &counter, .gate = gate });
    for (int i = 0; i < 2; i++)
        EXPECT_INT(weir_pool_close(pools[i], WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(counter, 20 * 40);
    EXPECT_INT(gate_stats(gate).inside, 0);
    EXPECT_INT(gate_stats(gate).inside_peak, 1);
    EXPECT_INT(gate_stats(gate).acquired, 20);
    for (int i = 0; i < 2; i++)
        weir_pool_destroy(pools[i]);
    weir_gate_destroy(gate);
}

static void a_rate_spaces_jobs(void)
{
    enum { JOBS = 30 };
    static struct job jobs[JOBS];
    struct weir_pool *pool = make_workers(4);
    int64_t made = weir_now();
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = WEIR_NONE, .rate_per_s = 1000, .burst = 3 });

    for (int i = 0; i < JOBS; i++) {
        job_init(&jobs[i]);
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &jobs[i],
            .gate = gate });
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (int i = 0; i < JOBS; i++) {
        int before = 0;

        for (int j = 0; j < JOBS; j++)
            before += jobs[j].at[0] <= jobs[i].at[0];
        EXPECT(jobs[i].at[0] - made >= (before - 3) * WEIR_MS);
    }
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

/* ---- an HTTP host that does not respond ---- */

enum { HOSTS = 200, JOBS = 10000, BAD = 7 };

struct hosts {
    atomic_int good, bad;
    sem_t all_good, answer;
    int64_t work_ns;
    int expected;
};

static int ask_good(struct weir_context *cx, void *arg)
{
    struct hosts *h = arg;
    int64_t end = weir_after(h->work_ns);

    (void)cx;
    while (weir_now() < end)
        ;
    if (atomic_fetch_add(&h->good, 1) + 1 == h->expected)
        latch_open(&h->all_good);
    return 0;
}

static int ask_bad(struct weir_context *cx, void *arg)
{
    struct hosts *h = arg;

    (void)cx;
    latch_wait(&h->answer);
    latch_open(&h->answer);
    atomic_fetch_add(&h->bad, 1);
    return 0;
}

/* Ask all hosts, every tenth time the bad one. Returns how long the good ones
 * took. */
static int64_t ask_hosts(int with_bad, int64_t work_ns)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 16, .parked_max = 100 });
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = 4, .keys_max = HOSTS });
    struct hosts h = { .work_ns = work_ns, .expected = JOBS - JOBS / 10 };
    int64_t began, took;
    int accepted = 0, refused = 0;

    latch_init(&h.all_good);
    latch_init(&h.answer);
    began = weir_now();
    for (int i = 0; i < JOBS; i++) {
        struct weir_job j = { .fn = ask_good, .arg = &h, .gate = gate,
            .key = (uint64_t)(i % (HOSTS - 1)) };
        ssize_t n;

        if (i % 10 != BAD) {
            j.key += j.key >= BAD;
            submit_to(pool, &j);
        } else if (with_bad) {
            j.fn = ask_bad;
            j.key = BAD;
            n = weir_pool_submit(pool, &j, 1, WEIR_FOREVER);
            EXPECT(n == 1 || n == -EAGAIN);
            accepted += n == 1;
            refused += n == -EAGAIN;
        }
    }
    latch_wait(&h.all_good);
    took = weir_now() - began;
    if (with_bad) {
        EXPECT(accepted > 0 && accepted <= 104);
        EXPECT_INT(accepted + refused, JOBS / 10);
        EXPECT_INT(gate_stats(gate).rejected, refused);
        EXPECT_INT(atomic_load(&h.bad), 0);
    }
    latch_open(&h.answer);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&h.good), h.expected);
    EXPECT_INT(atomic_load(&h.bad), accepted);
    EXPECT_INT(gate_stats(gate).inside, 0);
    EXPECT_INT(gate_stats(gate).keys, 0);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
    return took;
}

/* WEIR_TEST_PAIRS sets how many times both are measured: the ratio of the
 * medians is meaningful with several, on an otherwise idle machine. */
static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void a_stuck_host(void)
{
    const char *text = getenv("WEIR_TEST_PAIRS");
    int pairs = text != NULL && atoi(text) > 0 ? atoi(text) : 1;
    int64_t with[101], without[101];

    if (pairs > 101)
        pairs = 101;
    for (int i = 0; i < pairs; i++) {
        without[i] = ask_hosts(0, 50 * WEIR_US);
        with[i] = ask_hosts(1, 50 * WEIR_US);
    }
    qsort(with, (size_t)pairs, sizeof(with[0]), compare_times);
    qsort(without, (size_t)pairs, sizeof(with[0]), compare_times);
    printf("# %d pairs: median %.1f ms with a stuck host, %.1f ms without: "
           "ratio %.3f\n", pairs, (double)with[pairs / 2] / 1e6,
           (double)without[pairs / 2] / 1e6,
           (double)with[pairs / 2] / (double)without[pairs / 2]);
}

/* ---- a rate, measured ---- */

enum { TICKS = 10000, TAKERS = 8, BURST = 50 };
#define RATE 5000

struct taker {
    struct weir_gate *gate;
    int64_t at[TICKS / TAKERS];
    uint64_t refused;
};

static void *take_ticks(void *arg)
{
    struct taker *t = arg;

    for (int i = 0; i < TICKS / TAKERS; i++) {
        int err = weir_gate_acquire(t->gate, 0, WEIR_NO_WAIT);

        if (err != 0) {
            EXPECT_INT(err, -EAGAIN);
            t->refused++;
            EXPECT_INT(weir_gate_acquire(t->gate, 0, WEIR_FOREVER), 0);
        }
        t->at[i] = weir_now();
        weir_gate_release(t->gate, 0);
    }
    return NULL;
}

static void a_rate_measured(void)
{
    static struct taker takers[TAKERS];
    static int64_t at[TICKS];
    pthread_t threads[TAKERS];
    const int64_t period = WEIR_S / RATE;
    int64_t made = weir_now(), took;
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = WEIR_NONE, .rate_per_s = RATE, .burst = BURST });
    uint64_t refused = 0;
    struct weir_gate_stats s;
    int most = 0;

    for (int i = 0; i < TAKERS; i++) {
        takers[i].gate = gate;
        takers[i].refused = 0;
        threads[i] = start(take_ticks, &takers[i]);
    }
    for (int i = 0; i < TAKERS; i++) {
        join(threads[i]);
        refused += takers[i].refused;
        memcpy(at + i * (TICKS / TAKERS), takers[i].at,
               sizeof(takers[i].at));
    }
    qsort(at, TICKS, sizeof(at[0]), compare_times);
    s = gate_stats(gate);
    EXPECT_INT(s.acquired, TICKS);
    EXPECT_INT(s.rejected, refused); /* and they have used no tick: */
    took = at[TICKS - 1] - made;
    /* No acquisition comes before its tick: the i-th tick is i periods after
     * the first, and BURST ticks are available at the start. */
    for (int i = 0; i < TICKS; i++)
        EXPECT(at[i] - made >= (i + 1 - BURST) * period);
    /* Ticks are spaced like this in every window, but a thread may notice its
     * tick later, so that a window holds more. */
    for (int i = 0, j = 0; i < TICKS; i++) {
        while (at[i] - at[j] >= 100 * period)
            j++;
        if (i - j + 1 > most)
            most = i - j + 1;
    }
    printf("# %d ticks in %.4f s, ideally %.4f s: %+.2f %%; late %.1f us on "
           "average, %.1f us at most; at most %d in 100 periods, burst %d\n",
           TICKS, (double)took / 1e9, (double)(TICKS - BURST) / RATE,
           ((double)took * RATE / 1e9 / (TICKS - BURST) - 1) * 100,
           (double)s.late_ns / (double)TICKS / 1e3,
           (double)s.late_peak_ns / 1e3, most, BURST);
    weir_gate_destroy(gate);
}

static void keys_that_are_remembered(void)
{
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = 2 });

    for (uint64_t key = 0; key < 2; key++)
        EXPECT_INT(weir_gate_hold(gate, key, WEIR_FOREVER), 0);
    EXPECT_INT(weir_gate_hold(gate, 7, WEIR_FOREVER), -EAGAIN);
    EXPECT_INT(weir_gate_acquire(gate, 7, WEIR_FOREVER), -EAGAIN);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 7, WEIR_NO_WAIT), 0);
    EXPECT_INT(gate_stats(gate).keys, 2);
    weir_gate_release(gate, 7);
    weir_gate_destroy(gate);
}

static void a_new_rate_is_for_every_key(void)
{
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = 3, .limit = WEIR_NONE });

    EXPECT_INT(weir_gate_acquire(gate, 1, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1e-6 }), 0);
    for (uint64_t key = 1; key <= 2; key++) {
        EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT), 0);
        EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT), -EAGAIN);
    }
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = WEIR_NONE }), 0);
    for (uint64_t key = 1; key <= 2; key++)
        EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT), 0);
    weir_gate_destroy(gate);
}

static const struct tap_case cases[] = {
    { "a gate with limit 1 runs the jobs of each key one after another",
      limit_one_is_a_queue },
    { "a parked job occupies no worker", parked_hold_no_worker },
    { "the hold of a key holds only the jobs of that key",
      a_held_key_holds_its_own },
    { "the hold of a key ends at its deadline", a_hold_of_a_key_ends },
    { "a hold of every key ends for each key, however many there are",
      a_hold_of_every_key_ends },
    { "a call for a key over its quota or for one key too many returns EAGAIN "
      "immediately", a_key_has_a_quota },
    { "a held key keeps its entry, and lifting the hold frees the entry",
      keys_that_are_remembered },
    { "a new rate applies to every key and is removed for every key",
      a_new_rate_is_for_every_key },
    { "a new gate, each new key and each key that had no rate have a full "
      "burst", a_full_burst_at_first },
    { "a key that has used its rate keeps its entry until its burst is full "
      "again", a_key_is_remembered },
    { "jobs that have not tried to acquire wait in order at their gate",
      untried_jobs_are_in_line },
    { "the memory of a key is touched when the key is first used",
      keys_are_touched_when_used },
    { "no job passes a gate before a thread that came earlier, while a thread "
      "may pass before a job", threads_before_jobs },
    { "submitting a job with a wrong key, the pool's own gate or a member out "
      "of range returns EINVAL", a_wrong_key },
    { "a job acquires all of its gates or none", all_gates_or_none },
    { "a busy pool does not keep another pool from a gate",
      a_busy_pool_blocks_no_other },
    { "a job inside a gate of limit 1 runs alone between two sleeps",
      alone_between_sleeps },
    { "no job starts before its tick", a_rate_spaces_jobs },
    { "an HTTP host that does not respond delays no other host", a_stuck_host },
    { "10,000 ticks used by 8 threads keep the rate", a_rate_measured },
};

int main(void)
{
    return TAP_RUN(cases);
}
