/* SPDX-License-Identifier: MIT
 * test_writer.c - the writer, by its public header. */
#define _GNU_SOURCE 1
#include <weir/writer.h>

#include "resident.h"
#include "tap.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#ifndef KILLS
#define KILLS 100 /* -DKILLS=10000 for the full test */
#endif

#define FAIL(text) tap_expect(0, __FILE__, __LINE__, "no case of: " text)

/* The thread sanitizer and qemu cannot start threads in a child of a process
 * that had threads: see platforms/aarch64.ini. */
#if defined(__SANITIZE_THREAD__) || defined(TESTS_QEMU)
#define MAY_START_THREADS_IN_CHILDREN 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MAY_START_THREADS_IN_CHILDREN 0
#endif
#endif
#if !defined(MAY_START_THREADS_IN_CHILDREN)
#define MAY_START_THREADS_IN_CHILDREN 1
#endif

static char folder[200];
static char path[256], torn_path[300], other_path[256];
static struct weir_writer *writer;

/* ---- help ---- */

static void file_set(const char *name, const void *bytes, size_t count)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    REQUIRE(fd >= 0);
    REQUIRE(write(fd, bytes, count) == (ssize_t)count);
    close(fd);
}

/* A file's bytes followed by a NUL, which the caller frees; *count is -1 if
 * there is no file. */
static char *file_get(const char *name, ssize_t *count)
{
    struct stat st;
    char *bytes;
    int fd = open(name, O_RDONLY);

    *count = -1;
    if (fd < 0)
        return NULL;
    REQUIRE(fstat(fd, &st) == 0);
    bytes = malloc((size_t)st.st_size + 1);
    REQUIRE(bytes != NULL);
    *count = read(fd, bytes, (size_t)st.st_size);
    REQUIRE(*count >= 0);
    bytes[*count] = 0;
    close(fd);
    return bytes;
}

static bool file_is(const char *name, const void *want, size_t bytes)
{
    ssize_t count;
    char *have = file_get(name, &count);
    bool same = count == (ssize_t)bytes && memcmp(have, want, bytes) == 0;

    if (!same)
        printf("# %s holds %zd bytes: %.60s\n", name, count,
               have != NULL ? have : "");
    free(have);
    return same;
}

static bool file_says(const char *name, const char *text)
{
    return file_is(name, text, strlen(text));
}

static void clean(void)
{
    unlink(path);
    unlink(torn_path);
    unlink(other_path);
}

static void open_with(struct weir_writer_options options)
{
    if (options.path == NULL && options.fd == 0)
        options.path = path;
    /* returns: weir_writer_open 0 */
    REQUIRE(weir_writer_open(&writer, &options) == 0);
    REQUIRE(writer != NULL);
}

static int put(const char *text, int64_t deadline)
{
    const struct iovec piece = { (char *)(uintptr_t)text, strlen(text) };

    return weir_writer_write(writer, &piece, 1, deadline);
}

static struct weir_writer_stats stats(void)
{
    struct weir_writer_stats s;

    /* returns: weir_writer_stats 0 */
    REQUIRE(weir_writer_stats(writer, &s) == 0);
    return s;
}

/* Close, which must return `want`, destroy, and clear the pointer. */
static void finish(int want)
{
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), want);
    weir_writer_destroy(writer);
    writer = NULL;
}

static void in_threads(void *(*fn)(void *), int count)
{
    pthread_t threads[16];

    for (long i = 0; i < count; i++)
        REQUIRE(pthread_create(&threads[i], NULL, fn, (void *)i) == 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static int child_result(pid_t child)
{
    int status = -1;

    REQUIRE(child >= 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

/* An on_batch that blocks until it may continue: it posts `entered` once a
 * batch, and waits for `go_on` unless `open_gate` is set. */
static struct {
    sem_t entered, go_on;
    atomic_bool open_gate;
    atomic_size_t records, bytes, batches;
} gate;

static void gate_reset(void)
{
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.go_on, 0, 0);
    atomic_store(&gate.open_gate, false);
    atomic_store(&gate.batches, 0);
}

static void gate_wait(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        continue;
}

static void gate_open(void)
{
    atomic_store(&gate.open_gate, true);
    sem_post(&gate.go_on);
}

static void stand_still(void *user, size_t records, size_t bytes)
{
    EXPECT(user == &gate);
    atomic_store(&gate.records, records);
    atomic_store(&gate.bytes, bytes);
    atomic_fetch_add(&gate.batches, 1);
    sem_post(&gate.entered);
    if (!atomic_load(&gate.open_gate))
        gate_wait(&gate.go_on);
}

/* ---- opening ---- */

static void options_out_of_range(void)
{
    const struct weir_writer_options bad[] = {
        { .path = path, .capacity = ((size_t)1 << 30) + 1 },
#if SIZE_MAX > UINT32_MAX /* otherwise every size is in range */
        { .path = path, .buffer_bytes = ((size_t)1 << 40) + 1 },
#endif
        { .path = path, .buffer_bytes = 100, .record_max = 101 },
        { .path = path, .sync = (enum weir_sync)3 },
        { .path = path, .recover = (enum weir_recover)2 },
        { .path = path, .reserved = { 0, 0, 0, 0, 0, 1 } },
        { .fd = -1 },
        { .fd = -1, .recover = WEIR_RECOVER_LINES },
    };

    clean();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        writer = (struct weir_writer *)&gate;
        /* returns: weir_writer_open -EINVAL */
        EXPECT_INT(weir_writer_open(&writer, &bad[i]), -EINVAL);
        EXPECT(writer == NULL);
    }
    EXPECT_INT(weir_writer_open(&writer, NULL), -EINVAL);
    EXPECT(access(path, F_OK) != 0);
}

static void room_is_not_touched(void)
{
    long long before = resident_bytes();

    if (before < 0) {
        SKIP("resident memory cannot be measured here");
        return;
    }
    clean();
    open_with((struct weir_writer_options){
        .path = path, .capacity = (size_t)1 << 24, .buffer_bytes = 1 << 28 });
    EXPECT_INT(put("line\n", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "line\n"));
    EXPECT(resident_bytes() - before < RESIDENT_SLACK);
}

static void open_errors(void)
{
    const struct {
        const char *path;
        int error;
    } bad[] = {
        { folder, -EISDIR },
        { "/nonexistent/weir", -ENOENT },
        { "", -ENOENT },
        { "/dev/null/x", -ENOTDIR },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        writer = (struct weir_writer *)&gate;
        EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                                                 .path = bad[i].path }),
                   bad[i].error);
        EXPECT(writer == NULL);
    }
}

static void bad_descriptors(void)
{
    int fd = open(folder, O_RDONLY);

    REQUIRE(fd >= 0);
    /* returns: weir_writer_open -EISDIR */
    EXPECT_INT(weir_writer_open(&writer,
                                &(struct weir_writer_options){ .fd = fd }),
               -EISDIR);
    close(fd);
    EXPECT_INT(weir_writer_open(&writer,
                                &(struct weir_writer_options){ .fd = fd }),
               -EBADF);
    EXPECT(writer == NULL);
}

