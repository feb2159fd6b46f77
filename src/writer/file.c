/* SPDX-License-Identifier: MIT
 * file.c - the file of a writer.
 *
 * flock() keeps other writers out, also those of the same process: the lock
 * belongs to the open file, not to the process. It is taken before any byte of
 * the file is read. It is released explicitly before the descriptor is closed,
 * because a forked child may have a copy of the descriptor, which would keep
 * the lock.
 *
 * Opening takes these steps: open; lock; check that the path still names the
 * locked file, and if not, because it was renamed in between, start again; save
 * the torn tail; cut it. The cut is the last step that can fail. No file is cut
 * that is not locked.
 *
 * An owned regular file ends at the end of a record except during a write. If
 * cutting a torn record fails, it stays for the next opening with recovery.
 * There is no protection against writers that do not use flock(), or on a file
 * system that ignores it.
 */
#include "sys/sys.h"

#include <weir/writer.h>

#include "writer/file.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)64 * 1024) /* read and copied in one call */
#define OPEN_ATTEMPTS_MAX 8 /* renamed between open and lock, before -EBUSY */

/* O_NONBLOCK, so that a FIFO without a reader cannot block the caller; regular
 * files ignore it. O_NOCTTY, so that a terminal does not become the controlling
 * one. */
#define APPEND_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | \
                      O_NOCTTY)
#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* ---- the directory ---- */

/* Make a new name durable: sync the directory that contains `path`. */
static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    char *directory = weir_sys_alloc(1, length + 2);
    int fd, err;

    if (directory == NULL)
        return -ENOMEM;
    if (slash == NULL)
        directory[0] = '.';
    else if (length == 0)
        directory[0] = '/';
    else
        memcpy(directory, path, length);
    fd = weir_sys_open(directory, READ_FLAGS | O_DIRECTORY, 0);
    weir_sys_free(directory);
    if (fd < 0)
        return fd;
    err = weir_sys_fsync(fd);
    weir_sys_close(fd);
    return err == -EINVAL ? 0 : err; /* not needed on this file system */
}

/* ---- the torn tail ---- */

/* Read all of the `bytes` bytes at offset `at`. Returns 0 or -errno; -EIO if
 * the file ends early, because only the owner of the lock may shorten it. */
