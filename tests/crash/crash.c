/* SPDX-License-Identifier: MIT
 * crash.c - SIGKILL a process that writes records, again and again.
 *
 *   crash [KILLS [SEED]]     300 kills and a random seed by default
 *
 * A child opens the file with recovery, which repairs what the previous child
 * left, and appends numbered records until it is killed at a random moment:
 * mostly during its writes, one time in four at any time from its start on,
 * hence also during recovery. Through a pipe it reports what the writer has
 * returned: that the file is open, and how many records are written. After
 * each kill the parent reads the file. Records are a function of the seed and
 * their number, so the parent knows every byte there may be. It has no threads
 * itself, so that its children may have some.
 *
 * Half of the kills are of writers that never sync, the others of writers
 * that sync at each flush or each batch.
 */
#define _GNU_SOURCE 1
#include <weir/writer.h>

#include "tap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILLS_QUICK 300
#define RECORD_MAX ((size_t)60 * 1024)
#define RECORD_ROOM (RECORD_MAX + 64) /* with number and checksum */
#define FILE_MAX ((size_t)4 << 20) /* bytes; after that a new file is begun */

/* The message of a child. It is smaller than PIPE_BUF, so it arrives whole or
 * not at all. */
struct news {
    enum { OPENED = 1, WRITTEN = 2 } what;
    uint64_t number; /* bytes cut off at open; records in the file */
};

/* What the parent knows of the file between two children. */
struct known {
    uint64_t records;   /* whole records */
    size_t bytes;       /* of these */
    size_t tail_bytes;  /* after them */
    size_t torn_bytes;  /* size of FILE.torn */
    unsigned char tail[RECORD_ROOM];
};

struct counts {
    unsigned torn;      /* kills that left a torn record */
    unsigned early;     /* before the child reported that the file is open */
    uint64_t records;
};

static uint64_t seed;
static unsigned kills = KILLS_QUICK;
static unsigned failed_kills;
static char path[300], torn_path[320];
static struct known known;
static struct counts counts;

/* ---- random numbers ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t below(uint64_t *state, uint64_t bound)
{
    return next_random(state) % bound;
}

/* ---- records ---- */

/* Create a record: its number, a checksum of the rest, and up to 60 KB of
 * letters. Returns its length including the newline. */
static size_t make_record(uint64_t number, char record[RECORD_ROOM])
{
    static const size_t most[] = { 1,    100,        1000,
                                   8192, RECORD_MAX, RECORD_MAX };
    uint64_t state = seed ^ number * UINT64_C(0xd6e8feb86659fd93);
    size_t count = (size_t)below(&state, most[below(&state, 6)]);
    char *body = record + 34, head[40];
    uint64_t sum = count;

    /* Eight letters per step: a child should spend its time writing. */
    for (size_t i = 0; i < count; i += 8) {
        uint64_t letters = next_random(&state) & UINT64_C(0x0f0f0f0f0f0f0f0f);

        letters += UINT64_C(0x6161616161616161);
        sum = sum * UINT64_C(0x100000001b3) ^ letters;
        memcpy(body + i, &letters, 8);
    }
    snprintf(head, sizeof(head), "%016llx %016llx ",
             (unsigned long long)number, (unsigned long long)sum);
    memcpy(record, head, 34);
    body[count] = '\n';
    return 34 + count + 1;
}

/* ---- the child ---- */

static void tell(int pipe_fd, struct news news)
{
    if (write(pipe_fd, &news, sizeof(news)) != (ssize_t)sizeof(news))
        _exit(10); /* the parent is gone */
}

