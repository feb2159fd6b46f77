/* SPDX-License-Identifier: MIT
 * test_fault_writer.c - the writer, when files, memory and threads fail.
 *
 * Records are the lines of RECORD, so that a number alone describes what a
 * file must hold. */
#define _GNU_SOURCE 1
#include <weir/writer.h>

#include "sweep.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD "0123456789\n"
#define RECORD_BYTES (sizeof(RECORD) - 1)
#define RECORDS 20 /* of a scenario, in one batch if nothing fails */

static char folder[200];
static char path[256], torn_path[300], other_path[256];
static struct weir_writer *writer;

/* ---- help ---- */

static void file_set(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    REQUIRE(file != NULL);
    fputs(text, file);
    fclose(file);
}

static bool file_says(const char *name, const char *text)
{
    char seen[4096] = "";
    FILE *file = fopen(name, "r");

    if (file == NULL)
        return false;
    seen[fread(seen, 1, sizeof(seen) - 1, file)] = 0;
    fclose(file);
    if (strcmp(seen, text) != 0)
        printf("# %s holds: %s\n", name, seen);
    return strcmp(seen, text) == 0;
}

/* Whether a file holds `records` records and nothing else. */
static bool file_holds(const char *name, uint64_t records)
{
    char want[4096] = "";

    for (uint64_t i = 0; i < records; i++)
        strcat(want, RECORD);
    return file_says(name, want);
}

static void clean(void)
{
    unlink(path);
    unlink(torn_path);
    unlink(other_path);
}

static int descriptors(void)
{
    return entries("/proc/self/fd");
}

static int put(void)
{
    const struct iovec piece = { (char *)(uintptr_t)RECORD, RECORD_BYTES };

    return weir_writer_write(writer, &piece, 1, WEIR_FOREVER);
}

static struct weir_writer_stats stats(void)
{
    struct weir_writer_stats s;

    REQUIRE(weir_writer_stats(writer, &s) == 0);
    return s;
}

static void forget(void)
{
    weir_writer_destroy(writer);
    writer = NULL;
    inject_reset();
}

/* The thread blocks in on_batch until everything is accepted, so that all
 * records except the first are one batch. */
static sem_t entered, go_on;

static void stand_still(void *user, size_t records, size_t bytes)
{
    (void)user;
    (void)bytes;
    if (records == 1) {
        sem_post(&entered);
        while (sem_wait(&go_on) != 0)
            continue;
    }
}

/* Open, and have RECORDS records accepted and none written. */
static void fill(struct weir_writer_options options)
{
    clean();
    inject_reset();
    sem_init(&entered, 0, 0);
    sem_init(&go_on, 0, 0);
    options.path = path;
    options.on_batch = stand_still;
    REQUIRE(weir_writer_open(&writer, &options) == 0);
    EXPECT_INT(put(), 0);
    while (sem_wait(&entered) != 0)
        continue;
    for (int i = 1; i < RECORDS; i++)
        EXPECT_INT(put(), 0);
    inject_reset();
}

static void run(void)
{
    sem_post(&go_on);
}

/* Every call reports the error, and the statistics agree with the file. */
static void check_stuck(int error)
{
    struct weir_writer_stats s;

    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), error);
    EXPECT_INT(put(), error);
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), error);
    s = stats();
    EXPECT_INT(s.error, error);
    EXPECT_INT(s.accepted, RECORDS);
    EXPECT_INT(s.written + s.lost, RECORDS);
    EXPECT_INT(s.bytes, s.written * RECORD_BYTES);
    EXPECT_INT(s.waiting, 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), error);
    EXPECT(file_holds(path, s.written));
}

/* ---- writing ---- */

static void errors_at_every_write(void)
{
    const int errors[] = { ENOSPC, EDQUOT, EIO, EFBIG, EPIPE, EBADF };

    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        for (unsigned long k = 1; k <= 4; k++) {
            fill((struct weir_writer_options){ .batch_max = 7 });
            inject_fail(INJECT_WRITEV, k, errors[e], INJECT_ONCE);
            run();
            check_stuck(-errors[e]);
            EXPECT_INT(stats().written, k == 1 ? 0 : 1 + 7 * (k - 2));
            EXPECT_INT(inject_calls(INJECT_WRITEV), k);
            forget();
        }
    }
}

static void short_writes(void)
{
    for (size_t bytes = 1; bytes <= 2 * RECORD_BYTES; bytes++) {
        fill((struct weir_writer_options){ .path = NULL });
        inject_short(INJECT_WRITEV, 1, bytes, INJECT_ALWAYS);
        run();
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
        EXPECT_INT(stats().written, RECORDS);
        EXPECT_INT(stats().writes, inject_calls(INJECT_WRITEV));
        EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
        EXPECT(file_holds(path, RECORDS));
        forget();
    }
}

