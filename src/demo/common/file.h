/* SPDX-License-Identifier: MIT
 * file.h - the files that the program creates.
 *
 * A file that is written in one piece, like a picture or a summary:
 *
 *   struct file_out out;
 *   int err = file_out_open(&out, "run.svg", is_svg);  before the work
 *   ...
 *   err = file_out_write(&out, bytes, count);          after it
 *   file_out_close(&out);
 *
 * A regular file is written under a random name in the same folder, opened
 * with O_EXCL and O_NOFOLLOW, and then renamed: no reader sees half of it,
 * and no link that somebody planted is followed. Its permissions are kept. If
 * the folder refuses that but the file itself may be written, like a file that
 * is mounted into a container, it is overwritten in place. A FIFO is opened by
 * file_out_open(), which waits for its reader: call it while signals still
 * end the program.
 */
#ifndef WEIR_DEMO_FILE_H
#define WEIR_DEMO_FILE_H

#include "text.h"

#include <stddef.h>
#include <sys/types.h>

/* Which file a path names, whether that exists or not. */
struct file_id {
    dev_t device;
    ino_t inode;      /* of the file, or of its folder, and then: */
    const char *last; /* what follows the last slash of the path; or NULL */
};

/* Find out which file a path names. `id` refers to `path`.
 * Returns 0; an error of stat(). */
int file_identify(const char *path, struct file_id *id);

/* Whether two paths name one file, by whatever links. A character device is
 * never the same: what is written there replaces nothing. */
int file_same(const char *a, const char *b);

/* Whether bytes at the beginning of a file, all of them if there are fewer
 * than FILE_BEGIN, show that it is of a kind. */
#define FILE_BEGIN 4096
typedef int file_is(const char *bytes, size_t count);

struct file_out {
    char *target; /* a regular file, with links resolved; or NULL */
    int fd;       /* of something else, open; or -1 */
};

/* Prepare to write to `path`. A file that exists is replaced only if it is
 * empty or is_ours() says so.
 * Returns 0; -EEXIST it holds something else; -ENOMEM; -EINVAL it is neither
 * a file nor a pipe nor a character device; errors of stat(), access() and
 * open(). After an error there is nothing to close. */
int file_out_open(struct file_out *out, const char *path, file_is *is_ours);

/* Write it. Returns 0 or an error; then a regular file is as it was, unless
 * it had to be written in place. */
int file_out_write(const struct file_out *out, const void *bytes,
                   size_t count);

/* Create an empty file there, without the old content, and open it, for
 * output that is useful before it is complete.
 * Returns a descriptor, which is the caller's, or an error. */
int file_out_create(const struct file_out *out);

/* Forget it. Once more, or of zeroes, is fine. */
void file_out_close(struct file_out *out);

/* Write a file in one step, whatever was there.
 * Returns 0 or an error; then the file is as it was. */
int file_replace(const char *path, const void *bytes, size_t count);

/* Write all of it. Returns 0 or an error of write(). */
int file_write(int fd, const void *bytes, size_t count);

/* What to say of an error of these: strerror() does not know that the old
 * content is not to be replaced. */
const char *file_error(int err);

#endif
