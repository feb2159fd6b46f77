/* SPDX-License-Identifier: MIT
 * file.h - the files that the program creates.
 *
 * To write a whole file in one step, like a timeline or a summary:
 *
 *   struct file_out out;
 *   int err = file_out_open(&out, "run.svg", is_svg);  before the work
 *   ...
 *   err = file_out_write(&out, bytes, count);          after it
 *   file_out_close(&out);
 *
 * A regular file is written under a random name in the same folder, opened
 * with O_EXCL and O_NOFOLLOW, and then renamed. So no reader sees an incomplete
 * file, and no planted link is followed. The file keeps its permissions. If the
 * folder cannot be written but the file can, as for a file that is mounted into
 * a container, it is overwritten in place. file_out_open() opens a FIFO, which
 * blocks until it has a reader: call it while signals still end the program.
 */
#ifndef WEIR_DEMO_FILE_H
#define WEIR_DEMO_FILE_H

#include "text.h"

#include <stddef.h>
#include <sys/types.h>

/* Identifies the file that a path names, whether it exists or not. */
struct file_id {
    dev_t device;
    ino_t inode;      /* of the file, or if it does not exist of its folder */
    const char *last; /* then the part of the path after the last slash, else
                         NULL */
};

/* Identify the file that a path names. `id` refers to `path`.
 * Returns 0 or an error of stat(). */
int file_identify(const char *path, struct file_id *id);

/* Return whether two paths name the same file, through whatever links. A
 * character device never counts as the same: writing to it replaces nothing. */
int file_same(const char *a, const char *b);

/* Returns whether a file is of a certain kind, by its first FILE_BEGIN bytes,
 * or all of them if there are fewer. */
#define FILE_BEGIN 4096
typedef int file_is(const char *bytes, size_t count);

struct file_out {
    char *target; /* path of a regular file, with links resolved; or NULL */
    int fd;       /* open descriptor of anything else; or -1 */
};

/* Prepare to write to `path`. A file that exists is replaced only if it is
 * empty or is_ours() returns true. After an error there is nothing to close.
 * Returns:
 *   0
 *   -EEXIST  the file holds something else
 *   -EINVAL  it is neither a file nor a pipe nor a character device
 *   -ENOMEM
 *   errors of stat(), access() and open() */
int file_out_open(struct file_out *out, const char *path, file_is *is_ours);

/* Write the whole content. Returns 0 or an error. After an error a regular file
 * is unchanged, unless it had to be overwritten in place. */
int file_out_write(const struct file_out *out, const void *bytes,
                   size_t count);

/* Create an empty file in place of the old one and open it, for output that is
 * useful before it is complete. Returns a descriptor, which the caller closes,
 * or an error. */
int file_out_create(const struct file_out *out);

/* Free everything. Allowed repeatedly, and for a struct of zeros. */
void file_out_close(struct file_out *out);

/* Write a file in one step, whatever it contained.
 * Returns 0 or an error, after which the file is unchanged. */
int file_replace(const char *path, const void *bytes, size_t count);

/* Write all of it. Returns 0 or an error of write(). */
int file_write(int fd, const void *bytes, size_t count);

/* Return the text of an error of these functions: strerror() does not know what
 * -EEXIST means here. */
const char *file_error(int err);

#endif
