/* SPDX-License-Identifier: MIT
 * writer_private.h - what the files of the writer share.
 *
 * Purpose: a writer lets many threads append records to one file. They copy
 *   records into a buffer, and one thread writes the buffer to the file.
 *
 *   writer.c          the calls of include/weir/writer.h
 *   writer_thread.c   the buffer, and the thread that empties it
 *   file.c            the file: opening, recovery, writing, syncing
 *
 * Ownership: a writer owns its thread; a ring of bytes with the accepted
 *   records; a ring of the positions at which these records end; and the file,
 *   which only the thread uses until it has ended.
 * Locks and lock order: one mutex guards all that is shared. It is never held
 *   over a call to the file or to the application.
 * Memory ordering: the mutex orders everything; there are no atomics. The
 *   thread reads the bytes and ends of its batch without the mutex. Taking the
 *   batch under the mutex has made them visible, and no other thread writes
 *   there until the writer's thread has given the room back, under the mutex
 *   again.
 * Invariants:
 *   - The number of a record is how many were accepted before it.
 *   - flushed <= done <= accepted, and done == written + lost. The records from
 *     `done` to `accepted` are in the rings.
 *   - A thread waits for room only while the record of the first one in line
 *     does not fit.
 *   - After an error no record is in the rings, no thread waits for room, and
 *     nothing will be flushed.
 * Who notifies whom:
 *   - `needs_post` says that the writer's thread sleeps or is about to. The
 *     thread that clears it posts `work`, so there is one post per sleep.
 *   - Each waiting thread has a semaphore on its own stack. The thread that
 *     takes the waiter off its list posts it, once, under the mutex. The
 *     waiting thread locks the mutex before it destroys the semaphore, so no
 *     thread is still posting then.
 *   - The writer's thread copies the records of the threads that wait for room.
 *     So records are accepted in order of arrival, and woken threads do not
 *     compete for room.
 *   - A batch that is done admits waiting records and completes the flushes it
 *     covers.
 * Not guaranteed: a bound on how long on_batch or a call to the file takes, or
 *   that a batch is large: it takes the records that are there.
 *
 * Guard keys:
 *   (c)  constant after weir_writer_open()
 *   (l)  guarded by the lock of the writer
 *   (b)  as (l); the part that belongs to a batch is read by the writer's
 *        thread without the lock
 *   (o)  accessed only by the thread that waits, or by the writer's thread
 *   (s)  synchronizes itself
 */
#ifndef WEIR_WRITER_THREAD_H
#define WEIR_WRITER_THREAD_H

#include "sys/sys.h"
#include "writer/file.h"

#include <weir/writer.h>

/* A thread that waits, on its own stack. `target` is for flushers, the members
 * after it for threads that wait for room. */
struct weir_waiter {
    struct weir_waiter *next;   /* (l) */
    struct weir_waiter *prev;   /* (l) */
    struct weir_sys_sem woken;  /* (s) posted with the lock held */
    bool done;                  /* (l) off its list, and the result is set */
    int result;                 /* (l) */
    uint64_t target;            /* (c) number of records to flush */
    const struct iovec *pieces; /* (c) the record */
    size_t count;               /* (c) number of pieces */
    size_t bytes;               /* (c) size of the record */
};

struct weir_waiters {
    struct weir_waiter *first, *last; /* (l) */
};

/* A state changes only to the next one. */
enum weir_writer_state {
    WEIR_WRITER_OPEN,    /* records are accepted */
    WEIR_WRITER_CLOSING, /* no record is accepted any more */
    WEIR_WRITER_ENDED    /* the thread has closed the file and ends */
};

