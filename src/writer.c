/* SPDX-License-Identifier: MIT
 * writer.c - the buffer between those who write and the thread that does.
 *
 * Owns: the thread; a ring of bytes with the accepted records behind one
 *   another; a ring of the positions they end at; the file (writer_file.h),
 *   which is the thread's alone until it has ended.
 * Locks: one mutex. It is never held over a call to the file or the user.
 * Order: everything shared is under the mutex; there are no atomics. The
 *   thread reads the bytes and ends of its batch without the mutex: they
 *   were published by the mutex when it took the batch, and nobody writes
 *   there until it has given the room back, under the mutex again.
 * Invariants: a record's number is how many were accepted before it.
 *   done <= written + lost, done <= accepted; what is between `done` and
 *   `accepted` waits in the rings. settled <= done. Somebody is in the line
 *   only while the first one's record does not fit. After an error nothing
 *   waits, is in the line or will be flushed.
 * Wake-ups: `idle` says that the thread sleeps or is about to; who clears it
 *   posts `work`, so there is one post per sleep. Each waiter has a
 *   semaphore on its own stack, posted under the mutex, once, by whoever
 *   takes it off its list; it takes the mutex before it destroys the
 *   semaphore, so the poster is out of it by then. Who is in the line for
 *   room is served by the thread, which copies the record for them: so the
 *   order is that of arrival, and those woken need not fight for the room.
 * Not guaranteed: a bound on how long on_batch or a call to the file takes.
 */
#include "sys/sys.h"

#include <weir/writer.h>

#include "options.h"
#include "writer_file.h"

#include <string.h>

#define PIECES_MAX 1024 /* as many as writev() itself takes on Linux */
#define CAPACITY_MAX ((uint64_t)1 << 30)
#define CAPACITY_DEFAULT ((size_t)16384)
#define BUFFER_MAX ((uint64_t)1 << 40)
#define BUFFER_DEFAULT ((size_t)1 << 20)
#define STACK_BYTES ((size_t)256 * 1024) /* on_batch is the user's code */
/* Looks at an empty buffer, letting others run in between, before the thread
 * sleeps: waking it costs its producer about as much as 20 records. */
#define IDLE_LOOKS 4

/* One who waits, on its own stack. */
struct waiter {
    struct waiter *next, *before;  /* (l) */
    struct weir_sys_sem woken;     /* posted under the lock */
    bool done;                     /* (l) off its list, result is set */
    int result;                    /* (l) */
    uint64_t target;               /* (c) records to be settled, for flush */
    const struct iovec *pieces;    /* (c) the record, in the line */
    size_t count;                  /* (c) of pieces */
    size_t bytes;                  /* (c) of the record */
};

struct waiters {
    struct waiter *first, *last; /* (l) */
};

enum state { OPEN, CLOSING, ENDED };

struct weir_writer {
    char *path;                  /* (c) or NULL */
    unsigned char *ring;         /* records; see Order */
    uint64_t *ends;              /* where each record ends, in all bytes */
    size_t ring_bytes;           /* (c) */
    size_t capacity;             /* (c) records */
    size_t record_max;           /* (c) */
    size_t batch_max;            /* (c) SIZE_MAX: no limit */
    enum weir_sync sync;         /* (c) */
    enum weir_recover recover;   /* (c) */
    void (*on_batch)(void *user, size_t records, size_t bytes); /* (c) */
    void *user;                  /* (c) */
    struct weir_sys_home home;   /* (c) */
    struct weir_sys_thread thread; /* (c) */
    struct weir_file file;       /* (o) the thread */

