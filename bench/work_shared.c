/* SPDX-License-Identifier: MIT
 * work_shared.c - jobs that append to one file, or change one table. */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- append: a line of 64 bytes through the writer ---- */

#define LINE 64

static char path[4096];
static struct weir_writer *writer;

static int append_open(const struct options *options)
{
    int n = snprintf(path, sizeof(path), "%s/weir-bench-%ld.lines",
                     options->dir, (long)getpid());

    return n < 0 || (size_t)n >= sizeof(path) ? -ENAMETOOLONG : 0;
}

static void append_close(void)
{
    if (path[0] != '\0')
        (void)unlink(path);
}

static int append_begin(void)
{
    if (truncate(path, 0) != 0 && errno != ENOENT)
        return -errno;
    return weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES });
}

static int append_job(struct weir_context *cx, void *arg)
{
    static const char hex[] = "0123456789abcdef";
    uintptr_t number = (uintptr_t)arg;
    char line[LINE];
    int err;

    (void)cx;
    for (int i = 0; i < 16; i++)
        line[i] = hex[number >> (60 - 4 * i) & 15];
    memset(line + 16, '.', LINE - 17);
    line[LINE - 1] = '\n';
    err = weir_writer_write(writer, &(struct iovec){ line, LINE }, 1,
                            WEIR_FOREVER);
    meter_job(number);
    return err;
}

static int append_settle(void)
{
    return weir_writer_flush(writer, WEIR_FOREVER);
}

static int append_end(uint64_t jobs)
{
    struct weir_writer_stats stats = { 0 };
    int err = weir_writer_close(writer, WEIR_FOREVER);

    weir_writer_stats(writer, &stats);
    weir_writer_destroy(writer);
    writer = NULL;
    if (err == 0 && stats.written != jobs)
        err = -EPROTO;
    return err;
}

/* The bound: one thread that writes the same bytes a mebibyte at a time. */
static int append_alone(const struct work *work, uint64_t ops)
{
    static char block[1 << 20];
    uint64_t left = ops * LINE;
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC), err = 0;

    (void)work;
    if (fd < 0)
        return -errno;
    while (left != 0 && err == 0) {
        size_t n = left < sizeof(block) ? (size_t)left : sizeof(block);
        ssize_t done = write(fd, block, n);

        if (done > 0)
            left -= (uint64_t)done;
        else if (errno != EINTR)
            err = -errno;
    }
    for (uint64_t i = 0; i < ops; i++)
        meter_job(i);
    if (close(fd) != 0 && err == 0)
        err = -errno;
    return err;
}

const struct work work_append = {
    .name = "append", .about = "each job hands the writer a line of 64 bytes",
    .job = append_job, .ops = 1000, .ops_max = 1000000, .ring = 1024,
    .flat = 1, .open = append_open, .close = append_close,
    .begin = append_begin, .settle = append_settle, .end = append_end,
    .alone = append_alone };

/* ---- table: add one to one of 100,000 counters ---- */

#define KEYS 100000

static struct weir_table *table;

static int add_one(void *user, void *value, size_t bytes)
{
    (void)user;
    (void)bytes;
    ++*(uint64_t *)value;
    return 0;
}

static int table_job(struct weir_context *cx, void *arg)
{
    uint64_t number = (uintptr_t)arg, key = meter_mix(number) % KEYS;
    int err = weir_table_update(table,
        (struct weir_bytes){ &key, sizeof(key) },
        &(struct weir_table_edit){ .fn = add_one, .bytes = sizeof(key) });

    (void)cx;
    meter_job(number);
    return err;
}

static int table_open(const struct options *options)
{
    uint64_t value = 0;
    int err = weir_table_create(&table, NULL);

    (void)options;
    for (uint64_t key = 0; key < KEYS && err == 0; key++)
        err = weir_table_put(table, (struct weir_bytes){ &key, sizeof(key) },
            (struct weir_bytes){ &value, sizeof(value) });
    return err;
}

static void table_close(void)
{
    weir_table_destroy(table);
    table = NULL;
}

const struct work work_table = {
    .name = "table", .about = "each job changes one of 100,000 keys in place",
    .job = table_job, .ops = 1000, .ring = 1024, .open = table_open,
    .close = table_close };