static void fifo_without_reader(void)
{
    clean();
    REQUIRE(mkfifo(path, 0600) == 0);
    EXPECT_INT(weir_writer_open(&writer,
                                &(struct weir_writer_options){
                                    .path = path }),
               -ENXIO);
    EXPECT(writer == NULL);
}

static void fifo_with_reader(void)
{
    char buffer[8];
    int fd;

    clean();
    REQUIRE(mkfifo(path, 0600) == 0);
    fd = open(path, O_RDONLY | O_NONBLOCK);
    REQUIRE(fd >= 0);
    open_with((struct weir_writer_options){
        .sync = WEIR_SYNC_BATCH, .recover = WEIR_RECOVER_LINES });
    EXPECT_INT(put("abc\n", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(read(fd, buffer, 8), 4);
    EXPECT_INT(stats().durable, 0);
    finish(0);
    close(fd);
}

static void socket_path(void)
{
    clean();
    REQUIRE(mknod(path, S_IFSOCK | 0600, 0) == 0);
    EXPECT(weir_writer_open(&writer, &(struct weir_writer_options){
                                         .path = path }) < 0);
    EXPECT(writer == NULL);
}

static void mode_and_umask(void)
{
    mode_t before = umask(027);
    struct stat st;

    clean();
    open_with((struct weir_writer_options){ .path = path });
    umask(before);
    REQUIRE(stat(path, &st) == 0);
    EXPECT_INT(st.st_mode & 0777, 0640);
    finish(0);
}

static void second_is_busy(void)
{
    const struct weir_writer_options options = {
        .path = path, .recover = WEIR_RECOVER_LINES
    };
    struct weir_writer *second = (struct weir_writer *)&gate;
    int fds[2];
    char byte;
    pid_t child;

    clean();
    file_set(path, "whole\ntorn", 10);
    REQUIRE(pipe(fds) == 0);
    child = fork(); /* before there is a thread, for the thread sanitizer */
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(read(fds[0], &byte, 1) == 1 &&
                      weir_writer_open(&second, &options) == -EBUSY
                  ? 0
                  : 1);
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(weir_writer_open(&second, &options), -EBUSY);
    EXPECT(second == NULL);
    REQUIRE(write(fds[1], "", 1) == 1);
    EXPECT_INT(child_result(child), 0);
    close(fds[0]);
    close(fds[1]);
    EXPECT(file_says(path, "whole\ntorn"));
    finish(0);
    open_with((struct weir_writer_options){ .path = path });
    finish(0);
}

/* The child has a copy of the descriptor and would keep the lock, if the writer
 * did not unlock it explicitly. */
static void closed_is_free_despite_children(void)
{
    int pipe_fds[2];
    char byte;
    pid_t child;

    clean();
    REQUIRE(pipe(pipe_fds) == 0);
    open_with((struct weir_writer_options){ .path = path });
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(pipe_fds[1]);
        _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
    }
    finish(0);
    open_with((struct weir_writer_options){ .path = path });
    finish(0);
    close(pipe_fds[1]);
    EXPECT_INT(child_result(child), 0);
    close(pipe_fds[0]);
}

static void two_may_share_devnull(void)
{
    struct weir_writer *second;

    open_with((struct weir_writer_options){ .path = "/dev/null" });
    EXPECT_INT(weir_writer_open(&second, &(struct weir_writer_options){
                                             .path = "/dev/null" }),
               0);
    weir_writer_destroy(second);
    EXPECT_INT(put("x", WEIR_FOREVER), 0);
    finish(0);
}

static void destroy_null(void)
{
    weir_writer_destroy(NULL);
}

/* ---- writing ---- */

static void appends(void)
{
    clean();
    file_set(path, "before\n", 7);
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(put("one\n", WEIR_FOREVER), 0);
    EXPECT_INT(put("two\n", WEIR_NO_WAIT), 0);
    finish(0);
    EXPECT(file_says(path, "before\none\ntwo\n"));
}

static void pieces_lie_together(void)
{
    struct iovec pieces[1025];
    static char want[1024];

    clean();
    for (size_t i = 0; i < 1025; i++) {
        want[i % 1024] = (char)('a' + i % 26);
        pieces[i].iov_base = &want[i % 1024];
        pieces[i].iov_len = 1;
    }
    memset(want, 'x', 1024);
    want[7] = 'y';
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(weir_writer_write(writer, pieces, 1024, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_write(writer, pieces, 1025, WEIR_FOREVER),
               -EINVAL);
    finish(0);
    EXPECT(file_is(path, want, 1024));
}

static void empty_records(void)
{
    struct iovec nothing[2] = { { NULL, 0 }, { NULL, 0 } };

    clean();
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(weir_writer_write(writer, NULL, 0, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_write(writer, nothing, 2, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().written, 2);
    EXPECT_INT(stats().bytes, 0);
    EXPECT_INT(stats().writes, 0);
    finish(0);
    EXPECT(file_says(path, ""));
}

static void record_max(void)
{
    const struct iovec endless[2] = { { path, 1 }, { path, SIZE_MAX } };

    clean();
    open_with((struct weir_writer_options){ .path = path,
                                            .record_max = 5 });
    /* returns: weir_writer_write 0 */
    EXPECT_INT(put("12345", WEIR_FOREVER), 0);
    EXPECT_INT(put("123456", WEIR_FOREVER), -EMSGSIZE);
    /* returns: weir_writer_write -EMSGSIZE */
    EXPECT_INT(weir_writer_write(writer, endless, 2, WEIR_FOREVER),
               -EMSGSIZE);
    finish(0);
    EXPECT(file_says(path, "12345"));

    clean();
    open_with((struct weir_writer_options){ .path = path,
                                            .buffer_bytes = 16 });
    EXPECT_INT(put("1234", WEIR_FOREVER), 0);
    EXPECT_INT(put("12345", WEIR_FOREVER), -EMSGSIZE);
    finish(0);
}

static void whole_lines_only(void)
{
    const struct iovec split[3] = { { "ab", 2 }, { NULL, 0 }, { "c\n", 2 } };
    const struct iovec two[2] = { { "a\n", 2 }, { "b\n", 2 } };

    clean();
    open_with((struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES });
    EXPECT_INT(put("line", WEIR_FOREVER), -EINVAL);
    EXPECT_INT(put("li\nne", WEIR_FOREVER), -EINVAL);
    EXPECT_INT(put("li\nne\n", WEIR_FOREVER), -EINVAL);
    EXPECT_INT(put("", WEIR_FOREVER), -EINVAL);
    /* returns: weir_writer_write -EINVAL */
    EXPECT_INT(weir_writer_write(writer, two, 2, WEIR_FOREVER), -EINVAL);
    EXPECT_INT(put("\n", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_write(writer, split, 3, WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "\nabc\n"));
}

/* Records of all sizes pass through a ring of 61 bytes and wrap in every
 * possible way. */
static void wraps(void)
{
    static char want[200000];
    size_t used = 0;

    clean();
    open_with((struct weir_writer_options){
        .path = path, .buffer_bytes = 61, .record_max = 61, .capacity = 7 });
    for (size_t i = 0; used < sizeof(want) - 61; i++) {
        size_t bytes = i * 31 % 62;
        const struct iovec pieces[2] = {
            { want + used, bytes / 3 },
            { want + used + bytes / 3, bytes - bytes / 3 }
        };

        memset(want + used, (int)('a' + i % 26), bytes);
        if (weir_writer_write(writer, pieces, 2, WEIR_FOREVER) != 0)
            FAIL("write failed");
        used += bytes;
    }
    /* returns: weir_writer_close 0 */
    finish(0);
    EXPECT(file_is(path, want, used));
}

static void *write_lines(void *arg)
{
    int thread = (int)(intptr_t)arg;

    for (int i = 0; i < 20000; i++) {
        char line[80];
        int fill = (i * 13 + thread) % 50;
        int bytes = snprintf(line, sizeof(line), "%d %d %.*s\n", thread, i,
                             fill,
                             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                             "xxxxxxxx");
        const struct iovec piece = { line, (size_t)bytes };

        if (weir_writer_write(writer, &piece, 1, WEIR_FOREVER) != 0)
            FAIL("write failed");
    }
    return NULL;
}

/* Whether a file holds each thread's lines, whole and in its order. */
static void check_lines(int threads, int each)
{
    ssize_t count;
    char *text = file_get(path, &count);
    int next[16] = { 0 };
    char *at = text;

    REQUIRE(text != NULL);
    while (*at != 0) {
        long thread = strtol(at, &at, 10);
        long number = strtol(at, &at, 10);
        size_t fill;

        if (*at != ' ' || thread < 0 || thread >= threads ||
            number != next[thread]) {
            FAIL("a line is torn or out of order");
            break;
        }
        next[thread]++;
        at++;
        fill = strspn(at, "x");
        EXPECT_INT(fill, (number * 13 + thread) % 50);
        at += fill;
        EXPECT(*at == '\n');
        at++;
    }
    for (int i = 0; i < threads; i++)
        EXPECT_INT(next[i], each);
    free(text);
}

static void four_threads(void)
{
    struct weir_writer_stats s;

    clean();
    open_with((struct weir_writer_options){ .path = path });
    in_threads(write_lines, THREADS);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    s = stats();
    EXPECT_INT(s.accepted, THREADS * 20000);
    EXPECT_INT(s.written, THREADS * 20000);
    EXPECT_INT(s.lost, 0);
    EXPECT_INT(s.waiting, 0);
    finish(0);
    check_lines(THREADS, 20000);
}

static void four_threads_small_buffer(void)
{
    clean();
    open_with((struct weir_writer_options){
        .path = path, .capacity = 3, .buffer_bytes = 150,
        .record_max = 100 });
    in_threads(write_lines, THREADS);
    EXPECT(stats().waiting_peak <= 3);
    finish(0);
    check_lines(THREADS, 20000);
}

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int ticket; /* under `turn` */

static void *write_tickets(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5000; i++) {
        char line[16];

        pthread_mutex_lock(&turn);
        snprintf(line, sizeof(line), "%d\n", ticket++);
        if (put(line, WEIR_FOREVER) != 0)
            FAIL("write failed");
        pthread_mutex_unlock(&turn);
    }
    return NULL;
}

static void acceptance_order(void)
{
    ssize_t count;
    char *text, *at;

    clean();
    ticket = 0;
    open_with((struct weir_writer_options){ .path = path, .capacity = 64 });
    in_threads(write_tickets, THREADS);
    finish(0);
    text = file_get(path, &count);
    REQUIRE(text != NULL);
    at = text;
    for (int i = 0; i < THREADS * 5000; i++)
        if (strtol(at, &at, 10) != i) {
            FAIL("out of order");
            break;
        }
    free(text);
}

/* ---- back-pressure ---- */

static void open_gated(size_t capacity)
{
    clean();
    gate_reset();
    open_with((struct weir_writer_options){
        .path = path, .capacity = capacity, .buffer_bytes = 100,
        .record_max = 100, .on_batch = stand_still, .user = &gate });
}

static void full_buffer(void)
{
    open_gated(2);
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    /* a record that is being written takes room */
    EXPECT_INT(put("b", WEIR_NO_WAIT), 0);
    EXPECT_INT(put("c", WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_writer_write -ETIMEDOUT */
    EXPECT_INT(put("c", weir_now() - 1), -ETIMEDOUT);
    EXPECT_INT(put("c", weir_after(2 * WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(stats().accepted, 2);
    EXPECT_INT(stats().waiting, 2);
    EXPECT_INT(stats().waiting_peak, 2);
    gate_open();
    EXPECT_INT(put("d", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "abd"));
}

static void full_of_bytes(void)
{
    char big[91];

    memset(big, 'x', 90);
    big[90] = 0;
    open_gated(100);
    EXPECT_INT(put(big, WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    /* returns: weir_writer_write -EAGAIN */
    EXPECT_INT(put("12345678901", WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(put("1234567890", WEIR_NO_WAIT), 0);
    EXPECT_INT(put("", WEIR_NO_WAIT), 0);
    EXPECT_INT(put("1", WEIR_NO_WAIT), -EAGAIN);
    gate_open();
    finish(0);
}

static atomic_int waiting_result, big_result;

static void *put_from_thread(void *arg)
{
    atomic_store(&waiting_result, put(arg, WEIR_FOREVER));
    return NULL;
}

/* Wait until a write that does not wait is rejected although its record would
 * fit: another write is waiting. */
static void await_line(void)
{
    while (put("", WEIR_NO_WAIT) == 0)
        sched_yield();
}

static void line_is_fifo(void)
{
    char big[61];
    pthread_t thread;

    memset(big, 'x', 60);
    big[60] = 0;
    open_gated(1000000);
    EXPECT_INT(put(big, WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    REQUIRE(pthread_create(&thread, NULL, put_from_thread, big) == 0);
    await_line();
    EXPECT_INT(put("small", WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(put("small", weir_after(WEIR_MS)), -ETIMEDOUT);
    gate_open();
    pthread_join(thread, NULL);
    EXPECT_INT(atomic_load(&waiting_result), 0);
    EXPECT_INT(put("small", WEIR_FOREVER), 0);
    finish(0);
}

static void *put_small(void *arg)
{
    (void)arg;
    atomic_store(&waiting_result, put("small", WEIR_FOREVER));
    return NULL;
}

static sem_t big_ready;

static void *put_big_until(void *arg)
{
    sem_post(&big_ready);
    atomic_store(&big_result, put(arg, weir_after(50 * WEIR_MS)));
    return NULL;
}

static void giving_up_lets_on(void)
{
    char big[61];
    pthread_t first, second;

    memset(big, 'x', 60);
    big[60] = 0;
    sem_init(&big_ready, 0, 0);
    open_gated(1000000);
    EXPECT_INT(put(big, WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    REQUIRE(pthread_create(&first, NULL, put_big_until, big) == 0);
    gate_wait(&big_ready);
    /* The big one most likely waits by now; if not, the case still passes. */
    for (int i = 0; i < 1000 && put("", WEIR_NO_WAIT) == 0; i++)
        sched_yield();
    REQUIRE(pthread_create(&second, NULL, put_small, NULL) == 0);
    pthread_join(first, NULL);
    pthread_join(second, NULL); /* the batch is still stuck: no room was made */
    EXPECT_INT(atomic_load(&big_result), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&waiting_result), 0);
    gate_open();
    finish(0);
}

static void close_wakes_line(void)
{
    char big[91];
    pthread_t thread;

    memset(big, 'x', 90);
    big[90] = 0;
    open_gated(1000000);
    EXPECT_INT(put(big, WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    REQUIRE(pthread_create(&thread, NULL, put_from_thread, big) == 0);
    await_line();
    /* returns: weir_writer_close -EAGAIN */
    EXPECT_INT(weir_writer_close(writer, WEIR_NO_WAIT), -EAGAIN);
    pthread_join(thread, NULL);
    /* returns: weir_writer_write -EPIPE */
    EXPECT_INT(atomic_load(&waiting_result), -EPIPE);
    gate_open();
    finish(0);
}

/* ---- batches ---- */

static void batch_max(void)
{
    clean();
    gate_reset();
    atomic_store(&gate.open_gate, true);
    open_with((struct weir_writer_options){
        .path = path, .batch_max = 3, .on_batch = stand_still,
        .user = &gate });
    atomic_store(&gate.open_gate, false);
    EXPECT_INT(put("0", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    for (int i = 0; i < 7; i++)
        EXPECT_INT(put("ab", WEIR_FOREVER), 0);
    sem_post(&gate.go_on);
    for (int i = 0; i < 3; i++) {
        gate_wait(&gate.entered);
        EXPECT_INT(atomic_load(&gate.records), i < 2 ? 3 : 1);
        EXPECT_INT(atomic_load(&gate.bytes), i < 2 ? 6 : 2);
        sem_post(&gate.go_on);
    }
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().batches, 4);
    EXPECT_INT(stats().writes, 4);
    EXPECT_INT(stats().bytes, 15);
    finish(0);
    EXPECT(file_says(path, "0ababababababab"));
}

static void all_at_once(void)
{
    open_gated(50);
    EXPECT_INT(put("0", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    for (int i = 0; i < 20; i++)
        EXPECT_INT(put("x", WEIR_NO_WAIT), 0);
    sem_post(&gate.go_on);
    gate_wait(&gate.entered);
    EXPECT_INT(atomic_load(&gate.records), 20);
    gate_open();
    finish(0);
}

/* ---- flush ---- */

static void flush_covers(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(weir_writer_flush(writer, WEIR_NO_WAIT), 0);
    for (uint64_t i = 1; i <= 500; i++) {
        EXPECT_INT(put("line\n", WEIR_FOREVER), 0);
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
        EXPECT_INT(stats().written, i);
    }
    EXPECT_INT(stats().durable, 0);
    EXPECT_INT(stats().syncs, 0);
    finish(0);
}

static void flush_deadline(void)
{
    open_gated(50);
    EXPECT_INT(put("0", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    EXPECT_INT(weir_writer_flush(writer, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_writer_flush -ETIMEDOUT */
    EXPECT_INT(weir_writer_flush(writer, weir_after(WEIR_MS)), -ETIMEDOUT);
    gate_open();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_flush(writer, WEIR_NO_WAIT), 0);
    finish(0);
}

static void flush_syncs(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path,
                                            .sync = WEIR_SYNC_FLUSH });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().durable, 2);
    EXPECT_INT(stats().syncs, 1);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().syncs, 1);
    EXPECT_INT(put("c", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().durable, 3);
    EXPECT_INT(stats().syncs, 2);
    finish(0);
}

static void batch_syncs(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path,
                                            .sync = WEIR_SYNC_BATCH });
    for (uint64_t i = 1; i <= 5; i++) {
        EXPECT_INT(put("a", WEIR_FOREVER), 0);
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
        EXPECT_INT(stats().durable, i);
        EXPECT_INT(stats().syncs, stats().batches);
    }
    finish(0);
}

/* A flush that was requested without waiting is still carried out. */
static void flush_polled(void)
{
    int err;

    clean();
    open_with((struct weir_writer_options){ .path = path,
                                            .sync = WEIR_SYNC_FLUSH });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    /* returns: weir_writer_flush -EAGAIN */
    while ((err = weir_writer_flush(writer, WEIR_NO_WAIT)) == -EAGAIN)
        sched_yield();
    EXPECT_INT(err, 0);
    EXPECT_INT(stats().durable, 1);
    finish(0);
}

/* After a while the thread most likely sleeps, as it has nothing to do; the
 * promise holds either way. */
static void polling_wakes(void)
{
    const struct timespec while_ = { .tv_nsec = 1000000 };

    clean();
    open_with((struct weir_writer_options){ .path = path,
                                            .sync = WEIR_SYNC_FLUSH });
    for (uint64_t i = 1; i <= 20; i++) {
        EXPECT_INT(put("a", WEIR_FOREVER), 0);
        while (stats().written != i)
            sched_yield();
        nanosleep(&while_, NULL);
        EXPECT_INT(weir_writer_flush(writer, WEIR_NO_WAIT), -EAGAIN);
        while (stats().durable != i)
            sched_yield();
        EXPECT_INT(weir_writer_flush(writer, WEIR_NO_WAIT), 0);
    }
    finish(0);
}

static void *write_and_flush(void *arg)
{
    char line[32];

    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof(line), "%d %d\n", (int)(intptr_t)arg, i);
        EXPECT_INT(put(line, WEIR_FOREVER), 0);
        EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    }
    return NULL;
}

static void many_flush(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path });
    in_threads(write_and_flush, 8);
    EXPECT_INT(stats().written, 1600);
    finish(0);
}

/* ---- errors ---- */

static void every_call_says(int error)
{
    EXPECT_INT(put("x", WEIR_FOREVER), error);
    EXPECT_INT(put("x", WEIR_NO_WAIT), error);
    EXPECT_INT(weir_writer_flush(writer, WEIR_NO_WAIT), error);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), error);
    EXPECT_INT(stats().error, error);
}

static void dev_full(void)
{
    open_with((struct weir_writer_options){ .path = "/dev/full" });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    /* returns: weir_writer_flush -ENOSPC passed on */
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -ENOSPC);
    /* returns: weir_writer_write -ENOSPC passed on */
    every_call_says(-ENOSPC);
    /* returns: weir_writer_reopen -ENOSPC passed on */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -ENOSPC);
    EXPECT_INT(stats().accepted, 1);
    EXPECT_INT(stats().written, 0);
    EXPECT_INT(stats().lost, 1);
    EXPECT_INT(stats().waiting, 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -ENOSPC);
    every_call_says(-ENOSPC);
    finish(-ENOSPC);
}

static void broken_pipe(void)
{
    int fds[2];

    REQUIRE(pipe(fds) == 0);
    close(fds[0]);
    open_with((struct weir_writer_options){ .fd = fds[1] });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    /* returns: weir_writer_flush -EPIPE */
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -EPIPE);
    EXPECT_INT(stats().error, -EPIPE);
    EXPECT_INT(stats().lost, 1);
    finish(-EPIPE);
    EXPECT_INT(fcntl(fds[1], F_GETFD), 0); /* still owned by the caller */
    close(fds[1]);
}

static void error_wakes_all(void)
{
    char big[61];
    pthread_t thread;

    memset(big, 'x', 60);
    big[60] = 0;
    gate_reset();
    open_with((struct weir_writer_options){
        .path = "/dev/full", .buffer_bytes = 100, .record_max = 100,
        .on_batch = stand_still, .user = &gate });
    EXPECT_INT(put(big, WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    EXPECT_INT(put("waits", WEIR_FOREVER), 0);
    REQUIRE(pthread_create(&thread, NULL, put_from_thread, big) == 0);
    await_line();
    gate_open();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -ENOSPC);
    pthread_join(thread, NULL);
    EXPECT_INT(atomic_load(&waiting_result), -ENOSPC);
    EXPECT_INT(stats().lost, stats().accepted);
    finish(-ENOSPC);
}

/* In a child, so that its limit can be lowered. */
static int too_big_in_child(bool own)
{
    struct rlimit limit;
    struct weir_writer_options options = { .path = own ? path : NULL };
    int fd = -1;

    atomic_store(&tap_failures, 0);
    signal(SIGXFSZ, SIG_DFL);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 25;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (!own) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        options.fd = fd;
    }
    options.on_batch = stand_still;
    options.user = &gate;
    gate_reset();
    open_with(options);
    EXPECT_INT(put("a\n", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    for (int i = 0; i < 5; i++)
        EXPECT_INT(put("1234567\n", WEIR_FOREVER), 0);
    gate_open();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -EFBIG);
    EXPECT_INT(stats().written, 3);
    EXPECT_INT(stats().bytes, 18);
    EXPECT_INT(stats().lost, 3);
    EXPECT_INT(stats().accepted, 6);
    finish(-EFBIG);
    if (!own)
        close(fd);
    fflush(stdout);
    return atomic_load(&tap_failures) != 0;
}

static void cut_back(void)
{
    pid_t child;

    clean();
    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(too_big_in_child(true));
    EXPECT_INT(child_result(child), 0);
    EXPECT(file_says(path, "a\n1234567\n1234567\n"));
}

static void not_cut_back(void)
{
    pid_t child;

    clean();
    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(too_big_in_child(false));
    EXPECT_INT(child_result(child), 0);
    EXPECT(file_says(path, "a\n1234567\n1234567\n1234567"));
}

/* The kind of file of a descriptor makes no difference. */
static void descriptor_is_not_recovered(void)
{
    const struct weir_writer_options defaults = { .fd = -1 };
    int fds[3], pipe_ends[2];

    clean();
    file_set(path, "torn", 4);
    fds[0] = open(path, O_WRONLY | O_APPEND);
    fds[1] = open(path, O_RDWR | O_APPEND);
    REQUIRE(fds[0] >= 0 && fds[1] >= 0 && pipe(pipe_ends) == 0);
    fds[2] = pipe_ends[1];
    for (int i = 0; i < 3; i++) {
        struct weir_writer_options o = defaults;

        o.fd = fds[i];
        o.recover = WEIR_RECOVER_LINES;
        writer = (struct weir_writer *)&gate;
        EXPECT_INT(weir_writer_open(&writer, &o), -EINVAL);
        EXPECT(writer == NULL);
        close(fds[i]);
    }
    close(pipe_ends[0]);
    EXPECT(file_says(path, "torn"));
    EXPECT(access(torn_path, F_OK) != 0);
}

static void descriptor_is_not_locked(void)
{
    int fd, second;

    clean();
    file_set(path, "torn", 4);
    fd = open(path, O_WRONLY | O_APPEND);
    second = open(path, O_WRONLY | O_APPEND);
    REQUIRE(fd >= 0 && second >= 0);
    open_with((struct weir_writer_options){
        .fd = fd, .sync = WEIR_SYNC_BATCH });
    EXPECT(file_says(path, "torn"));
    EXPECT_INT(put("line\n", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().durable, 1);
    {
        struct weir_writer *other;

        EXPECT_INT(weir_writer_open(&other, &(struct weir_writer_options){
                                                .path = path }),
                   0);
        weir_writer_destroy(other);
    }
    /* returns: weir_writer_reopen -EINVAL */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -EINVAL);
    finish(0);
    EXPECT_INT(write(fd, "!", 1), 1);
    close(fd);
    close(second);
    EXPECT(file_says(path, "tornline\n!"));
}

/* A pipe that does not block fills up; the writer waits for its reader. */
static void slow_pipe(void)
{
    enum { ALL = 1 << 20 };
    static char bytes[4096], seen[4096];
    int fds[2];
    size_t read_bytes = 0;

    REQUIRE(pipe2(fds, O_NONBLOCK) == 0);
    memset(bytes, 'x', sizeof(bytes));
    open_with((struct weir_writer_options){
        .fd = fds[1], .sync = WEIR_SYNC_FLUSH, .buffer_bytes = 2 * ALL });
    for (size_t i = 0; i < ALL / sizeof(bytes); i++) {
        const struct iovec piece = { bytes, sizeof(bytes) };

        EXPECT_INT(weir_writer_write(writer, &piece, 1, WEIR_NO_WAIT), 0);
    }
    while (read_bytes < ALL) {
        struct pollfd p = { .fd = fds[0], .events = POLLIN };
        ssize_t n;

        REQUIRE(poll(&p, 1, 10000) == 1);
        n = read(fds[0], seen, sizeof(seen));
        REQUIRE(n > 0);
        read_bytes += (size_t)n;
    }
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().written, ALL / sizeof(bytes));
    EXPECT_INT(stats().durable, 0);
    finish(0);
    close(fds[0]);
    close(fds[1]);
}

/* ---- recovery ---- */

static void recover_now(uint64_t torn)
{
    open_with((struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES });
    EXPECT_INT(stats().torn_bytes, torn);
    finish(0);
}

static void every_prefix(void)
{
    static const char trace[] = "{\"a\":1}\n\nline two is longer\n{\"b\":2}\n";

    for (size_t bytes = 0; bytes < sizeof(trace); bytes++) {
        size_t whole = bytes;

        while (whole > 0 && trace[whole - 1] != '\n')
            whole--;
        clean();
        file_set(path, trace, bytes);
        recover_now(bytes - whole);
        EXPECT(file_is(path, trace, whole));
        if (whole == bytes)
            EXPECT(access(torn_path, F_OK) != 0);
        else
            EXPECT(file_is(torn_path, trace + whole, bytes - whole));
    }
}

static void zeroed_tail(void)
{
    static const char trace[] = "line one\nline two\n";
    static char file[200000];

    for (size_t bytes = 0; bytes < sizeof(trace); bytes++) {
        size_t whole = bytes;

        while (whole > 0 && trace[whole - 1] != '\n')
            whole--;
        for (size_t zeros = 1; zeros < sizeof(file) - 100; zeros *= 7) {
            memset(file, 0, sizeof(file));
            memcpy(file, trace, bytes);
            clean();
            file_set(path, file, bytes + zeros);
            recover_now(bytes + zeros - whole);
            EXPECT(file_is(path, trace, whole));
            EXPECT(file_is(torn_path, file + whole, bytes + zeros - whole));
        }
    }
}

/* Last newlines at and around the boundaries of the blocks that are read. */
static void long_tails(void)
{
    static char file[300000];
    const size_t ends[] = { 0,      1,      65535,  65536, 65537,
                            131072, 299999, 300000, 234464 };

    memset(file, 'x', sizeof(file));
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (ends[i] > 0)
            file[ends[i] - 1] = '\n';
        clean();
        file_set(path, file, sizeof(file));
        recover_now(sizeof(file) - ends[i]);
        EXPECT(file_is(path, file, ends[i]));
        if (ends[i] < sizeof(file))
            EXPECT(file_is(torn_path, file + ends[i],
                           sizeof(file) - ends[i]));
        if (ends[i] > 0)
            file[ends[i] - 1] = 'x';
    }
}

static void torn_tails_add_up(void)
{
    clean();
    file_set(path, "a\nfirst", 7);
    recover_now(5);
    file_set(path, "a\nsecond", 8);
    recover_now(6);
    EXPECT(file_says(torn_path, "firstsecond"));
    EXPECT(file_says(path, "a\n"));
}

static void torn_is_as_private(void)
{
    struct stat st;

    clean();
    file_set(path, "secret", 6);
    REQUIRE(chmod(path, 0600) == 0);
    recover_now(6);
    REQUIRE(stat(torn_path, &st) == 0);
    EXPECT_INT(st.st_mode & 0777, 0600);
}

static void torn_cannot_be_saved(void)
{
    clean();
    file_set(path, "a\ntorn", 6);
    REQUIRE(symlink("/dev/null", torn_path) == 0);
    EXPECT_INT(weir_writer_open(&writer,
                                &(struct weir_writer_options){
                                    .path = path,
                                    .recover = WEIR_RECOVER_LINES }),
               -ELOOP);
    EXPECT(writer == NULL);
    EXPECT(file_says(path, "a\ntorn"));
    unlink(torn_path);
    REQUIRE(mkdir(torn_path, 0700) == 0);
    EXPECT_INT(weir_writer_open(&writer,
                                &(struct weir_writer_options){
                                    .path = path,
                                    .recover = WEIR_RECOVER_LINES }),
               -EISDIR);
    EXPECT(file_says(path, "a\ntorn"));
    rmdir(torn_path);
    recover_now(4);
}

static void no_recovery(void)
{
    clean();
    file_set(path, "torn", 4);
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(stats().torn_bytes, 0);
    EXPECT_INT(put("more", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "tornmore"));
}

static void recover_with_sync(void)
{
    clean();
    file_set(path, "a\ntorn", 6);
    open_with((struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES,
        .sync = WEIR_SYNC_FLUSH });
    EXPECT_INT(stats().torn_bytes, 4);
    finish(0);
    EXPECT(file_says(path, "a\n"));
    EXPECT(file_says(torn_path, "torn"));
}

/* ---- reopen ---- */

static void reopen_in_order(void)
{
    clean();
    open_gated(50);
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    REQUIRE(rename(path, other_path) == 0);
    /* returns: weir_writer_reopen -EAGAIN */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -EBUSY);
    EXPECT_INT(put("c", WEIR_FOREVER), 0);
    gate_open();
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(other_path, "ab"));
    EXPECT(file_says(path, "c"));
}

static void reopen_deadline(void)
{
    open_gated(50);
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    REQUIRE(rename(path, other_path) == 0);
    /* returns: weir_writer_reopen -ETIMEDOUT */
    EXPECT_INT(weir_writer_reopen(writer, weir_after(WEIR_MS)), -ETIMEDOUT);
    gate_open();
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(other_path, "a"));
    EXPECT(file_says(path, "b"));
}

static void reopen_same(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    /* returns: weir_writer_reopen 0 */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), 0);
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "ab"));
}

static void reopen_fails(void)
{
    struct weir_writer *other;

    clean();
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    REQUIRE(rename(path, other_path) == 0);
    REQUIRE(mkdir(path, 0700) == 0);
    /* returns: weir_writer_reopen -EISDIR */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -EISDIR);
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    REQUIRE(rmdir(path) == 0);
    REQUIRE(weir_writer_open(&other, &(struct weir_writer_options){
                                         .path = path }) == 0);
    /* returns: weir_writer_reopen -EBUSY */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -EBUSY);
    EXPECT_INT(put("c", WEIR_FOREVER), 0);
    weir_writer_destroy(other);
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), 0);
    EXPECT_INT(put("d", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(other_path, "abc"));
    EXPECT(file_says(path, "d"));
}

static void reopen_recovers(void)
{
    clean();
    open_with((struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES,
        .sync = WEIR_SYNC_FLUSH });
    EXPECT_INT(put("a\n", WEIR_FOREVER), 0);
    REQUIRE(rename(path, other_path) == 0);
    file_set(path, "old\ntorn", 8);
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), 0);
    EXPECT_INT(stats().torn_bytes, 4);
    EXPECT_INT(stats().durable, 1);
    EXPECT_INT(put("b\n", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "old\nb\n"));
    EXPECT(file_says(torn_path, "torn"));
}