    WEIR_ON_LINE struct weir_sys_mutex lock;
    /* What a producer touches lies together. */
    uint64_t accepted;           /* (l) records, ever */
    uint64_t done;               /* (l) records off the buffer, ever */
    uint64_t bytes_in;           /* (l) accepted, ever */
    uint64_t bytes_out;          /* (l) off the buffer, ever */
    size_t slot;                 /* (l) of `ends`, for the next record */
    size_t at;                   /* (l) of `ring`, for the next record */
    size_t waiting_max;          /* (l) */
    int error;                   /* (l) sticks */
    enum state state;            /* (l) */
    bool idle;                   /* (l) the thread wants a post */
    bool joined;                 /* (l) */
    bool reopening;              /* (l) a reopen is under way */
    struct waiters line;         /* (l) for room, in order of arrival */

    WEIR_ON_LINE struct waiters flushers; /* (l) by target */
    struct waiters reopeners;    /* (l) one at most */
    struct waiters closers;      /* (l) */
    uint64_t reopen_at;          /* (l) records that belong to the old file */
    uint64_t settled;            /* (l) records a flush need not wait for */
    uint64_t sync_wanted;        /* (l) somebody flushed so many */
    uint64_t written;            /* (l) and so on: weir_writer_stats */
    uint64_t durable;            /* (l) */
    uint64_t written_bytes;      /* (l) */
    uint64_t batches;            /* (l) */
    uint64_t writes;             /* (l) */
    uint64_t syncs;              /* (l) */
    uint64_t torn_bytes;         /* (l) */

    WEIR_ON_LINE struct weir_sys_sem work; /* posted by who clears `idle` */
};

/* ---- waiting ---- */

static void append_locked(struct waiters *list, struct waiter *self)
{
    self->next = NULL;
    self->before = list->last;
    if (list->last != NULL)
        list->last->next = self;
    else
        list->first = self;
    list->last = self;
}

static void remove_locked(struct waiters *list, struct waiter *self)
{
    if (self->before != NULL)
        self->before->next = self->next;
    else
        list->first = self->next;
    if (self->next != NULL)
        self->next->before = self->before;
    else
        list->last = self->before;
}

/* Take a waiter off its list, with its result. */
static void finish_locked(struct waiters *list, struct waiter *self,
                          int result)
{
    remove_locked(list, self);
    self->result = result;
    self->done = true;
    weir_sys_sem_post(&self->woken);
}

static void finish_all_locked(struct waiters *list, int result)
{
    while (list->first != NULL)
        finish_locked(list, list->first, result);
}

/* Have the thread look, if it sleeps. Returns whether the caller must post
 * `work`, best when it has let go of the lock. */
static bool rouse_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static bool rouse_locked(struct weir_writer *w)
{
    bool was = w->idle;

    w->idle = false;
    return was;
}

/* Wait on a list until somebody finishes it, or the deadline. The lock is
 * let go meanwhile; `post`: the thread is to be woken. */
static int wait_locked(struct weir_writer *w, struct waiters *list,
                       struct waiter *self, bool post, int64_t deadline)
    WEIR_REQUIRES(w->lock);

static int wait_locked(struct weir_writer *w, struct waiters *list,
                       struct waiter *self, bool post, int64_t deadline)
{
    int err = deadline == WEIR_NOW ? -EAGAIN : weir_sys_sem_init(&self->woken);

    if (err != 0) {
        if (post)
            weir_sys_sem_post(&w->work);
        return err;
    }
    append_locked(list, self);
    weir_sys_unlock(&w->lock);
    if (post)
        weir_sys_sem_post(&w->work);
    weir_sys_sem_wait(&self->woken, deadline);
    weir_sys_lock(&w->lock);
    if (!self->done) {
        remove_locked(list, self);
        self->result = -ETIMEDOUT;
    }
    weir_sys_sem_destroy(&self->woken);
    return self->result;
}

/* ---- the buffer ---- */

static bool fits_locked(const struct weir_writer *w, size_t bytes)
    WEIR_REQUIRES(w->lock);

static bool fits_locked(const struct weir_writer *w, size_t bytes)
{
    return w->accepted - w->done < w->capacity &&
           bytes <= w->ring_bytes - (size_t)(w->bytes_in - w->bytes_out);
}

