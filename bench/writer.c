/* SPDX-License-Identifier: MIT
 * writer.c - lines of 64 bytes from several threads into one file.
 *
 * The others: fprintf() under a mutex; one write() for each line, with
 * O_APPEND; and one thread that writes a mebibyte at a time, which is as fast
 * as it gets. After each sample the file is read back: every line must be in
 * it once. */
#include "bench.h"
#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/writer.h>

#define LINE 64
#define MOST 1000000 /* lines in a sample, 64 MB */

struct sink {
    const struct bench_case *c;
    int (*put)(struct sink *sink, const char *line); /* of whole lines */
    struct weir_writer *writer;
    FILE *file;
    int fd;
    pthread_mutex_t lock;
};

static char path[4096];

static void format(char line[LINE], uint64_t number)
{
    static const char hex[] = "0123456789abcdef";

    for (int i = 0; i < 16; i++)
        line[i] = hex[number >> (60 - 4 * i) & 15];
    memset(line + 16, '.', LINE - 17);
    line[LINE - 1] = '\n';
}

static int put_weir(struct sink *s, const char *line)
{
    return weir_writer_write(s->writer,
                             &(struct iovec){ (void *)line, LINE }, 1,
                             WEIR_FOREVER);
}

static int put_stdio(struct sink *s, const char *line)
{
    int n;

    pthread_mutex_lock(&s->lock);
    n = fprintf(s->file, "%.*s", LINE, line);
    pthread_mutex_unlock(&s->lock);
    return n == LINE ? 0 : -EIO;
}

static int put_write(struct sink *s, const char *line)
{
    return write(s->fd, line, LINE) == LINE ? 0 : -EIO;
}

static int append_lines(void *user, int index, int count)
{
    struct sink *s = user;
    uint64_t from, to;
    char line[LINE];
    int err = 0;

    crew_share(s->c->ops, index, count, &from, &to);
    for (; from < to && err == 0; from++) {
        format(line, from);
        err = s->put(s, line);
    }
    /* The last to come to an end pays for what has not reached the file: in
     * time, as the one who waits for it does. */
    if (s->writer != NULL && err == 0)
        err = weir_writer_flush(s->writer, WEIR_FOREVER);
    if (s->file != NULL && fflush(s->file) != 0)
        err = -EIO;
    return err;
}

/* One thread, the others do nothing. */
static int append_blocks(void *user, int index, int count)
{
    struct sink *s = user;
    enum { LINES = (1 << 20) / LINE };
    char *block = index == 0 ? malloc(LINES * LINE) : NULL;
    int err = index == 0 && block == NULL ? -ENOMEM : 0;

    (void)count;
    for (uint64_t i = 0; index == 0 && i < s->c->ops && err == 0;) {
        size_t n = 0;

        for (; n < LINES && i < s->c->ops; n++)
            format(block + n * LINE, i++);
        if (write(s->fd, block, n * LINE) != (ssize_t)(n * LINE))
            err = -EIO;
    }
    free(block);
    return err;
}

/* Report the lines in the file to the meter. */
static int read_back(void)
{
    char lines[256][LINE];
    FILE *file = fopen(path, "r");
    size_t n;
    int err = file == NULL ? -errno : 0;

    while (err == 0 && (n = fread(lines, 1, sizeof(lines), file)) != 0) {
        if (n % LINE != 0)
            err = -EPROTO;
        for (size_t i = 0; i < n / LINE; i++) {
            char again[LINE];
            uint64_t number = strtoull(lines[i], NULL, 16);

            format(again, number);
            if (memcmp(lines[i], again, LINE) != 0)
                err = -EPROTO;
            meter_job(number);
        }
    }
    if (file != NULL)
        fclose(file);
    return err;
}

static int open_sink(struct sink *s, int (*put)(struct sink *, const char *))
{
    s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC,
                 0666);
    if (s->fd < 0)
        return -errno;
    if (put == put_stdio && (s->file = fdopen(s->fd, "a")) == NULL)
        return -errno;
    if (put == put_weir)
        return weir_writer_open(&s->writer, &(struct weir_writer_options){
            .path = path, .recover = WEIR_RECOVER_LINES });
    return 0;
}

struct way {
    const char *name;
    int (*put)(struct sink *sink, const char *line); /* NULL: whole blocks */
};

static int writer_run(const struct bench_case *c, struct sample *sample)
{
    const struct way *way = c->user;
    struct sink s = { .c = c, .put = way->put, .fd = -1,
                      .lock = PTHREAD_MUTEX_INITIALIZER };
    struct weir_writer_stats stats = { 0 };
    struct meter meter;
    int err = open_sink(&s, way->put);

    if (err == 0)
        err = crew_start(c->workers, &(struct crew_work){
            .fn = way->put != NULL ? append_lines : append_blocks,
            .user = &s, .ops = c->ops }, &meter);
    if (err == 0)
        meter_stop(&meter);
    if (s.writer != NULL && err == 0)
        err = weir_writer_stats(s.writer, &stats);
    weir_writer_destroy(s.writer);
    if (s.file != NULL)
        fclose(s.file);
    else if (s.fd >= 0)
        close(s.fd);
    if (err == 0)
        err = read_back();
    if (err == 0)
        err = meter_end(&meter, sample);
    if (err == 0 && stats.batches != 0) {
        sample->batch = (double)stats.written / (double)stats.batches;
        sample->calls = (double)stats.writes / (double)stats.written;
    }
    return err;
}

static void remove_file(void)
{
    (void)unlink(path);
}

int bench_writer(struct suite *suite)
{
    static const int preset[] = { 1, 4, 0 };
    static const struct way ways[] = { { "weir", put_weir },
        { "fprintf, mutex", put_stdio }, { "write, O_APPEND", put_write },
        { "1 MiB at a time", NULL } };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, preset, counts);
    int n = snprintf(path, sizeof(path), "%s/weir-bench-%ld.log",
                     suite->options->dir, (long)getpid());

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    atexit(remove_file);
    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
        for (int i = 0; i < count; i++)
            suite_add(suite, &(struct bench_case){
                .bench = "writer", .workload = "lines of 64 bytes",
                .series = ways[w].name, .workers = counts[i],
                .run = writer_run, .user = &ways[w], .ops = 1000,
                .ops_max = MOST });
    return 0;
}
