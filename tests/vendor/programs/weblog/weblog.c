/* SPDX-License-Identifier: MIT
 * weblog.c - the requests to a web server, from its access logs.
 *
 *   weblog [-j N] REPORT LOG...    on N threads (as many as processors)
 *   weblog -s REPORT LOG...        on this one, without pool, table and writer
 *
 * Logs are in the common format. They are mapped into memory and cut into
 * pieces at line ends. A worker counts a piece in a private table and adds that
 * to the shared one when the piece is complete. The report has a line for each
 * path, in order: the number of requests, bytes sent, and the number of errors;
 * then the malformed lines, as path "-". */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/weir.h>

#define PIECE ((size_t)256 * 1024) /* bytes, about */

struct log {
    const char *data;
    size_t bytes;
};

struct piece {
    const char *begin, *end;
};

struct numbers {
    uint64_t requests, bytes, errors;
};

/* ---- a table of one thread: open addressing, grown at one half ---- */

struct entry {
    const char *path; /* in the log; NULL: free */
    size_t length;
    struct numbers sum;
};

struct counts {
    struct entry *entries;
    size_t room, used; /* room is a power of two */
};

static int counts_begin(struct counts *counts)
{
    counts->used = 0;
    counts->room = 1024;
    counts->entries = calloc(counts->room, sizeof(*counts->entries));
    return counts->entries != NULL ? 0 : -ENOMEM;
}

static struct entry *find(const struct counts *counts, const char *path,
                          size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    struct entry *entry;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)path[i]) * UINT64_C(0x100000001b3);
    for (size_t i = (size_t)hash;; i++) {
        entry = &counts->entries[i & (counts->room - 1)];
        if (entry->path == NULL || (entry->length == length &&
            memcmp(entry->path, path, length) == 0))
            return entry;
    }
}

static int grow(struct counts *counts)
{
    struct counts bigger = { NULL, 2 * counts->room, counts->used };

    bigger.entries = calloc(bigger.room, sizeof(*bigger.entries));
    if (bigger.entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < counts->room; i++) {
        const struct entry *entry = &counts->entries[i];

        if (entry->path != NULL)
            *find(&bigger, entry->path, entry->length) = *entry;
    }
    free(counts->entries);
    *counts = bigger;
    return 0;
}

static int count(struct counts *counts, const char *path, size_t length,
                 const struct numbers *more)
{
    struct entry *entry = find(counts, path, length);

    if (entry->path == NULL) {
        entry->path = path;
        entry->length = length;
        counts->used++;
    }
    entry->sum.requests += more->requests;
    entry->sum.bytes += more->bytes;
    entry->sum.errors += more->errors;
    return counts->used * 2 > counts->room ? grow(counts) : 0;
}

/* ---- lines ---- */

/* Read a number that ends before `end` or at another character. Returns what
 * follows it, or NULL. */
