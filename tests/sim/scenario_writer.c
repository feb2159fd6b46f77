/* SPDX-License-Identifier: MIT
 * scenario_writer.c - the writer: records, flushes and errors of the file. The
 * file is simulated, so these scenarios run only in the simulator. */
#include "scenario.h"

#include <stdio.h>

#define PATH "/sim/file"
#define RECORD 6 /* bytes of each */

static struct {
    struct weir_writer *writer;
    COUNTER accepted, flushed;
} s;

static void make(const struct weir_writer_options *options)
{
    CLEAR(s);
    may_fail(false);
    MUST(weir_writer_open(&s.writer, options) == 0);
    may_fail(true);
}

static int write_record(int number, int64_t deadline)
{
    char bytes[16];
    struct iovec piece = { .iov_base = bytes, .iov_len = RECORD };
    int err;

    snprintf(bytes, sizeof(bytes), "rec %d\n", number % 10);
    err = weir_writer_write(s.writer, &piece, 1, deadline);
    if (err == 0)
        add(&s.accepted, 1);
    return err;
}

/* Count the whole records and check that none is there twice. Unless `at_rest`,
 * a part of another record may follow. */
static int records_in_file(bool at_rest)
{
#if defined(WEIR_SIM)
    size_t bytes;
    const char *text = weir_sim_file_content(PATH, &bytes);
    unsigned seen = 0;

    MUST(bytes % RECORD == 0 || !at_rest);
    for (size_t i = 0; i + RECORD <= bytes; i += RECORD) {
        unsigned bit = 1u << (text[i + 4] - '0');

        MUST(memcmp(text + i, "rec ", 4) == 0 && text[i + 5] == '\n');
        MUST((seen & bit) == 0);
        seen |= bit;
    }
    return (int)(bytes / RECORD);
#else
    (void)at_rest;
    return add(&s.accepted, 0);
#endif
}

static bool is_file_error(int err)
{
    return err == -ENOSPC || err == -EIO;
}

static void end(void)
{
    struct weir_writer_stats stats;
    int err = weir_writer_close(s.writer, WEIR_FOREVER);

    MUST(weir_writer_stats(s.writer, &stats) == 0);
    MUST(err == 0 || is_file_error(err));
    MUST(stats.accepted == (uint64_t)add(&s.accepted, 0));
    MUST(stats.written + stats.lost == stats.accepted);
    if (err == 0)
        MUST(stats.lost == 0 && records_in_file(true) == add(&s.accepted, 0));
    weir_writer_destroy(s.writer);
}

static void write_and_flush(void *arg)
{
    int number = *(const int *)arg;
    int err = write_record(number, WEIR_FOREVER);

    if (err == 0)
        err = weir_writer_flush(s.writer, WEIR_FOREVER);
    if (err == 0) {
        reached("a flush done");
        MUST(records_in_file(false) >= add(&s.flushed, 1));
    } else {
        MUST(is_file_error(err));
        reached("a flush failed");
    }
}

static void flush_error(void)
{
    static int numbers[2] = { 1, 2 };

    make(&(struct weir_writer_options){ .path = PATH,
        .buffer_bytes = 64, .capacity = 2,
        .sync = WEIR_SYNC_FLUSH });
    go(write_and_flush, &numbers[0]);
    write_and_flush(&numbers[1]);
    join_all();
    end();
}

/* ---- a capacity of one record ---- */

static void write_two(void *arg)
{
    int first = *(const int *)arg;

    for (int i = 0; i < 2; i++) {
        int err = write_record(first + i, WEIR_FOREVER);

        MUST(err == 0 || is_file_error(err));
    }
}

static void room(void)
{
    static int numbers[2] = { 1, 3 };

    make(&(struct weir_writer_options){ .path = PATH,
        .buffer_bytes = 64, .capacity = 1 });
    go(write_two, &numbers[0]);
    write_two(&numbers[1]);
    join_all();
    end();
}

static void room_deadline(void)
{
    static int numbers[1] = { 1 };
    int err;

    make(&(struct weir_writer_options){ .path = PATH,
        .buffer_bytes = 64, .capacity = 1 });
    go(write_two, &numbers[0]);
    err = write_record(5, weir_after(WEIR_MS));
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "a write in time" : "a write too late");
    join_all();
    end();
}

/* ---- close ---- */

static void write_until_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int err = write_record(i, WEIR_FOREVER);

        if (err == -EPIPE) {
            reached("a write rejected");
            return;
        }
        MUST(err == 0 || is_file_error(err));
    }
}

static void close_it(void)
{
    int err;

    make(&(struct weir_writer_options){ .path = PATH,
        .buffer_bytes = 64, .capacity = 1 });
    go(write_until_closed, NULL);
    err = weir_writer_close(s.writer, WEIR_FOREVER);
    MUST(err == 0 || is_file_error(err));
    join_all();
    end();
}

