/* SPDX-License-Identifier: MIT
 * kata.c - `weir show kata`: a bounded queue between producers and consumers.
 *
 * Producers put the numbers 0 to 99 into a queue of 50 (weir_queue) and sleep
 * 0.01 s after each. Consumers take them out and sleep 0.1 s after each. So a
 * single consumer is ten times too slow: the queue fills up, and from then on
 * each put waits for a take.
 *
 *   producer --> queue of 50 --> consumer --> screen, file (weir_writer)
 *
 * Only producer() and consumer() put and take. Consumers learn in one of two
 * ways that no more items will come:
 *
 *   --end close      the last producer closes the queue. This is the default:
 *                    it is one call, works for any number of consumers, and
 *                    also ends all threads after a failure;
 *   --end sentinel   the last producer puts one item per consumer that means
 *                    "the end". These items take room and count in `qsize`.
 *
 * Use this file as a starting point: producer(), consumer() and play() are the
 * whole flow. The rest is options and output.
 */
#include "commands.h"
#include "show/kata_plan.h"
#include "common/settings.h"
#include "common/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

#define MANY     ITEMS /* most producers or consumers: one per item */
#define SENTINEL (-1)

static const char help[] =
    "weir show kata [options] - a bounded queue between threads\n"
    "\n"
    "  --consumers C   threads that take (1)\n"
    "  --producers P   threads that put (1)\n"
    "  --capacity N    items the queue holds (50)\n"
    "  --end HOW       close: the last producer closes the queue (close)\n"
    "                  sentinel: it puts a last item for each consumer\n"
    "  --sweep         run with 1 2 3 4 5 8 10 12 consumers, print times only\n"
    "  --dry-run       print only the predictions\n"
    "  --scale X       multiply every delay (1)\n"
    "  --output FILE   consumers append the items they take to FILE\n"
    "\n"
    "If NO_COLOR is set in the environment, colours are off.\n";

struct kata {
    int64_t producers, consumers, capacity;
    double scale;
    int by_sentinel; /* --end sentinel */
    int lines;       /* print a line for each put and take */
    const char *output;
    const char *green, *red, *plain;

    struct weir_writer *screen; /* standard output */
    struct weir_writer *file;   /* NULL: none */
    struct weir_queue *queue;   /* of int */
    atomic_int producing;       /* producers that have not ended */
};

/* A producer or consumer. Its thread owns the result members until it is
 * joined, so they need no lock. */
struct side {
    struct kata *kata;
    int number; /* from 1 */
    pthread_t thread;
    int items, sum, err;
    size_t deepest; /* highest length of the queue that it saw */
};

/* ---- what the threads do ---- */

/* Write one whole line: a writer never splits a record. If `to` is NULL, do
 * nothing. Returns 0 or an error. */
static int print(struct weir_writer *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int print(struct weir_writer *to, const char *format, ...)
{
    char line[256];
    va_list args;
    int length;

    if (to == NULL)
        return 0;
    va_start(args, format);
    length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(line))
        return -EMSGSIZE;
    return weir_writer_write(to, &(struct iovec){ line, (size_t)length }, 1,
                             WEIR_FOREVER);
}

