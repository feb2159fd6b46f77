/* SPDX-License-Identifier: MIT
 * nested.c - `weir show nested`: jobs that submit jobs and wait for them.
 *
 * There are two evenings, which run concurrently. Each has two parties, one
 * after the other, of three people each. A person says hello, stays for a while
 * and says bye; a party is over when all three have left:
 *
 *   main --> group of two evenings
 *              evening --> group P1: joe sam bob, then P2: jill jane mary
 *              evening --> group P3: joseph joey jo, then P4: alex ...
 *
 * An evening is a job that creates a group on its own pool, submits jobs to it
 * and waits for them. In a usual pool with one worker this is a deadlock: the
 * only worker waits for jobs that only it can run. Here a worker that waits for
 * a group runs the jobs of that group, so the same code ends on seven workers,
 * on two and on one; only the times differ.
 *
 * Use this file as a starting point: greet(), have_party() and evening() are
 * the whole flow. The other parts of the scenario are in show/:
 * nested_growth.c, nested_wait.c and nested_atomic.c.
 */
#include "show/nested.h"

#include "commands.h"
#include "common/settings.h"
#include "common/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENINGS 2
#define PARTIES  2 /* per evening, one after the other */
#define PEOPLE   3 /* per party, concurrently */

static const char help[] =
    "weir show nested [options] - jobs that submit jobs and wait\n"
    "\n"
    "  --part NAME  run only one of these parts:\n"
    "     family    groups in groups and a long job, on seven workers\n"
    "     few       the same groups on two workers, and on one\n"
    "     growth    a pool that grows while its workers are blocked\n"
    "     ask       ask whether a submit would wait, or refuse to wait\n"
    "     abandon   stop waiting for jobs, and drop late results\n"
    "     atomic    sections of jobs that do not interleave\n"
    "  --scale X    multiply every delay (1)\n";

struct family {
    struct nested *nested;
    struct weir_pool *pool;
    int64_t began;
};

struct person {
    const char *name;
    double seconds; /* how long to stay */
    struct family *family;
    double hello, bye; /* predicted times */
    const char *answer; /* the person's name, set by the job */
};

struct evening {
    struct person people[PARTIES][PEOPLE];
    const char *answers[PARTIES][PEOPLE]; /* in the order of `people` */
};

/* ---- the flow ---- */

static int print_times(const struct person *p, const char *word,
                       double predicted)
{
    return nested_print(p->family->nested, "  %-5s  %-10s  %8.2f s  %8.2f s\n",
                        word, p->name, predicted,
                        nested_since(p->family->began));
}

static int greet(struct weir_context *cx, void *arg)
{
    struct person *me = arg;
    int err = print_times(me, "hello", me->hello);

    if (err == 0)
        err = weir_sleep(cx, nested_ns(me->family->nested, me->seconds));
    if (err == 0)
        err = print_times(me, "bye", me->bye);
    if (err == 0)
        me->answer = me->name;
    return err;
}

/* Run a party as a group, and store the answers in the order of the people, not
 * in the order in which the jobs end. Returns 0 or the first error. */
static int have_party(struct family *family, struct person *people,
                      const char **answers)
{
    struct weir_job jobs[PEOPLE];
    struct weir_group *group;
    ssize_t n;
    int err = weir_group_create(&group, family->pool,
                                &(struct weir_group_options){
        .policy = WEIR_FAIL_FAST }); /* a failure stops the other jobs */

    if (err != 0)
        return err;
    for (int i = 0; i < PEOPLE; i++)
        jobs[i] = (struct weir_job){ .fn = greet, .arg = &people[i] };
    n = weir_group_submit(group, jobs, PEOPLE, WEIR_FOREVER);
    err = n < 0 ? (int)n : n < PEOPLE ? -EAGAIN : 0;
    for (int i = 0; i < PEOPLE && err == 0; i++) {
        struct weir_result r;

        /* This waits inside a job: the worker runs jobs of the group. */
        err = weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER);
        if (err == 0)
            err = r.status; /* what greet() returned */
        if (err == 0)
            answers[i] = ((const struct person *)r.arg)->answer;
    }
    weir_group_destroy(group);
    return err;
}

static int evening(struct weir_context *cx, void *arg)
{
    struct evening *e = arg;
    int err = 0;

    (void)cx;
    for (int p = 0; p < PARTIES && err == 0; p++)
        err = have_party(e->people[p][0].family, e->people[p], e->answers[p]);
    return err;
}

