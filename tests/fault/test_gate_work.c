/* SPDX-License-Identifier: MIT
 * test_gate_work.c - the cost of gates with many keys, counted in executed
 * basic blocks and not in time, so that it is the same on every machine.
 *
 * The core is compiled with -fsanitize-coverage=trace-pc, which makes it call
 * a function in each block. The linker puts this file between the core and
 * the mutexes. So it counts for each thread the blocks that are executed in a
 * call and while a mutex is locked. */
#include "jobs.h"

#include <pthread.h>

#define FEW   100
#define TRIES 200
#if !defined(MANY) /* fewer in a build with a sanitizer, which is slow */
#define MANY 100000
#endif

/* log2(MANY) / log2(FEW) is 2.5; and a batch that is not full is less work than
 * a full one. */
#define RATIO 4

/* ---- the counters ---- */

static _Thread_local unsigned long blocks; /* executed by this thread */
static _Thread_local unsigned long locked_at[8];
static _Thread_local int depth; /* mutexes this thread has locked */
static atomic_ulong longest;    /* most blocks executed under a mutex */

void __sanitizer_cov_trace_pc(void);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

static void locked(void)
{
    REQUIRE(depth < 8);
    locked_at[depth++] = blocks;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int err = __real_pthread_mutex_lock(mutex);

    locked();
    return err;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    int err = __real_pthread_mutex_trylock(mutex);

    if (err == 0)
        locked();
    return err;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    unsigned long most = atomic_load(&longest), now;

    REQUIRE(depth > 0);
    now = blocks - locked_at[--depth];
    while (now > most && !atomic_compare_exchange_weak(&longest, &most, now))
        ;
    return __real_pthread_mutex_unlock(mutex);
}

/* The work since work_begin(). */
struct work {
    unsigned long begin;
    unsigned long call;   /* the largest of a call */
    unsigned long locked; /* the largest under a mutex, by any thread */
};

static void work_begin(void)
{
    atomic_store(&longest, 0);
}

/* Count one call. */
#define COUNT(work, call_)                                                  \
    do {                                                                    \
        (work)->begin = blocks;                                             \
        call_;                                                              \
        if (blocks - (work)->begin > (work)->call)                          \
            (work)->call = blocks - (work)->begin;                          \
    } while (0)

static void work_end(struct work *work)
{
    work->locked = atomic_load(&longest);
}

/* Neither a call nor a lock costs more with many keys than with few. */
static void compare(const char *what, const struct work *few,
                    const struct work *many)
{
    printf("# %s: %lu blocks in a call with %d keys, %lu with %d; "
           "under a lock %lu and %lu\n", what, few->call, FEW, many->call,
           MANY, few->locked, many->locked);
    EXPECT(many->call > 0 && many->locked > 0);
    EXPECT(many->call <= RATIO * few->call);
    EXPECT(many->locked <= RATIO * few->locked);
}

/* The same if a call may do work that earlier calls have left: then only the
 * work under a lock is bounded. */
static void compare_locked(const char *what, const struct work *few,
                           const struct work *many)
{
    printf("# %s: %lu blocks under a lock with %d keys, %lu with %d\n", what,
           few->locked, FEW, many->locked, MANY);
    EXPECT(many->locked > 0);
    EXPECT(many->locked <= RATIO * few->locked);
}

/* ---- threads that acquire ---- */

/* A gate whose keys all have used a tick of their rate, for 100 s. */
static struct weir_gate *make_owing(size_t keys, struct work *work)
{
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = WEIR_NONE, .rate_per_s = 0.01, .keys_max = keys });

    for (uint64_t key = 0; key < keys; key++) {
        COUNT(work, REQUIRE(weir_gate_acquire(gate, key, WEIR_NO_WAIT) == 0));
        COUNT(work, weir_gate_release(gate, key));
    }
    return gate;
}

static struct work admit_keys(size_t keys)
{
    struct work work = { 0 };

    work_begin();
    weir_gate_destroy(make_owing(keys, &work));
    work_end(&work);
    return work;
}

static struct work refuse_keys(size_t keys)
{
    struct work ignored = { 0 }, work = { 0 };
    struct weir_gate *gate = make_owing(keys, &ignored);

    work_begin();
    for (uint64_t key = keys; key < keys + TRIES; key++)
        COUNT(&work, EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT),
                                -EAGAIN));
    for (uint64_t key = 0; key < TRIES; key++)
        COUNT(&work,
              EXPECT_INT(weir_gate_acquire(gate, key % keys, WEIR_NO_WAIT),
                         -EAGAIN));
    work_end(&work);
    weir_gate_destroy(gate);
    return work;
}