/* Write pieces of `bytes` bytes until the k-th write fails: the file is cut
 * back to the records that were whole by then. */
static void cut_back_everywhere(void)
{
    for (size_t bytes = 1; bytes <= RECORD_BYTES + 2; bytes++) {
        for (unsigned long k = 2; k <= 25; k++) {
            size_t first = (RECORD_BYTES + bytes - 1) / bytes;
            size_t moved = k - 1 <= first
                               ? (k - 1) * bytes
                               : RECORD_BYTES + (k - 1 - first) * bytes;

            if (k - 1 == first)
                moved = RECORD_BYTES;
            fill((struct weir_writer_options){ .path = NULL });
            inject_short(INJECT_WRITEV, 1, bytes, INJECT_ALWAYS);
            inject_fail(INJECT_WRITEV, k, ENOSPC, INJECT_ALWAYS);
            run();
            if (moved >= RECORDS * RECORD_BYTES) {
                EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
            } else {
                check_stuck(-ENOSPC);
                EXPECT_INT(stats().written, moved / RECORD_BYTES);
            }
            forget();
        }
    }
}

static void interrupted(void)
{
    fill((struct weir_writer_options){ .path = NULL });
    inject_fail(INJECT_WRITEV, 2, EINTR, INJECT_ONCE);
    run();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(inject_calls(INJECT_WRITEV), 3);
    EXPECT_INT(inject_calls(INJECT_POLL), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    EXPECT(file_holds(path, RECORDS));
    forget();
}

static void would_block(void)
{
    fill((struct weir_writer_options){ .path = NULL });
    inject_fail(INJECT_WRITEV, 2, EAGAIN, INJECT_ONCE);
    run();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(inject_calls(INJECT_POLL), 1);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    EXPECT(file_holds(path, RECORDS));
    forget();

    fill((struct weir_writer_options){ .path = NULL });
    inject_fail(INJECT_WRITEV, 2, EAGAIN, INJECT_ONCE);
    inject_fail(INJECT_POLL, 1, ENOMEM, INJECT_ONCE);
    run();
    check_stuck(-ENOMEM);
    forget();
}

static void writes_nothing(void)
{
    fill((struct weir_writer_options){ .path = NULL });
    inject_short(INJECT_WRITEV, 2, 0, INJECT_ALWAYS);
    run();
    check_stuck(-EIO);
    EXPECT_INT(inject_calls(INJECT_WRITEV), 2);
    forget();
}

static void cutting_fails(void)
{
    const enum inject_kind kinds[] = { INJECT_FTRUNCATE, INJECT_FSTAT };

    for (int i = 0; i < 2; i++) {
        fill((struct weir_writer_options){ .path = NULL });
        inject_short(INJECT_WRITEV, 2, RECORD_BYTES + 3, INJECT_ONCE);
        inject_fail(INJECT_WRITEV, 3, EIO, INJECT_ALWAYS);
        inject_fail(kinds[i], 1, EPERM, INJECT_ALWAYS);
        run();
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -EIO);
        EXPECT_INT(stats().written, 2);
        EXPECT_INT(stats().lost, RECORDS - 2);
        EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EIO);
        EXPECT(file_says(path, RECORD RECORD "012"));
        forget();
        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
                                              .path = path,
                                              .recover =
                                                  WEIR_RECOVER_LINES }) ==
                0);
        EXPECT_INT(stats().torn_bytes, 3);
        forget();
        EXPECT(file_holds(path, 2));
    }
}

/* ---- syncing and closing ---- */

static void sync_fails_on_flush(void)
{
    fill((struct weir_writer_options){ .sync = WEIR_SYNC_FLUSH });
    run();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(put(), 0);
    inject_reset();
    inject_fail(INJECT_FDATASYNC, 1, EIO, INJECT_ONCE);
    run(); /* the batch of one record */
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -EIO);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -EIO);
    EXPECT_INT(put(), -EIO);
    EXPECT_INT(stats().written, RECORDS + 1);
    EXPECT_INT(stats().durable, RECORDS);
    EXPECT_INT(stats().syncs, 1);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EIO);
    EXPECT_INT(inject_calls(INJECT_FDATASYNC), 1);
    EXPECT_INT(inject_calls(INJECT_FSYNC), 0);
    forget();
}