/* Run both evenings concurrently. Returns 0 or the first error. */
static int have_evenings(struct family *family, struct evening *evenings)
{
    struct weir_job jobs[EVENINGS];
    struct weir_group *group;
    ssize_t n;
    int err = weir_group_create(&group, family->pool,
                                &(struct weir_group_options){
        .policy = WEIR_FAIL_FAST });

    if (err != 0)
        return err;
    for (int i = 0; i < EVENINGS; i++)
        jobs[i] = (struct weir_job){ .fn = evening, .arg = &evenings[i] };
    n = weir_group_submit(group, jobs, EVENINGS, WEIR_FOREVER);
    err = n < 0 ? (int)n : weir_group_wait(group, WEIR_FOREVER);
    if (err == 0)
        err = weir_group_status(group); /* of the first failed job */
    weir_group_destroy(group);
    return err;
}

/* ---- prediction, output, checks ---- */

static const struct evening everybody[EVENINGS] = {
    { .people = { { { .name = "joe", .seconds = 5 },
                    { .name = "sam", .seconds = 3 },
                    { .name = "bob", .seconds = 1 } },
                  { { .name = "jill", .seconds = 4 },
                    { .name = "jane", .seconds = 2 },
                    { .name = "mary", .seconds = 1 } } } },
    { .people = { { { .name = "joseph", .seconds = 5 },
                    { .name = "joey", .seconds = 3 },
                    { .name = "jo", .seconds = 1 } },
                  { { .name = "alex", .seconds = 4 },
                    { .name = "alexandria", .seconds = 2 },
                    { .name = "alexandra", .seconds = 1 } } } },
};

/* Fill in the predicted times. With enough workers for all people a party takes
 * as long as its longest stay. With fewer, each evening has at most one worker,
 * which runs its people one after another while it waits; with a single worker
 * the evenings run one after the other too. Returns when everything is over. */
static double predict(struct evening *evenings, int workers, double scale)
{
    double at[EVENINGS] = { 0 }, end = 0;

    for (int i = 0; i < EVENINGS * PARTIES; i++) {
        int e = i / PARTIES, enough = workers > EVENINGS * PEOPLE;
        double *now = &at[enough ? e : e % workers], longest = *now;

        for (int p = 0; p < PEOPLE; p++) {
            struct person *person = &evenings[e].people[i % PARTIES][p];

            person->hello = *now;
            person->bye = *now + person->seconds * scale;
            longest = fmax(longest, person->bye);
            if (!enough)
                *now = person->bye;
        }
        *now = longest;
        end = fmax(end, longest);
    }
    return end;
}

/* Print the answers nested like the groups: "[[joe, sam, bob], [jill, ...]]".
 * Returns 0; 1 after a message if an answer is in the wrong place; or an
 * error. */
static int print_answers(struct nested *n, const struct evening *e)
{
    struct text line = { 0 };
    int err;

    for (int i = 0; i < PARTIES * PEOPLE; i++) {
        const char *name = e->people[i / PEOPLE][i % PEOPLE].name;
        const char *got = e->answers[i / PEOPLE][i % PEOPLE];

        if (got == NULL || strcmp(got, name) != 0) {
            say("weir show nested: %s is in the place of %s",
                got != NULL ? got : "no answer", name);
            text_free(&line);
            return 1;
        }
        text_printf(&line, "%s%s", i % PEOPLE != 0 ? ", "
                                   : i == 0        ? "[["
                                                   : "], [", got);
    }
    err = line.failed ? -ENOMEM : nested_print(n, "  %s]]\n", line.data);
    text_free(&line);
    return err;
}

/* Run both evenings on a pool of `workers`, and concurrently the job of
 * `stays`, which belongs to no group, unless `stays` is NULL. With enough
 * workers for all people an evening may find that other workers run all jobs of
 * its party. Then it cannot help, so it blocks, and the pool grows by one
 * worker. Returns 0, 1 or an error, like print_answers(). */