static atomic_bool rotating;

static void *rotate(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        char name[300];

        snprintf(name, sizeof(name), "%s/rotated.%d", folder, i);
        REQUIRE(rename(path, name) == 0);
        EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), 0);
    }
    atomic_store(&rotating, false);
    return NULL;
}

static atomic_int put_lines;

static void *write_while_rotating(void *arg)
{
    (void)arg;
    while (atomic_load(&rotating)) {
        EXPECT_INT(put("0123456789abcdef\n", WEIR_FOREVER), 0);
        atomic_fetch_add(&put_lines, 1);
    }
    return NULL;
}

static void *rotate_or_write(void *arg)
{
    return arg == NULL ? rotate(NULL) : write_while_rotating(NULL);
}

static size_t count_lines(const char *name)
{
    ssize_t bytes;
    char *text = file_get(name, &bytes);
    size_t lines = 0;

    REQUIRE(text != NULL);
    EXPECT_INT(bytes % 17, 0);
    for (char *at = text; at + 17 <= text + bytes; at += 17) {
        EXPECT(memcmp(at, "0123456789abcdef\n", 17) == 0);
        lines++;
    }
    free(text);
    return lines;
}

static void rotation_loop(void)
{
    size_t lines;

    clean();
    atomic_store(&rotating, true);
    atomic_store(&put_lines, 0);
    open_with((struct weir_writer_options){ .path = path });
    in_threads(rotate_or_write, 3);
    finish(0);
    lines = count_lines(path);
    for (int i = 0; i < 200; i++) {
        char name[300];

        snprintf(name, sizeof(name), "%s/rotated.%d", folder, i);
        lines += count_lines(name);
        unlink(name);
    }
    EXPECT_INT(lines, atomic_load(&put_lines));
}