static void sync_fails_on_batch(void)
{
    fill((struct weir_writer_options){ .sync = WEIR_SYNC_BATCH,
                                       .batch_max = 7 });
    inject_fail(INJECT_FDATASYNC, 2, ENOSPC, INJECT_ONCE);
    run();
    check_stuck(-ENOSPC);
    EXPECT_INT(stats().written, 8);
    EXPECT_INT(stats().durable, 1);
    EXPECT_INT(inject_calls(INJECT_FDATASYNC), 2);
    forget();
}

static void sync_fails_on_close(void)
{
    fill((struct weir_writer_options){ .sync = WEIR_SYNC_FLUSH });
    inject_fail(INJECT_FDATASYNC, 1, EIO, INJECT_ONCE);
    run();
    /* returns: weir_writer_close -EIO passed on */
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EIO);
    EXPECT_INT(stats().written, RECORDS);
    EXPECT_INT(stats().durable, 0);
    forget();
}

/* A regular file that cannot be synced is not treated as a pipe. */
static void sync_invalid(void)
{
    fill((struct weir_writer_options){ .sync = WEIR_SYNC_FLUSH });
    inject_fail(INJECT_FDATASYNC, 1, EINVAL, INJECT_ALWAYS);
    run();
    check_stuck(-EINVAL);
    EXPECT_INT(stats().durable, 0);
    forget();
}

static void close_fails(void)
{
    fill((struct weir_writer_options){ .path = NULL });
    inject_fail(INJECT_CLOSE, 1, EDQUOT, INJECT_ONCE);
    run();
    /* returns: weir_writer_close -EDQUOT of close() */
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EDQUOT);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EDQUOT);
    EXPECT_INT(inject_calls(INJECT_CLOSE), 1);
    EXPECT_INT(stats().written, RECORDS);
    EXPECT_INT(stats().lost, 0);
    forget();
}

/* ---- opening ---- */

/* Whatever fails, an open that fails leaves the file unchanged and nothing
 * behind, and an open that succeeds has done everything. */
static void sweep_open(enum inject_times times)
{
    int before = descriptors();

    for (unsigned long k = 1;; k++) {
        unsigned long hits;
        int err;

        clean();
        file_set(path, RECORD "torn");
        writer = (struct weir_writer *)&writer;
        inject_reset();
        inject_fail(INJECT_ANY, k, 0, times);
        err = weir_writer_open(&writer, &(struct weir_writer_options){
                                            .path = path,
                                            .sync = WEIR_SYNC_FLUSH,
                                            .recover = WEIR_RECOVER_LINES });
        hits = inject_hits();
        inject_reset();
        if (err != 0) {
            EXPECT(hits != 0);
            EXPECT(writer == NULL);
            EXPECT(file_says(path, RECORD "torn"));
        } else {
            EXPECT_INT(stats().torn_bytes, 4);
            EXPECT_INT(put(), 0);
            EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
            forget();
            EXPECT(file_holds(path, 2));
            EXPECT(file_says(torn_path, "torn"));
        }
        EXPECT_INT(descriptors(), before);
        if (hits == 0) {
            EXPECT_INT(err, 0);
            EXPECT(k > 15); /* the sweep covered the calls */
            break;
        }
    }
}

static void every_call_of_open_once(void)
{
    sweep_open(INJECT_ONCE);
}

static void every_call_of_open_for_good(void)
{
    sweep_open(INJECT_ALWAYS);
}

/* The tail is saved as a whole or not at all. */
static void saving_fails(void)
{
    const struct {
        enum inject_kind kind;
        int error;
    } faults[] = { { INJECT_WRITE, ENOSPC }, { INJECT_FSYNC, EIO },
                   { INJECT_CLOSE, EIO } };

    for (int i = 0; i < 3; i++) {
        clean();
        file_set(path, RECORD "torn");
        file_set(torn_path, "older");
        inject_reset();
        if (faults[i].kind == INJECT_WRITE)
            inject_short(INJECT_WRITE, 1, 2, INJECT_ONCE);
        inject_fail(faults[i].kind, faults[i].kind == INJECT_WRITE ? 2 : 1,
                    faults[i].error, INJECT_ONCE);
        EXPECT_INT(weir_writer_open(&writer,
                                    &(struct weir_writer_options){
                                        .path = path,
                                        .sync = WEIR_SYNC_FLUSH,
                                        .recover = WEIR_RECOVER_LINES }),
                   -faults[i].error);
        inject_reset();
        EXPECT(file_says(path, RECORD "torn"));
        if (faults[i].kind != INJECT_CLOSE)
            EXPECT(file_says(torn_path, "older"));
    }
}

