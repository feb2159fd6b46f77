/* SPDX-License-Identifier: MIT
 * file.h - the file of a writer: opening and locking, saving and cutting a torn
 * tail, writing, syncing, closing. Nothing here is shared between threads.
 *
 * Guard key:
 *   (o)  accessed only by the thread that owns the file at the time
 */
#ifndef WEIR_WRITER_FILE_H
#define WEIR_WRITER_FILE_H

#include "sys/sys.h"

#include <weir/writer.h>

struct weir_file {
    int fd;          /* (o) -1: none */
    bool owned;      /* (o) opened here, so it may be truncated and closed */
    bool locked;     /* (o) by flock() */
    bool regular;    /* (o) can be truncated */
    bool unsyncable; /* (o) a pipe or terminal, which cannot be synced */
    dev_t device;    /* (o) identifies the file, with the inode */
    ino_t inode;     /* (o) */
};

/* How to open a file. */
struct weir_file_options {
    const char *path;
    enum weir_sync sync;
    enum weir_recover recover;
    const struct weir_file *current; /* locked by the caller already, or NULL */
};

/* The result of a write. */
struct weir_file_progress {
    uint64_t bytes; /* bytes written to the file */
    uint64_t calls; /* system calls made */
};

/* Open a path for appending, lock the file, and recover a torn tail if that is
 * wanted. The descriptor does not block. If the path still names
 * file_options->current, *file becomes a copy of that. *torn_bytes is increased
 * by the number of bytes cut off. On failure the content of the file is
 * unchanged.
 * Returns:
 *   0          the file is open
 *   -EISDIR    it is a directory
 *   -EINVAL    it is not a regular file, FIFO or character device
 *   -ENXIO     it is a FIFO without a reader
 *   -EBUSY     another writer has locked it, or it was renamed repeatedly
 *   -ENOMEM    there was not enough memory
 *   other      the error of a file call */
int weir_file_open(struct weir_file *file,
                   const struct weir_file_options *file_options,
                   uint64_t *torn_bytes);

/* Use a descriptor that stays the caller's.
 * Returns:
 *   0          *file is set
 *   -EISDIR    it is a directory
 *   other      the error of fstat() */
int weir_file_adopt(struct weir_file *file, int fd);

/* Return whether two are the same file. */
bool weir_file_same(const struct weir_file *a, const struct weir_file *b);

/* Write all pieces, in as many calls as it takes. The pieces are modified.
 * *progress is set after an error too.
 * Returns:
 *   0          everything is written
 *   -EIO       the system wrote nothing and reported no error
 *   other      the error of a file call */
int weir_file_write(const struct weir_file *file, struct iovec *pieces,
                    int count, struct weir_file_progress *progress);

/* Cut the last `bytes` bytes off the file, if it is owned and regular. */
void weir_file_truncate_by(const struct weir_file *file, uint64_t bytes);

/* Sync what was written to the disk.
 * Returns:
 *   0          it is on the disk
 *   1          a file of this kind cannot be synced
 *   other      the error of fdatasync() */
int weir_file_sync(struct weir_file *file);

/* Close the file, if it is owned. Returns 0 or the error; it is closed in both
 * cases. */
int weir_file_close(struct weir_file *file);

#endif