static void rest(const struct kata *k, int ticks)
{
    int64_t ns = (int64_t)((double)(ticks * TICK_NS) * k->scale);
    struct timespec left = { .tv_sec = (time_t)(ns / WEIR_S),
                             .tv_nsec = (long)(ns % WEIR_S) };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void *producer(void *arg)
{
    struct side *me = arg;
    struct kata *k = me->kata;
    int last, err = 0;

    for (int item = me->number - 1; item < ITEMS;
         item += (int)k->producers) {
        size_t depth;

        if (k->lines)
            err = print(k->screen, "%s+ p%d        Produced %d%s\n", k->green,
                        me->number, item, k->plain);
        if (err == 0)
            err = weir_queue_put(k->queue, &item, WEIR_FOREVER);
        if (err != 0)
            break;
        depth = weir_queue_count(k->queue);
        me->deepest = depth > me->deepest ? depth : me->deepest;
        rest(k, PUT_TICKS);
    }
    last = atomic_fetch_sub(&k->producing, 1) == 1;
    for (int i = 0; last && k->by_sentinel && i < k->consumers && err == 0;
         i++)
        err = weir_queue_put(k->queue, &(int){ SENTINEL }, WEIR_FOREVER);
    if ((last && !k->by_sentinel) || err != 0)
        weir_queue_close(k->queue);
    me->err = err;
    return NULL;
}

static void *consumer(void *arg)
{
    struct side *me = arg;
    struct kata *k = me->kata;
    int item, err;

    while ((err = weir_queue_take(k->queue, &item, WEIR_FOREVER)) == 0 &&
           item != SENTINEL) {
        me->items++;
        me->sum += item;
        if (k->lines)
            err = print(k->screen,
                        "%s-> c%d        Consumed %d, qsize: %zu%s\n", k->red,
                        me->number, item, weir_queue_count(k->queue), k->plain);
        if (err == 0)
            err = print(k->file, "consumer %d | %d\n", me->number, item);
        if (err != 0)
            break;
        rest(k, TAKE_TICKS);
    }
    if (err != 0) /* -EPIPE: it is closed already; else end all threads */
        weir_queue_close(k->queue);
    me->err = err;
    return NULL;
}

/* ---- the flow ---- */

struct result {
    int items, sum;
    size_t deepest;
    double seconds;
};

/* Join a thread and add its results to *r. Returns `err`, or if that is 0 the
 * thread's error, unless it is -EPIPE: the queue was closed. */
static int join(struct side *side, struct result *r, int err)
{
    pthread_join(side->thread, NULL);
    r->items += side->items;
    r->sum += side->sum;
    r->deepest = side->deepest > r->deepest ? side->deepest : r->deepest;
    return err != 0 || side->err == -EPIPE ? err : side->err;
}

/* Pass all items through the queue once. Returns 0 or an error. */
static int play(struct kata *k, struct result *r)
{
    struct side sides[2 * MANY] = { { 0 } }; /* consumers, then producers */
    int consumers = (int)k->consumers, started = 0;
    int64_t began;
    int err = weir_queue_create(&k->queue, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = (size_t)k->capacity });

    *r = (struct result){ 0 };
    if (err != 0)
        return err;
    atomic_store(&k->producing, (int)k->producers);
    began = weir_now();
    for (; started < consumers + k->producers && err == 0; started++) {
        struct side *side = &sides[started];
        int takes = started < consumers;

        side->kata = k;
        side->number = started - (takes ? 0 : consumers) + 1;
        err = -pthread_create(&side->thread, NULL,
                              takes ? consumer : producer, side);
        if (err != 0)
            break;
    }
    if (err != 0) /* if a thread is missing the others would wait forever */
        weir_queue_close(k->queue);
    for (int i = 0; i < started; i++)
        err = join(&sides[i], r, err);
    r->seconds = (double)(weir_now() - began) / WEIR_S;
    weir_queue_destroy(k->queue);
    return err;
}

/* ---- what is printed ---- */

static double seconds(const struct kata *k, int ticks)
{
    return (double)(ticks * TICK_NS) / WEIR_S * k->scale;
}

/* Returns 0; 1 after a message if an item is missing or came twice. */
static int check(const struct result *r)
{
    int wanted = ITEMS * (ITEMS - 1) / 2;

    if (r->items == ITEMS && r->sum == wanted)
        return 0;
    say("weir show kata: %d items of sum %d came through, not %d of sum %d",
        r->items, r->sum, ITEMS, wanted);
    return 1;
}

static int show_once(struct kata *k, int dry_run)
{
    int ticks = kata_ticks((int)k->producers, (int)k->consumers);
    struct result r;
    int err = print(k->screen, "%d items; + is a put, -> a take, and qsize the"
                    " number of items in the queue\n", ITEMS);

    if (err != 0)
        return err;
    if (!dry_run) {
        err = play(k, &r);
        if (err == 0)
            err = check(&r);
        if (err == 0)
            err = print(k->screen,
                        "sum of consumed items    %7d\n"
                        "peak queue length        %7zu of %d allowed\n",
                        r.sum, r.deepest, (int)k->capacity);
        if (err != 0)
            return err;
    }
    err = print(k->screen, "%-24s %7.2f s\n",
                k->producers == 1 ? "predicted" : "lower bound",
                seconds(k, ticks));
    if (err == 0 && !dry_run)
        err = print(k->screen, "%-24s %7.2f s\n", "measured", r.seconds);
    return err;
}