/* The calls that open and reopen make for a file with a torn tail, each with a
 * distinct error. */
static const struct call {
    enum inject_kind kind;
    int error;
} calls[] = {
    { INJECT_OPEN, EMFILE },    { INJECT_FSTAT, EOVERFLOW },
    { INJECT_FLOCK, ENOLCK },   { INJECT_STAT, ELOOP },
    { INJECT_PREAD, EIO },      { INJECT_WRITE, EDQUOT },
    { INJECT_FSYNC, EROFS },    { INJECT_FTRUNCATE, EPERM },
    { INJECT_CLOSE, ENOSPC },
    /* from here on those of open alone */
    { INJECT_THREAD, EAGAIN },  { INJECT_SEM_INIT, ENOSYS },
    { INJECT_MUTEX_INIT, EBUSY }, { INJECT_ALLOC, ENOMEM },
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))
#define CALLS_OF_REOPEN 8 /* there the torn tail's file is not the last one */

static void fail_call(const struct call *call)
{
    inject_reset();
    inject_fail(call->kind, 1, call->error, INJECT_ALWAYS);
    if (call->kind == INJECT_SEM_INIT) /* made of it in the fallback */
        inject_fail(INJECT_COND_INIT, 1, call->error, INJECT_ALWAYS);
}

static void errors_of_open(void)
{
    /* returns: weir_writer_open -ENOMEM */
    /* returns: weir_writer_open -EMFILE of open() */
    /* returns: weir_writer_open -EAGAIN of pthread_create() */
    /* returns: weir_writer_open -EOVERFLOW of fstat() */
    /* returns: weir_writer_open -EROFS of fsync() */
    /* returns: weir_writer_open -ELOOP of stat() */
    /* returns: weir_writer_open -EDQUOT of write() */
    /* returns: weir_writer_open -EBUSY of pthread_mutex_init() */
    /* returns: weir_writer_open -ENOSPC of close() */
    /* returns: weir_writer_open -EPERM of ftruncate() */
    /* returns: weir_writer_open -EIO of pread() */
    /* returns: weir_writer_open -ENOSYS of sem_init() */
    /* returns: weir_writer_open -ENOLCK of flock() */
    for (size_t i = 0; i < CALLS; i++) {
        clean();
        file_set(path, RECORD "torn");
        fail_call(&calls[i]);
        if (!EXPECT_INT(weir_writer_open(&writer,
                                         &(struct weir_writer_options){
                                             .path = path,
                                             .sync = WEIR_SYNC_FLUSH,
                                             .recover = WEIR_RECOVER_LINES }),
                        -calls[i].error))
            printf("# %s\n", inject_name(calls[i].kind));
        EXPECT(writer == NULL);
        inject_reset();
        EXPECT(file_says(path, RECORD "torn"));
    }
}

/* Let each allocation in turn be the first that fails; there are more than
 * `least` of them. */
static void open_without(enum inject_kind kind, unsigned long least,
                         size_t buffer_bytes, size_t capacity)
{
    for (unsigned long k = 1, hits = 1; hits > 0; k++) {
        int err;

        clean();
        file_set(path, RECORD "torn");
        inject_reset();
        inject_fail(kind, k, 0, INJECT_ALWAYS);
        err = weir_writer_open(&writer, &(struct weir_writer_options){
            .path = path, .sync = WEIR_SYNC_FLUSH,
            .recover = WEIR_RECOVER_LINES, .buffer_bytes = buffer_bytes,
            .capacity = capacity });
        hits = inject_hits();
        inject_reset();
        EXPECT_INT(err, hits > 0 ? -ENOMEM : 0);
        if (hits > 0)
            EXPECT(file_says(path, RECORD "torn"));
        else
            EXPECT(k > least);
    }
    forget();
}

static void open_without_memory(void)
{
    /* The writer, its buffers, what saves the tail. */
    open_without(INJECT_ALLOC, 6, 4096, 64);
    /* Its buffers, if they are large. */
    open_without(INJECT_MAP, 2, (size_t)1 << 20, (size_t)1 << 20);
    clean();
    inject_fail(INJECT_ALLOC, 5, 0, INJECT_ALWAYS); /* a new file's folder */
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .sync = WEIR_SYNC_FLUSH, .buffer_bytes = 4096,
        .capacity = 64 }), -ENOMEM);
    inject_reset();
}

