/* SPDX-License-Identifier: MIT
 * pool.c - fuzz target: any calls of a pool without threads, in any order,
 * on a simulated clock.
 *
 * This thread runs the jobs. Each accepted job ends once, run to its end or
 * dropped; none begins before its start time, after its deadline, or while its
 * gate is held; jobs of the same kind begin in the order of submission; jobs
 * that have ended free their places; and jobs that are ready run. */
#include "clock.h"

#include <weir/gate.h>
#include <weir/pool.h>

#define JOBS 400 /* in one input */
#define KEYS 3

struct model;

struct job {
    struct model *model;
    bool live;           /* accepted, and has not ended */
    bool begun;
    int64_t not_before;
    int64_t deadline;    /* 0: none */
    int64_t period_ns;   /* 0: none */
    int64_t start;
    int priority;
    int gate_key;        /* -1: no gate with a key */
    unsigned runs_left;  /* that end in WEIR_RERUN, or 0 with a period */
    unsigned retries;
    int64_t back_off;    /* before the next of them */
    int64_t pause;       /* for weir_retry_in(); -1: not called */
    int result;          /* the last one's */
    bool submits;        /* submits a job at its first run */
};

struct model {
    struct weir_pool *pool;
    struct weir_gate *gate;
    struct feed *feed;
    size_t capacity, live, made;
    int64_t held_until[KEYS], held_all;
    uint64_t accepted, succeeded, failed, dropped;
    unsigned begun; /* runs, ever */
    /* a deferred job was submitted: one that completes out of turn keeps its
     * place in the ring until the earlier ones are taken */
    bool special;
    bool closed;    /* or closing */
    struct job jobs[JOBS];
};

static int64_t any_span(struct feed *feed)
{
    static const int64_t spans[] = { 1,       1000,     WEIR_MS, 99 * WEIR_MS,
                                     WEIR_S,  5000,     2,       3 * WEIR_S };

    return spans[feed_below(feed, 8)];
}

static void submit(struct model *m, size_t count, bool inside);

/* ---- jobs ---- */

/* The earlier jobs of the same kind have begun. */
static void check_order(const struct model *m, const struct job *job)
{
    for (const struct job *j = m->jobs; j < job; j++)
        if (j->live && !j->begun && j->start == 0 && j->deadline == 0 &&
            j->priority == job->priority && j->gate_key == job->gate_key)
            CHECK(false);
}

static void check_begin(const struct model *m, const struct job *job)
{
    CHECK(job->live);
    CHECK(clock_ns >= job->not_before);
    CHECK(job->deadline == 0 || clock_ns <= job->deadline);
    if (job->gate_key >= 0)
        CHECK(m->held_all <= clock_ns &&
              m->held_until[job->gate_key] <= clock_ns);
    if (!job->begun && job->start == 0 && job->deadline == 0)
        check_order(m, job);
}

static void end(struct job *job)
{
    job->live = false;
    job->model->live--;
}

static int run(struct weir_context *cx, void *arg)
{
    struct job *job = arg;
    struct model *m = job->model;

    check_begin(m, job);
    CHECK(weir_tag(cx) == (uint64_t)(job - m->jobs));
    CHECK(weir_pool_of(cx) == m->pool);
    m->begun++;
    if (!job->begun && job->submits)
        submit(m, 1, true);
    job->begun = true;
    if (job->runs_left > 0 && job->period_ns != 0) {
        job->runs_left--;
        job->not_before += job->period_ns;
        return 0;
    }
    if (job->pause >= 0)
        weir_retry_in(cx, job->pause);
    if (job->runs_left > 0) {
        job->runs_left--;
        job->not_before = clock_ns + (job->pause > 0 ? job->pause : 0);
        return WEIR_RERUN;
    }
    if (job->result != 0 && job->retries > 0) {
        job->retries--;
        job->not_before = clock_ns + (job->pause >= 0 ? job->pause
                                                      : job->back_off);
        job->back_off *= 2;
        return job->result;
    }
    if (job->result == 0)
        m->succeeded++;
    else
        m->failed++;
    end(job);
    return job->result;
}

