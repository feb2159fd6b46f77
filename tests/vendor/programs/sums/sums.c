/* SPDX-License-Identifier: MIT
 * sums.c - CRC-32, bytes and lines of every file below some folders, in the
 * order of the walk.
 *
 *   sums [-j N] FOLDER...    on N threads (as many as processors)
 *   sums -s FOLDER...        on this one, without a pool
 *
 * Prints one line for each regular file to standard output; to standard error
 * what could not be read, and at the end the totals and the time.
 * Exits with 1 if anything could not be read. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/weir.h>

#define BUFFER (256 * 1024)
#define BATCH  64 /* files per submit */

struct file {
    uint64_t bytes, lines;
    uint32_t crc;
    int err; /* 0, or the error that prevented reading it */
    char path[];
};

struct walk {
    /* The two are NULL in the serial form. */
    struct weir_pool *pool;
    struct weir_group *group;
    struct weir_job batch[BATCH];
    size_t batched;
    uint64_t printed;    /* files */
    uint64_t bytes;      /* of these */
    unsigned char *buffer; /* of the serial form */
    int failed;
};

/* ---- one file ---- */

static uint32_t crc_of[256]; /* of each byte; filled before threads start */

static void crc_begin(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        crc_of[i] = crc;
    }
}

static void read_file(struct file *file, unsigned char *buffer)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    uint32_t crc = UINT32_MAX;
    ssize_t n = -1;

    if (fd >= 0) {
        while ((n = read(fd, buffer, BUFFER)) > 0) {
            for (ssize_t i = 0; i < n; i++) {
                crc = crc >> 8 ^ crc_of[(crc ^ buffer[i]) & 0xff];
                file->lines += buffer[i] == '\n';
            }
            file->bytes += (uint64_t)n;
        }
    }
    if (n < 0)
        file->err = -errno;
    if (fd >= 0)
        close(fd);
    file->crc = ~crc;
}

/* Each worker has one buffer for all its files. */
static int worker_start(void *user, int index, void **local)
{
    (void)user;
    (void)index;
    *local = malloc(BUFFER);
    return *local != NULL ? 0 : -ENOMEM;
}

static void worker_stop(void *user, int index, void *local)
{
    (void)user;
    (void)index;
    free(local);
}

static int read_job(struct weir_context *cx, void *arg)
{
    read_file(arg, weir_local(cx));
    return 0;
}

/* ---- all of them, in order ---- */

static void complain(struct walk *walk, const char *path, int err)
{
    fprintf(stderr, "sums: %s: %s\n", path, strerror(-err));
    walk->failed = 1;
}

/* Print a file and free it. */
static void print(struct walk *walk, struct file *file)
{
    if (file->err == 0)
        printf("%08" PRIx32 " %" PRIu64 " %" PRIu64 " %s\n", file->crc,
               file->bytes, file->lines, file->path);
    else
        complain(walk, file->path, file->err);
    walk->printed++;
    walk->bytes += file->bytes;
    free(file);
}

/* Wait for the next file's result and print it. Returns 0, or an error. */
static int print_next(struct walk *walk)
{
    struct weir_result r;
    int err = weir_group_get(walk->group, walk->printed, &r, WEIR_FOREVER);

    if (err == 0)
        print(walk, r.arg);
    return err;
}

/* Submit the gathered files, and print results if they occupy the window. */
static void submit(struct walk *walk)
{
    size_t done = 0;

    while (done < walk->batched) {
        ssize_t n = weir_group_submit(walk->group, walk->batch + done,
                                      walk->batched - done, WEIR_FOREVER);

        if (n > 0) {
            done += (size_t)n;
        } else if (n != -ENOBUFS || print_next(walk) != 0) {
            fprintf(stderr, "sums: %s\n", strerror((int)-n));
            exit(1);
        }
    }
    walk->batched = 0;
}

static void walk_into(struct walk *walk, const char *folder);

static void visit(struct walk *walk, const char *folder, const char *name)
{
    size_t room = strlen(folder) + strlen(name) + 2;
    struct file *file = calloc(1, sizeof(*file) + room);
    struct stat status;

    if (file == NULL) {
        complain(walk, name, -ENOMEM);
        return;
    }
    snprintf(file->path, room, "%s/%s", folder, name);
    if (lstat(file->path, &status) != 0) {
        complain(walk, file->path, -errno);
        free(file);
    } else if (S_ISDIR(status.st_mode)) {
        walk_into(walk, file->path);
        free(file);
    } else if (!S_ISREG(status.st_mode)) {
        free(file);
    } else if (walk->group == NULL) {
        read_file(file, walk->buffer);
        print(walk, file);
    } else {
        walk->batch[walk->batched++] = (struct weir_job){ .fn = read_job,
            .arg = file };
        if (walk->batched == BATCH)
            submit(walk);
    }
}

static void walk_into(struct walk *walk, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);

    if (count < 0) {
        complain(walk, folder, -errno);
        return;
    }
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;

        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            visit(walk, folder, name);
        free(entries[i]);
    }
    free(entries);
}

static int usage(void)
{
    fprintf(stderr, "usage: sums [-s | -j N] FOLDER...\n");
    return 2;
}

int main(int argc, char **argv)
{
    static struct walk walk;
    int serial = 0, workers = 0, option, err = 0;
    int64_t began = weir_now();

    while ((option = getopt(argc, argv, "sj:")) != -1) {
        if (option == 's')
            serial = 1;
        else if (option != 'j' || (workers = atoi(optarg)) < 1)
            return usage();
    }
    if (optind == argc)
        return usage();
    crc_begin();
    if (serial) {
        walk.buffer = malloc(BUFFER);
        err = walk.buffer != NULL ? 0 : -ENOMEM;
    } else {
        err = weir_pool_create(&walk.pool, &(struct weir_pool_options){
            .workers = workers, .worker_start = worker_start,
            .worker_stop = worker_stop, .name = "sums" });
        if (err == 0)
            err = weir_group_create(&walk.group, walk.pool, NULL);
    }
    if (err != 0) {
        fprintf(stderr, "sums: %s\n", strerror(-err));
        return 1;
    }
    while (optind < argc)
        walk_into(&walk, argv[optind++]);
    if (!serial) {
        submit(&walk);
        while (print_next(&walk) == 0)
            ;
        weir_group_destroy(walk.group);
        weir_pool_destroy(walk.pool);
    }
    free(walk.buffer);
    fprintf(stderr, "sums: %" PRIu64 " files, %" PRIu64 " bytes, %.3f s\n",
            walk.printed, walk.bytes, (double)(weir_now() - began) / 1e9);
    return walk.failed || fflush(stdout) != 0;
}