static void interrupted_saving(void)
{
    clean();
    file_set(path, RECORD "torn");
    inject_reset();
    inject_fail(INJECT_PREAD, 1, EINTR, INJECT_ONCE);
    inject_fail(INJECT_WRITE, 1, EINTR, INJECT_ONCE);
    REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES }) == 0);
    EXPECT_INT(inject_hits(), 2);
    EXPECT_INT(stats().torn_bytes, 4);
    forget();
    EXPECT(file_says(torn_path, "torn"));
    EXPECT(file_holds(path, 1));
    /* A call that moves nothing is an error and is not repeated forever. */
    for (int i = 0; i < 2; i++) {
        clean();
        file_set(path, RECORD "torn");
        inject_short(i == 0 ? INJECT_PREAD : INJECT_WRITE, 1, 0,
                     INJECT_ALWAYS);
        EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
            .path = path, .recover = WEIR_RECOVER_LINES }), -EIO);
        inject_reset();
        EXPECT(file_says(path, RECORD "torn"));
    }
}

static void odd_files(void)
{
    const struct {
        unsigned type;
        int error;
    } types[] = { { S_IFDIR, EISDIR }, { S_IFBLK, EINVAL },
                  { S_IFSOCK, EINVAL } };
    int reader;

    for (int i = 0; i < 3; i++) {
        clean();
        inject_reset();
        inject_file_type(types[i].type);
        EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
            .path = path }), -types[i].error);
        inject_reset();
    }
    /* Another process has created a FIFO as PATH.torn and reads from it. */
    clean();
    file_set(path, RECORD "torn");
    REQUIRE(mkfifo(torn_path, 0600) == 0);
    reader = open(torn_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader >= 0);
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES }), -EINVAL);
    EXPECT(file_says(path, RECORD "torn"));
    close(reader);
    clean();
}

/* A name without a folder, and one in the root directory if that is
 * writable. */
static void folders(void)
{
    static const char *const names[] = { "weir-test-file", "/weir-test-file" };
    char before[300];

    REQUIRE(getcwd(before, sizeof(before)) != NULL);
    REQUIRE(chdir(folder) == 0);
    for (int i = 0; i < (access("/", W_OK) == 0 ? 2 : 1); i++) {
        inject_reset();
        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
            .path = names[i], .sync = WEIR_SYNC_FLUSH }) == 0);
        EXPECT_INT(inject_calls(INJECT_FSYNC), 1);
        forget();
        EXPECT_INT(unlink(names[i]), 0);
        /* A file system that does not support it. */
        inject_fail(INJECT_FSYNC, 1, EINVAL, INJECT_ONCE);
        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
            .path = names[i], .sync = WEIR_SYNC_FLUSH }) == 0);
        forget();
        EXPECT_INT(unlink(names[i]), 0);
    }
    REQUIRE(chdir(before) == 0);
}

/* A rename by another process between any two calls of an open. */
static void errors_of_later_calls(void)
{
    for (unsigned long k = 1; k <= 4; k++) {
        clean();
        file_set(path, RECORD "torn");
        inject_reset();
        inject_fail(INJECT_FSTAT, k, EIO, INJECT_ONCE);
        EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
            .path = path, .recover = WEIR_RECOVER_LINES }), -EIO);
        EXPECT_INT(inject_hits(), 1);
        EXPECT(file_says(path, RECORD "torn"));
    }
    inject_reset();
    /* The path is missing at each look-up. */
    inject_fail(INJECT_STAT, 1, ENOENT, INJECT_ALWAYS);
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path }), -EBUSY);
    inject_reset();
}

static void pipes_cannot_be_synced(void)
{
    static const int errors[] = { EINVAL, EROFS, ENOTSUP, EIO };

    for (int i = 0; i < 4; i++) {
        int err = errors[i] == EIO ? -EIO : 0;
        int fds[2];

        REQUIRE(pipe(fds) == 0);
        inject_reset();
        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
            .fd = fds[1], .sync = WEIR_SYNC_FLUSH }) == 0);
        inject_fail(INJECT_FDATASYNC, 1, errors[i], INJECT_ALWAYS);
        EXPECT_INT(put(), 0);
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), err);
        EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), err);
        forget();
        close(fds[0]);
        close(fds[1]);
    }
}

static void saved_in_pieces(void)
{
    clean();
    file_set(path, RECORD "torn");
    inject_reset();
    inject_short(INJECT_WRITE, 1, 1, INJECT_ALWAYS);
    inject_short(INJECT_PREAD, 1, 1, INJECT_ALWAYS);
    REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
                                          .path = path,
                                          .recover = WEIR_RECOVER_LINES }) ==
            0);
    forget();
    EXPECT(file_says(torn_path, "torn"));
    EXPECT(file_holds(path, 1));
}

