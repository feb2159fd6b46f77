/* SPDX-License-Identifier: MIT
 * letters.c - `weir show letters`: producers and consumers until Ctrl-C.
 *
 * Three producers put letters into a queue, and two consumers take them out.
 * Each thread pauses for 1 to 5 s after each letter. What is worth copying is
 * how the program ends:
 *
 *   1. A pause is a take with a deadline from the queue `stop`, which is always
 *      empty. Closing `stop` ends all pauses immediately.
 *   2. There is no signal handler. One thread receives the signals (signals.h)
 *      and closes `stop`. This never blocks, so a second Ctrl-C always works.
 *   3. The producers end, and the last one closes the queue of letters.
 *   4. The consumers continue, now without pauses, until that queue is empty.
 *   5. All threads are joined, the summary is printed, the writer is closed.
 *   6. The process dies of the signal, so that a shell sees which one it was.
 *
 * Lines are printed in the true order of events, because a gate of limit 1
 * makes "print and put" one atomic step, and another gate "take and print".
 */
#include "commands.h"
#include "common/settings.h"
#include "common/signals.h"
#include "common/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

#define PRODUCERS 3
#define CONSUMERS 2
#define REST_LEAST 1.0 /* seconds */
#define REST_MOST  5.0

static const char help[] =
    "weir show letters [options] - producers and consumers until Ctrl-C\n"
    "\n"
    "  --seed N       seed of the random letters and pauses (random)\n"
    "  --capacity N   letters the queue holds before producers wait (50)\n"
    "  --for S        stop after S seconds (never)\n"
    "  --scale X      multiply every delay, including that of --for (1)\n"
    "  --say-after    run this scenario instead: two words, each after a\n"
    "                 delay, in series and concurrently\n"
    "\n"
    "The first Ctrl-C lets the consumers empty the queue; the second exits\n"
    "immediately.\n";

struct letter {
    char name;
    int producer;
};

struct letters {
    int64_t seed, capacity;
    double scale, seconds; /* seconds is 0: until Ctrl-C */

    struct weir_writer *screen; /* standard output */
    struct weir_queue *queue;   /* of struct letter */
    struct weir_queue *stop;    /* always empty; closed: the threads end */
    struct weir_gate *putting, *taking;
    atomic_int producing;       /* producers that have not ended */
    atomic_int finishing;       /* letters in the queue when a signal arrived;
                                   -1: no signal */
};

/* A producer or consumer. Its thread owns it until joined. */
struct person {
    struct letters *letters;
    pthread_t thread;
    int number;
    uint64_t random;
    long count; /* letters produced or taken */
    int err;
};

/* Print one whole line. Returns 0 or an error. */
static int print(struct letters *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int print(struct letters *l, const char *format, ...)
{
    char line[256];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(line))
        return -EMSGSIZE;
    return weir_writer_write(l->screen,
                             &(struct iovec){ line, (size_t)length }, 1,
                             WEIR_FOREVER);
}

/* Pause until `deadline` or until `stop` is closed.
 * Returns:
 *   -ETIMEDOUT  the deadline has passed (-EAGAIN if it was WEIR_NO_WAIT)
 *   -EPIPE      `stop` is closed
 *   another error */
static int rest_until(struct letters *l, int64_t deadline)
{
    char nothing;

    return weir_queue_take(l->stop, &nothing, deadline);
}

static int64_t scaled(const struct letters *l, double seconds)
{
    return (int64_t)(seconds * l->scale * 1e9);
}

/* splitmix64 (Steele, Lea, Flood 2014): the same numbers from the same seed
 * everywhere, which rand() does not promise. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Pause for 1 to 5 s. Returns what rest_until() returns. */
static int rest(struct person *me)
{
    double part = (double)(next_random(&me->random) >> 11) * 0x1p-53;
    double seconds = REST_LEAST + part * (REST_MOST - REST_LEAST);

    return rest_until(me->letters, weir_after(scaled(me->letters, seconds)));
}

/* ---- the threads ---- */

