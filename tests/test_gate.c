/* SPDX-License-Identifier: MIT
 * test_gate.c - the promises of gate.h. */
#include "run.h"

#include <weir/gate.h>

#include <math.h>

static struct weir_gate *make(int limit, double rate, int burst)
{
    struct weir_gate *gate;

    REQUIRE(weir_gate_create(&gate, &(struct weir_gate_options){
        .limit = limit, .rate_per_s = rate, .burst = burst }) == 0);
    return gate;
}

static struct weir_gate_stats stats_of(struct weir_gate *gate)
{
    struct weir_gate_stats stats;

    /* returns: weir_gate_stats 0 */
    REQUIRE(weir_gate_stats(gate, &stats) == 0);
    return stats;
}

/* ---- options ---- */

static void defaults(void)
{
    struct weir_gate *gate;

    /* returns: weir_gate_create 0 */
    REQUIRE(weir_gate_create(&gate, NULL) == 0);
    EXPECT_INT(stats_of(gate).limit, 1);
    /* returns: weir_gate_acquire 0 */
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
    weir_gate_destroy(NULL);
}

static void options_out_of_range(void)
{
    static const struct weir_gate_options bad[] = {
        { .limit = -2 },          { .burst = -1 },
        { .burst = 1 << 21 },     { .rate_per_s = 1e-7 },
        { .rate_per_s = 2e9 },    { .rate_per_s = -2 },
        { .rate_per_s = (double)NAN }, { .rate_per_s = (double)INFINITY },
        { .reserved = { 1 } },
    };
    const struct weir_gate_options many = { .keys_max = (1 << 24) + 1 };
    struct weir_gate *live = make(2, 0, 0);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_gate *gate = (struct weir_gate *)&gate;

        /* returns: weir_gate_create -EINVAL */
        EXPECT_INT(weir_gate_create(&gate, &bad[i]), -EINVAL);
        EXPECT(gate == NULL);
        /* returns: weir_gate_set -EINVAL */
        EXPECT_INT(weir_gate_set(live, &bad[i]), -EINVAL);
    }
    EXPECT_INT(stats_of(live).limit, 2);
    weir_gate_destroy(live);
    EXPECT_INT(weir_gate_create(&live, &many), -EINVAL);
    EXPECT(live == NULL);
}

/* ---- limit ---- */