static void directory_is_synced(void)
{
    const enum weir_sync policies[] = { WEIR_SYNC_NEVER, WEIR_SYNC_FLUSH,
                                        WEIR_SYNC_BATCH };

    for (int i = 0; i < 3; i++) {
        clean();
        inject_reset();
        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
                                              .path = path,
                                              .sync = policies[i] }) == 0);
        EXPECT_INT(inject_calls(INJECT_FSYNC),
                   policies[i] == WEIR_SYNC_NEVER ? 0 : 1);
        forget();
    }
}

static void lock_fails(void)
{
    clean();
    inject_reset();
    inject_fail(INJECT_FLOCK, 1, EWOULDBLOCK, INJECT_ONCE);
    /* returns: weir_writer_open -EBUSY */
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                                             .path = path }),
               -EBUSY);
    inject_reset();
    inject_fail(INJECT_FLOCK, 1, ENOLCK, INJECT_ONCE);
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                                             .path = path }),
               -ENOLCK);
    inject_reset();
}

static void thread_fails(void)
{
    clean();
    file_set(path, RECORD "torn");
    inject_reset();
    inject_fail(INJECT_THREAD, 1, EAGAIN, INJECT_ONCE);
    EXPECT_INT(weir_writer_open(&writer,
                                &(struct weir_writer_options){
                                    .path = path,
                                    .recover = WEIR_RECOVER_LINES }),
               -EAGAIN);
    EXPECT(writer == NULL);
    inject_reset();
    EXPECT(file_says(path, RECORD "torn"));
}

/* The path is renamed between the open and the lock, so another file is locked
 * than the path names. stat() shows this; here it is made to find nothing. */
static void renamed_meanwhile(void)
{
    clean();
    inject_reset();
    inject_fail(INJECT_STAT, 1, ENOENT, INJECT_ONCE);
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                                             .path = path }),
               0);
    EXPECT_INT(inject_calls(INJECT_STAT), 2);
    forget();
    inject_fail(INJECT_STAT, 1, ENOENT, INJECT_ALWAYS);
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                                             .path = path }),
               -EBUSY);
    inject_reset();
}

/* Another file takes the place of the path; the first file is kept. */
static void put_another_there(void *arg)
{
    (void)arg;
    REQUIRE(rename(path, other_path) == 0);
    file_set(path, RECORD "other");
}

/* The same between the lock and the reading of the tail. */
static void renamed_before_recovery(void)
{
    clean();
    file_set(path, RECORD "torn");
    inject_reset();
    inject_before(INJECT_OPEN, 2, put_another_there, NULL);
    EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                                             .path = path,
                                             .recover = WEIR_RECOVER_LINES }),
               -EBUSY);
    EXPECT(writer == NULL);
    EXPECT(file_says(path, RECORD "other"));
    EXPECT(file_says(other_path, RECORD "torn"));
    EXPECT(access(torn_path, F_OK) != 0);
    inject_reset();
}

/* ---- waiting and reopening ---- */

static void no_semaphore(void)
{
    fill((struct weir_writer_options){ .capacity = RECORDS });
    inject_fail(INJECT_SEM_INIT, 1, ENOSPC, INJECT_ALWAYS);
    inject_fail(INJECT_COND_INIT, 1, ENOSPC, INJECT_ALWAYS); /* fallback */
    /* returns: weir_writer_write -ENOSPC of sem_init() */
    EXPECT_INT(put(), -ENOSPC);
    /* returns: weir_writer_flush -ENOSPC of sem_init() */
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -ENOSPC);
    /* returns: weir_writer_reopen -ENOSPC of sem_init() */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -ENOSPC);
    /* returns: weir_writer_close -ENOSPC of sem_init() */
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -ENOSPC);
    EXPECT_INT(stats().error, 0);
    run();
    weir_writer_destroy(writer); /* needs no semaphore */
    inject_reset();
    EXPECT(file_holds(path, RECORDS));
}

/* A failed reopen keeps the old file, or the error sticks; the records counted
 * as written are in the two files. */
