/* SPDX-License-Identifier: MIT
 * submitters.c - `weir show submitters`: many submitters, one pool.
 *
 * Each submitter is a thread that creates a group (weir_group) on a shared
 * pool, submits jobs, and waits for their results, each of which it stores at
 * the index of its input. The pool alone limits how many jobs run at the same
 * time and how many start per second:
 *
 *   submitter --> group --.                           .--> worker
 *   submitter --> group ---+--> pool: queue, gate ---+
 *   submitter --> group --'                           '--> worker
 *
 * The scenario has three parts:
 *
 *   1. the same submitters under five limits, which only the pool knows;
 *   2. two submitters on two workers: each knows when its own jobs are done;
 *   3. results in completion order (weir_group_next) and in input order
 *      (weir_group_get); in both cases a result names its input.
 *
 * Use this file as a starting point: job() is the work, submitter() submits it.
 * Ctrl-C simply ends the program, because nothing has to be saved; letters.c
 * shows how to end in an orderly way.
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

#define MOST    6               /* most submitters, and most jobs of one */
#define LOOK_NS (20 * WEIR_MS)  /* how often a job checks for a stop request */

static const char help[] =
    "weir show submitters [options] - many submitters, one pool\n"
    "\n"
    "  --seed N    seed of the random delays (random)\n"
    "  --scale X   multiply every delay, and the period of the rate (1)\n";

struct work {
    int who, input; /* the question: numbers of submitter and input */
    double seconds; /* how long it takes to find the answer */
    int answer;
};

struct submitter {
    struct weir_pool *pool;
    struct weir_queue *submitted; /* gets `number` after the last submit */
    int number;                   /* from 0 */
    int count;                    /* number of its jobs */
    struct work work[MOST];
    int answers[MOST];            /* in the order of the inputs */
    int64_t done;                 /* when it had all answers */
    pthread_t thread;
    int err;
};

struct scenario {
    double scale;
    int64_t seed;
};

/* ---- the work of one job, on a worker's thread ---- */

/* No two questions have the same answer, so a mixed-up answer is detected. */
static int right_answer(int who, int input)
{
    return 100 * (who + 1) + input;
}

/* Simulates work, so it keeps its permit all the time. weir_sleep() would
 * release the permit, and the limit would have no effect. */
static int job(struct weir_context *cx, void *arg)
{
    struct work *work = arg;
    int64_t end = weir_after((int64_t)ceil(work->seconds * 1e9)), left;

    while ((left = end - weir_now()) > 0) {
        struct timespec pause = {
            .tv_nsec = (long)(left < LOOK_NS ? left : LOOK_NS) };

        if (weir_stop_requested(cx))
            return -ECANCELED;
        nanosleep(&pause, NULL); /* if it ends early the loop continues */
    }
    work->answer = right_answer(work->who, work->input);
    return 0;
}

/* ---- the submitters, each in its own thread ---- */

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
    weir_queue_put(me->submitted, &me->number, WEIR_FOREVER);
    for (int i = 0; i < me->count && err == 0; i++) {
        struct weir_result r;

        err = weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER);
        if (err == 0)
            err = r.status; /* what job() returned */
        if (err == 0)
            me->answers[i] = ((const struct work *)r.arg)->answer;
    }
    me->done = weir_now();
    weir_group_destroy(group);
    me->err = err;
    return NULL;
}

/* Run the submitters until each has its results. With `in_turn` each submits
 * its jobs before the next one starts, so that their order is known. Returns 0
 * or the first error. */
static int let_submit(struct weir_pool *pool, struct submitter *all, int count,
                      int in_turn)
{
    struct weir_queue *submitted; /* of int */
    int started = 0, who;
    int err = weir_queue_create(&submitted, &(struct weir_queue_options){
        .item_bytes = sizeof(who), .capacity = MOST });

    while (started < count && err == 0) {
        struct submitter *s = &all[started];

        s->pool = pool;
        s->submitted = submitted;
        err = -pthread_create(&s->thread, NULL, submitter, s);
        started += err == 0;
        if (err == 0 && in_turn)
            err = weir_queue_take(submitted, &who, WEIR_FOREVER);
    }
    if (err != 0) /* do not wait for jobs that are not needed any more */
        weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER);
    for (int i = 0; i < started; i++) {
        pthread_join(all[i].thread, NULL);
        err = err != 0 ? err : all[i].err;
    }
    weir_queue_destroy(submitted);
    return err;
}