static void limit_holds(void)
{
    struct weir_gate *gate = make(3, 0, 0);
    struct weir_gate_stats stats;

    for (int i = 0; i < 3; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    /* returns: weir_gate_acquire -EAGAIN */
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_gate_acquire -ETIMEDOUT */
    EXPECT_INT(weir_gate_acquire(gate, 0, 0), -ETIMEDOUT);
    EXPECT_INT(weir_gate_acquire(gate, 0, weir_after(WEIR_MS)), -ETIMEDOUT);
    stats = stats_of(gate);
    EXPECT_INT(stats.acquired, 3);
    EXPECT_INT(stats.rejected, 3);
    EXPECT_INT(stats.inside, 3);
    EXPECT_INT(stats.inside_peak, 3);
    EXPECT_INT(stats.waiting, 0);
    for (int i = 0; i < 3; i++)
        weir_gate_release(gate, 0);
    EXPECT_INT(stats_of(gate).inside, 0);
    weir_gate_destroy(gate);
}

static void no_limit(void)
{
    struct weir_gate *gate = make(WEIR_NONE, 0, 0);

    for (int i = 0; i < 1000; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(stats_of(gate).inside_peak, 1000);
    EXPECT_INT(stats_of(gate).limit, WEIR_NONE);
    weir_gate_destroy(gate);
}

static int leave_too_often(void *arg)
{
    (void)arg;
    quiet();
    /* aborts: weir_gate_release */
    weir_gate_release(make(1, 0, 0), 0);
    return 0;
}

static void leave_without_enter(void)
{
    EXPECT_INT(in_child(leave_too_often, NULL), 128 + SIGABRT);
}

struct walker {
    struct weir_gate *gate;
    atomic_int *order;
    atomic_int inside, most;
    int64_t deadline;
    int place, result;
};

static void *enter_once(void *arg)
{
    struct walker *w = arg;

    w->result = weir_gate_acquire(w->gate, 0, w->deadline);
    if (w->result == 0)
        w->place = atomic_fetch_add(w->order, 1);
    return NULL;
}

static void first_come(void)
{
    enum { N = 10 };
    struct weir_gate *gate = make(1, 0, 0);
    struct walker w[N];
    pthread_t threads[N];
    atomic_int order = 0;

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    for (int i = 0; i < N; i++) {
        w[i] = (struct walker){ .gate = gate, .order = &order,
                                .deadline = WEIR_FOREVER };
        threads[i] = start(enter_once, &w[i]);
        AWAIT(stats_of(gate).waiting == i + 1);
    }
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    for (int i = 0; i < N; i++) {
        weir_gate_release(gate, 0);
        join(threads[i]);
        EXPECT_INT(w[i].result, 0);
        EXPECT_INT(w[i].place, i);
    }
    EXPECT_INT(stats_of(gate).waited, N);
    EXPECT_INT(stats_of(gate).inside_peak, 1);
    weir_gate_destroy(gate);
}

static void giving_up_in_front(void)
{
    struct weir_gate *gate = make(1, 0, 0);
    atomic_int order = 0;
    struct walker front = { .gate = gate, .order = &order };
    struct walker behind = front;
    pthread_t a, b;

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    front.deadline = weir_after(30 * WEIR_MS);
    behind.deadline = WEIR_FOREVER;
    a = start(enter_once, &front);
    AWAIT(stats_of(gate).waiting == 1 || stats_of(gate).rejected == 1);
    b = start(enter_once, &behind);
    join(a);
    EXPECT_INT(front.result, -ETIMEDOUT);
    weir_gate_release(gate, 0);
    join(b);
    EXPECT_INT(behind.result, 0);
    weir_gate_destroy(gate);
}

static void raising_lets_in(void)
{
    enum { N = 6 };
    struct weir_gate *gate = make(1, 0, 0);
    struct walker w[N];
    pthread_t threads[N];
    atomic_int order = 0;

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    for (int i = 0; i < N; i++) {
        w[i] = (struct walker){ .gate = gate, .order = &order,
                                .deadline = WEIR_FOREVER };
        threads[i] = start(enter_once, &w[i]);
    }
    AWAIT(stats_of(gate).waiting == N);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .limit = 4 }), 0);
    AWAIT(atomic_load(&order) == 3);
    EXPECT_INT(stats_of(gate).inside, 4);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .limit = WEIR_NONE }), 0);
    for (int i = 0; i < N; i++)
        join(threads[i]);
    EXPECT_INT(stats_of(gate).inside, N + 1);
    weir_gate_destroy(gate);
}

static void lowering_interrupts_nothing(void)
{
    struct weir_gate *gate = make(4, 0, 0);

    for (int i = 0; i < 4; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .limit = 2 }), 0);
    EXPECT_INT(stats_of(gate).inside, 4);
    weir_gate_release(gate, 0);
    weir_gate_release(gate, 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    weir_gate_release(gate, 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    weir_gate_destroy(gate);
}

static void *in_and_out(void *arg)
{
    struct walker *w = arg;

    for (int i = 0; i < 5000; i++) {
        int now, most;

        if (!EXPECT_INT(weir_gate_acquire(w->gate, 0, WEIR_FOREVER), 0))
            break;
        now = atomic_fetch_add(&w->inside, 1) + 1;
        most = atomic_load(&w->most);
        while (now > most &&
               !atomic_compare_exchange_weak(&w->most, &most, now))
            ;
        atomic_fetch_sub(&w->inside, 1);
        weir_gate_release(w->gate, 0);
    }
    return NULL;
}

static void never_more_than_the_limit(void)
{
    enum { N = 8 };
    struct walker w = { .gate = make(3, 0, 0) };
    pthread_t threads[N];

    for (int i = 0; i < N; i++)
        threads[i] = start(in_and_out, &w);
    for (int i = 0; i < N; i++)
        join(threads[i]);
    EXPECT(atomic_load(&w.most) <= 3);
    EXPECT_INT(stats_of(w.gate).acquired, N * 5000);
    EXPECT_INT(stats_of(w.gate).inside, 0);
    EXPECT(stats_of(w.gate).inside_peak <= 3);
    weir_gate_destroy(w.gate);
}

/* ---- rate ---- */

static void not_before_its_tick(void)
{
    int64_t start = weir_now();
    struct weir_gate *gate = make(WEIR_NONE, 1000, 0);

    for (int i = 0; i < 50; i++) {
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_FOREVER), 0);
        /* The first tick comes after the start, and each of the others at least
         * one period after the one before. Lost ticks only make later ones
         * later. */
        EXPECT(weir_now() - start >= i * WEIR_MS);
    }
    weir_gate_destroy(gate);
}