static const char *number(const char *at, const char *end, uint64_t *value)
{
    const char *begin = at;

    for (*value = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *value = *value * 10 + (uint64_t)(*at - '0');
    return at > begin ? at : NULL;
}

/* HOST - USER [TIME] "METHOD PATH VERSION" STATUS BYTES
 * Returns the path, or NULL if the line is malformed. */
static const char *parse(const char *line, const char *end, size_t *length,
                         struct numbers *numbers)
{
    const char *quote = memchr(line, '"', (size_t)(end - line));
    const char *path, *behind, *close;
    uint64_t status, bytes = 0;

    if (quote == NULL)
        return NULL;
    path = memchr(quote, ' ', (size_t)(end - quote));
    if (path == NULL)
        return NULL;
    path++;
    close = memchr(path, '"', (size_t)(end - path));
    behind = close ? memchr(path, ' ', (size_t)(close - path)) : NULL;
    if (behind == NULL || behind == path || close + 2 >= end)
        return NULL;
    close = number(close + 2, end, &status);
    if (close == NULL || close == end || *close != ' ')
        return NULL;
    if (close[1] != '-' && number(close + 1, end, &bytes) != end)
        return NULL;
    *length = (size_t)(behind - path);
    *numbers = (struct numbers){ 1, bytes, status >= 400 };
    return path;
}

static int count_piece(struct counts *counts, const struct piece *piece)
{
    const char *line = piece->begin;
    int err = 0;

    while (line < piece->end && err == 0) {
        const char *end = memchr(line, '\n', (size_t)(piece->end - line));
        struct numbers numbers = { 1, 0, 1 };
        size_t length = 1;
        const char *path;

        if (end == NULL)
            end = piece->end;
        path = parse(line, end, &length, &numbers);
        err = count(counts, path != NULL ? path : "-", length, &numbers);
        line = end + 1;
    }
    return err;
}

/* Call fn for each piece of each log. Returns 0 or what fn returned. */
static int each_piece(const struct log *logs, int count,
                      int (*fn)(void *user, const struct piece *), void *user)
{
    int err = 0;

    for (int i = 0; i < count; i++) {
        const char *at = logs[i].data, *end = at + logs[i].bytes;

        while (at < end && err == 0) {
            struct piece piece = { at, end };
            const char *cut;

            if ((size_t)(end - at) > PIECE &&
                (cut = memchr(at + PIECE, '\n',
                              (size_t)(end - at) - PIECE)) != NULL)
                piece.end = cut + 1;
            err = fn(user, &piece);
            at = piece.end;
        }
    }
    return err;
}

/* ---- the serial form ---- */

static int by_path(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    size_t common = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->path, b->path, common);

    return order != 0 ? order : (a->length > b->length) -
                                (a->length < b->length);
}

static int serial_piece(void *user, const struct piece *piece)
{
    return count_piece(user, piece);
}

static int serial(const char *report, const struct log *logs, int count)
{
    FILE *out = fopen(report, "w");
    struct counts counts = { NULL, 0, 0 };
    size_t used = 0;
    int err;

    if (out == NULL)
        return -errno;
    err = counts_begin(&counts);
    if (err == 0)
        err = each_piece(logs, count, serial_piece, &counts);
    for (size_t i = 0; i < counts.room; i++)
        if (counts.entries[i].path != NULL)
            counts.entries[used++] = counts.entries[i];
    if (used > 0)
        qsort(counts.entries, used, sizeof(*counts.entries), by_path);
    for (size_t i = 0; i < used && err == 0; i++) {
        const struct entry *e = &counts.entries[i];

        if (fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %.*s\n",
                    e->sum.requests, e->sum.bytes, e->sum.errors,
                    (int)e->length, e->path) < 0)
            err = -EIO;
    }
    free(counts.entries);
    return fclose(out) != 0 && err == 0 ? -EIO : err;
}

/* ---- the parallel form ---- */

struct analysis {
    struct weir_pool *pool;
    struct weir_group *group;
    struct weir_table *paths; /* to struct numbers */
    struct weir_writer *report;
};

static int worker_start(void *user, int index, void **local)
{
    (void)user;
    (void)index;
    *local = malloc(sizeof(struct counts));
    return *local != NULL ? 0 : -ENOMEM;
}

static void worker_stop(void *user, int index, void *local)
{
    (void)user;
    (void)index;
    free(local);
}

static int add(void *user, void *value, size_t bytes)
{
    const struct numbers *more = user;
    struct numbers *sum = value;

    (void)bytes;
    sum->requests += more->requests;
    sum->bytes += more->bytes;
    sum->errors += more->errors;
    return 0;
}

struct piece_job {
    struct analysis *analysis;
    struct piece piece;
};

static void forget(void *arg, int reason)
{
    (void)reason;
    free(arg);
}

static int piece_job(struct weir_context *cx, void *arg)
{
    struct piece_job *job = arg;
    struct counts *counts = weir_local(cx);
    int err = counts_begin(counts);

    if (err == 0)
        err = count_piece(counts, &job->piece);
    for (size_t i = 0; i < counts->room && err == 0; i++) {
        struct entry *entry = &counts->entries[i];

        if (entry->path != NULL)
            err = weir_table_update(job->analysis->paths,
                (struct weir_bytes){ entry->path, entry->length },
                &(struct weir_table_edit){ .fn = add, .user = &entry->sum,
                    .bytes = sizeof(entry->sum) });
    }
    free(counts->entries);
    free(job);
    return err;
}

