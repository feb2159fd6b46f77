/* SPDX-License-Identifier: MIT
 * submitters.c - `weir show submitters`: many submitters, one pool.
 *
 * A submitter is a thread that has jobs done by others: it makes a group
 * (weir_group) on a pool they all share, submits, waits in line, and goes on
 * when it has its results, each at its own input. How many jobs run at once,
 * and how many start in a second, is the pool's business:
 *
 *   submitter --> group --.                          .--> worker
 *   submitter --> group ---+--> pool: line, gate ---+
 *   submitter --> group --'                          '--> worker
 *
 *   1. the same submitters under five limits, which only the pool knows;
 *   2. two submitters on two workers: each knows when its own jobs are done;
 *   3. results as they come (weir_group_next), or in the order of the input
 *      (weir_group_get); either way a result names its input.
 *
 * Take this file as a starting point: job() is the work, submitter() the one
 * who wants it done. Nothing here has to be saved, so Ctrl-C does what it
 * does to any program; letters.c shows how to end in an orderly way.
 */
#include "commands.h"
#include "common/settings.h"
#include "common/text.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <weir/weir.h>

#define MOST    6               /* submitters, or jobs of one */
#define LOOK_NS (20 * WEIR_MS)  /* how often a job looks whether to stop */

static const char help[] =
    "weir show submitters [options] - many submitters, one pool\n"
    "\n"
    "  --seed N    the same random delays each time (any)\n"
    "  --scale X   multiply every delay, the second of the rate too (1)\n";

struct work {
    int who, input; /* the question */
    double seconds; /* that it takes to find the answer */
    int answer;
};

struct submitter {
    struct weir_pool *pool;
    struct weir_queue *in_line; /* told once all of its jobs are in line */
    int number;                 /* from 0 */
    int count;                  /* of its jobs */
    struct work work[MOST];
    int answers[MOST];          /* at the place of their inputs */
    int64_t done;               /* when it had all of them */
    pthread_t thread;
    int err;
};

struct scenario {
    double scale;
    int64_t seed;
};

/* ---- the work of one job, on a worker's thread ---- */

/* No two questions have the same answer: what is mixed up is found. */
static int right_answer(int who, int input)
{
    return 100 * (who + 1) + input;
}

/* Keeps its permit all the while, as work does. weir_sleep() would hand it
 * on, and then a limit of two were none. */
static int job(struct weir_context *cx, void *arg)
{
    struct work *work = arg;
    int64_t end = weir_after((int64_t)ceil(work->seconds * 1e9)), left;

    while ((left = end - weir_now()) > 0) {
        struct timespec nap = { .tv_nsec = (long)(left < LOOK_NS ? left
                                                                 : LOOK_NS) };

        if (weir_stop_requested(cx))
            return -ECANCELED;
        nanosleep(&nap, NULL); /* woken early: there is something left */
    }
    work->answer = right_answer(work->who, work->input);
    return 0;
}

/* ---- who wants it done, each on a thread of its own ---- */

static int submit(struct weir_group *group, struct work *work)
{
    ssize_t n = weir_group_submit(group, &(struct weir_job){
        .fn = job, .arg = work }, 1, WEIR_FOREVER);

    return n < 0 ? (int)n : 0;
}

static void *submitter(void *arg)
{
    struct submitter *me = arg;
    struct weir_group *group;
    int err = weir_group_create(&group, me->pool, NULL);

    for (int i = 0; i < me->count && err == 0; i++)
        err = submit(group, &me->work[i]);
    weir_queue_put(me->in_line, &me->number, WEIR_FOREVER);
    for (int i = 0; i < me->count && err == 0; i++) {
        struct weir_result r;

        err = weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER);
        if (err == 0)
            err = r.status; /* of job() */
        if (err == 0)
            me->answers[i] = ((const struct work *)r.arg)->answer;
    }
    me->done = weir_now();
    weir_group_destroy(group);
    me->err = err;
    return NULL;
}

/* Let submitters do what they do until each has its results. `in_turn`: one
 * stands in line before the next one comes, so that the order is known.
 * Returns 0 or the first error. */
static int let_submit(struct weir_pool *pool, struct submitter *all, int count,
                      int in_turn)
{
    struct weir_queue *in_line; /* of int */
    int started = 0, who;
    int err = weir_queue_create(&in_line, &(struct weir_queue_options){
        .item_bytes = sizeof(who), .capacity = MOST });

    while (started < count && err == 0) {
        struct submitter *s = &all[started];

        s->pool = pool;
        s->in_line = in_line;
        err = -pthread_create(&s->thread, NULL, submitter, s);
        started += err == 0;
        if (err == 0 && in_turn)
            err = weir_queue_take(in_line, &who, WEIR_FOREVER);
    }
    if (err != 0) /* do not wait for what is not needed any more */
        weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER);
    for (int i = 0; i < started; i++) {
        pthread_join(all[i].thread, NULL);
        err = err != 0 ? err : all[i].err;
    }
    weir_queue_destroy(in_line);
    return err;
}