static struct work admit_after_held_keys(size_t keys)
{
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = WEIR_NONE, .rate_per_s = 1e9, .keys_max = keys });
    struct work work = { 0 };

    for (uint64_t key = 1; key < keys; key++)
        REQUIRE(weir_gate_hold(gate, key, WEIR_FOREVER) == 0);
    work_begin();
    for (uint64_t key = keys; key < keys + TRIES; key++) {
        COUNT(&work, EXPECT_INT(weir_gate_acquire(gate, key, WEIR_FOREVER), 0));
        COUNT(&work, weir_gate_release(gate, key));
    }
    work_end(&work);
    weir_gate_destroy(gate);
    return work;
}

static struct work change_all_keys(size_t keys)
{
    struct work ignored = { 0 }, work = { 0 };
    struct weir_gate *gate = make_owing(keys, &ignored);
    struct weir_gate_stats stats;

    work_begin();
    for (int i = 1; i <= TRIES; i++) {
        COUNT(&work, EXPECT_INT(weir_gate_set(gate,
            &(struct weir_gate_options){ .limit = i, .burst = i,
                .rate_per_s = 0.01 / i }), 0));
        COUNT(&work, EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY,
            i % 2 ? WEIR_FOREVER : WEIR_NO_WAIT), 0));
        COUNT(&work, EXPECT_INT(weir_gate_stats(gate, &stats), 0));
        EXPECT_INT(stats.keys, keys);
    }
    work_end(&work);
    weir_gate_destroy(gate);
    return work;
}

/* With a rate, all keys are forgotten at the same moment. */
static struct work forget_all_keys(size_t keys, int by_stats)
{
    struct work work = { 0 };
    struct weir_gate *gate = make_owing(keys, &work);
    struct weir_gate_stats stats;

    for (uint64_t key = 0; key < keys; key += 2) /* and a hold that has ended */
        REQUIRE(weir_gate_hold(gate, key, weir_now()) == 0);
    REQUIRE(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1e9 }) == 0);
    work_begin();
    if (by_stats) {
        EXPECT_INT(weir_gate_stats(gate, &stats), 0);
        EXPECT_INT(stats.keys, 0);
    } else {
        for (uint64_t key = keys; key < 2 * keys; key++)
            EXPECT_INT(weir_gate_acquire(gate, key, WEIR_NO_WAIT), 0);
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    }
    work_end(&work);
    weir_gate_destroy(gate);
    return work;
}

static void entering(void)
{
    struct work few = admit_keys(FEW), many = admit_keys(MANY);

    compare("entering and leaving", &few, &many);
}

static void refusing(void)
{
    struct work few = refuse_keys(FEW), many = refuse_keys(MANY);

    compare("refusing", &few, &many);
}

static void admitting(void)
{
    struct work few = admit_after_held_keys(FEW);
    struct work many = admit_after_held_keys(MANY);

    compare("admitting a new key", &few, &many);
}

static void changing(void)
{
    struct work few = change_all_keys(FEW), many = change_all_keys(MANY);

    compare("changing all keys", &few, &many);
}

static void forgetting(void)
{
    for (int by_stats = 0; by_stats < 2; by_stats++) {
        struct work few = forget_all_keys(FEW, by_stats);
        struct work many = forget_all_keys(MANY, by_stats);

        compare_locked("forgetting all keys", &few, &many);
    }
}

static void creating(void)
{
    struct weir_gate *gate;
    struct work few = { 0 }, many = { 0 };

    work_begin();
    COUNT(&few, gate = make_gate(&(struct weir_gate_options){
        .keys_max = FEW }));
    weir_gate_destroy(gate);
    COUNT(&many, gate = make_gate(&(struct weir_gate_options){
        .keys_max = 1 << 20 }));
    weir_gate_destroy(gate);
    work_end(&few);
    work_end(&many);
    compare("creating", &few, &many);
}

/* ---- adversarial keys ---- */

/* The inverse of an odd number modulo 2^64, by Newton's iteration. */
static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd;

    for (int i = 0; i < 6; i++)
        x *= 2 - odd * x;
    return x;
}

/* For each family of keys that fall into one bucket without a hash or with a
 * multiplicative one, acquiring costs no more than with random keys. */
static void chosen_keys(void)
{
    /* 2^64 divided by the golden ratio, the most common factor */
    uint64_t golden = inverse(UINT64_C(0x9e3779b97f4a7c15));
    uint64_t dice = 88172645463325252u;
    struct work by_chance = { 0 };

    for (int family = 0; family < 5; family++) {
        struct weir_gate *gate = make_gate(&(struct weir_gate_options){
            .keys_max = 10000 });
        struct work work = { 0 };

        work_begin();
        for (uint64_t i = 0; i < 10000; i++) {
            const uint64_t keys[] = { dice, i << 32, i << 48 | i >> 16,
                                      i * golden, (i << 50 | i) * golden };

            COUNT(&work, EXPECT_INT(weir_gate_acquire(gate, keys[family],
                                                    WEIR_NO_WAIT), 0));
            dice ^= dice << 13; /* xorshift, Marsaglia 2003 */
            dice ^= dice >> 7;
            dice ^= dice << 17;
        }
        work_end(&work);
        if (family == 0)
            by_chance = work;
        printf("# family %d: %lu blocks at most\n", family, work.call);
        EXPECT(work.call <= 2 * by_chance.call);
        weir_gate_destroy(gate);
    }
}