static int read_all(int fd, unsigned char *to, size_t bytes, int64_t at)
{
    while (bytes > 0) {
        ssize_t n = weir_sys_pread(fd, to, bytes, at);

        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? -EIO : (int)n;
        to += n;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int write_all(int fd, const unsigned char *from, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = weir_sys_write(fd, from, bytes);

        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? -EIO : (int)n;
        from += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Set *end to the offset at which the last whole line of a file of `size` bytes
 * ends, or 0 if there is none. Reads backwards, block by block. */
static int find_last_line_end(int fd, unsigned char *block, int64_t size,
                              int64_t *end)
{
    int64_t at = size;

    while (at > 0) {
        size_t bytes = at < (int64_t)BLOCK_BYTES ? (size_t)at : BLOCK_BYTES;
        int err;

        at -= (int64_t)bytes;
        err = read_all(fd, block, bytes, at);
        if (err != 0)
            return err;
        for (size_t i = bytes; i > 0; i--) {
            if (block[i - 1] == '\n') {
                *end = at + (int64_t)i;
                return 0;
            }
        }
    }
    *end = 0;
    return 0;
}

static int copy_range(int from, int to, unsigned char *block, int64_t at,
                      int64_t end)
{
    int err = 0;

    while (at < end && err == 0) {
        size_t bytes =
            end - at < (int64_t)BLOCK_BYTES ? (size_t)(end - at) : BLOCK_BYTES;

        err = read_all(from, block, bytes, at);
        if (err == 0)
            err = write_all(to, block, bytes);
        at += (int64_t)bytes;
    }
    return err;
}

/* Return the name of the file for the torn tail, or NULL if there is no
 * memory. */
static char *torn_name(const char *path)
{
    static const char suffix[] = ".torn";
    size_t length = strlen(path);
    char *name = weir_sys_alloc(1, length + sizeof(suffix));

    if (name != NULL) {
        memcpy(name, path, length);
        memcpy(name + length, suffix, sizeof(suffix));
    }
    return name;
}

/* Append the bytes from offset `at` to the end of the file to PATH.torn, all or
 * none of them, and sync that file if wanted. It gets the permissions of the
 * file that the bytes come from. */
static int save_tail(const struct weir_file_options *file_options, int from,
                     unsigned char *block, int64_t at, const struct stat *st)
{
    struct stat before;
    char *name = torn_name(file_options->path);
    int to, err, closed;

    if (name == NULL)
        return -ENOMEM;
    /* Not through a symbolic link, which an attacker could have created. */
    to = weir_sys_open(name, APPEND_FLAGS | O_NOFOLLOW, st->st_mode & 0777);
    if (to < 0) {
        err = to;
        goto no_file;
    }
    err = weir_sys_fstat(to, &before);
    if (err == 0 && !S_ISREG(before.st_mode))
        err = -EINVAL;
    if (err != 0)
        goto out;
    err = copy_range(from, to, block, at, st->st_size);
    if (err == 0 && file_options->sync != WEIR_SYNC_NEVER)
        err = weir_sys_fsync(to);
    if (err == 0 && file_options->sync != WEIR_SYNC_NEVER &&
        before.st_size == 0)
        err = sync_directory(name);
    if (err != 0)
        weir_sys_ftruncate(to, before.st_size);
out:
    closed = weir_sys_close(to);
    if (err == 0)
        err = closed;
no_file:
    weir_sys_free(name);
    return err;
}

/* Save and cut what follows the last whole line. The cut is not synced: if a
 * power failure undoes it, the next opening cuts again. */
static int recover(const struct weir_file *file,
                   const struct weir_file_options *file_options,
                   const struct stat *st, uint64_t *torn_bytes)
{
    unsigned char *block;
    struct stat seen;
    int64_t end = 0;
    int fd, err;

    if (st->st_size == 0)
        return 0;
    block = weir_sys_alloc(1, BLOCK_BYTES);
    if (block == NULL)
        return -ENOMEM;
    fd = weir_sys_open(file_options->path, READ_FLAGS, 0);
    if (fd < 0) {
        err = fd;
        goto no_file;
    }
    err = weir_sys_fstat(fd, &seen);
    if (err == 0 &&
        (seen.st_dev != file->device || seen.st_ino != file->inode))
        err = -EBUSY; /* renamed meanwhile */
    if (err == 0)
        err = find_last_line_end(fd, block, st->st_size, &end);
    if (err == 0 && end < st->st_size) {
        err = save_tail(file_options, fd, block, end, st);
        if (err == 0)
            err = weir_sys_ftruncate(file->fd, end);
        if (err == 0)
            *torn_bytes += (uint64_t)(st->st_size - end);
    }
    weir_sys_close(fd);
no_file:
    weir_sys_free(block);
    return err;
}

/* ---- opening ---- */

static void set_file_type(struct weir_file *file, const struct stat *st)
{
    file->regular = S_ISREG(st->st_mode);
    /* If syncing these fails, it is not because of an error of the disk. */
    file->unsyncable = !S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode);
    file->device = st->st_dev;
    file->inode = st->st_ino;
}

bool weir_file_same(const struct weir_file *a, const struct weir_file *b)
{
    return a->device == b->device && a->inode == b->inode;
}

/* Open and lock once.
 * Returns:
 *   0          the file is open
 *   1          the path names another file by now; nothing is open
 *   -errno     nothing is open */
static int open_once(struct weir_file *file,
                     const struct weir_file_options *file_options,
                     struct stat *st)
{
    struct stat now;
    int err;

    file->fd = weir_sys_open(file_options->path, APPEND_FLAGS, 0666);
    if (file->fd < 0)
        return file->fd;
    err = weir_sys_fstat(file->fd, st);
    if (err != 0)
        goto fail;
    if (S_ISDIR(st->st_mode)) {
        err = -EISDIR;
        goto fail;
    }
    if (!S_ISREG(st->st_mode) && !S_ISFIFO(st->st_mode) &&
        !S_ISCHR(st->st_mode)) {
        err = -EINVAL;
        goto fail;
    }
    set_file_type(file, st);
    if (file_options->current != NULL &&
        weir_file_same(file, file_options->current))
        return 0; /* already locked, by another descriptor of this writer */
    /* Any number of writers may use a terminal or /dev/null. */
    if (S_ISCHR(st->st_mode))
        return 0;
    err = weir_sys_flock(file->fd);
    if (err != 0)
        goto fail;
    file->locked = true;
    err = weir_sys_stat(file_options->path, &now);
    if (err == -ENOENT || (err == 0 && (now.st_dev != st->st_dev ||
                                        now.st_ino != st->st_ino)))
        err = 1;
    if (err == 0)
        err = weir_sys_fstat(file->fd, st); /* the size may have changed */
    if (err == 0)
        return 0;
fail:
    weir_file_close(file);
    return err;
}

int weir_file_open(struct weir_file *file,
                   const struct weir_file_options *file_options,
                   uint64_t *torn_bytes)
{
    struct stat st;
    int err = 1;

    *file = (struct weir_file){ .fd = -1, .owned = true };
    for (int i = 0; i < OPEN_ATTEMPTS_MAX && err == 1; i++)
        err = open_once(file, file_options, &st);
    if (err != 0)
        return err == 1 ? -EBUSY : err;
    if (file_options->current != NULL &&
        weir_file_same(file, file_options->current)) {
        weir_sys_close(file->fd);
        *file = *file_options->current;
        return 0;
    }
    /* An empty file may be new. Syncing an old one too is harmless. */
    if (file->regular && st.st_size == 0 &&
        file_options->sync != WEIR_SYNC_NEVER)
        err = sync_directory(file_options->path);
    if (err == 0 && file->regular &&
        file_options->recover == WEIR_RECOVER_LINES)
        err = recover(file, file_options, &st, torn_bytes);
    if (err != 0)
        weir_file_close(file);
    return err;
}

int weir_file_adopt(struct weir_file *file, int fd)
{
    struct stat st;
    int err = weir_sys_fstat(fd, &st);

    *file = (struct weir_file){ .fd = -1 };
    if (err != 0)
        return err;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    set_file_type(file, &st);
    file->fd = fd;
    return 0;
}

/* ---- writing, syncing, closing ---- */

int weir_file_write(const struct weir_file *file, struct iovec *pieces,
                    int count, struct weir_file_progress *progress)
{
    *progress = (struct weir_file_progress){ 0 };
    for (;;) {
        ssize_t n;

        while (count > 0 && pieces->iov_len == 0) {
            pieces++;
            count--;
        }
        if (count == 0)
            return 0;
        n = weir_sys_writev(file->fd, pieces, count);
        progress->calls++;
        if (n == -EAGAIN)
            n = weir_sys_wait_writable(file->fd);
        else if (n == 0)
            return -EIO; /* trying again would loop forever */
        if (n < 0 && n != -EINTR)
            return (int)n;
        if (n > 0)
            progress->bytes += (uint64_t)n;
        for (int i = 0; n > 0; i++) {
            size_t used = pieces[i].iov_len < (size_t)n ? pieces[i].iov_len
                                                         : (size_t)n;

            pieces[i].iov_base = (char *)pieces[i].iov_base + used;
            pieces[i].iov_len -= used;
            n -= (ssize_t)used;
        }
    }
}

void weir_file_truncate_by(const struct weir_file *file, uint64_t bytes)
{
    struct stat st;

    if (!file->owned || !file->regular || bytes == 0)
        return;
    if (weir_sys_fstat(file->fd, &st) == 0 && (uint64_t)st.st_size >= bytes)
        weir_sys_ftruncate(file->fd, st.st_size - (int64_t)bytes);
}

int weir_file_sync(struct weir_file *file)
{
    int err = weir_sys_fdatasync(file->fd);

    if (file->unsyncable &&
        (err == -EINVAL || err == -EROFS || err == -ENOTSUP))
        return 1;
    return err;
}

int weir_file_close(struct weir_file *file)
{
    int err = 0;

    if (file->owned && file->fd >= 0) {
        if (file->locked)
            weir_sys_funlock(file->fd);
        err = weir_sys_close(file->fd);
    }
    file->fd = -1;
    file->locked = false;
    return err;
}
