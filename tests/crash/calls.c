/* SPDX-License-Identifier: MIT
 * calls.c - SIGKILL at every file call of a writer.
 *
 *   calls [all]              all: report at the end what was tried
 *
 * A child recovers a file, writes records and closes; it is killed before its
 * first file call, after it, and if it writes, in the middle of it; then the
 * next child at its second call, and so on until a child finishes. The linker
 * puts the killer between the writer and its seam to the system, so no moment
 * is left to chance. After each kill the file is examined and recovered.
 */
#define _GNU_SOURCE 1
#include <weir/writer.h>

#include "tap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WHOLE "first\nsecond\n" /* whole lines, there from the start */
#define RECORDS 4
#define ROOM 4096

int __real_weir_sys_open(const char *path, int flags, unsigned mode);
int __wrap_weir_sys_open(const char *path, int flags, unsigned mode);
int __real_weir_sys_close(int fd);
int __wrap_weir_sys_close(int fd);
ssize_t __real_weir_sys_writev(int fd, const struct iovec *pieces, int count);
ssize_t __wrap_weir_sys_writev(int fd, const struct iovec *pieces, int count);
ssize_t __real_weir_sys_write(int fd, const void *bytes, size_t count);
ssize_t __wrap_weir_sys_write(int fd, const void *bytes, size_t count);
int __real_weir_sys_ftruncate(int fd, int64_t bytes);
int __wrap_weir_sys_ftruncate(int fd, int64_t bytes);
int __real_weir_sys_fdatasync(int fd);
int __wrap_weir_sys_fdatasync(int fd);
int __real_weir_sys_fsync(int fd);
int __wrap_weir_sys_fsync(int fd);

enum moment { BEFORE, AMID, AFTER, MOMENTS };

static atomic_uint calls; /* of this process so far */
static unsigned kill_at;  /* 0: never */
static enum moment moment;

static char path[300], torn_path[320];
static unsigned tried, failed;
static const char *records[RECORDS + 1] = {
    "{\"record\":0}\n", "\n", "{\"record\":2,\"longer\":\"than the others\"}\n",
    "{\"record\":3}\n", "next\n",
};

/* ---- the killer ---- */

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Call this at the beginning of a file call. Returns whether the process must
 * die at its end. */
static bool begin(void)
{
    bool now = atomic_fetch_add(&calls, 1) + 1 == kill_at;

    if (now && moment == BEFORE)
        die();
    return now;
}

static void end(bool dies)
{
    if (dies)
        die();
}

int __wrap_weir_sys_open(const char *name, int flags, unsigned mode)
{
    bool dies = begin();
    int fd = __real_weir_sys_open(name, flags, mode);

    end(dies);
    return fd;
}

int __wrap_weir_sys_close(int fd)
{
    bool dies = begin();
    int err = __real_weir_sys_close(fd);

    end(dies);
    return err;
}

ssize_t __wrap_weir_sys_writev(int fd, const struct iovec *pieces, int count)
{
    bool dies = begin();
    ssize_t n;

    if (dies && moment == AMID) {
        n = write(fd, pieces[0].iov_base, pieces[0].iov_len / 2);
        die();
    }
    n = __real_weir_sys_writev(fd, pieces, count);
    end(dies);
    return n;
}

ssize_t __wrap_weir_sys_write(int fd, const void *bytes, size_t count)
{
    bool dies = begin();
    ssize_t n = __real_weir_sys_write(fd, bytes,
                                      dies && moment == AMID ? count / 2
                                                             : count);

    end(dies);
    return n;
}

int __wrap_weir_sys_ftruncate(int fd, int64_t bytes)
{
    bool dies = begin();
    int err = __real_weir_sys_ftruncate(fd, bytes);

    end(dies);
    return err;
}

int __wrap_weir_sys_fdatasync(int fd)
{
    bool dies = begin();
    int err = __real_weir_sys_fdatasync(fd);

    end(dies);
    return err;
}

int __wrap_weir_sys_fsync(int fd)
{
    bool dies = begin();
    int err = __real_weir_sys_fsync(fd);

    end(dies);
    return err;
}

/* ---- the child ---- */

/* Recover and write; report each flushed record by a byte. */
static void write_all(int pipe_fd, enum weir_sync sync)
{
    struct weir_writer *writer;

    if (weir_writer_open(&writer, &(struct weir_writer_options){
            .path = path, .recover = WEIR_RECOVER_LINES, .sync = sync }) != 0)
        _exit(11);
    for (int i = 0; i < RECORDS; i++) {
        struct iovec piece = { (char *)(uintptr_t)records[i],
                               strlen(records[i]) };

        if (weir_writer_write(writer, &piece, 1, WEIR_FOREVER) != 0 ||
            weir_writer_flush(writer, WEIR_FOREVER) != 0 ||
            write(pipe_fd, "w", 1) != 1)
            _exit(12);
    }
    if (weir_writer_close(writer, WEIR_FOREVER) != 0)
        _exit(13);
    weir_writer_destroy(writer);
    _exit(0);
}

/* Run a child. Returns whether it was killed; *flushed is what it reported. */
static bool run_child(enum weir_sync sync, size_t *flushed)
{
    char told[RECORDS + 1];
    ssize_t n;
    pid_t child;
    int fds[2], status;

    *flushed = 0;
    REQUIRE(pipe(fds) == 0);
    fflush(stdout);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(fds[0]);
        write_all(fds[1], sync);
    }
    close(fds[1]);
    while ((n = read(fds[0], told, sizeof(told))) > 0)
        *flushed += (size_t)n;
    close(fds[0]);
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    EXPECT_INT(status, 0);
    return false;
}

/* Recover once more and append, in a child, as this process must not have
 * threads. */