struct weir_writer {
    char *path;                           /* (c) or NULL */
    unsigned char *ring;                  /* (c) array; (b) bytes of records */
    uint64_t *record_ends;                /* (c) array; (b) end of each record,
                                           * counted in bytes accepted */
    struct weir_sys_lazy_memory ring_memory; /* (c) memory of `ring` */
    struct weir_sys_lazy_memory ends_memory; /* (c) memory of `record_ends` */
    size_t ring_bytes;                    /* (c) */
    size_t capacity;                      /* (c) in records */
    size_t record_max;                    /* (c) */
    size_t batch_max;                     /* (c) SIZE_MAX: no limit */
    enum weir_sync sync;                  /* (c) */
    enum weir_recover recover;            /* (c) */
    void (*on_batch)(void *user, size_t records, size_t bytes); /* (c) */
    void *user;                           /* (c) */
    struct weir_sys_fork_guard fork_guard; /* (c) */
    struct weir_sys_thread thread;        /* (c) */
    struct weir_file file;                /* (o) */

    /* Producers use the members up to the next cache line. */
    WEIR_CACHE_ALIGNED struct weir_sys_mutex lock;
    uint64_t accepted;              /* (l) records accepted so far */
    uint64_t done;                  /* (l) records removed from the buffer */
    uint64_t bytes_in;              /* (l) bytes accepted so far */
    uint64_t bytes_out;             /* (l) bytes removed from the buffer */
    size_t end_index;               /* (l) in record_ends, of the next record */
    size_t ring_offset;             /* (l) in `ring`, of the next record */
    size_t waiting_peak;            /* (l) */
    int error;                      /* (l) sticky */
    enum weir_writer_state state;   /* (l) */
    bool needs_post;                /* (l) the thread sleeps or is about to */
    bool joined;                    /* (l) */
    bool reopening;                 /* (l) a reopen is in progress */
    struct weir_waiters room_waiters; /* (l) in order of arrival */

    WEIR_CACHE_ALIGNED struct weir_waiters flushers; /* (l) by target */
    struct weir_waiters reopeners;  /* (l) at most one */
    struct weir_waiters closers;    /* (l) */
    uint64_t reopen_at;             /* (l) records that go to the old file */
    uint64_t flushed;               /* (l) records a flush need not wait for */
    uint64_t sync_wanted;           /* (l) records a flush has asked to sync */
    uint64_t written;               /* (l) this and the next members are those
                                     * of struct weir_writer_stats */
    uint64_t durable;               /* (l) */
    uint64_t written_bytes;         /* (l) */
    uint64_t batches;               /* (l) */
    uint64_t writes;                /* (l) */
    uint64_t syncs;                 /* (l) */
    uint64_t torn_bytes;            /* (l) */

    WEIR_CACHE_ALIGNED struct weir_sys_sem work; /* (s) the thread sleeps */
};

/* ---- lists of waiters: the lock of the writer is held ---- */

void weir_waiters_append(struct weir_waiters *list, struct weir_waiter *self);
void weir_waiters_remove(struct weir_waiters *list, struct weir_waiter *self);
/* Remove a waiter from its list, set its result, and wake its thread. */
void weir_waiters_complete(struct weir_waiters *list, struct weir_waiter *self,
                           int result);
/* Do so for all waiters of a list. */
void weir_waiters_complete_all(struct weir_waiters *list, int result);

/* ---- the buffer ---- */

/* Return whether there is room for a record of `bytes` bytes. */
static inline bool weir_writer_fits_locked(const struct weir_writer *w,
                                           size_t bytes)
    WEIR_REQUIRES(w->lock);

static inline bool weir_writer_fits_locked(const struct weir_writer *w,
                                           size_t bytes)
{
    return w->accepted - w->done < w->capacity &&
           bytes <= w->ring_bytes - (size_t)(w->bytes_in - w->bytes_out);
}

/* Accept a record. Requires that it fits. */
void weir_writer_accept_locked(struct weir_writer *w,
                               const struct iovec *pieces, size_t count,
                               size_t bytes) WEIR_REQUIRES(w->lock);

/* Accept the records of waiting threads, in order, as long as they fit. */
void weir_writer_admit_waiters_locked(struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

/* ---- the thread ---- */

/* Write, sync and reopen until the writer is closed. `arg` is the writer. */
void weir_writer_thread_main(void *arg);

#endif
