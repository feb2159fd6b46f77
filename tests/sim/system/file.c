/* SPDX-License-Identifier: MIT
 * file.c - simulated files: a few bytes in memory under a name. */
#include "system/world.h"

#include <stdio.h>
#include <string.h>

#define FILES 4
#define FILE_BYTES 4096
#define DESCRIPTORS 16
#define FIRST_FD 3
#define DIRECTORY FILES /* the file number of every directory */

static struct file {
    char name[64];
    char bytes[FILE_BYTES];
    size_t size;
    int locked_by; /* a descriptor; 0: not locked */
} files[FILES];
static int file_count;
static struct descriptor {
    int file; /* a file number + 1; 0: not open */
} descriptors[DESCRIPTORS];

void weir_sim_files_reset(void)
{
    file_count = 0;
    memset(descriptors, 0, sizeof(descriptors));
}

int weir_sim_files_leaked(void)
{
    int open_ones = 0;

    for (int i = 0; i < DESCRIPTORS; i++)
        open_ones += descriptors[i].file != 0;
    return open_ones;
}

const char *weir_sim_file_content(const char *path, size_t *bytes)
{
    for (int i = 0; i < file_count; i++)
        if (strcmp(files[i].name, path) == 0) {
            *bytes = files[i].size;
            return files[i].bytes;
        }
    *bytes = 0;
    return "";
}

/* Every call is a step that reads and writes the whole file system. */
static void touch(const char *call)
{
    weir_sim_step(WEIR_SIM_FILE, files, call);
    weir_sim_read(files, 0);
    weir_sim_wrote(files, 0);
}

/* Return the file of a descriptor, or NULL for a directory. */
static struct file *file_of(int fd)
{
    int i = fd - FIRST_FD;

    if (i < 0 || i >= DESCRIPTORS || descriptors[i].file == 0)
        weir_sim_fail(WEIR_SIM_USE_AFTER_FREE, "descriptor %d is not open", fd);
    return descriptors[i].file - 1 == DIRECTORY
               ? NULL : &files[descriptors[i].file - 1];
}

int weir_sys_open(const char *path, int flags, unsigned mode)
{
    int fd = 0, file = 0;

    (void)mode;
    touch("open");
    while (fd < DESCRIPTORS && descriptors[fd].file != 0)
        fd++;
    if (fd == DESCRIPTORS)
        return -EMFILE;
    while (file < file_count && strcmp(files[file].name, path) != 0)
        file++;
    if ((flags & O_DIRECTORY) != 0) { /* any path is a directory if asked */
        file = DIRECTORY;
    } else if (file == file_count) {
        if ((flags & O_CREAT) == 0)
            return -ENOENT;
        if (file == FILES)
            return -ENOSPC;
        snprintf(files[file].name, sizeof(files[file].name), "%s", path);
        files[file].size = 0;
        files[file].locked_by = 0;
        file_count++;
    }
    descriptors[fd].file = file + 1;
    return fd + FIRST_FD;
}

int weir_sys_close(int fd)
{
    struct file *f;

    touch("close");
    f = file_of(fd);
    if (f != NULL && f->locked_by == fd)
        f->locked_by = 0;
    descriptors[fd - FIRST_FD].file = 0;
    return weir_sim_fault(WEIR_SIM_EIO) ? -EIO : 0;
}

/* Return the outcome of a write: -errno, or the number of bytes to write. */
static ssize_t write_fault(size_t bytes)
{
    if (weir_sim_fault(WEIR_SIM_EINTR))
        return -EINTR;
    if (weir_sim_fault(WEIR_SIM_EAGAIN))
        return -EAGAIN;
    if (weir_sim_fault(WEIR_SIM_ENOSPC))
        return -ENOSPC;
    if (bytes > 1 && weir_sim_fault(WEIR_SIM_SHORT))
        return (ssize_t)(bytes / 2);
    return (ssize_t)bytes;
}

static ssize_t append(struct file *f, const void *bytes, size_t count)
{
    if (count > FILE_BYTES - f->size)
        return -ENOSPC;
    memcpy(f->bytes + f->size, bytes, count);
    f->size += count;
    return (ssize_t)count;
}

ssize_t weir_sys_writev(int fd, const struct iovec *pieces, int count)
{
    size_t all = 0;
    ssize_t left, done;
    struct file *f;

    touch("writev");
    f = file_of(fd);
    for (int i = 0; i < count; i++)
        all += pieces[i].iov_len;
    done = left = write_fault(all);
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = pieces[i].iov_len < (size_t)left ? pieces[i].iov_len
                                                    : (size_t)left;

        if (append(f, pieces[i].iov_base, n) < 0)
            return -ENOSPC;
        left -= (ssize_t)n;
    }
    return done;
}

ssize_t weir_sys_write(int fd, const void *bytes, size_t count)
{
    struct iovec piece = { .iov_len = count };

    memcpy(&piece.iov_base, &bytes, sizeof(bytes));
    return weir_sys_writev(fd, &piece, 1);
}

ssize_t weir_sys_pread(int fd, void *buffer, size_t bytes, int64_t offset)
{
    struct file *f;

    touch("pread");
    f = file_of(fd);
    if (weir_sim_fault(WEIR_SIM_EINTR))
        return -EINTR;
    if (weir_sim_fault(WEIR_SIM_EIO))
        return -EIO;
    if ((size_t)offset >= f->size)
        return 0;
    if (bytes > f->size - (size_t)offset)
        bytes = f->size - (size_t)offset;
    memcpy(buffer, f->bytes + offset, bytes);
    return (ssize_t)bytes;
}

int weir_sys_ftruncate(int fd, int64_t bytes)
{
    struct file *f;

    touch("ftruncate");
    f = file_of(fd);
    if (weir_sim_fault(WEIR_SIM_EIO))
        return -EIO;
    if ((size_t)bytes < f->size)
        f->size = (size_t)bytes;
    return 0;
}

int weir_sys_fsync(int fd)
{
    touch("fsync");
    (void)file_of(fd);
    return weir_sim_fault(WEIR_SIM_EIO) ? -EIO : 0;
}

int weir_sys_fdatasync(int fd)
{
    return weir_sys_fsync(fd);
}

int weir_sys_flock(int fd)
{
    struct file *f;

    touch("flock");
    f = file_of(fd);
    if (f->locked_by != 0 && f->locked_by != fd)
        return -EBUSY;
    f->locked_by = fd;
    return 0;
}

void weir_sys_funlock(int fd)
{
    struct file *f;

    touch("funlock");
    f = file_of(fd);
    if (f->locked_by == fd)
        f->locked_by = 0;
}

static void fill_stat(const struct file *f, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_mode = f == NULL ? S_IFDIR | 0777 : S_IFREG | 0666;
    st->st_ino = f == NULL ? DIRECTORY : (ino_t)(f - files);
    st->st_size = f == NULL ? 0 : (off_t)f->size;
}

int weir_sys_fstat(int fd, struct stat *st)
{
    touch("fstat");
    fill_stat(file_of(fd), st);
    return 0;
}

int weir_sys_stat(const char *path, struct stat *st)
{
    touch("stat");
    for (int i = 0; i < file_count; i++)
        if (strcmp(files[i].name, path) == 0) {
            fill_stat(&files[i], st);
            return 0;
        }
    return -ENOENT;
}

int weir_sys_wait_writable(int fd)
{
    touch("poll");
    (void)file_of(fd);
    return 0;
}