/* ---- what is printed, and checked ---- */

/* Print one whole line now, in one piece. Returns 0 or an error. */
static int print(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static int print(const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vprintf(format, args);
    va_end(args);
    return n < 0 || fflush(stdout) != 0 ? -errno : 0;
}

static double since(int64_t began)
{
    return (double)(weir_now() - began) / WEIR_S;
}

/* Returns 0, or 1: some answer is not at its question. */
static int check(const struct submitter *all, int count)
{
    for (int s = 0; s < count; s++)
        for (int i = 0; i < all[s].count; i++) {
            int wanted = right_answer(all[s].number, i);

            if (all[s].answers[i] == wanted)
                continue;
            say("weir show submitters: main_%d has %d at input %d, not %d",
                all[s].number, all[s].answers[i], i, wanted);
            return 1;
        }
    return 0;
}

/* Give a submitter one more job. */
static void add_work(struct submitter *s, double seconds)
{
    s->work[s->count] = (struct work){
        .who = s->number, .input = s->count, .seconds = seconds };
    s->count++;
}

/* ---- 1: one pool after another, the same submitters ---- */

/* Work it out: each job in turn takes the permit that is free first, and
 * starts no earlier than its slot, of which there is one in `period`. */
static double predict(const double *seconds, int count, int permits,
                      double period)
{
    double free_at[MOST] = { 0 }, end = 0;

    for (int i = 0; i < count; i++) {
        int first = 0;

        for (int p = 1; p < permits; p++)
            if (free_at[p] < free_at[first])
                first = p;
        free_at[first] = fmax(free_at[first], i * period) + seconds[i];
        end = fmax(end, free_at[first]);
    }
    return end;
}

/* The delays, submitted by one submitter each, under one limit. */
static int under_limit(const char *name, const struct weir_pool_options *limit,
                       const double *seconds, int count)
{
    struct submitter all[MOST] = { { 0 } };
    int permits = limit->limit != 0 ? limit->limit : limit->workers;
    double period = limit->rate_per_s > 0 ? 1 / limit->rate_per_s : 0;
    struct weir_pool *pool;
    int64_t began = weir_now(); /* a pool's slots count from here */
    double took;
    int err = weir_pool_create(&pool, limit);

    for (int i = 0; i < count; i++) {
        all[i].number = i;
        add_work(&all[i], seconds[i]);
    }
    if (err == 0)
        err = let_submit(pool, all, count, 1);
    took = since(began);
    weir_pool_destroy(pool);
    if (err == 0)
        err = check(all, count);
    if (err == 0)
        err = print("  %-22s  %7.2f s  %7.2f s\n", name,
                    predict(seconds, count, permits, period), took);
    return err;
}

static int show_limits(const struct scenario *sc)
{
    static const struct {
        const char *name;
        struct weir_pool_options limit;
    } pools[] = {
        { "one worker", { .workers = 1 } },
        { "two at once", { .workers = 6, .limit = 2 } },
        { "three at once", { .workers = 6, .limit = 3 } },
        { "one start per second", { .workers = 6, .rate_per_s = 1 } },
        { "no limit, six workers", { .workers = 6 } },
    };
    double seconds[MOST] = { 2, 1, 4, 2, 5, 1 };
    int err = print("six submitters of one job each, 2 1 4 2 5 1 s, times %g\n",
                    sc->scale);

    for (int i = 0; i < MOST; i++)
        seconds[i] *= sc->scale;
    if (err == 0)
        err = print("  %-22s  %9s  %9s\n", "the pool", "predicted",
                    "measured");
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]) && err == 0; i++) {
        struct weir_pool_options limit = pools[i].limit;

        limit.rate_per_s /= sc->scale;
        err = under_limit(pools[i].name, &limit, seconds, MOST);
    }
    return err;
}

/* ---- 2: two submitters, five jobs each, two workers ---- */

/* splitmix64 (Steele, Lea, Flood 2014): the same numbers from the same seed
 * everywhere, which rand() does not promise. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* "  main_0: 0→100 1→101" and so on. Returns 0 or an error. */
static int print_answers(const struct submitter *s, int64_t began)
{
    struct text line = { 0 };
    int err;

    text_printf(&line, "  main_%d:", s->number);
    for (int i = 0; i < s->count; i++)
        text_printf(&line, " %d%s%d", i, "\u2192", s->answers[i]);
    text_printf(&line, "  all its own after %.2f s",
                (double)(s->done - began) / WEIR_S);
    err = line.failed ? -ENOMEM : print("%s\n", line.data);
    text_free(&line);
    return err;
}