/* Produce a letter. Returns 0; -EPIPE: `stop` is closed; or an error. */
static int make_one(struct person *me)
{
    static const char names[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct letters *l = me->letters;
    struct letter made = { names[next_random(&me->random) % 52], me->number };
    int err = weir_gate_acquire(l->putting, 0, WEIR_FOREVER);

    if (err != 0)
        return err;
    /* Produce nothing if `stop` was closed while this thread waited here. */
    err = rest_until(l, WEIR_NO_WAIT);
    if (err == -EAGAIN)
        err = print(l, "P%d produced %c\n", me->number, made.name);
    if (err == 0) {
        me->count++;
        err = weir_queue_put(l->queue, &made, WEIR_FOREVER);
    }
    weir_gate_release(l->putting, 0);
    return err;
}

/* Take a letter. Returns 0; -EPIPE: the queue is closed and empty; or an error.
 */
static int get_one(struct person *me)
{
    struct letters *l = me->letters;
    struct letter got;
    int err = weir_gate_acquire(l->taking, 0, WEIR_FOREVER);

    if (err != 0)
        return err;
    err = weir_queue_take(l->queue, &got, WEIR_FOREVER);
    if (err == 0)
        err = print(l, "C%d got %c made by P%d\n", me->number, got.name,
                    got.producer);
    if (err == 0)
        me->count++;
    weir_gate_release(l->taking, 0);
    return err;
}

/* Called when a thread ends: make all others end too. -EPIPE is not an error:
 * it means that `stop` or the queue was closed. If it came from the screen,
 * closing the writer reports it. */
static void ended(struct person *me, int err)
{
    me->err = err != -EPIPE ? err : 0;
    weir_queue_close(me->letters->stop);
}

static void *producer(void *arg)
{
    struct person *me = arg;
    struct letters *l = me->letters;
    int err;

    do {
        err = make_one(me);
        if (err == 0)
            err = rest(me);
    } while (err == -ETIMEDOUT);
    ended(me, err);
    /* Only the last producer: others may still wait to put their letter. */
    if (atomic_fetch_sub(&l->producing, 1) == 1)
        weir_queue_close(l->queue);
    return NULL;
}

static void *consumer(void *arg)
{
    struct person *me = arg;
    int err;

    /* Once `stop` is closed rest() returns -EPIPE immediately, and the loop
     * ends only when get_one() finds the queue closed and empty. */
    while ((err = get_one(me)) == 0)
        if ((err = rest(me)) != -ETIMEDOUT && err != -EPIPE)
            break;
    ended(me, err);
    /* After a failure, producers must not wait for this consumer to make room.
     */
    weir_queue_close(me->letters->queue);
    return NULL;
}

/* ---- the flow ---- */

static void on_signal(void *user, int number)
{
    struct letters *l = user;

    (void)number;
    /* Count before closing `stop`, which makes the consumers take letters. */
    atomic_store(&l->finishing, (int)weir_queue_count(l->queue));
    weir_queue_close(l->stop);
}

/* Start all threads, in order. Returns how many were started; if not all were,
 * sets *err. */
static int start(struct letters *l, struct person *people, int *err)
{
    int i;

    atomic_store(&l->producing, PRODUCERS);
    for (i = 0; i < PRODUCERS + CONSUMERS; i++) {
        int makes = i < PRODUCERS;

        people[i] = (struct person){
            .letters = l,
            .number = makes ? i : i - PRODUCERS,
            /* Seeds far apart: no thread repeats the numbers of another. */
            .random = (uint64_t)l->seed + ((uint64_t)i << 56) };
        *err = -pthread_create(&people[i].thread, NULL,
                               makes ? producer : consumer, &people[i]);
        if (*err != 0)
            break;
    }
    return i;
}

/* Run the whole scenario. Returns 0 or an error. */
static int play(struct letters *l)
{
    struct person people[PRODUCERS + CONSUMERS] = { { 0 } };
    int64_t end = l->seconds > 0 ? weir_after(scaled(l, l->seconds))
                                 : WEIR_FOREVER;
    int err = print(l, "%d producers, %d consumers, resting %g to %g s each,"
                    " scale %g; seed %lld\n", PRODUCERS, CONSUMERS,
                    REST_LEAST, REST_MOST, l->scale, (long long)l->seed);
    int started = err == 0 ? start(l, people, &err) : 0;
    long made = 0, got = 0;

    if (err == 0 && rest_until(l, end) == -EPIPE &&
        atomic_load(&l->finishing) >= 0)
        say("finishing %d in the queue; Ctrl-C again to exit immediately",
            atomic_load(&l->finishing));
    weir_queue_close(l->stop);
    if (err != 0)
        weir_queue_close(l->queue);
    for (int i = 0; i < started; i++) {
        pthread_join(people[i].thread, NULL);
        *(i < PRODUCERS ? &made : &got) += people[i].count;
        err = err != 0 ? err : people[i].err;
    }
    if (err == 0)
        err = print(l, "all %d threads have ended: %ld produced, %ld got, %ld"
                    " left\n", started, made, got, made - got);
    return err;
}

/* ---- options, setup, cleanup ---- */

/* Returns EXIT_OK to go on, -1 if help was printed, or another exit code. */
static int read_options(struct letters *l, int *words, int argc, char **argv)
{
    int code;
    const struct setting settings[] = {
        SETTING("seed", 0, WHOLE, &l->seed, 0, 9e15),
        SETTING("capacity", 0, WHOLE, &l->capacity, 1, 1e6),
        SETTING("for", 0, DECIMAL, &l->seconds, 0.001, 1e6),
        SETTING_SCALE(&l->scale, NULL),
        SETTING("say-after", 0, FLAG, words, 0, 0),
    };

    code = settings_read(&(struct settings_of){
        .name = "show letters", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]) }, argc, argv);
    if (code != EXIT_OK)
        return code;
    if (l->seed < 0)
        l->seed = weir_now() % 1000000;
    return EXIT_OK;
}