static void sweep_reopen(enum inject_times times)
{
    int before = descriptors();

    for (unsigned long k = 1;; k++) {
        struct weir_writer_stats s;
        unsigned long hits;
        bool moved;
        int err;

        fill((struct weir_writer_options){ .sync = WEIR_SYNC_FLUSH });
        run();
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
        REQUIRE(rename(path, other_path) == 0);
        inject_reset();
        inject_fail(INJECT_ANY, k, 0, times);
        err = weir_writer_reopen(writer, WEIR_FOREVER);
        hits = inject_hits();
        inject_reset();
        s = stats();
        EXPECT(s.error == 0 || s.error == err);
        moved = err == 0;
        run();
        EXPECT_INT(put(), s.error);
        EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), s.error);
        forget();
        if (s.error == 0) {
            EXPECT(file_holds(other_path, moved ? RECORDS : RECORDS + 1));
            if (moved)
                EXPECT(file_holds(path, 1));
        } else {
            EXPECT(file_holds(other_path, RECORDS));
        }
        EXPECT_INT(descriptors(), before);
        if (hits == 0) {
            EXPECT_INT(err, 0);
            EXPECT(k > 5);
            break;
        }
    }
}

static void every_call_of_reopen_once(void)
{
    sweep_reopen(INJECT_ONCE);
}

static void every_call_of_reopen_for_good(void)
{
    sweep_reopen(INJECT_ALWAYS);
}

static void errors_of_reopen(void)
{
    /* returns: weir_writer_reopen -EMFILE of open() */
    /* returns: weir_writer_reopen -EOVERFLOW of fstat() */
    /* returns: weir_writer_reopen -EROFS of fsync() */
    /* returns: weir_writer_reopen -ELOOP of stat() */
    /* returns: weir_writer_reopen -EDQUOT of write() */
    /* returns: weir_writer_reopen -EPERM of ftruncate() */
    /* returns: weir_writer_reopen -EIO of pread() */
    /* returns: weir_writer_reopen -ENOLCK of flock() */
    for (size_t i = 0; i < CALLS_OF_REOPEN; i++) {
        fill((struct weir_writer_options){ .sync = WEIR_SYNC_FLUSH,
                                           .recover = WEIR_RECOVER_LINES });
        run();
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
        REQUIRE(rename(path, other_path) == 0);
        file_set(path, RECORD "torn");
        fail_call(&calls[i]);
        if (!EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER),
                        -calls[i].error))
            printf("# %s\n", inject_name(calls[i].kind));
        inject_reset();
        EXPECT(file_says(path, RECORD "torn"));
        run();
        EXPECT_INT(put(), 0);
        EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
        forget();
        EXPECT(file_holds(other_path, RECORDS + 1));
    }
}

static void reopen_without_memory(void)
{
    fill((struct weir_writer_options){ .recover = WEIR_RECOVER_LINES });
    run();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    inject_reset();
    REQUIRE(rename(path, other_path) == 0);
    file_set(path, RECORD "torn");
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    /* returns: weir_writer_reopen -ENOMEM */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -ENOMEM);
    inject_reset();
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().torn_bytes, 4);
    forget();
    EXPECT(file_holds(path, 1));
}

static void old_cannot_be_synced(void)
{
    fill((struct weir_writer_options){ .sync = WEIR_SYNC_FLUSH });
    REQUIRE(rename(path, other_path) == 0);
    inject_fail(INJECT_FDATASYNC, 1, EIO, INJECT_ONCE);
    run();
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -EIO);
    EXPECT_INT(stats().error, -EIO);
    EXPECT_INT(stats().durable, 0);
    forget();
    EXPECT(file_holds(other_path, RECORDS));
    EXPECT(access(path, F_OK) != 0);
}

/* ---- a whole life ---- */

/* Open with a torn tail, write, flush, move the file away, reopen, write,
 * close. Whatever fails, no record counts as written that is not in a file, and
 * if every call succeeds, every record is there. Returns the first error of a
 * call. */
static int life(int sync)
{
    struct weir_writer_stats s;
    uint64_t accepted = 0;
    bool moved = false;
    int first, err;

    file_set(path, RECORD "torn");
    unlink(torn_path);
    unlink(other_path);
    writer = (struct weir_writer *)&writer;
    first = weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .sync = (enum weir_sync)sync, .capacity = 4,
        .recover = WEIR_RECOVER_LINES });
    if (first != 0) {
        EXPECT(writer == NULL);
        return first;
    }
    for (int i = 0; i < RECORDS; i++) {
        err = put();
        accepted += err == 0;
        first = first != 0 ? first : err;
        if (i == RECORDS / 2) {
            err = weir_writer_flush(writer, WEIR_FOREVER);
            first = first != 0 ? first : err;
            moved = rename(path, other_path) == 0;
            EXPECT(moved);
            err = weir_writer_reopen(writer, WEIR_FOREVER);
            first = first != 0 ? first : err;
        }
    }
    err = weir_writer_close(writer, WEIR_FOREVER);
    first = first != 0 ? first : err;
    REQUIRE(weir_writer_stats(writer, &s) == 0);
    EXPECT_INT(s.accepted, accepted);
    /* closes the writer, if there was no semaphore */
    weir_writer_destroy(writer);
    if (first == 0) {
        EXPECT_INT(s.written, RECORDS);
        EXPECT_INT(s.lost, 0);
        EXPECT(file_holds(other_path, 1 + RECORDS / 2 + 1));
        EXPECT(file_holds(path, RECORDS - RECORDS / 2 - 1));
        EXPECT(file_says(torn_path, "torn"));
    }
    return first;
}

