/* SPDX-License-Identifier: MIT
 * screen.c - standard error: whole lines, and a progress bar below them. */
#include "screen.h"

#include "text.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <weir/writer.h>

#define ERASE "\r\033[K" /* go to the first column, clear to the last */
#define WIDTH 80         /* if the terminal does not report its width */

/* There is one screen per process, as there is one standard error. */
static struct {
    pthread_mutex_t lock;
    struct weir_writer *writer; /* under the lock; NULL: not started */
    int has_bar;                /* under the lock */
    struct text bar;            /* under the lock; as it is shown */
} screen = { .lock = PTHREAD_MUTEX_INITIALIZER };

int screen_is_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

int screen_start(int bar)
{
    struct weir_writer *writer;
    int err = weir_writer_open(&writer, &(struct weir_writer_options){
        .fd = STDERR_FILENO, .name = "weir-screen" });

    if (err != 0)
        return err;
    pthread_mutex_lock(&screen.lock);
    screen.writer = writer;
    screen.has_bar = bar;
    pthread_mutex_unlock(&screen.lock);
    return 0;
}

/* Errors are ignored: there is nowhere to report them. */
static void put(struct weir_writer *writer, const struct text *text,
                int64_t deadline)
{
    if (!text->failed)
        weir_writer_write(writer, &(struct iovec){ text->data, text->used },
                          1, deadline);
}

void screen_stop(void)
{
    struct weir_writer *writer;
    struct text erase = { 0 };

    pthread_mutex_lock(&screen.lock);
    writer = screen.writer;
    screen.writer = NULL;
    if (writer != NULL && screen.bar.used != 0) {
        text_puts(&erase, ERASE);
        put(writer, &erase, WEIR_FOREVER);
    }
    screen.has_bar = 0;
    text_free(&screen.bar);
    pthread_mutex_unlock(&screen.lock);
    text_free(&erase);
    if (writer == NULL)
        return;
    weir_writer_close(writer, WEIR_FOREVER);
    weir_writer_destroy(writer);
}

/* Write without the screen's thread. This blocks if nobody reads, so the
 * signals that end a program must be able to, even if the command has blocked
 * them. */
static void write_directly(const struct text *text)
{
    struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
    sigset_t ends, before;
    size_t sent = 0;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &ends, &before);
    while (!text->failed && sent < text->used) {
        ssize_t n = write(STDERR_FILENO, text->data + sent, text->used - sent);

        if (n < 0 && errno == EAGAIN) /* another process set O_NONBLOCK */
            poll(&out, 1, -1);
        else if (n < 0 && errno != EINTR)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void screen_line(const char *line, size_t count)
{
    struct text text = { 0 };

    pthread_mutex_lock(&screen.lock);
    if (screen.bar.used != 0)
        text_puts(&text, ERASE);
    text_add(&text, line, count);
    text_add(&text, "\n", 1);
    text_add(&text, screen.bar.data, screen.bar.used);
    if (screen.writer != NULL)
        put(screen.writer, &text, WEIR_FOREVER);
    else
        write_directly(&text);
    pthread_mutex_unlock(&screen.lock);
    text_free(&text);
}

static size_t width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
        return WIDTH;
    return size.ws_col;
}

void screen_bar(const char *bar)
{
    struct weir_writer_stats stats = { 0 };
    struct text text = { 0 };
    size_t count = strlen(bar), most = width() - 1;

    pthread_mutex_lock(&screen.lock);
    if (screen.writer != NULL && screen.has_bar)
        weir_writer_stats(screen.writer, &stats);
    if (screen.writer != NULL && screen.has_bar && stats.waiting == 0) {
        screen.bar.used = 0;
        text_add(&screen.bar, bar, count < most ? count : most);
        text_puts(&text, ERASE);
        text_add(&text, screen.bar.data, screen.bar.used);
        put(screen.writer, &text, WEIR_NO_WAIT);
    }
    pthread_mutex_unlock(&screen.lock);
    text_free(&text);
}
