/* SPDX-License-Identifier: MIT
 * tails.c - recovery of every file that a crash may leave.
 *
 *   tails [all]              all: every such file; else a selection
 *
 * A trace of records is written through the writer, then cut at every byte,
 * and zeros or garbage may follow the cut, as after a power failure. Each such
 * file is opened with recovery and must be as writer.h says: whole lines stay,
 * what follows the last newline is saved in FILE.torn, and its size is
 * reported. Then a record is appended. Files are in /dev/shm if that exists.
 */
#define _GNU_SOURCE 1
#include <weir/writer.h>

#include "tap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ZEROS_MAX 4096 /* a page */
#define BLOCK ((size_t)64 * 1024) /* the block size of the writer's reads */

static bool all; /* every file, not a selection */
static char path[300], torn_path[320];
static char *trace;        /* as the writer wrote it */
static size_t trace_bytes;
static size_t small_bytes; /* of it, up to the first long record */
static char *file;         /* as a crash leaves it; room for the trace, a
                              page and more */
static unsigned long tried, failed;

/* ---- files ---- */

static void file_set(const char *bytes, size_t count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    REQUIRE(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
    close(fd);
    unlink(torn_path);
}

/* Whether a file has these bytes followed by `others`; NULL: by nothing. */
static bool file_is(const char *name, const char *want, size_t bytes,
                    const char *behind)
{
    static char have[1 << 20];
    size_t more = behind != NULL ? strlen(behind) : 0;
    int fd = open(name, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, have, sizeof(have)) : 0;

    if (fd >= 0)
        close(fd);
    return n == (ssize_t)(bytes + more) && memcmp(have, want, bytes) == 0 &&
           memcmp(have + bytes, behind != NULL ? behind : "", more) == 0;
}

/* ---- one file ---- */

/* Open the file that a crash left, with recovery, and append. */
static void try_file(const char *bytes, size_t count)
{
    static const char next[] = "{\"the\":\"next\"}\n";
    const char *newline = count > 0 ? memrchr(bytes, '\n', count) : NULL;
    size_t whole = newline != NULL ? (size_t)(newline - bytes) + 1 : 0;
    struct weir_writer_stats stats = { 0 };
    struct weir_writer *writer;
    int before = atomic_load(&tap_failures);

    file_set(bytes, count);
    tried++;
    if (EXPECT_INT(weir_writer_open(&writer, &(struct weir_writer_options){
                       .path = path, .recover = WEIR_RECOVER_LINES }), 0)) {
        EXPECT_INT(weir_writer_stats(writer, &stats), 0);
        EXPECT_INT(stats.torn_bytes, count - whole);
        EXPECT_INT(weir_writer_write(writer, &(struct iovec){
                       (char *)(uintptr_t)next, sizeof(next) - 1 }, 1,
                       WEIR_FOREVER), 0);
        EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
        weir_writer_destroy(writer);
    }
    EXPECT(file_is(path, bytes, whole, next));
    EXPECT(count == whole ? access(torn_path, F_OK) != 0
                          : file_is(torn_path, bytes + whole, count - whole,
                                    NULL));
    if (atomic_load(&tap_failures) != before) {
        printf("# of a file of %zu bytes, %zu of them whole lines\n", count,
               whole);
        failed++;
    }
}

/* ---- what a crash leaves ---- */

/* Step through every byte, or if not all are wanted, by steps that have no
 * common divisor with the sizes in use. */
static size_t step(size_t choice)
{
    return all ? 1 : choice;
}

static void every_prefix(void)
{
    for (size_t cut = 0; cut <= small_bytes; cut += step(7))
        try_file(trace, cut);
}

/* The long records end around the boundaries of the blocks that are read: cut
 * there, and around the end of every record. */
static void long_prefixes(void)
{
    for (size_t cut = small_bytes; cut <= trace_bytes; cut++) {
        size_t to_block = (trace_bytes - cut) % BLOCK;
        bool at_end = cut > 0 && trace[cut - 1] == '\n';

        if (at_end || to_block < 2 || to_block == BLOCK - 1 ||
            cut % (all ? 101 : 4001) == 0)
            try_file(trace, cut);
    }
}

/* The size of the file reached the disk, and the bytes did not. */
static void zeros_behind(void)
{
    static const size_t zeros[] = { 1, 2, 7, 511, 512, 513, 4095, 4096 };

    for (size_t cut = 0; cut <= small_bytes; cut += step(61)) {
        memcpy(file, trace, cut);
        memset(file + cut, 0, ZEROS_MAX);
        for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
            try_file(file, cut + zeros[i]);
    }
}

/* The last bytes are zeros, as many as a page, and all since each record's
 * end. */
static void zeros_instead(void)
{
    for (size_t zeros = 1; zeros <= ZEROS_MAX; zeros += step(13)) {
        size_t from = small_bytes < zeros ? 0 : small_bytes - zeros;

        memcpy(file, trace, from);
        memset(file + from, 0, small_bytes - from);
        try_file(file, small_bytes);
    }
    for (size_t end = 0; end < trace_bytes; end++) {
        if (end != 0 && trace[end - 1] != '\n')
            continue;
        memcpy(file, trace, end);
        memset(file + end, 0, trace_bytes - end);
        try_file(file, trace_bytes);
    }
}

/* Random bytes; if there are newlines among them, lines end there. */
static void garbage_behind(void)
{
    static const size_t lengths[] = { 1, 3, 64, 512, 4096 };
    uint64_t x = 1;

    for (size_t cut = 0; cut <= small_bytes; cut += step(61)) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            memcpy(file, trace, cut);
            for (size_t k = 0; k < lengths[i]; k++) {
                x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
                file[cut + k] = (char)(x >> 56);
            }
            try_file(file, cut + lengths[i]);
            for (size_t k = 0; k < lengths[i]; k++)
                if (file[cut + k] == '\n')
                    file[cut + k] = 'x';
            try_file(file, cut + lengths[i]);
        }
    }
}