static void a_burst_is_there_at_once(void)
{
    /* One a day: no tick passes while the test runs. */
    struct weir_gate *gate = make(WEIR_NONE, 1.0 / 86400, 5);

    for (int i = 0; i < 5; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(stats_of(gate).acquired, 5);
    EXPECT_INT(stats_of(gate).rejected, 3);
    weir_gate_destroy(gate);
}

static void unused_ticks_are_lost(void)
{
    /* 20 periods of 1 ms pass unused; two of their ticks are kept. */
    struct weir_gate *gate = make(WEIR_NONE, 1000, 2);
    int64_t until = weir_after(20 * WEIR_MS), before, after;
    int entered = 0;

    AWAIT(weir_now() >= until);
    before = weir_now();
    while (weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0)
        entered++;
    after = weir_now();
    EXPECT(entered >= 2);
    EXPECT(entered <= 2 + 1 + (after - before) / WEIR_MS);
    weir_gate_destroy(gate);
}

static void a_rate_can_change(void)
{
    struct weir_gate *gate = make(WEIR_NONE, 1.0 / 86400, 0);

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_gate_set 0 */
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1000 }), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_FOREVER), 0);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = WEIR_NONE }), 0);
    for (int i = 0; i < 1000; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    weir_gate_destroy(gate);
}

static void a_new_rate_counts_from_use(void)
{
    struct weir_gate *gate = make(WEIR_NONE, 1e6, 0);

    /* No tick was used yet: the first is available, whatever the rate. */
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1.0 / 3600 }), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    weir_gate_destroy(gate);
}

static void a_waiter_sees_a_new_rate(void)
{
    struct weir_gate *gate = make(WEIR_NONE, 1.0 / 86400, 0);
    atomic_int order = 0;
    struct walker w = { .gate = gate, .order = &order,
                        .deadline = WEIR_FOREVER };
    pthread_t thread;

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    thread = start(enter_once, &w);
    AWAIT(stats_of(gate).waiting == 1);
    EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
        .rate_per_s = 1e6 }), 0);
    join(thread);
    EXPECT_INT(w.result, 0);
    weir_gate_destroy(gate);
}

struct ticks {
    struct weir_gate *gate;
    int64_t *times;
    atomic_int taken;
    int count;
};

static void *take_ticks(void *arg)
{
    struct ticks *s = arg;
    int i;

    while ((i = atomic_fetch_add(&s->taken, 1)) < s->count) {
        EXPECT_INT(weir_gate_acquire(s->gate, 0, WEIR_FOREVER), 0);
        s->times[i] = weir_now();
        weir_gate_release(s->gate, 0);
    }
    return NULL;
}