static int show_sweep(struct kata *k, int dry_run)
{
    static const int consumers[] = { 1, 2, 3, 4, 5, 8, 10, 12 };
    int knee = kata_knee((int)k->producers);
    int err = print(k->screen, "consumers  %s  measured\n",
                    k->producers == 1 ? "  predicted" : "lower bound");

    k->lines = 0;
    for (size_t i = 0; i < sizeof(consumers) / sizeof(consumers[0]); i++) {
        char measured[32] = "         -";
        struct result r;

        k->consumers = consumers[i];
        if (err == 0 && !dry_run) {
            err = play(k, &r);
            if (err == 0)
                err = check(&r);
            snprintf(measured, sizeof(measured), "%8.2f s", r.seconds);
        }
        if (err == 0)
            err = print(k->screen, "%9d  %9.2f s%s%s\n", consumers[i],
                        seconds(k, kata_ticks((int)k->producers, consumers[i])),
                        measured, consumers[i] == knee ? "  <- knee" : "");
    }
    if (err == 0)
        err = print(k->screen, "the knee is at %d: more consumers are not"
                    " faster\n", knee);
    return err;
}

/* ---- options ---- */

/* Returns EXIT_OK to go on, -1 if help was printed, or another exit code. */
static int read_options(struct kata *k, int *sweep, int *dry_run, int argc,
                        char **argv)
{
    int code;
    const struct setting settings[] = {
        SETTING("consumers", 0, WHOLE, &k->consumers, 1, MANY),
        SETTING("producers", 0, WHOLE, &k->producers, 1, MANY),
        SETTING("capacity", 0, WHOLE, &k->capacity, 1, 1e6),
        SETTING_WORD("end", &k->by_sentinel, "close|sentinel"),
        SETTING("sweep", 0, FLAG, sweep, 0, 0),
        SETTING("dry-run", 0, FLAG, dry_run, 0, 0),
        SETTING_SCALE(&k->scale, NULL),
        SETTING("output", 'o', TEXT, &k->output, 0, 0),
    };

    code = settings_read(&(struct settings_of){
        .name = "show kata", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]) }, argc, argv);
    if (code != EXIT_OK)
        return code;
    if (*sweep && (k->consumers != 0 || k->output != NULL)) {
        say("weir show kata: --sweep excludes %s",
            k->consumers != 0 ? "--consumers" : "--output");
        return EXIT_BAD_INPUT;
    }
    if (k->consumers == 0)
        k->consumers = 1;
    return EXIT_OK;
}

/* Print what failed: a writer's error if there is one, else `err`. */
static int broken(const struct kata *k, int err, int file, int screen)
{
    if (file != 0)
        say("weir show kata: %s: %s", k->output, strerror(-file));
    else if (screen != 0)
        say("weir show kata: standard output: %s", strerror(-screen));
    else if (err < 0)
        say("weir show kata: %s", strerror(-err));
    return EXIT_BROKEN;
}

/* Open the output. Returns 0 or an error. */
static int open_file(struct kata *k)
{
    struct weir_writer_stats stats = { 0 };
    int err = weir_writer_open(&k->file, &(struct weir_writer_options){
        .path = k->output, .recover = WEIR_RECOVER_LINES });

    if (err == 0)
        err = weir_writer_stats(k->file, &stats);
    if (stats.torn_bytes != 0)
        say("%s: cut off a torn last line of %llu bytes, kept in %s.torn",
            k->output, (unsigned long long)stats.torn_bytes, k->output);
    return err;
}

int show_kata(int argc, char **argv)
{
    struct kata k = { .producers = 1, .capacity = 50, .scale = 1, .lines = 1,
                      .green = "", .red = "", .plain = "" };
    int sweep = 0, dry_run = 0, err, file = 0, screen;
    int code = read_options(&k, &sweep, &dry_run, argc, argv);
    const char *no_color = getenv("NO_COLOR");

    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    if (isatty(STDOUT_FILENO) && (no_color == NULL || *no_color == '\0')) {
        k.green = "\033[32m";
        k.red = "\033[31m";
        k.plain = "\033[0m";
    }
    screen = err = weir_writer_open(&k.screen, &(struct weir_writer_options){
        .fd = STDOUT_FILENO });
    if (err == 0 && k.output != NULL && !dry_run)
        file = err = open_file(&k);
    if (err == 0)
        err = sweep ? show_sweep(&k, dry_run) : show_once(&k, dry_run);
    if (k.file != NULL && file == 0)
        file = weir_writer_close(k.file, WEIR_FOREVER);
    if (k.screen != NULL)
        screen = weir_writer_close(k.screen, WEIR_FOREVER);
    weir_writer_destroy(k.file);
    weir_writer_destroy(k.screen);
    if (err != 0 || file != 0 || screen != 0)
        return broken(&k, err, file, screen);
    return EXIT_OK;
}