static void drop(void *arg, int reason)
{
    struct job *job = arg;
    struct model *m = job->model;

    CHECK(job->live);
    CHECK(reason == -ETIMEDOUT || (reason == -ECANCELED && m->closed));
    if (reason == -ETIMEDOUT)
        CHECK(job->deadline != 0 && clock_ns >= job->deadline);
    m->dropped++;
    end(job);
}

/* ---- the calls ---- */

static struct weir_job make_job(struct model *m)
{
    static const int64_t pauses[] = { -1, -1, 0, 1, WEIR_MS, 7 * WEIR_S };
    struct feed *feed = m->feed;
    struct job *job = &m->jobs[m->made];
    unsigned how = feed_byte(feed);
    struct weir_job asked = { .fn = run, .arg = job, .drop = drop,
                              .tag = m->made };

    *job = (struct job){ .model = m, .gate_key = -1, .pause = -1,
                          .back_off = WEIR_S / 10 };
    m->made++;
    if (how < 64) /* the plain ones */
        return asked;
    m->special = true;
    if (how & 1)
        asked.priority = job->priority = (int)feed_below(feed, 3) - 1;
    if (how & 2)
        asked.start = job->start = job->not_before =
            clock_ns + any_span(feed) - WEIR_MS;
    if (how & 4)
        asked.deadline = job->deadline = clock_ns + any_span(feed);
    if (how & 8) {
        job->gate_key = (int)feed_below(feed, KEYS);
        asked.gate = m->gate;
        asked.key = (uint64_t)job->gate_key;
    }
    if (how & 16) {
        job->runs_left = feed_below(feed, 3);
        job->pause = pauses[feed_below(feed, 6)];
        job->submits = feed_below(feed, 2) != 0;
    }
    if (how & 32) {
        job->result = 9;
        asked.retries = job->retries = feed_below(feed, 3);
    } else if (feed_below(feed, 4) == 0) {
        asked.period_ns = job->period_ns = any_span(feed);
        job->result = 9; /* otherwise it would never end */
        job->pause = -1;
        job->not_before = job->start != 0 ? job->start : clock_ns;
    }
    return asked;
}

/* How many of the jobs are accepted if there is no gate. */
static ssize_t expected(const struct model *m, size_t count, bool inside)
{
    size_t room = m->capacity - m->live;

    if (m->closed && !inside)
        return -EPIPE;
    if (room == 0)
        return -EAGAIN;
    return (ssize_t)(count < room ? count : room);
}

static void submit(struct model *m, size_t count, bool inside)
{
    struct weir_job jobs[4];
    size_t first = m->made;
    ssize_t got, want;

    if (m->made + count > JOBS)
        return;
    for (size_t i = 0; i < count; i++)
        jobs[i] = make_job(m);
    want = expected(m, count, inside);
    got = weir_pool_submit(m->pool, jobs, count,
                           inside ? WEIR_FOREVER : WEIR_NO_WAIT);
    /* A key of a gate may have too many waiting jobs, but only if there are
     * other jobs; and a pool that is being cancelled accepts nothing. */
    CHECK(got == want ||
          (m->special && want > 0 &&
           ((got == -EAGAIN && m->live > 0) || (got > 0 && got < want))) ||
          (inside && m->closed && got == -EPIPE));
    for (ssize_t i = 0; i < got; i++) {
        m->jobs[first + (size_t)i].live = true;
        m->live++;
        m->accepted++;
    }
}

/* A job that could run now and that no gate delays. */
static size_t count_ready(const struct model *m)
{
    size_t count = 0;

    for (size_t i = 0; i < m->made; i++) {
        const struct job *job = &m->jobs[i];

        count += job->live && job->gate_key < 0 &&
                 job->not_before <= clock_ns &&
                 (job->period_ns == 0 || !job->begun);
    }
    return count;
}