/* Append records from this number on, until killed. */
static void write_until_killed(int pipe_fd, uint64_t number, unsigned kill_no)
{
    static char record[RECORD_ROOM];
    uint64_t state = seed + kill_no * UINT64_C(0x2545f4914f6cdd1d);
    uint64_t begin = number, flush_every = UINT64_C(1) << below(&state, 9);
    struct weir_writer_options options = {
        .path = path, .recover = WEIR_RECOVER_LINES,
        .sync = kill_no < kills / 2 ? WEIR_SYNC_NEVER
                : kill_no % 2 == 0  ? WEIR_SYNC_FLUSH
                                    : WEIR_SYNC_BATCH,
        .buffer_bytes = (size_t)64 * 1024 + (size_t)below(&state, 1 << 19),
        .record_max = RECORD_ROOM, .batch_max = (size_t)below(&state, 5) };
    struct weir_writer_stats stats;
    struct weir_writer *writer;

    if (weir_writer_open(&writer, &options) != 0 ||
        weir_writer_stats(writer, &stats) != 0)
        _exit(11);
    tell(pipe_fd, (struct news){ OPENED, stats.torn_bytes });
    for (;;) {
        struct iovec pieces[2] = { { record, 0 } };
        size_t bytes = make_record(number, record), cut = bytes / 3;

        pieces[0].iov_len = cut;
        pieces[1] = (struct iovec){ record + cut, bytes - cut };
        if (weir_writer_write(writer, pieces, 2, WEIR_FOREVER) != 0)
            _exit(12);
        number++;
        if (below(&state, flush_every) == 0) {
            if (weir_writer_flush(writer, WEIR_FOREVER) != 0)
                _exit(13);
            tell(pipe_fd, (struct news){ WRITTEN, number });
        } else if (below(&state, 8) == 0) {
            if (weir_writer_stats(writer, &stats) != 0)
                _exit(14);
            tell(pipe_fd, (struct news){ WRITTEN, begin + stats.written });
        }
    }
}

/* ---- the parent: killing ---- */

/* Only the moment is random here; nothing is synchronised. */
static void pass_time(uint64_t ns)
{
    struct timespec t = { .tv_nsec = (long)ns };

    nanosleep(&t, NULL);
}

/* Read the next message. Returns false at the end of the pipe. */
static bool hear(int pipe_fd, bool *opened, uint64_t *torn, uint64_t *written)
{
    struct news news;
    ssize_t n = read(pipe_fd, &news, sizeof(news));

    if (n == 0)
        return false;
    REQUIRE(n == (ssize_t)sizeof(news));
    if (news.what == OPENED) {
        *opened = true;
        *torn = news.number;
    } else if (news.number > *written) {
        *written = news.number;
    }
    return true;
}

/* Run a child, kill it, and read what it reported. */
static void run_child(unsigned kill_no, bool *opened, uint64_t *torn,
                      uint64_t *written)
{
    uint64_t state = seed + kill_no * UINT64_C(0x9fb21c651e98df25);
    bool early = below(&state, 4) == 0;
    uint64_t news = early ? 0 : 1 + below(&state, 8);
    pid_t child;
    int fds[2], status;

    REQUIRE(pipe(fds) == 0);
    fflush(stdout);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(fds[0]);
        write_until_killed(fds[1], known.records, kill_no);
    }
    close(fds[1]);
    while (news-- > 0)
        if (!EXPECT(hear(fds[0], opened, torn, written)))
            break;
    pass_time(below(&state, early ? 2000000 : 1000000));
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    if (!EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        printf("# the child ended by itself: %#x\n", (unsigned)status);
    while (hear(fds[0], opened, torn, written))
        ;
    close(fds[0]);
}

/* ---- the parent: checking ---- */

/* A file's bytes from `from` on, which the caller frees; 0 bytes if the file
 * ends before or is missing. */
static char *file_get(const char *name, size_t from, size_t *bytes)
{
    int fd = open(name, O_RDONLY);
    struct stat st = { 0 };
    char *all;

    if (fd >= 0)
        REQUIRE(fstat(fd, &st) == 0);
    *bytes = (size_t)st.st_size > from ? (size_t)st.st_size - from : 0;
    all = malloc(*bytes + 1);
    REQUIRE(all != NULL);
    if (fd >= 0) {
        REQUIRE(pread(fd, all, *bytes, (off_t)from) == (ssize_t)*bytes);
        close(fd);
    }
    return all;
}

static size_t size_of(const char *name)
{
    struct stat st;

    return stat(name, &st) == 0 ? (size_t)st.st_size : 0;
}

/* Check records from *number on, and advance it. Returns how many bytes the
 * whole records take; what follows must be the beginning of the next one, or
 * nothing. */
static size_t check_records(const char *bytes, size_t count, uint64_t *number)
{
    static char want[RECORD_ROOM];
    size_t at = 0;

    for (;;) {
        size_t length = make_record(*number, want);
        size_t left = count - at;

        if (left < length) {
            EXPECT(memcmp(bytes + at, want, left) == 0);
            return at;
        }
        if (!EXPECT(memcmp(bytes + at, want, length) == 0))
            return at;
        at += length;
        (*number)++;
    }
}

/* The tail that the last child found torn is at the end of FILE.torn now, or,
 * if the child was killed early, still in the file. */