/* A block in the middle of the file was not written: this cannot be detected,
 * and every whole line stays, also the one with the hole. */
static void hole_inside(void)
{
    const size_t size = 512;

    for (size_t hole = 0; hole + size <= small_bytes; hole += step(37)) {
        memcpy(file, trace, small_bytes);
        memset(file + hole, 0, size);
        try_file(file, small_bytes);
    }
}

/* ---- the trace ---- */

static void append(struct weir_writer *writer, size_t bytes)
{
    char *record = malloc(bytes + 1);

    REQUIRE(record != NULL);
    for (size_t i = 0; i < bytes; i++)
        record[i] = (char)(' ' + (trace_bytes + i * 7) % 95);
    record[bytes] = '\n';
    REQUIRE(weir_writer_write(writer, &(struct iovec){ record, bytes + 1 }, 1,
                              WEIR_FOREVER) == 0);
    trace_bytes += bytes + 1;
    free(record);
}

static void record_trace(void)
{
    static const size_t records[] = { 0, 1, 83, 0, 0, 500, 17, 300, 2,
                                      511, 512, 513, 1024, 40, 700, 94 };
    static const size_t long_records[] = { BLOCK - 2, BLOCK - 1, BLOCK, 5,
                                           60 * 1024, BLOCK + 1 };
    struct weir_writer *writer;
    int fd;

    REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES }) == 0);
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        append(writer, records[i]);
    small_bytes = trace_bytes;
    for (size_t i = 0; i < sizeof(long_records) / sizeof(size_t); i++)
        append(writer, long_records[i]);
    REQUIRE(weir_writer_close(writer, WEIR_FOREVER) == 0);
    weir_writer_destroy(writer);

    trace = malloc(trace_bytes);
    file = malloc(trace_bytes + ZEROS_MAX);
    fd = open(path, O_RDONLY);
    REQUIRE(trace != NULL && file != NULL && fd >= 0);
    REQUIRE(read(fd, trace, trace_bytes) == (ssize_t)trace_bytes);
    close(fd);
}

static const struct tap_case cases[] = {
    { "every prefix of a trace is recovered", every_prefix },
    { "every prefix of a trace whose records exceed the read buffer is "
      "recovered", long_prefixes },
    { "zeros after any prefix are cut off together with the record they are in",
      zeros_behind },
    { "zeros in place of the last bytes are cut off together with the record "
      "they are in", zeros_instead },
    { "garbage after any prefix is cut off after its last newline",
      garbage_behind },
    { "a hole in the middle of a file loses no whole line", hole_inside },
};

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                        : tmp != NULL && strlen(tmp) < 150 ? tmp : "/tmp";
    char folder[220];
    struct timespec from, to;
    int result;

    all = argc == 2 && strcmp(argv[1], "all") == 0;
    if (argc > 1 && !all) {
        fprintf(stderr, "usage: tails [all]\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    snprintf(folder, sizeof(folder), "%s/weir-tails.XXXXXX", where);
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(torn_path, sizeof(torn_path), "%s.torn", path);
    record_trace();
    result = TAP_RUN(cases);
    unlink(path);
    unlink(torn_path);
    rmdir(folder);
    free(trace);
    free(file);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("# %lu files\n", tried);
    if (all)
        printf("tally: crash | files cut, zeroed or garbled at every byte, "
               "recovered | %lu | %lu | %lld\n", tried, failed,
               (long long)(to.tv_sec - from.tv_sec));
    return result;
}
