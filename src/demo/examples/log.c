/* SPDX-License-Identifier: MIT
 * log.c - a log that threads write to without waiting for the disk.
 *
 * One writer thread owns the file. A line is copied into its buffer and never
 * mixed with another. If the disk is too slow and the buffer is full, the line
 * is dropped and counted, instead of delaying the thread that logs.
 *
 *   cc log.c $(pkg-config --cflags --libs weir)
 *
 * Prints, in any order:
 *   job 1: half done
 *   job 1: ended
 *   job 2: half done
 *   job 2: ended
 *   job 3: half done
 *   job 3: ended
 *   all jobs have ended, 0 lines were dropped
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weir/weir.h>

struct log {
    struct weir_writer *writer;
    atomic_ulong dropped;
};

/* Write a line, cut off after 510 bytes. Called by any thread. */
static void log_line(struct log *log, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (n < 0)
        return;
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    if (weir_writer_write(log->writer, &(struct iovec){ line, (size_t)n }, 1,
                          WEIR_NO_WAIT) != 0)
        atomic_fetch_add(&log->dropped, 1);
}

static int job(struct weir_context *cx, void *arg)
{
    log_line(arg, "job %d: half done", (int)weir_tag(cx));
    log_line(arg, "job %d: ended", (int)weir_tag(cx));
    return 0;
}

int main(void)
{
    struct log log = { NULL, 0 };
    struct weir_pool *pool = NULL;
    /* Here the log is standard output; a real log would set .path. */
    int err = weir_writer_open(&log.writer, &(struct weir_writer_options){
        .fd = 1 });

    if (err == 0)
        err = weir_pool_create(&pool, &(struct weir_pool_options){
            .workers = 3 });
    for (uint64_t i = 1; i <= 3 && err == 0; i++)
        if (weir_pool_submit(pool, &(struct weir_job){ .fn = job,
                .arg = &log, .tag = i }, 1, WEIR_FOREVER) != 1)
            err = -EPIPE;
    if (err == 0)
        err = weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER);
    if (err == 0)
        log_line(&log, "all jobs have ended, %lu lines were dropped",
                 atomic_load(&log.dropped));
    weir_pool_destroy(pool);
    if (err == 0) /* returns an error if any line was not written */
        err = weir_writer_close(log.writer, WEIR_FOREVER);
    weir_writer_destroy(log.writer);
    return err != 0;
}