static void truncated_by_another(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(put("before\n", WEIR_FOREVER), 0);
    /* returns: weir_writer_flush 0 */
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), 0);
    REQUIRE(truncate(path, 0) == 0);
    EXPECT_INT(put("after\n", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "after\n"));
}

/* ---- close ---- */

static void closed(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path });
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    EXPECT(file_says(path, "a"));
    EXPECT_INT(put("b", WEIR_FOREVER), -EPIPE);
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -EPIPE);
    /* returns: weir_writer_reopen -EPIPE */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -EPIPE);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_NO_WAIT), 0);
    EXPECT_INT(stats().written, 1);
    weir_writer_destroy(writer);
}

static void close_deadline(void)
{
    open_gated(50);
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_writer_close -ETIMEDOUT */
    EXPECT_INT(weir_writer_close(writer, weir_after(WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(put("c", WEIR_FOREVER), -EPIPE);
    gate_open();
    finish(0);
    EXPECT(file_says(path, "ab"));
}

static void *flush_from_thread(void *arg)
{
    (void)arg;
    atomic_store(&waiting_result,
                 weir_writer_flush(writer, weir_after(60 * WEIR_S)));
    return NULL;
}

static void *close_from_thread(void *arg)
{
    (void)arg;
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    return NULL;
}

static void close_finishes_flush(void)
{
    pthread_t thread;

    open_gated(50);
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    atomic_store(&waiting_result, 77);
    REQUIRE(pthread_create(&thread, NULL, flush_from_thread, NULL) == 0);
    EXPECT_INT(weir_writer_close(writer, weir_after(WEIR_MS)), -ETIMEDOUT);
    gate_open();
    pthread_join(thread, NULL);
    /* Called before the close or after it. */
    EXPECT(atomic_load(&waiting_result) == 0 ||
           atomic_load(&waiting_result) == -EPIPE);
    finish(0);
}

static void many_close(void)
{
    for (int i = 0; i < 50; i++) {
        clean();
        open_with((struct weir_writer_options){ .path = path });
        EXPECT_INT(put("a", WEIR_FOREVER), 0);
        in_threads(close_from_thread, THREADS);
        weir_writer_destroy(writer);
        EXPECT(file_says(path, "a"));
    }
}

static void destroy_writes(void)
{
    clean();
    open_with((struct weir_writer_options){ .path = path });
    for (int i = 0; i < 1000; i++)
        EXPECT_INT(put("0123456789abcdef\n", WEIR_FOREVER), 0);
    weir_writer_destroy(writer);
    EXPECT_INT(count_lines(path), 1000);
}

/* ---- fork ---- */

static int forked_calls(void)
{
    struct weir_writer_stats s;

    atomic_store(&tap_failures, 0);
    /* returns: weir_writer_write -ECHILD */
    EXPECT_INT(put("child", WEIR_NO_WAIT), -ECHILD);
    EXPECT_INT(put("child", WEIR_FOREVER), -ECHILD);
    /* returns: weir_writer_flush -ECHILD */
    EXPECT_INT(weir_writer_flush(writer, WEIR_FOREVER), -ECHILD);
    /* returns: weir_writer_reopen -ECHILD */
    EXPECT_INT(weir_writer_reopen(writer, WEIR_FOREVER), -ECHILD);
    /* returns: weir_writer_close -ECHILD */
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -ECHILD);
    /* returns: weir_writer_stats -ECHILD */
    EXPECT_INT(weir_writer_stats(writer, &s), -ECHILD);
    weir_writer_destroy(writer);
    if (MAY_START_THREADS_IN_CHILDREN) {
        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
                                              .path = other_path }) == 0);
        EXPECT_INT(put("own", WEIR_FOREVER), 0);
        finish(0);
    }
    fflush(stdout);
    return atomic_load(&tap_failures) != 0;
}