static void recover(size_t torn)
{
    pid_t child;
    int status;

    fflush(stdout);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct iovec next = { (char *)(uintptr_t)records[RECORDS],
                              strlen(records[RECORDS]) };
        struct weir_writer_stats stats;
        struct weir_writer *writer;

        kill_at = 0;
        if (weir_writer_open(&writer, &(struct weir_writer_options){
                .path = path, .recover = WEIR_RECOVER_LINES }) != 0 ||
            weir_writer_stats(writer, &stats) != 0)
            _exit(21);
        if (stats.torn_bytes != torn)
            _exit(22);
        if (weir_writer_write(writer, &next, 1, WEIR_FOREVER) != 0 ||
            weir_writer_close(writer, WEIR_FOREVER) != 0)
            _exit(23);
        weir_writer_destroy(writer);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- the file ---- */

static size_t read_file(const char *name, char bytes[ROOM])
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, bytes, ROOM - 1) : 0;

    REQUIRE(n >= 0);
    if (fd >= 0)
        close(fd);
    bytes[n] = '\0';
    return (size_t)n;
}

static void start_with(const char *tail)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    REQUIRE(fd >= 0 && write(fd, WHOLE, strlen(WHOLE)) ==
                           (ssize_t)strlen(WHOLE));
    REQUIRE(write(fd, tail, strlen(tail)) == (ssize_t)strlen(tail));
    close(fd);
    unlink(torn_path);
}

/* Whether `bytes` ends like this. */
static bool ends_with(const char *bytes, size_t count, const char *tail,
                      size_t tail_bytes)
{
    return count >= tail_bytes &&
           memcmp(bytes + count - tail_bytes, tail, tail_bytes) == 0;
}

/* Check that the file holds the initial lines and whole records, including all
 * that were flushed, followed by the beginning of one record or by the initial
 * tail, which otherwise must have been saved. */
static void check(const char *tail, size_t flushed)
{
    static char file[ROOM], torn[ROOM], after[ROOM];
    size_t bytes = read_file(path, file), at = strlen(WHOLE), whole = 0;
    size_t kept = read_file(torn_path, torn), left, all;
    bool as_it_was;

    if (!EXPECT(bytes >= at && memcmp(file, WHOLE, at) == 0))
        return;
    as_it_was = *tail != '\0' && strcmp(file + at, tail) == 0;
    while (!as_it_was && whole < RECORDS &&
           strncmp(file + at, records[whole], strlen(records[whole])) == 0)
        at += strlen(records[whole++]);
    EXPECT(whole >= flushed);
    left = bytes - at;
    if (!as_it_was) {
        EXPECT(left == 0 || (whole < RECORDS &&
                             left < strlen(records[whole]) &&
                             memcmp(file + at, records[whole], left) == 0));
        EXPECT(kept == strlen(tail) && strcmp(torn, tail) == 0);
    } else {
        EXPECT(kept <= strlen(tail) && memcmp(torn, tail, kept) == 0);
    }
    recover(left);
    all = read_file(path, after);
    EXPECT(all == at + strlen(records[RECORDS]) &&
           memcmp(after, file, at) == 0 &&
           strcmp(after + at, records[RECORDS]) == 0);
    kept = read_file(torn_path, torn);
    EXPECT(ends_with(torn, kept, file + at, left));
    EXPECT(*tail == '\0' || strstr(torn, tail) != NULL);
}

/* ---- cases ---- */

static void at_every_call(const char *tail, enum weir_sync sync)
{
    unsigned kills = 0;

    for (moment = BEFORE; moment < MOMENTS; moment++) {
        bool killed = true;

        for (kill_at = 1; killed && kill_at < 1000; kill_at++) {
            int failures = atomic_load(&tap_failures);
            size_t flushed;

            start_with(tail);
            atomic_store(&calls, 0);
            killed = run_child(sync, &flushed);
            EXPECT(killed || flushed == RECORDS);
            check(tail, flushed);
            kills += killed;
            failed += atomic_load(&tap_failures) != failures;
        }
    }
    printf("# %u kills\n", kills);
    tried += kills;
    /* There is at least one call per record. */
    EXPECT(kills > MOMENTS * RECORDS);
    unlink(path);
    unlink(torn_path);
}

static void no_sync(void)
{
    at_every_call("", WEIR_SYNC_NEVER);
}

static void no_sync_torn(void)
{
    at_every_call("{\"torn\":", WEIR_SYNC_NEVER);
}

static void flush_torn(void)
{
    at_every_call("{\"torn\":", WEIR_SYNC_FLUSH);
}

static void batch_torn(void)
{
    at_every_call("{\"torn\":", WEIR_SYNC_BATCH);
}

static const struct tap_case cases[] = {
    { "a kill at any file call loses nothing that was flushed", no_sync },
    { "a kill at any file call of an open that recovers loses nothing that "
      "was flushed and keeps the torn tail", no_sync_torn },
    { "a kill at any file call loses nothing that was flushed if each flush "
      "syncs", flush_torn },
    { "a kill at any file call loses nothing that was flushed if each batch "
      "syncs", batch_torn },
};

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    bool all = argc == 2 && strcmp(argv[1], "all") == 0;
    char folder[220];
    struct timespec from, to;
    int result;

    if (argc > 1 && !all) {
        fprintf(stderr, "usage: calls [all]\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    snprintf(folder, sizeof(folder), "%s/weir-calls.XXXXXX",
             tmp != NULL && strlen(tmp) < 150 ? tmp : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(torn_path, sizeof(torn_path), "%s.torn", path);
    result = TAP_RUN(cases);
    rmdir(folder);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (all)
        printf("tally: crash | SIGKILLs at every file call of a writer | %u | "
               "%u | %lld\n", tried, failed,
               (long long)(to.tv_sec - from.tv_sec));
    return result;
}