static int parallel_piece(void *user, const struct piece *piece)
{
    struct analysis *a = user;
    struct piece_job *job = malloc(sizeof(*job));
    ssize_t n;

    if (job == NULL)
        return -ENOMEM;
    *job = (struct piece_job){ a, *piece };
    n = weir_group_submit(a->group, &(struct weir_job){ .fn = piece_job,
        .arg = job, .drop = forget }, 1, WEIR_FOREVER);
    if (n == 1)
        return 0;
    free(job);
    return (int)n;
}

static int write_path(void *user, struct weir_bytes key,
                      struct weir_bytes value)
{
    struct numbers sum;
    char text[80];
    int n;

    memcpy(&sum, value.data, sizeof(sum));
    n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %" PRIu64 " ",
                 sum.requests, sum.bytes, sum.errors);
    return weir_writer_write(user, (struct iovec[]){
        { text, (size_t)n }, { (void *)(uintptr_t)key.data, key.bytes },
        { (void *)(uintptr_t)"\n", 1 } }, 3, WEIR_FOREVER);
}

static int parallel(const char *report, const struct log *logs, int count,
                    int workers)
{
    struct analysis a = { NULL, NULL, NULL, NULL };
    int err = weir_writer_open(&a.report, &(struct weir_writer_options){
        .path = report });

    if (err == 0)
        err = weir_table_create(&a.paths, NULL);
    if (err == 0)
        err = weir_pool_create(&a.pool, &(struct weir_pool_options){
            .workers = workers, .worker_start = worker_start,
            .worker_stop = worker_stop, .name = "weblog" });
    if (err == 0)
        err = weir_group_create(&a.group, a.pool,
            &(struct weir_group_options){ .policy = WEIR_FAIL_FAST,
                .discard = 1 });
    if (err == 0) {
        err = each_piece(logs, count, parallel_piece, &a);
        weir_group_wait(a.group, WEIR_FOREVER);
        if (err == 0 || err == -ECANCELED)
            err = weir_group_status(a.group);
    }
    if (err == 0)
        err = weir_table_for_each(a.paths, write_path, a.report);
    if (err == 0)
        err = weir_writer_close(a.report, WEIR_FOREVER);
    weir_group_destroy(a.group);
    weir_pool_destroy(a.pool);
    weir_table_destroy(a.paths);
    weir_writer_destroy(a.report);
    return err;
}

/* ---- the program ---- */

static int map(struct log *log, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
    struct stat status;
    void *data;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) != 0) {
        err = -errno;
    } else if (status.st_size > 0) {
        data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE,
                    fd, 0);
        if (data == MAP_FAILED)
            err = -errno;
        else
            *log = (struct log){ data, (size_t)status.st_size };
    }
    close(fd);
    return err;
}

static int fail(const char *what, int err)
{
    fprintf(stderr, "weblog: %s: %s\n", what, strerror(-err));
    return 1;
}

int main(int argc, char **argv)
{
    int alone = 0, workers = 0, option, count, err;
    int64_t began = weir_now();
    const char *report;
    struct log *logs;

    while ((option = getopt(argc, argv, "sj:")) != -1) {
        if (option == 's')
            alone = 1;
        else if (option != 'j' || (workers = atoi(optarg)) < 1)
            return 2;
    }
    if (argc - optind < 2) {
        fprintf(stderr, "usage: weblog [-s | -j N] REPORT LOG...\n");
        return 2;
    }
    report = argv[optind++];
    count = argc - optind;
    logs = calloc((size_t)count, sizeof(*logs));
    if (logs == NULL)
        return fail(report, -ENOMEM);
    for (int i = 0; i < count; i++) {
        err = map(&logs[i], argv[optind + i]);
        if (err != 0)
            return fail(argv[optind + i], err);
    }
    err = alone ? serial(report, logs, count)
                : parallel(report, logs, count, workers);
    if (err != 0)
        return fail(report, err);
    for (int i = 0; i < count; i++)
        if (logs[i].bytes > 0)
            munmap((void *)(uintptr_t)logs[i].data, logs[i].bytes);
    free(logs);
    fprintf(stderr, "weblog: %d logs, %.3f s\n", count,
            (double)(weir_now() - began) / 1e9);
    return 0;
}