/* Create what the threads share, except the screen. Returns 0 or an error. */
static int set_up(struct letters *l)
{
    int err = weir_queue_create(&l->queue, &(struct weir_queue_options){
        .item_bytes = sizeof(struct letter),
        .capacity = (size_t)l->capacity });

    if (err == 0)
        err = weir_queue_create(&l->stop, &(struct weir_queue_options){
            .item_bytes = 1, .capacity = 1 });
    if (err == 0)
        err = weir_gate_create(&l->putting, NULL); /* the limit is 1 */
    if (err == 0)
        err = weir_gate_create(&l->taking, NULL);
    return err;
}

int show_letters(int argc, char **argv)
{
    struct letters l = { .seed = -1, .capacity = 50, .scale = 1,
                         .finishing = -1 };
    struct signals *signals = NULL;
    int words = 0, err, screen, came;
    int code = read_options(&l, &words, argc, argv);

    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    if (words)
        return show_say_after(l.scale);
    signals_block(); /* before any thread is started */
    screen = err = weir_writer_open(&l.screen, &(struct weir_writer_options){
        .fd = STDOUT_FILENO,
        .batch_max = 1 }); /* a write of one line to a pipe is never torn */
    if (err == 0)
        err = set_up(&l);
    if (err == 0)
        err = signals_start(&signals, on_signal, &l);
    if (err == 0)
        err = play(&l);
    /* If this blocks on a slow reader, signals still work. */
    if (l.screen != NULL)
        screen = weir_writer_close(l.screen, WEIR_FOREVER);
    came = signals_stop(signals);
    weir_gate_destroy(l.taking);
    weir_gate_destroy(l.putting);
    weir_queue_destroy(l.stop);
    weir_queue_destroy(l.queue);
    weir_writer_destroy(l.screen);
    if (screen != 0)
        say("weir show letters: standard output: %s", strerror(-screen));
    else if (err != 0 && err != -EPIPE)
        say("weir show letters: %s", strerror(-err));
    if (came > 0)
        signals_die(came);
    return err == 0 && screen == 0 ? EXIT_OK : EXIT_BROKEN;
}