static int on_workers(struct nested *n, int workers, struct person *stays)
{
    struct evening evenings[EVENINGS];
    struct family family = { .nested = n, .began = weir_now() };
    double end;
    int err = weir_pool_create(&family.pool, &(struct weir_pool_options){
        .workers = workers,
        .workers_max = stays != NULL ? workers + EVENINGS : 0 });

    memcpy(evenings, everybody, sizeof(evenings));
    for (int i = 0; i < EVENINGS * PARTIES * PEOPLE; i++)
        evenings[i / (PARTIES * PEOPLE)].people[i / PEOPLE % PARTIES]
                [i % PEOPLE].family = &family;
    end = predict(evenings, workers, n->scale);
    if (err == 0)
        err = nested_print(n, "  %17s  %10s  %10s\n", "", "predicted",
                           "measured");
    if (err == 0 && stays != NULL) {
        stays->family = &family;
        stays->bye = stays->seconds * n->scale;
        err = (int)weir_pool_submit(family.pool, &(struct weir_job){
            .fn = greet, .arg = stays }, 1, WEIR_FOREVER);
        err = err < 0 ? err : 0;
    }
    if (err == 0)
        err = have_evenings(&family, evenings);
    if (err == 0)
        err = nested_print(n, "  %-17s  %8.2f s  %8.2f s\n", "all of them",
                           end, nested_since(family.began));
    for (int i = 0; i < EVENINGS && err == 0; i++)
        err = print_answers(n, &evenings[i]);
    if (err == 0) /* wait for the job of `stays` too */
        err = weir_pool_close(family.pool, WEIR_DRAIN, WEIR_FOREVER);
    weir_pool_destroy(family.pool); /* after an error: stops running jobs */
    if (err == 0 && stays != NULL && stays->answer == NULL)
        return -ECANCELED;
    return err;
}

int nested_family(struct nested *n)
{
    struct person background = { .name = "background", .seconds = 20 };
    int err = nested_print(n, "nested groups (evenings of parties) and a long"
                           " job, on seven workers; scale %g\n", n->scale);

    return err != 0 ? err : on_workers(n, 7, &background);
}

int nested_few(struct nested *n)
{
    int err = nested_print(n, "the same groups without the long job, on two"
                           " workers; scale %g\n", n->scale);

    if (err == 0)
        err = on_workers(n, 2, NULL);
    if (err == 0)
        err = nested_print(n, "the same groups on one worker; scale %g\n",
                           n->scale);
    return err != 0 ? err : on_workers(n, 1, NULL);
}

/* ---- shared by the parts ---- */

int nested_print(struct nested *n, const char *format, ...)
{
    char line[256];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(line))
        return -EMSGSIZE;
    return weir_writer_write(n->screen,
                             &(struct iovec){ line, (size_t)length }, 1,
                             WEIR_FOREVER);
}

int64_t nested_ns(const struct nested *n, double seconds)
{
    return (int64_t)ceil(seconds * n->scale * 1e9);
}

double nested_since(int64_t began)
{
    return (double)(weir_now() - began) / WEIR_S;
}

void nested_block(int64_t ns)
{
    struct timespec left = { .tv_sec = (time_t)(ns / WEIR_S),
                             .tv_nsec = (long)(ns % WEIR_S) };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* ---- options ---- */

static const struct part {
    const char *name;
    int (*show)(struct nested *n);
} parts[] = { { "family", nested_family }, { "few", nested_few },
              { "growth", nested_growth }, { "ask", nested_ask },
              { "abandon", nested_abandon }, { "atomic", nested_atomic } };

#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* Set which parts to run: from `first` to before `end`. Returns EXIT_OK to go
 * on, -1 if help was printed, or another exit code. */
static int read_options(struct nested *n, size_t *first, size_t *end, int argc,
                        char **argv)
{
    int part = 0, code;
    const struct setting settings[] = {
        SETTING_WORD("part", &part,
                     "all|family|few|growth|ask|abandon|atomic"),
        SETTING_SCALE(&n->scale, NULL),
    };

    *first = 0;
    *end = PARTS;
    code = settings_read(&(struct settings_of){
        .name = "show nested", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]) }, argc, argv);
    if (code == EXIT_OK && part > 0) {
        *first = (size_t)part - 1;
        *end = (size_t)part;
    }
    return code;
}

int show_nested(int argc, char **argv)
{
    struct nested n = { .scale = 1 };
    size_t part, end;
    int code = read_options(&n, &part, &end, argc, argv);
    int err, screen;

    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    screen = err = weir_writer_open(&n.screen, &(struct weir_writer_options){
        .fd = STDOUT_FILENO,
        .batch_max = 1 }); /* a write of one line to a pipe is never torn */
    for (; part < end && err == 0; part++)
        err = parts[part].show(&n);
    if (n.screen != NULL)
        screen = weir_writer_close(n.screen, WEIR_FOREVER);
    weir_writer_destroy(n.screen);
    if (screen != 0)
        say("weir show nested: standard output: %s", strerror(-screen));
    else if (err < 0) /* if it is 1 there was a message already */
        say("weir show nested: %s", strerror(-err));
    return err == 0 && screen == 0 ? EXIT_OK : EXIT_BROKEN;
}
