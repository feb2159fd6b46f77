/* SPDX-License-Identifier: MIT
 * checksums.c - the checksums of all files in a folder, computed in parallel
 * and printed in the order of the walk.
 *
 * The main thread walks the folder, submits a job for each file and prints the
 * results. When the window of the group is full, it waits for the oldest
 * result, prints it, and goes on with the walk, so memory is bounded.
 *
 *   cc checksums.c $(pkg-config --cflags --libs weir)
 *   ./a.out FOLDER
 *
 * Prints for each file what cksum(1) prints.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <weir/weir.h>

struct file {
    uint32_t sum;
    uintmax_t bytes;
    char path[];
};

struct walk {
    struct weir_group *group;
    uint64_t printed; /* results so far */
    int failed;
};

static uint32_t add(uint32_t sum, unsigned byte)
{
    sum ^= (uint32_t)byte << 24;
    for (int bit = 0; bit < 8; bit++)
        sum = sum << 1 ^ (sum >> 31 ? UINT32_C(0x04c11db7) : 0);
    return sum;
}

/* The job: compute the checksum of one file. */
static int checksum(struct weir_context *cx, void *arg)
{
    struct file *file = arg;
    unsigned char buffer[16384];
    FILE *in = fopen(file->path, "rb");
    size_t n;
    int err;

    (void)cx;
    if (in == NULL)
        return -errno;
    while ((n = fread(buffer, 1, sizeof buffer, in)) > 0) {
        for (size_t i = 0; i < n; i++)
            file->sum = add(file->sum, buffer[i]);
        file->bytes += n;
    }
    err = ferror(in) ? -EIO : 0;
    fclose(in);
    for (uintmax_t left = file->bytes; left > 0; left >>= 8)
        file->sum = add(file->sum, left & 0xff);
    file->sum = ~file->sum;
    return err;
}

static void report(struct walk *walk, const char *path, int err)
{
    fprintf(stderr, "%s: %s\n", path, strerror(-err));
    walk->failed = 1;
}

/* Wait for the next result and print it. Returns -ENOENT if there are no more
 * results. */
static int print_next(struct walk *walk)
{
    struct weir_result r;
    struct file *file;
    int err = weir_group_get(walk->group, walk->printed, &r, WEIR_FOREVER);

    if (err != 0)
        return err;
    walk->printed++;
    file = r.arg;
    if (r.status == 0)
        printf("%lu %ju %s\n", (unsigned long)file->sum, file->bytes,
               file->path);
    else
        report(walk, file->path, r.status);
    free(file);
    return 0;
}

static void walk_into(struct walk *walk, const char *folder);

static void visit(struct walk *walk, const char *folder, const char *name)
{
    size_t room = strlen(folder) + strlen(name) + 2;
    struct file *file = calloc(1, sizeof *file + room);
    struct stat status;
    ssize_t n;

    if (file == NULL) {
        report(walk, name, -ENOMEM);
        return;
    }
    snprintf(file->path, room, "%s/%s", folder, name);
    if (lstat(file->path, &status) != 0) {
        report(walk, file->path, -errno);
    } else if (S_ISDIR(status.st_mode)) {
        walk_into(walk, file->path);
    } else if (S_ISREG(status.st_mode)) {
        do
            n = weir_group_submit(walk->group, &(struct weir_job){
                .fn = checksum, .arg = file }, 1, WEIR_FOREVER);
        while (n == -ENOBUFS && print_next(walk) == 0);
        if (n == 1)
            return; /* print_next() frees it */
        report(walk, file->path, (int)n);
    }
    free(file);
}

static void walk_into(struct walk *walk, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);

    if (count < 0) {
        report(walk, folder, -errno);
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

int main(int argc, char **argv)
{
    struct walk walk = { NULL, 0, 0 };
    struct weir_pool *pool;
    int err = weir_pool_create(&pool, NULL);

    if (err == 0)
        err = weir_group_create(&walk.group, pool, NULL);
    if (err == 0) {
        walk_into(&walk, argc > 1 ? argv[1] : ".");
        while (print_next(&walk) == 0)
            ;
    }
    weir_group_destroy(walk.group);
    weir_pool_destroy(pool);
    return err != 0 || walk.failed;
}
