/* SPDX-License-Identifier: MIT
 * log.c - a log that threads write to without waiting for the disk.
 *
 * One thread owns the file. A line is copied into its buffer and is never
 * torn by another. Where the disk cannot keep up and the buffer is full, a
 * line is left out and counted, instead of holding up who wrote it.
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
 *   all have ended, and 0 lines were left out
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weir/weir.h>

struct log {
    struct weir_writer *writer;
    atomic_ulong left_out;
};

/* Any thread. Write a line of at most 510 bytes; what is over is cut off. */
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
        atomic_fetch_add(&log->left_out, 1);
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
    /* Here the log is standard output; .path would name a file. */
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
        log_line(&log, "all have ended, and %lu lines were left out",
                 atomic_load(&log.left_out));
    weir_pool_destroy(pool);
    if (err == 0) /* says whether all of it is written */
        err = weir_writer_close(log.writer, WEIR_FOREVER);
    weir_writer_destroy(log.writer);
    return err != 0;
}
