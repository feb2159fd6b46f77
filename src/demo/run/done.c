/* SPDX-License-Identifier: MIT
 * done.c - reads from a results file which jobs are done. */
#include "done.h"

#include "common/input.h"
#include "results/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_LINES    1000              /* lines searched for a record */
#define LOOK_LINE_MAX ((size_t)1 << 20) /* bytes of one of them */

static int add(struct ids *done, const struct record *record)
{
    uint32_t *number = ids_add(done, record->id);

    if (number == NULL)
        return -ENOMEM;
    *number = record->ok ? DONE_OK : DONE_FAILED;
    return 0;
}

static int read_lines(struct input *in, struct ids *done,
                      struct done_found *found)
{
    struct text url = { 0 };
    struct input_line line;
    struct record record;
    int got, err = 0;

    while (err == 0 && (got = input_next(in, &line)) != INPUT_END) {
        if (got < 0) {
            err = got;
        } else if (got == INPUT_LINE) {
            err = record_read(line.bytes, line.count, &record, &url);
            if (err == 0)
                err = add(done, &record);
            found->records += err == 0;
            found->old += err == 0 && record.version == 1;
            /* A torn last line does not count: it is cut off before anything
             * is written. */
            found->others += err == -EINVAL && line.ended;
            err = err == -EINVAL ? 0 : err;
        } else {
            found->others += got == INPUT_TOO_LONG;
        }
    }
    text_free(&url);
    return err;
}

int done_read(const char *path, struct ids *done, struct done_found *found)
{
    struct stat st;
    struct input *in;
    int err;

    *found = (struct done_found){ 0 };
    if (stat(path, &st) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    err = input_open(&in, path, -1, RECORD_LINE_MAX);
    if (err != 0)
        return err;
    err = read_lines(in, done, found);
    input_close(in);
    return err;
}

/* ---- before writing ---- */

/* Return 1 if the file begins with the first bytes that record_write() writes,
 * in either version, or with a part of them if it is shorter; else 0, or an
 * error. */
static int begins_well(int fd)
{
    static const char *const begins[] = { "{\"v\":1,\"run\":\"",
                                          "{\"v\":2,\"run\":\"" };
    char first[14];
    ssize_t n = pread(fd, first, sizeof(first), 0);

    if (n < 0)
        return -errno;
    for (size_t i = 0; i < 2; i++)
        if (memcmp(first, begins[i], (size_t)n) == 0)
            return 1;
    return 0;
}

/* Return 1 if there is a record among the first LOOK_LINES lines, else 0, or an
 * error. */
static int has_record(const char *path)
{
    struct text url = { 0 };
    struct input_line line;
    struct record record;
    struct input *in;
    int err = input_open(&in, path, -1, LOOK_LINE_MAX), found = 0, got = 1;

    if (err != 0)
        return err;
    for (int i = 0; i < LOOK_LINES && found == 0; i++) {
        got = input_next(in, &line);
        if (got == INPUT_END || got < 0)
            break;
        if (got == INPUT_LINE)
            found = record_read(line.bytes, line.count, &record, &url) == 0;
    }
    input_close(in);
    text_free(&url);
    return got < 0 && got != -EMSGSIZE ? got : found;
}

/* Set *at to the offset of a last line without a newline, or to the size of
 * the file if its last line is complete. Returns 0 or an error. */
static int find_tail(int fd, off_t size, off_t *at)
{
    char block[16384];

    for (*at = size; *at > 0;) {
        size_t want = *at < (off_t)sizeof(block) ? (size_t)*at
                                                 : sizeof(block);
        ssize_t n = pread(fd, block, want, *at - (off_t)want);

        if (n != (ssize_t)want)
            return n < 0 ? -errno : -EIO;
        for (size_t i = want; i > 0; i--)
            if (block[i - 1] == '\n') {
                *at -= (off_t)(want - i);
                return 0;
            }
        *at -= (off_t)want;
    }
    return 0;
}

/* Add a newline if the bytes from `at` on are a whole record. Requires that
 * the file is locked. Returns 0 or an error. */
static int mend_tail(int fd, off_t size, off_t at)
{
    struct text url = { 0 };
    struct record record;
    size_t count = (size_t)(size - at);
    char *tail;
    ssize_t n;
    int err;

    if (size - at > (off_t)RECORD_LINE_MAX)
        return 0; /* torn */
    tail = malloc(count + 1);
    if (tail == NULL)
        return -ENOMEM;
    n = pread(fd, tail, count, at);
    err = n < 0 ? -errno : n != (ssize_t)count ? -EIO : 0;
    if (err == 0)
        err = record_read(tail, count, &record, &url);
    if (err == 0 && write(fd, "\n", 1) != 1)
        err = -errno;
    free(tail);
    text_free(&url);
    return err == -EINVAL ? 0 : err;
}

static int mend_locked(int fd, const struct stat *opened)
{
    struct stat st;
    off_t at;
    int err;

    /* Another process may have written before the file was locked. */
    if (fstat(fd, &st) != 0)
        return -errno;
    if (st.st_dev != opened->st_dev || st.st_ino != opened->st_ino)
        return 0;
    err = find_tail(fd, st.st_size, &at);
    return err == 0 && at < st.st_size ? mend_tail(fd, st.st_size, at) : err;
}

int done_prepare(const char *path, int mend)
{
    struct stat st;
    int fd, err;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return 0;
    fd = open(path, (mend ? O_RDWR | O_APPEND : O_RDONLY) | O_NONBLOCK |
                        O_CLOEXEC);
    if (fd < 0)
        return 0;
    err = begins_well(fd);
    if (err == 0)
        err = has_record(path);
    if (err == 0)
        err = -EBADMSG;
    /* The writer takes the same lock, so no process is writing a record. */
    if (err > 0 && mend && flock(fd, LOCK_EX | LOCK_NB) == 0)
        err = mend_locked(fd, &st);
    close(fd);
    return err < 0 ? err : 0;
}
