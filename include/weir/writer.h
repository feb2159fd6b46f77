/* SPDX-License-Identifier: MIT
 * writer.h - one thread that owns one file and appends whole records to it.
 *
 * Any thread hands records to the writer, which copies them into a bounded
 * buffer. The writer's thread appends them to the file in the order in which
 * they were accepted, as many per system call as are waiting. Records never
 * mix. A program that writes one:
 *
 *   #include <stdio.h>
 *   #include <string.h>
 *   #include <weir/writer.h>
 *
 *   int main(void)
 *   {
 *       static char line[] = "{\"status\": 200}\n";
 *       struct iovec piece = { line, sizeof(line) - 1 };
 *       struct weir_writer *log;
 *       int err = weir_writer_open(&log, &(struct weir_writer_options){
 *           .path = "results.ndjson", .recover = WEIR_RECOVER_LINES });
 *
 *       if (err != 0) {
 *           fprintf(stderr, "results.ndjson: %s\n", strerror(-err));
 *           return 1;
 *       }
 *       weir_writer_write(log, &piece, 1, WEIR_FOREVER);
 *       err = weir_writer_close(log, WEIR_FOREVER);  // 0: all is written
 *       weir_writer_destroy(log);
 *       return err != 0;
 *   }
 *
 * STICKY ERRORS. After a failed write or sync nothing more is written, and
 * every later call, close included, returns that error; only stats and destroy
 * do not. After a failed write, a regular file that was opened by its path is
 * first cut back to the end of its last whole record. Records that were
 * accepted and will not be written are counted in stats.lost.
 *
 * TORN TAILS. A crash or a power cut can leave half a record at the end of a
 * file. With WEIR_RECOVER_LINES every record must be one line: it ends in a
 * newline and contains no other. When a regular file is opened, the bytes
 * after its last newline are appended to the file PATH.torn and then cut off;
 * stats.torn_bytes is their number. Whole lines are never changed. Without
 * recovery nothing is read or cut, and the first record directly follows
 * whatever the file ends with, even half a line.
 *
 * ORDER. Threads that wait for room in the buffer are served in the order in
 * which they came. A short record does not overtake a long one that waits.
 *
 * ONE OWNER. A file has at most one writer, in this process or another: the
 * second weir_writer_open() of a path returns -EBUSY. The writer holds an
 * flock() on the file, which network file systems may not honour. Character
 * devices (a terminal, /dev/null) and descriptors are not locked.
 *
 * MEMORY. buffer_bytes plus 8 bytes for each record of `capacity`: 1.125 MiB
 * by default. Either part is allocated when the writer is opened; if it takes
 * 128 KiB or more, its memory is not touched before it is first used. The path
 * and the name are copied during the call.
 *
 * THREAD. The writer's thread has the system's default stack size and the
 * signal mask that pool.h describes. It makes no call into the application
 * except on_batch. Because SIGPIPE and SIGXFSZ are blocked there, a write to a
 * pipe without readers fails with -EPIPE, and a write beyond RLIMIT_FSIZE with
 * -EFBIG.
 *
 * CONCURRENCY. Every call may run concurrently with every other call on the
 * same writer, except destroy. In a child of fork() every call except destroy
 * returns -ECHILD.
 */
#ifndef WEIR_WRITER_H
#define WEIR_WRITER_H

#include <weir/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_writer;

/* When data are forced to the disk, by fdatasync(). */
enum weir_sync {
    WEIR_SYNC_NEVER = 0, /* never: the system decides */
    WEIR_SYNC_FLUSH = 1, /* at each flush, at a reopen and at close */
    WEIR_SYNC_BATCH = 2  /* after each batch as well */
};

enum weir_recover {
    WEIR_RECOVER_NONE = 0, /* append to whatever is in the file */
    WEIR_RECOVER_LINES = 1 /* cut a torn last line off first: see TORN TAILS;
                              needs a path */
};

struct weir_writer_options {
    const char *path;    /* file to append to, created with mode 0666 less the
                            umask if necessary; NULL: use `fd` */
    int fd;              /* descriptor to append to, used only if `path` is
                            NULL. The caller owns it, closes it, and keeps it
                            open until the writer is closed. It is never locked
                            nor cut back. 0 is standard input, not "none": the
                            writer of options without a path and fd appends to
                            that */
    enum weir_sync sync;
    enum weir_recover recover; /* WEIR_RECOVER_LINES together with `fd` is
                                  -EINVAL */
    size_t capacity;     /* records in the buffer, at most 2^30; 0: 16,384 */
    size_t buffer_bytes; /* bytes of records in the buffer, at most 2^40; 0:
                            2^20 (1 MiB) */
    size_t record_max;   /* bytes of one record, at most buffer_bytes; 0: a
                            quarter of buffer_bytes, 256 KiB by default */
    size_t batch_max;    /* records written in one batch; 0: all that wait */
    const char *name;    /* of the thread, of which systems show 15 bytes;
                            NULL: "weir-writer" */

    /* Called by the writer's thread before it writes a batch, with no lock
     * held. `records` and `bytes` are the size of the batch. It may sleep, to
     * slow the writer down. It must not make any call on this writer. NULL: not
     * called. */
    void (*on_batch)(void *user, size_t records, size_t bytes);
    void *user; /* passed to on_batch */
    uint64_t reserved[6];
};