static int show_two(const struct scenario *sc)
{
    struct submitter two[2] = { { .number = 0 }, { .number = 1 } };
    uint64_t random = (uint64_t)sc->seed;
    double sum = 0, longest = 0;
    struct weir_pool *pool;
    int64_t began;
    int err = print("two submitters of five jobs each, random delays, two"
                    " workers; seed %lld\n", (long long)sc->seed);

    for (int i = 0; i < 2 * 5; i++) { /* 0.5 to 1.5 s */
        double part = (double)(next_random(&random) >> 11) * 0x1p-53;
        double seconds = (0.5 + part) * sc->scale;

        add_work(&two[i % 2], seconds);
        sum += seconds;
        longest = fmax(longest, seconds);
    }
    if (err != 0)
        return err;
    began = weir_now();
    /* Room for what runs and no more: submitting waits too, and the jobs of
     * the two mix. */
    err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2, .capacity = 2 });
    if (err == 0)
        err = let_submit(pool, two, 2, 0);
    weir_pool_destroy(pool);
    if (err == 0)
        err = check(two, 2);
    for (int i = 0; i < 2 && err == 0; i++)
        err = print_answers(&two[i], began);
    if (err == 0)
        err = print("  both, not less than %.2f s, after %.2f s\n",
                    fmax(sum / 2, longest),
                    (double)((two[0].done > two[1].done ? two[0].done
                                                        : two[1].done) -
                             began) / WEIR_S);
    return err;
}

/* ---- 3: as they come, or in the order of the input ---- */

#define FOUR 4

struct arrival {
    int input;
    double seconds, at; /* of the job; when the result was there */
};

/* Four jobs, and their results in the order in which they were handed out.
 * Returns 0 or an error. */
static int collect(const struct scenario *sc, int as_they_come,
                   struct arrival *arrivals)
{
    static const double delays[FOUR] = { 5, 4, 3, 2 };
    struct submitter me = { 0 };
    struct weir_group *group = NULL;
    struct weir_pool *pool;
    int64_t began = weir_now();
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = FOUR });

    if (err == 0)
        err = weir_group_create(&group, pool, NULL);
    for (int i = 0; i < FOUR; i++)
        add_work(&me, delays[i] * sc->scale);
    for (int i = 0; i < FOUR && err == 0; i++)
        err = submit(group, &me.work[i]);
    for (int i = 0; i < FOUR && err == 0; i++) {
        struct weir_result r;
        const struct work *work;

        err = as_they_come
                  ? weir_group_next(group, &r, WEIR_FOREVER)
                  : weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER);
        if (err != 0 || (err = r.status) != 0)
            break;
        work = r.arg;
        me.answers[r.index] = work->answer;
        arrivals[i] = (struct arrival){
            (int)r.index, work->seconds, since(began) };
    }
    weir_group_destroy(group); /* before its pool */
    weir_pool_destroy(pool);
    return err != 0 ? err : check(&me, 1);
}

static int show_order(const struct scenario *sc)
{
    struct arrival come[FOUR], input[FOUR];
    int err = print("delays 5 4 3 2 s, four workers; each result names its"
                    " input\n");

    if (err == 0)
        err = collect(sc, 1, come);
    if (err == 0)
        err = collect(sc, 0, input);
    if (err == 0)
        err = print("  %-30s    %s\n", "in order of completion",
                    "in order of input");
    for (int i = 0; i < FOUR && err == 0; i++)
        err = print("  input %d, %.2f s: had at %.2f s"
                    "    input %d, %.2f s: had at %.2f s\n",
                    come[i].input, come[i].seconds, come[i].at,
                    input[i].input, input[i].seconds, input[i].at);
    return err;
}

/* ---- options ---- */

/* Returns EXIT_OK to go on, another exit code, or -1: help was asked for. */
static int read_options(struct scenario *sc, int argc, char **argv)
{
    int code;
    const struct setting settings[] = {
        SETTING("seed", 0, WHOLE, &sc->seed, 0, 9e15),
        SETTING_SCALE(&sc->scale, NULL),
    };

    code = settings_read(&(struct settings_of){
        .name = "show submitters", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]) }, argc, argv);
    if (code != EXIT_OK)
        return code;
    if (sc->seed < 0)
        sc->seed = weir_now() % 1000000;
    return EXIT_OK;
}

int show_submitters(int argc, char **argv)
{
    struct scenario sc = { .scale = 1, .seed = -1 };
    int code = read_options(&sc, argc, argv);
    int err;

    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    err = show_limits(&sc);
    if (err == 0)
        err = show_two(&sc);
    if (err == 0)
        err = show_order(&sc);
    if (err < 0) /* else check() has said it */
        say("weir show submitters: %s%s",
            ferror(stdout) ? "standard output: " : "", strerror(-err));
    return err == 0 ? EXIT_OK : EXIT_BROKEN;
}
