/* SPDX-License-Identifier: MIT
 * file.h - the file a writer owns, with no thread in sight: opening
 * and locking it, saving and cutting a torn tail, writing a batch whole or
 * cutting it back, syncing, closing. Used by one thread at a time.
 */
#ifndef WEIR_WRITER_FILE_H
#define WEIR_WRITER_FILE_H

#include "sys/sys.h"

#include <weir/writer.h>

struct weir_file {
    int fd;           /* (o) -1: none */
    bool owned;       /* (o) opened here: cut back, closed */
    bool locked;      /* (o) by flock() */
    bool regular;     /* (o) can be cut back */
    bool unsyncable;  /* (o) a pipe or terminal: syncing means nothing */
    dev_t device;     /* (o) with the next: which file it is */
    ino_t inode;      /* (o) */
};

/* How to open one. */
struct weir_file_options {
    const char *path;
    enum weir_sync sync;
    enum weir_recover recover;
    const struct weir_file *current; /* the caller's, already locked; NULL */
};

/* What a batch came to. */
struct weir_file_progress {
    uint64_t bytes; /* are in the file */
    uint64_t calls; /* of the system */
};

/* Open a path for appending, lock it and make its tail whole. A FIFO that
 * nobody reads is -ENXIO at once, and the descriptor never blocks.
 * Where the path still names *how->current, *file is a copy of that.
 * *torn_bytes grows by what was cut off.
 * Returns 0; -EISDIR; -EINVAL not a regular file, FIFO or character device;
 * -EBUSY; -ENOMEM; an error of a file call. On failure the file holds what it
 * held. */
int weir_file_open(struct weir_file *file,
                   const struct weir_file_options *file_options,
                   uint64_t *torn_bytes);

/* Take a descriptor of somebody else's, who keeps it. Returns 0; -EISDIR; or
 * an error of fstat(). */
int weir_file_adopt(struct weir_file *file, int fd);

/* Whether two are the same file. */
bool weir_file_same(const struct weir_file *a, const struct weir_file *b);

/* Write the `count` pieces, however often it takes; they are used up.
 * *wrote tells how far it came, after an error too.
 * Returns 0 or the error; a call that writes nothing at all is -EIO. */
int weir_file_write(const struct weir_file *file, struct iovec *pieces,
                    int count, struct weir_file_progress *progress);

/* Take the last `bytes` bytes off a file that may be cut; else nothing. */
void weir_file_truncate_by(const struct weir_file *file, uint64_t bytes);

/* Bring what was written to the disk. Returns 0: it is there; 1: there is no
 * such thing for this kind of file; or the error. */
int weir_file_sync(struct weir_file *file);

/* Close, if it is owned. Returns 0 or the error, and it is closed then too. */
int weir_file_close(struct weir_file *file);

#endif
