/* SPDX-License-Identifier: MIT
 * writer_private.h - what a writer is made of, for the two sources that make
 * it: writer.c has the calls, writer/writer_thread.c the thread and the buffer. How
 * they lock, wait and wake each other is said in writer.c.
 */
#ifndef WEIR_WRITER_THREAD_H
#define WEIR_WRITER_THREAD_H

#include "sys/sys.h"
#include "writer/file.h"

#include <weir/writer.h>

/* One who waits, on its own stack. */
struct weir_waiter {
    struct weir_waiter *next;       /* (l) */
    struct weir_waiter *prev;       /* (l) */
    struct weir_sys_sem woken;      /* posted with the lock held */
    bool done;                      /* (l) off its list, result is set */
    int result;                     /* (l) */
    uint64_t target;                /* (c) records to be settled, for flush */
    const struct iovec *pieces;     /* (c) the record, in the line */
    size_t count;                   /* (c) of pieces */
    size_t bytes;                   /* (c) of the record */
};

struct weir_waiters {
    struct weir_waiter *first, *last; /* (l) */
};

enum weir_writer_state {
    WEIR_WRITER_OPEN,
    WEIR_WRITER_CLOSING, /* nothing more is accepted */
    WEIR_WRITER_ENDED    /* the thread is done with everything */
};

struct weir_writer {
    char *path;                     /* (c) or NULL */
    unsigned char *ring;            /* records; (l) but for a batch's */
    uint64_t *record_ends;          /* likewise: where each record ends, as
                                       a position in all bytes ever */
    struct weir_sys_lazy_memory ring_memory, ends_memory; /* (c) what the two
                                                     are freed with */
    size_t ring_bytes;              /* (c) */
    size_t capacity;                /* (c) records */
    size_t record_max;              /* (c) */
    size_t batch_max;               /* (c) SIZE_MAX: no limit */
    enum weir_sync sync;            /* (c) */
    enum weir_recover recover;      /* (c) */
    void (*on_batch)(void *user, size_t records, size_t bytes); /* (c) */
    void *user;                     /* (c) */
    struct weir_sys_fork_guard fork_guard; /* (c) */
    struct weir_sys_thread thread;  /* (c) */
    struct weir_file file;          /* (o) the thread */

    WEIR_CACHE_ALIGNED struct weir_sys_mutex lock;
    /* What a producer touches lies together. */
    uint64_t accepted;              /* (l) records, ever */
    uint64_t done;                  /* (l) records off the buffer, ever */
    uint64_t bytes_in;              /* (l) accepted, ever */
    uint64_t bytes_out;             /* (l) off the buffer, ever */
    size_t end_index;               /* (l) of `ends`, for the next record */
    size_t ring_offset;             /* (l) of `ring`, for the next record */
    size_t waiting_peak;             /* (l) */
    int error;                      /* (l) sticks */
    enum weir_writer_state state;   /* (l) */
    bool needs_post;                /* (l) the thread wants a post */
    bool joined;                    /* (l) */
    bool reopening;                 /* (l) a reopen is under way */
    struct weir_waiters room_waiters; /* (l) for room, in order of arrival */

    WEIR_CACHE_ALIGNED struct weir_waiters flushers; /* (l) by target */
    struct weir_waiters reopeners;  /* (l) one at most */
    struct weir_waiters closers;    /* (l) */
    uint64_t reopen_at;             /* (l) records the old file still gets */
    uint64_t flushed;               /* (l) records a flush need not wait for */
    uint64_t sync_wanted;           /* (l) somebody flushed so many */
    uint64_t written;               /* (l) and so on: weir_writer_stats */
    uint64_t durable;               /* (l) */
    uint64_t written_bytes;         /* (l) */
    uint64_t batches;               /* (l) */
    uint64_t writes;                /* (l) */
    uint64_t syncs;                 /* (l) */
    uint64_t torn_bytes;            /* (l) */

    WEIR_CACHE_ALIGNED struct weir_sys_sem
        work; /* posted by who clears `idle` */
};

/* ---- lists of waiters; the writer's lock is held ---- */

void weir_waiters_append(struct weir_waiters *list, struct weir_waiter *self);
void weir_waiters_remove(struct weir_waiters *list, struct weir_waiter *self);
/* Take a waiter off its list, with its result. */
void weir_waiters_complete(struct weir_waiters *list, struct weir_waiter *self,
                           int result);
void weir_waiters_complete_all(struct weir_waiters *list, int result);

/* ---- the buffer ---- */

/* Whether there is room for one more record. */
static inline bool weir_writer_fits_locked(const struct weir_writer *w,
                                           size_t bytes)
    WEIR_REQUIRES(w->lock);

static inline bool weir_writer_fits_locked(const struct weir_writer *w,
                                           size_t bytes)
{
    return w->accepted - w->done < w->capacity &&
           bytes <= w->ring_bytes - (size_t)(w->bytes_in - w->bytes_out);
}

/* Accept a record that fits. */
void weir_writer_accept_locked(struct weir_writer *w,
                               const struct iovec *pieces, size_t count,
                               size_t bytes) WEIR_REQUIRES(w->lock);

/* Accept what fits of those in the line. */
void weir_writer_admit_waiters_locked(struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

/* ---- the thread ---- */

/* Write, sync and reopen until the writer is closed; `arg` is the writer. */
void weir_writer_thread_main(void *arg);

#endif