static void every_call_of_a_life(void)
{
    sweep(life, WEIR_SYNC_FLUSH);
    sweep_for_good(life, WEIR_SYNC_FLUSH);
    sweep(life, WEIR_SYNC_BATCH);
    sweep_for_good(life, WEIR_SYNC_BATCH);
}

static const struct tap_case cases[] = {
    { "an error at any write sticks, and the file holds whole records",
      errors_at_every_write },
    { "short writes are completed", short_writes },
    { "a record torn by an error is cut off, wherever it was torn",
      cut_back_everywhere },
    { "an interrupted write is retried", interrupted },
    { "a write that would block is waited for, and an error of the wait sticks",
      would_block },
    { "a write that writes nothing is EIO and is not repeated forever",
      writes_nothing },
    { "the error of a write sticks if cutting back fails, and the next open "
      "cuts the tail", cutting_fails },
    { "a sync that fails on flush sticks and is never retried",
      sync_fails_on_flush },
    { "a sync that fails after a batch sticks", sync_fails_on_batch },
    { "a sync that fails on close is reported", sync_fails_on_close },
    { "EINVAL from syncing a regular file is an error", sync_invalid },
    { "an error of close() is reported, and close() is not retried",
      close_fails },
    { "weir_writer_open fails as a whole at each call that can fail",
      every_call_of_open_once },
    { "weir_writer_open fails as a whole if every call from some call on "
      "fails", every_call_of_open_for_good },
    { "PATH.torn is cut back if the torn tail cannot be saved", saving_fails },
    { "weir_writer_open passes on an error of any call that it makes",
      errors_of_open },
    { "weir_writer_open returns ENOMEM wherever memory runs out",
      open_without_memory },
    { "reading and saving a tail continues after signals and does not loop "
      "forever", interrupted_saving },
    { "weir_writer_open returns EISDIR for a directory and EINVAL for a block "
      "device, a socket or a FIFO as PATH.torn", odd_files },
    { "the directory of a new file is synced for a path without a slash and "
      "in the root directory", folders },
    { "a file whose status cannot be read, or that is gone, is rejected",
      errors_of_later_calls },
    { "a pipe that cannot be synced is no error, but a failing sync of a pipe "
      "is", pipes_cannot_be_synced },
    { "a tail that is read and saved in pieces is saved whole",
      saved_in_pieces },
    { "a new file's directory is synced if there is a sync policy",
      directory_is_synced },
    { "errors of flock are passed on, and a lock that is held elsewhere is "
      "EBUSY", lock_fails },
    { "weir_writer_open leaves the file untouched if the thread cannot be "
      "started", thread_fails },
    { "a path that is renamed during an open is opened again, and is EBUSY if "
      "it is renamed again", renamed_meanwhile },
    { "a path that is renamed before the recovery is EBUSY, and neither file "
      "is cut", renamed_before_recovery },
    { "a call that gets no semaphore fails, and the writer goes on",
      no_semaphore },
    { "weir_writer_reopen works or changes nothing at each call that can fail",
      every_call_of_reopen_once },
    { "weir_writer_reopen works or changes nothing if every call from some "
      "call on fails", every_call_of_reopen_for_good },
    { "weir_writer_reopen passes on an error of any call that it makes and "
      "changes nothing", errors_of_reopen },
    { "weir_writer_reopen without memory returns ENOMEM, and works once there "
      "is memory", reopen_without_memory },
    { "weir_writer_reopen keeps an old file that cannot be synced",
      old_cannot_be_synced },
    { "a writer survives every fault, transient or permanent, and reports "
      "each that lost data", every_call_of_a_life },
};

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    int result;

    snprintf(folder, sizeof(folder), "%s/weir-fault.XXXXXX",
             tmp != NULL && strlen(tmp) < 150 ? tmp : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(torn_path, sizeof(torn_path), "%s.torn", path);
    snprintf(other_path, sizeof(other_path), "%s/other", folder);
    result = SWEEP_RUN(cases);
    clean();
    rmdir(folder);
    return result;
}