static void reopen(void *arg)
{
    int err = weir_writer_reopen(s.writer, WEIR_FOREVER);

    (void)arg;
    MUST(err == 0 || is_file_error(err));
}

static void reopened(void)
{
    static int number = 1;

    make(&(struct weir_writer_options){ .path = PATH,
        .buffer_bytes = 64, .capacity = 2 });
    go(reopen, NULL);
    write_and_flush(&number);
    join_all();
    end();
}

/* ---- any failure: nothing hangs, leaks or tears a record ---- */

static void write_flush_any(void *arg)
{
    int err = write_record(*(const int *)arg, WEIR_FOREVER);

    MUST(err == 0 || err == -ENOMEM || is_file_error(err));
    err = weir_writer_flush(s.writer, WEIR_FOREVER);
    MUST(err == 0 || err == -ENOMEM || is_file_error(err));
}

static void anything_fails(void)
{
    static int numbers[2] = { 1, 2 };
    int err;

    CLEAR(s);
    err = weir_writer_open(&s.writer, &(struct weir_writer_options){
        .path = PATH, .buffer_bytes = 64, .capacity = 1,
        .sync = WEIR_SYNC_BATCH, .recover = WEIR_RECOVER_LINES });
    if (err != 0) {
        MUST(s.writer == NULL);
        reached("no writer");
        return;
    }
    go(write_flush_any, &numbers[0]);
    write_flush_any(&numbers[1]);
    join_all();
    err = weir_writer_close(s.writer, WEIR_FOREVER);
    MUST(err == 0 || err == -ENOMEM || is_file_error(err));
    weir_writer_destroy(s.writer);
}

/* Open a file that ends in the middle of a record. */
static void open_torn(void)
{
    const struct iovec torn = { .iov_base = (char[]){ "torn" },
                                .iov_len = 4 };
    struct weir_writer_stats stats;
    int number = 2, err;

    make(&(struct weir_writer_options){ .path = PATH,
        .buffer_bytes = 64, .capacity = 2 });
    may_fail(false);
    MUST(write_record(1, WEIR_FOREVER) == 0);
    MUST(weir_writer_write(s.writer, &torn, 1, WEIR_FOREVER) == 0);
    MUST(weir_writer_close(s.writer, WEIR_FOREVER) == 0);
    weir_writer_destroy(s.writer);
    may_fail(true);
    err = weir_writer_open(&s.writer, &(struct weir_writer_options){
        .path = PATH, .buffer_bytes = 64, .capacity = 1,
        .recover = WEIR_RECOVER_LINES });
    if (err != 0) {
        MUST(s.writer == NULL);
        reached("no writer");
        return;
    }
    MUST(weir_writer_stats(s.writer, &stats) == 0 && stats.torn_bytes == 4);
    go(write_flush_any, &number);
    join_all();
    weir_writer_destroy(s.writer);
    MUST(records_in_file(true) == add(&s.accepted, 0));
    reached("a record after the last whole one");
}

#define WRITE_FAULTS                                                        \
    (WEIR_SIM_EINTR | WEIR_SIM_EAGAIN | WEIR_SIM_SHORT | WEIR_SIM_ENOSPC |  \
     WEIR_SIM_EIO)

const struct scenario writer_scenarios[] = {
    { .name = "writer-flush-error", .run = flush_error, .sim_only = true,
      .faults = WRITE_FAULTS, .preemptions = 2,
      .marks = { "a flush done", "a flush failed" } },
    { .name = "writer-room", .run = room, .sim_only = true,
      .faults = WRITE_FAULTS, .preemptions = 1 },
    { .name = "writer-room-deadline", .run = room_deadline,
      .sim_only = true, .preemptions = 2,
      .marks = { "a write in time", "a write too late" } },
    { .name = "writer-close", .run = close_it, .sim_only = true,
      .faults = WRITE_FAULTS, .preemptions = 2,
      .marks = { "a write rejected" } },
    { .name = "writer-anything-fails", .run = anything_fails,
      .faults = WRITE_FAULTS | WEIR_SIM_NO_MEMORY | WEIR_SIM_NO_THREAD,
      .sim_only = true, .preemptions = 1, .marks = { "no writer" } },
    { .name = "writer-open-torn", .run = open_torn, .sim_only = true,
      .faults = WEIR_SIM_NO_MEMORY | WEIR_SIM_NO_THREAD, .preemptions = 1,
      .marks = { "no writer", "a record after the last whole one" } },
    { .name = "writer-reopen", .run = reopened, .sim_only = true,
      .preemptions = 2, .marks = { "a flush done" } },
    { 0 }
};