static void check_tail_kept(bool opened, uint64_t torn, const char *file,
                            size_t bytes)
{
    size_t all = size_of(torn_path), want = known.tail_bytes, saved_bytes;
    char *saved;

    if (opened)
        EXPECT_INT(torn, want);
    EXPECT(all >= known.torn_bytes && all <= known.torn_bytes + want);
    saved = file_get(torn_path, known.torn_bytes, &saved_bytes);
    if (saved_bytes <= want)
        EXPECT(memcmp(saved, known.tail, saved_bytes) == 0);
    if (opened || bytes < want)
        EXPECT_INT(saved_bytes, want);
    /* Not cut yet: then nothing has been written. */
    if (!opened && bytes != 0)
        EXPECT(bytes == want && memcmp(file, known.tail, want) == 0);
    known.torn_bytes = all;
    free(saved);
}

static void check_file(bool opened, uint64_t torn, uint64_t written)
{
    uint64_t number = known.records;
    size_t bytes, whole;
    char *file = file_get(path, known.bytes, &bytes);

    check_tail_kept(opened, torn, file, bytes);
    whole = check_records(file, bytes, &number);
    EXPECT(number >= written);
    counts.records += number - known.records;
    counts.early += !opened;
    known.records = number;
    known.bytes += whole;
    known.tail_bytes = bytes - whole;
    counts.torn += opened && bytes != whole;
    if (!EXPECT(known.tail_bytes <= sizeof(known.tail)))
        known.tail_bytes = 0;
    memcpy(known.tail, file + whole, known.tail_bytes);
    free(file);
}

/* Check a file once more from its first byte, and begin a new one. */
static void check_all(void)
{
    uint64_t number = 0;
    size_t bytes;
    char *file = file_get(path, 0, &bytes);

    EXPECT_INT(check_records(file, bytes, &number), known.bytes);
    EXPECT_INT(number, known.records);
    free(file);
    unlink(path);
    unlink(torn_path);
    known = (struct known){ 0 };
}

static void kill_loop(void)
{
    for (unsigned i = 0; i < kills; i++) {
        int failures = atomic_load(&tap_failures);
        uint64_t torn = 0, written = 0;
        bool opened = false;

        run_child(i, &opened, &torn, &written);
        check_file(opened, torn, written);
        if (known.bytes > FILE_MAX || i + 1 == kills)
            check_all();
        if (atomic_load(&tap_failures) == failures)
            continue;
        printf("# at kill %u of seed %llu\n", i, (unsigned long long)seed);
        failed_kills++;
        unlink(path);
        unlink(torn_path);
        known = (struct known){ 0 };
    }
    printf("# %u kills left a torn record, %u came before the file was open; "
           "%llu whole records; seed %llu\n", counts.torn, counts.early,
           (unsigned long long)counts.records, (unsigned long long)seed);
    /* Otherwise the loop has shown nothing. */
    EXPECT(counts.torn > 0 || kills < KILLS_QUICK);
}

static const struct tap_case cases[] = {
    { "after each SIGKILL the file holds whole records in order, including "
      "all that were reported as flushed, and the next open saves the torn "
      "tail", kill_loop },
};

/* Returns 0 if it is not a number. */
static bool number(const char *text, uint64_t *value)
{
    char *end;

    *value = strtoull(text, &end, 10);
    return end != text && *end == '\0';
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char folder[220];
    struct timespec from, to;
    uint64_t wanted = KILLS_QUICK;
    int result;

    clock_gettime(CLOCK_REALTIME, &from);
    seed = (uint64_t)from.tv_sec * 1000000 + (uint64_t)from.tv_nsec / 1000;
    if ((argc > 1 && !number(argv[1], &wanted)) || wanted < 2 ||
        wanted > UINT32_MAX || (argc > 2 && !number(argv[2], &seed))) {
        fprintf(stderr, "usage: crash [KILLS [SEED]]\n");
        return 2;
    }
    kills = (unsigned)wanted;
    clock_gettime(CLOCK_MONOTONIC, &from);
    snprintf(folder, sizeof(folder), "%s/weir-crash.XXXXXX",
             tmp != NULL && strlen(tmp) < 150 ? tmp : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(torn_path, sizeof(torn_path), "%s.torn", path);
    result = TAP_RUN(cases);
    rmdir(folder);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (argc > 1)
        printf("tally: crash | SIGKILLs of a writing process, sync off and "
               "on | %u | %u | %lld\n", kills, failed_kills,
               (long long)(to.tv_sec - from.tv_sec));
    return result;
}