static void run_pool(struct model *m)
{
    unsigned how = feed_below(m->feed, 4), begun = m->begun;
    int64_t began = clock_ns;
    int64_t until = how < 2    ? WEIR_NO_WAIT
                    : how == 2 ? clock_ns
                               : clock_ns + any_span(m->feed);
    size_t ready = count_ready(m), live = m->live;
    int err = weir_pool_run(m->pool, until);

    CHECK(err == (m->live == 0 ? 0 : how < 2 ? -EAGAIN : -ETIMEDOUT));
    if (how < 2)
        CHECK(clock_ns == began && count_ready(m) == 0);
    if (how == 2)
        CHECK(m->begun <= begun + 1 &&
              (ready == 0 || m->begun > begun || m->live < live));
    if (how == 3)
        CHECK(clock_ns >= began && clock_ns <= until);
}

static void hold(struct model *m)
{
    unsigned how = feed_below(m->feed, 4), key = feed_below(m->feed, KEYS + 1);
    int64_t until = how == 0   ? WEIR_NO_WAIT
                    : how == 1 ? WEIR_FOREVER
                               : clock_ns + any_span(m->feed);

    CHECK(weir_gate_hold(m->gate, key == KEYS ? WEIR_EVERY : key, until) == 0);
    *(key == KEYS ? &m->held_all : &m->held_until[key]) = until;
}

static void check_stats(const struct model *m)
{
    struct weir_pool_stats s;
    int err = weir_pool_wait(m->pool, WEIR_NO_WAIT);

    CHECK(err == (m->live == 0 ? 0 : -EAGAIN));
    CHECK(weir_pool_stats(m->pool, &s) == 0);
    CHECK(s.submitted == m->accepted && s.dropped == m->dropped);
    CHECK(s.failed == m->failed && s.succeeded == m->succeeded);
    CHECK(s.running == 0 && s.workers == 0);
    CHECK(s.queued + s.delayed + s.parked == m->live);
}

static void step(struct model *m)
{
    unsigned what = feed_below(m->feed, 16);

    if (what < 6)
        submit(m, 1 + feed_below(m->feed, 4), false);
    else if (what < 11)
        run_pool(m);
    else if (what < 13)
        clock_ns += any_span(m->feed);
    else if (what < 15)
        hold(m);
    else
        check_stats(m);
}

static void close_pool(struct model *m, enum weir_close mode)
{
    m->closed = true;
    CHECK(weir_pool_close(m->pool, mode, WEIR_FOREVER) == 0);
    CHECK(m->live == 0);
    check_stats(m);
    submit(m, 1, false);
    CHECK(m->live == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model model;
    struct feed feed = feed_of(data, size);
    struct model *m = &model;
    int limit;
    unsigned last;

    *m = (struct model){ .feed = &feed, .held_all = WEIR_NO_WAIT };
    for (int i = 0; i < KEYS; i++)
        m->held_until[i] = WEIR_NO_WAIT;
    clock_ns = 100 * WEIR_S;
    m->capacity = 1 + feed_below(&feed, 24);
    limit = (int)feed_below(&feed, 3);
    last = feed_below(&feed, 3);
    CHECK(weir_gate_create(&m->gate, &(struct weir_gate_options){
        .keys_max = KEYS + 1 }) == 0);
    CHECK(weir_pool_create(&m->pool, &(struct weir_pool_options){
        .workers = WEIR_NONE, .capacity = m->capacity, .limit = limit }) == 0);
    while (!feed_is_empty(&feed))
        step(m);
    check_stats(m);
    if (last < 2)
        close_pool(m, last == 0 ? WEIR_DRAIN : WEIR_CANCEL);
    m->closed = true;
    weir_pool_destroy(m->pool);
    CHECK(m->live == 0);
    weir_gate_destroy(m->gate);
    return 0;
}