/* ---- jobs that are parked ---- */

/* A job is parked for each key; then all are released at the same moment. */
static struct work let_all_go(size_t keys, int by_time)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .capacity = keys, .parked_max = keys });
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = keys });
    struct work work = { 0 };
    atomic_int ran = 0;

    REQUIRE(weir_gate_hold(gate, WEIR_EVERY, WEIR_FOREVER) == 0);
    work_begin();
    for (uint64_t key = 0; key < keys; key++)
        COUNT(&work, submit_to(pool, &(struct weir_job){ .fn = count_run,
            .arg = &ran, .gate = gate, .key = key }));
    AWAIT(pool_stats(pool).parked == keys);
    if (by_time) { /* each first gets a time */
        int64_t soon = weir_after(200 * WEIR_MS);

        EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, soon), 0);
    } else {
        EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
            .limit = 2 }), 0);
        EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_NO_WAIT), 0);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), keys);
    work_end(&work);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
    return work;
}

static void parked(void)
{
    for (int by_time = 0; by_time < 2; by_time++) {
        struct work few = let_all_go(FEW, by_time);
        struct work many = let_all_go(MANY, by_time);

        compare(by_time ? "jobs held until a time" : "jobs held until told",
                &few, &many);
    }
}

/* ---- jobs that wait for parked jobs ---- */

struct waiter {
    struct weir_gate *gate;
    struct weir_group *group;
    int jobs;
    sem_t submitted, cancelled;
    unsigned long done; /* blocks executed in the wait */
};

static int wait_for_parked(struct weir_context *cx, void *arg)
{
    struct waiter *w = arg;
    atomic_int ran = 0;
    unsigned long begin;

    w->group = make_group(weir_pool_of(cx), &(struct weir_group_options){
        .window = (size_t)w->jobs });
    for (int i = 0; i < w->jobs; i++)
        submit_in(w->group, &(struct weir_job){ .fn = count_run,
            .arg = &ran, .gate = w->gate, .key = (uint64_t)i });
    latch_open(&w->submitted);
    begin = blocks;
    EXPECT_INT(weir_group_wait(w->group, WEIR_FOREVER), 0);
    w->done = blocks - begin;
    EXPECT_INT(atomic_load(&ran), 0);
    latch_wait(&w->cancelled);
    weir_group_destroy(w->group);
    return 0;
}

/* A job waits for others at a held gate until they are cancelled. Returns the
 * work per job. */
static unsigned long try_parked(int jobs)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = (size_t)jobs + 1, .parked_max = 1 });
    struct waiter w = { .jobs = jobs };

    latch_init(&w.submitted);
    latch_init(&w.cancelled);
    w.gate = make_gate(&(struct weir_gate_options){
        .keys_max = (size_t)jobs });
    REQUIRE(weir_gate_hold(w.gate, WEIR_EVERY, WEIR_FOREVER) == 0);
    submit_to(pool, &(struct weir_job){ .fn = wait_for_parked, .arg = &w });
    latch_wait(&w.submitted);
    AWAIT(pool_stats(pool).parked == (size_t)jobs);
    EXPECT_INT(weir_group_cancel(w.group, WEIR_EVERY, -ECANCELED), 0);
    latch_open(&w.cancelled);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    weir_gate_destroy(w.gate);
    return w.done / (unsigned long)jobs;
}

static void helping(void)
{
    unsigned long few = try_parked(FEW * 2), many = try_parked(FEW * 100);

    printf("# %lu blocks for each of %d jobs, %lu of %d\n", few, FEW * 2,
           many, FEW * 100);
    EXPECT(many <= RATIO * few);
}

static const struct tap_case cases[] = {
    { "acquiring and releasing costs the same with any number of keys",
      entering },
    { "rejecting a key costs the same with any number of keys", refusing },
    { "admitting a new key costs the same with any number of held keys",
      admitting },
    { "bounds, holds and statistics of all keys cost the same with any number",
      changing },
    { "no call locks a gate for longer when many keys are forgotten",
      forgetting },
    { "creating a gate costs the same with any number of keys", creating },
    { "keys that are chosen to collide do not collide", chosen_keys },
    { "no call locks a gate for longer when many keys have parked jobs",
      parked },
    { "a job that waits for parked jobs does constant work for each parked "
      "job", helping },
};

int main(void)
{
    return TAP_RUN(cases);
}
