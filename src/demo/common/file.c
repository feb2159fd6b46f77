/* SPDX-License-Identifier: MIT
 * file.c - the files that the program creates. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 16 /* random names to try before -EEXIST is an error */

/* ---- which file ---- */

/* The folder a path lies in, as text. */
static void add_folder(struct text *folder, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        text_puts(folder, ".");
    else
        text_add(folder, path, slash == path ? 1 : (size_t)(slash - path));
}

int file_identify(const char *path, struct file_id *id)
{
    const char *slash = strrchr(path, '/');
    struct text folder = { 0 };
    struct stat st;
    int err = 0;

    *id = (struct file_id){ 0 };
    if (stat(path, &st) != 0) {
        if (errno != ENOENT)
            return -errno;
        add_folder(&folder, path);
        if (folder.failed)
            err = -ENOMEM;
        else if (stat(folder.data, &st) != 0)
            err = -errno;
        text_free(&folder);
        id->last = slash != NULL ? slash + 1 : path;
    }
    if (err == 0) {
        id->device = st.st_dev;
        id->inode = st.st_ino;
    }
    return err;
}

int file_same(const char *a, const char *b)
{
    struct file_id x, y;
    struct stat st;

    if (stat(a, &st) == 0 && S_ISCHR(st.st_mode))
        return 0;
    if (strcmp(a, b) == 0)
        return 1;
    if (file_identify(a, &x) != 0 || file_identify(b, &y) != 0)
        return 0;
    if (x.device != y.device || x.inode != y.inode ||
        (x.last == NULL) != (y.last == NULL))
        return 0;
    return x.last == NULL || strcmp(x.last, y.last) == 0;
}

/* ---- writing ---- */

int file_write(int fd, const void *bytes, size_t count)
{
    const char *from = bytes;

    while (count > 0) {
        ssize_t n = write(fd, from, count);

        if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
            continue;
        }
        if (n == 0 || (n < 0 && errno != EINTR))
            return n == 0 ? -EIO : -errno;
        from += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Create a file in the folder of `path` under a name that nobody can guess;
 * the name goes to `name`. Returns a descriptor or an error. */
static int create_beside(const char *path, mode_t mode, struct text *name)
{
    int fd = -1;

    for (int i = 0; i < NAMES_MAX && fd < 0; i++) {
        uint64_t random[2];

        if (getentropy(random, sizeof(random)) != 0)
            return -errno;
        name->used = 0;
        add_folder(name, path);
        text_printf(name, "/.weir-%016llx%016llx.part",
                    (unsigned long long)random[0],
                    (unsigned long long)random[1]);
        if (name->failed)
            return -ENOMEM;
        fd = open(name->data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
                                  O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST && errno != EINTR)
            return -errno;
    }
    return fd >= 0 ? fd : -EEXIST;
}

/* Block the signals that end a program, so that no file with a random name is
 * left behind. Writing to a regular file cannot be interrupted anyway. */
static void block_ends(sigset_t *before)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGQUIT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, before);
}

int file_replace(const char *path, const void *bytes, size_t count)
{
    struct text name = { 0 };
    struct stat old;
    int exists = lstat(path, &old) == 0 && S_ISREG(old.st_mode);
    sigset_t before;
    int fd, err;

    block_ends(&before);
    fd = create_beside(path, 0666, &name);
    err = fd < 0 ? fd : 0;
    if (fd >= 0 && exists && fchmod(fd, old.st_mode & 0777) != 0)
        err = -errno;
    if (err == 0)
        err = file_write(fd, bytes, count);
    if (fd >= 0 && close(fd) != 0 && err == 0)
        err = -errno;
    if (err == 0 && rename(name.data, path) != 0)
        err = -errno;
    if (err != 0 && fd >= 0)
        unlink(name.data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    text_free(&name);
    return err;
}

/* ---- outputs ---- */

/* Return whether an error is one of the folder: the file cannot be replaced,
 * but perhaps it can be overwritten. */
static int is_folder_error(int err)
{
    return err == -EACCES || err == -EPERM || err == -EROFS || err == -EBUSY;
}

/* Check the content of an existing file. Returns 0, -EEXIST if it must not be
 * replaced, or an error of open(). */
static int look_at(const char *path, file_is *is_ours)
{
    char begin[FILE_BEGIN];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int err = fd < 0 ? -errno : 0;
    ssize_t n = 0;

    if (err == 0) {
        do
            n = read(fd, begin, sizeof(begin));
        while (n < 0 && errno == EINTR);
        err = n < 0 ? -errno : 0;
        close(fd);
    }
    if (err == 0 && n > 0 && !is_ours(begin, (size_t)n))
        err = -EEXIST;
    return err;
}

/* Check whether a file can be created where there is none. */
static int look_at_folder(const char *path)
{
    struct text folder = { 0 };
    int err;

    add_folder(&folder, path);
    err = folder.failed ? -ENOMEM
          : access(folder.data, W_OK | X_OK) != 0 ? -errno
                                                  : 0;
    text_free(&folder);
    return err;
}

static char *copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *made = malloc(bytes);

    if (made != NULL)
        memcpy(made, text, bytes);
    return made;
}

