/* SPDX-License-Identifier: MIT
 * writer.h - one thread that owns one file and appends whole records to it.
 *
 * Any thread hands records in; they are copied into a bounded buffer and
 * written by one thread, in the order in which they were accepted, as many
 * at a time as there are. No record is ever torn by another.
 *
 *   struct weir_writer *log;
 *   int err = weir_writer_open(&log, &(struct weir_writer_options){
 *       .path = "results.ndjson", .recover = WEIR_RECOVER_LINES });
 *
 *   weir_writer_write(log, &(struct iovec){ line, length }, 1, WEIR_FOREVER);
 *   ...
 *   err = weir_writer_close(log, WEIR_FOREVER);  // 0: all of it is written
 *   weir_writer_destroy(log);
 *
 * ERRORS STICK. After a failed write nothing more is written, and every
 * later call but stats reports that error; close too. A regular file the
 * writer has opened is cut back to the last whole record first. Records that
 * were accepted and could not be written are counted in stats.lost.
 *
 * TORN TAILS. An append is not atomic against SIGKILL or a power cut. With
 * WEIR_RECOVER_LINES every record must end in a newline and have no other;
 * when the file is opened, what follows its last newline is saved by
 * appending it to PATH.torn, then cut off, and stats.torn_bytes tells its
 * size. Whole lines are never touched. Without recovery, and with a descriptor,
 * nothing is read or cut: the first record then directly follows whatever the
 * file ends with, a torn line too.
 *
 * MEMORY. buffer_bytes and 8 bytes for each record of capacity; none of it is
 * touched before it is used. The path and the name are copied during the
 * call.
 *
 * THE THREAD has the system's default stack and the signal mask that pool.h
 * describes; it calls on_batch and nothing else of the application's. A write
 * to a pipe without readers is -EPIPE and a file that has reached
 * RLIMIT_FSIZE -EFBIG: SIGPIPE and SIGXFSZ are blocked there.
 *
 * Every call may run beside every other on the same writer, but for destroy.
 * Two writers, of one process or two, never own one file: the second
 * weir_writer_open() says -EBUSY. This is by flock(), which network file
 * systems may not honour.
 */
#ifndef WEIR_WRITER_H
#define WEIR_WRITER_H

#include <weir/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_writer;

enum weir_sync {
    WEIR_SYNC_NEVER = 0, /* the system decides when data reach the disk */
    WEIR_SYNC_FLUSH = 1, /* fdatasync() at each flush and at close */
    WEIR_SYNC_BATCH = 2  /* fdatasync() after each batch too */
};

enum weir_recover {
    WEIR_RECOVER_NONE = 0, /* append to whatever is there */
    WEIR_RECOVER_LINES = 1 /* cut a torn last line first, see above; needs a
                              path */
};

struct weir_writer_options {
    const char *path;    /* opened for appending, made with mode 0666 less
                            the umask; or NULL, and: */
    int fd;              /* a descriptor of the caller's, who keeps and
                            closes it; never locked, synced by policy only,
                            never cut back, so without recovery. Used if path
                            is NULL; then 0 is standard input, not "none" */
    enum weir_sync sync;
    enum weir_recover recover;
    size_t capacity;     /* records waiting at most, to 2^30; 0: 16,384 */
    size_t buffer_bytes; /* of waiting records, to 2^40; 0: 1 MiB */
    size_t record_max;   /* bytes of one record, at most buffer_bytes; 0: a
                            quarter of buffer_bytes */
    size_t batch_max;    /* records written at once; 0: as many as wait */
    const char *name;    /* of the thread, 15 bytes shown; 0: "weir-writer" */

    /* Called by the writer's thread before each batch is written, with no
     * lock held; may sleep, to slow the appends down; must not call this
     * writer. NULL: nothing. */
    void (*on_batch)(void *user, size_t records, size_t bytes);
    void *user;
    uint64_t reserved[6];
};