static void all_ticks_take_their_time(void)
{
    /* 300 acquisitions by 8 threads at 3,000 a second with a burst of 4: the
     * last one cannot come before 296 periods have passed. */
    enum { N = 8, COUNT = 300 };
    static int64_t times[COUNT];
    struct ticks s = { .times = times, .count = COUNT };
    pthread_t threads[N];
    int64_t begin = weir_now(), last = 0;

    s.gate = make(WEIR_NONE, 3000, 4);
    for (int i = 0; i < N; i++)
        threads[i] = start(take_ticks, &s);
    for (int i = 0; i < N; i++)
        join(threads[i]);
    for (int i = 0; i < COUNT; i++)
        last = times[i] > last ? times[i] : last;
    EXPECT(last - begin >= INT64_C(296) * WEIR_S / 3000);
    EXPECT_INT(stats_of(s.gate).acquired, COUNT);
    EXPECT(stats_of(s.gate).late_ns >= stats_of(s.gate).late_peak_ns);
    weir_gate_destroy(s.gate);
}

/* ---- hold ---- */

static void hold_and_lift(void)
{
    struct weir_gate *gate = make(2, 0, 0);

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    EXPECT(stats_of(gate).held_until == WEIR_FOREVER);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_gate_acquire(gate, 0, weir_after(WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(stats_of(gate).inside, 1);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    weir_gate_destroy(gate);
}

static void a_hold_ends_by_itself(void)
{
    struct weir_gate *gate = make(2, 0, 0);
    int64_t until = weir_after(20 * WEIR_MS);

    EXPECT_INT(weir_gate_hold(gate, 0, until), 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_FOREVER), 0);
    EXPECT(weir_now() >= until);
    weir_gate_destroy(gate);
}

static void lifting_wakes_the_line(void)
{
    enum { N = 4 };
    struct weir_gate *gate = make(WEIR_NONE, 0, 0);
    struct walker w[N];
    pthread_t threads[N];
    atomic_int order = 0;

    /* returns: weir_gate_hold 0 */
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    for (int i = 0; i < N; i++) {
        w[i] = (struct walker){ .gate = gate, .order = &order,
                                .deadline = WEIR_FOREVER };
        threads[i] = start(enter_once, &w[i]);
        AWAIT(stats_of(gate).waiting == i + 1);
    }
    EXPECT_INT(weir_gate_hold(gate, 0, weir_after(5 * WEIR_MS)), 0);
    for (int i = 0; i < N; i++) {
        join(threads[i]);
        EXPECT_INT(w[i].result, 0);
        EXPECT(w[i].place >= 0 && w[i].place < N);
    }
    weir_gate_destroy(gate);
}

static void no_such_key(void)
{
    struct weir_gate *gate = make(1, 0, 0);
    struct weir_gate *keyed;

    REQUIRE(weir_gate_create(&keyed, &(struct weir_gate_options){
        .keys_max = 2 }) == 0);
    /* returns: weir_gate_acquire -EINVAL */
    EXPECT_INT(weir_gate_acquire(gate, 1, WEIR_FOREVER), -EINVAL);
    EXPECT_INT(weir_gate_acquire(gate, WEIR_EVERY, WEIR_FOREVER), -EINVAL);
    EXPECT_INT(weir_gate_acquire(keyed, WEIR_EVERY, WEIR_FOREVER), -EINVAL);
    /* returns: weir_gate_hold -EINVAL */
    EXPECT_INT(weir_gate_hold(gate, 1, WEIR_FOREVER), -EINVAL);
    EXPECT_INT(stats_of(gate).acquired, 0);
    EXPECT_INT(stats_of(gate).rejected, 0);
    EXPECT(stats_of(gate).held_until == WEIR_NO_WAIT);
    EXPECT_INT(stats_of(keyed).keys, 0);
    weir_gate_destroy(keyed);
    weir_gate_destroy(gate);
}

/* ---- fork ---- */

static int use_in_child(void *arg)
{
    struct weir_gate *gate = arg;
    int bad = 0;

    /* returns: weir_gate_acquire -ECHILD */
    /* The lock is free, so calls that need not wait work; calls that must wait
     * return ECHILD. */
    bad += weir_gate_acquire(gate, 0, WEIR_FOREVER) != -ECHILD;
    weir_gate_destroy(gate);
    return bad;
}

static int leave_in_child(void *arg)
{
    struct weir_gate *gate = arg;
    int bad = stats_of(gate).inside != 1;

    /* The waiters do not exist in the child; their stacks must not be written
     * to. */
    weir_gate_release(gate, 0);
    bad += stats_of(gate).inside != 0;
    bad += weir_gate_hold(gate, 0, WEIR_NO_WAIT) != 0;
    bad += weir_gate_set(gate, &(struct weir_gate_options){
        .limit = 5 }) != 0;
    return bad;
}

static void child_leaves_the_line_alone(void)
{
    struct weir_gate *gate = make(1, 0, 0);
    atomic_int order = 0;
    struct walker w = { .gate = gate, .order = &order,
                        .deadline = WEIR_FOREVER };
    pthread_t thread;

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    thread = start(enter_once, &w);
    AWAIT(stats_of(gate).waiting == 1);
    EXPECT_INT(in_child(leave_in_child, gate), 0);
    EXPECT_INT(stats_of(gate).inside, 1);
    weir_gate_release(gate, 0);
    join(thread);
    EXPECT_INT(w.result, 0);
    weir_gate_destroy(gate);
}

static void a_cancelled_thread_leaves_nothing(void)
{
    /* pthread_cancel() takes effect after the wait and not inside it: otherwise
     * the waiter would stay queued. */
    struct weir_gate *gate = make(1, 0, 0);
    atomic_int order = 0;
    struct walker w = { .gate = gate, .order = &order,
                        .deadline = WEIR_FOREVER };
    pthread_t thread;

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    thread = start(enter_once, &w);
    AWAIT(stats_of(gate).waiting == 1);
    REQUIRE(pthread_cancel(thread) == 0);
    weir_gate_release(gate, 0);
    join(thread);
    EXPECT_INT(stats_of(gate).waiting, 0);
    EXPECT_INT(stats_of(gate).inside, 1);
    weir_gate_release(gate, 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    weir_gate_destroy(gate);
}

static void child_cannot_wait(void)
{
    struct weir_gate *gate = make(1, 0, 0);

    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(in_child(use_in_child, gate), 0);
    weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
}

static const struct tap_case cases[] = {
    { "a gate without options has one permit", defaults },
    { "a gate option out of range is EINVAL and changes nothing",
      options_out_of_range },
    { "a full gate rejects an acquisition, and the rejection changes nothing",
      limit_holds },
    { "a gate without a limit admits any number", no_limit },
    { "releasing a permit that was not acquired aborts", leave_without_enter },
    { "waiters acquire in the order in which they came", first_come },
    { "a first waiter that gives up does not delay the next waiter",
      giving_up_in_front },
    { "raising the limit admits waiters", raising_lets_in },
    { "lowering the limit revokes no permit, and none is given until enough "
      "are released", lowering_interrupts_nothing },
    { "a gate never has more permits out than its limit",
      never_more_than_the_limit },
    { "no acquisition succeeds before its tick", not_before_its_tick },
    { "a burst of permits is available immediately, and no more than the "
      "burst", a_burst_is_there_at_once },
    { "unused ticks beyond the burst are lost", unused_ticks_are_lost },
    { "a rate can be changed and removed", a_rate_can_change },
    { "a new rate counts from the last tick that was used",
      a_new_rate_counts_from_use },
    { "a waiter for a tick notices a new rate", a_waiter_sees_a_new_rate },
    { "n acquisitions take at least n - burst periods",
      all_ticks_take_their_time },
    { "a held gate admits no thread until the hold is lifted", hold_and_lift },
    { "a hold ends at its deadline", a_hold_ends_by_itself },
    { "lifting a hold admits all waiters", lifting_wakes_the_line },
    { "acquiring or holding a key that the gate cannot have returns EINVAL",
      no_such_key },
    { "waiting at a gate in a forked child returns ECHILD", child_cannot_wait },
    { "a forked child does not affect the waiters at its parent's gate",
      child_leaves_the_line_alone },
    { "a thread that is cancelled while it waits at a gate leaves nothing "
      "behind", a_cancelled_thread_leaves_nothing },
};

int main(void)
{
    return TAP_RUN(cases);
}