struct weir_writer_stats {
    uint64_t accepted;   /* records accepted */
    uint64_t written;    /* of these, records that are whole in the file */
    uint64_t durable;    /* of these, records followed by a successful sync */
    uint64_t lost;       /* accepted records that will never be written */
    uint64_t bytes;      /* bytes of the records in `written` */
    uint64_t batches;    /* batches written */
    uint64_t writes;     /* system calls made to write them */
    uint64_t syncs;      /* successful syncs */
    uint64_t torn_bytes; /* bytes cut off when a file was opened, and saved in
                            PATH.torn */
    size_t waiting;      /* records in the buffer now */
    size_t waiting_peak; /* the most records there have been in the buffer */
    int error;           /* the sticky error, negative; 0: none */
    uint64_t reserved[6];
};

/* Open a file, or use a descriptor, and start the writer's thread. An option
 * must name one of the two, so `options` must not be NULL. On failure the file
 * holds what it held, but it may have been created.
 * Returns:
 *   0        *writer is open; the caller destroys it
 *   -EINVAL  an option is out of range, `options` is NULL, recovery is asked
 *            for with a descriptor, or the path or PATH.torn has a file type
 *            that cannot be used: the path must be a regular file, a FIFO or
 *            a character device, PATH.torn a regular file
 *   -EISDIR  it is a directory
 *   -EBUSY   another writer owns the file
 *   -ENOMEM  there is no memory for it
 *   or an error of pthread_create(), sem_init() or pthread_mutex_init(); or an
 *   error of open(), fstat(), stat() or flock() (open() fails with ENXIO for a
 *   FIFO that no process reads); or an error of pread(), write(), fsync(),
 *   close() or ftruncate() while a tail is saved and cut, or while a new file
 *   is made durable, which a sync policy asks for.
 * After an error *writer is NULL. */
WEIR_API int weir_writer_open(struct weir_writer **writer,
                              const struct weir_writer_options *options);

/* Append one record, the concatenation of `count` pieces, at most 1,024, and
 * wait for room in the buffer. An empty record is accepted, and nothing is
 * written for it; with WEIR_RECOVER_LINES it is -EINVAL, since it is no line.
 * The pieces are copied; the caller keeps them.
 * Returns:
 *   0           the record is accepted: it is in the buffer, not yet in the
 *               file
 *   -EMSGSIZE   the record exceeds record_max
 *   -EINVAL     there are more than 1,024 pieces, or the record is not one
 *               line and the writer has WEIR_RECOVER_LINES
 *   -EAGAIN     the buffer is full, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  the buffer was full until the deadline
 *   -EPIPE      the writer is closed
 *   -ECHILD     this is a forked child
 *   or an error of sem_init(), if the call has to wait; or the sticky error */
WEIR_API int weir_writer_write(struct weir_writer *writer,
                               const struct iovec *pieces, size_t count,
                               int64_t deadline);

/* Wait until every record accepted before this call is in the file, and with a
 * sync policy on the disk. A call that does not wait, or not long enough, still
 * makes the thread write and sync those records.
 * Returns:
 *   0           they are
 *   -EAGAIN     they are not yet, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  they were not by the deadline
 *   -EPIPE      the writer was closed before this call
 *   -ECHILD     this is a forked child
 *   or an error of sem_init(), if the call has to wait; or the sticky error */
WEIR_API int weir_writer_flush(struct weir_writer *writer, int64_t deadline);

/* Open the path again, after the file was renamed (log rotation), and wait
 * until that is done. Records accepted before this call go to the old file,
 * later ones to the new one. A tail is recovered in the new file as in
 * weir_writer_open(). If the path still names the same file, nothing changes.
 * Returns:
 *   0           the writer has the file that the path names
 *   -EAGAIN     not yet, and the deadline was WEIR_NO_WAIT; the writer will
 *               still reopen
 *   -ETIMEDOUT  not by the deadline; the writer will still reopen
 *   -EINVAL     the writer has no path, or the file type of the path or of
 *               PATH.torn cannot be used
 *   -EISDIR     the path is a directory
 *   -EBUSY      another writer owns the new file, or another call of
 *               weir_writer_reopen() is not done yet
 *   -ENOMEM     there is no memory for it
 *   -EPIPE      the writer is closed
 *   -ECHILD     this is a forked child
 *   or an error of sem_init(); or an error of open(), fstat(), stat(), flock(),
 *   pread(), write(), fsync() or ftruncate() with the new file. After any of
 *   these the writer goes on with the old file. Or the sticky error, which an
 *   error of syncing or closing the old file becomes. */
WEIR_API int weir_writer_reopen(struct weir_writer *writer, int64_t deadline);

/* Accept no more records, and wait until those that were accepted are written
 * and synced by policy, the file is closed and the thread has ended. Threads
 * that wait in weir_writer_write() return -EPIPE. After -EAGAIN and -ETIMEDOUT
 * the writer goes on closing: call this again to wait for it. Closing a closed
 * writer has no effect and returns the same.
 * Returns:
 *   0           every accepted record is in the file
 *   -EAGAIN     not yet, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  not by the deadline
 *   -ECHILD     this is a forked child
 *   or an error of sem_init(), if the call has to wait; or an error of close();
 *   or the sticky error */
WEIR_API int weir_writer_close(struct weir_writer *writer, int64_t deadline);

/* Close a writer, as with WEIR_FOREVER, and free it. NULL is ignored. Errors
 * are not reported: call weir_writer_close() first to see them.
 * Requires: no thread is inside a call on the writer. */
WEIR_API void weir_writer_destroy(struct weir_writer *writer);

/* Fill in *stats. All members are of the same moment. Works after a close and
 * after an error.
 * Returns:
 *   0        *stats is filled in
 *   -ECHILD  this is a forked child */
WEIR_API int weir_writer_stats(struct weir_writer *writer,
                               struct weir_writer_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