static void copy_in_locked(struct weir_writer *w, const void *from,
                           size_t bytes) WEIR_REQUIRES(w->lock);

static void copy_in_locked(struct weir_writer *w, const void *from,
                           size_t bytes)
{
    size_t first = w->ring_bytes - w->at;

    if (bytes < first) {
        memcpy(w->ring + w->at, from, bytes);
        w->at += bytes;
        return;
    }
    memcpy(w->ring + w->at, from, first);
    w->at = bytes - first;
    if (w->at != 0)
        memcpy(w->ring, (const char *)from + first, w->at);
}

/* Accept a record that fits. */
static void accept_locked(struct weir_writer *w, const struct iovec *pieces,
                          size_t count, size_t bytes) WEIR_REQUIRES(w->lock);

static void accept_locked(struct weir_writer *w, const struct iovec *pieces,
                          size_t count, size_t bytes)
{
    size_t waiting;

    for (size_t i = 0; i < count; i++)
        if (pieces[i].iov_len != 0)
            copy_in_locked(w, pieces[i].iov_base, pieces[i].iov_len);
    w->bytes_in += bytes;
    w->ends[w->slot] = w->bytes_in;
    w->slot = w->slot + 1 == w->capacity ? 0 : w->slot + 1;
    w->accepted++;
    waiting = (size_t)(w->accepted - w->done);
    if (waiting > w->waiting_max)
        w->waiting_max = waiting;
}

/* Accept what fits of those in the line. */
static void serve_line_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void serve_line_locked(struct weir_writer *w)
{
    struct waiter *first;

    while ((first = w->line.first) != NULL && fits_locked(w, first->bytes)) {
        accept_locked(w, first->pieces, first->count, first->bytes);
        finish_locked(&w->line, first, 0);
    }
}

/* ---- the thread ---- */

enum step { SLEEP, WRITE, SYNC, REOPEN, END };

/* Whether what is in the file has to be synced now: when someone waits for
 * it who waits for nothing else, and at the end. */