static void forked_child(void)
{
    pid_t child;

    open_gated(50);
    EXPECT_INT(put("a", WEIR_FOREVER), 0);
    gate_wait(&gate.entered);
    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(forked_calls());
    EXPECT_INT(child_result(child), 0);
    gate_open();
    EXPECT_INT(put("b", WEIR_FOREVER), 0);
    finish(0);
    EXPECT(file_says(path, "ab"));
    if (MAY_START_THREADS_IN_CHILDREN)
        EXPECT(file_says(other_path, "own"));
}

static void signals_untouched(void)
{
    clean();
    for (int s = 1; s < 32; s++) {
        struct sigaction before, after;

        if (sigaction(s, NULL, &before) != 0)
            continue;
        if (s == SIGUSR1) { /* once with every step is enough */
            open_with((struct weir_writer_options){ .path = path });
            EXPECT_INT(put("a", WEIR_FOREVER), 0);
            finish(0);
        }
        EXPECT(sigaction(s, NULL, &after) == 0 &&
               before.sa_handler == after.sa_handler);
    }
}

/* ---- SIGKILL ---- */

/* What the child reports as flushed, as seen by the parent. */
static atomic_uint *flushed;

static void write_until_killed(unsigned start)
{
    static char filler[8192];
    unsigned n = start;

    memset(filler, 'x', sizeof(filler));
    if (weir_writer_open(&writer, &(struct weir_writer_options){
                                      .path = path,
                                      .recover = WEIR_RECOVER_LINES }) != 0)
        _exit(1);
    for (;;) {
        char head[16];
        int bytes = snprintf(head, sizeof(head), "%u ", n);
        struct iovec pieces[3] = { { head, (size_t)bytes },
                                   { filler, n * 2654435761u % 8192 },
                                   { "\n", 1 } };

        if (weir_writer_write(writer, pieces, 3, WEIR_FOREVER) != 0)
            _exit(2);
        n++;
        if (n % 8 == 0) {
            if (weir_writer_flush(writer, WEIR_FOREVER) != 0)
                _exit(3);
            atomic_store(flushed, n);
        }
    }
}

