/* SPDX-License-Identifier: MIT
 * say_after.c - `weir show letters --say-after`: two delays, in series and
 * concurrently.
 *
 * Two delays take the sum of both if one thread waits for them in series, and
 * the longer of the two if each has its own thread. Lines go through a writer,
 * so two words at the same moment are printed as two whole lines.
 */
#include "commands.h"
#include "common/text.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

struct word {
    const char *text;
    double after;     /* delay in seconds */
    double predicted; /* when it is printed, in seconds from `began` */
    double scale;     /* multiplies both */
    struct weir_writer *screen;
    int64_t began;
    pthread_t thread;
    int err;
};

static int print(struct weir_writer *to, char *line)
{
    return weir_writer_write(to, &(struct iovec){ line, strlen(line) }, 1,
                             WEIR_FOREVER);
}

static void *say_after(void *arg)
{
    struct word *word = arg;
    int64_t ns = (int64_t)(word->after * word->scale * 1e9);
    struct timespec left = { .tv_sec = (time_t)(ns / WEIR_S),
                             .tv_nsec = (long)(ns % WEIR_S) };
    char line[128];

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    snprintf(line, sizeof(line), "  %s  predicted %5.2f s  measured %5.2f s\n",
             word->text, word->predicted * word->scale,
             (double)(weir_now() - word->began) / WEIR_S);
    word->err = print(word->screen, line);
    return NULL;
}

/* Say each word after the one before it. Returns 0 or an error. */
static int in_series(struct weir_writer *screen, double scale)
{
    struct word words[] = { { .text = "hello", .after = 2, .predicted = 2 },
                            { .text = "world", .after = 6, .predicted = 8 } };
    char title[] = "in series: hello after 2 s, world 6 s later\n";
    int err = print(screen, title);
    int64_t began = weir_now();

    for (int i = 0; i < 2 && err == 0; i++) {
        words[i].scale = scale;
        words[i].screen = screen;
        words[i].began = began;
        say_after(&words[i]);
        err = words[i].err;
    }
    return err;
}

/* Say each word in its own thread. Returns 0 or an error. */
static int concurrently(struct weir_writer *screen, double scale)
{
    struct word words[] = { { .text = "hello", .after = 3, .predicted = 3 },
                            { .text = "world", .after = 3, .predicted = 3 } };
    char title[] = "concurrently: hello and world after 3 s each\n";
    int err = print(screen, title), started = 0;
    int64_t began = weir_now();

    while (started < 2 && err == 0) {
        words[started].scale = scale;
        words[started].screen = screen;
        words[started].began = began;
        err = -pthread_create(&words[started].thread, NULL, say_after,
                              &words[started]);
        started += err == 0;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(words[i].thread, NULL);
        err = err != 0 ? err : words[i].err;
    }
    return err;
}

int show_say_after(double scale)
{
    struct weir_writer *screen;
    int written, err;

    written = err = weir_writer_open(&screen, &(struct weir_writer_options){
        .fd = STDOUT_FILENO });
    if (err == 0)
        err = in_series(screen, scale);
    if (err == 0)
        err = concurrently(screen, scale);
    if (screen != NULL)
        written = weir_writer_close(screen, WEIR_FOREVER);
    weir_writer_destroy(screen);
    if (written != 0)
        say("weir show letters: standard output: %s", strerror(-written));
    else if (err != 0)
        say("weir show letters: %s", strerror(-err));
    return err == 0 && written == 0 ? EXIT_OK : EXIT_BROKEN;
}