/* ---- output and checks ---- */

/* Print one whole line immediately. Returns 0 or an error. */
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

/* Returns 0; 1 after a message if an answer does not match its question. */
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

/* Add a job to a submitter. */
static void add_work(struct submitter *s, double seconds)
{
    s->work[s->count] = (struct work){
        .who = s->number, .input = s->count, .seconds = seconds };
    s->count++;
}

/* ---- 1: the same submitters under five limits ---- */

/* Predict the time: each job in turn takes the permit that is free first, and
 * starts no earlier than its tick of the rate, of which there is one per
 * `period`. */
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

/* Run one submitter per delay under a limit, and print a line. Returns 0, 1 or
 * an error. */
static int under_limit(const char *name, const struct weir_pool_options *limit,
                       const double *seconds, int count)
{
    struct submitter all[MOST] = { { 0 } };
    int permits = limit->limit != 0 ? limit->limit : limit->workers;
    double period = limit->rate_per_s > 0 ? 1 / limit->rate_per_s : 0;
    struct weir_pool *pool;
    int64_t began = weir_now(); /* the ticks of the pool begin here */
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
        { "limit of two", { .workers = 6, .limit = 2 } },
        { "limit of three", { .workers = 6, .limit = 3 } },
        { "one start per second", { .workers = 6, .rate_per_s = 1 } },
        { "no limit, six workers", { .workers = 6 } },
    };
    double seconds[MOST] = { 2, 1, 4, 2, 5, 1 };
    int err = print("six submitters of one job each, 2 1 4 2 5 1 s, scale %g\n",
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

/* Print "  main_0: 0→100 1→101 ...". Returns 0 or an error. */
static int print_answers(const struct submitter *s, int64_t began)
{
    struct text line = { 0 };
    int err;

    text_printf(&line, "  main_%d:", s->number);
    for (int i = 0; i < s->count; i++)
        text_printf(&line, " %d%s%d", i, "\u2192", s->answers[i]);
    text_printf(&line, "  all received after %.2f s",
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
    /* There is room only for the running jobs, so submitting waits too, and the
     * jobs of the two submitters mix. */
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
        err = print("  both after, lower bound %.2f s, measured %.2f s\n",
                    fmax(sum / 2, longest),
                    (double)((two[0].done > two[1].done ? two[0].done
                                                        : two[1].done) -
                             began) / WEIR_S);
    return err;
}

/* ---- 3: completion order and input order ---- */

#define FOUR 4

struct arrival {
    int input;
    double seconds; /* the job's delay */
    double at;      /* when its result was received */
};

/* Run four jobs, and note the results in the order in which they are received.
 * Returns 0, 1 or an error. */
static int collect(const struct scenario *sc, int by_completion,
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

        err = by_completion
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
        err = print("  %-30s    %s\n", "in completion order",
                    "in input order");
    for (int i = 0; i < FOUR && err == 0; i++)
        err = print("  input %d, %.2f s: got at %.2f s"
                    "    input %d, %.2f s: got at %.2f s\n",
                    come[i].input, come[i].seconds, come[i].at,
                    input[i].input, input[i].seconds, input[i].at);
    return err;
}

/* ---- options ---- */

/* Returns EXIT_OK to go on, -1 if help was printed, or another exit code. */
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
    if (err < 0) /* if it is 1, check() has printed a message */
        say("weir show submitters: %s%s",
            ferror(stdout) ? "standard output: " : "", strerror(-err));
    return err == 0 ? EXIT_OK : EXIT_BROKEN;
}