/* Check the lines 0, 1, ... of a file. Returns how many there are, and the
 * bytes of the torn line after them. */
static unsigned check_numbered(size_t *torn)
{
    ssize_t bytes;
    char *text = file_get(path, &bytes);
    char *at = text;
    unsigned n = 0;

    *torn = 0;
    if (text == NULL)
        return 0;
    while (at < text + bytes) {
        char *end = memchr(at, '\n', (size_t)(text + bytes - at));
        char *rest;

        if (end == NULL) {
            *torn = (size_t)(text + bytes - at);
            break;
        }
        if (strtoul(at, &rest, 10) != n || *rest != ' ' ||
            (size_t)(end - rest - 1) != n * 2654435761u % 8192 ||
            strspn(rest + 1, "x") != (size_t)(end - rest - 1)) {
            FAIL("a line is torn in the middle of the file");
            break;
        }
        n++;
        at = end + 1;
    }
    free(text);
    return n;
}

static void kill_loop(void)
{
    unsigned lines = 0, tears = 0;
    size_t torn = 0;

    clean();
    flushed = mmap(NULL, sizeof(*flushed), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(flushed != MAP_FAILED);
    for (int i = 0; i < KILLS; i++) {
        struct weir_writer_stats s;
        pid_t child;
        int status;

        if (lines > 20000) {
            clean();
            lines = 0;
        }
        atomic_store(flushed, 0);
        child = fork();
        if (child == 0)
            write_until_killed(lines);
        /* Kill it in the middle of its work, at another point each time. */
        while (atomic_load(flushed) < lines + 8 + (unsigned)(i % 64))
            sched_yield();
        kill(child, SIGKILL);
        status = child_result(child);
        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        lines = check_numbered(&torn);
        EXPECT(lines >= atomic_load(flushed));
        tears += torn != 0;
        open_with((struct weir_writer_options){
            .path = path, .recover = WEIR_RECOVER_LINES });
        s = stats();
        EXPECT_INT(s.torn_bytes, torn);
        finish(0);
        EXPECT_INT(check_numbered(&torn), lines);
        EXPECT_INT(torn, 0);
    }
    printf("# %u of %d kills left a torn line\n", tears, KILLS);
    munmap(flushed, sizeof(*flushed));
}

static const struct tap_case cases[] = {
    { "weir_writer_open returns EINVAL for an option out of range and creates "
      "no file", options_out_of_range },
    { "opening a writer of any capacity and buffer touches hardly any memory",
      room_is_not_touched },
    { "recovering a descriptor is EINVAL and leaves its file unchanged",
      descriptor_is_not_recovered },
    { "weir_writer_open passes on errors of open() and returns EISDIR for a "
      "directory", open_errors },
    { "weir_writer_open returns EBADF for a closed descriptor and EISDIR for "
      "one of a directory", bad_descriptors },
    { "a FIFO without a reader is ENXIO immediately", fifo_without_reader },
    { "a writer writes to a FIFO that has a reader, and syncing the FIFO is "
      "no error", fifo_with_reader },
    { "opening a writer on the path of a socket is an error", socket_path },
    { "a new file has mode 0666 without the bits of the umask",
      mode_and_umask },
    { "a second writer in this or another process gets EBUSY and changes "
      "nothing", second_is_busy },
    { "a closed writer's file is unlocked even while a forked child lives",
      closed_is_free_despite_children },
    { "a character device may have two writers", two_may_share_devnull },
    { "weir_writer_destroy accepts NULL", destroy_null },
    { "records are appended to the file in order", appends },
    { "up to 1,024 pieces of a record are joined", pieces_lie_together },
    { "empty records are accepted and count as written", empty_records },
    { "a record over record_max is EMSGSIZE immediately", record_max },
    { "with recovery a record that is not one whole line is EINVAL",
      whole_lines_only },
    { "records of all sizes survive the wrap of the buffer", wraps },
    { "records of four threads are whole and in the order of each thread",
      four_threads },
    { "records of four threads are whole and in order through a buffer of "
      "three records", four_threads_small_buffer },
    { "records are written in the order they were accepted",
      acceptance_order },
    { "a writer with a buffer full of records rejects a record with EAGAIN or "
      "ETIMEDOUT", full_buffer },
    { "a writer with a buffer full of bytes rejects a record with EAGAIN",
      full_of_bytes },
    { "a record that would fit does not overtake a record that waits",
      line_is_fifo },
    { "a write that gives up waiting lets later writes proceed",
      giving_up_lets_on },
    { "closing a writer wakes a blocked write with EPIPE", close_wakes_line },
    { "a batch holds batch_max records and is reported to on_batch",
      batch_max },
    { "by default a batch holds every waiting record", all_at_once },
    { "a flush covers every record that was accepted before the flush",
      flush_covers },
    { "weir_writer_flush returns EAGAIN or ETIMEDOUT while the flush is not "
      "complete", flush_deadline },
    { "flush and close make records durable if requested", flush_syncs },
    { "every batch is made durable if requested", batch_syncs },
    { "a flush that did not wait is carried out anyway", flush_polled },
    { "a flush that does not wait wakes the thread", polling_wakes },
    { "eight threads may flush a writer simultaneously", many_flush },
    { "a full disk makes every later call return ENOSPC", dev_full },
    { "writing to a pipe without a reader is EPIPE and raises no signal",
      broken_pipe },
    { "an error wakes every waiting thread", error_wakes_all },
    { "a file over its size limit is EFBIG and is cut back to whole records",
      cut_back },
    { "the file of a passed descriptor is never cut back", not_cut_back },
    { "a passed descriptor is not locked, recovered or closed",
      descriptor_is_not_locked },
    { "a pipe that would block is waited for", slow_pipe },
    { "recovery keeps the whole lines of every prefix of a file",
      every_prefix },
    { "recovery cuts a tail of zeros", zeroed_tail },
    { "recovery finds the last newline wherever it is", long_tails },
    { "torn tails are appended to PATH.torn", torn_tails_add_up },
    { "PATH.torn is no more readable than the file", torn_is_as_private },
    { "open fails and leaves the file untouched if the tail cannot be saved",
      torn_cannot_be_saved },
    { "a torn tail stays as it is without recovery", no_recovery },
    { "recovery works with a sync policy", recover_with_sync },
    { "a reopen splits the records at the moment of the call",
      reopen_in_order },
    { "a reopen that timed out is carried out in its turn", reopen_deadline },
    { "a reopen of the same file succeeds", reopen_same },
    { "a reopen that fails changes nothing", reopen_fails },
    { "a reopen recovers the new file and syncs the old file",
      reopen_recovers },
    { "no record is lost or torn by 200 rotations", rotation_loop },
    { "a file truncated by another process continues at its new end",
      truncated_by_another },
    { "calls on a closed writer return EPIPE, and closing it twice is allowed",
      closed },
    { "closing a writer times out while a batch is stuck and succeeds "
      "afterwards", close_deadline },
    { "closing a writer lets an earlier flush finish", close_finishes_flush },
    { "four threads may close a writer simultaneously", many_close },
    { "destroying a writer writes every accepted record", destroy_writes },
    { "a forked child gets ECHILD, may destroy the writer, and may open its "
      "own", forked_child },
    { "the writer leaves signal dispositions unchanged", signals_untouched },
    { "after SIGKILL the file holds whole lines, including all that were "
      "flushed", kill_loop },
};

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    int result;

    snprintf(folder, sizeof(folder), "%s/weir-writer.XXXXXX",
             tmp != NULL && strlen(tmp) < 150 ? tmp : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(torn_path, sizeof(torn_path), "%s.torn", path);
    snprintf(other_path, sizeof(other_path), "%s/other", folder);
    result = TAP_RUN(cases);
    clean();
    rmdir(folder);
    return result;
}