static bool sync_due_locked(const struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static bool sync_due_locked(const struct weir_writer *w)
{
    const struct waiter *first = w->flushers.first;

    if (w->sync == WEIR_SYNC_NEVER || w->settled == w->done)
        return false;
    if (w->sync == WEIR_SYNC_BATCH || (first && first->target <= w->done))
        return true;
    return w->sync_wanted > w->settled && w->sync_wanted <= w->done;
}

static enum step next_step_locked(const struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static enum step next_step_locked(const struct weir_writer *w)
{
    bool closing = w->state == CLOSING;

    if (w->error != 0)
        return closing ? END : SLEEP;
    if (sync_due_locked(w))
        return SYNC;
    if (w->reopening && w->reopen_at == w->done)
        return REOPEN;
    if (w->done != w->accepted)
        return WRITE;
    if (closing && w->sync != WEIR_SYNC_NEVER && w->settled != w->done)
        return SYNC;
    return closing ? END : SLEEP;
}

/* Let an error stick: what waits is lost, and everybody hears of it. */
static void fail_locked(struct weir_writer *w, int error)
    WEIR_REQUIRES(w->lock);

static void fail_locked(struct weir_writer *w, int error)
{
    w->error = error;
    w->done = w->accepted;
    w->bytes_out = w->bytes_in;
    w->reopening = false;
    finish_all_locked(&w->line, error);
    finish_all_locked(&w->flushers, error);
    finish_all_locked(&w->reopeners, error);
}

/* So many records are as safe as the policy has it. */
static void settle_locked(struct weir_writer *w, uint64_t records)
    WEIR_REQUIRES(w->lock);

static void settle_locked(struct weir_writer *w, uint64_t records)
{
    w->settled = records;
    while (w->flushers.first != NULL && w->flushers.first->target <= records)
        finish_locked(&w->flushers, w->flushers.first, 0);
}

/* What the thread takes at once. */
struct batch {
    size_t records;
    size_t slot;       /* of its first record's end */
    uint64_t from, to; /* byte positions */
};

static struct batch take_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static struct batch take_locked(struct weir_writer *w)
{
    uint64_t end = w->reopening ? w->reopen_at : w->accepted;
    size_t records = (size_t)(end - w->done);
    size_t waiting = (size_t)(w->accepted - w->done);
    struct batch batch;

    if (records > w->batch_max)
        records = w->batch_max;
    batch.records = records;
    /* `slot` is where the next record's end goes; count back from there. */
    batch.slot = w->slot >= waiting ? w->slot - waiting
                                    : w->slot + w->capacity - waiting;
    batch.from = w->bytes_out;
    batch.to = w->ends[(batch.slot + records - 1) % w->capacity];
    return batch;
}

/* How many records of a batch end at or before a byte position, and where
 * the last of these ends. */
static size_t whole_records(const struct weir_writer *w,
                            const struct batch *batch, uint64_t *position)
{
    uint64_t reached = *position;
    size_t records = 0;

    *position = batch->from;
    while (records < batch->records) {
        uint64_t end = w->ends[(batch->slot + records) % w->capacity];

        if (end > reached)
            break;
        *position = end;
        records++;
    }
    return records;
}

/* Write a batch; after an error cut the torn record off again. */
static void do_write_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_write_locked(struct weir_writer *w)
{
    struct batch batch = take_locked(w);
    size_t bytes = (size_t)(batch.to - batch.from);
    size_t start = (size_t)(batch.from % w->ring_bytes);
    size_t first = w->ring_bytes - start < bytes ? w->ring_bytes - start
                                                 : bytes;
    struct iovec pieces[2] = { { w->ring + start, first },
                               { w->ring, bytes - first } };
    struct weir_file_wrote wrote;
    size_t records = batch.records;
    uint64_t position = batch.to;
    int err;

    weir_sys_unlock(&w->lock);
    if (w->on_batch != NULL)
        w->on_batch(w->user, batch.records, bytes);
    err = weir_file_write(&w->file, pieces, 2, &wrote);
    if (err != 0) {
        uint64_t reached = batch.from + wrote.bytes;

        position = reached;
        records = whole_records(w, &batch, &position);
        weir_file_cut_back(&w->file, reached - position);
    }
    weir_sys_lock(&w->lock);

    w->batches++;
    w->writes += wrote.calls;
    w->written += records;
    w->written_bytes += position - batch.from;
    if (err != 0) {
        fail_locked(w, err);
        return;
    }
    w->done += records;
    w->bytes_out = batch.to;
    if (w->sync == WEIR_SYNC_NEVER)
        settle_locked(w, w->done);
    serve_line_locked(w);
}

/* Sync what is written. An error is never followed by another try: the
 * system may have dropped the pages, and would say yes. */
static void do_sync_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_sync_locked(struct weir_writer *w)
{
    uint64_t records = w->done;
    int err;

    weir_sys_unlock(&w->lock);
    err = weir_file_sync(&w->file);
    weir_sys_lock(&w->lock);
    if (err < 0) {
        fail_locked(w, err);
        return;
    }
    if (err == 0) {
        w->syncs++;
        w->durable = records;
    }
    settle_locked(w, records);
}

/* Go over to the file that has the path now. The old one is synced and
 * closed once the new one is open and locked; if that is not to be had,
 * nothing has changed. */
static void do_reopen_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_reopen_locked(struct weir_writer *w)
{
    const struct weir_file_how how = { .path = w->path, .sync = w->sync,
                                       .recover = w->recover,
                                       .current = &w->file };
    uint64_t torn_bytes = 0;
    bool unsettled = w->sync != WEIR_SYNC_NEVER && w->settled != w->done;
    struct weir_file file;
    int err;

    if (unsettled) {
        do_sync_locked(w);
        if (w->error != 0)
            return;
    }
    weir_sys_unlock(&w->lock);
    err = weir_file_open(&file, &how, &torn_bytes);
    weir_sys_lock(&w->lock);
    w->torn_bytes += torn_bytes;
    if (err == 0 && !weir_file_same(&file, &w->file)) {
        struct weir_file old = w->file;

        w->file = file;
        weir_sys_unlock(&w->lock);
        err = weir_file_close(&old);
        weir_sys_lock(&w->lock);
        if (err != 0) {
            fail_locked(w, err);
            return;
        }
    }
    w->reopening = false;
    finish_all_locked(&w->reopeners, err);
}

/* Sleep until there is something to do, after a few looks. */
static void do_sleep_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_sleep_locked(struct weir_writer *w)
{
    for (int i = 0; i < IDLE_LOOKS; i++) {
        weir_sys_unlock(&w->lock);
        weir_sys_yield();
        weir_sys_lock(&w->lock);
        if (next_step_locked(w) != SLEEP)
            return;
    }
    w->idle = true;
    weir_sys_unlock(&w->lock);
    weir_sys_sem_wait(&w->work, WEIR_FOREVER);
    weir_sys_lock(&w->lock);
}

static void thread_main(void *arg)
{
    struct weir_writer *w = arg;
    enum step step;
    int err;

    weir_sys_lock(&w->lock);
    while ((step = next_step_locked(w)) != END) {
        if (step == WRITE)
            do_write_locked(w);
        else if (step == SYNC)
            do_sync_locked(w);
        else if (step == REOPEN)
            do_reopen_locked(w);
        else
            do_sleep_locked(w);
    }
    weir_sys_unlock(&w->lock);
    err = weir_file_close(&w->file);
    weir_sys_lock(&w->lock);
    if (w->error == 0 && err != 0)
        w->error = err;
    w->state = ENDED;
    finish_all_locked(&w->closers, 0);
    weir_sys_unlock(&w->lock);
}

/* ---- opening ---- */

static bool options_good(const struct weir_writer_options *o)
{
    uint64_t buffer = o->buffer_bytes ? o->buffer_bytes : BUFFER_DEFAULT;

    return (o->path != NULL || o->fd >= 0) && o->capacity <= CAPACITY_MAX &&
           buffer <= BUFFER_MAX && o->record_max <= buffer &&
           (unsigned)o->sync <= WEIR_SYNC_BATCH &&
           (unsigned)o->recover <= WEIR_RECOVER_LINES &&
           weir_all_zero(o->reserved, sizeof(o->reserved));
}

/* Copy the options and make the memory. Returns 0 or -ENOMEM; what was made
 * is freed by free_memory() in both cases. */
static int make_memory(struct weir_writer *w,
                       const struct weir_writer_options *o)
{
    w->capacity = o->capacity ? o->capacity : CAPACITY_DEFAULT;
    w->ring_bytes = o->buffer_bytes ? o->buffer_bytes : BUFFER_DEFAULT;
    w->record_max = o->record_max ? o->record_max : (w->ring_bytes + 3) / 4;
    w->batch_max = o->batch_max ? o->batch_max : SIZE_MAX;
    w->sync = o->sync;
    w->recover = o->recover;
    w->on_batch = o->on_batch;
    w->user = o->user;
    if (o->path != NULL) {
        size_t bytes = strlen(o->path) + 1;

        w->path = weir_sys_alloc(1, bytes);
        if (w->path == NULL)
            return -ENOMEM;
        memcpy(w->path, o->path, bytes);
    }
    w->ring = weir_sys_alloc(1, w->ring_bytes);
    w->ends = weir_sys_alloc(w->capacity, sizeof(*w->ends));
    return w->ring != NULL && w->ends != NULL ? 0 : -ENOMEM;
}

static void free_memory(struct weir_writer *w)
{
    weir_sys_home_destroy(&w->home);
    weir_sys_free(w->ends);
    weir_sys_free(w->ring);
    weir_sys_free(w->path);
    weir_sys_free(w);
}

static int open_file(struct weir_writer *w,
                     const struct weir_writer_options *o)
{
    const struct weir_file_how how = { .path = w->path, .sync = w->sync,
                                       .recover = w->recover };

    return w->path == NULL ? weir_file_adopt(&w->file, o->fd)
                           : weir_file_open(&w->file, &how, &w->torn_bytes);
}

int weir_writer_open(struct weir_writer **out,
                     const struct weir_writer_options *options)
{
    struct weir_writer *w;
    int err;

    *out = NULL;
    /* Without options there is neither a path nor a descriptor. */
    if (options == NULL || !options_good(options))
        return -EINVAL;
    w = weir_sys_alloc(1, sizeof(*w));
    if (w == NULL)
        return -ENOMEM;
    w->file.fd = -1;
    err = make_memory(w, options);
    if (err != 0)
        goto no_home;
    err = weir_sys_home_init(&w->home);
    if (err != 0)
        goto no_home;
    err = weir_sys_mutex_init(&w->lock);
    if (err != 0)
        goto no_home;
    err = weir_sys_sem_init(&w->work);
    if (err != 0)
        goto no_sem;
    /* The thread first: opening may cut the file, and nothing may fail after
     * that. It has nothing to do and stays away from the file until the
     * first call after this one, which hands the file over by the mutex. */
    err = weir_sys_thread_start(&w->thread, thread_main, w, STACK_BYTES,
                                options->name ? options->name
                                              : "weir-writer");
    if (err != 0)
        goto no_thread;
    err = open_file(w, options);
    if (err != 0)
        goto no_file;
    *out = w;
    return 0;
no_file:
    weir_writer_destroy(w);
    return err;
no_thread:
    weir_sys_sem_destroy(&w->work);
no_sem:
    weir_sys_mutex_destroy(&w->lock);
no_home:
    free_memory(w);
    return err;
}

/* ---- the calls ---- */

/* 0, or why nothing more is accepted. */
static int refusal_locked(const struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static int refusal_locked(const struct weir_writer *w)
{
    return w->error != 0 ? w->error : w->state != OPEN ? -EPIPE : 0;
}

/* Let go of the lock, and wake the thread if that is the caller's to do. */
static void leave(struct weir_writer *w, bool post) WEIR_RELEASES(w->lock);

static void leave(struct weir_writer *w, bool post)
{
    weir_sys_unlock(&w->lock);
    if (post)
        weir_sys_sem_post(&w->work);
}

/* Whether the pieces make up one line, whose newline is its last byte. */
static bool one_line(const struct iovec *pieces, size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        const char *newline;

        if (pieces[i].iov_len == 0)
            continue;
        newline = memchr(pieces[i].iov_base, '\n', pieces[i].iov_len);
        if (newline != NULL)
            return bytes == (size_t)(newline -
                                     (char *)pieces[i].iov_base) + 1;
        bytes -= pieces[i].iov_len;
    }
    return false;
}

/* Add up and judge a record. */
static int check_record(const struct weir_writer *w,
                        const struct iovec *pieces, size_t count,
                        size_t *bytes)
{
    size_t all = 0;

    if (count > PIECES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > w->record_max - all)
            return -EMSGSIZE;
        all += pieces[i].iov_len;
    }
    *bytes = all;
    if (w->recover == WEIR_RECOVER_LINES && !one_line(pieces, count, all))
        return -EINVAL;
    return 0;
}

int weir_writer_write(struct weir_writer *w, const struct iovec *pieces,
                      size_t count, int64_t deadline)
{
    size_t bytes = 0;
    bool post = false;
    int err = check_record(w, pieces, count, &bytes);

    if (!weir_sys_at_home(&w->home))
        return -ECHILD;
    if (err != 0)
        return err;
    weir_sys_lock(&w->lock);
    err = refusal_locked(w);
    if (err == 0 && w->line.first == NULL && fits_locked(w, bytes)) {
        accept_locked(w, pieces, count, bytes);
        post = rouse_locked(w);
    } else if (err == 0) {
        struct waiter self = { .pieces = pieces, .count = count,
                               .bytes = bytes };

        err = wait_locked(w, &w->line, &self, false, deadline);
        /* Who was first and gave up may have kept out a smaller one. */
        serve_line_locked(w);
        if (w->done != w->accepted)
            post = rouse_locked(w);
    }
    leave(w, post);
    return err;
}

int weir_writer_flush(struct weir_writer *w, int64_t deadline)
{
    bool post = false;
    int err;

    if (!weir_sys_at_home(&w->home))
        return -ECHILD;
    weir_sys_lock(&w->lock);
    err = refusal_locked(w);
    if (err == 0 && w->settled < w->accepted) {
        struct waiter self = { .target = w->accepted };

        w->sync_wanted = w->accepted;
        post = rouse_locked(w);
        err = wait_locked(w, &w->flushers, &self, post, deadline);
    }
    weir_sys_unlock(&w->lock);
    return err;
}

int weir_writer_reopen(struct weir_writer *w, int64_t deadline)
{
    int err;

    if (!weir_sys_at_home(&w->home))
        return -ECHILD;
    if (w->path == NULL)
        return -EINVAL;
    weir_sys_lock(&w->lock);
    err = refusal_locked(w);
    if (err == 0 && w->reopening)
        err = -EBUSY;
    if (err == 0) {
        struct waiter self = { 0 };

        w->reopening = true;
        w->reopen_at = w->accepted;
        err = wait_locked(w, &w->reopeners, &self, rouse_locked(w), deadline);
    }
    weir_sys_unlock(&w->lock);
    return err;
}

static void begin_close_locked(struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static void begin_close_locked(struct weir_writer *w)
{
    if (w->state == OPEN) {
        w->state = CLOSING;
        finish_all_locked(&w->line, -EPIPE);
    }
}

int weir_writer_close(struct weir_writer *w, int64_t deadline)
{
    int err = 0;

    if (!weir_sys_at_home(&w->home))
        return -ECHILD;
    weir_sys_lock(&w->lock);
    begin_close_locked(w);
    if (w->state != ENDED) {
        struct waiter self = { 0 };

        err = wait_locked(w, &w->closers, &self, rouse_locked(w), deadline);
    }
    if (err == 0 && !w->joined) {
        /* Under the lock, so that it is done once: the thread wants the lock
         * no more. */
        weir_sys_thread_join(&w->thread);
        w->joined = true;
    }
    if (err == 0)
        err = w->error;
    weir_sys_unlock(&w->lock);
    return err;
}

void weir_writer_destroy(struct weir_writer *w)
{
    if (w == NULL)
        return;
    if (weir_sys_at_home(&w->home)) {
        /* Unlike a close this cannot fail for want of a semaphore: nobody
         * else is here, so joining is all the waiting there is. */
        weir_sys_lock(&w->lock);
        begin_close_locked(w);
        leave(w, rouse_locked(w));
        if (!w->joined)
            weir_sys_thread_join(&w->thread);
        weir_sys_sem_destroy(&w->work);
        weir_sys_mutex_destroy(&w->lock);
    }
    free_memory(w);
}

int weir_writer_stats(struct weir_writer *w, struct weir_writer_stats *stats)
{
    if (!weir_sys_at_home(&w->home))
        return -ECHILD;
    weir_sys_lock(&w->lock);
    *stats = (struct weir_writer_stats){
        .accepted = w->accepted,
        .written = w->written,
        .durable = w->durable,
        .lost = w->done - w->written,
        .bytes = w->written_bytes,
        .batches = w->batches,
        .writes = w->writes,
        .syncs = w->syncs,
        .torn_bytes = w->torn_bytes,
        .waiting = (size_t)(w->accepted - w->done),
        .waiting_max = w->waiting_max,
        .error = w->error,
    };
    weir_sys_unlock(&w->lock);
    return 0;
}