/* Return whether a path names an open descriptor. What that refers to is never
 * replaced, even if it is a regular file. */
static int is_descriptor(const char *path)
{
    static const char *const names[] = { "/dev/stdout", "/dev/stderr",
                                         "/dev/fd/", "/proc/self/fd/" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(path, names[i], strlen(names[i])) == 0)
            return 1;
    return 0;
}

int file_out_open(struct file_out *out, const char *path, file_is *is_ours)
{
    struct stat st;
    int exists = stat(path, &st) == 0, err = 0;

    *out = (struct file_out){ .fd = -1 };
    if (!exists && errno != ENOENT)
        return -errno;
    if (exists && S_ISDIR(st.st_mode))
        return -EISDIR;
    if (exists && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode) ||
                   is_descriptor(path))) {
        do
            out->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
        while (out->fd < 0 && errno == EINTR);
        return out->fd < 0 ? -errno : 0;
    }
    if (exists && !S_ISREG(st.st_mode))
        return -EINVAL;
    if (exists)
        err = access(path, W_OK) != 0 ? -errno : look_at(path, is_ours);
    else
        err = look_at_folder(path);
    if (err != 0)
        return err;
    /* If the path is a link, the link stays and its target is replaced. */
    out->target = exists ? realpath(path, NULL) : copy(path);
    return out->target != NULL ? 0 : exists ? -errno : -ENOMEM;
}

/* Open a file that cannot be replaced. Returns a descriptor or an error. */
static int open_in_place(const char *path)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC |
                            O_NONBLOCK | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

int file_out_write(const struct file_out *out, const void *bytes,
                   size_t count)
{
    int err, fd;

    if (out->target == NULL)
        return file_write(out->fd, bytes, count);
    err = file_replace(out->target, bytes, count);
    if (!is_folder_error(err))
        return err;
    fd = open_in_place(out->target);
    if (fd < 0)
        return err;
    err = file_write(fd, bytes, count);
    if (close(fd) != 0 && err == 0)
        err = -errno;
    return err;
}

int file_out_create(const struct file_out *out)
{
    struct stat old;
    mode_t mode = 0666;
    int fd = -1, err;

    if (out->target == NULL) {
        fd = fcntl(out->fd, F_DUPFD_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
    }
    if (lstat(out->target, &old) == 0 && S_ISREG(old.st_mode))
        mode = old.st_mode & 0777;
    err = unlink(out->target) != 0 && errno != ENOENT ? -errno : 0;
    if (err == 0) {
        fd = open(out->target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
                                   O_CLOEXEC, mode);
        return fd < 0 ? -errno : fd;
    }
    fd = is_folder_error(err) ? open_in_place(out->target) : err;
    return fd < 0 ? err : fd;
}

void file_out_close(struct file_out *out)
{
    if (out->fd > STDERR_FILENO)
        close(out->fd);
    free(out->target);
    *out = (struct file_out){ .fd = -1 };
}

const char *file_error(int err)
{
    return err == -EEXIST ? "it holds something else, and is not replaced"
                          : strerror(-err);
}