struct weir_writer_stats {
    uint64_t accepted;   /* records */
    uint64_t written;    /* of these: whole in the file */
    uint64_t durable;    /* of these: before a sync that succeeded */
    uint64_t lost;       /* accepted, and will never be written */
    uint64_t bytes;      /* written, whole records only */
    uint64_t batches;    /* so many times the thread wrote */
    uint64_t writes;     /* system calls for it */
    uint64_t syncs;      /* that succeeded */
    uint64_t torn_bytes; /* cut off at open, and kept in PATH.torn */
    size_t waiting;      /* records in the buffer now */
    size_t waiting_peak;  /* high-water mark */
    int error;           /* the error that sticks, negative; or 0 */
    uint64_t reserved[6];
};

/* Open a file, or take a descriptor, and start the thread. There are no
 * defaults for both of them: options must not be NULL.
 * Returns 0; -EINVAL an option is out of range, options is NULL, a descriptor
 * is to be recovered, or path is no regular file, pipe or character device;
 * -EISDIR; -EBUSY another writer has the file;
 * -ENOMEM; an error of open(), fstat(), stat() or flock(), of pread(), write(),
 * fsync(), close() or ftruncate() where a tail is saved and cut, of
 * pthread_create(), sem_init() or pthread_mutex_init(). On failure the file
 * holds what it held (and may have been made). */
WEIR_API int weir_writer_open(struct weir_writer **writer,
                              const struct weir_writer_options *options);

/* Append one record: the `count` pieces behind one another, count at most
 * 1,024. An empty record is accepted and writes nothing.
 * Returns 0: it is accepted; -EMSGSIZE it is longer than record_max; -EINVAL
 * more pieces, or with WEIR_RECOVER_LINES not one whole line; -EAGAIN or
 * -ETIMEDOUT the buffer stayed full; -EPIPE the writer was closed; -ECHILD;
 * an error of sem_init(); or the error that sticks. The pieces are the
 * caller's again in every case. */
WEIR_API int weir_writer_write(struct weir_writer *writer,
                               const struct iovec *pieces, size_t count,
                               int64_t deadline);

/* Wait until everything accepted before this call is in the file, and with a
 * sync policy on the disk.
 * Returns 0; -EAGAIN or -ETIMEDOUT not yet; -EPIPE the writer was closed
 * before the call; -ECHILD; an error of sem_init(); or the error that
 * sticks. */
WEIR_API int weir_writer_flush(struct weir_writer *writer, int64_t deadline);

/* Open the path again, after the file was renamed: records accepted before
 * go to the old file, later ones to the new. Waits for it.
 * Returns 0; -EINVAL there is no path, or as weir_writer_open() says it;
 * -EAGAIN or -ETIMEDOUT not yet, but it will be done in its turn; -EPIPE;
 * -ECHILD; an error of sem_init(); -EBUSY another has the new file, or another
 * reopen is under way; -EISDIR; -ENOMEM; an error of open(), fstat(), stat(),
 * flock(), pread(), write(), fsync() or ftruncate() as there: nothing has
 * changed, and the writer goes on with the old file; or the error that sticks.
 */
WEIR_API int weir_writer_reopen(struct weir_writer *writer, int64_t deadline);

/* Accept nothing more, write what was accepted, sync by policy, close the
 * file and join the thread. To be called again after -ETIMEDOUT; closing
 * twice is fine.
 * Returns 0: every accepted record is written; -EAGAIN or -ETIMEDOUT not
 * yet, and the writer goes on; -ECHILD; an error of sem_init(); the error
 * that sticks; or an error of close(). */
WEIR_API int weir_writer_close(struct weir_writer *writer, int64_t deadline);

/* Close, however long that takes, and free. NULL is fine. An error of the
 * file goes unnoticed: call weir_writer_close() first.
 * Requires: nobody is inside a call on it. */
WEIR_API void weir_writer_destroy(struct weir_writer *writer);

/* Fill in *stats, all of one moment.
 * Returns 0; -ECHILD. */
WEIR_API int weir_writer_stats(struct weir_writer *writer,
                               struct weir_writer_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
